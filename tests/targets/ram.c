/* ram.c - what moe_bytes and moe_work_bytes say for three models; a line of
   a table each. */
#define MOE_IMPLEMENTATION
#include "../../moe.h"

#include <stdio.h>
#include <string.h>

typedef struct model {
    const char *name;
    int inputs, hidden, outputs, experts;
} model;

/* Parameters in flash, where the gate and the layers behind the first may be
   tuned by moe_learn; learning case by case with it, and with a gradient and
   steps; and moe_train.  Of linear experts the gate alone is tuned. */
static void show(const model *of)
{
    moe_config config;
    size_t work, tune, learn, gradient;

    memset(&config, 0, sizeof config);
    config.inputs = of->inputs;
    config.hidden[0] = of->hidden;
    config.outputs = of->outputs;
    config.experts = of->experts;
    config.block = 1;
    work = moe_work_bytes(&config);
    config.mode = MOE_MODE_LEARN;
    config.frozen = 1;
    tune = moe_work_bytes(&config);
    config.frozen = 0;
    learn = moe_bytes(&config);
    config.mode = MOE_MODE_GRADIENT;
    gradient = moe_bytes(&config);
    config.mode = MOE_MODE_TRAIN;
    config.block = 0;
    printf("| %s | %lu | %lu | %lu | %lu | %lu |\n", of->name,
           (unsigned long)work, (unsigned long)tune, (unsigned long)learn,
           (unsigned long)gradient, (unsigned long)moe_bytes(&config));
}

int main(void)
{
    static const model models[] = {
        {"the vowels of 1991: 4 x 2-1", 2, 0, 1, 4},
        {"a sensor: 4 x 16-32-4", 16, 32, 4, 4},
        {"a character: 8 x 64-128-64", 64, 128, 64, 8}
    };
    int i;

    for (i = 0; i < 3; i++)
        show(&models[i]);
    return 0;
}
