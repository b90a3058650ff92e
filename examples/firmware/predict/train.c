/* train.c - trains on the host and writes C: the parameters, and some cases
   with what the host predicts for them.
     train >model.h */
#define MOE_IMPLEMENTATION
#include "../../../moe.h"
#include "../sensor.h"
#include "network.h"
#include <math.h>
#include <stdio.h>

enum { CHECKS = 8 };

static void write_reals(const char *name, const float *at, size_t count)
{
    size_t i;

    printf("static const float %s[%lu] = {", name, (unsigned long)count);
    for (i = 0; i < count; i++)
        printf("%s%.8ef", i == 0 ? "\n    " : i % 4 ? ", " : ",\n    ",
               (double)at[i]);
    printf("\n};\n");
}

int main(void)
{
    moe_data data = {.n = CASES, .x = x, .d = d};
    moe_training training = {.epochs = 300};
    moe_config config;
    moe_report report;
    float y[CHECKS];
    moe m;

    network(&config);
    make_cases();
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &training, &report) != MOE_OK) {
        fprintf(stderr, "%s\n", m.error);
        return 1;
    }
    fprintf(stderr, "trained: error %.4f\n",
            sqrt((double)report.squared_error));
    moe_predict(&m, x, CHECKS, y);
    printf("/* written by train.c */\n");
    printf("enum { CHECKS = %d };\n", CHECKS);
    write_reals("model", m.params, m.param_count);
    write_reals("case_x", x, 2 * CHECKS);
    write_reals("case_y", y, CHECKS);
    moe_close(&m);
    return 0;
}
