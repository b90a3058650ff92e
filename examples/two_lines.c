/* two_lines.c - two straight lines in one cloud of points, with and without a
   gate, and the likelihood of each
     cc -O2 examples/two_lines.c -o two_lines && ./two_lines [FILE]

   FILE has rows of x,d; without it points are made up.  Without a gate the
   proportions are the same for all x: a mixture of linear regressions.  Here
   its gate is given a column of ones.  With a gate they depend on x.  Sigma is
   learnt, the best of eight seeds counts, and then each line gets a deviation
   of its own.
   Log-likelihoods of R's mixtools for its data sets (Benaglia et al. 2009):
     CO2data   without a gate, regmixEM  -66.94
     NOdata    with a gate, hmeEM        123.62
   Draws two_lines.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "csv.h"
#include "plot.h"

enum { MOST = 1000, SEEDS = 8 };
static float x[2 * MOST], d[MOST];                        /* x: 1 and value */
static moe_data data = {.x = x, .d = d};

static void stop(const char *why)
{
    printf("%s\n", why);
    exit(1);
}

static void get_cases(const char *path)
{
    csv t = {0};
    int n;

    if (path != NULL && !csv_read(&t, path))
        stop(t.error);
    if (path != NULL && (t.columns < 2 || t.rows > MOST))
        stop("what is wanted is at most 1000 rows of x,d");
    data.n = path != NULL ? t.rows : 160;
    for (n = 0; n < data.n; n++) {
        x[2 * n] = 1;
        x[2 * n + 1] = t.value ? t.value[n * t.columns] : (float)n / 40;
        d[n] = t.value ? t.value[n * t.columns + 1]
             : (n * n % 7 < 4 ? 2 - x[2 * n + 1] / 4 : x[2 * n + 1])
               + (float)(37 * n * n * n % 83) / 200 - 0.2f;
    }
    free(t.value);
}

/* Two straight experts, with their deviations. */
static void fit(moe *m, int gate)
{
    moe_config config = {0};
    moe_training t = {0};
    moe_data often = data;
    float weights[MOST];
    int n;

    for (n = 0; n < data.n; n++)
        weights[n] = 1000;           /* beside which five more are nothing */
    often.weights = weights;
    config.inputs = 2;
    config.outputs = 1;
    config.experts = 2;
    config.expert_inputs.first = 1;                         /* the value x */
    config.gate_inputs.first = gate;                    /* or else the ones */
    config.gate_inputs.count = 1;
    t.holdout = -1;                             /* all cases are learnt */
    t.restarts = SEEDS;
    if (moe_open(m, &config, NULL, 0) != MOE_OK
        || moe_train(m, &data, NULL, &t, NULL) != MOE_OK
        || moe_fit_variance(m, &often) != MOE_OK)
        stop(m->error);
}

static double log_likelihood(moe *m)
{
    static float log_density[MOST];
    double L = 0;
    int n;

    moe_density(m, x, d, data.n, log_density);
    for (n = 0; n < data.n; n++)
        L += (double)log_density[n];
    return L;
}

static void show(plot *p, int gate, const double *high, const double *wide)
{
    static const char *const title[] = {"without a gate", "with a gate"};
    const float at[4] = {1, 0, 1, 1};                  /* x is 0, and 1 */
    double L, s, from, slope, unit;
    int i, n;
    moe m;

    fit(&m, gate);
    L = log_likelihood(&m);
    unit = (double)m.params[m.trained_count + 1];        /* scale.d's factor */
    printf("%-14s  log-likelihood %8.2f, per case %6.3f\n", title[gate], L,
           L / data.n);
    plot_panel(p, title[gate], "x", "d", wide[0], wide[1], high[0], high[1]);
    plot_dots(p, data.n, x + 1, 2, d, 1, "#666", 3, "data");
    moe_forward(&m, at, 2);
    for (i = 0; i < 2; i++) {
        from = (double)m.o[i];
        slope = (double)m.o[2 + i] - from;
        s = unit * (double)m.sigma[1 + i];
        printf("    d = %8.4f %+8.4f x  s %.4f\n", from, slope, s);
        for (n = -2; n <= 2; n += 2)
            plot_segment(p, 0, from + n * s, 100, from + 100 * slope + n * s,
                         plot_colour[i], n == 0 ? 2 : 0.7);
        plot_key(p, i == 0 ? "o_1 and 2 deviations" : "o_2", plot_colour[i]);
    }
    moe_close(&m);
}

int main(int argc, char **argv)
{
    double wide[2] = {0}, high[2] = {0}, margin;
    plot p;

    get_cases(argc > 1 ? argv[1] : NULL);
    plot_range(wide, data.n, x + 1, 2);
    plot_range(high, data.n, d, 1);
    margin = (high[1] - high[0]) / 20;
    high[0] -= margin;
    high[1] += margin;
    plot_open(&p, "two_lines.svg", 2, 1, 360, 300);
    show(&p, 0, high, wide);
    show(&p, 1, high, wide);
    plot_close(&p);
    return 0;
}
