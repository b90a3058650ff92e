/* one_to_many.c - many answers are right: the mean of them is not, the mode is
     cc -O2 examples/one_to_many.c -o one_to_many -lm && ./one_to_many

   x = d + 0.3 sin(2 pi d) + noise has up to three d for one x (Bishop 1994).
   One network learns their mean, which is nobody's; three straight experts
   learn one branch each, and the gate how likely each is.  So a forecast is the
   expert that the gate trusts most: the mode.  Draws one_to_many.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "plot.h"
#include <math.h>

enum { CASES = 400, E = 3, GRID = 201 };
static float x[CASES], d[CASES];
static const moe_data data = {.n = CASES, .x = x, .d = d};

static void make_cases(void)
{
    uint32_t state = 1991;
    double noise;
    int n, k;

    for (n = 0; n < CASES; n++) {
        for (k = 0, noise = 0; k < 12; k++) {        /* variance 1, mean 0 */
            state = state * 1664525u + 1013904223u;
            noise += (double)(state >> 8) / 16777216 - 0.5;
        }
        d[n] = ((float)n + 0.5f) / CASES;
        x[n] = (float)((double)d[n] + 0.3 * sin(6.283185307 * (double)d[n])
                       + 0.05 * noise);
    }
}

static void learn(moe *m, int experts, int hidden)
{
    moe_config config = {.inputs = 1, .outputs = 1, .experts = experts,
                         .hidden = {hidden},
                         .sigma = 0.15f,        /* of d's own deviation */
                         .block = CASES};
    moe_training t = {.epochs = 1000, .rate = 0.01f};

    if (moe_open(m, &config, NULL, 0) != MOE_OK ||
        moe_train(m, &data, NULL, &t, NULL) != MOE_OK) {
        printf("%s\n", m->error);
        exit(1);
    }
}

static float mode(const moe *m, int n)       /* of whom the gate trusts most */
{
    return m->o[n * E + plot_largest(E, m->p + n * E)];
}

int main(void)
{
    double nearest = 0, by_mode = 0, by_mean = 0, single = 0, least;
    float at[GRID], y[CASES];
    moe m, network;
    int i, n;
    plot p;

    make_cases();
    learn(&m, E, 0);
    learn(&network, 1, 16);
    moe_predict(&network, x, CASES, y);
    moe_forward(&m, x, CASES);
    for (n = 0; n < CASES; n++) {
        for (i = 0, least = HUGE_VAL; i < E; i++)
            least = fmin(least, fabs((double)(d[n] - m.o[n * E + i])));
        nearest += least * least / CASES;
        by_mode += fabsf(d[n] - mode(&m, n)) < 0.1f;
        by_mean += fabsf(d[n] - m.y[n]) < 0.1f;
        single += fabsf(d[n] - y[n]) < 0.1f;
    }
    printf("RMSE of the nearest expert: %.3f\n"
           "off by less than 0.1: mode %.0f %%, mean %.0f %%, one network "
           "%.0f %%\n", sqrt(nearest), 100 * by_mode / CASES,
           100 * by_mean / CASES, 100 * single / CASES);

    for (n = 0; n < GRID; n++)
        at[n] = (float)n / 160 - 0.125f;
    moe_predict(&network, at, GRID, y);
    moe_forward(&m, at, GRID);
    plot_open(&p, "one_to_many.svg", 2, 1, 400, 320);
    plot_panel(&p, "The mean is on no branch", "x", "d", -0.125, 1.125, 0, 1);
    plot_dots(&p, CASES, x, 1, d, 1, "#999", 2, "data");
    plot_line(&p, GRID, at, 1, y, 1, plot_colour[3], 2, "one network");
    plot_line(&p, GRID, at, 1, m.y, 1, "black", 2, "mean, y");
    plot_panel(&p, "The mode is", "x", "d", -0.125, 1.125, 0, 1);
    plot_dots(&p, CASES, x, 1, d, 1, "#999", 2, "data");
    for (i = 0; i < E; i++)
        plot_line(&p, GRID, at, 1, m.o + i, E, plot_colour[i], 1,
                  plot_expert[i]);
    for (n = 0; n < GRID; n++)
        plot_dot(&p, (double)at[n], (double)mode(&m, n), "black", 1.5);
    plot_key(&p, "mode", "black");
    plot_close(&p);
    moe_close(&network);
    moe_close(&m);
    return 0;
}
