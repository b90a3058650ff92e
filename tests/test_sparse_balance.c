/* test_sparse_balance.c - both ways of balancing: balance_loss adds the slope
   of its formula to the gate's gradient and nothing else, over the cases of a
   call or batch; balance_rate moves gate.balance and nothing else; either wakes
   the experts that an uneven gate has left. */
#include "reference.h"

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
    CHECK(same_reals(&sum[0], &sum[1], 1));
    CHECK(same_reals(plain->p, with->p, rows * E));
    CHECK(same_reals(plain->y, with->y,
                    rows * (size_t)with->config.outputs));
    CHECK(same_reals(plain->h, with->h, rows * E));
    CHECK(same_reals(plain->grads, with->grads, q->layer[E][0].bias));
    CHECK(same_reals(plain->grads + balance_at(with),
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
    CHECK(same_reals(y[0], y[1], count));
    CHECK(moe_evaluate(plain, &q->data, &report[0]) == MOE_OK);
    CHECK(moe_evaluate(with, &q->data, &report[1]) == MOE_OK);
    CHECK(same_reals(&report[0].loss, &report[1].loss, 1));
    clear_grads(plain);
    clear_grads(with);
    moe_forward(plain, q->x, q->data.n);
    moe_forward(with, q->x, q->data.n);
    moe_backward(plain, y[0], NULL);
    moe_backward(with, y[0], NULL);
    CHECK(same_reals(plain->grads, with->grads, with->trained_count));
}

/* What it adds is the slope of the formula, with f of the whole call. */
static void check_balance_slopes(problem *q, const moe *plain, const moe *with)
{
    static double claimed[MAX_VALUES], without[MAX_VALUES];
    static double formula[MAX_VALUES];
    size_t i;

    take_grads(plain, without);
    take_grads(with, claimed);
    for (i = 0; i < with->trained_count; i++)
        claimed[i] -= without[i];
    q->balance = (double)with->config.balance_loss;
    keep_choice(q);
    balance_gradient(q, formula);
    check_slopes(q, "balance", balance_error, q->w, claimed, formula,
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

/* How far two moes are apart; the bits of MOE_SAME_BITS are the same. */
static int near_weights(const moe *a, const moe *b)
{
    size_t i;

    for (i = 0; i < a->trained_count; i++)
        if (!near_to(a->weights[i], (double)b->weights[i]))
            return 0;
#ifdef MOE_SAME_BITS
    return same_reals(a->weights, b->weights, a->trained_count);
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
    static const char *const cases[] = {
        "inputs=3 outputs=2 experts=6 top_k=2 block=64 n=20",
        ("inputs=2 outputs=2 experts=5 top_k=3 hidden=2 gate=3 block=64 "
         "n=17 tanh logistic-out"),
        "inputs=2 outputs=3 experts=17 top_k=4 block=64 n=20 softmax-out"
    };
    static problem q;
    int k;

    for (k = 0; k < 3; k++) {
        model_case c = case_of(cases[k]);

        if (!open_problem(&q, &c, uniform))
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
    moe_config config = make_config(4, 1, 4);
    moe_layer gate;
    int i;

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
    CHECK(same_reals(m[0].weights, m[1].weights, at));
    CHECK(!same_reals(m[0].weights, before, at));
    CHECK(same_reals(m[0].weights + at, before + at, 4));
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
    moe_config config = make_config(2, 1, 6);
    moe_real sum = 0, most = 0;
    int i;
    moe m;

    config.top_k = 2;
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
    moe_config config = make_config(1, 1, 4);
    moe_real before[64];
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    moe_gradient(&m, &data);
    memcpy(before, m.grads, m.trained_count * sizeof *before);
    memset(m.grads, 0, m.trained_count * sizeof *before);
    m.config.balance_loss = 1;
    moe_gradient(&m, &data);
    CHECK(same_reals(m.grads, before, m.trained_count));
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
    CHECK(same_reals(m.weights, before, m.trained_count));
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
        double a = uniform(), b = uniform();

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
        m->weights[gate.weight + (size_t)i] = (moe_real)uniform();
    for (i = 0; i < m->config.top_k; i++)
        m->weights[gate.bias + (size_t)i] = 4;
}

static void train_uneven(moe_real balance, moe_real balance_rate,
                         moe_report *report)
{
    moe_real x[2 * 96], d[96];
    moe_data data = {96, x, d, NULL, NULL};
    moe_config config = make_config(2, 1, 4);
    moe_training t;
    moe m;

    fill_quadrants(x, d, 96);
    config.top_k = 2;
    config.sigma = 1;
    config.balance_loss = balance;
    memset(&t, 0, sizeof t);
    t.epochs = 60;
    t.holdout = -1;
    t.rate = (moe_real)0.015;
    t.balance_rate = balance_rate;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    tilt_gate(&m);
    CHECK(moe_train(&m, &data, NULL, &t, report) == MOE_OK);
    check_report(report, 4);
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

int main(void)
{
    RUN(check_balance_loss());
    RUN(check_balance_steps());
    RUN(check_no_drift());
    RUN(check_dense_balance());
    RUN(check_balancing());
    return check_done();
}
