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

enum { MADE_UP = 140, EXPERTS = 5, GRID = 241 };

static void make_up_cases(csv *t)
{
    float *row;
    int n;

    printf("MADE-UP DATA, for no file was given\n");
    t->value = (float *)malloc(2 * MADE_UP * sizeof *t->value);
    t->rows = t->value == NULL ? 0 : MADE_UP;
    t->columns = 2;
    for (n = 0, row = t->value; n < t->rows; n++, row += 2) {
        float ms = row[0] = 0.4f * (float)n;

        row[1] = ms < 14 ? 0 : ms < 21 ? 238 - 17 * ms
               : ms < 32 ? 14.5f * ms - 424 : 80 - 1.5f * ms;
        row[1] += (float)(37 * n * n * n % 83) / 2 - 20;
    }
}

static int pick(const float *p)           /* the selector: i by chance p[i] */
{
    float left = (float)rand() / (float)RAND_MAX;
    int i;

    for (i = 0; i < EXPERTS - 1 && left >= p[i]; i++)
        left -= p[i];
    return i;
}

static void draw(moe *m, const csv *t)
{
    float ms[GRID];
    plot p;
    int i, n;

    for (n = 0; n < GRID; n++)
        ms[n] = 0.25f * (float)n;
    moe_forward(m, ms, GRID);
    plot_open(&p, "motorcycle.svg", 1, 3, 600, 200);
    plot_panel(&p, "Five straight lines", "milliseconds", "acceleration, g", 0,
               60, -150, 100);
    plot_dots(&p, t->rows, t->value, 2, t->value + 1, 2, "#999", 3, "readings");
    for (n = 0; n < GRID; n++)
        for (i = 0; i < EXPERTS; i++)
            plot_dot(&p, (double)ms[n], (double)m->o[n * EXPERTS + i],
                     plot_colour[i], 4 * (double)m->p[n * EXPERTS + i]);
    for (i = 0; i < EXPERTS; i++)
        plot_key(&p, plot_expert[i], plot_colour[i]);
    plot_line(&p, GRID, ms, 1, m->y, 1, "black", 2, "blend");
    plot_panel(&p, "Whom the gate trusts", "milliseconds", "p", 0, 60, 0, 1);
    plot_gate(&p, GRID, ms, m->p, EXPERTS);
    plot_panel(&p, "What a stochastic selector picks", "milliseconds",
               "acceleration, g", 0, 60, -150, 100);
    for (n = 0; n < GRID; n++) {
        i = pick(m->p + n * EXPERTS);
        plot_dot(&p, (double)ms[n], (double)m->o[n * EXPERTS + i],
                 plot_colour[i], 3);
    }
    plot_close(&p);
}

static int stop(const char *why)
{
    printf("%s\n", why);
    return 1;
}

int main(int argc, char **argv)
{
    float x[1000], d[1000];
    moe_config config = {0};
    moe_training training = {0};
    moe_data data = {.x = x, .d = d};
    moe_report report;
    csv t;
    moe m;
    int i;

    if (argc < 2)
        make_up_cases(&t);
    else if (!csv_read(&t, argv[1]))
        return stop(t.error);
    if (t.columns != 2 || t.rows > 1000)
        return stop("what is wanted is at most 1000 rows of two numbers");
    for (data.n = 0; data.n < t.rows; data.n++) {
        x[data.n] = t.value[2 * data.n];
        d[data.n] = t.value[2 * data.n + 1];
    }
    config.inputs = config.outputs = 1;
    config.experts = EXPERTS;            /* no hidden units: straight lines */
    config.sigma = 0.5f;             /* an error of half d's own deviation */
    config.block = GRID;              /* so that m.p, m.o and m.y show all */
    training.epochs = 3000;
    training.batch = MOE_ALL;
    training.rate = 0.03f;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &training, NULL) != MOE_OK ||
        moe_evaluate(&m, &data, &report) != MOE_OK)
        return stop(m.error);
    for (i = 0; i < EXPERTS; i++)
        printf("%c: usage %3.0f %%\n", 'A' + i, 100 * (double)report.usage[i]);
    printf("blend: RMSE %.1f g\n", sqrt((double)report.squared_error));
    draw(&m, &t);
    moe_close(&m);
    free(t.value);
    return 0;
}
