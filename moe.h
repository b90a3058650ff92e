/* moe.h - adaptive mixtures of local experts in one C header      version 0.1

   Local expert networks, a gating network that learns which of them answers
   for which input, both trained together by gradient descent: Jacobs, Jordan,
   Nowlan & Hinton, "Adaptive Mixtures of Local Experts", Neural Computation
   3(1), 79-87, 1991.  C99, usable from C++11; no other file, no libm.

   Rooms, each using only those before it:
     0 manual          5 kernels        10 forward and backward
     1 options         6 layout         11 optimisers
     2 interface       7 experts        12 data
     3 integration     8 gate           13 training
     4 numbers         9 mixture       14 model files
   Licence: public domain or MIT, as you choose; see LICENSE.               */

/* ======================================================================== */
/* 0  MANUAL                                                                */
/* ======================================================================== */
/*
   Drop-in recipe.  Put moe.h beside your code.  In ONE source file write

    ```c
    #define MOE_IMPLEMENTATION
    #include "moe.h"
    ```

   and in every other file just include it.  Keep the name moe.h: the file
   includes itself, once for each further instruction set.

   A complete program: learn |x| with two straight lines.

    ```c
    #define MOE_IMPLEMENTATION
    #include "moe.h"
    #include <stdio.h>

    int main(void)
    {
        float x[200], d[200], at[3] = {-0.8f, 0.1f, 0.5f}, y[3];
        moe_config config = {0};         // every 0 is a sensible default
        moe_data data = {200, x, d, NULL};
        moe_report report;
        moe m;
        int i;

        for (i = 0; i < 200; i++) {
            x[i] = (float)(i - 100) / 100;
            d[i] = x[i] < 0 ? -x[i] : x[i];
        }
        config.inputs = 1;
        config.outputs = 1;
        config.experts = 2;              // linear experts, as in 1991
        if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
            moe_train(&m, &data, NULL, NULL, &report) != MOE_OK) {
            printf("%s\n", m.why);
            return 1;
        }
        moe_predict(&m, at, 3, y);
        for (i = 0; i < 3; i++)
            printf("%.1f -> %.2f  gate %.2f %.2f\n", at[i], y[i],
                   m.p[2 * i], m.p[2 * i + 1]);
        moe_close(&m);
        return 0;
    }
    ```

   The symbols are the paper's.  One case (a row of x):

     x (I)    input                  s (E)    gate logits
     o (K,O)  of experts that ran    p (E)    proportions, softmax of s
     y (O)    blend sum_i p_i o_i    d (O)    desired output
     h (E)    posteriors: how likely expert i made d, given x and d

   The three losses (config.loss), e_i = |d - o_i|^2:

     MOE_LOSS_MIXTURE   E = -log sum_i p_i exp(-e_i / (2 sigma^2))     (1.3)
        The default: negative log-likelihood of a mixture of Gaussians.  The
        expert that already fits a case best learns most from it, so experts
        specialise early.  h_i is p_i exp(-e_i / (2 sigma^2)) over its sum.
     MOE_LOSS_EXPECTED  E = sum_i p_i e_i                              (1.2)
        The expected error of picking one expert at random by p.  Experts
        compete, but the best one moves slowest at first.
     MOE_LOSS_BLEND     E = |d - y|^2                                  (1.1)
        The squared error of the blend.  Experts cooperate: usually the
        smallest error of y, but no expert makes sense alone.
     With any of them train the top_k that will run, but not 1: p is 1 then,
     and teaches the gate nothing, so that it is refused.  Only (1.2) and (1.3)
     make a dense model that is still good when just its best experts run: for
     top_k = 1 train all by (1.3), and give top_k = 1 when the model is loaded,
     attached to, or opened over the same params.

   What the output kind (config.output) makes of them:

     MOE_OUT_LINEAR    o = a, the weighted sum; for regression.  d is
                       standardised inside by its measured scale.
     MOE_OUT_LOGISTIC  o = 1/(1 + exp(-a)), targets in [0,1]; the error stays
                       squared, as in 1991.  Right when every output is on
                       its target's side of one half.
     MOE_OUT_SOFTMAX   o = softmax(a), for classes; targets are labels or
                       rows that sum to 1.  e_i = -sum_k d_k log o_ik, and
                       mixture   E = -log sum_i p_i exp(-e_i)
                       expected  E = sum_i p_i e_i
                       blend     E = -sum_k d_k log y_k

   Options, defined before the include:

     MOE_IMPLEMENTATION  in one file: the code itself
     MOE_STATIC          all functions static; needs MOE_IMPLEMENTATION too
     MOE_DOUBLE          moe_real is double; files that disagree do not link
     MOE_PREDICT_ONLY    no training code or memory; weights open as zeros
     MOE_NO_MALLOC       memory is yours to give; no moe_save, moe_load
     MOE_NO_STDIO        no moe_save and moe_load: files in memory alone
     MOE_MALLOC(n), MOE_FREE(p)   your own allocator; define both
     MOE_ASSERT(e)       what to do about a caller's mistake; assert(e)
     MOE_SAME_BITS       the same bits everywhere; slower, see Numerics

   Memory.  moe_bytes(&config) is the exact need of moe_open, the same on every
   target.  Give so many bytes, aligned as a moe_real (to 64 bytes is faster),
   or NULL for one MOE_MALLOC that moe_close frees.  It grows with config.rows,
   not with how many cases you have: they are worked through in such blocks.
   Weights that are const (in flash, in a mapped file, of another thread) are
   attached to, not copied: memory holds only the work arrays.

    ```c
    static const float weights[] = {0,0, 1,-1, 0,0, 3,-3, 0,0, 0,1, 0,1};
    // biases, weights, gate bias, weights, balance, scale.d, scale.x
    static float memory[64];
    moe_config config = {0};
    float x[1] = {2}, y[1];
    moe m;

    config.inputs = config.outputs = 1;
    config.experts = 2;
    config.rows = 1;
    if (moe_attach(&m, &config, weights, memory, sizeof memory) == MOE_OK)
        moe_predict(&m, x, 1, y);        // 2
    ```

   Parameters are one flat array, params: experts.0.bias (E,out),
   experts.0.weight (E,in,out), experts.1.bias, ..., gate.0.bias,
   gate.0.weight, ..., gate.balance (E, of two experts or more; 0 unless used;
   trained_count ends there), scale.d (2,O), scale.x (2,I).  Scales are not
   learnt: row 0 is shift, row 1 factor, 0 and 1 until data were measured.
   moe_find tells of layers.

     z = (x - shift) * factor            what the networks see
     y = shift + factor * y'             what you get; only linear outputs are
                                         measured, others keep 0 and 1

   Losses and sigma are in standardised units; y, o and d are in yours.

   Your own loop.  All that moe_train does is there one step at a time, too: for
   cases that arrive one by one, for a gradient of your own (moe_backward), or
   for many machines (sum the grads arrays).

    ```c
    static float memory[256];
    moe_config config = {0};
    moe_training sgd = {0};
    float x[2], d[1];
    moe_data one = {1, x, d, NULL};
    moe m;
    int t;

    config.inputs = 2;
    config.outputs = 1;
    config.experts = 2;
    config.rows = 1;
    config.use = MOE_USE_LEARN;          // no moments: SGD without momentum
    sgd.optimizer = MOE_SGD;
    sgd.rate = 0.05f;
    if (moe_open(&m, &config, memory, sizeof memory) != MOE_OK)
        return 1;
    for (t = 0; t < 1000; t++) {
        x[0] = (float)(t % 7) - 3;
        x[1] = (float)(t % 5) - 2;
        d[0] = x[0] > 0 ? x[1] : -x[1];
        moe_gradient(&m, &one);          // grads += dE/dparams
        moe_step(&m, &sgd, 1);           // params -= rate * grads; grads = 0
    }
    ```

   Model files.  moe_save(&m, MOE_USE_PREDICT, path) writes to a new file beside
   path (path.1f2e3d4c.tmp, created only if there is none), flushes to the
   system (C has no more) and renames, so that a whole file, old or new, is
   always there; only Windows must remove it first.  A killed program may leave
   its .tmp behind.  POSIX keeps an old file's permissions.  moe_load(&m, path,
   NULL) opens a moe with it, through a pipe, too; moe_view uses weights where
   they lie, in a mapped file or in flash.  Any file is refused unless it is
   sound and its weights finite.  MOE_USE_TRAIN, in the progress callback, makes
   a checkpoint, from which moe_train goes on with the same bits if rows are the
   same (not in double).  Files are safetensors, which Python reads: the names
   above, the configuration as strings under __metadata__ (of sigma and balance
   the bits), float32, least byte first.  Other tools may write them in any
   order, with tensors of their own beside; without gate.balance it is zeros.

   Errors.  What can fail returns a moe_status and leaves a sentence in m.why
   (not moe_save_to, for its m is const), "ok" after MOE_OK; a refused call
   changes nothing, but open, attach, load and view close m.  What is called
   per frame - predict, forward, backward, gradient - cannot fail on an open
   moe.  It asserts what it needs, and does nothing where that does not hold
   and MOE_ASSERT lets it pass.  No step is made that would leave a number that
   is not finite; -ffast-math takes no check away.

   Threads.  No globals, no hidden state.  A moe belongs to one thread at a
   time; any number of them may be attached to the same weights.  Compiled with
   -fopenmp, large blocks are shared out among OpenMP's threads, small ones are
   not; the results are the same bits for any number of them.

   Numerics.  exp, log, tanh and sqrt are our own, within 2 ulp.  The gate and
   the likelihood work in logits after subtracting the largest, so that |s| up
   to 1e30 gives finite p, h and E.  The same seed, binary and kind of processor
   give the same bits; another instruction set (config.simd) agrees to rounding.

   With MOE_SAME_BITS every compiler, optimisation and instruction set gives the
   same bits, for games in lockstep: products and sums are not contracted, and
   each sum has one order.  Predictions do not depend then on which cases stand
   together in a call, nor learning on config.rows.  Refused where that cannot
   be: -ffast-math, x87 and, by moe_open, flushed subnormals or fused products.
*/

/* ======================================================================== */
/* 1  OPTIONS                                                               */
/* ======================================================================== */
#ifndef MOE_H
#define MOE_H

#include <stddef.h>
#include <stdint.h>

#if defined(MOE_DOUBLE) && defined(__SIZEOF_DOUBLE__) && __SIZEOF_DOUBLE__ < 8
#error "moe.h: MOE_DOUBLE needs a double of 64 bits"
#endif
#if defined(MOE_MALLOC) != defined(MOE_FREE)
#error "moe.h: define both MOE_MALLOC and MOE_FREE, or neither"
#endif
#if defined(MOE_MALLOC) && defined(MOE_NO_MALLOC)
#error "moe.h: MOE_NO_MALLOC contradicts MOE_MALLOC"
#endif
#ifndef MOE_SAME_BITS
#define MOEI_IN_ORDER 0
#else
#define MOEI_IN_ORDER 1         /* sums go in the order of their terms */
#include <float.h>
#if defined(__FAST_MATH__) || defined(__RECIPROCAL_MATH__) \
    || defined(__ASSOCIATIVE_MATH__)
#error "moe.h: MOE_SAME_BITS contradicts -ffast-math"
#endif
#if !defined(FLT_EVAL_METHOD) \
    || (FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
#error "moe.h: MOE_SAME_BITS needs FLT_EVAL_METHOD 0 (on x86: -mfpmath=sse)"
#endif
#endif
#if defined(MOE_STATIC) && !defined(MOE_IMPLEMENTATION)
#error "moe.h: MOE_STATIC needs MOE_IMPLEMENTATION in the same file"
#endif

/* With -Os nothing is inlined by force. */
#ifdef __OPTIMIZE_SIZE__
#define MOEI_INLINE
#define MOEI_SIZED(small, fast) small
#else
#define MOEI_INLINE always_inline,
#define MOEI_SIZED(small, fast) fast
#endif
#define MOEI_NEAR MOEI_SIZED(static MOEI_UNUSED, MOEI_FAST)

#define MOEI_TARGET             /* the instruction set, where it is chosen */
#define MOEI_LOOP static MOEI_UNUSED MOEI_TARGET
#ifdef __GNUC__
#define MOEI_UNUSED __attribute__((unused))
#define MOEI_FAST static inline __attribute__((MOEI_INLINE unused)) MOEI_TARGET
#define MOEI_APART static __attribute__((noinline, unused)) MOEI_TARGET
#else
#define MOEI_UNUSED
#define MOEI_FAST static
#define MOEI_APART static
#endif

#ifdef MOE_STATIC
#define MOE_DEF static MOEI_UNUSED
#else
#define MOE_DEF extern
#endif

/* Two widths, two sets of names: files that disagree do not link. */
#ifdef MOE_DOUBLE
#define moe_status_text moe_status_text_double
#define moe_check       moe_check_double
#define moe_bytes       moe_bytes_double
#define moe_work_bytes  moe_work_bytes_double
#define moe_open        moe_open_double
#define moe_attach      moe_attach_double
#define moe_close       moe_close_double
#define moe_find        moe_find_double
#define moe_measure     moe_measure_double
#define moe_predict     moe_predict_double
#define moe_train       moe_train_double
#define moe_evaluate    moe_evaluate_double
#define moe_forward     moe_forward_double
#define moe_backward    moe_backward_double
#define moe_gradient    moe_gradient_double
#define moe_step        moe_step_double
#define moe_file_config moe_file_config_double
#define moe_save_bytes  moe_save_bytes_double
#define moe_save_to     moe_save_to_double
#define moe_load_from   moe_load_from_double
#define moe_view        moe_view_double
#define moe_save        moe_save_double
#define moe_load        moe_load_double
typedef double moe_real;
#define MOEI_EITHER(single, twice) twice
#else
typedef float moe_real;
#define MOEI_EITHER(single, twice) single
#endif

/* ======================================================================== */
/* 2  INTERFACE                                                             */
/* ======================================================================== */
#ifdef __cplusplus
extern "C" {
#endif

#define MOE_MAX_HIDDEN 4        /* hidden layers of an expert or of the gate */
#define MOE_MAX_SIZE 32767      /* largest I, O, E, hidden width and rows    */
#define MOE_ALL (-1)            /* moe_training.batch: all cases in one step */

typedef enum moe_status {
    MOE_OK = 0,
    MOE_STOPPED,       /* the progress callback asked; the model is usable   */
    MOE_ERR_NULL,      /* a required pointer is NULL                         */
    MOE_ERR_CONFIG,    /* a setting is out of range, or two contradict       */
    MOE_ERR_MEMORY,    /* memory too small or misaligned, or malloc gave NULL*/
    MOE_ERR_DATA,      /* x, d or a label is not finite or out of range, or
                          so far off that y or the loss is not finite        */
    MOE_ERR_DIVERGED,  /* no longer finite; the best finite weights are kept */
    MOE_ERR_FORMAT,    /* not a model file, or a damaged or hostile one      */
    MOE_ERR_IO,        /* a file could not be opened, read, written, renamed */
    MOE_ERR_STATE      /* this moe cannot do that: its weights are const, or
                          it was opened for less; MOE_SAME_BITS cannot hold  */
} moe_status;

typedef enum moe_activation {
    MOE_ACT_RELU = 0,  /* max(a, 0)                                          */
    MOE_ACT_TANH,
    MOE_ACT_LOGISTIC,  /* 1 / (1 + exp(-a))                                  */
    MOE_ACT_ELU,       /* a if a > 0, else exp(a) - 1                        */
    MOE_ACT_SILU       /* a / (1 + exp(-a))                                  */
} moe_activation;

typedef enum moe_output {
    MOE_OUT_LINEAR = 0, MOE_OUT_LOGISTIC, MOE_OUT_SOFTMAX
} moe_output;

typedef enum moe_loss {
    MOE_LOSS_MIXTURE = 0,   /* (1.3) */
    MOE_LOSS_EXPECTED,      /* (1.2) */
    MOE_LOSS_BLEND          /* (1.1) */
} moe_loss;

typedef enum moe_optimizer {
    MOE_ADAM = 0,   /* Kingma & Ba 2015, algorithm 1; decoupled weight decay,
                       Loshchilov & Hutter 2019                              */
    MOE_SGD         /* v = momentum v + g + decay w;  w -= rate v            */
} moe_optimizer;

typedef enum moe_use {
    MOE_USE_TRAIN = 0,  /* parameters, gradients, two moments, best weights  */
    MOE_USE_LEARN,      /* parameters and gradients: moe_gradient and a plain
                           SGD moe_step, on a device; evaluation             */
    MOE_USE_PREDICT     /* parameters only                                   */
} moe_use;

/* Columns first .. first+count-1 of a row of x; count 0: to its end. */
typedef struct moe_span { int first, count; } moe_span;

/* What the network is.  Zero-initialise, then fill in what differs.  Fields
   marked * are required; sizes are 1..MOE_MAX_SIZE. */
typedef struct moe_config {
    int inputs;                  /* *I: reals in a row of x                  */
    int outputs;                 /* *O: reals in a row of y and d            */
    int experts;                 /* *E: 1 is an ordinary network, no gate    */
    int top_k;                   /* K: experts that run, those of the largest
                                    s + gate.balance; 0: all.  1 of several
                                    predicts only: its gate learns nothing   */
    int hidden[MOE_MAX_HIDDEN];  /* widths of each expert's hidden layers,
                                    the first 0 ends; none: linear experts   */
    int gate_hidden[MOE_MAX_HIDDEN];  /* the same for the gate               */
    moe_span expert_sees;        /* the part of x that experts are given     */
    moe_span gate_sees;          /* the part that the gate is given          */
    moe_activation activation;   /* of the hidden units                      */
    moe_output output;           /* of the experts                           */
    moe_loss loss;               /* may be changed later, as sigma, balance  */
    moe_real sigma;              /* standard deviation in (1.3), standardised
                                    units; 0: 1.  Ignored by softmax experts,
                                    which have none                          */
    moe_real balance;            /* weight of the balance loss; 0: none; needs
                                    top_k in 1..E-1                          */
    int rows;                    /* B: cases worked on at once; 0: 64        */
    int simd;                    /* vectors of so many bits; 1: none, plain C;
                                    0: the widest (with -Os only one)        */
    moe_use use;
    uint64_t seed;               /* of the initial weights                   */
} moe_config;

/* Offsets of one layer in params; weight is (in,out). */
typedef struct moe_layer { int in, out; size_t bias, weight; } moe_layer;

/* Private: a stack of layers, `copies` of it side by side in params. */
typedef struct moei_net {
    int copies, layers, first;               /* first: its column of x       */
    int widest[2];                           /* of every second layer, back  */
    int kept;                                /* copies have arrays apart     */
    int32_t *start;                          /* (copies+1) where its cases
                                                begin in the next two        */
    int32_t *cases;                          /* (B K) the cases; NULL: all   */
    int32_t *place;                          /* (B K) case K + k: its choice */
    moe_layer layer[MOE_MAX_HIDDEN + 1];     /* of copy 0                    */
    int function[MOE_MAX_HIDDEN + 1];        /* what each layer's sums go into*/
    moe_real *pre[MOE_MAX_HIDDEN + 1];       /* (B K,out) those sums         */
    moe_real *act[MOE_MAX_HIDDEN + 1];       /* (B K,out) what comes out     */
} moei_net;

#define MOEI_WORK 17            /* private: arrays of a block */

/* A moe belongs to one thread at a time.  What it points to is its own
   memory, or the weights it was attached to.  The arrays are (rows, ...),
   row by row; they show the last block of the last moe_forward, moe_predict,
   moe_evaluate or moe_gradient, and are undefined after moe_train. */
typedef struct moe {
    moe_config config;           /* as opened, defaults filled in; a copy, of
                                    which loss, sigma, balance and seed may
                                    be changed: the rest has no effect       */
    const moe_real *params;      /* (value_count) what prediction reads; may
                                    point at others of the same configuration*/
    moe_real *own;               /* the same, writable; NULL: const weights.
                                    Training needs params == own             */
    moe_real *grads;             /* (trained_count); NULL for prediction     */
    size_t trained_count;        /* parameters that learning changes         */
    size_t value_count;          /* and the scales behind them               */
    const char *why;             /* of the last call that returns a status:
                                    "ok", or what was wrong; where it tells
                                    numbers, it lies in m itself             */
    int epoch;                   /* epochs trained so far                    */
    int rows;                    /* rows below: those of the last block      */
    const moe_real *s, *p;       /* (rows,E)   gate logits, proportions      */
    const int32_t *chosen;       /* (rows,K)   experts that ran, ascending   */
    const moe_real *o;           /* (rows,K,O) their outputs, user's units   */
    const moe_real *y;           /* (rows,O)   blend, user's units           */
    const moe_real *h;           /* (rows,E)   posteriors, after
                                    moe_gradient; NULL for prediction.  p and
                                    h are 0 for experts that did not run     */
    /* Private from here on. */
    moe_config fixed;            /* the same configuration: of config itself
                                    loss, sigma, balance and seed are read   */
    moei_net expert, gate;
    moe_real *work[MOEI_WORK];   /* arrays of a block, by name: see room 6   */
    int columns[MOEI_WORK];      /* of each                                  */
    int n;                       /* cases in the block at hand               */
    int forwarded;               /* n of the moe_forward that moe_backward
                                    may follow; -1: none                     */
    int set;                     /* which kernels: see room 5                */
    int32_t *choice, *shown;     /* (B,K)  of this block, or NULL; chosen     */
    int32_t *order;              /* (B)  cases of a block that is shuffled    */
    int sparse;                  /* whether just some experts run for a case */
    size_t balanced;             /* values of gate.balance, E or 0           */
    moe_real *share;             /* (E) f of the balance loss, if sparse     */
    moe_real *sum;               /* (3,2E+4) what a report adds up, what
                                    rounding took from it, cases to add      */
    int counted;                 /* cases in these sums                      */
    moe_real *means;             /* (2E)   usage and won of the report       */
    moe_real *kept[3];           /* (trained_count) two moments, best weights*/
    moe_real largest_moment;     /* neither a first moment nor the root of a
                                    second one is larger                     */
    int best_learnt;             /* 0: best weights are those before training*/
    void *heap;                  /* what moe_close frees                     */
    char said[56 + 5 * sizeof(size_t)];      /* a sentence with two numbers  */
    int scaled;                  /* 1: measured, 2: settled by learning      */
    int32_t steps;               /* optimiser steps so far                   */
    moe_real beta_power[2];      /* beta_1^t, beta_2^t of Adam               */
    moe_real best_loss;          /* of the best weights                      */
    moe_real rate_factor;        /* of the default rate                      */
    int waiting;                 /* epochs since best_loss; -1: no best yet  */
} moe;

/* Exactly one of d (n,O) and labels (n, each 0..O-1; softmax experts only).
   x is (n,I). */
typedef struct moe_data {
    int n;
    const moe_real *x, *d;
    const int *labels;
} moe_data;

/* Means per case.  In training they are measured before each step. */
typedef struct moe_report {
    int epoch;
    moe_real loss;               /* E, in standardised units                 */
    moe_real valid_loss;         /* the same on the validation data, after
                                    moe_train of the weights kept; -1: none  */
    moe_real squared_error;      /* |d - y|^2, in the user's units           */
    moe_real accuracy;           /* share classified right; -1: linear       */
    moe_real gate_entropy;       /* -sum_i p_i log p_i, nats                 */
    moe_real imbalance;          /* E times the largest share won; 1 is even */
    int dead;                    /* experts that won no case                 */
    const moe_real *usage;       /* (E) mean p; until the next call on m     */
    const moe_real *won;         /* (E) share of cases in which p is largest;
                                    with top_k, of the choices               */
    int bad_row, bad_column;     /* of MOE_ERR_DATA, else -1: training rows,
                                    validation rows; x's columns, d's columns*/
} moe_report;

/* How to train.  Zero-initialise; every 0 is the default. */
typedef struct moe_training {
    int epochs;                  /* more epochs from where m stands; 0: 1000
                                    with validation data, 200 without        */
    int batch;                   /* cases per step; 0: 32; MOE_ALL           */
    moe_optimizer optimizer;
    moe_real rate;               /* given: constant.  0: Adam 0.015, SGD 0.1,
                                    halved on a validation plateau           */
    moe_real momentum;           /* of SGD, in [0,1)                         */
    moe_real weight_decay;       /* on weights, not on biases; 0: none       */
    moe_real clip;               /* largest norm of a step's gradient; 0: any*/
    moe_real balance_rate;       /* step of gate.balance, which steers top_k
                                    towards even use; 0: none; needs top_k in
                                    2..E-1                                   */
    moe_real target;             /* stop at squared_error <= target; 0: never*/
    int patience;                /* with validation, which restores the best
                                    weights: epochs without a better loss
                                    after 1,000 steps; 0: 25; -1: never stop */
    int keep_units;              /* 1: do not measure scales                 */
    uint64_t seed;               /* epoch t's order is a function of (seed,t)*/
    int (*progress)(const moe_report *report, void *user);  /* non-0 stops;
                                    may predict, evaluate and save           */
    void *user;
} moe_training;

/* A few words for a status, never NULL. */
MOE_DEF const char *moe_status_text(moe_status status);

/* MOE_OK, MOE_ERR_NULL or MOE_ERR_CONFIG; why (or NULL) gets the sentence. */
MOE_DEF moe_status moe_check(const moe_config *config, const char **why);

/* Bytes that moe_open needs, and moe_attach; 0: moe_check refuses. */
MOE_DEF size_t moe_bytes(const moe_config *config);
MOE_DEF size_t moe_work_bytes(const moe_config *config);

/* Open a moe with its own weights: all layers uniform in +-1/sqrt(inputs of the
   unit), but the gate's last is 0, so that p starts even.  Reads nothing of
   *m, but config may be &m->config; frees nothing, so close before what has
   memory of MOE_MALLOC.  On failure *m is closed.  memory NULL: one MOE_MALLOC.
   MOE_ERR_NULL, _CONFIG, _MEMORY. */
MOE_DEF moe_status moe_open(moe *m, const moe_config *config, void *memory,
                            size_t bytes);

/* The same over weights that stay where they are; predicts only.  params is
   (value_count) and must outlive m. */
MOE_DEF moe_status moe_attach(moe *m, const moe_config *config,
                              const moe_real *params, void *memory,
                              size_t bytes);

/* Give back what was allocated; m is then as moe m = {0}. */
MOE_DEF void moe_close(moe *m);

/* Where layer 0, 1, ... of expert 0..E-1 is in params; expert E is the gate.
   Zeros for what does not exist (one expert has no gate: p = 1, s = 0). */
MOE_DEF moe_layer moe_find(const moe_config *config, int expert, int layer);

/* y (n,O) = blend for x (n,I), any n; n < 1 does nothing.  y may be x.  On a
   closed moe an assertion fails, and nothing is done. */
MOE_DEF void moe_predict(moe *m, const moe_real *x, int n, moe_real *y);

/* Forward for the first min(n,B) rows; returns how many. */
MOE_DEF int moe_forward(moe *m, const moe_real *x, int n);

/* Model files, see the manual.  What the file at hand holds: its use is
   MOE_USE_TRAIN for a checkpoint, else MOE_USE_PREDICT.  MOE_ERR_NULL or
   _FORMAT, and then config stays as it was. */
MOE_DEF moe_status moe_file_config(moe_config *config, const void *file,
                                   size_t file_bytes);

/* Open a moe with the weights of a file, or over them as they lie there, read
   only.  config NULL: as moe_file_config says; else its rows, top_k (0: the
   file's), simd and use apply, and the rest is ignored; balance is 0 where all
   experts run.  A file has no rows: 0 is 64.  moe_bytes of what moe_file_config
   says is the need.  Scales are settled, as after training.  Each error of
   moe_open and moe_attach; MOE_ERR_FORMAT; moe_view: MOE_ERR_STATE unless
   floats are little-endian, the numbers aligned and in moe.h's order, and
   gate.balance is there. */
MOE_DEF moe_status moe_load_from(moe *m, const void *file, size_t file_bytes,
                                 const moe_config *config, void *memory,
                                 size_t bytes);
MOE_DEF moe_status moe_view(moe *m, const void *file, size_t file_bytes,
                            const moe_config *config, void *memory,
                            size_t bytes);

/* A file in memory; keep MOE_USE_TRAIN makes a checkpoint, else weights alone
   are kept.  Bytes, 0 if it cannot be; MOE_ERR_NULL; _STATE: m is closed or
   lacks what to keep; _CONFIG; _DIVERGED: not finite as float32; _MEMORY. */
MOE_DEF size_t moe_save_bytes(const moe *m, moe_use keep);
MOE_DEF moe_status moe_save_to(const moe *m, moe_use keep, void *file,
                               size_t bytes);

#ifndef MOE_NO_STDIO
/* The same by path; both allocate a whole file's bytes; also MOE_ERR_IO: why
   says whether the file was not opened, read, written or renamed.  moe_load
   reads 8 bytes, the header and what that asks for, so that a bad header costs
   no more; of a pipe it waits for the end. */
MOE_DEF moe_status moe_save(moe *m, moe_use keep, const char *path);
MOE_DEF moe_status moe_load(moe *m, const char *path, const moe_config *config);
#endif

#ifndef MOE_PREDICT_ONLY
/* Measure shift and scale of x (and of d for linear outputs), for loops of
   your own; moe_train does it by itself, once.  Weights that a constant column
   of x meets become 0.  MOE_ERR_STATE after any training or step. */
MOE_DEF moe_status moe_measure(moe *m, const moe_data *data);

/* Train.  validation, t and report may be NULL.  MOE_OK, MOE_STOPPED, or
   MOE_ERR_NULL, _CONFIG, _DATA, _STATE, before anything changes; _DIVERGED: the
   weights are the best that were measured, or those before training, which
   then has not measured the scales.  After MOE_OK y is finite for data->x. */
MOE_DEF moe_status moe_train(moe *m, const moe_data *data,
                             const moe_data *validation,
                             const moe_training *t, moe_report *report);

/* What training reports, for any data; needs MOE_USE_TRAIN or _LEARN.  Refuses
   with MOE_ERR_DATA, too, a row for which y or the loss is not finite. */
MOE_DEF moe_status moe_evaluate(moe *m, const moe_data *data,
                                moe_report *report);

/* grads += for an error of y that is your own: dE_dy (rows,O), for the rows
   of the moe_forward just before, in user's units.  dE_dx (rows,I) or NULL.
   Anything else between them, such as moe_predict, moe_gradient or a step, is
   a mistake: an assertion fails, and nothing is done. */
MOE_DEF void moe_backward(moe *m, const moe_real *dE_dy, moe_real *dE_dx);

/* grads += of the loss over any n cases; returns the sum of E.  A bad label
   or a value that is not finite gives NaN, which moe_step refuses; so does,
   after an assertion, what lacks data or is not open for learning. */
MOE_DEF moe_real moe_gradient(moe *m, const moe_data *data);

/* One optimiser step on scale * grads, then grads = 0.  t NULL: defaults
   (plain SGD for MOE_USE_LEARN).  MOE_ERR_NULL, _CONFIG and _STATE change
   nothing; MOE_ERR_DIVERGED (the gradient is not finite, or a weight or moment
   would not be) keeps weights and moments, and grads = 0. */
MOE_DEF moe_status moe_step(moe *m, const moe_training *t, moe_real scale);
#endif /* MOE_PREDICT_ONLY */

#ifdef __cplusplus
}
#endif
#endif /* MOE_H */

/* The kernels read this file again, with MOEI_LANES defined: see room 5. */
#if defined(MOEI_LANES) \
    || (defined(MOE_IMPLEMENTATION) && !defined(MOE_IMPLEMENTED))
#define MOE_IMPLEMENTED
#ifndef MOEI_LANES

/* ======================================================================== */
/* 3  INTEGRATION                                                           */
/* ======================================================================== */

#ifndef MOE_ASSERT
#include <assert.h>
#define MOE_ASSERT(e) assert(e)
#endif

#if defined(MOE_NO_MALLOC)
#define MOE_MALLOC(n) ((void)(n), (void *)NULL)
#define MOE_FREE(p) ((void)(p))
#elif !defined(MOE_MALLOC)
#include <stdlib.h>
#define MOE_MALLOC(n) malloc(n)
#define MOE_FREE(p) free(p)
#endif

/* Where the compiler works with wider reals, as on x87, only memory rounds.  16
   is 0 but for half floats. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 \
    && __FLT_EVAL_METHOD__ != 16
#define MOEI_WIDER
#define MOEI_ROUNDED volatile
#else
#define MOEI_ROUNDED
#endif

/* Under -ffast-math this file is still compiled as it is written.
   Products and sums are contracted, but not where all must give the same bits,
   nor on x87.  gcc hears no other pragma; -std=c99 alone would forbid it. */
#if defined(__FAST_MATH__) \
    || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#define MOEI_FAST_MATH
#endif
#if defined(__GNUC__) && !defined(__clang__)
#define MOEI_CONTRACT_AGAIN _Pragma("GCC pop_options")
#pragma GCC push_options
#ifdef MOEI_FAST_MATH
#pragma GCC optimize("no-fast-math", "no-finite-math-only", \
                     "no-unsafe-math-optimizations", "no-associative-math", \
                     "no-reciprocal-math", "signed-zeros")
#endif
#ifdef MOE_SAME_BITS
#pragma GCC optimize("fp-contract=off")
#elif !defined(MOEI_WIDER)
#pragma GCC optimize("fp-contract=fast")
#endif
#elif defined(MOE_SAME_BITS) && defined(__clang__)
#define MOEI_CONTRACT_AGAIN _Pragma("STDC FP_CONTRACT DEFAULT")
#pragma STDC FP_CONTRACT OFF
#elif defined(MOEI_FAST_MATH) && defined(__clang__)
#define MOEI_CONTRACT_AGAIN _Pragma("float_control(pop)")
#pragma float_control(precise, on, push)
#else
#define MOEI_CONTRACT_AGAIN
#endif

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8 \
    && !defined(__OPTIMIZE_SIZE__)
#define MOEI_UNROLL(loop) _Pragma("GCC unroll 16") loop
#elif defined(__clang__) && defined(__OPTIMIZE_SIZE__)
#define MOEI_UNROLL(loop) _Pragma("clang loop unroll_count(16)") loop
#else
#define MOEI_UNROLL(loop) loop
#endif

/* call for each part i; with OpenMP threads share them, if there are some. */
#ifdef _OPENMP
#include <omp.h>
#define MOEI_THREADS (omp_in_parallel() ? 1 : omp_get_max_threads())
#define MOEI_EACH_PART(i, parts, call)                                      \
    i = 0;                                                                  \
    if (parts == 1) { call; } else {                                        \
        _Pragma("omp parallel for num_threads(parts)")                      \
        for (i = 0; i < parts; i++) call;                                   \
    }
#else
#define MOEI_THREADS 1
#define MOEI_EACH_PART(i, parts, call) for (i = 0; i < parts; i++) call;
#endif

/* What only learning needs: under MOE_PREDICT_ONLY public functions are static
   and unused, so that the compiler drops them and all that they call. */
#ifdef MOE_PREDICT_ONLY
#define MOEI_LEARN static MOEI_UNUSED
#define MOEI_LEARNS(yes, no) no
#else
#define MOEI_LEARN MOE_DEF
#define MOEI_LEARNS(yes, no) yes
#endif

/* Without stdio its calls are 0, and what needs them is static and unused. */
#ifdef MOE_NO_STDIO
#define MOEI_PATHS static MOEI_UNUSED
#define MOEI_STDIO(call) 0
typedef int moei_stream;
#else
#include <stdio.h>
#define MOEI_PATHS MOE_DEF
#define MOEI_STDIO(call) (call)
typedef FILE moei_stream;
#endif
#ifdef _WIN32         /* where no target may exist; `from` may be all that is */
#define MOEI_REPLACE(from, to) ((void)remove(to), rename(from, to))
#else
#define MOEI_REPLACE(from, to) (rename(from, to) != 0 && (remove(from), 1))
#endif

/* The permissions of an old file, for a new one; those of its folder where
   there is no chmod. */
#if !defined(MOE_NO_STDIO) && (defined(__unix__) || defined(__APPLE__))
#include <sys/stat.h>
static MOEI_UNUSED void moei_keep_mode(const char *from, const char *to)
{
    struct stat old;

    if (stat(from, &old) == 0)
        (void)chmod(to, old.st_mode & 0777);
}
#else
#define moei_keep_mode(from, to) ((void)(from), (void)(to))
#endif

/* ======================================================================== */
/* 4  NUMBERS                                                               */
/* ======================================================================== */
/* Bits and constants, random numbers, long sums, and views: matrices of numbers
   that stand somewhere; vectors of lanes, and their exp, log, tanh and sqrt. */

typedef MOEI_EITHER(uint32_t, uint64_t) moei_bits;
typedef MOEI_EITHER(int, long long) moei_signed;
#define MOEI_REAL_SIZE  MOEI_EITHER(4, 8)
#define MOEI_FRACTION   MOEI_EITHER(23, 52)
#define MOEI_BIAS       MOEI_EITHER(127, 1023)
#define MOEI_EXP_TERMS  MOEI_EITHER(8, 13)
#define MOEI_LOG_TERMS  MOEI_EITHER(5, 10)
#define MOEI_EXP_MIN    MOEI_EITHER((-104), (-746))
#define MOEI_EXP_MAX    MOEI_EITHER(89, 710)
/* 1.5 * 2^fraction;  ln 2 in two, of which the first ends in 15 or 21 zeros */
#define MOEI_ROUND      MOEI_EITHER(12582912.0f, 6755399441055744.0)
#define MOEI_LN2_HIGH   MOEI_EITHER(0.693359375f, 6.93147180369123816490e-01)
#define MOEI_LN2_LOW    MOEI_EITHER((-2.12194440e-4f), 1.9082149292705877e-10)
#define MOEI_SQRT_HALF  MOEI_EITHER(0x3f3504f3u, 0x3fe6a09e667f3bcdu)
#define MOEI_RSQRT      MOEI_EITHER(0x5f3759dfu, 0x5fe6eb50c7b537a9u)
#define MOEI_RSQRT_STEPS MOEI_EITHER(2, 3)
#define MOEI_LOG2_E     ((moe_real)1.44269504088896340736)
#define MOEI_ONE_BITS   ((moei_bits)MOEI_BIAS << MOEI_FRACTION)
#define MOEI_INFINITY_BITS ((moei_bits)(2 * MOEI_BIAS + 1) << MOEI_FRACTION)
#define MOEI_SIGN_BIT   ((moei_bits)1 << (sizeof(moe_real) * 8 - 1))

/* A multiple of this is an address for a real; 1 on 8-bit processors, 4 for
   double on i386. */
typedef struct moei_behind { char byte; moe_real real; } moei_behind;
enum { MOEI_ALIGNED = offsetof(moei_behind, real) };

/* Larger errors and logits are cut to this, so that inf - inf cannot be. */
#define MOEI_LARGEST    ((moe_real)1e30)

static moe_real moei_from_bits(moei_bits bits)
{
    union { moe_real real; moei_bits bits; } word;
    word.bits = bits;
    return word.real;
}

static moei_bits moei_to_bits(moe_real x)
{
    MOEI_ROUNDED union { moe_real real; moei_bits bits; } word;
    word.real = x;
    return word.bits;
}

#define MOEI_INFINITY moei_from_bits(MOEI_INFINITY_BITS)
#define MOEI_NAN moei_from_bits(MOEI_INFINITY_BITS | (MOEI_INFINITY_BITS >> 1))

static moe_real moei_power_of_2(int k)
{
    return moei_from_bits((moei_bits)(k + MOEI_BIAS) << MOEI_FRACTION);
}

static const moe_real moei_factorial[] = {      /* 1/n! */
    1, 1, (moe_real)(1.0 / 2), (moe_real)(1.0 / 6), (moe_real)(1.0 / 24),
    (moe_real)(1.0 / 120), (moe_real)(1.0 / 720), (moe_real)(1.0 / 5040),
    (moe_real)(1.0 / 40320), (moe_real)(1.0 / 362880),
    (moe_real)(1.0 / 3628800), (moe_real)(1.0 / 39916800),
    (moe_real)(1.0 / 479001600), (moe_real)(1.0 / 6227020800.0)
};

/* Not all ones in the exponent.  The bits are read by way of memory: compilers
   hold every number of their own to be finite under -ffast-math. */
static int moei_is_finite(moe_real x)
{
    volatile union { moe_real real; moei_bits bits; } word;
    word.real = x;
    return (word.bits & MOEI_INFINITY_BITS) != MOEI_INFINITY_BITS;
}

/* Whether all are: one more reaches the sign bit from an exponent of ones. */
MOEI_APART int moei_all_finite(const moe_real *x, size_t count)
{
    union { moe_real real; moei_bits bits; } word;
    moei_bits any = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        word.real = x[i];
        any |= (word.bits & MOEI_INFINITY_BITS)
             + ((moei_bits)1 << MOEI_FRACTION);
    }
    return (any & MOEI_SIGN_BIT) == 0;
}

/* 64 bits well mixed: the finalizer of SplitMix (Steele, Lea & Flood 2014). */
static uint64_t moei_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [-1,1), in steps of 2^-23.  The state counts golden ratios. */
static moe_real moei_uniform(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return (moe_real)(uint32_t)(moei_mix(*state) >> 40) / 8388608 - 1;
}

/* Where case i of an epoch stands among 0..n-1: a keyed bijection, a Feistel
   network over a power of 4, 64 or more, walked until it falls below n. */
static uint32_t moei_shuffled(uint32_t i, uint32_t n, uint64_t key)
{
    uint32_t left, right, next, mask;
    int half = 3, round;

    while (half < 16 && ((uint32_t)1 << (2 * half)) < n)
        half++;
    mask = ((uint32_t)1 << half) - 1;
    do {
        left = i >> half;
        right = i & mask;
        for (round = 0; round < 6; round++) {
            next = left ^ ((uint32_t)moei_mix(key + right
                           + ((uint64_t)round << 32)) & mask);
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}

/* Add x to a long sum; carry holds what rounding lost (Knuth's two-sum). */
static void moei_add(moe_real *sum, moe_real *carry, moe_real x)
{
    moe_real total = *sum + x, added = total - *sum;
    *carry += (*sum - (total - added)) + (x - added);
    *sum = total;
}

static int moei_smaller(int a, int b)
{
    return a < b ? a : b;
}

static int moei_most(int a, int b)
{
    return a > b ? a : b;
}

/* All bytes 0: every default, and every number 0. */
static void moei_wipe(void *at, size_t bytes)
{
    unsigned char *byte = (unsigned char *)at;

    while (bytes-- > 0)
        *byte++ = 0;
}

static void moei_clear(moe_real *at, size_t count)
{
    moei_wipe(at, count * sizeof *at);
}

static void moei_copy(moe_real *to, const moe_real *from, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        to[i] = from[i];
}

/* A matrix that stands somewhere.  A vector has stride 0 along the side that
   it lacks, a number along both, so that each repeats where it meets more.
   With a list, for maps alone, row i is row list[i] of what stands there. */
typedef struct moei_view {
    int row, col;                /* strides: (i,j) is at[i * row + j * col]  */
    int m, n;                    /* rows, columns                            */
    const moe_real *at;
    const int32_t *list;
} moei_view;

static const moe_real moei_numbers[] = {0, 1, 2, (moe_real)0.5, MOEI_LARGEST};
static const moei_view moei_zero = {0, 0, 1, 1, &moei_numbers[0], NULL};
static const moei_view moei_one = {0, 0, 1, 1, &moei_numbers[1], NULL};
static const moei_view moei_two = {0, 0, 1, 1, &moei_numbers[2], NULL};
static const moei_view moei_half = {0, 0, 1, 1, &moei_numbers[3], NULL};
static const moei_view moei_largest = {0, 0, 1, 1, &moei_numbers[4], NULL};

MOEI_FAST moei_view moei_view_of(const moe_real *at, int row, int col, int m,
                                 int n)
{
    moei_view v = {row, col, m, n, at, NULL};
    return v;
}

/* The m rows of v in a list (NULL: its first); for one row it is not kept. */
MOEI_FAST moei_view moei_listed(moei_view v, const int32_t *list, int m)
{
    if (list != NULL && m == 1)
        v.at += (ptrdiff_t)*list * v.row;
    v.list = m == 1 ? NULL : list;
    v.m = m;
    return v;
}

/* (m,n), row by row: the layout of the user's arrays and of the weights. */
MOEI_FAST moei_view moei_matrix(const moe_real *at, int m, int n)
{
    return moei_view_of(at, n, 1, m, n);
}

/* (1,n), the same for every case, and (n,1), the same for every column. */
MOEI_FAST moei_view moei_row(const moe_real *at, int n)
{
    return moei_view_of(at, 0, 1, 1, n);
}

MOEI_FAST moei_view moei_cases(const moe_real *at, int n)
{
    return moei_view_of(at, 1, 0, n, 1);
}

MOEI_FAST moei_view moei_number(const moe_real *at)
{
    return moei_view_of(at, 0, 0, 1, 1);
}

/* (1,n) ones: what a matrix is multiplied by for the sums of its columns. */
#define MOEI_ONES(n) moei_view_of(moei_one.at, 0, 0, 1, n)

MOEI_FAST moei_view moei_column(moei_view v, int j)
{
    return moei_view_of(v.at + (ptrdiff_t)j * v.col, v.row, 0, v.m, 1);
}

MOEI_FAST moei_view moei_transposed(moei_view v)
{
    moei_view turned = {v.col, v.row, v.n, v.m, v.at, v.list};
    return turned;
}

/* Whether all rows can be worked as one: they follow one another. */
static int moei_is_one_row(const moei_view *v)
{
    return v->list == NULL && (v->col == 1 ? v->row == v->n
                                           : v->col == 0 && v->row == 0);
}

/* Whether the rows of four views are side by side, or one number. */
static int moei_stand_beside(const moei_view *v)
{
    return v->col == 1 && ((v[1].col | v[2].col | v[3].col) & ~1) == 0;
}

/* Where row i begins. */
MOEI_FAST const moe_real *moei_at_row(const moei_view *v, int i)
{
    return v->at + (v->list ? (ptrdiff_t)v->list[i] : (ptrdiff_t)i) * v->row;
}

/* Where a kernel writes its result: only views of work memory, grads and the
   caller's results get here, never those of const weights or inputs. */
MOEI_FAST moe_real *moei_writable(moei_view v)
{
    union { const moe_real *read; moe_real *write; } at;
    at.read = v.at;
    return at.write;
}

/* The rows i.. and columns j.., at most m and n of them. */
MOEI_FAST moei_view moei_window(moei_view v, int i, int j, int m, int n)
{
    return moei_view_of(v.at + (ptrdiff_t)i * v.row + (ptrdiff_t)j * v.col,
                        v.row, v.col, moei_smaller(v.m - i, m),
                        moei_smaller(v.n - j, n));
}

/* n numbers of row i from column j on to room, or back; a list: of columns. */
MOEI_NEAR void moei_exchange(const moei_view *v, int i, int j, int n,
                             moe_real *room, const int back)
{
    const ptrdiff_t apart = v->col, first = v->list ? 0 : j * apart;
    moe_real *at = moei_writable(*v) + (ptrdiff_t)i * v->row + first;
    const int32_t *list = v->list ? v->list + j : NULL;
    int k;

    if (list == NULL)
        MOEI_UNROLL(for (k = 0; k < n; k++))
            *(back ? at + k * apart : room + k) = back ? room[k]
                                                       : at[k * apart];
    else
        for (k = 0; k < n; k++)
            *(back ? at + list[k] * apart : room + k) = back
                ? room[k] : at[list[k] * apart];
}

/* Whether a block array of n cases keeps the cases of a column side by side,
   for lanes to run over cases: few columns would leave lanes empty. */
static int moei_lanes_over_cases(int n, int columns)
{
    return n >= 16 && columns < 16;
}

/* As many threads as have work for longer than waking them takes.  Rows are
   owned, sums are not split: the same bits for any number of threads. */
enum { MOEI_ROW_TILE = 6 };
#define MOEI_LEAST_WORK ((uint64_t)1 << 18)

static int moei_parts(uint64_t operations, int rows)
{
    uint64_t most = operations / MOEI_LEAST_WORK;

    if (most < 2)
        return 1;
    rows = moei_smaller(MOEI_THREADS, rows / MOEI_ROW_TILE);
    return rows < 2 ? 1 : most < (uint64_t)rows ? (int)most : rows;
}

/* The rows of part i: tiles, one more in the first, for the last is short. */
static moei_view moei_part_of(const moei_view *v, int i, int parts, int rows)
{
    const int tiles = (rows + MOEI_ROW_TILE - 1) / MOEI_ROW_TILE;
    const int from = (tiles * i + parts - 1) / parts * MOEI_ROW_TILE;
    const int to = (tiles * (i + 1) + parts - 1) / parts * MOEI_ROW_TILE;
    moei_view part = *v;

    part.list = v->list ? v->list + from : NULL;
    part.at += v->list ? 0 : (ptrdiff_t)from * v->row;
    part.m = moei_smaller(to, rows) - from;
    return part;
}

typedef enum { MOEI_ANYHOW, MOEI_BESIDE, MOEI_WHOLE } moei_stand;
static const moe_real moei_lane[] = {0, 1, 2,  3,  4,  5,  6,  7,
                                     8, 9, 10, 11, 12, 13, 14, 15};

#define MOEI_JOIN_(name, set) moei_##name##_##set
#define MOEI_JOIN(name, set) MOEI_JOIN_(name, set)
#define MOEI_SET plain
#define MOEI_LANES 1
#define MOEI_WIDE MOEI_W4
#define MOEI_VECTORS 4
#endif /* MOEI_LANES */

/* ------------------------------------------------------------------------ */
/* From here to the end of the kernels' loops the text is read once for every
   instruction set: the header includes itself.  MOEI_V is a vector of
   MOEI_LANES reals and MOEI_I one of as many words of bits; in the first, plain
   reading a real and a word.  MOEI_(x) is x of this set. */

#if MOEI_LANES == 1
#define MOEI_(name) moei_##name
typedef moe_real moei_vector;
typedef moei_bits moei_words;
typedef moe_real moei_memory;
#define MOEI_PICK(test, a, b) ((test) ? (a) : (b))
#define MOEI_REAL(bits) moei_from_bits(bits)
#define MOEI_BITS(x) moei_to_bits(x)
#define MOEI_LOW(a, b) ((void)(b), (a))
#define MOEI_HIGH(a, b) ((void)(a), (b))
#define MOEI_TALL_TILE MOEI_SIZED(MOEI_R1, MOEI_R3)
#define MOEI_PAIR_TILE MOEI_SIZED(MOEI_R1, MOEI_R2)
#define MOEI_LONG_TILE MOEI_SIZED(MOEI_WIDE, MOEI_W16)
#else
#define MOEI_(name) MOEI_JOIN(name, MOEI_SET)
#define MOEI_TALL_TILE MOEI_R6
#define MOEI_PAIR_TILE MOEI_R2
#define MOEI_LONG_TILE MOEI_SIZED(MOEI_WIDE, MOEI_W8)
typedef moe_real MOEI_(vector)
    __attribute__((vector_size(MOEI_LANES * sizeof(moe_real))));
typedef moei_bits MOEI_(words)
    __attribute__((vector_size(MOEI_LANES * sizeof(moe_real))));
typedef moei_signed MOEI_(mask)
    __attribute__((vector_size(MOEI_LANES * sizeof(moe_real))));
typedef moe_real MOEI_(memory)
    __attribute__((vector_size(MOEI_LANES * sizeof(moe_real)),
                   aligned(MOEI_ALIGNED), may_alias));
#define MOEI_PICK(test, a, b)                                               \
    ((MOEI_V)(((MOEI_I)(test) & (MOEI_I)(a)) | (~(MOEI_I)(test) & (MOEI_I)(b))))
#define MOEI_REAL(bits) ((MOEI_V)(bits))
#define MOEI_BITS(x) ((MOEI_I)(x))
/* Lanes in turn, a0 b0 a1 b1 ...: of the low halves, and of the high ones. */
#if MOEI_LANES == 16
#define MOEI_LOWS 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define MOEI_HIGHS 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif MOEI_LANES == 8
#define MOEI_LOWS 0, 8, 1, 9, 2, 10, 3, 11
#define MOEI_HIGHS 4, 12, 5, 13, 6, 14, 7, 15
#elif MOEI_LANES == 4
#define MOEI_LOWS 0, 4, 1, 5
#define MOEI_HIGHS 2, 6, 3, 7
#else
#define MOEI_LOWS 0, 2
#define MOEI_HIGHS 1, 3
#endif
#ifdef __clang__
#define MOEI_LOW(a, b) __builtin_shufflevector(a, b, MOEI_LOWS)
#define MOEI_HIGH(a, b) __builtin_shufflevector(a, b, MOEI_HIGHS)
#else
static const MOEI_(words) MOEI_(lows) = {MOEI_LOWS};
static const MOEI_(words) MOEI_(highs) = {MOEI_HIGHS};
#define MOEI_LOW(a, b) __builtin_shuffle(a, b, MOEI_(lows))
#define MOEI_HIGH(a, b) __builtin_shuffle(a, b, MOEI_(highs))
#endif
#endif
#ifndef MOEI_LARGER
#define MOEI_LARGER(a, b) MOEI_PICK((a) < (b), b, a)
#endif
#ifndef MOEI_LOAD_PART
#define MOEI_LOAD_PART(p, n) MOEI_(part)(p, n)
#define MOEI_STORE_PART(p, n, x) MOEI_(scatter)(p, 1, n, x)
#endif
#define MOEI_V MOEI_(vector)
#define MOEI_I MOEI_(words)
#define MOEI_LOAD(p) (*(const MOEI_(memory) *)(p))
#define MOEI_STORE(p, x) (*(MOEI_(memory) *)(p) = (x))
#define MOEI_ALL(x) ((x) - MOEI_(nothing))
/* Rows of the tallest tile of a product, vectors of a tile of one row. */
#define MOEI_TALL (MOEI_LANES > 1 ? 6 : MOEI_SIZED(1, 3))
#define MOEI_LONG MOEI_SIZED(MOEI_VECTORS, (MOEI_LANES > 1 ? 8 : 16))
static const MOEI_V MOEI_(nothing) = {0};

/* exp, log, tanh, sqrt: 2 ulp over the whole range; NaN stays; no branches. */

/* x = k ln 2 + r, |r| <= ln(2)/2.  Returns q = e^r - 1 = r + r^2/2! + ... and
   2^k as a product of two powers, for 2^k alone may leave the range; far
   below it 0, without the slow products of subnormal numbers. */
MOEI_FAST MOEI_V MOEI_(exp_parts)(MOEI_V x, MOEI_V *power, MOEI_V *rest)
{
    const MOEI_V least = MOEI_ALL((moe_real)MOEI_EXP_MIN);
    const MOEI_V most = MOEI_ALL((moe_real)MOEI_EXP_MAX);
    const MOEI_V zero = MOEI_ALL((moe_real)0), at = x;
    MOEI_V rounded, k, r, q = MOEI_ALL(moei_factorial[MOEI_EXP_TERMS]);
    MOEI_I exponent, half;
    int n;

    x = MOEI_PICK(at < least, zero, x);
    x = MOEI_PICK(at > most, most, x);
    rounded = x * MOEI_LOG2_E + MOEI_ROUND;      /* its low bits are k */
    exponent = MOEI_BITS(rounded) - (moei_to_bits(MOEI_ROUND) - 2 * MOEI_BIAS);
    half = exponent >> 1;
    *power = MOEI_REAL(half << MOEI_FRACTION);
    *rest = MOEI_PICK(at < least, zero,
                      MOEI_REAL((exponent - half) << MOEI_FRACTION));
    k = MOEI_REAL(MOEI_BITS(rounded)) - MOEI_ROUND;    /* by way of memory */
    r = (x - k * MOEI_LN2_HIGH) - k * MOEI_LN2_LOW;
    MOEI_UNROLL(for (n = MOEI_EXP_TERMS - 1; n >= 2; n--))
        q = q * r + moei_factorial[n];
    return r + r * r * q;
}

/* e^x = 2^k (1 + q) */
MOEI_FAST MOEI_V MOEI_(exp)(MOEI_V x)
{
    MOEI_V power, rest, q = MOEI_(exp_parts)(x, &power, &rest);
    return (1 + q) * power * rest;
}

/* e^x - 1 = 2^k q + (2^k - 1) for x <= 0 */
MOEI_FAST MOEI_V MOEI_(exp_minus_1)(MOEI_V x)
{
    MOEI_V power, rest, q = MOEI_(exp_parts)(x, &power, &rest);
    return q * power * rest + (power * rest - 1);
}

/* With v = e^(-2|x|) and u = v - 1:  tanh |x| = -u / (2 + u) below 1, and above
   1 - 2v / (1 + v), for v has digits that u lost.  What rounding took from u
   and from 2 + u is put back by the derivatives of the quotient. */
MOEI_FAST MOEI_V MOEI_(tanh)(MOEI_V x)
{
    const MOEI_I sign = MOEI_BITS(x) & MOEI_SIGN_BIT;
    MOEI_V size = MOEI_REAL(MOEI_BITS(x) ^ sign), power, rest;
    MOEI_V q = MOEI_(exp_parts)(-2 * size, &power, &rest);
    MOEI_V low = q * power * rest, high = power * rest - 1;
    MOEI_V u = low + high, v = low + power * rest, below = 2 + u;
    MOEI_V lost_u = low - (u - high), lost = u - (below - 2);
    MOEI_V part = MOEI_PICK(size < 1, -u, 2 * v)
                / MOEI_PICK(size < 1, below, 1 + v);
    MOEI_V more = (lost * part + lost_u * (1 + part)) * (1 + part) / 2;
    MOEI_V y = MOEI_PICK(size < 1, part - more, 1 - part);
    return MOEI_REAL((MOEI_BITS(y) & ~MOEI_SIGN_BIT) | sign);
}

MOEI_FAST MOEI_V MOEI_(logistic)(MOEI_V x)
{
    return 1 / (1 + MOEI_(exp)(-x));
}

/* x = 2^k m, sqrt(1/2) <= m < sqrt(2); f = m - 1, v = f / (2 + f):
   log m = 2 atanh v = 2v + 2v^3/3 + 2v^5/5 + ... = f - (f^2/2 - v (f^2/2 + R)),
   where R = 2v^2/3 + 2v^4/5 + ...  keeps the rounding of f out of the sum.
   k becomes a real by standing in the low bits of 2^fraction. */
MOEI_FAST MOEI_V MOEI_(log)(MOEI_V x)
{
    const moe_real scale = moei_power_of_2(MOEI_FRACTION + 1);
    const moe_real whole = moei_power_of_2(MOEI_FRACTION);
    const MOEI_V zero = MOEI_ALL((moe_real)0), inf = MOEI_ALL(MOEI_INFINITY);
    const MOEI_V none = MOEI_ALL(MOEI_NAN);
    MOEI_V least = MOEI_ALL(moei_power_of_2(1 - MOEI_BIAS));
    MOEI_I bits = MOEI_BITS(MOEI_PICK(x < least, x * scale, x))
           - (MOEI_SQRT_HALF - MOEI_ONE_BITS);
    MOEI_V k = MOEI_REAL((bits >> MOEI_FRACTION) | moei_to_bits(whole)) - whole
        - (moe_real)MOEI_BIAS
        - MOEI_PICK(x < least, zero + (moe_real)(MOEI_FRACTION + 1), zero);
    MOEI_V f = MOEI_REAL((bits & (((moei_bits)1 << MOEI_FRACTION) - 1))
                    + MOEI_SQRT_HALF) - 1;
    MOEI_V v = f / (2 + f), w = v * v, R = zero, half = f * f / 2, y;
    int n;

    MOEI_UNROLL(for (n = MOEI_LOG_TERMS; n >= 1; n--))
        R = (R + (moe_real)2 / (moe_real)(2 * n + 1)) * w;
    y = k * MOEI_LN2_HIGH - ((half - (v * (half + R) + k * MOEI_LN2_LOW)) - f);
    y = MOEI_PICK(x == 0, -inf, y);
    y = MOEI_PICK(x == inf, inf, y);
    return MOEI_PICK(x >= 0, y, none);
}

/* sqrt x = x r, r = 1 / sqrt x by Newton's r += r (1 - x r^2) / 2 from a guess
   that halves the exponent.  Tiny x are scaled by 2^(4 fraction). */
MOEI_FAST MOEI_V MOEI_(sqrt)(MOEI_V x)
{
    const moe_real up = moei_power_of_2(4 * MOEI_FRACTION);
    const moe_real down = moei_power_of_2(-2 * MOEI_FRACTION);
    const MOEI_V inf = MOEI_ALL(MOEI_INFINITY), none = MOEI_ALL(MOEI_NAN);
    const MOEI_V least = MOEI_ALL(
        moei_power_of_2(4 * MOEI_FRACTION - MOEI_BIAS));
    MOEI_V u = MOEI_PICK(x < least, x * up, x);
    MOEI_V r = MOEI_REAL(MOEI_RSQRT - (MOEI_BITS(u) >> 1)), root;
    int n;

    MOEI_UNROLL(for (n = 0; n < MOEI_RSQRT_STEPS; n++))
        r = r * ((moe_real)1.5 - u / 2 * r * r);
    root = u * r;
    root = root + r / 2 * (u - root * root);
    root = MOEI_PICK(x < least, root * down, root);
    root = MOEI_PICK(x == inf, x, root);
    root = MOEI_PICK(x == 0, x, root);
    return MOEI_PICK(x >= 0, root, none);
}

/* ELU and the derivative of SiLU, g (1 + a (1 - g)) with g = logistic a. */
MOEI_FAST MOEI_V MOEI_(elu)(MOEI_V a)
{
    MOEI_V below = MOEI_(exp_minus_1)(MOEI_PICK(a > 0, MOEI_(nothing), a));
    return MOEI_PICK(a > 0, a, below);
}

MOEI_FAST MOEI_V MOEI_(silu_slope)(MOEI_V a)
{
    MOEI_V g = MOEI_(logistic)(a);
    return g * (1 + a * (1 - g));
}

MOEI_FAST MOEI_V MOEI_(larger)(MOEI_V a, MOEI_V b)
{
    return MOEI_LARGER(a, b);
}

/* a cut to +-most */
MOEI_FAST MOEI_V MOEI_(clamp)(MOEI_V a, MOEI_V most)
{
    a = MOEI_PICK(a > most, most, a);
    return MOEI_PICK(a < -most, -most, a);
}

/* The first n lanes of a, the others of b. */
MOEI_FAST MOEI_V MOEI_(first)(int n, MOEI_V a, MOEI_V b)
{
    return MOEI_PICK(MOEI_LOAD(moei_lane) < (moe_real)n, a, b);
}

/* n lanes that stand `apart`, the others 0; and n lanes back. */
MOEI_APART MOEI_V MOEI_(gather)(const moe_real *p, ptrdiff_t apart, int n)
{
#if MOEI_LANES == 4
    const MOEI_V v = {p[0], n > 1 ? p[apart] : 0, n > 2 ? p[2 * apart] : 0,
                      n > 3 ? p[3 * apart] : 0};
    return v;
#else
    moe_real lane[MOEI_LANES] = {0};
    int i;

    for (i = 0; i < n; i++)
        lane[i] = p[i * apart];
    return MOEI_LOAD(lane);
#endif
}

MOEI_APART void MOEI_(scatter)(moe_real *p, ptrdiff_t apart, int n, MOEI_V v)
{
    moe_real lane[MOEI_LANES];
    int i;

    MOEI_STORE(lane, v);
    for (i = 0; i < n; i++)
        p[i * apart] = lane[i];
}

/* The same side by side.  No byte beyond them is read or written. */
MOEI_FAST MOEI_V MOEI_(part)(const moe_real *p, int n)
{
    const MOEI_V first = {*p};
    return n == 1 ? first : MOEI_(gather)(p, 1, n);
}

MOEI_FAST MOEI_V MOEI_(get)(const moe_real *p, int n)
{
    if (n == MOEI_LANES || MOEI_LANES == 1)
        return MOEI_LOAD(p);
    return MOEI_LOAD_PART(p, n);
}

MOEI_FAST void MOEI_(give)(moe_real *p, int n, MOEI_V v)
{
    if (n == MOEI_LANES || MOEI_LANES == 1)
        MOEI_STORE(p, v);
    else
        MOEI_STORE_PART(p, n, v);
}

/* And however they stand; 0 apart: one number for all. */
MOEI_APART MOEI_V MOEI_(fetch)(const moe_real *p, ptrdiff_t apart, int n)
{
    return apart == 0 ? MOEI_ALL(*p) : apart == 1 || n == 1
         ? MOEI_(get)(p, n) : MOEI_(gather)(p, apart, n);
}

MOEI_APART void MOEI_(put)(moe_real *p, ptrdiff_t apart, int n, MOEI_V v)
{
    if (apart == 1 || n == 1)
        MOEI_(give)(p, n, v);
    else
        MOEI_(scatter)(p, apart, n, v);
}

/* Lanes that the compiler knows to be all in use, side by side, or neither. */
MOEI_FAST MOEI_V MOEI_(lanes)(const moe_real *p, ptrdiff_t apart, int n,
                              const moei_stand stand)
{
    if (stand == MOEI_WHOLE)
        return MOEI_LOAD(p);
    return stand == MOEI_BESIDE ? MOEI_(get)(p, n) : MOEI_(fetch)(p, apart, n);
}

MOEI_FAST void MOEI_(set_lanes)(moe_real *p, ptrdiff_t apart, int n, MOEI_V v,
                                const moei_stand stand)
{
    if (stand == MOEI_WHOLE)
        MOEI_STORE(p, v);
    else if (stand == MOEI_BESIDE)
        MOEI_(give)(p, n, v);
    else
        MOEI_(put)(p, apart, n, v);
}

/* An operand's row, which may be one number: then it is spread in room. */
MOEI_FAST const moe_real *MOEI_(operand)(const moe_real *p, int col,
                                         moe_real *room)
{
    if (col != 0 || MOEI_LANES == 1)
        return p;
    MOEI_STORE(room, MOEI_ALL(*p));
    return room;
}

/* Rows and columns of v exchanged: each round deals its halves out in turn. */
MOEI_FAST void MOEI_(transpose)(MOEI_V *v)
{
    MOEI_V dealt[MOEI_LANES];
    int round, i;

    MOEI_UNROLL(for (round = MOEI_LANES; round > 1; round /= 2)) {
        MOEI_UNROLL(for (i = 0; i < MOEI_LANES / 2; i++)) {
            dealt[2 * i] = MOEI_LOW(v[i], v[i + MOEI_LANES / 2]);
            dealt[2 * i + 1] = MOEI_HIGH(v[i], v[i + MOEI_LANES / 2]);
        }
        MOEI_UNROLL(for (i = 0; i < MOEI_LANES; i++))
            v[i] = dealt[i];
    }
}

/* Lane i of the result is the sum of all lanes of v[i], for i < n. */
MOEI_LOOP MOEI_V MOEI_(sums)(MOEI_V *v, int n)
{
    int half, i;

    for (half = MOEI_LANES / 2; half > 0; half /= 2)
        for (i = 0; i < half && i < n; i++)
            v[i] = MOEI_LOW(v[i], v[i + half]) + MOEI_HIGH(v[i], v[i + half]);
    return v[0];
}

/* Four dots of a (k) with columns of B that are `apart`, as vectors of partial
   sums.  a_step 0: a is one number, in every lane of a vector. */
MOEI_LOOP void MOEI_(four_dots)(const moe_real *a, int a_step,
                                const moe_real *b, ptrdiff_t apart, int k,
                                MOEI_V *dot)
{
    MOEI_V s0 = MOEI_ALL((moe_real)0), s1 = s0, s2 = s0, s3 = s0, x;
    int n;

    for (; k > 0; k -= MOEI_LANES, a += a_step, b += MOEI_LANES) {
        n = moei_smaller(k, MOEI_LANES);
        x = MOEI_(get)(a, n);
        s0 += x * MOEI_(get)(b, n);
        s1 += x * MOEI_(get)(b + apart, n);
        s2 += x * MOEI_(get)(b + 2 * apart, n);
        s3 += x * MOEI_(get)(b + 3 * apart, n);
    }
    dot[0] = s0;
    dot[1] = s1;
    dot[2] = s2;
    dot[3] = s3;
}

/* The largest of all lanes, or the sum of them, in every lane. */
MOEI_FAST MOEI_V MOEI_(fold)(MOEI_V a, const int largest)
{
    int n;

    MOEI_UNROLL(for (n = MOEI_LANES; n > 1; n /= 2)) {
        const MOEI_V low = MOEI_LOW(a, a), high = MOEI_HIGH(a, a);
        a = largest ? MOEI_(larger)(low, high) : low + high;
    }
    return a;
}

/* b (m,n), at most LANES of each, to m rows that are `wide` apart. */
MOEI_FAST void MOEI_(turn)(const moe_real *b, ptrdiff_t apart, int m, int n,
                           moe_real *to, ptrdiff_t wide)
{
    MOEI_V v[MOEI_LANES];
    int r;

    MOEI_UNROLL(for (r = 0; r < MOEI_LANES; r++))
        v[r] = r < n ? MOEI_(get)(b + r * apart, m) : MOEI_(nothing);
    MOEI_(transpose)(v);
    MOEI_UNROLL(for (r = 0; r < MOEI_LANES; r++))
        if (r < m)
            MOEI_STORE(to + r * wide, v[r]);
}

/* Copy b (m,n) to rows that are `wide` apart and start at `to`. */
MOEI_LOOP void MOEI_(pack)(const moei_view *b, moe_real *to, ptrdiff_t wide)
{
    ptrdiff_t i, j;
    int r, rows, columns;

    for (j = 0; j < b->n; j += MOEI_LANES)
        for (i = 0; i < b->m; i += MOEI_LANES) {
            const moe_real *at = b->at + i * b->row + j * b->col;

            rows = moei_smaller(b->m - (int)i, MOEI_LANES);
            columns = moei_smaller(b->n - (int)j, MOEI_LANES);
            if (b->row == 1 && b->col != 1 && rows > MOEI_LANES / 4)
                MOEI_(turn)(at, b->col, rows, columns, to + i * wide + j, wide);
            else
                for (r = 0; r < rows; r++)
                    MOEI_STORE(to + (i + r) * wide + j,
                        MOEI_(fetch)(at + r * b->row, b->col, columns));
        }
}

/* ======================================================================== */
/* 5  KERNELS                                                               */
/* ======================================================================== */
/* The loops that all the other rooms run on:

     product   C = f(S + A B)
     map       Y = f(A, B, C), element by element
     reduce    y = sum or maximum over each row
     softmax   P = softmax of each row, its logarithm, and the log of its sum
     update    one optimiser step over a flat array

   Rooms 4 and 5 alone know about instruction sets.  The loops are written once,
   for vectors of MOEI_LANES reals, the last one of a row perhaps not full; for
   one lane they are plain C, and the reference. */

#if MOEI_LANES == 1      /* what is read only once */
/* Instruction sets that the compiler can make code for; with -Os just one. */
#if defined(__GNUC__) && defined(__SSE2_MATH__) && !defined(__OPTIMIZE_SIZE__)
#define MOEI_HAS_AVX
#ifdef __clang__
#if !__has_builtin(__builtin_ia32_loadups512_mask)
#undef MOEI_HAS_AVX
#endif
#endif
#endif
#define MOEI_BUILTIN(before, after) MOEI_EITHER(                            \
    __builtin_ia32_##before##ps##after, __builtin_ia32_##before##pd##after)
typedef MOEI_EITHER(unsigned short, unsigned char) moei_mask_bits;
#define MOEI_EVERY MOEI_EITHER(-1, 255)     /* lane, as a mask */
#if defined(__GNUC__) && (defined(__SSE2_MATH__) || defined(__aarch64__) \
                          || defined(__wasm_simd128__))
#define MOEI_HAS_128
#endif

/* The elementwise functions of vectors a, b, c; LONG are many instructions.
   Activations and products with their slopes stand in moe_activation's order;
   slopes take f'(a) from b = f(a), but for silu from b = a. */
#define MOEI_OPS(X, LONG, LEARN, LEARN_LONG)                                \
    X(MOEI_COPY, a) X(MOEI_MUL_ADD, a * b + c) X(MOEI_SUB_MUL, (a - b) * c) \
    X(MOEI_RELU, MOEI_(larger)(a, MOEI_(nothing)))                          \
    LONG(MOEI_TANH, MOEI_(tanh)(a)) LONG(MOEI_LOGISTIC, MOEI_(logistic)(a)) \
    LONG(MOEI_ELU, MOEI_(elu)(a)) LONG(MOEI_SILU, a * MOEI_(logistic)(a))   \
    LEARN(MOEI_ADD, a + b) LEARN(MOEI_SUB, a - b) LEARN(MOEI_MUL, a * b)    \
    LEARN(MOEI_SUB_DIV, (a - b) / c) LEARN(MOEI_MAX2, MOEI_(larger)(a, b))  \
    LEARN(MOEI_MIN, MOEI_PICK(a > b, b, a))                                 \
    LEARN(MOEI_EQUAL, MOEI_PICK(a == b, c, MOEI_(nothing)))                 \
    LEARN(MOEI_AT_LEAST, MOEI_PICK(a >= b, c, MOEI_(nothing)))              \
    LEARN_LONG(MOEI_EXP, MOEI_(exp)(a - b))                                 \
    LEARN_LONG(MOEI_LOG, MOEI_(log)(a))                                     \
    LEARN(MOEI_RELU_SLOPE, MOEI_PICK(b > 0, a, MOEI_(nothing)))             \
    LEARN(MOEI_TANH_SLOPE, a * (1 - b * b))                                 \
    LEARN(MOEI_LOGISTIC_SLOPE, a * (b * (1 - b)))                           \
    LEARN(MOEI_ELU_SLOPE, MOEI_PICK(b > 0, a, a * (b + 1)))                 \
    LEARN_LONG(MOEI_SILU_SLOPE, a * MOEI_(silu_slope)(b))
#define MOEI_OP(name, result) name,
typedef enum { MOEI_OPS(MOEI_OP, MOEI_OP, MOEI_OP, MOEI_OP) } moei_map_op;

typedef enum { MOEI_MAX, MOEI_SUM, MOEI_DOT, MOEI_SQUARE } moei_reduce_op;
typedef enum { MOEI_SGD, MOEI_MOMENTUM, MOEI_ADAM } moei_update_op;
/* The numbers of one optimiser step. */
typedef struct moei_rule {
    moei_update_op op;
    moe_real scale;              /* of the gradient                          */
    moe_real rate, momentum, decay;
    moe_real second_scale;       /* 1 / (1 - beta_2^t) of Adam; its rate
                                    holds 1 / (1 - beta_1^t)                 */
} moei_rule;

#define MOEI_BETA_1 ((moe_real)0.9)
#define MOEI_BETA_2 ((moe_real)0.999)
#define MOEI_EPSILON ((moe_real)1e-8)

/* A part of C = S + A B that fits in registers. */
typedef struct moei_tile {
    moe_real *c;
    const moe_real *s, *a, *b;
    ptrdiff_t c_row, s_row, s_step, a_row, a_col, b_row;
    int k, left;                 /* left: lanes of the last vector in use    */
    moe_real least;              /* what C is raised to                      */
} moei_tile;

/* Lanes along the rows of B, along the sum, or along rows of B put together. */
typedef enum moei_way { MOEI_BY_ROWS, MOEI_BY_DOTS, MOEI_BY_PANELS } moei_way;

/* The one place that chooses.  Panels are copies: where many rows of C share a
   large B, or where lanes can run along neither the rows of B nor the sum. */
static moei_way moei_way_of(const moei_view *v, int bits)
{
    const moei_view *C = v, *A = v + 2, *B = v + 3;
    int contiguous = B->row == 1 && (A->col == 1 || A->col == 0);
    int few = C->m < 8 || C->n < 16, far = B->row >= 256 || B->n > 512;
    int apart = B->col != 1 && C->n > 1, shared = C->m >= 32 && A->n > 1;

    return bits == 1 ? MOEI_BY_ROWS
         : contiguous && few && !MOEI_IN_ORDER ? MOEI_BY_DOTS
         : apart || (far && shared) ? MOEI_BY_PANELS : MOEI_BY_ROWS;
}

/* A loop on four views, its own copies: what it does; the view that has not a
   row for each row of the first, or -1; what it raises C to. */
typedef struct moei_job { int op, whole; moe_real least; } moei_job;
typedef void moei_loop(const moei_job *job, moei_view *v);

/* One of each loop, for one instruction set. */
typedef struct moei_kernels {
    int bits;                    /* of a vector; 1: plain                    */
    moei_loop *product[3];       /* C, S, A, B; by moei_way                  */
    moei_loop *map;              /* Y, A, B, C                               */
    moei_loop *reduce;           /* y, A, B                                  */
    moei_loop *softmax;          /* P, log P, lse, X                         */
    void (*update)(size_t n, moe_real *w, moe_real *g, moe_real *v,
                   moe_real *u, const moei_rule *rule);
} moei_kernels;
#endif

/* n vectors of Y = op(A, B, C), each `step` after the one before. */
#define MOEI_NEXT (n--, y += y_step, p += p_step, q += q_step, r += r_step)
#define MOEI_EACH(name, result)                                             \
    case name:                                                              \
        for (; n > 0; MOEI_NEXT) {                                          \
            const MOEI_V a = MOEI_LOAD(p), b = MOEI_LOAD(q);                \
            const MOEI_V c = MOEI_LOAD(r);                                  \
            (void)b, (void)c;                                               \
            MOEI_STORE(y, result);                                          \
        }                                                                   \
        break;
#define MOEI_SKIP(name, result) case name: break;
MOEI_LOOP void MOEI_(map_strip)(
    moei_map_op op, int n, moe_real *y, ptrdiff_t y_step, const moe_real *p,
    ptrdiff_t p_step, const moe_real *q, ptrdiff_t q_step, const moe_real *r,
    ptrdiff_t r_step)
{
    switch (op) {
    MOEI_OPS(MOEI_EACH, MOEI_EACH, MOEI_LEARNS(MOEI_EACH, MOEI_SKIP),
             MOEI_LEARNS(MOEI_EACH, MOEI_SKIP))
    }
}

/* One vector of it, by way of memory; short operations go without. */
MOEI_APART MOEI_V MOEI_(map_long)(moei_map_op op, MOEI_V a, MOEI_V b, MOEI_V c)
{
    moe_real room[4][MOEI_LANES];

    MOEI_STORE(room[0], a);
    MOEI_STORE(room[1], b);
    MOEI_STORE(room[2], c);
    MOEI_(map_strip)(op, 1, room[3], 0, room[0], 0, room[1], 0, room[2], 0);
    return MOEI_LOAD(room[3]);
}

#define MOEI_ONCE(name, result) case name: return result;
MOEI_FAST MOEI_V MOEI_(map_once)(moei_map_op op, MOEI_V a, MOEI_V b, MOEI_V c)
{
    switch (op) {
    MOEI_OPS(MOEI_ONCE, MOEI_SKIP, MOEI_ONCE, MOEI_SKIP)
    }
    return MOEI_(map_long)(op, a, b, c);
}

/* The last n elements of a row, fewer than there are lanes. */
MOEI_APART void MOEI_(map_left)(moei_map_op op, int n, moe_real *y,
                                const moe_real *p, int p_col,
                                const moe_real *q, int q_col,
                                const moe_real *r, int r_col)
{
    const MOEI_V a = p_col ? MOEI_LOAD_PART(p, n) : MOEI_ALL(*p);
    const MOEI_V b = q_col ? MOEI_LOAD_PART(q, n) : MOEI_ALL(*q);
    const MOEI_V c = r_col ? MOEI_LOAD_PART(r, n) : MOEI_ALL(*r);

    MOEI_STORE_PART(y, n, MOEI_(map_once)(op, a, b, c));
}

/* Rows that are side by side or one number: whole vectors, then a part. */
MOEI_LOOP void MOEI_(map_rows)(moei_map_op op, const moei_view *v)
{
    const int one = v->m > 1 && moei_is_one_row(v) && moei_is_one_row(v + 1)
                 && moei_is_one_row(v + 2) && moei_is_one_row(v + 3);
    const int n = one ? v->m * v->n : v->n;
    const int left = n % MOEI_LANES, whole = n - left;
    const int p_col = v[1].col, q_col = v[2].col, r_col = v[3].col;
    moe_real room[3][MOEI_LANES];
    int i;

    for (i = 0; i < (one ? 1 : v->m); i++) {
        const moe_real *p = moei_at_row(&v[1], i), *q = moei_at_row(&v[2], i);
        const moe_real *r = moei_at_row(&v[3], i);
        moe_real *y = moei_writable(*v) + (moei_at_row(v, i) - v->at);

        if (whole > 0)
            MOEI_(map_strip)(op, whole / MOEI_LANES, y, v->col * MOEI_LANES,
                MOEI_(operand)(p, p_col, room[0]), p_col * MOEI_LANES,
                MOEI_(operand)(q, q_col, room[1]), q_col * MOEI_LANES,
                MOEI_(operand)(r, r_col, room[2]), r_col * MOEI_LANES);
        if (left > 0)
            MOEI_(map_left)(op, left, y + whole, p + whole * p_col, p_col,
                            q + whole * q_col, q_col, r + whole * r_col, r_col);
    }
}

/* Rows whose elements stand apart: copied together, some at a time. */
MOEI_LOOP void MOEI_(map_apart)(moei_map_op op, const moei_view *v)
{
    enum { SOME = 16 * MOEI_LANES };
    moe_real room[4][SOME];
    moei_view some[4];
    int i, j, k, n;

    for (i = 0; i < v->m; i++)
        for (j = 0; j < v->n; j += SOME) {
            n = moei_smaller(v->n - j, SOME);
            for (k = 0; k < 4; k++) {
                some[k] = moei_row(room[k], n);
                if (k > 0 && v[k].list == NULL && v[k].col <= 1)
                    some[k] = moei_window(v[k], i, j, 1, n);
                else if (k > 0)
                    moei_exchange(&v[k], i, j, n, room[k], 0);
            }
            MOEI_(map_rows)(op, some);
            moei_exchange(v, i, j, n, room[0], 1);
        }
}

/* Y (m,n) = op(A, B, C), element by element; Y may be one of them.  Where lanes
   are to run over cases, rows become columns, lists lists of columns. */
MOEI_LOOP void MOEI_(kernel_map)(const moei_job *job, moei_view *v)
{
    const moei_map_op op = (moei_map_op)job->op;
    const int listed = v->list || v[1].list || v[2].list || v[3].list;
    int k, turn = v->n == 1 || moei_lanes_over_cases(v->m, v->n);

    if (listed)
        turn = MOEI_LANES > 1 && (turn || !moei_stand_beside(v));
    for (k = 0; k < 4 && turn; k++)
        v[k] = moei_transposed(v[k]);
    if (MOEI_LANES > 1 && ((listed && turn) || !moei_stand_beside(v)))
        MOEI_(map_apart)(op, v);
    else if (MOEI_LANES == 1 || listed || v->m > 1 || v->n >= MOEI_LANES)
        MOEI_(map_rows)(op, v);
    else
        MOEI_(map_left)(op, v->n, moei_writable(*v), v[1].at, v[1].col,
                        v[2].at, v[2].col, v[3].at, v[3].col);
}

MOEI_FAST MOEI_V MOEI_(term)(moei_reduce_op op, MOEI_V sum, MOEI_V a, MOEI_V b)
{
    return op == MOEI_MAX ? MOEI_(larger)(sum, a)
         : op == MOEI_SUM ? sum + a
         : op == MOEI_DOT ? sum + a * b : sum + (a - b) * (a - b);
}

/* `vectors` of sums or maxima, each in the order of its terms, for the rows of
   A from i on: lanes run over rows. */
MOEI_FAST void MOEI_(reduce_across)(moei_reduce_op op, const moei_view *y,
                                    const moei_view *A, const moei_view *B,
                                    int i, const int vectors,
                                    const moei_stand stand)
{
    const int n = moei_smaller(A->m - i, MOEI_LANES);
    const ptrdiff_t a_next = A->row * MOEI_LANES, b_next = B->row * MOEI_LANES;
    const moe_real *p = A->at + (ptrdiff_t)i * A->row;
    const moe_real *q = B->at + (ptrdiff_t)i * B->row;
    moe_real *to = moei_writable(*y) + (ptrdiff_t)i * y->row;
    MOEI_V sum[4];
    int j, v;

    for (v = 0; v < vectors; v++)
        sum[v] = MOEI_ALL(op == MOEI_MAX ? -MOEI_INFINITY : (moe_real)0);
    for (j = A->n; j > 0; j--, p += A->col, q += B->col) {
        MOEI_UNROLL(for (v = 0; v < vectors; v++))
            sum[v] = MOEI_(term)(op, sum[v],
                MOEI_(lanes)(p + v * a_next, A->row, n, stand),
                MOEI_(lanes)(q + v * b_next, B->row, n, stand));
    }
    for (v = 0; v < vectors; v++)
        MOEI_(put)(to + v * y->row * MOEI_LANES, y->row, n, sum[v]);
}

/* As many sums as there are lanes, which run along the rows. */
MOEI_LOOP void MOEI_(reduce_along)(moei_reduce_op op, const moei_view *y,
                                const moei_view *A, const moei_view *B, int i)
{
    const int rows = moei_smaller(A->m - i, MOEI_LANES);
    MOEI_V sum[MOEI_LANES];
    int j, r, n;

    for (r = 0; r < MOEI_LANES; r++)
        sum[r] = MOEI_ALL((moe_real)0);
    for (r = 0; r < rows; r++) {
        const moe_real *p = A->at + (ptrdiff_t)(i + r) * A->row;
        const moe_real *q = B->at + (ptrdiff_t)(i + r) * B->row;
        for (j = 0; j < A->n; j += MOEI_LANES, q += B->col * MOEI_LANES) {
            n = moei_smaller(A->n - j, MOEI_LANES);
            sum[r] = MOEI_(first)(n, MOEI_(term)(op, sum[r],
                                                 MOEI_(get)(p + j, n),
                                                 MOEI_(fetch)(q, B->col, n)),
                                  sum[r]);
        }
    }
    MOEI_(put)(moei_writable(*y) + (ptrdiff_t)i * y->row, y->row, rows,
               MOEI_(sums)(sum, rows));
}

/* y_i = max_j A_ij,  sum_j A_ij,  sum_j A_ij B_ij  or  sum_j (A_ij - B_ij)^2
   A, B (m,n)   y (m,1) */
MOEI_LOOP void MOEI_(kernel_reduce)(const moei_job *job, moei_view *v)
{
    const moei_reduce_op op = (moei_reduce_op)job->op;
    const moei_view *y = v, *A = v + 1, *B = v + 2;
    const int along = A->col == 1 && A->n > 4 && MOEI_LANES > 1
                   && op != MOEI_MAX && !MOEI_IN_ORDER;
    int i = 0, side = MOEI_SIZED(MOEI_LANES > 1, 1) && A->row == 1
                   && B->row == 1;

    for (; i < A->m && along; i += MOEI_LANES)
        MOEI_(reduce_along)(op, y, A, B, i);
    for (; i + 4 * MOEI_LANES <= A->m && side; i += 4 * MOEI_LANES)
        MOEI_(reduce_across)(op, y, A, B, i, 4, MOEI_WHOLE);
    for (; i < A->m; i += MOEI_LANES)
        MOEI_(reduce_across)(op, y, A, B, i, 1, MOEI_ANYHOW);
}

/* P_ij = exp(X_ij) / sum_j exp(X_ij),  log_P_ij = X_ij - lse_i,
     lse_i = log sum_j exp(X_ij) = top + log sum_j exp(X_ij - top),
   top = max_j X_ij, so that nothing overflows; |X| is cut so that no inf - inf
   can be.  P, log_P, X (m,n)   lse (m,1), side by side   log_P may be X, or P
   if unwanted.  Lanes run along row i, or each has a row of its own. */
MOEI_FAST void MOEI_(softmax_rows)(const moei_view *P, const moei_view *log_P,
                                   const moei_view *lse, const moei_view *X,
                                   ptrdiff_t i, const int along,
                                   const moei_stand stand)
{
    const int rows = along ? 1 : moei_smaller(X->m - (int)i, MOEI_LANES);
    const int step = along ? MOEI_LANES : 1;
    const ptrdiff_t p_lane = along ? P->col : P->row;
    const ptrdiff_t l_lane = along ? log_P->col : log_P->row;
    const ptrdiff_t x_lane = along ? X->col : X->row;
    const moe_real *x = X->at + i * X->row;
    moe_real *p = moei_writable(*P) + i * P->row;
    moe_real *l = moei_writable(*log_P) + i * log_P->row;
    const MOEI_V most = MOEI_ALL(MOEI_LARGEST);
    MOEI_V top = -most, sum = MOEI_ALL((moe_real)0), a, b, e;
    ptrdiff_t j;
    int n;

    for (j = 0; j < X->n; j += step) {
        n = along ? moei_smaller(X->n - (int)j, step) : rows;
        a = MOEI_(larger)(top, MOEI_(lanes)(x + j * X->col, x_lane, n, stand));
        top = along ? MOEI_(first)(n, a, top) : a;
    }
    top = MOEI_(clamp)(along ? MOEI_(fold)(top, 1) : top, most);
    for (j = 0; j < X->n; j += step) {
        n = along ? moei_smaller(X->n - (int)j, step) : rows;
        a = MOEI_(lanes)(x + j * X->col, x_lane, n, stand);
        a = MOEI_(clamp)(a, most) - top;
        e = MOEI_(exp)(a);
        sum = along ? MOEI_(first)(n, sum + e, sum) : sum + e;
        MOEI_(set_lanes)(l + j * log_P->col, l_lane, n, a, stand);
        MOEI_(set_lanes)(p + j * P->col, p_lane, n, e, stand);
    }
    sum = along ? MOEI_(fold)(sum, 0) : sum;
    a = MOEI_LEARNS(MOEI_(log)(sum), sum);
    MOEI_(give)(moei_writable(*lse) + i, rows, a + top);
    for (j = 0; j < X->n; j += step) {
        n = along ? moei_smaller(X->n - (int)j, step) : rows;
        e = MOEI_(lanes)(p + j * P->col, p_lane, n, stand);
        b = MOEI_(lanes)(l + j * log_P->col, l_lane, n, stand);
        MOEI_(set_lanes)(l + j * log_P->col, l_lane, n, b - a, stand);
        MOEI_(set_lanes)(p + j * P->col, p_lane, n, e / sum, stand);
    }
}

MOEI_LOOP void MOEI_(kernel_softmax)(const moei_job *job, moei_view *v)
{
    const moei_view *P = v, *log_P = v + 1, *lse = v + 2, *X = v + 3;
    const int along = X->n > 2 && MOEI_LANES > 1 && !MOEI_IN_ORDER
                   && X->col == 1 && P->col == 1 && log_P->col == 1;
    const int side = MOEI_SIZED(MOEI_LANES > 1, 1) && X->row == 1
                  && P->row == 1 && log_P->row == 1;
    const int whole = side ? X->m - X->m % MOEI_LANES : 0;
    int i = 0;

    (void)job;
    for (; i < X->m && along; i++)
        MOEI_(softmax_rows)(P, log_P, lse, X, i, 1, MOEI_BESIDE);
    for (; i < whole; i += MOEI_LANES)
        MOEI_(softmax_rows)(P, log_P, lse, X, i, 0, MOEI_WHOLE);
    for (; i < X->m; i += MOEI_LANES)
        MOEI_(softmax_rows)(P, log_P, lse, X, i, 0, MOEI_ANYHOW);
}

/* A tile of C in registers, rows x vectors, each accumulator with a name of
   its own: c20 is row 2, vector 0.  R and W list rows and vectors. */
#define MOEI_W1(X, r) X(r, 0)
#define MOEI_W2(X, r) X(r, 0) X(r, 1)
#define MOEI_W4(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3)
#define MOEI_W8(X, r) MOEI_W4(X, r) X(r, 4) X(r, 5) X(r, 6) X(r, 7)
#define MOEI_W16(X, r) MOEI_W8(X, r) X(r, 8) X(r, 9) X(r, 10) X(r, 11)     \
    X(r, 12) X(r, 13) X(r, 14) X(r, 15)
#define MOEI_R1(W, F) F(W, 0)
#define MOEI_R2(W, F) F(W, 0) F(W, 1)
#define MOEI_R3(W, F) F(W, 0) F(W, 1) F(W, 2)
#define MOEI_R6(W, F) MOEI_R3(W, F) F(W, 3) F(W, 4) F(W, 5)
#define MOEI_BEGIN(r, w)                                                    \
    MOEI_V c##r##w = MOEI_(get)(t->s + r * t->s_row + w * t->s_step, left);
#define MOEI_LINE(r, w)                                                     \
    const MOEI_V b##w = MOEI_(get)(b + w * MOEI_LANES, left);
#define MOEI_MULTIPLY(r, w) c##r##w += x * b##w;
#define MOEI_END(r, w)                                                      \
    MOEI_(give)(c + r * c_row + w * MOEI_LANES, left,                       \
                MOEI_(larger)(c##r##w, least));
#define MOEI_BEGIN_ROW(W, r) W(MOEI_BEGIN, r)
#define MOEI_MULTIPLY_ROW(W, r)                                             \
    {                                                                       \
        const MOEI_V x = MOEI_ALL(a[r * a_row]);                            \
        W(MOEI_MULTIPLY, r)                                                 \
    }
#define MOEI_END_ROW(W, r) W(MOEI_END, r)
#define MOEI_TILE(name, R, W, columns)                                      \
    MOEI_LOOP void MOEI_(name)(const moei_tile *t)                          \
    {                                                                       \
        const ptrdiff_t a_row = t->a_row, a_col = t->a_col;                 \
        const ptrdiff_t b_row = t->b_row, c_row = t->c_row;                 \
        const moe_real *a = t->a, *b = t->b;                                \
        const MOEI_V least = MOEI_ALL(t->least);                            \
        moe_real *const c = t->c;                                           \
        const int left = columns;                                           \
        int l;                                                              \
        R(W, MOEI_BEGIN_ROW)                                                \
        for (l = t->k; l > 0; l--, a += a_col, b += b_row) {                \
            W(MOEI_LINE, 0)                                                 \
            R(W, MOEI_MULTIPLY_ROW)                                         \
        }                                                                   \
        R(W, MOEI_END_ROW)                                                  \
    }
MOEI_TILE(tile_tall_wide, MOEI_TALL_TILE, MOEI_WIDE, MOEI_LANES)
MOEI_TILE(tile_2_wide, MOEI_PAIR_TILE, MOEI_WIDE, MOEI_LANES)
MOEI_TILE(tile_1_wide, MOEI_R1, MOEI_WIDE, MOEI_LANES)
MOEI_TILE(tile_1_long, MOEI_R1, MOEI_LONG_TILE, MOEI_LANES)
MOEI_TILE(tile_tall_left, MOEI_TALL_TILE, MOEI_W1, t->left)
MOEI_TILE(tile_2_left, MOEI_PAIR_TILE, MOEI_W1, t->left)
MOEI_TILE(tile_1_left, MOEI_R1, MOEI_W1, t->left)

/* C = max(least, S + A B) with lanes along the rows of C, S and B. */
MOEI_LOOP void MOEI_(product_rows)(const moei_job *job, moei_view *v)
{
    const moei_view *C = v, *S = v + 1, *A = v + 2, *B = v + 3;
    static void (*const tile[3][3])(const moei_tile *) = {
        {MOEI_(tile_1_left), MOEI_(tile_2_left), MOEI_(tile_tall_left)},
        {MOEI_(tile_1_wide), MOEI_(tile_2_wide), MOEI_(tile_tall_wide)},
        {MOEI_(tile_1_long), NULL, NULL}
    };
    enum { WIDE = MOEI_VECTORS * MOEI_LANES, LONG = MOEI_LONG * MOEI_LANES };
    const int one_for_all = S->col == 0 && MOEI_LANES > 1;
    const int side = MOEI_LANES > 1 || (C->col == 1 && B->col == 1);
    moe_real *c = moei_writable(*C), room[MOEI_TALL * MOEI_LANES];
    moei_tile t;
    ptrdiff_t i, j;
    int rows, columns, left, r;

    t.k = A->n;
    t.least = job->least;
    t.c_row = C->row;
    t.a_row = A->row;
    t.a_col = A->col;
    t.b_row = B->row;
    t.s_row = one_for_all ? MOEI_LANES : S->row;
    t.s_step = S->col == 0 ? 0 : MOEI_LANES;
    for (j = 0; j < C->n; j += columns) {
        left = side ? C->n - (int)j : 1;
        columns = C->m == 1 && left >= LONG ? LONG
                : left >= WIDE ? WIDE : moei_smaller(left, MOEI_LANES);
        t.left = columns;
        t.b = B->at + j * B->col;
        for (i = 0; i < C->m; i += rows) {
            rows = C->m - i < MOEI_TALL ? 1 + (C->m - i > 1) : MOEI_TALL;
            t.c = c + i * C->row + j * C->col;
            t.a = A->at + i * A->row;
            t.s = S->at + i * S->row + j * S->col;
            for (r = 0; r < rows && one_for_all; r++)
                MOEI_STORE(room + r * MOEI_LANES, MOEI_ALL(t.s[r * S->row]));
            t.s = one_for_all ? room : t.s;
            tile[columns == LONG && C->m == 1 ? 2 : columns == WIDE]
                [(rows > 1) + (rows > 2)](&t);
        }
    }
}

/* The same with the rows of B copied together first, a panel at a time. */
MOEI_LOOP void MOEI_(product_panels)(const moei_job *job, moei_view *v)
{
    enum { DEEP = 128, WIDE = MOEI_VECTORS * MOEI_LANES };
    MOEI_V panel_of[DEEP * MOEI_VECTORS];     /* aligned as vectors are */
    moe_real *panel = (moe_real *)(void *)panel_of;
    moei_job step = *job;
    int j, l, m = v->m, k = v[2].n;

    for (j = 0; j < v->n; j += WIDE)
        for (l = 0; l < k; l += DEEP) {
            const moei_view b = moei_window(v[3], l, j, DEEP, WIDE);
            const moei_view c = moei_window(v[0], 0, j, m, WIDE);
            moei_view part[4] = {
                c, l == 0 ? moei_window(v[1], 0, j, m, WIDE) : c,
                moei_window(v[2], 0, l, m, DEEP),
                moei_view_of(panel, WIDE, 1, b.m, b.n)};

            MOEI_(pack)(&b, panel, WIDE);
            step.least = l + DEEP < k ? -MOEI_INFINITY : job->least;
            MOEI_(product_rows)(&step, part);
        }
}

/* With lanes along the sum, for rows of A and columns of B that stand close;
   fewer than four columns at the end are worked as four times the same. */
MOEI_LOOP void MOEI_(product_dots)(const moei_job *job, moei_view *v)
{
    const moei_view *C = v, *S = v + 1, *A = v + 2, *B = v + 3;
    moe_real *c = moei_writable(*C), one[MOEI_LANES];
    MOEI_V dot[MOEI_LANES + 4], sum;
    ptrdiff_t i, j;
    int w, n;

    for (i = 0; i < C->m; i++)
        for (j = 0; j < C->n; j += MOEI_LANES) {
            const moe_real *a = A->at + i * A->row, *b = B->at + j * B->col;

            a = MOEI_(operand)(a, A->col, one);
            n = moei_smaller(C->n - (int)j, MOEI_LANES);
            for (w = 0; w < MOEI_LANES; w++)
                dot[w] = MOEI_ALL((moe_real)0);
            for (w = 0; w < n; w += n - w < 4 ? 1 : 4)
                MOEI_(four_dots)(a, A->col * MOEI_LANES, b + w * B->col,
                                 n - w < 4 ? 0 : B->col, A->n, dot + w);
            sum = MOEI_(sums)(dot, n)
                + MOEI_(fetch)(S->at + i * S->row + j * S->col, S->col, n);
            MOEI_(put)(c + i * C->row + j * C->col, C->col, n,
                       MOEI_(larger)(sum, MOEI_ALL(job->least)));
        }
}

/* w (n) after one step along scale * g; g = 0.  v, u: the moments.
     SGD       w -= rate (g + decay w)
     momentum  v = momentum v + g + decay w;  w -= rate v
     Adam      v = b1 v + (1-b1) g;  u = b2 u + (1-b2) g^2
               w -= rate v / (sqrt(u second_scale) + epsilon) + decay w */
MOEI_LOOP void MOEI_(kernel_update)(size_t n, moe_real *w, moe_real *g,
                                    moe_real *v, moe_real *u,
                                    const moei_rule *rule)
{
    MOEI_V x, step, first, second;
    size_t i;
    int left;

    for (i = 0; i < n; i += (size_t)left) {
        left = n - i < MOEI_LANES ? (int)(n - i) : MOEI_LANES;
        x = MOEI_(get)(w + i, left);
        step = MOEI_(get)(g + i, left) * rule->scale;
        MOEI_(give)(g + i, left, MOEI_(nothing));
        if (rule->op == MOEI_SGD) {
            x -= rule->rate * (step + rule->decay * x);
        } else if (rule->op == MOEI_MOMENTUM) {
            first = rule->momentum * MOEI_(get)(v + i, left) + step
                  + rule->decay * x;
            MOEI_(give)(v + i, left, first);
            x -= rule->rate * first;
        } else {
            first = MOEI_(get)(v + i, left);
            second = MOEI_(get)(u + i, left);
            first += (1 - MOEI_BETA_1) * (step - first);
            second += (1 - MOEI_BETA_2) * (step * step - second);
            MOEI_(give)(v + i, left, first);
            MOEI_(give)(u + i, left, second);
            x -= rule->rate * first
                   / (MOEI_(sqrt)(second * rule->second_scale) + MOEI_EPSILON)
               + rule->decay * x;
        }
        MOEI_(give)(w + i, left, x);
    }
}

MOEI_UNUSED static const moei_kernels MOEI_(table) = {
    MOEI_LANES == 1 ? 1 : MOEI_LANES * 8 * MOEI_REAL_SIZE,
    {MOEI_(product_rows), MOEI_LANES == 1 ? NULL : MOEI_(product_dots),
     MOEI_LANES == 1 ? NULL : MOEI_(product_panels)},
    MOEI_(kernel_map), MOEI_(kernel_reduce),
    MOEI_(kernel_softmax), MOEI_LEARNS(MOEI_(kernel_update), NULL)
};

#undef MOEI_
#undef MOEI_PICK
#undef MOEI_REAL
#undef MOEI_BITS
#undef MOEI_MASK
#undef MOEI_LARGER
#undef MOEI_LOAD_PART
#undef MOEI_STORE_PART
#undef MOEI_LOW
#undef MOEI_HIGH
#undef MOEI_LOWS
#undef MOEI_HIGHS
#undef MOEI_SET
#undef MOEI_LANES
#undef MOEI_WIDE
#undef MOEI_TALL_TILE
#undef MOEI_PAIR_TILE
#undef MOEI_LONG_TILE
#undef MOEI_VECTORS

#ifndef MOEI_AGAIN      /* after the plain reading, the others */
#define MOEI_AGAIN

#ifdef MOEI_HAS_128
#define MOEI_SET 128
#define MOEI_LANES (16 / MOEI_REAL_SIZE)
#define MOEI_WIDE MOEI_W2
#define MOEI_VECTORS 2
#include "moe.h"
#endif

#ifdef MOEI_HAS_AVX
#undef MOEI_TARGET
#define MOEI_TARGET __attribute__((target("avx2,fma")))
#define MOEI_SET avx2
#define MOEI_LANES (32 / MOEI_REAL_SIZE)
#define MOEI_WIDE MOEI_W2
#define MOEI_VECTORS 2
#define MOEI_MASK(n) ((MOEI_(mask))(MOEI_LOAD(moei_lane) < (moe_real)(n)))
#define MOEI_LOAD_PART(p, n) MOEI_BUILTIN(maskload, 256)(                   \
    (const MOEI_V *)(const void *)(p), MOEI_MASK(n))
#define MOEI_LARGER(a, b) MOEI_BUILTIN(max, 256)(b, a)
#define MOEI_STORE_PART(p, n, x) MOEI_BUILTIN(maskstore, 256)(              \
    (MOEI_V *)(void *)(p), MOEI_MASK(n), x)
#include "moe.h"

#undef MOEI_TARGET
#define MOEI_TARGET \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#define MOEI_SET avx512
#define MOEI_LANES (64 / MOEI_REAL_SIZE)
#define MOEI_WIDE MOEI_W4
#define MOEI_VECTORS 4
#define MOEI_MASK(n) ((moei_mask_bits)((1u << (n)) - 1))
#define MOEI_LOAD_PART(p, n) MOEI_BUILTIN(loadu, 512_mask)(                 \
    p, MOEI_(nothing), MOEI_MASK(n))
#ifdef __clang__
#define MOEI_LARGER(a, b) MOEI_BUILTIN(max, 512)(b, a, 4)
#else
#define MOEI_LARGER(a, b) MOEI_BUILTIN(max, 512_mask)(b, a, b, MOEI_EVERY, 4)
#endif
#define MOEI_STORE_PART(p, n, x) MOEI_BUILTIN(storeu, 512_mask)(            \
    p, x, MOEI_MASK(n))
#include "moe.h"
#undef MOEI_TARGET
#define MOEI_TARGET
#endif

/* The sets of this build, narrow to wide, and how many this processor has. */
static const moei_kernels *const moei_set[] = {
#if !defined(MOEI_HAS_128) || !defined(__OPTIMIZE_SIZE__)
    &moei_table,
#endif
#ifdef MOEI_HAS_128
    &moei_table_128,
#endif
#ifdef MOEI_HAS_AVX
    &moei_table_avx2, &moei_table_avx512
#endif
};

/* One of them; where there is but one, the compiler is told which. */
#define MOEI_SET_AT(i) \
    moei_set[sizeof moei_set > sizeof *moei_set ? (i) : 0]

static int moei_count_sets(void)
{
    int all = (int)(sizeof moei_set / sizeof *moei_set);

#ifdef MOEI_HAS_AVX
    all -= !(__builtin_cpu_supports("avx512dq")
             && __builtin_cpu_supports("avx512bw")
             && __builtin_cpu_supports("avx512vl"));
    all -= !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#endif
    return all;
}

/* The set of vectors of so many bits, 0 for the widest; -1: not here. */
static int moei_find_set(int bits)
{
    int i = moei_count_sets() - 1;

    while (bits != 0 && i >= 0 && MOEI_SET_AT(i)->bits != bits)
        i--;
    return i;
}

/* A loop on m rows, which threads share out. */
static void moei_run_part(moei_loop *loop, const moei_job *job,
                          const moei_view *v, int i, int parts)
{
    moei_view part[4];
    int k;

    for (k = 0; k < 4; k++)
        part[k] = k == job->whole ? v[k] : moei_part_of(&v[k], i, parts, v->m);
    loop(job, part);
}

MOEI_FAST void moei_share(moei_loop *loop, const moei_job *job, moei_view *v,
                          uint64_t operations)
{
    const int parts = moei_parts(operations, v->m);
    int i;

    MOEI_EACH_PART(i, parts, parts == 1 ? loop(job, v)
        : moei_run_part(loop, job, v, i, parts))
}

#define MOEI_AREA(v) ((uint64_t)(v).m * (uint64_t)(v).n)

static void moei_share_map(const moei_kernels *set, moei_map_op op,
                           moei_view *v)
{
    const moei_job job = {(int)op, -1, 0};

    moei_share(set->map, &job, v, 8 * MOEI_AREA(*v));
}

/* The loops in the set of m; map with three, two or one operand. */
MOEI_FAST void moei_map(const moe *m, moei_map_op op, moei_view Y, moei_view A,
                        moei_view B, moei_view C)
{
    moei_view v[4] = {Y, A, B, C};

    moei_share_map(MOEI_SET_AT(m->set), op, v);
}

MOEI_LOOP void moei_map2(const moe *m, moei_map_op op, moei_view Y, moei_view A,
                         moei_view B)
{
    moei_map(m, op, Y, A, B, moei_zero);
}

MOEI_LOOP void moei_map1(const moe *m, moei_map_op op, moei_view Y, moei_view A)
{
    moei_map(m, op, Y, A, moei_zero, moei_zero);
}

static void moei_reduce(const moe *m, moei_reduce_op op, moei_view y,
                        moei_view A, moei_view B)
{
    const moei_job job = {(int)op, -1, 0};
    moei_view v[4] = {y, A, B, moei_zero};

    moei_share(MOEI_SET_AT(m->set)->reduce, &job, v, 8 * MOEI_AREA(A));
}

static void moei_softmax(const moe *m, moei_view P, moei_view log_P,
                         moei_view lse, moei_view X)
{
    const moei_job job = {0, -1, 0};
    moei_view v[4] = {P, log_P, lse, X};

    moei_share(MOEI_SET_AT(m->set)->softmax, &job, v, 32 * MOEI_AREA(X));
}

/* C (m,n) = then(S (m,n) + A (m,k) B (k,n)); S may be C, and stands as C does
   or repeats; C has no gaps.  Rows become columns where those of C have their
   elements side by side: lanes over outputs or cases, C' = S' + B' A'. */
MOEI_FAST void moei_product(const moe *m, moei_map_op then, moei_view C,
                            moei_view S, moei_view A, moei_view B)
{
    const moei_kernels *set = MOEI_SET_AT(m->set);
    const moei_job job = {0, 3, then == MOEI_RELU ? 0 : -MOEI_INFINITY};
    moei_view v[4] = {C, S, A, B};

    if (C.row == 1 && (C.col != 1 || C.n < C.m)) {
        v[0] = moei_transposed(C);
        v[1] = moei_transposed(S);
        v[2] = moei_transposed(B);
        v[3] = moei_transposed(A);
    }
    moei_share(set->product[moei_way_of(v, set->bits)], &job, v,
               MOEI_AREA(*v) * (uint64_t)A.n);
    if (then != MOEI_COPY && then != MOEI_RELU)
        moei_map1(m, then, C, C);
}

/* ======================================================================== */
/* 6  LAYOUT                                                                */
/* ======================================================================== */
/* What counts and carves memory.  Four sizes (< 2^15) multiply in 64 bits. */

/* The arrays of a block of B cases: name, form, columns; 1: for learning.  OWN:
   for each copy of a net alone, where copies share the cases. */
#define MOEI_ARRAYS(X)                                                        \
    X(Z, BLOCK, c->inputs, 0)        /* standardised inputs                */ \
    X(S, BLOCK, c->experts, 0)       /* gate logits                        */ \
    X(P, CHOSEN, c->top_k, 0)        /* proportions, softmax of s          */ \
    X(LOG_P, CHOSEN, c->top_k, 0)    /* and their logarithms               */ \
    X(LSE, OWN_NUMBER, 1, 0)         /* log sum exp of the last softmax    */ \
    X(TOP, OWN_NUMBER, 1, 0)         /* room for a number of each case     */ \
    X(Y, BLOCK, c->outputs, 0)       /* blend, standardised                */ \
    X(D, BLOCK, c->outputs, 1)       /* targets, standardised              */ \
    X(G, CHOSEN, c->top_k, 1)        /* error e of each expert, or dE/dp   */ \
    X(H, CHOSEN, c->top_k, 1)        /* posteriors                         */ \
    X(LOSS, NUMBER, 1, 1)            /* E                                  */ \
    X(DE_DY, BLOCK, c->outputs, 1)                                            \
    X(DE_DZ, BLOCK, c->inputs, 1)                                             \
    X(DELTA, OWN, moei_widest(m, 0), 1)     /* dE/da of two layers         */ \
    X(DELTA_2, OWN, moei_widest(m, 1), 1)   /* in turn                     */ \
    X(X_OF, OWN, m->sparse ? c->inputs : 0, 0)       /* rows of Z          */ \
    X(D_OF, OWN, m->sparse ? c->outputs : 0, 1)      /* rows of D or DE_DY */

#define MOEI_NAME(name, form, columns, learning) MOEI_##name,
#define MOEI_FORM(name, form, columns, learning) MOEI_##form,
#define MOEI_LEARNING(name, form, columns, learning) learning,
#define MOEI_COLUMNS(name, form, count, learning) \
    m->columns[MOEI_##name] = count;
enum { MOEI_BLOCK, MOEI_CHOSEN, MOEI_NUMBER, MOEI_OWN_NUMBER, MOEI_OWN };
enum { MOEI_ARRAYS(MOEI_NAME) MOEI_ARRAY_COUNT };
static const unsigned char moei_form[] = {MOEI_ARRAYS(MOEI_FORM)};
static const unsigned char moei_learning[] = {MOEI_ARRAYS(MOEI_LEARNING)};
typedef char moei_work_has_room[MOEI_ARRAY_COUNT <= MOEI_WORK ? 1 : -1];

/* A layer's function that is not a map: it takes the whole row. */
enum { MOEI_SOFTMAX = -1 };

/* What training keeps beside parameters and gradients. */
enum { MOEI_FIRST, MOEI_SECOND, MOEI_BEST };    /* moments, best weights */

static int moei_outside(int value, int least, int most)
{
    return value < least || value > most;
}

/* A number that a setting may be: not negative, NaN or absurd. */
static int moei_is_amount(moe_real x)
{
    return moei_is_finite(x) && x >= 0 && x <= MOEI_LARGEST;
}

/* The sentence for what is wrong with a stack of hidden widths, or NULL. */
static const char *moei_hidden_fault(const int *hidden)
{
    int l, ended = 0;

    for (l = 0; l < MOE_MAX_HIDDEN; l++) {
        if (moei_outside(hidden[l], 0, MOE_MAX_SIZE))
            return "a hidden width is outside 0..MOE_MAX_SIZE";
        if (ended && hidden[l] > 0)
            return "a hidden width of 0 stands between others";
        ended = hidden[l] == 0;
    }
    return NULL;
}

static int moei_span_fits(moe_span span, int inputs)
{
    return !moei_outside(span.first, 0, inputs - 1)
        && !moei_outside(span.count, 0, inputs - span.first);
}

/* Whether experts are chosen, which alone can be balanced. */
static int moei_is_sparse(const moe_config *c)
{
    return c->top_k % c->experts != 0;
}

static const char *moei_config_fault(const moe_config *c)
{
    const char *fault = moei_hidden_fault(c->hidden);

    fault = fault ? fault : moei_hidden_fault(c->gate_hidden);
    return moei_outside(c->inputs, 1, MOE_MAX_SIZE)
            ? "inputs is outside 1..MOE_MAX_SIZE"
        : moei_outside(c->outputs, 1, MOE_MAX_SIZE)
            ? "outputs is outside 1..MOE_MAX_SIZE"
        : moei_outside(c->experts, 1, MOE_MAX_SIZE)
            ? "experts is outside 1..MOE_MAX_SIZE"
        : moei_outside(c->top_k, 0, c->experts) ? "top_k is outside 0..experts"
        : !moei_is_amount(c->balance) ? "balance is outside 0..1e30"
        : c->balance > 0 && !moei_is_sparse(c)
            ? "balance needs top_k in 1..experts-1"
        : moei_outside(c->rows, 0, MOE_MAX_SIZE)
            ? "rows is outside 0..MOE_MAX_SIZE"
        : !moei_span_fits(c->expert_sees, c->inputs)
            ? "expert_sees is not inside a row of x"
        : !moei_span_fits(c->gate_sees, c->inputs)
            ? "gate_sees is not inside a row of x"
        : moei_outside((int)c->activation, MOE_ACT_RELU, MOE_ACT_SILU)
            ? "activation is not one of MOE_ACT_..."
        : moei_outside((int)c->output, MOE_OUT_LINEAR, MOE_OUT_SOFTMAX)
            ? "output is not one of MOE_OUT_..."
        : moei_outside((int)c->loss, MOE_LOSS_MIXTURE, MOE_LOSS_BLEND)
            ? "loss is not one of MOE_LOSS_..."
        : moei_outside((int)c->use, MOE_USE_TRAIN, MOE_USE_PREDICT)
            ? "use is not one of MOE_USE_..."
        : moei_find_set(c->simd) < 0
            ? "this build or processor has no vectors of simd bits"
        : !moei_is_amount(c->sigma) ? "sigma is outside 0..1e30"
        : c->sigma > 0 && !moei_is_finite(1 / (c->sigma * c->sigma))
            ? "sigma is too small: 1 / sigma^2 is not finite"
        : fault;
}

/* The configuration as opened, with what may be changed later; its fault. */
static moe_config moei_settings_of(const moe *m)
{
    moe_config c = m->fixed;

    c.loss = m->config.loss;
    c.sigma = m->config.sigma;
    c.balance = m->config.balance;
    c.seed = m->config.seed;
    return c;
}

static const char *moei_settings_fault(const moe *m)
{
    const moe_config c = moei_settings_of(m);

    return moei_config_fault(&c);
}

/* The shape of a stack of layers; *count goes on from its first parameter. */
static void moei_plan_net(moe *m, int gate, uint64_t *count)
{
    static const int output_op[] = {MOEI_COPY, MOEI_LOGISTIC, MOEI_SOFTMAX};
    const moe_config *c = &m->fixed;
    const int *hidden = gate ? c->gate_hidden : c->hidden;
    moe_span sees = gate ? c->gate_sees : c->expert_sees;
    moei_net *net = gate ? &m->gate : &m->expert;
    int l, last = 0, in = sees.count;

    while (last < MOE_MAX_HIDDEN && hidden[last] > 0)
        last++;
    net->copies = gate ? 1 : c->experts;
    net->first = sees.first;
    net->layers = last + 1;
    for (l = 0; l <= last; l++) {
        moe_layer *at = &net->layer[l];
        int *widest = &net->widest[(last - l) % 2];

        at->in = in;
        at->out = in = l < last ? hidden[l] : gate ? c->experts : c->outputs;
        net->function[l] = l < last ? MOEI_RELU + (int)c->activation
                         : gate ? MOEI_COPY : output_op[c->output];
        at->bias = (size_t)*count;
        *count += (uint64_t)net->copies * (uint64_t)at->out;
        at->weight = (size_t)*count;
        *count += (uint64_t)net->copies * (uint64_t)at->in * (uint64_t)at->out;
        *widest = moei_most(*widest, in);
    }
}

/* The most columns in DELTA or DELTA_2: of an expert's layers, or a share of
   what the gate or a softmax of all experts needs. */
static int moei_widest(const moe *m, int turn)
{
    int all = moei_most(m->gate.widest[turn], m->fixed.experts);

    all = m->sparse ? (all - 1) / m->fixed.top_k + 1 : all;
    return moei_most(all, moei_most(m->expert.widest[turn], m->fixed.outputs));
}

/* The shape of m, where its parameters are; how many, not cut to size_t. */
static uint64_t moei_plan(moe *m, const moe_config *config)
{
    moe_config given = *config, *c = &m->fixed;     /* it may be m->config */
    uint64_t count = 0;

    moei_wipe(m, sizeof *m);
    *c = given;
    c->sigma = c->sigma > 0 ? c->sigma : 1;
    c->rows = c->rows > 0 ? c->rows : 64;
    if (c->expert_sees.count == 0)
        c->expert_sees.count = c->inputs - c->expert_sees.first;
    if (c->gate_sees.count == 0)
        c->gate_sees.count = c->inputs - c->gate_sees.first;
    moei_plan_net(m, 0, &count);
    if (c->experts > 1)
        moei_plan_net(m, 1, &count);
    c->top_k = c->top_k > 0 ? c->top_k : c->experts;
    m->sparse = moei_is_sparse(c);
    m->balanced = m->gate.layers > 0 ? (size_t)c->experts : 0;
    count += m->balanced;
    MOEI_ARRAYS(MOEI_COLUMNS)
    m->trained_count = (size_t)count;
    count += 2 * ((uint64_t)c->inputs + (uint64_t)c->outputs);
    m->value_count = (size_t)count;
    m->config = *c;
    return count;
}

#define MOEI_LINES(n) (((uint64_t)(n) + 15) / 16 * 16)  /* ends a cache line */

/* The next `count` reals of the memory; with no memory it only counts. */
typedef struct moei_carver { moe_real *memory; uint64_t used; } moei_carver;

static moe_real *moei_take(moei_carver *carver, uint64_t count)
{
    moe_real *at = carver->memory ? carver->memory + (size_t)carver->used
                                  : NULL;
    carver->used += count;
    return at;
}

static int32_t *moei_take_integers(moei_carver *carver, uint64_t count)
{
    uint64_t bytes = count * sizeof(int32_t) + sizeof(moe_real) - 1;

    return (int32_t *)(void *)moei_take(carver, bytes / sizeof(moe_real));
}

/* Sums and outputs of every layer for so many cases, the last one's outputs at
   `out`: of all copies for the way back, and where these share the cases; else
   of each in turn.  Sums stand apart where the way back needs both, and for
   softmax, which leaves its logarithm there. */
static void moei_carve_net(moei_net *net, uint64_t cases, int learn,
                           moe_real *out, moei_carver *carver)
{
    int l;

    for (l = 0; l < net->layers; l++) {
        uint64_t block = cases * (uint64_t)net->layer[l].out;

        net->act[l] = l == net->layers - 1 ? out : moei_take(carver, block);
        net->pre[l] = net->act[l];
        if (net->function[l] == MOEI_SOFTMAX
            || (net->function[l] == MOEI_SILU && learn))
            net->pre[l] = moei_take(carver, block);
    }
}

/* Everything about m that follows from a checked configuration, with weights
   of its own or without; returns how many reals of memory it takes. */
static uint64_t moei_lay_out(moe *m, const moe_config *config, int weights,
                             moe_real *memory)
{
    moei_carver carver = {memory, 0};
    uint64_t values = moei_plan(m, config);
    uint64_t B = (uint64_t)m->fixed.rows, E = (uint64_t)m->fixed.experts;
    uint64_t K = (uint64_t)m->fixed.top_k, O = (uint64_t)m->fixed.outputs;
    uint64_t own = m->sparse ? B * K : B;        /* of what a copy has alone */
    int i, learn = MOEI_LEARNS(weights && m->fixed.use != MOE_USE_PREDICT, 0);

    if (weights)
        m->own = moei_take(&carver, MOEI_LINES(values));
    if (learn)
        m->grads = moei_take(&carver, MOEI_LINES(m->trained_count));
    for (i = 0; i < 3 && learn && m->fixed.use == MOE_USE_TRAIN; i++)
        m->kept[i] = moei_take(&carver, MOEI_LINES(m->trained_count));
    for (i = 0; i < MOEI_ARRAY_COUNT; i++)
        if (learn || !moei_learning[i])
            m->work[i] = moei_take(&carver,
                                   (moei_form[i] < MOEI_OWN_NUMBER ? B : own)
                                   * (uint64_t)m->columns[i]);
    m->expert.kept = learn || m->sparse;
    moei_carve_net(&m->expert, m->expert.kept ? B * K : B, learn,
                   moei_take(&carver, B * K * O), &carver);
    moei_carve_net(&m->gate, B, learn, m->work[MOEI_S], &carver);
    m->s = moei_take(&carver, B * E);
    m->p = moei_take(&carver, B * E);
    m->o = moei_take(&carver, B * K * O);
    m->y = moei_take(&carver, B * O);
    if (learn) {
        m->h = moei_take(&carver, B * E);
        m->sum = moei_take(&carver, 3 * (2 * E + 4));
        m->means = moei_take(&carver, 2 * E);
        m->share = moei_take(&carver, m->sparse ? E : 0);
    }
    m->expert.start = moei_take_integers(&carver, E + 1);
    m->gate.start = moei_take_integers(&carver, 2);
    if (m->sparse) {
        m->expert.cases = moei_take_integers(&carver, B * K);
        m->expert.place = moei_take_integers(&carver, B * K);
        m->choice = moei_take_integers(&carver, B * K);
    }
    if (learn && m->fixed.use == MOE_USE_TRAIN)
        m->order = moei_take_integers(&carver, B);
    m->chosen = m->shown = moei_take_integers(&carver, B * K);
    return carver.used;
}

/* Where copy c of a layer has its parameters. */
MOEI_NEAR moe_layer moei_layer_of(const moei_net *net, int c, int l)
{
    moe_layer layer = net->layer[l];

    layer.bias += (size_t)c * (size_t)layer.out;
    layer.weight += (size_t)c * (size_t)layer.in * (size_t)layer.out;
    return layer;
}

/* (columns) shift or factor: rows 0 and 1 of a scale. */
MOEI_NEAR moei_view moei_scale_d(const moe *m, int row)
{
    int O = m->fixed.outputs;

    return moei_row(m->params + m->trained_count + (size_t)row * (size_t)O, O);
}

MOEI_NEAR moei_view moei_scale_x(const moe *m, int row)
{
    size_t rest = (size_t)(2 - row) * (size_t)m->fixed.inputs;

    return moei_row(m->params + m->value_count - rest, m->fixed.inputs);
}

/* A block array of n cases and `cols` columns, lanes over one or the other. */
MOEI_NEAR moei_view moei_block(const moe_real *at, int n, int cols)
{
    return moei_lanes_over_cases(n, cols) ? moei_view_of(at, 1, n, n, cols)
                                          : moei_view_of(at, cols, 1, n, cols);
}

/* A block array by its name.  What is kept of a choice stands row by row. */
MOEI_NEAR moei_view moei_array(const moe *m, int name)
{
    const moe_real *at = m->work[name];
    int form = moei_form[name], columns = m->columns[name];

    return form == MOEI_NUMBER || form == MOEI_OWN_NUMBER ? moei_cases(at, m->n)
         : form == MOEI_CHOSEN && m->choice ? moei_matrix(at, m->n, columns)
         : moei_block(at, m->n, columns);
}

static uint64_t moei_need(const moe_config *config, int weights)
{
    moe m;

    return moei_lay_out(&m, config, weights, NULL) * sizeof(moe_real);
}

MOE_DEF moe_status moe_check(const moe_config *config, const char **why)
{
    const char *fault = config == NULL ? "config is NULL"
                                       : moei_config_fault(config);

    if (fault == NULL && moei_need(config, 1) > PTRDIFF_MAX)
        fault = "this is more memory than the machine can address";
    if (why != NULL)
        *why = fault;
    return config == NULL ? MOE_ERR_NULL : fault ? MOE_ERR_CONFIG : MOE_OK;
}

MOE_DEF size_t moe_bytes(const moe_config *config)
{
    return moe_check(config, NULL) ? 0 : (size_t)moei_need(config, 1);
}

MOE_DEF size_t moe_work_bytes(const moe_config *config)
{
    return moe_check(config, NULL) ? 0 : (size_t)moei_need(config, 0);
}

MOE_DEF moe_layer moe_find(const moe_config *config, int expert, int layer)
{
    moe m;
    moe_layer none = {0, 0, 0, 0};
    const moei_net *net;
    int copy;

    if (moe_check(config, NULL) != MOE_OK)
        return none;
    moei_plan(&m, config);
    net = expert == config->experts ? &m.gate : &m.expert;
    copy = net == &m.gate ? 0 : expert;
    return moei_outside(copy, 0, net->copies - 1)
        || moei_outside(layer, 0, net->layers - 1)
         ? none : moei_layer_of(net, copy, layer);
}

MOE_DEF const char *moe_status_text(moe_status status)
{
    static const char *const text[] = {
        "ok", "stopped by the progress callback", "a required pointer is NULL",
        "a setting is out of range", "memory is too small or misaligned",
        "the data are not finite or out of range",
        "training left the finite numbers", "not a model file, or damaged",
        "a file cannot be read or written", "this moe cannot do that"
    };
    return moei_outside((int)status, MOE_OK, MOE_ERR_STATE) ? "unknown status"
                                                            : text[status];
}

/* Leave the sentence; nothing else of m changes. */
static moe_status moei_refuse(moe *m, moe_status status, const char *why)
{
    m->why = why;
    return status;
}

/* The same where the status says it all: MOE_OK, MOE_STOPPED, _DIVERGED. */
static moe_status moei_done(moe *m, moe_status status)
{
    return moei_refuse(m, status, moe_status_text(status));
}

static moe_status moei_closed(moe *m, moe_status status, const char *why)
{
    moei_wipe(m, sizeof *m);
    return moei_refuse(m, status, why);
}

/* The text, or the number, at `to`; returns where it ends. */
static char *moei_put_text(char *to, const char *text)
{
    while (*text != 0)
        *to++ = *text++;
    *to = 0;
    return to;
}

static char *moei_put_number(char *to, size_t number)
{
    char digits[3 * sizeof number + 1], *digit = digits + sizeof digits;

    *--digit = 0;
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return moei_put_text(to, digit);
}

static moe_status moei_too_small(moe *m, int weights, size_t bytes, size_t need)
{
    char *to = m->said;

    moei_wipe(m, sizeof *m);
    to = moei_put_number(moei_put_text(to, "memory of "), bytes);
    to = moei_put_text(to, " bytes is smaller than ");
    to = moei_put_text(to, weights ? "moe_bytes" : "moe_work_bytes");
    moei_put_number(moei_put_text(to, " says: "), need);
    return moei_refuse(m, MOE_ERR_MEMORY, m->said);
}

/* Whether subnormal numbers stay what they are, and products are rounded before
   they are added to: (1+e)(1-e) - 1 is 0.  MOE_SAME_BITS needs both. */
static int moei_keeps_bits(const moe *m)
{
    volatile moe_real least = moei_power_of_2(1 - MOEI_BIAS), half = least / 2;
    volatile moe_real e = moei_power_of_2(-MOEI_FRACTION / 2 - 2);
    moe_real a = 1 + e, b = 1 - e, c = -1, r = 1;

    moei_map(m, MOEI_MUL_ADD, moei_number(&r), moei_number(&a),
             moei_number(&b), moei_number(&c));
    return half > 0 && half * 2 == least && r == 0;
}

/* Memory that starts where a cache line does: vectors then cross none. */
static void *moei_allocate(size_t bytes, void **heap)
{
    enum { LINE = 64 };
    unsigned char *at;

    *heap = bytes > SIZE_MAX - LINE ? NULL : MOE_MALLOC(bytes + LINE);
    at = (unsigned char *)*heap;
    return at ? at + (LINE - (uintptr_t)at % LINE) % LINE : NULL;
}

/* Check, find memory, lay out; all but the weights, which are first, is 0. */
static moe_status moei_start(moe *m, const moe_config *config, int weights,
                             void *memory, size_t bytes)
{
    const char *why;
    moe_status status = moe_check(config, &why);
    void *heap = NULL;
    size_t need, i, own;

    if (status != MOE_OK)
        return moei_closed(m, status, why);
    m->set = moei_find_set(config->simd);
    if (MOEI_IN_ORDER && !moei_keeps_bits(m))
        return moei_closed(m, MOE_ERR_STATE, "subnormal numbers are flushed "
                           "to zero, or products fused with sums");
    need = (size_t)moei_need(config, weights);
    bytes = memory ? bytes : need;
    memory = memory ? memory : moei_allocate(need, &heap);
    why = memory == NULL ? "no memory given or found"
        : (uintptr_t)memory % MOEI_ALIGNED != 0
            ? "memory is not aligned as a moe_real is" : NULL;
    if (why != NULL)
        return moei_closed(m, MOE_ERR_MEMORY, why);
    if (bytes < need)
        return moei_too_small(m, weights, bytes, need);
    moei_lay_out(m, config, weights, (moe_real *)memory);
    own = weights ? (size_t)MOEI_LINES(m->value_count) : 0;
    moei_clear((moe_real *)memory + own, need / sizeof(moe_real) - own);
    m->heap = heap;
    m->set = moei_find_set(m->fixed.simd);
    m->config.simd = m->fixed.simd = MOEI_SET_AT(m->set)->bits;
    for (i = 0; i < (size_t)m->fixed.rows && m->gate.layers < 1; i++)
        m->work[MOEI_P][i] = moei_writable(moei_number(m->p))[i] = 1;
    for (i = 0; i < (size_t)m->fixed.rows * (size_t)m->fixed.top_k; i++)
        m->shown[i] = (int32_t)(i % (size_t)m->fixed.top_k);
    m->beta_power[0] = m->beta_power[1] = m->rate_factor = 1;
    m->waiting = m->forwarded = -1;
    return moei_done(m, MOE_OK);
}

/* All layers but the gate's last uniform in +-1/sqrt(in), to learn from. */
static void moei_initial(moe *m, int gate, uint64_t *state)
{
    const moei_net *net = gate ? &m->gate : &m->expert;
    size_t i;
    int l;

    for (l = 0; l < MOEI_LEARNS(net->layers - gate, 0); l++) {
        moe_layer end = moei_layer_of(net, net->copies, l);
        moe_real range = 1 / moei_sqrt((moe_real)end.in);
        for (i = net->layer[l].bias; i < end.weight; i++)
            m->own[i] = range * moei_uniform(state);
    }
}

MOE_DEF moe_status moe_open(moe *m, const moe_config *config, void *memory,
                            size_t bytes)
{
    moe_status status = m == NULL ? MOE_ERR_NULL
                                  : moei_start(m, config, 1, memory, bytes);
    uint64_t state;

    if (status != MOE_OK)
        return status;
    m->params = m->own;
    moei_clear(m->own, m->value_count);
    state = m->config.seed;
    moei_initial(m, 0, &state);
    moei_initial(m, 1, &state);
    moei_map1(m, MOEI_COPY, moei_scale_d(m, 1), moei_one);
    moei_map1(m, MOEI_COPY, moei_scale_x(m, 1), moei_one);
    return MOE_OK;
}

MOE_DEF moe_status moe_attach(moe *m, const moe_config *config,
                              const moe_real *params, void *memory,
                              size_t bytes)
{
    moe_status status;

    if (m == NULL)
        return MOE_ERR_NULL;
    if (params == NULL)
        return moei_closed(m, MOE_ERR_NULL, "params is NULL");
    if ((uintptr_t)params % MOEI_ALIGNED != 0)
        return moei_closed(m, MOE_ERR_MEMORY,
                           "params is not aligned as a moe_real is");
    status = moei_start(m, config, 0, memory, bytes);
    if (status == MOE_OK) {
        m->params = params;
        m->config.use = m->fixed.use = MOE_USE_PREDICT;
    }
    return status;
}

MOE_DEF void moe_close(moe *m)
{
    if (m == NULL)
        return;
    MOE_FREE(m->heap);
    moei_wipe(m, sizeof *m);
}

/* ======================================================================== */
/* 7  EXPERTS                                                               */
/* ======================================================================== */
/* Stacks of layers, a = W'x + b, y = f(a), there and back; the gate is one. */

/* dE/dx_i = p_i (g_i - sum_j p_j g_j),  g = dE/dp
   p, g, dE_dx (n,K); dE_dx may be g   mean (n): room */
static void moei_softmax_backward(const moe *m, moei_view p, moei_view g,
                                  moei_view dE_dx, moei_view mean)
{
    moei_reduce(m, MOEI_DOT, mean, p, g);
    moei_map(m, MOEI_SUB_MUL, dE_dx, g, mean, p);
}

/* dE/da = dE/dy f'(a), in place.   kept: y, but a for silu   (n,out) */
static void moei_function_backward(const moe *m, int function, moei_view kept,
                                   moei_view delta)
{
    if (function != MOEI_COPY)
        moei_map2(m, (moei_map_op)(function + MOEI_RELU_SLOPE - MOEI_RELU),
                  delta, delta, kept);
}

static int moei_cases_of(const moei_net *net, int c)
{
    return (int)(net->start[c + 1] - net->start[c]);
}

/* Of the cases of copy c: layer l's part of an array for all copies, net->act
   or net->pre.  The last layer's outputs are always kept.  (n,out) */
MOEI_NEAR moei_view moei_of_copy(const moei_net *net, moe_real *const *array,
                                 int c, int l)
{
    int out = net->layer[l].out, last = l == net->layers - 1;
    int apart = net->kept || (last && array[l] == net->act[l]);
    size_t from = apart ? (size_t)net->start[c] * (size_t)out : 0;

    return moei_block(array[l] + from, moei_cases_of(net, c), out);
}

/* The columns of a block array like z that the net sees. */
MOEI_NEAR moei_view moei_seen(const moei_net *net, moei_view z)
{
    return moei_view_of(z.at + (ptrdiff_t)net->first * z.col, z.row, z.col,
                        z.m, net->layer[0].in);
}

/* The rows of a block array that are copy c's cases. */
MOEI_NEAR moei_view moei_rows_of(const moei_net *net, int c, moei_view a)
{
    return net->cases ? moei_listed(a, net->cases + net->start[c],
                                    moei_cases_of(net, c)) : a;
}

/* Room for copy c, `columns` numbers (OWN_NUMBER: one) for each of its cases;
   apart from other copies' where these share the cases. */
MOEI_NEAR moei_view moei_room(const moe *m, const moei_net *net, int c,
                              int name, int columns)
{
    size_t wide = (size_t)m->columns[name];
    size_t from = net->cases ? (size_t)net->start[c] * wide : 0;
    const moe_real *at = m->work[name] + from;
    int n = moei_cases_of(net, c);

    return moei_form[name] == MOEI_OWN_NUMBER ? moei_cases(at, n)
                                              : moei_block(at, n, columns);
}

/* moei_rows_of for loops that take no lists: copied to room. */
MOEI_NEAR moei_view moei_fetch_rows(const moe *m, const moei_net *net, int c,
                                    moei_view a, int room)
{
    moei_view rows = moei_rows_of(net, c, a), copy;

    if (rows.list == NULL)
        return rows;
    copy = moei_room(m, net, c, room, a.n);
    moei_map1(m, MOEI_COPY, copy, rows);
    return copy;
}

/* The inputs of copy c.  (n,in) */
MOEI_NEAR moei_view moei_inputs_of(const moe *m, const moei_net *net, int c)
{
    return moei_seen(net, moei_fetch_rows(m, net, c, moei_array(m, MOEI_Z),
                                          MOEI_X_OF));
}

/* Copy c of a net:  a = x W + b,  y = f(a);  softmax leaves log y in a
   x (n,in)   W (in,out)   b (out)   a, y (n,out) */
static void moei_net_forward(moe *m, int c, int gate)
{
    const moei_net *net = gate ? &m->gate : &m->expert;
    moei_view x = moei_inputs_of(m, net, c);
    int l;

    for (l = 0; l < net->layers; l++) {
        moe_layer at = moei_layer_of(net, c, l);
        moei_view W = moei_matrix(m->params + at.weight, at.in, at.out);
        moei_view b = moei_row(m->params + at.bias, at.out);
        moei_view y = moei_of_copy(net, net->act, c, l), a = y;
        int f = net->function[l], apart = net->pre[l] != net->act[l];

        if (apart)
            a = moei_of_copy(net, net->pre, c, l);
        moei_product(m, apart ? MOEI_COPY : (moei_map_op)f, a, b, x, W);
        if (f == MOEI_SOFTMAX)
            moei_softmax(m, y, a, moei_room(m, net, c, MOEI_LSE, 1), a);
        else if (apart)
            moei_map1(m, (moei_map_op)f, y, a);
        x = y;
    }
}

/* The way back.  DELTA holds dE/da of the last layer; for each layer
     dE/dW += x' dE/da    dE/db += 1' dE/da    dE/dx = dE/da W'
   and dE/da of the layer before is dE/dx f'(a).  If dE_dz is wanted, the
   columns of it that the net sees get += dE/dx of the first layer. */
static void moei_net_backward(moe *m, int c, int gate, int want_dz)
{
    const moei_net *net = gate ? &m->gate : &m->expert;
    int l, turn = 0;

    for (l = net->layers - 1; l >= 0; l--, turn = !turn) {
        moe_layer at = moei_layer_of(net, c, l);
        moei_view x = l > 0 ? moei_of_copy(net, net->act, c, l - 1)
                            : moei_inputs_of(m, net, c);
        moei_view W = moei_matrix(m->params + at.weight, at.in, at.out);
        moei_view dE_dW = moei_matrix(m->grads + at.weight, at.in, at.out);
        moei_view dE_db = moei_row(m->grads + at.bias, at.out);
        moei_view dE_da = moei_room(m, net, c, MOEI_DELTA + turn, at.out);
        moei_view dE_dx = moei_room(m, net, c, MOEI_DELTA + !turn, at.in);

        moei_product(m, MOEI_COPY, dE_dW, dE_dW, moei_transposed(x), dE_da);
        moei_product(m, MOEI_COPY, dE_db, dE_db, MOEI_ONES(x.m), dE_da);
        if (l > 0) {
            moei_product(m, MOEI_COPY, dE_dx, moei_zero, dE_da,
                         moei_transposed(W));
            moei_function_backward(m, net->function[l - 1],
                                   moei_of_copy(net, net->pre, c, l - 1),
                                   dE_dx);
        } else if (want_dz) {
            moei_view dE_dz = moei_array(m, MOEI_DE_DZ);
            moei_view rows = moei_fetch_rows(m, net, c, dE_dz, MOEI_X_OF);
            dE_dx = moei_seen(net, rows);
            moei_product(m, MOEI_COPY, dE_dx, dE_dx, dE_da, moei_transposed(W));
            if (net->cases != NULL)
                moei_map1(m, MOEI_COPY, moei_rows_of(net, c, dE_dz), rows);
        }
    }
}

/* ======================================================================== */
/* 8  GATE                                                                  */
/* ======================================================================== */
/* The K of E experts with the largest s + bias, in ascending order; of equal
   ones the first, and NaN as -inf.  s: logits, `step` apart   room (K): the
   largest sums so far, for chosen is kept in their order until the end. */
static void moei_choose(const moe_real *s, int step, const moe_real *bias,
                        int E, int K, int32_t *chosen, moe_real *room)
{
    int32_t moved;
    int j, k;

    for (j = 0; j < E; j++, s += step) {
        MOEI_ROUNDED moe_real x = *s + bias[j];

        if (j >= K && !(x > room[K - 1]))
            continue;
        x = x == x ? x : -MOEI_INFINITY;
        k = moei_smaller(j, K - 1);
        for (; k > 0 && room[k - 1] < x; k--) {
            room[k] = room[k - 1];
            chosen[k] = chosen[k - 1];
        }
        room[k] = x;
        chosen[k] = j;
    }
    for (j = 1; j < K; j++) {
        moved = chosen[j];
        for (k = j; k > 0 && chosen[k - 1] > moved; k--)
            chosen[k] = chosen[k - 1];
        chosen[k] = moved;
    }
}

/* The cases of each expert, in order, from what was chosen for each case. */
static void moei_group(moei_net *net, const int32_t *chosen, int n, int K)
{
    int32_t *start = net->start, first = 0, count, to;
    int i, k;

    moei_wipe(start, ((size_t)net->copies + 1) * sizeof *start);
    for (i = 0; i < n * K; i++)
        start[chosen[i]]++;
    for (i = 0; i < net->copies; i++, first += count) {
        count = start[i];
        start[i] = first;
    }
    for (i = 0; i < n; i++)
        for (k = 0; k < K; k++) {
            to = start[chosen[i * K + k]]++;
            net->cases[to] = i;
            net->place[to] = (int32_t)i * K + k;
        }
    for (i = net->copies; i > 0; i--)
        start[i] = start[i - 1];
    start[0] = 0;
}

/* For a part of the cases choose experts by s + gate.balance, s to LOG_P. */
static void moei_choose_for(moe *m, int part, int parts)
{
    moei_view s = moei_array(m, MOEI_S);
    const moe_real *bias = m->params + m->trained_count - m->balanced;
    int k, K = m->fixed.top_k, r = (int)((int32_t)s.m * part / parts);
    int end = (int)((int32_t)s.m * (part + 1) / parts);

    for (; r < end; r++) {
        const moe_real *s_r = s.at + (ptrdiff_t)r * s.row;
        moe_real *to = m->work[MOEI_LOG_P] + (ptrdiff_t)r * K;
        int32_t *chosen = m->choice + (ptrdiff_t)r * K;

        moei_choose(s_r, s.col, bias, s.n, K, chosen, to);
        for (k = 0; k < K; k++)
            to[k] = s_r[(ptrdiff_t)chosen[k] * s.col];
    }
}

static void moei_gate_choose(moe *m)
{
    uint64_t logits = (uint64_t)m->n * (uint64_t)m->fixed.experts;
    int part, parts = moei_parts(8 * logits, m->n);

    MOEI_EACH_PART(part, parts, moei_choose_for(m, part, parts))
    moei_group(&m->expert, m->choice, m->n, m->fixed.top_k);
}

/* An array of the chosen (n,K) as one of all experts (n,E): 0 for others. */
static void moei_to_all(const moe *m, moei_view all, moei_view chosen)
{
    moe_real *to = moei_writable(all);
    const int32_t *choice = m->choice;
    const moe_real *from = chosen.at;
    int r, k;

    moei_map1(m, MOEI_COPY, all, choice ? moei_zero : chosen);
    for (r = 0; r < m->n && choice; r++, to += all.row)
        for (k = 0; k < chosen.n; k++)
            to[(ptrdiff_t)*choice++ * all.col] = *from++;
}

/* s = gate(x) (n,E),  p = softmax of the chosen s (n,K).  Without a choice all
   experts have all cases; one alone has no gate, and p stays 1 as it was. */
static void moei_gate_forward(moe *m)
{
    int i, layers = m->gate.layers, choosing = m->sparse;

    if (layers > 0) {
        m->gate.start[1] = m->n;
        moei_net_forward(m, 0, 1);
    }
    if (choosing)
        moei_gate_choose(m);
    for (i = 0; i <= m->fixed.experts && !choosing; i++)
        m->expert.start[i] = i * m->n;
    if (layers > 0)
        moei_softmax(m, moei_array(m, MOEI_P), moei_array(m, MOEI_LOG_P),
                     moei_array(m, MOEI_LSE),
                     moei_array(m, choosing ? MOEI_LOG_P : MOEI_S));
}

/* The balance loss of Fedus, Zoph & Shazeer 2022 (4)-(6), for each case
     balance E sum_i f_i q_i,   q = softmax of all s,  f_i: shares of choices
   dE/ds_i += balance E q_i (f_i - sum_j f_j q_j) */
static void moei_balance_backward(moe *m, moei_view dE_ds)
{
    int E = m->fixed.experts;
    moe_real weight = m->config.balance * (moe_real)E;
    moei_view q = moei_block(m->work[MOEI_DELTA_2], m->n, E);
    moei_view mean = moei_array(m, MOEI_TOP), f = moei_row(m->share, E);

    moei_softmax(m, q, q, moei_array(m, MOEI_LSE), moei_array(m, MOEI_S));
    moei_reduce(m, MOEI_DOT, mean, q, f);
    moei_map(m, MOEI_SUB_MUL, q, f, mean, q);
    moei_map(m, MOEI_MUL_ADD, dE_ds, q, moei_number(&weight), dE_ds);
}

/* DELTA = dE/ds from what the loss left in g:
     posterior   dE/ds = p - g                      g = h, or its like
     otherwise   dE/ds_i = p_i (g_i - sum_j p_j g_j)     g = dE/dp
   by way of G; then the way back through the gate's layers.   g (n,K) */
static void moei_gate_backward(moe *m, moei_view g, int posterior,
                               int balance, int want_dz)
{
    moei_view p = moei_array(m, MOEI_P), of_chosen = moei_array(m, MOEI_G);
    moei_view dE_ds = moei_block(m->work[MOEI_DELTA], m->n, m->fixed.experts);

    if (posterior)
        moei_map2(m, MOEI_SUB, of_chosen, p, g);
    else
        moei_softmax_backward(m, p, g, of_chosen, moei_array(m, MOEI_TOP));
    moei_to_all(m, dE_ds, of_chosen);
    if (balance)
        moei_balance_backward(m, dE_ds);
    moei_net_backward(m, 0, 1, want_dz);
}

/* ======================================================================== */
/* 9  MIXTURE                                                               */
/* ======================================================================== */
/* The blend, the three losses and the posteriors of a block, and what of the
   error reaches each expert and the gate.  All in standardised units. */

/* The next expert from i on that has cases, or E: whose place start[i] is. */
static int moei_next(const moe *m, int i)
{
    const moei_net *net = &m->expert;
    int32_t at = net->start[i];

    return at == net->start[net->copies] ? net->copies
         : net->place ? (int)m->choice[net->place[at]] : i;
}

#define MOEI_EACH_EXPERT(m, i)                                              \
    for (i = moei_next(m, 0); i < m->fixed.experts; i = moei_next(m, i + 1))

/* work(m, i, how), so many operations a case, for each expert that has cases.
   Threads share out experts with rooms of their own, or else each loop. */
typedef void moei_work(moe *m, int i, int how);

static void moei_some_experts(moe *m, moei_work *work, int how, int part,
                              int parts)
{
    const int32_t *start = m->expert.start, all = start[m->fixed.experts];
    const int32_t from = all / parts * part, next = from + all / parts;
    int i;

    MOEI_EACH_EXPERT(m, i)
        if (start[i] >= from && (start[i] < next || part == parts - 1))
            work(m, i, how);
}

static void moei_each_expert(moe *m, moei_work *work, int how,
                             size_t operations)
{
    int all = (int)m->expert.start[m->fixed.experts], part;
    int parts = m->choice == NULL ? 1
              : moei_parts((uint64_t)operations * (uint64_t)all, all);

    MOEI_EACH_PART(part, parts, moei_some_experts(m, work, how, part, parts))
}

/* o_i, and log o_i for softmax experts.  (n,O) */
MOEI_NEAR moei_view moei_expert_out(const moe *m, int i)
{
    return moei_of_copy(&m->expert, m->expert.act, i, m->expert.layers - 1);
}

static moei_view moei_expert_log(const moe *m, int i)
{
    return moei_of_copy(&m->expert, m->expert.pre, i, m->expert.layers - 1);
}

/* Expert i's rows of a block array, and its column of one of the chosen. */
MOEI_NEAR moei_view moei_for_expert(const moe *m, int i, int name)
{
    return moei_rows_of(&m->expert, i, moei_array(m, name));
}

MOEI_NEAR moei_view moei_column_for(const moe *m, int i, int name)
{
    const moei_net *net = &m->expert;
    moei_view a = moei_array(m, name);

    return net->place ? moei_listed(moei_cases(a.at, a.m),
                                    net->place + net->start[i],
                                    moei_cases_of(net, i)) : moei_column(a, i);
}

/* What expert i gave (n,O); or by case what all have given for case i (E,O). */
static moei_view moei_outs(const moe *m, int i, int by_case)
{
    moei_view o = moei_expert_out(m, by_case ? 0 : i);

    return by_case ? moei_view_of(o.at + (ptrdiff_t)i * o.row, o.m * o.n, o.col,
                                  m->fixed.experts, o.n) : o;
}

/* work(m, i, 0) for each expert; or work(m, r, 1) for each case, where there
   are fewer of these. */
static void moei_each_out(moe *m, moei_work *work, size_t operations)
{
    int r, by_case = m->choice == NULL && m->n < m->fixed.experts;

    for (r = 0; r < m->n && by_case; r++)
        work(m, r, 1);
    if (!by_case)
        moei_each_expert(m, work, 0, operations);
}

/* y = sum_i p_i o_i, over the experts that ran */
static void moei_blend_some(moe *m, int i, int by_case)
{
    moei_view y = moei_array(m, MOEI_Y), y_i = moei_rows_of(&m->expert, i, y);
    moei_view o = moei_outs(m, i, by_case);
    int32_t r = i;

    if (by_case)
        moei_product(m, MOEI_COPY, moei_listed(y, &r, 1), moei_zero,
                     moei_listed(moei_array(m, MOEI_P), &r, 1), o);
    else
        moei_map(m, MOEI_MUL_ADD, y_i, o, moei_column_for(m, i, MOEI_P),
                 i > 0 || m->choice ? y_i : moei_zero);
}

static void moei_blend_forward(moe *m)
{
    if (m->choice != NULL)
        moei_map1(m, MOEI_COPY, moei_array(m, MOEI_Y), moei_zero);
    moei_each_out(m, moei_blend_some, 0);
}

/* Column i of G (n,K) = sums over the rows of A, B (n,O), by way of room. */
static void moei_reduce_for(const moe *m, int i, moei_reduce_op op, moei_view A,
                            moei_view B)
{
    moei_view g_i = moei_column_for(m, i, MOEI_G);
    moei_view sums = moei_room(m, &m->expert, i, MOEI_TOP, 1);

    moei_reduce(m, op, g_i.list ? sums : g_i, A, B);
    if (g_i.list != NULL)
        moei_map1(m, MOEI_COPY, g_i, sums);
}

/* e_i = |d - o_i|^2;  softmax: -sum_k d_k log o_ik.  e (n,K), in G, cut */
static void moei_error_of(moe *m, int i, int softmax)
{
    moei_reduce_for(m, i, softmax ? MOEI_DOT : MOEI_SQUARE,
                    moei_fetch_rows(m, &m->expert, i, moei_array(m, MOEI_D),
                                    MOEI_D_OF),
                    softmax ? moei_expert_log(m, i) : moei_expert_out(m, i));
}

static moei_view moei_errors(moe *m, moe_real most)
{
    moei_view e = moei_array(m, MOEI_G);
    int softmax = m->fixed.output == MOE_OUT_SOFTMAX;

    moei_each_expert(m, moei_error_of, softmax, 8 * (size_t)m->fixed.outputs);
    if (softmax)
        moei_map2(m, MOEI_SUB, e, moei_zero, e);
    moei_map2(m, MOEI_MIN, e, e, moei_number(&most));
    return e;
}

static moe_real moei_sigma(const moe *m)
{
    return m->config.sigma > 0 ? m->config.sigma : 1;
}

/* h = softmax(log p - e / (2 sigma^2));  softmax experts: softmax(log p - e).
   LSE is then log sum_i p_i exp(-e_i / (2 sigma^2)). */
static void moei_posteriors(moe *m)
{
    moe_real sigma = moei_sigma(m);
    moe_real factor = m->fixed.output == MOE_OUT_SOFTMAX
                    ? -1 : -1 / (2 * sigma * sigma);
    moei_view e = moei_errors(m, factor < -1 ? -MOEI_LARGEST / factor
                                             : MOEI_LARGEST);

    moei_map(m, MOEI_MUL_ADD, e, e, moei_number(&factor),
             moei_array(m, MOEI_LOG_P));
    moei_softmax(m, moei_array(m, MOEI_H), e, moei_array(m, MOEI_LSE), e);
}

/* u_i = log (p_i o_i) = log p_i + log o_i   (n,O) */
static void moei_log_share(moe *m, int i, moei_view u)
{
    moei_map2(m, MOEI_ADD, u, moei_expert_log(m, i),
              moei_column_for(m, i, MOEI_LOG_P));
}

/* DE_DY (n,O) = log y = log sum_i exp u_i, the largest u taken out first. */
static moei_view moei_log_blend(moe *m)
{
    int i, pass, O = m->fixed.outputs;
    moei_view log_y = moei_array(m, MOEI_DE_DY), u, top, rest;
    moei_view sum = moei_block(m->work[MOEI_DELTA_2], m->n, O);
    moe_real lowest = -2 * MOEI_LARGEST;

    moei_map1(m, MOEI_COPY, log_y, moei_number(&lowest));
    moei_map1(m, MOEI_COPY, sum, moei_zero);
    for (pass = 0; pass < 2; pass++)
        MOEI_EACH_EXPERT(m, i) {
            top = moei_for_expert(m, i, MOEI_DE_DY);
            u = moei_block(m->work[MOEI_DELTA], top.m, O);
            moei_log_share(m, i, u);
            if (pass == 0) {
                moei_map2(m, MOEI_MAX2, top, top, u);
                continue;
            }
            moei_map2(m, MOEI_EXP, u, u, top);
            rest = moei_rows_of(&m->expert, i, sum);
            moei_map2(m, MOEI_ADD, rest, rest, u);
        }
    moei_map1(m, MOEI_LOG, sum, sum);
    moei_map2(m, MOEI_ADD, log_y, log_y, sum);
    return log_y;
}

/* E of each case, LOSS (n):
     mixture   (1.3)  E = -log sum_i p_i exp(-e_i / (2 sigma^2))
     expected  (1.2)  E = sum_i p_i e_i
     blend     (1.1)  E = |d - y|^2;  softmax: E = -sum_k d_k log y_k */
static void moei_loss_forward(moe *m)
{
    moei_view loss = moei_array(m, MOEI_LOSS), d = moei_array(m, MOEI_D);

    if (m->config.loss == MOE_LOSS_MIXTURE) {
        moei_posteriors(m);
        moei_map2(m, MOEI_SUB, loss, moei_zero, moei_array(m, MOEI_LSE));
    } else if (m->config.loss == MOE_LOSS_EXPECTED) {
        moei_reduce(m, MOEI_DOT, loss, moei_errors(m, MOEI_LARGEST),
                    moei_array(m, MOEI_P));
    } else if (m->fixed.output == MOE_OUT_SOFTMAX) {
        moei_reduce(m, MOEI_DOT, loss, moei_log_blend(m), d);
        moei_map2(m, MOEI_SUB, loss, moei_zero, loss);
    } else {
        moei_reduce(m, MOEI_SQUARE, loss, moei_array(m, MOEI_Y), d);
        moei_map2(m, MOEI_MIN, loss, loss, moei_largest);
    }
}

/* The ways in which an error reaches experts and gate. */
typedef enum moei_path {
    MOEI_BY_POSTERIOR,  /* (1.3)                                             */
    MOEI_BY_PROPORTION, /* (1.2)                                             */
    MOEI_BY_BLEND,      /* through y: (1.1), or an error of the user's       */
    MOEI_BY_LOG_BLEND,  /* through log y: (1.1) of softmax experts           */
    MOEI_TO_INPUTS      /* + one of these: on to dE/dz                       */
} moei_path;

/* Each expert by an error of its own, weighted by w = h or p:
   (1.3) dE/do_i = h_i (o_i - d) / sigma^2    softmax: dE/da_i = h_i (o_i - d)
   (1.2) dE/do_i = 2 p_i (o_i - d)            softmax: dE/da_i = p_i (o_i - d)
   and dE/da_i = dE/do_i o_i (1 - o_i) for logistic experts */
static void moei_by_expert(moe *m, int i, int w, moe_real factor,
                           moei_view delta)
{
    moei_view o = moei_expert_out(m, i);
    moei_view w_i = moei_room(m, &m->expert, i, MOEI_TOP, 1);
    int function = m->expert.function[m->expert.layers - 1];

    if (function == MOEI_SOFTMAX)
        factor = 1;
    moei_map2(m, MOEI_MUL, w_i, moei_column_for(m, i, w), moei_number(&factor));
    moei_map(m, MOEI_SUB_MUL, delta, o, moei_for_expert(m, i, MOEI_D), w_i);
    if (function != MOEI_SOFTMAX)
        moei_function_backward(m, function, o, delta);
}

/* dE/do_i = p_i dE/dy,  g_i = dE/dp_i = sum_k dE/dy_k o_ik */
static void moei_by_blend(moe *m, int i, moei_view delta)
{
    moei_view o = moei_expert_out(m, i);
    moei_view dE_dy = moei_fetch_rows(m, &m->expert, i,
                                      moei_array(m, MOEI_DE_DY), MOEI_D_OF);
    int function = m->expert.function[m->expert.layers - 1];

    moei_reduce_for(m, i, MOEI_DOT, dE_dy, o);
    moei_map2(m, MOEI_MUL, delta, dE_dy, moei_column_for(m, i, MOEI_P));
    if (function == MOEI_SOFTMAX)
        moei_softmax_backward(m, o, delta, delta,
                              moei_room(m, &m->expert, i, MOEI_TOP, 1));
    else
        moei_function_backward(m, function, o, delta);
}

/* r_ik = p_i o_ik / y_k = exp(u_ik - log y_k)
   g_i = sum_k d_k r_ik,  dE/da_ik = o_ik g_i - d_k r_ik */
static void moei_by_log_blend(moe *m, int i, moei_view delta)
{
    moei_view o = moei_expert_out(m, i);
    moei_view r = moei_room(m, &m->expert, i, MOEI_DELTA_2, o.n);

    moei_log_share(m, i, r);
    moei_map2(m, MOEI_EXP, r, r, moei_for_expert(m, i, MOEI_DE_DY));
    moei_map2(m, MOEI_MUL, r, r, moei_for_expert(m, i, MOEI_D));
    moei_reduce_for(m, i, MOEI_SUM, r, moei_zero);
    moei_map2(m, MOEI_MUL, delta, o, moei_column_for(m, i, MOEI_G));
    moei_map2(m, MOEI_SUB, delta, delta, r);
}

/* DELTA = dE/da of expert i's last layer.  (n,O) */
static void moei_expert_delta(moe *m, moei_path path, int i)
{
    moei_view delta = moei_room(m, &m->expert, i, MOEI_DELTA,
                                m->fixed.outputs);
    moe_real sigma = moei_sigma(m);

    if (path == MOEI_BY_POSTERIOR)
        moei_by_expert(m, i, MOEI_H, 1 / (sigma * sigma), delta);
    else if (path == MOEI_BY_PROPORTION)
        moei_by_expert(m, i, MOEI_P, 2, delta);
    else if (path == MOEI_BY_BLEND)
        moei_by_blend(m, i, delta);
    else
        moei_by_log_blend(m, i, delta);
}

/* ======================================================================== */
/* 10  FORWARD AND BACKWARD                                                 */
/* ======================================================================== */
/* One block of at most B cases, and the public calls made of blocks. */

/* d (n,O) from labels: 1 at the label, else 0; NaN if it is out of range. */
static void moei_load_labels(moe *m, const int *labels, const int32_t *order)
{
    moei_view d = moei_array(m, MOEI_D);
    moe_real *at = moei_writable(d);
    ptrdiff_t i;
    int label;

    moei_map1(m, MOEI_COPY, d, moei_zero);
    for (i = 0; i < d.m; i++) {
        label = labels[order ? order[i] : i];
        if (moei_outside(label, 0, d.n - 1))
            at[i * d.row] = MOEI_NAN;
        else
            at[i * d.row + (ptrdiff_t)label * d.col] = 1;
    }
}

/* The block of cases first .. end-1 of the data, at most B of them, in file
   order (key NULL) or in the order of a key:
   z = (x - shift) factor,  d' = (d - shift) / factor */
static void moei_load(moe *m, const moe_data *data, const uint64_t *key,
                      int first, int end)
{
    size_t in = (size_t)m->fixed.inputs, O = (size_t)m->fixed.outputs;
    size_t skip = key ? 0 : (size_t)first;
    int32_t *order = key ? m->order : NULL;
    int i, n = m->n = moei_smaller(m->fixed.rows, end - first);

    m->forwarded = -1;
    for (i = 0; i < n && key; i++)
        order[i] = (int32_t)moei_shuffled((uint32_t)(first + i),
                                          (uint32_t)data->n, *key);
    moei_map(m, MOEI_SUB_MUL, moei_array(m, MOEI_Z),
             moei_listed(moei_matrix(data->x + skip * in, n, (int)in), order,
                         n),
             moei_scale_x(m, 0), moei_scale_x(m, 1));
    if (data->d != NULL)
        moei_map(m, MOEI_SUB_DIV, moei_array(m, MOEI_D),
                 moei_listed(moei_matrix(data->d + skip * O, n, (int)O), order,
                             n),
                 moei_scale_d(m, 0), moei_scale_d(m, 1));
    else if (data->labels != NULL)
        moei_load_labels(m, data->labels + skip, order);
}

/* z -> s, p, o, y */
static void moei_block_forward(moe *m)
{
    moei_gate_forward(m);
    moei_each_expert(m, moei_net_forward, 0,
                     m->trained_count / (size_t)m->fixed.experts);
    moei_blend_forward(m);
}

/* grads +=, and dE/dz += if wanted; of gate.balance, how many cases chose. */
static void moei_expert_backward(moe *m, int i, int path)
{
    moe_real *count = m->grads + m->trained_count - m->balanced;

    moei_expert_delta(m, (moei_path)(path % MOEI_TO_INPUTS), i);
    moei_net_backward(m, i, 0, path >= MOEI_TO_INPUTS);
    if (m->sparse)
        count[i] += (moe_real)moei_cases_of(&m->expert, i);
}

static void moei_block_backward(moe *m, moei_path path, int balance,
                                int want_dz)
{
    size_t operations = m->trained_count / (size_t)m->fixed.experts;

    moei_each_expert(m, moei_expert_backward,
                     (int)path + (want_dz ? MOEI_TO_INPUTS : 0),
                     want_dz ? 0 : operations);  /* 0: experts share dE/dz */
    moei_gate_backward(m,
        moei_array(m, path == MOEI_BY_POSTERIOR ? MOEI_H : MOEI_G),
        path == MOEI_BY_POSTERIOR || path == MOEI_BY_LOG_BLEND, balance,
        want_dz);
}

/* grads += of the loss, after moei_loss_forward.  (1.1): dE/dy = 2 (y - d) */
static void moei_loss_backward(moe *m)
{
    moei_path path = m->config.loss == MOE_LOSS_MIXTURE ? MOEI_BY_POSTERIOR
        : m->config.loss == MOE_LOSS_EXPECTED ? MOEI_BY_PROPORTION
        : m->fixed.output == MOE_OUT_SOFTMAX ? MOEI_BY_LOG_BLEND
        : MOEI_BY_BLEND;

    if (path == MOEI_BY_BLEND)
        moei_map(m, MOEI_SUB_MUL, moei_array(m, MOEI_DE_DY),
                 moei_array(m, MOEI_Y), moei_array(m, MOEI_D), moei_two);
    moei_block_backward(m, path, m->sparse && m->config.balance > 0, 0);
}

/* From standardised to the user's units: shift + factor y */
static void moei_to_user(const moe *m, moei_view user, moei_view y)
{
    moei_map(m, MOEI_MUL_ADD, user, y, moei_scale_d(m, 1), moei_scale_d(m, 0));
}

/* Write the public arrays: o (n,K,O), then the others. */
static void moei_publish_some(moe *m, int i, int by_case)
{
    const moei_net *net = &m->expert;
    int K = m->fixed.top_k, O = m->fixed.outputs, n_i = moei_cases_of(net, i);
    moei_view o = moei_matrix(m->o, m->n * K, O);
    moei_view to = by_case ? moei_window(o, i * K, 0, K, O)
        : net->place ? moei_listed(o, net->place + net->start[i], n_i)
        : moei_view_of(o.at + (size_t)i * (size_t)O, K * O, 1, n_i, O);

    moei_to_user(m, to, moei_outs(m, i, by_case));
}

static void moei_publish(moe *m)
{
    int i, n = m->n, E = m->fixed.experts, O = m->fixed.outputs;

    m->rows = n;
    for (i = m->choice ? n * m->fixed.top_k : 0; i-- > 0;)
        m->shown[i] = m->choice[i];
    if (m->gate.layers > 0) {
        moei_map1(m, MOEI_COPY, moei_matrix(m->s, n, E), moei_array(m, MOEI_S));
        moei_to_all(m, moei_matrix(m->p, n, E), moei_array(m, MOEI_P));
    }
    moei_each_out(m, moei_publish_some, 8 * (size_t)O);
    moei_to_user(m, moei_matrix(m->y, n, O), moei_array(m, MOEI_Y));
}

/* Blocks go from first to last, but backwards when a row of y is longer than
   one of x: y may then be x without overwriting what is still to be read. */
MOE_DEF void moe_predict(moe *m, const moe_real *x, int n, moe_real *y)
{
    moe_data data = {n, x, NULL, NULL};
    int O, B, blocks, done;

    MOE_ASSERT(m != NULL && m->params != NULL);
    MOE_ASSERT(n < 1 || (x != NULL && y != NULL));
    if (m == NULL || m->params == NULL || x == NULL || y == NULL)
        return;
    O = m->fixed.outputs;
    B = m->fixed.rows;
    blocks = n < 1 ? 0 : (n - 1) / B + 1;
    for (done = 0; done < blocks; done++) {
        int block = O > m->fixed.inputs ? blocks - 1 - done : done;
        int first = block * B;

        moei_load(m, &data, NULL, first, n);
        moei_block_forward(m);
        if (block == blocks - 1)
            moei_publish(m);
        moei_to_user(m, moei_matrix(y + (size_t)first * (size_t)O, m->n, O),
                     moei_array(m, MOEI_Y));
    }
}

MOE_DEF int moe_forward(moe *m, const moe_real *x, int n)
{
    moe_data data = {n, x, NULL, NULL};

    MOE_ASSERT(m != NULL && m->params != NULL);
    MOE_ASSERT(n < 1 || x != NULL);
    if (m == NULL || m->params == NULL)
        return 0;
    m->n = m->rows = 0;
    if (n > 0 && x != NULL) {
        moei_load(m, &data, NULL, 0, n);
        moei_block_forward(m);
        moei_publish(m);
    }
    return m->forwarded = m->n;
}

/* y = shift + factor y', so dE/dy' = factor dE/dy;
   z = (x - shift) factor, so dE/dx = factor dE/dz */
MOEI_LEARN void moe_backward(moe *m, const moe_real *dE_dy, moe_real *dE_dx)
{
    moei_view dE_dz;

    MOE_ASSERT(m != NULL && m->grads != NULL && m->forwarded >= 0);
    MOE_ASSERT(dE_dy != NULL);
    if (m == NULL || m->grads == NULL || m->forwarded < 1 || dE_dy == NULL)
        return;
    dE_dz = moei_array(m, MOEI_DE_DZ);
    moei_map2(m, MOEI_MUL, moei_array(m, MOEI_DE_DY),
              moei_matrix(dE_dy, m->n, m->fixed.outputs), moei_scale_d(m, 1));
    moei_map1(m, MOEI_COPY, dE_dz, moei_zero);
    moei_block_backward(m, MOEI_BY_BLEND, 0, dE_dx != NULL);
    if (dE_dx != NULL)
        moei_map2(m, MOEI_MUL,
                  moei_matrix(dE_dx, m->n, m->fixed.inputs), dE_dz,
                  moei_scale_x(m, 1));
}

/* Whether z and d of the block are finite. */
static int moei_block_is_finite(const moe *m)
{
    size_t n = (size_t)m->n;

    return moei_all_finite(m->work[MOEI_Z], n * (size_t)m->fixed.inputs)
        && moei_all_finite(m->work[MOEI_D], n * (size_t)m->fixed.outputs);
}

/* What is summed over cases in m->sum: E shares of p, E of wins, then */
enum { MOEI_SUM_LOSS, MOEI_SUM_SQUARE, MOEI_SUM_RIGHT, MOEI_SUM_ENTROPY,
       MOEI_SUMS };

static int moei_sum_at(const moe *m, int which)
{
    return 2 * m->fixed.experts + which;
}

static void moei_clear_sums(moe *m)
{
    moei_clear(m->sum, 3 * (size_t)moei_sum_at(m, MOEI_SUMS));
    m->counted = 0;
}

/* Sums from number `at` on += the columns of x (n,K), for the n cases after the
   m->counted ones.  Cases are added up in groups of 64, and groups with a carry
   for what rounding loses, so that the sums do not depend on blocks. */
static void moei_count(moe *m, int at, moei_view x)
{
    enum { GROUP = 64 };
    size_t sums = (size_t)moei_sum_at(m, MOEI_SUMS);
    moe_real *sum = m->sum + at, *carry = sum + sums, *group = carry + sums;
    moei_view row = moei_row(group, x.n);
    int i, k, run;

    for (i = 0; i < x.m; i += run) {
        run = moei_smaller(x.m - i, GROUP - (m->counted + i) % GROUP);
        moei_product(m, MOEI_COPY, row, row, MOEI_ONES(run),
                     moei_window(x, i, 0, run, x.n));
        for (k = 0; k < x.n && (m->counted + i + run) % GROUP == 0; k++) {
            moei_add(&sum[k], &carry[k], group[k]);
            group[k] = 0;
        }
    }
}

static moe_real moei_sum_of(const moe *m, int at)
{
    int sums = moei_sum_at(m, MOEI_SUMS);

    return m->sum[at] + (m->sum[at + sums] + m->sum[at + 2 * sums]);
}

/* Whether the targets are of a kind that this moe can learn from. */
static int moei_targets_fit(const moe *m, const moe_data *data)
{
    return (data->d == NULL) != (data->labels == NULL)
        && (data->d != NULL || m->fixed.output == MOE_OUT_SOFTMAX);
}

/* f of the balance loss, if any: shares of the choices of these cases. */
static void moei_count_shares(moe *m, const moe_data *data,
                              const uint64_t *key, int first, int count)
{
    const int E = m->sparse && m->config.balance > 0 ? m->fixed.experts : 0;
    int i, at;

    moei_clear(m->share, (size_t)E);
    for (at = first; at < first + count && E > 0; at += m->n) {
        moei_load(m, data, key, at, first + count);
        moei_gate_forward(m);
        for (i = 0; i < E; i++)
            m->share[i] += (moe_real)moei_cases_of(&m->expert, i);
    }
    for (i = 0; i < E; i++)
        m->share[i] /= (moe_real)count * (moe_real)m->fixed.top_k;
}

MOEI_LEARN moe_real moe_gradient(moe *m, const moe_data *data)
{
    int first;

    MOE_ASSERT(m != NULL && m->grads != NULL);
    MOE_ASSERT(data != NULL && (data->n < 1 || data->x != NULL));
    if (m == NULL || m->grads == NULL)
        return MOEI_NAN;
    m->forwarded = -1;
    if (data == NULL || (data->n > 0 && data->x == NULL)
        || !moei_targets_fit(m, data))
        return m->grads[0] = MOEI_NAN;
    moei_clear_sums(m);
    moei_count_shares(m, data, NULL, 0, data->n);
    for (first = 0; first < data->n; first += m->n) {
        moei_load(m, data, NULL, first, data->n);
        if (!moei_block_is_finite(m))
            return m->grads[0] = MOEI_NAN;
        moei_block_forward(m);
        moei_loss_forward(m);
        moei_count(m, moei_sum_at(m, MOEI_SUM_LOSS), moei_array(m, MOEI_LOSS));
        m->counted += m->n;
        moei_loss_backward(m);
    }
    if (data->n > 0) {
        if (m->config.loss != MOE_LOSS_MIXTURE)     /* which has made them */
            moei_posteriors(m);
        moei_to_all(m, moei_matrix(m->h, m->n, m->fixed.experts),
                    moei_array(m, MOEI_H));
        moei_publish(m);
    }
    return moei_sum_of(m, moei_sum_at(m, MOEI_SUM_LOSS));
}

/* ======================================================================== */
/* 11  OPTIMISERS                                                           */
/* ======================================================================== */
static const char *moei_training_fault(const moe *m, const moe_training *t)
{
    return m->sparse && m->fixed.top_k < 2
            ? "top_k = 1 teaches the gate nothing: train with top_k = 2 or "
              "more, or with all by (1.3), then predict with 1"
        : t->epochs < 0 ? "epochs is negative"
        : t->batch < MOE_ALL ? "batch is negative and not MOE_ALL"
        : moei_outside((int)t->optimizer, MOE_ADAM, MOE_SGD)
            ? "optimizer is not MOE_ADAM or MOE_SGD"
        : !moei_is_amount(t->rate) ? "rate is outside 0..1e30"
        : !moei_is_amount(t->momentum) || t->momentum >= 1
            ? "momentum is outside [0,1)"
        : t->momentum > 0 && t->optimizer != MOE_SGD ? "momentum is for MOE_SGD"
        : !moei_is_amount(t->weight_decay) ? "weight_decay is outside 0..1e30"
        : !moei_is_amount(t->clip) ? "clip is outside 0..1e30"
        : !moei_is_amount(t->target) ? "target is outside 0..1e30"
        : !moei_is_amount(t->balance_rate) ? "balance_rate is outside 0..1e30"
        : t->balance_rate > 0 && !m->sparse
            ? "balance_rate needs top_k in 2..experts-1"
        : t->patience < -1 ? "patience is below -1"
        : NULL;
}

/* All zeros, which is every default; but MOE_USE_LEARN has no Adam. */
static moe_training moei_default_training(const moe *m)
{
    moe_training t;

    moei_wipe(&t, sizeof t);
    t.optimizer = m->fixed.use == MOE_USE_LEARN ? MOE_SGD : MOE_ADAM;
    return t;
}

static moe_real moei_rate_of(const moe_training *t)
{
    return t->rate > 0 ? t->rate
         : t->optimizer == MOE_SGD ? (moe_real)0.1 : (moe_real)0.015;
}

static moe_status moei_check_own(moe *m)
{
    const char *why = m->own == NULL
            ? m->params ? "the weights are const: this moe only predicts"
                        : "this moe is closed"
        : m->params != m->own ? "params points at other weights than own"
        : m->grads == NULL
            ? "opened with MOE_USE_PREDICT, as by loading without a config: "
              "give one whose use is MOE_USE_TRAIN" : NULL;

    return why ? moei_refuse(m, MOE_ERR_STATE, why) : MOE_OK;
}

/* |g|, in up to 64 sums side by side; if squares overflow, on a small scale. */
static moe_real moei_norm(const moe *m, const moe_real *g, size_t count)
{
    enum { SUMS = 64, TERMS = 256 };
    const moe_real scale = (moe_real)1e-25;
    volatile moe_real small;     /* else -ffast-math squares before it scales */
    moe_real part[SUMS], sum = 0;
    size_t i, left;
    moei_view some;
    int k, sums, terms;

    for (i = 0; i < count; i += (size_t)sums * (size_t)terms) {
        left = count - i;
        sums = left < SUMS ? (int)left : SUMS;
        terms = left / SUMS > TERMS ? TERMS : (int)(left / (size_t)sums);
        some = moei_view_of(g + i, 1, sums, sums, terms);
        moei_reduce(m, MOEI_DOT, moei_cases(part, sums), some, some);
        for (k = 0; k < sums; k++)
            sum += part[k];
    }
    if (moei_is_finite(sum))
        return moei_sqrt(sum);
    if (!moei_all_finite(g, count))
        return MOEI_NAN;
    for (sum = 0, i = 0; i < count; i++) {
        small = g[i] * scale;
        sum += small * small;
    }
    return moei_sqrt(sum) / scale;
}

/* The next step's rule, with clipping.  *size gets the norm of its gradient and
   of what decays; 0 if the gradient's is not finite. */
static int moei_next_rule(const moe *m, const moe_training *t, moe_real rate,
                          moe_real scale, moei_rule *rule, moe_real *size)
{
    const size_t learnt = m->trained_count - m->balanced;
    moe_real norm = (scale < 0 ? -scale : scale)
                  * moei_norm(m, m->grads, learnt);

    if (!moei_is_finite(norm) || !moei_all_finite(m->grads + learnt,
                                                  m->balanced))
        return 0;
    if (t->clip > 0 && norm > t->clip) {
        scale *= t->clip / norm;
        norm = t->clip;
    }
    rule->op = t->optimizer == MOE_ADAM ? MOEI_ADAM
             : t->momentum > 0 ? MOEI_MOMENTUM : MOEI_SGD;
    rule->scale = scale;
    rule->rate = rate;
    rule->momentum = t->momentum;
    rule->decay = t->weight_decay;
    rule->second_scale = 1 / (1 - m->beta_power[1] * MOEI_BETA_2);
    if (t->optimizer == MOE_ADAM) {
        rule->decay = rate * t->weight_decay;
        rule->rate = rate / (1 - m->beta_power[0] * MOEI_BETA_1);
    }
    if (t->weight_decay > 0)
        norm += t->weight_decay * moei_norm(m, m->own, m->trained_count);
    *size = norm;
    return 1;
}

static void moei_update_some(moe *m, size_t from, size_t to,
                             const moei_rule *rule)
{
    moe_real *v = m->kept[MOEI_FIRST], *u = m->kept[MOEI_SECOND];

    MOEI_SET_AT(m->set)->update(to - from, m->own + from, m->grads + from,
                             v ? v + from : NULL, u ? u + from : NULL, rule);
}

/* Parameters from .. to-1 by one rule, shared out as if they were rows. */
static void moei_update(moe *m, size_t from, size_t to, const moei_rule *rule)
{
    const int parts = moei_parts(8 * (uint64_t)(to - from), MOE_MAX_SIZE);
    const size_t some = (to - from) / (size_t)parts;
    int i;

    MOEI_EACH_PART(i, parts, moei_update_some(m, from + (size_t)i * some,
        i < parts - 1 ? from + (size_t)(i + 1) * some : to, rule))
}

/* The same with copies, a few at a time: whether all that it would leave, and
   what it starts from, is finite. */
static int moei_try_update(const moe *m, size_t from, size_t to,
                           const moei_rule *rule)
{
    enum { SOME = 32 };
    moe_real copy[4][SOME];
    const moe_real *array[4];
    int k, n, finite = 1, arrays = m->kept[MOEI_FIRST] ? 4 : 2;

    array[0] = m->own;
    array[1] = m->grads;
    array[2] = m->kept[MOEI_FIRST];
    array[3] = m->kept[MOEI_SECOND];
    for (; from < to && finite; from += (size_t)n) {
        n = to - from < SOME ? (int)(to - from) : SOME;
        for (k = 0; k < arrays; k++)
            moei_copy(copy[k], array[k] + from, (size_t)n);
        MOEI_SET_AT(m->set)->update((size_t)n, copy[0], copy[1], copy[2],
                                    copy[3], rule);
        for (k = 0; k < arrays; k++)
            finite = finite && moei_all_finite(copy[k], (size_t)n);
    }
    return finite;
}

/* All layers of a net, or only a trial; biases do not decay. */
static int moei_update_net(moe *m, const moei_net *net, const moei_rule *rule,
                           int trial)
{
    moei_rule plain = *rule;
    int l;

    plain.decay = 0;
    for (l = 0; l < net->layers; l++) {
        moe_layer at = net->layer[l], end = moei_layer_of(net, net->copies, l);

        if (trial && !(moei_try_update(m, at.bias, end.bias, &plain)
                       && moei_try_update(m, at.weight, end.weight, rule)))
            return 0;
        if (!trial) {
            moei_update(m, at.bias, end.bias, &plain);
            moei_update(m, at.weight, end.weight, rule);
        }
    }
    return 1;
}

/* Whether a step leaves finite weights finite, and the moments, which *moment
   bounds.  |v| and sqrt u grow to the largest of themselves and |g|, or with
   momentum to momentum |v| + |g|; so a step moves no weight by more than
     Adam   rate / (1 - beta_1) |v| / epsilon + rate decay |w|
     SGD    rate |v|,  rate |g|
   Where that is below 1e30, half the distance of the two largest floats, no sum
   overflows.  What is larger is tried out. */
static int moei_step_is_finite(moe *m, const moei_rule *rule, moe_real rate,
                               moe_real size, moe_real *moment)
{
    moe_real v = m->largest_moment;

    v = rule->op == MOEI_MOMENTUM
      ? moei_larger(v, rule->momentum * v + size) : moei_larger(v, size);
    *moment = rule->op == MOEI_SGD ? m->largest_moment : v;
    return (moei_is_finite(v) && v <= (moe_real)1e16 && rate <= (moe_real)1e3)
        || (moei_update_net(m, &m->expert, rule, 1)
            && moei_update_net(m, &m->gate, rule, 1));
}

/* Balancing without a loss (Wang, Gao, Zhao, Sun & Dai 2024): gate.balance of
   experts that fewer cases than the mean have chosen goes up, else down.  What
   all move in common chooses nothing and is taken out, or it might grow. */
static void moei_step_balance(moe *m, moe_real rate)
{
    size_t i, at = m->trained_count - m->balanced;
    moe_real *count = m->grads + at, sum = 0, all = 0;

    for (i = 0; i < m->balanced; i++)
        sum += count[i];
    for (i = 0; i < m->balanced; i++) {
        moe_real over = count[i] * (moe_real)m->balanced - sum;
        moe_real step = over < 0 ? rate : over > 0 ? -rate : 0;
        m->own[at + i] += step;
        all += step;
        count[i] = 0;
    }
    for (i = 0; i < m->balanced; i++)
        m->own[at + i] -= all / (moe_real)m->balanced;
}

/* One step at a given rate, of settings that were checked. */
static moe_status moei_step(moe *m, const moe_training *t, moe_real rate,
                            moe_real scale)
{
    moei_rule rule;
    moe_real size, moment = 0;
    const char *fault = !moei_next_rule(m, t, rate, scale, &rule, &size)
            ? "the gradient is not finite"
        : !moei_step_is_finite(m, &rule, rate, size, &moment)
            ? "the step leads to weights that are not finite" : NULL;

    if (fault != NULL) {
        moei_clear(m->grads, m->trained_count);
        return moei_refuse(m, MOE_ERR_DIVERGED, fault);
    }
    (void)moei_update_net(m, &m->expert, &rule, 0);
    (void)moei_update_net(m, &m->gate, &rule, 0);
    m->largest_moment = moment;
    moei_step_balance(m, t->balance_rate);
    m->beta_power[0] *= MOEI_BETA_1;
    m->beta_power[1] *= MOEI_BETA_2;
    m->steps += m->steps < INT32_MAX;
    m->scaled = 2;
    m->forwarded = -1;
    return moei_done(m, MOE_OK);
}

MOEI_LEARN moe_status moe_step(moe *m, const moe_training *t, moe_real scale)
{
    moe_training defaults;
    moe_status status = m == NULL ? MOE_ERR_NULL : moei_check_own(m);
    const char *fault;

    if (status != MOE_OK)
        return status;
    defaults = moei_default_training(m);
    t = t ? t : &defaults;
    fault = moei_training_fault(m, t);
    if (fault == NULL && !moei_is_finite(scale))
        fault = "scale is not finite";
    if (fault != NULL)
        return moei_refuse(m, MOE_ERR_CONFIG, fault);
    if (m->kept[MOEI_FIRST] == NULL
        && (t->optimizer == MOE_ADAM || t->momentum > 0))
        return moei_refuse(m, MOE_ERR_STATE,
                           "Adam and momentum need MOE_USE_TRAIN");
    return moei_step(m, t, moei_rate_of(t), scale);
}

/* ======================================================================== */
/* 12  DATA                                                                 */
/* ======================================================================== */
/* Column of the first value of a row that is not finite, or -1. */
static int moei_bad_column(const moe_real *x, int count)
{
    int j = 0;

    if (moei_all_finite(x, (size_t)count))
        return -1;
    while (j < count - 1 && moei_is_finite(x[j]))
        j++;
    return j;
}

/* The sentence for a row of targets, or NULL; *column is where. */
static const char *moei_target_fault(const moe *m, const moe_real *d,
                                     int *column)
{
    int k, O = m->fixed.outputs;
    moe_real sum = 0;

    *column = moei_bad_column(d, O);
    if (*column >= 0)
        return "d is NaN or infinite";
    for (k = 0; k < O; k++) {
        *column = k;
        if (m->fixed.output == MOE_OUT_LOGISTIC && !(d[k] >= 0 && d[k] <= 1))
            return "d is outside [0,1], but the experts are logistic";
        if (m->fixed.output == MOE_OUT_SOFTMAX && d[k] < 0)
            return "d is negative, but the experts are softmax";
        sum += d[k];
    }
    *column = 0;
    if (m->fixed.output == MOE_OUT_SOFTMAX
        && !(sum > (moe_real)0.999 && sum < (moe_real)1.001))
        return "a row of d does not sum to 1, but the experts are softmax";
    return NULL;
}

/* The sentence for one case, or NULL; *column counts x's columns, then d's. */
static const char *moei_case_fault(const moe *m, const moe_data *data, int i,
                                   int *column)
{
    size_t in = (size_t)m->fixed.inputs, O = (size_t)m->fixed.outputs;
    const char *fault = NULL;
    int k = 0;

    *column = moei_bad_column(data->x + (size_t)i * in, m->fixed.inputs);
    if (*column >= 0)
        return "x is NaN or infinite";
    if (data->d != NULL)
        fault = moei_target_fault(m, data->d + (size_t)i * O, &k);
    else if (moei_outside(data->labels[i], 0, m->fixed.outputs - 1))
        fault = "a label is outside 0..outputs-1";
    *column = m->fixed.inputs + k;
    return fault;
}

static moe_status moei_check_data(moe *m, const moe_data *data, int row_0,
                                  moe_report *report)
{
    int i;

    if (data == NULL || data->x == NULL)
        return moei_refuse(m, MOE_ERR_NULL, "data or its x is NULL");
    if (data->n < 1)
        return moei_refuse(m, MOE_ERR_DATA, "n is below 1");
    if (data->d == NULL && data->labels == NULL)
        return moei_refuse(m, MOE_ERR_NULL, "neither d nor labels given");
    if (data->d != NULL && data->labels != NULL)
        return moei_refuse(m, MOE_ERR_DATA, "both d and labels given");
    if (!moei_targets_fit(m, data))
        return moei_refuse(m, MOE_ERR_DATA, "labels need softmax experts");
    for (i = 0; i < data->n; i++) {
        const char *fault = moei_case_fault(m, data, i, &report->bad_column);
        if (fault != NULL) {
            report->bad_row = row_0 + i;
            return moei_refuse(m, MOE_ERR_DATA, fault);
        }
    }
    report->bad_column = -1;
    return MOE_OK;
}

/* Mean and standard deviation of a column, `stride` reals apart; 1, and returns
   0, if it is constant or cannot be divided by.  Sums run over differences from
   the first value, then from the mean, in units of the largest, and keep what
   rounding loses.  Quarters of all are taken, so that no difference overflows;
   volatile, or -ffast-math would take the quarter of a difference. */
static int moei_spread(const moe_real *at, int n, size_t stride,
                       moe_real *mean, moe_real *deviation)
{
    const moe_real quarter = (moe_real)0.25;
    const moe_real end = moei_from_bits(MOEI_INFINITY_BITS - 1) * quarter;
    volatile moe_real middle = at[0] * quarter;
    moe_real sum = 0, carry = 0, most = 0, size;
    int i;

    *mean = at[0];
    *deviation = 1;
    for (i = 0; i < n; i++) {
        moe_real off = at[(size_t)i * stride] * quarter - middle;
        moei_add(&sum, &carry, off / (moe_real)n);
        most = moei_larger(most, off < 0 ? -off : off);
    }
    if (most == 0)
        return 0;
    middle = moei_clamp(middle + (sum + carry), end);
    *mean = 4 * middle;
    for (sum = carry = 0, i = 0; i < n; i++) {
        moe_real off = (at[(size_t)i * stride] * quarter - middle) / most;
        moei_add(&sum, &carry, off * off);
    }
    size = 4 * moei_clamp(most * moei_sqrt((sum + carry) / (moe_real)n), end);
    if (!(size > 0) || !moei_is_finite(1 / size))
        return 0;
    *deviation = size;
    return 1;
}

/* The weights by which a net's first layer sees column j, if it does, are 0. */
static void moei_forget_column(moe *m, const moei_net *net, int j)
{
    moe_layer layer = net->layer[0];
    int c;

    if (net->layers < 1 || moei_outside(j - net->first, 0, layer.in - 1))
        return;
    for (c = 0; c < net->copies; c++)
        moei_clear(m->own + moei_layer_of(net, c, 0).weight
                   + (size_t)(j - net->first) * (size_t)layer.out,
                   (size_t)layer.out);
}

/* x: factor 1/deviation, but no subnormal number, which may count as 0.  Linear
   d: factor deviation.  The rest stay.  What is constant says nothing yet, and
   must not when it varies later: its weights are 0, from which they learn. */
static void moei_measure(moe *m, const moe_data *data)
{
    int j, in = m->fixed.inputs, O = m->fixed.outputs;
    moe_real *d = m->own + m->trained_count, *x = d + 2 * O;
    const moe_real least = moei_power_of_2(1 - MOEI_BIAS);

    for (j = 0; j < in; j++) {
        if (!moei_spread(data->x + j, data->n, (size_t)in, &x[j], &x[in + j])) {
            moei_forget_column(m, &m->expert, j);
            moei_forget_column(m, &m->gate, j);
        }
        x[in + j] = moei_larger(1 / x[in + j], least);
    }
    for (j = 0; j < O && m->fixed.output == MOE_OUT_LINEAR; j++)
        (void)moei_spread(data->d + j, data->n, (size_t)O, &d[j], &d[O + j]);
}

/* Shift 0 and factor 1, as before data were measured. */
static void moei_unmeasure(moe *m)
{
    moei_clear(m->own + m->trained_count, m->value_count - m->trained_count);
    moei_map1(m, MOEI_COPY, moei_scale_d(m, 1), moei_one);
    moei_map1(m, MOEI_COPY, moei_scale_x(m, 1), moei_one);
    m->scaled = 0;
}

MOEI_LEARN moe_status moe_measure(moe *m, const moe_data *data)
{
    moe_report ignored;
    moe_status status = m == NULL ? MOE_ERR_NULL : moei_check_own(m);

    if (status == MOE_OK && m->scaled == 2)
        status = moei_refuse(m, MOE_ERR_STATE,
                             "the scales are settled by earlier training");
    if (status == MOE_OK)
        status = moei_check_data(m, data, 0, &ignored);
    if (status == MOE_OK) {
        moei_measure(m, data);
        m->scaled = 1;
        m->forwarded = -1;
        moei_done(m, MOE_OK);
    }
    return status;
}

/* ======================================================================== */
/* 13  TRAINING                                                             */
/* ======================================================================== */
/* win_ij = 1 for the first largest a_ij of each row, else 0.
   a, win (n,K)   most, left (n): room for the maximum and what is not won */
static void moei_winners(const moe *m, moei_view a, moei_view win)
{
    moei_view most = moei_array(m, MOEI_TOP), left = moei_array(m, MOEI_LSE);
    int j;

    moei_reduce(m, MOEI_MAX, most, a, moei_zero);
    moei_map1(m, MOEI_COPY, left, moei_one);
    for (j = 0; j < a.n; j++) {
        moei_view win_j = moei_column(win, j);
        moei_map(m, MOEI_EQUAL, win_j, moei_column(a, j), most, left);
        moei_map2(m, MOEI_SUB, left, left, win_j);
    }
}

/* TOP (n): 1 for each case classified right.  Softmax: the largest y is where
   the largest d is; logistic: all are on their targets' side of one half. */
static moei_view moei_right(moe *m)
{
    moe_real all = (moe_real)m->fixed.outputs;
    moei_view right = moei_array(m, MOEI_TOP);
    moei_view y = moei_array(m, MOEI_Y), d = moei_array(m, MOEI_D);
    moei_view y_set = moei_block(m->work[MOEI_DELTA], m->n, y.n);
    moei_view d_set = moei_block(m->work[MOEI_DELTA_2], m->n, d.n);

    if (m->fixed.output == MOE_OUT_SOFTMAX) {
        moei_winners(m, y, y_set);
        moei_winners(m, d, d_set);
        moei_reduce(m, MOEI_DOT, right, y_set, d_set);
    } else {
        moei_map(m, MOEI_AT_LEAST, y_set, y, moei_half, moei_one);
        moei_map(m, MOEI_AT_LEAST, d_set, d, moei_half, moei_one);
        moei_map(m, MOEI_EQUAL, y_set, y_set, d_set, moei_one);
        moei_reduce(m, MOEI_SUM, right, y_set, moei_zero);
        moei_map(m, MOEI_EQUAL, right, right, moei_number(&all), moei_one);
    }
    return right;
}

/* Add the block to the sums: after moei_loss_forward, before the way back.
     squared error   sum_k (factor_k (y_k - d_k))^2
     entropy         -sum_i p_i log p_i */
static void moei_tally(moe *m)
{
    int i, E = m->fixed.experts;
    moei_view top = moei_array(m, MOEI_TOP), p = moei_array(m, MOEI_P);
    moei_view off = moei_block(m->work[MOEI_DELTA], m->n, m->fixed.outputs);
    moei_view win = moei_block(m->work[MOEI_DELTA], m->n, E);

    moei_count(m, moei_sum_at(m, MOEI_SUM_LOSS), moei_array(m, MOEI_LOSS));
    moei_map(m, MOEI_SUB_MUL, off, moei_array(m, MOEI_Y), moei_array(m, MOEI_D),
             moei_scale_d(m, 1));
    moei_reduce(m, MOEI_DOT, top, off, off);
    moei_map2(m, MOEI_MIN, top, top, moei_largest);
    moei_count(m, moei_sum_at(m, MOEI_SUM_SQUARE), top);
    moei_reduce(m, MOEI_DOT, top, p, moei_array(m, MOEI_LOG_P));
    moei_count(m, moei_sum_at(m, MOEI_SUM_ENTROPY), top);
    if (m->fixed.output != MOE_OUT_LINEAR)
        moei_count(m, moei_sum_at(m, MOEI_SUM_RIGHT), moei_right(m));
    moei_to_all(m, win, p);
    moei_count(m, 0, win);
    for (i = 0; i < E && m->sparse; i++)
        moei_add(&m->sum[E + i], &m->sum[E + i + moei_sum_at(m, MOEI_SUMS)],
                 (moe_real)moei_cases_of(&m->expert, i));
    if (!m->sparse) {
        moei_winners(m, p, win);
        moei_count(m, E, win);
    }
    m->counted += m->n;
}

static moe_real moei_mean(const moe *m, int which, int n)
{
    return moei_sum_of(m, moei_sum_at(m, which)) / (moe_real)n;
}

static void moei_clear_report(const moe *m, moe_report *report)
{
    moei_wipe(report, sizeof *report);
    report->epoch = m->epoch;
    report->valid_loss = report->accuracy = -1;
    report->usage = m->means;
    report->won = m->means ? m->means + m->fixed.experts : NULL;
    report->bad_row = report->bad_column = -1;
}

/* The sums of n cases as means. */
static void moei_fill_report(moe *m, int n, moe_report *report)
{
    int i, E = m->fixed.experts, won = m->sparse ? m->fixed.top_k : 1;
    moe_real most = 0;

    report->dead = 0;
    for (i = 0; i < E; i++) {
        m->means[i] = moei_sum_of(m, i) / (moe_real)n;
        m->means[E + i] = moei_sum_of(m, E + i) / ((moe_real)n * (moe_real)won);
        most = moei_larger(most, report->won[i]);
        report->dead += report->won[i] == 0;
    }
    report->epoch = m->epoch;
    report->loss = moei_mean(m, MOEI_SUM_LOSS, n);
    report->squared_error = moei_mean(m, MOEI_SUM_SQUARE, n);
    report->gate_entropy = 0 - moei_mean(m, MOEI_SUM_ENTROPY, n);
    if (m->fixed.output != MOE_OUT_LINEAR)
        report->accuracy = moei_mean(m, MOEI_SUM_RIGHT, n);
    report->imbalance = (moe_real)E * most;
}

/* The first case of the block whose y, in the user's units, or E is not finite,
   or -1. */
static int moei_bad_case(moe *m)
{
    int i = 0, n = m->n, O = m->fixed.outputs;
    const moe_real *loss = m->work[MOEI_LOSS];

    moei_to_user(m, moei_matrix(m->y, n, O), moei_array(m, MOEI_Y));
    if (moei_all_finite(m->y, (size_t)n * (size_t)O)
        && moei_all_finite(loss, (size_t)n))
        return -1;
    while (i < n - 1 && moei_is_finite(loss[i])
           && moei_all_finite(m->y + (size_t)i * (size_t)O, (size_t)O))
        i++;
    return i;
}

/* Cases first .. first+count-1: forward, loss, sums; learning: grads +=.  The
   first one whose y or E is not finite, where it ends, or -1. */
static int moei_pass(moe *m, const moe_data *data, const uint64_t *key,
                     int first, int count, int learning)
{
    int end = first + count, bad;

    if (learning)
        moei_count_shares(m, data, key, first, count);
    for (; first < end; first += m->n) {
        moei_load(m, data, key, first, end);
        moei_block_forward(m);
        moei_loss_forward(m);
        bad = moei_bad_case(m);
        if (bad >= 0)
            return first + bad;
        moei_tally(m);
        if (learning)
            moei_loss_backward(m);
    }
    return -1;
}

/* The mean loss; where it is not finite, *bad is a case to blame, else -1. */
static moe_real moei_loss_of(moe *m, const moe_data *data, int *bad)
{
    moei_clear_sums(m);
    *bad = moei_pass(m, data, NULL, 0, data->n, 0);
    return *bad < 0 ? moei_mean(m, MOEI_SUM_LOSS, data->n) : MOEI_LARGEST;
}

static moe_status moei_refuse_case(moe *m, int row, moe_report *report)
{
    report->bad_row = row;
    return moei_refuse(m, MOE_ERR_DATA, "this row is so far off that y or the "
                       "loss is not finite");
}

MOEI_LEARN moe_status moe_evaluate(moe *m, const moe_data *data,
                                   moe_report *report)
{
    moe_report unread;
    moe_status status;
    int bad;

    if (m == NULL)
        return MOE_ERR_NULL;
    report = report ? report : &unread;
    moei_clear_report(m, report);
    if (m->grads == NULL)
        return moei_refuse(m, MOE_ERR_STATE, m->params == NULL
                           ? "this moe is closed"
                           : "evaluating needs a config whose use is "
                             "MOE_USE_TRAIN or MOE_USE_LEARN");
    if (moei_settings_fault(m) != NULL)
        return moei_refuse(m, MOE_ERR_CONFIG, moei_settings_fault(m));
    status = moei_check_data(m, data, 0, report);
    if (status != MOE_OK)
        return status;
    (void)moei_loss_of(m, data, &bad);
    moei_publish(m);
    if (bad >= 0)
        return moei_refuse_case(m, bad, report);
    moei_fill_report(m, data->n, report);
    return moei_done(m, MOE_OK);
}

static void moei_keep_best(moe *m, moe_real loss)
{
    moei_copy(m->kept[MOEI_BEST], m->own, m->trained_count);
    m->best_loss = loss;
    m->best_learnt = 1;
    m->waiting = 0;
}

/* One pass over the data.  Before its last step all is measured: the report
   is filled, the best weights are kept if there is no validation to tell
   them, and a reached target makes the last step unnecessary.  No step is
   made from what is not finite. */
static moe_status moei_epoch(moe *m, const moe_data *data,
                             const moe_training *t, int validated,
                             moe_report *report)
{
    uint64_t key = moei_mix(moei_mix(t->seed) + (uint64_t)m->epoch);
    moe_status status = MOE_OK;
    int first, count;

    m->epoch++;
    moei_clear_sums(m);
    for (first = 0; first < data->n && status == MOE_OK; first += count) {
        count = moei_smaller(t->batch, data->n - first);
        if (moei_pass(m, data, t->batch < data->n ? &key : NULL, first, count,
                      1) >= 0)
            return MOE_ERR_DIVERGED;
        if (m->waiting < 0) {
            m->best_loss = moei_mean(m, MOEI_SUM_LOSS, count);
            m->waiting = 0;
        }
        if (first + count == data->n) {
            moei_fill_report(m, data->n, report);
            if (!validated && report->loss < m->best_loss)
                moei_keep_best(m, report->loss);
            if (t->target > 0 && report->squared_error <= t->target) {
                moei_clear(m->grads, m->trained_count);
                return MOE_STOPPED;
            }
        }
        status = moei_step(m, t, t->rate * m->rate_factor, 1 / (moe_real)count);
    }
    return status;
}

/* Measure the validation loss; keep the best weights, or count the epochs
   since and slow down.  Whether patience is at its end. */
static int moei_validate(moe *m, const moe_data *validation,
                         const moe_training *t, int slow_down,
                         moe_report *report)
{
    enum { PLATEAU = 10, FLOOR = 1000 };    /* epochs, steps */
    int bad;

    report->valid_loss = moei_loss_of(m, validation, &bad);
    if (report->valid_loss < m->best_loss) {
        moei_keep_best(m, report->valid_loss);
        return 0;
    }
    if (m->steps < FLOOR)
        return 0;
    m->waiting++;
    if (slow_down && m->waiting % PLATEAU == 0)
        m->rate_factor /= 2;
    return t->patience > 0 && m->waiting >= t->patience;
}

/* The settings with their defaults filled in. */
static moe_training moei_training_of(const moe *m, const moe_training *given,
                                     int n, int validated)
{
    moe_training t = given ? *given : moei_default_training(m);

    t.epochs = t.epochs ? t.epochs : validated ? 1000 : 200;
    t.batch = t.batch == MOE_ALL ? n : t.batch ? t.batch : 32;
    t.rate = moei_rate_of(&t);
    t.patience = t.patience ? t.patience : 25;
    return t;
}

/* Everything that can be wrong before the first epoch. */
static moe_status moei_check_training(moe *m, const moe_data *data,
                                      const moe_data *validation,
                                      const moe_training *t,
                                      moe_report *report)
{
    moe_status status = moei_check_own(m);
    moe_training defaults;
    const char *fault;

    if (status != MOE_OK)
        return status;
    if (m->fixed.use != MOE_USE_TRAIN)
        return moei_refuse(m, MOE_ERR_STATE, "training needs MOE_USE_TRAIN");
    defaults = moei_default_training(m);
    fault = moei_training_fault(m, t ? t : &defaults);
    fault = fault ? fault : moei_settings_fault(m);
    if (fault == NULL && t != NULL && t->patience > 0 && validation == NULL)
        fault = "patience without validation data";
    if (fault != NULL)
        return moei_refuse(m, MOE_ERR_CONFIG, fault);
    if (data != NULL && validation != NULL && data->n > 0
        && validation->n > (int)(~0u >> 1) - data->n)
        return moei_refuse(m, MOE_ERR_DATA, "training and validation data "
                           "have more rows than an int can count");
    status = moei_check_data(m, data, 0, report);
    return status != MOE_OK || validation == NULL
         ? status : moei_check_data(m, validation, data->n, report);
}

/* Epochs until one of the ends.  MOE_STOPPED only by the callback. */
static moe_status moei_epochs(moe *m, const moe_data *data,
                              const moe_data *validation,
                              const moe_training *t, int slow_down,
                              moe_report *report)
{
    int done, at_end = 0;

    for (done = 0; done < t->epochs && !at_end; done++) {
        moe_status status = moei_epoch(m, data, t, validation != NULL, report);
        if (status == MOE_ERR_DIVERGED)
            return status;
        at_end = status == MOE_STOPPED;
        at_end |= validation != NULL
               && moei_validate(m, validation, t, slow_down, report);
        if (t->progress != NULL && t->progress(report, t->user))
            return MOE_STOPPED;
    }
    return MOE_OK;
}

/* Keep the weights as they are, for the case that none are better; measure the
   data, if nothing was learnt before, and the validation loss. */
static moe_status moei_start_training(moe *m, const moe_data *data,
                                      const moe_data *validation,
                                      int keep_units, moe_report *report)
{
    moe_real loss;
    int bad = -1, resumed = m->waiting >= 0;

    if (!resumed) {
        moei_copy(m->kept[MOEI_BEST], m->own, m->trained_count);
        m->best_learnt = 0;
    }
    if (m->scaled == 0 && !keep_units)
        moei_measure(m, data);
    if (validation == NULL)
        return MOE_OK;
    loss = moei_loss_of(m, validation, &bad);
    if (bad >= 0)
        return moei_refuse_case(m, data->n + bad, report);
    if (!resumed) {
        m->best_loss = loss;
        m->waiting = 0;
    }
    return MOE_OK;
}

/* Leave what was measured finite: the best weights, or those before training,
   with the scales that they had.  The moments that led here are forgotten. */
static void moei_go_back(moe *m, int scaled)
{
    moei_copy(m->own, m->kept[MOEI_BEST], m->trained_count);
    if (scaled == 0 && !m->best_learnt)
        moei_unmeasure(m);
    moei_clear(m->kept[MOEI_FIRST], m->trained_count);
    moei_clear(m->kept[MOEI_SECOND], m->trained_count);
    m->largest_moment = 0;
    m->beta_power[0] = m->beta_power[1] = 1;
}

MOEI_LEARN moe_status moe_train(moe *m, const moe_data *data,
                                const moe_data *validation,
                                const moe_training *t, moe_report *report)
{
    moe_report unread;
    moe_training plan;
    moe_status status;
    int scaled, bad = -1;

    if (m == NULL)
        return MOE_ERR_NULL;
    report = report ? report : &unread;
    moei_clear_report(m, report);
    status = moei_check_training(m, data, validation, t, report);
    if (status != MOE_OK)
        return status;
    plan = moei_training_of(m, t, data->n, validation != NULL);
    scaled = m->scaled;
    status = moei_start_training(m, data, validation, plan.keep_units, report);
    if (status != MOE_OK) {
        if (scaled == 0) {
            moei_copy(m->own, m->kept[MOEI_BEST], m->trained_count);
            moei_unmeasure(m);
        }
        return status;
    }
    m->scaled = 2;
    moei_clear(m->grads, m->trained_count);
    status = moei_epochs(m, data, validation, &plan, !(t && t->rate > 0),
                         report);
    if (validation != NULL && status != MOE_ERR_DIVERGED)
        moei_copy(m->own, m->kept[MOEI_BEST], m->trained_count);
    if (status != MOE_ERR_DIVERGED)      /* what the last step left is not yet
                                            measured */
        (void)moei_loss_of(m, data, &bad);
    if (bad >= 0)
        status = MOE_ERR_DIVERGED;
    if (status == MOE_ERR_DIVERGED)
        moei_go_back(m, scaled);
    if (validation != NULL)
        report->valid_loss = m->best_loss;
    m->waiting = -1;
    m->rate_factor = 1;
    return moei_done(m, status);
}

/* ======================================================================== */
/* 14  MODEL FILES                                                          */
/* ======================================================================== */
/* safetensors: the length of the header (8 bytes, least first); the header,

     {"__metadata__":{"inputs":"3",...},
      "gate.0.bias":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},...}

   float32 numbers (least byte first).  Others may order all of it anew and add
   tensors, so the reader goes over the header twice: the metadata tell which
   tensors there must be.  A fault ends it.  Memory is safe because each tensor
   ends within the file, whatever else is wrong. */
typedef struct moei_tensor {
    const char *of, *part;       /* its name: of, layer, part                */
    char layer[2];
    int sides;
    uint64_t side[3], count;     /* its shape, and the product of that       */
    uint64_t place, begin;       /* first number in params, byte of the data */
} moei_tensor;

typedef struct moei_file {
    const unsigned char *from;   /* what is read; NULL: this is writing      */
    unsigned char *to;           /* what is written; NULL: it only counts    */
    uint64_t at, end, bytes;     /* next byte, end of the header, of the file*/
    const char *fault;           /* what was wrong first                     */
    char name[64], text[64];     /* a member's name, a string                */
    uint64_t hash, key, joints;  /* of that string; of the header; see below */
    uint64_t others[64];         /* hashes of names that are not ours        */
    uint32_t seen, found;        /* a bit for each setting, each tensor      */
    int turn;                    /* which setting is asked for               */
    int other_count, training, balance;     /* the last two: is there one    */
    uint64_t past[3];            /* a checkpoint's epochs, steps, and 1 + the
                                    epochs since the best weights or 0       */
    uint64_t place;              /* numbers of the tensors                   */
    int count;                   /* that there must be                       */
    moei_tensor tensor[4 * (MOE_MAX_HIDDEN + 1) + 7];
} moei_file;

#define MOEI_NOT_JSON "the header is not JSON as safetensors have it"

static void moei_fail(moei_file *t, const char *fault)
{
    t->fault = t->fault ? t->fault : fault;
}

static void moei_see(moei_file *t, uint32_t *seen, int i, const char *twice)
{
    if ((*seen >> i & 1) != 0)
        moei_fail(t, twice);
    *seen |= (uint32_t)1 << i;
}

/* Text; reading, nothing. */
static void moei_write(moei_file *t, const char *text)
{
    for (; t->from == NULL && *text != 0; t->at++, text++)
        if (t->to != NULL)
            t->to[t->at] = (unsigned char)*text;
}

/* Numbers, after this text and between commas. */
static void moei_write_uints(moei_file *t, const char *before,
                             const uint64_t *value, int count, unsigned base)
{
    int k, i;

    for (k = 0; k < count; k++) {
        char text[21];
        uint64_t rest = value[k];
        for (text[i = 20] = 0; rest > 0 || i == 20; rest /= base)
            text[--i] = "0123456789abcdef"[rest % base];
        moei_write(t, k > 0 ? "," : before);
        moei_write(t, text + i);
    }
}

/* Whether a text begins with this word; if so, past it. */
static int moei_skip(const char **text, const char *word)
{
    const char *at = *text;

    for (; *word != 0 && *at == *word; at++)
        word++;
    *text = *word == 0 ? at : *text;
    return *word == 0;
}

/* Which word of a list that NULL ends; the NULL if it is none. */
static int moei_which(const char *text, const char *const *word)
{
    const char *rest = text;
    int i = 0;

    for (; word[i] != NULL && !(moei_skip(&rest, word[i]) && *rest == 0); i++)
        rest = text;
    return i;
}

static unsigned moei_digit(int c)
{
    return (unsigned)(c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a'
                      && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 16);
}

/* Digits, none of them a 0 before others. */
static uint64_t moei_read_uint(moei_file *t, const char **at, const char *end,
                               unsigned base, uint64_t most)
{
    const char *start = *at;
    uint64_t value = 0;

    for (; *at < end && moei_digit(**at) < base; ++*at) {
        if (value > (most - moei_digit(**at)) / base)
            moei_fail(t, "a number in the header is out of range");
        value = value * base + moei_digit(**at);
    }
    if (*at == start || (*start == '0' && *at > start + 1))
        moei_fail(t, "a number is not as JSON, or a setting, has it");
    return value;
}

static int moei_byte(moei_file *t)
{
    return t->at < t->end ? t->from[t->at++] : -1;
}

static int moei_accept(moei_file *t, int mark)
{
    int c = -1;

    while (t->at < t->end && ((c = t->from[t->at]) == ' ' || c == '\t'
                              || c == '\n' || c == '\r'))
        t->at++;
    if (t->fault != NULL || t->at == t->end || c != mark)
        return 0;
    t->at++;
    return 1;
}

static void moei_expect(moei_file *t, int mark)
{
    if (!moei_accept(t, mark))
        moei_fail(t, MOEI_NOT_JSON);
}

/* A character of UTF-8 whose first byte c is 128 or more. */
static int moei_utf8(moei_file *t, int c)
{
    int i, more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3, bad = c < 0xc2 || c > 0xf4;
    int value = c & 0x3f >> more;

    for (i = 0; i < more; i++) {
        c = moei_byte(t);
        bad |= (c & ~0x3f) != 0x80;
        value = value << 6 | (c & 0x3f);
    }
    if (bad || (more > 1 && value < (more > 2 ? 0x10000 : 0x800))
        || value > 0x10ffff || value >> 11 == 0xd800 >> 11)
        moei_fail(t, MOEI_NOT_JSON);
    return value;
}

/* What stands behind a backslash. */
static int moei_escape(moei_file *t)
{
    static const char escape[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    int i, value = 0, c = moei_byte(t);

    for (i = 0; escape[i] != 0; i++)
        if (c == escape[i])
            return meaning[i];
    for (i = 0; i < 4; i++) {
        int digit = c == 'u' ? (int)moei_digit(moei_byte(t)) : 16;
        if (digit == 16)
            moei_fail(t, MOEI_NOT_JSON);
        value = value << 4 | (digit & 15);
    }
    return value;
}

/* A string; what no word of ours has becomes '?'. */
static void moei_read_string(moei_file *t, char *to)
{
    size_t n = 0;
    int c;

    moei_expect(t, '"');
    t->hash = t->key;
    while (t->fault == NULL && (c = moei_byte(t)) != '"') {
        if (c < ' ')
            moei_fail(t, MOEI_NOT_JSON);
        c = c == '\\' ? moei_escape(t) : c < 128 ? c : moei_utf8(t, c);
        t->hash = moei_mix(t->hash + (unsigned)c);
        to[n < sizeof t->text - 1 ? n++ : 0] = (char)(c < 127 ? c : '?');
        to[0] = (char)(c == 0 || n == sizeof t->text - 1 ? '?' : to[0]);
    }
    to[n] = 0;
}

/* Whether an object goes on, with a member of this name. */
static int moei_member(moei_file *t, char *name, int first)
{
    if (moei_accept(t, '}'))
        return 0;
    if (!first)
        moei_expect(t, ',');
    moei_read_string(t, name);
    moei_expect(t, ':');
    return t->fault == NULL;
}

/* A list of numbers: how many, the first three, the product, cut to 2^57. */
static int moei_read_uints(moei_file *t, uint64_t *value, uint64_t *product)
{
    const uint64_t limit = (uint64_t)1 << 57;
    const char *start = (const char *)t->from, *at, *end = start + t->end;
    int count = 0;

    *product = 1;
    moei_expect(t, '[');
    for (; t->fault == NULL && !moei_accept(t, ']'); count++) {
        uint64_t x;
        if (count > 0)
            moei_expect(t, ',');
        (void)moei_accept(t, -1);               /* blanks */
        at = start + t->at;
        x = moei_read_uint(t, &at, end, 10, UINT64_MAX >> 4);
        t->at = (uint64_t)(at - start);
        value[count < 3 ? count : 2] = x;
        *product = x > 0 && *product > limit / x ? limit : *product * x;
    }
    return count;
}

/* Settings.  All are written in turn, or the one at hand is read. */
static int moei_is_setting(moei_file *t, const char *name)
{
    const char *const word[] = {name, NULL};
    int i = t->turn++;

    if (t->from != NULL && moei_which(t->name, word) != 0)
        return 0;
    moei_write(t, i > 0 ? "\",\"" : "\"");
    moei_write(t, name);
    moei_write(t, "\":\"");
    moei_see(t, &t->seen, i, "a setting stands twice in the metadata");
    return 1;
}

static int moei_io_enum(moei_file *t, const char *name, int value,
                        const char *const *word)
{
    if (!moei_is_setting(t, name))
        return value;
    if (t->from != NULL)
        value = moei_which(t->text, word);
    if (word[value] == NULL)
        moei_fail(t, "the metadata have a word that is not moe.h's");
    moei_write(t, word[value] ? word[value] : "");
    return value;
}

/* Numbers, up to the last that is not 0. */
static void moei_io_uints(moei_file *t, const char *name, uint64_t *value,
                          int count, unsigned base, uint64_t most)
{
    const char *text = t->text, *hex = base == 16 ? "0x" : "";
    int i;

    if (!moei_is_setting(t, name))
        return;
    for (i = 0; t->from != NULL && i < count; i++)
        if (i == 0 ? moei_skip(&text, hex) : moei_skip(&text, ","))
            value[i] = moei_read_uint(t, &text, t->text + sizeof t->text, base,
                                      most);
    if (t->from != NULL && (*text != 0 || text == t->text))
        moei_fail(t, "a setting is not a number as moe.h writes it");
    while (count > 1 && value[count - 1] == 0)
        count--;
    moei_write_uints(t, hex, value, count, base);
}

static void moei_io_sizes(moei_file *t, const char *name, int *size, int count)
{
    uint64_t value[MOE_MAX_HIDDEN];
    int i;

    for (i = 0; i < count; i++)
        value[i] = (uint64_t)size[i];
    moei_io_uints(t, name, value, count, 10, MOE_MAX_SIZE);
    for (i = 0; i < count; i++)
        size[i] = (int)value[i];
}

static moe_real moei_of_f32(uint32_t bits)
{
    union { float real; uint32_t bits; } word;
    word.bits = bits;
    return (moe_real)word.real;
}

static uint32_t moei_to_f32(moe_real x)
{
    union { float real; uint32_t bits; } word;
    word.real = (float)x;
    return word.bits;
}

/* A real, by the bits of its float32. */
static void moei_io_real(moei_file *t, const char *name, moe_real *x)
{
    uint64_t bits = moei_to_f32(*x);

    moei_io_uints(t, name, &bits, 1, 16, UINT32_MAX);
    *x = moei_of_f32((uint32_t)bits);
}

/* What training counts stays far from where counting on overflows. */
enum { MOEI_FILE = 14, MOEI_TRAINING };      /* turns */

static void moei_settings(moei_file *t, moe_config *c)
{
    static const char *const activation[] = {"relu", "tanh", "logistic", "elu",
                                             "silu", NULL};
    static const char *const output[] = {"linear", "logistic", "softmax", NULL};
    static const char *const loss[] = {"mixture", "expected", "blend", NULL};
    static const char *const file[] = {"moe.h 1", NULL};

    t->turn = 0;
    moei_io_sizes(t, "inputs", &c->inputs, 1);
    moei_io_sizes(t, "outputs", &c->outputs, 1);
    moei_io_sizes(t, "experts", &c->experts, 1);
    moei_io_sizes(t, "top_k", &c->top_k, 1);
    moei_io_sizes(t, "hidden", c->hidden, MOE_MAX_HIDDEN);
    moei_io_sizes(t, "gate_hidden", c->gate_hidden, MOE_MAX_HIDDEN);
    moei_io_sizes(t, "expert_sees", (int *)(void *)&c->expert_sees, 2);
    moei_io_sizes(t, "gate_sees", (int *)(void *)&c->gate_sees, 2);
    c->activation = (moe_activation)moei_io_enum(
        t, "activation", (int)c->activation, activation);
    c->output = (moe_output)moei_io_enum(t, "output", (int)c->output, output);
    c->loss = (moe_loss)moei_io_enum(t, "loss", (int)c->loss, loss);
    moei_io_real(t, "sigma", &c->sigma);
    moei_io_real(t, "balance", &c->balance);
    moei_io_uints(t, "seed", &c->seed, 1, 10, UINT64_MAX);
    moei_io_enum(t, "file", 0, file);
    if (t->from != NULL || t->training)
        moei_io_uints(t, "training", t->past, 3, 10, ~0u >> 2);
}

/* The next tensor that there must be; a side of 0 is none. */
static void moei_list(moei_file *t, const char *of, int layer, const char *part,
                      uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t side[3] = {a, b, c};
    moei_tensor *is = &t->tensor[t->count++];
    int i;

    is->of = of;
    is->part = part;
    is->layer[0] = (char)(layer < 0 ? 0 : '0' + layer);
    is->count = 1;
    for (i = 0; i < 3; i++)
        if (side[i] > 0)
            is->count *= is->side[is->sides++] = side[i];
    is->begin = 4 * (is->place = t->place);
    t->place += is->count;
}

static void moei_list_net(moei_file *t, const moei_net *net, const char *of,
                          uint64_t copies)
{
    int l;

    for (l = 0; l < net->layers; l++) {
        uint64_t in = (uint64_t)net->layer[l].in;
        uint64_t out = (uint64_t)net->layer[l].out;
        moei_list(t, of, l, ".bias", copies, 0, out);
        moei_list(t, of, l, ".weight", copies, in, out);
    }
}

/* All of them, in the order of params.  Without gate.balance it is zeros. */
static void moei_list_all(moei_file *t, const moe *m)
{
    static const char *const part[] = {"best", "first", "second"};
    uint64_t absent = t->balance ? 0 : m->balanced;
    int i;

    moei_list_net(t, &m->expert, "experts.", (uint64_t)m->fixed.experts);
    moei_list_net(t, &m->gate, "gate.", 0);
    if (absent < m->balanced)
        moei_list(t, "gate.balance", -1, "", m->balanced, 0, 0);
    t->place = m->trained_count;
    moei_list(t, "scale.d", -1, "", 2, (uint64_t)m->fixed.outputs, 0);
    moei_list(t, "scale.x", -1, "", 2, (uint64_t)m->fixed.inputs, 0);
    for (i = 0; t->training && i < 3; i++)
        moei_list(t, "training.", -1, part[i], m->trained_count - absent, 0, 0);
    if (t->training)
        moei_list(t, "training.state", -1, "", 4, 0, 0);
}

static void moei_write_header(moei_file *t, moe_config *c)
{
    int i;

    t->at = 8;
    moei_write(t, "{\"__metadata__\":{");
    moei_settings(t, c);
    for (i = 0; i < t->count; i++) {
        const moei_tensor *is = &t->tensor[i];
        uint64_t place[2] = {0};
        place[0] = is->begin;
        place[1] = is->begin + 4 * is->count;
        moei_write(t, i > 0 ? "]},\"" : "\"},\"");
        moei_write(t, is->of);
        moei_write(t, is->layer);
        moei_write(t, is->part);
        moei_write(t, "\":{\"dtype\":\"F32\",\"shape\":");
        moei_write_uints(t, "[", is->side, is->sides, 10);
        moei_write_uints(t, "],\"data_offsets\":[", place, 2, 10);
    }
    moei_write(t, "]}}");
    while (t->at % 64 != 0)
        moei_write(t, " ");
    t->end = t->at;
}

/* The tensor of this name; if it is not ours, t->count. */
static int moei_find_tensor(moei_file *t)
{
    int i, k, same = 0;

    for (i = 0; i < t->count && !same; i += !same) {
        const char *text = t->name;
        same = moei_skip(&text, t->tensor[i].of)
            && moei_skip(&text, t->tensor[i].layer)
            && moei_skip(&text, t->tensor[i].part) && *text == 0;
    }
    if (same)
        moei_see(t, &t->found, i, "a tensor stands twice");
    for (k = 0; k < 64 && !same; k++)
        if (t->others[k] == t->hash)
            moei_fail(t, "a tensor stands twice");
    t->others[t->other_count++ % 64] = t->hash;
    return i;
}

static const char *const moei_type[] = {
    "F32", "F64", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16",
    "U8", "BOOL", "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2",
    "F4", NULL
};
static const unsigned char moei_type_bits[] = {
    32, 64, 16, 16, 64, 32, 16, 8, 64, 32, 16, 8, 8, 64, 8, 8, 8, 6, 6, 4, 0
};

/* Whether a tensor is what it must be, and where it lies.  The tensors tile the
   data if as many begin as end at every joint: the sum over them of f(begin) -
   f(end) is f(0) - f(all), where f is a hash that the header keys. */
static void moei_place(moei_file *t, int i, int type, int sides,
                       const uint64_t *side, uint64_t count,
                       const uint64_t *place)
{
    moei_tensor *is = i < t->count ? &t->tensor[i] : NULL;
    int k, same = is == NULL || sides == is->sides;

    for (k = 0; is != NULL && k < is->sides; k++)
        same &= side[k] == is->side[k];
    if (moei_type[type] == NULL || (is != NULL && type != 0))
        moei_fail(t, is ? "a tensor of moe.h is not of type F32"
                        : "a tensor has a type that safetensors have not");
    if (!same)
        moei_fail(t, "a tensor's shape is not what the settings imply");
    if (place[0] > place[1]
        || moei_type_bits[type] * count != 8 * (place[1] - place[0]))
        moei_fail(t, "a tensor's length is not what its type and shape imply");
    if (place[0] < place[1])
        t->joints += moei_mix(t->key + place[0]) - moei_mix(t->key + place[1]);
    if (t->bytes < t->end + place[1])
        t->bytes = t->end + place[1];
    if (is != NULL)
        is->begin = place[0];
}

static void moei_read_tensor(moei_file *t)
{
    static const char *const field[] = {"dtype", "shape", "data_offsets", NULL};
    uint64_t side[3] = {0}, place[3] = {0}, count = 0, product;
    uint32_t seen = 0;
    int i = moei_find_tensor(t), type = 0, sides = 0, two = 2, first;

    moei_expect(t, '{');
    for (first = 1; moei_member(t, t->text, first); first = 0) {
        int f = moei_which(t->text, field);
        moei_see(t, &seen, f, "a field of a tensor stands twice");
        if (f == 0) {
            moei_read_string(t, t->text);
            type = moei_which(t->text, moei_type);
        } else if (f == 1)
            sides = moei_read_uints(t, side, &count);
        else if (f == 2)
            two = moei_read_uints(t, place, &product);
        else
            moei_fail(t, "a tensor has a field that safetensors have not");
    }
    if (seen != 7 || two != 2)
        moei_fail(t, "a tensor lacks its dtype, shape or data_offsets");
    if (t->fault == NULL && t->count > 0)
        moei_place(t, i, type, sides, side, count, place);
}

/* Settings and, once these are listed, tensors. */
static void moei_read_header(moei_file *t, moe_config *c)
{
    static const char *const word[] = {"__metadata__", "gate.balance", NULL};
    int first, next, which;

    t->at = 8;
    t->seen = t->found = 0;
    moei_wipe(t->others, sizeof t->others);
    moei_expect(t, '{');
    for (first = 1; moei_member(t, t->name, first); first = 0) {
        which = moei_which(t->name, word);
        t->balance |= which == 1;
        if (which != 0) {
            moei_read_tensor(t);
            continue;
        }
        moei_see(t, &t->found, 31, "the metadata stand twice");
        moei_expect(t, '{');
        for (next = 1; moei_member(t, t->name, next); next = 0) {
            moei_read_string(t, t->text);
            moei_settings(t, c);
        }
    }
    (void)moei_accept(t, -1);                   /* blanks */
    if (t->at != t->end)
        moei_fail(t, "the header goes on after its end");
}

static void moei_encode(unsigned char *to, uint64_t number, int bytes)
{
    for (; bytes-- > 0; number >>= 8)
        *to++ = (unsigned char)(number & 255);
}

static uint64_t moei_decode(const unsigned char *at, int bytes)
{
    uint64_t number = 0;

    while (bytes-- > 0)
        number = number << 8 | at[bytes];
    return number;
}

/* The numbers there, if they are what this machine has in its memory. */
static const moe_real *moei_in_place(const unsigned char *at)
{
    union { uint32_t word; unsigned char byte[4]; } one;

    one.word = 1;
    return sizeof(moe_real) == 4 && one.byte[0] == 1
        && (uintptr_t)at % sizeof(moe_real) == 0
         ? (const moe_real *)(const void *)at : NULL;
}

/* A run of numbers: written; or read, checked and, if there is room for them,
   copied, piece by piece: what is read twice is then near. */
static void moei_io_floats(moei_file *t, const moe *m, const moe_real *run,
                           moe_real *to, size_t count)
{
    const size_t piece = 4096;
    const moe_real most = (moe_real)3.40282346638528859812e38;
    const moe_real *here = t->from ? moei_in_place(t->from + t->at) : NULL;
    size_t i, taken;

    for (i = 0; i < count; i += taken, t->at += 4 * (uint64_t)taken) {
        moe_real x = t->from ? moei_of_f32((uint32_t)moei_decode(
                                   t->from + t->at, 4)) : run[i];
        taken = here == NULL ? 1 : count - i < piece ? count - i : piece;
        if (taken > 1 ? moei_bad_column(here + i, (int)taken) >= 0
                  : !moei_is_finite(x) || x > most || x < -most)
            moei_fail(t, "a number is not finite as a float32");
        if (t->to != NULL)
            moei_encode(t->to + t->at, moei_to_f32(x), 4);
        else if (taken > 1 && to != NULL)
            moei_map1(m, MOEI_COPY, moei_row(to + i, (int)taken),
                      moei_row(here + i, (int)taken));
        else if (t->from != NULL && to != NULL)
            to[i] = x;
    }
}

/* All numbers of m: written; or read, where there is memory, and checked. */
static void moei_io_data(moei_file *t, moe *m)
{
    static const int kept[] = {MOEI_BEST, MOEI_FIRST, MOEI_SECOND};
    moe_real *const state[] = {&m->beta_power[0], &m->beta_power[1],
                               &m->rate_factor, &m->best_loss};
    int i, ours = t->count - (t->training ? 4 : 0);
    uint64_t k;

    for (i = 0; i < t->count; i++) {
        const moei_tensor *is = &t->tensor[i];
        size_t place = (size_t)is->place, count = (size_t)is->count;
        t->at = t->end + is->begin;
        if (i < ours)
            moei_io_floats(t, m, m->params + place,
                           m->own ? m->own + place : NULL, count);
        else if (i < ours + 3)
            moei_io_floats(t, m, m->kept[kept[i - ours]],
                           m->kept[kept[i - ours]], count);
        else
            for (k = 0; k < 4; k++)
                moei_io_floats(t, m, state[k], state[k], 1);
        for (k = 0; i == ours + 2 && t->from != NULL && k < count; k++)
            if (moei_decode(t->from + t->at - 4 * k - 4, 4) > 0x80000000u)
                moei_fail(t, "a second moment is negative");
    }
    for (i = 0; i < 3; i++)
        if (t->training && !(*state[i] >= 0 && *state[i] <= 1))
            moei_fail(t, "training.state is out of range");
}

/* The header: all of m that does not need memory, before there is any; and how
   long the file is, as far as its first bytes tell. */
static const char *moei_examine(moei_file *t, moe *m, const void *file,
                                uint64_t bytes, int all)
{
    const char *why = NULL;
    moe_config c;

    moei_wipe(t, sizeof *t);
    moei_wipe(&c, sizeof c);
    t->from = (const unsigned char *)file;
    t->end = bytes < 8 ? 0 : moei_decode(t->from, 8);
    if (bytes < 8 || t->end > 1048576 || (all && t->end > bytes - 8))
        return "the header is longer than the file or than 1 MiB";
    t->bytes = t->end += 8;
    if (bytes < t->end)
        return NULL;
    for (t->at = 8; t->at < t->end; t->at++)
        t->key += moei_mix(t->key ^ t->from[t->at]);
    moei_read_header(t, &c);
    if ((t->seen >> MOEI_FILE & 1) == 0)
        moei_fail(t, "the metadata do not say that this is a moe.h file");
    t->training = (int)(t->seen >> MOEI_TRAINING & 1);
    c.use = MOE_USE_PREDICT;                 /* which needs least */
    if (t->fault == NULL && moe_check(&c, &why) != MOE_OK)
        moei_fail(t, why);
    if (t->fault != NULL)
        return t->fault;
    moei_plan(m, &c);
    moei_list_all(t, m);
    moei_read_header(t, &c);
    if ((t->found << 1) != (((uint32_t)1 << t->count) - 1) << 1)
        moei_fail(t, "a tensor that the settings imply is missing");
    if (t->joints != moei_mix(t->key) - moei_mix(t->key + t->bytes - t->end))
        moei_fail(t, "the tensors leave gaps or overlap");
    if (all && t->bytes != bytes)
        moei_fail(t, "the numbers are not as many as the header says");
    m->config.use = t->training ? MOE_USE_TRAIN : MOE_USE_PREDICT;
    return t->fault;
}

MOE_DEF moe_status moe_file_config(moe_config *config, const void *file,
                                   size_t file_bytes)
{
    moei_file t;
    moe shape;

    if (config == NULL || file == NULL)
        return MOE_ERR_NULL;
    if (moei_examine(&t, &shape, file, file_bytes, 1) != NULL)
        return MOE_ERR_FORMAT;
    *config = shape.config;
    return MOE_OK;
}

/* All that params has, where it lies, if it lies there in this order. */
static const moe_real *moei_params_in_place(const moei_file *t)
{
    int i, ours = t->count - (t->training ? 4 : 0);
    uint64_t begin = t->tensor[0].begin;

    for (i = 0; i < ours; i++)
        if (t->tensor[i].begin != begin + 4 * t->tensor[i].place)
            return NULL;
    return moei_in_place(t->from + t->end + begin);
}

/* A bound of a checkpoint's moments and the roots of second ones. */
static moe_real moei_largest_moment(const moe *m)
{
    return moei_larger(moei_norm(m, m->kept[MOEI_FIRST], m->trained_count),
        moei_sqrt(moei_norm(m, m->kept[MOEI_SECOND], m->trained_count)));
}

/* moe_load_from, or moe_view; every number must be finite. */
static moe_status moei_load_at(moe *m, const void *file, size_t file_bytes,
                               const moe_config *config, int weights,
                               void *memory, size_t bytes)
{
    moei_file t;
    moe shape;
    moe_config *c = &shape.config;
    const moe_real *params;
    const char *why;
    moe_status status;

    if (m == NULL)
        return MOE_ERR_NULL;
    if (file == NULL)
        return moei_closed(m, MOE_ERR_NULL, "file is NULL");
    why = moei_examine(&t, &shape, file, file_bytes, 1);
    if (why != NULL)
        return moei_closed(m, MOE_ERR_FORMAT, why);
    params = moei_params_in_place(&t);
    if (!weights && !t.balance && shape.balanced > 0)
        return moei_closed(m, MOE_ERR_STATE, "a file without gate.balance "
                           "can be loaded, but not viewed");
    if (!weights && params == NULL)
        return moei_closed(m, MOE_ERR_STATE, "only aligned little-endian "
                           "floats in moe.h's order can be viewed; load them");
    if (config != NULL) {
        c->top_k = config->top_k != 0 ? config->top_k : c->top_k;
        if (!moei_is_sparse(c))
            c->balance = 0;
        c->rows = config->rows;
        c->simd = config->simd;
        c->use = config->use;
    }
    status = moei_start(m, c, weights, memory, bytes);
    if (status != MOE_OK)
        return status;
    m->params = weights ? m->own : params;
    if (weights)
        moei_clear(m->own, m->trained_count);    /* gate.balance may lack */
    moei_io_data(&t, m);
    if (t.fault != NULL) {
        MOE_FREE(m->heap);
        return moei_closed(m, MOE_ERR_FORMAT, t.fault);
    }
    if (!weights)
        m->config.use = m->fixed.use = MOE_USE_PREDICT;
    m->epoch = (int)t.past[0];
    m->steps = (int32_t)t.past[1];
    m->waiting = (int)t.past[2] - 1;
    m->scaled = 2;
    m->best_learnt = 1;
    if (MOEI_LEARNS(m->kept[MOEI_BEST] != NULL, 0))
        m->largest_moment = moei_largest_moment(m);
    return MOE_OK;
}

MOE_DEF moe_status moe_load_from(moe *m, const void *file, size_t file_bytes,
                                 const moe_config *config, void *memory,
                                 size_t bytes)
{
    return moei_load_at(m, file, file_bytes, config, 1, memory, bytes);
}

MOE_DEF moe_status moe_view(moe *m, const void *file, size_t file_bytes,
                            const moe_config *config, void *memory,
                            size_t bytes)
{
    return moei_load_at(m, file, file_bytes, config, 0, memory, bytes);
}

/* Count, or write; numbers begin at a multiple of 64. */
static moe_status moei_save(const moe *m, moe_use keep, void *file,
                            uint64_t *bytes)
{
    moei_file t;
    moe shape;

    *bytes = 0;
    if (m == NULL)
        return MOE_ERR_NULL;
    if (m->params == NULL
        || (keep == MOE_USE_TRAIN && m->kept[MOEI_BEST] == NULL))
        return MOE_ERR_STATE;
    if (moei_settings_fault(m) != NULL)
        return MOE_ERR_CONFIG;
    moei_wipe(&t, sizeof t);
    t.to = (unsigned char *)file;
    t.training = keep == MOE_USE_TRAIN;
    t.balance = 1;
    t.past[0] = (uint64_t)m->epoch;
    t.past[1] = (uint64_t)m->steps;
    t.past[2] = (uint64_t)(m->waiting + 1);
    shape = *m;
    shape.config = moei_settings_of(m);
    moei_list_all(&t, m);
    moei_write_header(&t, &shape.config);
    if (file != NULL)
        moei_encode(t.to, t.end - 8, 8);
    moei_io_data(&t, &shape);
    *bytes = t.at;
    return t.fault ? MOE_ERR_DIVERGED : MOE_OK;
}

MOE_DEF size_t moe_save_bytes(const moe *m, moe_use keep)
{
    uint64_t bytes;

    return moei_save(m, keep, NULL, &bytes) ? 0 : (size_t)bytes;
}

MOE_DEF moe_status moe_save_to(const moe *m, moe_use keep, void *file,
                               size_t bytes)
{
    uint64_t need;
    moe_status status = moei_save(m, keep, NULL, &need);

    return status != MOE_OK ? status
         : file == NULL ? MOE_ERR_NULL
         : bytes < need ? MOE_ERR_MEMORY : moei_save(m, keep, file, &need);
}

/* A file beside path that nobody else has, path.1f2e3d4c.tmp: created only if
   there is none, nor a link.  name has room for 16 more. */
static moei_stream *moei_create(const char *path, char *name)
{
    uint64_t number = moei_mix((uintptr_t)name) & 0xfffffff;
    const uint64_t last = number + 100;
    moei_stream *f = NULL;
    moei_file t;

    for (; number < last && f == NULL; number++) {
        moei_wipe(&t, sizeof t);
        t.to = (unsigned char *)name;
        moei_write(&t, path);
        moei_write_uints(&t, ".", &number, 1, 16);
        moei_write(&t, ".tmp");
        name[t.at] = 0;
        f = MOEI_STDIO(fopen(name, "wbx"));
    }
    return f;
}

/* The sentence for a status of moe_save_to, or NULL. */
static const char *moei_save_fault(const moe *m, moe_status status)
{
    return status == MOE_ERR_STATE
            ? m->params == NULL ? "this moe is closed"
                                : "a checkpoint needs MOE_USE_TRAIN"
        : status == MOE_ERR_CONFIG ? moei_settings_fault(m)
        : status == MOE_ERR_DIVERGED
            ? "a number is not finite as a float32" : NULL;
}

/* Beside the old file; flushed; then in its place. */
MOEI_PATHS moe_status moe_save(moe *m, moe_use keep, const char *path)
{
    static const char unwritten[] = "the file cannot be written";
    size_t length = 0, bytes = moe_save_bytes(m, keep);
    moe_status status;
    moei_stream *f = NULL;
    unsigned char *file;
    char *beside;
    const char *why;

    while (path != NULL && path[length] != 0)
        length++;
    if (m == NULL)
        return MOE_ERR_NULL;
    if (length == 0)
        return moei_refuse(m, MOE_ERR_NULL, "path is NULL or empty");
    file = (unsigned char *)MOE_MALLOC(bytes + length + 16);
    if (file == NULL)
        return moei_refuse(m, MOE_ERR_MEMORY, "no memory for the file");
    status = moe_save_to(m, keep, file, bytes);
    why = moei_save_fault(m, status);
    beside = (char *)file + bytes;
    if (status == MOE_OK) {
        f = moei_create(path, beside);
        if (f != NULL)
            moei_keep_mode(path, beside);
        why = f == NULL ? "no new file can be opened beside path"
            : MOEI_STDIO(fwrite(file, 1, bytes, f)) == bytes
              && MOEI_STDIO(fflush(f)) == 0 ? NULL : unwritten;
        if (f != NULL && MOEI_STDIO(fclose(f)) != 0)
            why = unwritten;
        if (why == unwritten)
            (void)MOEI_STDIO(remove(beside));
        else if (f != NULL && MOEI_STDIO(MOEI_REPLACE(beside, path)) != 0)
            why = "the new file cannot be renamed to path";
        status = why ? MOE_ERR_IO : MOE_OK;
    }
    MOE_FREE(file);
    return why ? moei_refuse(m, status, why) : moei_done(m, status);
}

/* The file's first `need` bytes, of which there are `have`; or why not. */
static const char *moei_read_on(moei_stream *f, unsigned char **file,
                                size_t have, uint64_t need, moe_status *status)
{
    unsigned char *more = need > PTRDIFF_MAX ? NULL
                        : (unsigned char *)MOE_MALLOC((size_t)need);
    size_t i, rest = (size_t)need - have;

    (void)f;
    for (i = 0; i < have && more != NULL; i++)
        more[i] = (*file)[i];
    if (*file != NULL)
        MOE_FREE(*file);
    *file = more;
    *status = more == NULL ? MOE_ERR_MEMORY
            : MOEI_STDIO(fread(more + have, 1, rest, f)) == rest ? MOE_OK
            : MOEI_STDIO(ferror(f)) ? MOE_ERR_IO : MOE_ERR_FORMAT;
    return *status == MOE_OK ? NULL
         : *status == MOE_ERR_MEMORY ? "no memory for the file"
         : *status == MOE_ERR_IO ? "the file cannot be read"
                                 : "the file ends too early";
}

/* 8 bytes, then the header, then what that asks for, so that nothing else is
   read, and a pipe will do.  A folder opens, but cannot be read. */
MOEI_PATHS moe_status moe_load(moe *m, const char *path,
                               const moe_config *config)
{
    moei_stream *f = NULL;
    unsigned char *file = NULL;
    moe_status status = MOE_OK;
    const char *why = NULL;
    uint64_t have = 0, need = 8;
    moei_file t;
    moe shape;

    if (m == NULL)
        return MOE_ERR_NULL;
    if (path == NULL)
        return moei_closed(m, MOE_ERR_NULL, "path is NULL");
    f = MOEI_STDIO(fopen(path, "rb"));
    if (f == NULL)
        return moei_closed(m, MOE_ERR_IO, "the file cannot be opened");
    for (; why == NULL && have < need; have = need, need = t.bytes) {
        why = moei_read_on(f, &file, (size_t)have, need, &status);
        if (why == NULL)
            why = moei_examine(&t, &shape, file, need, 0);
    }
    if (why == NULL && MOEI_STDIO(fgetc(f)) >= 0)
        why = "the numbers are not as many as the header says";
    (void)MOEI_STDIO(fclose(f));
    status = why == NULL ? moe_load_from(m, file, (size_t)have, config, NULL, 0)
           : moei_closed(m, status ? status : MOE_ERR_FORMAT, why);
    if (file != NULL)
        MOE_FREE(file);
    return status;
}

MOEI_CONTRACT_AGAIN
#endif /* MOEI_AGAIN */
#endif /* MOE_IMPLEMENTATION */
