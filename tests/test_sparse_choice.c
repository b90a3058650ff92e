/* test_sparse_choice.c - top_k: which experts run, of equals the first, and
   every number of a forward, a gradient and a report against the reference;
   top_k of all experts is no choice, to the bit. */
#include "reference.h"

/* ---- every number of a forward, a gradient and a report ----------------- */

static long ties, seen;

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
    static answer a;

    solve(q, row, &a);
    wrong = wrong_array(q, &a, r);
    CHECK_THAT(!wrong, "%s of row %d (%d of %d experts, %d inputs, output %d, "
               "hidden %d and %d, rows %d, n %d)", wrong, row, c->top_k,
               c->experts, c->inputs, (int)c->output, c->hidden[0],
               c->gate_hidden[0], c->block, q->data.n);
    ties += a.tie;
    seen++;
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
    static answer a;

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
    static answer a;

    CHECK(m->rows == (q->data.n - 1) % m->config.block + 1);
    CHECK(fabs(sum - total) <= near_bound() * (1 + fabs(total)));
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
    static answer a;
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

static void check_tally(problem *q, const tally *t)
{
    const moe_config *c = &q->m.config;
    moe_report report;
    int i, wrong = 0;

    CHECK(moe_evaluate(&q->m, &q->data, &report) == MOE_OK);
    check_report(&report, c->experts);
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
static model_case some_case(int experts, int top_k)
{
    static const int blocks[] = {1, 2, 3, 7, 16, 17, 40, 64};
    model_case c = case_of("");

    c.config.inputs = 1 + pick(4);
    c.config.outputs = 1 + pick(3);
    c.config.experts = experts;
    c.config.top_k = top_k;
    c.config.hidden[0] = pick(2) * (1 + pick(4));
    c.config.gate_hidden[0] = pick(2) * (1 + pick(4));
    c.config.block = blocks[pick(8)];
    c.n = 1 + pick(MAX_ROWS);
    c.config.activation = c.config.gate_hidden[0] ? MOE_ACT_RELU
                                                  : (moe_activation)pick(5);
    c.config.output = (moe_output)pick(3);
    c.labelled = c.config.output == MOE_OUT_SOFTMAX && pick(2);
    return c;
}

static void check_choice(int experts, int top_k)
{
    static problem q;
    model_case c = some_case(experts, top_k);
    tally t;

    if (!open_problem(&q, &c, coarse))
        return;
    q.m.config.loss = (moe_loss)pick(3);
    add_up(&q, &t);
    check_forward(&q);
    check_predict(&q);
    check_posteriors(&q, t.loss * c.n);
    check_tally(&q, &t);
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
    CHECK(ties * 20 > seen);
    printf("%ld cases, %ld of them with equals at the limit\n", seen, ties);
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
    CHECK(same_reals(q->m.s, all->m.s, rows * E));
    CHECK(same_reals(q->m.p, all->m.p, rows * E));
    CHECK(same_reals(q->m.h, all->m.h, rows * E));
    CHECK(same_reals(q->m.o, all->m.o, rows * E * O));
    CHECK(same_reals(q->m.y, all->m.y, rows * O));
    CHECK(memcmp(q->m.selected, all->m.selected,
                 rows * E * sizeof *q->m.selected) == 0);
    CHECK(same_reals(q->m.grads, all->m.grads, q->m.trained_count));
}

/* 6 epochs of 5 steps. */
static void check_same_training(const model_case *c, const model_case *of,
                                moe_loss loss)
{
    static problem q;
    moe_config config[2];
    moe_training t;
    moe_report report[2];
    moe m[2];
    int i;

    if (!open_problem(&q, c, uniform))
        return;
    memset(&t, 0, sizeof t);
    t.epochs = 6;
    t.batch = 8;
    config[0] = problem_config(c);
    config[1] = problem_config(of);
    for (i = 0; i < 2; i++) {
        config[i].mode = MOE_MODE_TRAIN;
        config[i].loss = loss;
        CHECK(moe_open(&m[i], &config[i], NULL, 0) == MOE_OK);
        CHECK(moe_train(&m[i], &q.data, NULL, &t, &report[i]) == MOE_OK);
    }
    CHECK(m[0].param_count == m[1].param_count);
    CHECK(same_reals(m[0].weights, m[1].weights, m[0].param_count));
    CHECK(same_reals(&report[0].loss, &report[1].loss, 1));
    CHECK(same_reals(report[0].load, report[1].load,
                     (size_t)c->config.experts));
    moe_close(&m[0]);
    moe_close(&m[1]);
    moe_close(&q.m);
}

static void check_same(const char *text)
{
    static problem q, all;
    model_case c = case_of(text), every = c;
    int loss, E = c.config.experts;

    every.config.top_k = E;
    CHECK(c.config.top_k == 0);
    if (!open_problem(&q, &c, uniform)
            || !open_problem(&all, &every, uniform))
        return;
    CHECK(q.m.config.top_k == E && all.m.config.top_k == E);
    CHECK(q.m.param_count == all.m.param_count);
    memcpy(all.m.weights, q.m.weights, q.m.param_count * sizeof *q.m.weights);
    memcpy(all.x, q.x, sizeof q.x);
    memcpy(all.d, q.d, sizeof q.d);
    memcpy(all.labels, q.labels, sizeof q.labels);
    for (loss = 0; loss < 3; loss++) {
        q.m.config.loss = all.m.config.loss = (moe_loss)loss;
        check_same_gradient(&q, &all);
        check_same_training(&c, &every, (moe_loss)loss);
    }
    moe_close(&q.m);
    moe_close(&all.m);
}

static void check_all_is_none(void)
{
    static const char *const cases[] = {
        "inputs=2 outputs=2 experts=5 block=16 n=40",
        ("inputs=3 outputs=3 experts=4 hidden=3 block=7 n=40 "
         "silu softmax-out labelled=1"),
        ("inputs=3 outputs=2 experts=17 hidden=2 gate=4 block=40 "
         "n=40 tanh logistic-out"),
        "inputs=2 outputs=1 experts=1 hidden=3 block=64 n=40 elu"
    };
    size_t k;

    for (k = 0; k < sizeof cases / sizeof cases[0]; k++)
        check_same(cases[k]);
}

int main(void)
{
    RUN(check_every_choice());
    RUN(check_all_is_none());
    return check_done();
}
