/* test_blend_weights.c - weights blended by the proportions: against networks
   whose matrices are blended one by one, in double; top_k; learning case by
   case and by steps; files; refusals.  test_gradient.c has the derivatives and
   same_bits.c the bits. */
#include "models.h"

enum { INPUTS = 6, OUTPUTS = 5, EXPERTS = 4, WIDEST = 19, CASES = 150 };

static moe_real x[CASES * INPUTS], d[CASES * OUTPUTS];

static moe_config blended(int block, int top_k, int units, moe_output output)
{
    moe_config config = make_config(INPUTS, OUTPUTS, EXPERTS);

    config.top_k = top_k;
    config.hidden[0] = units;
    config.hidden[1] = units ? 7 : 0;
    config.gate_hidden[0] = 3;
    config.gate_inputs.first = 2;
    config.expert_inputs.count = 5;
    config.activation = MOE_ACT_ELU;
    config.output = output;
    config.loss = MOE_LOSS_BLEND;
    config.blend = MOE_BLEND_WEIGHTS;
    config.block = block;
    config.seed = 5;
    return config;
}

static moe_data data_of(int from, int n)
{
    moe_data data = {0, NULL, NULL, NULL, NULL};

    data.n = n;
    data.x = x + from * INPUTS;
    data.d = d + from * OUTPUTS;
    return data;
}

/* Targets that all kinds of output can have. */
static void fill_data(void)
{
    int i, k;

    for (i = 0; i < CASES * INPUTS; i++)
        x[i] = 3 * (moe_real)uniform() + (moe_real)(i % INPUTS);
    for (i = 0; i < CASES; i++) {
        moe_real sum = 0;
        for (k = 0; k < OUTPUTS; k++)
            sum += d[i * OUTPUTS + k] = (moe_real)(1.25
                + sin((double)(x[i * INPUTS + k] * x[i * INPUTS] / 3)));
        for (k = 0; k < OUTPUTS; k++)
            d[i * OUTPUTS + k] /= sum;
    }
}

/* Open, with a gate that chooses and scales that are measured. */
static int open_blended(moe *m, const moe_config *config)
{
    moe_data data = data_of(0, CASES);
    size_t i;

    if (!CHECK(moe_open(m, config, NULL, 0) == MOE_OK))
        return 0;
    for (i = 0; i < m->trained_count; i++)
        m->weights[i] += (moe_real)0.3 * (moe_real)uniform();
    return CHECK(moe_fit_scales(m, &data) == MOE_OK);
}

/* ---- the peer: matrices blended for each case --------------------------- */

static double activation(double a)
{
    return a > 0 ? a : exp(a) - 1;
}

static void matrices_blended(const moe *m, const moe_real *row,
                             const moe_real *p, double *y)
{
    const moe_real *scale_x = m->params + m->trained_count + 2 * OUTPUTS;
    const moe_real *scale_d = m->params + m->trained_count;
    double a[WIDEST], b, W, sum = 0;
    int l, i, j, e, layers = m->config.hidden[0] ? 3 : 1;

    for (j = 0; j < INPUTS; j++)
        y[j] = ((double)row[j] - (double)scale_x[j])
             * (double)scale_x[INPUTS + j];
    for (l = 0; l < layers; l++) {
        const moe_layer at = moe_layer_at(&m->config, 0, l);
        for (i = 0; i < at.out; i++) {
            for (b = 0, e = 0; e < EXPERTS; e++)
                b += (double)p[e] * (double)m->params[
                    moe_layer_at(&m->config, e, l).bias + (size_t)i];
            for (j = 0; j < at.in; j++, b += W * y[j - 1])
                for (W = 0, e = 0; e < EXPERTS; e++)
                    W += (double)p[e] * (double)m->params[
                        moe_layer_at(&m->config, e, l).weight
                        + (size_t)(j * at.out + i)];
            a[i] = l + 1 < layers ? activation(b) : b;
        }
        for (i = 0; i < at.out; i++)
            y[i] = a[i];
    }
    for (i = 0; i < OUTPUTS; i++) {
        y[i] = m->config.output == MOE_OUT_LOGISTIC ? 1 / (1 + exp(-y[i]))
             : m->config.output == MOE_OUT_SOFTMAX ? exp(y[i])
             : (double)scale_d[i] + (double)scale_d[OUTPUTS + i] * y[i];
        sum += y[i];
    }
    for (i = 0; i < OUTPUTS && m->config.output == MOE_OUT_SOFTMAX; i++)
        y[i] /= sum;
}

/* p of top_k experts, and which they are. */
static void check_choice(const moe *m, int row, int top_k)
{
    const moe_real *balance = m->params + m->trained_count - EXPERTS;
    const moe_real *p = m->p + row * EXPERTS, *s = m->s + row * EXPERTS;
    const int32_t *selected = m->selected + row * top_k;
    moe_real sum = 0;
    int i, k, ran = 0;

    for (i = 0; i < EXPERTS; i++)
        ran += p[i] > 0, sum += p[i];
    CHECK(ran == top_k);
    CHECK(fabs((double)sum - 1) < 1e-6);
    for (k = 0; k < top_k; k++) {
        CHECK(p[selected[k]] > 0);
        CHECK(k == 0 || selected[k] > selected[k - 1]);
        for (i = 0; i < EXPERTS; i++)
            CHECK(p[i] > 0 || s[i] + balance[i]
                              <= s[selected[k]] + balance[selected[k]]);
    }
}

static void check_outputs(int block, int top_k, int units, moe_output output)
{
    moe_config config = blended(block, top_k, units, output);
    static moe_real all[CASES * OUTPUTS];
    double y[WIDEST], worst = 0, apart = 0;
    int first, rows, i, k;
    moe m;

    if (!open_blended(&m, &config))
        return;
    moe_predict(&m, x, CASES, all);
    for (first = 0; first < CASES; first += rows) {
        rows = moe_forward(&m, x + first * INPUTS, CASES - first);
        for (i = 0; i < rows; i++) {
            matrices_blended(&m, x + (first + i) * INPUTS, m.p + i * EXPERTS,
                             y);
            check_choice(&m, i, top_k ? top_k : EXPERTS);
            for (k = 0; k < OUTPUTS; k++) {
                const double got = (double)m.y[i * OUTPUTS + k];
                worst = fmax(worst, fabs(got - y[k]));
                apart = fmax(apart, fabs(got - (double)
                                         all[(first + i) * OUTPUTS + k]));
            }
        }
    }
    CHECK_THAT(worst < 1e-5, "off by %.1e: block %d, top_k %d, %d units, "
               "output %d", worst, block, top_k, units, (int)output);
    CHECK(apart < 1e-5);
    CHECK(m.o == NULL);
    moe_close(&m);
}

/* ---- learning ----------------------------------------------------------- */

/* moe_learn is a step of plain SGD after the gradient of one case. */
static void check_learn(int block, int top_k, moe_output output)
{
    moe_config config = blended(block, top_k, 8, output);
    moe_training t;
    moe_data one;
    double worst = 0;
    size_t k;
    moe a, b;
    int i;

    memset(&t, 0, sizeof t);
    t.optimizer = MOE_SGD;
    t.rate = (moe_real)0.05;
    t.clip = 1;
    if (!open_blended(&a, &config))
        return;
    config.mode = MOE_MODE_LEARN;
    if (CHECK(moe_open(&b, &config, NULL, 0) == MOE_OK)) {
        memcpy(b.weights, a.weights, a.param_count * sizeof *a.weights);
        for (i = 0; i < 20; i++) {
            one = data_of(i, 1);
            CHECK(moe_gradient(&a, &one) > 0);
            CHECK(a.h == NULL);
            CHECK(moe_step(&a, &t, 1) == MOE_OK);
            CHECK(moe_learn(&b, &one, &t) == 0);
        }
        for (k = 0; k < a.param_count; k++)
            worst = fmax(worst, fabs((double)(a.weights[k] - b.weights[k])));
        CHECK_THAT(worst < 2e-6, "off by %.1e", worst);
        moe_close(&b);
    }
    moe_close(&a);
}

/* The smallest loss that there can be: of softmax d's entropy. */
static double least_loss(moe_output output)
{
    double sum = 0;
    int i;

    for (i = 0; i < CASES * OUTPUTS && output == MOE_OUT_SOFTMAX; i++)
        sum -= (double)d[i] * log((double)d[i]);
    return sum / (double)CASES;
}

static void check_training(int block, int top_k, moe_output output)
{
    moe_config config = blended(block, top_k, 8, output);
    moe_data data = data_of(0, CASES);
    moe_report before, after;
    moe_training t;
    const double least = least_loss(output);
    moe_real sum = 0;
    int i;
    moe m;

    memset(&t, 0, sizeof t);
    t.epochs = 60;
    t.holdout = -1;
    if (!open_blended(&m, &config))
        return;
    CHECK(moe_evaluate(&m, &data, &before) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, &after) == MOE_OK);
    CHECK_THAT((double)after.loss - least < 0.9 * ((double)before.loss - least),
               "%g, then %g; least %g", (double)before.loss,
               (double)after.loss, least);
    for (i = 0; i < EXPERTS; i++)
        sum += after.usage[i];
    CHECK(fabs((double)sum - 1) < 1e-5);
    moe_close(&m);
}

/* ---- files, refusals ---------------------------------------------------- */

static void check_files(int top_k)
{
    moe_config config = blended(64, top_k, 8, MOE_OUT_LINEAR), read;
    moe_real before[CASES * OUTPUTS], after[CASES * OUTPUTS];
    unsigned char *file;
    size_t bytes;
    moe a, b;

    if (!open_blended(&a, &config))
        return;
    moe_predict(&a, x, CASES, before);
    bytes = moe_save_bytes(&a, MOE_MODE_TRAIN);
    file = (unsigned char *)malloc(bytes);
    if (CHECK(file != NULL)) {
        CHECK(moe_save_memory(&a, MOE_MODE_TRAIN, file, bytes) == MOE_OK);
        CHECK(moe_read_config(&read, file, bytes) == MOE_OK);
        CHECK(read.blend == MOE_BLEND_WEIGHTS);
        CHECK(read.top_k == (top_k ? top_k : EXPERTS));
        if (CHECK(moe_load_memory(&b, file, bytes, NULL, NULL, 0) == MOE_OK)) {
            moe_predict(&b, x, CASES, after);
            CHECK(same_of_file(before, after, CASES * OUTPUTS));
            moe_close(&b);
        }
        free(file);
    }
    moe_close(&a);
}

static void check_refused(const moe_config *config, const char *words)
{
    const char *error;

    CHECK(moe_check_config(config, &error) == MOE_ERR_CONFIG);
    CHECK_THAT(strstr(error, words) != NULL, "%s", error);
}

/* An integer that is none of the values, put where an enum is. */
static void put_enum(void *field, int value)
{
    memcpy(field, &value, sizeof value);
}

static void check_refusals(void)
{
    moe_config config = blended(64, 2, 0, MOE_OUT_LINEAR);
    moe_data data = data_of(0, CASES);
    moe m;

    config.balance_loss = (moe_real)0.1;
    check_refused(&config, "balance_loss");
    config.balance_loss = 0;
    config.loss = MOE_LOSS_MIXTURE;
    check_refused(&config, "set loss to MOE_LOSS_BLEND");
    config.loss = MOE_LOSS_EXPECTED;
    check_refused(&config, "set loss to MOE_LOSS_BLEND");
    config.loss = MOE_LOSS_BLEND;
    put_enum(&config.blend, 2);
    check_refused(&config, "MOE_BLEND_");
    config = blended(64, 1, 0, MOE_OUT_LINEAR);
    if (open_blended(&m, &config)) {
        CHECK(moe_train(&m, &data, NULL, NULL, NULL) == MOE_ERR_CONFIG);
        CHECK(strstr(m.error, "top_k = 1") != NULL);
        m.config.loss = MOE_LOSS_MIXTURE;
        CHECK(moe_evaluate(&m, &data, NULL) == MOE_ERR_CONFIG);
        CHECK(moe_gradient(&m, &data) > 0);
        moe_close(&m);
    }
}

/* One expert has one weight to blend: the same network. */
static void check_one_expert(void)
{
    moe_config config = blended(64, 0, 8, MOE_OUT_LINEAR);
    moe_real a[CASES * OUTPUTS], b[CASES * OUTPUTS];
    moe m;

    config.experts = 1;
    if (CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK)) {
        moe_predict(&m, x, CASES, a);
        moe_close(&m);
    }
    config.blend = MOE_BLEND_OUTPUTS;
    if (CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK)) {
        moe_predict(&m, x, CASES, b);
        moe_close(&m);
    }
    CHECK(memcmp(a, b, sizeof a) == 0);
}

int main(void)
{
    static const int blocks[] = {1, 5, 16, 64, 100};
    const int step = getenv("MOE_BRIEF") ? 3 : 1;
    int i, k, output;

    fill_data();
    for (output = 0; output < 3; output++) {
        for (i = 0; i < 5; i += step)
            for (k = 0; k < EXPERTS; k++) {
                RUN(check_outputs(blocks[i], k, 17, (moe_output)output));
                RUN(check_outputs(blocks[i], k, 0, (moe_output)output));
            }
        for (k = 0; k < EXPERTS; k += 2) {
            RUN(check_learn(1, k, (moe_output)output));
            RUN(check_learn(64, k, (moe_output)output));
            RUN(check_training(20, k, (moe_output)output));
        }
    }
    RUN(check_files(0));
    RUN(check_files(2));
    RUN(check_refusals());
    RUN(check_one_expert());
    return check_done();
}
