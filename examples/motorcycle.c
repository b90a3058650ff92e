/* motorcycle.c - a crash test, told by five straight lines
     cc -O2 examples/motorcycle.c -o motorcycle && ./motorcycle mcycle.csv

   mcycle.csv has lines "times,accel": milliseconds after a motorcycle hit an
   obstacle, acceleration of the rider's head in g.  Without a file a made-up
   curve stands in for it.  Writes motorcycle.svg.

   With --select the picture shows the mixture as a distribution: at every
   moment experts are picked at random by their proportions (the paper's
   stochastic one-out-of-n selector), and each pick is a dot: what the expert
   says, give or take the error that it usually makes. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <string.h>

enum { MOST_CASES = 500, EXPERTS = 5, GRID = 241, PICKS = 6 };
static float x[MOST_CASES], d[MOST_CASES], grid[GRID];
static const char *const colour[EXPERTS] = {"#0072b2", "#d55e00", "#009e73",
                                            "#cc79a7", "#e69f00"};

static float uniform(uint32_t *random)                           /* in [0,1) */
{
    *random = *random * 1664525u + 1013904223u;
    return (float)(*random >> 8) / 16777216;
}

static float gaussian(uint32_t *random)      /* nearly: a sum of 12 uniforms */
{
    float sum = -6;
    int k;

    for (k = 0; k < 12; k++)
        sum += uniform(random);
    return sum;
}

static float root(float a)                                /* Newton's method */
{
    float r = a < 1 ? 1 : a;
    int k;

    for (k = 0; k < 40; k++)
        r = (r + a / r) / 2;
    return r;
}

static int read_cases(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[100];
    int n = 0;

    while (f && n < MOST_CASES && fgets(line, sizeof line, f))
        n += sscanf(line, "%f,%f", x + n, d + n) == 2;     /* not the header */
    if (f)
        fclose(f);
    return n;
}

static int make_up_cases(void)
{
    uint32_t random = 1;
    int n;

    for (n = 0; n < 133; n++) {
        float t = x[n] = 2.4f + 0.4f * (float)n;

        d[n] = t < 14 ? 0 : t < 21 ? -17 * (t - 14)
             : t < 32 ? -119 + 14.5f * (t - 21)
             : t < 42 ? 40 - 4 * (t - 32) : 0;
        d[n] += gaussian(&random) * (t < 14 ? 1.5f : 10);
    }
    return n;
}

static int leader(const moe *m, int n)     /* whom the gate trusts in case n */
{
    const float *p = m->p + n * EXPERTS;
    int i, best = 0;

    for (i = 1; i < EXPERTS; i++)
        if (p[i] > p[best])
            best = i;
    return best;
}

/* Where expert i leads; returns the size of its errors there. */
static float print_expert(const moe *m, int i, float share)
{
    float sum = 0, first = 0, last = 0;
    int n, led = 0;

    for (n = 0; n < m->rows; n++) {
        float miss = d[n] - m->o[n * EXPERTS + i];

        if (leader(m, n) != i)
            continue;
        first = led++ ? first : x[n];
        last = x[n];
        sum += miss * miss;
    }
    printf("  %c     %4.0f %%   ", 'A' + i, 100 * (double)share);
    if (led == 0) {
        printf("nowhere\n");
        return 0;
    }
    sum = root(sum / (float)led);
    printf("%4.1f to %4.1f ms %9.1f g\n", (double)first, (double)last,
           (double)sum);
    return sum;
}

/* The picture: acceleration above, the gate's proportions below. */
static double px(float ms) { return 70 + 10 * (double)ms; }
static double py(float g) { return 230 - 1.2 * (double)g; }
static double pp(float share) { return 490 - 70 * (double)share; }

static void draw_axes(FILE *f, const char *title, const char *data)
{
    int v;

    fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' font-size='14' "
            "viewBox='0 0 700 550' font-family='sans-serif'>\n"
            "<rect width='700' height='550' fill='white'/>\n"
            "<clipPath id='panel'><path d='M70 62h600v342h-600z'/></clipPath>\n"
            "<text x='70' y='28' font-size='18' font-weight='bold'>%s</text>\n"
            "<circle cx='75' cy='47' r='3' fill='none' stroke='#444'/>"
            "<text x='86' y='52'>%s</text>\n"
            "<text x='20' y='290' transform='rotate(-90 20 290)'>"
            "acceleration (g)</text>\n"
            "<text x='20' y='476' transform='rotate(-90 20 476)'>gate p</text>"
            "<text x='280' y='536'>time after impact (ms)</text>\n"
            "<text x='50' y='425'>1</text><text x='50' y='495'>0</text>\n",
            title, data);
    for (v = -100; v <= 100; v += 50)
        fprintf(f, "<path stroke='#ddd' d='M70 %.0fh600'/>"
                "<text x='60' y='%.0f' text-anchor='end'>%d</text>\n",
                py((float)v), py((float)v) + 5, v);
    for (v = 0; v <= 60; v += 10)
        fprintf(f, "<path stroke='black' d='M%.0f 490v6'/>"
                "<text x='%.0f' y='513' text-anchor='middle'>%d</text>\n",
                px((float)v), px((float)v), v);
}

/* The curve v[n * stride] over the grid; only: where that expert leads (one
   stretch, as the gate is linear), or -1: all of it. */
static void points(FILE *f, const moe *m, double (*y)(float), const float *v,
                   int stride, int only)
{
    int n;

    for (n = 0; n < GRID; n++)
        if (only < 0 || only == leader(m, n))
            fprintf(f, "%.1f,%.1f ", px(grid[n]), y(v[n * stride]));
}

/* An expert's line: dotted, and solid where it leads. */
static void draw_line(FILE *f, const moe *m, int i)
{
    fprintf(f, "<g stroke='%s' fill='none' clip-path='url(#panel)'>"
            "<polyline stroke-dasharray='2 4' points='", colour[i]);
    points(f, m, py, m->o + i, EXPERTS, -1);
    fprintf(f, "'/><polyline stroke-width='5' points='");
    points(f, m, py, m->o + i, EXPERTS, i);
    fprintf(f, "'/></g>\n");
}

/* Its share of the gate's panel, over the shares of those before it. */
static void draw_band(FILE *f, const moe *m, int i)
{
    float top[GRID];
    int n, j;

    for (n = 0; n < GRID; n++)
        for (top[n] = 1, j = 0; j < i; j++)
            top[n] -= m->p[n * EXPERTS + j];
    fprintf(f, "<text x='%d' y='52'>%c</text><g fill='%s'>"
            "<path d='M%d 41h20v12h-20z'/><polygon points='70,490 ",
            443 + 48 * i, 'A' + i, colour[i], 420 + 48 * i);
    points(f, m, pp, top, 1, -1);
    fprintf(f, "670,490'/></g>\n");
}

static void draw_blend(FILE *f, const moe *m)
{
    fprintf(f, "<text x='233' y='52'>blend</text>"
            "<g stroke='black' stroke-width='2' fill='none'>"
            "<path d='M205 47h22'/><polyline points='");
    points(f, m, py, m->y, 1, -1);
    fprintf(f, "'/></g>\n");
}

/* The selector: an expert by p, then y from that expert's Gaussian. */
static void draw_picks(FILE *f, const moe *m, const float *scatter)
{
    uint32_t random = 1;
    int n, i;

    fprintf(f, "<g fill-opacity='.5' clip-path='url(#panel)'>\n");
    for (n = 0; n < GRID * PICKS; n++) {
        const float *p = m->p + n / PICKS * EXPERTS;
        const float *o = m->o + n / PICKS * EXPERTS;
        float left = uniform(&random);

        for (i = 0; i < EXPERTS - 1 && left >= p[i]; i++)
            left -= p[i];
        fprintf(f, "<circle cx='%.1f' cy='%.1f' r='2' fill='%s'/>\n",
                px(grid[n / PICKS]),
                py(o[i] + scatter[i] * gaussian(&random)), colour[i]);
    }
    fprintf(f, "</g>\n");
}

static void draw(FILE *f, const moe *m, int cases, const float *scatter)
{
    int i, n;

    if (scatter)
        draw_picks(f, m, scatter);
    for (i = 0; i < EXPERTS; i++) {
        draw_band(f, m, i);
        if (!scatter)
            draw_line(f, m, i);
    }
    for (n = 0; n < cases; n++)
        fprintf(f, "<circle cx='%.1f' cy='%.1f' r='3' fill='none' "
                "stroke='#444'/>\n", px(x[n]), py(d[n]));
    if (!scatter)
        draw_blend(f, m);
    fprintf(f, "</svg>\n");
}

static int train(moe *m, const moe_data *data)
{
    moe_config config = {0};
    moe_training training = {0};

    config.inputs = 1;
    config.outputs = 1;
    config.experts = EXPERTS;            /* no hidden units: straight lines */
    config.sigma = 0.5f;             /* an error of half d's own deviation */
    config.rows = MOST_CASES;        /* so that m.p, m.o and m.y show all */
    training.epochs = 3000;
    training.batch = MOE_ALL;
    training.rate = 0.03f;
    return moe_open(m, &config, NULL, 0) == MOE_OK &&
           moe_train(m, data, NULL, &training, NULL) == MOE_OK;
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    moe_data data = {0, x, d, NULL};
    float scatter[EXPERTS];
    moe_report report;
    int i, select = 0;
    FILE *f;
    moe m;

    for (i = 1; i < argc; i++)
        if (strcmp(argv[i], "--select") == 0)
            select = 1;
        else
            path = argv[i];
    data.n = path ? read_cases(path) : make_up_cases();
    if (data.n == 0) {
        printf("%s: no lines of two numbers\n", path);
        return 1;
    }
    if (!train(&m, &data) || moe_evaluate(&m, &data, &report) != MOE_OK) {
        printf("%s\n", m.why);
        return 1;
    }
    printf("%d cases%s\nexpert   share   leads from        its RMSE there\n",
           data.n, path ? "" : ", MADE UP, for no file was given");
    for (i = 0; i < EXPERTS; i++)
        scatter[i] = print_expert(&m, i, report.usage[i]);
    printf("RMSE of the blend %22.1f g\n", (double)root(report.squared_error));

    for (i = 0; i < GRID; i++)
        grid[i] = 60 * (float)i / (GRID - 1);
    moe_forward(&m, grid, GRID);
    f = fopen("motorcycle.svg", "w");
    if (f) {
        draw_axes(f, select ? "One expert at a time, picked by chance"
                            : "Five straight lines tell of a crash",
                  path ? "measured" : "made-up data");
        draw(f, &m, data.n, select ? scatter : NULL);
        fclose(f);
        printf("See motorcycle.svg.\n");
    }
    moe_close(&m);
    return 0;
}
