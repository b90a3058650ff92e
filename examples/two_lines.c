/* two_lines.c - two lines in one cloud of points, with and without a gate
     cc -O2 examples/two_lines.c -o two_lines && ./two_lines [FILE]

   FILE has rows of x,d; without it points are made up.  Without a gate the
   proportions are the same for all x: the gate is given a column of ones.  With
   a gate they depend on x.  Sigma is learnt, then a deviation of each line.
   What is published are log-likelihoods that R's mixtools finds in its data by
   expectation-maximisation (Benaglia et al. 2009).  Draws two_lines.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "csv.h"
#include "plot.h"

enum { MOST = 1000, GRID = 101 };
static float at[MOST], x[MOST][2], d[MOST], weights[MOST]; /* x: 1, and at */
static moe_data data = {.x = x[0], .d = d, .weights = weights};
static double wide[2], high[2];                              /* of the plots */

/* Made up: the more x, the more cases are of the line that rises. */
static void get_cases(const char *path)
{
    int n;

    for (n = 0; n < 160; n++) {
        at[n] = (float)n / 40;
        d[n] = n * n % 97 < n / 2 + 8 ? at[n] : 2 - at[n] / 4;
        d[n] += (float)(37 * n * n * n % 83) / 200 - 0.2f;
    }
    data.n = path == NULL ? 160 : csv_pairs(path, MOST, at, d);
    for (n = 0; n < data.n; n++) {
        x[n][0] = 1;
        x[n][1] = at[n];
        weights[n] = 1000;   /* so that the five cases that moe_fit_variance */
    }                        /* adds are nothing beside them */
    plot_range(wide, data.n, at, 1);
    plot_range(high, data.n, d, 1);
}

/* Two straight experts, with their deviations. */
static void fit(moe *m, int gate)
{
    moe_config config = {.inputs = 2, .outputs = 1, .experts = 2,
                         .expert_inputs = {1, 1},         /* the value x */
                         .gate_inputs = {gate, 1},    /* or else the ones */
                         .block = GRID};
    moe_training t = {.holdout = -1, .restarts = 8};   /* all are learnt */

    if (moe_open(m, &config, NULL, 0) != MOE_OK
        || moe_train(m, &data, NULL, &t, NULL) != MOE_OK
        || moe_fit_variance(m, &data) != MOE_OK) {
        printf("%s\n", m->error);
        exit(1);
    }
}

static void show(plot *p, int gate, const char *title)
{
    static const char *const name[] = {"line 1", "line 2"};
    float log_density[MOST], grid[GRID], grid_x[GRID][2];
    double L = 0, s, from, to;
    int i, n;
    moe m;

    fit(&m, gate);
    moe_density(&m, x[0], d, data.n, log_density);
    for (n = 0; n < data.n; n++)
        L += (double)log_density[n];
    printf("%-14s  log-likelihood %8.2f, per case %6.3f\n", title, L,
           L / data.n);
    for (n = 0; n < GRID; n++) {
        grid[n] = (float)(wide[0] + n * (wide[1] - wide[0]) / (GRID - 1));
        grid_x[n][0] = 1;
        grid_x[n][1] = grid[n];
    }
    moe_forward(&m, grid_x[0], GRID);
    plot_panel(p, title, "x", "d", wide[0], wide[1], high[0], high[1]);
    plot_dots(p, data.n, at, 1, d, 1, "#666", 3, "data");
    for (i = 0; i < 2; i++) {
        s = (double)(m.sigma[1 + i] * m.params[m.trained_count + 1]);
        from = (double)m.o[i];                    /* times scale.d's factor */
        to = (double)m.o[2 * (GRID - 1) + i];
        printf("    d = %8.4f at x = %.2f, slope %8.4f, deviation %.4f\n",
               from, wide[0], (to - from) / (wide[1] - wide[0]), s);
        for (n = -2; n <= 2; n += 2)
            plot_segment(p, wide[0], from + n * s, wide[1], to + n * s,
                         plot_colour[i], n == 0 ? 2 : 0.7);
        plot_key(p, i == 0 ? "line 1, 2 deviations" : name[1], plot_colour[i]);
    }
    plot_panel(p, gate ? "Whom the gate trusts" : "The same p for all x", "x",
               "p", wide[0], wide[1], 0, 1);
    plot_gate(p, GRID, grid, m.p, 2);
    for (i = 0; i < 2; i++)
        plot_key(p, name[i], plot_colour[i]);
    moe_close(&m);
}

int main(int argc, char **argv)
{
    plot p;

    get_cases(argc > 1 ? argv[1] : NULL);
    plot_open(&p, "two_lines.svg", 2, 2, 360, 220);
    show(&p, 0, "without a gate");
    show(&p, 1, "with a gate");
    if (argc > 1)
        printf("Published: CO2data without a gate -66.94, NOdata with a gate "
               "123.62\n");
    plot_close(&p);
    return 0;
}
