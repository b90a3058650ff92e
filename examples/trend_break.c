/* trend_break.c - when did the trend change?  Two straight lines in time, and a
   gate that tells which holds
     cc -O2 examples/trend_break.c -o trend_break && ./trend_break [FILE]

   FILE has rows that begin with year,value; without it a series is made up.
   The break is where p is one half, and the gate's slope tells how sudden it
   is.  What is published are the numbers of R's meteorits for the temperature
   anomalies of 1880-2015 that come with it.  Draws trend_break.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "csv.h"
#include "plot.h"

enum { MOST = 1000 };
static float x[MOST], d[MOST], log_density[MOST], y[MOST], deviation[MOST],
    low[MOST], high[MOST];

/* Flat for 70 years, and then rising. */
static int make_up_cases(void)
{
    int n;

    for (n = 0; n < 120; n++) {
        x[n] = (float)(1900 + n);
        d[n] = n < 70 ? 0 : (float)(n - 70) / 50;
        d[n] += (float)(37 * n * n * n % 83) / 200 - 0.2f;
    }
    return n;
}

static void print_lines(moe *m, int count)
{
    const int last = count - 1;
    double L = 0, s;
    int i, n;

    moe_density(m, x, d, count, log_density);
    for (n = 0; n < count; n++)
        L += (double)log_density[n];
    printf("log-likelihood %.3f\n", L);
    moe_forward(m, x, count);
    for (i = 0; i < 2; i++) {
        s = (double)(m->sigma[1 + i] * m->params[m->trained_count + 1]);
        printf("%s: slope %8.5f, variance %.5f\n", plot_expert[i],
               (double)((m->o[2 * last + i] - m->o[i]) / (x[last] - x[0])),
               s * s);                      /* s in units of scale.d's factor */
    }
    for (n = 1; n < count; n++)
        if ((m->p[2 * n] > 0.5f) != (m->p[2 * n - 2] > 0.5f))
            printf("the trend breaks between %g and %g\n", (double)x[n - 1],
                   (double)x[n]);
}

static void draw(moe *m, int count)
{
    double range[2] = {0}, from = (double)x[0], to = (double)x[count - 1];
    int i, n;
    plot p;

    moe_predict_deviation(m, x, count, y, deviation);
    moe_forward(m, x, count);
    for (n = 0; n < count; n++) {
        low[n] = y[n] - 2 * deviation[n];
        high[n] = y[n] + 2 * deviation[n];
    }
    plot_range(range, count, low, 1);
    plot_range(range, count, high, 1);
    plot_open(&p, "trend_break.svg", 1, 2, 600, 220);
    plot_panel(&p, "Two trends", "year", "value", from, to, range[0], range[1]);
    plot_band(&p, count, x, low, high, "#ccc", "2 deviations");
    plot_dots(&p, count, x, 1, d, 1, "#666", 3, "data");
    for (i = 0; i < 2; i++)
        plot_line(&p, count, x, 1, m->o + i, 2, plot_colour[i], 1.5,
                  plot_expert[i]);
    plot_line(&p, count, x, 1, y, 1, "black", 2, "blend");
    plot_panel(&p, "Which holds", "year", "p", from, to, 0, 1);
    plot_gate(&p, count, x, m->p, 2);
    plot_close(&p);
}

int main(int argc, char **argv)
{
    moe_config config = {.inputs = 1, .outputs = 1, .experts = 2,
                         .block = MOST};
    moe_training t = {.epochs = 20000,  /* the gate gets steeper but slowly */
                      .batch = MOE_ALL, .rate = 0.03f, .restarts = 4};
    moe_data data = {.x = x, .d = d};
    moe m;

    data.n = argc > 1 ? csv_pairs(argv[1], MOST, x, d) : make_up_cases();
    if (moe_open(&m, &config, NULL, 0) != MOE_OK
        || moe_train(&m, &data, NULL, &t, NULL) != MOE_OK
        || moe_fit_variance(&m, &data) != MOE_OK)
        return puts(m.error), 1;
    print_lines(&m, data.n);
    if (argc > 1)
        printf("Published for anomalies of temperature: log-likelihood 102.722,"
               "\nslopes .02149 and .00648, variances .01193 and .01352\n");
    draw(&m, data.n);
    moe_close(&m);
    return 0;
}
