/* test_learner_labels.c - Bernoulli experts: several labels at once.  The loss
   is the formula, gradients are central differences of it, for all three
   losses, dense and sparse; densities, files and refusals; it learns. */
#ifndef MOE_DOUBLE
#define MOE_DOUBLE
#endif
#include "models.h"

#define CASES 21
#define OUTPUTS 3
#define MOST_EXPERTS 4

static double x[300 * 2], d[300 * OUTPUTS];

static moe_config config_of(int experts, int loss, int top_k)
{
    moe_config config = make_config(2, OUTPUTS, experts);

    config.top_k = top_k;
    config.hidden[0] = 3;
    config.activation = MOE_ACT_TANH;
    config.output = MOE_OUT_BERNOULLI;
    config.loss = (moe_loss)loss;
    config.seed = 9;
    return config;
}

/* Soft labels, among them 0 and 1. */
static void fill_data(void)
{
    int i;

    for (i = 0; i < 2 * CASES; i++)
        x[i] = uniform();
    for (i = 0; i < OUTPUTS * CASES; i++)
        d[i] = i % 3 == 0 ? 1 : i % 3 == 1 ? 0 : (uniform() + 1) / 2;
}

/* Uneven gates: the last layer of the gate starts at 0. */
static void shake(moe *m, double size)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        m->weights[i] += size * uniform();
    for (i = m->trained_count - (size_t)m->config.experts;
         m->config.experts > 1 && i < m->trained_count; i++)
        m->weights[i] = 0;
}

/* E of one case from what moe_forward shows. */
static double formula(const moe *m, int r, const double *want)
{
    const int E = m->config.experts, K = m->config.top_k;
    double sum = 0, e, y[OUTPUTS] = {0}, all = 0;
    int k, j;

    for (k = 0; k < K; k++) {
        const double p = m->p[r * E + m->selected[r * K + k]];
        const double *o = m->o + (r * K + k) * OUTPUTS;
        for (e = 0, j = 0; j < OUTPUTS; j++) {
            e -= want[j] * log(o[j]) + (1 - want[j]) * log(1 - o[j]);
            y[j] += p * o[j];
        }
        sum += m->config.loss == MOE_LOSS_EXPECTED ? p * e : p * exp(-e);
    }
    for (j = 0; j < OUTPUTS; j++)
        all -= want[j] * log(y[j]) + (1 - want[j]) * log(1 - y[j]);
    return m->config.loss == MOE_LOSS_BLEND ? all
         : m->config.loss == MOE_LOSS_EXPECTED ? sum : -log(sum);
}

static void check_loss(moe *m, const moe_data *data)
{
    double sum = 0, density[CASES], got, of_density = 0;
    int r;

    CHECK(moe_forward(m, x, CASES) == CASES);
    for (r = 0; r < CASES; r++)
        sum += formula(m, r, d + r * OUTPUTS);
    got = moe_gradient(m, data);
    CHECK_THAT(fabs(got - sum) < 1e-9 * CASES, "%.12g, by formula %.12g", got,
               sum);
    moe_density(m, x, d, CASES, density);
    for (r = 0; r < CASES; r++)
        of_density -= density[r];
    if (m->config.loss != MOE_LOSS_EXPECTED)
        CHECK_THAT(fabs(of_density - sum) < 1e-9 * CASES, "%.12g, density "
                   "%.12g", of_density, sum);
}

static void check_gradient(int experts, int loss, int top_k, double size)
{
    const moe_config config = config_of(experts, loss, top_k);
    const moe_data data = {CASES, x, d, NULL, NULL};
    const double step = 1e-5;
    static double grads[512];
    double most = 0, largest = 0;
    moe m;
    size_t i, n;

    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    shake(&m, size);
    check_loss(&m, &data);
    n = m.trained_count - (size_t)(experts > 1 ? experts : 0);
    if (!CHECK(n <= 512))
        return;
    memcpy(grads, m.grads, n * sizeof grads[0]);
    for (i = 0; i < n; i++) {
        const double w = m.weights[i];
        double up, down;

        m.weights[i] = w + step;
        up = moe_gradient(&m, &data);
        m.weights[i] = w - step;
        down = moe_gradient(&m, &data);
        m.weights[i] = w;
        most = fmax(most, fabs((up - down) / (2 * step) - grads[i]));
        largest = fmax(largest, fabs(grads[i]));
    }
    CHECK_THAT(largest > 0.1 && most < 1e-6 * largest, "off by %g of %g, loss "
               "%d, top_k %d", most, largest, loss, top_k);
    moe_close(&m);
}

static void test_gradients(void)
{
    int loss;

    for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++) {
        check_gradient(1, loss, 0, 0.3);
        check_gradient(3, loss, 0, 0.3);
        check_gradient(3, loss, 0, 3);
        check_gradient(MOST_EXPERTS, loss, 2, 0.3);
    }
}

/* The same gradient by moe_learn: one case, one step. */
static void test_learn(void)
{
    int loss;

    for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++) {
        const moe_config config = config_of(3, loss, 0);
        const moe_data one = {1, x, d, NULL, NULL};
        static double before[512];
        double most = 0;
        moe_training t;
        moe m;
        size_t i;

        memset(&t, 0, sizeof t);
        t.rate = 0.01;
        CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
        shake(&m, 0.3);
        memcpy(before, m.params, m.trained_count * sizeof before[0]);
        moe_gradient(&m, &one);
        CHECK(moe_learn(&m, &one, &t) == 0);
        for (i = 0; i < m.trained_count; i++)
            most = fmax(most, fabs(before[i] - 0.01 * m.grads[i]
                                   - m.params[i]));
        CHECK_THAT(most < 1e-12, "off by %g", most);
        moe_close(&m);
    }
}

/* Weights so large that every o is 0 or 1: all stays finite. */
static void test_extremes(void)
{
    int loss;

    for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++) {
        const moe_config config = config_of(2, loss, 0);
        const moe_data data = {CASES, x, d, NULL, NULL};
        double y[2], deviation[2 * OUTPUTS], density[2];
        moe m;
        size_t i;

        CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
        for (i = 0; i < m.trained_count; i++)
            m.weights[i] *= 1e6;
        CHECK(is_finite(moe_gradient(&m, &data)));
        CHECK(all_finite(m.grads, m.trained_count));
        CHECK(moe_step(&m, NULL, 1) == MOE_OK);
        moe_density(&m, x, d, 2, density);
        CHECK(all_finite(density, 2) && density[0] < 0);
        moe_close(&m);
        (void)y, (void)deviation;
    }
}

/* Three labels of two numbers, which one network of no hidden layer cannot
   tell; accuracy counts a case whose labels are all right. */
static void test_learns(void)
{
    moe_config config = config_of(4, MOE_LOSS_MIXTURE, 0);
    moe_data data = {300, x, d, NULL, NULL};
    double y[OUTPUTS], deviation[OUTPUTS], right = 0;
    moe_training t;
    moe_report report;
    moe m;
    int i, j;

    for (i = 0; i < 300; i++) {
        x[2 * i] = uniform();
        x[2 * i + 1] = uniform();
        d[3 * i] = x[2 * i] > 0;
        d[3 * i + 1] = x[2 * i] * x[2 * i + 1] > 0;
        d[3 * i + 2] = x[2 * i + 1] > 0.2 || x[2 * i] > 0.5;
    }
    config.hidden[0] = 8;
    memset(&t, 0, sizeof t);
    t.epochs = 200;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    for (i = 0; i < 300; i++) {
        int all = 1;

        moe_predict_deviation(&m, x + 2 * i, 1, y, deviation);
        for (j = 0; j < OUTPUTS; j++) {
            all &= (y[j] > 0.5) == (d[3 * i + j] > 0.5);
            CHECK(fabs(deviation[j] - sqrt(y[j] * (1 - y[j]))) < 1e-12);
        }
        right += all;
    }
    CHECK_THAT(fabs(report.accuracy - right / 300) < 1e-9
               && report.accuracy > 0.9, "accuracy %g", report.accuracy);
    moe_close(&m);
}

static void test_refusals(void)
{
    const moe_config config = config_of(2, MOE_LOSS_MIXTURE, 0);
    static const int labels[CASES] = {0};
    moe_data data = {CASES, x, NULL, labels, NULL};
    moe_report report;
    moe m;

    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, NULL, NULL) == MOE_ERR_DATA);
    CHECK(strstr(m.error, "labels need softmax") != NULL);
    data.labels = NULL;
    data.d = d;
    d[4] = 1.5;
    CHECK(moe_train(&m, &data, NULL, NULL, &report) == MOE_ERR_DATA);
    CHECK(strstr(m.error, "[0,1]") != NULL);
    CHECK(report.bad_row == 1 && report.bad_column == 3);
    d[4] = 0.5;
    CHECK(moe_fit_variance(&m, &data) == MOE_ERR_STATE);
    CHECK(strstr(m.error, "deviation") != NULL);
    moe_close(&m);
}

static void test_file(void)
{
    const moe_config config = config_of(3, MOE_LOSS_BLEND, 2);
    static unsigned char file[1 << 14];
    double y[CASES * OUTPUTS], z[CASES * OUTPUTS];
    moe_config read;
    size_t bytes;
    moe m, n;
    int i;

    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    bytes = moe_save_bytes(&m, MOE_MODE_PREDICT);
    CHECK(bytes > 0 && bytes <= sizeof file);
    CHECK(moe_save_memory(&m, MOE_MODE_PREDICT, file, bytes) == MOE_OK);
    CHECK(moe_read_config(&read, file, bytes) == MOE_OK);
    CHECK(read.output == MOE_OUT_BERNOULLI);
    CHECK(moe_load_memory(&n, file, bytes, NULL, NULL, 0) == MOE_OK);
    moe_predict(&m, x, CASES, y);
    moe_predict(&n, x, CASES, z);
    for (i = 0; i < CASES * OUTPUTS; i++)
        CHECK(fabs(y[i] - z[i]) < 1e-6 && y[i] > 0 && y[i] < 1);
    moe_close(&m);
    moe_close(&n);
}

int main(void)
{
    fill_data();
    RUN(test_gradients());
    RUN(test_learn());
    RUN(test_extremes());
    RUN(test_refusals());
    RUN(test_file());
    RUN(test_learns());
    return check_done();
}
