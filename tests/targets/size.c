/* size.c - what sizes.sh measures.  PARTS says which functions are used:
     1  moe_open, moe_attach, moe_predict, with MOE_PREDICT_ONLY
     2  and moe_train, moe_gradient, moe_step
     3  everything but model files
     4  and these, in memory
   With TIMES it is a program: 4 experts of 16-32-4 predict TIMES cases, and
   with PARTS 2 learn as many, and it says how deep the stack has been. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)0)
#if PARTS == 1
#define MOE_PREDICT_ONLY
#endif
#include "../../moe.h"

#ifndef TIMES

typedef void (*any)(void);
extern const any used[];
const any used[] = {
    (any)moe_open, (any)moe_attach, (any)moe_predict,
#if PARTS >= 2
    (any)moe_train, (any)moe_gradient, (any)moe_step,
#endif
#if PARTS >= 3
    (any)moe_status_text, (any)moe_check, (any)moe_bytes, (any)moe_work_bytes,
    (any)moe_close, (any)moe_find, (any)moe_forward, (any)moe_measure,
    (any)moe_evaluate, (any)moe_backward,
#endif
#if PARTS >= 4
    (any)moe_file_config, (any)moe_view, (any)moe_load_from,
    (any)moe_save_bytes, (any)moe_save_to,
#endif
};

#else

#ifdef TARGET_BARE
void target_put(int c);
#else
#include <stdio.h>
static void target_put(int c) { putchar(c); }
#endif

/* The boards have 64 KB. */
enum { DEEP = 20000, PAINT = 0xa5, IN = 16, OUT = 4 };

/* Weights, and in learning all: rows 1.  PARTS 2 keeps them small, for 16 KB
   of RAM. */
#if PARTS == 1
enum { EXPERTS = 4, HIDDEN = 32 };
static const moe_real weights[2828] = {(moe_real)0.5};
#else
enum { EXPERTS = 2, HIDDEN = 4 };
static const moe_real *const weights = NULL;
#endif
static moe_real memory[1200];
static moe m;

static void put_number(unsigned long n)
{
    if (n > 9)
        put_number(n / 10);
    target_put('0' + (int)(n % 10));
}

/* Both have the same frame, so that what one paints the other finds, but for
   what was overwritten between. */
static __attribute__((noinline)) int stack(int paint)
{
    volatile unsigned char room[DEEP];
    int i = 0;

    if (paint)
        for (i = 0; i < DEEP; i++)
            room[i] = PAINT;
    else
        while (i < DEEP && room[i] == PAINT)
            i++;
    return DEEP - i;
}

static moe_config config_of(void)
{
    moe_config config;

    moei_wipe(&config, sizeof config);
    config.inputs = IN;
    config.outputs = OUT;
    config.experts = EXPERTS;
    config.hidden[0] = HIDDEN;
    config.rows = 1;
    return config;
}

static __attribute__((noinline)) int work(void)
{
    static moe_real x[IN], y[OUT];
    moe_config config = config_of();
    int i;

#if PARTS == 1
    if (moe_attach(&m, &config, weights, memory, sizeof memory) != MOE_OK)
        return 1;
    for (i = 0; i < TIMES; i++)
        moe_predict(&m, x, 1, y);
#else
    moe_data data = {1, x, y, NULL};
    moe_training t;

    (void)weights;
    moei_wipe(&t, sizeof t);
    t.epochs = 2;
    if (moe_open(&m, &config, memory, sizeof memory) != MOE_OK)
        return 1;
    for (i = 0; i < TIMES; i++)
        if (moe_train(&m, &data, NULL, &t, NULL) != MOE_OK)
            return 1;
#endif
    return 0;
}

int main(void)
{
    int status;

    stack(1);
    status = work();
    put_number((unsigned long)stack(0));
    target_put('\n');
    return status;
}

#endif
