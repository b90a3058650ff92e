/* how_sure.c - how far off a prediction may be, and which cases are new
     cc -O2 examples/how_sure.c -o how_sure -lm && ./how_sure

   A sensor whose noise depends on its regime.  Each expert has a deviation of
   its own, which moe_train fits where it validates: moe_predict_deviation tells
   y and how far d may be from it, moe_density log p(d|x).  Far below what is
   usual means that something is new, here a sensor that drifts as far as one
   regime is noisy: hardly seen there, plain in the calm one.  Made-up data. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CASES = 2000 };
static float x[CASES], d[CASES], y[CASES], deviation[CASES], density[CASES];

static float uniform(void)
{
    static unsigned state = 1;

    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216;              /* in [0,1) */
}

/* Steep and calm below 3, flat and noisy above; normal by Box & Muller. */
static void get_cases(float drift)
{
    int n;

    for (n = 0; n < CASES; n++) {
        const float noise = sqrtf(-2 * logf(1 - uniform()))
                          * cosf(6.2831853f * uniform());

        x[n] = 6 * uniform();
        d[n] = x[n] < 3 ? 2 * x[n] + 0.1f * noise
                        : 9 - x[n] + 0.8f * noise;
        d[n] += drift;
    }
}

static int compare(const void *a, const void *b)
{
    const float p = *(const float *)a, q = *(const float *)b;

    return (p > q) - (p < q);
}

/* The share of cases below a density, by regime. */
static void print_new(moe *m, const char *title, float limit)
{
    int n, below[2] = {0, 0}, all[2] = {0, 0};

    moe_density(m, x, d, CASES, density);
    for (n = 0; n < CASES; n++) {
        all[x[n] >= 3]++;
        below[x[n] >= 3] += density[n] < limit;
    }
    printf("%s  new: %5.1f %% below 3, %5.1f %% above\n", title,
           100.0 * below[0] / all[0], 100.0 * below[1] / all[1]);
}

int main(void)
{
    moe_config config = {.inputs = 1, .outputs = 1, .experts = 2};
    moe_data data = {.n = CASES, .x = x, .d = d};
    int n, within[2] = {0, 0};
    float limit;
    moe m;

    get_cases(0);
    if (moe_open(&m, &config, NULL, 0) != MOE_OK
        || moe_train(&m, &data, NULL, NULL, NULL) != MOE_OK) {
        printf("%s\n", m.error);
        return 1;
    }
    get_cases(0);                                       /* cases of a test */
    moe_predict_deviation(&m, x, CASES, y, deviation);
    for (n = 0; n < CASES; n++)
        for (int k = 0; k < 2; k++)
            within[k] += fabsf(d[n] - y[n]) < (float)(k + 1) * deviation[n];
    for (n = 0; n < 3; n++)
        printf("x = %.2f  y = %5.2f +- %.2f  d = %5.2f\n", (double)x[n],
               (double)y[n], (double)deviation[n], (double)d[n]);
    printf("within one deviation %.1f %% (68.3), two %.1f %% (95.4)\n",
           100.0 * within[0] / CASES, 100.0 * within[1] / CASES);
    moe_density(&m, x, d, CASES, density);
    qsort(density, CASES, sizeof density[0], compare);
    limit = density[CASES / 100];                       /* a hundredth is new */
    get_cases(0);
    print_new(&m, "as it was   ", limit);
    get_cases(0.8f);
    print_new(&m, "drifts by .8", limit);
    moe_close(&m);
    return 0;
}
