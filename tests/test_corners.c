/* test_corners.c - turns of the code that no other test takes: blocks that are
   no multiple of 16, an expert with more cases than a panel, settings changed
   after opening, calls without what they need, steps at the edge of the finite
   numbers, memory that ends in the middle of a file. */
#include "models.h"
#include <limits.h>

enum { CASES = 200, I = 3, O = 2 };
static moe_real x[CASES * I], d[CASES * O], y[CASES * O];
static int labels[CASES];

static void make_cases(void)
{
    int i;

    fill(x, CASES * I);
    fill(d, CASES * O);
    for (i = 0; i < CASES; i++)
        labels[i] = i * 7 % O;
}

static moe_config config_of(int experts, int top_k, int block)
{
    moe_config c = make_config(I, O, experts);

    c.top_k = top_k;
    c.block = block;
    return c;
}

static moe_data data_of(int n)
{
    return make_data(n, x, d);
}

static int is_nan(moe_real value)
{
    return !(value >= 0 || value < 0);
}

static int near(moe_real a, moe_real b)
{
    return a - b < (moe_real)1e-4 && b - a < (moe_real)1e-4;
}

/* Behind it stands what balances, a number for each expert. */
static moe_real last_weight(const moe *m)
{
    return m->weights[m->grad_count - (size_t)m->config.experts - 1];
}

/* ---- rounding ----------------------------------------------------------- */

/* A probability may come out above 1 by a rounding. */
static void certain_cases_have_a_deviation(void)
{
    moe_config c = config_of(3, 0, 64);
    moe_real at[64 * I], deviation[64 * O];
    int i, k, above = 0;
    moe m;

    c.mode = MOE_MODE_PREDICT;
    for (k = 0; k < 400; k++) {
        c.output = k % 2 ? MOE_OUT_SOFTMAX : MOE_OUT_BERNOULLI;
        c.experts = 2 + k % 5;
        open_or_exit(&m, &c);
        for (i = 0; i < (int)m.trained_count; i++)
            m.weights[i] = (moe_real)(3 * uniform());
        for (i = 0; i < 64 * I; i++)
            at[i] = (moe_real)(16 * uniform());
        moe_predict_deviation(&m, at, 64, y, deviation);
        for (i = 0; i < 64 * O; i++) {
            above += y[i] > 1;
            CHECK(deviation[i] >= 0 && deviation[i] <= (moe_real)0.5001);
        }
        moe_close(&m);
    }
    CHECK_THAT(above > 0, "no y was above 1");
}

/* A step has the same bits, whatever was predicted before it. */
static void a_step_after_a_prediction(void)
{
    moe_config c = config_of(3, 0, 64);
    const moe_data data = data_of(CASES);
    moe_training t;
    moe m[2];
    int k;

    c.hidden[0] = 17;
    c.gate_hidden[0] = 9;
    memset(&t, 0, sizeof t);
    t.optimizer = MOE_SGD;
    t.clip = (moe_real)0.01;
    for (k = 0; k < 2; k++) {
        open_or_exit(&m[k], &c);
        moe_gradient(&m[k], &data);
        if (k == 1)
            moe_predict(&m[k], x, 1, y);
        CHECK(moe_step(&m[k], &t, 1) == MOE_OK);
    }
    CHECK(memcmp(m[0].weights, m[1].weights,
                 m[0].trained_count * sizeof *m[0].weights) == 0);
    moe_close(&m[0]);
    moe_close(&m[1]);
}

/* ---- blocks ------------------------------------------------------------- */

static void one_expert_in_an_odd_block(void)
{
    moe_config c = config_of(1, 0, 20);
    int i;
    moe m;

    open_or_exit(&m, &c);
    CHECK(moe_forward(&m, x, 20) == 20);
    for (i = 0; i < 20; i++)
        CHECK(m.p[i] == 1 && m.h[i] == 1);
    moe_close(&m);
}

static void sparse_with_plain_loops(void)
{
    moe_config c = config_of(4, 2, 50);
    moe_real one[O];
    int i;
    moe m;

    c.simd = 1;
    if (moe_check_config(&c, NULL) != MOE_OK)
        c.simd = 0;
    open_or_exit(&m, &c);
    moe_predict(&m, x, 50, y);
    for (i = 0; i < 50; i++) {
        moe_predict(&m, x + i * I, 1, one);
        CHECK(near(one[0], y[i * O]) && near(one[1], y[i * O + 1]));
    }
    moe_close(&m);
}

/* All cases choose experts 0 and 1: more of them than stand in a panel. */
static void an_expert_with_many_cases(void)
{
    moe_config c = config_of(3, 2, CASES);
    moe_data data = data_of(CASES), one = data_of(1);
    const moe_real all = (moe_real)CASES;
    moe_real sum = 0, loss;
    size_t i, at;
    int k;
    moe m, single;

    open_or_exit(&m, &c);
    c.block = 1;
    open_or_exit(&single, &c);
    at = moe_layer_at(&c, 3, 0).bias;
    m.weights[at] = m.weights[at + 1] = 9;
    single.weights[at] = single.weights[at + 1] = 9;
    loss = moe_gradient(&m, &data);
    for (k = 0; k < CASES; k++) {
        one.x = x + k * I;
        one.d = d + k * O;
        sum += moe_gradient(&single, &one);
    }
    CHECK(loss - sum < (moe_real)0.01 && sum - loss < (moe_real)0.01);
    for (i = 0; i < m.trained_count; i++)
        CHECK(near(m.grads[i] / all, single.grads[i] / all));
    CHECK(m.grads[m.trained_count - 3] == all);
    CHECK(m.grads[m.trained_count - 1] == 0);
    moe_close(&m);
    moe_close(&single);
}

/* ---- settings changed after opening ------------------------------------- */

static void sigma_of_zero_is_one(void)
{
    moe_config c = config_of(2, 0, 1);
    moe_data data = data_of(30);
    moe_real E;
    moe m;

    open_or_exit(&m, &c);
    E = moe_gradient(&m, &data);
    m.config.sigma = 0;
    CHECK(moe_gradient(&m, &data) == E);
    moe_close(&m);
}

/* Where all experts run there is nothing to balance. */
static void balance_of_a_dense_mixture(void)
{
    moe_config c = config_of(2, 0, 1);
    moe_data data = data_of(30);
    moe_real first;
    moe m;

    open_or_exit(&m, &c);
    moe_gradient(&m, &data);
    first = m.grads[0];
    m.config.balance_loss = 1;
    moe_gradient(&m, &data);
    CHECK(near(m.grads[0], 2 * first));
    moe_close(&m);
}

/* ---- calls without what they need --------------------------------------- */

static void mistakes_do_nothing(void)
{
    moe_config c = config_of(2, 0, 4);
    moe_data data = data_of(4), none = data_of(4);
    moe_real before;
    moe m;

    open_or_exit(&m, &c);
    before = last_weight(&m);
    none.x = NULL;
    mistakes = 0;
    moe_backward(NULL, d, NULL);
    CHECK(is_nan(moe_gradient(NULL, &data)));
    CHECK(mistakes == 2);
    CHECK(moe_learn(NULL, &data, NULL) == 4);
    CHECK(moe_learn(&m, NULL, NULL) == 0);
    CHECK(moe_learn(&m, &none, NULL) == 4);
    CHECK(mistakes == 5);
    none.n = 0;
    CHECK(moe_learn(&m, &none, NULL) == 0 && mistakes == 5);
    data.d = NULL;
    data.labels = labels;
    CHECK(moe_learn(&m, &data, NULL) == 4);
    CHECK(last_weight(&m) == before);
    moe_close(&m);
}

static void weights_that_are_not_aligned(void)
{
    static moe_real weights[64];
    moe_config c = config_of(1, 0, 1);
    const unsigned char *byte = (const unsigned char *)weights;
    moe m;

    CHECK(moe_attach(&m, &c, (const moe_real *)(const void *)(byte + 1), NULL,
                     0) == MOE_ERR_MEMORY);
    CHECK(strstr(m.error, "aligned") != NULL && m.params == NULL);
}

/* A label out of range, among enough cases that lanes run over them. */
static void a_bad_label_in_a_block(void)
{
    moe_config c = config_of(2, 0, 64);
    moe_data data = data_of(40);
    moe m;

    c.output = MOE_OUT_SOFTMAX;
    open_or_exit(&m, &c);
    data.d = NULL;
    data.labels = labels;
    labels[17] = O;
    CHECK(is_nan(moe_gradient(&m, &data)));
    CHECK(moe_step(&m, NULL, 1) == MOE_ERR_DIVERGED);
    labels[17] = 0;
    CHECK(!is_nan(moe_gradient(&m, &data)));
    moe_close(&m);
}

/* ---- steps -------------------------------------------------------------- */

static void steps_of_any_size(void)
{
    moe_training t = make_training(MOE_SGD, 0);
    moe_config c = config_of(2, 0, 64);
    moe_data data = data_of(CASES);
    moe_real before, step;
    moe m;

    open_or_exit(&m, &c);
    moe_gradient(&m, &data);
    before = last_weight(&m);
    t.rate = (moe_real)0.001;
    t.clip = (moe_real)1e6;
    CHECK(moe_step(&m, &t, -1) == MOE_OK);              /* uphill */
    step = last_weight(&m) - before;
    moe_gradient(&m, &data);
    CHECK(moe_step(&m, &t, 1) == MOE_OK && step != 0);
    CHECK(moe_learn(&m, &data, &t) == 0);
    t.rate = 2000;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);               /* grads are 0 */
    t.rate = (moe_real)1e-9;
    t.weight_decay = 2000;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    t.weight_decay = 0;
    moe_gradient(&m, &data);
    CHECK(moe_step(&m, &t, 2000) == MOE_OK);
    t.weight_decay = (moe_real)0.1;
    m.weights[0] = (moe_real)1e12;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    moe_close(&m);
}

static void momentum_is_of_sgd(void)
{
    moe_training t = make_training(MOE_ADAM, 0);
    moe_config c = config_of(2, 0, 64);
    moe m;

    open_or_exit(&m, &c);
    t.momentum = (moe_real)0.5;
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_CONFIG);
    t.optimizer = MOE_SGD;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    moe_close(&m);
}

/* The first of many parameters would not be finite: no other is touched. */
static void a_step_that_would_overflow(void)
{
    moe_training t = make_training(MOE_SGD, 0);
    moe_config c = config_of(2, 0, 64);
    moe_real before;
    moe m;

    c.hidden[0] = 50;
    open_or_exit(&m, &c);
    before = last_weight(&m);
    t.momentum = (moe_real)0.5;
    t.rate = (moe_real)1e30;
    m.grads[0] = (moe_real)1e30;
    if (sizeof(moe_real) == 4) {
        CHECK(moe_step(&m, &t, 1) == MOE_ERR_DIVERGED);
        CHECK(last_weight(&m) == before && m.grads[0] == 0);
    }
    moe_close(&m);
}

/* ---- data --------------------------------------------------------------- */

/* A deviation that 1 cannot be divided by is none. */
static void columns_of_subnormal_numbers(void)
{
    moe_config c = config_of(1, 0, 64);
    moe_data data = data_of(40);
    const double least = sizeof(moe_real) == 4 ? (double)FLT_MIN : DBL_MIN;
    moe_real tiny[40 * I];
    int i;
    moe m;

    for (i = 0; i < 40 * I; i++)
        tiny[i] = (moe_real)(i % 2 ? 64 * EPSILON * least : 0);
    data.x = tiny;
    open_or_exit(&m, &c);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    for (i = 0; i < I; i++)
        CHECK(m.params[m.param_count - I + (size_t)i] == 1);
    moe_close(&m);
}

static void validation_without_training_data(void)
{
    moe_config c = config_of(2, 0, 64);
    moe_data data = data_of(0), valid = data_of(20), many = data_of(INT_MAX);
    moe_report report;
    moe m;

    open_or_exit(&m, &c);
    CHECK(moe_train(&m, &data, &valid, NULL, &report) == MOE_ERR_DATA);
    CHECK(moe_train(&m, NULL, &valid, NULL, &report) == MOE_ERR_NULL);
    data.n = 1;
    CHECK(moe_train(&m, &data, &many, NULL, &report) == MOE_ERR_DATA);
    CHECK(m.epoch == 0);
    moe_close(&m);
}

static int stop(const moe_report *report, void *user)
{
    (void)report, (void)user;
    return 1;
}

static void training_with_all_defaults(void)
{
    moe_training t = make_training(MOE_ADAM, 0);
    moe_config c = config_of(2, 0, 64);
    moe_data data = data_of(60), valid = data_of(30);
    moe m;

    open_or_exit(&m, &c);
    t.progress = stop;
    CHECK(moe_train(&m, &data, &valid, &t, NULL) == MOE_STOPPED);
    CHECK(m.epoch == 1);
    moe_close(&m);
}

/* ---- files -------------------------------------------------------------- */

/* Characters of four bytes that are none: too large, or too long. */
static void characters_that_are_none(void)
{
    static const char *const text[] = {
        "{\"\xf4\x90\x80\x80\":{}}", "{\"\xf0\x8f\xbf\xbf\":{}}"
    };
    unsigned char file[64];
    moe_config c;
    size_t i;

    for (i = 0; i < 2; i++) {
        size_t length = strlen(text[i]);

        memset(file, 0, sizeof file);
        file[0] = (unsigned char)length;
        memcpy(file + 8, text[i], length);
        CHECK(moe_read_config(&c, file, 8 + length) == MOE_ERR_FORMAT);
    }
}

#ifndef MOE_NO_STDIO
static void memory_that_ends(void)
{
    static const char path[] = "test_corners.moe";
    moe_config c = config_of(2, 0, 8);
    moe_status status = MOE_ERR_MEMORY;
    int i;
    moe m, other;

    open_or_exit(&m, &c);
    allocations_left = 0;
    CHECK(moe_save(&m, MOE_MODE_PREDICT, path) == MOE_ERR_MEMORY);
    allocations_left = -1;
    CHECK(moe_save(&m, MOE_MODE_PREDICT, path) == MOE_OK);
    for (i = 0; i < 8 && status == MOE_ERR_MEMORY; i++) {
        allocations_left = i;
        status = moe_load(&other, path, NULL);
        CHECK(status == MOE_OK || other.params == NULL);
        CHECK((status == MOE_OK) == (i >= 4));
    }
    allocations_left = -1;
    CHECK(status == MOE_OK && near(other.params[0], m.params[0]));
    moe_close(&other);
    moe_close(&m);
    remove(path);
}
#endif

int main(void)
{
    mistakes_allowed = 1;       /* is counted, and the call goes on */
    make_cases();
    RUN(one_expert_in_an_odd_block());
    RUN(sparse_with_plain_loops());
    RUN(an_expert_with_many_cases());
    RUN(sigma_of_zero_is_one());
    RUN(balance_of_a_dense_mixture());
    RUN(mistakes_do_nothing());
    RUN(weights_that_are_not_aligned());
    RUN(a_bad_label_in_a_block());
    RUN(steps_of_any_size());
    RUN(momentum_is_of_sgd());
    RUN(a_step_that_would_overflow());
    RUN(columns_of_subnormal_numbers());
    RUN(validation_without_training_data());
    RUN(training_with_all_defaults());
    RUN(characters_that_are_none());
    RUN(certain_cases_have_a_deviation());
    RUN(a_step_after_a_prediction());
#ifndef MOE_NO_STDIO
    RUN(memory_that_ends());
#endif
    return check_done();
}
