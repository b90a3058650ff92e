/* test_scales.c - shift and scale of x and d: measured exactly even where the
   spread is small beside the mean, kept once settled, and invisible to the
   user, whose units go in and come out. */
#include "models.h"

#define CASES 200
#define MANY 1000000

static moe_training training_of(int epochs)
{
    moe_training t = make_training(MOE_ADAM, 0);

    t.epochs = epochs;
    return t;
}

/* The scales behind the trained parameters: shift then factor, d then x.
   x's factor is 1 / deviation, d's is the deviation. */
static const moe_real *d_shift(const moe *m)
{
    return m->params + m->trained_count;
}

static const moe_real *d_factor(const moe *m)
{
    return d_shift(m) + m->config.outputs;
}

static const moe_real *x_shift(const moe *m)
{
    return d_factor(m) + m->config.outputs;
}

static const moe_real *x_factor(const moe *m)
{
    return x_shift(m) + m->config.inputs;
}

static size_t scale_bytes(const moe *m)
{
    return (m->param_count - m->trained_count) * sizeof(moe_real);
}

/* ---- measuring --------------------------------------------------------- */

static void test_before_measuring(void)
{
    moe_config config = make_config(3, 2, 2);
    moe m;
    int i;

    open_or_exit(&m, &config);
    CHECK(m.param_count - m.trained_count == 10);
    for (i = 0; i < 2; i++)
        CHECK(d_shift(&m)[i] == 0 && d_factor(&m)[i] == 1);
    for (i = 0; i < 3; i++)
        CHECK(x_shift(&m)[i] == 0 && x_factor(&m)[i] == 1);
    moe_close(&m);
}

/* Mean and standard deviation of a column, in double and in two passes. */
static void moments(const moe_real *a, int n, int stride,
                    double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    int i;

    for (i = 0; i < n; i++)
        sum += (double)a[i * stride];
    *mean = sum / n;
    for (i = 0; i < n; i++) {
        double difference = (double)a[i * stride] - *mean;

        squares += difference * difference;
    }
    *deviation = sqrt(squares / n);
}

/* Air pressure in Pa: float holds it to 1/128, and a naive sum of squares of
   a million of them keeps nothing of the variance. */
static void test_pressure(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_real *x = (moe_real *)malloc(MANY * sizeof *x);
    moe_data data;
    double mean, deviation;
    moe m;
    int i;

    if (!x)
        exit(1);
    for (i = 0; i < MANY; i++)
        x[i] = (moe_real)(101325 + 50 * (uniform() + uniform()
                                         + uniform()));
    data = make_data(MANY, x, x);
    moments(x, MANY, 1, &mean, &deviation);
    open_or_exit(&m, &config);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK_THAT(fabs((double)x_shift(&m)[0] - mean) < 0.01,
               "mean %.4f for %.4f", (double)x_shift(&m)[0], mean);
    CHECK_THAT(relative(1 / (double)x_factor(&m)[0], deviation) < 1e-3,
               "deviation %.5f for %.5f", 1 / (double)x_factor(&m)[0],
               deviation);
    CHECK(fabs((double)d_shift(&m)[0] - mean) < 0.01);
    CHECK(relative((double)d_factor(&m)[0], deviation) < 1e-3);
    moe_close(&m);
    free(x);
}

/* Columns of every size, and one that begins far from where it stays. */
static void test_columns(void)
{
    enum { COLUMNS = 6 };
    static const double middle[COLUMNS] = {0, -3, 5e5, 0, 1e-12, 0};
    static const double spread[COLUMNS] = {1, 1e-3, 1, 1e15, 1e-13, 1};
    static moe_real x[CASES * COLUMNS], d[CASES];
    moe_config config = make_config(COLUMNS, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe m;
    int i;

    for (i = 0; i < CASES * COLUMNS; i++)
        x[i] = (moe_real)(middle[i % COLUMNS]
                          + spread[i % COLUMNS] * uniform());
    x[COLUMNS - 1] = 1000;
    for (i = 0; i < CASES; i++)
        d[i] = (moe_real)uniform();
    open_or_exit(&m, &config);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    for (i = 0; i < COLUMNS; i++) {
        double mean, deviation;

        moments(x + i, CASES, COLUMNS, &mean, &deviation);
        CHECK_THAT(fabs((double)x_shift(&m)[i] - mean) < 1e-3 * deviation +
                       1e-6 * fabs(mean),
                   "column %d: %g for %g", i, (double)x_shift(&m)[i], mean);
        CHECK_THAT(relative(1 / (double)x_factor(&m)[i], deviation) < 1e-3,
                   "column %d: %g for %g", i, 1 / (double)x_factor(&m)[i],
                   deviation);
    }
    moe_close(&m);
}

static void test_constant(void)
{
    static const double value[5] = {0, 5, 101325.7, 1e30, -1e-30};
    static moe_real x[CASES * 5], d[CASES], y[CASES];
    moe_config config = make_config(5, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(3);
    moe_report report;
    moe m;
    int i;

    for (i = 0; i < CASES * 5; i++)
        x[i] = (moe_real)value[i % 5];
    for (i = 0; i < CASES; i++)
        d[i] = 7;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    for (i = 0; i < 5; i++) {
        CHECK_THAT(x_factor(&m)[i] == 1, "column %d: %g", i,
                   (double)x_factor(&m)[i]);
        CHECK(x_shift(&m)[i] == (moe_real)value[i]);
    }
    CHECK(d_shift(&m)[0] == 7 && d_factor(&m)[0] == 1);
    CHECK(is_finite(report.loss) && is_finite(report.squared_error));
    moe_predict(&m, x, CASES, y);
    CHECK(fabs((double)y[CASES - 1] - 7) < 1);
    moe_close(&m);
}

/* Only linear outputs have a scale of d. */
static void test_classes(void)
{
    static moe_real x[CASES], d[CASES];
    static int labels[CASES];
    moe_config config = make_config(1, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe m;
    int i;

    for (i = 0; i < CASES; i++) {
        x[i] = (moe_real)(40 + 3 * uniform());
        d[i] = (moe_real)(i % 2);
        labels[i] = i % 3;
    }
    config.output = MOE_OUT_LOGISTIC;
    open_or_exit(&m, &config);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(d_shift(&m)[0] == 0 && d_factor(&m)[0] == 1);
    CHECK(fabs((double)x_shift(&m)[0] - 40) < 1 && x_factor(&m)[0] != 1);
    moe_close(&m);

    config.output = MOE_OUT_SOFTMAX;
    config.outputs = 3;
    data.d = NULL;
    data.labels = labels;
    open_or_exit(&m, &config);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    for (i = 0; i < 3; i++)
        CHECK(d_shift(&m)[i] == 0 && d_factor(&m)[i] == 1);
    CHECK(fabs((double)x_shift(&m)[0] - 40) < 1);
    moe_close(&m);
}

/* ---- what they do ------------------------------------------------------ */

/* |u| in two regimes over u in [-1,1), in units of the caller's choice. */
static void make_problem(moe_real *x, moe_real *d, double x_middle,
                         double x_spread, double d_middle, double d_spread)
{
    int i;

    random_state = 7;
    for (i = 0; i < CASES; i++) {
        double u = uniform();

        x[i] = (moe_real)(x_middle + x_spread * u);
        d[i] = (moe_real)(d_middle + d_spread * fabs(u));
    }
}

static void test_user_units(void)
{
    static moe_real x[CASES], d[CASES], y[CASES];
    moe_config config = make_config(1, 1, 4);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(60);
    moe_report report;
    double squares = 0;
    moe m;
    int i;

    make_problem(x, d, 300, 20, 1000, 50);
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    moe_predict(&m, x, CASES, y);
    for (i = 0; i < CASES; i++) {
        double error = (double)(d[i] - y[i]);

        squares += error * error / CASES;
    }
    CHECK_THAT(sqrt(squares) < 5, "root mean square %g", sqrt(squares));
    CHECK_THAT(relative((double)report.squared_error, squares) < 1e-3,
               "squared error %g for %g", (double)report.squared_error,
               squares);
    CHECK(moe_forward(&m, x, CASES) > 0);
    for (i = 0; i < 4 * m.rows; i++)
        CHECK(m.o[i] > 500 && m.o[i] < 1500);
    moe_close(&m);
}

/* The loss after a training, in standardised units: any two units agree. */
static double loss_in_units(moe_loss loss, double x_middle, double x_spread,
                            double d_middle, double d_spread)
{
    static moe_real x[CASES], d[CASES];
    moe_config config = make_config(1, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(60);
    moe_report report;
    moe m;

    make_problem(x, d, x_middle, x_spread, d_middle, d_spread);
    config.loss = loss;
    config.sigma = 1;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    moe_close(&m);
    return (double)report.loss;
}

static void test_any_units(void)
{
    static const moe_loss losses[3] =
        {MOE_LOSS_MIXTURE, MOE_LOSS_EXPECTED, MOE_LOSS_BLEND};
    int i;

    for (i = 0; i < 3; i++) {
        double standard = loss_in_units(losses[i], 0, 1, 0, 1);
        double raw = loss_in_units(losses[i], 0, 1e6, 0, 1e-6);
        double offset = loss_in_units(losses[i], 1e4, 100, -20, 3);

        CHECK_THAT(standard < 0.3, "loss %d: %g", i, standard);
        CHECK_THAT(fabs(raw - standard) < 0.02 * standard + 0.005,
                   "loss %d: raw %g, standard %g", i, raw, standard);
        CHECK_THAT(fabs(offset - standard) < 0.02 * standard + 0.005,
                   "loss %d: offset %g, standard %g", i, offset, standard);
    }
}

/* y = shift + factor * y', by other scales over the same networks. */
static void test_formula(void)
{
    static const moe_real scale[6] = {10, -4, 2, (moe_real)0.5, 3,
                                      (moe_real)0.25};
    moe_config config = make_config(1, 2, 3);
    moe_real x[1], y[2], z[1], plain[2];
    moe m;
    int i;

    config.hidden[0] = 4;
    open_or_exit(&m, &config);
    x[0] = 5;
    z[0] = (x[0] - scale[4]) * scale[5];
    moe_predict(&m, z, 1, plain);
    memcpy(m.weights + m.trained_count, scale, sizeof scale);
    moe_predict(&m, x, 1, y);
    CHECK(moe_forward(&m, x, 1) == 1);
    for (i = 0; i < 2; i++) {
        double wanted = (double)(scale[i] + scale[2 + i] * plain[i]);

        CHECK(fabs((double)y[i] - wanted) < 1e-5);
        CHECK(m.y[i] == y[i]);
    }
    moe_close(&m);
}

static void test_single_case(void)
{
    static moe_real x[2], d[1];
    moe_real y[1];
    moe_config config = make_config(2, 1, 3);
    moe_data data = make_data(1, x, d);
    moe_training t = training_of(20);
    moe_report report;
    moe m;
    size_t i;

    x[0] = 3;
    x[1] = -400;
    d[0] = 12;
    config.hidden[0] = 4;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, &data, &t, &report) == MOE_OK);
    for (i = 0; i < m.param_count; i++)
        CHECK(is_finite(m.params[i]));
    CHECK(is_finite(report.loss) && is_finite(report.valid_loss));
    CHECK(is_finite(report.gate_entropy) && is_finite(report.imbalance));
    moe_predict(&m, x, 1, y);
    CHECK_THAT(fabs((double)y[0] - 12) < 1, "%g", (double)y[0]);
    moe_close(&m);
}

/* ---- when they are settled --------------------------------------------- */

static void test_keep_units(void)
{
    static moe_real x[CASES], d[CASES];
    moe_config config = make_config(1, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(2);
    moe m;

    make_problem(x, d, 30, 2, 9, 4);
    t.keep_units = 1;
    open_or_exit(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(d_shift(&m)[0] == 0 && d_factor(&m)[0] == 1);
    CHECK(x_shift(&m)[0] == 0 && x_factor(&m)[0] == 1);
    t.keep_units = 0;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(x_shift(&m)[0] == 0 && x_factor(&m)[0] == 1);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);     /* asked for, it does */
    CHECK(x_shift(&m)[0] != 0 && x_factor(&m)[0] != 1);
    moe_close(&m);
}

static void test_later_calls(void)
{
    static moe_real x[CASES], d[CASES], other_x[CASES], other_d[CASES];
    moe_config config = make_config(1, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_data other = make_data(CASES, other_x, other_d);
    moe_training t = training_of(2);
    moe_real scale[4];
    moe measured, trained;

    make_problem(x, d, 30, 2, 9, 4);
    make_problem(other_x, other_d, -10, 1, 3, 30);
    open_or_exit(&measured, &config);
    open_or_exit(&trained, &config);
    CHECK(moe_fit_scales(&measured, &data) == MOE_OK);
    CHECK(moe_train(&trained, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(scale_bytes(&trained) == sizeof scale);
    memcpy(scale, d_shift(&measured), sizeof scale);
    CHECK(memcmp(scale, d_shift(&trained), sizeof scale) == 0);

    CHECK(moe_train(&trained, &other, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_train(&measured, &other, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_step(&measured, NULL, 1) == MOE_OK);
    CHECK(memcmp(scale, d_shift(&trained), sizeof scale) == 0);
    CHECK(memcmp(scale, d_shift(&measured), sizeof scale) == 0);
    moe_close(&measured);
    moe_close(&trained);
}

/* Measuring may be repeated; what was learnt stays, see test_learner_scales. */
static void test_measure_again(void)
{
    static moe_real x[CASES], d[CASES], other_x[CASES], other_d[CASES];
    moe_config config = make_config(1, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_data other = make_data(CASES, other_x, other_d);
    moe m;

    make_problem(x, d, 30, 2, 9, 4);
    make_problem(other_x, other_d, -10, 1, 3, 30);
    open_or_exit(&m, &config);
    CHECK(moe_fit_scales(&m, &other) == MOE_OK);
    CHECK(fabs((double)x_shift(&m)[0] + 10) < 0.2);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(fabs((double)x_shift(&m)[0] - 30) < 0.4);
    CHECK(moe_gradient(&m, &data) > 0);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(moe_step(&m, NULL, 1) == MOE_OK);
    CHECK(moe_fit_scales(&m, &other) == MOE_OK);
    CHECK(fabs((double)x_shift(&m)[0] + 10) < 0.2);
    moe_close(&m);
}

int main(void)
{
    RUN(test_before_measuring());
    RUN(test_pressure());
    RUN(test_columns());
    RUN(test_constant());
    RUN(test_classes());
    RUN(test_user_units());
    RUN(test_any_units());
    RUN(test_formula());
    RUN(test_single_case());
    RUN(test_keep_units());
    RUN(test_later_calls());
    RUN(test_measure_again());
    return check_done();
}
