/* motorcycle.c - a crash test, told by five straight lines
     cc -O2 examples/motorcycle.c -o motorcycle && ./motorcycle mcycle.csv

   mcycle.csv has lines "times,accel": milliseconds after the impact, the head's
   acceleration in g.  Without it a made-up curve stands in.  motorcycle.svg
   shows each expert's line, as wide as the gate trusts it; or, with --select
   before the path, what the paper's stochastic selector picks by chance p. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CASES = 500, EXPERTS = 5, GRID = 241 };
static float x[MOST_CASES], d[MOST_CASES];

static float root(float a)                                /* Newton's method */
{
    float r = 1 + a;

    while (r - a / r > 0.001f)
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
    int n;

    printf("MADE-UP DATA, for no file was given\n");
    for (n = 0; n < 140; n++) {
        x[n] = 0.4f * (float)n;
        d[n] = x[n] < 14 ? 0 : x[n] < 21 ? 238 - 17 * x[n]
             : x[n] < 32 ? 14.5f * x[n] - 424 : 80 - 1.5f * x[n];
        d[n] += (float)(37 * n * n * n % 83) / 2 - 20;  /* looks like chance */
    }
    return n;
}

static void dot(FILE *f, float ms, float g, float r, const char *colour)
{
    fprintf(f, "<circle cx='%.1f' cy='%.1f' r='%.1f' fill='%s'/>\n",
            70 + 10 * (double)ms, 230 - 1.2 * (double)g, (double)r, colour);
}

static int pick(const float *p)           /* the selector: i by chance p[i] */
{
    float left = (float)rand() / (float)RAND_MAX;
    int i;

    for (i = 0; i < EXPERTS - 1 && left >= p[i]; i++)
        left -= p[i];
    return i;
}

static void draw(moe *m, int cases, int select)
{
    static const char colour[][5] = {"#07b", "#d50", "#097", "#c7a", "#e90"};
    FILE *f = fopen("motorcycle.svg", "w");
    float grid[GRID], below[GRID] = {0};         /* the gate's next band */
    int i, n;

    if (f == NULL)
        return;
    for (n = 0; n < GRID; n++)
        grid[n] = 0.25f * (float)n;
    moe_forward(m, grid, GRID);
    fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 720 530' "
            "font-family='sans-serif'>\n<path fill='white' d='M0 0h720v530H0'/>"
            "<text x='70' y='30'>blend</text><text x='25' y='465'>gate</text>");
    for (i = 0; i <= 6; i++)
        fprintf(f, "<path stroke='#ddd' d='M70 %dh600'/>"
                "<text x='62' y='%d' text-anchor='end'>%d g</text>"
                "<text x='%d' y='515' text-anchor='middle'>%d ms</text>\n",
                410 - 60 * i, 415 - 60 * i, 50 * i - 150, 70 + 100 * i, 10 * i);
    for (n = 0; n < GRID; n++) {
        int picked = pick(m->p + n * EXPERTS);

        for (i = 0; i < EXPERTS; i++) {
            float p = select ? (float)(i == picked) : m->p[n * EXPERTS + i];

            dot(f, grid[n], m->o[n * EXPERTS + i], 4 * p, colour[i]);
        }
    }
    for (i = 0; i < EXPERTS; i++) {
        fprintf(f, "<g fill='%s'><text x='%d' y='30'>expert %c</text>"
                "<polygon points='670,420 70,420 ", colour[i], 140 + 90 * i,
                'A' + i);
        for (n = 0; n < GRID; n++) {
            fprintf(f, "%.1f,%.1f ", 70 + 2.5 * n, 490 - 70 * (double)below[n]);
            below[n] += m->p[n * EXPERTS + i];
        }
        fprintf(f, "'/></g>");
    }
    fprintf(f, "<g stroke='black'>");
    for (n = 0; n < cases; n++)
        dot(f, x[n], d[n], 3, "none");
    fprintf(f, "<path fill='none' stroke-width='2' d='M");
    for (n = 0; n < GRID; n++)
        fprintf(f, "%.1f,%.1f ", 70 + 2.5 * n, 230 - 1.2 * (double)m->y[n]);
    fprintf(f, "'/></g></svg>\n");
    fclose(f);
    printf("See motorcycle.svg.\n");
}

int main(int argc, char **argv)
{
    moe_config config = {0};
    moe_training training = {0};
    moe_data data = {0, x, d, NULL, NULL};
    moe_report report;
    moe m;
    int i, select = argc > 1 && strcmp(argv[1], "--select") == 0;

    data.n = argc > 1 + select ? read_cases(argv[1 + select]) : make_up_cases();
    if (data.n == 0)                       /* which moe_train is to refuse */
        printf("no lines of two numbers in %s\n", argv[1 + select]);
    config.inputs = config.outputs = 1;
    config.experts = EXPERTS;            /* no hidden units: straight lines */
    config.sigma = 0.5f;             /* an error of half d's own deviation */
    config.block = MOST_CASES;        /* so that m.p, m.o and m.y show all */
    training.epochs = 3000;
    training.batch = MOE_ALL;
    training.rate = 0.03f;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &training, NULL) != MOE_OK ||
        moe_evaluate(&m, &data, &report) != MOE_OK) {
        printf("%s\n", m.error);
        return 1;
    }
    for (i = 0; i < EXPERTS; i++)
        printf("%c: usage %3.0f %%\n", 'A' + i, 100 * (double)report.usage[i]);
    printf("blend: RMSE %.1f g\n", (double)root(report.squared_error));
    draw(&m, data.n, select);
    moe_close(&m);
    return 0;
}
