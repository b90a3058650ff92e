/* speed_loops.h - the model written by hand around three matrix products, for
   the plain C loops and for OpenBLAS.  The file that includes it supplies the
   products; everything here is compiled with -O3 -march=native.

   Arrays are row by row; n cases, E experts. */

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
    float *act[MAX_LAYERS];         /* (E,n,out), what comes out of a layer  */
    float *delta[MAX_LAYERS];       /* (E,n,out), dE/d what goes into it     */
    float *s, *p, *h, *ds;          /* (n,E)                                 */
    float *y;                       /* (n,O)                                 */
} Model;

static void model_open(Model *m, const Workload *w)
{
    size_t n = (size_t)w->rows, experts = (size_t)w->experts;
    int l;

    m->w = w;
    m->n = w->rows;
    m->params = floats(w->count);
    m->grads = floats(w->count);
    memcpy(m->params, w->params, w->count * sizeof *m->params);
    for (l = 0; l < w->layers; l++) {
        m->act[l] = floats(experts * n * (size_t)w->layer[l].out);
        m->delta[l] = floats(experts * n * (size_t)w->layer[l].out);
    }
    m->s = floats(n * experts);
    m->p = floats(n * experts);
    m->h = floats(n * experts);
    m->ds = floats(n * experts);
    m->y = floats(n * (size_t)w->outputs);
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

/* Where expert e's rows of an (E,n,out) array begin. */
static size_t rows_of(const Model *m, const Layer *layer, int expert)
{
    return (size_t)expert * (size_t)m->n * (size_t)layer->out;
}

/* y = b + x w, or the positive part of that */
static void layer_forward(const Model *m, const Layer *layer, int expert,
                          const float *x, int relu, float *restrict y)
{
    const float *restrict b = m->params + bias_of(layer, expert);
    const int out = layer->out, count = m->n * out;
    int c, o;

    for (c = 0; c < m->n; c++)
        for (o = 0; o < out; o++)
            y[c * out + o] = b[o];
    product_forward(m->n, layer->in, out, x,
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

static void model_forward(Model *m, const float *x, float *y)
{
    const Workload *w = m->w;
    const int last = w->layers - 1;
    int e, l;

    for (e = 0; e < w->experts; e++) {
        const float *in = x;
        for (l = 0; l <= last; l++) {
            float *out = w->experts == 1 && l == last ? y
                       : m->act[l] + rows_of(m, &w->layer[l], e);
            layer_forward(m, &w->layer[l], e, in, l < last, out);
            in = out;
        }
    }
    if (w->experts > 1) {
        layer_forward(m, &w->gate, 0, x, 0, m->s);
        softmax(m->n, w->experts, m->s, m->p);
        blend(m, m->act[last], y);
    }
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

/* Where a step writes: an array of gradients, or the weights themselves. */
typedef struct Target { float *at; float scale, keep; } Target;

/* bias = keep bias + scale sum over cases of delta, and the weights too.  The
   sum is made first: added one by one to a bias, small numbers would be
   lost. */
static void layer_gradient(const Model *m, const Layer *layer, int expert,
                           const float *x, const float *restrict delta,
                           const Target *to)
{
    float *restrict sum = m->grads + bias_of(layer, expert);
    float *bias = to->at + bias_of(layer, expert);
    const int out = layer->out;
    int c, o;

    for (o = 0; o < out; o++)
        sum[o] = delta[o];
    for (c = 1; c < m->n; c++)
        for (o = 0; o < out; o++)
            sum[o] += delta[c * out + o];
    if (bias != sum)
        for (o = 0; o < out; o++)
            bias[o] += to->scale * sum[o];
    product_weights(m->n, layer->in, out, to->scale, x, delta, to->keep,
                    to->at + weights_of(layer, expert));
}

/* dE/dx of a layer, through the ReLU that gave x */
static void layer_inputs(const Model *m, const Layer *layer, int expert,
                         const float *restrict x, const float *delta,
                         float *restrict dx)
{
    const int count = m->n * layer->in;
    int i;

    product_inputs(m->n, layer->in, layer->out, delta,
                   m->params + weights_of(layer, expert), dx);
    for (i = 0; i < count; i++)
        dx[i] = x[i] > 0 ? dx[i] : 0;
}

static void expert_backward(const Model *m, int e, const float *x,
                            const Target *to)
{
    const Workload *w = m->w;
    int l;

    for (l = w->layers - 1; l >= 0; l--) {
        const Layer *layer = &w->layer[l], *below = l ? layer - 1 : layer;
        const float *delta = m->delta[l] + rows_of(m, layer, e);
        const float *in = l ? m->act[l - 1] + rows_of(m, below, e) : x;
        if (l)
            layer_inputs(m, layer, e, in, delta,
                         m->delta[l - 1] + rows_of(m, below, e));
        layer_gradient(m, layer, e, in, delta, to);
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
    else
        mixture_backward(m, d, m->act[last], m->delta[last]);
    for (e = 0; e < w->experts; e++)
        expert_backward(m, e, x, &to);
    if (w->experts > 1)
        layer_gradient(m, &w->gate, 0, x, m->ds, &to);
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
