/* growth.c - what does a case cost when a mixture has more and more experts,
   of which two run?

     growth [MOST]

   Experts 64-128-64 with a linear gate, E = 4, 8, ..., MOST (1024); beside
   them, as far as E = 128, the same with all experts at work.  Prints
   nanoseconds of processor time per case and writes growth.svg. */

#include "clock.h"
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { INPUTS = 64, UNITS = 128, OUTPUTS = 64, CASES = 256, FEWEST = 4,
       MOST_DENSE = 128, SIZES = 9, SAMPLES = 11 };
enum { PREDICT_1, PREDICT_256, STEP_256, DENSE_256, SERIES };

static const char *const name[SERIES] = {
    "predict b1", "predict b256", "step b256", "predict b256, dense"
};
static float x[CASES * INPUTS], d[CASES * OUTPUTS], y[CASES * OUTPUTS];
static double took[SERIES][SIZES];      /* ns per case; 0: not measured */

/* Of this process alone, whoever else is on the processor. */
static double processor_time(void)
{
    return nanoseconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* Uniform between -scale and scale. */
static void fill(float *at, size_t count, float scale)
{
    static uint64_t state = 1991;
    size_t i;

    for (i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        at[i] = scale * ((float)(state >> 40) / 8388608 - 1);
    }
}

/* The gate's weights start at 0; random ones make it choose among all. */
static void open_mixture(moe *m, int experts, int series)
{
    moe_config config = {0};
    moe_layer gate;

    config.inputs = INPUTS;
    config.outputs = OUTPUTS;
    config.experts = experts;
    config.hidden[0] = UNITS;
    config.top_k = series == DENSE_256 ? 0 : 2;
    config.block = series == PREDICT_1 ? 1 : CASES;
    config.mode = series == STEP_256 ? MOE_MODE_GRADIENT : MOE_MODE_PREDICT;
    if (moe_open(m, &config, NULL, 0) != MOE_OK) {
        fprintf(stderr, "growth: %d experts: %s\n", experts, m->error);
        exit(1);
    }
    gate = moe_layer_at(&config, experts, 0);
    fill(m->weights + gate.weight, (size_t)gate.in * (size_t)gate.out,
         0.0625f);
}

/* All cases once. */
static void work(moe *m, int series)
{
    moe_data data = {CASES, x, d, NULL, NULL};
    moe_training sgd = {0};
    int n;

    if (series == PREDICT_1) {
        for (n = 0; n < CASES; n++)
            moe_predict(m, x + n * INPUTS, 1, y);
    } else if (series == STEP_256) {
        sgd.optimizer = MOE_SGD;
        sgd.rate = 1e-3f;
        moe_gradient(m, &data);
        moe_step(m, &sgd, 1.0f / CASES);
    } else {
        moe_predict(m, x, CASES, y);
    }
}

/* The median of samples of two milliseconds or more, per case. */
static double measure(int experts, int series)
{
    double sample[SAMPLES], start;
    int i, times;
    moe m;

    open_mixture(&m, experts, series);
    work(&m, series);
    for (i = 0; i < SAMPLES; i++) {
        start = processor_time();
        for (times = 0; processor_time() - start < 2e6; times++)
            work(&m, series);
        sample[i] = (processor_time() - start) / times / CASES;
    }
    moe_close(&m);
    return median_of(sample, SAMPLES);
}

/* In the picture 60 units are a doubling of E, 90 a factor of 10 in time,
   which begins at 100 ns. */
static double px(double size) { return 80 + 60 * size; }
static double py(double ns) { return 420 - 90 * log10(ns / 100); }

static void draw_axes(FILE *f, int sizes)
{
    static const char *const label[] = {
        "100 ns", "1 &#181;s", "10 &#181;s", "100 &#181;s", "1 ms"
    };
    int i;

    for (i = 0; i < 5; i++)
        fprintf(f, "<path stroke='#ddd' d='M80 %dh%d'/><text x='72' y='%d' "
                "text-anchor='end'>%s</text>\n", 420 - 90 * i,
                60 * (sizes - 1), 425 - 90 * i, label[i]);
    for (i = 0; i < sizes; i++)
        fprintf(f, "<path stroke='#ddd' d='M%d 60v360'/><text x='%d' y='440' "
                "text-anchor='middle'>%d</text>\n", 80 + 60 * i, 80 + 60 * i,
                FEWEST << i);
    fprintf(f, "<text x='%d' y='465' text-anchor='middle'>experts, of which "
            "two run for a case</text><text x='80' y='50'>time per case"
            "</text>\n<text x='80' y='28' font-size='16' font-weight='bold'>"
            "Two of so many experts run</text>\n", 80 + 30 * (sizes - 1));
}

static void draw_series(FILE *f, int series, int sizes)
{
    static const int beside[SERIES] = {-4, 14, 4, 0};    /* names */
    static const char *const colour[SERIES] = {
        "#0072b2", "#009e73", "#d55e00", "#888888"
    };
    int i, last = 0;

    fprintf(f, "<path fill='none' stroke-width='2' stroke='%s' d='M",
            colour[series]);
    for (i = 0; i < sizes && took[series][i] > 0; i++)
        fprintf(f, "%.1f,%.1f ", px(i), py(took[series][last = i]));
    fprintf(f, "'/>");
    for (i = 0; i <= last; i++)
        fprintf(f, "<circle r='3' fill='%s' cx='%.1f' cy='%.1f'/>",
                colour[series], px(i), py(took[series][i]));
    fprintf(f, "<text x='%.1f' y='%.1f' fill='%s' text-anchor='%s'>%s</text>"
            "\n", px(last) + (series == DENSE_256 ? -10 : 8),
            py(took[series][last]) + beside[series],
            colour[series], series == DENSE_256 ? "end" : "start",
            name[series]);
}

static void draw(int sizes)
{
    FILE *f = fopen("growth.svg", "w");
    int i;

    if (f == NULL)
        return;
    fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 720 480' "
            "font-family='sans-serif' font-size='14'>\n"
            "<path fill='white' d='M0 0h720v480H0'/>\n");
    draw_axes(f, sizes);
    for (i = 0; i < SERIES; i++)
        draw_series(f, i, sizes);
    fprintf(f, "</svg>\n");
    fclose(f);
    printf("See growth.svg.\n");
}

int main(int count, char **argument)
{
    int most = count > 1 ? atoi(argument[1]) : FEWEST << (SIZES - 1);
    int i, s;

    fill(x, CASES * INPUTS, 1);
    fill(d, CASES * OUTPUTS, 1);
    printf("| experts |");
    for (s = 0; s < SERIES; s++)
        printf(" %s |", name[s]);
    printf("\n|--------:|-----------:|-------------:|----------:|"
           "--------------------:|\n");
    for (i = 0; i < SIZES && FEWEST << i <= most; i++) {
        printf("| %7d |", FEWEST << i);
        for (s = 0; s < SERIES; s++)
            if (s == DENSE_256 && FEWEST << i > MOST_DENSE)
                printf(" %*s |", (int)strlen(name[s]), "");
            else
                printf(" %*.0f |", (int)strlen(name[s]),
                       took[s][i] = measure(FEWEST << i, s));
        printf("\n");
        fflush(stdout);
    }
    draw(i);
    return 0;
}
