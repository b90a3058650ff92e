/* test_learner_weights.c - weights of cases: one of weight 2 is the case given
   twice, one of weight 0 is not there, in gradient, training, learning, reports
   and scales, whatever the block; an error of the user's own has none; what no
   weight can be is refused and changes nothing. */
#include "models.h"

#define CASES 40
#define MOST (3 * CASES)

static moe_real x[MOST * 2], d[MOST * 2], weights[MOST];
static moe_real twice_x[MOST * 2], twice_d[MOST * 2];
static int labels[MOST], twice_labels[MOST], twice_count;

/* Weights 0, 1 and 2 in turn; the same cases again as often as they count. */
static void fill_data(void)
{
    int i, k;

    for (i = 0; i < CASES; i++) {
        const int times = i % 3;

        x[2 * i] = (moe_real)(3 * uniform() + 1);
        x[2 * i + 1] = (moe_real)uniform();
        d[2 * i] = (moe_real)(uniform() > 0);
        d[2 * i + 1] = 1 - d[2 * i];
        labels[i] = d[2 * i] > 0 ? 0 : 1;
        weights[i] = (moe_real)times;
        for (k = 0; k < times; k++, twice_count++) {
            memcpy(twice_x + 2 * twice_count, x + 2 * i, 2 * sizeof x[0]);
            memcpy(twice_d + 2 * twice_count, d + 2 * i, 2 * sizeof d[0]);
            twice_labels[twice_count] = labels[i];
        }
    }
}

static moe_config config_of(int output, int loss, int top_k)
{
    moe_config config = make_config(2, 2, 3);

    config.top_k = top_k;
    config.hidden[0] = 3;
    config.activation = MOE_ACT_TANH;
    config.output = (moe_output)output;
    config.loss = (moe_loss)loss;
    config.balance_loss = top_k ? (moe_real)0.1 : 0;
    config.seed = 5;
    return config;
}

static moe_data weighted(int by_label)
{
    moe_data data = {CASES, x, by_label ? NULL : d, by_label ? labels : NULL,
                     weights};
    return data;
}

static moe_data repeated(int by_label)
{
    moe_data data = {twice_count, twice_x, by_label ? NULL : twice_d,
                     by_label ? twice_labels : NULL, NULL};
    return data;
}

/* Whether two arrays are the same but for rounding. */
static int near(const moe_real *a, const moe_real *b, size_t n, double bound)
{
    double most = 0;
    size_t i;

    for (i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most <= bound;
}

static void same_reports(const moe_report *a, const moe_report *b)
{
    CHECK(fabs((double)(a->loss - b->loss)) < 2e-5);
    CHECK(fabs((double)(a->squared_error - b->squared_error)) < 2e-5);
    CHECK(fabs((double)(a->accuracy - b->accuracy)) < 1e-5);
    CHECK(fabs((double)(a->gate_entropy - b->gate_entropy)) < 1e-5);
    CHECK(near(a->usage, b->usage, 3, 1e-5));
    CHECK(near(a->load, b->load, 3, 1e-5));
}

static void check_gradient(int output, int loss, int top_k)
{
    const moe_config config = config_of(output, loss, top_k);
    const moe_data a = weighted(output == MOE_OUT_SOFTMAX);
    const moe_data b = repeated(output == MOE_OUT_SOFTMAX);
    moe m, n;
    moe_report of_m, of_n;
    moe_real E, F;

    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_open(&n, &config, NULL, 0) == MOE_OK);
    CHECK(moe_fit_scales(&m, &a) == MOE_OK && moe_fit_scales(&n, &b) == MOE_OK);
    CHECK(near(m.params, n.params, m.param_count, 1e-6));
    E = moe_gradient(&m, &a);
    F = moe_gradient(&n, &b);
    CHECK_THAT(E != 0 && fabs((double)(E - F)) < 1e-4, "%g %g", (double)E,
               (double)F);
    CHECK(near(m.grads, n.grads, m.trained_count, 1e-4));
    CHECK(moe_evaluate(&m, &a, &of_m) == MOE_OK);
    CHECK(moe_evaluate(&n, &b, &of_n) == MOE_OK);
    same_reports(&of_m, &of_n);
    CHECK(moe_step(&m, NULL, 1) == MOE_OK);
    moe_close(&m);
    moe_close(&n);
}

static void test_gradients(void)
{
    int output, loss, top_k;

    for (output = MOE_OUT_LINEAR; output <= MOE_OUT_BERNOULLI; output++)
        for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++)
            for (top_k = 0; top_k <= 2; top_k += 2)
                check_gradient(output, loss, top_k);
}

/* All cases in one step, so that the order does not matter. */
static void check_training(int output, const moe_training *t)
{
    const moe_config config = config_of(output, MOE_LOSS_MIXTURE, 0);
    const moe_data a = weighted(output == MOE_OUT_SOFTMAX);
    const moe_data b = repeated(output == MOE_OUT_SOFTMAX);
    moe m, n;
    moe_report of_m, of_n;

    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_open(&n, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &a, &a, t, &of_m) == MOE_OK);
    CHECK(moe_train(&n, &b, &b, t, &of_n) == MOE_OK);
    CHECK(near(m.params, n.params, m.param_count, 2e-3));
    CHECK(near(m.sigma, n.sigma, 4, 2e-3));
    CHECK(fabs((double)(of_m.loss - of_n.loss)) < 1e-3);
    CHECK(fabs((double)(of_m.valid_loss - of_n.valid_loss)) < 1e-3);
    moe_close(&m);
    moe_close(&n);
}

static void test_training(void)
{
    moe_training t;
    int output;

    for (output = MOE_OUT_LINEAR; output <= MOE_OUT_BERNOULLI; output++) {
        memset(&t, 0, sizeof t);
        t.batch = MOE_ALL;
        t.epochs = 30;
        t.optimizer = MOE_SGD;
        t.rate = (moe_real)0.05;
        check_training(output, &t);
        t.momentum = (moe_real)0.5;
        check_training(output, &t);
    }
}

/* Steps of a batch are taken by the mean weight of all: weights of 5 each are
   what no weights are. */
static void test_scale_of_weights(void)
{
    static moe_real fives[CASES];
    const moe_config config = config_of(MOE_OUT_LINEAR, MOE_LOSS_BLEND, 0);
    moe_data plain = {CASES, x, d, NULL, NULL};
    moe_data data = {CASES, x, d, NULL, fives};
    moe_training t;
    moe m, n;
    int i;

    memset(&t, 0, sizeof t);
    t.optimizer = MOE_SGD;
    t.epochs = 20;
    t.batch = 7;
    t.holdout = (moe_real)0.25;
    for (i = 0; i < CASES; i++)
        fives[i] = 5;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_open(&n, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_train(&n, &plain, NULL, &t, NULL) == MOE_OK);
    CHECK(near(m.params, n.params, m.param_count, 1e-4));
    moe_close(&m);
    moe_close(&n);
}

/* One case of weight w makes w times the step. */
static void test_learn(void)
{
    const moe_config config = config_of(MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, 0);
    moe_data one = {1, x, d, NULL, NULL};
    moe_real weight = 3;
    moe_training t;
    moe m, n, o;

    memset(&t, 0, sizeof t);
    t.rate = (moe_real)0.01;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_open(&n, &config, NULL, 0) == MOE_OK);
    CHECK(moe_open(&o, &config, NULL, 0) == MOE_OK);
    one.weights = &weight;
    CHECK(moe_learn(&m, &one, &t) == 0);
    one.weights = NULL;
    t.rate = (moe_real)0.03;
    CHECK(moe_learn(&n, &one, &t) == 0);
    CHECK(near(m.params, n.params, m.param_count, 1e-6));
    CHECK(!near(m.params, o.params, m.param_count, 1e-4));
    one.weights = &weight;
    weight = 0;
    CHECK(moe_learn(&o, &one, &t) == 0);
    moe_close(&n);
    CHECK(moe_open(&n, &config, NULL, 0) == MOE_OK);
    CHECK(near(n.params, o.params, m.param_count, 0));
    weight = -1;
    CHECK(moe_learn(&o, &one, &t) == 1);
    weight = make_nan();
    CHECK(moe_learn(&o, &one, &t) == 1);
    CHECK(near(n.params, o.params, m.param_count, 0));
    moe_close(&m);
    moe_close(&n);
    moe_close(&o);
}

static void refuses(moe *m, const moe_data *data, const moe_data *valid,
                    const char *word)
{
    static moe_real before[256];
    moe_report report;

    memcpy(before, m->params, m->param_count * sizeof before[0]);
    CHECK(moe_train(m, data, valid, NULL, &report) == MOE_ERR_DATA);
    CHECK_THAT(says(m->error, word), "%s", m->error);
    CHECK(moe_evaluate(m, valid ? valid : data, NULL) == MOE_ERR_DATA);
    CHECK(moe_fit_scales(m, valid ? valid : data) == MOE_ERR_DATA);
    CHECK(moe_fit_variance(m, valid ? valid : data) == MOE_ERR_DATA);
    CHECK(!memcmp(before, m->params, m->param_count * sizeof before[0]));
    CHECK(m->epoch == 0);
    (void)report;
}

static void test_refusals(void)
{
    static moe_real bad[CASES];
    const moe_config config = config_of(MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, 0);
    moe_data good = {CASES, x, d, NULL, NULL};
    moe_data data = {CASES, x, d, NULL, bad};
    moe_report report;
    moe m;

    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    refuses(&m, &data, NULL, "all weights are 0");
    refuses(&m, &good, &data, "all weights are 0");
    bad[3] = -1;
    refuses(&m, &data, NULL, "weight");
    CHECK(moe_evaluate(&m, &data, &report) == MOE_ERR_DATA);
    CHECK(report.bad_row == 3 && report.bad_column == 4);
    CHECK(moe_train(&m, &good, &data, NULL, &report) == MOE_ERR_DATA);
    CHECK(report.bad_row == CASES + 3 && report.bad_column == 4);
    CHECK(!(moe_gradient(&m, &data) == 0) && m.grads[0] != m.grads[0]);
    bad[3] = make_infinity();
    refuses(&m, &data, NULL, "weight");
    bad[3] = 1;
    CHECK(moe_evaluate(&m, &data, NULL) == MOE_OK);
    moe_close(&m);
}

/* A rare class, weighted, is found, also where it overlaps the other: there
   20 cases of weight 40 count more than the other 580. */
static void test_rare(void)
{
    static moe_real at[600], of[600];
    static int class_of[600];
    moe_config config = config_of(MOE_OUT_SOFTMAX, MOE_LOSS_MIXTURE, 0);
    moe_data data = {600, at, NULL, class_of, NULL};
    moe_training t;
    moe_real y[2];
    int i, pass, found[2] = {0, 0};

    memset(&t, 0, sizeof t);
    t.epochs = 60;
    config.inputs = 1;
    for (i = 0; i < 600; i++) {
        class_of[i] = i % 30 == 0;
        at[i] = (moe_real)(class_of[i] ? 1.2 + uniform() : uniform());
        of[i] = class_of[i] ? 40 : 1;
    }
    for (pass = 0; pass < 2; pass++) {
        moe m;

        data.weights = pass ? of : NULL;
        CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        for (i = 0; i < 600; i++) {
            moe_predict(&m, at + i, 1, y);
            found[pass] += class_of[i] && y[1] > y[0];
        }
        moe_close(&m);
    }
    CHECK_THAT(found[1] > found[0] && found[1] >= 15, "%d, then %d", found[0],
               found[1]);
}

/* The same numbers, but for rounding. */
static void check_same(const moe_real *a, const moe_real *b, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        CHECK_THAT(fabs((double)(a[i] - b[i]))
                   < 1e-5 * (1 + fabs((double)b[i])), "%u: %g, not %g",
                   (unsigned)i, (double)a[i], (double)b[i]);
}

/* Blocks of more than a panel: neither gradients nor, to the bit, the counts of
   cases that chose an expert, in the place of gate.balance, depend on them. */
static void test_blocks(void)
{
    enum { MANY = 140 };
    static moe_real at[MANY * 2], of[MANY * 2], count[MANY];
    moe_data data = {MANY, at, of, NULL, count};
    moe_config config = config_of(MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, 2);
    moe few, all;
    size_t i, end;

    for (i = 0; i < MANY; i++) {
        at[2 * i] = (moe_real)uniform();
        at[2 * i + 1] = of[2 * i] = (moe_real)uniform();
        of[2 * i + 1] = (moe_real)(uniform() - 1);
        count[i] = (moe_real)(uniform() + 1.1);
    }
    config.mode = MOE_MODE_GRADIENT;
    config.block = 7;
    CHECK(moe_open(&few, &config, NULL, 0) == MOE_OK);
    config.block = MANY;
    CHECK(moe_open(&all, &config, NULL, 0) == MOE_OK);
    moe_gradient(&few, &data);
    moe_gradient(&all, &data);
    end = few.grad_count - 3;
    check_same(all.grads, few.grads, end);
    CHECK(all.grads[end] > 0);
    CHECK(memcmp(few.grads + end, all.grads + end, 3 * sizeof at[0]) == 0);
    moe_close(&all);
    moe_close(&few);
}

/* An error of the user's own has no weights, also after cases that had some. */
static void test_own_error(void)
{
    moe_config config = config_of(MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, 0);
    moe_data data = weighted(0);
    moe_real own[CASES * 2], before[200];
    moe m;
    int i, pass;

    for (i = 0; i < CASES * 2; i++)
        own[i] = (moe_real)uniform();
    config.mode = MOE_MODE_GRADIENT;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK && m.grad_count <= 200);
    for (pass = 0; pass < 2; pass++) {
        CHECK(moe_forward(&m, x, CASES) == CASES);
        moe_backward(&m, own, NULL);
        if (pass == 0)
            memcpy(before, m.grads, m.grad_count * sizeof own[0]);
        else
            CHECK(memcmp(before, m.grads, m.grad_count * sizeof own[0]) == 0);
        memset(m.grads, 0, m.grad_count * sizeof own[0]);
        moe_gradient(&m, &data);
        memset(m.grads, 0, m.grad_count * sizeof own[0]);
    }
    moe_close(&m);
}

/* The shares of a balance loss are those of the experts that ran: by top_p one
   of two. */
static void test_shares_of_one(void)
{
    moe_config config = config_of(MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, 2);
    moe_data one = {1, x, d, NULL, NULL};
    moe_training t;
    moe learn, step;

    memset(&t, 0, sizeof t);
    t.optimizer = MOE_SGD;
    t.rate = (moe_real)0.1;
    config.top_p = (moe_real)0.4;
    config.sigma = 1;
    config.balance_loss = 1;
    config.mode = MOE_MODE_GRADIENT;
    CHECK(moe_open(&learn, &config, NULL, 0) == MOE_OK);
    CHECK(moe_open(&step, &config, NULL, 0) == MOE_OK);
    CHECK(moe_learn(&learn, &one, &t) == 0);
    moe_gradient(&step, &one);
    CHECK(moe_step(&step, &t, 1) == MOE_OK);
    check_same(learn.weights, step.weights, step.trained_count);
    moe_close(&step);
    moe_close(&learn);
}

int main(void)
{
    fill_data();
    RUN(test_blocks());
    RUN(test_own_error());
    RUN(test_shares_of_one());
    RUN(test_gradients());
    RUN(test_training());
    RUN(test_scale_of_weights());
    RUN(test_learn());
    RUN(test_refusals());
    RUN(test_rare());
    return check_done();
}
