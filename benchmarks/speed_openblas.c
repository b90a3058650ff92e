/* speed_openblas.c - the same model on OpenBLAS, one thread: its products, and
   around them hand-written loops at -O3 -march=native.  The bias is written
   first and the product added to it; a gradient is written over the last one,
   so that nothing has to be cleared.

   For one case a product is a vector times a matrix, and there is a choice:
   sgemv or sgemm with one row, sger or sgemm or a plain loop.  Which is fastest
   depends on the sizes, so it is tried out for every workload.

   The second peer adds -rate times the gradient straight into the weights.
   That saves the traffic of the gradient array, and nobody can add up, clip
   or look at a gradient that never was. */

#include "speed_loops.h"

#include <cblas.h>
#include <stdio.h>

enum { GEMV, GEMM };            /* forward, inputs */
enum { GER, OUTER_GEMM, LOOP }; /* weights */

typedef struct Choice { int forward, inputs, weights; } Choice;

/* One of the two peers; both may be prepared at a time. */
typedef struct Side {
    Model model;
    int fused;
    Choice use;
    char form[80];
} Side;

static Side open_gradient = {.fused = 0}, fused = {.fused = 1};
static Choice use;              /* of the side that is at work */

static void product_forward(int n, int in, int out, const float *x,
                            const float *w, float *y)
{
    if (n == 1 && use.forward == GEMV)
        cblas_sgemv(CblasRowMajor, CblasTrans, in, out, 1, w, out, x, 1, 1, y,
                    1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, out, in, 1,
                    x, in, w, out, 1, y, out);
}

static void product_inputs(int n, int in, int out, const float *dy,
                           const float *w, float *dx)
{
    if (n == 1 && use.inputs == GEMV)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, in, out, 1, w, out, dy, 1, 0,
                    dx, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, in, out, 1, dy,
                    out, w, out, 0, dx, in);
}

static void outer(int in, int out, float scale, const float *restrict x,
                  const float *restrict dy, float keep, float *restrict g)
{
    int i, o;

    for (i = 0; i < in; i++, g += out) {
        const float a = scale * x[i];
        if (keep > 0)
            for (o = 0; o < out; o++)
                g[o] += a * dy[o];
        else
            for (o = 0; o < out; o++)
                g[o] = a * dy[o];
    }
}

static void product_weights(int n, int in, int out, float scale,
                            const float *x, const float *dy, float keep,
                            float *g)
{
    if (n != 1 || use.weights == OUTER_GEMM) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, n, scale,
                    x, in, dy, out, keep, g, out);
    } else if (use.weights == LOOP) {
        outer(in, out, scale, x, dy, keep, g);
    } else {
        if (!(keep > 0))
            memset(g, 0, (size_t)in * (size_t)out * sizeof *g);
        cblas_sger(CblasRowMajor, in, out, scale, x, 1, dy, 1, g, out);
    }
}

static const char *start(void)
{
    static char text[200];

    openblas_set_num_threads(1);
    snprintf(text, sizeof text, "%s, kernels for %s; loops -O3 -march=native",
             openblas_get_config(), openblas_get_corename());
    return text;
}

static double run_side(Side *side, int times)
{
    double begin = nanoseconds();
    int i;

    use = side->use;
    for (i = 0; i < times; i++)
        model_call(&side->model, i, side->fused);
    return nanoseconds() - begin;
}

/* The shortest of a few runs of about 30 microseconds. */
static double trial(Side *side, Choice choice)
{
    double once, best = 0;
    int i, times;

    side->use = choice;
    run_side(side, 1);
    once = run_side(side, 1);
    times = once > 30000 ? 1 : (int)(30000 / once) + 1;
    for (i = 0; i < 15; i++) {
        double t = run_side(side, times) / times;
        best = i == 0 || t < best ? t : best;
    }
    return best;
}

/* Every combination, then the first weights again. */
static void choose(Side *side)
{
    const Workload *w = side->model.w;
    const int ways = learns(w) ? 12 : 2;
    Choice at, best = {GEMV, GEMV, GER};
    double least = 0;
    int i;

    for (i = 0; i < ways; i++) {
        double t;
        at.forward = i % 2;
        at.inputs = i / 2 % 2;
        at.weights = i / 4;
        t = trial(side, at);
        if (i == 0 || t < least) {
            least = t;
            best = at;
        }
    }
    side->use = best;
    memcpy(side->model.params, w->params, w->count * sizeof *w->params);
}

static void describe(Side *side)
{
    static const char *const one[] = {"sgemv", "sgemm"};
    static const char *const weights[] = {"sger", "sgemm", "a loop"};
    const Choice *at = &side->use;

    if (learns(side->model.w))
        snprintf(side->form, sizeof side->form,
                 "%s forward, %s for inputs, %s for weights",
                 one[at->forward], one[at->inputs], weights[at->weights]);
    else
        snprintf(side->form, sizeof side->form, "%s", one[at->forward]);
}

static const char *prepare_side(Side *side, const Workload *w)
{
    if ((w->task != PREDICT && !learns(w)) || (learns(w) && w->layers < 2))
        return NULL;
    model_open(&side->model, w);
    if (w->rows > 1)
        return w->top_k > 0 ? "gathered, expert by expert" : "";
    choose(side);
    describe(side);
    return side->form;
}

static void result_side(Side *side, float *out)
{
    use = side->use;
    model_result(&side->model, side->fused, out);
}

static const char *prepare(const Workload *w)
{
    return w->task == LEARN ? NULL : prepare_side(&open_gradient, w);
}

static void result(float *out)
{
    result_side(&open_gradient, out);
}

static double run(int times)
{
    return run_side(&open_gradient, times);
}

static void release(void)
{
    model_close(&open_gradient.model);
}

static const char *start_fused(void)
{
    return "the same, the gradient added straight into the weights";
}

static const char *prepare_fused(const Workload *w)
{
    return learns(w) ? prepare_side(&fused, w) : NULL;
}

static void result_fused(float *out)
{
    result_side(&fused, out);
}

static double run_fused(int times)
{
    return run_side(&fused, times);
}

static void release_fused(void)
{
    model_close(&fused.model);
}

const Peer peer_blas = {"OpenBLAS", 0, start, prepare, result, run, release};
const Peer peer_blas_fused = {"OpenBLAS fused", 0, start_fused, prepare_fused,
                              result_fused, run_fused, release_fused};
