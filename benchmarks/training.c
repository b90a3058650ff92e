/* training.c - how long moe_train takes: training.py runs it between PyTorch's
   turns

     training ROWS EPOCHS

   8 experts of 8 tanh units, 8 inputs, 1 output, loss (1.3), Adam, batch 32;
   nothing is held out.  Prints the seconds. */

#define MOE_IMPLEMENTATION
#include "../moe.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    int rows = argc == 3 ? atoi(argv[1]) : 0, n, i;
    float *x = (float *)malloc((size_t)(rows > 0 ? rows : 1) * 9 * sizeof *x);
    float *d = x + rows * 8;
    uint32_t state = 1;
    moe_config config = {0};
    moe_training t = {0};
    moe_data data = {rows, x, d, NULL, NULL};
    clock_t start;
    moe m;

    if (rows < 1 || x == NULL)
        return puts("usage: training ROWS EPOCHS"), 2;
    for (n = 0; n < rows; n++) {
        for (d[n] = 0, i = 0; i < 8; i++) {
            state = state * 1664525u + 1013904223u;
            x[8 * n + i] = (float)(state >> 8) / 8388608 - 1;
            d[n] += i % 2 ? x[8 * n + i] * x[8 * n + i - 1] : 0;
        }
    }
    config.inputs = config.experts = config.hidden[0] = 8;
    config.outputs = 1;
    config.activation = MOE_ACT_TANH;
    config.sigma = 1;
    t.epochs = atoi(argv[2]);
    t.rate = 0.01f;
    t.holdout = -1;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        return puts(m.error), 1;
    start = clock();
    if (moe_train(&m, &data, NULL, &t, NULL) != MOE_OK)
        return puts(m.error), 1;
    printf("%.6f\n", (double)(clock() - start) / CLOCKS_PER_SEC);
    moe_close(&m);
    free(x);
    return 0;
}
