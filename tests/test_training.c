/* test_training.c - the optimisers are the published formulas, moe_train is
   moe_gradient and moe_step in a loop, the same seed gives the same bits, and
   validation, patience, target, clip and the callback do what they say. */
#include <limits.h>
#include "reference.h"

#define CASES 96
#define INPUTS 2

static moe_real x[CASES * INPUTS], d[CASES];

/* Two regimes: the sign of the first input chooses what the second means. */
static void fill_problem(void)
{
    int i;

    for (i = 0; i < CASES; i++) {
        x[2 * i] = (moe_real)uniform();
        x[2 * i + 1] = (moe_real)uniform();
        d[i] = x[2 * i] > 0 ? x[2 * i + 1] : -x[2 * i + 1];
    }
}

static moe_config mixture_of(int experts)
{
    moe_config config = make_config(INPUTS, 1, experts);

    config.block = 16;
    return config;
}

/* At the default rate, but constant. */
static moe_training training_of(moe_optimizer optimizer, int epochs)
{
    moe_training t = make_training(optimizer,
                                   optimizer == MOE_SGD ? 0.1 : 0.015);

    t.epochs = epochs;
    return t;
}

static void open_small(moe *m, const moe_config *config)
{
    open_or_exit(m, config);
    if (!CHECK(m->param_count <= MAX_VALUES))
        exit(check_done());
}

/* ---- the start --------------------------------------------------------- */

/* Weights lie in +-1/sqrt(in), and reach well into that range. */
static void check_range(const moe *m, moe_layer layer)
{
    double bound = 1 / sqrt((double)layer.in), largest = 0;
    int i;

    for (i = 0; i < layer.in * layer.out; i++)
        largest = fmax(largest,
                       fabs((double)m->params[layer.weight + (size_t)i]));
    CHECK_THAT(largest <= bound * 1.000001 && largest > bound / 2,
               "largest %g, bound %g", largest, bound);
}

static void test_start(void)
{
    moe_config config = mixture_of(3);
    moe m;
    moe_layer a, b, gate;
    int i;

    config.hidden[0] = 20;
    config.gate_hidden[0] = 20;
    open_small(&m, &config);
    for (i = 0; i < 2; i++) {
        a = moe_layer_at(&config, 0, i);
        b = moe_layer_at(&config, 1, i);
        check_range(&m, a);
        check_range(&m, b);
        CHECK(memcmp(m.params + a.weight, m.params + b.weight,
                     (size_t)(a.in * a.out) * sizeof(moe_real)) != 0);
    }
    check_range(&m, moe_layer_at(&config, 3, 0));
    gate = moe_layer_at(&config, 3, 1);
    CHECK(all_zero(m.params + gate.weight, (size_t)(gate.in * gate.out)));
    CHECK(all_zero(m.params + gate.bias, (size_t)gate.out));
    CHECK(counts_as_zero(&m));
    CHECK(m.epoch == 0);
    CHECK(moe_forward(&m, x, 16) == 16);
    for (i = 0; i < 16 * 3; i++)
        CHECK(fabs((double)m.p[i] * 3 - 1) < 1e-6 && m.p[i] == m.p[0]);
    moe_close(&m);
}

/* ---- learning ---------------------------------------------------------- */

static void check_learns(moe_training t, moe_loss loss, double share)
{
    moe_config config = mixture_of(4);
    moe_data data = make_data(CASES, x, d);
    moe_report start, end;
    moe_real first;
    moe m;

    config.loss = loss;
    open_small(&m, &config);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &start) == MOE_OK);
    check_report(&start, 4);
    first = start.squared_error;
    CHECK(moe_train(&m, &data, NULL, &t, &end) == MOE_OK);
    check_report(&end, 4);
    CHECK(m.epoch == t.epochs && end.epoch == t.epochs);
    CHECK(end.accuracy == -1 && end.valid_loss == -1);
    CHECK(moe_evaluate(&m, &data, &end) == MOE_OK);
    check_report(&end, 4);
    CHECK_THAT((double)end.squared_error < share * (double)first,
               "optimizer %d, loss %d: squared error from %g to %g",
               (int)t.optimizer, (int)loss, (double)first,
               (double)end.squared_error);
    moe_close(&m);
}

static void test_learning(void)
{
    static const moe_loss losses[3] =
        {MOE_LOSS_MIXTURE, MOE_LOSS_EXPECTED, MOE_LOSS_BLEND};
    int i;

    for (i = 0; i < 3; i++) {
        moe_training t = training_of(MOE_ADAM, 100);

        check_learns(t, losses[i], 0.4);
        t.optimizer = MOE_SGD;
        t.rate = (moe_real)0.1;
        check_learns(t, losses[i], 0.4);
        t.momentum = (moe_real)0.9;
        t.rate = (moe_real)0.02;
        check_learns(t, losses[i], 0.4);
        t.momentum = 0;
        t.rate = (moe_real)0.5;
        t.batch = MOE_ALL;
        check_learns(t, losses[i], 0.6);
    }
}

/* Accuracy is a share of cases where there are classes. */
static void test_accuracy(void)
{
    static int labels[CASES];
    moe_config config = mixture_of(4);
    moe_data data = make_data(CASES, x, NULL);
    moe_training t = training_of(MOE_ADAM, 150);
    moe_report report;
    moe m;
    int i, right = 0;

    for (i = 0; i < CASES; i++)
        labels[i] = d[i] > 0;
    data.labels = labels;
    config.output = MOE_OUT_SOFTMAX;
    config.outputs = 2;
    open_small(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    for (i = 0; i < CASES; i++) {
        moe_real y[2];

        moe_predict(&m, x + 2 * i, 1, y);
        right += (y[1] > y[0]) == labels[i];
    }
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    CHECK_THAT(fabs((double)report.accuracy - (double)right / CASES) < 1e-5,
               "accuracy %g, counted %d", (double)report.accuracy, right);
    CHECK_THAT(report.accuracy > (moe_real)0.9, "accuracy %g",
               (double)report.accuracy);
    check_report(&report, 4);
    moe_close(&m);
}

/* ---- the same bits ----------------------------------------------------- */

static void train_seeded(moe *m, moe_training t, uint64_t weights,
                         uint64_t order)
{
    moe_config config = mixture_of(3);
    moe_data data = make_data(CASES, x, d);

    config.seed = weights;
    t.seed = order;
    open_small(m, &config);
    CHECK(moe_train(m, &data, NULL, &t, NULL) == MOE_OK);
}

static void test_seeds(void)
{
    moe_training t = training_of(MOE_ADAM, 5);
    moe first, second, other_order, other_weights;

    train_seeded(&first, t, 1, 1);
    train_seeded(&second, t, 1, 1);
    train_seeded(&other_order, t, 1, 2);
    train_seeded(&other_weights, t, 2, 1);
    CHECK(same_params(&first, &second));
    CHECK(!same_params(&first, &other_order));
    CHECK(!same_params(&first, &other_weights));
    moe_close(&first);
    moe_close(&second);
    moe_close(&other_order);
    moe_close(&other_weights);
}

/* One epoch, as the one after `epoch` others. */
static void train_from(moe *m, int epoch)
{
    moe_config config = mixture_of(3);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_ADAM, 1);

    open_small(m, &config);
    m->epoch = epoch;
    CHECK(moe_train(m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(m->epoch == epoch + 1);
}

/* The order of the cases is a function of seed and epoch. */
static void test_epoch_order(void)
{
    moe first, later, again;

    train_from(&first, 0);
    train_from(&later, 3);
    train_from(&again, 3);
    CHECK(!same_params(&first, &later));
    CHECK(same_params(&later, &again));
    moe_close(&first);
    moe_close(&later);
    moe_close(&again);
}

/* Five epochs and five more are ten. */
static void check_continued(moe_training t)
{
    moe_data data = make_data(CASES, x, d);
    moe whole, parts;

    t.epochs = 10;
    train_seeded(&whole, t, 3, 4);
    t.epochs = 5;
    train_seeded(&parts, t, 3, 4);
    t.seed = 4;
    CHECK(parts.epoch == 5);
    CHECK(!same_params(&whole, &parts));
    CHECK(moe_train(&parts, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(parts.epoch == 10 && whole.epoch == 10);
    CHECK(same_params(&whole, &parts));
    moe_close(&whole);
    moe_close(&parts);
}

static void test_continued(void)
{
    moe_training t = training_of(MOE_ADAM, 0);

    check_continued(t);
    t.weight_decay = (moe_real)0.01;
    check_continued(t);
    t.optimizer = MOE_SGD;
    t.momentum = (moe_real)0.9;
    t.rate = (moe_real)0.03;
    check_continued(t);
    t.clip = (moe_real)0.1;
    t.batch = 7;
    check_continued(t);
}

/* ---- moe_train is a loop of gradients and steps ------------------------ */

static void test_full_batch(void)
{
    moe_config config = mixture_of(3);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_SGD, 1);
    moe_report report;
    moe_real sum;
    moe by_call, by_hand;

    t.batch = MOE_ALL;
    t.rate = (moe_real)0.3;
    t.momentum = (moe_real)0.5;
    open_small(&by_call, &config);
    open_small(&by_hand, &config);
    CHECK(moe_train(&by_call, &data, NULL, &t, &report) == MOE_OK);
    CHECK(moe_fit_scales(&by_hand, &data) == MOE_OK);
    sum = moe_gradient(&by_hand, &data);
    CHECK(moe_step(&by_hand, &t, (moe_real)1 / CASES) == MOE_OK);
    CHECK(same_params(&by_call, &by_hand));
    CHECK(counts_as_zero(&by_call));
    CHECK(counts_as_zero(&by_hand));
    CHECK_THAT(relative((double)report.loss, (double)sum / CASES) < 1e-5,
               "loss %g, gradient returned %g", (double)report.loss,
               (double)sum);
    moe_close(&by_call);
    moe_close(&by_hand);
}

/* Cases that are all alike have one order, so a loop of one's own takes the
   same steps: 10 cases in batches of 4 are steps on 4, 4 and 2. */
static void check_batches(moe_optimizer optimizer)
{
    enum { SAME = 10, BATCH = 4 };
    static moe_real same_x[SAME * INPUTS], same_d[SAME];
    moe_config config = mixture_of(2);
    moe_data data = make_data(SAME, same_x, same_d), part;
    moe_training t = training_of(optimizer, 3);
    moe by_call, by_hand;
    int i, epoch;

    for (i = 0; i < SAME; i++) {
        same_x[2 * i] = (moe_real)0.3;
        same_x[2 * i + 1] = (moe_real)-0.7;
        same_d[i] = (moe_real)1.5;
    }
    config.sigma = 1;                       /* is not estimated */
    t.batch = BATCH;
    t.keep_units = 1;
    t.rate = (moe_real)0.05;
    open_small(&by_call, &config);
    open_small(&by_hand, &config);
    CHECK(moe_train(&by_call, &data, NULL, &t, NULL) == MOE_OK);
    for (epoch = 0; epoch < 3; epoch++)
        for (i = 0; i < SAME; i += BATCH) {
            part = data;
            part.n = SAME - i < BATCH ? SAME - i : BATCH;
            moe_gradient(&by_hand, &part);
            CHECK(moe_step(&by_hand, &t, 1 / (moe_real)part.n) == MOE_OK);
        }
    CHECK(same_params(&by_call, &by_hand));
    moe_close(&by_call);
    moe_close(&by_hand);
}

/* Case i alone lights input i, so at a tiny rate weight i tells how often the
   epoch has shown it: once. */
static void check_every_case_once(int n, int batch)
{
    enum { MOST = 40 };
    static moe_real unit[MOST * MOST], wanted[MOST];
    static moe_real start[MAX_VALUES];
    moe_config config = mixture_of(1);
    moe_data data = make_data(n, unit, wanted);
    moe_training t = training_of(MOE_SGD, 1);
    moe_layer layer;
    moe m;
    int i;

    memset(unit, 0, sizeof unit);
    for (i = 0; i < n; i++) {
        unit[i * n + i] = 1;
        wanted[i] = (moe_real)(i % 2 ? 3 + i : -3 - i);
    }
    config.inputs = n;
    config.loss = MOE_LOSS_BLEND;
    t.batch = batch;
    t.rate = (moe_real)(1e-4 * batch);
    t.keep_units = 1;
    open_small(&m, &config);
    layer = moe_layer_at(&config, 0, 0);
    memcpy(start, m.params, m.trained_count * sizeof(moe_real));
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    for (i = 0; i < n; i++) {
        size_t at = layer.weight + (size_t)i;
        double o = (double)(start[at] + start[layer.bias]);
        double once = 2e-4 * ((double)wanted[i] - o);

        CHECK_THAT(relative((double)(m.params[at] - start[at]), once) < 0.1,
                   "case %d of %d: moved %g for %g", i, n,
                   (double)(m.params[at] - start[at]), once);
    }
    moe_close(&m);
}

static void test_batches(void)
{
    check_batches(MOE_SGD);
    check_batches(MOE_ADAM);
    check_every_case_once(1, 1);
    check_every_case_once(2, 1);
    check_every_case_once(31, 1);
    check_every_case_once(32, 4);
    check_every_case_once(33, 3);
    check_every_case_once(40, 1);
}

/* ---- optimisers by hand ------------------------------------------------ */

static moe_real start_of[MAX_VALUES], gradient_of[MAX_VALUES];

/* A moe whose parameters are all away from 0, and a gradient to give it. */
static void open_for_steps(moe *m)
{
    moe_config config = mixture_of(3);
    size_t i;

    config.hidden[0] = 3;
    open_small(m, &config);
    for (i = 0; i < m->trained_count; i++) {
        m->weights[i] = (moe_real)(i % 2 ? 0.5 + 0.4 * uniform()
                                     : -0.5 + 0.4 * uniform());
        start_of[i] = m->weights[i];
        gradient_of[i] = (moe_real)uniform();
    }
}

static void give_gradient(moe *m, double factor)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        m->grads[i] = (moe_real)(factor * (double)gradient_of[i]);
}

/* Some steps of ever other lengths, against the formulas. */
static void check_steps(const moe_training *t, double scale, double bound)
{
    static double g[MAX_VALUES], w[MAX_VALUES];
    static optimiser state;
    double worst = 0;
    size_t i;
    int step;
    moe m;

    memset(&state, 0, sizeof state);
    open_for_steps(&m);
    gradient_of[3] = 0;
    for (i = 0; i < balance_at(&m); i++)
        w[i] = (double)start_of[i];
    for (step = 1; step <= 5; step++) {
        double factor = step % 3 - 0.5;

        give_gradient(&m, factor);
        for (i = 0; i < balance_at(&m); i++)
            g[i] = factor * (double)gradient_of[i];
        CHECK(moe_step(&m, t, (moe_real)scale) == MOE_OK);
        CHECK(counts_as_zero(&m));
        step_of(&m, t, scale, g, w, &state);
        for (i = 0; i < balance_at(&m); i++)
            worst = fmax(worst, fabs((double)m.params[i] - w[i]));
    }
    CHECK_THAT(worst < bound, "optimizer %d, momentum %g, decay %g, clip %g: "
               "off by %g", (int)t->optimizer, (double)t->momentum,
               (double)t->weight_decay, (double)t->clip, worst);
    CHECK(t->weight_decay > 0 || m.params[3] == start_of[3]);
    CHECK(same_reals(m.params + balance_at(&m), start_of + balance_at(&m),
                     m.trained_count - balance_at(&m)));
    moe_close(&m);
}

static void test_optimisers(void)
{
    static const double decays[] = {0, 0.25}, clips[] = {0, 0.5};
    int k;

    for (k = 0; k < 4; k++) {
        moe_training t = make_training(MOE_SGD, 0.1);

        t.weight_decay = (moe_real)decays[k % 2];
        t.clip = (moe_real)clips[k / 2];
        check_steps(&t, 0.5, 1e-6);
        t.momentum = (moe_real)0.8;
        check_steps(&t, 0.5, 1e-6);
        t.momentum = 0;
        t.optimizer = MOE_ADAM;
        t.rate = (moe_real)0.02;
        check_steps(&t, 2, 2e-6);
    }
}

/* Adam's first step is the rate, in the direction against the gradient. */
static void test_adam_first(void)
{
    moe_training t = training_of(MOE_ADAM, 0);
    moe m;
    size_t i;

    open_for_steps(&m);
    t.rate = (moe_real)0.05;
    give_gradient(&m, 1);
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    for (i = 0; i < balance_at(&m); i++) {
        double moved = (double)(m.params[i] - start_of[i]);

        CHECK(fabs(moved + (gradient_of[i] > 0 ? 0.05 : -0.05)) < 1e-5);
    }
    moe_close(&m);
}

/* Without moments: w -= rate * scale * g, at 0.1 when no rate is given. */
static void test_plain_step(void)
{
    moe_config config = mixture_of(3);
    moe_training t = training_of(MOE_SGD, 0);
    moe m;
    size_t i;

    config.mode = MOE_MODE_GRADIENT;
    open_small(&m, &config);
    for (i = 0; i < m.trained_count; i++) {
        start_of[i] = m.params[i];
        gradient_of[i] = (moe_real)uniform();
    }
    give_gradient(&m, 1);
    CHECK(moe_step(&m, NULL, 2) == MOE_OK);
    CHECK(counts_as_zero(&m));
    give_gradient(&m, 1);
    t.rate = (moe_real)0.3;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    for (i = 0; i < balance_at(&m); i++) {
        double wanted = (double)start_of[i] - 0.5 * (double)gradient_of[i];

        CHECK(fabs((double)m.params[i] - wanted) < 1e-6);
    }
    moe_close(&m);
}

/* NULL means the defaults: Adam at 0.015. */
static void test_default_step(void)
{
    moe_training t = training_of(MOE_ADAM, 0);
    moe by_default, by_rate;

    random_state = 99;
    open_for_steps(&by_default);
    random_state = 99;
    open_for_steps(&by_rate);
    t.rate = (moe_real)0.015;
    give_gradient(&by_default, 1);
    give_gradient(&by_rate, 1);
    CHECK(moe_step(&by_default, NULL, 1) == MOE_OK);
    CHECK(moe_step(&by_rate, &t, 1) == MOE_OK);
    CHECK(same_params(&by_default, &by_rate));
    moe_close(&by_default);
    moe_close(&by_rate);
}

/* Without a gradient weights shrink by rate * decay, and biases stay. */
static void check_decay(moe_optimizer optimizer)
{
    moe_training t = training_of(optimizer, 0);
    char is_weight[MAX_VALUES];
    int weights = 0, biases = 0;
    moe m;
    size_t i;

    open_for_steps(&m);
    mark_weights(&m, is_weight);
    t.rate = (moe_real)0.1;
    t.weight_decay = (moe_real)0.5;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    for (i = 0; i < m.trained_count; i++)
        if (is_weight[i]) {
            double wanted = (double)start_of[i] * (1 - 0.1 * 0.5);

            weights++;
            CHECK(relative((double)m.params[i], wanted) < 1e-6);
        } else {
            biases++;
            CHECK(m.params[i] == start_of[i]);
        }
    CHECK(weights == 3 * (2 * 3 + 3) + 2 * 3 && biases == 3 * 4 + 3 + 3);
    moe_close(&m);
}

/* Norm of what a step has moved. */
static double moved(const moe *m)
{
    double squares = 0;
    size_t i;

    for (i = 0; i < m->trained_count; i++) {
        double difference = (double)m->params[i] - (double)start_of[i];

        squares += difference * difference;
    }
    return sqrt(squares);
}

static double gradient_norm(const moe *m)
{
    double squares = 0;
    size_t i;

    for (i = 0; i < balance_at(m); i++)
        squares += (double)gradient_of[i] * (double)gradient_of[i];
    return sqrt(squares);
}

/* A longer gradient is shortened to clip, a shorter one left alone. */
static void test_clip(void)
{
    moe_training t = training_of(MOE_SGD, 0);
    double norm;
    moe m;
    size_t i;

    open_for_steps(&m);
    t.rate = (moe_real)0.5;
    t.clip = (moe_real)0.2;
    give_gradient(&m, 100);
    CHECK(moe_step(&m, &t, (moe_real)0.5) == MOE_OK);
    CHECK_THAT(relative(moved(&m), 0.5 * 0.2) < 1e-4, "moved %g", moved(&m));
    for (i = 0; i < balance_at(&m); i++)
        CHECK((m.params[i] < start_of[i]) == (gradient_of[i] > 0));
    moe_close(&m);

    open_for_steps(&m);
    norm = gradient_norm(&m);
    t.clip = (moe_real)(norm * 1.1);
    give_gradient(&m, 1);
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    CHECK_THAT(relative(moved(&m), 0.5 * norm) < 1e-4, "moved %g for %g",
               moved(&m), 0.5 * norm);
    moe_close(&m);
}

/* ---- when training ends ------------------------------------------------ */

static void test_target(void)
{
    moe_config config = mixture_of(4);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_ADAM, 500);
    moe_report report;
    moe m;

    t.target = (moe_real)0.1;
    open_small(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK_THAT(report.squared_error <= t.target && report.epoch < 500,
               "%g after %d", (double)report.squared_error, report.epoch);
    CHECK(m.epoch == report.epoch && m.epoch > 1);
    moe_close(&m);
    t.target = 1000;
    open_small(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK(m.epoch == 1 && report.epoch == 1);
    moe_close(&m);
}

typedef struct watcher {
    moe *m;
    const moe_data *data, *validation;
    int calls, stop_at, out_of_step;
    moe_real y[CASES];
    moe_real loss, best, last_valid;
    int best_epoch;
} watcher;

/* Looks at the model in the middle of its training. */
static int watch(const moe_report *report, void *user)
{
    watcher *w = (watcher *)user;
    moe_report now;

    memset(&now, 0, sizeof now);
    w->calls++;
    w->out_of_step += report->epoch != w->m->epoch;
    w->last_valid = report->valid_loss;
    if (report->valid_loss < w->best) {
        w->best = report->valid_loss;
        w->best_epoch = report->epoch;
    }
    check_report(report, w->m->config.experts);
    moe_predict(w->m, x, CASES, w->y);
    CHECK(moe_evaluate(w->m, w->data, &now) == MOE_OK);
    w->loss = now.loss;
    return w->calls == w->stop_at;
}

static watcher make_watcher(moe *m, const moe_data *data)
{
    watcher w;

    memset(&w, 0, sizeof w);
    w.m = m;
    w.data = data;
    w.best = (moe_real)1e30;
    return w;
}

static void check_progress(moe_optimizer optimizer)
{
    static moe_real y[CASES];
    moe_config config = mixture_of(3);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(optimizer, 12);
    moe_report report;
    moe watched, stopped, alone;
    watcher w = make_watcher(&watched, &data);

    open_small(&alone, &config);
    CHECK(moe_train(&alone, &data, NULL, &t, &report) == MOE_OK);

    t.progress = watch;
    t.user = &w;
    open_small(&watched, &config);
    CHECK(moe_train(&watched, &data, NULL, &t, &report) == MOE_OK);
    CHECK(w.calls == 12 && w.out_of_step == 0 && watched.epoch == 12);
    CHECK(same_params(&alone, &watched));

    w = make_watcher(&stopped, &data);
    w.stop_at = 5;
    open_small(&stopped, &config);
    CHECK(moe_train(&stopped, &data, NULL, &t, &report) == MOE_STOPPED);
    CHECK(w.calls == 5 && stopped.epoch == 5 && report.epoch == 5);
    moe_predict(&stopped, x, CASES, y);
    CHECK(memcmp(y, w.y, sizeof y) == 0);
    CHECK(moe_evaluate(&stopped, &data, &report) == MOE_OK);
    CHECK(report.loss == w.loss);
    t.progress = NULL;
    t.epochs = 7;
    CHECK(moe_train(&stopped, &data, NULL, &t, &report) == MOE_OK);
    CHECK(same_params(&alone, &stopped));
    moe_close(&alone);
    moe_close(&watched);
    moe_close(&stopped);
}

/* ---- validation -------------------------------------------------------- */

/* Targets with more noise than sense: what is learnt first on 24 cases helps,
   what is learnt later can only hurt on the others. */
static moe_real noise[CASES];

static void fill_noise(void)
{
    int i;

    for (i = 0; i < CASES; i++)
        noise[i] = x[2 * i] + (moe_real)uniform();
}

static moe_config flexible_config(void)
{
    moe_config config = mixture_of(3);

    config.hidden[0] = 12;
    config.loss = MOE_LOSS_BLEND;
    return config;
}

static void check_best_restored(moe_training t, int early)
{
    moe_config config = flexible_config();
    moe_data data = make_data(24, x, noise);
    moe_data valid = make_data(CASES - 24, x + 24 * INPUTS, noise + 24);
    moe_report report;
    moe m;
    watcher w = make_watcher(&m, &data);

    t.progress = watch;
    t.user = &w;
    open_small(&m, &config);
    CHECK(moe_train(&m, &data, &valid, &t, &report) == MOE_OK);
    CHECK(w.best_epoch < w.calls && w.last_valid > w.best);
    CHECK((w.calls < t.epochs) == early);
    CHECK(w.calls == m.epoch);
    CHECK(report.valid_loss == w.best);
    CHECK(moe_evaluate(&m, &valid, &report) == MOE_OK);
    CHECK_THAT(relative((double)report.loss, (double)w.best) < 1e-6,
               "restored %g, best %g", (double)report.loss, (double)w.best);
    moe_close(&m);
}

static void test_best_restored(void)
{
    moe_training t = training_of(MOE_ADAM, 150);

    t.patience = -1;
    t.rate = 0;
    check_best_restored(t, 0);
    t.rate = (moe_real)0.02;
    check_best_restored(t, 0);
}

/* Ends `patience` epochs after the best one, or after the floor of 3,000
   steps, which is epoch 125 for 24 cases in batches of 1. */
static void check_patience(int patience)
{
    enum { FLOOR = 125 };
    moe_config config = flexible_config();
    moe_data data = make_data(24, x, noise);
    moe_data valid = make_data(CASES - 24, x + 24 * INPUTS, noise + 24);
    moe_training t = training_of(MOE_ADAM, 400);
    moe_report report;
    moe m;
    int from;
    watcher w = make_watcher(&m, &data);

    t.batch = 1;
    t.patience = patience;
    t.rate = (moe_real)0.02;
    t.progress = watch;
    t.user = &w;
    open_small(&m, &config);
    CHECK(moe_train(&m, &data, &valid, &t, &report) == MOE_OK);
    from = w.best_epoch > FLOOR ? w.best_epoch : FLOOR;
    CHECK_THAT(w.calls >= from && w.calls <= from + patience,
               "stopped after %d, best was %d", w.calls, w.best_epoch);
    CHECK(w.calls - w.best_epoch >= patience);
    moe_close(&m);
}

static void test_patience(void)
{
    moe_training t = training_of(MOE_ADAM, 120);

    check_patience(1);
    check_patience(3);
    check_patience(30);
    t.batch = 1;
    t.rate = (moe_real)0.02;
    t.patience = -1;
    check_best_restored(t, 0);
    t.patience = 10;
    t.epochs = 400;
    check_best_restored(t, 1);
}

/* ---- numbers that are not ---------------------------------------------- */

static void check_divergence(moe_optimizer optimizer, moe_loss loss,
                             double rate)
{
    moe_config config = mixture_of(3);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(optimizer, 50);
    moe_report report;
    moe_real start;
    moe m;

    config.loss = loss;
    config.hidden[0] = 4;
    t.rate = (moe_real)rate;
    open_small(&m, &config);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    start = report.loss;
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_ERR_DIVERGED);
    CHECK(m.error != NULL && m.error[0] != 0);
    CHECK(all_finite(m.params, m.param_count));
    CHECK(counts_as_zero(&m));
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    CHECK_THAT(report.loss <= start * (moe_real)1.00001,
               "optimizer %d, loss %d, rate %g: from %g to %g",
               (int)optimizer, (int)loss, rate, (double)start,
               (double)report.loss);
    moe_close(&m);
}

static void test_divergence(void)
{
    check_divergence(MOE_SGD, MOE_LOSS_BLEND, 1e30);
    check_divergence(MOE_SGD, MOE_LOSS_BLEND, 1e10);
    check_divergence(MOE_SGD, MOE_LOSS_EXPECTED, 1e20);
    check_divergence(MOE_SGD, MOE_LOSS_BLEND, 10);
    check_divergence(MOE_SGD, MOE_LOSS_EXPECTED, 1000);
}

/* Even when it is the last step that leaves the finite numbers. */
static void test_last_step(void)
{
    moe_config config = mixture_of(3);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_SGD, 1);
    moe m;

    t.batch = MOE_ALL;
    t.rate = t.weight_decay = (moe_real)1e30;       /* a step beyond 1e30 */
    open_small(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_DIVERGED);
    CHECK(all_finite(m.params, m.param_count));
    moe_close(&m);
}

/* The weights stay; the gradient, which cannot be used, goes. */
static void check_step_refuses(moe *m)
{
    static moe_real kept[MAX_VALUES];
    size_t bytes = m->param_count * sizeof(moe_real);
    moe_status status;

    memcpy(kept, m->params, bytes);
    status = moe_step(m, NULL, 1);
    CHECK_THAT(status == MOE_ERR_DIVERGED, "%s", moe_status_text(status));
    CHECK(m->error != NULL && strstr(m->error, "finite") != NULL);
    CHECK(!memcmp(kept, m->params, bytes));
    CHECK(counts_as_zero(m));
}

static void good_step(moe *m)
{
    moe_data good = make_data(CASES, x, d);

    CHECK(is_finite(moe_gradient(m, &good)));
    CHECK(moe_step(m, NULL, (moe_real)1 / CASES) == MOE_OK);
}

/* One bad number in one case: its step is refused, and the steps after it
   are those of a moe that never saw it, so the moments were not touched. */
static void check_poison(moe_real bad, int in_d)
{
    static moe_real bad_x[CASES * INPUTS], bad_d[CASES];
    moe_config config = mixture_of(3);
    moe_data poisoned = make_data(CASES, bad_x, bad_d);
    moe_real sum;
    moe m, spared;

    memcpy(bad_x, x, sizeof x);
    memcpy(bad_d, d, sizeof d);
    if (in_d)
        bad_d[40] = bad;
    else
        bad_x[2 * 40 + 1] = bad;
    open_small(&m, &config);
    open_small(&spared, &config);
    good_step(&m);
    good_step(&spared);
    sum = moe_gradient(&m, &poisoned);
    CHECK(!is_finite(sum));
    check_step_refuses(&m);
    good_step(&m);
    good_step(&spared);
    CHECK(same_params(&m, &spared));
    moe_close(&m);
    moe_close(&spared);
}

static void test_bad_labels(void)
{
    static const int bad[4] = {-1, 3, INT_MIN, INT_MAX};
    int *labels = (int *)malloc(4 * sizeof *labels);
    moe_config config = mixture_of(2);
    moe_data data = make_data(4, x, NULL);
    moe m;
    int i;

    if (!labels)
        exit(1);
    config.outputs = 3;
    config.output = MOE_OUT_SOFTMAX;
    data.labels = labels;
    open_small(&m, &config);
    for (i = 0; i < 4; i++) {
        moe_real sum;

        labels[0] = labels[1] = labels[2] = labels[3] = 2;
        labels[i] = bad[i];
        sum = moe_gradient(&m, &data);
        CHECK(!is_finite(sum));
        check_step_refuses(&m);
    }
    labels[3] = 0;
    CHECK(is_finite(moe_gradient(&m, &data)));
    CHECK(moe_step(&m, NULL, 1) == MOE_OK);
    moe_close(&m);
    free(labels);
}

static void test_poison(void)
{
    check_poison(make_nan(), 0);
    check_poison(make_nan(), 1);
    check_poison(make_infinity(), 0);
    check_poison(-make_infinity(), 1);
    test_bad_labels();
}

int main(void)
{
    fill_problem();
    fill_noise();
    RUN(test_start());
    RUN(test_learning());
    RUN(test_accuracy());
    RUN(test_seeds());
    RUN(test_epoch_order());
    RUN(test_continued());
    RUN(test_full_batch());
    RUN(test_batches());
    RUN(test_optimisers());
    RUN(test_adam_first());
    RUN(test_plain_step());
    RUN(test_default_step());
    RUN(check_decay(MOE_SGD));
    RUN(check_decay(MOE_ADAM));
    RUN(test_clip());
    RUN(test_target());
    RUN(check_progress(MOE_ADAM));
    RUN(check_progress(MOE_SGD));
    RUN(test_best_restored());
    RUN(test_patience());
    RUN(test_divergence());
    RUN(test_last_step());
    RUN(test_poison());
    return check_done();
}
