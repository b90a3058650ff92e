/* trend_break.c - when did the trend change?  Two straight lines in time, and a
   gate that tells which holds
     cc -O2 examples/trend_break.c -o trend_break && ./trend_break [FILE]

   FILE has rows that begin with year,value; without it a series is made up.
   The break is where p is one half, and the gate's slope tells how sudden it
   is.  On the temperature anomalies of R's meteorits (1880-2015) that package
   gets a log-likelihood of 102.722, slopes of .02149 and .00648 a year and
   variances of .01193 and .01352.  Draws trend_break.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "csv.h"
#include "plot.h"

enum { MOST = 1000, SEEDS = 4 };
static float x[MOST], d[MOST];
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
        stop("what is wanted is at most 1000 rows of year,value");
    data.n = path != NULL ? t.rows : 120;
    for (n = 0; n < data.n; n++) {
        x[n] = t.value ? t.value[n * t.columns] : (float)(1900 + n);
        d[n] = t.value ? t.value[n * t.columns + 1]
             : (n < 70 ? 0 : (float)(n - 70) / 50)
               + (float)(37 * n * n * n % 83) / 200 - 0.2f;
    }
    free(t.value);
}

/* Sigma is learnt, then each line gets a deviation of its own. */
static void fit(moe *m)
{
    moe_config config = {0};
    moe_training t = {0};

    config.inputs = config.outputs = 1;
    config.experts = 2;
    config.block = MOST;
    t.batch = MOE_ALL;
    t.epochs = 20000;           /* for the gate gets steeper only slowly */
    t.rate = 0.03f;
    t.restarts = SEEDS;
    if (moe_open(m, &config, NULL, 0) != MOE_OK
        || moe_train(m, &data, NULL, &t, NULL) != MOE_OK
        || moe_fit_variance(m, &data) != MOE_OK)
        stop(m->error);
}

static void print_lines(moe *m)
{
    static float log_density[MOST];
    const int last = data.n - 1;
    double L = 0, unit = (double)m->params[m->trained_count + 1], s;
    int i, n;

    moe_density(m, x, d, data.n, log_density);
    for (n = 0; n < data.n; n++)
        L += (double)log_density[n];
    printf("log-likelihood %.3f\n", L);
    moe_forward(m, x, data.n);
    for (i = 0; i < 2; i++) {
        s = unit * (double)m->sigma[1 + i];    /* unit: scale.d's factor */
        printf("%s: slope %8.5f, variance %.5f\n", plot_expert[i],
               (double)(m->o[2 * last + i] - m->o[i])
               / (double)(x[last] - x[0]), s * s);
    }
    for (n = 1; n < data.n; n++)
        if ((m->p[2 * n] > 0.5f) != (m->p[2 * n - 2] > 0.5f))
            printf("the trend breaks between %g and %g\n", (double)x[n - 1],
                   (double)x[n]);
}

static void draw(moe *m)
{
    double high[2] = {0};
    float y[MOST], deviation[MOST], low_d[MOST] = {0}, high_d[MOST] = {0};
    int i, n;
    plot p;

    moe_predict_deviation(m, x, data.n, y, deviation);
    moe_forward(m, x, data.n);

    plot_range(high, data.n, d, 1);
    plot_open(&p, "trend_break.svg", 1, 2, 600, 220);
    plot_panel(&p, "Two trends", "year", "value", (double)x[0],
               (double)x[data.n - 1], high[0] - 0.1, high[1] + 0.1);
    for (n = 0; n < data.n; n++) {
        low_d[n] = y[n] - 2 * deviation[n];
        high_d[n] = y[n] + 2 * deviation[n];
    }
    plot_band(&p, data.n, x, low_d, high_d, "#ccc", "2 deviations");
    plot_dots(&p, data.n, x, 1, d, 1, "#666", 3, "data");
    for (i = 0; i < 2; i++)
        plot_line(&p, data.n, x, 1, m->o + i, 2, plot_colour[i], 1.5,
                  plot_expert[i]);
    plot_line(&p, data.n, x, 1, m->y, 1, "black", 2, "blend");
    plot_panel(&p, "Which holds", "year", "p", (double)x[0],
               (double)x[data.n - 1], 0, 1);
    plot_gate(&p, data.n, x, m->p, 2);
    plot_close(&p);
}

int main(int argc, char **argv)
{
    moe m;

    get_cases(argc > 1 ? argv[1] : NULL);
    fit(&m);
    print_lines(&m);
    draw(&m);
    moe_close(&m);
    return 0;
}
