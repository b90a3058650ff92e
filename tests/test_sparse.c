/* test_sparse.c - top_k: the choice, the mixture of the chosen and its
   gradients against a second implementation in double, both ways of balancing,
   and what memory, settings, odd numbers and reports make of a choice. */
#include <math.h>
#include <string.h>

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "check.h"

enum { MAX_EXPERTS = 40, MAX_ROWS = 40, MAX_IN = 4, MAX_OUT = 3,
       MAX_UNITS = 4, MAX_VALUES = 2000 };

/* Both sides add up some hundred terms; the reference in double. */
static double bound(void)
{
    return sizeof(moe_real) == sizeof(float) ? 3e-5 : 1e-11;
}

static int near_to(moe_real got, double want)
{
    return fabs((double)got - want) <= bound() * (1 + fabs(want));
}

static int is_zero(moe_real a)
{
    return a >= 0 && a <= 0;
}

static int same_bits(const moe_real *a, const moe_real *b, size_t count)
{
    return memcmp(a, b, count * sizeof *a) == 0;
}

/* Uniform in [-1, 1): the high bits of a linear congruential generator. */
static double noise(void)
{
    static uint64_t state = 2017;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 4503599627370496.0 - 1;
}

/* 0 .. count-1 */
static int pick(int count)
{
    return (int)((noise() + 1) / 2 * count);
}

/* A number with few bits: sums of products of such have no rounding, so that
   equal logits are equal everywhere, and there are many. */
static double coarse(void)
{
    return floor(4 * noise()) / 4;
}

/* ---- a problem: a moe, its data, and both once more in double ----------- */

typedef struct shape {
    int inputs, outputs, experts, top_k, hidden, gate_hidden, rows, n;
    moe_activation activation;
    moe_output output;
    int labelled;
} shape;

typedef struct problem {
    moe m;
    moe_layer layer[MAX_EXPERTS + 1][2];
    moe_data data;
    moe_real x[MAX_ROWS * MAX_IN], d[MAX_ROWS * MAX_OUT];
    int labels[MAX_ROWS];
    double w[MAX_VALUES], at[MAX_ROWS * MAX_IN], want[MAX_ROWS * MAX_OUT];
    int runs[MAX_ROWS][MAX_EXPERTS];     /* the choice at the weights given  */
    double share[MAX_EXPERTS];           /* of all choices                   */
    double balance;                      /* of balance_error                 */
    int rows, moved;                     /* other choices seen since         */
} problem;

static moe_config config_of(const shape *s)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = s->inputs;
    config.outputs = s->outputs;
    config.experts = s->experts;
    config.top_k = s->top_k;
    config.hidden[0] = s->hidden;
    config.gate_hidden[0] = s->gate_hidden;
    config.activation = s->activation;
    config.output = s->output;
    config.sigma = (moe_real)0.75;
    config.block = s->rows;
    config.mode = MOE_MODE_GRADIENT;
    return config;
}

static void fill_targets(problem *q, const shape *s, moe_real *d, int *label)
{
    double sum = 0;
    int k;

    for (k = 0; k < s->outputs; k++)
        sum += q->want[k] = noise() + 1.125;
    for (k = 0; k < s->outputs; k++)
        d[k] = s->output == MOE_OUT_LINEAR ? (moe_real)(2 * noise())
             : (moe_real)(q->want[k] / sum);
    *label = pick(s->outputs);
}

static void fill_data(problem *q, const shape *s, double (*number)(void))
{
    int i;

    for (i = 0; i < MAX_ROWS * s->inputs; i++)
        q->x[i] = (moe_real)number();
    for (i = 0; i < MAX_ROWS; i++)
        fill_targets(q, s, q->d + i * s->outputs, &q->labels[i]);
    q->data.n = s->n;
    q->data.x = q->x;
    q->data.d = s->labelled ? NULL : q->d;
    q->data.labels = s->labelled ? q->labels : NULL;
}

/* scale.d (2,O) and scale.x (2,I) end the parameters. */
static void fill_scales(problem *q)
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
static void take_numbers(problem *q)
{
    int i, in = q->m.config.inputs, O = q->m.config.outputs;

    for (i = 0; i < (int)q->m.param_count; i++)
        q->w[i] = (double)q->m.weights[i];
    for (i = 0; i < MAX_ROWS * in; i++)
        q->at[i] = (double)q->x[i];
    for (i = 0; i < MAX_ROWS * O; i++)
        q->want[i] = q->data.d ? (double)q->d[i]
                               : q->labels[i / O] == i % O;
}

static int open_problem(problem *q, const shape *s, double (*number)(void))
{
    moe_config config = config_of(s);
    size_t v;
    int i, l;

    memset(q, 0, sizeof *q);
    if (!CHECK(moe_open(&q->m, &config, NULL, 0) == MOE_OK)
            || !CHECK(q->m.param_count <= MAX_VALUES))
        return 0;
    for (i = 0; i <= s->experts; i++)
        for (l = 0; l < 2; l++)
            q->layer[i][l] = moe_layer_at(&config, i, l);
    for (v = 0; v < q->m.trained_count; v++)
        q->m.weights[v] = (moe_real)number();
    fill_scales(q);
    fill_data(q, s, number);
    take_numbers(q);
    return 1;
}

/* Where gate.balance is: the last of what is trained. */
static size_t balance_at(const moe *m)
{
    return m->trained_count - (size_t)m->config.experts;
}

static int is_sparse(const moe_config *c)
{
    return c->top_k > 0 && c->top_k < c->experts;
}

static void clear_grads(moe *m)
{
    memset(m->grads, 0, m->trained_count * sizeof *m->grads);
}

/* ---- the reference ------------------------------------------------------ */

/* All of one case, by expert, in standardised units. */
typedef struct answer {
    double s[MAX_EXPERTS], p[MAX_EXPERTS], q[MAX_EXPERTS], h[MAX_EXPERTS];
    double e[MAX_EXPERTS], o[MAX_EXPERTS][MAX_OUT], y[MAX_OUT], d[MAX_OUT];
    double loss[3];
    int runs[MAX_EXPERTS], selected[MAX_EXPERTS], tie;
} answer;

static double activated(moe_activation f, double a)
{
    return f == MOE_ACT_RELU ? fmax(a, 0)
         : f == MOE_ACT_TANH ? tanh(a)
         : f == MOE_ACT_ELU ? (a > 0 ? a : exp(a) - 1)
         : (f == MOE_ACT_SILU ? a : 1) / (1 + exp(-a));
}

static void apply_layer(const double *w, moe_layer l, const double *x,
                        double *a)
{
    int i, k;

    for (k = 0; k < l.out; k++) {
        a[k] = w[l.bias + (size_t)k];
        for (i = 0; i < l.in; i++)
            a[k] += x[i] * w[l.weight + (size_t)(i * l.out + k)];
    }
}

/* Network i, the gate being the last, with one hidden layer or none. */
static void apply_network(const problem *q, int i, const double *z, double *a)
{
    const moe_layer *l = q->layer[i];
    double unit[MAX_UNITS];
    int k;

    if (l[1].out == 0) {
        apply_layer(q->w, l[0], z, a);
        return;
    }
    apply_layer(q->w, l[0], z, unit);
    for (k = 0; k < l[0].out; k++)
        unit[k] = activated(q->m.config.activation, unit[k]);
    apply_layer(q->w, l[1], unit, a);
}

static void soften(const double *a, const int *runs, int count, double *p)
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

/* K times the best of those left, the first of equals. */
static void choose(const problem *q, answer *a)
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
    for (k = 0, i = 0; i < c->experts; i++) {
        if (a->runs[i])
            a->selected[k++] = i;
        else
            a->tie |= rank[i] >= worst;
    }
}

static void apply_expert(const problem *q, int i, const double *z, answer *a)
{
    const moe_config *c = &q->m.config;
    double sum[MAX_OUT];
    int k;

    apply_network(q, i, z, sum);
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

static void find_losses(const moe_config *c, answer *a)
{
    double sigma = (double)c->sigma, sum = 0;
    int softmax = c->output == MOE_OUT_SOFTMAX, i, k;

    for (i = 0; i < c->experts; i++) {
        a->h[i] = a->p[i] * exp(-a->e[i] / (softmax ? 1 : 2 * sigma * sigma));
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

static void solve(const problem *q, int row, answer *a)
{
    const moe_config *c = &q->m.config;
    const double *d = q->w + q->m.trained_count, *x = d + 2 * c->outputs;
    double z[MAX_IN];
    int k;

    memset(a, 0, sizeof *a);
    for (k = 0; k < c->inputs; k++)
        z[k] = (q->at[row * c->inputs + k] - x[k]) * x[c->inputs + k];
    for (k = 0; k < c->outputs; k++)
        a->d[k] = (q->want[row * c->outputs + k] - d[k]) / d[c->outputs + k];
    apply_network(q, c->experts, z, a->s);
    choose(q, a);
    soften(a->s, a->runs, c->experts, a->p);
    soften(a->s, NULL, c->experts, a->q);
    for (k = 0; k < c->experts; k++)
        if (a->runs[k])
            apply_expert(q, k, z, a);
    find_losses(c, a);
}

static double in_units(const problem *q, int k, double y)
{
    const double *d = q->w + q->m.trained_count;

    return d[k] + d[q->m.config.outputs + k] * y;
}

/* ---- every number of a forward, a gradient and a report ----------------- */

static long ties, cases;

/* Which array of row r of the block is not the reference's, or NULL. */
static const char *wrong_array(const problem *q, const answer *a, int r)
{
    const moe *m = &q->m;
    int i, k, E = m->config.experts, O = m->config.outputs;
    int K = m->config.top_k;

    for (k = 0; k < K; k++)
        if (m->selected[r * K + k] != a->selected[k])
            return "selected";
    for (i = 0; i < E; i++)
        if (!near_to(m->s[r * E + i], a->s[i]))
            return "s";
    for (i = 0; i < E; i++)
        if (a->runs[i] ? !near_to(m->p[r * E + i], a->p[i])
                       : !is_zero(m->p[r * E + i]))
            return "p";
    for (k = 0; k < K * O; k++)
        if (!near_to(m->o[r * K * O + k],
                     in_units(q, k % O, a->o[a->selected[k / O]][k % O])))
            return "o";
    for (k = 0; k < O; k++)
        if (!near_to(m->y[r * O + k], in_units(q, k, a->y[k])))
            return "y";
    return NULL;
}

static void check_row(const problem *q, int row, int r)
{
    const moe_config *c = &q->m.config;
    const char *wrong;
    answer a;

    solve(q, row, &a);
    wrong = wrong_array(q, &a, r);
    CHECK_THAT(!wrong, "%s of row %d (%d of %d experts, %d inputs, output %d, "
               "hidden %d and %d, rows %d, n %d)", wrong, row, c->top_k,
               c->experts, c->inputs, (int)c->output, c->hidden[0],
               c->gate_hidden[0], c->block, q->data.n);
    ties += a.tie;
    cases++;
}

static void check_forward(problem *q)
{
    const moe_config *c = &q->m.config;
    int first, rows, r;

    for (first = 0; first < q->data.n; first += rows) {
        rows = moe_forward(&q->m, q->x + first * c->inputs,
                           q->data.n - first);
        CHECK(rows == (q->data.n - first < c->block ? q->data.n - first
                                                   : c->block));
        for (r = 0; r < rows; r++)
            check_row(q, first + r, r);
    }
}

static void check_predict(problem *q)
{
    int i, k, O = q->m.config.outputs, wrong = 0;
    moe_real y[MAX_ROWS * MAX_OUT];
    answer a;

    moe_predict(&q->m, q->x, q->data.n, y);
    for (i = 0; i < q->data.n; i++) {
        solve(q, i, &a);
        for (k = 0; k < O; k++)
            wrong += !near_to(y[i * O + k], in_units(q, k, a.y[k]));
    }
    CHECK(wrong == 0);
}

/* The arrays of the last block, h among them, and the sum of E. */
static void check_posteriors(problem *q, double total)
{
    moe *m = &q->m;
    double sum = (double)moe_gradient(m, &q->data);
    int i, r, E = m->config.experts, first = q->data.n - m->rows, wrong = 0;
    answer a;

    CHECK(m->rows == (q->data.n - 1) % m->config.block + 1);
    CHECK(fabs(sum - total) <= bound() * (1 + fabs(total)));
    for (r = 0; r < m->rows; r++) {
        check_row(q, first + r, r);
        solve(q, first + r, &a);
        for (i = 0; i < E; i++)
            wrong += a.runs[i] ? !near_to(m->h[r * E + i], a.h[i])
                               : !is_zero(m->h[r * E + i]);
    }
    CHECK(wrong == 0);
}

/* What a report says of the gate: means over all cases. */
typedef struct tally {
    double loss, entropy, usage[MAX_EXPERTS], load[MAX_EXPERTS], most;
    int dead;
} tally;

static void add_up(const problem *q, tally *t)
{
    const moe_config *c = &q->m.config;
    double n = q->data.n;
    answer a;
    int i, row;

    memset(t, 0, sizeof *t);
    for (row = 0; row < q->data.n; row++) {
        solve(q, row, &a);
        t->loss += a.loss[c->loss] / n;
        for (i = 0; i < c->experts; i++) {
            t->usage[i] += a.p[i] / n;
            t->load[i] += a.runs[i] / (n * c->top_k);
            t->entropy -= a.p[i] > 0 ? a.p[i] * log(a.p[i]) / n : 0;
        }
    }
    for (i = 0; i < c->experts; i++) {
        t->most = fmax(t->most, t->load[i]);
        t->dead += t->load[i] <= 0;
    }
}

static void check_sums(const moe_report *report, int experts)
{
    double usage = 0, load = 0;
    int i;

    for (i = 0; i < experts; i++) {
        usage += (double)report->usage[i];
        load += (double)report->load[i];
    }
    CHECK(fabs(usage - 1) <= 1e-5 && fabs(load - 1) <= 1e-5);
}

static void check_report(problem *q, const tally *t)
{
    const moe_config *c = &q->m.config;
    moe_report report;
    int i, wrong = 0;

    CHECK(moe_evaluate(&q->m, &q->data, &report) == MOE_OK);
    check_sums(&report, c->experts);
    CHECK(near_to(report.loss, t->loss));
    CHECK(near_to(report.gate_entropy, t->entropy));
    for (i = 0; i < c->experts; i++)
        wrong += !near_to(report.usage[i], t->usage[i]);
    CHECK(wrong == 0);
    if (!is_sparse(c))      /* load is then by the largest p */
        return;
    for (i = 0; i < c->experts; i++)
        wrong += !near_to(report.load[i], t->load[i]);
    CHECK(wrong == 0);
    CHECK(report.dead == t->dead);
    CHECK(near_to(report.imbalance, c->experts * t->most));
}

/* The gate is linear or has rectified units, so that its logits are exact. */
static shape some_shape(int experts, int top_k)
{
    static const int rows[] = {1, 2, 3, 7, 16, 17, 40, 64};
    shape s;

    memset(&s, 0, sizeof s);
    s.inputs = 1 + pick(MAX_IN);
    s.outputs = 1 + pick(MAX_OUT);
    s.experts = experts;
    s.top_k = top_k;
    s.hidden = pick(2) * (1 + pick(MAX_UNITS));
    s.gate_hidden = pick(2) * (1 + pick(MAX_UNITS));
    s.rows = rows[pick(8)];
    s.n = 1 + pick(MAX_ROWS);
    s.activation = s.gate_hidden ? MOE_ACT_RELU : (moe_activation)pick(5);
    s.output = (moe_output)pick(3);
    s.labelled = s.output == MOE_OUT_SOFTMAX && pick(2);
    return s;
}

static void check_choice(int experts, int top_k)
{
    static problem q;
    shape s = some_shape(experts, top_k);
    tally t;

    if (!open_problem(&q, &s, coarse))
        return;
    q.m.config.loss = (moe_loss)pick(3);
    add_up(&q, &t);
    check_forward(&q);
    check_predict(&q);
    check_posteriors(&q, t.loss * s.n);
    check_report(&q, &t);
    moe_close(&q.m);
}

/* Every K of up to 16 experts, every third of more. */
static void check_every_choice(void)
{
    int experts, top_k, step;

    for (experts = 2; experts <= MAX_EXPERTS; experts++) {
        step = experts > 16 ? 3 : 1;
        for (top_k = 1 + pick(step); top_k <= experts; top_k += step)
            check_choice(experts, top_k);
    }
    CHECK(ties * 20 > cases);
    printf("%ld cases, %ld of them with equals at the limit\n", cases, ties);
}

/* ---- all experts is no choice ------------------------------------------- */

static void check_same_gradient(problem *q, problem *all)
{
    const moe_config *c = &q->m.config;
    size_t rows, E = (size_t)c->experts, O = (size_t)c->outputs;

    clear_grads(&q->m);
    clear_grads(&all->m);
    moe_gradient(&q->m, &q->data);
    moe_gradient(&all->m, &all->data);
    rows = (size_t)q->m.rows;
    CHECK(all->m.rows == q->m.rows);
    CHECK(same_bits(q->m.s, all->m.s, rows * E));
    CHECK(same_bits(q->m.p, all->m.p, rows * E));
    CHECK(same_bits(q->m.h, all->m.h, rows * E));
    CHECK(same_bits(q->m.o, all->m.o, rows * E * O));
    CHECK(same_bits(q->m.y, all->m.y, rows * O));
    CHECK(memcmp(q->m.selected, all->m.selected,
                 rows * E * sizeof *q->m.selected) == 0);
    CHECK(same_bits(q->m.grads, all->m.grads, q->m.trained_count));
}

/* 6 epochs of 5 steps. */
static void check_same_training(const shape *s, const shape *of, moe_loss loss)
{
    static problem q;
    moe_config config[2];
    moe_training t;
    moe_report report[2];
    moe m[2];
    int i;

    if (!open_problem(&q, s, noise))
        return;
    memset(&t, 0, sizeof t);
    t.epochs = 6;
    t.batch = 8;
    config[0] = config_of(s);
    config[1] = config_of(of);
    for (i = 0; i < 2; i++) {
        config[i].mode = MOE_MODE_TRAIN;
        config[i].loss = loss;
        CHECK(moe_open(&m[i], &config[i], NULL, 0) == MOE_OK);
        CHECK(moe_train(&m[i], &q.data, NULL, &t, &report[i]) == MOE_OK);
    }
    CHECK(m[0].param_count == m[1].param_count);
    CHECK(same_bits(m[0].weights, m[1].weights, m[0].param_count));
    CHECK(same_bits(&report[0].loss, &report[1].loss, 1));
    CHECK(same_bits(report[0].load, report[1].load, (size_t)s->experts));
    moe_close(&m[0]);
    moe_close(&m[1]);
    moe_close(&q.m);
}

static void check_same(const shape *s)
{
    static problem q, all;
    shape every = *s;
    int loss;

    every.top_k = s->experts;
    CHECK(s->top_k == 0);
    if (!open_problem(&q, s, noise) || !open_problem(&all, &every, noise))
        return;
    CHECK(q.m.config.top_k == s->experts && all.m.config.top_k == s->experts);
    CHECK(q.m.param_count == all.m.param_count);
    memcpy(all.m.weights, q.m.weights, q.m.param_count * sizeof *q.m.weights);
    memcpy(all.x, q.x, sizeof q.x);
    memcpy(all.d, q.d, sizeof q.d);
    memcpy(all.labels, q.labels, sizeof q.labels);
    for (loss = 0; loss < 3; loss++) {
        q.m.config.loss = all.m.config.loss = (moe_loss)loss;
        check_same_gradient(&q, &all);
        check_same_training(s, &every, (moe_loss)loss);
    }
    moe_close(&q.m);
    moe_close(&all.m);
}

static void check_all_is_none(void)
{
    static const shape shapes[] = {
        {2, 2, 5, 0, 0, 0, 16, 40, MOE_ACT_RELU, MOE_OUT_LINEAR, 0},
        {3, 3, 4, 0, 3, 0, 7, 40, MOE_ACT_SILU, MOE_OUT_SOFTMAX, 1},
        {3, 2, 17, 0, 2, 4, 40, 40, MOE_ACT_TANH, MOE_OUT_LOGISTIC, 0},
        {2, 1, 1, 0, 3, 0, 64, 40, MOE_ACT_ELU, MOE_OUT_LINEAR, 0}
    };
    size_t k;

    for (k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        check_same(&shapes[k]);
}

/* ---- gradients ---------------------------------------------------------- */

/* The reference's errors by central differences, of step 1e-5: off by
   step^2 E'''/6 and 1e-16 E / step, some 1e-9 each. */
#define STEP 1e-5

static double slope_bound(void)
{
    return sizeof(moe_real) == sizeof(float) ? 3e-5 : 1e-6;
}

static double worst_seen;
static long derivatives;

/* Keep the choice of every case and the shares, which are held fixed. */
static void keep_choice(problem *q)
{
    int row, i, E = q->m.config.experts;
    answer a;

    memset(q->share, 0, sizeof q->share);
    for (row = 0; row < q->data.n; row++) {
        solve(q, row, &a);
        memcpy(q->runs[row], a.runs, sizeof a.runs);
        for (i = 0; i < E; i++)
            q->share[i] += (double)a.runs[i] / q->data.n / q->m.config.top_k;
    }
    q->moved = 0;
}

static void solve_again(problem *q, int row, answer *a)
{
    solve(q, row, a);
    q->moved += memcmp(q->runs[row], a->runs, sizeof a->runs) != 0;
}

static double loss_error(problem *q)
{
    double sum = 0;
    answer a;
    int row;

    for (row = 0; row < q->data.n; row++) {
        solve_again(q, row, &a);
        sum += a.loss[q->m.config.loss];
    }
    return sum;
}

/* balance E sum_i f_i q_i, over all cases */
static double balance_error(problem *q)
{
    double sum = 0;
    answer a;
    int row, i;

    for (row = 0; row < q->data.n; row++) {
        solve_again(q, row, &a);
        for (i = 0; i < q->m.config.experts; i++)
            sum += q->share[i] * a.q[i];
    }
    return q->balance * q->m.config.experts * sum;
}

/* An error of y that is nobody's loss: c_k y_k^2, over the block's rows. */
static double own_slope(int k)
{
    return k % 2 ? -0.5 : 0.25 * (k + 1);
}

static double own_error(problem *q)
{
    double sum = 0, y;
    answer a;
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

static double slope_of(problem *q, double (*error)(problem *), double *w)
{
    double at = *w, up, down;

    *w = at + STEP;
    up = error(q);
    *w = at - STEP;
    down = error(q);
    *w = at;
    derivatives++;
    return (up - down) / (2 * STEP);
}

/* All derivatives of an error by the count values at w. */
static void check_slopes(problem *q, const char *what,
                         double (*error)(problem *), double *w,
                         const double *claimed, size_t count)
{
    double scale = 0, worst = 0;
    size_t i;

    keep_choice(q);
    for (i = 0; i < count; i++)
        scale = fmax(scale, fabs(claimed[i]));
    CHECK_THAT(scale > 1e-3, "%s: no gradient", what);
    for (i = 0; i < count; i++) {
        double off = fabs(slope_of(q, error, w + i) - claimed[i]);

        worst = off <= worst ? worst : isnan(off) ? HUGE_VAL : off;
    }
    worst_seen = fmax(worst_seen, worst / scale);
    CHECK_THAT(worst <= slope_bound() * scale, "%s: off by %.1e (%d of %d "
               "experts, loss %d, output %d, rows %d)", what, worst / scale,
               q->m.config.top_k, q->m.config.experts, (int)q->m.config.loss,
               (int)q->m.config.output, q->m.config.block);
    CHECK(q->moved == 0);
}

/* The gradient of gate.balance: how many cases chose each expert, `times`
   over; of an expert without any, everything is 0. */
static void check_counts(const problem *q, int n, int times)
{
    const moe *m = &q->m;
    int i, row, wrong = 0;
    size_t k;

    for (i = 0; i < m->config.experts; i++) {
        const moe_layer *l = q->layer[i];
        int count = 0;

        for (row = 0; row < n; row++)
            count += q->runs[row][i];
        wrong += m->grads[balance_at(m) + (size_t)i]
                 != (moe_real)(times * count);
        for (k = 0; k < 2 && count == 0; k++) {
            size_t b = (size_t)l[k].out, w = b * (size_t)l[k].in;

            while (b-- > 0)
                wrong += !is_zero(m->grads[l[k].bias + b]);
            while (w-- > 0)
                wrong += !is_zero(m->grads[l[k].weight + w]);
        }
    }
    CHECK(wrong == 0);
}

static void take_grads(const moe *m, double *to)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        to[i] = (double)m->grads[i];
}

static void check_loss(problem *q, moe_loss loss)
{
    static double claimed[MAX_VALUES];

    q->m.config.loss = loss;
    clear_grads(&q->m);
    moe_gradient(&q->m, &q->data);
    take_grads(&q->m, claimed);
    check_slopes(q, "gradient", loss_error, q->w, claimed, balance_at(&q->m));
    check_counts(q, q->data.n, 1);
    moe_gradient(&q->m, &q->data);
    check_counts(q, q->data.n, 2);
}

static void check_own_error(problem *q)
{
    static double claimed[MAX_VALUES], slopes[MAX_ROWS * MAX_IN];
    moe_real dE_dy[MAX_ROWS * MAX_OUT], dE_dx[MAX_ROWS * MAX_IN];
    moe *m = &q->m;
    int i, in = m->config.inputs, O = m->config.outputs;

    clear_grads(m);
    q->rows = moe_forward(m, q->x, q->data.n);
    for (i = 0; i < q->rows * O; i++)
        dE_dy[i] = (moe_real)(2 * own_slope(i % O)) * m->y[i];
    moe_backward(m, dE_dy, dE_dx);
    take_grads(m, claimed);
    for (i = 0; i < q->rows * in; i++)
        slopes[i] = (double)dE_dx[i];
    check_slopes(q, "own error", own_error, q->w, claimed, balance_at(m));
    check_slopes(q, "dE/dx", own_error, q->at, slopes,
                 (size_t)(q->rows * in));
    check_counts(q, q->rows, 1);
    moe_backward(m, dE_dy, NULL);
    check_counts(q, q->rows, 2);
}

static void check_gradients(void)
{
    static const shape shapes[] = {
        {3, 2, 5, 2, 0, 0, 4, 13, MOE_ACT_RELU, MOE_OUT_LINEAR, 0},
        {2, 3, 4, 3, 3, 3, 16, 20, MOE_ACT_TANH, MOE_OUT_LINEAR, 0},
        {3, 2, 9, 1, 2, 0, 7, 18, MOE_ACT_SILU, MOE_OUT_LINEAR, 0},
        {2, 2, 17, 5, 0, 0, 64, 18, MOE_ACT_RELU, MOE_OUT_LINEAR, 0}
    };
    static problem q;
    int k, output, loss;

    for (k = 0; k < 4; k++)
        for (output = 0; output < 3; output++) {
            shape s = shapes[k];

            s.output = (moe_output)output;
            s.labelled = output == MOE_OUT_SOFTMAX && k % 2;
            if (!open_problem(&q, &s, noise))
                continue;
            for (loss = 0; loss < 3; loss++)
                check_loss(&q, (moe_loss)loss);
            check_own_error(&q);
            moe_close(&q.m);
        }
    printf("%ld derivatives; largest difference %.1e\n", derivatives,
           worst_seen);
}

/* ---- the balance loss --------------------------------------------------- */

/* The same weights in blocks of so many rows, with a balance loss. */
static int reopen(const problem *q, int rows, moe_real balance, moe_mode use,
                  moe *m)
{
    moe_config config = q->m.config;

    config.block = rows;
    config.balance_loss = balance;
    config.mode = use;
    if (!CHECK(moe_open(m, &config, NULL, 0) == MOE_OK))
        return 0;
    memcpy(m->weights, q->m.weights, m->param_count * sizeof *m->weights);
    return 1;
}

/* A balance adds to the gradient of the gate, and to nothing else. */
static void check_balance_only(const problem *q, moe *plain, moe *with)
{
    size_t rows, E = (size_t)with->config.experts;
    moe_real sum[2];

    sum[0] = moe_gradient(plain, &q->data);
    sum[1] = moe_gradient(with, &q->data);
    rows = (size_t)with->rows;
    CHECK(same_bits(&sum[0], &sum[1], 1));
    CHECK(same_bits(plain->p, with->p, rows * E));
    CHECK(same_bits(plain->y, with->y,
                    rows * (size_t)with->config.outputs));
    CHECK(same_bits(plain->h, with->h, rows * E));
    CHECK(same_bits(plain->grads, with->grads, q->layer[E][0].bias));
    CHECK(same_bits(plain->grads + balance_at(with),
                    with->grads + balance_at(with), E));
}

/* Nor is it in predictions, in the loss, in an error of one's own. */
static void check_balance_unseen(const problem *q, moe *plain, moe *with)
{
    static moe_real y[2][MAX_ROWS * MAX_OUT];
    moe_report report[2];
    size_t count = (size_t)(q->data.n * with->config.outputs);

    moe_predict(plain, q->x, q->data.n, y[0]);
    moe_predict(with, q->x, q->data.n, y[1]);
    CHECK(same_bits(y[0], y[1], count));
    CHECK(moe_evaluate(plain, &q->data, &report[0]) == MOE_OK);
    CHECK(moe_evaluate(with, &q->data, &report[1]) == MOE_OK);
    CHECK(same_bits(&report[0].loss, &report[1].loss, 1));
    clear_grads(plain);
    clear_grads(with);
    moe_forward(plain, q->x, q->data.n);
    moe_forward(with, q->x, q->data.n);
    moe_backward(plain, y[0], NULL);
    moe_backward(with, y[0], NULL);
    CHECK(same_bits(plain->grads, with->grads, with->trained_count));
}

/* What it adds is the slope of the formula, with f of the whole call. */
static void check_balance_slopes(problem *q, const moe *plain, const moe *with)
{
    static double claimed[MAX_VALUES], without[MAX_VALUES];
    size_t i;

    take_grads(plain, without);
    take_grads(with, claimed);
    for (i = 0; i < with->trained_count; i++)
        claimed[i] -= without[i];
    q->balance = (double)with->config.balance_loss;
    check_slopes(q, "balance", balance_error, q->w, claimed,
                 balance_at(with));
}

/* Whatever the blocks. */
static void check_balance_rows(problem *q)
{
    static const int rows[] = {1, 5, 16, 64};
    moe plain, with;
    int k;

    for (k = 0; k < 4; k++) {
        if (!reopen(q, rows[k], 0, MOE_MODE_GRADIENT, &plain)
                || !reopen(q, rows[k], 8, MOE_MODE_GRADIENT, &with))
            return;
        plain.config.loss = with.config.loss = (moe_loss)(k % 3);
        check_balance_only(q, &plain, &with);
        check_balance_slopes(q, &plain, &with);
        check_balance_unseen(q, &plain, &with);
        moe_close(&plain);
        moe_close(&with);
    }
}

static moe_training plain_sgd(moe_real rate)
{
    moe_training t;

    memset(&t, 0, sizeof t);
    t.optimizer = MOE_SGD;
    t.rate = rate;
    t.epochs = 1;
    t.batch = MOE_ALL;
    t.keep_units = 1;
    return t;
}

/* How far two moes are apart; the bits of MOE_SAME_BITS are the same. */
static int near_weights(const moe *a, const moe *b)
{
    size_t i;

    for (i = 0; i < a->trained_count; i++)
        if (!near_to(a->weights[i], (double)b->weights[i]))
            return 0;
#ifdef MOE_SAME_BITS
    return same_bits(a->weights, b->weights, a->trained_count);
#else
    return 1;
#endif
}

/* A step for each of the cases first, first + by, ... as long as there are
   such, or one for all cases if by is 0. */
static void step_by_hand(const problem *q, int first, int by, moe *m)
{
    moe_training t = plain_sgd((moe_real)0.125);
    moe_data one = q->data;
    int at;

    one.n = by ? 1 : q->data.n;
    for (at = first; at >= 0 && at < q->data.n; at += by ? by : MAX_ROWS) {
        one.x = q->x + at * m->config.inputs;
        one.d = q->d + at * m->config.outputs;
        moe_gradient(m, &one);
        CHECK(moe_step(m, &t, 1 / (moe_real)one.n) == MOE_OK);
    }
}

/* moe_train takes f from a batch: of all cases, whatever the blocks, */
static void check_balance_batch(const problem *q)
{
    moe_training t = plain_sgd((moe_real)0.125);
    moe m[4];
    int k;

    for (k = 0; k < 4; k++)
        if (!reopen(q, k % 2 ? 3 : 64, 8, MOE_MODE_TRAIN, &m[k]))
            return;
    CHECK(moe_train(&m[0], &q->data, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_train(&m[1], &q->data, NULL, &t, NULL) == MOE_OK);
    step_by_hand(q, 0, 0, &m[2]);
    CHECK(near_weights(&m[0], &m[1]));
    CHECK(near_weights(&m[0], &m[2]));
    CHECK(!near_weights(&m[0], &m[3]));
    for (k = 0; k < 4; k++)
        moe_close(&m[k]);
}

/* and of two batches of one case, in one order or the other. */
static void check_balance_batches(problem *q)
{
    moe_training t = plain_sgd((moe_real)0.125);
    moe m[3];
    int k;

    q->data.n = 2;
    t.batch = 1;
    for (k = 0; k < 3; k++)
        if (!reopen(q, 64, 8, MOE_MODE_TRAIN, &m[k]))
            return;
    CHECK(moe_train(&m[0], &q->data, NULL, &t, NULL) == MOE_OK);
    step_by_hand(q, 0, 1, &m[1]);
    step_by_hand(q, 1, -1, &m[2]);
    CHECK(near_weights(&m[0], &m[1]) || near_weights(&m[0], &m[2]));
    for (k = 0; k < 3; k++)
        moe_close(&m[k]);
}

static void check_balance_loss(void)
{
    static const shape shapes[] = {
        {3, 2, 6, 2, 0, 0, 64, 20, MOE_ACT_RELU, MOE_OUT_LINEAR, 0},
        {2, 2, 5, 3, 2, 3, 64, 17, MOE_ACT_TANH, MOE_OUT_LOGISTIC, 0},
        {2, 3, 17, 4, 0, 0, 64, 20, MOE_ACT_RELU, MOE_OUT_SOFTMAX, 0}
    };
    static problem q;
    int k;

    for (k = 0; k < 3; k++) {
        if (!open_problem(&q, &shapes[k], noise))
            continue;
        check_balance_rows(&q);
        check_balance_batch(&q);
        check_balance_batches(&q);
        moe_close(&q.m);
    }
}

/* ---- balance_rate ------------------------------------------------------- */

/* The experts that case i chooses: on average two each. */
static const int chosen_by[4][2] = {{0, 1}, {0, 1}, {0, 3}, {2, 3}};

static int open_corners(moe *m, moe_data *data)
{
    static const moe_real d[] = {1, -1, 2, 3};
    static moe_real x[16];
    moe_config config;
    moe_layer gate;
    int i;

    memset(&config, 0, sizeof config);
    config.inputs = config.experts = 4;
    config.outputs = 1;
    config.top_k = 2;
    memset(data, 0, sizeof *data);
    data->n = 4;
    data->x = x;
    data->d = d;
    if (!CHECK(moe_open(m, &config, NULL, 0) == MOE_OK))
        return 0;
    gate = moe_layer_at(&config, 4, 0);
    for (i = 0; i < 4; i++) {
        x[4 * i + chosen_by[i][0]] = x[4 * i + chosen_by[i][1]] = 1;
        m->weights[gate.weight + (size_t)(5 * i)] = 4;
        m->weights[balance_at(m) + (size_t)i] = (moe_real)(i - 1);
    }
    moe_gradient(m, data);
    for (i = 0; i < 8; i++)
        CHECK(m->selected[i] == chosen_by[i / 2][i % 2]);
    return 1;
}

static int all_zero(const moe_real *a, size_t count)
{
    while (count-- > 0)
        if (!is_zero(a[count]))
            return 0;
    return 1;
}

/* After a step grads count as 0: the next gradient, of no case here, writes
   over them. */
static int counts_as_zero(moe *m)
{
    static const moe_real target[1] = {0};
    moe_data none = {0, NULL, target, NULL, NULL};

    return is_zero(moe_gradient(m, &none))
        && all_zero(m->grads, m->trained_count);
}

/* Two moes, one without balance_rate, one with it and with counts that would
   be seen in the norm and in the scale: everything else is the same. */
static void check_balance_step(const moe_training *given)
{
    static const moe_real moves[] = {-1, 0, 1, 0};
    moe_training t = *given;
    moe_real before[64];
    moe_data data;
    moe m[2];
    size_t at, i;

    if (!open_corners(&m[0], &data) || !open_corners(&m[1], &data))
        return;
    at = balance_at(&m[0]);
    memcpy(before, m[0].weights, m[0].trained_count * sizeof *before);
    for (i = 0; i < 4; i++)
        m[1].grads[at + i] *= 1000000;
    CHECK(moe_step(&m[0], &t, (moe_real)0.25) == MOE_OK);
    t.balance_rate = (moe_real)0.125;
    CHECK(moe_step(&m[1], &t, (moe_real)0.25) == MOE_OK);
    CHECK(same_bits(m[0].weights, m[1].weights, at));
    CHECK(!same_bits(m[0].weights, before, at));
    CHECK(same_bits(m[0].weights + at, before + at, 4));
    for (i = 0; i < 4; i++)
        CHECK(is_zero(m[1].weights[at + i] - before[at + i]
                      - moves[i] * t.balance_rate));
    CHECK(counts_as_zero(&m[0]));
    CHECK(counts_as_zero(&m[1]));
    moe_close(&m[0]);
    moe_close(&m[1]);
}

/* One case a step, two of six experts: four go up when two go down, but all
   together stay where they were. */
static void check_no_drift(void)
{
    static const moe_real x[] = {1, -1}, d[] = {1};
    moe_training t = plain_sgd((moe_real)0.001);
    moe_data one = {1, x, d, NULL, NULL};
    moe_config config;
    moe_real sum = 0, most = 0;
    int i;
    moe m;

    memset(&config, 0, sizeof config);
    config.inputs = config.top_k = 2;
    config.outputs = 1;
    config.experts = 6;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    t.balance_rate = (moe_real)0.01;
    for (i = 0; i < 10000; i++) {
        moe_gradient(&m, &one);
        CHECK(moe_step(&m, &t, 1) == MOE_OK);
    }
    for (i = 0; i < 6; i++) {
        moe_real bias = m.weights[balance_at(&m) + (size_t)i];

        sum += bias;
        most = bias > most ? bias : -bias > most ? -bias : most;
    }
    CHECK(most > 0 && most < 1);
    CHECK(sum < (moe_real)0.01 && sum > (moe_real)-0.01);
    moe_close(&m);
}

/* Where all experts run, a weight for balancing that comes later is nothing. */
static void check_dense_balance(void)
{
    static const moe_real x[] = {1, -1, 2, 3}, d[] = {1, 2, 3, 4};
    moe_data data = {4, x, d, NULL, NULL};
    moe_config config;
    moe_real before[64];
    moe m;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = 1;
    config.experts = 4;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    moe_gradient(&m, &data);
    memcpy(before, m.grads, m.trained_count * sizeof *before);
    memset(m.grads, 0, m.trained_count * sizeof *before);
    m.config.balance_loss = 1;
    moe_gradient(&m, &data);
    CHECK(same_bits(m.grads, before, m.trained_count));
    m.config.balance_loss = 0;
    moe_predict(&m, x, 4, before);
    CHECK(m.selected[0] == 0 && m.selected[3] == 3);
    moe_close(&m);
}

/* A clipped step of SGD is rate * clip long. */
static void check_clip(void)
{
    moe_training t = plain_sgd((moe_real)0.5);
    moe_real before[64];
    moe_data data;
    double sum = 0;
    size_t i;
    moe m;

    if (!open_corners(&m, &data))
        return;
    t.clip = (moe_real)0.125;
    memcpy(before, m.weights, m.trained_count * sizeof *before);
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    for (i = 0; i < m.trained_count; i++)
        sum += pow((double)m.weights[i] - (double)before[i], 2);
    CHECK(fabs(sqrt(sum) - 0.0625) < 1e-5);
    moe_close(&m);
}

/* What is refused moves nothing; counts are then gone as well. */
static void check_refused_step(void)
{
    moe_training t = plain_sgd((moe_real)0.5);
    moe_real before[64];
    moe_data data;
    moe m;

    if (!open_corners(&m, &data))
        return;
    memcpy(before, m.weights, m.trained_count * sizeof *before);
    t.balance_rate = -1;
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_CONFIG);
    CHECK(m.error && strstr(m.error, "balance_rate"));
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG);
    t.balance_rate = (moe_real)NAN;
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_CONFIG);
    CHECK(!all_zero(m.grads + balance_at(&m), 4));
    t.balance_rate = 1;
    m.grads[0] = (moe_real)NAN;
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_DIVERGED);
    CHECK(same_bits(m.weights, before, m.trained_count));
    CHECK(counts_as_zero(&m));
    moe_close(&m);
}

static void check_balance_steps(void)
{
    moe_training t = plain_sgd((moe_real)0.5);

    check_balance_step(&t);
    t.weight_decay = (moe_real)0.25;
    check_balance_step(&t);
    t.clip = (moe_real)0.125;
    t.momentum = (moe_real)0.5;
    check_balance_step(&t);
    t.momentum = 0;
    t.optimizer = MOE_ADAM;
    check_balance_step(&t);
    check_clip();
    check_refused_step();
}

/* ---- an uneven gate ----------------------------------------------------- */

/* Every quadrant has a line of its own. */
static void fill_quadrants(moe_real *x, moe_real *d, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        double a = noise(), b = noise();

        x[2 * i] = (moe_real)a;
        x[2 * i + 1] = (moe_real)b;
        d[i] = (moe_real)((a > 0 ? a : -2 * a) + (b > 0 ? 3 * b : b));
    }
}

/* A gate that prefers the first top_k experts. */
static void tilt_gate(moe *m)
{
    moe_layer gate = moe_layer_at(&m->config, m->config.experts, 0);
    int i;

    for (i = 0; i < gate.in * gate.out; i++)
        m->weights[gate.weight + (size_t)i] = (moe_real)noise();
    for (i = 0; i < m->config.top_k; i++)
        m->weights[gate.bias + (size_t)i] = 4;
}

static void train_uneven(moe_real balance, moe_real balance_rate,
                         moe_report *report)
{
    moe_real x[2 * 96], d[96];
    moe_data data = {96, x, d, NULL, NULL};
    moe_config config;
    moe_training t;
    moe m;

    fill_quadrants(x, d, 96);
    memset(&config, 0, sizeof config);
    config.inputs = 2;
    config.outputs = 1;
    config.experts = 4;
    config.top_k = 2;
    config.balance_loss = balance;
    memset(&t, 0, sizeof t);
    t.epochs = 60;
    t.balance_rate = balance_rate;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    tilt_gate(&m);
    CHECK(moe_train(&m, &data, NULL, &t, report) == MOE_OK);
    check_sums(report, 4);
    CHECK(moe_evaluate(&m, &data, report) == MOE_OK);
    CHECK(all_zero(m.weights + balance_at(&m), 4) == !(balance_rate > 0));
    moe_close(&m);
}

static void check_balancing(void)
{
    moe_report report;

    train_uneven(0, 0, &report);
    CHECK(report.dead > 0 && report.imbalance > (moe_real)1.5);
    train_uneven(0, (moe_real)0.03, &report);
    CHECK(report.dead == 0 && report.imbalance < (moe_real)1.5);
    train_uneven(1, 0, &report);
    CHECK(report.dead == 0 && report.imbalance < (moe_real)1.5);
}

/* ---- numbers that are not, and numbers that are too large --------------- */

enum { ODD_ROWS = 9, ODD_IN = 3, ODD_OUT = 4, ODD_EXPERTS = 5 };

static moe_real odd_number(int k)
{
    static const double odd[] = {1e38, -1e38, HUGE_VAL, -HUGE_VAL};

    return k < 4 ? (moe_real)odd[k] : (moe_real)NAN;
}

static moe_config odd_config(int top_k, int rows)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = ODD_IN;
    config.outputs = ODD_OUT;
    config.experts = ODD_EXPERTS;
    config.top_k = top_k;
    config.block = rows;
    config.mode = MOE_MODE_GRADIENT;
    return config;
}

/* Ascending, so without a double, and inside 0..E-1. */
static int choice_is_sound(const moe *m)
{
    int r, k, K = m->config.top_k;

    for (r = 0; r < m->rows; r++)
        for (k = 0; k < K; k++) {
            int32_t at = m->selected[r * K + k];

            if (at < 0 || at >= m->config.experts
                    || (k > 0 && at <= m->selected[r * K + k - 1]))
                return 0;
        }
    return 1;
}

static int chosen_in(const moe *m, int row, int expert)
{
    int k, K = m->config.top_k;

    for (k = 0; k < K; k++)
        if (m->selected[row * K + k] == expert)
            return 1;
    return 0;
}

static void fill_odd(moe *m, moe_real *x)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        m->weights[i] = (moe_real)noise();
    for (i = 0; i < ODD_ROWS * ODD_IN; i++)
        x[i] = (moe_real)noise();
}

/* One number of one row is odd: the other rows do not notice. */
static void check_odd_row(moe *m, moe_real *x, int row, moe_real odd)
{
    moe_real y[ODD_ROWS * ODD_OUT], again[ODD_ROWS * ODD_OUT];
    moe_real *at = x + row * ODD_IN + row % ODD_IN, kept = *at;
    int i, wrong = 0;

    moe_predict(m, x, ODD_ROWS, y);
    *at = odd;
    moe_predict(m, x, ODD_ROWS, again);
    CHECK(choice_is_sound(m));
    for (i = 0; i < ODD_ROWS * ODD_OUT; i++)
        wrong += i / ODD_OUT != row && !near_to(again[i], (double)y[i]);
    CHECK(wrong == 0);
    CHECK(moe_forward(m, x + row * ODD_IN, ODD_ROWS - row) > 0);
    CHECK(choice_is_sound(m));
    moe_backward(m, y, NULL);
    *at = kept;
}

static void check_odd_inputs(int top_k, int rows)
{
    moe_config config = odd_config(top_k, rows);
    moe_real x[ODD_ROWS * ODD_IN];
    int row, k;
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    fill_odd(&m, x);
    for (row = 0; row < ODD_ROWS; row++)
        for (k = 0; k < 5; k++)
            check_odd_row(&m, x, row, odd_number(k));
    moe_close(&m);
}

/* Where expert j's bias in the gate is, its second weight, its balance. */
static moe_real *gate_number(moe *m, int which, int j)
{
    moe_layer gate = moe_layer_at(&m->config, ODD_EXPERTS, 0);

    return m->weights + (size_t)j
         + (which == 0 ? gate.bias
            : which == 1 ? gate.weight + ODD_EXPERTS : balance_at(m));
}

/* A NaN loses against all: of experts 0 .. last, none is chosen while there
   are enough others, and all others are when there are no more than that. */
static void check_losers(const moe *m, int last)
{
    int r, others = ODD_EXPERTS - 1 - last;

    for (r = 0; r < m->rows; r++) {
        if (others >= m->config.top_k)
            CHECK(!chosen_in(m, r, last) && !chosen_in(m, r, 0));
        if (others > 0 && others <= m->config.top_k)
            CHECK(chosen_in(m, r, last + 1)
                  && chosen_in(m, r, ODD_EXPERTS - 1));
    }
}

/* The same numbers in the weights of the gate, in one expert's after the
   other's. */
static void check_odd_gate(int top_k, moe_real odd, int which)
{
    moe_config config = odd_config(top_k, 4);
    moe_real x[ODD_ROWS * ODD_IN], d[ODD_ROWS * ODD_OUT];
    moe_real y[ODD_ROWS * ODD_OUT];
    moe_data data = {ODD_ROWS, x, d, NULL, NULL};
    int j;
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    fill_odd(&m, x);
    memset(d, 0, sizeof d);
    for (j = 0; j < ODD_EXPERTS; j++) {
        *gate_number(&m, which, j) = odd;
        moe_predict(&m, x, ODD_ROWS, y);
        CHECK(choice_is_sound(&m));
        CHECK(moe_forward(&m, x, ODD_ROWS) == 4 && choice_is_sound(&m));
        if (isnan(odd))
            check_losers(&m, j);
        moe_gradient(&m, &data);
        CHECK(choice_is_sound(&m));
        clear_grads(&m);
    }
    moe_close(&m);
}

/* However low the logits of the chosen, the others have no share: of p, nor,
   however large the errors, of h. */
static void check_no_share(moe_real bias, moe_real target)
{
    moe_config config = odd_config(2, 4);
    moe_real x[ODD_ROWS * ODD_IN], d[ODD_ROWS * ODD_OUT];
    moe_data data = {4, x, d, NULL, NULL};
    moe_layer gate = moe_layer_at(&config, ODD_EXPERTS, 0);
    int i, wrong = 0;
    moe m;

    config.sigma = (moe_real)0.5;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    fill_odd(&m, x);
    for (i = 0; i < ODD_EXPERTS; i++)
        m.weights[gate.bias + (size_t)i] += bias;
    for (i = 0; i < ODD_ROWS * ODD_OUT; i++)
        d[i] = target;
    moe_gradient(&m, &data);
    for (i = 0; i < 4 * ODD_EXPERTS; i++)
        wrong += !chosen_in(&m, i / ODD_EXPERTS, i % ODD_EXPERTS)
               && !(is_zero(m.p[i]) && is_zero(m.h[i]));
    CHECK_THAT(wrong == 0, "logits near %g, targets %g", (double)bias,
               (double)target);
    moe_close(&m);
}

static void check_odd_numbers(void)
{
    static const int rows[] = {1, 4, 64};
    static const double low[] = {-1, -1e20, -9e29, -1e30, -2e30, -1e38};
    int k, top_k;

    for (top_k = 1; top_k < ODD_EXPERTS; top_k++) {
        for (k = 0; k < 3; k++)
            check_odd_inputs(top_k, rows[k]);
        for (k = 0; k < 15; k++)
            check_odd_gate(top_k, odd_number(k % 5), k / 5);
    }
    for (k = 0; k < 6; k++)
        check_no_share((moe_real)low[k], 1);
    check_no_share(0, (moe_real)1e10);
    check_no_share(0, (moe_real)1e20);
}

/* ---- settings and memory ------------------------------------------------ */

static void check_refusal(int top_k, double balance, const char *word)
{
    moe_config config = odd_config(top_k, 4);
    const char *why = NULL;
    moe m;

    config.balance_loss = (moe_real)balance;
    CHECK(moe_check_config(&config, &why) == MOE_ERR_CONFIG);
    CHECK_THAT(why && strstr(why, word), "top_k %d, balance %g: %s", top_k,
               balance, why ? why : "no reason");
    CHECK(moe_bytes(&config) == 0 && moe_work_bytes(&config) == 0);
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_ERR_CONFIG);
    CHECK(m.error && strstr(m.error, word));
}

static void check_settings(void)
{
    moe_config config = odd_config(2, 4);

    check_refusal(-1, 0, "top_k");
    check_refusal(ODD_EXPERTS + 1, 0, "top_k");
    check_refusal(0, 1, "balance");
    check_refusal(ODD_EXPERTS, 1, "balance");
    check_refusal(2, -1, "balance");
    check_refusal(2, (double)NAN, "balance");
    check_refusal(2, HUGE_VAL, "balance");
    config.balance_loss = 1;
    CHECK(moe_check_config(&config, NULL) == MOE_OK);
    config.balance_loss = 0;
    for (config.top_k = 0; config.top_k <= ODD_EXPERTS; config.top_k++)
        CHECK(moe_check_config(&config, NULL) == MOE_OK);
    config.experts = config.top_k = 1;
    CHECK(moe_check_config(&config, NULL) == MOE_OK);
}

/* What learning keeps of the experts is of those that ran. */
static void check_sizes(void)
{
    moe_config config = odd_config(0, 64);
    size_t dense, before = 0;

    config.experts = 16;
    config.hidden[0] = 32;
    dense = moe_bytes(&config);
    for (config.top_k = 1; config.top_k <= 8; config.top_k++) {
        CHECK(moe_bytes(&config) > before && moe_bytes(&config) < dense);
        before = moe_bytes(&config);
    }
}

/* Exactly so many bytes, for the address sanitizer, or with marks behind. */
enum { MARK = 0xA5 };

static unsigned char *exact_bytes(size_t bytes, size_t tail)
{
    unsigned char *at = (unsigned char *)malloc(bytes + tail);

    if (!at)
        exit(1);
    memset(at, MARK, bytes + tail);
    return at;
}

static int marked(const unsigned char *at, size_t tail)
{
    while (tail-- > 0)
        if (at[tail] != MARK)
            return 0;
    return 1;
}

static void use_all(problem *q, moe *m)
{
    moe_real y[MAX_ROWS * MAX_OUT], dE_dx[MAX_ROWS * MAX_IN];
    moe_training t = plain_sgd((moe_real)0.01);
    moe_status due = m->config.top_k == 1 ? MOE_ERR_CONFIG : MOE_OK;
    moe_report report;
    int loss;

    t.balance_rate = (moe_real)0.01;
    moe_predict(m, q->x, q->data.n, y);
    moe_forward(m, q->x, q->data.n);
    moe_backward(m, y, dE_dx);
    for (loss = 0; loss < 3; loss++) {
        m->config.loss = (moe_loss)loss;
        moe_gradient(m, &q->data);
        CHECK(moe_step(m, &t, (moe_real)0.01) == due);
        CHECK(moe_evaluate(m, &q->data, &report) == MOE_OK);
        CHECK(moe_train(m, &q->data, &q->data, &t, &report) == due);
        CHECK(choice_is_sound(m));
    }
}

static void check_exact_open(problem *q, size_t tail)
{
    moe_config config = q->m.config;
    size_t bytes;
    unsigned char *memory;
    moe m;

    config.mode = MOE_MODE_TRAIN;
    config.balance_loss = 1;
    bytes = moe_bytes(&config);
    memory = exact_bytes(bytes, tail);
    CHECK(moe_open(&m, &config, memory, bytes - 1) == MOE_ERR_MEMORY);
    if (CHECK(moe_open(&m, &config, memory, bytes) == MOE_OK)) {
        memcpy(m.weights, q->m.weights, m.param_count * sizeof *m.weights);
        use_all(q, &m);
        CHECK(marked(memory + bytes, tail));
    }
    moe_close(&m);
    free(memory);
}

/* The same bits over const weights, without memory to learn. */
static void check_exact_attach(problem *q, size_t tail)
{
    moe_real y[MAX_ROWS * MAX_OUT], again[MAX_ROWS * MAX_OUT];
    moe_config config = q->m.config;
    size_t bytes = moe_work_bytes(&config), rows;
    size_t K = (size_t)config.top_k, O = (size_t)config.outputs;
    unsigned char *memory = exact_bytes(bytes, tail);
    moe m;

    moe_predict(&q->m, q->x, q->data.n, y);
    if (CHECK(moe_attach(&m, &config, q->m.weights, memory, bytes) == MOE_OK)) {
        moe_predict(&m, q->x, q->data.n, again);
        CHECK(same_bits(y, again, (size_t)q->data.n * O));
        rows = (size_t)moe_forward(&m, q->x, q->data.n);
        CHECK((int)rows == moe_forward(&q->m, q->x, q->data.n));
        CHECK(memcmp(m.selected, q->m.selected, rows * K * sizeof *m.selected)
              == 0);
        CHECK(same_bits(m.o, q->m.o, rows * K * O));
        CHECK(same_bits(m.y, q->m.y, rows * O));
        CHECK(marked(memory + bytes, tail));
    }
    moe_close(&m);
    free(memory);
}

/* Cases one by one: to rounding, or bit for bit under MOE_SAME_BITS. */
static void check_one_by_one(problem *q)
{
    moe_real y[MAX_ROWS * MAX_OUT], one[MAX_OUT];
    int i, k, wrong = 0, I = q->m.config.inputs, O = q->m.config.outputs;

    moe_predict(&q->m, q->x, q->data.n, y);
    for (i = 0; i < q->data.n; i++) {
        moe_predict(&q->m, q->x + i * I, 1, one);
        for (k = 0; k < O; k++)
            wrong += !near_to(one[k], (double)y[i * O + k]);
#ifdef MOE_SAME_BITS
        wrong += !same_bits(one, y + i * O, (size_t)O);
#endif
    }
    CHECK(wrong == 0);
}

static void check_memory(void)
{
    static const int rows[] = {1, 7, 64};
    static const shape shapes[] = {
        {3, 2, 9, 2, 0, 0, 0, 40, MOE_ACT_RELU, MOE_OUT_LINEAR, 0},
        {2, 3, 5, 3, 4, 3, 0, 40, MOE_ACT_SILU, MOE_OUT_SOFTMAX, 1},
        {4, 2, 33, 1, 3, 0, 0, 33, MOE_ACT_TANH, MOE_OUT_LOGISTIC, 0},
        {3, 3, 18, 17, 0, 4, 0, 37, MOE_ACT_ELU, MOE_OUT_SOFTMAX, 0}
    };
    static problem q;
    int k;

    for (k = 0; k < 12; k++) {
        shape s = shapes[k / 3];

        s.rows = rows[k % 3];
        if (!open_problem(&q, &s, noise))
            continue;
        check_exact_open(&q, 0);
        check_exact_open(&q, 64);
        check_exact_attach(&q, 0);
        check_exact_attach(&q, 64);
        check_one_by_one(&q);
        moe_close(&q.m);
    }
}

int main(void)
{
    check_every_choice();
    check_all_is_none();
    check_gradients();
    check_balance_loss();
    check_balance_steps();
    check_no_drift();
    check_dense_balance();
    check_balancing();
    check_odd_numbers();
    check_settings();
    check_sizes();
    check_memory();
    return check_done();
}
