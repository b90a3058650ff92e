/* test_learner_sigma.c - sigma is learnt, each expert's deviation is fitted:
   against their formulas, against numeric integrals of the density, in files,
   over const weights; what is fixed stays. */
#include "models.h"

#define CASES 400
#define MOST_OUTPUTS 2

static moe_real x[CASES], d[CASES * MOST_OUTPUTS];

static double normal(void)
{
    double sum = 0;
    int i;

    for (i = 0; i < 12; i++)
        sum += uniform();
    return sum / 2;
}

/* Two lines, in the user's units: quiet below 10, four times as loud above. */
static void fill_data(int outputs)
{
    int i, j;

    for (i = 0; i < CASES; i++) {
        x[i] = (moe_real)(10 + 4 * uniform());
        for (j = 0; j < outputs; j++)
            d[i * outputs + j] = (moe_real)(x[i] < 10
                ? 300 - 20 * (double)x[i] + 2 * normal()
                : 5 * (double)x[i] + 60 + 8 * normal());
    }
}

static moe_config config_of(int outputs, moe_loss loss)
{
    moe_config config = make_config(1, outputs, 2);

    config.loss = loss;
    return config;
}

static moe_training training_of(int epochs)
{
    moe_training t;

    memset(&t, 0, sizeof t);
    t.epochs = epochs;
    return t;
}

static moe_data data_of(int outputs)
{
    moe_data data = {CASES, x, d, NULL, NULL};

    fill_data(outputs);
    return data;
}

static void train(moe *m, int outputs, moe_loss loss, int epochs,
                  moe_real holdout)
{
    const moe_config config = config_of(outputs, loss);
    const moe_data data = data_of(outputs);
    moe_training t = training_of(epochs);

    t.holdout = holdout;
    CHECK(moe_open(m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(m, &data, NULL, &t, NULL) == MOE_OK);
}

/* ---- the sigma of (1.3) ------------------------------------------------ */

/* sum over cases of h_i |d - o_i|^2 / O, standardised, by what is shown. */
static double variance_of(moe *m)
{
    const int E = m->config.experts, O = m->config.outputs;
    const moe_real *factor = m->params + m->trained_count + O;
    const double s = (double)m->sigma[0];
    double sum = 0;
    int i, e, j;

    for (i = 0; i < CASES; i++) {
        double error[2], weight[2], all = 0;

        moe_forward(m, x + i, 1);
        for (e = 0; e < E; e++) {
            for (error[e] = 0, j = 0; j < O; j++) {
                const double off = ((double)d[i * O + j]
                                    - (double)m->o[e * O + j])
                                 / (double)factor[j];
                error[e] += off * off;
            }
            weight[e] = (double)m->p[e] * exp(-error[e] / (2 * s * s));
            all += weight[e];
        }
        for (e = 0; e < E; e++)
            sum += weight[e] / all * error[e] / O;
    }
    return sum / CASES;
}

/* One epoch of one step at no rate to speak of goes a 301st of the way to what
   one step of EM finds. */
static void test_estimate(void)
{
    int outputs;

    for (outputs = 1; outputs <= 2; outputs++) {
        const moe_config config = config_of(outputs, MOE_LOSS_MIXTURE);
        const moe_data data = data_of(outputs);
        moe_training t = training_of(200);
        double wanted, before;
        moe m;

        CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
        CHECK(m.sigma[0] == 1 && m.sigma[1] == 1 && m.sigma[2] == 1);
        CHECK(m.config.sigma == 0);
        t.holdout = -1;
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        before = (double)m.sigma[0];
        wanted = sqrt(before * before
                      + (variance_of(&m) - before * before) / 301);
        t = training_of(1);
        t.batch = MOE_ALL;
        t.rate = (moe_real)1e-12;
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        CHECK_THAT(fabs((double)m.sigma[0] - wanted) < 1e-4 * wanted,
                   "%g, wanted %g, was %g", (double)m.sigma[0], wanted, before);
        CHECK(m.sigma[1] == m.sigma[0] && m.sigma[2] == m.sigma[0]);
        CHECK(before < 0.5 && m.sigma[0] >= (moe_real)0.01);
        moe_close(&m);
    }
}

/* E is the negative log-likelihood, but for O/2 log 2 pi and units. */
static void test_loss(void)
{
    static moe_real density[CASES];
    const double half_log_2_pi = 0.91893853320467274178;
    const moe_data data = data_of(2);
    moe_report report;
    double sum = 0;
    moe m;
    int i;

    train(&m, 2, MOE_LOSS_MIXTURE, 30, -1);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    moe_density(&m, x, d, CASES, density);
    for (i = 0; i < CASES; i++)
        sum -= (double)density[i] / CASES;
    for (i = 0; i < 2; i++)
        sum -= half_log_2_pi + log((double)m.params[m.trained_count + 2
                                                    + (size_t)i]);
    CHECK_THAT(fabs(sum - (double)report.loss) < 1e-4, "%g, by density %g",
               (double)report.loss, sum);
    CHECK(fabs((double)moe_gradient(&m, &data) / CASES - sum) < 1e-4);
    moe_close(&m);
}

/* What does not vary but by its regime has the smallest sigma. */
static void test_floor(void)
{
    moe_config config = config_of(1, MOE_LOSS_MIXTURE);
    moe_data data = data_of(1);
    moe_training t = training_of(400);
    moe m;
    int i;

    for (i = 0; i < CASES; i++)
        d[i] = x[i] < 10 ? -x[i] : x[i];
    t.holdout = -1;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK_THAT(m.sigma[0] >= (moe_real)0.01 && m.sigma[0] < (moe_real)0.03,
               "sigma %g", (double)m.sigma[0]);
    moe_close(&m);
}

/* A positive sigma stays; logistic experts have 1; other losses have none to
   learn, nor does moe_learn. */
static void test_fixed(void)
{
    moe_config config = config_of(1, MOE_LOSS_MIXTURE);
    moe_data data = data_of(1);
    moe_training t = training_of(5);
    moe m;
    int i;

    t.holdout = -1;
    config.sigma = (moe_real)0.25;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(m.config.sigma == (moe_real)0.25 && m.sigma[0] == (moe_real)0.25
          && m.sigma[2] == (moe_real)0.25);
    moe_close(&m);
    for (i = 0; i < CASES; i++)
        d[i] = x[i] < 10;
    config.sigma = 0;
    config.output = MOE_OUT_LOGISTIC;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(m.config.sigma == 1 && m.sigma[0] == 1);
    moe_close(&m);
    config = config_of(1, MOE_LOSS_BLEND);
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(m.sigma[0] == 1);
    CHECK(moe_learn(&m, &data, NULL) == 0);
    CHECK(m.sigma[0] == 1);
    moe_close(&m);
}

/* A small sigma that was learnt does not make plain steps large: the experts'
   are those of sigma 1 at these posteriors, the gate's are the gradient. */
static void test_plain_steps(void)
{
    const moe_data one = {1, x, d, NULL, NULL};
    moe_training t = training_of(0);
    static moe_real start[64], grads[64];
    double s2, worst = 0;
    moe m;
    size_t i;

    fill_data(1);
    train(&m, 1, MOE_LOSS_MIXTURE, 200, -1);
    s2 = (double)m.sigma[0] * (double)m.sigma[0];
    CHECK(s2 < 0.25);
    t.rate = (moe_real)0.01;
    t.optimizer = MOE_SGD;
    memcpy(start, m.params, m.param_count * sizeof start[0]);
    moe_gradient(&m, &one);
    memcpy(grads, m.grads, m.trained_count * sizeof grads[0]);
    CHECK(moe_learn(&m, &one, &t) == 0);
    for (i = 0; i < m.trained_count; i++) {
        const double by = i < moe_layer_at(&m.config, 2, 0).bias ? s2 : 1;
        worst = fmax(worst, fabs((double)start[i] - 0.01 * by
                                 * (double)grads[i] - (double)m.params[i]));
    }
    CHECK_THAT(worst < 1e-6, "off by %g", worst);
    memcpy(m.weights, start, m.param_count * sizeof start[0]);
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    for (worst = 0, i = 0; i < m.trained_count; i++) {
        const double by = i < moe_layer_at(&m.config, 2, 0).bias ? s2 : 1;
        worst = fmax(worst, fabs((double)start[i] - 0.01 * by
                                 * (double)grads[i] - (double)m.params[i]));
    }
    CHECK_THAT(worst < 1e-6, "off by %g", worst);
    moe_close(&m);
}

/* ---- deviations of their own ------------------------------------------- */

/* A density of one number sums to 1, its mean is y, and its standard deviation
   is what moe_predict_deviation says. */
static void check_integral(moe *m)
{
    enum { STEPS = 4000 };
    static moe_real at[STEPS], of[STEPS], density[STEPS];
    int k, i;

    for (k = 0; k < 5; k++) {
        const double low = -400, step = 1000.0 / (double)STEPS;
        double sum = 0, mean = 0, square = 0;
        moe_real y, deviation;

        for (i = 0; i < STEPS; i++) {
            at[i] = (moe_real)(6.5 + 1.7 * k);
            of[i] = (moe_real)(low + step * (i + 0.5));
        }
        moe_density(m, at, of, STEPS, density);
        for (i = 0; i < STEPS; i++) {
            const double share = exp((double)density[i]) * step;
            sum += share;
            mean += share * (double)of[i];
            square += share * (double)of[i] * (double)of[i];
        }
        moe_predict_deviation(m, at, 1, &y, &deviation);
        CHECK_THAT(fabs(sum - 1) < 1e-3, "integral %g", sum);
        CHECK_THAT(fabs(mean - (double)y) < 0.1, "%g %g", mean, (double)y);
        square = sqrt(square - mean * mean);
        CHECK_THAT(fabs(square - (double)deviation) < 0.02 * square + 0.02,
                   "deviation %g, by integral %g", (double)deviation, square);
        moe_predict(m, at, 1, of);
        CHECK(of[0] == y);
    }
}

/* Each deviation is where EM, of this formula, stays. */
static void check_fixed_point(moe *m, moe_loss loss)
{
    const double factor = (double)m->params[m->trained_count + 1];
    double h[2] = {0, 0}, error[2] = {0, 0}, all;
    int i, e;

    for (i = 0; i < CASES; i++) {
        double of[2], off[2], sum = 0;

        moe_forward(m, x + i, 1);
        for (e = 0; e < 2; e++) {
            const double s = (double)m->sigma[1 + e];
            const double at = (double)(loss == MOE_LOSS_BLEND ? m->y[0]
                                                              : m->o[e]);
            off[e] = pow(((double)d[i] - at) / factor, 2);
            of[e] = (double)m->p[e] * exp(-off[e] / (2 * s * s)) / s;
            sum += of[e];
        }
        for (e = 0; e < 2; e++) {
            h[e] += of[e] / sum;
            error[e] += of[e] / sum * off[e];
        }
    }
    all = (error[0] + error[1]) / CASES;
    for (e = 0; e < 2; e++) {
        const double s = sqrt((error[e] + all) / (h[e] + 1));
        CHECK_THAT(fabs(s - (double)m->sigma[1 + e]) < 0.02 * s,
                   "expert %d: %g, EM %g", e, (double)m->sigma[1 + e], s);
    }
}

/* moe_train leaves where EM stays on all cases, times one factor, which those
   that were held out have found. */
static void check_factor(moe *m, const moe_data *data, moe_loss loss)
{
    const double first = (double)m->sigma[1], second = (double)m->sigma[2];
    double factors[2];

    CHECK(moe_fit_variance(m, data) == MOE_OK);
    check_fixed_point(m, loss);
    factors[0] = first / (double)m->sigma[1];
    factors[1] = second / (double)m->sigma[2];
    CHECK_THAT(fabs(factors[0] / factors[1] - 1) < 0.02, "%g and %g times EM's",
               factors[0], factors[1]);
}

static double mean_density(moe *m)
{
    static moe_real density[CASES];
    double sum = 0;
    int i;

    moe_density(m, x, d, CASES, density);
    for (i = 0; i < CASES; i++)
        sum += (double)density[i] / CASES;
    return sum;
}

static void test_variance(void)
{
    static const moe_loss losses[3] =
        {MOE_LOSS_MIXTURE, MOE_LOSS_EXPECTED, MOE_LOSS_BLEND};
    const moe_data data = data_of(1);
    int i;

    for (i = 0; i < 3; i++) {
        double one, own;
        moe_real sigma;
        moe m;

        train(&m, 1, losses[i], 200, -1);
        one = mean_density(&m);
        sigma = m.sigma[0];
        CHECK(moe_fit_variance(&m, &data) == MOE_OK);
        CHECK((m.sigma[0] == sigma) == (losses[i] != MOE_LOSS_MIXTURE));
        own = mean_density(&m);
        CHECK_THAT(own > one + 0.05, "loss %d: %g, then %g", i, one, own);
        check_fixed_point(&m, losses[i]);
        check_integral(&m);
        moe_close(&m);
        train(&m, 1, losses[i], 200, 0);        /* fits by itself */
        CHECK(m.sigma[1] != m.sigma[2]);
        CHECK(mean_density(&m) > one + 0.05);
        check_factor(&m, &data, losses[i]);
        moe_close(&m);
    }
}

/* Mean of |d - y|^2 over cases from..end-1, standardised. */
static double mean_error(moe *m, int from, int end)
{
    const double factor = (double)m->params[m->trained_count + 1];
    double sum = 0;
    moe_real y;
    int i;

    for (i = from; i < end; i++) {
        moe_predict(m, x + i, 1, &y);
        sum += pow((double)(d[i] - y) / factor, 2) / (end - from);
    }
    return sum;
}

/* One network that has learnt few cases by heart: its deviation is that of
   these and of those that validate, times what the latter ask for, beside 50
   that ask for nothing. */
static void test_widening(void)
{
    enum { LEARNT = 30, HELD_OUT = 200 };
    moe_config config = make_config(1, 1, 1);
    moe_training t = training_of(2000);
    moe_data data = data_of(1), valid = {HELD_OUT, x + LEARNT, d + LEARNT,
                                         NULL, NULL};
    double s, wanted;
    moe m;

    data.n = LEARNT;
    t.patience = -1;
    config.hidden[0] = 20;
    config.activation = MOE_ACT_TANH;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, &valid, &t, NULL) == MOE_OK);
    s = mean_error(&m, 0, LEARNT + HELD_OUT);
    wanted = mean_error(&m, LEARNT, LEARNT + HELD_OUT) / s;
    CHECK_THAT(wanted > 1.02, "cases held out are no worse: %g", wanted);
    s = sqrt(s * (50 + HELD_OUT * wanted) / (50 + HELD_OUT));
    CHECK_THAT(fabs(s - (double)m.sigma[1]) < 1e-4 * s, "%g, not %g",
               (double)m.sigma[1], s);
    moe_close(&m);
}

/* ---- files, const weights, memory of a prediction alone ---------------- */

static void same_density(moe *a, moe *b)
{
    static moe_real of_a[CASES], of_b[CASES];
    double worst = 0;
    int i;

    moe_density(a, x, d, CASES, of_a);
    moe_density(b, x, d, CASES, of_b);
    for (i = 0; i < CASES; i++)
        worst = fmax(worst, fabs((double)(of_a[i] - of_b[i]))
                            / (1 + fabs((double)of_a[i])));
    CHECK_THAT(worst < 1e-4, "off by %g", worst);
}

static void test_files(void)
{
    static union { unsigned char at[1 << 13]; double aligned; } file;
    moe_config config;
    size_t bytes;
    moe m, n;

    train(&m, 1, MOE_LOSS_MIXTURE, 100, 0);
    bytes = moe_save_bytes(&m, MOE_MODE_PREDICT);
    CHECK(bytes > 0 && bytes <= sizeof file);
    CHECK(moe_save_memory(&m, MOE_MODE_PREDICT, file.at, bytes) == MOE_OK);
    CHECK(moe_load_memory(&n, file.at, bytes, NULL, NULL, 0) == MOE_OK);
    CHECK(n.config.sigma == 0 && n.config.mode == MOE_MODE_PREDICT);
    CHECK(!(fabs((double)(n.sigma[0] - m.sigma[0])) > 1e-6));
    same_density(&m, &n);
    moe_close(&n);
    if (sizeof(moe_real) == 4
        && moe_load_in_place(&n, file.at, bytes, NULL, NULL, 0) == MOE_OK) {
        same_density(&m, &n);
        CHECK((const unsigned char *)n.sigma > file.at
              && (const unsigned char *)n.sigma < file.at + bytes);
        moe_close(&n);
    }
    config = m.config;
    CHECK(moe_attach(&n, &config, m.params, NULL, 0) == MOE_OK);
    CHECK(n.sigma == NULL);
    n.sigma = m.sigma;
    same_density(&m, &n);
    moe_close(&n);
    moe_close(&m);
}

/* Nothing is measured where nothing can be. */
static void test_refusals(void)
{
    moe_config config = config_of(1, MOE_LOSS_MIXTURE);
    moe_data data = data_of(1);
    moe_real sigma[3];
    moe m;

    CHECK(moe_fit_variance(NULL, &data) == MOE_ERR_NULL);
    config.mode = MOE_MODE_LEARN;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_fit_variance(&m, &data) == MOE_ERR_STATE);
    moe_close(&m);
    train(&m, 1, MOE_LOSS_MIXTURE, 20, 0);
    memcpy(sigma, m.sigma, sizeof sigma);
    CHECK(moe_fit_variance(&m, NULL) == MOE_ERR_NULL);
    data.n = 0;
    CHECK(moe_fit_variance(&m, &data) == MOE_ERR_DATA);
    data.n = CASES;
    m.config.sigma = -1;
    CHECK(moe_fit_variance(&m, &data) == MOE_ERR_CONFIG);
    CHECK(!memcmp(sigma, m.sigma, sizeof sigma));
    moe_close(&m);
}

int main(void)
{
    RUN(test_estimate());
    RUN(test_loss());
    RUN(test_floor());
    RUN(test_fixed());
    RUN(test_plain_steps());
    RUN(test_variance());
    RUN(test_widening());
    RUN(test_files());
    RUN(test_refusals());
    return check_done();
}
