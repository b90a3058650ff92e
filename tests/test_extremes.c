/* test_extremes.c - the edges of what is allowed: numbers up to 1e30, one
   class, one expert, one case, x and y in one array, blocks that n does not
   fill; and what the public arrays show after each. */
#include "models.h"

enum { CASES = 45, MAX_COLUMNS = 8 };

static moe_config config_of(int inputs, int outputs, int experts)
{
    moe_config config = make_config(inputs, outputs, experts);

    config.block = 8;
    return config;
}

/* ---- what the public arrays show --------------------------------------- */

/* s, p, o, y of the cases whose h a gradient of data shows: its last ones. */
static int show_last(moe *m, const moe_data *data)
{
    const int rows = m->rows, block = m->config.block;

    CHECK(rows >= 1 && rows <= (data->n - 1) % block + 1);
    CHECK(moe_forward(m, data->x + (data->n - rows) * m->config.inputs, rows)
          == rows);
    return rows;
}

/* p = softmax(s) and sums to 1; y = sum_i p_i o_i. */
static void check_arrays(const moe *m)
{
    int E = m->config.experts, O = m->config.outputs, b, i, k;

    for (b = 0; b < m->rows; b++) {
        const moe_real *s = m->s + b * E, *p = m->p + b * E;
        double sum = 0, exps = 0, largest = (double)s[0];

        for (i = 0; i < E; i++) {
            sum += (double)p[i];
            largest = fmax(largest, (double)s[i]);
        }
        CHECK_THAT(fabs(sum - 1) < 1e-6 * E, "p sums to %.8f", sum);
        for (i = 0; i < E; i++)
            exps += exp((double)s[i] - largest);
        for (i = 0; i < E; i++)
            CHECK(fabs((double)p[i]
                       - exp((double)s[i] - largest) / exps) < 1e-5);
        for (k = 0; k < O; k++) {
            double y = 0, size = 1e-3;

            for (i = 0; i < E; i++) {
                double part =
                    (double)p[i] * (double)m->o[(b * E + i) * O + k];

                y += part;
                size += fabs(part);
            }
            CHECK(fabs((double)m->y[b * O + k] - y) < 1e-5 * size);
        }
    }
}

static double squared(double a)
{
    return a * a;
}

/* h_i = p_i exp(-e_i / (2 sigma^2)) / its sum, e_i in standardised units. */
static void check_posteriors(const moe *m, const moe_real *d)
{
    const moe_real *factor = m->params + m->trained_count + m->config.outputs;
    int E = m->config.experts, O = m->config.outputs, b, i, k;
    double sigma = (double)m->config.sigma, h[MAX_COLUMNS];

    for (b = 0; b < m->rows; b++) {
        double sum = 0, total = 0;

        for (i = 0; i < E; i++) {
            double e = 0;

            for (k = 0; k < O; k++)
                e += squared((double)(d[b * O + k]
                                      - m->o[(b * E + i) * O + k])
                             / (double)factor[k]);
            h[i] = (double)m->p[b * E + i] * exp(-e / (2 * sigma * sigma));
            sum += h[i];
        }
        for (i = 0; i < E; i++) {
            CHECK_THAT(fabs((double)m->h[b * E + i] - h[i] / sum) < 1e-4,
                       "h %g for %g", (double)m->h[b * E + i], h[i] / sum);
            total += (double)m->h[b * E + i];
        }
        CHECK_THAT(fabs(total - 1) < 1e-6 * E, "h sums to %.8f", total);
    }
}

static void test_arrays(void)
{
    static moe_real x[CASES * 3], d[CASES * 2], y[CASES * 2];
    moe_config config = config_of(3, 2, 4);
    moe_data data = make_data(CASES, x, d);
    moe m;
    int n;

    fill(x, CASES * 3);
    fill(d, CASES * 2);
    config.hidden[0] = 5;
    config.sigma = (moe_real)0.5;
    open_or_exit(&m, &config);
    stir(&m);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(m.config.sigma == (moe_real)0.5 && m.config.block == 8);
    for (n = 1; n <= CASES; n += 4) {
        int rows = (n - 1) % 8 + 1, first = n - rows;

        moe_predict(&m, x, n, y);
        CHECK(moe_forward(&m, x + first * 3, rows) == rows && m.rows == rows);
        CHECK(!memcmp(m.y, y + first * 2,
                      (size_t)rows * 2 * sizeof(moe_real)));
        check_arrays(&m);

        data.n = n;
        moe_gradient(&m, &data);
        rows = show_last(&m, &data);
        first = n - rows;
        check_arrays(&m);
        check_posteriors(&m, d + first * 2);
        CHECK(largest_difference(m.y, y + first * 2, rows * 2) < 1e-5);

        CHECK(moe_forward(&m, x, n) == (n < 8 ? n : 8));
        CHECK(m.rows == (n < 8 ? n : 8));
        CHECK(largest_difference(m.y, y, m.rows * 2) < 1e-5);
        check_arrays(&m);
    }
    moe_close(&m);
}

/* Without cases nothing happens, not even to y. */
static void test_no_cases(void)
{
    moe_config config = config_of(2, 1, 2);
    moe_real x[2], y[1];
    moe m;

    x[0] = x[1] = 1;
    y[0] = 77;
    open_or_exit(&m, &config);
    moe_predict(&m, x, 0, y);
    moe_predict(&m, x, -5, y);
    CHECK(y[0] == 77);
    CHECK(moe_forward(&m, x, 0) == 0);
    CHECK(moe_forward(&m, x, -1) == 0);
    moe_close(&m);
}

static void test_one_expert(void)
{
    static moe_real x[CASES * 2], d[CASES];
    moe_config config = config_of(2, 1, 1);
    moe_data data = make_data(CASES, x, d);
    moe m;
    int b;

    fill(x, CASES * 2);
    fill(d, CASES);
    config.hidden[0] = 3;
    config.gate_hidden[0] = 3;
    open_or_exit(&m, &config);
    stir(&m);
    moe_gradient(&m, &data);
    show_last(&m, &data);
    for (b = 0; b < m.rows; b++) {
        CHECK(m.p[b] == 1 && m.h[b] == 1 && m.s[b] == 0);
        CHECK(m.y[b] == m.o[b]);
    }
    moe_close(&m);
}

/* ---- blocks and aliasing ----------------------------------------------- */

static void test_block_sizes(void)
{
    static const int rows[5] = {1, 2, 7, CASES, 64};
    static moe_real x[CASES * 3], y[5][CASES * 2];
    moe_config config = config_of(3, 2, 5);
    int i;

    config.hidden[0] = 6;
    config.gate_hidden[0] = 4;
    fill(x, CASES * 3);
    for (i = 0; i < 5; i++) {
        moe m;

        config.block = rows[i];
        open_or_exit(&m, &config);
        random_state = 5;
        stir(&m);
        moe_predict(&m, x, CASES, y[i]);
        CHECK_THAT(largest_difference(y[i], y[0], CASES * 2) < 1e-5,
                   "rows %d", rows[i]);
        moe_close(&m);
    }
    CHECK(largest_difference(y[0], y[0] + CASES, CASES) > 0.1);
}

/* moe_predict may write over what it reads, whichever row is longer. */
static void check_aliasing(int inputs, int outputs)
{
    static moe_real x[CASES * MAX_COLUMNS], y[CASES * MAX_COLUMNS];
    static moe_real both[CASES * MAX_COLUMNS];
    moe_config config = config_of(inputs, outputs, 3);
    moe m;
    int n;

    config.hidden[0] = 4;
    open_or_exit(&m, &config);
    stir(&m);
    fill(x, CASES * inputs);
    for (n = 1; n <= CASES; n++) {
        size_t bytes = (size_t)(n * outputs) * sizeof(moe_real);
        int rows = n < 8 ? n : 8;

        moe_predict(&m, x, n, y);
        memset(both, 0, sizeof both);
        memcpy(both, x, (size_t)(n * inputs) * sizeof(moe_real));
        moe_predict(&m, both, n, both);
        CHECK_THAT(memcmp(both, y, bytes) == 0, "%d -> %d, n = %d", inputs,
                   outputs, n);
        CHECK(moe_forward(&m, x, n) == rows && m.rows == rows);
        CHECK(largest_difference(m.y, y, rows * outputs) < 1e-5);
        check_arrays(&m);
    }
    moe_close(&m);
}

static void test_aliasing(void)
{
    check_aliasing(5, 2);
    check_aliasing(3, 3);
    check_aliasing(2, 7);
    check_aliasing(1, 8);
    check_aliasing(8, 1);
}

/* ---- enormous numbers -------------------------------------------------- */

/* Forward, gradient and evaluation of data stay finite. */
static void check_finite(moe *m, const moe_data *data, const char *what)
{
    static moe_real y[CASES * MAX_COLUMNS];
    int E = m->config.experts, O = m->config.outputs;
    int loss = (int)m->config.loss, output = (int)m->config.output;
    moe_report report;
    moe_real sum;

    moe_predict(m, data->x, data->n, y);
    CHECK_THAT(all_finite(y, (size_t)(data->n * O)),
               "%s, loss %d, output %d", what, loss, output);
    sum = moe_gradient(m, data);
    CHECK_THAT(is_finite(sum), "%s, loss %d, output %d: sum %g", what, loss,
               output, (double)sum);
    show_last(m, data);
    CHECK(all_finite(m->p, (size_t)(m->rows * E)));
    CHECK(all_finite(m->h, (size_t)(m->rows * E)));
    CHECK(all_finite(m->s, (size_t)(m->rows * E)));
    CHECK(all_finite(m->o, (size_t)(m->rows * E * O)));
    check_arrays(m);
    CHECK(moe_evaluate(m, data, &report) == MOE_OK);
    CHECK_THAT(is_finite(report.loss), "%s, loss %d, output %d: %g",
               what, loss, output, (double)report.loss);
}

/* Rows of p and h still sum to 1 when logits are up to 1e30. */
static void check_sums(const moe *m)
{
    int E = m->config.experts, b, i;

    for (b = 0; b < m->rows; b++) {
        double p = 0, h = 0;

        for (i = 0; i < E; i++) {
            p += (double)m->p[b * E + i];
            h += (double)m->h[b * E + i];
        }
        CHECK(fabs(p - 1) < 1e-5 && fabs(h - 1) < 1e-5);
    }
}

static void check_gate_extreme(moe_loss loss, moe_output output)
{
    static moe_real x[CASES * 2], d[CASES * 3];
    moe_config config = config_of(2, 3, 4);
    moe_data data = make_data(CASES, x, d);
    moe_layer gate;
    moe m;
    int i;

    config.loss = loss;
    config.output = output;
    fill(x, CASES * 2);
    for (i = 0; i < CASES * 3; i++)
        d[i] = (moe_real)(i % 3 == i / 3 % 3);
    open_or_exit(&m, &config);
    gate = moe_layer_at(&config, 4, 0);
    for (i = 0; i < gate.in * gate.out; i++)
        m.weights[gate.weight + (size_t)i] = (moe_real)((i % 3 - 1) * 1e30);
    check_finite(&m, &data, "gate weights of 1e30");
    check_sums(&m);
    for (i = 0; i < gate.in * gate.out; i++)
        m.weights[gate.weight + (size_t)i] = 0;
    for (i = 0; i < gate.out; i++)
        m.weights[gate.bias + (size_t)i] = (moe_real)(i == 2 ? 1e30 : -1e30);
    check_finite(&m, &data, "gate biases of 1e30");
    check_sums(&m);
    CHECK(m.p[2] == 1 && m.p[0] == 0);
    moe_close(&m);
}

/* Every activation, with a hidden layer in experts and gate. */
static void check_input_extreme(moe_loss loss, moe_output output,
                                moe_activation activation)
{
    static moe_real x[CASES * 2], d[CASES * 3];
    moe_config config = config_of(2, 3, 4);
    moe_data data = make_data(CASES, x, d);
    moe m;
    int i;

    config.loss = loss;
    config.output = output;
    config.activation = activation;
    config.hidden[0] = 5;
    config.gate_hidden[0] = 3;
    for (i = 0; i < CASES * 2; i++)
        x[i] = (moe_real)(uniform() < 0 ? -1e30 : 1e30 * uniform());
    for (i = 0; i < CASES * 3; i++)
        d[i] = (moe_real)(i % 3 == i / 3 % 3);
    open_or_exit(&m, &config);
    stir(&m);
    check_finite(&m, &data, "inputs of 1e30");
    check_sums(&m);
    moe_close(&m);
}

static void test_enormous(void)
{
    static const moe_loss losses[3] =
        {MOE_LOSS_MIXTURE, MOE_LOSS_EXPECTED, MOE_LOSS_BLEND};
    static const moe_output outputs[3] =
        {MOE_OUT_LINEAR, MOE_OUT_LOGISTIC, MOE_OUT_SOFTMAX};
    static const moe_activation activations[5] =
        {MOE_ACT_RELU, MOE_ACT_TANH, MOE_ACT_LOGISTIC, MOE_ACT_ELU,
         MOE_ACT_SILU};
    int i, k;

    for (i = 0; i < 9; i++) {
        check_gate_extreme(losses[i / 3], outputs[i % 3]);
        for (k = 0; k < 5; k++)
            check_input_extreme(losses[i / 3], outputs[i % 3],
                                activations[k]);
    }
}

/* Training measures a column that reaches 1e30 and goes on. */
static void test_enormous_training(void)
{
    static moe_real x[CASES * 2], d[CASES];
    moe_config config = config_of(2, 1, 3);
    moe_data data = make_data(CASES, x, d);
    moe_training t;
    moe_report report;
    moe m;
    int i;

    for (i = 0; i < CASES; i++) {
        x[2 * i] = (moe_real)(1e30 * uniform());
        x[2 * i + 1] = (moe_real)uniform();
        d[i] = (moe_real)fabs((double)x[2 * i + 1]);
    }
    memset(&t, 0, sizeof t);
    t.epochs = 100;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK(all_finite(m.params, m.param_count));
    CHECK_THAT(report.squared_error < (moe_real)0.05, "squared error %g",
               (double)report.squared_error);
    moe_close(&m);
}

/* ---- one class --------------------------------------------------------- */

/* A class among one: every loss is 0, every answer 1, nothing to learn. */
static void check_one_class(moe_loss loss)
{
    static moe_real x[CASES * 2];
    static int labels[CASES];
    moe_config config = config_of(2, 1, 3);
    moe_data data = make_data(CASES, x, NULL);
    moe_training t;
    moe_report report;
    moe m;

    fill(x, CASES * 2);
    config.output = MOE_OUT_SOFTMAX;
    config.loss = loss;
    data.labels = labels;
    memset(&t, 0, sizeof t);
    t.epochs = 3;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    CHECK_THAT(fabs((double)report.loss) < 1e-6, "loss %g",
               (double)report.loss);
    CHECK(report.accuracy == 1 && report.squared_error < (moe_real)1e-6);
    CHECK(all_finite(m.params, m.param_count));
    moe_close(&m);
}

/* One of several classes is all there is. */
static void test_only_class(void)
{
    static moe_real x[CASES * 2], y[CASES * 3];
    static int labels[CASES];
    moe_config config = config_of(2, 3, 2);
    moe_data data = make_data(CASES, x, NULL);
    moe_training t;
    moe_report report;
    moe m;
    int i;

    fill(x, CASES * 2);
    for (i = 0; i < CASES; i++)
        labels[i] = 1;
    config.output = MOE_OUT_SOFTMAX;
    data.labels = labels;
    memset(&t, 0, sizeof t);
    t.epochs = 400;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK(report.accuracy == 1);
    CHECK(report.loss < (moe_real)0.05);
    moe_predict(&m, x, CASES, y);
    for (i = 0; i < CASES; i++)
        CHECK(y[3 * i + 1] > (moe_real)0.9);
    moe_close(&m);
}

int main(void)
{
    RUN(test_arrays());
    RUN(test_no_cases());
    RUN(test_one_expert());
    RUN(test_block_sizes());
    RUN(test_aliasing());
    RUN(test_enormous());
    RUN(test_enormous_training());
    RUN(check_one_class(MOE_LOSS_MIXTURE));
    RUN(check_one_class(MOE_LOSS_EXPECTED));
    RUN(check_one_class(MOE_LOSS_BLEND));
    RUN(test_only_class());
    return check_done();
}
