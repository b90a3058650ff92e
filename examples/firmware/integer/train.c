/* train.c - trains on the host what main.c runs without floats: a gas sensor's
   reading and the temperature (degrees) in, the concentration out.  Below and
   above its saturation the sensor follows different laws.
     train MODEL INPUTS      writes a model file, and its inputs for export_c */
#define MOE_IMPLEMENTATION
#include "../../../moe.h"
#include <stdio.h>

enum { CASES = 600 };
static float x[2 * CASES], d[CASES];

/* What the sensor shows is made up here; yours would come from a log. */
static void make_cases(void)
{
    int n;

    for (n = 0; n < CASES; n++) {
        float gas = (float)(n * 17 % 40) / 40, heat = (float)(n * 7 % 90) - 20;
        float shown = gas < 0.4f ? 2 * gas : 0.8f + 0.15f * (gas - 0.4f);

        x[2 * n] = shown * (1 + 0.004f * (heat - 25));
        x[2 * n + 1] = heat;
        d[n] = gas;
    }
}

static int write_inputs(const char *path)
{
    FILE *to = fopen(path, "w");
    int n;

    if (to == NULL)
        return 1;
    for (n = 0; n < CASES; n++)
        fprintf(to, "%.9g,%.9g\n", (double)x[2 * n], (double)x[2 * n + 1]);
    return fclose(to) != 0;
}

int main(int count, char **word)
{
    static const moe_config none;
    static const moe_training defaults;
    moe_config config = none;
    moe_training training = defaults;
    moe_data data = {CASES, x, d, NULL, NULL};
    moe m;

    make_cases();
    config.inputs = 2;
    config.outputs = 1;
    config.experts = 4;
    config.hidden[0] = 8;
    config.loss = MOE_LOSS_BLEND;
    training.epochs = 300;
    if (count != 3 || moe_open(&m, &config, NULL, 0) != MOE_OK
        || moe_train(&m, &data, NULL, &training, NULL) != MOE_OK
        || moe_save(&m, MOE_MODE_PREDICT, word[1]) != MOE_OK
        || write_inputs(word[2])) {
        fprintf(stderr, "train: MODEL INPUTS could not be written\n");
        return 1;
    }
    moe_close(&m);
    return 0;
}
