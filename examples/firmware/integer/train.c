/* train.c - trains on the host what main.c runs without floats.
     train MODEL INPUTS      writes a model file, and its inputs for export_c */
#define MOE_IMPLEMENTATION
#include "../../../moe.h"
#include "../sensor.h"
#include <stdio.h>

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
    moe_config config = {.inputs = 2, .outputs = 1, .experts = 4,
                         .hidden = {8}, .loss = MOE_LOSS_BLEND};
    moe_training training = {.epochs = 300};
    moe_data data = {.n = CASES, .x = x, .d = d};
    moe m;

    make_cases();
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
