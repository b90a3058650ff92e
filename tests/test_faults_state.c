/* test_faults_state.c - what one call leaves for the next: checkpoints that go
   on as if nothing had been, calls that change nothing, cases that weigh
   nothing, and steps so large that they cannot be. */
#include "models.h"

#include <limits.h>

enum { N = 40 };

static moe_real x[N], d[N], weight[N];

static void fill_curve(void)
{
    int i;

    for (i = 0; i < N; i++) {
        x[i] = (moe_real)(i % 17) / 8 - 1;
        d[i] = x[i] * x[i];
        weight[i] = 1;
    }
}

static moe_data curve(void)
{
    fill_curve();
    return make_data(N, x, d);
}

/* ---- checkpoints -------------------------------------------------------- */

/* Saves epoch `epoch`, or each if that is 0, so that the last one stays. */
typedef struct keeper {
    moe *m;
    int epoch;
    unsigned char file[65536];
    size_t bytes;
} keeper;

static void save(keeper *k)
{
    k->bytes = moe_save_bytes(k->m, MOE_MODE_TRAIN);
    CHECK(moe_save_memory(k->m, MOE_MODE_TRAIN, k->file, sizeof k->file)
          == MOE_OK);
}

static int keep(const moe_report *report, void *user)
{
    keeper *k = (keeper *)user;

    if (k->epoch == 0 || report->epoch == k->epoch)
        save(k);
    return 0;
}

/* k saves m at an epoch of the training t. */
static void keep_at(keeper *k, moe *m, int epoch, moe_training *t)
{
    k->m = m;
    k->epoch = epoch;
    k->bytes = 0;
    t->progress = keep;
    t->user = k;
}

static int same_weights(const moe *a, const moe *b)
{
    return memcmp(a->params, b->params, a->param_count * sizeof *a->params)
        == 0;
}

/* No more epochs after the one that reached the target, nor any limit of them
   that could not be read again. */
static void test_target(void)
{
    static keeper k;
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve();
    moe_training t = make_training(MOE_ADAM, 0.02);
    moe_report report;
    moe m, again;

    open_or_exit(&m, &config);
    t.target = (moe_real)0.05;
    t.epochs = INT_MAX;
    keep_at(&k, &m, 0, &t);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    if (sizeof(moe_real) == 4
        && CHECK(moe_load_memory(&again, k.file, k.bytes, NULL, NULL, 0)
                 == MOE_OK)) {
        t.epochs = 0;
        t.progress = NULL;
        CHECK(moe_train(&again, &data, NULL, &t, &report) == MOE_OK);
        CHECK(again.epoch == m.epoch && same_weights(&again, &m));
        CHECK(report.squared_error > 0 && report.imbalance >= 1);
        moe_close(&again);
    }
    t.epochs = INT_MAX;
    t.progress = NULL;
    t.target = (moe_real)0.06;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    moe_close(&m);
}

/* The epoch-th call, whatever epoch that is. */
static int keep_call(const moe_report *report, void *user)
{
    keeper *k = (keeper *)user;

    (void)report;
    if (--k->epoch == 0)
        save(k);
    return 0;
}

/* Nor while seeds are tried, of which the same one wins. */
static void test_target_of_trials(void)
{
    static keeper k;
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve();
    moe_training t = make_training(MOE_ADAM, 0);
    int at;

    t.batch = 10;
    t.restarts = 3;
    t.user = &k;
    for (at = 0; at < 320 && sizeof(moe_real) == 4; at++) {
        moe_report whole, rest;
        moe m, again;

        config.seed = (uint64_t)at / 8;
        t.target = (moe_real)(at / 8 % 10 + 1) / 50;
        open_or_exit(&m, &config);
        k.m = &m;
        k.epoch = 1 + at % 8;
        k.bytes = 0;
        t.epochs = 40;
        t.progress = keep_call;
        CHECK(moe_train(&m, &data, NULL, &t, &whole) == MOE_OK);
        t.epochs = 0;
        t.progress = NULL;
        if (k.bytes > 0
            && CHECK(moe_load_memory(&again, k.file, k.bytes, NULL, NULL, 0)
                     == MOE_OK)) {
            CHECK(moe_train(&again, &data, NULL, &t, &rest) == MOE_OK);
            CHECK(same_weights(&again, &m) && again.epoch == m.epoch);
            CHECK(again.config.seed == m.config.seed);
            CHECK(rest.squared_error > 0 && rest.imbalance >= 1);
            moe_close(&again);
        }
        moe_close(&m);
    }
}

/* A file says that seeds are tried, but layers are frozen: nothing is begun
   anew, least of all beyond the memory of what learns. */
static void test_restart_of_frozen(void)
{
    static keeper k;
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve();
    moe_training t = make_training(MOE_ADAM, 0);
    static const char now[] = "\"restarts\":\"0\"";
    moe_layer first;
    moe m, again;
    size_t i;
    int set = 0;

    config.hidden[0] = 30;
    config.frozen = 1;
    config.block = 1;
    open_or_exit(&m, &config);
    t.epochs = 4;
    keep_at(&k, &m, 2, &t);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    for (i = 0; i + sizeof now < k.bytes; i++)
        if (memcmp(k.file + i, now, sizeof now - 1) == 0) {
            k.file[i + sizeof now - 3] = '1';
            set = 1;
        }
    CHECK(set);
    first = moe_layer_at(&config, 0, 0);
    if (CHECK(moe_load_memory(&again, k.file, k.bytes, &config, NULL, 0)
              == MOE_OK)) {
        t.progress = NULL;
        t.epochs = 3;
        CHECK(moe_train(&again, &data, NULL, &t, NULL) == MOE_OK);
        CHECK(again.params[first.weight] == m.params[first.weight]);
        moe_close(&again);
    }
    moe_close(&m);
}

/* A training that came through cases far off goes on through them. */
static void test_far_validation(void)
{
    static keeper k;
    static moe_real far_x[1] = {(moe_real)5e37}, far_d[1] = {0};
    moe_config config = make_config(1, 1, 1);
    moe_data data = curve(), valid = make_data(1, far_x, far_d);
    moe_training t = make_training(MOE_SGD, 2.1), rest;
    int seed, compared = 0;

    t.batch = MOE_ALL;
    rest = t;
    t.epochs = 6;
    for (seed = 0; seed < 60 && sizeof(moe_real) == 4; seed++) {
        moe m, again;

        config.seed = (uint64_t)seed;
        open_or_exit(&m, &config);
        keep_at(&k, &m, 3, &t);
        if (moe_train(&m, &data, &valid, &t, NULL) == MOE_OK && k.bytes > 0
            && CHECK(moe_load_memory(&again, k.file, k.bytes, NULL, NULL, 0)
                     == MOE_OK)) {
            CHECK(moe_train(&again, &data, &valid, &rest, NULL) == MOE_OK);
            CHECK(same_weights(&again, &m));
            compared++;
            moe_close(&again);
        }
        moe_close(&m);
    }
    CHECK(compared > 10 || sizeof(moe_real) > 4);
}

/* Back to the weights before training, over a file in place: its scales are
   not the moe's to reset, and nothing is written behind its memory. */
static void test_back_in_place(void)
{
    static keeper k;
    static moe_real place[sizeof k.file / sizeof(moe_real)], target[N];
    static unsigned char memory[32768];
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve(), valid = make_data(N, x, target);
    moe_training t = make_training(MOE_ADAM, 0.05);
    size_t i, need;
    moe m, again;

    config.hidden[0] = config.hidden[1] = 40;
    config.frozen = 3;
    config.block = 1;
    config.loss = MOE_LOSS_BLEND;
    open_or_exit(&m, &config);              /* predicts what validates */
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    moe_predict(&m, x, N, target);
    moe_close(&m);
    open_or_exit(&m, &config);
    t.epochs = 3;
    keep_at(&k, &m, 1, &t);
    CHECK(moe_train(&m, &data, &valid, &t, NULL) == MOE_OK);
    moe_close(&m);
    if (sizeof(moe_real) > 4)
        return;
    need = moe_work_bytes(&config);
    CHECK(k.bytes > 0 && need < sizeof memory / 2);
    memcpy(place, k.file, k.bytes);
    memset(memory, 0x5a, sizeof memory);
    t = make_training(MOE_SGD, 1e29);
    if (CHECK(moe_load_in_place(&again, place, k.bytes, &config, memory, need)
              == MOE_OK)) {
        CHECK(moe_train(&again, &data, &valid, &t, NULL) == MOE_ERR_DIVERGED);
        t = make_training(MOE_ADAM, 0.01);
        t.epochs = 1;
        CHECK(moe_train(&again, &data, &valid, &t, NULL) == MOE_OK);
        moe_close(&again);
    }
    for (i = need; i < sizeof memory && memory[i] == 0x5a; i++)
        continue;
    CHECK(i == sizeof memory);
    CHECK(memcmp(place, k.file, k.bytes) == 0);
}

/* Eight hexadecimal digits behind `name` in the header of a file, or NULL. */
static char *digits_of(keeper *k, const char *name)
{
    const size_t length = strlen(name);
    size_t i;

    for (i = 8; i + length + 8 < k->bytes; i++)
        if (memcmp(k->file + i, name, length) == 0)
            return (char *)k->file + i + length;
    return NULL;
}

/* A best sigma that is none: what goes back to it has another, can be saved,
   loaded and trained. */
static void test_best_sigma(void)
{
    static const char *const bad[] = {"7f800000", "ff800000", "bf000000",
                                      "7f7fffff", "7fc00000"};
    static keeper k, after;
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve();
    moe_training t = make_training(MOE_ADAM, 0.02), wild;
    moe m, again;
    char *digits;
    int i;

    wild = make_training(MOE_SGD, 1e29);
    t.epochs = 6;
    open_or_exit(&m, &config);
    keep_at(&k, &m, 3, &t);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    moe_close(&m);
    t.progress = NULL;
    digits = digits_of(&k, "\"best_sigma\":\"0x");
    CHECK(digits != NULL || sizeof(moe_real) > 4);
    for (i = 0; i < 5 && digits != NULL && sizeof(moe_real) == 4; i++) {
        memcpy(digits, bad[i], 8);
        if (!CHECK(moe_load_memory(&again, k.file, k.bytes, NULL, NULL, 0)
                   == MOE_OK))
            continue;
        CHECK(moe_train(&again, &data, NULL, &wild, NULL) == MOE_ERR_DIVERGED);
        CHECK(again.sigma[0] > 0 && again.sigma[0] < 1000);
        after.m = &again;
        save(&after);
        CHECK(moe_load_memory(&m, after.file, after.bytes, NULL, NULL, 0)
              == MOE_OK);
        CHECK(moe_train(&again, &data, NULL, &t, NULL) == MOE_OK);
        moe_close(&m);
        moe_close(&again);
    }
}

/* ---- configurations ----------------------------------------------------- */

/* Longer lists than x has columns; nothing that could learn. */
static void test_configurations(void)
{
    moe_config config = make_config(2, 1, 2);
    moe m, again;

    config.expert_columns = "0,0,1,1,0";
    config.gate_columns = "1,1,1";
    open_or_exit(&m, &config);
    CHECK(moe_check_config(&m.config, NULL) == MOE_OK);
    CHECK(moe_bytes(&m.config) == moe_bytes(&config));
    CHECK(moe_save_bytes(&m, MOE_MODE_TRAIN) > 0);
    CHECK(moe_open(&again, &m.config, NULL, 0) == MOE_OK);
    moe_close(&again);
    moe_close(&m);

    config = make_config(2, 1, 2);
    config.gate = MOE_GATE_NONE;
    config.frozen = MOE_ALL;
    CHECK(moe_check_config(&config, NULL) == MOE_ERR_CONFIG);
    config.frozen = 0;
    config.frozen_experts = 3;
    CHECK(moe_check_config(&config, NULL) == MOE_ERR_CONFIG);
}

/* sigma 0 is 1 for logistic experts, also when it is set later. */
static void test_sigma_later(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve();
    moe m, one;

    config.output = MOE_OUT_LOGISTIC;
    open_or_exit(&one, &config);
    config.sigma = 4;
    open_or_exit(&m, &config);
    m.config.sigma = 0;
    for (data.n = 0; data.n < N; data.n++)
        d[data.n] = x[data.n] > 0;
    CHECK(moe_gradient(&m, &data) == moe_gradient(&one, &data));
    moe_close(&m);
    moe_close(&one);
}

/* ---- what changes nothing, and what is used up -------------------------- */

static void test_left_out(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_real bad_x[1] = {(moe_real)NAN}, bad_d[1] = {0};
    moe_data data = curve(), bad = make_data(1, bad_x, bad_d);
    moe_training t = make_training(MOE_ADAM, 0);
    moe m, other;
    int i;

    t.epochs = 3;
    for (i = 0; i < N; i++)
        x[i] = 100 * x[i] + 1000;
    open_or_exit(&m, &config);
    open_or_exit(&other, &config);
    CHECK(moe_learn(&m, &bad, NULL) == 1);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_train(&other, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(same_weights(&m, &other));
    moe_close(&m);
    moe_close(&other);
}

static void test_grads_used_up(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve();
    moe m;
    size_t i;

    config.frozen_experts = 1;
    open_or_exit(&m, &config);
    (void)moe_gradient(&m, &data);
    for (i = 0; i < m.grad_count; i++)
        m.grads[i] += (moe_real)0.5;
    CHECK(moe_step(&m, NULL, 1) == MOE_OK);
    for (i = 0; i < m.grad_count && m.grads[i] == 0; i++)
        continue;
    CHECK_THAT(i == m.grad_count, "grads[%lu] is left", (unsigned long)i);
    moe_close(&m);
}

/* What tells of other rows is no forward pass to go back from. */
static void test_told_between(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_real told[N], y[N];
    moe_data data = curve();
    int way;

    mistakes_allowed = 1;
    for (way = 0; way < 2; way++) {
        const int before = mistakes;
        moe m;

        open_or_exit(&m, &config);
        CHECK(moe_forward(&m, data.x, 5) == 5);
        if (way == 0)
            moe_density(&m, data.x, data.d, 7, told);
        else
            moe_predict_deviation(&m, data.x, 7, y, told);
        moe_backward(&m, weight, NULL);
        CHECK(mistakes == before + 1 && m.grads[0] == 0);
        moe_close(&m);
    }
    mistakes_allowed = 0;
}

/* ---- cases that weigh nothing ------------------------------------------- */

static void test_weightless(void)
{
    static const double far_off[] = {1e6, 1e10, 1e20, 1e24};
    static moe_real few_x[N - 1], few_d[N - 1];
    moe_config config = make_config(1, 1, 2);
    moe_data all = make_data(N, x, d), few = make_data(N - 1, few_x, few_d);
    size_t i, k;

    for (i = 0; i < 8; i++) {
        const size_t at = i % 2 ? 20 : 0;
        moe m, without;

        fill_curve();
        x[at] = d[at] = (moe_real)far_off[i / 2];
        weight[at] = 0;
        all.weights = weight;
        for (k = 0; k < N - 1; k++) {
            few_x[k] = x[k < at ? k : k + 1];
            few_d[k] = d[k < at ? k : k + 1];
        }
        open_or_exit(&m, &config);
        open_or_exit(&without, &config);
        CHECK(moe_fit_scales(&m, &all) == MOE_OK);
        CHECK(moe_fit_scales(&without, &few) == MOE_OK);
        for (k = m.trained_count; k < m.param_count; k++)
            CHECK_THAT(fabs((double)(m.params[k] - without.params[k]))
                       < 1e-5, "scale %g, without the case %g",
                       (double)m.params[k], (double)without.params[k]);
        moe_close(&m);
        moe_close(&without);
    }
}

/* ---- steps that cannot be ----------------------------------------------- */

static int weights_are_finite(const moe *m)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        if (!is_finite(m->params[i]))
            return 0;
    return 1;
}

static void test_large_steps(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_real nothing[1] = {0}, big[1] = {(moe_real)1e10}, zero[1] = {0};
    moe_data data = make_data(1, big, zero);
    moe_training t = make_training(MOE_SGD, 1e30);
    moe m;
    size_t i;

    open_or_exit(&m, &config);
    data.weights = nothing;
    (void)moe_learn(&m, &data, &t);
    CHECK_THAT(weights_are_finite(&m), "a case that weighs nothing");
    (void)moe_step(&m, &t, (moe_real)1e10);
    CHECK_THAT(weights_are_finite(&m), "a scale of 1e10");
    for (i = 0; i < m.grad_count; i++)
        m.grads[i] = (moe_real)1e-23;
    (void)moe_step(&m, &t, (moe_real)1e38);
    CHECK_THAT(weights_are_finite(&m), "a scale of 1e38");
    moe_close(&m);
}

/* clip holds for gradients whose squares are 0 in floats. */
static void test_small_gradients(void)
{
    moe_config config = make_config(1, 1, 1);
    moe_training t = make_training(MOE_SGD, 1);
    moe_real before[4];
    moe m;
    size_t i;

    t.clip = (moe_real)1e-3;
    open_or_exit(&m, &config);
    for (i = 0; i < m.grad_count; i++) {
        before[i] = m.params[i];
        m.grads[i] = (moe_real)1e-24;
    }
    m.config.sigma = 1;
    CHECK(moe_step(&m, &t, (moe_real)1e24) == MOE_OK);
    for (i = 0; i < m.trained_count; i++)
        CHECK(fabs((double)(m.params[i] - before[i])) < 1.1e-3);
    moe_close(&m);
}

/* ---- a deviation of what did not matter --------------------------------- */

static void test_deviation(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_layer layer = moe_layer_at(&config, 1, 0);
    moe_real at[1] = {0}, y[1], deviation[1];
    moe_layer gate = moe_layer_at(&config, 2, 0);
    moe m;

    config.mode = MOE_MODE_PREDICT;
    open_or_exit(&m, &config);
    m.weights[layer.bias] = (moe_real)(sizeof(moe_real) == 4 ? 1e20 : 1e200);
    m.weights[gate.bias + 1] = -2000;
    moe_predict_deviation(&m, at, 1, y, deviation);
    CHECK(is_finite(y[0]) && is_finite(deviation[0]));
    moe_close(&m);
}

/* ---- whose gradient a plain step goes along ----------------------------- */

/* How far a plain step moves a parameter, over rate times its derivative; if
   not all experts' alike, -1. */
static double moved(moe *m, moe_real rate)
{
    moe_training t = make_training(MOE_SGD, (double)rate);
    moe_real before[16], grads[16];
    double most = 0, least = 1e9, by;
    size_t i;

    for (i = 0; i < m->grad_count; i++) {
        before[i] = m->params[i];
        grads[i] = m->grads[i];
    }
    CHECK(moe_step(m, &t, 1) == MOE_OK);
    for (i = 0; i < 4; i++) {               /* the experts */
        by = (double)(before[i] - m->params[i]) / (double)(rate * grads[i]);
        most = by > most ? by : most;
        least = by < least ? by : least;
    }
    return most - least < 1e-2 * most ? most : -1;
}

/* Where sigma is estimated, of (1.3) sigma^2 dE/dw; of the user's own error all
   of it, whatever was trained or stepped before. */
static void test_own_error(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_data data = curve(), none = data;
    moe_training t = make_training(MOE_ADAM, 0.02);
    moe_real dE_dy[N];
    moe m;
    int i, pass;

    t.epochs = 300;
    t.target = (moe_real)0.01;
    config.block = N;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    for (i = 0; i < N; i++)
        dE_dy[i] = (moe_real)(1 + i % 3) / 10;
    for (pass = 0; pass < 3; pass++) {
        const double variance = (double)m.sigma[0] * (double)m.sigma[0];

        CHECK(variance < 0.8);
        (void)moe_forward(&m, x, N);
        moe_backward(&m, dE_dy, NULL);
        CHECK(fabs(moved(&m, (moe_real)0.01) - 1) < 2e-2);
        (void)moe_gradient(&m, &data);
        CHECK(fabs(moved(&m, (moe_real)0.01) / variance - 1) < 2e-2);
        none.n = 0;                     /* all of them are another machine's */
        (void)moe_gradient(&m, &none);
        for (i = 0; i < 4; i++)
            m.grads[i] = (moe_real)0.5;
        CHECK(fabs(moved(&m, (moe_real)0.01) / variance - 1) < 2e-2);
        if (pass == 1)
            CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    }
    moe_close(&m);
}

/* ---- probabilities of 0 and 1 ------------------------------------------- */

static moe_real density_of(moe *m, moe_real target)
{
    const moe_real at[1] = {1};
    moe_real density;

    moe_density(m, at, &target, 1, &density);
    return density;
}

/* One network with the logit a is wrong by |a|, and so far from right is its
   loss, by either name; a density has what o or 1 - o still tells. */
static void test_saturated(void)
{
    static const moe_real logits[] = {10, 18, 40, 300};
    const double most = sizeof(moe_real) == 4 ? 18 : 38;
    moe_real at[1] = {1}, target[1] = {0};
    moe_data data = make_data(1, at, target);
    int i, loss;

    for (i = 0; i < 4; i++)
        for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++) {
            moe_config config = make_config(1, 1, 1);
            const double a = (double)logits[i];
            moe m;

            config.output = MOE_OUT_BERNOULLI;
            config.loss = (moe_loss)loss;
            open_or_exit(&m, &config);
            m.weights[0] = logits[i];
            m.weights[1] = 0;
            CHECK(fabs((double)moe_gradient(&m, &data) - a) < 1e-3);
            CHECK(fabs((double)m.grads[0] - 1) < 1e-3);
            CHECK(fabs((double)density_of(&m, 0)
                       + (a < most ? a : most)) < (a > 10 ? 1 : 1e-2));
            CHECK(fabs((double)density_of(&m, 1)) < 1e-3);
            m.weights[0] = -logits[i];
            CHECK(fabs((double)density_of(&m, 1)
                       + (sizeof(moe_real) == 4 && a > 104 ? 104 : a)) < 1e-2);
            moe_close(&m);
        }
}

/* Through y of two experts, or of blended weights, a wrong 1 learns, too. */
static void test_saturated_blend(void)
{
    moe_real at[1] = {1}, target[1] = {0}, y[1];
    moe_data data = make_data(1, at, target);
    moe_training t = make_training(MOE_SGD, 2);
    int blend, i;

    for (blend = MOE_BLEND_OUTPUTS; blend <= MOE_BLEND_WEIGHTS; blend++) {
        moe_config config = make_config(1, 1, 2);
        moe m;

        config.output = MOE_OUT_BERNOULLI;
        config.loss = MOE_LOSS_BLEND;
        config.blend = (moe_blend)blend;
        open_or_exit(&m, &config);
        for (i = 0; i < 4; i++)             /* biases, weights */
            m.weights[i] = i < 2 ? 45 : 0;
        for (i = 0; i < 200; i++) {
            CHECK(is_finite(moe_gradient(&m, &data)));
            CHECK(m.grads[0] > 0 && m.grads[1] > 0);
            CHECK(moe_step(&m, &t, 1) == MOE_OK);
        }
        moe_predict(&m, at, 1, y);
        CHECK(y[0] < (moe_real)0.1);
        moe_close(&m);
    }
}

/* ---- settings changed later --------------------------------------------- */

/* top_p 0 is all, as it is when it is opened with. */
static void test_no_share(void)
{
    moe_config config = make_config(1, 1, 3);
    moe_real at[1] = {1};
    moe m;

    config.top_p = (moe_real)0.3;
    open_or_exit(&m, &config);
    (void)moe_forward(&m, at, 1);
    CHECK(m.selected[0] >= 0 && m.selected[1] < 0);
    m.config.top_p = 0;
    (void)moe_forward(&m, at, 1);
    CHECK(m.selected[0] == 0 && m.selected[1] == 1 && m.selected[2] == 2);
    moe_close(&m);
}

int main(void)
{
    RUN(test_target());
    RUN(test_target_of_trials());
    RUN(test_restart_of_frozen());
    RUN(test_far_validation());
    RUN(test_back_in_place());
    RUN(test_best_sigma());
    RUN(test_configurations());
    RUN(test_sigma_later());
    RUN(test_left_out());
    RUN(test_grads_used_up());
    RUN(test_told_between());
    RUN(test_weightless());
    RUN(test_large_steps());
    RUN(test_small_gradients());
    RUN(test_deviation());
    RUN(test_own_error());
    RUN(test_saturated());
    RUN(test_saturated_blend());
    RUN(test_no_share());
    return check_done();
}
