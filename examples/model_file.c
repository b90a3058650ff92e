/* model_file.c - a model kept in a file, which every reader of safetensors
   understands: python/moe_file.py, python/from_torch.py.

     cc -O2 examples/model_file.c -o model_file
     ./model_file train MODEL            learns two regimes, saves
     ./model_file predict MODEL <ROWS    a line of y for each line of x     */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <string.h>

enum { CASES = 512 };

static int failed(const char *why)
{
    fprintf(stderr, "model_file: %s\n", why ? why : "failed");
    return 1;
}

/* Left of 0 d rises with the first input, right of it falls with the second. */
static void make(float x[CASES][2], float d[CASES])
{
    unsigned state = 1991;
    int i, j;

    for (i = 0; i < CASES; i++) {
        for (j = 0; j < 2; j++) {
            state = state * 1664525u + 1013904223u;
            x[i][j] = (float)(state >> 8) / 8388608 - 1;
        }
        d[i] = x[i][0] < 0 ? 10 + 3 * x[i][0] : 12 - 4 * x[i][1];
    }
}

static int train(const char *path)
{
    static float x[CASES][2], d[CASES];
    moe_config config = {.inputs = 2, .outputs = 1, .experts = 3,
                         .hidden = {5}, .activation = MOE_ACT_TANH};
    moe_data data = {.n = CASES, .x = x[0], .d = d};
    moe_report report;
    moe_status status;
    moe m;

    make(x, d);
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, NULL, &report) != MOE_OK)
        return failed(m.error);
    status = moe_save(&m, MOE_MODE_PREDICT, path);
    printf("squared error %.4f\n", (double)report.squared_error);
    moe_close(&m);
    return status == MOE_OK ? 0 : failed(moe_status_text(status));
}

static int predict(const char *path)
{
    static float x[MOE_MAX_SIZE], y[MOE_MAX_SIZE];
    int j = 0, got;
    moe m;

    if (moe_load(&m, path, NULL) != MOE_OK)
        return failed(m.error);
    while ((got = scanf("%f", &x[j])) == 1) {
        if (++j < m.config.inputs)
            continue;
        moe_predict(&m, x, 1, y);
        for (j = 0; j < m.config.outputs; j++)
            printf("%.9g%c", (double)y[j],
                   j + 1 < m.config.outputs ? ' ' : '\n');
        j = 0;
    }
    moe_close(&m);
    return got == 0 ? failed("what is to be a row is not all numbers")
         : j > 0 ? failed("the last row has too few numbers") : 0;
}

int main(int count, char **argument)
{
    if (count == 3 && strcmp(argument[1], "train") == 0)
        return train(argument[2]);
    if (count == 3 && strcmp(argument[1], "predict") == 0)
        return predict(argument[2]);
    return failed("train MODEL, or predict MODEL <ROWS");
}
