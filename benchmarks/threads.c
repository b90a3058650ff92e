/* threads.c - what OpenMP's threads save: the same work by one thread and by
   several, sample by sample in turn, the median of 31.

     threads [THREADS]           2 if it is not said

   Built with -fopenmp; without it both columns are one thread. */
#include "clock.h"
#include <stdio.h>
#include <string.h>

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"

#define SAMPLES 31
#define SAMPLE_NS 4e6
#define WIDTH 64
#define MOST 2048

typedef struct Work {
    const char *name;
    int experts, top_k, inputs, hidden, outputs, n, step;
} Work;

static const Work works[] = {
    {"8 x 64-128-64 predict b256", 8, 0, WIDTH, 128, WIDTH, 256, 0},
    {"8 x 64-128-64 step b256", 8, 0, WIDTH, 128, WIDTH, 256, 1},
    {"8 x 64-128-64 predict b2048", 8, 0, WIDTH, 128, WIDTH, 2048, 0},
    {"8 x 64-128-64 step b2048", 8, 0, WIDTH, 128, WIDTH, 2048, 1},
    {"top-2 of 64 predict b2048", 64, 2, WIDTH, 128, WIDTH, 2048, 0},
    {"top-2 of 64 step b2048", 64, 2, WIDTH, 128, WIDTH, 2048, 1},
    {"2-6-4 predict b1", 1, 0, 2, 6, 4, 1, 0},
    {"64-128-64 predict b1", 1, 0, WIDTH, 128, WIDTH, 1, 0},
    {"4 x 2-1 (1991) step b400", 4, 0, 2, 0, 1, 400, 1}
};

static moe_real x[MOST * WIDTH], d[MOST * WIDTH], y[MOST * WIDTH];

static void set_threads(int threads)
{
#ifdef _OPENMP
    omp_set_num_threads(threads);
#else
    (void)threads;
#endif
}

static double run(moe *m, const Work *w, int times)
{
    moe_data data = {0, x, d, NULL, NULL};
    moe_training sgd;
    double start = nanoseconds();

    data.n = w->n;
    memset(&sgd, 0, sizeof sgd);
    sgd.optimizer = MOE_SGD;
    sgd.rate = (moe_real)1e-3;
    for (; times > 0; times--)
        if (w->step) {
            moe_gradient(m, &data);
            moe_step(m, &sgd, 1 / (moe_real)w->n);
        } else {
            moe_predict(m, x, w->n, y);
        }
    return nanoseconds() - start;
}

static int measure(const Work *w, int threads)
{
    static double sample[2][SAMPLES];
    moe_config config;
    moe_layer gate;
    uint64_t state = 1991;
    moe m;
    int i, many, times;
    size_t j;

    memset(&config, 0, sizeof config);
    config.experts = w->experts;
    config.top_k = w->top_k;
    config.inputs = w->inputs;
    config.hidden[0] = w->hidden;
    config.outputs = w->outputs;
    config.block = w->n;
    config.mode = w->step ? MOE_MODE_GRADIENT : MOE_MODE_PREDICT;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        return 1;
    gate = moe_layer_at(&config, w->experts, 0);
    for (j = 0; j < (size_t)gate.in * (size_t)gate.out; j++)
        m.weights[gate.weight + j] = moei_uniform(&state);
    set_threads(1);
    run(&m, w, 1);
    times = 1 + (int)(SAMPLE_NS / run(&m, w, 1));
    for (i = 0; i < SAMPLES; i++)
        for (many = 0; many < 2; many++) {
            set_threads(many ? threads : 1);
            run(&m, w, 1 + times / 4);
            sample[many][i] = run(&m, w, times) / times / w->n;
        }
    for (many = 0; many < 2; many++)
        qsort(sample[many], SAMPLES, sizeof **sample, by_value);
    printf("| %-28s | %8.4g | %8.4g | %5.2f |\n", w->name,
           sample[0][SAMPLES / 2], sample[1][SAMPLES / 2],
           sample[0][SAMPLES / 2] / sample[1][SAMPLES / 2]);
    moe_close(&m);
    return 0;
}

int main(int count, char **argument)
{
    int threads = count > 1 ? atoi(argument[1]) : 2, failed = 0;
    size_t i;
    uint64_t state = 3;

    for (i = 0; i < MOST * WIDTH; i++) {
        x[i] = moei_uniform(&state);
        d[i] = moei_uniform(&state);
    }
    printf("| %-28s | %8s | %2d thrds | ratio |\n", "ns per case", "1 thread",
           threads);
    printf("|------------------------------|---------:|---------:|------:|\n");
    for (i = 0; i < sizeof works / sizeof *works; i++)
        failed |= measure(&works[i], threads);
    return failed;
}
