/* speed.h - what the driver and the systems that it compares share.

   A workload is one call, repeated: a prediction of `rows` cases, a training
   step on them, or a function over an array.  Every system gets the same
   weights and the same cases, must give the same result, and is then timed. */

#ifndef SPEED_H
#define SPEED_H

/* What the Makefile found, and which Python has torch. */
#ifndef HAVE_OPENBLAS
#define HAVE_OPENBLAS 0
#endif
#ifndef HAVE_FANN
#define HAVE_FANN 0
#endif
#ifndef HAVE_TORCH
#define HAVE_TORCH 0
#endif
#ifndef HAVE_OLD
#define HAVE_OLD 0
#endif
#ifndef SPEED_PYTHON
#define SPEED_PYTHON "python3"
#define SPEED_SCRIPT "speed_torch.py"
#endif

#include <stddef.h>

#define MAX_LAYERS 4
#define RATE 0.01f          /* of steps and learning: plain gradient descent */

typedef enum Task {
    PREDICT,
    STEP,                   /* the gradient, mean over the cases, and an
                               update of the weights                         */
    LEARN,                  /* a case at a time straight into the weights    */
    PRODUCTS,               /* the layers' products alone, by vectors of
                               `bits` bits                                   */
    EXP, TANH               /* y = f(x) over an array of `cases` numbers     */
} Task;

/* Where a layer stands in params: bias (E,out), then weight (E,in,out), for
   all E experts; of the gate there is one. */
typedef struct Layer { int in, out; size_t bias, weight; } Layer;

/* Mixtures of E experts with ReLU hidden units and linear outputs, and a linear
   gate.  One expert is an ordinary network and learns the squared error
   |d - y|^2; more learn -log sum_i p_i exp(-|d - o_i|^2 / 2).  In a sparse one
   only the K experts with the largest gate logits run for a case, and p is the
   softmax of those. */
typedef struct Workload {
    char name[64];
    Task task;
    int experts, layers;
    int top_k;              /* K; 0: dense                                   */
    int ours_only;          /* the others are not asked                      */
    int bits;               /* moe_config.simd; 0: the widest                */
    Layer layer[MAX_LAYERS], gate;
    int inputs, outputs;
    int rows;               /* cases of one call                             */
    int cases;              /* all cases; the calls go round through them.
                               cases / rows is a power of 2                  */
    int block;              /* moe_config.block                              */
    size_t count;           /* parameters                                    */
    const float *params;    /* the first weights, (count)                    */
    const float *x, *d;     /* (cases,inputs), (cases,outputs)               */
} Workload;

/* A system to be timed.  At most one workload is prepared at a time. */
typedef struct Peer {
    const char *name;
    int last_layer_only;    /* only the last layer of a step is right        */
    const char *(*start)(void);     /* what it is, in a few words; NULL: it
                                       cannot be had                         */
    const char *(*prepare)(const Workload *w);      /* the form that is used,
                                       or ""; NULL: not for this one         */
    void (*result)(float *out);     /* at once after prepare: y of all cases,
                                       or params after the first call        */
    double (*run)(int times);       /* nanoseconds of so many calls          */
    void (*release)(void);
} Peer;

extern const Peer peer_moe, peer_old, peer_plain, peer_blas, peer_blas_fused,
                  peer_fann, peer_torch;

int learns(const Workload *w);  /* STEP or LEARN */
double nanoseconds(void);
void give_up(const char *who, const char *what);
float *floats(size_t count);    /* zeros; free() gives them back             */

/* This core's limits, measured again and again between the samples. */
void limits_start(void);
void limits_sample(void);
double limit_of(const Workload *w); /* nanoseconds per case; 0: not known    */
void limits_print(const char *before);

/* The lower quartiles of its speed since the last time this was asked, and
   whether they are so far below its best that somebody else was on it. */
typedef struct Usual { double adds, integers; } Usual;
Usual limits_usual(void);
int limits_noisy(const Usual *usual);

#endif
