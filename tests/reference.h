/* reference.h - the paper once more, in plain loops of double and in its own
   symbols, one case at a time: gate and proportions, experts, the three losses
   and their posteriors, all gradients, a step of the optimiser.  It is slow,
   it has no blocks and no instruction sets, and it is what moe.h is compared
   with.  test_reference.c compares it with reference_vectors.h, which NumPy
   made, and its gradients with differences of its losses. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "models.h"

#include <stddef.h>

enum { MAX_EXPERTS = 40, MAX_ROWS = 40, MAX_IN = 5, MAX_OUT = 4,
       MAX_UNITS = 20, MAX_LAYERS = 3, MAX_VALUES = 2000 };

/* A moe, its data, and both once more in double: the weights w, x and d. */
typedef struct problem {
    moe m;
    moe_layer layer[MAX_EXPERTS + 1][MAX_LAYERS];    /* the gate's are last  */
    moe_data data;
    moe_real x[MAX_ROWS * MAX_IN], d[MAX_ROWS * MAX_OUT];
    int labels[MAX_ROWS];
    double w[MAX_VALUES], at[MAX_ROWS * MAX_IN], want[MAX_ROWS * MAX_OUT];
    int runs[MAX_ROWS][MAX_EXPERTS];     /* the choice at the weights given  */
    double share[MAX_EXPERTS];           /* f: of all choices                */
    double balance;                      /* weight of balance_error          */
    int rows, moved;                     /* of own_error; other choices seen */
} problem;

/* All of one case, by expert, in standardised units. */
typedef struct answer {
    double z[MAX_IN], d[MAX_OUT], y[MAX_OUT], loss[3];
    double s[MAX_EXPERTS], p[MAX_EXPERTS], q[MAX_EXPERTS], h[MAX_EXPERTS];
    double e[MAX_EXPERTS], o[MAX_EXPERTS][MAX_OUT];
    int runs[MAX_EXPERTS], selected[MAX_EXPERTS], tie;
    int ran;                             /* how many of them                 */
    /* of each network, the gate being the last: sums and values of units */
    double sum[MAX_EXPERTS + 1][MAX_LAYERS - 1][MAX_UNITS];
    double unit[MAX_EXPERTS + 1][MAX_LAYERS - 1][MAX_UNITS];
} answer;

/* dE/do and dE/ds of a case. */
typedef struct slopes {
    double o[MAX_EXPERTS][MAX_OUT], s[MAX_EXPERTS];
} slopes;

/* ---- networks ----------------------------------------------------------- */

static inline double activated(moe_activation f, double a)
{
    return f == MOE_ACT_RELU ? fmax(a, 0)
         : f == MOE_ACT_TANH ? tanh(a)
         : f == MOE_ACT_ELU ? (a > 0 ? a : exp(a) - 1)
         : (f == MOE_ACT_SILU ? a : 1) / (1 + exp(-a));
}

static inline double activated_slope(moe_activation f, double a)
{
    double logistic = 1 / (1 + exp(-a));

    return f == MOE_ACT_RELU ? a > 0
         : f == MOE_ACT_TANH ? 1 - tanh(a) * tanh(a)
         : f == MOE_ACT_ELU ? (a > 0 ? 1 : exp(a))
         : f == MOE_ACT_LOGISTIC ? logistic * (1 - logistic)
         : logistic * (1 + a * (1 - logistic));
}

/* a_k = b_k + sum_i x_i w_ik */
static inline void apply_layer(const double *w, moe_layer l, const double *x,
                               double *a)
{
    int i, k;

    for (k = 0; k < l.out; k++) {
        a[k] = w[l.bias + (size_t)k];
        for (i = 0; i < l.in; i++)
            a[k] += x[i] * w[l.weight + (size_t)(i * l.out + k)];
    }
}

/* How many layers network i has. */
static inline int layers_of(const problem *q, int i)
{
    int count = 0;

    while (count < MAX_LAYERS && q->layer[i][count].out > 0)
        count++;
    return count;
}

/* The part of z that network i is given. */
static inline int first_input(const problem *q, int i)
{
    const moe_config *c = &q->m.config;

    return i < c->experts ? c->expert_inputs.first : c->gate_inputs.first;
}

/* Network i: its last sums go to a. */
static inline void apply_network(const problem *q, int i, answer *all,
                                 double *a)
{
    const double *x = all->z + first_input(q, i);
    int l, k, last = layers_of(q, i) - 1;

    for (l = 0; l < last; l++) {
        apply_layer(q->w, q->layer[i][l], x, all->sum[i][l]);
        for (k = 0; k < q->layer[i][l].out; k++)
            all->unit[i][l][k] = activated(q->m.config.activation,
                                           all->sum[i][l][k]);
        x = all->unit[i][l];
    }
    if (last >= 0)
        apply_layer(q->w, q->layer[i][last], x, a);
}

/* From dE/da, delta, of the last sums of network i: dE/dw is added to g,
   dE/dz to dz. */
static inline void network_back(const problem *q, int i, const answer *all,
                                double *delta, double *g, double *dz)
{
    int l, k, j, first = first_input(q, i);
    double before[MAX_UNITS + MAX_IN];

    for (l = layers_of(q, i) - 1; l >= 0; l--) {
        moe_layer at = q->layer[i][l];
        const double *x = l > 0 ? all->unit[i][l - 1] : all->z + first;

        for (k = 0; k < at.out; k++)
            g[at.bias + (size_t)k] += delta[k];
        for (j = 0; j < at.in; j++) {
            for (before[j] = 0, k = 0; k < at.out; k++) {
                size_t w = at.weight + (size_t)(j * at.out + k);

                g[w] += x[j] * delta[k];
                before[j] += q->w[w] * delta[k];
            }
            if (l > 0)
                before[j] *= activated_slope(q->m.config.activation,
                                             all->sum[i][l - 1][j]);
            else
                dz[first + j] += before[j];
        }
        memcpy(delta, before, (size_t)at.in * sizeof *delta);
    }
}

/* ---- gate and experts --------------------------------------------------- */

/* Softmax over those that run, or over all. */
static inline void soften(const double *a, const int *runs, int count,
                          double *p)
{
    double top = -HUGE_VAL, sum = 0;
    int i;

    for (i = 0; i < count; i++)
        if (!runs || runs[i])
            top = fmax(top, a[i]);
    for (i = 0; i < count; i++)
        sum += p[i] = !runs || runs[i] ? exp(a[i] - top) : 0;
    for (i = 0; i < count; i++)
        p[i] /= sum;
}

static inline int is_sparse(const moe_config *c)
{
    return c->top_k > 0 && c->top_k < c->experts;
}

/* Of those that run as few as have the share top_p of p; what rounding may
   decide otherwise is a tie. */
static inline void drop(const moe_config *c, answer *a)
{
    double p[MAX_EXPERTS], sum = 0, tau = (double)c->top_p;
    int kept[MAX_EXPERTS] = {0}, i, k, best;

    soften(a->s, a->runs, c->experts, p);
    for (k = 0; k < c->top_k && sum < tau; k++) {
        for (best = -1, i = 0; i < c->experts; i++)
            if (a->runs[i] && !kept[i] && (best < 0 || p[i] > p[best]))
                best = i;
        for (i = 0; i < c->experts; i++)
            a->tie |= i != best && a->runs[i] && !kept[i]
                      && fabs(p[i] - p[best]) < 1e-5;
        sum += p[best];
        a->tie |= fabs(sum - tau) < 1e-5;
        kept[best] = 1;
    }
    memcpy(a->runs, kept, sizeof kept);
}

/* K times the best of those left, the first of equals; then as top_p says. */
static inline void choose(const problem *q, answer *a)
{
    const moe_config *c = &q->m.config;
    const double *extra = q->w + balance_at(&q->m);
    double rank[MAX_EXPERTS], worst = 0;
    int i, k, best;

    for (i = 0; i < c->experts; i++)
        rank[i] = a->s[i] + (is_sparse(c) ? extra[i] : 0);
    for (k = 0; k < c->top_k; k++) {
        for (best = -1, i = 0; i < c->experts; i++)
            if (!a->runs[i] && (best < 0 || rank[i] > rank[best]))
                best = i;
        a->runs[best] = 1;
        worst = rank[best];
    }
    for (i = 0; i < c->experts; i++)
        a->tie |= !a->runs[i] && rank[i] >= worst;
    if (c->top_p > 0 && c->top_p < 1)
        drop(c, a);
    for (k = 0, i = 0; i < c->experts; i++)
        if (a->runs[i])
            a->selected[k++] = i;
    for (a->ran = k; k < c->top_k; k++)
        a->selected[k] = -1;
}

/* o_i, its part of the blend, and e_i. */
static inline void apply_expert(const problem *q, int i, answer *a)
{
    const moe_config *c = &q->m.config;
    double sum[MAX_OUT];
    int k;

    apply_network(q, i, a, sum);
    if (c->output == MOE_OUT_SOFTMAX)
        soften(sum, NULL, c->outputs, a->o[i]);
    for (k = 0; k < c->outputs; k++) {
        if (c->output == MOE_OUT_LINEAR)
            a->o[i][k] = sum[k];
        else if (c->output == MOE_OUT_LOGISTIC)
            a->o[i][k] = 1 / (1 + exp(-sum[k]));
        a->y[k] += a->p[i] * a->o[i][k];
        a->e[i] += c->output == MOE_OUT_SOFTMAX
                 ? -a->d[k] * log(a->o[i][k])
                 : (a->d[k] - a->o[i][k]) * (a->d[k] - a->o[i][k]);
    }
}

/* ---- losses ------------------------------------------------------------- */

/* What e_i is multiplied with in (1.3): 1 / (2 sigma^2), or 1 for classes. */
static inline double precision_of(const moe_config *c)
{
    double sigma = (double)c->sigma;

    return c->output == MOE_OUT_SOFTMAX ? 1 : 1 / (2 * sigma * sigma);
}

/* (1.1), (1.2), (1.3) and the posteriors h. */
static inline void find_losses(const moe_config *c, answer *a)
{
    int softmax = c->output == MOE_OUT_SOFTMAX, i, k;
    double sum = 0;

    for (i = 0; i < c->experts; i++) {
        a->h[i] = a->p[i] * exp(-precision_of(c) * a->e[i]);
        sum += a->h[i];
        a->loss[MOE_LOSS_EXPECTED] += a->p[i] * a->e[i];
    }
    for (i = 0; i < c->experts; i++)
        a->h[i] /= sum;
    a->loss[MOE_LOSS_MIXTURE] = -log(sum);
    for (k = 0; k < c->outputs; k++)
        a->loss[MOE_LOSS_BLEND] += softmax ? -a->d[k] * log(a->y[k])
            : (a->d[k] - a->y[k]) * (a->d[k] - a->y[k]);
}

/* Everything about row `row` of the data. */
static inline void solve(const problem *q, int row, answer *a)
{
    const moe_config *c = &q->m.config;
    const double *d = q->w + q->m.trained_count, *x = d + 2 * c->outputs;
    int k;

    memset(a, 0, offsetof(answer, sum));
    for (k = 0; k < c->inputs; k++)
        a->z[k] = (q->at[row * c->inputs + k] - x[k]) * x[c->inputs + k];
    for (k = 0; k < c->outputs; k++)
        a->d[k] = (q->want[row * c->outputs + k] - d[k]) / d[c->outputs + k];
    apply_network(q, c->experts, a, a->s);
    choose(q, a);
    soften(a->s, a->runs, c->experts, a->p);
    soften(a->s, NULL, c->experts, a->q);
    for (k = 0; k < c->experts; k++)
        if (a->runs[k])
            apply_expert(q, k, a);
    find_losses(c, a);
}

/* o and y in the user's units. */
static inline double in_units(const problem *q, int k, double y)
{
    const double *d = q->w + q->m.trained_count;

    return d[k] + d[q->m.config.outputs + k] * y;
}

/* ---- gradients ---------------------------------------------------------- */

/* de_i/do_ik */
static inline double error_slope(const moe_config *c, const answer *a, int i,
                                 int k)
{
    return c->output == MOE_OUT_SOFTMAX ? -a->d[k] / a->o[i][k]
                                        : -2 * (a->d[k] - a->o[i][k]);
}

/* (1.3): dE/de_i = h_i / (2 sigma^2), dE/ds_i = p_i - h_i;
   (1.2): dE/de_i = p_i,               dE/ds_i = p_i (e_i - E) */
static inline void expert_slopes(const moe_config *c, const answer *a,
                                 slopes *t)
{
    int mixture = c->loss == MOE_LOSS_MIXTURE, i, k;

    for (i = 0; i < c->experts; i++) {
        double of_e = mixture ? a->h[i] * precision_of(c) : a->p[i];

        t->s[i] = mixture ? a->p[i] - a->h[i]
                : a->p[i] * (a->e[i] - a->loss[MOE_LOSS_EXPECTED]);
        for (k = 0; k < c->outputs && a->runs[i]; k++)
            t->o[i][k] = of_e * error_slope(c, a, i, k);
    }
}

/* Of an error of y: dE/do_ik = p_i dE/dy_k,
   dE/ds_i = p_i sum_k dE/dy_k (o_ik - y_k). */
static inline void blend_slopes(const moe_config *c, const answer *a,
                                const double *dE_dy, slopes *t)
{
    int i, k;

    memset(t, 0, sizeof *t);
    for (i = 0; i < c->experts; i++)
        for (k = 0; k < c->outputs && a->runs[i]; k++) {
            t->o[i][k] = a->p[i] * dE_dy[k];
            t->s[i] += a->p[i] * dE_dy[k] * (a->o[i][k] - a->y[k]);
        }
}

static inline void loss_slopes(const moe_config *c, const answer *a, slopes *t)
{
    double dE_dy[MAX_OUT];
    int k;

    memset(t, 0, sizeof *t);
    if (c->loss != MOE_LOSS_BLEND) {
        expert_slopes(c, a, t);
        return;
    }
    for (k = 0; k < c->outputs; k++)
        dE_dy[k] = c->output == MOE_OUT_SOFTMAX ? -a->d[k] / a->y[k]
                                                : -2 * (a->d[k] - a->y[k]);
    blend_slopes(c, a, dE_dy, t);
}

/* dE/da of expert i's sums from dE/do. */
static inline void sum_slopes(const moe_config *c, const double *o,
                              const double *dE_do, double *dE_da)
{
    double mean = 0;
    int k;

    for (k = 0; k < c->outputs; k++)
        mean += dE_do[k] * o[k];
    for (k = 0; k < c->outputs; k++)
        dE_da[k] = c->output == MOE_OUT_LINEAR ? dE_do[k]
                 : c->output == MOE_OUT_LOGISTIC
                     ? dE_do[k] * o[k] * (1 - o[k])
                 : o[k] * (dE_do[k] - mean);
}

/* The way back of a case: added to g, and to dx (or NULL), in x's units. */
static inline void add_gradient(const problem *q, const answer *a,
                                const slopes *t, double *g, double *dx)
{
    const moe_config *c = &q->m.config;
    const double *factor = q->w + q->m.trained_count + 2 * c->outputs
                         + c->inputs;
    double delta[MAX_EXPERTS], dz[MAX_IN] = {0};
    int i;

    for (i = 0; i < c->experts; i++)
        if (a->runs[i]) {
            sum_slopes(c, a->o[i], t->o[i], delta);
            network_back(q, i, a, delta, g, dz);
        }
    memcpy(delta, t->s, sizeof delta);
    network_back(q, c->experts, a, delta, g, dz);
    for (i = 0; i < c->inputs && dx; i++)
        dx[i] += dz[i] * factor[i];
}

/* Of config.loss, summed over the data. */
static inline void loss_gradient(const problem *q, double *g)
{
    static answer a;
    slopes t;
    int row;

    memset(g, 0, q->m.trained_count * sizeof *g);
    for (row = 0; row < q->data.n; row++) {
        solve(q, row, &a);
        loss_slopes(&q->m.config, &a, &t);
        add_gradient(q, &a, &t, g, NULL);
    }
}

/* Of an error with dE/dy (rows,O) in the user's units; dx is (rows,I). */
static inline void own_gradient(const problem *q, int rows,
                                const double *dE_dy, double *g, double *dx)
{
    const moe_config *c = &q->m.config;
    const double *factor = q->w + q->m.trained_count + c->outputs;
    static answer a;
    double scaled[MAX_OUT];
    slopes t;
    int row, k;

    memset(g, 0, q->m.trained_count * sizeof *g);
    memset(dx, 0, (size_t)(rows * c->inputs) * sizeof *dx);
    for (row = 0; row < rows; row++) {
        solve(q, row, &a);
        for (k = 0; k < c->outputs; k++)
            scaled[k] = dE_dy[row * c->outputs + k] * factor[k];
        blend_slopes(c, &a, scaled, &t);
        add_gradient(q, &a, &t, g, dx + row * c->inputs);
    }
}

/* Of balance E sum_i f_i q_i over the data, f held fixed:
   dE/ds_j = balance E q_j (f_j - sum_i f_i q_i). */
static inline void balance_gradient(const problem *q, double *g)
{
    const moe_config *c = &q->m.config;
    static answer a;
    slopes t;
    int row, i;

    memset(g, 0, q->m.trained_count * sizeof *g);
    for (row = 0; row < q->data.n; row++) {
        double mean = 0;

        solve(q, row, &a);
        memset(&t, 0, sizeof t);
        for (i = 0; i < c->experts; i++)
            mean += q->share[i] * a.q[i];
        for (i = 0; i < c->experts; i++)
            t.s[i] = q->balance * c->experts * a.q[i] * (q->share[i] - mean);
        add_gradient(q, &a, &t, g, NULL);
    }
}

/* ---- a step ------------------------------------------------------------- */

typedef struct optimiser {
    int steps;
    double first[MAX_VALUES], second[MAX_VALUES];
} optimiser;

/* 1 where a parameter is a weight, which decays, 0 where it is a bias. */
static inline void mark_weights(const moe *m, char *is_weight)
{
    int e, l;

    memset(is_weight, 0, MAX_VALUES);
    for (e = 0; e <= m->config.experts; e++)
        for (l = 0; l <= MOE_MAX_HIDDEN; l++) {
            moe_layer at = moe_layer_at(&m->config, e, l);

            memset(is_weight + at.weight, 1, (size_t)(at.in * at.out));
        }
}

/* SGD: v = momentum v + g + decay w, w -= rate v.  Adam (Kingma & Ba 2015,
   algorithm 1; decay beside it, Loshchilov & Hutter 2019):
   w -= rate (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + 1e-8) + decay w).
   g is what moe_step is given, times scale, at most t->clip long. */
static inline void step_of(const moe *m, const moe_training *t, double scale,
                           const double *g, double *w, optimiser *to)
{
    double rate = (double)t->rate, norm = 0, decay;
    size_t i, count = balance_at(m);
    char is_weight[MAX_VALUES];

    mark_weights(m, is_weight);
    for (i = 0; i < count; i++)
        norm += scale * g[i] * scale * g[i];
    if (t->clip > 0 && sqrt(norm) > (double)t->clip)
        scale *= (double)t->clip / sqrt(norm);
    to->steps++;
    for (i = 0; i < count; i++) {
        double *v = &to->first[i], *u = &to->second[i], s = scale * g[i];

        decay = is_weight[i] ? (double)t->weight_decay * w[i] : 0;
        if (t->optimizer == MOE_SGD) {
            *v = (double)t->momentum * *v + s + decay;
            w[i] -= rate * *v;
            continue;
        }
        *v = 0.9 * *v + 0.1 * s;
        *u = 0.999 * *u + 0.001 * s * s;
        w[i] -= rate * (*v / (1 - pow(0.9, to->steps))
                        / (sqrt(*u / (1 - pow(0.999, to->steps))) + 1e-8)
                        + decay);
    }
}

/* ---- a problem ---------------------------------------------------------- */

static inline void fill_targets(problem *q, moe_real *d, int *label)
{
    double sum = 0, share[MAX_OUT];
    int k, O = q->m.config.outputs;

    for (k = 0; k < O; k++)
        sum += share[k] = uniform() + 1.125;
    for (k = 0; k < O; k++)
        d[k] = q->m.config.output == MOE_OUT_LINEAR
             ? (moe_real)(2 * uniform()) : (moe_real)(share[k] / sum);
    *label = pick(O);
}

static inline void fill_data(problem *q, const model_case *c,
                             double (*number)(void))
{
    int i;

    for (i = 0; i < MAX_ROWS * c->config.inputs; i++)
        q->x[i] = (moe_real)number();
    for (i = 0; i < MAX_ROWS; i++)
        fill_targets(q, q->d + i * c->config.outputs, &q->labels[i]);
    q->data.n = c->n;
    q->data.x = q->x;
    q->data.d = c->labelled ? NULL : q->d;
    q->data.labels = c->labelled ? q->labels : NULL;
}

/* scale.d (2,O) and scale.x (2,I) end the parameters. */
static inline void fill_scales(problem *q)
{
    int k, O = q->m.config.outputs, in = q->m.config.inputs;
    moe_real *d = q->m.weights + q->m.trained_count, *x = d + 2 * O;

    for (k = 0; k < O && q->m.config.output == MOE_OUT_LINEAR; k++) {
        d[k] = (moe_real)0.5 * (moe_real)k;
        d[O + k] = 2;
    }
    for (k = 0; k < in; k++) {
        x[k] = (moe_real)0.25 * (moe_real)(k + 1);
        x[in + k] = 2;
    }
}

/* What the reference reads. */
static inline void take_numbers(problem *q)
{
    int i, in = q->m.config.inputs, O = q->m.config.outputs;

    for (i = 0; i < (int)q->m.param_count; i++)
        q->w[i] = (double)q->m.params[i];
    for (i = 0; i < MAX_ROWS * in; i++)
        q->at[i] = (double)q->x[i];
    for (i = 0; i < MAX_ROWS * O; i++)
        q->want[i] = q->data.d ? (double)q->d[i]
                               : q->labels[i / O] == i % O;
}

/* Open the moe and find its layers; 1 if it fits. */
static inline int open_model(problem *q, const moe_config *config)
{
    int i, l;

    memset(q, 0, sizeof *q);
    if (!CHECK(moe_open(&q->m, config, NULL, 0) == MOE_OK)
            || !CHECK(q->m.param_count <= MAX_VALUES))
        return 0;
    for (i = 0; i <= config->experts; i++)
        for (l = 0; l < MAX_LAYERS; l++)
            q->layer[i][l] = moe_layer_at(config, i, l);
    return 1;
}

/* sigma 0.75, gradients; every number of weights and x is a number(). */
static inline moe_config problem_config(const model_case *c)
{
    moe_config config = c->config;

    config.sigma = (moe_real)0.75;
    config.mode = MOE_MODE_GRADIENT;
    return config;
}

static inline int open_problem(problem *q, const model_case *c,
                               double (*number)(void))
{
    moe_config config = problem_config(c);
    size_t v;

    if (!open_model(q, &config))
        return 0;
    for (v = 0; v < q->m.trained_count; v++)
        q->m.weights[v] = (moe_real)number();
    fill_scales(q);
    fill_data(q, c, number);
    take_numbers(q);
    return 1;
}

/* Both sides add up some hundred terms; the reference in double. */
static inline double near_bound(void)
{
    return sizeof(moe_real) == sizeof(float) ? 3e-5 : 1e-11;
}

static inline int near_to(moe_real got, double want)
{
    return fabs((double)got - want) <= near_bound() * (1 + fabs(want));
}

/* ---- errors, and their slopes by differences ---------------------------- */

/* Keep the choice of every case and the shares, which are held fixed. */
static inline void keep_choice(problem *q)
{
    int row, i, E = q->m.config.experts;
    double all = 0;
    static answer a;

    memset(q->share, 0, sizeof q->share);
    for (row = 0; row < q->data.n; row++) {
        solve(q, row, &a);
        memcpy(q->runs[row], a.runs, sizeof a.runs);
        all += a.ran;
        for (i = 0; i < E; i++)
            q->share[i] += a.runs[i];
    }
    for (i = 0; i < E; i++)
        q->share[i] /= all;
    q->moved = 0;
}

static inline void solve_again(problem *q, int row, answer *a)
{
    solve(q, row, a);
    q->moved += memcmp(q->runs[row], a->runs, sizeof a->runs) != 0;
}

static inline double loss_error(problem *q)
{
    double sum = 0;
    static answer a;
    int row;

    for (row = 0; row < q->data.n; row++) {
        solve_again(q, row, &a);
        sum += a.loss[q->m.config.loss];
    }
    return sum;
}

/* balance E sum_i f_i q_i, over all cases */
static inline double balance_error(problem *q)
{
    double sum = 0;
    static answer a;
    int row, i;

    for (row = 0; row < q->data.n; row++) {
        solve_again(q, row, &a);
        for (i = 0; i < q->m.config.experts; i++)
            sum += q->share[i] * a.q[i];
    }
    return q->balance * q->m.config.experts * sum;
}

/* An error of y that is nobody's loss: c_k y_k^2, over the block's rows. */
static inline double own_slope(int k)
{
    return k % 2 ? -0.5 : 0.25 * (k + 1);
}

static inline double own_error(problem *q)
{
    double sum = 0, y;
    static answer a;
    int row, k;

    for (row = 0; row < q->rows; row++) {
        solve_again(q, row, &a);
        for (k = 0; k < q->m.config.outputs; k++) {
            y = in_units(q, k, a.y[k]);
            sum += own_slope(k) * y * y;
        }
    }
    return sum;
}

/* By central differences, of step 1e-5: off by step^2 E'''/6 and
   1e-16 E / step, some 1e-9 each. */
static inline double slope_of(problem *q, double (*error)(problem *),
                              double *w)
{
    const double step = 1e-5, at = *w;
    double up, down;

    *w = at + step;
    up = error(q);
    *w = at - step;
    down = error(q);
    *w = at;
    return (up - down) / (2 * step);
}

static inline void take_grads(const moe *m, double *to)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        to[i] = (double)m->grads[i];
}

/* Derivatives of an error by the count values at w: what moe.h claims against
   the formulas above, and these against differences of the error. */
static inline void check_slopes(problem *q, const char *what,
                                double (*error)(problem *), double *w,
                                const double *claimed, const double *formula,
                                size_t count)
{
    const moe_config *c = &q->m.config;
    double scale = 0, worst = 0, apart = 0;
    size_t i;

    keep_choice(q);
    for (i = 0; i < count; i++)
        scale = fmax(scale, fabs(formula[i]));
    CHECK_THAT(scale > 1e-3, "%s: no gradient", what);
    for (i = 0; i < count; i++) {
        double off = fabs(claimed[i] - formula[i]);

        worst = is_finite((moe_real)off) ? fmax(worst, off) : HUGE_VAL;
        off = fabs(slope_of(q, error, w + i) - formula[i]);
        apart = is_finite((moe_real)off) ? fmax(apart, off) : HUGE_VAL;
    }
    CHECK_THAT(worst <= near_bound() * scale, "%s: off by %.1e (%d of %d "
               "experts, loss %d, output %d, block %d)", what, worst / scale,
               c->top_k, c->experts, (int)c->loss, (int)c->output, c->block);
    CHECK_THAT(apart <= 1e-6 * scale, "%s: the formula is off by %.1e",
               what, apart / scale);
    CHECK(q->moved == 0);
}

/* What moe_gradient makes of the problem's data. */
static inline void check_loss_slopes(problem *q, moe_loss loss)
{
    static double claimed[MAX_VALUES], formula[MAX_VALUES];

    q->m.config.loss = loss;
    clear_grads(&q->m);
    moe_gradient(&q->m, &q->data);
    take_grads(&q->m, claimed);
    loss_gradient(q, formula);
    check_slopes(q, "gradient", loss_error, q->w, claimed, formula,
                 balance_at(&q->m));
}

#endif
