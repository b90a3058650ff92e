/* speed_plain.c - the loops that a good programmer writes: contiguous, the
   pointers restrict, nothing in the inner loop but one line.  Compiled with
   -O3 -march=native -ffp-contract=fast, exp and tanh from libm. */

#include "speed_loops.h"

static Model model;
static const Workload *now;
static float *mapped;

static void product_forward(int n, int in, int out, const float *x,
                            const float *w, float *y)
{
    int c, i, o;

    for (c = 0; c < n; c++, x += in, y += out)
        for (i = 0; i < in; i++) {
            const float *restrict row = w + i * out;
            float *restrict sum = y;
            const float a = x[i];
            for (o = 0; o < out; o++)
                sum[o] += a * row[o];
        }
}

/* A sum of products has to be cut into parts by hand: the compiler must not
   change its order. */
static float dot(int n, const float *restrict a, const float *restrict b)
{
    float part[16] = {0}, sum = 0;
    int i, j;

    for (i = 0; i + 16 <= n; i += 16)
        for (j = 0; j < 16; j++)
            part[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (j = 0; j < 16; j++)
        sum += part[j];
    return sum;
}

static void product_inputs(int n, int in, int out, const float *dy,
                           const float *w, float *dx)
{
    int c, i;

    for (c = 0; c < n; c++, dy += out, dx += in)
        for (i = 0; i < in; i++)
            dx[i] = dot(out, dy, w + i * out);
}

/* Input by input, so that one row of g stays near while the cases go by. */
static void product_weights(int n, int in, int out, float scale,
                            const float *x, const float *dy, float keep,
                            float *g)
{
    int c, i, o;

    for (i = 0; i < in; i++) {
        float *restrict row = g + i * out;
        if (!(keep > 0))
            memset(row, 0, (size_t)out * sizeof *row);
        for (c = 0; c < n; c++) {
            const float *restrict from = dy + c * out;
            const float a = scale * x[c * in + i];
            for (o = 0; o < out; o++)
                row[o] += a * from[o];
        }
    }
}

/* Linear experts with one output, as in 1991, case by case: arrays of two or
   four numbers want nothing of the above.  Adds to g, the gradient; s has room
   for s, o, p and h of one case. */
static void paper_case(const Workload *w, const float *restrict params,
                       const float *restrict x, float d, float *s,
                       float *restrict g)
{
    const Layer *layer = &w->layer[0], *gate = &w->gate;
    const int E = w->experts, I = w->inputs;
    const float *o = s + E;
    float *p = s + 2 * E, *h = s + 3 * E;
    int e, i;

    for (e = 0; e < E; e++) {
        float a = params[layer->bias + (size_t)e];
        float b = params[gate->bias + (size_t)e];
        for (i = 0; i < I; i++) {
            a += x[i] * params[layer->weight + (size_t)(e * I + i)];
            b += x[i] * params[gate->weight + (size_t)(i * E + e)];
        }
        s[E + e] = a;
        s[e] = b;
        h[e] = b - (d - a) * (d - a) / 2;
    }
    softmax(1, E, s, p);
    softmax(1, E, h, h);
    for (e = 0; e < E; e++) {
        float a = h[e] * (o[e] - d), b = p[e] - h[e];
        g[layer->bias + (size_t)e] += a;
        g[gate->bias + (size_t)e] += b;
        for (i = 0; i < I; i++) {
            g[layer->weight + (size_t)(e * I + i)] += a * x[i];
            g[gate->weight + (size_t)(i * E + e)] += b * x[i];
        }
    }
}

static void paper_step(Model *m)
{
    const Workload *w = m->w;
    size_t i;
    int c;

    memset(m->grads, 0, w->count * sizeof *m->grads);
    for (c = 0; c < w->rows; c++)
        paper_case(w, m->params, w->x + c * w->inputs, w->d[c], m->s,
                   m->grads);
    for (i = 0; i < w->count; i++)
        m->params[i] -= RATE / (float)w->rows * m->grads[i];
}

static int is_paper(const Workload *w)
{
    return w->task == STEP && w->layers == 1 && w->experts > 1
        && w->outputs == 1 && w->rows >= 4;
}

/* Without -ffast-math this stays one call after another. */
static void map(const float *restrict x, float *restrict y)
{
    int i;

    if (now->task == EXP)
        for (i = 0; i < now->cases; i++)
            y[i] = expf(x[i]);
    else
        for (i = 0; i < now->cases; i++)
            y[i] = tanhf(x[i]);
}

static const char *start(void)
{
    return "plain C loops and libm, -O3 -march=native";
}

static const char *prepare(const Workload *w)
{
    now = w;
    if (w->task == PREDICT || learns(w))
        model_open(&model, w);
    else
        mapped = floats((size_t)w->cases);
    return "";
}

static void call(int i)
{
    if (now->task == EXP || now->task == TANH)
        map(now->x, mapped);
    else if (is_paper(now))
        paper_step(&model);
    else
        model_call(&model, i, now->task == LEARN);
}

static void result(float *out)
{
    if (now->task == PREDICT || learns(now)) {
        call(0);
        if (learns(now))
            memcpy(out, model.params, now->count * sizeof *out);
        else
            model_result(&model, 0, out);
    } else {
        map(now->x, out);
    }
}

static double run(int times)
{
    double begin = nanoseconds();
    int i;

    for (i = 0; i < times; i++)
        call(i);
    return nanoseconds() - begin;
}

static void release(void)
{
    if (now->task == PREDICT || learns(now))
        model_close(&model);
    else
        free(mapped);
    mapped = NULL;
}

const Peer peer_plain = {"plain C", 0, start, prepare, result, run, release};
