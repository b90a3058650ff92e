/* test_learn.c - moe_learn: each case is a gradient and a plain SGD step, to
   rounding, for every kind of mixture; what it leaves out changes nothing; what
   cannot learn is refused; and it needs less memory. */
#include "models.h"

#define CASES 12
#define INPUTS 3
#define MOST_OUTPUTS 4

/* A weight that a step moves by rate times a derivative differs by the
   roundings of the latter: sums of some 20 terms, a softmax and a loss in a
   row, 40 epsilons of the largest step, and its own rounding. */
#define BOUND (40 * EPSILON)

static moe_real x[CASES * INPUTS], d[CASES * MOST_OUTPUTS];
static int labels[CASES];

static void fill_data(int outputs)
{
    int i;

    for (i = 0; i < CASES * INPUTS; i++)
        x[i] = (moe_real)(2 * uniform());
    for (i = 0; i < CASES * outputs; i++)
        d[i] = (moe_real)(0.5 + 0.4 * uniform());
    for (i = 0; i < CASES; i++)
        labels[i] = i * 7 % outputs;
}

/* Case `first` and those that follow. */
static moe_data data_from(const moe_config *c, int first, int n)
{
    moe_data data = {n, x + first * INPUTS, NULL, NULL, NULL};

    if (c->output == MOE_OUT_SOFTMAX)
        data.labels = labels + first;
    else
        data.d = d + first * c->outputs;
    return data;
}

static moe_config config_of(int hidden, moe_mode mode)
{
    moe_config config = make_config(INPUTS, 2, 4);

    config.hidden[0] = hidden;
    config.gate_hidden[0] = hidden;
    config.mode = mode;
    config.seed = 7;
    return config;
}

/* Open, with weights that make every expert and the gate curved. */
static int open_stirred(moe *m, const moe_config *config)
{
    size_t i;

    if (!CHECK(moe_open(m, config, NULL, 0) == MOE_OK))
        return 0;
    random_state = 5;
    fill(m->weights, (int)balance_at(m));
    for (i = 0; i < (size_t)config->outputs
                && config->output == MOE_OUT_LINEAR; i++) {
        m->weights[m->trained_count + i] = (moe_real)0.25;
        m->weights[m->trained_count + (size_t)config->outputs + i] = 2;
    }
    return 1;
}

static moe_training sgd_of(double rate, double clip)
{
    moe_training t = make_training(MOE_SGD, rate);

    t.clip = (moe_real)clip;
    return t;
}

static moe_real *copy_of(const moe *m)
{
    const size_t bytes = m->param_count * sizeof(moe_real);
    moe_real *copy = (moe_real *)malloc(bytes);

    if (copy == NULL)
        exit(1);
    memcpy(copy, m->params, bytes);
    return copy;
}

static int has_params(const moe *m, const moe_real *params)
{
    return same_reals(m->params, params, m->param_count);
}

/* ---- a gradient and a step, case by case -------------------------------- */

static double worst_seen;

/* How far two moes are apart, of the longest step since `before`. */
static double apart(const moe *a, const moe *b, const moe_real *before)
{
    double off = 0, step = 0, largest = 0;
    size_t i;

    for (i = 0; i < a->param_count; i++) {
        off = fmax(off, fabs((double)(a->params[i] - b->params[i])));
        step = fmax(step, fabs((double)(b->params[i] - before[i])));
        largest = fmax(largest, fabs((double)before[i]));
    }
    return step > 0 ? off / (step + largest / 20) : HUGE_VAL;
}

/* Every case from the same weights: one gradient and step against one call. */
static void check_cases(const moe_config *config, double clip)
{
    moe_config learning = *config, stepping = *config;
    moe_training t = sgd_of(0.05, clip);
    moe a, b;
    int i, moved = 0;

    learning.mode = MOE_MODE_LEARN;
    stepping.mode = MOE_MODE_GRADIENT;
    fill_data(config->outputs);
    if (!open_stirred(&a, &learning) || !open_stirred(&b, &stepping))
        exit(1);
    for (i = 0; i < CASES; i++) {
        moe_data one = data_from(config, i, 1);
        moe_real *before = copy_of(&b);
        double off;

        memcpy(a.weights, b.weights, b.param_count * sizeof(moe_real));
        CHECK(moe_learn(&a, &one, &t) == 0 && !strcmp(a.error, "ok"));
        moe_gradient(&b, &one);
        CHECK(moe_step(&b, &t, 1) == MOE_OK);
        off = apart(&a, &b, before);
        moved += off < HUGE_VAL;
        worst_seen = fmax(worst_seen, off < HUGE_VAL ? off : 0);
        CHECK_THAT(!(off > BOUND) || off == HUGE_VAL, "off by %.1e (loss %d, "
                   "output %d, activation %d, top_k %d, block %d, clip %g)",
                   off, (int)config->loss, (int)config->output,
                   (int)config->activation, config->top_k, config->block,
                   clip);
        free(before);
    }
    CHECK(moved == CASES);
    moe_close(&a);
    moe_close(&b);
}

/* n cases in one call are n calls. */
static void check_turns(const moe_config *config)
{
    moe_config learning = *config;
    moe_data all = data_from(config, 0, CASES);
    moe_training t = sgd_of(0.05, 0);
    moe a, b;
    int i;

    learning.mode = MOE_MODE_LEARN;
    if (!open_stirred(&a, &learning) || !open_stirred(&b, &learning))
        exit(1);
    CHECK(moe_learn(&a, &all, &t) == 0);
    for (i = 0; i < CASES; i++) {
        moe_data one = data_from(config, i, 1);

        CHECK(moe_learn(&b, &one, &t) == 0);
    }
    CHECK(has_params(&a, b.params));
    moe_close(&a);
    moe_close(&b);
}

static void test_every_mixture(void)
{
    static const int tops[] = {0, 2, 3}, blocks[] = {1, 2, 64};
    int loss, output, activation, k, b;

    for (loss = 0; loss < 3; loss++)
        for (output = 0; output < 3; output++)
            for (activation = 0; activation < 5; activation++)
                for (k = 0; k < 3; k++)
                    for (b = 0; b < 3; b++) {
                        moe_config c = config_of(5, MOE_MODE_LEARN);

                        c.loss = (moe_loss)loss;
                        c.output = (moe_output)output;
                        c.activation = (moe_activation)activation;
                        c.outputs = output == MOE_OUT_SOFTMAX ? 4 : 2;
                        c.top_k = tops[k];
                        c.block = blocks[b];
                        check_cases(&c, 0);
                        check_cases(&c, 0.01);
                        check_turns(&c);
                    }
}

/* One expert; none hidden; deep ones; parts of x; a balance loss; many experts,
   whose derivatives are more than a block is large; every set. */
static void test_shapes(void)
{
    static const int sets[] = {1, 128, 256, 512};
    int i;

    for (i = 0; i < 10; i++) {
        moe_config c = config_of(i == 1 ? 0 : 4, MOE_MODE_LEARN);

        if (i == 0)
            c.experts = 1;
        if (i == 2) {
            c.hidden[1] = c.gate_hidden[1] = 3;
            c.hidden[2] = 2;
            c.activation = MOE_ACT_SILU;
            c.expert_inputs.first = 1;
            c.gate_inputs.count = 2;
        }
        if (i == 3) {
            c.top_k = 2;
            c.balance_loss = (moe_real)0.1;
        }
        if (i == 4 || i == 5) {
            c.experts = 60;
            c.hidden[0] = 40;
            c.block = i == 4 ? 2 : 1;
        }
        c.simd = i > 5 ? sets[i - 6] : 0;
        if (moe_check_config(&c, NULL) == MOE_OK) {
            check_cases(&c, 0);
            check_cases(&c, 0.01);
            check_turns(&c);
        }
    }
}

/* ---- what is left out --------------------------------------------------- */

/* The bad case alone, and between two good ones. */
static void check_left_out(moe *m, moe_data data, const moe_training *t,
                           const char *what)
{
    moe_real *before = copy_of(m), *after;
    moe_data one = data;

    one.n = 1;
    one.x += INPUTS;
    one.d = one.d ? one.d + m->config.outputs : NULL;
    one.labels = one.labels ? one.labels + 1 : NULL;
    CHECK_THAT(moe_learn(m, &one, t) == 1, "%s", what);
    CHECK_THAT(has_params(m, before), "%s changed the weights", what);
    CHECK_THAT(moe_learn(m, &data, t) == 1, "%s among others", what);
    CHECK_THAT(!has_params(m, before), "%s: the others count", what);
    CHECK(all_finite(m->params, m->param_count));
    after = copy_of(m);
    memcpy(m->weights, before, m->param_count * sizeof(moe_real));
    one = data;
    one.n = 1;
    CHECK(moe_learn(m, &one, t) == 0);
    one.x += 2 * INPUTS;
    one.d = one.d ? one.d + 2 * m->config.outputs : NULL;
    one.labels = one.labels ? one.labels + 2 : NULL;
    CHECK(moe_learn(m, &one, t) == 0);
    CHECK_THAT(has_params(m, after), "%s: as without it", what);
    memcpy(m->weights, before, m->param_count * sizeof(moe_real));
    free(before);
    free(after);
}

static void check_bad_reals(moe_output output, int top_k, int block)
{
    const moe_real bad[3] = {make_nan(), make_infinity(), -make_infinity()};
    moe_config c = config_of(3, MOE_MODE_LEARN);
    moe_training t = sgd_of(0.05, 0);
    moe m;
    int i, k;

    c.output = output;
    c.outputs = output == MOE_OUT_SOFTMAX ? 4 : 2;
    c.top_k = top_k;
    c.block = block;
    fill_data(c.outputs);
    if (!open_stirred(&m, &c))
        return;
    for (i = 0; i < 3; i++) {
        for (k = 0; k < INPUTS; k++) {
            moe_real kept = x[INPUTS + k];

            x[INPUTS + k] = bad[i];
            check_left_out(&m, data_from(&c, 0, 3), &t, "x");
            x[INPUTS + k] = kept;
        }
        for (k = 0; k < c.outputs && output != MOE_OUT_SOFTMAX; k++) {
            moe_real kept = d[c.outputs + k];

            d[c.outputs + k] = bad[i];
            check_left_out(&m, data_from(&c, 0, 3), &t, "d");
            d[c.outputs + k] = kept;
        }
    }
    for (i = 0; i < 3 && output == MOE_OUT_SOFTMAX; i++) {
        static const int none[] = {-1, 4, 2147483647};

        labels[1] = none[i];
        check_left_out(&m, data_from(&c, 0, 3), &t, "a label");
    }
    moe_close(&m);
}

/* An error of 1e15 is squared to 1e30; its step, times the rate, is too far. */
static void check_large_steps(int top_k)
{
    moe_config c = config_of(3, MOE_MODE_LEARN);
    moe_training t = sgd_of(1, 0);
    moe_real far = (moe_real)(sizeof(moe_real) == 4 ? 1e36 : 1e300);
    moe m;

    c.top_k = top_k;
    fill_data(c.outputs);
    if (!open_stirred(&m, &c))
        return;
    d[c.outputs] = far;
    check_left_out(&m, data_from(&c, 0, 3), &t, "a far target");
    d[c.outputs] = (moe_real)1e15;
    t.rate = (moe_real)1e30;
    {
        moe_data one = data_from(&c, 1, 1);
        moe_real *before = copy_of(&m);

        CHECK(moe_learn(&m, &one, &t) == 1 && has_params(&m, before));
        t.clip = (moe_real)1e-30;       /* a step of norm 1 */
        CHECK(moe_learn(&m, &one, &t) == 0 && !has_params(&m, before));
        CHECK(all_finite(m.params, m.param_count));
        free(before);
    }
    moe_close(&m);
}

static void test_left_out(void)
{
    static const int tops[] = {0, 2}, blocks[] = {1, 64};
    int output, k, b;

    for (output = 0; output < 3; output++)
        for (k = 0; k < 2; k++)
            for (b = 0; b < 2; b++)
                check_bad_reals((moe_output)output, tops[k], blocks[b]);
    check_large_steps(0);
    check_large_steps(2);
}

/* ---- clip, scale of a step ----------------------------------------------- */

/* The step's length is rate * clip where the gradient is longer. */
static void test_clip(void)
{
    moe_config c = config_of(4, MOE_MODE_LEARN);
    moe_training t = sgd_of(0.5, 0.125);
    moe_data one;
    moe_real *before;
    double sum = 0;
    size_t i;
    moe m;

    fill_data(2);
    d[0] = 40;
    one = data_from(&c, 0, 1);
    if (!open_stirred(&m, &c))
        return;
    before = copy_of(&m);
    CHECK(moe_learn(&m, &one, &t) == 0);
    for (i = 0; i < m.param_count; i++) {
        double step = (double)m.params[i] - (double)before[i];

        sum += step * step;
    }
    CHECK_THAT(fabs(sqrt(sum) - 0.0625) < 1e-5, "norm %g", sqrt(sum));
    for (i = m.trained_count; i < m.param_count; i++)
        CHECK(m.params[i] == before[i]);
    free(before);
    moe_close(&m);
}

/* ---- what cannot learn --------------------------------------------------- */

static void refused(moe *m, const moe_data *data, const moe_training *t,
                    const char *word)
{
    moe_real *before = copy_of(m);

    m->error = NULL;
    CHECK_THAT(moe_learn(m, data, t) == data->n, "%s", word);
    CHECK_THAT(m->error != NULL && strstr(m->error, word) != NULL,
               "%s: \"%s\"", word, m->error ? m->error : "");
    CHECK(has_params(m, before));
    free(before);
}

static void test_refused(void)
{
    moe_config c = config_of(3, MOE_MODE_PREDICT);
    moe_training t = sgd_of(0.05, 0);
    moe_data data;
    moe_real *weights;
    moe m, attached;

    fill_data(2);
    data = data_from(&c, 0, CASES);
    if (!CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK))
        return;
    refused(&m, &data, &t, "MOE_MODE_LEARN");
    weights = copy_of(&m);
    moe_close(&m);
    c.mode = MOE_MODE_LEARN;
    if (CHECK(moe_attach(&attached, &c, weights, NULL, 0) == MOE_OK)) {
        refused(&attached, &data, &t, "const");
        moe_close(&attached);
    }
    if (CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK)) {
        m.params = weights;
        refused(&m, &data, &t, "weights");
        m.params = m.weights;
        t.rate = -1;
        refused(&m, &data, &t, "rate");
        t = sgd_of(0.05, -1);
        refused(&m, &data, &t, "clip");
        CHECK(moe_learn(&m, &data, NULL) == 0);
        CHECK(m.grads == NULL);
        CHECK(moe_step(&m, NULL, 1) == MOE_ERR_STATE);
        data.n = 0;
        CHECK(moe_learn(&m, &data, NULL) == 0);
        moe_close(&m);
    }
    c.top_k = 1;
    data.n = CASES;
    if (CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK)) {
        refused(&m, &data, NULL, "top_k");
        moe_close(&m);
    }
    free(weights);
}

/* ---- memory -------------------------------------------------------------- */

/* Less than for gradients, by these at least, and more than to predict. */
static void test_memory(void)
{
    int i;

    for (i = 0; i < 12; i++) {
        moe_config c = config_of(i % 3 * 8, MOE_MODE_GRADIENT);
        size_t gradient, learn, predict;
        moe m;

        c.block = i % 2 ? 1 : 32;
        c.top_k = i % 4 < 2 ? 0 : 2;
        gradient = moe_bytes(&c);
        c.mode = MOE_MODE_LEARN;
        learn = moe_bytes(&c);
        c.mode = MOE_MODE_PREDICT;
        predict = moe_bytes(&c);
        c.mode = MOE_MODE_LEARN;
        CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK);
        CHECK(predict < learn && learn < gradient);
        CHECK_THAT(gradient - learn >= m.trained_count * sizeof(moe_real),
                   "%lu bytes less for %lu gradients",
                   (unsigned long)(gradient - learn),
                   (unsigned long)m.trained_count);
        moe_close(&m);
    }
}

/* Every byte is inside moe_bytes. */
static void test_inside(void)
{
    int i, k;

    for (i = 0; i < 24; i++) {
        moe_config c = config_of(i % 3 * 8, MOE_MODE_LEARN);
        moe_data data;
        size_t bytes;
        void *memory;
        arena a;
        moe m;

        c.block = 1 + i;
        c.top_k = i % 4 < 2 ? 0 : 2;
        c.output = (moe_output)(i / 3 % 3);
        bytes = moe_bytes(&c);
        memory = arena_make(&a, bytes, i % 2 ? MARGIN : 0);
        fill_data(2);
        data = data_from(&c, 0, CASES);
        CHECK(moe_open(&m, &c, memory, bytes) == MOE_OK);
        for (k = 0; k < 3; k++) {
            m.config.loss = (moe_loss)k;
            CHECK(moe_learn(&m, &data, NULL) == 0);
        }
        CHECK(arena_intact(&a));
        free(a.base);
    }
}

/* ---- |x|, case by case --------------------------------------------------- */

static void test_absolute(void)
{
    moe_config c;
    moe_training t = sgd_of(0.05, 0);
    moe_real at[5] = {(moe_real)-0.9, (moe_real)-0.4, (moe_real)0.3,
                      (moe_real)0.6, (moe_real)0.95}, y[5];
    double worst = 0;
    moe m;
    int i;

    c = make_config(1, 1, 2);
    c.sigma = (moe_real)0.25;
    c.block = 1;
    c.mode = MOE_MODE_LEARN;
    c.seed = 3;
    if (!CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK))
        return;
    for (i = 0; i < 20000; i++) {
        moe_real in = (moe_real)uniform(), out = in < 0 ? -in : in;
        moe_data one = {1, &in, &out, NULL, NULL};

        if (moe_learn(&m, &one, &t) != 0)
            break;
    }
    CHECK(i == 20000);
    moe_predict(&m, at, 5, y);
    for (i = 0; i < 5; i++)
        worst = fmax(worst, fabs((double)y[i] - fabs((double)at[i])));
    CHECK_THAT(worst < 0.1, "off by %g", worst);
    CHECK(moe_forward(&m, at, 1) == 1);
    CHECK_THAT(fabs((double)(m.p[0] - m.p[1])) > 0.5, "p is %g",
               (double)m.p[0]);
    moe_close(&m);
}

int main(void)
{
    RUN(test_every_mixture());
    RUN(test_shapes());
    RUN(test_left_out());
    RUN(test_clip());
    RUN(test_refused());
    RUN(test_memory());
    RUN(test_inside());
    RUN(test_absolute());
    printf("off by %.1e of a step at most\n", worst_seen);
    return check_done();
}
