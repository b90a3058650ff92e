/* load.c - how fast a model file of 10 MB becomes a moe: moe_load_memory and
   moe_load_in_place beside memcpy of the same bytes, sample by sample in turn,
   the median of 101. */
#include "clock.h"
#include <stdio.h>
#include <string.h>

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"

#define SAMPLES 101

enum { COPY, LOAD, IN_PLACE, WAYS };

static const char *const name[] = {
    "memcpy", "moe_load_memory", "moe_load_in_place"
};

static void *found(void *memory)
{
    if (memory == NULL)
        exit(1);
    memset(memory, 1, 1);
    return memory;
}

static moe_config model(void)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = 256;
    config.hidden[0] = 1024;
    config.experts = 5;
    config.block = 1;
    config.mode = MOE_MODE_PREDICT;
    return config;
}

int main(void)
{
    static double sample[WAYS][SAMPLES];
    const moe_config config = model();
    size_t need = moe_bytes(&config), bytes;
    void *memory = found(malloc(need)), *file, *copy;
    moe m;
    int i, way;

    if (moe_open(&m, &config, memory, need) != MOE_OK)
        return 1;
    bytes = moe_save_bytes(&m, MOE_MODE_PREDICT);
    file = found(malloc(bytes));
    copy = found(malloc(bytes));
    if (moe_save_memory(&m, MOE_MODE_PREDICT, file, bytes) != MOE_OK)
        return 1;
    for (i = 0; i < SAMPLES; i++)
        for (way = 0; way < WAYS; way++) {
            double start = nanoseconds();

            if (way == COPY)
                memcpy(copy, file, bytes);
            else if ((way == LOAD
                      ? moe_load_memory(&m, file, bytes, &config, memory, need)
                      : moe_load_in_place(&m, file, bytes, &config, memory,
                                          need))
                     != MOE_OK)
                return 1;
            sample[way][i] = nanoseconds() - start;
        }
    for (way = 0; way < WAYS; way++) {
        qsort(sample[way], SAMPLES, sizeof **sample, by_value);
        printf("%-17s %8.3f ms, %5.2f GB/s, memcpy x %.2f\n", name[way],
               sample[way][SAMPLES / 2] / 1e6,
               (double)bytes / sample[way][SAMPLES / 2],
               sample[way][SAMPLES / 2] / sample[COPY][SAMPLES / 2]);
    }
    free(copy);
    free(file);
    free(memory);
    return 0;
}
