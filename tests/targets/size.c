/* size.c - what sizes.sh measures.  PARTS says which functions are used:
     1  moe_open, moe_attach, moe_predict, with MOE_PREDICT_ONLY
     2  these and moe_learn
     3  everything but model files
     4  and these, in memory
   All without sentences (MOE_NO_TEXT) and asserts.  With TIMES it is a program:
   a model predicts TIMES cases, with PARTS 2 learns as many, and with PARTS 3
   trains as often, and it says how deep the stack has been.  EXPERTS of
   IN-HIDDEN-OUT, of which TOP_K run; HIDDEN 0: linear experts.  TUNE: the gate
   and the layer behind the hidden one learn over const weights.  OPENED: the
   stack is that of what follows on opening. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_NO_TEXT
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
    (any)moe_learn,
#endif
#if PARTS >= 3
    (any)moe_train, (any)moe_gradient, (any)moe_step, (any)moe_status_text,
    (any)moe_check_config, (any)moe_bytes, (any)moe_work_bytes, (any)moe_close,
    (any)moe_layer_at, (any)moe_forward, (any)moe_fit_scales,
    (any)moe_evaluate, (any)moe_backward,
#endif
#if PARTS >= 4
    (any)moe_read_config, (any)moe_load_in_place, (any)moe_load_memory,
    (any)moe_save_bytes, (any)moe_save_memory,
#endif
};

#else

#ifdef TARGET_BARE
void target_put(int c);
#else
#include <stdio.h>
static void target_put(int c) { putchar(c); }
#endif

#ifndef EXPERTS
#if PARTS < 3
#define EXPERTS 4
#define HIDDEN 32
#else                           /* what training needs of 64 KB is less then */
#define EXPERTS 2
#define HIDDEN 4
#endif
#define IN 16
#define OUT 4
#endif
#ifndef TOP_K
#define TOP_K 0
#endif

/* The boards have 64 KB. */
enum { DEEP = 12000, PAINT = 0xa5 };

#if PARTS == 1 || defined(TUNE)
/* Factors of scales are not 0: of d 2780 .. 2783, of x 2800 .. 2815.  Nor are
   the gate's biases all alike, of 4 x 2-1 from 12 on. */
#define APART 1, (moe_real)0.5, (moe_real)1.5, 0
static const moe_real weights[2828] = {
    (moe_real)0.5, [12] = APART, [2704] = APART, [2780] = 1, 1, 1, 1,
    [2800] = 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
};
static moe_real memory[1200];
#else
static moe_real memory[PARTS == 2 ? 4000 : 1400];
#endif
static moe m;

#include "stack.h"

static moe_config config_of(void)
{
    moe_config config;

    moei_zero_bytes(&config, sizeof config);
    config.inputs = IN;
    config.outputs = OUT;
    config.experts = EXPERTS;
    config.top_k = TOP_K;
    config.hidden[0] = HIDDEN;
    config.block = 1;
#if PARTS == 2
    config.mode = MOE_MODE_LEARN;
#endif
#ifdef TUNE
    config.frozen = 1;
#endif
    return config;
}

static __attribute__((noinline)) moe_status begin(void)
{
    moe_config config = config_of();

#if PARTS == 1 || defined(TUNE)
    return moe_attach(&m, &config, weights, memory, sizeof memory);
#else
    return moe_open(&m, &config, memory, sizeof memory);
#endif
}

/* The input is not zero, nor all alike. */
static __attribute__((noinline)) int work(void)
{
    static moe_real x[IN], y[OUT];
    int i;
#if PARTS > 1
    moe_data data;
    moe_training t;

    moei_zero_bytes(&data, sizeof data);
    data.n = 1;
    data.x = x;
    data.d = y;
    moei_zero_bytes(&t, sizeof t);
    t.rate = (moe_real)0.01;
    t.epochs = 2;
#endif
    for (i = 0; i < IN; i++)
        x[i] = (moe_real)(i % 3) - (moe_real)0.5;
    for (i = 0; i < TIMES; i++) {
#if PARTS == 1
        moe_predict(&m, x, 1, y);
#elif PARTS == 2
        if (moe_learn(&m, &data, &t) != 0)
            return 1;
#else
        if (moe_train(&m, &data, NULL, &t, NULL) != MOE_OK)
            return 1;
#endif
    }
    return 0;
}

int main(void)
{
    int failed;

#ifdef OPENED
    failed = begin() != MOE_OK;
    stack(1);
#else
    stack(1);
    failed = begin() != MOE_OK;
#endif
    failed = failed || work();
    put_number((unsigned long)stack(0));
    target_put('\n');
    return failed;
}

#endif
