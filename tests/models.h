/* models.h - what the test programs share beside check.h: moe.h itself, random
   numbers, small models and data, and comparisons.  A program that includes
   moe.h before this, with options of its own, is compiled whole; all others
   have its code here, or link with moe.c (LINKED, see run.sh). */
#ifndef MODELS_H
#define MODELS_H

#if !defined(MOE_H) && !defined(LINKED)
#define MOE_IMPLEMENTATION
#endif
#include "../moe.h"
#include "check.h"
#include "finite.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The distance of 1 to the next number. */
#define EPSILON (sizeof(moe_real) == 4 ? (double)FLT_EPSILON : DBL_EPSILON)

/* ---- random numbers ----------------------------------------------------- */

static uint64_t random_state = 1991;

/* The high bits of a linear congruential generator. */
static inline uint64_t random_bits(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 11;
}

/* In [-1, 1). */
static inline double uniform(void)
{
    return (double)random_bits() / 4503599627370496.0 - 1;
}

/* 0 .. count-1 */
static inline int pick(int count)
{
    return (int)((random_bits() >> 20) % (uint64_t)count);
}

/* A number with few bits: sums of products of such have no rounding, so that
   equal logits are equal everywhere, and there are many. */
static inline double coarse(void)
{
    return floor(4 * uniform()) / 4;
}

static inline void fill(moe_real *a, int count)
{
    int i;

    for (i = 0; i < count; i++)
        a[i] = (moe_real)uniform();
}

/* ---- models and data ---------------------------------------------------- */

static inline moe_config make_config(int inputs, int outputs, int experts)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = inputs;
    config.outputs = outputs;
    config.experts = experts;
    return config;
}

static inline moe_data make_data(int n, const moe_real *x, const moe_real *d)
{
    moe_data data;

    memset(&data, 0, sizeof data);
    data.n = n;
    data.x = x;
    data.d = d;
    return data;
}

static inline moe_training make_training(moe_optimizer optimizer, double rate)
{
    moe_training t;

    memset(&t, 0, sizeof t);
    t.optimizer = optimizer;
    t.rate = (moe_real)rate;
    return t;
}

/* An exit where nothing that follows makes sense. */
static inline void open_or_exit(moe *m, const moe_config *config)
{
    if (!CHECK(moe_open(m, config, NULL, 0) == MOE_OK)) {
        printf("    %s\n", m->error);
        exit(check_done());
    }
}

/* Leave the even start: every trained parameter moves a little. */
static inline void stir(moe *m)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        m->weights[i] += (moe_real)(0.5 * uniform());
}

/* Where gate.balance is: the last of what is trained, and what no gradient
   moves; one expert has none. */
static inline size_t balance_at(const moe *m)
{
    int experts = m->config.experts;

    return m->trained_count - (experts > 1 ? (size_t)experts : 0);
}

static inline void clear_grads(moe *m)
{
    memset(m->grads, 0, m->trained_count * sizeof *m->grads);
}

/* ---- comparisons -------------------------------------------------------- */

static inline int is_zero(moe_real a)
{
    return a >= 0 && a <= 0;
}

static inline int all_zero(const moe_real *a, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (!is_zero(a[i]))
            return 0;
    return 1;
}

/* Bit for bit. */
static inline int same_reals(const moe_real *a, const moe_real *b,
                             size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

static inline int same_params(const moe *a, const moe *b)
{
    return a->param_count == b->param_count
        && same_reals(a->params, b->params, a->param_count);
}

/* Beside b. */
static inline double relative(double a, double b)
{
    return fabs(a - b) / fabs(b);
}

static inline double largest_of(const moe_real *a, size_t count)
{
    double largest = 0;
    size_t i;

    for (i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)a[i]));
    return largest;
}

static inline double largest_difference(const moe_real *a, const moe_real *b,
                                        int count)
{
    double largest = 0;
    int i;

    for (i = 0; i < count; i++) {
        double off = fabs((double)a[i] - (double)b[i]);

        if (!is_finite((moe_real)off))
            return HUGE_VAL;
        largest = fmax(largest, off);
    }
    return largest;
}

/* The largest difference of two arrays, of the largest value wanted. */
static inline double off_by(const moe_real *got, const double *want,
                            size_t count)
{
    double largest = 0, worst = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        if (!is_finite(got[i]))
            return HUGE_VAL;
        largest = fmax(largest, fabs(want[i]));
        worst = fmax(worst, fabs((double)got[i] - want[i]));
    }
    return largest > 0 ? worst / largest : worst;
}

/* After a step grads count as 0: the next gradient, of no case here, writes
   over them. */
static inline int counts_as_zero(moe *m)
{
    static const moe_real target[1] = {0};
    moe_data none = {0, NULL, target, NULL};

    return is_zero(moe_gradient(m, &none))
        && all_zero(m->grads, m->trained_count);
}

/* A sentence has the word that a reader needs. */
static inline int says(const char *sentence, const char *word)
{
    return sentence != NULL && strstr(sentence, word) != NULL;
}

#endif
