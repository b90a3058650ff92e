/* moe.h - adaptive mixtures of local experts in one C header      version 0.2

   Local expert networks and a gating network that learns which of them answers
   for which input, all trained together by gradient descent: Jacobs, Jordan,
   Nowlan & Hinton, "Adaptive Mixtures of Local Experts", Neural Computation
   3(1), 79-87, 1991.  C99, usable from C++11; no other file, no libm.

   Rooms:  0 manual     3 platform  6 gate                   9 learning 12 files
           1 options    4 model     7 mixture               10 data   13 numbers
           2 interface  5 network   8 forward and backward  11 training 14 loops
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

   and in every other file just include it.  The file includes itself, once for
   each instruction set; if you rename it, define MOE_FILE as its new name.
   Pasted or renamed without that, it works with one instruction set.

   A complete program: learn |x| with two straight lines.

    ```c
    #define MOE_IMPLEMENTATION
    #include "moe.h"
    #include <stdio.h>
    int main(void)
    {
        float x[200], d[200], at[3] = {-0.8f, 0.1f, 0.5f}, y[3];
        moe_config config = {0};         // every 0 is a sensible default
        moe_data data = {200, x, d, NULL, NULL};
        moe m;
        int i;
        for (i = 0; i < 200; i++) {
            x[i] = (float)(i - 100) / 100;
            d[i] = x[i] < 0 ? -x[i] : x[i];
        }
        config.inputs = config.outputs = 1;
        config.experts = 2;              // linear experts, as in 1991
        if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
            moe_train(&m, &data, NULL, NULL, NULL) != MOE_OK)
            return puts(m.error), 1;
        moe_predict(&m, at, 3, y);       // y and nothing else
        moe_forward(&m, at, 3);          // m.y, and m.s, m.p, m.o behind it
        for (i = 0; i < 3; i++)
            printf("%.1f -> %.2f  gate %.2f %.2f\n", at[i], y[i],
                   m.p[2 * i], m.p[2 * i + 1]);
        moe_close(&m);
    }
    ```

   The symbols are the paper's.  moe_forward shows those of at most config.block
   cases at once (0: 64), and returns how many.  One case (a row of x):
     x (I)    input                  s (E)    gate logits
     o (K,O)  of experts that ran    p (E)    proportions, softmax of s
     y (O)    blend sum_i p_i o_i    d (O)    desired output
     h (E)    posteriors: how likely expert i made d, given x and d

   The three losses (config.loss), e_i = |d - o_i|^2:
     MOE_LOSS_MIXTURE   E = -log sum_i p_i exp(-e_i / (2 sigma^2))     (1.3)
        The default: the likelihood of a mixture of Gaussians.  The expert that
        already fits a case best learns most from it: experts specialise early.
        h_i is p_i exp(-e_i / (2 sigma^2)) over its sum.
     MOE_LOSS_EXPECTED  E = sum_i p_i e_i                              (1.2)
        The expected error of one expert picked by p.  Experts compete, but the
        best one moves slowest at first.
     MOE_LOSS_BLEND     E = |d - y|^2                                  (1.1)
        Experts cooperate: usually the smallest error of y, but no expert makes
        sense alone.
     Train the top_k that will run, but not 1: p is 1 then, and teaches the gate
     nothing.  For top_k = 1, or top_p, train all by (1.3), then load with it.

   The kinds of output (config.output), a the last layer's weighted sum:
     MOE_OUT_LINEAR    o = a, for regression; d is standardised inside
     MOE_OUT_LOGISTIC  o = 1/(1 + exp(-a)), targets in [0,1], squared errors as
                       in 1991; right is what is on its target's side of 1/2
     MOE_OUT_SOFTMAX   o = softmax(a), for classes; targets are labels or rows
                       that sum to 1; e_i = -sum_k d_k log o_ik, in (1.3) for
                       e_i / (2 sigma^2), and (1.1) is -sum_k d_k log y_k
     MOE_OUT_BERNOULLI o = 1/(1 + exp(-a)), for several labels at once, each in
                       [0,1]; e_i = -sum_k (d_k log o_ik + (1 - d_k) log
                       (1 - o_ik)), with y in (1.1), for E > 1 an ulp off 0, 1

   Options, defined before the include:
     MOE_IMPLEMENTATION  in one file: the code itself
     MOE_STATIC          all functions static; needs MOE_IMPLEMENTATION too
     MOE_FILE            what to include again; "moe.h" if not defined
     MOE_DOUBLE          moe_real is double; files that disagree do not link
     MOE_PREDICT_ONLY    no training code or memory; weights open as zeros
     MOE_NO_MALLOC       memory is yours to give; moe_save, moe_load refuse
     MOE_NO_STDIO        no moe_save and moe_load: files in memory alone
     MOE_NO_TEXT         no sentences: m.error is "", which saves flash
     MOE_MALLOC(n), MOE_FREE(p)   your own allocator; define both
     MOE_ASSERT(e)       what to do about a caller's mistake; assert(e)
     MOE_SAME_BITS       the same bits everywhere; slower, see Numerics

   Blended weights, for games (config.blend = MOE_BLEND_WEIGHTS): one network,
   in each layer of which W = sum_i p_i W_i, b = sum_i p_i b_i (Zhang, Starke,
   Komura & Saito 2018), learnt by (1.1).  No W is formed: with z = p_1 x,
   p_2 x, ... it is one product of all weights.  moe_predict_with takes p from
   the caller, as of a phase (Holden, Komura & Saito 2017; outputs, too); with
   MOE_GATE_NONE there is no other.  gate_columns lists what a gate is given.

   Modes (config.mode).  Each can do what those above it can, and needs memory:
   so many bytes for 4 experts of 16-32-4 and block 1.
     MOE_MODE_PREDICT   moe_predict, moe_forward: weights, one case    11,604
     MOE_MODE_LEARN     moe_learn: the way back of one case            12,616
     MOE_MODE_GRADIENT  moe_gradient, moe_backward, plain moe_step,
                        moe_evaluate: a gradient                       24,152
     MOE_MODE_TRAIN     moe_train, Adam, momentum; the default: two
                        moments and the best weights                   57,564

   Memory.  moe_bytes(&config) is the exact need of moe_open, the same on every
   target.  Give so many bytes, aligned as a moe_real (to 64 bytes is faster),
   or NULL for one MOE_MALLOC that moe_close frees.  It grows with config.block,
   the cases worked on and shown at once.  Const weights (in flash, mapped, of
   another thread) are attached to, which needs moe_work_bytes(&config).

    ```c
    static const float weights[] = {0,0, 1,-1, 0,0, 3,-3, 0,0, 0,1, 0,1};
    // biases, weights, gate bias, weights, balance, scale.d, scale.x
    static float memory[64], x[1] = {2}, y[1];
    moe_config config = {0};
    moe m;
    config.inputs = config.outputs = config.block = 1;
    config.experts = 2;
    if (moe_attach(&m, &config, weights, memory, sizeof memory) == MOE_OK)
        moe_predict(&m, x, 1, y);        // 2
    ```

   Layers that config.frozen and gate_frozen name do not learn: they take no
   gradients and may stay in flash while others learn in m.weights, which
   moe_attach fills.  Experts of frozen_experts take memory, no time to learn.

   Parameters are one flat array, params: experts.0.bias (E,out),
   experts.0.weight (E,in,out), experts.1.bias, ..., gate.0.bias,
   gate.0.weight, ..., gate.balance (E, of two experts or more; 0 unless used;
   trained_count ends there), scale.d (2,O), scale.x (2,I).  moe_layer_at tells
   where layers are.  Scales are not learnt: row 0 is shift, row 1 factor, 0 and
   1 until data were measured, for outputs only if linear.  Networks see (x -
   shift) * factor, y is shift + factor * their blend: losses and sigma are in
   standardised units; y, o and d are in yours.

   Training.  moe_train holds out a fifth of 50 cases or more and ends when
   these do not get better.  From the weights that were best for them it learns
   all cases for a tenth as many epochs more.  The rate falls to 0 then, and at
   the end where nothing validates.  training.restarts = 5 goes on with the best
   of five seeds.  data.weights tell how much each case counts, as a rare class
   may need.  None of this needs memory that grows with the cases.

   How sure.  With config.sigma = 0 moe_train estimates the sigma of (1.3) from
   the posteriors, sigma^2 = mean of sum h_i e_i / O; then E has O log
   sigma, too.  m.sigma has it and a deviation for each expert, by which
   moe_density tells log p(d|x), and moe_predict_deviation y and how far d may
   be from it: moe_train fits them where it validates, moe_fit_variance when
   asked.  Without validation, as below 50 cases, they are far too small.

   Your own loop.  moe_gradient adds to m.grads and moe_step uses it up: between
   them you may change it, or sum it over many machines; moe_backward is for an
   error of your own.  moe_learn learns cases one by one, on the device too:

    ```c
    static float memory[64], seen_x[128], seen_d[64];
    moe_config config = {0};
    moe_training how = {0};
    moe_data one = {1, NULL, NULL, NULL, NULL};
    moe_data seen = {64, seen_x, seen_d, NULL, NULL};
    moe m;
    int t;
    config.inputs = config.experts = 2;
    config.outputs = config.block = 1;
    config.mode = MOE_MODE_LEARN;
    how.rate = 0.05f;
    if (moe_open(&m, &config, memory, sizeof memory) == MOE_OK)
        for (t = 0; t < 1000; t++) {
            float *x = seen_x + t % 64 * 2, *d = seen_d + t % 64;
            x[0] = (float)(t % 7) - 3;
            x[1] = (float)(t % 5) - 2;
            d[0] = x[0] > 0 ? x[1] : -x[1];
            one.x = x;
            one.d = d;
            moe_learn(&m, &one, &how);   // says how many cases it left out
            if (t % 256 == 63)           // measured again: what was learnt
                moe_fit_scales(&m, &seen);          // stays, and goes on
        }
    ```

   Model files.  moe_save(&m, MOE_MODE_PREDICT, path) writes beside path and
   renames: a whole file, old or new, is always there (Windows has a gap).
   moe_load(&m, path, NULL) opens a moe with it; moe_load_in_place uses weights
   where they lie, mapped or in flash.  A damaged file is refused.  With
   MOE_MODE_TRAIN the progress callback saves a checkpoint, from which moe_train
   goes on with the same bits (same block, float).  Files are safetensors, which
   Python reads: float32, names as above, the configuration in __metadata__.

   Errors.  What can fail returns a moe_status and leaves a sentence in m.error
   (not moe_save_memory, for its m is const), "ok" after MOE_OK.  A refused call
   changes nothing, but open, attach and load close m.  What is called per frame
   (predict, forward, backward, gradient, learn) cannot fail on an open moe; it
   asserts what it needs, and does nothing where that does not hold.

   Threads.  There are no globals.  A moe belongs to one thread at a time; any
   number of them may be attached to the same weights, and between calls each
   may point its params at others.  With -fopenmp threads share out large
   blocks, and any number of threads gives the same bits.

   Numerics.  exp, log, tanh and sqrt are our own, within 2 ulp.  Logits up to
   1e30 give finite p, h and E, and only finite steps are made, under
   -ffast-math, too.  The same seed, binary and kind of processor give the same
   bits; another instruction set (config.simd) agrees to rounding.  With
   MOE_SAME_BITS every compiler, optimisation, instruction set and block gives
   the same finite numbers, bit by bit, for games in lockstep; -ffast-math and
   x87 are refused, and by moe_open flushed subnormals and fused products.
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
#if defined(MOE_STATIC) && !defined(MOE_IMPLEMENTATION)
#error "moe.h: MOE_STATIC needs MOE_IMPLEMENTATION in the same file"
#endif
#ifndef MOE_SAME_BITS
enum { MOEI_IN_ORDER = 0 };
#else
enum { MOEI_IN_ORDER = 1 };     /* sums go in the order of their terms */
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
#if defined(__GNUC__) || defined(__clang__)
#define MOEI_UNUSED __attribute__((unused))
#else
#define MOEI_UNUSED
#endif
#ifdef MOE_STATIC
#define MOE_DEF static MOEI_UNUSED
#else
#define MOE_DEF extern
#endif

/* Two widths, two sets of names: files that disagree do not link. */
#ifdef MOE_DOUBLE
#define moe_status_text   moe_status_text_double
#define moe_check_config  moe_check_config_double
#define moe_bytes         moe_bytes_double
#define moe_work_bytes    moe_work_bytes_double
#define moe_open          moe_open_double
#define moe_attach        moe_attach_double
#define moe_close         moe_close_double
#define moe_layer_at      moe_layer_at_double
#define moe_fit_scales    moe_fit_scales_double
#define moe_fit_variance  moe_fit_variance_double
#define moe_predict       moe_predict_double
#define moe_forward       moe_forward_double
#define moe_predict_with  moe_predict_with_double
#define moe_forward_with  moe_forward_with_double
#define moe_density       moe_density_double
#define moe_predict_deviation moe_predict_deviation_double
#define moe_learn         moe_learn_double
#define moe_train         moe_train_double
#define moe_evaluate      moe_evaluate_double
#define moe_backward      moe_backward_double
#define moe_backward_with moe_backward_with_double
#define moe_gradient      moe_gradient_double
#define moe_step          moe_step_double
#define moe_read_config   moe_read_config_double
#define moe_save_bytes    moe_save_bytes_double
#define moe_save_memory   moe_save_memory_double
#define moe_load_memory   moe_load_memory_double
#define moe_load_in_place moe_load_in_place_double
#define moe_save          moe_save_double
#define moe_load          moe_load_double
typedef double moe_real;
#define MOEI_EITHER(single, twice) twice
#define MOEI_REALS(name) name##_pd
#else
typedef float moe_real;
#define MOEI_EITHER(single, twice) single
#define MOEI_REALS(name) name##_ps
#endif

/* ======================================================================== */
/* 2  INTERFACE                                                             */
/* ======================================================================== */
#ifdef __cplusplus
extern "C" {
#endif

#define MOE_VERSION_MAJOR 0
#define MOE_VERSION_MINOR 2

#define MOE_MAX_HIDDEN 4        /* hidden layers of an expert or of the gate */
#define MOE_MAX_SIZE 32767      /* largest I, O, E, hidden width and rows    */
#define MOE_ALL (-1)            /* batch: all cases; frozen: all layers      */

typedef enum moe_status {         /* the usual cause; what to do about it  */
    MOE_OK = 0,
    MOE_STOPPED,       /* the progress callback asked; predict, or train on  */
    MOE_ERR_NULL,      /* a required pointer is NULL; pass what it names     */
    MOE_ERR_CONFIG,    /* settings contradict; m.error says which            */
    MOE_ERR_MEMORY,    /* memory too small or misaligned; ask moe_bytes      */
    MOE_ERR_DATA,      /* a number is out of range; the report says where    */
    MOE_ERR_DIVERGED,  /* no longer finite; a smaller rate, or clip          */
    MOE_ERR_FORMAT,    /* no model file, or one that was damaged; save anew  */
    MOE_ERR_IO,        /* a file could not be opened, read, written or
                          renamed; m.error says what: see path and rights    */
    MOE_ERR_STATE      /* this moe cannot do that; m.error says why: another
                          mode, or flags that MOE_SAME_BITS forbids          */
} moe_status;

typedef enum moe_activation {
    MOE_ACT_RELU = 0,  /* max(a, 0)                                          */
    MOE_ACT_TANH,
    MOE_ACT_LOGISTIC,  /* 1 / (1 + exp(-a))                                  */
    MOE_ACT_ELU,       /* a if a > 0, else exp(a) - 1                        */
    MOE_ACT_SILU       /* a / (1 + exp(-a))                                  */
} moe_activation;

typedef enum moe_output {
    MOE_OUT_LINEAR = 0, MOE_OUT_LOGISTIC, MOE_OUT_SOFTMAX, MOE_OUT_BERNOULLI
} moe_output;

typedef enum moe_loss {           /* (1.3), (1.2), (1.1) */
    MOE_LOSS_MIXTURE = 0, MOE_LOSS_EXPECTED, MOE_LOSS_BLEND
} moe_loss;

/* What the proportions weigh, of two experts or more. */
typedef enum moe_blend {
    MOE_BLEND_OUTPUTS = 0,  /* y = sum_i p_i o_i                             */
    MOE_BLEND_WEIGHTS       /* one network, in each layer of which W = sum_i
                               p_i W_i, b = sum_i p_i b_i: a y, but no o, e
                               and h.  Its loss is MOE_LOSS_BLEND            */
} moe_blend;

/* Where p is from, of two experts or more. */
typedef enum moe_gate {
    MOE_GATE_SOFTMAX = 0,   /* p = softmax of s, a network of x              */
    MOE_GATE_NONE           /* the caller: only moe_predict_with, _forward_-
                               with, _backward, _step, scales and files work */
} moe_gate;

typedef enum moe_optimizer {
    MOE_ADAM = 0,   /* Kingma & Ba 2015, algorithm 1; decoupled weight decay,
                       Loshchilov & Hutter 2019                              */
    MOE_SGD         /* v = momentum v + g + decay w;  w -= rate v.  Where sigma
                       is estimated, moe_gradient's g of experts times sigma^2*/
} moe_optimizer;

/* What a moe can do, and has memory for: each does all that follow. */
typedef enum moe_mode {
    MOE_MODE_TRAIN = 0, /* moe_train, Adam, momentum: moments, best weights  */
    MOE_MODE_GRADIENT,  /* moe_gradient, _backward, _evaluate, SGD moe_step  */
    MOE_MODE_LEARN,     /* moe_learn: what the way back of one case needs    */
    MOE_MODE_PREDICT    /* moe_predict, moe_forward                          */
} moe_mode;

/* Columns first .. first+count-1 of a row of x; count 0: to its end. */
typedef struct moe_span { int first, count; } moe_span;

/* What the network is.  Zero-initialise (in C++ with = {}), then fill in what
   differs.  Fields marked * are required; sizes are 1..MOE_MAX_SIZE. */
typedef struct moe_config {
    int inputs;                  /* *I: reals in a row of x                  */
    int outputs;                 /* *O: reals in a row of y and d            */
    int experts;                 /* *E: 1 is an ordinary network, no gate    */
    int top_k;                   /* K: experts that run, of the largest s +
                                    gate.balance; 0: all; 1 predicts only    */
    moe_real top_p;              /* of them only the fewest that have this
                                    share of p, which is then theirs; 0: all */
    int hidden[MOE_MAX_HIDDEN];  /* widths of each expert's hidden layers,
                                    the first 0 ends; none: linear experts   */
    int gate_hidden[MOE_MAX_HIDDEN];  /* the same for the gate               */
    moe_span expert_inputs;      /* the part of x that experts are given     */
    moe_span gate_inputs;        /* the part that the gate is given          */
    const char *expert_columns;  /* instead of a part, columns of x in any   */
    const char *gate_columns;    /* order, as "0-2,7,9"; NULL: none.  The
                                    opened moe has its own copy              */
    moe_activation activation;   /* of the hidden units                      */
    moe_output output;           /* of the experts                           */
    moe_loss loss;               /* may be changed later, as sigma, balance  */
    moe_real sigma;              /* standard deviation in (1.3), standardised
                                    units.  0: moe_train estimates it, from 1
                                    on and not below .01; logistic experts: 1.
                                    Softmax and Bernoulli experts have none  */
    moe_real balance_loss;       /* its weight; 0: none; top_k is in 1..E-1  */
    moe_blend blend;             /* outputs, which balance_loss and _rate
                                    need, or weights                         */
    moe_gate gate;
    int block;                   /* B: cases worked on at once; 0: 64        */
    int simd;                    /* bits of vectors; 1: none; 0: the most    */
    moe_mode mode;
    int frozen, gate_frozen;     /* layers of the experts, of the gate, that do
                                    not learn: 1 << l of layer l; MOE_ALL    */
    uint64_t frozen_experts;     /* 1 << e: expert e does not learn, e < 64.
                                    They stand among others: grads has them  */
    uint64_t seed;               /* of the initial weights                   */
} moe_config;

/* Offsets of one layer in params; weight is (in,out).  If it learns, and is not
   frozen, the derivative by params[i] is grads[i - left_out]. */
typedef struct moe_layer {
    int in, out;
    size_t bias, weight;
    int learns;
    size_t left_out;             /* parameters of frozen layers before it    */
} moe_layer;

/* Private: a stack of layers, `copies` of it side by side in params. */
typedef struct moei_net {
    int16_t copies, layers, first;           /* first: its column of x       */
    int16_t width[MOE_MAX_HIDDEN + 2];       /* of x, of each layer's y      */
    int8_t learning, lowest;     /* bits of the layers that learn; the first */
    int32_t hidden;                          /* units of all hidden layers   */
    size_t at, grad_at;          /* of its first parameter, first derivative */
} moei_net;

/* Private: where steps and a training are.  Checkpoints have the first four
   reals and most of the rest.  int32_t, for the same bytes on every target. */
typedef struct moei_state {
    moe_real beta_power[2];      /* beta_1^t, beta_2^t of Adam               */
    moe_real rate_factor, best_loss, best_sigma, best_restart_loss;
    moe_real largest_moment;     /* no first moment, and no root of a second,
                                    is larger                                */
    int32_t epoch, steps;        /* m->epoch in a file; optimiser steps      */
    int32_t since_best;          /* 1 and the epochs since; 0: no best yet   */
    int32_t began, planned;      /* the epoch in which this training began,
                                    how many it is to have                   */
    int32_t restart;             /* the seed that is tried is number 1, 2...;
                                    0: none is                               */
    int32_t best_restart, scale_before;      /* from 0; scale_state when the
                                    seeds began                              */
    int32_t best_is_old;         /* best weights are those before training   */
    int32_t counted;             /* cases in the totals                      */
    int32_t by_loss;             /* grads have derivatives of E              */
} moei_state;

typedef struct moei_loops moei_loops;        /* of an instruction set        */

/* A moe belongs to one thread at a time.  It points to its own memory, or to
   weights it was attached to.  Arrays are (rows, ...): moe_forward shows s, p,
   selected, o and y of its rows, moe_gradient h of its last cases, moe_evaluate
   the last cases; other calls may change them. */
typedef struct moe {
    moe_config config;           /* as opened, defaults filled in; yours are
                                    loss, sigma, balance_loss, seed, frozen-
                                    _experts and top_p, unless it was 0 or 1 */
    const moe_real *params;      /* (param_count) what prediction reads; may
                                    point at others of the same configuration*/
    moe_real *weights;           /* the same, writable, and learning needs
                                    params == weights; attached to const ones
                                    NULL, or (grad_count) of them that learn */
    moe_real *grads;             /* (grad_count); NULL for prediction; with
                                    top_k its last E count cases that chose  */
    size_t grad_count;           /* trained_count less those that are frozen */
    size_t trained_count;        /* parameters that learning may change      */
    size_t param_count;          /* and the scales behind them               */
    const char *error;           /* of the last call that returns a status, or
                                    "ok"; where it has numbers it lies in m  */
    int epoch;                   /* epochs trained so far                    */
    int rows;                    /* rows below: those of the last block      */
    const moe_real *s, *p;       /* (rows,E)   gate logits, proportions      */
    const int32_t *selected;     /* (rows,K)   experts that ran, ascending;
                                    with top_p -1 behind them                */
    const moe_real *o;           /* (rows,K,O) their outputs, user's units;
                                    NULL where weights are blended           */
    const moe_real *y;           /* (rows,O)   blend, user's units           */
    const moe_real *sigma;       /* (1+E) deviations, standardised units: of
                                    (1.3), of each expert (moe_fit_variance).
                                    Loaded in place: in the file.  Attached:
                                    NULL (config.sigma or ones), or your copy*/
    const moe_real *h;           /* (rows,E)   posteriors, of moe_gradient; NULL
                                    without it and for blended weights.  p and h
                                    are 0 for experts that did not run       */
    /* Private from here on.  What memory depends on is kept apart. */
    int16_t I, O, E, K, B;       /* of the configuration; K is E if weights
                                    are blended, `chosen` is top_k           */
    int16_t chosen, X;           /* X: I and all listed columns              */
    int8_t mode, activation, output;
    int8_t is_one;               /* network, of blended weights              */
    int8_t drops, sparse;        /* by top_p; experts have some cases each   */
    int8_t p_is_given;           /* for the cases at hand, by the caller     */
    int8_t scale_state;          /* 1: measured, 2: settled by learning      */
    int8_t set, sets[2];         /* of loops, by instruction set: now, and for
                                    one case, for more                       */
    int8_t tunes;                /* weights are those alone that learn       */
    int8_t ordered;              /* `order` has the cases of the data at hand*/
    int8_t thread_count;
    int16_t group;               /* cases that arrays hold at once           */
    int16_t widest;              /* the widest layer                         */
    moei_net expert, gate;
    int16_t n, N, first;         /* cases at hand, the width of their arrays,
                                    where they begin in the block            */
    int16_t shown_count;         /* rows that moe_backward may follow        */
    int runs;                    /* of the experts, for these cases          */
    int16_t *columns;            /* (X-I) listed                             */
    moe_real *x, *d, *blend;     /* (X,P), (O,P), (O,P)  standardised        */
    moe_real *logits, *loss;     /* (E,P), (P)                               */
    moe_real *prop, *log_p, *error_of, *post;   /* (K,P)  p, log p, e, h     */
    moe_real *out, *log_o, *log_y;              /* of all runs; (2,O,P)      */
    moe_real *acts, *gate_acts;  /* of hidden layers, kept to learn          */
    moe_real *scratch;           /* of each thread                           */
    ptrdiff_t act_size, scratch_size;
    moe_real *run_list, *order;  /* whole numbers: of sorted cases; (B) of a
                                    shuffled block                           */
    moe_real *back_to_x;         /* where dE/dx goes                         */
    moe_real *share;             /* (2,E) of the balance loss                */
    const moe_real *case_weights;/* of the data at hand, or NULL             */
    moei_state *state;           /* with (2E+6) totals of a report, and its
                                    (2E) usage and load, behind it; or NULL  */
    void *heap;                  /* what moe_close frees                     */
} moe;

/* Exactly one of d (n,O) and labels (n, each 0..O-1; softmax experts only).
   x is (n,I).  weights (n; finite, not negative, not all 0), or NULL for ones:
   one of weight 2 is two cases in losses, gradients, validation and reports. */
typedef struct moe_data {
    int n;
    const moe_real *x, *d;
    const int *labels;
    const moe_real *weights;
} moe_data;

/* Means per case.  In training they are measured before each step. */
typedef struct moe_report {
    int epoch;
    uint64_t seed;               /* config.seed: of the initial weights      */
    int restart;                 /* 1..restarts while seeds are tried, then 0*/
    int valid_cases;             /* given for validation or held out; 0: none*/
    moe_real loss;               /* E, in standardised units; where sigma is
                                    estimated plus O log sigma, below 0 then */
    moe_real valid_loss;         /* the same on cases that validate; at the
                                    end of the best weights; -1: none        */
    moe_real squared_error;      /* |d - y|^2, in the user's units           */
    moe_real accuracy;           /* share classified right; -1: linear       */
    moe_real gate_entropy;       /* -sum_i p_i log p_i, nats                 */
    moe_real imbalance;          /* E times the largest load; 1 is even      */
    int dead;                    /* experts that won no case                 */
    moe_real mean_ran;           /* how many experts ran                     */
    const moe_real *usage;       /* (E) mean p; until the next call on m     */
    const moe_real *load;        /* (E) share of cases in which p is largest;
                                    with top_k, of the choices               */
    int bad_row, bad_column;     /* of MOE_ERR_DATA, else -1: training rows,
                                    validation rows; x's columns, d's columns*/
} moe_report;

/* How to train.  Zero-initialise; every 0 is the default. */
typedef struct moe_training {
    int epochs;                  /* more epochs from where m stands; 0: 1000
                                    with validation and 200 without, but 6000
                                    steps at least; of a checkpoint what it
                                    has left                                 */
    int batch;                   /* cases per step; 0: 32; MOE_ALL           */
    moe_optimizer optimizer;
    moe_real rate;               /* given: constant, but in holdout's tenth.
                                    0: Adam 0.015, SGD 0.1, half of it for each
                                    hidden layer but one; halved on a plateau of
                                    20 epochs; falling without validation    */
    moe_real momentum;           /* of SGD, in [0,1)                         */
    moe_real weight_decay;       /* on weights, not on biases; 0: none       */
    moe_real clip;               /* largest norm of a step's gradient; 0: any*/
    moe_real balance_rate;       /* step of gate.balance towards even use;
                                    0: none; needs top_k in 2..E-1           */
    moe_real target;             /* stop at squared_error <= target; 0: never*/
    moe_real holdout;            /* share of cases that validate, then learn
                                    for a tenth more epochs; -1: none; 0: a
                                    fifth of 50 or more, but not with validation
                                    data, a target or MOE_ALL                */
    int patience;                /* with validation, which keeps the best
                                    weights: epochs without a better loss
                                    after 3,000 steps; 0: 50; -1: never stop */
    int restarts;                /* seeds config.seed .. +restarts-1 train for
                                    a tenth of the epochs, target or not; the
                                    one with the smallest loss, in validation
                                    if there is one, begins anew.  0, 1: none*/
    int keep_units;              /* 1: do not measure scales                 */
    uint64_t seed;               /* epoch t's order is a function of (seed,t)*/
    int (*progress)(const moe_report *report, void *user);  /* after an epoch,
                                    but not in that tenth; non-0 stops; may
                                    predict, evaluate and save               */
    void *user;
} moe_training;

/* A few words for a status, never NULL. */
MOE_DEF const char *moe_status_text(moe_status status);

/* MOE_OK, MOE_ERR_NULL or MOE_ERR_CONFIG; error (or NULL) gets the sentence. */
MOE_DEF moe_status moe_check_config(const moe_config *config,
                                    const char **error);

/* Bytes that moe_open needs, and moe_attach, then with a copy of what learns if
   layers are frozen; 0: moe_check_config refuses. */
MOE_DEF size_t moe_bytes(const moe_config *config);
MOE_DEF size_t moe_work_bytes(const moe_config *config);

/* The same as constants, for memory without a heap: block 1, a hidden layer of
   `hidden` units (0: none), a linear gate, all of x, blended outputs, linear or
   logistic experts, no silu or top_p; K is top_k, or E where that is 0.
     MOE_WORK_BYTES     moe_work_bytes
     MOE_PREDICT_BYTES  moe_bytes with MOE_MODE_PREDICT
     MOE_LEARN_BYTES    moe_bytes with MOE_MODE_LEARN
     MOE_TUNE_BYTES     moe_work_bytes with MOE_MODE_LEARN where, by frozen = 1,
                        the layer behind the hidden one learns, and the gate */
#define MOE_WORK_BYTES(I, O, E, K, hidden)                                   \
    (MOE_SIZE((hidden) + (I) + (O) + (E) + 2 * (K) + (O) * (K)               \
              + ((K) < (E) ? 2 * (E) : 0)) * sizeof(moe_real))
#define MOE_PREDICT_BYTES(I, O, E, K, hidden)                                \
    (MOE_SIZE(MOE_PARAM_REALS(I, O, E, hidden) + 1 + (E)) * sizeof(moe_real) \
     + MOE_WORK_BYTES(I, O, E, K, hidden))
#define MOE_LEARN_BYTES(I, O, E, K, hidden)                                  \
    (MOE_PREDICT_BYTES(I, O, E, K, hidden)                                   \
     + MOE_SIZE(MOE_LEARN_REALS(O, E, K, hidden)) * sizeof(moe_real))
#define MOE_TUNE_BYTES(I, O, E, K, hidden)                                   \
    (MOE_WORK_BYTES(I, O, E, K, hidden)                                      \
     + MOE_SIZE(MOE_LEARN_REALS(O, E, K, hidden)                             \
                + (E) * ((hidden) + 1) * (O) + MOE_GATE_REALS(I, E)          \
                + 1 + (E)) * sizeof(moe_real))
#define MOE_LEARN_REALS(O, E, K, hidden)                                     \
    ((K) * (2 * (hidden) + (O)) + ((E) > 1 ? (E) : 0) - (hidden)             \
     + ((K) < (E) || (E) == 1 ? 2 : 1) * (K) + 1 + (O)                       \
     + ((K) < (E) ? 2 * (E) : 0))
#define MOE_GATE_REALS(I, E) ((E) > 1 ? ((I) + 2) * (E) : 0)
#ifdef __cplusplus
#define MOE_SIZE(n) static_cast<size_t>(n)
#else
#define MOE_SIZE(n) ((size_t)(n))
#endif
#define MOE_PARAM_REALS(I, O, E, hidden)                                     \
    ((E) * ((hidden) > 0 ? ((I) + 1) * (hidden) + ((hidden) + 1) * (O)       \
                         : ((I) + 1) * (O))                                  \
     + MOE_GATE_REALS(I, E) + 2 * ((I) + (O)))

/* Open a moe with its own weights: all layers uniform in +-1/sqrt(inputs of the
   unit), but the gate's last is 0, so that p starts even.  Reads nothing of
   *m, but config may be &m->config; frees nothing, so close before what has
   memory of MOE_MALLOC.  On failure *m is closed.  memory NULL: one MOE_MALLOC.
   MOE_ERR_NULL, _CONFIG, _MEMORY. */
MOE_DEF moe_status moe_open(moe *m, const moe_config *config, void *memory,
                            size_t bytes);

/* The same over weights that stay where they are.  params is (param_count) and
   must outlive m.  It predicts only, unless layers are frozen: those that are
   not are copied from params to m.weights, (grad_count), in their order; there
   they learn as config.mode says, from there they are read and saved. */
MOE_DEF moe_status moe_attach(moe *m, const moe_config *config,
                              const moe_real *params, void *memory,
                              size_t bytes);

/* Give back what was allocated; m is then as moe m = {0}. */
MOE_DEF void moe_close(moe *m);

/* Where layer 0, 1, ... of expert 0..E-1 is in params; expert E is the gate.
   Zeros for what does not exist (one expert has no gate: p = 1, s = 0). */
MOE_DEF moe_layer moe_layer_at(const moe_config *config, int expert, int layer);

/* y (n,O) = blend for x (n,I), any n; n < 1 does nothing.  y may be x. */
MOE_DEF void moe_predict(moe *m, const moe_real *x, int n, moe_real *y);

/* Forward for the first min(n,B) rows; returns how many. */
MOE_DEF int moe_forward(moe *m, const moe_real *x, int n);

/* The same by proportions of the caller's, for experts that are two or more:
   p (n,E), of any sign and sum, which is not made 1.  With top_k and top_p the
   experts with the largest |p| run.  s is 0.  p NULL: the gate's. */
MOE_DEF void moe_predict_with(moe *m, const moe_real *x, const moe_real *p,
                              int n, moe_real *y);
MOE_DEF int moe_forward_with(moe *m, const moe_real *x, const moe_real *p,
                             int n);

/* log p(d|x) of each case: log_density (n) for x (n,I), d (n,O), in user's
   units, any n.  With s_i of m.sigma and the O factors of scale.d
     (1.3), (1.2)  sum_i p_i N(d; o_i, s_i^2)     around each expert
     (1.1)         sum_i p_i N(d; y, s_i^2)       around their blend
     softmax       sum_i p_i prod_k o_ik^d_k;  (1.1): prod_k y_k^d_k
     Bernoulli     the same with prod_k o_ik^d_k (1 - o_ik)^(1 - d_k)
   0 counts as exp(-104), in 1 - o as exp(-18); in double -746, -38.  The mean
   over test data is their log-likelihood; a case far below it is new. */
MOE_DEF void moe_density(moe *m, const moe_real *x, const moe_real *d, int n,
                         moe_real *log_density);

/* y (n,O) as moe_predict has it, and the standard deviation of d around it, of
   the same density: its variance is sum_i p_i s_i^2, plus the spread
   sum_i p_i (o_i - y)^2 but for (1.1); y (1 - y) of probabilities. */
MOE_DEF void moe_predict_deviation(moe *m, const moe_real *x, int n,
                                   moe_real *y, moe_real *deviation);

/* Model files, see the manual.  What the file at hand holds: its use is
   MOE_MODE_TRAIN for a checkpoint, else MOE_MODE_PREDICT; lists of columns
   stand in the file.  MOE_ERR_NULL or _FORMAT: config stays as it was. */
MOE_DEF moe_status moe_read_config(moe_config *config, const void *file,
                                   size_t file_bytes);

/* Open a moe with the weights of a file, or over them as they lie there, read
   only.  config NULL: as moe_read_config says; else its block, simd, mode,
   top_k and top_p (0: the file's), what it freezes apply, the rest is ignored;
   balance_loss is 0 where top_k is all.  A file has no block: 0 is 64, and
   moe_bytes of what moe_read_config says is the need.  Scales are settled, as
   after training.  A checkpoint says what was frozen; where something else now
   is, moe_train begins anew from its weights.
   Each error of moe_open and moe_attach; MOE_ERR_FORMAT; moe_load_in_place:
   MOE_ERR_STATE unless floats are little-endian and the numbers aligned, in
   moe.h's order and with gate.balance. */
MOE_DEF moe_status moe_load_memory(moe *m, const void *file, size_t file_bytes,
                                   const moe_config *config, void *memory,
                                   size_t bytes);
MOE_DEF moe_status moe_load_in_place(moe *m, const void *file,
                                     size_t file_bytes,
                                     const moe_config *config, void *memory,
                                     size_t bytes);

/* A file in memory; keep MOE_MODE_TRAIN makes a checkpoint, else weights alone
   are kept.  Bytes, 0 if it cannot be; MOE_ERR_NULL; _STATE: m is closed or
   lacks what to keep; _CONFIG; _DIVERGED: not finite as float32; _MEMORY. */
MOE_DEF size_t moe_save_bytes(const moe *m, moe_mode keep);
MOE_DEF moe_status moe_save_memory(const moe *m, moe_mode keep, void *file,
                                   size_t bytes);

#ifndef MOE_NO_STDIO
/* The same by path; both allocate a whole file's bytes; also MOE_ERR_IO: error
   says whether the file was not opened, read, written or renamed. */
MOE_DEF moe_status moe_save(moe *m, moe_mode keep, const char *path);
MOE_DEF moe_status moe_load(moe *m, const char *path, const moe_config *config);
#endif

#ifndef MOE_PREDICT_ONLY
/* Measure shift and scale of x (and of d for linear outputs), for loops of
   your own; moe_train does it by itself, once.  After any training or step the
   difference is folded into the first layers, and the experts' last, so that y
   stays the same to rounding, if p sums to 1; moments and grads become 0. */
MOE_DEF moe_status moe_fit_scales(moe *m, const moe_data *data);

/* Fit m.sigma for moe_density: EM on the experts' s_i alone, p, o and y as they
   are, with one more case for each expert at the s that all would have; an
   estimated sigma of (1.3), m.sigma[0], becomes that s.  moe_train does so at
   its end, and then widens all s_i as cases that validated it ask, beside 50
   that ask for nothing.  Needs MOE_MODE_TRAIN or _GRADIENT; MOE_ERR_NULL,
   _STATE (probabilities have no s_i), _DATA, _CONFIG. */
MOE_DEF moe_status moe_fit_variance(moe *m, const moe_data *data);

/* Train.  validation (if NULL see holdout), t and report may be NULL.  MOE_OK,
   MOE_STOPPED, or MOE_ERR_NULL, _CONFIG, _DATA, _STATE (all before anything
   changes, but restarts and grads where y of a validation row is not finite),
   _DIVERGED. */
MOE_DEF moe_status moe_train(moe *m, const moe_data *data,
                             const moe_data *validation,
                             const moe_training *t, moe_report *report);

/* What training reports, for any data; needs MOE_MODE_TRAIN or _GRADIENT. */
MOE_DEF moe_status moe_evaluate(moe *m, const moe_data *data,
                                moe_report *report);

/* grads += for an error of y that is your own: dE_dy (rows,O), for the rows
   of the moe_forward just before, in user's units.  dE_dx (rows,I) or NULL.
   Anything else between them, such as moe_predict, moe_gradient or a step, is
   a mistake: an assertion fails, and nothing is done. */
MOE_DEF void moe_backward(moe *m, const moe_real *dE_dy, moe_real *dE_dx);

/* The same; also dE_dp (rows,E) or NULL, 0 for experts that did not run.  After
   moe_forward_with the gate gets no gradient: p was the caller's. */
MOE_DEF void moe_backward_with(moe *m, const moe_real *dE_dy, moe_real *dE_dx,
                               moe_real *dE_dp);

/* grads += of the loss over any n cases; returns the sum of E.  A bad label
   or a value that is not finite gives NaN, which moe_step refuses; so does,
   after an assertion, what lacks data or is not open for learning. */
MOE_DEF moe_real moe_gradient(moe *m, const moe_data *data);

/* One optimiser step on scale * grads, then grads = 0.  t NULL: defaults
   (plain SGD for MOE_MODE_GRADIENT).  MOE_ERR_NULL, _CONFIG and _STATE change
   nothing; MOE_ERR_DIVERGED (not finite) keeps the weights, and grads = 0. */
MOE_DEF moe_status moe_step(moe *m, const moe_training *t, moe_real scale);

/* Plain SGD, each case in turn, straight into the weights: no grads are needed.
   Of t (NULL: defaults) rate and clip count.  Returns how many cases were left
   out, because x or d is not finite, a label is out of range or the step would
   not be finite: these change nothing. */
MOE_DEF int moe_learn(moe *m, const moe_data *data, const moe_training *t);
#endif /* MOE_PREDICT_ONLY */

#ifdef __cplusplus
}
#endif
#endif /* MOE_H */

/* The loops read this file again, with MOEI_LANES defined: see room 14. */
#if defined(MOEI_LANES) \
    || (defined(MOE_IMPLEMENTATION) && !defined(MOE_IMPLEMENTED))
#define MOE_IMPLEMENTED
#ifndef MOEI_LANES

/* ======================================================================== */
/* 3  PLATFORM                                                              */
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
#ifdef MOE_NO_TEXT
#define MOEI_TEXT(sentence) ""
#else
#define MOEI_TEXT(sentence) sentence
#endif

/* Where the compiler works with wider reals, as on x87, only memory rounds. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 \
    && __FLT_EVAL_METHOD__ != 16
#define MOEI_ROUNDED volatile
#else
#define MOEI_ROUNDED
#endif

/* Under -ffast-math this file is still compiled as it is written.  Products and
   sums are contracted, but not where all must give the same bits, nor on x87;
   strips of numbers become vectors.  gcc hears no other pragma. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#if __FINITE_MATH_ONLY__
#pragma GCC optimize("no-fast-math", "no-finite-math-only", \
                     "no-unsafe-math-optimizations", "no-associative-math", \
                     "no-reciprocal-math", "signed-zeros")
#endif
#ifdef MOE_SAME_BITS
#pragma GCC optimize("fp-contract=off")
#elif __FLT_EVAL_METHOD__ == 0 || __FLT_EVAL_METHOD__ == 16
#pragma GCC optimize("fp-contract=fast")
#endif
#ifdef __OPTIMIZE_SIZE__
#pragma GCC optimize("no-partial-inlining")     /* which takes frames */
#else
#pragma GCC optimize("no-trapping-math", "tree-loop-vectorize")
#endif
#if defined(__thumb__) && !defined(__thumb2__)
#pragma GCC optimize("no-ipa-ra")       /* of gcc 12, which loses registers */
#endif
#elif defined(MOE_SAME_BITS) && defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__clang__) && __FINITE_MATH_ONLY__
#pragma float_control(precise, on, push)
#endif

/* Vectors that the compiler knows; with -Os plain loops, but in WebAssembly. */
#if defined(__OPTIMIZE_SIZE__) && !defined(__wasm_simd128__)
#define MOEI_PLAIN
#elif defined(_M_X64) || (defined(__SSE2_MATH__) \
                          && (defined(__GNUC__) || defined(__clang__)))
#define MOEI_X86
#include <immintrin.h>
#if defined(_MSC_VER)
#include <intrin.h>
#endif
#if defined(_MSC_VER) && defined(__clang__)  /* which leaves these out */
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <fmaintrin.h>
#include <avx512fintrin.h>
#include <avx512dqintrin.h>
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define MOEI_NEON
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#define MOEI_WASM
#include <wasm_simd128.h>
#else
#define MOEI_PLAIN
#endif

#if defined(__clang__)
#define MOEI_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define MOEI_UNROLL _Pragma("GCC unroll 16")
#else
#define MOEI_UNROLL
#endif
#if defined(__GNUC__) || defined(__clang__)
#define MOEI_ALWAYS static inline __attribute__((always_inline, unused))
#define MOEI_RESTRICT __restrict
#define MOEI_FOR(set) __attribute__((target(set)))
#define MOEI_APART __attribute__((noinline))
#define MOEI_COLD __attribute__((cold))      /* kept small: seldom called */
#else
#ifdef _MSC_VER
#define MOEI_ALWAYS static __forceinline
#define MOEI_RESTRICT __restrict
#else
#define MOEI_ALWAYS static
#define MOEI_RESTRICT
#endif
#define MOEI_FOR(set)
#define MOEI_APART
#define MOEI_COLD
#endif
#if defined(MOEI_PLAIN) && defined(__OPTIMIZE_SIZE__)
#define MOEI_INLINE static MOEI_UNUSED          /* inline for speed alone */
#else
#define MOEI_INLINE MOEI_ALWAYS
#endif
#if defined(__OPTIMIZE_SIZE__) && defined(__GNUC__) && __GNUC__ > 10
#define MOEI_OPAQUE static __attribute__((noipa))
#else
#define MOEI_OPAQUE MOEI_INLINE
#endif

/* OpenMP's threads share the turns of a loop. */
#ifdef _OPENMP
#include <omp.h>
#define MOEI_THREADS (omp_in_parallel() ? 1 : omp_get_max_threads())
#define MOEI_THREAD omp_get_thread_num()
#ifdef _MSC_VER                 /* whose old preprocessor knows no _Pragma */
#define MOEI_SHARE(threads) \
    __pragma(omp parallel for schedule(static) num_threads(threads))
#else
#define MOEI_SHARE(threads) \
    _Pragma("omp parallel for schedule(static) num_threads(threads)")
#endif
#else
enum { MOEI_THREADS = 1, MOEI_THREAD = 0 };
#define MOEI_SHARE(threads)
#endif

/* What only learning needs: under MOE_PREDICT_ONLY public functions are static
   and unused, so that the compiler drops them and all that they call. */
#ifdef MOE_PREDICT_ONLY
#define MOEI_LEARN static MOEI_UNUSED
enum { MOEI_LEARNS = 0 };
#else
#define MOEI_LEARN MOE_DEF
enum { MOEI_LEARNS = 1 };
#endif

#ifndef MOE_NO_STDIO
#include <stdio.h>
#endif
#ifdef _MSC_VER       /* which warns of fopen; 0x40: others may read, too */
#define MOEI_OPEN(path, how) _fsopen(path, how, 0x40)
#else
#define MOEI_OPEN(path, how) fopen(path, how)
#endif
#ifdef _WIN32         /* where no target may exist; `from` may be all that is */
#define MOEI_REPLACE(from, to) ((void)remove(to), rename(from, to))
#else
#define MOEI_REPLACE(from, to) (rename(from, to) != 0 && (remove(from), 1))
#endif

/* The permissions of an old file, for a new one, where there is chmod. */
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
/* 4  MODEL                                                                 */
/* ======================================================================== */
/* The shape that follows from a configuration, its memory, opening, closing.
   First what rooms 13 and 14, at the end, give to all the others. */
typedef MOEI_EITHER(uint32_t, uint64_t) moei_bits;
enum {
    MOEI_FRACTION = MOEI_EITHER(23, 52), MOEI_BIAS = MOEI_EITHER(127, 1023)
};
#define MOEI_REAL_SIZE MOEI_EITHER(4, 8)
#define MOEI_ONE_BITS ((moei_bits)MOEI_BIAS << MOEI_FRACTION)
#define MOEI_INFINITY_BITS ((moei_bits)(2 * MOEI_BIAS + 1) << MOEI_FRACTION)
#define MOEI_SIGN_BIT ((moei_bits)1 << (MOEI_REAL_SIZE * 8 - 1))
#define MOEI_INFINITY moei_from_bits(MOEI_INFINITY_BITS)
#define MOEI_NAN moei_from_bits(MOEI_INFINITY_BITS | (MOEI_INFINITY_BITS >> 1))

/* Larger errors and logits are cut to this, so that inf - inf cannot be; a step
   this large added to a finite weight is finite. */
#define MOEI_LARGEST ((moe_real)1e30)
#define MOEI_BETA_1 ((moe_real)0.9)          /* of Adam */
#define MOEI_BETA_2 ((moe_real)0.999)
#define MOEI_EPSILON ((moe_real)1e-8)

MOEI_INLINE moe_real moei_from_bits(moei_bits bits);
MOEI_INLINE moe_real moei_sqrt(moe_real x);
MOEI_INLINE moe_real moei_exp(moe_real x);
MOEI_INLINE moe_real moei_log(moe_real x);
static int moei_is_finite(moe_real x);
static int moei_is_nan(moe_real x);
static uint64_t moei_mix(uint64_t z);
static moe_real moei_uniform(uint64_t *state);
#ifndef MOE_PREDICT_ONLY
static uint32_t moei_shuffled(uint32_t i, uint32_t n, uint64_t key);
static void moei_add(moe_real *sum, moe_real *carry, moe_real x);
#endif

/* Cases side by side in a panel: of narrow layers, of others; the most.  Inputs
   worked at once; weights far away. */
enum { MOEI_MANY = 256, MOEI_FEW = 64 };
#ifdef MOEI_PLAIN
enum { MOEI_PANEL = 1 };
#else
enum { MOEI_PANEL = MOEI_MANY, MOEI_DEEP = 128, MOEI_PIECE = 32,
       MOEI_FAR = 1 << 15 };
#endif
enum { MOEI_STREAMS = MOEI_PANEL > 1 ? 8 : 1 };     /* arrays read at once */
/* n and N of a moe or a run: constants where one case is all that is worked. */
#define MOEI_n(of) (MOEI_PANEL > 1 ? (of)->n : 1)
#define MOEI_N(of) (MOEI_PANEL > 1 ? (of)->N : 1)
enum { MOEI_FIRST, MOEI_SECOND, MOEI_BEST };    /* moments, best weights */
/* Functions of a strip of numbers, beside those of moe_activation. */
enum { MOEI_EXP = MOE_ACT_SILU + 1, MOEI_LOG };
typedef enum { MOEI_SCALE_IN, MOEI_SCALE_OUT, MOEI_DIVIDE_IN } moei_scaling;

/* One optimiser step: see room 14. */
typedef struct moei_rule {
    int moments;                 /* 0: SGD, 1: with momentum, 2: Adam        */
    moe_real scale;              /* of the gradient                          */
    moe_real rate;               /* of Adam: times 1 / (1 - beta_1^t)        */
    moe_real momentum, decay;
    moe_real second_scale;       /* of Adam: 1 / (1 - beta_2^t)              */
} moei_rule;

/* The loops of one instruction set.  Arrays are (features, N), N = 1 or a
   multiple of 16, of which n cases count. */
struct moei_loops {
    int bits;                    /* of a vector; 1: plain C                  */
    /* y (out) = b + W' x of one case, or its positive part */
    void (*one)(int in, int out, const moe_real *x, const moe_real *b,
                const moe_real *W, int relu, moe_real *y);
    /* y (out,N) of all */
    void (*forward)(int n, int N, int in, int out, const moe_real *x,
                    const moe_real *b, const moe_real *W, int relu,
                    moe_real *y);
    /* y (count) = f(y) */
    void (*apply)(int f, int count, moe_real *y);
    /* y (rows,N) = (x - shift) factor, shift + factor x, (x - shift) / factor;
       shift, then factor (rows); N = 1: of one case */
    void (*scale)(moei_scaling how, int N, int rows, const moe_real *x,
                  const moe_real *shift, moe_real *y);
    /* p (rows,N) = softmax of s over the rows; NULL: no log_p, no lse */
    void (*softmax)(int n, int N, int rows, const moe_real *s, moe_real *p,
                    moe_real *log_p, moe_real *lse);
    /* y (out) += sum of p_c W_c' x over at most MOEI_STREAMS copies */
    void (*mix)(int copies, int in, int out, const moe_real *p,
                const moe_real *x, const moe_real *W, moe_real *y);
    /* y (rows,N) = p (N) o, or += */
    void (*blend)(int n, int N, int rows, int add, const moe_real *p,
                  const moe_real *o, moe_real *y);
#ifndef MOE_PREDICT_ONLY
    /* dx (in,N) = W dy */
    void (*inputs)(int n, int N, int in, int out, const moe_real *dy,
                   const moe_real *W, moe_real *dx);
    /* dW (in,out) += x dy',  db (out) += sums of dy;  room (out,N) */
    void (*weights)(int n, int N, int in, int out, const moe_real *x,
                    const moe_real *dy, moe_real *db, moe_real *dW,
                    moe_real *room);
    /* the same of one case, times scale */
    void (*outer)(int in, int out, const moe_real *x, const moe_real *dy,
                  moe_real scale, moe_real *db, moe_real *dW);
    /* dy (count) *= f'(a), by y = f(a), but silu by a */
    void (*slope)(int f, int count, const moe_real *y, moe_real *dy);
    /* whether all |x| < 2^exponent, and finite */
    int (*are_below)(int exponent, size_t count, const moe_real *x);
    /* y (count) = a - b */
    void (*subtract)(int count, const moe_real *a, const moe_real *b,
                     moe_real *y);
    /* e (N) = sum of a b over the rows */
    void (*dot)(int n, int N, int rows, const moe_real *a, const moe_real *b,
                moe_real *e);
    /* one step of w (n) along g, with moments v and u, or NULL; then g = 0 */
    void (*update)(const moei_rule *rule, size_t n, moe_real *w, moe_real *g,
                   moe_real *v, moe_real *u);
#endif
};
static int moei_find_set(int bits);
MOEI_INLINE const moei_loops *moei_loops_of(const moe *m);
static void moei_transpose(int m, int n, const moe_real *from, ptrdiff_t row,
                           const int32_t *list, moe_real *to, ptrdiff_t N);

MOEI_INLINE int moei_min(int a, int b)
{
    return a < b ? a : b;
}

MOEI_INLINE int moei_max(int a, int b)
{
    return a > b ? a : b;
}

static int moei_outside(int value, int least, int most)
{
    return value < least || value > most;
}

/* Whole numbers in the place of reals. */
MOEI_INLINE int32_t *moei_whole(moe_real *at)
{
    return (int32_t *)(void *)at;
}

/* What is public to read is the moe's own to write. */
MOEI_INLINE moe_real *moei_shown(const moe_real *array)
{
    union { const moe_real *read; moe_real *write; } at;
    at.read = array;
    return at.write;
}

/* (n,K) experts of the cases at hand, ascending. */
MOEI_INLINE int32_t *moei_selected(const moe *m)
{
    const moe_real *at = (const moe_real *)(const void *)m->selected;
    return moei_whole(moei_shown(at)) + m->first * (ptrdiff_t)m->chosen;
}

static void moei_zero_bytes(void *at, size_t bytes)
{
    unsigned char *byte = (unsigned char *)at;

    while (bytes-- > 0)
        *byte++ = 0;
}

static void moei_zero(moe_real *at, ptrdiff_t count)
{
    while (count-- > 0)
        *at++ = 0;
}

MOEI_INLINE void moei_copy(moe_real *to, const moe_real *from, ptrdiff_t count)
{
    ptrdiff_t i;

    for (i = 0; i < count; i++)
        to[i] = from[i];
}

/* ------------------------------------------------------ configuration */
static int moei_is_amount(moe_real x)
{
    return moei_is_finite(x) && x >= 0 && x <= MOEI_LARGEST;
}

static int moei_is_sparse(const moe_config *c)
{
    return c->top_k > 0 && c->top_k < c->experts;
}

static int moei_span_fits(moe_span span, int inputs)
{
    return !moei_outside(span.first, 0, inputs - 1)
        && !moei_outside(span.count, 0, inputs - span.first);
}

/* A column of x; -1: it is none. */
static int moei_read_column(const char **text)
{
    int column = **text >= '0' && **text <= '9' ? 0 : -1;

    for (; **text >= '0' && **text <= '9'; ++*text) {
        const int digit = **text - '0';
        if (column > (MOE_MAX_SIZE - digit) / 10)
            return -1;
        column = 10 * column + digit;
    }
    return column;
}

/* How many columns a list such as "0-2,7,9" names, which are written to `to`,
   if that is not NULL; -1: it is none.  In a file a quote ends it. */
static int moei_read_columns(const char *text, int inputs, int16_t *to)
{
    int count = 0, first, last;

    if (text == NULL)
        return 0;
    do {
        first = last = moei_read_column(&text);
        if (*text == '-') {
            text++;
            last = moei_read_column(&text);
        }
        if (first < 0 || last < first || last >= inputs
            || last - first >= MOE_MAX_SIZE - inputs - count)
            return -1;
        for (; first <= last; first++, count++)
            if (to != NULL)
                to[count] = (int16_t)first;
    } while (*text++ == ',');
    return text[-1] == 0 || text[-1] == '"' ? count : -1;
}

static int moei_columns_fit(const moe_config *c)
{
    const int experts = moei_read_columns(c->expert_columns, c->inputs, NULL);
    const int gate = moei_read_columns(c->gate_columns, c->inputs, NULL);

    return experts >= 0 && gate >= 0
        && experts <= MOE_MAX_SIZE - c->inputs - gate;
}

/* Faults are sentences, or NULL. */
static const char *moei_hidden_fault(const int *hidden)
{
    int l;

    for (l = 0; l < MOE_MAX_HIDDEN; l++) {
        if (moei_outside(hidden[l], 0, MOE_MAX_SIZE))
            return MOEI_TEXT("a hidden width is outside 0..MOE_MAX_SIZE");
        if (l > 0 && hidden[l] > 0 && hidden[l - 1] == 0)
            return MOEI_TEXT("a hidden width of 0 stands between others");
    }
    return NULL;
}

static const char *moei_loss_fault(const moe_config *c, int sparse, int is_one)
{
    return moei_outside((int)c->loss, MOE_LOSS_MIXTURE, MOE_LOSS_BLEND)
            ? MOEI_TEXT("loss is not one of MOE_LOSS_...")
        : is_one && c->loss != MOE_LOSS_BLEND
            ? MOEI_TEXT("for blended weights set loss to MOE_LOSS_BLEND")
        : !moei_is_amount(c->balance_loss)
            ? MOEI_TEXT("balance_loss is outside 0..1e30")
        : c->balance_loss > 0 && !sparse
            ? MOEI_TEXT("balance_loss needs top_k in 1..experts-1, a gate and "
                        "blended outputs")
        : !moei_is_amount(c->sigma) ? MOEI_TEXT("sigma is outside 0..1e30")
        : c->sigma > 0 && !moei_is_finite(1 / (c->sigma * c->sigma))
            ? MOEI_TEXT("sigma is too small: 1 / sigma^2 is not finite") : NULL;
}

/* A net's layers that learn, as bits; -1: one that is frozen does not exist. */
static int moei_learning(int frozen, const int *hidden)
{
    int l = 0, all;

    while (l < MOE_MAX_HIDDEN && hidden[l] > 0)
        l++;
    all = (2 << l) - 1;
    return frozen == MOE_ALL ? 0
         : moei_outside(frozen, 0, all) ? -1 : all & ~frozen;
}

/* Whether frozen_experts has expert e. */
MOEI_INLINE int moei_stays(const moe_config *c, int e)
{
    return c->frozen_experts != 0 && e < 64
        && (c->frozen_experts >> e & 1) != 0;
}

static const char *moei_frozen_fault(const moe_config *c)
{
    const int expert = moei_learning(c->frozen, c->hidden);
    const int gate = moei_learning(c->gate_frozen, c->gate_hidden);
    int e = 0;

    while (e < c->experts && moei_stays(c, e))
        e++;
    return !MOEI_LEARNS ? NULL
        : expert < 0 ? MOEI_TEXT("frozen has a layer that experts do not have")
        : gate < 0 ? MOEI_TEXT("gate_frozen has a layer that no gate has")
        : (expert == 0 || e == c->experts) && c->mode < MOE_MODE_PREDICT
          && (gate == 0 || c->experts == 1 || c->gate == MOE_GATE_NONE)
            ? MOEI_TEXT("all layers are frozen: only MOE_MODE_PREDICT can be")
        : c->frozen_experts != 0 && c->blend == MOE_BLEND_WEIGHTS
            ? MOEI_TEXT("frozen_experts: blended weights learn as one")
        : !moei_outside(c->experts, 1, 63)
          && c->frozen_experts >> c->experts != 0
            ? MOEI_TEXT("frozen_experts has an expert that there is not")
            : NULL;
}

MOEI_COLD static const char *moei_config_fault(const moe_config *c)
{
    const int is_one = c->blend == MOE_BLEND_WEIGHTS;
    const int chooses = c->gate == MOE_GATE_SOFTMAX && moei_is_sparse(c);
    const char *fault = moei_loss_fault(c, chooses && !is_one, is_one);

    fault = fault ? fault : moei_hidden_fault(c->hidden);
    fault = fault ? fault : moei_hidden_fault(c->gate_hidden);
    fault = fault ? fault : moei_frozen_fault(c);
    return moei_outside(c->inputs, 1, MOE_MAX_SIZE)
            ? MOEI_TEXT("inputs is outside 1..MOE_MAX_SIZE")
        : moei_outside(c->outputs, 1, MOE_MAX_SIZE)
            ? MOEI_TEXT("outputs is outside 1..MOE_MAX_SIZE")
        : moei_outside(c->experts, 1, MOE_MAX_SIZE)
            ? MOEI_TEXT("experts is outside 1..MOE_MAX_SIZE")
        : moei_outside(c->top_k, 0, c->experts)
            ? MOEI_TEXT("top_k is outside 0..experts")
        : !(c->top_p >= 0 && c->top_p <= 1)
            ? MOEI_TEXT("top_p is outside 0..1")
        : moei_outside(c->block, 0, MOE_MAX_SIZE)
            ? MOEI_TEXT("block is outside 0..MOE_MAX_SIZE")
        : !c->expert_columns && !moei_span_fits(c->expert_inputs, c->inputs)
            ? MOEI_TEXT("expert_inputs is not inside a row of x")
        : !c->gate_columns && !moei_span_fits(c->gate_inputs, c->inputs)
            ? MOEI_TEXT("gate_inputs is not inside a row of x")
        : !moei_columns_fit(c)
            ? MOEI_TEXT("expert_columns or gate_columns is no list of columns "
                        "of x, as \"0-2,7,9\", or a list is too long")
        : moei_outside((int)c->activation, MOE_ACT_RELU, MOE_ACT_SILU)
            ? MOEI_TEXT("activation is not one of MOE_ACT_...")
        : moei_outside((int)c->output, MOE_OUT_LINEAR, MOE_OUT_BERNOULLI)
            ? MOEI_TEXT("output is not one of MOE_OUT_...")
        : moei_outside((int)c->blend, MOE_BLEND_OUTPUTS, MOE_BLEND_WEIGHTS)
            ? MOEI_TEXT("blend is not one of MOE_BLEND_...")
        : moei_outside((int)c->gate, MOE_GATE_SOFTMAX, MOE_GATE_NONE)
            ? MOEI_TEXT("gate is not one of MOE_GATE_...")
        : moei_outside((int)c->mode, MOE_MODE_TRAIN, MOE_MODE_PREDICT)
            ? MOEI_TEXT("mode is not one of MOE_MODE_...")
        : moei_find_set(c->simd) < 0
            ? MOEI_TEXT("this build or processor has no vectors of simd bits")
        : fault;
}

/* -------------------------------------------------------------- shape */
/* Parameters of layer l: out biases and (in,out) weights. */
MOEI_INLINE int32_t moei_layer_size(const moei_net *net, int l)
{
    return (1 + (int32_t)net->width[l]) * net->width[l + 1];
}

MOEI_INLINE int moei_learns(const moei_net *net, int l)
{
    return net->learning >> l & 1;
}

/* Whether layer l of a copy does; frozen experts do not. */
MOEI_INLINE int moei_copy_learns(const moe *m, const moei_net *net, int copy,
                                 int l)
{
    return moei_learns(net, l)
        && (net == &m->gate || !moei_stays(&m->config, copy));
}

/* A copy's weights, from where layer l of all copies begins: behind the biases
   of all and the weights of those before it. */
MOEI_INLINE ptrdiff_t moei_weight_at(const moei_net *net, int copy, int l)
{
    return (net->copies + (ptrdiff_t)copy * net->width[l]) * net->width[l + 1];
}

/* Where layer l of all copies begins, among all parameters, or among those that
   learn, as derivatives stand. */
static size_t moei_layer_start(const moei_net *net, int l, int learnt)
{
    size_t at = learnt ? net->grad_at : net->at;
    int i;

    for (i = 0; i < l; i++)
        if (!learnt || moei_learns(net, i))
            at += (size_t)net->copies * (size_t)moei_layer_size(net, i);
    return at;
}

/* Whether layer l is read from m->weights that are only what learns. */
MOEI_INLINE int moei_is_tuned(const moe *m, const moei_net *net, int l)
{
    return MOEI_LEARNS && m->tunes && moei_learns(net, l);
}

/* Layer l of a copy: where its parameters are, in what moei_source tells of. */
static moe_layer moei_layer_of(const moe *m, const moei_net *net, int copy,
                               int l)
{
    const size_t at = moei_layer_start(net, l, moei_is_tuned(m, net, l));
    moe_layer layer = {net->width[l], net->width[l + 1], at, at, 0, 0};

    layer.bias += (size_t)copy * (size_t)layer.out;
    layer.weight += (size_t)moei_weight_at(net, copy, l);
    return layer;
}

/* What a net is given.  Listed columns stand once more, together, behind x. */
static MOEI_APART void moei_shape_inputs(moe *m, moei_net *net,
                                         const char *columns, moe_span *part)
{
    if (columns != NULL) {
        part->first = 0;
        part->count = moei_read_columns(columns, m->I, NULL);
    } else if (part->count == 0) {
        part->count = m->I - part->first;
    }
    net->first = columns ? m->X : (int16_t)part->first;
    if (columns != NULL && net->copies > 0)
        m->X = (int16_t)(m->X + part->count);
}

/* A stack of layers: copies of it, side by side in params from *count on. */
static MOEI_APART void moei_shape_net(moe *m, moei_net *net, int width,
                                      const int *hidden, int outputs,
                                      uint64_t *count)
{
    uint64_t size;
    int l = 0;

    net->at = (size_t)*count;
    net->grad_at = m->grad_count;
    net->width[0] = (int16_t)width;
    do {
        m->widest = (int16_t)moei_max(m->widest, width);
        width = l < MOE_MAX_HIDDEN ? hidden[l] : 0;
        net->hidden += width;
        net->width[l + 1] = (int16_t)(width > 0 ? width : outputs);
        size = (uint64_t)net->copies * (uint64_t)moei_layer_size(net, l);
        if (moei_learns(net, l))
            m->grad_count += (size_t)size;
        else if (MOEI_LEARNS && net->lowest == l)
            net->lowest++;
        *count += size;
        l++;
    } while (width > 0);
    m->widest = (int16_t)moei_max(m->widest, outputs);
    net->layers = (int16_t)l;
}

/* One expert has none, nor have two or more whose p is always the caller's. */
MOEI_INLINE int moei_has_gate(const moe *m)
{
    return m->gate.layers > 0;
}

/* gate.balance learns as the gate's last layer does: how many these are. */
static size_t moei_balance_count(const moe *m)
{
    return moei_has_gate(m) && moei_learns(&m->gate, m->gate.layers - 1)
         ? (size_t)m->E : 0;
}

/* How many cases may be side by side: more of narrow layers, where calls take
   most of the time, than of wide ones, which are to stay near. */
static int moei_panel(const moe *m)
{
    return m->widest < 16 && !m->sparse ? MOEI_MANY : MOEI_FEW;
}

/* The shape of m, with weights of its own or without; config may be its own.
   Returns how many parameters, not cut to size_t. */
MOEI_COLD static uint64_t moei_shape(moe *m, const moe_config *config,
                                     int weights)
{
    moe_config *c = &m->config;
    uint64_t count = 0;

    *c = *config;
    moei_zero_bytes(c + 1, sizeof *m - sizeof *c);
    c->sigma = c->sigma > 0 || c->output == MOE_OUT_LINEAR ? c->sigma : 1;
    c->block = c->block > 0 ? c->block : 64;
    c->top_k = c->top_k > 0 ? c->top_k : c->experts;
    m->I = m->X = (int16_t)c->inputs;
    m->O = (int16_t)c->outputs;
    m->E = (int16_t)c->experts;
    m->is_one = c->blend == MOE_BLEND_WEIGHTS && m->E > 1;
    m->chosen = (int16_t)c->top_k;
    m->K = m->is_one ? m->E : m->chosen;
    m->drops = m->E > 1 && c->top_p > 0 && c->top_p < 1;
    m->sparse = !m->is_one && (m->K < m->E || m->drops);
    m->B = (int16_t)c->block;
    m->activation = (int8_t)c->activation;
    m->output = (int8_t)c->output;
    m->set = m->sets[0] = m->sets[1] = (int8_t)moei_find_set(c->simd);
    m->tunes = MOEI_LEARNS && !weights && c->mode < MOE_MODE_PREDICT
            && (c->frozen != 0 || c->frozen_experts != 0
                || (m->E > 1 && c->gate_frozen != 0));
    if (!weights && !m->tunes)
        c->mode = MOE_MODE_PREDICT;
    m->mode = (int8_t)c->mode;
    m->expert.copies = m->E;
    m->expert.learning = (int8_t)moei_learning(c->frozen, c->hidden);
    m->gate.copies = m->E > 1 && c->gate == MOE_GATE_SOFTMAX;
    moei_shape_inputs(m, &m->expert, c->expert_columns, &c->expert_inputs);
    moei_shape_inputs(m, &m->gate, c->gate_columns, &c->gate_inputs);
    moei_shape_net(m, &m->expert, c->expert_inputs.count, c->hidden, m->O,
                   &count);
    if (m->gate.copies > 0) {
        m->gate.learning = (int8_t)moei_learning(c->gate_frozen,
                                                 c->gate_hidden);
        moei_shape_net(m, &m->gate, c->gate_inputs.count, c->gate_hidden, m->E,
                       &count);
        count += (uint64_t)m->E;            /* gate.balance */
        m->grad_count += moei_balance_count(m);
    }
    if (m->widest < 128 && m->set > 0 && moei_loops_of(m)->bits > 256) {
        m->sets[0]--;           /* 512 bits of narrow rows cross cache lines */
        m->sets[1] = (int8_t)(m->set - (m->sparse && m->O < 16));
    }
    m->group = (int16_t)(moei_loops_of(m)->bits == 1 ? 1
             : m->sparse ? m->B : moei_min(m->B, moei_panel(m)));
    m->trained_count = (size_t)count;
    count += 2 * ((uint64_t)m->I + (uint64_t)m->O);
    m->param_count = (size_t)count;
    return count;
}

/* Up to the end of a cache line: how long arrays of all parameters are. */
static uint64_t moei_lines(uint64_t count)
{
    return (count + 15) / 16 * 16;
}

/* Outputs of the experts of a case: one, where their weights are blended. */
MOEI_INLINE int moei_outs(const moe *m)
{
    return m->is_one ? 1 : m->K;
}

/* A moment or the best weights, by name. */
static moe_real *moei_stored(const moe *m, int which)
{
    return m->grads == NULL || m->mode != MOE_MODE_TRAIN ? NULL
         : m->grads + (size_t)(1 + which) * (size_t)moei_lines(m->grad_count);
}

/* Where layer l of all copies begins, to be read and, if it learns, written: in
   params, but in weights if it learns and these are only what does. */
MOEI_INLINE const moe_real *moei_source(const moe *m, const moei_net *net,
                                        int l)
{
    const int tuned = moei_is_tuned(m, net, l);

    return (tuned ? m->weights : m->params) + moei_layer_start(net, l, tuned);
}

static const moe_real *moei_balance(const moe *m)
{
    return MOEI_LEARNS && m->tunes && moei_balance_count(m) > 0
         ? m->weights + m->grad_count - (size_t)m->E
         : m->params + m->trained_count - (size_t)m->E;
}

/* Scales: row 0 is shift, row 1 factor. */
static const moe_real *moei_scale_d(const moe *m)
{
    return m->params + m->trained_count;
}

static const moe_real *moei_scale_x(const moe *m)
{
    return m->params + m->trained_count + 2 * m->O;
}

/* ------------------------------------------------------------- memory */
/* The columns of arrays for n cases, and N: few stand one after the other. */
static int moei_padded(int n)
{
    return n < 12 ? n : (n + 15) & ~15;
}

static int moei_width(int n)
{
    return n < 12 ? 1 : moei_padded(n);
}

/* How often a hidden layer's width is kept: silu keeps a and y = f(a). */
MOEI_INLINE int moei_kept(const moe *m)
{
    return m->activation == MOE_ACT_SILU ? 2 : 1;
}

/* Arrays are taken from memory one after the other; without any they are only
   counted.  A whole number takes the place of a real.  No cases: NULL. */
typedef struct moei_carver { moe_real *memory; uint64_t used; } moei_carver;
enum { MOEI_STATE = sizeof(moei_state) / sizeof(moe_real) };

static MOEI_APART moe_real *moei_take_all(moei_carver *from, uint64_t count)
{
    moe_real *at = from->memory ? from->memory + (size_t)from->used : NULL;

    from->used += count;
    return at;
}

static MOEI_APART moe_real *moei_take(moei_carver *from, uint32_t features,
                                      uint32_t cases)
{
    return cases > 0 ? moei_take_all(from, (uint64_t)features * cases) : NULL;
}

/* What one run after the other uses, each thread its own: dE/da when learning,
   hidden layers when predicting, room for transposing and for gathered rows.
   moe_learn has all of it for dE/da of one case.  Behind it, where weights are
   blended, are zeros for a layer's outputs and what moei_stack makes. */
static uint64_t moei_scratch_count(moe *m, uint32_t P, int learn)
{
    const int32_t width = moei_min((int)P, moei_panel(m)), E = m->E;
    const int32_t kept = learn ? 1 : moei_kept(m);
    const int32_t expert = kept * m->expert.hidden + (learn ? m->O : 0);
    const int32_t gate = kept * m->gate.hidden + (learn && E > 1 ? E : 0);
    const int64_t one = learn ? moei_outs(m) * (int64_t)expert + gate : 0;
    int32_t each = width * (expert > gate ? expert : gate);
    int64_t all;

    m->thread_count = (int8_t)(P == 1 || m->is_one ? 1 : moei_min(m->E, 8));
    m->act_size = (ptrdiff_t)each;
    if (P > 1)
        each += width * m->widest;
    if (P > 1 && (m->sparse || m->expert.width[0] < m->X
                  || (moei_has_gate(m) && m->gate.width[0] < m->X)))
        each += width * (E + m->X + m->O);
    all = m->thread_count * each > one ? m->thread_count * each : one;
    m->scratch_size = (ptrdiff_t)(m->is_one ? all : each);
    if (m->is_one)
        all += m->widest + (int64_t)width * E * ((int32_t)m->widest + 1);
    return (uint64_t)all;
}

static MOEI_APART void *moei_take_bytes(moei_carver *from, size_t bytes)
{
    return moei_take_all(from, (bytes + sizeof(moe_real) - 1)
                               / sizeof(moe_real));
}

/* A net's columns to their list, and a copy of the text that says them, which
   is then the configuration's. */
static MOEI_APART void moei_keep_columns(moe *m, moei_carver *from,
                                         const moei_net *net, const char **text)
{
    size_t i, length = 0;
    char *to;

    while (*text != NULL && (*text)[length] != 0 && (*text)[length] != '"')
        length++;
    to = (char *)moei_take_bytes(from, *text ? length + 1 : 0);
    if (*text == NULL || to == NULL)
        return;
    if (net->copies > 0)
        moei_read_columns(*text, m->I, m->columns + (net->first - m->I));
    for (i = 0; i < length; i++)
        to[i] = (*text)[i];
    to[length] = 0;
    *text = to;
}

static void moei_lay_out_columns(moe *m, moei_carver *from)
{
    m->columns = (int16_t *)moei_take_bytes(from, 2 * (size_t)(m->X - m->I));
    moei_keep_columns(m, from, &m->expert, &m->config.expert_columns);
    moei_keep_columns(m, from, &m->gate, &m->config.gate_columns);
}

/* So many weights, derivatives, and behind these what training keeps. */
static void moei_lay_out_params(moe *m, moei_carver *from, uint64_t count,
                                int grads, int train)
{
    if (count > 0)
        m->weights = moei_take_all(from, grads || m->B > 1 ? moei_lines(count)
                                                           : count);
    if (grads)
        m->grads = moei_take_all(from, (train ? 4 : 1)
                                       * moei_lines(m->grad_count));
}

/* Everything about m that follows from a checked configuration, with weights
   of its own or without; returns how many reals of memory it takes.
   P: cases of a block, padded   runs: columns of all runs
   `apart`: public arrays are not the private ones, for these stand otherwise,
   or moe_backward may follow.  Where moe_learn is all that learns, errors are
   where dE/ds of its one case will be, and h takes the place of log p. */
MOEI_COLD static uint64_t moei_lay_out(moe *m, const moe_config *config,
                                       int weights, moe_real *memory)
{
    moei_carver carver = {memory, 0}, *from = &carver;
    const uint64_t params = moei_shape(m, config, weights);
    const int learn = (weights || m->tunes) && MOEI_LEARNS
                   && m->mode < MOE_MODE_PREDICT;
    const int grads = learn && m->mode <= MOE_MODE_GRADIENT;
    const int train = learn && m->mode == MOE_MODE_TRAIN;
    const int softmax = learn && m->output == MOE_OUT_SOFTMAX;
    const int entropy = learn && m->output >= MOE_OUT_SOFTMAX;
    const uint32_t X = (uint32_t)m->X, O = (uint32_t)m->O, E = (uint32_t)m->E;
    const uint32_t K = (uint32_t)m->K, B = (uint32_t)m->B;
    const uint32_t P = (uint32_t)moei_padded(m->B), sparse = m->sparse != 0;
    const uint32_t sorted = sparse && P > 1, apart = sparse || P > 1 ? B : 0;
    const uint32_t outs = m->is_one ? 0 : K;
    const uint32_t runs = (uint32_t)moei_outs(m) * P
                        + sorted * 15 * (E < K * P ? E : K * P);
    const uint32_t kept = (uint32_t)moei_kept(m);
    const uint32_t units = (uint32_t)m->expert.hidden;
    const uint32_t gate_units = (uint32_t)m->gate.hidden;

    moei_lay_out_params(m, from, weights ? params : m->tunes ? m->grad_count
                        : 0, grads, train);
    m->scratch = moei_take_all(from, moei_scratch_count(m, P, learn));
    m->x = moei_take(from, X, P);
    m->logits = moei_take(from, E, P);
    m->prop = moei_take(from, K, P);
    m->out = moei_take(from, O, runs);
    m->blend = E > 1 && !m->is_one ? moei_take(from, O, P) : m->out;
    m->s = apart ? moei_take(from, E, B) : m->logits;
    m->p = apart ? moei_take(from, E, B) : m->prop;
    m->o = grads || P > 1 || m->is_one ? moei_take(from, O, outs * B) : m->out;
    m->y = grads || P > 1 || E == 1 ? moei_take(from, O, B) : m->blend;
    m->selected = moei_whole(moei_take(from, (uint32_t)m->chosen, B));
    m->run_list = moei_take(from, 2 * K * B + 3 * (E + K * B / 64 + 2), sorted);
    moei_lay_out_columns(m, from);
    m->sigma = weights || m->tunes ? moei_take(from, 1 + E, 1) : NULL;
    if (!learn)
        return carver.used;
    m->log_p = moei_take(from, K, P);
    m->error_of = grads || sparse || outs < 2 ? moei_take(from, K, P)
                : m->scratch ? m->scratch + K * (units + O) + gate_units : NULL;
    m->post = m->is_one ? NULL : E == 1 ? m->prop
            : grads ? moei_take(from, K, P) : m->log_p;
    m->loss = moei_take(from, 1, P);
    m->d = moei_take(from, O, P);
    m->acts = moei_take(from, kept * units, runs);
    m->gate_acts = moei_take(from, kept * gate_units, P);
    m->h = !grads || m->is_one ? NULL : apart ? moei_take(from, E, B) : m->post;
    m->share = moei_take(from, E, 2 * sparse);
    m->log_y = softmax ? moei_take(from, O, 2 * P)
             : grads ? moei_take(from, O, P) : m->scratch;
    m->log_o = moei_take(from, O, entropy ? runs : 0);
    m->state = (moei_state *)(void *)moei_take(
        from, MOEI_STATE + 3 * (6 + 2 * E) + 2 * E, grads ? 1 : 0);
    m->order = moei_take(from, 1, train ? B : 0);
    return carver.used;
}

/* What a configuration needs in bytes, laid out in m without memory. */
static uint64_t moei_need(moe *m, const moe_config *config, int weights)
{
    return moei_lay_out(m, config, weights, NULL) * sizeof(moe_real);
}

/* Why m cannot be of this configuration, or NULL.  m may be changed. */
static const char *moei_fault(moe *m, const moe_config *config)
{
    const char *fault = config == NULL ? MOEI_TEXT("config is NULL")
                                       : moei_config_fault(config);

    return fault ? fault : moei_need(m, config, 1) > PTRDIFF_MAX
         ? MOEI_TEXT("this is more memory than the machine can address") : NULL;
}

MOE_DEF moe_status moe_check_config(const moe_config *config,
                                    const char **error)
{
    moe m;
    const char *fault = moei_fault(&m, config);

    if (error != NULL)
        *error = fault ? fault : MOEI_TEXT("ok");
    return config == NULL ? MOE_ERR_NULL : fault ? MOE_ERR_CONFIG : MOE_OK;
}

MOE_DEF size_t moe_bytes(const moe_config *config)
{
    moe m;

    return moei_fault(&m, config) ? 0 : (size_t)moei_need(&m, config, 1);
}

MOE_DEF size_t moe_work_bytes(const moe_config *config)
{
    moe m;

    return moei_fault(&m, config) ? 0 : (size_t)moei_need(&m, config, 0);
}

MOE_DEF moe_layer moe_layer_at(const moe_config *config, int expert, int layer)
{
    moe_layer found = {0, 0, 0, 0, 0, 0};
    const moei_net *net;
    moe m;

    if (moei_fault(&m, config) != NULL)
        return found;
    net = expert == m.E ? &m.gate : &m.expert;
    expert = expert == m.E ? 0 : expert;
    if (moei_outside(expert, 0, net->copies - 1)
        || moei_outside(layer, 0, net->layers - 1))
        return found;
    found = moei_layer_of(&m, net, expert, layer);
    found.learns = moei_copy_learns(&m, net, expert, layer);
    found.left_out = moei_layer_start(net, layer, 0)
                   - moei_layer_start(net, layer, 1);
    return found;
}

MOE_DEF const char *moe_status_text(moe_status status)
{
    static const char *const text[] = {
        MOEI_TEXT("ok"), MOEI_TEXT("stopped by the progress callback"),
        MOEI_TEXT("a required pointer is NULL"),
        MOEI_TEXT("a setting is out of range"),
        MOEI_TEXT("memory is too small or misaligned"),
        MOEI_TEXT("the data are not finite or out of range"),
        MOEI_TEXT("training left the finite numbers"),
        MOEI_TEXT("not a model file, or damaged"),
        MOEI_TEXT("a file cannot be read or written"),
        MOEI_TEXT("this moe cannot do that")
    };
    return moei_outside((int)status, MOE_OK, MOE_ERR_STATE)
         ? MOEI_TEXT("unknown status") : text[status];
}

/* ------------------------------------------------------ open and close */
/* Leave the sentence; nothing else of m changes. */
static moe_status moei_refuse(moe *m, moe_status status, const char *error)
{
    m->error = error;
    return status;
}

static moe_status moei_closed(moe *m, moe_status status, const char *error)
{
    moei_zero_bytes(m, sizeof *m);
    return moei_refuse(m, status, error);
}

static moe_status moei_ok(moe *m)
{
    return moei_refuse(m, MOE_OK, MOEI_TEXT("ok"));
}

/* What writes texts, up to a |, and files; without `to` it only counts. */
typedef struct moei_writer {
    unsigned char *to;
    size_t at;
    const char *fault;
} moei_writer;

static void moei_write(moei_writer *w, const char *text)
{
    for (; *text != 0 && *text != '|'; w->at++, text++)
        if (w->to != NULL)
            w->to[w->at] = (unsigned char)*text;
}

/* A number after this text. */
static void moei_write_uint(moei_writer *w, const char *before, uint64_t number,
                            unsigned base)
{
    char text[21];
    int i = 20;

    text[i] = 0;
    do
        text[--i] = "0123456789abcdef"[number % base];
    while ((number /= base) > 0);
    moei_write(w, before);
    moei_write(w, text + i);
}

/* A sentence with numbers lies in m itself, where a closed moe has nothing. */
static moe_status moei_too_small(moe *m, int weights, size_t bytes, size_t need)
{
    moei_writer w = {(unsigned char *)m + offsetof(moe, expert), 0, NULL};

    moei_zero_bytes(m, sizeof *m);
    if (sizeof MOEI_TEXT("a sentence") > 1) {
        moei_write_uint(&w, MOEI_TEXT("memory of "), bytes, 10);
        moei_write_uint(&w, weights
            ? MOEI_TEXT(" bytes is smaller than moe_bytes says: ")
            : MOEI_TEXT(" bytes is smaller than moe_work_bytes says: "), need,
            10);
    }
    return moei_refuse(m, MOE_ERR_MEMORY, (const char *)w.to);
}

/* Whether subnormal numbers stay what they are, and products are rounded before
   they are added to: (1+e)(1-e) - 1 is 0.  MOE_SAME_BITS needs both. */
static int moei_fp_is_reproducible(const moe *m)
{
    volatile moe_real least = moei_from_bits((moei_bits)1 << MOEI_FRACTION);
    volatile moe_real half = least / 2;
    const moei_bits e = (moei_bits)1 << (MOEI_FRACTION - MOEI_FRACTION / 2 - 2);
    volatile moe_real one = moei_from_bits(MOEI_ONE_BITS + e);
    moe_real a = one, by[2] = {-1, 2 - a}, r = 1;

    moei_loops_of(m)->scale(MOEI_SCALE_OUT, 1, 1, &a, by, &r);
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

/* A multiple of this is an address for a real; 1 on 8-bit processors. */
typedef struct moei_behind { char byte; moe_real real; } moei_behind;
enum { MOEI_ALIGNED = offsetof(moei_behind, real) };

static int moei_is_within(const char *text, const void *memory, size_t bytes)
{
    return text != NULL && (uintptr_t)text - (uintptr_t)memory < bytes;
}

static void moei_forget_steps(moei_state *s)
{
    s->largest_moment = 0;
    s->beta_power[0] = s->beta_power[1] = s->rate_factor = 1;
    s->since_best = 0;
}

/* Check, find memory, lay out; all of it is 0 but what one expert knows. */
MOEI_COLD static moe_status moei_start(moe *m, const moe_config *config,
                                       int weights, void *memory, size_t bytes)
{
    const char *error = moei_fault(m, config);
    void *heap = NULL;
    size_t need, i, P;

    if (error != NULL)
        return moei_closed(m, config ? MOE_ERR_CONFIG : MOE_ERR_NULL, error);
    need = (size_t)moei_need(m, &m->config, weights);
    if (MOEI_IN_ORDER && !moei_fp_is_reproducible(m))
        return moei_closed(m, MOE_ERR_STATE, MOEI_TEXT("subnormal numbers are "
                           "flushed to zero, or products fused with sums"));
    bytes = memory ? bytes : need;
    memory = memory ? memory : moei_allocate(need, &heap);
    error = memory == NULL ? MOEI_TEXT("no memory given or found")
        : (uintptr_t)memory % MOEI_ALIGNED != 0
            ? MOEI_TEXT("memory is not aligned as a moe_real is")
        : moei_is_within(m->config.expert_columns, memory, bytes)
          || moei_is_within(m->config.gate_columns, memory, bytes)
            ? MOEI_TEXT("the text of columns is in the memory given") : NULL;
    if (error != NULL)
        return moei_closed(m, MOE_ERR_MEMORY, error);
    if (bytes < need)
        return moei_too_small(m, weights, bytes, need);
    moei_zero_bytes(memory, need);
    moei_lay_out(m, &m->config, weights, (moe_real *)memory);
    m->heap = heap;
    m->config.simd = moei_loops_of(m)->bits;
    for (i = 0; i < (size_t)m->B * (size_t)m->chosen; i++)
        moei_selected(m)[i] = (int32_t)(i % (uint16_t)m->chosen);
    P = m->E == 1 ? (size_t)moei_padded(m->B) : 0;
    for (i = 0; i < P; i++) {
        const size_t shown = i < (size_t)m->B ? i : 0;
        m->prop[i] = moei_shown(m->p)[shown] = 1;
        if (m->h != NULL)
            moei_shown(m->h)[shown] = 1;
    }
    m->shown_count = -1;
    if (m->state != NULL)
        moei_forget_steps(m->state);
    return moei_ok(m);
}

/* All layers but the gate's last uniform in +-1/sqrt(in), to learn from. */
MOEI_COLD static void moei_initial(moe *m, const moei_net *net, int layers,
                                   uint64_t *state)
{
    size_t i;
    int l;

    for (l = 0; l < layers && MOEI_LEARNS; l++) {
        const moe_layer end = moei_layer_of(m, net, net->copies, l);
        const moe_real range = 1 / moei_sqrt((moe_real)end.in);
        for (i = moei_layer_of(m, net, 0, l).bias; i < end.weight; i++)
            m->weights[i] = range * moei_uniform(state);
    }
}

/* All standard deviations: that of (1.3), and the experts'. */
static void moei_set_sigma(moe *m, moe_real sigma)
{
    int i;

    for (i = 0; i <= m->E; i++)
        moei_shown(m->sigma)[i] = sigma;
}

static void moei_unit_scales(moe *m)
{
    moe_real *d = m->weights + m->trained_count, *x = d + 2 * (size_t)m->O;
    int i;

    for (i = 0; i < m->O; i++)
        d[i] = 0, d[m->O + i] = 1;
    for (i = 0; i < m->I; i++)
        x[i] = 0, x[m->I + i] = 1;
}

/* What learns, from all parameters to an array of these alone, or back. */
static MOEI_UNUSED void moei_sift(const moe *m, moe_real *all, moe_real *learnt,
                                  int back)
{
    ptrdiff_t size;
    int i, l;

    for (i = 0; i < 2; i++) {
        const moei_net *net = i ? &m->gate : &m->expert;

        for (l = 0; l < net->layers; l++, all += size) {
            size = net->copies * (ptrdiff_t)moei_layer_size(net, l);
            if (!moei_learns(net, l))
                continue;
            moei_copy(back ? all : learnt, back ? learnt : all, size);
            learnt += size;
        }
    }
    size = (ptrdiff_t)moei_balance_count(m);
    moei_copy(back ? all : learnt, back ? learnt : all, size);
}

static void moei_attach_to(moe *m, const moe_real *params)
{
    m->params = params;
    if (!MOEI_LEARNS || !m->tunes)
        return;
    moei_sift(m, moei_shown(params), m->weights, 0);
    moei_set_sigma(m, m->config.sigma > 0 ? m->config.sigma : 1);
    m->scale_state = 2;
}

/* What a moe knows before it learns: weights of its seed, all else 0. */
static void moei_know_nothing(moe *m)
{
    uint64_t state = m->config.seed;

    moei_zero(m->weights, (ptrdiff_t)m->trained_count);
    moei_initial(m, &m->expert, m->expert.layers, &state);
    moei_initial(m, &m->gate, m->gate.layers - 1, &state);
    moei_set_sigma(m, m->config.sigma > 0 ? m->config.sigma : 1);
}

MOE_DEF moe_status moe_open(moe *m, const moe_config *config, void *memory,
                            size_t bytes)
{
    const moe_status status = m == NULL ? MOE_ERR_NULL
                            : moei_start(m, config, 1, memory, bytes);

    if (status != MOE_OK)
        return status;
    m->params = m->weights;
    moei_know_nothing(m);
    moei_unit_scales(m);
    return MOE_OK;
}

MOE_DEF moe_status moe_attach(moe *m, const moe_config *config,
                              const moe_real *params, void *memory,
                              size_t bytes)
{
    const char *fault = params == NULL ? MOEI_TEXT("params is NULL")
        : (uintptr_t)params % MOEI_ALIGNED != 0
            ? MOEI_TEXT("params is not aligned as a moe_real is") : NULL;
    const moe_status status = m == NULL ? MOE_ERR_NULL
        : fault ? moei_closed(m, params ? MOE_ERR_MEMORY : MOE_ERR_NULL, fault)
        : moei_start(m, config, 0, memory, bytes);

    if (status == MOE_OK)
        moei_attach_to(m, params);
    return status;
}

MOE_DEF void moe_close(moe *m)
{
    if (m == NULL)
        return;
    MOE_FREE(m->heap);
    moei_zero_bytes(m, sizeof *m);
}

/* ======================================================================== */
/* 5  NETWORK                                                               */
/* ======================================================================== */
/* A run: n cases of one copy of a net, in arrays (features, N).  N is 1 for a
   few cases, or sorted ones of wide experts, which stand one after the other;
   else n rounded up to 16, and lanes run over cases.  Experts and gate, all
   cases or sorted ones, there and back: all that is computed is of runs. */
typedef struct moei_run {
    const moei_net *net;
    int copy, n, N;
    int first;                   /* of the cases at hand, that it begins with */
    int slot, step;              /* its case c is at slot + c step of tables */
    const int32_t *rows, *slots; /* which cases it has, and their places in
                                    tables; NULL: all, as they stand         */
    const moe_real *mix;         /* (E,N) p, where it is of all copies, their
                                    weights blended; else NULL               */
    moe_real *scratch;           /* its thread's                             */
    moe_real *act, *out;         /* hidden layers; the last one's a, then o  */
    moe_real *delta;             /* dE/da of all layers                      */
} moei_run;

/* Numbers in an array of a run. */
MOEI_INLINE int moei_size(const moei_run *run, int features)
{
    return features * (MOEI_N(run) > 1 ? MOEI_N(run) : MOEI_n(run));
}

/* A block array of F features where the cases at hand begin. */
MOEI_INLINE moe_real *moei_from(const moe *m, moe_real *array, int F)
{
    return array + (ptrdiff_t)m->first * F;
}

/* The same of a table, which has a number for each of a case's K experts. */
MOEI_INLINE moe_real *moei_table(const moe *m, moe_real *table)
{
    return moei_from(m, table, m->K);
}

/* -------------------------------------------- weights blended by p: W' z */
/* a = sum_i p_i (W_i' x + b_i).  The biases of all copies lie before all their
   weights: that is one layer for p and each p_i x, one below the other.
     z (E+E in,N) = p, p_1 x, p_2 x, ...       W (E+E in,out) = b, W_1, W_2, ...
   Behind the scratch are `widest` zeros, its bias, then z. */
static moe_real *moei_stack_room(const moe *m)
{
    return m->scratch + m->scratch_size + m->widest;
}

static moe_real *moei_stack_zeros(const moe *m, int out)
{
    moe_real *zeros = moei_stack_room(m) - m->widest;

    moei_zero(zeros, out);
    return zeros;
}

/* z of x (in,N); cases that stand one after the other one at a time */
static moe_real *moei_stack(const moe *m, const moei_run *run, int in,
                            const moe_real *x)
{
    const int N = MOEI_N(run), n = N > 1 ? MOEI_n(run) : 1, E = m->E;
    const ptrdiff_t size = (ptrdiff_t)N * in;
    moe_real *z = moei_stack_room(m);
    const moe_real *p = run->mix;
    int i, c;

    for (c = 0; c < MOEI_n(run); c += n, x += size) {
        moei_copy(z, p, N * E);
        z += N * E;
        for (i = 0; i < E; i++, p += N, z += size)
            moei_loops_of(m)->blend(n, N, in, 0, p, x, z);
    }
    return moei_stack_room(m);
}

/* a (out) of one case, or its positive part, from where the layer is on: the
   weights of experts whose p is not 0 are read once, large ones side by side,
   which keeps memory busy. */
static void moei_stack_forward_one(
    const moe *m, const moe_real *p, int in, int out, const moe_real *x,
    const moe_real *at, int relu, moe_real *a)
{
    const moei_loops *loops = moei_loops_of(m);
    const ptrdiff_t size = (ptrdiff_t)in * out;
    const int most = MOEI_IN_ORDER || size < 8192 ? 1 : MOEI_STREAMS;
    const moe_real *W = at + (ptrdiff_t)m->E * out;
    moe_real *z = moei_stack_room(m);
    int i, n;

    moei_zero(a, out);
    loops->one(m->E, out, p, a, at, 0, a);
    for (i = 0; i < m->E; i += n, W += n * size) {
        for (n = 0; n < most && i + n < m->E && p[i + n] != 0; n++)
            continue;
        if (n > 1) {
            loops->mix(n, in, out, p + i, x, W, a);
        } else if (n == 1) {
            loops->blend(1, 1, in, 0, p + i, x, z);
            loops->one(in, out, z, a, W, 0, a);
        }
        n = n > 0 ? n : 1;
    }
    loops->one(0, out, x, a, at, relu, a);
}

/* a (out,N), or its positive part */
static void moei_stack_forward(const moe *m, const moei_run *run, int in,
                               int out, const moe_real *x, const moe_real *at,
                               int relu, moe_real *a)
{
    int c;

    if (MOEI_N(run) > 1)
        moei_loops_of(m)->forward(MOEI_n(run), MOEI_N(run), m->E * (in + 1),
                                  out, moei_stack(m, run, in, x),
                                  moei_stack_zeros(m, out), at, relu, a);
    else
        for (c = 0; c < MOEI_n(run); c++, x += in, a += out)
            moei_stack_forward_one(m, run->mix + c * m->E, in, out, x, at, relu,
                                   a);
}

/* ------------------------------------------------------ layer by layer */
/* a (out,N) = b + W' x, or its positive part, of a run's copy, or blended;  at:
   where the layer of all copies begins, biases before weights */
MOEI_INLINE void moei_layer_forward(const moe *m, const moei_run *run, int in,
                                    int out, const moe_real *x,
                                    const moe_real *at, int relu, moe_real *a)
{
    const ptrdiff_t copies = run->net->copies, copy = run->copy;
    const moe_real *b = at + copy * out, *W = at + (copies + copy * in) * out;

    if (run->mix != NULL)
        moei_stack_forward(m, run, in, out, x, at, relu, a);
    else if (MOEI_n(run) == 1)
        moei_loops_of(m)->one(in, out, x, b, W, relu, a);
    else
        moei_loops_of(m)->forward(MOEI_n(run), MOEI_N(run), in, out, x, b, W,
                                  relu, a);
}

/* a = b + W' x,  y = f(a),  layer by layer;  the last a goes to out.  Of hidden
   layers y stays in act, silu's a before it.
   x (in,N)   W (in,out)   b (out)   a, y (out,N)
   Opaque with -Os, or gcc 12 leaves zeros of *run unwritten (-fipa-modref). */
MOEI_OPAQUE void moei_net_forward(const moe *m, const moei_run *run,
                                  const moe_real *x)
{
    const moei_net *net = run->net;
    const int last = net->layers - 1, f = m->activation;
    const int tunes = MOEI_LEARNS && m->tunes;
    const moe_real *at = tunes ? moei_source(m, net, 0) : m->params + net->at;
    moe_real *y;
    int l, in, out, size;

    for (l = 0, y = run->act; l < last; l++, x = y, y += size) {
        in = net->width[l], out = net->width[l + 1];
        size = moei_size(run, out);
        moei_layer_forward(m, run, in, out, x, at, f == MOE_ACT_RELU, y);
        if (f == MOE_ACT_SILU)
            moei_copy(y + size, y, size), y += size;
        if (f != MOE_ACT_RELU)
            moei_loops_of(m)->apply(f, size, y);
        at = tunes ? moei_source(m, net, l + 1)
           : at + (ptrdiff_t)net->copies * (in + 1) * out;
    }
    moei_layer_forward(m, run, net->width[l], net->width[l + 1], x, at, 0,
                       run->out);
}

#ifndef MOE_PREDICT_ONLY
/* The last layer's dE/da, where it goes. */
static moe_real *moei_last_delta(const moei_run *run)
{
    return run->delta + moei_size(run, 1) * (ptrdiff_t)run->net->hidden;
}

/* dE/dz = W dE/da,  dE/dx = sum_i p_i dE/d(p_i x),  and, added up over layers,
   dE/dp_i = dE/dz_i + x . dE/d(p_i x) */
static void moei_stack_backward(const moe *m, const moei_run *run, int l,
                                const moe_real *x, const moe_real *delta,
                                moe_real *dE_dx)
{
    const moei_loops *loops = moei_loops_of(m);
    const moei_net *net = run->net;
    const int N = MOEI_N(run), n = N > 1 ? MOEI_n(run) : 1;
    const int E = m->E, in = net->width[l];
    const ptrdiff_t size = (ptrdiff_t)N * in;
    const moe_real *dz = moei_stack_room(m), *p = run->mix;
    moe_real *dE_dp = moei_table(m, m->error_of), row[MOEI_PANEL];
    int i, c, k;

    loops->inputs(MOEI_n(run), N, E * (in + 1), net->width[l + 1], delta,
                  moei_source(m, net, l), moei_stack_room(m));
    for (c = 0; c < MOEI_n(run); c += n, x += size) {
        const moe_real *of_p = dz;

        dz += N * E;
        for (i = 0; i < E; i++, p += N, dz += size) {
            loops->dot(n, N, in, x, dz, row);
            for (k = 0; k < n; k++)
                *dE_dp++ += *of_p++ + row[k];
            dE_dp += N - n, of_p += N - n;
            if (dE_dx != NULL)
                loops->blend(n, N, in, i > 0, p, dz, dE_dx + c * size);
        }
    }
}

/* The way back: dE/dx = W dE/da, and dE/da of the layer before is dE/dx f'(a),
   read off y, or a of silu.  It ends at the lowest layer that learns, but that
   of blended weights reaches dE/dp in all, for which x counts.  The last
   layer's dE/da is there already. */
static void moei_net_backward(const moe *m, const moei_run *run,
                              const moe_real *x)
{
    const moei_loops *loops = moei_loops_of(m);
    const moei_net *net = run->net;
    const int lowest = run->mix ? -1 : m->back_to_x ? 0 : net->lowest;
    const int kept = moei_kept(m);
    moe_real *delta = moei_last_delta(run), *before;
    const moe_real *seen = run->act + kept * (delta - run->delta);
    int l;

    for (l = net->layers - 1; l > lowest; l--, delta = before) {
        const int size = l > 0 ? moei_size(run, net->width[l]) : 0;

        seen -= kept * (ptrdiff_t)size;
        before = l > 0 ? delta - size : NULL;
        if (run->mix != NULL)
            moei_stack_backward(m, run, l, l > 0 ? seen + (kept - 1) * size
                                                 : x, delta, before);
        else
            loops->inputs(MOEI_n(run), MOEI_N(run), net->width[l],
                          net->width[l + 1], delta, moei_source(m, net, l)
                          + moei_weight_at(net, run->copy, l), before);
        if (l > 0)
            loops->slope(m->activation, size, seen, before);
    }
}

/* What the dE/da of a run are for, layer by layer:
     MOEI_TO_GRADS    dE/dW += x dE/da',  dE/db += dE/da summed over cases
     MOEI_TO_WEIGHTS  of one case, times step, straight into the weights
     MOEI_TO_SQUARE   of one case, |dE/dparams|^2, which is returned: the sum of
                      (|x|^2 + 1) |dE/da|^2, or of |z|^2 |dE/da|^2 */
typedef enum { MOEI_TO_GRADS, MOEI_TO_WEIGHTS, MOEI_TO_SQUARE } moei_use;

/* Of layer l, whose parameters or derivatives are `layer`. */
static moe_real moei_layer_learn(const moe *m, const moei_run *run, int l,
                                 const moe_real *x, const moe_real *delta,
                                 moei_use use, moe_real step, moe_real *layer)
{
    const moei_loops *loops = moei_loops_of(m);
    const moei_net *net = run->net;
    const int out = net->width[l + 1];
    const int in = run->mix ? m->E * (net->width[l] + 1) : net->width[l];
    const moe_real *z = run->mix ? moei_stack(m, run, net->width[l], x) : x;
    moe_real *b = run->mix ? moei_stack_zeros(m, out)
                           : layer + (ptrdiff_t)run->copy * out;
    moe_real *W = run->mix ? layer : layer + moei_weight_at(net, run->copy, l);
    moe_real of_x = 0, of_delta = 0;

    if (use == MOEI_TO_GRADS) {
        loops->weights(MOEI_n(run), MOEI_N(run), in, out, z, delta, b, W,
                       run->scratch + m->act_size);
    } else if (use == MOEI_TO_WEIGHTS) {
        loops->outer(in, out, z, delta, step, b, W);
    } else {
        loops->dot(1, 1, in, z, z, &of_x);
        loops->dot(1, 1, out, delta, delta, &of_delta);
    }
    return (run->mix ? of_x : of_x + 1) * of_delta;
}

static moe_real moei_net_learn(const moe *m, const moei_run *run,
                               const moe_real *x, moei_use use, moe_real step)
{
    const moei_net *net = run->net;
    const moe_real *delta = run->delta, *act = run->act;
    const int grads = use == MOEI_TO_GRADS;
    moe_real sum = 0;
    int l, size;

    for (l = 0; l < net->layers; l++, x = act - size, delta += size) {
        size = moei_size(run, net->width[l + 1]);
        act += moei_kept(m) * (ptrdiff_t)size;
        if (moei_copy_learns(m, net, run->copy, l))
            sum += moei_layer_learn(m, run, l, x, delta, use, step,
                                    (grads ? m->grads : m->weights)
                                    + moei_layer_start(net, l,
                                                       grads || m->tunes));
    }
    return sum;
}
#endif

/* ------------------------------------------------------------- the runs */
/* n cases are at hand, as many of `most` as the arrays hold, from case `first`
   of the block on.  N: of a dense mixture arrays stand as in its experts' runs;
   in a sparse one they stand case by case, N = 1. */
static void moei_begin(moe *m, int first, int most)
{
    m->first = (int16_t)first;
    m->n = (int16_t)(MOEI_PANEL == 1 ? 1 : most < m->group ? most : m->group);
    m->N = (int16_t)(m->sparse ? 1 : moei_width(MOEI_n(m)));
    m->set = m->sets[MOEI_n(m) > 1];
}

/* Numbers in an array of the cases at hand. */
MOEI_INLINE int moei_all(const moe *m, int features)
{
    return features * (MOEI_N(m) > 1 ? MOEI_N(m) : MOEI_n(m));
}

/* Where feature k of case c is in an array of F features. */
MOEI_INLINE ptrdiff_t moei_at(int N, int F, int k, int c)
{
    return N > 1 ? (ptrdiff_t)k * N + c : (ptrdiff_t)c * F + k;
}

/* Behind the runs: the cases of all pairs, sorted by expert; their slots. */
static int32_t *moei_rows_of(const moe *m, int slots)
{
    const ptrdiff_t pairs = (ptrdiff_t)m->B * m->K;

    return moei_whole(m->run_list) + 3 * (m->E + pairs / 64 + 2)
         + (slots ? pairs : 0);
}

/* The run of one case through the first expert that runs for it, or through all
   of them, blended; and from there through the next, while slot < m->runs. */
MOEI_INLINE moei_run moei_one_run(const moe *m)
{
    const ptrdiff_t first = m->first, of = first * (m->is_one ? 1 : m->K);
    moei_run run = {&m->expert, 0, 1, 1, 0, 0, 1, NULL, NULL, NULL, m->scratch,
                    m->scratch, m->out + of * m->O, m->scratch};

    run.copy = m->sparse ? (int)moei_selected(m)[0] : 0;
    run.mix = m->is_one ? moei_table(m, m->prop) : NULL;
    if (MOEI_LEARNS && m->acts != NULL)
        run.act = m->acts + of * m->expert.hidden * moei_kept(m);
    return run;
}

MOEI_INLINE void moei_next_run(const moe *m, moei_run *run)
{
    const int hidden = (int)m->expert.hidden, r = ++run->slot;

    run->copy = m->sparse && r < m->runs ? (int)moei_selected(m)[r] : r;
    run->out += m->O;
    if (MOEI_LEARNS && m->acts != NULL) {
        run->act += hidden * moei_kept(m);
        run->delta += hidden + m->O;
    }
}

/* Run r of the cases at hand: of expert r, if all have all cases; of an expert
   and its cases, sorted; or of blended weights. */
static moei_run moei_run_of(const moe *m, int r, int thread)
{
    const ptrdiff_t first = m->first, O = m->O;
    const int N = MOEI_N(m);
    moe_real *scratch = m->scratch + thread * m->scratch_size;
    moei_run run = {&m->expert, r, MOEI_n(m), N, 0, r * N, N > 1 ? 1 : m->K,
                    NULL, NULL, NULL, scratch, scratch, NULL, scratch};
    ptrdiff_t column = m->is_one ? first : first * m->K;

    if (m->sparse) {
        const int32_t *at = moei_whole(m->run_list) + 3 * r;
        run.copy = (int)at[0];
        run.n = (int)(at[4] - at[1]);
        run.N = m->O < 16 ? moei_width(run.n) : 1;  /* wide rows fill lanes */
        run.rows = moei_rows_of(m, 0) + at[1];
        run.slots = moei_rows_of(m, 1) + at[1];
        column += (ptrdiff_t)at[2];
    } else {
        column += moei_size(&run, r);
    }
    if (m->is_one)
        run.mix = moei_table(m, m->prop);
    run.out = m->out + column * O;
    if (MOEI_LEARNS && m->acts != NULL)
        run.act = m->acts + column * m->expert.hidden * moei_kept(m);
    return run;
}

/* The gate's run of a panel from case `first` on: all, unless it is sparse. */
static moei_run moei_gate_run(const moe *m, int first)
{
    const ptrdiff_t at = m->first + first;
    const int rest = MOEI_n(m) - first;
    const int n = m->sparse && rest > MOEI_FEW ? MOEI_FEW : rest;
    moei_run run = {&m->gate, 0, n, moei_width(n), first, 0, 0,
                    NULL, NULL, NULL, m->scratch, m->scratch,
                    m->logits + at * m->E, m->scratch};

    if (MOEI_LEARNS && m->gate_acts != NULL) {
        run.act = m->gate_acts + at * m->gate.hidden * moei_kept(m);
        if (MOEI_n(m) == 1)                 /* behind those of the experts */
            run.delta += moei_outs(m) * (ptrdiff_t)(m->expert.hidden + m->O);
    }
    return run;
}

/* Where case c of a run has its number in tables of K numbers a case, and which
   of the cases at hand it is. */
MOEI_INLINE ptrdiff_t moei_slot(const moei_run *run, int c)
{
    return MOEI_PANEL > 1 && run->slots ? run->slots[c]
         : run->slot + (ptrdiff_t)c * run->step;
}

MOEI_INLINE int moei_row(const moei_run *run, int c)
{
    return MOEI_PANEL == 1 ? 0 : run->rows ? (int)run->rows[c] : run->first + c;
}

/* A thread's room to transpose in, behind hidden layers or dE/da; behind it
   what was gathered, after so many features. */
static moe_real *moei_room(const moe *m, const moei_run *run, int features)
{
    return run->scratch + m->act_size
         + (ptrdiff_t)moei_min(moei_padded(m->B), moei_panel(m)) * features;
}

/* `count` of the F features of a block array, from `from` on, for the cases of
   a run: where they do not stand so, gathered behind `before` features. */
static const moe_real *moei_gather(const moe *m, const moei_run *run,
                                   moe_real *array, int F, int from, int count,
                                   int before)
{
    const moe_real *at = moei_from(m, array, F);
    moe_real *room;
    int c;

    if (MOEI_N(m) > 1)
        return at + from * MOEI_N(m);
    if (MOEI_PANEL == 1 || MOEI_n(run) == 1
        || (MOEI_N(run) == 1 && run->rows == NULL && count == F))
        return at + moei_row(run, 0) * (ptrdiff_t)F + from;
    room = moei_room(m, run, m->widest + before);
    if (MOEI_N(run) > 1)
        moei_transpose(MOEI_n(run), count, at + from
                       + (run->rows ? 0 : run->first * (ptrdiff_t)F), F,
                       run->rows, room, MOEI_N(run));
    for (c = 0; c < MOEI_n(run) && MOEI_N(run) == 1; c++)
        moei_copy(room + c * (ptrdiff_t)count,
                  at + moei_row(run, c) * (ptrdiff_t)F + from, count);
    return room;
}

/* What a run's net is given; one case stands as a run needs it. */
MOEI_INLINE const moe_real *moei_inputs_of(const moe *m, const moei_run *run)
{
    if (MOEI_PANEL == 1 || MOEI_n(m) == 1)
        return m->x + m->first * (ptrdiff_t)m->X + run->net->first;
    return moei_gather(m, run, m->x, m->X, run->net->first, run->net->width[0],
                       0);
}

/* Where a run's cases have their numbers in a table, if that is side by side;
   else row, to which moei_numbers copies them. */
static moe_real *moei_row_in(const moe *m, const moei_run *run, moe_real *table,
                             moe_real *row)
{
    return (MOEI_PANEL == 1 || run->slots == NULL)
        && (run->step == 1 || MOEI_n(run) == 1)
         ? moei_table(m, table) + run->slot : row;
}

static const moe_real *moei_numbers(const moe *m, const moei_run *run,
                                    moe_real *table, moe_real *row)
{
    const moe_real *from = moei_table(m, table);
    const moe_real *at = moei_row_in(m, run, table, row);
    int c;

    for (c = 0; c < moei_size(run, 1) && at == row; c++)
        row[c] = c < MOEI_n(run) ? from[moei_slot(run, c)] : 0;
    return at;
}

typedef void moei_work(moe *m, const moei_run *run, int how);

/* work(m, run, how) for all runs of an expert, if r is the first of them. */
static void moei_runs_of_expert(moe *m, int r, int thread, moei_work *work,
                                int how)
{
    const int32_t *at = m->sparse ? moei_whole(m->run_list) : NULL;
    int next = r;

    if (at != NULL && r > 0 && at[3 * r] == at[3 * r - 3])
        return;
    do {
        const moei_run run = moei_run_of(m, next, thread);
        work(m, &run, how);
        next++;
    } while (at != NULL && next < m->runs && at[3 * next] == at[3 * r]);
}

/* The same for all runs.  Threads share the experts, if there is more work than
   waking them takes; no bit depends on that. */
static void moei_each_run(moe *m, moei_work *work, int how, int alone)
{
    const uint64_t all = (uint64_t)m->trained_count * (uint64_t)MOEI_n(m)
                       * (uint64_t)m->K;
    const int threads = alone || all >> 19 < (uint64_t)m->E ? 1
        : moei_min(moei_min(MOEI_THREADS, m->thread_count), m->runs);
    moei_run run;
    int r;

    if (MOEI_n(m) == 1)
        for (run = moei_one_run(m); run.slot < m->runs; moei_next_run(m, &run))
            work(m, &run, how);
    else if (threads < 2)
        for (r = 0; r < m->runs; r++)
            moei_runs_of_expert(m, r, 0, work, how);
    else
        MOEI_SHARE(threads)
        for (r = 0; r < m->runs; r++)
            moei_runs_of_expert(m, r, MOEI_THREAD, work, how);
}

/* ======================================================================== */
/* 6  GATE                                                                  */
/* ======================================================================== */
/* s = gate(x),  p = softmax of s;  with top_k of the chosen s alone. */

/* The K of E experts with the largest s + bias, in ascending order; of equal
   ones the first, and NaN as -inf.   largest (K): room for their sums
   Two of many are not below the largest of each half, as few others are. */
static void moei_choose(const moe_real *s, const moe_real *bias, int E, int K,
                        int32_t *chosen, moe_real *largest)
{
    const int half = MOEI_PANEL > 1 && K < 3 && E > 31 ? E / 2 : 0;
    moe_real top[2] = {-MOEI_INFINITY, -MOEI_INFINITY}, least;
    int32_t moved;
    int i, k, n = 0;

    for (i = 0; i < half; i++)
        MOEI_UNROLL for (k = 0; k < 2; k++) {
            const int at = i + k * half;
            top[k] = s[at] + bias[at] > top[k] ? s[at] + bias[at] : top[k];
        }
    least = top[0] < top[1] ? top[0] : top[1];
    for (i = 0; i < E; i++) {
        MOEI_ROUNDED moe_real x = s[i] + bias[i];

        if ((half > 0 && x < least) || (n >= K && !(x > largest[K - 1])))
            continue;
        x = moei_is_nan(x) ? -MOEI_INFINITY : x;
        k = moei_min(n++, K - 1);
        for (; k > 0 && largest[k - 1] < x; k--) {
            largest[k] = largest[k - 1];
            chosen[k] = chosen[k - 1];
        }
        largest[k] = x;
        chosen[k] = i;
    }
    for (i = 1; i < K; i++) {
        moved = chosen[i];
        for (k = i; k > 0 && chosen[k - 1] > moved; k--)
            chosen[k] = chosen[k - 1];
        chosen[k] = moved;
    }
}

/* How many experts ran for a case. */
MOEI_INLINE int moei_ran(const moe *m, const int32_t *chosen)
{
    int k = 0;

    while (k < m->chosen && chosen[k] >= 0)
        k++;
    return k;
}

/* Where the number of a case's choice k is among those of the case. */
MOEI_INLINE ptrdiff_t moei_choice_at(const moe *m, const int32_t *chosen,
                                     int k, int c)
{
    return moei_at(MOEI_N(m), m->K, m->sparse ? k : (int)chosen[k], c);
}

/* As few of a case's choices as have the share top_p of all their sizes, the
   largest first; -1 behind them.  The sizes become shares of their sum, 0 where
   there is -1.  All, where there is NaN. */
static void moei_drop(const moe *m, moe_real *size, int32_t *chosen)
{
    const int K = m->chosen;
    moe_real part = m->config.top_p > 0 ? m->config.top_p : 1, all = 0, sum = 0;
    int k, best, ran = 0, kept = 0;

    for (k = 0; k < K; k++)
        all += size[k];
    do {
        for (best = -1, k = 0; k < K; k++)
            if (chosen[k] >= 0 && (best < 0 || size[k] > size[best]))
                best = k;
        sum += size[best];
        chosen[best] = ~chosen[best];       /* below 0: it runs */
    } while (++ran < K && !(sum >= part * all));
    for (k = 0; k < K; k++)
        if (chosen[k] < 0) {
            chosen[kept] = ~chosen[k];
            size[kept++] = size[k] / sum;
        }
    for (; kept < K; kept++) {
        chosen[kept] = -1;
        size[kept] = 0;
    }
}

/* The experts that run for case c, and their p: K of the largest s + bias, or
   |p| if p is given; with top_p fewer.  p is the softmax of their s, or with
   top_p shares of what is left.  row (E) is chosen by, size (K) has p. */
static void moei_select(moe *m, int c, const moe_real *given)
{
    const int E = m->E, K = m->chosen, N = MOEI_N(m);
    int32_t *chosen = moei_selected(m) + c * K;
    moe_real *s = moei_from(m, m->logits, E);
    moe_real *p = moei_table(m, m->prop);
    moe_real *size = m->is_one ? moei_stack_room(m) : p + c * K;
    moe_real *row = given ? s : N > 1 ? size + K : s + c * E;
    int i;

    for (i = 0; i < E && (given || N > 1); i++)
        row[i] = !given ? s[moei_at(N, E, i, c)]
               : given[i] < 0 ? -given[i] : given[i];
    for (i = 0; i < K && K == E; i++)
        chosen[i] = (int32_t)i;
    if (K < E)                              /* given: by row + row, the same */
        moei_choose(row, given ? row : moei_balance(m), E, K, chosen, size);
    for (i = 0; i < K && (!given || m->drops); i++)
        size[i] = row[chosen[i]];
    if (given == NULL)
        moei_loops_of(m)->softmax(1, 1, K, size, size,
                                  MOEI_LEARNS && m->log_p && !m->is_one
                                  ? m->log_p + (size - m->prop) : NULL, NULL);
    if (m->drops)
        moei_drop(m, size, chosen);
    for (i = 0; i < E && m->is_one; i++)
        p[moei_at(N, E, i, c)] = 0;
    for (i = 0; i < K && chosen[i] >= 0 && (given || m->is_one); i++)
        p[moei_choice_at(m, chosen, i, c)] = given ? given[chosen[i]] : size[i];
}

/* log p, -1e30 where p is 0; no errors yet, and none of what does not run. */
static MOEI_UNUSED void moei_log_selected(moe *m)
{
    moe_real *log_p = moei_table(m, m->log_p);
    const int all = moei_all(m, m->K);
    int i;

    moei_zero(moei_table(m, m->error_of), all);
    moei_copy(log_p, moei_table(m, m->prop), all);
    moei_loops_of(m)->apply(MOEI_LOG, all, log_p);
    for (i = 0; i < all; i++)
        log_p[i] = log_p[i] < -MOEI_LARGEST ? -MOEI_LARGEST : log_p[i];
}

/* The cases sorted by expert, in their order, as runs of at most a panel. */
static void moei_sort(moe *m)
{
    const int K = m->K;
    const int32_t *chosen = moei_selected(m);
    int32_t *start = moei_whole(m->run_list), *run = start, column = 0, at;
    int32_t *rows = moei_rows_of(m, 0), *slots = moei_rows_of(m, 1);
    int32_t first = 0, pairs;
    int i;

    moei_zero_bytes(start, ((size_t)m->E + 1) * sizeof *start);
    for (i = 0; i < MOEI_n(m) * K; i++)
        if (chosen[i] >= 0)
            start[chosen[i] + 1]++;
    for (i = 0; i < m->E; i++)
        start[i + 1] += start[i];
    pairs = start[m->E];
    for (i = 0; i < MOEI_n(m) * K; i++) {
        if (chosen[i] < 0)
            continue;
        at = start[chosen[i]]++;
        rows[at] = i / K;
        slots[at] = i;
    }
    for (m->runs = 0; first < pairs; m->runs++, run += 3) {
        for (at = first; at < pairs && at - first < MOEI_FEW
             && chosen[slots[at]] == chosen[slots[first]]; at++)
            continue;
        run[0] = chosen[slots[first]];
        run[1] = first;
        run[2] = column;
        column += moei_padded((int)(at - first));
        first = at;
    }
    run[1] = pairs;
}

/* s of a panel, transposed where s stands case by case and lanes made it. */
static void moei_gate_logits(moe *m, int first)
{
    moei_run run = moei_gate_run(m, first);
    moe_real *s = run.out;

    if (MOEI_PANEL > 1 && run.N > MOEI_N(m))
        run.out = moei_room(m, &run, m->widest + m->X + m->O);
    moei_net_forward(m, &run, moei_inputs_of(m, &run));
    if (MOEI_PANEL > 1 && run.out != s)
        moei_transpose(m->E, run.n, run.out, run.N, NULL, s, m->E);
}

/* s and p of the cases at hand, and log p where that is kept. */
static void moei_gate_proportions(moe *m)
{
    const ptrdiff_t at = m->first * (ptrdiff_t)m->K;
    int c;

    for (c = 0; c < MOEI_n(m); c += m->sparse ? MOEI_FEW : MOEI_n(m))
        moei_gate_logits(m, c);
    if (m->chosen < m->E || m->drops)
        for (c = 0; c < MOEI_n(m); c++)
            moei_select(m, c, NULL);
    else
        moei_loops_of(m)->softmax(MOEI_n(m), MOEI_N(m), m->K, m->logits + at,
                                  m->prop + at, MOEI_LEARNS && m->log_p
                                  ? m->log_p + at : NULL, NULL);
    if (MOEI_LEARNS && m->log_p && (m->drops || m->chosen < m->K))
        moei_log_selected(m);
}

/* The runs of the cases at hand. */
static void moei_find_runs(moe *m)
{
    m->runs = moei_outs(m);
    if (MOEI_n(m) > 1 && m->sparse)
        moei_sort(m);
    else if (m->sparse && m->drops)
        m->runs = moei_ran(m, moei_selected(m));
}

/* s, p and the runs of the cases at hand.  One expert alone has p = 1; `given`
   is p (n,E) of the caller's, or NULL. */
static void moei_gate_forward(moe *m, const moe_real *given)
{
    int c;

    m->p_is_given = given != NULL;
    if (m->E > 1 && given != NULL) {
        for (c = 0; c < MOEI_n(m); c++, given += m->E)
            moei_select(m, c, given);
        moei_zero(moei_from(m, m->logits, m->E), moei_all(m, m->E));
    } else if (m->E > 1)
        moei_gate_proportions(m);
    moei_find_runs(m);
}

/* ======================================================================== */
/* 7  MIXTURE                                                               */
/* ======================================================================== */
/* The blend, the three losses and the posteriors, each there and back, in
   standardised units.  Tables hold p_i, e_i, h_i of a case's K experts. */

/* Whether e_i is the cross-entropy of probabilities, which have no sigma. */
static int moei_is_entropy(const moe *m)
{
    return m->output >= MOE_OUT_SOFTMAX;
}

/* sigma of (1.3) for i = -1, or s_i of expert i, in standardised units. */
static moe_real moei_sigma(const moe *m, int i)
{
    const int fixed = m->config.sigma > 0 && (i < 0 || m->sigma == NULL);

    return fixed ? m->config.sigma : m->sigma == NULL ? 1
         : i < 0 && m->output != MOE_OUT_LINEAR ? 1 : m->sigma[i + 1];
}

static moe_real moei_value(int f, moe_real x)
{
    return f == MOEI_EXP ? moei_exp(x) : moei_log(x);
}

static moe_real moei_cut(moe_real x)
{
    return x > MOEI_LARGEST ? MOEI_LARGEST : x;
}

/* Learning keeps log o_i of softmax experts, their logit of Bernoulli ones. */
static moe_real *moei_log_out(const moe *m, const moei_run *run)
{
    return MOEI_LEARNS && m->log_o ? m->log_o + (run->out - m->out) : NULL;
}

/* o_i = expert i's network */
static void moei_run_forward(moe *m, const moei_run *run, int how)
{
    const moei_loops *loops = moei_loops_of(m);

    (void)how;
    moei_net_forward(m, run, moei_inputs_of(m, run));
    if (m->output == MOE_OUT_SOFTMAX)
        loops->softmax(MOEI_n(run), MOEI_N(run), m->O, run->out, run->out,
                       moei_log_out(m, run), NULL);
    else if (m->output != MOE_OUT_LINEAR) {
        if (moei_log_out(m, run) != NULL)
            moei_copy(moei_log_out(m, run), run->out, moei_size(run, m->O));
        loops->apply(MOE_ACT_LOGISTIC, moei_size(run, m->O), run->out);
    }
}

/* y += p_i o_i of the runs of sorted cases, case by case. */
static void moei_blend_sorted(moe *m, moe_real *y)
{
    moe_real row[MOEI_PANEL], *o;
    const moe_real *p;
    int r, c;

    moei_zero(y, MOEI_n(m) * (ptrdiff_t)m->O);
    for (r = 0; r < m->runs; r++) {
        const moei_run run = moei_run_of(m, r, 0);

        p = moei_numbers(m, &run, m->prop, row);
        o = run.N > 1 ? moei_room(m, &run, 0) : run.out;
        if (run.N > 1)
            moei_transpose(m->O, run.n, run.out, run.N, NULL, o, m->O);
        for (c = 0; c < run.n; c++, o += m->O)
            moei_loops_of(m)->blend(1, 1, m->O, 1, p + c, o,
                                    y + run.rows[c] * (ptrdiff_t)m->O);
    }
}

/* y = sum_i p_i o_i   p (K,N)   o (K,O,N)   y (O,N): of one case a layer whose
   input is p; of a few cases, which stand one after the other, p (n,K) */
static void moei_blend(moe *m)
{
    const moei_loops *loops = moei_loops_of(m);
    const int N = MOEI_N(m), n = MOEI_n(m), few = N > 1 ? 1 : n;
    const int O = m->O, K = m->K;
    const ptrdiff_t first = m->first;
    const moe_real *p = m->prop + first * K, *o = m->out + first * K * O;
    moe_real *y = m->blend + first * O;
    int r, c;

    if (n == 1) {
        moei_zero(y, O);
        loops->one(m->runs, O, p, y, o, 0, y);
    } else if (m->sparse)
        moei_blend_sorted(m, y);
    else
        for (r = 0; r < m->runs; r++, p += N)
            for (c = 0; c < few; c++, o += O * N)
                loops->blend(N > 1 ? n : 1, N, O, r > 0, p + c * K, o,
                             y + c * O);
}

/* s, p, o, y of the cases at hand.  Of one network y is o. */
static void moei_block_forward(moe *m, const moe_real *given)
{
    moei_run run;

    moei_gate_forward(m, given);
    if (MOEI_n(m) > 1)
        moei_each_run(m, moei_run_forward, 0, 0);
    else                                    /* as there, in less time */
        for (run = moei_one_run(m); run.slot < m->runs; moei_next_run(m, &run))
            moei_run_forward(m, &run, 0);
    if (m->E > 1 && !m->is_one)
        moei_blend(m);
}

#ifndef MOE_PREDICT_ONLY
static const moe_real *moei_targets_of(const moe *m, const moei_run *run)
{
    return moei_gather(m, run, m->d, m->O, 0, m->O, m->X);
}

/* Numbers of a run's cases to a table, if they are not where it has them. */
static void moei_to_table(const moe *m, const moei_run *run,
                          const moe_real *number, moe_real *table)
{
    moe_real *to = moei_table(m, table);
    int c;

    for (c = 0; c < MOEI_n(run) && number != to + run->slot; c++)
        to[moei_slot(run, c)] = number[c];
}

/* How much case c of those at hand counts. */
static moe_real moei_weight(const moe *m, int c)
{
    return m->case_weights == NULL ? 1
         : m->case_weights[m->ordered ? moei_whole(m->order)[c] : c];
}

/* An array (F,N) of a run's cases, times their weights, if they have any. */
static void moei_weigh_cases(const moe *m, const moei_run *run, int F,
                             moe_real *array)
{
    int c, k;

    for (c = 0; c < MOEI_n(run) && m->case_weights != NULL; c++) {
        const moe_real weight = moei_weight(m, moei_row(run, c));
        for (k = 0; k < F; k++)
            array[moei_at(MOEI_N(run), F, k, c)] *= weight;
    }
}

/* to (O,N) = factor w from, with w of the run's cases */
static void moei_weigh(moe *m, const moei_run *run, moe_real *w,
                       moe_real factor, const moe_real *from, moe_real *to)
{
    const int size = moei_size(run, 1);
    moe_real row[MOEI_PANEL];
    const moe_real *of = moei_numbers(m, run, w, row);
    int c;

    for (c = 0; c < size && factor != 1; c++)
        row[c] = factor * of[c];
    moei_loops_of(m)->blend(MOEI_n(run), MOEI_N(run), m->O, 0,
                            factor != 1 ? row : of, from, to);
}

/* Whether sigma is estimated: of (1.3) with linear experts. */
static int moei_learns_sigma(const moe *m)
{
    return !(m->config.sigma > 0) && m->output == MOE_OUT_LINEAR
        && m->config.loss == MOE_LOSS_MIXTURE;
}

/* 1 / (2 sigma^2);  errors of probabilities have no sigma. */
static moe_real moei_precision(const moe *m)
{
    const moe_real sigma = moei_sigma(m, -1);

    return moei_is_entropy(m) ? 1 : 1 / (2 * sigma * sigma);
}

/* The 1 / sigma^2 of dE/do that a small sigma makes large: Adam's steps do not
   depend on it; plain ones go without, where sigma is estimated. */
static void moei_take_sigma_out(const moe *m, moe_real *g, ptrdiff_t count)
{
    const moe_real sigma = moei_sigma(m, -1), variance = sigma * sigma;
    ptrdiff_t i;

    if (!moei_learns_sigma(m) || variance == 1)
        return;
    for (i = 0; i < count; i++)
        g[i] *= variance;
}

/* What a density of d has beside the errors, so that losses of different sigma
   compare:  O log sigma,  where that is estimated. */
static moe_real moei_log_volume(const moe *m)
{
    return moei_learns_sigma(m)
         ? (moe_real)m->O * moei_value(MOEI_LOG, moei_sigma(m, -1)) : 0;
}

/* Bernoulli:  e_i = sum_k (log(1 + exp(a_k)) - d_k a_k)
                   = sum_k (log(1 + exp(-|a_k|)) + max(a_k, 0) - d_k a_k) */
static void moei_bernoulli_error(moe *m, const moei_run *run,
                                 const moe_real *d, moe_real *e)
{
    const moe_real *a = moei_log_out(m, run);
    moe_real *u = run->delta;
    const int size = moei_size(run, m->O);
    int i, c, k;

    for (i = 0; i < size; i++)
        u[i] = a[i] < 0 ? a[i] : -a[i];
    moei_loops_of(m)->apply(MOEI_EXP, size, u);
    for (i = 0; i < size; i++)
        u[i] += 1;
    moei_loops_of(m)->apply(MOEI_LOG, size, u);
    for (i = 0; i < size; i++)
        u[i] += (a[i] > 0 ? a[i] : 0) - d[i] * a[i];
    for (c = 0; c < MOEI_n(run); c++)
        for (e[c] = 0, k = 0; k < m->O; k++)
            e[c] += u[moei_at(MOEI_N(run), m->O, k, c)];
}

/* e_i = |d - o_i|^2;  softmax: e_i = -sum_k d_k log o_ik;  cut, to error_of */
static void moei_run_error(moe *m, const moei_run *run, int how)
{
    const moei_loops *loops = moei_loops_of(m);
    const moe_real *d = moei_targets_of(m, run);
    const int n = MOEI_n(run), softmax = m->output == MOE_OUT_SOFTMAX;
    const moe_real sign = softmax ? -1 : 1;
    moe_real *off = run->delta, row[MOEI_PANEL];
    moe_real *e = moei_row_in(m, run, m->error_of, row);
    int c;

    (void)how;
    if (!moei_is_entropy(m))
        loops->subtract(moei_size(run, m->O), run->out, d, off);
    if (m->output == MOE_OUT_BERNOULLI)
        moei_bernoulli_error(m, run, d, e);
    else
        loops->dot(MOEI_n(run), MOEI_N(run), m->O, softmax ? d : off,
                   softmax ? moei_log_out(m, run) : off, e);
    for (c = 0; c < n; c++)
        e[c] = moei_cut(sign * e[c]);
    moei_to_table(m, run, e, m->error_of);
}

/* (1.3)  E = -log sum_i p_i exp(-e_i / (2 sigma^2))
          h_i = p_i exp(-e_i / (2 sigma^2)) / sum_j ...
   as softmax and log sum exp of log p_i - e_i / (2 sigma^2); an estimated sigma
   adds O log sigma to E */
static void moei_mixture_forward(moe *m)
{
    const moe_real by = moei_precision(m), volume = moei_log_volume(m);
    const moe_real *log_p = moei_table(m, m->log_p);
    moe_real *e = moei_table(m, m->error_of), *h = moei_table(m, m->post);
    moe_real *loss = moei_from(m, m->loss, 1);
    int i;

    for (i = 0; i < MOEI_n(m) && m->E == 1; i++)
        loss[i] = by * e[i] + volume;       /* h is 1 */
    if (m->E == 1)
        return;
    for (i = 0; i < moei_all(m, m->K); i++)
        h[i] = log_p[i] - by * e[i];
    moei_loops_of(m)->softmax(MOEI_n(m), MOEI_N(m), m->K, h, h, e, loss);
    for (i = 0; i < MOEI_n(m); i++)
        loss[i] = volume - loss[i];
}

/* (1.2)  E = sum_i p_i e_i */
static void moei_expected_forward(moe *m)
{
    moei_loops_of(m)->dot(MOEI_n(m), MOEI_N(m), m->K, moei_table(m, m->prop),
                          moei_table(m, m->error_of), moei_from(m, m->loss, 1));
}

/* (1.3)  dE/do_i = -h_i (d - o_i) / sigma^2    softmax: dE/da_i = h_i (o_i - d)
   (1.2)  dE/do_i = -2 p_i (d - o_i)            softmax: dE/da_i = p_i (o_i - d)
   (Bernoulli as softmax)
   each expert by an error of its own, weighted by w = h or p, to delta */
static void moei_own_error_backward(moe *m, const moei_run *run, moe_real *w,
                                    moe_real factor, moe_real *delta)
{
    moei_loops_of(m)->subtract(moei_size(run, m->O), run->out,
                               moei_targets_of(m, run), delta);
    moei_weigh(m, run, w, factor, delta, delta);
}

/* y, far enough from 0 and 1 that the logarithms of both sides are finite. */
static moe_real moei_inside(moe_real y)
{
    const moe_real edge = moei_from_bits((moei_bits)(MOEI_BIAS - MOEI_FRACTION)
                                         << MOEI_FRACTION);

    return y < edge ? edge : y > 1 - edge ? 1 - edge : y;
}

/* (1.1)      E = |d - y|^2                      dE/dy = 2 (y - d)
   Bernoulli  E = -sum_k (d_k log y_k + (1 - d_k) log (1 - y_k))
                                             dE/dy = (y - d) / (y (1 - y)) */
static void moei_blend_loss_forward(moe *m)
{
    const int O = m->O;
    const moe_real *y = moei_from(m, m->blend, O), *d = moei_from(m, m->d, O);
    moe_real *off = moei_from(m, m->log_y, O), *loss = moei_from(m, m->loss, 1);
    int c, k;

    if (m->output != MOE_OUT_BERNOULLI) {
        moei_loops_of(m)->subtract(moei_all(m, m->O), y, d, off);
        moei_loops_of(m)->dot(MOEI_n(m), MOEI_N(m), m->O, off, off, loss);
        for (c = 0; c < MOEI_n(m); c++)
            loss[c] = moei_cut(loss[c]);
        return;
    }
    for (c = 0; c < MOEI_n(m); c++)
        for (loss[c] = 0, k = 0; k < m->O; k++) {
            const ptrdiff_t at = moei_at(MOEI_N(m), m->O, k, c);
            const moe_real near = moei_inside(y[at]);
            loss[c] -= d[at] * moei_value(MOEI_LOG, near)
                     + (1 - d[at]) * moei_value(MOEI_LOG, 1 - near);
        }
}

/* dE/dy in place of d */
static void moei_blend_loss_backward(moe *m)
{
    const moe_real *y = moei_from(m, m->blend, m->O);
    moe_real *d = moei_from(m, m->d, m->O);
    int i;

    for (i = 0; i < moei_all(m, m->O); i++) {
        const moe_real near = moei_inside(y[i]);
        d[i] = m->output == MOE_OUT_BERNOULLI
             ? (near - d[i]) / (near * (1 - near)) : 2 * (y[i] - d[i]);
    }
}

/* Through y:  dE/do_i = p_i dE/dy,   g_i = dE/dp_i = sum_k dE/dy_k o_ik
   softmax:    dE/da_k = o_k (dE/do_k - sum_j o_j dE/do_j)
   Bernoulli:  dE/da = dE/do o (1 - o), which cancels where y is o
   Of blended weights y is o, and dE/dp is found layer by layer. */
static void moei_blend_backward(moe *m, const moei_run *run, moe_real *delta)
{
    const moei_loops *loops = moei_loops_of(m);
    const moe_real *dE_dy = moei_targets_of(m, run), *o = run->out;
    moe_real row[MOEI_PANEL], *g = moei_row_in(m, run, m->error_of, row);
    int c, k;

    if (m->is_one)
        moei_copy(delta, dE_dy, moei_size(run, m->O));
    else {
        loops->dot(MOEI_n(run), MOEI_N(run), m->O, dE_dy, o, g);
        moei_to_table(m, run, g, m->error_of);
        moei_weigh(m, run, m->prop, 1, dE_dy, delta);
    }
    for (k = 0; k < moei_size(run, m->O) && m->output == MOE_OUT_BERNOULLI; k++)
        delta[k] *= moei_inside(o[k]) * (1 - moei_inside(o[k]));
    if (m->output != MOE_OUT_SOFTMAX)
        return;
    loops->dot(MOEI_n(run), MOEI_N(run), m->O, o, delta, row);
    for (k = 0; k < m->O; k++)
        for (c = 0; c < MOEI_n(run); c++) {
            const ptrdiff_t at = moei_at(MOEI_N(run), m->O, k, c);
            delta[at] = o[at] * (delta[at] - row[c]);
        }
}

/* u_ik = log (p_i o_ik) - top_k = log p_i + log o_ik - top_k   (O,N), but log y
   of blended weights, whose y is o;  top (O,N) of the cases at hand, or NULL */
static void moei_log_share(moe *m, const moei_run *run, const moe_real *top,
                           moe_real *u)
{
    const moe_real *log_o = moei_log_out(m, run);
    const moe_real *log_p = moei_table(m, m->log_p);
    int c, k;

    for (k = 0; k < m->O; k++)
        for (c = 0; c < MOEI_n(run); c++) {
            const ptrdiff_t at = moei_at(MOEI_N(run), m->O, k, c);
            u[at] = log_o[at] + (m->is_one ? 0 : log_p[moei_slot(run, c)]);
            if (top != NULL)
                u[at] -= top[moei_at(MOEI_N(m), m->O, k, moei_row(run, c))];
        }
}

/* top = max(top, u), then sum += exp(u - top) over the cases of a run; both are
   (O,N), in log_y of the cases at hand */
static void moei_log_sum_run(moe *m, const moei_run *run, int summing)
{
    moe_real *top = moei_from(m, m->log_y, 2 * m->O);
    moe_real *sum = top + moei_all(m, m->O), *u = run->scratch;
    int c, k;

    moei_log_share(m, run, summing ? top : NULL, u);
    if (summing)
        moei_loops_of(m)->apply(MOEI_EXP, moei_size(run, m->O), u);
    for (k = 0; k < m->O; k++)
        for (c = 0; c < MOEI_n(run); c++) {
            const moe_real x = u[moei_at(MOEI_N(run), m->O, k, c)];
            const ptrdiff_t of = moei_at(MOEI_N(m), m->O, k, moei_row(run, c));
            if (summing)
                sum[of] += x;
            else if (top[of] < x)
                top[of] = x;
        }
}

/* (1.1) of softmax experts:  E = -sum_k d_k log y_k
   log y_k = log sum_i exp u_ik, the largest u taken out first */
static void moei_log_blend_forward(moe *m)
{
    const int all = moei_all(m, m->O);
    moe_real *log_y = moei_from(m, m->log_y, 2 * m->O);
    moe_real *sum = log_y + all, *loss = moei_from(m, m->loss, 1);
    int i;

    moei_zero(sum, all);
    for (i = 0; i < all; i++)
        log_y[i] = -2 * MOEI_LARGEST;
    moei_each_run(m, moei_log_sum_run, 0, 1);
    moei_each_run(m, moei_log_sum_run, 1, 1);
    moei_loops_of(m)->apply(MOEI_LOG, all, sum);
    for (i = 0; i < all; i++)
        log_y[i] += sum[i];
    moei_loops_of(m)->dot(MOEI_n(m), MOEI_N(m), m->O, log_y,
                          moei_from(m, m->d, m->O), loss);
    for (i = 0; i < MOEI_n(m); i++)
        loss[i] = -loss[i];
}

/* r_ik = p_i o_ik / y_k = exp(u_ik - log y_k)
   g_i = sum_k d_k r_ik,   dE/da_ik = o_ik g_i - d_k r_ik */
static void moei_log_blend_backward(moe *m, const moei_run *run, moe_real *r)
{
    const moe_real *d = moei_targets_of(m, run), *o = run->out;
    moe_real row[MOEI_PANEL];
    moe_real *g = m->is_one ? row : moei_row_in(m, run, m->error_of, row);
    int c, k;

    moei_log_share(m, run, moei_from(m, m->log_y, 2 * m->O), r);
    moei_loops_of(m)->apply(MOEI_EXP, moei_size(run, m->O), r);
    moei_loops_of(m)->dot(MOEI_n(run), MOEI_N(run), m->O, d, r, g);
    if (!m->is_one)
        moei_to_table(m, run, g, m->error_of);
    for (k = 0; k < m->O; k++)
        for (c = 0; c < MOEI_n(run); c++) {
            const ptrdiff_t at = moei_at(MOEI_N(run), m->O, k, c);
            r[at] = o[at] * g[c] - d[at] * r[at];
        }
}

/* The ways in which an error reaches experts and gate. */
typedef enum moei_path {
    MOEI_BY_POSTERIOR,  /* (1.3)                                             */
    MOEI_BY_PROPORTION, /* (1.2)                                             */
    MOEI_BY_BLEND,      /* through y: (1.1), or an error of the user's       */
    MOEI_BY_LOG_BLEND   /* through log y: (1.1) of softmax experts           */
} moei_path;

static moei_path moei_path_of(const moe *m)
{
    return (m->config.loss == MOE_LOSS_MIXTURE && !m->is_one)
        || (m->E == 1 && m->output == MOE_OUT_BERNOULLI) ? MOEI_BY_POSTERIOR
        : m->config.loss == MOE_LOSS_EXPECTED && !m->is_one ? MOEI_BY_PROPORTION
        : m->output == MOE_OUT_SOFTMAX ? MOEI_BY_LOG_BLEND
        : MOEI_BY_BLEND;
}

/* E of each case, and what its way back needs. */
static void moei_loss_forward(moe *m)
{
    const moei_path path = moei_path_of(m);

    if (path == MOEI_BY_BLEND) {
        moei_blend_loss_forward(m);
    } else if (path == MOEI_BY_LOG_BLEND) {
        moei_log_blend_forward(m);
    } else {
        moei_each_run(m, moei_run_error, 0, 0);
        if (path == MOEI_BY_POSTERIOR)
            moei_mixture_forward(m);
        else
            moei_expected_forward(m);
    }
}

/* Whether dE/da of a net is used: some layer learns, or dE/dx is asked. */
static int moei_wants_delta(const moe *m, const moei_net *net, int copy)
{
    return m->back_to_x || moei_copy_learns(m, net, copy, net->lowest);
}

/* dE/da of all layers of a run, or for a plain step with them;
   logistic: dE/do o (1 - o)
   Of frozen experts only what reaches the gate through the blend. */
static void moei_run_backward(moe *m, const moei_run *run, moei_path path,
                              int plain)
{
    const int wants = moei_wants_delta(m, run->net, run->copy);
    const moe_real by = moei_is_entropy(m) ? 1 : 2;
    moe_real *delta = moei_last_delta(run);

    if (path <= MOEI_BY_PROPORTION && !wants)
        return;
    if (path == MOEI_BY_POSTERIOR)
        moei_own_error_backward(m, run, m->post, by * moei_precision(m), delta);
    else if (path == MOEI_BY_PROPORTION)
        moei_own_error_backward(m, run, m->prop, by, delta);
    else if (path == MOEI_BY_BLEND)
        moei_blend_backward(m, run, delta);
    else
        moei_log_blend_backward(m, run, delta);
    if (!wants && !m->is_one)
        return;
    if (m->output == MOE_OUT_LOGISTIC)
        moei_loops_of(m)->slope(MOE_ACT_LOGISTIC, moei_size(run, m->O),
                                run->out, delta);
    moei_weigh_cases(m, run, m->O, delta);
    if (plain)
        moei_take_sigma_out(m, delta, moei_size(run, m->O));
    if (m->is_one)                          /* dE/dp is a sum over layers */
        moei_zero(moei_table(m, m->error_of), moei_all(m, m->E));
    moei_net_backward(m, run, m->is_one ? moei_inputs_of(m, run) : NULL);
}

/* ------------------------------------------------ what reaches the gate */
/* dE/ds in place of the errors, from what the loss left in g:
     (1.3)      dE/ds = p - h                   g = h, or its like
     otherwise  dE/ds_i = p_i (g_i - sum_j p_j g_j)     g = dE/dp */
static void moei_gate_delta(moe *m, moei_path path)
{
    const moe_real *p = moei_table(m, m->prop);
    moe_real *g = moei_table(m, m->error_of);
    moe_real *mean = moei_from(m, m->loss, 1);      /* no longer needed */
    int i, c;

    if (!m->is_one
        && (path == MOEI_BY_POSTERIOR || path == MOEI_BY_LOG_BLEND)) {
        moei_loops_of(m)->subtract(moei_all(m, m->K), p, path
            == MOEI_BY_POSTERIOR ? moei_table(m, m->post) : g, g);
        return;
    }
    moei_loops_of(m)->dot(MOEI_n(m), MOEI_N(m), m->K, p, g, mean);
    for (i = 0; i < m->K; i++)
        for (c = 0; c < MOEI_n(m); c++) {
            const ptrdiff_t at = moei_at(MOEI_N(m), m->K, i, c);
            g[at] = p[at] * (g[at] - mean[c]);
        }
}

static int moei_has_balance_loss(const moe *m)
{
    return m->config.balance_loss > 0 && m->K < m->E;
}

/* The balance loss of Fedus, Zoph & Shazeer 2022 (4)-(6), for each case
     balance E sum_i f_i q_i,   q = softmax of all s,  f_i: shares of choices
   dE/ds_i += balance E q_i (f_i - sum_j f_j q_j)        s, q, f (E) */
static void moei_balance_backward(moe *m, const moe_real *s, moe_real *dE_ds,
                                  int step)
{
    const moe_real weight = m->config.balance_loss * (moe_real)m->E;
    const moe_real *f = m->share;
    moe_real *q = m->share + m->E, mean;
    int i;

    moei_loops_of(m)->softmax(1, 1, m->E, s, q, NULL, NULL);
    moei_loops_of(m)->dot(1, 1, m->E, f, q, &mean);
    for (i = 0; i < m->E; i++)
        dE_ds[i * step] += weight * q[i] * (f[i] - mean);
}

/* dE/ds (E,N) of a run of the gate to delta: 0 for experts that did not run. */
static void moei_gate_last_delta(moe *m, const moei_run *run, int balance)
{
    const int E = m->E, K = m->K, step = MOEI_N(run);
    moe_real *delta = moei_last_delta(run);
    const moe_real *ds = moei_table(m, m->error_of), *s;
    const int32_t *chosen = moei_selected(m);
    int c, k;

    if (!m->sparse) {
        moei_copy(delta, ds, moei_all(m, E));
        return;
    }
    moei_zero(delta, moei_size(run, E));
    ds += run->first * K, chosen += run->first * K;
    s = moei_from(m, m->logits, E) + run->first * E;
    for (c = 0; c < MOEI_n(run); c++, s += E, delta += step > 1 ? 1 : E) {
        for (k = 0; k < K; k++, chosen++, ds++)
            if (*chosen >= 0)
                delta[(ptrdiff_t)*chosen * step] = *ds;
        if (balance)
            moei_balance_backward(m, s, delta, step);
    }
}
#endif

/* ======================================================================== */
/* 8  FORWARD AND BACKWARD                                                  */
/* ======================================================================== */
/* Rows of F numbers, listed or the first, to a block array of A >= F features,
   scaled:  z = (x - shift) factor,   d' = (d - shift) / factor */
MOEI_INLINE void moei_load(const moe *m, moei_scaling how, const moe_real *rows,
                           const int32_t *list, int F, const moe_real *scale,
                           moe_real *array, int A)
{
    const moei_loops *loops = moei_loops_of(m);
    moe_real *to = array + m->first * (ptrdiff_t)A;
    int c;

    if (MOEI_N(m) > 1) {
        moei_transpose(MOEI_n(m), F, rows, F, list, to, MOEI_N(m));
        loops->scale(how, MOEI_N(m), F, to, scale, to);
        return;
    }
    for (c = 0; c < MOEI_n(m); c++, to += A)
        loops->scale(how, 1, F, rows + (ptrdiff_t)(list ? list[c] : c) * F,
                     scale, to);
}

/* Columns i of x that are listed once more, behind all of it. */
static void moei_repeat_columns(const moe *m)
{
    const ptrdiff_t N = MOEI_N(m), I = m->I, X = m->X;
    moe_real *x = moei_from(m, m->x, m->X);
    int c, i;

    for (c = 0; c < (MOEI_N(m) > 1 ? 1 : MOEI_n(m)); c++, x += X)
        for (i = 0; i < X - I; i++)
            moei_copy(x + (I + i) * N, x + m->columns[i] * N, N);
}

static void moei_load_x(const moe *m, const moe_real *rows, const int32_t *list)
{
    moei_load(m, MOEI_SCALE_IN, rows, list, m->I, moei_scale_x(m), m->x, m->X);
    if (m->X > m->I)
        moei_repeat_columns(m);
}

/* y of the cases at hand to rows in user's units:  shift + factor y */
static void moei_store_y(const moe *m, moe_real *rows)
{
    const moei_loops *loops = moei_loops_of(m);
    const moe_real *scale = moei_scale_d(m);
    const int O = m->O;
    const moe_real *y = m->blend + m->first * (ptrdiff_t)O;
    int c;

    if (MOEI_N(m) > 1) {
        moe_real *room = m->scratch + m->act_size;

        loops->scale(MOEI_SCALE_OUT, MOEI_N(m), O, y, scale, room);
        moei_transpose(O, MOEI_n(m), room, MOEI_N(m), NULL, rows, O);
        return;
    }
    for (c = 0; c < MOEI_n(m); c++, y += O, rows += O)
        loops->scale(MOEI_SCALE_OUT, 1, O, y, scale, rows);
}

/* An open moe that has a gate, if need be, or is given p for it. */
static int moei_is_ready(const moe *m, const moe_real *p)
{
    return m != NULL && m->params != NULL
        && (p != NULL ? m->E > 1 : m->E == 1 || m->gate.layers > 0);
}

/* Cases go from first to last, but backwards when a row of y is longer than one
   of x: y may then be x without overwriting what is still to be read. */
MOE_DEF void moe_predict_with(moe *m, const moe_real *x, const moe_real *p,
                              int n, moe_real *y)
{
    const int ready = moei_is_ready(m, p) && (n < 1 || (x && y));
    ptrdiff_t done, at;

    MOE_ASSERT(ready);
    if (!ready)
        return;
    m->shown_count = -1;
    for (done = 0; done < n; done += MOEI_n(m)) {
        moei_begin(m, 0, n - (int)done);
        at = m->O > m->I ? n - done - MOEI_n(m) : done;
        moei_load_x(m, x + at * m->I, NULL);
        moei_block_forward(m, p ? p + at * m->E : NULL);
        moei_store_y(m, y + at * m->O);
    }
}

MOE_DEF void moe_predict(moe *m, const moe_real *x, int n, moe_real *y)
{
    moe_predict_with(m, x, NULL, n, y);
}

/* A table of the cases at hand to rows (E): 0 for experts that did not run. */
static void moei_show_table(const moe *m, moe_real *table, moe_real *rows)
{
    const int32_t *chosen = moei_selected(m);
    const moe_real *from = moei_table(m, table);
    int c, k;

    if (rows == table)
        return;
    rows = moei_from(m, rows, m->E);
    moei_zero(rows, MOEI_n(m) * (ptrdiff_t)m->E);
    for (c = 0; c < MOEI_n(m); c++, rows += m->E, chosen += m->chosen)
        for (k = 0; k < m->chosen && chosen[k] >= 0; k++)
            rows[chosen[k]] = from[moei_choice_at(m, chosen, k, c)];
}

/* o of a run to (rows,K,O), which may be where it is. */
static void moei_show_out(moe *m, const moei_run *run, int how)
{
    const moe_real *scale = moei_scale_d(m), *o = run->out;
    const int O = m->O;
    moe_real *to = moei_from(m, moei_shown(m->o), m->K * O);
    moe_real *room = m->scratch + m->act_size;
    int c;

    (void)how;
    for (c = 0; c < MOEI_n(run); c++, o += MOEI_N(run) > 1 ? 1 : O) {
        const ptrdiff_t slot = run->slots || MOEI_N(run) == 1
                             ? moei_slot(run, c) : c * m->K + run->copy;

        if (MOEI_N(run) > 1)
            moei_transpose(O, 1, o, MOEI_N(run), NULL, room, O);
        moei_loops_of(m)->scale(MOEI_SCALE_OUT, 1, O, MOEI_N(run) > 1
                                ? room : o, scale, to + slot * O);
    }
}

/* The public arrays show the cases at hand: y before o, which may be there. */
static void moei_show(moe *m)
{
    const moe_real *s = moei_from(m, m->logits, m->E);
    moe_real *to = moei_from(m, moei_shown(m->s), m->E);
    int c, k;

    for (c = 0; c < MOEI_n(m) && m->s != m->logits; c++)
        for (k = 0; k < m->E; k++)
            *to++ = s[moei_at(MOEI_N(m), m->E, k, c)];
    moei_show_table(m, m->prop, moei_shown(m->p));
    moei_store_y(m, moei_from(m, moei_shown(m->y), m->O));
    if (!m->is_one)
        moei_each_run(m, moei_show_out, 0, 1);
}

MOE_DEF int moe_forward_with(moe *m, const moe_real *x, const moe_real *p,
                             int n)
{
    int first;

    MOE_ASSERT(moei_is_ready(m, p) && (n < 1 || x != NULL));
    if (!moei_is_ready(m, p))
        return 0;
    n = n < 0 || x == NULL ? 0 : moei_min(n, m->B);
    for (first = 0; first < n; first += MOEI_n(m)) {
        moei_begin(m, first, n - first);
        moei_load_x(m, x + (ptrdiff_t)first * m->I, NULL);
        moei_block_forward(m, p ? p + (ptrdiff_t)first * m->E : NULL);
        moei_show(m);
    }
    m->shown_count = (int16_t)n;
    return m->rows = n;
}

MOE_DEF int moe_forward(moe *m, const moe_real *x, int n)
{
    return moe_forward_with(m, x, NULL, n);
}

/* ------------------------------------------------------ how sure it is */
/* Of the rows that moe_forward shows: -d log o, 0 if d is, d `most` if o is. */
static moe_real moei_surprise(moe_real d, moe_real o, moe_real most)
{
    return d == 0 ? 0 : d * (o > 0 ? -moei_value(MOEI_LOG, o) : most);
}

/* Whether d lies around y, not around each o_i. */
static int moei_is_around_y(const moe *m)
{
    return m->is_one || m->config.loss == MOE_LOSS_BLEND;
}

/* e_i of a row and the k-th expert that ran: around o_i, or y for (1.1). */
static moe_real moei_shown_error(const moe *m, int row, int k,
                                 const moe_real *d)
{
    const int O = m->O;
    const moe_real *factor = moei_scale_d(m) + O;
    const moe_real *o = moei_is_around_y(m) ? m->y + (ptrdiff_t)row * O
                      : m->o + ((ptrdiff_t)row * m->K + k) * O;
    moe_real sum = 0;
    int j;

    for (j = 0; j < O; j++) {
        const moe_real off = (d[j] - o[j]) / factor[j];

        sum += !moei_is_entropy(m) ? off * off
             : moei_surprise(d[j], o[j], MOEI_EITHER(104, 746));
        if (m->output == MOE_OUT_BERNOULLI)
            sum += moei_surprise(1 - d[j], 1 - o[j], MOEI_EITHER(18, 38));
    }
    return moei_cut(sum);
}

/* log (p_i N(d; ., s_i^2)) + log sum_j exp(s_j), without (2 pi)^(-O/2):
   s_i - e_i / (2 s_i^2) - O log s_i */
static moe_real moei_log_joint(const moe *m, int row, int k, moe_real e)
{
    const int i = (int)m->selected[(ptrdiff_t)row * m->chosen + k];
    const moe_real s = m->s[(ptrdiff_t)row * m->E + i];
    const moe_real sigma = moei_sigma(m, i);

    return moei_is_entropy(m) ? s - e
         : s - e / (2 * sigma * sigma)
           - (moe_real)m->O * moei_value(MOEI_LOG, sigma);
}

/* log sum over the experts that ran of their joint densities, or of exp(s): the
   largest so far is taken out. */
static moe_real moei_log_total(const moe *m, int row, const moe_real *d)
{
    const int32_t *ran = m->selected + (ptrdiff_t)row * m->chosen;
    const moe_real *s = m->s + (ptrdiff_t)row * m->E;
    moe_real most = -MOEI_INFINITY, sum = 0, a;
    int k;

    for (k = 0; k < moei_ran(m, ran); k++) {
        a = d ? moei_log_joint(m, row, k, moei_shown_error(m, row, k, d))
              : s[ran[k]];
        if (a > most) {
            sum = sum * moei_value(MOEI_EXP, most - a) + 1;
            most = a;
        } else {
            sum += moei_value(MOEI_EXP, a - most);
        }
    }
    return most + moei_value(MOEI_LOG, sum);
}

/* log of a unit of density: (2 pi)^(-O/2) over the factors of d. */
static moe_real moei_log_unit(const moe *m)
{
    const moe_real half_log_2_pi = (moe_real)0.91893853320467274178;
    moe_real sum = 0;
    int j;

    for (j = 0; j < m->O && !moei_is_entropy(m); j++)
        sum -= half_log_2_pi + moei_value(MOEI_LOG, moei_scale_d(m)[m->O + j]);
    return sum;
}

MOE_DEF void moe_density(moe *m, const moe_real *x, const moe_real *d, int n,
                         moe_real *log_density)
{
    const int ready = moei_is_ready(m, NULL)
                   && (n < 1 || (x && d && log_density));
    int done, row;

    MOE_ASSERT(ready);
    if (!ready)
        return;
    for (done = 0; done < n; done += m->rows) {
        (void)moe_forward(m, x + (ptrdiff_t)done * m->I, n - done);
        for (row = 0; row < m->rows; row++)
            log_density[done + row] = moei_log_unit(m)
                + moei_log_total(m, row, d + (ptrdiff_t)(done + row) * m->O)
                - moei_log_total(m, row, NULL);
    }
    m->shown_count = -1;
}

/* The variance of output j of a row, in user's units. */
static moe_real moei_variance_of(const moe *m, int row, int j)
{
    const int O = m->O, K = m->chosen;
    const ptrdiff_t r = row;
    const int32_t *ran = m->selected + r * K;
    const moe_real y = m->y[r * O + j], factor = moei_scale_d(m)[O + j];
    moe_real sum = 0;
    int k;

    if (moei_is_entropy(m))
        return y < 1 ? y * (1 - y) : 0;
    for (k = 0; k < moei_ran(m, ran); k++) {
        const moe_real deviation = moei_sigma(m, (int)ran[k]) * factor;
        const moe_real off = moei_is_around_y(m) ? 0
                           : m->o[(r * K + k) * O + j] - y;
        const moe_real p = m->p[r * m->E + ran[k]];
        sum += p == 0 ? 0 : p * (deviation * deviation + off * off);
    }
    return sum;
}

MOE_DEF void moe_predict_deviation(moe *m, const moe_real *x, int n,
                                   moe_real *y, moe_real *deviation)
{
    const int ready = moei_is_ready(m, NULL)
                   && (n < 1 || (x && y && deviation));
    int done, i;

    MOE_ASSERT(ready);
    if (!ready)
        return;
    for (done = 0; done < n; done += m->rows) {
        (void)moe_forward(m, x + (ptrdiff_t)done * m->I, n - done);
        for (i = 0; i < m->rows * m->O; i++) {
            *y++ = m->y[i];
            *deviation++ = moei_sqrt(moei_variance_of(m, i / m->O, i % m->O));
        }
    }
    m->shown_count = -1;
}

#ifndef MOE_PREDICT_ONLY
/* d (n,O) from labels: 1 at the label, else 0; NaN if it is out of range. */
static void moei_load_labels(moe *m, const int *labels, const int32_t *list)
{
    moe_real *d = moei_from(m, m->d, m->O);
    int c;

    moei_zero(d, moei_all(m, m->O));
    for (c = 0; c < MOEI_n(m); c++) {
        const int label = labels[list ? list[c] : c];
        const int bad = moei_outside(label, 0, m->O - 1);
        d[moei_at(MOEI_N(m), m->O, bad ? 0 : label, c)] = bad ? MOEI_NAN : 1;
    }
}

/* A part of the data: n cases, from `first` on in the order that split_key
   gives to all of them, themselves in the order of a key. */
typedef struct moei_part {
    const moe_data *data;
    int n, first;
    int split, shuffled;         /* 0: as they stand                         */
    uint64_t split_key, key;
    moe_real mean_weight;        /* of its cases                             */
} moei_part;

static moei_part moei_all_of(const moe_data *data)
{
    moei_part part = {data, data->n, 0, 0, 0, 0, 0, 1};
    return part;
}

/* The row of data that is case i of a part. */
static int moei_row_of_part(const moei_part *part, int i)
{
    if (part->shuffled)
        i = (int)moei_shuffled((uint32_t)i, (uint32_t)part->n, part->key);
    return part->split
         ? (int)moei_shuffled((uint32_t)(part->first + i),
                              (uint32_t)part->data->n, part->split_key) : i;
}

/* The cases at hand: rows of data from `first` on, or those that are listed. */
static void moei_load_rows(moe *m, const moe_data *data, ptrdiff_t first,
                           const int32_t *list)
{
    m->case_weights = data->weights ? data->weights + first : NULL;
    m->ordered = list != NULL;
    moei_load_x(m, data->x + m->I * first, list);
    if (data->d != NULL)
        moei_load(m, MOEI_DIVIDE_IN, data->d + m->O * first, list,
                  m->O, moei_scale_d(m), m->d, m->O);
    else if (data->labels != NULL)
        moei_load_labels(m, data->labels + first, list);
}

/* The cases first .. end-1 of a part, as many as are worked at once. */
static void moei_load_data(moe *m, const moei_part *part, int first, int end)
{
    const int listed = part->split || part->shuffled;
    int32_t *order = listed ? moei_whole(m->order) : NULL;
    int i;

    moei_begin(m, 0, end - first);
    for (i = 0; i < MOEI_n(m) && listed; i++)
        order[i] = (int32_t)moei_row_of_part(part, first + i);
    moei_load_rows(m, part->data, listed ? 0 : first, order);
}

static int moei_are_finite(const moe *m, const moe_real *x, size_t count)
{
    return moei_loops_of(m)->are_below(MOEI_BIAS + 1, count, x);
}

/* Whether x, d and weights of the cases at hand are finite. */
static int moei_block_is_finite(const moe *m)
{
    const size_t n = (size_t)moei_all(m, 1);    /* from case 0 on */
    int c;

    for (c = 0; c < MOEI_n(m) && m->case_weights != NULL; c++)
        if (!moei_is_amount(moei_weight(m, c)))
            return 0;
    return moei_are_finite(m, m->x, (size_t)m->X * n)
        && moei_are_finite(m, m->d, (size_t)m->O * n);
}

/* Which column of x input i of a net is. */
static int moei_column_of(const moe *m, const moei_net *net, int i)
{
    i += net->first;
    return i < m->I ? i : (int)m->columns[i - m->I];
}

/* dE/dx += factor W dE/da of the first layer of a copy, times p where weights
   are blended, to rows of the user's (n,I) */
static void moei_input_backward(const moe *m, const moei_run *run, int copy)
{
    const moei_net *net = run->net;
    const moe_real *factor = moei_scale_x(m) + m->I;
    const moe_real *W = moei_source(m, net, 0) + moei_weight_at(net, copy, 0);
    const int out = net->width[1];
    moe_real row[MOEI_PANEL];
    int i, c, column;

    for (i = 0; i < net->width[0]; i++, W += out) {
        moei_loops_of(m)->inputs(MOEI_n(run), MOEI_N(run), 1, out, run->delta,
                                 W, row);
        column = moei_column_of(m, net, i);
        for (c = 0; c < MOEI_n(run); c++) {
            if (run->mix != NULL)
                row[c] *= run->mix[moei_at(MOEI_N(run), m->E, copy, c)];
            m->back_to_x[moei_row(run, c) * (ptrdiff_t)m->I + column]
                += factor[column] * row[c];
        }
    }
}

/* grads += those of a run, all of whose dE/da are known; dE/dx, if asked. */
static void moei_add_gradient(moe *m, const moei_run *run)
{
    int i;

    (void)moei_net_learn(m, run, moei_inputs_of(m, run), MOEI_TO_GRADS, 1);
    for (i = 0; i < run->net->copies && m->back_to_x != NULL; i++)
        if (run->mix != NULL || i == run->copy)
            moei_input_backward(m, run, i);
}

/* The way back of a run.  In a sparse mixture grads also count the cases that
   chose its expert, in the place of gate.balance. */
static void moei_run_gradient(moe *m, const moei_run *run, int path)
{
    const int counts = m->sparse && !m->p_is_given && moei_balance_count(m) > 0;
    const size_t at = m->grad_count - (size_t)(m->E - run->copy);
    int c;

    moei_run_backward(m, run, (moei_path)path, 0);
    moei_add_gradient(m, run);
    for (c = 0; c < MOEI_n(run) && counts; c++)
        m->grads[at] += moei_weight(m, moei_row(run, c));
}

/* The gate's part of the way back, after the experts': adds to grads, or
   returns |dE/dparams|^2 of one case. */
MOEI_INLINE moe_real moei_gate_backward(moe *m, moei_path path, int balance,
                                        const moei_use use)
{
    moe_real square = 0;
    int c;

    if (m->E == 1 || m->p_is_given || !moei_wants_delta(m, &m->gate, 0))
        return 0;
    moei_gate_delta(m, path);
    for (c = 0; c < MOEI_n(m); c += m->sparse ? MOEI_FEW : MOEI_n(m)) {
        const moei_run run = moei_gate_run(m, c);
        moei_gate_last_delta(m, &run, balance);
        if (!m->is_one)                     /* whose dE/dp has them already */
            moei_weigh_cases(m, &run, m->E, moei_last_delta(&run));
        moei_net_backward(m, &run, NULL);
        if (use == MOEI_TO_GRADS)
            moei_add_gradient(m, &run);
        else
            square += moei_net_learn(m, &run, moei_inputs_of(m, &run), use, 1);
    }
    return square;
}

static void moei_block_backward(moe *m, moei_path path, int balance,
                                moe_real *dE_dp)
{
    moei_each_run(m, moei_run_gradient, (int)path, m->back_to_x != NULL);
    if (dE_dp != NULL)
        moei_show_table(m, m->error_of, dE_dp);
    (void)moei_gate_backward(m, path, balance, MOEI_TO_GRADS);
}

/* grads += of the loss, after moei_loss_forward. */
static void moei_loss_backward(moe *m)
{
    if (moei_path_of(m) == MOEI_BY_BLEND)
        moei_blend_loss_backward(m);
    moei_block_backward(m, moei_path_of(m), moei_has_balance_loss(m), NULL);
}

/* y = shift + factor y', so dE/dy' = factor dE/dy, to d */
static void moei_load_error(moe *m, const moe_real *dE_dy)
{
    const moe_real *factor = moei_scale_d(m) + m->O;
    moe_real *d = moei_from(m, m->d, m->O);
    int c, k;

    for (c = 0; c < MOEI_n(m); c++)
        for (k = 0; k < m->O; k++)
            d[moei_at(MOEI_N(m), m->O, k, c)] = factor[k] * *dE_dy++;
}

/* z = (x - shift) factor, so dE/dx = factor dE/dz */
MOEI_LEARN void moe_backward_with(moe *m, const moe_real *dE_dy,
                                  moe_real *dE_dx, moe_real *dE_dp)
{
    const int ready = m && m->grads && dE_dy && m->shown_count == m->rows;
    int first;

    MOE_ASSERT(ready);
    if (!ready)
        return;
    m->case_weights = NULL;
    for (first = 0; first < m->rows; first += MOEI_n(m)) {
        moei_begin(m, first, m->rows - first);
        moei_load_error(m, dE_dy + (ptrdiff_t)first * m->O);
        if (MOEI_n(m) == 1)
            moei_find_runs(m);
        m->back_to_x = dE_dx ? dE_dx + (ptrdiff_t)first * m->I : NULL;
        if (dE_dx != NULL)
            moei_zero(m->back_to_x, MOEI_n(m) * (ptrdiff_t)m->I);
        moei_block_backward(m, MOEI_BY_BLEND, 0, dE_dp);
    }
    m->back_to_x = NULL;
}

MOEI_LEARN void moe_backward(moe *m, const moe_real *dE_dy, moe_real *dE_dx)
{
    moe_backward_with(m, dE_dy, dE_dx, NULL);
}

/* A sum over cases, in groups of 64 and with what rounding took from them, so
   that it does not depend on blocks. */
typedef struct moei_total { moe_real sum, carry, group; } moei_total;

/* The losses of the cases at hand, behind so many others. */
static void moei_total_add(moei_total *t, const moe *m, int before)
{
    const moe_real *loss = moei_from(m, m->loss, 1);
    int c;

    for (c = 0; c < MOEI_n(m); c++) {
        t->group += moei_weight(m, c) * loss[c];
        if ((before + c + 1) % 64 == 0) {
            moei_add(&t->sum, &t->carry, t->group);
            t->group = 0;
        }
    }
}

static moe_real moei_total_of(const moei_total *t)
{
    return t->sum + (t->carry + t->group);
}

/* Before the gradient of these cases, which may be none: it is of E; f of the
   balance loss, if any, are the shares of their choices. */
static void moei_begin_gradient(moe *m, const moei_part *part, int first,
                                int count)
{
    moe_real all = 0;
    int i, at;

    m->state->by_loss = 1;
    if (!moei_has_balance_loss(m))
        return;
    moei_zero(m->share, m->E);
    for (at = first; at < first + count; at += MOEI_n(m)) {
        moei_load_data(m, part, at, first + count);
        moei_gate_forward(m, NULL);
        for (i = 0; i < MOEI_n(m) * m->K; i++)
            if (moei_selected(m)[i] >= 0)
                m->share[moei_selected(m)[i]] += moei_weight(m, i / m->K);
    }
    for (i = 0; i < m->E; i++)
        all += m->share[i];
    for (i = 0; i < m->E && all > 0; i++)
        m->share[i] /= all;
}

/* Whether the targets are of a kind that this moe can learn from. */
static int moei_targets_fit(const moe *m, const moe_data *data)
{
    return (data->d == NULL) != (data->labels == NULL)
        && (data->d != NULL || m->output == MOE_OUT_SOFTMAX);
}

/* h of the cases at hand to (rows,E); of losses without posteriors, too. */
static void moei_show_posteriors(moe *m)
{
    m->rows = MOEI_n(m);
    if (m->is_one)
        return;
    if (moei_path_of(m) != MOEI_BY_POSTERIOR && m->E > 1) {
        moei_each_run(m, moei_run_error, 0, 0);
        moei_mixture_forward(m);
        moei_loss_forward(m);
    }
    moei_show_table(m, m->post, moei_shown(m->h));
}

MOEI_LEARN moe_real moe_gradient(moe *m, const moe_data *data)
{
    const int given = data && (data->n < 1 || data->x);
    moei_total loss = {0, 0, 0};
    moei_part part;
    int first;

    MOE_ASSERT(m && m->grads && given);
    if (m == NULL || m->grads == NULL)
        return MOEI_NAN;
    m->shown_count = -1;
    if (!given || !moei_targets_fit(m, data) || !moei_is_ready(m, NULL))
        return m->grads[0] = MOEI_NAN;      /* which moe_step refuses */
    part = moei_all_of(data);
    moei_begin_gradient(m, &part, 0, data->n);
    for (first = 0; first < data->n; first += MOEI_n(m)) {
        moei_load_data(m, &part, first, data->n);
        if (!moei_block_is_finite(m))
            return m->grads[0] = MOEI_NAN;
        moei_block_forward(m, NULL);
        moei_loss_forward(m);
        moei_total_add(&loss, m, first);
        if (first + MOEI_n(m) >= data->n)
            moei_show_posteriors(m);
        moei_loss_backward(m);
    }
    return moei_total_of(&loss);
}

/* ------------------------------------------- one case, straight into it */
/* All dE/da of the case at hand, for a plain step; returns |dE/dparams|^2. */
static moe_real moei_one_backward(moe *m)
{
    const moei_path path = moei_path_of(m);
    moei_run run = moei_one_run(m);
    const moe_real *x = moei_inputs_of(m, &run);
    moe_real square = 0;

    if (path == MOEI_BY_BLEND)
        moei_blend_loss_backward(m);
    for (; run.slot < m->runs; moei_next_run(m, &run)) {
        moei_run_backward(m, &run, path, 1);
        square += moei_net_learn(m, &run, x, MOEI_TO_SQUARE, 1);
    }
    return square + moei_gate_backward(m, path, moei_has_balance_loss(m),
                                       MOEI_TO_SQUARE);
}

/* w += step dE/dw of the case at hand. */
static void moei_one_step(moe *m, moe_real step)
{
    moei_run run = moei_one_run(m), gate = moei_gate_run(m, 0);
    const moe_real *x = moei_inputs_of(m, &run);

    for (; run.slot < m->runs; moei_next_run(m, &run))
        (void)moei_net_learn(m, &run, x, MOEI_TO_WEIGHTS, step);
    x = moei_inputs_of(m, &gate);
    if (m->E > 1)
        (void)moei_net_learn(m, &gate, x, MOEI_TO_WEIGHTS, step);
}

/* ======================================================================== */
/* 9  LEARNING                                                              */
/* ======================================================================== */
/* Steps: by an optimiser from grads, or of one case straight into the weights.
   Only finite weights and moments are written. */
/* *t, or the defaults: all zeros, but without moments there is no Adam. */
static moe_training moei_settings_of(const moe *m, const moe_training *t)
{
    moe_training plain;

    moei_zero_bytes(&plain, sizeof plain);
    plain.optimizer = m->mode == MOE_MODE_TRAIN ? MOE_ADAM : MOE_SGD;
    return t ? *t : plain;
}

/* The deeper the nets, the smaller the steps. */
static moe_real moei_rate_of(const moe *m, const moe_training *t)
{
    moe_real rate = t->optimizer == MOE_SGD ? (moe_real)0.1 : (moe_real)0.015;
    int l;

    for (l = moei_max(m->expert.layers, m->gate.layers); l > 2; l--)
        rate /= 2;
    return t->rate > 0 ? t->rate : rate;
}

/* Whether m can learn as a mode can, with or without a gate; if not, why. */
static moe_status moei_check_mode(moe *m, moe_mode mode, int gate)
{
    static const char *const lacks[] = {
        MOEI_TEXT("this needs MOE_MODE_TRAIN in config"),
        MOEI_TEXT("this needs MOE_MODE_GRADIENT or MOE_MODE_TRAIN in config"),
        MOEI_TEXT("this needs MOE_MODE_LEARN or above in config")
    };
    const char *fault = m->params == NULL ? MOEI_TEXT("this moe is closed")
        : m->weights == NULL
            ? MOEI_TEXT("const weights can only predict: config.frozen says "
                        "which of them stay, so that the others can learn")
        : m->params != m->weights && !m->tunes
            ? MOEI_TEXT("params is not m.weights")
        : m->mode > (int)mode ? lacks[mode]
        : gate && !moei_is_ready(m, NULL)
            ? MOEI_TEXT("this needs a gate; without one use moe_forward_with, "
                        "moe_backward and moe_step") : NULL;

    return fault ? moei_refuse(m, MOE_ERR_STATE, fault) : MOE_OK;
}

/* Whether something does not learn, or params are not m's own. */
static int moei_is_frozen(const moe *m)
{
    return m->tunes || m->grad_count < m->trained_count
        || m->config.frozen_experts != 0;
}

/* The same, and whether the settings are in range: of m what may be changed
   after opening; of t, unless nothing is to be learnt (NULL).  With top_k = 1
   p is 1, and its derivative 0. */
static moe_status moei_check_use(moe *m, moe_mode mode, int gate,
                                 const moe_training *t)
{
    const moe_status status = moei_check_mode(m, mode, gate);
    const char *fault = status || t == NULL ? NULL
        : m->chosen == 1 && moei_has_gate(m) && m->gate.learning != 0
            ? MOEI_TEXT("top_k = 1 teaches its gate nothing: train with 2 or "
                        "more, or with all by (1.3), then predict with 1")
        : t->epochs < 0 ? MOEI_TEXT("epochs is negative")
        : t->batch < MOE_ALL ? MOEI_TEXT("batch is negative and not MOE_ALL")
        : moei_outside((int)t->optimizer, MOE_ADAM, MOE_SGD)
            ? MOEI_TEXT("optimizer is not MOE_ADAM or MOE_SGD")
        : !moei_is_amount(t->rate) ? MOEI_TEXT("rate is outside 0..1e30")
        : !(t->momentum >= 0 && t->momentum < 1)
            ? MOEI_TEXT("momentum is outside [0,1)")
        : t->momentum > 0 && t->optimizer != MOE_SGD
            ? MOEI_TEXT("momentum is for MOE_SGD")
        : !moei_is_amount(t->weight_decay)
            ? MOEI_TEXT("weight_decay is outside 0..1e30")
        : !moei_is_amount(t->clip) ? MOEI_TEXT("clip is outside 0..1e30")
        : !moei_is_amount(t->target) ? MOEI_TEXT("target is outside 0..1e30")
        : !moei_is_amount(t->balance_rate)
            ? MOEI_TEXT("balance_rate is outside 0..1e30")
        : t->balance_rate > 0 && (m->K == m->E || !moei_has_gate(m))
            ? MOEI_TEXT("balance_rate needs top_k in 2..experts-1, a gate and "
                        "blended outputs")
        : t->balance_rate > 0 && moei_balance_count(m) == 0
            ? MOEI_TEXT("balance_rate: gate.balance is frozen as its layer")
        : t->patience < -1 ? MOEI_TEXT("patience is below -1")
        : t->holdout != -1 && !(t->holdout >= 0 && t->holdout < 1)
            ? MOEI_TEXT("holdout is outside [0,1) and not -1")
        : t->restarts < 0 ? MOEI_TEXT("restarts is negative")
        : t->restarts > 1 && moei_is_frozen(m)
            ? MOEI_TEXT("restarts would begin what is frozen anew") : NULL;

    fault = status || fault ? fault : moei_frozen_fault(&m->config);
    fault = status || fault ? fault
          : moei_loss_fault(&m->config, m->K < m->E && moei_has_gate(m),
                            m->is_one);
    return fault ? moei_refuse(m, MOE_ERR_CONFIG, fault) : status;
}

static moe_real moei_larger(moe_real a, moe_real b)
{
    return a > b ? a : b;
}

/* A standard deviation that can be divided by, and is no single case's. */
static moe_real moei_sigma_within(moe_real sigma)
{
    const moe_real least = (moe_real)0.01, most = (moe_real)1e15;

    return sigma > most ? most : moei_larger(sigma, least);
}

/* The optimiser begins anew. */
static void moei_forget_moments(moe *m)
{
    if (m->state == NULL)
        return;
    moei_zero(m->grads, (ptrdiff_t)moei_lines(m->grad_count)
                        * (m->mode == MOE_MODE_TRAIN ? 3 : 1));
    m->state->by_loss = 0;
    moei_forget_steps(m->state);
}

/* -------------------------------------------------- a step from grads */
/* Parameters that follow a gradient: all but gate.balance, which is last.  In
   its place grads count the cases that have chosen an expert. */
static size_t moei_descending(const moe *m)
{
    return m->grad_count - moei_balance_count(m);
}

/* |x|, not finite if x is not; scaled where squares leave the range. */
static moe_real moei_norm(const moe *m, const moe_real *x, size_t count)
{
    moe_real sum = 0, part, by;
    size_t i, n;

    for (i = 0; i < count; i += n) {
        n = count - i < 4096 ? count - i : 4096;
        moei_loops_of(m)->dot(1, 1, (int)n, x + i, x + i, &part);
        sum += part;
    }
    if (moei_is_finite(sum) && sum > (moe_real)1e-24)
        return moei_sqrt(sum);
    by = sum > 1 ? (moe_real)1e-25 : (moe_real)1e18;
    for (sum = 0, i = 0; i < count; i++)
        sum += x[i] * by * (x[i] * by);
    return moei_sqrt(sum) / by;
}

/* Parameters w by a rule, and grads from `from` on, which then are 0. */
static void moei_update_part(moe *m, moe_real *w, size_t from, size_t count,
                             const moei_rule *rule)
{
    moe_real *v = rule->moments > 0 ? moei_stored(m, MOEI_FIRST) + from : NULL;
    moe_real *u = rule->moments > 1 ? moei_stored(m, MOEI_SECOND) + from : NULL;

    moei_loops_of(m)->update(rule, count, w, m->grads + from, v, u);
}

/* A net's layers that learn, by copies if some do not; biases do not decay. */
static void moei_update_net(moe *m, const moei_net *net, const moei_rule *rule)
{
    const int step = m->config.frozen_experts != 0 ? 1 : net->copies;
    moei_rule of_bias = *rule;
    int l, c;

    of_bias.decay = 0;
    for (l = 0; l < net->layers; l++) {
        const size_t out = (size_t)net->width[l + 1] * (size_t)step;
        const size_t weights = (size_t)net->width[l] * out;
        const size_t from = moei_layer_start(net, l, 1);
        const size_t first = moei_layer_of(m, net, 0, l).bias;

        for (c = 0; c < net->copies; c += step) {
            const moe_layer at = moei_layer_of(m, net, c, l);

            if (!moei_copy_learns(m, net, c, l))
                continue;
            moei_update_part(m, m->weights + at.bias, from + (at.bias - first),
                             out, &of_bias);
            moei_update_part(m, m->weights + at.weight,
                             from + (at.weight - first), weights, rule);
        }
    }
}

/* Both nets; at once where nothing decays and weights stand as grads do. */
static void moei_update(moe *m, const moei_rule *rule)
{
    if (rule->decay <= 0 && m->config.frozen_experts == 0
        && (m->tunes || m->grad_count == m->trained_count))
        moei_update_part(m, m->weights, 0, moei_descending(m), rule);
    else {
        moei_update_net(m, &m->expert, rule);
        moei_update_net(m, &m->gate, rule);
    }
}

/* Why a step by a rule cannot be, or NULL; it is clipped.  No weight moves
   further than `step`, by the norms of the scaled gradient, of what decays and
   of moments; where all numbers are below 2^30 this will do, in less time. */
static const char *moei_step_fault(moe *m, const moe_training *t,
                                   moei_rule *rule)
{
    const moe_real limit = (moe_real)1e3, below = (moe_real)1073741824;
    const moe_real scale = rule->scale < 0 ? -rule->scale : rule->scale;
    const size_t n = moei_descending(m);
    const size_t all = m->tunes ? m->grad_count : m->trained_count;
    const moei_loops *loops = moei_loops_of(m);
    const int adam = rule->moments == 2, decays = rule->decay > 0;
    moe_real *const largest = &m->state->largest_moment;
    const int small = rule->rate <= limit && rule->decay <= limit
        && scale <= limit && loops->are_below(30, n, m->grads)
        && (!decays || loops->are_below(30, all, m->weights));
    const moe_real w = !decays ? 0 : rule->decay
                     * (small ? below : moei_norm(m, m->weights, all));
    moe_real g = scale * (small && !(t->clip > 0) ? below
                                           : moei_norm(m, m->grads, n));
    moe_real v, step;

    if (!moei_is_finite(g)
        || !moei_are_finite(m, m->grads + n, m->grad_count - n))
        return MOEI_TEXT("the gradient is not finite");
    if (t->clip > 0 && g > t->clip) {
        rule->scale *= t->clip / g;
        g = t->clip;
    }
    v = adam ? moei_larger(*largest, g) : rule->momentum * *largest + g + w;
    step = adam ? rule->rate * v / MOEI_EPSILON + w : rule->rate * v;
    if (!moei_is_finite(adam ? v * v : v) || !moei_is_amount(step)
        || (!adam && !moei_is_amount(rule->rate * (scale + rule->decay))))
        return MOEI_TEXT("a step so large may leave the finite numbers");
    if (rule->moments > 0)
        *largest = v;
    return NULL;
}

/* Balancing without a loss (Wang, Gao, Zhao, Sun & Dai 2024): gate.balance of
   experts that fewer cases than the mean have chosen goes up, else down.  What
   all move in common chooses nothing and is taken out, or it might grow.
   count (E): how many cases have chosen an expert */
static void moei_step_balance(moe *m, const moe_real *count, moe_real rate)
{
    moe_real *balance = moei_shown(moei_balance(m)), sum = 0, all = 0;
    int e;

    for (e = 0; e < m->E; e++)
        sum += count[e];
    for (e = 0; e < m->E; e++) {
        const moe_real over = count[e] * (moe_real)m->E - sum;
        const moe_real step = over < 0 ? rate : over > 0 ? -rate : 0;
        balance[e] += step;
        all += step;
    }
    for (e = 0; e < m->E; e++)
        balance[e] -= all / (moe_real)m->E;
}

/* One step at a given rate, of checked settings; grads then count as 0. */
static moe_status moei_step(moe *m, const moe_training *t, moe_real rate,
                            moe_real scale)
{
    const moe_real tiny = (moe_real)1e-20;  /* 1 less it is 1; later: slow */
    size_t n = moei_descending(m);
    const int adam = t->optimizer == MOE_ADAM;
    moei_state *const s = m->state;
    moei_rule rule = {
        adam ? 2 : t->momentum > 0, scale,
        adam ? rate / (1 - s->beta_power[0] * MOEI_BETA_1) : rate,
        t->momentum, adam ? rate * t->weight_decay : t->weight_decay,
        1 / (1 - s->beta_power[1] * MOEI_BETA_2)
    };
    const char *fault;

    m->set = m->sets[0];                    /* whatever was done before it */
    if (!adam && s->by_loss)
        moei_take_sigma_out(m, m->grads, (ptrdiff_t)(moei_has_gate(m)
                                                     ? m->gate.grad_at : n));
    fault = moei_step_fault(m, t, &rule);
    if (fault == NULL) {
        moei_update(m, &rule);
        if (t->balance_rate > 0)
            moei_step_balance(m, m->grads + n, t->balance_rate);
        s->beta_power[0] *= s->beta_power[0] > tiny ? MOEI_BETA_1 : 0;
        s->beta_power[1] *= s->beta_power[1] > tiny ? MOEI_BETA_2 : 0;
        s->steps += s->steps < (int)(~0u >> 2);     /* as files count */
        m->scale_state = 2;
    }
    n = fault || m->config.frozen_experts != 0 ? 0 : n;     /* 0 before n */
    moei_zero(m->grads + n, (ptrdiff_t)(m->grad_count - n));
    s->by_loss = 0;
    m->shown_count = -1;
    return fault ? moei_refuse(m, MOE_ERR_DIVERGED, fault) : moei_ok(m);
}

MOEI_LEARN moe_status moe_step(moe *m, const moe_training *t, moe_real scale)
{
    moe_training plan;
    moe_status status;

    if (m == NULL)
        return MOE_ERR_NULL;
    plan = moei_settings_of(m, t);
    status = moei_check_use(m, MOE_MODE_GRADIENT, 0, &plan);
    if (status != MOE_OK)
        return status;
    if (!moei_is_finite(scale))
        return moei_refuse(m, MOE_ERR_CONFIG, MOEI_TEXT("scale is not finite"));
    if (m->mode != MOE_MODE_TRAIN
        && (plan.optimizer == MOE_ADAM || plan.momentum > 0))
        return moei_refuse(m, MOE_ERR_STATE,
                           MOEI_TEXT("Adam and momentum need MOE_MODE_TRAIN"));
    return moei_step(m, &plan, moei_rate_of(m, &plan), scale);
}

/* ---------------------------------------- a step of one case, at once */
/* One case: forward, all dE/da, then, if all is finite, the weights. */
static int moei_learn_case(moe *m, const moe_data *data, int i,
                           const moe_training *t)
{
    moe_real step = -moei_rate_of(m, t), norm;
    int k;

    moei_begin(m, 0, 1);
    moei_load_rows(m, data, i, NULL);
    if (!moei_block_is_finite(m))
        return 0;
    moei_block_forward(m, NULL);
    if (moei_has_balance_loss(m)) {
        moei_zero(m->share, m->E);
        for (k = 0; k < m->runs; k++)
            m->share[moei_selected(m)[k]] = 1 / (moe_real)m->runs;
    }
    moei_loss_forward(m);
    norm = moei_sqrt(moei_one_backward(m));
    if (t->clip > 0 && norm > t->clip)
        step *= t->clip / norm;
    if (!moei_is_finite(norm)           /* so |x| < 2e19 */
        || !moei_is_amount(-step * moei_larger(norm, (moe_real)1e12)))
        return 0;
    moei_one_step(m, step);
    return 1;
}

MOEI_LEARN int moe_learn(moe *m, const moe_data *data, const moe_training *t)
{
    moe_training sgd;
    int i, left_out = 0;

    MOE_ASSERT(m && data && (data->n < 1 || data->x));
    if (m == NULL || data == NULL || data->n < 1 || data->x == NULL)
        return data && data->n > 0 ? data->n : 0;
    sgd = moei_settings_of(m, NULL);
    sgd.optimizer = MOE_SGD;
    sgd.rate = t ? t->rate : 0;
    sgd.clip = t ? t->clip : 0;
    if (moei_check_use(m, MOE_MODE_LEARN, 1, &sgd) != MOE_OK
        || !moei_targets_fit(m, data))
        return data->n;
    m->shown_count = -1;
    for (i = 0; i < data->n; i++)
        left_out += !moei_learn_case(m, data, i, &sgd);
    if (left_out < data->n)
        m->scale_state = 2;
    (void)moei_ok(m);
    return left_out;
}

/* ======================================================================== */
/* 10  DATA                                                                 */
/* ======================================================================== */
/* Column of the first value that is not finite, or not in low..high, or -1. */
static int moei_bad_column(const moe_real *x, int count, moe_real low,
                           moe_real high)
{
    int j;

    for (j = 0; j < count; j++)
        if (!moei_is_finite(x[j]) || x[j] < low || x[j] > high)
            return j;
    return -1;
}

/* The sentence for one case, or NULL; *column counts x's columns, then d's. */
static const char *moei_case_fault(const moe *m, const moe_data *data, int i,
                                   int *column)
{
    const int O = m->O, logistic = m->output == MOE_OUT_LOGISTIC
                                || m->output == MOE_OUT_BERNOULLI;
    const moe_real all = MOEI_INFINITY, high = logistic ? 1 : all;
    const moe_real low = m->output == MOE_OUT_LINEAR ? -all : 0;
    const moe_real *d = data->d ? data->d + (ptrdiff_t)i * O : NULL;
    moe_real sum = 0;
    int k;

    *column = moei_bad_column(data->x + (ptrdiff_t)i * m->I, m->I, -all, all);
    if (*column >= 0)
        return MOEI_TEXT("x is NaN or infinite");
    *column = m->I;
    if (data->weights != NULL && !moei_is_amount(data->weights[i])) {
        *column = m->I + O;
        return MOEI_TEXT("a weight is negative, NaN or above 1e30");
    }
    if (d == NULL)
        return moei_outside(data->labels[i], 0, O - 1)
             ? MOEI_TEXT("a label is outside 0..outputs-1") : NULL;
    k = moei_bad_column(d, O, low, high);
    *column += moei_max(k, 0);
    if (k >= 0)
        return !moei_is_finite(d[k]) ? MOEI_TEXT("d is NaN or infinite")
            : logistic ? MOEI_TEXT("d is outside [0,1], where outputs are")
            : MOEI_TEXT("d is negative, but the experts are softmax");
    for (k = 0; k < O; k++)
        sum += d[k];
    return m->output != MOE_OUT_SOFTMAX
           || (sum > (moe_real)0.999 && sum < (moe_real)1.001) ? NULL
        : MOEI_TEXT("a row of d does not sum to 1, as softmax experts need");
}

MOEI_COLD static moe_status moei_check_data(moe *m, const moe_data *data,
                                            int row_0, moe_report *report)
{
    const int none = data == NULL || data->x == NULL;
    const int targets = none ? 0 : (data->d != NULL) + (data->labels != NULL);
    const char *fault = none ? MOEI_TEXT("data or its x is NULL")
        : data->n < 1 ? MOEI_TEXT("n is below 1")
        : targets == 0 ? MOEI_TEXT("neither d nor labels given")
        : targets == 2 ? MOEI_TEXT("both d and labels given")
        : moei_targets_fit(m, data) ? NULL
        : MOEI_TEXT("labels need softmax experts");
    int i;

    if (fault != NULL)
        return moei_refuse(m, none || (data->n > 0 && targets == 0)
                              ? MOE_ERR_NULL : MOE_ERR_DATA, fault);
    for (i = 0; i < data->n; i++) {
        fault = moei_case_fault(m, data, i, &report->bad_column);
        report->bad_row = row_0 + i;
        if (fault != NULL)
            return moei_refuse(m, MOE_ERR_DATA, fault);
    }
    report->bad_row = report->bad_column = -1;
    for (i = 0; data->weights != NULL && data->weights[i] == 0; i++)
        if (i + 1 == data->n)
            return moei_refuse(m, MOE_ERR_DATA, MOEI_TEXT("all weights are 0"));
    return MOE_OK;
}

static moe_real moei_total_weight(const moei_part *part)
{
    const moe_real *weights = part->data->weights;
    moe_real sum = 0, carry = 0;
    int i;

    for (i = 0; i < part->n && weights != NULL; i++)
        moei_add(&sum, &carry, weights[moei_row_of_part(part, i)]);
    return weights ? sum + carry : (moe_real)part->n;
}

/* Mean and standard deviation of a column of the data, `stride` reals apart;
   1, and returns 0, if it is constant or cannot be divided by.  Sums run over
   differences from the first value, then from the mean, in units of the
   largest, and keep what rounding loses.  Quarters of all are taken, so that
   none overflows; volatile, or -ffast-math would take that of a difference. */
static int moei_mean_and_deviation(const moe_real *at, const moe_data *data,
                                   int stride, moe_real *mean,
                                   moe_real *deviation)
{
    const moe_real quarter = (moe_real)0.25, *weight = data->weights;
    const moei_part all = moei_all_of(data);
    const moe_real count = moei_total_weight(&all);
    const moe_real end = moei_from_bits(MOEI_INFINITY_BITS - 1) * quarter;
    volatile moe_real middle;
    moe_real sum = 0, carry = 0, most = 0, off;
    int i, first = 0;

    while (weight != NULL && weight[first] == 0)
        first++;
    *mean = at[(ptrdiff_t)first * stride];
    middle = *mean * quarter;
    *deviation = 1;
    for (i = first; i < data->n; i++) {
        off = at[(ptrdiff_t)i * stride] * quarter - middle;
        off = weight && weight[i] == 0 ? 0 : off;
        moei_add(&sum, &carry, weight ? off * (weight[i] / count)
                                      : off / count);
        most = moei_larger(most, off < 0 ? -off : off);
    }
    if (most == 0)
        return 0;
    off = middle + (sum + carry);
    middle = off > end ? end : moei_larger(off, -end);
    *mean = 4 * middle;
    for (sum = carry = 0, i = first; i < data->n; i++) {
        off = (at[(ptrdiff_t)i * stride] * quarter - middle) / most;
        off = weight && weight[i] == 0 ? 0 : off;
        moei_add(&sum, &carry, off * off * (weight ? weight[i] : 1));
    }
    off = most * moei_sqrt((sum + carry) / count);
    off = 4 * (off > end ? end : off);
    if (!(off > 0) || !moei_is_finite(1 / off))
        return 0;
    *deviation = off;
    return 1;
}

/* Where scales change after anything was learnt, y stays the same.  A weight
   gets a value, if told so; returns whether it can have it. */
static int moei_fold(moe_real *w, moe_real value, int write)
{
    const int fits = moei_is_amount(value < 0 ? -value : value);

    if (fits && write)
        *w = value;
    return fits;
}

/* Rows of the first layers, W (out), see z = (x - shift) factor of a column;
   after new scales z' they have to be
     W' = W factor / factor',   b' = b + (shift' - shift) factor W */
static int moei_fold_x(moe *m, int column, moe_real ratio, moe_real offset,
                       int write)
{
    int c, i, k, fits = 1;

    for (c = 0; c <= m->E; c++) {
        const moei_net *net = c < m->E ? &m->expert : &m->gate;
        const moe_layer at = moei_layer_of(m, net, c < m->E ? c : 0, 0);
        moe_real *b = m->weights + at.bias, *W = m->weights + at.weight;

        for (i = 0; i < net->width[0]; i++, W += at.out) {
            if (moei_column_of(m, net, i) != column
                || !moei_copy_learns(m, net, c, 0))
                continue;
            for (k = 0; k < at.out; k++) {
                fits &= moei_fold(&b[k], b[k] + offset * W[k], write);
                fits &= moei_fold(&W[k], ratio > 0 ? W[k] * ratio : 0, write);
            }
        }
    }
    return fits;
}

/* Column k of the experts' last layers:  y = shift + factor o  stays as it is
     W' = W factor / factor',   b' = (shift + factor b - shift') / factor' */
static int moei_fold_d(moe *m, int k, moe_real ratio, moe_real offset,
                       int write)
{
    int c, j, fits = 1;

    for (c = 0; c < m->E; c++) {
        const moe_layer at = moei_layer_of(m, &m->expert, c,
                                           m->expert.layers - 1);
        moe_real *b = m->weights + at.bias + k, *w = m->weights + at.weight + k;

        fits &= moei_fold(b, *b * ratio + offset, write);
        for (j = 0; j < at.in; j++, w += at.out)
            fits &= moei_fold(w, *w * ratio, write);
    }
    return fits;
}

/* x: factor 1/deviation, but no subnormal number, which may count as 0.  What
   is constant says nothing yet, and must not when it varies later: its weights
   are 0, from which they learn.  After learning what is constant in these data,
   or whose weights would not stay finite, keeps the scale that it has. */
static void moei_fit_x(moe *m, const moe_data *data, int learnt)
{
    const int I = m->I;
    const moe_real least = moei_from_bits((moei_bits)1 << MOEI_FRACTION);
    moe_real *x = m->weights + m->trained_count + 2 * m->O, mean, deviation;
    int j;

    for (j = 0; j < I; j++) {
        const int varies = moei_mean_and_deviation(data->x + j, data, I, &mean,
                                                   &deviation);
        const moe_real factor = moei_larger(1 / deviation, least);
        const moe_real ratio = x[I + j] / factor;
        const moe_real offset = (mean - x[j]) * x[I + j];

        if (learnt && !(varies && moei_fold_x(m, j, ratio, offset, 0)))
            continue;
        if (learnt)
            (void)moei_fold_x(m, j, ratio, offset, 1);
        else if (!varies)
            (void)moei_fold_x(m, j, 0, 0, 1);
        x[j] = mean;
        x[I + j] = factor;
    }
}

/* Linear d: factor deviation, in units of which sigma is. */
static void moei_fit_d(moe *m, const moe_data *data, int learnt)
{
    const int O = m->O;
    moe_real *d = m->weights + m->trained_count, mean, deviation, square = 0;
    int j;

    for (j = 0; j < O; j++) {
        const int varies = moei_mean_and_deviation(data->d + j, data, O, &mean,
                                                   &deviation);
        const moe_real ratio = d[O + j] / deviation;
        const moe_real offset = (d[j] - mean) / deviation;
        const int fits = !learnt
                      || (varies && moei_fold_d(m, j, ratio, offset, 0));

        square += fits ? ratio * ratio : 1;
        if (learnt && fits)
            (void)moei_fold_d(m, j, ratio, offset, 1);
        d[j] = fits ? mean : d[j];
        d[O + j] = fits ? deviation : d[O + j];
    }
    for (j = 0; j <= m->E && learnt; j++)
        moei_shown(m->sigma)[j] = moei_sigma_within(
            m->sigma[j] * moei_sqrt(square / (moe_real)O));
}

MOEI_COLD static void moei_fit_scales(moe *m, const moe_data *data)
{
    moei_fit_x(m, data, m->scale_state == 2);
    if (m->output == MOE_OUT_LINEAR)
        moei_fit_d(m, data, m->scale_state == 2);
}

MOEI_LEARN moe_status moe_fit_scales(moe *m, const moe_data *data)
{
    moe_report unread;
    moe_status status = m == NULL ? MOE_ERR_NULL
                      : moei_check_mode(m, MOE_MODE_LEARN, 0);

    if (status == MOE_OK && m->scale_state == 2 && moei_is_frozen(m))
        return moei_refuse(m, MOE_ERR_STATE, MOEI_TEXT("settled scales are "
                           "folded into layers, of which some are frozen"));
    status = status ? status : moei_check_data(m, data, 0, &unread);
    if (status != MOE_OK)
        return status;
    moei_fit_scales(m, data);
    if (m->scale_state == 2)
        moei_forget_moments(m);
    else
        m->scale_state = 1;
    m->shown_count = -1;
    return moei_ok(m);
}

/* ======================================================================== */
/* 11  TRAINING                                                             */
/* ======================================================================== */
/* Totals over cases: these, then (E) p and (E) loads. */
enum { MOEI_WEIGHT, MOEI_LOSS, MOEI_SQUARE, MOEI_RIGHT, MOEI_ENTROPY,
       MOEI_VARIANCE, MOEI_USAGE };

static moei_total *moei_totals(const moe *m)
{
    return (moei_total *)(void *)(m->state + 1);
}

static void moei_clear_totals(moe *m)
{
    moei_zero(&moei_totals(m)->sum, 3 * (MOEI_USAGE + 2 * (ptrdiff_t)m->E));
    m->state->counted = 0;
}

static void moei_end_case(moe *m)
{
    moei_total *t = moei_totals(m), *const end = t + MOEI_USAGE + 2 * m->E;

    if (++m->state->counted % 64 == 0)
        for (; t < end; t->group = 0, t++)
            moei_add(&t->sum, &t->carry, t->group);
}

/* Per case; 0 of cases that do not count. */
static moe_real moei_mean(const moe *m, int of)
{
    const moe_real weight = moei_total_of(moei_totals(m) + MOEI_WEIGHT);

    return weight > 0 ? moei_total_of(moei_totals(m) + of) / weight : 0;
}

/* Whether a case is classified right.  Softmax: the largest y is where the
   largest d is; else each y and its d are on the same side of 0.5. */
static int moei_is_right(const moe *m, const moe_real *y, const moe_real *d)
{
    const int step = MOEI_N(m), end = m->O * step;
    int k, y_top = 0, d_top = 0, right = 1;

    for (k = 0; k < end; k += step) {
        y_top = y[k] > y[y_top] ? k : y_top;
        d_top = d[k] > d[d_top] ? k : d_top;
        right &= (y[k] >= (moe_real)0.5) == (d[k] >= (moe_real)0.5);
    }
    return m->output == MOE_OUT_SOFTMAX ? y_top == d_top : right;
}

/* Whether top_k or top_p choose some of the experts. */
static int moei_chooses(const moe *m)
{
    return m->chosen < m->E || m->drops;
}

/* Usage, load and entropy  -sum_i p_i log p_i  of a case; where sigma is
   estimated also  sum_i h_i e_i,  of which (1.3) left E = off + O log sigma:
     off = sum_i h_i e_i / (2 sigma^2) + sum_i h_i log(h_i / p_i) */
static void moei_accumulate_gate(moe *m, int c, moe_real weight, moe_real off)
{
    const int32_t *chosen = moei_selected(m) + (ptrdiff_t)c * m->chosen;
    const int estimated = moei_learns_sigma(m);
    const moe_real *p = moei_table(m, m->prop);
    const moe_real *log_p = moei_table(m, m->log_p);
    const moe_real *h = estimated ? moei_table(m, m->post) : p;
    const moe_real *log_h = moei_table(m, m->error_of);
    moei_total *total = moei_totals(m);
    moei_total *usage = total + MOEI_USAGE, *load = usage + m->E;
    moe_real entropy = 0;
    int i, top = 0;

    for (i = 0; i < m->K; i++) {
        const ptrdiff_t at = moei_at(MOEI_N(m), m->K, i, c);
        const int e = m->sparse ? (int)moei_selected(m)[at] : i;

        if (e < 0)
            break;
        usage[e].group += weight * p[at];
        entropy += p[at] * log_p[at];
        if (estimated && m->E > 1)
            off -= h[at] * (log_h[at] - log_p[at]);
        top = p[at] > p[moei_at(MOEI_N(m), m->K, top, c)] ? i : top;
    }
    for (i = 0; i < moei_ran(m, chosen) && moei_chooses(m); i++)
        load[chosen[i]].group += weight;
    load[top].group += moei_chooses(m) ? 0 : weight;
    total[MOEI_ENTROPY].group += weight * entropy;
    if (estimated)
        total[MOEI_VARIANCE].group
            += weight * moei_cut(moei_larger(off, 0) / moei_precision(m));
}

/* Add the cases at hand to the totals: after moei_loss_forward, before the way
   back.  |d - y|^2 is in the user's units, cut.  Returns the first case whose y
   in these units or E is not finite, where it ends, or -1. */
static int moei_accumulate_metrics(moe *m)
{
    const int O = m->O, step = MOEI_N(m), next = step > 1 ? 1 : O;
    const moe_real *shift = moei_scale_d(m), *factor = shift + O;
    const moe_real *y = moei_from(m, m->blend, O);
    const moe_real *d = moei_from(m, m->d, O);
    const moe_real *loss = moei_from(m, m->loss, 1);
    const moe_real volume = moei_log_volume(m);
    moei_total *total = moei_totals(m);
    int c, k;

    for (c = 0; c < MOEI_n(m); c++, y += next, d += next) {
        const moe_real weight = moei_weight(m, c);
        int finite = moei_is_finite(loss[c]);
        moe_real square = 0;

        for (k = 0; k < O; k++) {
            const moe_real y_k = y[k * step];
            const moe_real off = (y_k - d[k * step]) * factor[k];

            finite &= moei_is_finite(shift[k] + factor[k] * y_k);
            square += off * off;
        }
        if (!finite)
            return c;
        total[MOEI_WEIGHT].group += weight;
        total[MOEI_LOSS].group += weight * loss[c];
        total[MOEI_SQUARE].group += weight * moei_cut(square);
        if (m->output != MOE_OUT_LINEAR && moei_is_right(m, y, d))
            total[MOEI_RIGHT].group += weight;
        moei_accumulate_gate(m, c, weight, loss[c] - volume);
        moei_end_case(m);
    }
    return -1;
}

/* Cases first .. first+count-1 of a part: forward, loss, totals from case 0 on;
   learning: grads +=.  Returns the first whose y or E is not finite, or -1. */
static int moei_pass(moe *m, const moei_part *part, int first, int count,
                     int learning)
{
    const int end = first + count;
    int bad;

    if (first == 0)
        moei_clear_totals(m);
    if (learning)
        moei_begin_gradient(m, part, first, count);
    for (; first < end; first += MOEI_n(m)) {
        moei_load_data(m, part, first, end);
        moei_block_forward(m, NULL);
        moei_loss_forward(m);
        bad = moei_accumulate_metrics(m);
        if (bad >= 0)
            return first + bad;
        if (learning)
            moei_loss_backward(m);
    }
    return -1;
}

static void moei_clear_report(const moe *m, moe_report *report)
{
    moei_zero_bytes(report, sizeof *report);
    report->epoch = m->epoch;
    report->seed = m->config.seed;
    report->valid_loss = report->accuracy = -1;
    report->usage = m->state ? &moei_totals(m)[MOEI_USAGE + 2 * m->E].sum
                             : NULL;
    report->load = report->usage ? report->usage + m->E : NULL;
    report->bad_row = report->bad_column = -1;
}

MOEI_COLD static void moei_fill_report(moe *m, moe_report *report)
{
    moe_real *usage = moei_shown(report->usage), *load = usage + m->E;
    moe_real most = 0, choices;
    int i;

    report->mean_ran = m->drops ? 0 : (moe_real)m->chosen;
    for (i = 0; i < m->E && m->drops; i++)
        report->mean_ran += moei_mean(m, MOEI_USAGE + m->E + i);
    choices = moei_chooses(m) ? report->mean_ran : 1;
    report->dead = 0;
    for (i = 0; i < m->E; i++) {
        usage[i] = moei_mean(m, MOEI_USAGE + i);
        load[i] = moei_mean(m, MOEI_USAGE + m->E + i) / choices;
        most = moei_larger(most, load[i]);
        report->dead += load[i] == 0;
    }
    report->epoch = m->epoch;
    report->loss = moei_mean(m, MOEI_LOSS);
    report->squared_error = moei_mean(m, MOEI_SQUARE);
    report->gate_entropy = 0 - moei_mean(m, MOEI_ENTROPY);
    report->imbalance = (moe_real)m->E * most;
    if (m->output != MOE_OUT_LINEAR)
        report->accuracy = moei_mean(m, MOEI_RIGHT);
}

static moe_status moei_refuse_case(moe *m, int row, moe_report *report)
{
    report->bad_row = row;
    m->shown_count = -1;
    return moei_refuse(m, MOE_ERR_DATA, MOEI_TEXT("this row is so far off that "
                                           "y or the loss is not finite"));
}

MOEI_LEARN moe_status moe_evaluate(moe *m, const moe_data *data,
                                   moe_report *report)
{
    moe_report unread;
    moei_part all;
    moe_status status;
    int bad;

    if (m == NULL)
        return MOE_ERR_NULL;
    report = report ? report : &unread;
    moei_clear_report(m, report);
    status = moei_check_use(m, MOE_MODE_GRADIENT, 1, NULL);
    status = status ? status : moei_check_data(m, data, 0, report);
    if (status != MOE_OK)
        return status;
    all = moei_all_of(data);
    bad = moei_pass(m, &all, 0, all.n, 0);
    moei_show(m);
    m->rows = MOEI_n(m);
    m->shown_count = -1;
    if (bad >= 0)
        return moei_refuse_case(m, bad, report);
    moei_fill_report(m, report);
    return moei_ok(m);
}

/* ------------------------------------------------ deviations of experts */
/* What EM needs of a part: sums over cases of h_i and h_i e_i, with h_i of the
   density that moe_density tells. */
static void moei_accumulate_variance(moe *m, const moei_part *part)
{
    moei_total *h = moei_totals(m) + MOEI_USAGE, *he = h + m->E;
    int at, row, k;

    for (at = 0; at < part->n; at += MOEI_n(m)) {
        moei_load_data(m, part, at, part->n);
        moei_block_forward(m, NULL);
        moei_show(m);
        for (row = 0; row < MOEI_n(m); row++, moei_end_case(m)) {
            const moe_real *d = part->data->d
                + (ptrdiff_t)moei_row_of_part(part, at + row) * m->O;
            const moe_real total = moei_log_total(m, row, d);
            const int32_t *ran = m->selected + row * m->chosen;

            for (k = 0; k < moei_ran(m, ran) && moei_is_finite(total); k++) {
                const int i = (int)ran[k];
                const moe_real e = moei_shown_error(m, row, k, d);
                const moe_real h_i = moei_weight(m, row) * moei_value(
                    MOEI_EXP, moei_log_joint(m, row, k, e) - total);

                h[i].group += h_i;
                he[i].group += h_i * e;
            }
        }
    }
}

/* One step of EM, s_i^2 = sum h_i e_i / (O sum h_i): of all experts together,
   or of each with one more case that has what all have together.  Whether any
   s_i changed by more than a hundredth. */
static int moei_step_variance(moe *m, int own)
{
    const moei_total *h = moei_totals(m) + MOEI_USAGE, *he = h + m->E;
    const moe_real O = (moe_real)m->O;
    moe_real *s = moei_shown(m->sigma) + 1, of_h = 0, of_he = 0, all, old;
    int i, changed = 0;

    for (i = 0; i < m->E; i++) {
        of_h += moei_total_of(h + i);
        of_he += moei_total_of(he + i);
    }
    all = of_h > 0 ? of_he / (O * of_h) : 1;
    for (i = 0; i < m->E; i++) {
        old = s[i];
        s[i] = moei_sigma_within(moei_sqrt(!own ? all
            : (moei_total_of(he + i) / O + all) / (moei_total_of(h + i) + 1)));
        changed |= s[i] > old * (moe_real)1.01 || s[i] < old * (moe_real)0.99;
    }
    if (!own && moei_learns_sigma(m))
        s[-1] = s[0];
    return changed;
}

/* EM on the deviations alone, over all data: first on one for all experts,
   which an estimated sigma is then, too; then on each of them. */
static void moei_fit_variance(moe *m, moei_part train, const moei_part *held)
{
    enum { STEPS = 20 };
    int own, i, changed;

    train.shuffled = 0;
    for (own = 0; own < 2; own++)
        for (changed = 1, i = 0; i < STEPS && changed; i++) {
            moei_clear_totals(m);
            moei_accumulate_variance(m, &train);
            if (held != NULL)
                moei_accumulate_variance(m, held);
            changed = moei_step_variance(m, own);
        }
}

/* Errors of cases that were learnt are too small: the factor of all s_i that
   fits those held out, beside 50 whose factor is 1. */
static moe_real moei_excess(moe *m, const moei_part *held)
{
    const moei_total *h = moei_totals(m) + MOEI_USAGE, *he = h + m->E;
    moe_real of_h = 50, of_he = 50;
    int i;

    moei_clear_totals(m);
    moei_accumulate_variance(m, held);
    for (i = 0; i < m->E; i++) {
        const moe_real s = m->sigma[1 + i];
        of_h += moei_total_of(h + i);
        of_he += moei_total_of(he + i) / (s * s * (moe_real)m->O);
    }
    return moei_sqrt(of_he / of_h);
}

MOEI_LEARN moe_status moe_fit_variance(moe *m, const moe_data *data)
{
    moe_report unread;
    moe_status status = m == NULL ? MOE_ERR_NULL
                      : moei_check_use(m, MOE_MODE_GRADIENT, 1, NULL);

    if (status == MOE_OK && moei_is_entropy(m))
        return moei_refuse(m, MOE_ERR_STATE, MOEI_TEXT("experts of "
                           "probabilities have no standard deviation"));
    status = status ? status : moei_check_data(m, data, 0, &unread);
    if (status != MOE_OK)
        return status;
    moei_fit_variance(m, moei_all_of(data), NULL);
    m->rows = MOEI_n(m);
    m->shown_count = -1;
    return moei_ok(m);
}

/* ------------------------------------------------------------ a training */
/* Epochs of a plateau; steps before which nothing ends, and of a training that
   is not validated; epochs of patience; cases that can spare a fifth. */
enum { MOEI_PLATEAU = 20, MOEI_FLOOR = 3000, MOEI_PATIENCE = 50,
       MOEI_SPARES = 50 };

/* Settings with the defaults filled in; what is trained on, and validated, or
   valid.n is 0. */
typedef struct moei_plan {
    moe_training t;
    moei_part train, valid;
    moe_report *report;
} moei_plan;

/* What learns, and sigma, to the best that is kept, or back from there. */
static void moei_copy_best(moe *m, int back)
{
    moe_real *best = moei_stored(m, MOEI_BEST);

    if (m->tunes)
        moei_copy(back ? m->weights : best, back ? best : m->weights,
                  (ptrdiff_t)m->grad_count);
    else
        moei_sift(m, m->weights, best, back);
    if (!back)
        m->state->best_sigma = moei_sigma(m, -1);
    else if (moei_learns_sigma(m))
        moei_set_sigma(m, m->state->best_sigma);
}

static int moei_keep_if_best(moe *m, moe_real loss)
{
    if (!(loss < m->state->best_loss))
        return 0;
    moei_copy_best(m, 0);
    m->state->best_loss = loss;
    m->state->since_best = 1;
    m->state->best_is_old = 0;
    return 1;
}

/* Scales as moe_open left them, if they were so when this training began. */
static void moei_unmeasure(moe *m)
{
    if (m->state->scale_before == 0)
        moei_unit_scales(m);
    m->scale_state = (int8_t)m->state->scale_before;
}

/* Leave what was measured finite: the best weights, or those before training,
   with the scales that they had.  The moments that led here are forgotten. */
static void moei_go_back(moe *m)
{
    moei_copy_best(m, 1);
    if (m->state->best_is_old)
        moei_unmeasure(m);
    moei_forget_moments(m);
}

/* As moe_open left it, with seed i; after the last one with the best. */
static void moei_begin_restart(moe *m, const moei_plan *plan, int i)
{
    const int more = i < plan->t.restarts;
    moei_state *const s = m->state;

    m->config.seed += (uint64_t)(more ? i : s->best_restart)
                    - (uint64_t)(s->restart - 1);
    s->restart = more ? i + 1 : 0;
    moei_know_nothing(m);
    moei_unmeasure(m);
    moei_forget_moments(m);
    m->epoch = 0;
    s->steps = s->began = 0;
}

/* Keep the weights as they are, for the case that none are better; measure the
   data, if nothing was learnt before, and the validation loss. */
static moe_status moei_start_training(moe *m, const moei_plan *plan)
{
    const int resumed = m->state->since_best > 0;
    const moei_part *valid = &plan->valid;
    int bad = -1;

    if (!resumed) {
        moei_copy_best(m, 0);
        m->state->best_is_old = 1;
    }
    if (m->scale_state == 0 && !plan->t.keep_units)
        moei_fit_scales(m, plan->train.data);
    if (!resumed && valid->n > 0) {
        bad = moei_pass(m, valid, 0, valid->n, 0);
        m->state->best_loss = moei_mean(m, MOEI_LOSS);
        m->state->since_best = bad < 0;
    }
    if (bad >= 0 && m->scale_state == 0)
        moei_go_back(m);
    if (bad >= 0)
        return moei_refuse_case(m, valid->split ? moei_row_of_part(valid, bad)
                                : plan->train.n + bad, plan->report);
    m->scale_state = 2;
    moei_zero(m->grads, (ptrdiff_t)m->grad_count);
    return MOE_OK;
}

/* sigma^2 goes towards sum_i h_i e_i / O, the mean over the cases of an epoch,
   in some 300 steps: at once, experts would settle before they have parted. */
static void moei_estimate_sigma(moe *m, int steps)
{
    const moe_real variance = moei_mean(m, MOEI_VARIANCE) / (moe_real)m->O;
    const moe_real old = moei_sigma(m, -1) * moei_sigma(m, -1);
    const moe_real share = (moe_real)steps / (moe_real)(steps + 300);

    if (moei_learns_sigma(m))
        moei_set_sigma(m, moei_sigma_within(
            moei_sqrt(old + share * (variance - old))));
}

/* Without validation a rate that was not given falls to 0, from half way on. */
static void moei_cool(moe *m, const moei_plan *plan)
{
    moei_state *const s = m->state;
    const moe_real left = (moe_real)(s->planned - (m->epoch - s->began));
    const moe_real factor = 2 * left / (moe_real)s->planned;

    if (plan->valid.n == 0 && !(plan->t.rate > 0))
        s->rate_factor = factor < 1 ? factor : 1;
}

static int moei_has_reached(const moei_plan *plan)
{
    return plan->t.target > 0 && plan->report->squared_error <= plan->t.target;
}

/* One pass over the data.  Before its last step all is measured: the report
   is filled, the best weights are kept if there is no validation to tell
   them, and a reached target makes the last step unnecessary.  No step is
   made from what is not finite. */
static moe_status moei_epoch(moe *m, moei_plan *plan)
{
    const moe_training *t = &plan->t;
    moei_part *part = &plan->train;
    moei_state *const s = m->state;
    moe_status status = MOE_OK;
    int first, count;

    moei_cool(m, plan);
    part->key = moei_mix(moei_mix(t->seed) + (uint64_t)m->epoch++);
    part->shuffled = t->batch < part->n;
    for (first = 0; first < part->n && status == MOE_OK; first += count) {
        count = moei_min(t->batch, part->n - first);
        if (moei_pass(m, part, first, count, 1) >= 0)
            return moei_refuse(m, MOE_ERR_DIVERGED,
                               moe_status_text(MOE_ERR_DIVERGED));
        if (s->since_best == 0
            && moei_total_of(moei_totals(m) + MOEI_WEIGHT) > 0) {
            s->best_loss = moei_mean(m, MOEI_LOSS);
            s->since_best = 1;
        }
        if (first + count == part->n) {
            moei_fill_report(m, plan->report);
            if (plan->valid.n == 0)
                (void)moei_keep_if_best(m, plan->report->loss);
            if (moei_has_reached(plan)) {
                moei_zero(m->grads, (ptrdiff_t)m->grad_count);
                return MOE_OK;
            }
        }
        status = moei_step(m, t, moei_rate_of(m, t) * s->rate_factor,
                           1 / ((moe_real)count * part->mean_weight));
    }
    if (status == MOE_OK)
        moei_estimate_sigma(m, (part->n - 1) / t->batch + 1);
    return status;
}

/* Measure the validation loss; keep the best weights, or count the epochs since
   and halve a rate that was not given. */
static void moei_validate(moe *m, const moei_plan *plan)
{
    const int bad = moei_pass(m, &plan->valid, 0, plan->valid.n, 0);
    const moe_real loss = bad < 0 ? moei_mean(m, MOEI_LOSS) : MOEI_LARGEST;
    moei_state *const s = m->state;

    plan->report->valid_loss = loss;
    if (!moei_keep_if_best(m, loss) && s->steps >= MOEI_FLOOR
        && s->since_best++ % MOEI_PLATEAU == 0 && !(plan->t.rate > 0))
        s->rate_factor /= 2;
}

/* So many epochs of this training, those done so far included; MOE_OK, or
   MOE_STOPPED by the user, or what is wrong. */
static moe_status moei_run_epochs(moe *m, moei_plan *plan, int epochs)
{
    const moe_training *t = &plan->t;
    moei_state *const s = m->state;
    moe_status status = moei_start_training(m, plan);

    plan->report->seed = m->config.seed;
    plan->report->restart = (int)s->restart;
    while (status == MOE_OK && m->epoch - s->began < epochs) {
        if (plan->valid.n > 0 && s->steps >= MOEI_FLOOR && t->patience >= 0
            && s->since_best > t->patience)
            break;
        status = moei_epoch(m, plan);
        if (status != MOE_OK)
            break;
        if (plan->valid.n > 0)
            moei_validate(m, plan);
        if (s->restart == 0 && moei_has_reached(plan))
            s->planned = epochs = m->epoch - (int)s->began;
        if (t->progress != NULL && t->progress(plan->report, t->user))
            status = MOE_STOPPED;
    }
    return status;
}

/* A tenth of the epochs with each seed, then all from the start of the best. */
static moe_status moei_try_seeds(moe *m, moei_plan *plan)
{
    moei_state *const s = m->state;
    moe_status status = MOE_OK;
    moe_real loss;

    while (s->restart > 0) {
        status = moei_run_epochs(m, plan, moei_max((int)s->planned / 10, 1));
        if (status == MOE_STOPPED
            || (status == MOE_ERR_DATA && s->restart == 1))
            return status;
        loss = status ? MOEI_LARGEST : s->best_loss;
        plan->report->bad_row = -1;
        if (s->restart == 1 || loss < s->best_restart_loss) {
            s->best_restart = s->restart - 1;
            s->best_restart_loss = loss;
        }
        moei_begin_restart(m, plan, (int)s->restart);
    }
    return moei_run_epochs(m, plan, (int)s->planned);
}

/* Who trains, who validates, and what contradicts in that; or NULL. */
static const char *moei_share_out(moei_plan *plan, const moe_data *data,
                                  const moe_data *validation)
{
    const moe_training *t = &plan->t;
    const int n = data->n, given = t->holdout > 0;
    const int whole = t->batch == MOE_ALL || t->target > 0;
    const moe_real share = t->holdout * (moe_real)n;
    const int held = validation != NULL || t->holdout < 0 ? 0
        : given ? share < (moe_real)(n - 1) ? (int)(share + (moe_real)0.5) : n
        : whole || n < MOEI_SPARES ? 0 : n / 5;

    plan->train = moei_all_of(data);
    plan->train.n -= held;
    plan->train.split = held > 0;
    plan->train.split_key = moei_mix(moei_mix(t->seed) - 1);
    plan->train.mean_weight = moei_total_weight(&plan->train)
                            / (moe_real)plan->train.n;
    plan->valid = plan->train;
    plan->valid.first = plan->train.n;
    plan->valid.n = held;
    if (validation != NULL)
        plan->valid = moei_all_of(validation);
    return given && validation != NULL
            ? MOEI_TEXT("holdout beside validation data")
        : given && whole
            ? MOEI_TEXT("holdout with MOE_ALL or a target, for all the data")
        : given && (held < 1 || held >= n)
            ? MOEI_TEXT("holdout leaves nothing to train or to validate on")
        : t->patience > 0 && plan->valid.n == 0
            ? MOEI_TEXT("patience without validation data or holdout") : NULL;
}

/* Everything that can be wrong before the first epoch. */
MOEI_COLD static moe_status moei_check_training(
    moe *m, moei_plan *plan, const moe_data *data, const moe_data *validation)
{
    const int all = data && validation && data->n > 0 ? data->n : 0;
    moe_status status = moei_check_use(m, MOE_MODE_TRAIN, 1, &plan->t);
    const char *fault;

    if (status == MOE_OK && all > 0 && validation->n > (int)(~0u >> 1) - all)
        return moei_refuse(m, MOE_ERR_DATA, MOEI_TEXT("training and validation "
                           "data have more rows than an int can count"));
    status = status ? status : moei_check_data(m, data, 0, plan->report);
    if (status == MOE_OK && validation != NULL)
        status = moei_check_data(m, validation, all, plan->report);
    if (status != MOE_OK)
        return status;
    if (plan->t.restarts > 1 && m->scale_state == 2
        && m->state->since_best == 0)
        return moei_refuse(m, MOE_ERR_STATE, MOEI_TEXT("restarts begin anew, "
                           "but this moe has learnt"));
    fault = moei_share_out(plan, data, validation);
    if (fault != NULL)
        return moei_refuse(m, MOE_ERR_CONFIG, fault);
    if (!(plan->train.mean_weight > 0)
        || (plan->valid.n > 0 && !(moei_total_weight(&plan->valid) > 0)))
        return moei_refuse(m, MOE_ERR_DATA, MOEI_TEXT("all cases to train, or "
                           "to validate, have weight 0"));
    return MOE_OK;
}

/* The defaults; where this training begins and how long it is, unless a
   checkpoint's goes on: where no epochs are given, twice as many steps at least
   as there are before patience may end it. */
static void moei_set_out(moe *m, moei_plan *plan)
{
    moe_training *t = &plan->t;
    moei_state *const s = m->state;
    const int resumed = s->since_best > 0, given = t->epochs > 0;

    t->batch = t->batch == MOE_ALL ? plan->train.n : t->batch ? t->batch : 32;
    t->patience = t->patience ? t->patience : MOEI_PATIENCE;
    if (!given)
        t->epochs = moei_max(plan->valid.n > 0 ? 1000 : 200,
                             (2 * MOEI_FLOOR - 1)
                             / ((plan->train.n - 1) / t->batch + 1) + 1);
    if (!resumed) {
        s->began = m->epoch;
        s->scale_before = m->scale_state;
    }
    if (!resumed || moei_is_frozen(m))
        s->restart = t->restarts > 1;
    if (given || !resumed || s->planned == 0)
        s->planned = m->epoch - s->began + moei_min(t->epochs, (int)(~0u >> 3));
    if (s->restart > 0 && (!resumed || s->restart > t->restarts))
        moei_begin_restart(m, plan, (int)s->restart - 1);
}

/* The cases held out of the data join: for a tenth as many epochs more, but not
   for ever, of all cases and at a rate that falls to 0; if these fail, the best
   weights stay.  Progress does not see them: no checkpoint could tell them. */
static void moei_join(moe *m, const moei_plan *plan)
{
    moei_state *const s = m->state;
    const moe_real rate = s->rate_factor;
    const int last = m->epoch;
    moe_status status = MOE_OK;
    moei_plan all = *plan;
    int left, epochs = moei_min((last - (int)s->began) / 10, 10000);

    all.train = moei_all_of(plan->train.data);
    all.train.mean_weight = moei_total_weight(&all.train)
                          / (moe_real)all.train.n;
    moei_forget_moments(m);
    s->since_best = 1;                      /* best_loss is of validation */
    for (left = epochs; left > 0 && status == MOE_OK; left--) {
        s->rate_factor = rate * (moe_real)left / (moe_real)epochs;
        status = moei_epoch(m, &all);
    }
    if (status != MOE_OK)
        moei_copy_best(m, 1);
    m->epoch = plan->report->epoch = last;
}

/* The best weights by validation; deviations that cases not learnt ask for. */
static void moei_end_validated(moe *m, const moei_plan *plan, int joins)
{
    const moei_part all = moei_all_of(plan->train.data), *held = &plan->valid;
    const int fits = !moei_is_entropy(m);
    moe_real excess = 1;
    int i;

    moei_copy_best(m, 1);
    if (fits) {
        moei_fit_variance(m, plan->train, joins ? NULL : held);
        excess = moei_excess(m, held);
    }
    if (joins)
        moei_join(m, plan);
    if (joins && fits)
        moei_fit_variance(m, all, NULL);
    for (i = 1; i <= m->E && fits; i++)
        moei_shown(m->sigma)[i] = moei_sigma_within(m->sigma[i] * excess);
}

/* The best weights, or of a training that was not validated the last ones,
   unless they are not finite. */
static moe_status moei_end_training(moe *m, const moei_plan *plan,
                                    moe_status status)
{
    const moei_part all = moei_all_of(plan->train.data);

    if (status != MOE_ERR_DIVERGED) {
        if (plan->valid.n > 0)
            moei_end_validated(m, plan, status == MOE_OK && plan->valid.split);
        if (moei_pass(m, &all, 0, all.n, 0) >= 0)
            status = MOE_ERR_DIVERGED;
        else if (plan->report->mean_ran == 0)       /* no epoch was left */
            moei_fill_report(m, plan->report);
        (void)moei_refuse(m, status, moe_status_text(status));
    }
    if (status == MOE_ERR_DIVERGED)
        moei_go_back(m);
    if (plan->valid.n > 0)
        plan->report->valid_loss = m->state->best_loss;
    m->state->by_loss = m->state->since_best = 0;
    m->state->rate_factor = 1;
    m->shown_count = -1;
    return status;
}

MOEI_LEARN moe_status moe_train(moe *m, const moe_data *data,
                                const moe_data *validation,
                                const moe_training *t, moe_report *report)
{
    moe_report unread;
    moei_plan plan;
    moe_status status;

    if (m == NULL)
        return MOE_ERR_NULL;
    plan.report = report ? report : &unread;
    moei_clear_report(m, plan.report);
    plan.t = moei_settings_of(m, t);
    status = moei_check_training(m, &plan, data, validation);
    if (status != MOE_OK)
        return status;
    plan.report->valid_cases = plan.valid.n;
    moei_set_out(m, &plan);
    status = moei_try_seeds(m, &plan);
    return status == MOE_ERR_DATA ? status
         : moei_end_training(m, &plan, status);
}

#endif /* MOE_PREDICT_ONLY */

/* ======================================================================== */
/* 12  FILES                                                                */
/* ======================================================================== */
/* safetensors: the length of the header (8 bytes, least first); the header,

     {"__metadata__":{"inputs":"3",...},
      "gate.0.bias":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},...}

   float32 numbers (least byte first).  Two tables say what ours holds: settings
   just below, tensors in moei_list_all.  Others may order all of it anew and
   add tensors, so what the header says is gathered, then compared.  The first
   fault ends it.  Memory is safe because each tensor ends within the file,
   whatever else is wrong.

   A setting is one of the words behind its name, or a list of columns, or
   numbers, whose kinds are called by their bits: what training counts stays far
   from where counting on overflows. */
enum { MOEI_WORD, MOEI_LIST, MOEI_FROZEN = MOE_MAX_HIDDEN + 1, MOEI_SIZE = 15,
       MOEI_COUNT = 8 * sizeof(int) - 2, MOEI_F32 = 32, MOEI_BITS = 64 };
typedef struct moei_setting {
    const char *name;
    uint16_t at;                 /* where it is in a moei_file               */
    uint8_t size, count, kind;   /* bytes of a number, how many              */
} moei_setting;

/* The names that tensors of ours have, in a file's order. */
static const char moei_tensors[] =
    "experts.0.bias|experts.0.weight|experts.1.bias|experts.1.weight|"
    "experts.2.bias|experts.2.weight|experts.3.bias|experts.3.weight|"
    "experts.4.bias|experts.4.weight|gate.0.bias|gate.0.weight|"
    "gate.1.bias|gate.1.weight|gate.2.bias|gate.2.weight|"
    "gate.3.bias|gate.3.weight|gate.4.bias|gate.4.weight|"
    "gate.balance|scale.d|scale.x|scale.sigma|"
    "training.best|training.first|training.second|training.state";
enum { MOEI_T_GATE = 2 * (MOE_MAX_HIDDEN + 1), MOEI_T_BALANCE = 2 * MOEI_T_GATE,
       MOEI_T_SCALE_D, MOEI_T_SCALE_X, MOEI_T_SIGMA, MOEI_T_BEST, MOEI_T_FIRST,
       MOEI_T_SECOND, MOEI_T_STATE, MOEI_TENSORS };

typedef struct moei_tensor {
    int type, sides;             /* of moei_types, 0 is float32; its shape   */
    size_t side[3], count;       /* count: see moei_read_uints               */
    size_t begin, end;           /* bytes begin..end-1 of the file's data    */
    moe_real *numbers;           /* in memory, or NULL                       */
} moei_tensor;

typedef struct moei_file {
    const unsigned char *at, *end;  /* the next byte, the end of the header  */
    const char *fault;           /* what was wrong first                     */
    char text[64];               /* a string                                 */
    uint64_t hash, key, joints;  /* of that; of the header; see moei_place   */
    uint64_t others[64];         /* hashes of names that are not ours        */
    uint64_t bytes;              /* of the file, as far as is known          */
    uint32_t seen, found, due;   /* a bit for each setting, and all of them;
                                    each tensor that is there, that must be  */
    int other_count;
    moe_config config;           /* these three have the settings            */
    moei_state state;
    int8_t format;               /* 0                                        */
    moei_tensor tensor[MOEI_TENSORS];
} moei_file;

/* In a file's order; from "training" on they are a checkpoint's alone. */
#define MOEI_AT(field) \
    offsetof(moei_file, field), sizeof(((moei_file *)0)->field)
static const moei_setting moei_settings[] = {
    {"inputs", MOEI_AT(config.inputs), 1, MOEI_SIZE},
    {"outputs", MOEI_AT(config.outputs), 1, MOEI_SIZE},
    {"experts", MOEI_AT(config.experts), 1, MOEI_SIZE},
    {"top_k", MOEI_AT(config.top_k), 1, MOEI_SIZE},
    {"top_p", MOEI_AT(config.top_p), 1, MOEI_F32},
    {"hidden", MOEI_AT(config.hidden[0]), MOE_MAX_HIDDEN, MOEI_SIZE},
    {"gate_hidden", MOEI_AT(config.gate_hidden[0]), MOE_MAX_HIDDEN, MOEI_SIZE},
    {"expert_sees", MOEI_AT(config.expert_inputs.first), 2, MOEI_SIZE},
    {"gate_sees", MOEI_AT(config.gate_inputs.first), 2, MOEI_SIZE},
    {"expert_columns", MOEI_AT(config.expert_columns), 0, MOEI_LIST},
    {"gate_columns", MOEI_AT(config.gate_columns), 0, MOEI_LIST},
    {"activation|relu|tanh|logistic|elu|silu", MOEI_AT(config.activation), 0,
     MOEI_WORD},
    {"output|linear|logistic|softmax|bernoulli", MOEI_AT(config.output), 0,
     MOEI_WORD},
    {"loss|mixture|expected|blend", MOEI_AT(config.loss), 0, MOEI_WORD},
    {"blend|outputs|weights", MOEI_AT(config.blend), 0, MOEI_WORD},
    {"gate|softmax|none", MOEI_AT(config.gate), 0, MOEI_WORD},
    {"sigma", MOEI_AT(config.sigma), 1, MOEI_F32},
    {"balance", MOEI_AT(config.balance_loss), 1, MOEI_F32},
    {"seed", MOEI_AT(config.seed), 1, MOEI_BITS},
    {"file|moe.h 1", MOEI_AT(format), 0, MOEI_WORD},
    {"training", MOEI_AT(state.epoch), 5, MOEI_COUNT},
    {"restarts", MOEI_AT(state.restart), 4, MOEI_COUNT},
    {"restarts_loss", MOEI_AT(state.best_restart_loss), 1, MOEI_F32},
    {"best_sigma", MOEI_AT(state.best_sigma), 1, MOEI_F32},
    {"frozen", MOEI_AT(config.frozen), 2, MOEI_FROZEN},
    {"frozen_experts", MOEI_AT(config.frozen_experts), 1, MOEI_BITS}
};
enum { MOEI_SETTINGS = sizeof moei_settings / sizeof moei_settings[0],
       MOEI_TRAINING = MOEI_SETTINGS - 6, MOEI_FORMAT = MOEI_TRAINING - 1,
       MOEI_SEEN_FITS = 1 / (MOEI_SETTINGS < 32) };     /* else an error */

static const char *const moei_not_finite
    = MOEI_TEXT("a number is not finite as a float32");
static const char *const moei_not_json
    = MOEI_TEXT("the header is not JSON as of safetensors");

/* What is wrong first is the fault. */
static void moei_reject(moei_file *t, int wrong, const char *why)
{
    if (wrong && t->fault == NULL)
        t->fault = why;
}

/* A tensor that there must be, its numbers from `offset` on in an array, if
   that is there; a side of 0 is none.  A file that is read has to say so. */
static void moei_list(moei_file *t, int i, const moe_real *array, size_t offset,
                      size_t a, size_t b, size_t c)
{
    const size_t side[3] = {a, b, c};
    moei_tensor *is = &t->tensor[i], due = {0, 0, {0, 0, 0}, 1, 0, 0, NULL};
    int k, differs = 0;

    for (k = 0; k < 3; k++)
        if (side[k] > 0)
            due.count *= due.side[due.sides++] = side[k];
    for (k = 0; k < 3; k++)
        differs |= is->sides != due.sides || is->side[k] != due.side[k];
    moei_reject(t, !(t->found >> i & 1),
                MOEI_TEXT("a tensor that the settings imply is missing"));
    moei_reject(t, is->type != 0,
                MOEI_TEXT("a tensor of moe.h is not of type F32"));
    moei_reject(t, differs && t->end != NULL,
                MOEI_TEXT("a tensor's shape is not what the settings imply"));
    due.begin = is->begin;
    due.end = is->end;
    due.numbers = array ? moei_shown(array) + offset : NULL;
    *is = due;
    t->due |= (uint32_t)1 << i;
}

/* Those of a net, the first of them number i; then all.  Without gate.balance
   it is zeros, without scale.sigma all are config.sigma. */
static void moei_list_net(moei_file *t, int i, const moe *m,
                          const moei_net *net, size_t copies)
{
    int l;

    for (l = 0; l < net->layers; l++) {
        const moe_real *array = m->params ? moei_source(m, net, l) : NULL;
        const size_t weight = (size_t)moei_weight_at(net, 0, l);
        const size_t in = (size_t)net->width[l];
        const size_t out = (size_t)net->width[l + 1];

        moei_list(t, i++, array, 0, copies, out, 0);
        moei_list(t, i++, array, weight, copies, in, out);
    }
}

static void moei_list_training(moei_file *t, const moe *m)
{
    const int balance = t->found >> MOEI_T_BALANCE & 1;
    const size_t learnt = m->grad_count - (balance ? 0 : moei_balance_count(m));

    moei_list(t, MOEI_T_BEST, moei_stored(m, MOEI_BEST), 0, learnt, 0, 0);
    moei_list(t, MOEI_T_FIRST, moei_stored(m, MOEI_FIRST), 0, learnt, 0, 0);
    moei_list(t, MOEI_T_SECOND, moei_stored(m, MOEI_SECOND), 0, learnt, 0, 0);
    moei_list(t, MOEI_T_STATE, (moe_real *)(void *)&t->state, 0, 4, 0, 0);
}

MOEI_COLD static void moei_list_all(moei_file *t, const moe *m)
{
    const size_t E = (size_t)m->E, O = (size_t)m->O;
    const size_t I = (size_t)m->I, scales = m->trained_count;

    moei_list_net(t, 0, m, &m->expert, E);
    moei_list_net(t, MOEI_T_GATE, m, &m->gate, 0);
    if (moei_has_gate(m) && (t->found >> MOEI_T_BALANCE & 1))
        moei_list(t, MOEI_T_BALANCE, m->params ? moei_balance(m) : NULL, 0, E,
                  0, 0);
    moei_list(t, MOEI_T_SCALE_D, m->params, scales, 2, O, 0);
    moei_list(t, MOEI_T_SCALE_X, m->params, scales + 2 * O, 2, I, 0);
    if (t->found >> MOEI_T_SIGMA & 1)
        moei_list(t, MOEI_T_SIGMA, m->sigma, 0, 1 + E, 0, 0);
}

/* Whole numbers, least byte first. */
static void moei_encode(unsigned char *to, uint64_t number, int bytes)
{
    for (; bytes-- > 0; number >>= 8)
        *to++ = (unsigned char)(number & 255);
}

static uint32_t moei_decode(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16
         | (uint32_t)at[3] << 24;
}

typedef union moei_f32 { float real; uint32_t bits; } moei_f32;

static moe_real moei_of_f32(uint32_t bits)
{
    moei_f32 word;
    word.bits = bits;
    return (moe_real)word.real;
}

static uint32_t moei_to_f32(moe_real x)
{
    moei_f32 word;
    word.real = (float)x;
    return word.bits;
}

/* Byte 0 of a number of so many bytes in memory is this one, by ^. */
static int moei_least_byte(int size)
{
    const union { uint16_t number; unsigned char byte[2]; } one = {1};

    return one.byte[0] ? 0 : size - 1;
}

/* Number i of a setting: a real's float32 bits; of a list where it stands. */
static uint64_t moei_get(const moei_setting *s, const moei_file *t, int i)
{
    const unsigned char *at = (const unsigned char *)t + s->at + i * s->size;
    uint64_t number = 0;

    if (s->kind == MOEI_F32)
        return moei_to_f32(*(const moe_real *)(const void *)at);
    for (i = s->size; i-- > 0;)
        number = number << 8 | at[i ^ moei_least_byte(s->size)];
    return number;
}

static void moei_set(const moei_setting *s, moei_file *t, int i,
                     uint64_t number)
{
    unsigned char *at = (unsigned char *)t + s->at + i * s->size;

    if (s->kind == MOEI_F32)
        *(moe_real *)(void *)at = moei_of_f32((uint32_t)number);
    else
        for (i = 0; i < s->size; i++, number >>= 8)
            at[i ^ moei_least_byte(s->size)] = (unsigned char)(number & 255);
}

/* Word i of "a|b|c". */
static const char *moei_word(const char *words, int i)
{
    for (; i > 0; words++)
        i -= *words == '|';
    return words;
}

/* Which of them a text is; -1: none. */
static int moei_which(const char *text, const char *words)
{
    const char *rest = text;
    int i = 0;

    for (;; words++) {
        const int ends = *words == 0 || *words == '|';
        if (ends && rest != NULL && *rest == 0)
            return i;
        if (*words == 0)
            return -1;
        i += ends;
        rest = ends ? text : rest && *rest == *words ? rest + 1 : NULL;
    }
}

/* -------------------------------------------------------------- writing */
/* Numbers up to the last that is not 0; no top_p of 0. */
static void moei_write_setting(moei_writer *w, const moei_setting *s,
                               const moei_file *t)
{
    const char *text = s->kind == MOEI_LIST
        ? (const char *)(uintptr_t)moei_get(s, t, 0) : s->kind == MOEI_WORD
        ? moei_word(s->name, 1 + (int)moei_get(s, t, 0)) : "";
    int i, count = s->count, is_real = s->kind == MOEI_F32;

    if (text == NULL || (s->at == offsetof(moei_file, config.top_p)
                         && moei_get(s, t, 0) == 0))
        return;
    moei_write(w, s == moei_settings ? "\"" : "\",\"");
    moei_write(w, s->name);
    moei_write(w, "\":\"");
    moei_write(w, text);
    while (count > 1 && moei_get(s, t, count - 1) == 0)
        count--;
    for (i = 0; i < count; i++)
        moei_write_uint(w, i > 0 ? "," : is_real ? "0x" : "",
                        moei_get(s, t, i), is_real ? 16 : 10);
}

/* Numbers begin at a multiple of 64, one tensor after the other. */
MOEI_COLD static void moei_write_header(moei_writer *w, moei_file *t,
                                        int settings)
{
    uint64_t place = 0;
    int i, k;

    w->at = 8;
    moei_write(w, "{\"__metadata__\":{");
    for (i = 0; i < settings; i++)
        moei_write_setting(w, &moei_settings[i], t);
    for (i = 0; i < MOEI_TENSORS; i++) {
        const moei_tensor *is = &t->tensor[i];
        if (is->count == 0)
            continue;
        moei_write(w, place > 0 ? "]},\"" : "\"},\"");
        moei_write(w, moei_word(moei_tensors, i));
        moei_write(w, "\":{\"dtype\":\"F32\",\"shape\":");
        for (k = 0; k < is->sides; k++)
            moei_write_uint(w, k > 0 ? "," : "[", is->side[k], 10);
        moei_write_uint(w, "],\"data_offsets\":[", place, 10);
        moei_write_uint(w, ",", place += 4 * is->count, 10);
    }
    moei_write(w, "]}}");
    while (w->at % 64 != 0)
        moei_write(w, " ");
    if (w->to != NULL)
        moei_encode(w->to, w->at - 8, 8);
}

static void moei_write_numbers(moei_writer *w, const moei_tensor *is)
{
    size_t i;

    for (i = 0; i < is->count; i++, w->at += 4) {
        const uint32_t bits = moei_to_f32(is->numbers[i]);
        if (!moei_is_finite(moei_of_f32(bits)))
            w->fault = moei_not_finite;
        if (w->to != NULL)
            moei_encode(w->to + w->at, bits, 4);
    }
}

/* The configuration is as it was opened, but for what may be changed since. */
static void moei_restore_config(const moe *m, moe_config *c)
{
    int l;

    *c = m->config;
    c->inputs = m->I;
    c->outputs = m->O;
    c->experts = m->E;
    c->top_k = m->chosen;
    for (l = 0; l < MOE_MAX_HIDDEN; l++) {
        c->hidden[l] = l < m->expert.layers - 1 ? m->expert.width[l + 1] : 0;
        c->gate_hidden[l] = l < m->gate.layers - 1 ? m->gate.width[l + 1] : 0;
    }
    c->expert_inputs.first = m->expert.first < m->I ? m->expert.first : 0;
    c->expert_inputs.count = m->expert.width[0];
    c->gate_inputs.first = m->gate.first < m->I ? m->gate.first : 0;
    c->gate_inputs.count = m->gate.width[0];
    c->activation = (moe_activation)m->activation;
    c->output = (moe_output)m->output;
    c->blend = m->is_one ? MOE_BLEND_WEIGHTS : MOE_BLEND_OUTPUTS;
    c->mode = (moe_mode)m->mode;
    c->block = c->simd = 0;
    c->frozen = ((1 << m->expert.layers) - 1) & ~m->expert.learning;
    c->gate_frozen = ((1 << m->gate.layers) - 1) & ~m->gate.learning;
    c->gate = m->E > 1 && !moei_has_gate(m) ? MOE_GATE_NONE : MOE_GATE_SOFTMAX;
}

/* Count the bytes, or write them. */
MOEI_COLD static moe_status moei_save(const moe *m, moe_mode keep,
                                      moei_writer *w)
{
    const int training = keep == MOE_MODE_TRAIN;
    moei_file t;
    int i;

    if (m == NULL)
        return MOE_ERR_NULL;
    w->fault = m->params == NULL ? MOEI_TEXT("this moe is closed")
        : training && (m->mode != MOE_MODE_TRAIN || m->state == NULL)
            ? MOEI_TEXT("a checkpoint needs MOE_MODE_TRAIN") : NULL;
    if (w->fault != NULL)
        return MOE_ERR_STATE;
    moei_zero_bytes(&t, sizeof t);
    moei_restore_config(m, &t.config);
    w->fault = moei_config_fault(&t.config);
    if (w->fault != NULL)
        return MOE_ERR_CONFIG;
    t.found = UINT32_MAX - ((uint32_t)(m->sigma == NULL) << MOEI_T_SIGMA);
    moei_list_all(&t, m);
    if (training) {
        t.state = *m->state;
        t.state.epoch = m->epoch;
        moei_list_training(&t, m);
    }
    moei_write_header(w, &t, training ? MOEI_SETTINGS : MOEI_TRAINING);
    for (i = 0; i < MOEI_TENSORS; i++)
        moei_write_numbers(w, &t.tensor[i]);
    return w->fault ? MOE_ERR_DIVERGED : MOE_OK;
}

MOE_DEF size_t moe_save_bytes(const moe *m, moe_mode keep)
{
    moei_writer w = {NULL, 0, NULL};

    return moei_save(m, keep, &w) ? 0 : w.at;
}

MOE_DEF moe_status moe_save_memory(const moe *m, moe_mode keep, void *file,
                                   size_t bytes)
{
    moei_writer w = {NULL, 0, NULL};
    moe_status status = moei_save(m, keep, &w);

    w.to = (unsigned char *)file;
    return status != MOE_OK ? status
         : file == NULL ? MOE_ERR_NULL
         : bytes < w.at ? MOE_ERR_MEMORY : moei_save(m, keep, &w);
}

/* --------------------------------------------------- reading the header */
static void moei_see(moei_file *t, uint32_t *seen, int i, const char *twice)
{
    moei_reject(t, (int)(*seen >> i & 1), twice);
    *seen |= (uint32_t)1 << i;
}

static int moei_byte(moei_file *t)
{
    return t->at < t->end ? *t->at++ : -1;
}

/* The byte behind blanks; -1 at the end, or if something is wrong. */
static int moei_peek(moei_file *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n'
                              || *t->at == '\r'))
        t->at++;
    return t->at < t->end && t->fault == NULL ? *t->at : -1;
}

/* Past a mark that has to come next. */
static void moei_expect(moei_file *t, int mark)
{
    moei_reject(t, moei_peek(t) != mark, moei_not_json);
    t->at += t->fault == NULL;
}

static unsigned moei_digit(int c)
{
    return (unsigned)(c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a'
                      && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 16);
}

/* Digits, none of them a 0 before others. */
static uint64_t moei_read_uint(moei_file *t, unsigned base, unsigned bits)
{
    const uint64_t most = UINT64_MAX >> (64 - bits);
    const unsigned char *start = t->at;
    uint64_t number = 0;
    unsigned digit;

    for (; t->at < t->end && (digit = moei_digit(*t->at)) < base; t->at++) {
        moei_reject(t, number > (most - digit) / base,
                    MOEI_TEXT("a number in the header is out of range"));
        number = number * base + digit;
    }
    moei_reject(t, t->at == start || (*start == '0' && t->at > start + 1),
                MOEI_TEXT("a number is not as JSON, or a setting, has it"));
    return number;
}

/* A character of UTF-8 that begins with c, 128 or more. */
static int32_t moei_read_utf8(moei_file *t, int32_t c)
{
    const int more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    int32_t value = c & (0x3f >> more);
    int i, bad = c < 0xc2 || c > 0xf4;

    for (i = 0; i < more; i++, value = value << 6 | (c & 0x3f)) {
        c = moei_byte(t);
        bad |= (c & ~0x3f) != 0x80;
    }
    bad |= value >> (5 * more + 1) == 0 || value > 0x10ffff;
    moei_reject(t, bad || value >> 11 == 0xd800 >> 11, moei_not_json);
    return value;
}

/* What stands behind a backslash, 16 bits. */
static int32_t moei_escape(moei_file *t)
{
    static const char escape[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    int32_t value = 0;
    int i, c = moei_byte(t);

    for (i = 0; escape[i] != 0; i++)
        if (c == escape[i])
            return meaning[i];
    for (i = 0; i < 4; i++) {
        unsigned digit = c == 'u' ? moei_digit(moei_byte(t)) : 16;
        moei_reject(t, digit == 16, moei_not_json);
        value = value << 4 | (int32_t)(digit & 15);
    }
    return value;
}

/* A string; what no word of ours has, and what is too long, gets a '?'. */
static void moei_read_string(moei_file *t)
{
    const size_t last = sizeof t->text - 1;
    size_t n = 0;
    int32_t c;

    moei_expect(t, '"');
    for (t->hash = t->key; t->fault == NULL; n += n < last) {
        if ((c = moei_byte(t)) == '"')
            break;
        moei_reject(t, c < ' ', moei_not_json);
        c = c == '\\' ? moei_escape(t) : c < 128 ? c : moei_read_utf8(t, c);
        t->hash = moei_mix(t->hash + (uint32_t)c);
        t->text[n < last ? n : 0] = (char)(c > 0 && c < 127 ? c : '?');
    }
    t->text[n] = 0;
    if (n == last)
        t->text[0] = '?';
}

/* Whether an object or a list goes on: with its first member, right behind the
   mark where it begins, or behind a comma.  An object's have names. */
static int moei_more(moei_file *t, int end)
{
    const int first = t->at[-1] == '{' || t->at[-1] == '[';
    const int ends = moei_peek(t) == end;

    if (ends || !first)
        moei_expect(t, ends ? end : ',');
    (void)moei_peek(t);
    if (!ends && end == '}') {
        moei_read_string(t);
        moei_expect(t, ':');
    }
    return !ends && t->fault == NULL;
}

/* A list of numbers: how many, the first three, and their product, cut so that
   64 times as many do not overflow. */
static int moei_read_uints(moei_file *t, size_t *number, size_t *product)
{
    const unsigned bits = sizeof(size_t) < 8 ? 8 * sizeof(size_t) : 60;
    const size_t limit = SIZE_MAX >> (sizeof(size_t) < 8 ? 0 : 7);
    int count = 0;

    *product = 1;
    moei_expect(t, '[');
    for (; moei_more(t, ']'); count++) {
        const size_t x = (size_t)moei_read_uint(t, 10, bits);
        number[count < 3 ? count : 2] = x;
        *product = x > 0 && *product > limit / x ? limit : *product * x;
    }
    return count;
}

/* The value of a setting, in t->text, which takes the file's place; a list of
   columns stays in the file, where it begins at `list`. */
static void moei_read_setting(moei_file *t, const moei_setting *s,
                              const char *list)
{
    const unsigned char *at = t->at, *end = t->end;
    int i, bad = 0;

    if (s->kind == MOEI_LIST)
        moei_set(s, t, 0, (uintptr_t)list);
    if (s->kind == MOEI_WORD) {
        i = moei_which(t->text, moei_word(s->name, 1));
        moei_reject(t, i < 0, MOEI_TEXT("the metadata have an unknown word"));
        moei_set(s, t, 0, (uint64_t)i);
    }
    if (s->count == 0)
        return;
    t->at = (const unsigned char *)t->text;
    t->end = t->at + sizeof t->text;
    if (s->kind == MOEI_F32)
        bad = *t->at++ != '0' || *t->at++ != 'x';
    for (i = 0; i < s->count && (i == 0 || *t->at == ','); i++) {
        t->at += i > 0;
        moei_set(s, t, i, moei_read_uint(
            t, s->kind == MOEI_F32 ? 16 : 10, s->kind));
    }
    moei_reject(t, bad || *t->at != 0,
                MOEI_TEXT("a setting is not a number as moe.h writes it"));
    t->at = at;
    t->end = end;
}

static void moei_read_metadata(moei_file *t)
{
    const char *list;
    int i;

    moei_expect(t, '{');
    while (moei_more(t, '}')) {
        for (i = 0; i < MOEI_SETTINGS; i++)
            if (moei_which(t->text, moei_settings[i].name) == 0)
                break;
        (void)moei_peek(t);
        list = (const char *)t->at + 1;
        moei_read_string(t);
        if (i == MOEI_SETTINGS)
            continue;
        moei_see(t, &t->seen, i,
                 MOEI_TEXT("a setting stands twice in the metadata"));
        if (t->fault == NULL)
            moei_read_setting(t, &moei_settings[i], list);
    }
}

static const char moei_types[] = "F32|F64|F16|BF16|I64|I32|I16|I8|U64|U32|U16|"
    "U8|BOOL|C64|F8_E4M3|F8_E5M2|F8_E8M0|F6_E2M3|F6_E3M2|F4";
static const unsigned char moei_type_bits[] = {
    32, 64, 16, 16, 64, 32, 16, 8, 64, 32, 16, 8, 8, 64, 8, 8, 8, 6, 6, 4
};

/* Where a tensor lies.  All of them tile the data if as many begin as end at
   every joint: the sum over them of f(begin) - f(end) is f(0) - f(all), where f
   is a hash that the header keys. */
static void moei_place(moei_file *t, const moei_tensor *is)
{
    moei_reject(t, is->type < 0,
                MOEI_TEXT("a tensor has a type that safetensors have not"));
    moei_reject(t, is->begin > is->end || (uint64_t)(is->end - is->begin) * 8
                != (uint64_t)moei_type_bits[is->type < 0 ? 0 : is->type]
                   * is->count,
                MOEI_TEXT("a tensor's length is not as its type and shape"));
    if (is->begin < is->end)
        t->joints += moei_mix(t->key + is->begin) - moei_mix(t->key + is->end);
    if (t->bytes < is->end)
        t->bytes = is->end;
}

/* One of ours, or another's: of these none near has the same name. */
static void moei_read_tensor(moei_file *t)
{
    const char *const twice = MOEI_TEXT("a tensor stands twice");
    const int i = moei_which(t->text, moei_tensors);
    moei_tensor other = {0, 0, {0, 0, 0}, 0, 0, 0, NULL};
    moei_tensor *is = i < 0 ? &other : &t->tensor[i];
    size_t place[3] = {0, 0, 0}, product;
    uint32_t seen = 0;
    int k, two = 0;

    for (k = 0; k < 64 && i < 0; k++)
        moei_reject(t, t->others[k] == t->hash, twice);
    if (i < 0)
        t->others[t->other_count++ % 64] = t->hash;
    else
        moei_see(t, &t->found, i, twice);
    moei_expect(t, '{');
    while (moei_more(t, '}')) {
        k = moei_which(t->text, "dtype|shape|data_offsets");
        moei_reject(t, k < 0, MOEI_TEXT("a tensor has an unknown field"));
        moei_see(t, &seen, k & 3,
                 MOEI_TEXT("a field of a tensor stands twice"));
        if (k == 0) {
            moei_read_string(t);
            is->type = moei_which(t->text, moei_types);
        } else if (k == 1)
            is->sides = moei_read_uints(t, is->side, &is->count);
        else
            two = moei_read_uints(t, place, &product);
    }
    moei_reject(t, seen != 7 || two != 2,
                MOEI_TEXT("a tensor lacks its dtype, shape or data_offsets"));
    is->begin = place[0];
    is->end = place[1];
    if (i < 0 && t->fault == NULL)
        moei_place(t, is);
}

/* All settings and tensors that the file has. */
static void moei_read_header(moei_file *t)
{
    moei_expect(t, '{');
    while (moei_more(t, '}'))
        if (moei_which(t->text, "__metadata__") == 0) {
            moei_see(t, &t->seen, MOEI_SETTINGS,
                     MOEI_TEXT("the metadata stand twice"));
            moei_read_metadata(t);
        } else {
            moei_read_tensor(t);
        }
    moei_reject(t, moei_peek(t) >= 0,
                MOEI_TEXT("the header goes on after its end"));
    moei_reject(t, !(t->seen >> MOEI_FORMAT & 1), MOEI_TEXT(
        "the metadata do not say that this is a moe.h file"));
}

/* The header: all of m that does not need memory, before there is any; and how
   long the file is, as far as its first bytes tell. */
MOEI_COLD static const char *moei_examine(
    moei_file *t, moe *m, const void *file, uint64_t bytes, int all)
{
    moe_config *const c = &t->config;
    uint64_t header;
    int i;

    moei_zero_bytes(t, sizeof *t);
    t->at = (const unsigned char *)file;
    header = bytes < 8 ? UINT64_MAX
           : moei_decode(t->at) | (uint64_t)moei_decode(t->at + 4) << 32;
    if (header > 1048576 || (all && header > bytes - 8))
        return MOEI_TEXT("the header is longer than the file or than 1 MiB");
    t->bytes = header += 8;
    if (bytes < header)
        return NULL;
    t->end = t->at + (size_t)header;
    for (t->at += 8; t->at < t->end; t->at++)
        t->key += moei_mix(t->key ^ *t->at);
    t->at -= header - 8;
    t->bytes = 0;
    moei_read_header(t);
    c->mode = t->seen >> MOEI_TRAINING & 1 ? MOE_MODE_TRAIN : MOE_MODE_PREDICT;
    moei_reject(t, 1, moei_fault(m, c));
    if (t->fault != NULL)
        return t->fault;
    moei_list_all(t, m);
    if (c->mode == MOE_MODE_TRAIN)
        moei_list_training(t, m);
    for (i = 0; i < MOEI_TENSORS; i++)
        if (t->found >> i & 1)
            moei_place(t, &t->tensor[i]);
    moei_reject(t, t->joints != moei_mix(t->key) - moei_mix(t->key + t->bytes),
                MOEI_TEXT("the tensors leave gaps or overlap"));
    t->bytes += header;
    moei_reject(t, all && t->bytes != bytes, MOEI_TEXT(
        "the numbers are not as many as the header says"));
    return t->fault;
}

MOE_DEF moe_status moe_read_config(moe_config *config, const void *file,
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

/* Checked and, where there is memory for them, copied. */
static void moei_read_numbers(moei_file *t, int tensor)
{
    const moei_tensor *is = &t->tensor[tensor];
    const unsigned char *from = t->end + is->begin;
    const size_t count = (is->end - is->begin) / 4;
    moe_real *to = is->numbers;
    int finite = 1, negative = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        const uint32_t bits = moei_decode(from + 4 * i);
        finite &= moei_is_finite(moei_of_f32(bits));
        negative |= bits > 0x80000000u;
        if (to != NULL)
            to[i] = moei_of_f32(bits);
    }
    moei_reject(t, !finite, moei_not_finite);
    moei_reject(t, negative && tensor == MOEI_T_SECOND,
                MOEI_TEXT("a second moment is negative"));
}

/* Standard deviations that are there; in place they are behind params, and
   copied if they may be learnt. */
static void moei_read_sigma(moei_file *t, moe *m)
{
    const moe_real *behind = m->params + m->param_count;
    int i;

    if (m->sigma == NULL)
        m->sigma = behind;
    else if (m->params != m->weights)
        moei_copy(moei_shown(m->sigma), behind, 1 + m->E);
    for (i = 0; i <= m->E; i++)
        moei_reject(t, !(m->sigma[i] > 0)
                    || !moei_is_finite(1 / (m->sigma[i] * m->sigma[i])),
                    MOEI_TEXT("scale.sigma is out of range"));
}

/* Where training is; what it cannot have left is a fault.  It starts anew where
   something else is frozen than was. */
static void moei_read_state(moei_file *t, moe *m, int resumes)
{
    moei_state *const s = &t->state;

    moei_reject(t, !(s->beta_power[0] >= 0 && s->beta_power[0] <= 1)
                || !(s->beta_power[1] >= 0 && s->beta_power[1] <= 1)
                || !(s->rate_factor >= 0 && s->rate_factor <= 1),
                MOEI_TEXT("training.state is out of range"));
    if (!resumes)
        return;
    m->epoch = (int)s->epoch;
#ifndef MOE_PREDICT_ONLY
    if (m->state == NULL)
        return;
    s->began = s->began < s->epoch ? s->began : s->epoch;
    if (s->scale_before > 2 || m->tunes)    /* whose scales are not its own */
        s->scale_before = 2;
    if (!moei_is_amount(s->best_sigma)
        || !moei_is_finite(1 / (s->best_sigma * s->best_sigma)))
        s->best_sigma = 1;
    if (m->mode == MOE_MODE_TRAIN)
        s->largest_moment = moei_larger(
            moei_norm(m, moei_stored(m, MOEI_FIRST), m->grad_count),
            moei_sqrt(moei_norm(m, moei_stored(m, MOEI_SECOND),
                                m->grad_count)));
    *m->state = *s;
#endif
}

/* All that params has, and sigma behind it, where it lies, if it lies there in
   this order, whole and as this machine has numbers in its memory. */
static const moe_real *moei_params_in_place(const moei_file *t, const moe *m)
{
    const moei_tensor *is = t->tensor;
    const unsigned char *at = t->end + is->begin;
    size_t bytes = 0;
    int i, fits = sizeof(moe_real) == 4 && moei_least_byte(4) == 0
               && (uintptr_t)at % sizeof(moe_real) == 0
               && (!moei_has_gate(m) || (t->due >> MOEI_T_BALANCE & 1));

    for (i = 0; i <= MOEI_T_SIGMA; i++)
        if (t->due >> i & 1) {
            fits &= is[i].begin == is->begin + bytes;
            bytes += is[i].end - is[i].begin;
        }
    return fits ? (const moe_real *)(const void *)at : NULL;
}

/* What a file's configuration leaves to the caller. */
static void moei_apply(moe_config *c, const moe_config *given)
{
    c->block = given->block;
    c->simd = given->simd;
    c->mode = given->mode;
    c->frozen = given->frozen;
    c->gate_frozen = given->gate_frozen;
    c->frozen_experts = given->frozen_experts;
    c->top_k = given->top_k > 0 ? given->top_k : c->top_k;
    c->top_p = given->top_p > 0 ? given->top_p : c->top_p;
    if (!moei_is_sparse(c))
        c->balance_loss = 0;
}

/* moe_load_memory, or moe_load_in_place; every number must be finite. */
MOEI_COLD static moe_status moei_load_at(
    moe *m, const void *file, size_t file_bytes, const moe_config *config,
    int own, void *memory, size_t bytes)
{
    const moe_real *params = NULL;
    const char *error;
    moe_status status;
    moei_file t;
    moe shape;
    int i, resumes;

    if (m == NULL)
        return MOE_ERR_NULL;
    error = file == NULL ? MOEI_TEXT("file is NULL")
          : moei_examine(&t, &shape, file, file_bytes, 1);
    if (error != NULL)
        return moei_closed(m, file ? MOE_ERR_FORMAT : MOE_ERR_NULL, error);
    if (!own && (params = moei_params_in_place(&t, &shape)) == NULL)
        return moei_closed(m, MOE_ERR_STATE, MOEI_TEXT("only aligned little-"
            "endian floats in moe.h's order and with gate.balance can be used "
            "in place; load them"));
    if (config != NULL)
        moei_apply(&shape.config, config);
    status = moei_start(m, &shape.config, own, memory, bytes);
    if (status != MOE_OK)
        return status;
    resumes = t.config.mode == MOE_MODE_TRAIN
           && m->expert.learning == shape.expert.learning
           && m->gate.learning == shape.gate.learning
           && m->config.frozen_experts == t.config.frozen_experts;
    if (own) {
        m->params = m->weights;
        moei_set_sigma(m, m->config.sigma > 0 ? m->config.sigma : 1);
        moei_list_all(&t, m);
    } else {
        moei_attach_to(m, params);
    }
    if (resumes)
        moei_list_training(&t, m);
    for (i = 0; i < MOEI_TENSORS; i++)
        if (t.due >> i & 1)
            moei_read_numbers(&t, i);
    if (t.due >> MOEI_T_SIGMA & 1)
        moei_read_sigma(&t, m);
    if (t.config.mode == MOE_MODE_TRAIN)
        moei_read_state(&t, m, resumes);
    if (t.fault != NULL) {
        MOE_FREE(m->heap);
        return moei_closed(m, MOE_ERR_FORMAT, t.fault);
    }
    m->scale_state = 2;
    return moei_ok(m);
}

MOE_DEF moe_status moe_load_memory(moe *m, const void *file, size_t file_bytes,
                                   const moe_config *config, void *memory,
                                   size_t bytes)
{
    return moei_load_at(m, file, file_bytes, config, 1, memory, bytes);
}

MOE_DEF moe_status moe_load_in_place(moe *m, const void *file,
                                     size_t file_bytes,
                                     const moe_config *config, void *memory,
                                     size_t bytes)
{
    return moei_load_at(m, file, file_bytes, config, 0, memory, bytes);
}

#ifndef MOE_NO_STDIO
/* A file beside path that nobody else has, path.1f2e3d4c.tmp: created only if
   there is none, nor a link.  name has room for 16 more. */
static FILE *moei_create(const char *path, char *name)
{
    uint64_t number = moei_mix((uintptr_t)name) & 0xfffffff;
    const uint64_t last = number + 100;
    FILE *f = NULL;

    for (; number < last && f == NULL; number++) {
        moei_writer w = {(unsigned char *)name, 0, NULL};
        for (; path[w.at] != 0; w.at++)
            name[w.at] = path[w.at];
        moei_write_uint(&w, ".", number, 16);
        moei_write(&w, ".tmp");
        name[w.at] = 0;
        f = MOEI_OPEN(name, "wbx");
    }
    return f;
}

/* What went wrong, if anything, in writing a file beside path and renaming. */
static const char *moei_write_file(const char *path, char *beside,
                                   const unsigned char *file, size_t bytes)
{
    FILE *f = moei_create(path, beside);
    int written;

    if (f == NULL)
        return MOEI_TEXT("the file beside path cannot be opened");
    moei_keep_mode(path, beside);
    written = fwrite(file, 1, bytes, f) == bytes && fflush(f) == 0;
    if (fclose(f) != 0 || !written) {
        (void)remove(beside);
        return MOEI_TEXT("the file beside path cannot be written");
    }
    return MOEI_REPLACE(beside, path) == 0 ? NULL
         : MOEI_TEXT("the new file cannot be renamed to path");
}

/* Beside the old file; flushed; then in its place. */
MOE_DEF moe_status moe_save(moe *m, moe_mode keep, const char *path)
{
    size_t length = 0;
    moei_writer w = {NULL, 0, NULL};
    moe_status status = moei_save(m, keep, &w);

    if (m == NULL)
        return MOE_ERR_NULL;
    while (path != NULL && path[length] != 0)
        length++;
    if (length == 0)
        return moei_refuse(m, MOE_ERR_NULL, MOEI_TEXT("path is NULL or empty"));
    if (status != MOE_OK)
        return moei_refuse(m, status, w.fault);
    w.to = (unsigned char *)MOE_MALLOC(w.at + length + 16);
    if (w.to == NULL)
        return moei_refuse(m, MOE_ERR_MEMORY,
                           MOEI_TEXT("there is no memory for the file"));
    (void)moei_save(m, keep, &w);
    w.fault = moei_write_file(path, (char *)w.to + w.at, w.to, w.at);
    MOE_FREE(w.to);
    return w.fault ? moei_refuse(m, MOE_ERR_IO, w.fault) : moei_ok(m);
}

/* The file's first `need` bytes, of which there are `have`. */
static moe_status moei_read_on(FILE *f, unsigned char **file, size_t have,
                               uint64_t need)
{
    unsigned char *more = need > PTRDIFF_MAX ? NULL
                        : (unsigned char *)MOE_MALLOC((size_t)need);
    size_t i, rest = (size_t)need - have;

    for (i = 0; i < have && more != NULL; i++)
        more[i] = (*file)[i];
    MOE_FREE(*file);
    *file = more;
    return more == NULL ? MOE_ERR_MEMORY
         : fread(more + have, 1, rest, f) == rest ? MOE_OK
         : ferror(f) ? MOE_ERR_IO : MOE_ERR_FORMAT;
}

/* 8 bytes, then the header, then what that asks for, so that nothing else is
   read, and a pipe will do.  A folder opens, but cannot be read. */
MOE_DEF moe_status moe_load(moe *m, const char *path, const moe_config *config)
{
    FILE *f = NULL;
    unsigned char *file = NULL;
    moe_status status = MOE_OK;
    const char *error = NULL;
    uint64_t have = 0, need = 8;
    moei_file t;
    moe shape;

    if (m == NULL)
        return MOE_ERR_NULL;
    if (path == NULL)
        return moei_closed(m, MOE_ERR_NULL, MOEI_TEXT("path is NULL"));
    f = MOEI_OPEN(path, "rb");
    if (f == NULL)
        return moei_closed(m, MOE_ERR_IO, MOEI_TEXT("the file cannot be "
                                                    "opened"));
    for (; error == NULL && have < need; have = need, need = t.bytes) {
        status = moei_read_on(f, &file, (size_t)have, need);
        error = status == MOE_OK ? moei_examine(&t, &shape, file, need, 0)
            : status == MOE_ERR_MEMORY
                ? MOEI_TEXT("there is no memory for the file")
            : status == MOE_ERR_IO ? MOEI_TEXT("the file cannot be read")
                                   : MOEI_TEXT("the file ends too early");
    }
    if (error == NULL && fgetc(f) >= 0)
        error = MOEI_TEXT("the numbers are not as many as the header says");
    (void)fclose(f);
    status = error == NULL
           ? moe_load_memory(m, file, (size_t)have, config, NULL, 0)
           : moei_closed(m, status ? status : MOE_ERR_FORMAT, error);
    MOE_FREE(file);
    return status;
}
#endif /* MOE_NO_STDIO */

/* ======================================================================== */
/* 13  NUMBERS                                                              */
/* ======================================================================== */
/* Bits, random numbers, and exp, log, tanh and sqrt within 2 ulp: NaN stays
   NaN, and there are no branches, so that strips of them become vectors. */
/* ln 2 in two, of which the first ends in 15 or 21 zeros */
static const moe_real
    moei_ln2_high = MOEI_EITHER(0.693359375f, 6.93147180369123816490e-01),
    moei_ln2_low = MOEI_EITHER(-2.12194440e-4f, 1.9082149292705877e-10);

enum {
    MOEI_EXP_TERMS = MOEI_EITHER(8, 13), MOEI_LOG_TERMS = MOEI_EITHER(5, 10)
};

static const moe_real moei_factorial[] = {      /* 1/n! */
    1, 1, (moe_real)(1.0 / 2), (moe_real)(1.0 / 6), (moe_real)(1.0 / 24),
    (moe_real)(1.0 / 120), (moe_real)(1.0 / 720), (moe_real)(1.0 / 5040),
    (moe_real)(1.0 / 40320), (moe_real)(1.0 / 362880),
    (moe_real)(1.0 / 3628800), (moe_real)(1.0 / 39916800),
    (moe_real)(1.0 / 479001600), (moe_real)(1.0 / 6227020800.0)
};

MOEI_INLINE moe_real moei_from_bits(moei_bits bits)
{
    union { moe_real real; moei_bits bits; } word;
    word.bits = bits;
    return word.real;
}

/* 2^exponent */
MOEI_INLINE moe_real moei_power(int exponent)
{
    return moei_from_bits((moei_bits)(MOEI_BIAS + exponent) << MOEI_FRACTION);
}

MOEI_INLINE moei_bits moei_to_bits(moe_real x)
{
    MOEI_ROUNDED union { moe_real real; moei_bits bits; } word;
    word.real = x;
    return word.bits;
}

/* x = k ln 2 + r, |r| <= ln(2)/2.  Returns q = e^r - 1 = r + r^2/2! + ... and
   2^k as a product of two powers, for 2^k alone may leave the range; far
   below it 0, without the slow products of subnormal numbers.  k is read as an
   integer off the bits, where no compiler can take the rounding back. */
MOEI_INLINE moe_real moei_exp_parts(moe_real x, moe_real *power, moe_real *rest)
{
    const moe_real least = MOEI_EITHER(-104, -746), log2_e
        = (moe_real)1.44269504088896340736;
    const moe_real most = MOEI_EITHER(89, 710), round           /* 1.5 * 2^f */
        = MOEI_EITHER(12582912.0f, 6755399441055744.0);
    const moei_bits keep = (moei_bits)(x < least) - 1;
    const moe_real at = moei_from_bits(moei_to_bits(x > most ? most : x)
                                       & keep);
    const moei_bits exponent = moei_to_bits(at * log2_e + round)
        - (moei_to_bits(round) - 2 * MOEI_BIAS), half = exponent >> 1;
    const moe_real k = (moe_real)(int32_t)(exponent - 2 * MOEI_BIAS);
    const moe_real r = (at - k * moei_ln2_high) - k * moei_ln2_low;
    moe_real q = moei_factorial[MOEI_EXP_TERMS];
    int n;

    *power = moei_from_bits(half << MOEI_FRACTION);
    *rest = moei_from_bits(((exponent - half) << MOEI_FRACTION) & keep);
    MOEI_UNROLL for (n = MOEI_EXP_TERMS - 1; n >= 2; n--)
        q = q * r + moei_factorial[n];
    return r + r * r * q;
}

/* e^x = 2^k (1 + q) */
MOEI_INLINE moe_real moei_exp(moe_real x)
{
    moe_real power, rest, q = moei_exp_parts(x, &power, &rest);
    return (1 + q) * power * rest;
}

/* With v = e^(-2|x|) and u = v - 1:  tanh |x| = -u / (2 + u) below 1, and above
   1 - 2v / (1 + v), for v has digits that u lost.  What rounding took from u
   and from 2 + u is put back by the derivatives of the quotient.
   q and power: e^(-2|x|) = power (1 + q) */
MOEI_INLINE moe_real moei_tanh_of(moe_real x, moe_real q, moe_real power)
{
    const moei_bits sign = moei_to_bits(x) & MOEI_SIGN_BIT;
    const int small = moei_from_bits(moei_to_bits(x) ^ sign) < 1;
    const moe_real low = q * power, high = power - 1;
    const moe_real u = low + high, v = low + power, below = 2 + u;
    const moe_real lost_u = low - (u - high), lost = u - (below - 2);
    const moe_real part = (small ? -u : 2 * v) / (small ? below : 1 + v);
    const moe_real more = (lost * part + lost_u * (1 + part)) * (1 + part) / 2;
    const moe_real y = small ? part - more : 1 - part;
    return moei_from_bits((moei_to_bits(y) & ~MOEI_SIGN_BIT) | sign);
}

/* x = 2^k m, sqrt(1/2) <= m < sqrt(2); f = m - 1, v = f / (2 + f):
   log m = 2 atanh v = 2v + 2v^3/3 + 2v^5/5 + ... = f - (f^2/2 - v (f^2/2 + R)),
   where R = 2v^2/3 + 2v^4/5 + ...  keeps the rounding of f out of the sum. */
MOEI_INLINE moe_real moei_log(moe_real x)
{
    const moei_bits sqrt_half = MOEI_EITHER(0x3f3504f3u, 0x3fe6a09e667f3bcdu);
    const int tiny = x < moei_power(1 - MOEI_BIAS);
    const moei_bits bits = moei_to_bits(tiny
        ? x * moei_power(MOEI_FRACTION + 1) : x)
        - (sqrt_half - MOEI_ONE_BITS);
    const moe_real k = (moe_real)((int32_t)(bits >> MOEI_FRACTION) - MOEI_BIAS
                                  - (tiny ? MOEI_FRACTION + 1 : 0));
    const moe_real f = moei_from_bits(
        (bits & (((moei_bits)1 << MOEI_FRACTION) - 1)) + sqrt_half) - 1;
    const moe_real v = f / (2 + f), w = v * v, half = f * f / 2;
    moe_real R = 0, y;
    int n;

    MOEI_UNROLL for (n = MOEI_LOG_TERMS; n >= 1; n--)
        R = (R + (moe_real)2 / (moe_real)(2 * n + 1)) * w;
    y = k * moei_ln2_high - ((half - (v * (half + R) + k * moei_ln2_low)) - f);
    y = moei_to_bits(x) == MOEI_INFINITY_BITS ? x : y;
    y = x == 0 ? -MOEI_INFINITY : y;
    return x >= 0 ? y : MOEI_NAN;
}

/* sqrt x = x r, r = 1 / sqrt x by Newton's r += r (1 - x r^2) / 2 from a guess
   that halves the exponent.  Tiny x are scaled by 2^(4 fraction). */
MOEI_INLINE moe_real moei_sqrt(moe_real x)
{
    const int tiny = x < moei_power(4 * MOEI_FRACTION - MOEI_BIAS);
    const moe_real u = tiny ? x * moei_power(4 * MOEI_FRACTION) : x;
    moe_real r = moei_from_bits(MOEI_EITHER(0x5f3759dfu, 0x5fe6eb50c7b537a9u)
                                - (moei_to_bits(u) >> 1)), root;
    int n;

    MOEI_UNROLL for (n = 0; n < MOEI_EITHER(2, 3); n++)
        r = r * ((moe_real)1.5 - u / 2 * r * r);
    root = u * r;
    root = root + r / 2 * (u - root * root);
    root = tiny ? root * moei_power(-2 * MOEI_FRACTION) : root;
    root = moei_to_bits(x) == MOEI_INFINITY_BITS || x == 0 ? x : root;
    return x >= 0 ? root : MOEI_NAN;
}

/* Read off the bits: fast-math builds take comparisons with NaN away. */
static int moei_is_finite(moe_real x)
{
    return (moei_to_bits(x) & MOEI_INFINITY_BITS) != MOEI_INFINITY_BITS;
}

static int moei_is_nan(moe_real x)
{
    return (moei_to_bits(x) & ~MOEI_SIGN_BIT) > MOEI_INFINITY_BITS;
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

#ifndef MOE_PREDICT_ONLY
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
#endif

/* ======================================================================== */
/* 14  LOOPS                                                                */
/* ======================================================================== */
/* What takes the time.  From "vectors" on the text is read once for each
   instruction set: the header includes itself.  MOEI_V is a vector of
   MOEI_LANES reals and MOEI_(x) is x of this set; the plain set, where a vector
   is one real, is the reference.  Arrays are (features, N).  N is 1, and lanes
   run over features; or it is a multiple of 16, and lanes run over cases.  What
   each of them makes is told with moei_loops, in room 4. */

/* One set where there are no vectors, or where the file cannot be read again:
   pasted into another, or renamed. */
#ifndef MOE_FILE
#define MOE_FILE "moe.h"
#endif
#if defined(MOEI_PLAIN)
#define MOEI_ONE_SET
#elif defined(__has_include)
#if !__has_include(MOE_FILE)
#define MOEI_ONE_SET
#endif
#endif

#ifdef MOEI_X86
/* Masked stores are slow, and so are loads of what they wrote.   n <= 4 */
MOEI_ALWAYS void moei_store_few(void *at, int n, __m128 x)
{
    float *p = (float *)at;

    if (n > 3)
        _mm_storeu_ps(p, x);
    else if (n > 1)
        _mm_storel_pi((__m64 *)at, x);
    if (n == 1 || n == 3)
        _mm_store_ss(p + n - 1, n == 3 ? _mm_movehl_ps(x, x) : x);
}

#ifndef MOEI_ONE_SET
/* Whether the processor and the system have vectors of so many bits. */
static int moei_has(int bits)
{
#ifdef _MSC_VER
    const int leaf_7 = bits == 256 ? 1 << 5
                     : (int)(1u << 31 | 1u << 30 | 1u << 17 | 1u << 16);
    const int state = bits == 256 ? 6 : 0xe6;
    int first[4], seventh[4];

    __cpuid(first, 1);
    __cpuidex(seventh, 7, 0);
    return (first[2] >> 12 & first[2] >> 27 & 1) != 0
        && ((int)_xgetbv(0) & state) == state
        && (seventh[1] & leaf_7) == leaf_7;
#else
    return bits == 256
        ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        : __builtin_cpu_supports("avx512dq")
          && __builtin_cpu_supports("avx512bw")
          && __builtin_cpu_supports("avx512vl");
#endif
}
#endif
#endif

/* to (n,N) = from (m,n) transposed, 0 beyond column m; row i of from is row
   list[i], if there is a list */
static MOEI_APART void moei_transpose(int m, int n, const moe_real *from,
                                      ptrdiff_t row, const int32_t *list,
                                      moe_real *to, ptrdiff_t N)
{
    const moe_real *r;
    int i = 0, j;

#if defined(MOEI_X86) && !defined(MOE_DOUBLE)
    for (; i + 4 <= m; i += 4) {
        const moe_real *at[4];

        MOEI_UNROLL for (j = 0; j < 4; j++)
            at[j] = from + (list ? list[i + j] : i + j) * row;
        for (j = 0; j + 4 <= n; j += 4) {
            __m128 a = _mm_loadu_ps(at[0] + j), b = _mm_loadu_ps(at[1] + j);
            __m128 c = _mm_loadu_ps(at[2] + j), d = _mm_loadu_ps(at[3] + j);
            moe_real *y = to + j * N + i;

            _MM_TRANSPOSE4_PS(a, b, c, d);
            _mm_storeu_ps(y, a);
            _mm_storeu_ps(y + N, b);
            _mm_storeu_ps(y + 2 * N, c);
            _mm_storeu_ps(y + 3 * N, d);
        }
        for (; j < n; j++)
            _mm_storeu_ps(to + j * N + i, _mm_setr_ps(at[0][j], at[1][j],
                                                      at[2][j], at[3][j]));
    }
#endif
    for (; i < m; i++)
        for (r = from + (list ? list[i] : i) * row, j = 0; j < n; j++)
            to[j * N + i] = r[j];
    for (; i < N; i++)
        for (j = 0; j < n; j++)
            to[j * N + i] = 0;
}

/* c (m,n) = s + a (m,k) b (k,n), or its positive part; lanes along n.
   s_col 0: s has one number for a row. */
typedef struct moei_product {
    int m, n, k;
    const moe_real *a; ptrdiff_t a_row, a_col;
    const moe_real *b; ptrdiff_t b_row;
    const moe_real *s; ptrdiff_t s_row; int s_col, relu;
    moe_real *c; ptrdiff_t c_row;
} moei_product;

#define MOEI_BYTES (MOEI_LANES * MOEI_REAL_SIZE)        /* of a vector */
#define MOEI_STRIP (MOEI_LANES == 1 ? 1 : 16)           /* number by number */
#if !defined(MOEI_ONE_SET)
#elif defined(MOEI_PLAIN)
#define MOEI_LANES 1
#elif defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define MOEI_LANES (64 / MOEI_REAL_SIZE)
#elif defined(__AVX2__) && defined(__FMA__)
#define MOEI_LANES (32 / MOEI_REAL_SIZE)
#else
#define MOEI_LANES (16 / MOEI_REAL_SIZE)
#endif
#endif /* of the first reading */
#ifdef MOEI_LANES
/* ------------------------------------- vectors: one operation, one line */
#define MOEI_V MOEI_(vector)
#define MOEI_OP MOEI_ALWAYS MOEI_TARGET MOEI_V
#define MOEI_PUT MOEI_ALWAYS MOEI_TARGET void
#if MOEI_LANES == 1
#define MOEI_(name) moei_plain_##name
#define MOEI_TARGET
typedef moe_real MOEI_V;
MOEI_OP MOEI_(load)(const moe_real *p) { return *p; }
MOEI_OP MOEI_(load_n)(const moe_real *p, int n) { return (void)n, *p; }
MOEI_PUT MOEI_(store)(moe_real *p, MOEI_V x) { *p = x; }
MOEI_PUT MOEI_(store_n)(moe_real *p, int n, MOEI_V x) { (void)n, *p = x; }
MOEI_OP MOEI_(splat)(moe_real x) { return x; }
MOEI_OP MOEI_(add)(MOEI_V a, MOEI_V b) { return a + b; }
MOEI_OP MOEI_(sub)(MOEI_V a, MOEI_V b) { return a - b; }
MOEI_OP MOEI_(mul)(MOEI_V a, MOEI_V b) { return a * b; }
MOEI_OP MOEI_(div)(MOEI_V a, MOEI_V b) { return a / b; }
MOEI_OP MOEI_(madd)(MOEI_V a, MOEI_V b, MOEI_V c) { return a * b + c; }
MOEI_OP MOEI_(max)(MOEI_V a, MOEI_V b) { return a > b ? a : b; }
#elif MOEI_BYTES == 64
#define MOEI_(name) moei_512_##name
#define MOEI_TARGET MOEI_FOR("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#define MOEI_DO(name) MOEI_REALS(_mm512_##name)
#define MOEI_ALL(name, ...)                 /* gcc 12 warns of plain ones */ \
    MOEI_REALS(_mm512_maskz_##name)(MOEI_(first)(MOEI_LANES), __VA_ARGS__)
typedef MOEI_EITHER(__m512, __m512d) MOEI_V;
MOEI_ALWAYS MOEI_EITHER(__mmask16, __mmask8) MOEI_(first)(int n)
{ return (MOEI_EITHER(__mmask16, __mmask8))((1u << n) - 1); }
MOEI_OP MOEI_(load_part)(const moe_real *p, int n)
{ return MOEI_DO(maskz_loadu)(MOEI_(first)(n), p); }
MOEI_PUT MOEI_(store_part)(moe_real *p, int n, MOEI_V x)
{ MOEI_DO(mask_storeu)(p, MOEI_(first)(n), x); }
#elif MOEI_BYTES == 32
#define MOEI_(name) moei_256_##name
#define MOEI_TARGET MOEI_FOR("avx2,fma")
#define MOEI_DO(name) MOEI_REALS(_mm256_##name)
typedef MOEI_EITHER(__m256, __m256d) MOEI_V;
MOEI_ALWAYS MOEI_TARGET __m256i MOEI_(first)(int n)
{ return _mm256_cmpgt_epi32(_mm256_set1_epi32(n * (MOEI_REAL_SIZE / 4)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }
MOEI_OP MOEI_(load_part)(const moe_real *p, int n)
{ return MOEI_DO(maskload)(p, MOEI_(first)(n)); }
MOEI_PUT MOEI_(store_part)(moe_real *p, int n, MOEI_V x)
{
    const __m256 y = MOEI_EITHER(x, _mm256_castpd_ps(x));
    const int floats = n * (MOEI_REAL_SIZE / 4);

    moei_store_few(p, floats, _mm256_castps256_ps128(y));
    if (floats > 4)
        moei_store_few((char *)p + 16, floats - 4, _mm256_extractf128_ps(y, 1));
}
#else
#define MOEI_(name) moei_128_##name
#define MOEI_TARGET
#if defined(MOEI_NEON)
#define MOEI_DO(name) MOEI_EITHER(v##name##q_f32, v##name##q_f64)
typedef MOEI_EITHER(float32x4_t, float64x2_t) MOEI_V;
MOEI_OP MOEI_(load)(const moe_real *p) { return MOEI_DO(ld1)(p); }
MOEI_PUT MOEI_(store)(moe_real *p, MOEI_V x) { MOEI_DO(st1)(p, x); }
MOEI_OP MOEI_(splat)(moe_real x)
{ return MOEI_EITHER(vdupq_n_f32, vdupq_n_f64)(x); }
MOEI_OP MOEI_(max)(MOEI_V a, MOEI_V b)
{ return MOEI_DO(bsl)(MOEI_DO(cgt)(a, b), a, b); }
MOEI_OP MOEI_(min)(MOEI_V a, MOEI_V b)
{ return MOEI_DO(bsl)(MOEI_DO(clt)(a, b), a, b); }
#elif defined(MOEI_WASM)
#define MOEI_DO(name) MOEI_EITHER(wasm_f32x4_##name, wasm_f64x2_##name)
typedef v128_t MOEI_V;
MOEI_OP MOEI_(load)(const moe_real *p) { return wasm_v128_load(p); }
MOEI_PUT MOEI_(store)(moe_real *p, MOEI_V x) { wasm_v128_store(p, x); }
MOEI_OP MOEI_(splat)(moe_real x) { return MOEI_DO(splat)(x); }
MOEI_OP MOEI_(max)(MOEI_V a, MOEI_V b) { return MOEI_DO(pmax)(b, a); }
MOEI_OP MOEI_(min)(MOEI_V a, MOEI_V b) { return MOEI_DO(pmin)(b, a); }
#else
#define MOEI_DO(name) MOEI_REALS(_mm_##name)
typedef MOEI_EITHER(__m128, __m128d) MOEI_V;
#endif
#endif
#if MOEI_LANES > 1
#ifndef MOEI_X86
MOEI_PUT MOEI_(fetch)(const moe_real *p) { (void)p; }
#else
MOEI_PUT MOEI_(fetch)(const moe_real *p)    /* into the second cache */
{ _mm_prefetch((const char *)p, _MM_HINT_T1); }
MOEI_OP MOEI_(load)(const moe_real *p) { return MOEI_DO(loadu)(p); }
MOEI_PUT MOEI_(store)(moe_real *p, MOEI_V x) { MOEI_DO(storeu)(p, x); }
MOEI_OP MOEI_(splat)(moe_real x) { return MOEI_DO(set1)(x); }
#ifndef MOEI_ALL
#define MOEI_ALL(name, ...) MOEI_DO(name)(__VA_ARGS__)
#endif
MOEI_OP MOEI_(max)(MOEI_V a, MOEI_V b) { return MOEI_ALL(max, a, b); }
MOEI_OP MOEI_(min)(MOEI_V a, MOEI_V b) { return MOEI_ALL(min, a, b); }
#endif
MOEI_OP MOEI_(add)(MOEI_V a, MOEI_V b) { return MOEI_DO(add)(a, b); }
MOEI_OP MOEI_(sub)(MOEI_V a, MOEI_V b) { return MOEI_DO(sub)(a, b); }
MOEI_OP MOEI_(mul)(MOEI_V a, MOEI_V b) { return MOEI_DO(mul)(a, b); }
MOEI_OP MOEI_(div)(MOEI_V a, MOEI_V b) { return MOEI_DO(div)(a, b); }
MOEI_OP MOEI_(madd)(MOEI_V a, MOEI_V b, MOEI_V c)
#if defined(MOEI_NEON) && !defined(MOE_SAME_BITS)
{ return MOEI_DO(fma)(c, a, b); }
#elif MOEI_BYTES > 16 && !defined(MOE_SAME_BITS)
{ return MOEI_DO(fmadd)(a, b, c); }
#else
{ return MOEI_DO(add)(MOEI_DO(mul)(a, b), c); }
#endif
#if !defined(MOEI_X86)
MOEI_OP MOEI_(load_part)(const moe_real *p, int n)
{
    moe_real part[MOEI_LANES] = {0};
    moei_copy(part, p, n);
    return MOEI_(load)(part);
}
MOEI_PUT MOEI_(store_part)(moe_real *p, int n, MOEI_V x)
{
    moe_real part[MOEI_LANES];
    MOEI_(store)(part, x);
    moei_copy(p, part, n);
}
#elif MOEI_BYTES == 16
MOEI_OP MOEI_(load_part)(const moe_real *p, int n)
{
    const __m128 two = n * MOEI_REAL_SIZE == 4 ? _mm_load_ss((const float *)p)
        : _mm_loadl_pi(_mm_setzero_ps(), (const __m64 *)(const void *)p);
    const __m128 x = n == 3 ? _mm_movelh_ps(two, _mm_load_ss((const float *)p
                                                             + 2)) : two;
    return MOEI_EITHER(x, _mm_castps_pd(x));
}
MOEI_PUT MOEI_(store_part)(moe_real *p, int n, MOEI_V x)
{ moei_store_few(p, n * (MOEI_REAL_SIZE / 4),
                 MOEI_EITHER(x, _mm_castpd_ps(x))); }
#endif

/* The first n lanes, side by side; no byte beyond them is read or written. */
MOEI_OP MOEI_(load_n)(const moe_real *p, int n)
{
    return n == MOEI_LANES ? MOEI_(load)(p) : MOEI_(load_part)(p, n);
}

MOEI_PUT MOEI_(store_n)(moe_real *p, int n, MOEI_V x)
{
    if (n == MOEI_LANES)
        MOEI_(store)(p, x);
    else
        MOEI_(store_part)(p, n, x);
}
#endif

/* ------------------------------------------------------------- products */
/* From row i and column j of p on: R rows by W vectors, `left` lanes of the
   last.  U > 1, for one row: as many sums side by side, each over every U-th
   term, as one alone waits for itself.  Returns R. */
MOEI_ALWAYS MOEI_TARGET int MOEI_(tile)(
    const moei_product *p, const int R, const int U, const int W, int left,
    int i, int j)
{
    enum { L = MOEI_LANES };
    const ptrdiff_t a_row = p->a_row, a_col = p->a_col, b_row = p->b_row;
    const ptrdiff_t s_row = p->s_row, c_row = p->c_row;
    const MOEI_V zero = MOEI_(splat)((moe_real)0);
    const moe_real *a = p->a + i * a_row, *b = p->b + j;
    const moe_real *s = p->s + i * s_row + j * p->s_col;
    moe_real *c = p->c + i * c_row + j;
    const int s_col = p->s_col, relu = p->relu;
    MOEI_V t[6][16], v[16], x;
    int k, r, u, w;

    MOEI_UNROLL for (r = 0; r < R; r++)
        MOEI_UNROLL for (w = 0; w < W; w++)
            t[r][w] = s_col ? MOEI_(load_n)(s + r * s_row + w * L, left)
                            : MOEI_(splat)(s[r * s_row]);
    MOEI_UNROLL for (u = 1; u < U; u++)
        MOEI_UNROLL for (w = 0; w < W; w++)
            t[u][w] = zero;
    for (k = p->k; k >= U; k -= U, a += U * a_col, b += U * b_row)
        MOEI_UNROLL for (u = 0; u < U; u++) {
            MOEI_UNROLL for (w = 0; w < W; w++)
                v[w] = MOEI_(load_n)(b + u * b_row + w * L, left);
            MOEI_UNROLL for (r = 0; r < R; r++) {
                x = MOEI_(splat)(a[r * a_row + u * a_col]);
                MOEI_UNROLL for (w = 0; w < W; w++)
                    t[r + u][w] = MOEI_(madd)(x, v[w], t[r + u][w]);
            }
        }
    for (; U > 1 && k > 0; k--, a += a_col, b += b_row)
        MOEI_UNROLL for (w = 0; w < W; w++)
            t[0][w] = MOEI_(madd)(MOEI_(splat)(*a),
                                  MOEI_(load_n)(b + w * L, left), t[0][w]);
    MOEI_UNROLL for (u = 1; u < U; u++)
        MOEI_UNROLL for (w = 0; w < W; w++)
            t[0][w] = MOEI_(add)(t[0][w], t[u][w]);
    MOEI_UNROLL for (r = 0; r < R; r++)
        MOEI_UNROLL for (w = 0; w < W; w++)
            MOEI_(store_n)(c + r * c_row + w * L, left,
                           relu ? MOEI_(max)(zero, t[r][w]) : t[r][w]);
    return R;
}

/* y (n) = b + W' x of one case, or its positive part; n lanes; W (in,row) */
MOEI_INLINE MOEI_TARGET void MOEI_(narrow)(
    int in, int n, ptrdiff_t row, const moe_real *x, const moe_real *b,
    const moe_real *w, int relu, moe_real *y)
{
#if MOEI_LANES == 1
    moe_real sum = *b;
    int i;

    for (i = 0; i < in; i++, w += row)
        sum = x[i] * *w + sum;
    *y = relu && sum < 0 ? 0 : sum;
    (void)n;
#else
    enum { U = MOEI_IN_ORDER ? 1 : 4, L = MOEI_LANES };
    const moei_product p = {1, n, in, x, 0, 1, w, row, b, 0, 1, relu, y, 0};

    if (n == L)
        MOEI_(tile)(&p, 1, U, 1, L, 0, 0);
    else
        MOEI_(tile)(&p, 1, U, 1, n, 0, 0);
#endif
}

#if MOEI_LANES == 1 && defined(__OPTIMIZE_SIZE__)
MOEI_ALWAYS
#else
static MOEI_APART
#endif
MOEI_TARGET void MOEI_(broad)(
    int in, int out, const moe_real *x, const moe_real *b, const moe_real *w,
    int relu, moe_real *y)
{
    enum { U = MOEI_LANES == 1 || MOEI_IN_ORDER ? 1 : 2, L = MOEI_LANES };
    const moei_product p = {1, out, in, x, 0, 1, w, out, b, 0, 1, relu, y, 0};
    int j = 0;

#ifndef __OPTIMIZE_SIZE__
    for (; MOEI_BYTES == 64 && out - j >= 16 * L; j += 16 * L)
        MOEI_(tile)(&p, 1, 1, 16, L, 0, j);
    for (; out - j >= 8 * L; j += 8 * L)
        MOEI_(tile)(&p, 1, 1, 8, L, 0, j);
#endif
    for (; out - j >= 4 * L; j += 4 * L)
        MOEI_(tile)(&p, 1, U, 4, L, 0, j);
    for (; L > 1 && out - j >= 2 * L; j += 2 * L)
        MOEI_(tile)(&p, 1, U > 1 ? 4 : 1, 2, L, 0, j);
    for (; j < out; j += L)
        MOEI_(narrow)(in, moei_min(out - j, L), out, x, b + j, w + j, relu,
                      y + j);
}

static MOEI_TARGET void MOEI_(one)(int in, int out, const moe_real *x,
                                   const moe_real *b, const moe_real *w,
                                   int relu, moe_real *y)
{
    if (out > MOEI_LANES)
        MOEI_(broad)(in, out, x, b, w, relu, y);
    else
        MOEI_(narrow)(in, out, out, x, b, w, relu, y);
}

/* y (out) += sum over c and j of p_c x_j W_cj:  row j of all copies at once, so
   that each is read from its begin to its end.   W (copies,in,out) */
static MOEI_TARGET void MOEI_(mix)(int copies, int in, int out,
                                   const moe_real *p, const moe_real *x,
                                   const moe_real *W, moe_real *y)
{
    enum { L = MOEI_LANES };
    moe_real z[MOEI_STREAMS];
    moei_product of = {1, out, copies, z, 0, 1, W, (ptrdiff_t)in * out, y, 0, 1,
                       0, y, 0};
    int j, c, k;

    for (j = 0; j < in; j++, of.b += out) {
        for (c = 0; c < copies; c++)
            z[c] = p[c] * x[j];
        for (k = 0; L > 1 && out - k >= 4 * L; k += 4 * L)
            MOEI_(tile)(&of, 1, 1, 4, L, 0, k);
        for (; k < out; k += L)
            MOEI_(tile)(&of, 1, 1, 1, moei_min(out - k, L), 0, k);
    }
}

#if MOEI_LANES > 1
/* R rows of columns j .. end-1; returns R. */
MOEI_ALWAYS MOEI_TARGET int MOEI_(rows)(const moei_product *p, const int R,
                                        int i, int j, int end)
{
    enum { L = MOEI_LANES, W = L == 16 ? 4 : 2 };

    for (; end - j >= W * L; j += W * L)
        MOEI_(tile)(p, R, 1, W, L, i, j);
    for (; W > 2 && end - j >= 2 * L; j += 2 * L)
        MOEI_(tile)(p, R, 1, 2, L, i, j);
    for (; j < end; j += L)
        MOEI_(tile)(p, R, 1, 1, moei_min(end - j, L), i, j);
    return R;
}

/* In strips of columns, so narrow that theirs of b stay near; meanwhile of far
   weights the next piece comes nearer, or of a far c (-1) the next rows.  Six
   rows, or four for SSE2's registers; the last two of eight would wait. */
static MOEI_APART MOEI_TARGET void MOEI_(product)(const moei_product *p,
                                                  int far)
{
    enum { SIX = MOEI_BYTES > 16, R = SIX ? 6 : 4, P = 64,
           LINE = 64 / MOEI_REAL_SIZE };
    int i, j, k, end, left;

    for (j = 0; j < p->n; j = end) {
        end = moei_min(p->n, j + P);
        for (i = 0; (left = p->m - i) > 0;) {
            for (k = 0; k < far * moei_min(left, R); k += LINE)
                MOEI_(fetch)(p->a + p->k * (p->a_col + i) + k);
            for (k = 0; far < 0 && k < P * moei_min(left - R, R); k += LINE)
                MOEI_(fetch)(p->c + (i + R + k / P) * p->c_row + j + k % P);
            i += SIX && left > 5 && left != 8 ? MOEI_(rows)(p, 6, i, j, end)
               : left >= 4 ? MOEI_(rows)(p, 4, i, j, end)
               : left >= 2 ? MOEI_(rows)(p, 2, i, j, end)
                           : MOEI_(rows)(p, 1, i, j, end);
        }
    }
}

/* The same in pieces: so deep that b stays near, and so flat that rows of far
   weights are read one after the other; of few cases flatter than of more. */
MOEI_PUT MOEI_(deep_product)(moei_product *p, int depth, int piece, int relu)
{
    for (; depth > 0; depth -= p->k) {
        p->k = moei_min(depth, piece);
        p->relu = relu && depth == p->k;
        MOEI_(product)(p, piece * (piece == MOEI_PIECE && depth >= 2 * piece));
        p->a += p->k * p->a_col, p->b += p->k * p->b_row;
        p->s = p->c, p->s_row = p->c_row, p->s_col = 1;
    }
}
#endif

static MOEI_TARGET void MOEI_(forward)(int n, int width, int in, int out,
                                       const moe_real *x, const moe_real *b,
                                       const moe_real *w, int relu, moe_real *y)
{
    if (MOEI_LANES == 1 || (width == 1 && (n == 1 || out < MOEI_LANES)))
        for (; n > 0; n--, x += in, y += out)
            MOEI_(one)(in, out, x, b, w, relu, y);
#if MOEI_LANES > 1
    else if (width == 1) {
        moei_product p = {n, out, 0, x, in, 1, w, out, b, 0, 1, 0, y, out};
        MOEI_(deep_product)(&p, in, in * out <= MOEI_FAR ? in : n < 6 ? 16 : 24,
                            relu);
    } else {
        moei_product p = {out, width, 0, w, 1, out, x, width, b, 1, 0, 0, y,
                          width};
        MOEI_(deep_product)(&p, in, in * out > MOEI_FAR ? MOEI_PIECE
                                                        : MOEI_DEEP, relu);
    }
#endif
    (void)width;
}

#ifndef MOE_PREDICT_ONLY
/* p (4) = the sums of the lanes of a, b, c and d */
#if defined(MOEI_X86) && MOEI_LANES >= 4 && !defined(MOE_DOUBLE)
MOEI_ALWAYS MOEI_TARGET __m128 MOEI_(fold)(MOEI_V a)
{
#if MOEI_BYTES == 16
    return a;
#else
#if MOEI_BYTES == 64
    const __m256 h = _mm256_add_ps(_mm512_maskz_extractf32x8_ps(255, a, 0),
                                   _mm512_maskz_extractf32x8_ps(255, a, 1));
#else
    const __m256 h = a;
#endif
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
#endif
}

MOEI_PUT MOEI_(sum4)(moe_real *p, MOEI_V a, MOEI_V b, MOEI_V c, MOEI_V d)
{
    a = MOEI_(add)(MOEI_ALL(unpacklo, a, b), MOEI_ALL(unpackhi, a, b));
    c = MOEI_(add)(MOEI_ALL(unpacklo, c, d), MOEI_ALL(unpackhi, c, d));
    b = MOEI_ALL(shuffle, a, c, 0x44);
    a = MOEI_(add)(b, MOEI_ALL(shuffle, a, c, 0xee));
    _mm_storeu_ps(p, MOEI_(fold)(a));
}
#else
MOEI_PUT MOEI_(sum4)(moe_real *p, MOEI_V a, MOEI_V b, MOEI_V c, MOEI_V d)
{
    moe_real lanes[4 * MOEI_LANES];
    int r, l;

    MOEI_(store)(lanes, a);
    MOEI_(store)(lanes + MOEI_LANES, b);
    MOEI_(store)(lanes + 2 * MOEI_LANES, c);
    MOEI_(store)(lanes + 3 * MOEI_LANES, d);
    for (r = 0; r < 4; r++)
        for (p[r] = lanes[r * MOEI_LANES], l = 1; l < MOEI_LANES; l++)
            p[r] += lanes[r * MOEI_LANES + l];
}
#endif

/* s (R) += in each lane, products of k columns of R rows of a by those of b */
MOEI_PUT MOEI_(dot_columns)(const int R, int k, const moe_real *const *a,
                            const moe_real *b, int at, MOEI_V *s)
{
    const MOEI_V y = MOEI_(load_n)(b + at, k);
    int r;

    MOEI_UNROLL for (r = 0; r < R; r++)
        s[r] = MOEI_(madd)(MOEI_(load_n)(a[r] + at, k), y, s[r]);
}

/* sum (4) = a_r . b of R rows, 1 or 4; the last again where there are fewer */
MOEI_PUT MOEI_(dot_rows)(const int R, int rows, int k, const moe_real *a,
                         ptrdiff_t a_row, const moe_real *b, moe_real *sum)
{
    enum { L = MOEI_IN_ORDER ? 1 : MOEI_LANES };
    const MOEI_V zero = MOEI_(splat)((moe_real)0);
    MOEI_V s[4] = {zero, zero, zero, zero};
    const moe_real *at[4];
    int l, r;

    MOEI_UNROLL for (r = 0; r < R; r++)
        at[r] = a + moei_min(r, rows - 1) * a_row;
    for (l = 0; k - l >= L; l += L)
        MOEI_(dot_columns)(R, L, at, b, l, s);
    if (L > 1 && l < k)
        MOEI_(dot_columns)(R, k - l, at, b, l, s);
    MOEI_(sum4)(sum, s[0], s[1], s[2], s[3]);
}

/* c(i,j) += a_i . b_j, or without += ; rows of k numbers */
static MOEI_APART MOEI_TARGET void MOEI_(dots)(
    int m, int n, int k, const moe_real *a, ptrdiff_t a_row, const moe_real *b,
    ptrdiff_t b_row, int add, moe_real *c, ptrdiff_t c_row, ptrdiff_t c_col)
{
    moe_real sums[4];
    int i, j, r;

    for (i = 0; i < m; i += 4, a += 4 * a_row)
        for (j = 0; j < n; j++) {
            moe_real *to = c + i * c_row + j * c_col;
            moe_real *sum = add || c_row > 1 || m - i < 4 ? sums : to;

            MOEI_(dot_rows)(4, m - i, k, a, a_row, b + j * b_row, sum);
            for (r = 0; r < moei_min(m - i, 4) && sum == sums; r++)
                to[r * c_row] = sums[r] + (add ? to[r * c_row] : 0);
        }
}

static MOEI_TARGET void MOEI_(inputs)(int n, int width, int in, int out,
                                      const moe_real *dy, const moe_real *w,
                                      moe_real *dx)
{
    if (MOEI_LANES == 1 || width == 1)
        MOEI_(dots)(in, n, out, w, out, dy, out, 0, dx, 1, in);
#if MOEI_LANES > 1
    else {
        const moe_real zero = 0;
        moei_product p = {in, width, 0, w, out, 1, dy, width, &zero, 0, 0, 0,
                          dx, width};
        MOEI_(deep_product)(&p, out, MOEI_DEEP, 0);
    }
#endif
    (void)width;
}

/* k columns of R rows of dW (.,n) += a dy' */
MOEI_PUT MOEI_(add_columns)(const int R, int k, ptrdiff_t n, const MOEI_V *a,
                            const moe_real *dy, moe_real *dw)
{
    const MOEI_V y = MOEI_(load_n)(dy, k);
    int r;

    MOEI_UNROLL for (r = 0; r < R; r++, dw += n)
        MOEI_(store_n)(dw, k, MOEI_(madd)(a[r], y, MOEI_(load_n)(dw, k)));
}

/* R rows of dW (.,n) += scale x dy'; returns R */
MOEI_ALWAYS MOEI_TARGET int MOEI_(add_rows)(
    const int R, int n, const moe_real *x, moe_real scale, const moe_real *dy,
    moe_real *dw)
{
    MOEI_V a[4];
    int j, r;

    MOEI_UNROLL for (r = 0; r < R; r++)
        a[r] = MOEI_(splat)(scale * x[r]);
    for (j = 0; n - j >= MOEI_LANES; j += MOEI_LANES)
        MOEI_(add_columns)(R, MOEI_LANES, n, a, dy + j, dw + j);
    if (MOEI_LANES > 1 && j < n)
        MOEI_(add_columns)(R, n - j, n, a, dy + j, dw + j);
    return R;
}

static MOEI_TARGET void MOEI_(outer)(int in, int out, const moe_real *x,
                                     const moe_real *dy, moe_real scale,
                                     moe_real *db, moe_real *dw)
{
    const moe_real one = 1;
    int i, rows;

    (void)MOEI_(add_rows)(1, out, &one, scale, dy, db);
    for (i = 0; i < in; i += rows, dw += rows * (ptrdiff_t)out)
        rows = in - i >= 4 ? MOEI_(add_rows)(4, out, x + i, scale, dy, dw)
                           : MOEI_(add_rows)(1, out, x + i, scale, dy, dw);
}

/* Every sum goes over the cases in their order. */
static MOEI_TARGET void MOEI_(weights)(
    int n, int width, int in, int out, const moe_real *x, const moe_real *dy,
    moe_real *db, moe_real *dw, moe_real *room)
{
    if (MOEI_LANES == 1 || n == 1)
        MOEI_(outer)(in, out, x, dy, 1, db, dw);
#if MOEI_LANES > 1
    else if (width > 1 && !MOEI_IN_ORDER && (out < MOEI_LANES || in < 4)) {
        int c;

        if (in < moei_min(out, 4))
            MOEI_(dots)(out, in, n, dy, width, x, width, 1, dw, 1, out);
        else
            MOEI_(dots)(in, out, n, x, width, dy, width, 1, dw, out, 1);
        for (c = 0; c < width; c += MOEI_LANES)
            MOEI_(store)(room + c, MOEI_(splat)((moe_real)1));
        MOEI_(dots)(out, 1, n, dy, width, room, 0, 1, db, 1, 0);
    } else {
        const moe_real *d = width > 1 ? room : dy, one = 1;
        const moei_product p = {1, out, n, &one, 0, 0, d, out, db, 0, 1, 0,
                                db, 0};
        const moei_product q = {in, out, n, x, width > 1 ? width : 1,
                                width > 1 ? 1 : in, d, out, dw, out, 1, 0, dw,
                                out};
        if (width > 1)
            moei_transpose(out, n, dy, width, NULL, room, out);
        MOEI_(product)(&p, 0);
        MOEI_(product)(&q, -(in * out > MOEI_FAR));
    }
#endif
    (void)width, (void)room;
}
#endif

/* ---------------------------------------------------- number by number */
/* In strips of a constant length, which compilers make vectors of.
   y = f(y): all but log by e^a - 1 = q, 2^k = power rest;  a: y, -y or -2|y| */
static MOEI_TARGET void MOEI_(apply_strip)(int f, moe_real *y)
{
    const moei_bits keep = f == MOE_ACT_TANH ? ~MOEI_SIGN_BIT : ~(moei_bits)0;
    const moe_real factor = f == MOE_ACT_TANH ? (moe_real)-2
                          : f == MOEI_EXP || f == MOE_ACT_ELU ? 1 : -1;
    moe_real q[MOEI_STRIP], power[MOEI_STRIP], rest[MOEI_STRIP];
    int l;

    if (MOEI_LEARNS && f == MOEI_LOG) {
        for (l = 0; l < MOEI_STRIP; l++)
            y[l] = moei_log(y[l]);
        return;
    }
    for (l = 0; l < MOEI_STRIP; l++)
        q[l] = moei_exp_parts(factor * moei_from_bits(moei_to_bits(y[l])
                                                      & keep),
                              &power[l], &rest[l]);
    if (f == MOEI_EXP)
        for (l = 0; l < MOEI_STRIP; l++)
            y[l] = (1 + q[l]) * power[l] * rest[l];
    else if (f == MOE_ACT_TANH)
        for (l = 0; l < MOEI_STRIP; l++)
            y[l] = moei_tanh_of(y[l], q[l], power[l] * rest[l]);
    else if (f == MOE_ACT_ELU)
        for (l = 0; l < MOEI_STRIP; l++)
            y[l] = y[l] > 0 ? y[l] : q[l] * power[l] * rest[l]
                                   + (power[l] * rest[l] - 1);
    else
        for (l = 0; l < MOEI_STRIP; l++) {
            const moe_real g = 1 / (1 + (1 + q[l]) * power[l] * rest[l]);
            y[l] = f == MOE_ACT_SILU ? y[l] * g : g;
        }
}

static MOEI_TARGET void MOEI_(apply)(int f, int count, moe_real *y)
{
    moe_real last[MOEI_STRIP] = {0};

    for (; count >= MOEI_STRIP; count -= MOEI_STRIP, y += MOEI_STRIP)
        MOEI_(apply_strip)(f, y);
    if (count <= 0)
        return;
    moei_copy(last, y, count);
    MOEI_(apply_strip)(f, last);
    moei_copy(y, last, count);
}

#ifndef MOE_PREDICT_ONLY
static MOEI_TARGET void MOEI_(slope_strip)(int f, const moe_real *y,
                                           moe_real *dy)
{
    moe_real g[MOEI_STRIP];
    int l;

    if (f == MOE_ACT_RELU)
        for (l = 0; l < MOEI_STRIP; l++)
            dy[l] = moei_from_bits(moei_to_bits(dy[l])
                                   & (0 - (moei_bits)(y[l] > 0)));
    else if (f == MOE_ACT_TANH)
        for (l = 0; l < MOEI_STRIP; l++)
            dy[l] *= 1 - y[l] * y[l];
    else if (f == MOE_ACT_LOGISTIC)
        for (l = 0; l < MOEI_STRIP; l++)
            dy[l] *= y[l] * (1 - y[l]);
    else if (f == MOE_ACT_ELU)
        for (l = 0; l < MOEI_STRIP; l++)
            dy[l] *= y[l] > 0 ? 1 : y[l] + 1;
    else {                                  /* silu: g (1 + a (1 - g)) */
        for (l = 0; l < MOEI_STRIP; l++)
            g[l] = y[l];
        MOEI_(apply_strip)(MOE_ACT_LOGISTIC, g);
        for (l = 0; l < MOEI_STRIP; l++)
            dy[l] *= g[l] * (1 + y[l] * (1 - g[l]));
    }
}

static MOEI_TARGET void MOEI_(slope)(int f, int count, const moe_real *y,
                                     moe_real *dy)
{
    moe_real last[2][MOEI_STRIP] = {{0}, {0}};

    for (; count >= MOEI_STRIP; count -= MOEI_STRIP) {
        MOEI_(slope_strip)(f, y, dy);
        y += MOEI_STRIP, dy += MOEI_STRIP;
    }
    if (count <= 0)
        return;
    moei_copy(last[0], y, count);
    moei_copy(last[1], dy, count);
    MOEI_(slope_strip)(f, last[0], last[1]);
    moei_copy(dy, last[1], count);
}

/* Whether all |x| < 2^exponent, read off the bits: what is as large as that or
   not finite carries into the sign bit.  (Without that test clang unrolls.) */
static MOEI_TARGET int MOEI_(are_below)(int exponent, size_t count,
                                        const moe_real *x)
{
    enum { S = MOEI_STRIP };
    const moei_bits mask = MOEI_INFINITY_BITS, add
        = (moei_bits)(MOEI_BIAS + 2 - exponent) << MOEI_FRACTION;
    moei_bits any[S] = {0}, all = 0;
    int l;

    for (; count % S > 0; count--)
        all |= (moei_to_bits(*x++) & mask) + add;
    if (count == 0)
        return (all & MOEI_SIGN_BIT) == 0;
    for (; count > 0 && !(any[0] & MOEI_SIGN_BIT); count -= S, x += S)
        for (l = 0; l < S; l++)
            any[l] |= (moei_to_bits(x[l]) & mask) + add;
    for (l = 0; l < S; l++)
        all |= any[l];
    return (all & MOEI_SIGN_BIT) == 0;
}

/* w (n) after one step along the scaled gradient g, with moments v and u, and
   g = 0:
     SGD       w -= rate (g + decay w)
     momentum  v = momentum v + g + decay w;   w -= rate v
     Adam      v += (1 - b1) (g - v);   u += (1 - b2) (g^2 - u)
               w -= rate v / (sqrt(u second_scale) + epsilon) + decay w */
MOEI_ALWAYS MOEI_TARGET void MOEI_(update_strip)(
    const moei_rule *r, const int count, moe_real *MOEI_RESTRICT w,
    moe_real *MOEI_RESTRICT g, moe_real *MOEI_RESTRICT v,
    moe_real *MOEI_RESTRICT u)
{
    const moe_real scale = r->scale, rate = r->rate, decay = r->decay;
    const moe_real momentum = r->momentum, second = r->second_scale;
    int l;

    if (u == NULL)
        for (l = 0; l < count; l++) {
            v[l] = momentum * v[l] + scale * g[l] + decay * w[l];
            w[l] -= rate * v[l];
        }
    else
        for (l = 0; l < count; l++) {
            const moe_real gl = scale * g[l];
            v[l] += (1 - MOEI_BETA_1) * (gl - v[l]);
            u[l] += (1 - MOEI_BETA_2) * (gl * gl - u[l]);
            w[l] -= rate * v[l] / (moei_sqrt(u[l] * second) + MOEI_EPSILON)
                  + decay * w[l];
        }
    for (l = 0; l < count; l++)
        g[l] = 0;
}

static MOEI_TARGET void MOEI_(update)(const moei_rule *rule, size_t n,
                                      moe_real *w, moe_real *g, moe_real *v,
                                      moe_real *u)
{
    const MOEI_V steps = MOEI_(splat)(-rule->rate * rule->scale);
    const MOEI_V keeps = MOEI_(splat)(1 - rule->rate * rule->decay);
    const MOEI_V zero = MOEI_(splat)((moe_real)0);
    size_t i = 0;

    for (; v == NULL && i + MOEI_LANES <= n; i += MOEI_LANES) {
        MOEI_(store)(w + i, MOEI_(madd)(steps, MOEI_(load)(g + i),
            MOEI_(mul)(keeps, MOEI_(load)(w + i))));
        MOEI_(store)(g + i, zero);
    }
    for (; v == NULL && i < n; i++) {       /* in the lanes' own rounding */
        MOEI_(store_n)(w + i, 1, MOEI_(madd)(steps, MOEI_(load_n)(g + i, 1),
            MOEI_(mul)(keeps, MOEI_(load_n)(w + i, 1))));
        g[i] = 0;
    }
    for (; i + MOEI_STRIP <= n; i += MOEI_STRIP)
        MOEI_(update_strip)(rule, MOEI_STRIP, w + i, g + i, v + i,
                            u ? u + i : NULL);
    for (; i < n; i++)
        MOEI_(update_strip)(rule, 1, w + i, g + i, v + i, u ? u + i : NULL);
}
#endif

/* ------------------------------------------------- features and cases */
static MOEI_TARGET void MOEI_(scale)(moei_scaling how, int width, int rows,
                                     const moe_real *x, const moe_real *shift,
                                     moe_real *y)
{
    enum { L = MOEI_LANES };
    const moe_real *factor = shift + rows;
    int i;

#if MOEI_LANES > 1
    for (; width > 1 && rows > 0; rows--, shift++, factor++)
        for (i = 0; i < width; i += L, x += L, y += L) {
            MOEI_V s = MOEI_(splat)(*shift), f = MOEI_(splat)(*factor);
            MOEI_V v = MOEI_(load)(x), off = MOEI_(sub)(v, s);

            MOEI_(store)(y, how == MOEI_SCALE_OUT ? MOEI_(madd)(f, v, s)
                         : how == MOEI_SCALE_IN ? MOEI_(mul)(off, f)
                                                : MOEI_(div)(off, f));
        }
#endif
    (void)width;
    if (how == MOEI_SCALE_IN)               /* N = 1, or no rows are left */
        for (i = 0; i < rows; i++)
            y[i] = (x[i] - shift[i]) * factor[i];
    else if (how == MOEI_SCALE_OUT)
        for (i = 0; i < rows; i++)
            y[i] = shift[i] + factor[i] * x[i];
    else
        for (i = 0; i < rows; i++)
            y[i] = (x[i] - shift[i]) / factor[i];
}

/* p = softmax of s over the rows, after the largest s is taken out; if asked
   log p, and then lse (N), log of the sum.  s may be p or log_p (rows,N). */
static MOEI_TARGET void MOEI_(softmax_one)(
    int rows, const moe_real *s, moe_real *p, moe_real *log_p, moe_real *lse)
{
    moe_real top = -MOEI_LARGEST, sum = 0, part;
    int i;

    for (i = 0; i < rows; i++)
        top = top > s[i] ? top : s[i];
    top = MOEI_LARGEST < top ? MOEI_LARGEST : top;
    for (i = 0; i < rows; i++) {
        const moe_real cut = MOEI_LARGEST < s[i] ? MOEI_LARGEST : s[i];
        const moe_real a = (-MOEI_LARGEST > cut ? -MOEI_LARGEST : cut) - top;
        if (MOEI_LEARNS && log_p != NULL)
            log_p[i] = a;
        p[i] = rows > 8 ? a : a == 0 ? 1 : moei_exp(a);
    }
    if (rows > 8)
        MOEI_(apply)(MOEI_EXP, rows, p);
    for (i = 0; i < rows; i++)
        sum += p[i];
    for (part = 1 / sum, i = 0; i < rows; i++)
        p[i] *= part;
    if (!MOEI_LEARNS || log_p == NULL)
        return;
    sum = moei_log(sum);
    for (i = 0; i < rows; i++)
        log_p[i] -= sum;
    if (lse != NULL)
        *lse = top + sum;
}

#if MOEI_LANES > 1
static MOEI_TARGET void MOEI_(softmax_panel)(int N, int rows, const moe_real *s,
                                             moe_real *p, moe_real *log_p,
                                             moe_real *lse)
{
    const MOEI_V most = MOEI_(splat)(MOEI_LARGEST);
    const MOEI_V least = MOEI_(splat)(-MOEI_LARGEST);
    moe_real sums[MOEI_PANEL];
    MOEI_V top, sum, part, a;
    int i, c, all = rows * N;

    for (c = 0; c < N; c += MOEI_LANES) {
        for (top = least, i = c; i < all; i += N)
            top = MOEI_(max)(top, MOEI_(load)(s + i));
        top = MOEI_(min)(most, top);
        for (i = c; i < all; i += N) {
            a = MOEI_(max)(least, MOEI_(min)(most, MOEI_(load)(s + i)));
            a = MOEI_(sub)(a, top);
            if (log_p != NULL)
                MOEI_(store)(log_p + i, a);
            MOEI_(store)(p + i, a);
        }
        if (lse != NULL)
            MOEI_(store)(lse + c, top);
    }
    MOEI_(apply)(MOEI_EXP, all, p);
    for (c = 0; c < N; c += MOEI_LANES) {
        for (sum = MOEI_(splat)((moe_real)0), i = c; i < all; i += N)
            sum = MOEI_(add)(sum, MOEI_(load)(p + i));
        part = MOEI_(div)(MOEI_(splat)((moe_real)1), sum);
        for (i = c; i < all; i += N)
            MOEI_(store)(p + i, MOEI_(mul)(MOEI_(load)(p + i), part));
        MOEI_(store)(sums + c, sum);
    }
    if (log_p == NULL)
        return;
    MOEI_(apply)(MOEI_LOG, N, sums);
    for (c = 0; c < N; c += MOEI_LANES) {
        sum = MOEI_(load)(sums + c);
        if (lse != NULL)
            MOEI_(store)(lse + c, MOEI_(add)(MOEI_(load)(lse + c), sum));
        for (i = c; i < all; i += N)
            MOEI_(store)(log_p + i, MOEI_(sub)(MOEI_(load)(log_p + i), sum));
    }
}
#endif

static MOEI_TARGET void MOEI_(softmax)(int n, int width, int rows,
                                       const moe_real *s, moe_real *p,
                                       moe_real *log_p, moe_real *lse)
{
#if MOEI_LANES > 1
    if (width > 1)
        MOEI_(softmax_panel)(width, rows, s, p, log_p, lse);
    else
#endif
        for (; n > 0; n--, s += rows, p += rows) {
            MOEI_(softmax_one)(rows, s, p, log_p, lse);
            log_p = log_p ? log_p + rows : NULL;
            lse = lse ? lse + 1 : NULL;
        }
    (void)width;
}

/* y (rows,N) += p o, or without += ;  p (N)   o (rows,N) */
static MOEI_TARGET void MOEI_(blend)(int n, int width, int rows, int add,
                                     const moe_real *p, const moe_real *o,
                                     moe_real *y)
{
    const int N = MOEI_LANES == 1 ? 1 : width;
    MOEI_V a, b;
    int i, c, k;

    for (c = 0; c < n && N == 1; c++, o += rows, y += rows)
        for (a = MOEI_(splat)(p[c]), i = 0; i < rows; i += MOEI_LANES) {
            k = moei_min(rows - i, MOEI_LANES);
            b = MOEI_(load_n)(o + i, k);
            MOEI_(store_n)(y + i, k, add
                ? MOEI_(madd)(a, b, MOEI_(load_n)(y + i, k))
                : MOEI_(mul)(a, b));
        }
    for (c = 0; c < N && N > 1; c += MOEI_LANES)
        for (a = MOEI_(load)(p + c), i = c; i < rows * N; i += N) {
            b = MOEI_(load)(o + i);
            MOEI_(store)(y + i, add ? MOEI_(madd)(a, b, MOEI_(load)(y + i))
                                    : MOEI_(mul)(a, b));
        }
}

#ifndef MOE_PREDICT_ONLY
static MOEI_TARGET void MOEI_(subtract)(int count, const moe_real *a,
                                        const moe_real *b, moe_real *y)
{
    int i, k;

    for (i = 0; i < count; i += MOEI_LANES) {
        k = moei_min(count - i, MOEI_LANES);
        MOEI_(store_n)(y + i, k, MOEI_(sub)(MOEI_(load_n)(a + i, k),
                                            MOEI_(load_n)(b + i, k)));
    }
}

/* e (N) = sum of a b over the rows;   a, b (rows,N) */
static MOEI_TARGET void MOEI_(dot)(int n, int width, int rows,
                                   const moe_real *a, const moe_real *b,
                                   moe_real *e)
{
    const int N = MOEI_LANES == 1 ? 1 : width;
    moe_real sums[4];
    MOEI_V sum;
    int i, c;

    for (c = 0; c < n && MOEI_LANES == 1; c++, e[c - 1] = sums[0])
        for (sums[0] = 0, i = 0; i < rows; i++)
            sums[0] = *a++ * *b++ + sums[0];
    for (c = 0; c < n && N == 1 && MOEI_LANES > 1; c++, a += rows, b += rows) {
        MOEI_(dot_rows)(1, 1, rows, a, 0, b, sums);
        e[c] = sums[0];
    }
    for (c = 0; c < N && N > 1; c += MOEI_LANES) {
        for (sum = MOEI_(splat)((moe_real)0), i = c; i < rows * N; i += N)
            sum = MOEI_(madd)(MOEI_(load)(a + i), MOEI_(load)(b + i), sum);
        MOEI_(store)(e + c, sum);
    }
}
#endif

static const moei_loops MOEI_(loops) = {
    MOEI_LANES == 1 ? 1 : MOEI_LANES * 8 * MOEI_REAL_SIZE,
    MOEI_(one), MOEI_(forward), MOEI_(apply), MOEI_(scale), MOEI_(softmax),
    MOEI_(mix), MOEI_(blend),
#ifndef MOE_PREDICT_ONLY
    MOEI_(inputs), MOEI_(weights), MOEI_(outer), MOEI_(slope),
    MOEI_(are_below), MOEI_(subtract), MOEI_(dot), MOEI_(update)
#endif
};

#ifndef MOEI_ONE_SET
#undef MOEI_
#undef MOEI_TARGET
#undef MOEI_DO
#undef MOEI_ALL
#endif
#undef MOEI_V
#undef MOEI_OP
#undef MOEI_PUT
#undef MOEI_LANES
#endif /* MOEI_LANES */
/* ------------------------------------------- the sets, and which is here */
#if defined(MOE_IMPLEMENTATION) && !defined(MOEI_SETS)
#define MOEI_SETS
#ifndef MOEI_ONE_SET
#define MOEI_LANES 1
#include MOE_FILE
#define MOEI_LANES (16 / MOEI_REAL_SIZE)
#include MOE_FILE
#ifdef MOEI_X86
#define MOEI_LANES (32 / MOEI_REAL_SIZE)
#include MOE_FILE
#define MOEI_LANES (64 / MOEI_REAL_SIZE)
#include MOE_FILE
#endif
#endif

static const moei_loops *const moei_sets[] = {
#ifdef MOEI_ONE_SET
    &MOEI_(loops)
#else
    &moei_plain_loops, &moei_128_loops,
#ifdef MOEI_X86
    &moei_256_loops, &moei_512_loops
#endif
#endif
};

/* The set of vectors of so many bits (0: the widest here), or -1. */
static int moei_find_set(int bits)
{
    int i = (int)(sizeof moei_sets / sizeof *moei_sets) - 1;

#if defined(MOEI_X86) && !defined(MOEI_ONE_SET)
    i -= !moei_has(512) + !moei_has(256);
#endif
    while (bits != 0 && i >= 0 && moei_sets[i]->bits != bits)
        i--;
    return i;
}

/* Where there is but one, the compiler is told which. */
MOEI_INLINE const moei_loops *moei_loops_of(const moe *m)
{
    return moei_sets[sizeof moei_sets > sizeof *moei_sets ? m->set : 0];
}

/* What follows is compiled as its flags say. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#elif defined(MOE_SAME_BITS) && defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__clang__) && __FINITE_MATH_ONLY__
#pragma float_control(pop)
#endif
#endif /* MOEI_SETS */
#endif /* MOE_IMPLEMENTATION */

/* Revision history
     0.2  2026-12-01  The inside rebuilt: arrays are (features, cases), vectors
                      over intrinsics.  Modes, moe_learn, frozen layers; weights
                      of cases, held-out cases, restarts, sigma, densities;
                      blended weights, lists of columns; files in any order.
                      Names by the field's terms.
     0.1  2026-11-01  First version.                                         */
