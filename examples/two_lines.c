/* two_lines.c - two straight lines in one cloud of points, with and without a
   gate, and the likelihood of each
     cc -O2 examples/two_lines.c -o two_lines -lm && ./two_lines [FILE]

   FILE has rows of x,d; without it points are made up.  Without a gate the
   proportions are the same for all x: a mixture of linear regressions.  Here
   its gate is given a column of ones.  With a gate they depend on x.  Each line
   has a deviation of its own; the best of eight seeds counts.
   Log-likelihoods of R's mixtools for its data sets (Benaglia et al. 2009):
     CO2data   without a gate, regmixEM  -66.94
     NOdata    with a gate, hmeEM        123.62
   Draws two_lines.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "csv.h"
#include "plot.h"
#include <math.h>
#include "deviations.h"

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

/* Two straight experts; returns the log-likelihood of all data. */
static double fit(moe *m, int gate, uint64_t seed, double *s)
{
    moe_config config = {0};
    moe_training t = {0};
    double L;

    config.inputs = 2;
    config.outputs = 1;
    config.experts = 2;
    config.expert_inputs.first = 1;                         /* the value x */
    config.gate_inputs.first = gate;                    /* or else the ones */
    config.gate_inputs.count = 1;
    config.block = MOST;
    config.seed = seed;
    t.batch = MOE_ALL;
    t.epochs = 200;
    t.rate = 0.03f;
    if (moe_open(m, &config, NULL, 0) != MOE_OK)
        stop(m->error);
    L = train_with_deviations(m, &data, &t, s);
    if (L < -1e30)
        stop(m->error);
    return L;
}

static void show(plot *p, int gate, const double *high, const double *wide)
{
    static const char *const title[] = {"without a gate", "with a gate"};
    double s[2], L, slope, best = -HUGE_VAL;
    uint64_t seed, winner = 0;
    float line[2][2];
    int i, n;
    moe m;

    for (seed = 0; seed < SEEDS; seed++, moe_close(&m)) {
        L = fit(&m, gate, seed, s);
        winner = L > best ? seed : winner;
        best = fmax(L, best);
    }
    fit(&m, gate, winner, s);
    printf("%-14s  log-likelihood %8.2f, per case %6.3f\n", title[gate], best,
           best / data.n);
    plot_panel(p, title[gate], "x", "d", wide[0], wide[1], high[0], high[1]);
    plot_dots(p, data.n, x + 1, 2, d, 1, "#666", 3, "data");
    for (i = 0; i < 2; i++) {
        for (n = 0; n < 2; n++) {                     /* at 0 and at 1 */
            float at[2] = {1, (float)n};

            moe_forward(&m, at, 1);
            line[n][0] = m.o[i];
            line[n][1] = m.p[i];
        }
        printf("    d = %8.4f %+8.4f x  s %.4f\n", (double)line[0][0],
               slope = (double)(line[1][0] - line[0][0]), s[i]);
        for (n = -2; n <= 2; n += 2)
            plot_segment(p, 0, (double)line[0][0] + n * s[i], 100,
                         (double)line[0][0] + 100 * slope + n * s[i],
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
