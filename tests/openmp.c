/* openmp.c - mixtures large enough for several threads: predictions, gradients
   of every loss and of the user's, and steps, dense and sparse.  Prints one
   hash of all results, which test_openmp.sh compares between builds and numbers
   of threads. */
#include <stdio.h>
#include <string.h>

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"

#define WIDTH 64
#define MOST 512

static uint64_t hash = 1469598103934665603u, state = 1991;
static moe_real x[MOST * WIDTH], d[MOST * WIDTH], y[MOST * WIDTH];

static void add(const moe_real *at, size_t count)
{
    const unsigned char *byte = (const unsigned char *)at;
    size_t i;

    for (i = 0; i < count * sizeof *at; i++)
        hash = (hash ^ byte[i]) * 1099511628211u;
}

static void fill(moe_real *at, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        at[i] = moei_uniform(&state);
}

static int run(int experts, int top_k, int hidden, int n, moe_output output,
               moe_loss loss)
{
    moe_config config;
    moe_data data = {MOST, x, d, NULL, NULL};
    moe_layer gate;
    moe m;
    int t;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = WIDTH;
    config.experts = experts;
    config.top_k = top_k;
    config.hidden[0] = hidden;
    config.block = n;
    config.output = output;
    config.loss = loss;
    config.balance_loss = top_k > 0 ? (moe_real)0.1 : 0;
    data.n = n;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        return 1;
    gate = moe_layer_at(&config, experts, 0);
    fill(m.weights + gate.weight, (size_t)gate.in * (size_t)gate.out);
    for (t = 0; t < 3; t++) {
        moe_predict(&m, x, n, y);
        add(y, (size_t)n * WIDTH);
        moe_gradient(&m, &data);
        moe_forward(&m, x, n);
        moe_backward(&m, d, y);
        add(y, (size_t)n * WIDTH);
        add(m.grads, m.trained_count);
        if (moe_step(&m, NULL, 1 / (moe_real)n) != MOE_OK)
            return 1;
    }
    add(m.weights, m.param_count);
    moe_close(&m);
    return 0;
}

int main(void)
{
    int k;

    fill(x, MOST * WIDTH);
    fill(d, MOST * WIDTH);
    if (run(1, 0, 128, 1, MOE_OUT_LINEAR, MOE_LOSS_MIXTURE)
        || run(1, 0, 300, 301, MOE_OUT_LINEAR, MOE_LOSS_BLEND)
        || run(8, 0, 128, 256, MOE_OUT_LINEAR, MOE_LOSS_MIXTURE))
        return 1;
    for (k = 0; k < 6; k++)
        if (run(16, 2, 128, MOST, k % 2 ? MOE_OUT_SOFTMAX : MOE_OUT_LINEAR,
                (moe_loss)(k / 2)))
            return 1;
    printf("%08lx%08lx\n", (unsigned long)(hash >> 32),
           (unsigned long)(hash & 0xffffffffu));
    return 0;
}
