/* speed_loops.h - the model written by hand around three matrix products, for
   the plain C loops and for OpenBLAS.  The file that includes it supplies the
   products; everything here is compiled with -O3 -march=native.

   Arrays are row by row; n cases, E experts, of which K run for a case.  All
   of them do in a dense mixture, and expert e's rows are its n cases.  In a
   sparse one the n K choices are sorted by expert, and the cases copied into
   that order, so that every expert has its own side by side. */

#ifndef SPEED_LOOPS_H
#define SPEED_LOOPS_H

#include "speed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* y (n,out) += x (n,in) w (in,out) */
static void product_forward(int n, int in, int out, const float *x,
                            const float *w, float *y);

/* dx (n,in) = dy (n,out) w' (out,in) */
static void product_inputs(int n, int in, int out, const float *dy,
                           const float *w, float *dx);

/* g (in,out) = keep g + scale x' (in,n) dy (n,out); keep is 0 or 1 */
static void product_weights(int n, int in, int out, float scale,
                            const float *x, const float *dy, float keep,
                            float *g);

typedef struct Model {
    const Workload *w;
    int n;
    float *params, *grads;          /* (count)                               */
    float *act[MAX_LAYERS];         /* (n K,out), what comes out of a layer  */
    float *delta[MAX_LAYERS];       /* (n K,out), dE/d what goes into it     */
    float *s, *p, *h, *ds;          /* (n,E); sparse: p and h are (n,K)      */
    float *y;                       /* (n,O)                                 */
    int *start;                     /* (E+1) where each expert's rows begin  */
    int *chosen, *slot;             /* (n,K) sparse: who, and in which row   */
    float *gathered;                /* (n K,I) sparse: x in the rows' order  */
} Model;

static int *integers(size_t count)
{
    int *at = (int *)calloc(count + 1, sizeof *at);

    if (!at)
        give_up("loops", "out of memory");
    return at;
}

static void model_open(Model *m, const Workload *w)
{
    size_t n = (size_t)w->rows, experts = (size_t)w->experts;
    size_t rows = n * (w->top_k > 0 ? (size_t)w->top_k : experts);
    int l, e;

    m->w = w;
    m->n = w->rows;
    m->params = floats(w->count);
    m->grads = floats(w->count);
    memcpy(m->params, w->params, w->count * sizeof *m->params);
    for (l = 0; l < w->layers; l++) {
        m->act[l] = floats(rows * (size_t)w->layer[l].out);
        m->delta[l] = floats(rows * (size_t)w->layer[l].out);
    }
    m->s = floats(n * experts);
    m->p = floats(n * experts);
    m->h = floats(n * experts);
    m->ds = floats(n * experts);
    m->y = floats(n * (size_t)w->outputs);
    m->start = integers(experts + 1);
    for (e = 0; e <= w->experts; e++)
        m->start[e] = e * w->rows;
    m->chosen = integers(rows);
    m->slot = integers(rows);
    m->gathered = floats(w->top_k > 0 ? rows * (size_t)w->inputs : 0);
}

static void model_close(Model *m)
{
    int l;

    for (l = 0; l < m->w->layers; l++) {
        free(m->act[l]);
        free(m->delta[l]);
    }
    free(m->params);
    free(m->grads);
    free(m->s);
    free(m->p);
    free(m->h);
    free(m->ds);
    free(m->y);
    free(m->start);
    free(m->chosen);
    free(m->slot);
    free(m->gathered);
}

static size_t weights_of(const Layer *layer, int expert)
{
    return layer->weight
         + (size_t)expert * (size_t)layer->in * (size_t)layer->out;
}

static size_t bias_of(const Layer *layer, int expert)
{
    return layer->bias + (size_t)expert * (size_t)layer->out;
}

/* Where expert e's rows of an (n K,out) array begin, and how many it has. */
static size_t rows_of(const Model *m, const Layer *layer, int expert)
{
    return (size_t)m->start[expert] * (size_t)layer->out;
}

static int cases_of(const Model *m, int expert)
{
    return m->start[expert + 1] - m->start[expert];
}

/* What expert e sees. */
static const float *inputs_of(const Model *m, const float *x, int expert)
{
    return m->w->top_k > 0 ? m->gathered + m->start[expert] * m->w->inputs : x;
}

/* y = b + x w for n rows, or the positive part of that */
static void layer_forward(const Model *m, const Layer *layer, int expert,
                          int n, const float *x, int relu, float *restrict y)
{
    const float *restrict b = m->params + bias_of(layer, expert);
    const int out = layer->out, count = n * out;
    int c, o;

    for (c = 0; c < n; c++)
        for (o = 0; o < out; o++)
            y[c * out + o] = b[o];
    product_forward(n, layer->in, out, x,
                    m->params + weights_of(layer, expert), y);
    if (relu)
        for (o = 0; o < count; o++)
            y[o] = y[o] > 0 ? y[o] : 0;
}

/* Of the rows of s (n,K), which may be p. */
static void softmax(int n, int K, const float *s, float *p)
{
    int c, k;

    for (c = 0; c < n; c++, s += K, p += K) {
        float top = s[0], sum = 0;
        for (k = 1; k < K; k++)
            top = s[k] > top ? s[k] : top;
        for (k = 0; k < K; k++)
            sum += p[k] = expf(s[k] - top);
        for (k = 0; k < K; k++)
            p[k] /= sum;
    }
}

/* y = sum_i p_i o_i */
static void blend(const Model *m, const float *o, float *restrict y)
{
    const int n = m->n, E = m->w->experts, O = m->w->outputs;
    int c, i, k;

    memset(y, 0, (size_t)n * (size_t)O * sizeof *y);
    for (i = 0; i < E; i++)
        for (c = 0; c < n; c++) {
            const float *restrict row = o + ((size_t)i * (size_t)n
                                             + (size_t)c) * (size_t)O;
            const float p = m->p[c * E + i];
            for (k = 0; k < O; k++)
                y[c * O + k] += p * row[k];
        }
}

/* The K largest of s (E), the largest first, and which they are. */
static void choose_experts(int E, int K, const float *s, int *chosen,
                           float *top)
{
    int e, k, have = 0;

    for (e = 0; e < E; e++) {
        if (have == K && !(s[e] > top[K - 1]))
            continue;
        k = have < K ? have++ : K - 1;
        for (; k > 0 && s[e] > top[k - 1]; k--) {
            top[k] = top[k - 1];
            chosen[k] = chosen[k - 1];
        }
        top[k] = s[e];
        chosen[k] = e;
    }
}

/* The choices sorted by expert, and x copied into that order. */
static void gather(Model *m, const float *x)
{
    const int K = m->w->top_k, E = m->w->experts, I = m->w->inputs;
    int e, q, *start = m->start;

    memset(start, 0, (size_t)(E + 1) * sizeof *start);
    for (q = 0; q < m->n * K; q++)
        start[m->chosen[q] + 1]++;
    for (e = 0; e < E; e++)
        start[e + 1] += start[e];
    for (q = 0; q < m->n * K; q++) {
        m->slot[q] = start[m->chosen[q]]++;
        memcpy(m->gathered + m->slot[q] * I, x + q / K * I,
               (size_t)I * sizeof *x);
    }
    for (e = E; e > 0; e--)
        start[e] = start[e - 1];
    start[0] = 0;
}

/* s, p and who runs. */
static void gate_forward(Model *m, const float *x)
{
    const int K = m->w->top_k, E = m->w->experts;
    int c;

    layer_forward(m, &m->w->gate, 0, m->n, x, 0, m->s);
    if (K == 0) {
        softmax(m->n, E, m->s, m->p);
        return;
    }
    for (c = 0; c < m->n; c++)
        choose_experts(E, K, m->s + c * E, m->chosen + c * K, m->p + c * K);
    softmax(m->n, K, m->p, m->p);
    gather(m, x);
}

/* y = sum_k p_k o_k, over the experts that ran */
static void sparse_blend(const Model *m, const float *o, float *restrict y)
{
    const int K = m->w->top_k, O = m->w->outputs;
    int c, q, k;

    memset(y, 0, (size_t)m->n * (size_t)O * sizeof *y);
    for (c = 0; c < m->n; c++)
        for (q = c * K; q < c * K + K; q++) {
            const float *restrict row = o + m->slot[q] * O;
            const float p = m->p[q];
            for (k = 0; k < O; k++)
                y[c * O + k] += p * row[k];
        }
}

static void model_forward(Model *m, const float *x, float *y)
{
    const Workload *w = m->w;
    const int last = w->layers - 1;
    int e, l;

    if (w->experts > 1)
        gate_forward(m, x);
    for (e = 0; e < w->experts; e++) {
        const float *in = inputs_of(m, x, e);
        for (l = 0; l <= last && cases_of(m, e) > 0; l++) {
            float *out = w->experts == 1 && l == last ? y
                       : m->act[l] + rows_of(m, &w->layer[l], e);
            layer_forward(m, &w->layer[l], e, cases_of(m, e), in, l < last,
                          out);
            in = out;
        }
    }
    if (w->top_k > 0)
        sparse_blend(m, m->act[last], y);
    else if (w->experts > 1)
        blend(m, m->act[last], y);
}

/* |d - y|^2:  dE/dy = 2 (y - d) */
static void squared_backward(const Model *m, const float *restrict d,
                             float *restrict delta)
{
    const int count = m->n * m->w->outputs;
    int k;

    for (k = 0; k < count; k++)
        delta[k] = 2 * (m->y[k] - d[k]);
}

/* delta = o - d;  returns |o - d|^2, summed in 8 parts, which vectors need. */
static float difference(int O, const float *restrict o,
                        const float *restrict d, float *restrict delta)
{
    float part[8] = {0}, sum = 0;
    int k, j;

    for (k = 0; k < O; k++)
        delta[k] = o[k] - d[k];
    for (k = 0; k + 8 <= O; k += 8)
        for (j = 0; j < 8; j++)
            part[j] += delta[k + j] * delta[k + j];
    for (; k < O; k++)
        sum += delta[k] * delta[k];
    for (j = 0; j < 8; j++)
        sum += part[j];
    return sum;
}

/* -log sum_i p_i exp(-|d - o_i|^2 / 2), whose posteriors are
     h = softmax(s_i - |d - o_i|^2 / 2)
     dE/do_i = h_i (o_i - d),  dE/ds_i = p_i - h_i */
static void mixture_backward(const Model *m, const float *d, const float *o,
                             float *delta)
{
    const int n = m->n, E = m->w->experts, O = m->w->outputs;
    int c, i, k;

    for (i = 0; i < E; i++)
        for (c = 0; c < n; c++) {
            size_t at = ((size_t)i * (size_t)n + (size_t)c) * (size_t)O;
            m->h[c * E + i] = m->s[c * E + i]
                - difference(O, o + at, d + c * O, delta + at) / 2;
        }
    softmax(n, E, m->h, m->h);
    for (i = 0; i < E; i++)
        for (c = 0; c < n; c++) {
            float *restrict row = delta + ((size_t)i * (size_t)n
                                           + (size_t)c) * (size_t)O;
            const float h = m->h[c * E + i];
            for (k = 0; k < O; k++)
                row[k] *= h;
        }
    for (k = 0; k < n * E; k++)
        m->ds[k] = m->p[k] - m->h[k];
}

/* The same over the experts that ran; the others' dE/ds is 0. */
static void sparse_backward(const Model *m, const float *d, const float *o,
                            float *delta)
{
    const int n = m->n, K = m->w->top_k, O = m->w->outputs;
    const int E = m->w->experts;
    int q, k;

    for (q = 0; q < n * K; q++)
        m->h[q] = m->s[q / K * E + m->chosen[q]]
            - difference(O, o + m->slot[q] * O, d + q / K * O,
                         delta + m->slot[q] * O) / 2;
    softmax(n, K, m->h, m->h);
    memset(m->ds, 0, (size_t)n * (size_t)E * sizeof *m->ds);
    for (q = 0; q < n * K; q++) {
        float *restrict row = delta + m->slot[q] * O;
        const float h = m->h[q];
        for (k = 0; k < O; k++)
            row[k] *= h;
        m->ds[q / K * E + m->chosen[q]] = m->p[q] - h;
    }
}

/* Where a step writes: an array of gradients, or the weights themselves. */
typedef struct Target { float *at; float scale, keep; } Target;

/* bias = keep bias + scale sum over cases of delta, and the weights too.  The
   sum is made first: added one by one to a bias, small numbers would be
   lost. */
static void layer_gradient(const Model *m, const Layer *layer, int expert,
                           int n, const float *x, const float *restrict delta,
                           const Target *to)
{
    float *restrict sum = m->grads + bias_of(layer, expert);
    float *bias = to->at + bias_of(layer, expert);
    const int out = layer->out;
    int c, o;

    for (o = 0; o < out; o++)
        sum[o] = n > 0 ? delta[o] : 0;
    for (c = 1; c < n; c++)
        for (o = 0; o < out; o++)
            sum[o] += delta[c * out + o];
    if (bias != sum)
        for (o = 0; o < out; o++)
            bias[o] += to->scale * sum[o];
    product_weights(n, layer->in, out, to->scale, x, delta, to->keep,
                    to->at + weights_of(layer, expert));
}

/* dE/dx of a layer, through the ReLU that gave x */
static void layer_inputs(const Model *m, const Layer *layer, int expert,
                         int n, const float *restrict x, const float *delta,
                         float *restrict dx)
{
    const int count = n * layer->in;
    int i;

    product_inputs(n, layer->in, layer->out, delta,
                   m->params + weights_of(layer, expert), dx);
    for (i = 0; i < count; i++)
        dx[i] = x[i] > 0 ? dx[i] : 0;
}

static void expert_backward(const Model *m, int e, const float *x,
                            const Target *to)
{
    const Workload *w = m->w;
    const int n = cases_of(m, e);
    int l;

    for (l = w->layers - 1; l >= 0; l--) {
        const Layer *layer = &w->layer[l], *below = l ? layer - 1 : layer;
        const float *delta = m->delta[l] + rows_of(m, layer, e);
        const float *in = l ? m->act[l - 1] + rows_of(m, below, e)
                                : inputs_of(m, x, e);
        if (l && n > 0)
            layer_inputs(m, layer, e, n, in, delta,
                         m->delta[l - 1] + rows_of(m, below, e));
        layer_gradient(m, layer, e, n, in, delta, to);
    }
}

/* One step of gradient descent on the mean over the cases; fused: straight
   into the weights, so that nobody ever sees the gradient. */
static void model_step(Model *m, const float *x, const float *d, int fused)
{
    const Workload *w = m->w;
    const int last = w->layers - 1;
    const float rate = RATE / (float)m->n;
    float *restrict params = m->params;
    const float *restrict grads = m->grads;
    Target to;
    size_t i;
    int e;

    to.at = fused ? m->params : m->grads;
    to.scale = fused ? -rate : 1;
    to.keep = fused ? 1 : 0;
    model_forward(m, x, m->y);
    if (w->experts == 1)
        squared_backward(m, d, m->delta[last]);
    else if (w->top_k > 0)
        sparse_backward(m, d, m->act[last], m->delta[last]);
    else
        mixture_backward(m, d, m->act[last], m->delta[last]);
    for (e = 0; e < w->experts; e++)
        expert_backward(m, e, x, &to);
    if (w->experts > 1)
        layer_gradient(m, &w->gate, 0, m->n, x, m->ds, &to);
    if (!fused)
        for (i = 0; i < w->count; i++)
            params[i] -= rate * grads[i];
}

/* Call number i of a workload, which the model predicts or learns from. */
static void model_call(Model *m, int i, int fused)
{
    const Workload *w = m->w;
    size_t first = (size_t)(i & (w->cases / w->rows - 1)) * (size_t)w->rows;
    const float *x = w->x + first * (size_t)w->inputs;

    if (w->task == PREDICT)
        model_forward(m, x, m->y);
    else
        model_step(m, x, w->d + first * (size_t)w->outputs, fused);
}

static void model_result(Model *m, int fused, float *out)
{
    const Workload *w = m->w;
    size_t row = (size_t)w->rows * (size_t)w->outputs;
    int i;

    if (w->task == PREDICT) {
        for (i = 0; i < w->cases / w->rows; i++) {
            model_call(m, i, 0);
            memcpy(out + (size_t)i * row, m->y, row * sizeof *out);
        }
    } else {
        model_call(m, 0, fused);
        memcpy(out, m->params, w->count * sizeof *out);
    }
}

#endif
