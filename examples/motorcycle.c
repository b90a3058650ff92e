/* motorcycle.c - a crash test, told by five straight lines
     cc -O2 examples/motorcycle.c -o motorcycle -lm && ./motorcycle mcycle.csv

   mcycle.csv has lines "times,accel": milliseconds after the impact, the head's
   acceleration in g (Silverman 1985).  Without it a made-up curve stands in.
   motorcycle.svg shows each expert's line, as wide as the gate trusts it, and
   what the paper's stochastic selector picks: expert i by chance p_i. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "csv.h"
#include "plot.h"
#include <math.h>

enum { MOST = 1000, E = 5, GRID = 241 };
static float x[MOST], d[MOST];

static int make_up_cases(void)
{
    int n;

    printf("MADE-UP DATA, for no file was given\n");
    for (n = 0; n < 140; n++) {
        float ms = x[n] = 0.4f * (float)n;

        d[n] = ms < 14 ? 0 : ms < 21 ? 238 - 17 * ms
             : ms < 32 ? 14.5f * ms - 424 : 80 - 1.5f * ms;
        d[n] += (float)(37 * n * n * n % 83) / 2 - 20;
    }
    return n;
}

static int pick(const float *p)           /* the selector: i by chance p[i] */
{
    float left = (float)rand() / (float)RAND_MAX;
    int i;

    for (i = 0; i < E - 1 && left >= p[i]; i++)
        left -= p[i];
    return i;
}

static void draw(moe *m, int count, const char *title, const moe_real *usage)
{
    float ms[GRID];
    plot p;
    int i, n;

    for (n = 0; n < GRID; n++)
        ms[n] = 0.25f * (float)n;
    moe_forward(m, ms, GRID);
    plot_open(&p, "motorcycle.svg", 1, 3, 600, 200);
    plot_panel(&p, title, "milliseconds", "acceleration, g", 0, 60, -150, 100);
    plot_dots(&p, count, x, 1, d, 1, "#999", 3, "readings");
    for (n = 0; n < GRID; n++)
        for (i = 0; i < E; i++)
            plot_dot(&p, (double)ms[n], (double)m->o[n * E + i],
                     plot_colour[i], 4 * (double)m->p[n * E + i]);
    for (i = 0; i < E; i++)
        if (usage[i] >= 0.005f)             /* others cannot be seen */
            plot_key(&p, plot_expert[i], plot_colour[i]);
    plot_line(&p, GRID, ms, 1, m->y, 1, "black", 2, "blend");
    plot_panel(&p, "Whom the gate trusts", "milliseconds", "p", 0, 60, 0, 1);
    plot_gate(&p, GRID, ms, m->p, E);
    plot_panel(&p, "What a stochastic selector picks", "milliseconds",
               "acceleration, g", 0, 60, -150, 100);
    for (n = 0; n < GRID; n++) {
        i = pick(m->p + n * E);
        plot_dot(&p, (double)ms[n], (double)m->o[n * E + i], plot_colour[i], 3);
    }
    plot_close(&p);
}

int main(int argc, char **argv)
{
    moe_config config = {.inputs = 1, .outputs = 1,
                         .experts = E,   /* no hidden units: straight lines */
                         .sigma = 0.5f,  /* half of d's own deviation       */
                         .block = GRID}; /* so that p, o and y show all     */
    moe_training t = {.epochs = 3000, .batch = MOE_ALL, .rate = 0.03f};
    moe_data data = {.x = x, .d = d};
    moe_report report;
    moe m;
    int i;

    data.n = argc > 1 ? csv_pairs(argv[1], MOST, x, d) : make_up_cases();
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &t, NULL) != MOE_OK ||
        moe_evaluate(&m, &data, &report) != MOE_OK)
        return puts(m.error), 1;
    for (i = 0; i < E; i++)
        printf("%c: usage %3.0f %%\n", 'A' + i, 100 * (double)report.usage[i]);
    printf("blend: RMSE %.1f g\n", sqrt((double)report.squared_error));
    draw(&m, data.n, argc > 1 ? "Five straight lines"
                              : "Five straight lines, made-up data",
         report.usage);
    moe_close(&m);
    return 0;
}
