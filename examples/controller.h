/* controller.h - what crowd.c and benchmarks/controller.c share: random numbers
   and room for them, and a controller that is random but awake; after moe.h */
#ifndef CONTROLLER_H
#define CONTROLLER_H
#include <stdio.h>
#include <stdlib.h>

static inline float noise(void)                                 /* in -1..1 */
{
    static unsigned state = 1991;

    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608 - 1;
}

/* Room for so many, or the end of the program. */
static inline float *numbers(size_t count)
{
    float *memory = (float *)malloc(count * sizeof *memory);

    if (memory == NULL) {
        fprintf(stderr, "no memory\n");
        exit(2);
    }
    return memory;
}

static inline void opened(const moe *m, moe_status status)
{
    if (status != MOE_OK) {
        fprintf(stderr, "%s\n", m->error);
        exit(2);
    }
}

/* A gate's last layer is 0 when it is opened; now it decides. */
static inline void wake(moe *m, float width)
{
    const int gate = m->config.experts;
    moe_layer layer = moe_layer_at(&m->config, gate, 0), next;
    size_t k;
    int l;

    for (l = 1; (next = moe_layer_at(&m->config, gate, l)).out > 0; l++)
        layer = next;
    for (k = 0; k < (size_t)layer.out; k++)
        m->weights[layer.bias + k] = width * noise();
    for (k = 0; k < (size_t)layer.in * (size_t)layer.out; k++)
        m->weights[layer.weight + k] = width * noise();
}
#endif
