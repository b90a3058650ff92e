/* test_faults_numbers.c - what is written is finite: scales of any finite data,
   weights and moments after a step, what a training leaves; a training that is
   refused or diverges leaves the moe as it was; a column that was constant in
   training says nothing later.  Built with -ffast-math, too. */
#include "models.h"

enum { CASES = 96, MAX_VALUES = 1024, MAX_FILE = 65536 };

static int is_single(void)
{
    return sizeof(moe_real) == sizeof(float);
}

/* A number near the end of the range, of which `share` is 0..1. */
static moe_real huge(double share)
{
    return (moe_real)(share * (is_single() ? 3.4028234e38
                                           : 1.797693134862315e308));
}

/* And back; volatile, for the reciprocal of the largest may count as 0. */
static double share_of(moe_real a)
{
    volatile double small = (double)a * 1e-30;

    return small / ((double)huge(1) * 1e-30);
}

static moe_config config_of(int inputs, int outputs, int experts)
{
    moe_config config = make_config(inputs, outputs, experts);

    config.block = 16;
    return config;
}

static moe_training training_of(moe_optimizer optimizer, double rate)
{
    moe_training t = make_training(optimizer, rate);

    t.epochs = 1;
    return t;
}

static void open_small(moe *m, const moe_config *config)
{
    open_or_exit(m, config);
    if (!CHECK(m->param_count <= MAX_VALUES))
        exit(check_done());
}

/* |u| of the first of some inputs in [-1, 1). */
static void fill_problem(moe_real *x, moe_real *d, int n, int inputs)
{
    int i, j;

    random_state = 3;
    for (i = 0; i < n; i++) {
        for (j = 0; j < inputs; j++)
            x[i * inputs + j] = (moe_real)uniform();
        d[i] = (moe_real)fabs((double)x[i * inputs]);
    }
}

/* Scales behind the trained parameters: of d, then of x; shift, then factor. */
static const moe_real *scales(const moe *m)
{
    return m->params + m->trained_count;
}

static moe_real *factor_x(const moe *m)
{
    return m->weights + m->param_count - m->config.inputs;
}

static moe_real *shift_x(const moe *m)
{
    return factor_x(m) - m->config.inputs;
}

static int never_measured(const moe *m)
{
    int i, O = m->config.outputs, I = m->config.inputs;

    for (i = 0; i < O; i++)
        if (scales(m)[i] != 0 || scales(m)[O + i] != 1)
            return 0;
    for (i = 0; i < I; i++)
        if (shift_x(m)[i] != 0 || factor_x(m)[i] != 1)
            return 0;
    return 1;
}

static int predicts_finite(moe *m, const moe_data *data)
{
    static moe_real y[CASES * 4];

    moe_predict(m, data->x, data->n, y);
    return all_finite(y, (size_t)(data->n * m->config.outputs));
}

/* ---- measuring --------------------------------------------------------- */

/* Cases of one column, in shares of the largest number. */
static void check_measure(const double *share, int n, const char *what)
{
    static moe_real x[CASES], d[CASES];
    moe_config config = config_of(1, 1, 2);
    moe_data data = make_data(n, x, d);
    double mean = 0, square = 0, least = share[0], most = share[0];
    moe m;
    int i;

    for (i = 0; i < n; i++) {
        x[i] = d[i] = huge(share[i]);
        mean += share[i] / n;
        least = fmin(least, share[i]);
        most = fmax(most, share[i]);
    }
    for (i = 0; i < n; i++)
        square += (share[i] - mean) * (share[i] - mean) / n;
    open_small(&m, &config);
    CHECK_THAT(moe_fit_scales(&m, &data) == MOE_OK, "%s is measured", what);
    CHECK_THAT(all_finite(m.params, m.param_count),
               "%s: shift and factor are finite", what);
    CHECK_THAT(fabs(share_of(shift_x(&m)[0]) - mean) < 1e-5,
               "%s: the shift is the mean", what);
    CHECK_THAT(scales(&m)[0] == shift_x(&m)[0], "%s: d as x", what);
    if (least < most) {
        CHECK_THAT(fabs(share_of(scales(&m)[1]) - sqrt(square)) < 1e-5,
                   "%s: the factor is the deviation", what);
    } else {
        CHECK_THAT(scales(&m)[1] == 1, "%s: a constant's factor is 1", what);
    }
    moe_close(&m);
}

static void test_measure(void)
{
    static const double ends[2] = {1, -1}, starts[2] = {-1, 1};
    static const double one[3] = {1, 1, 1}, lone[3] = {-1, -1, -1};
    static const double most[5] = {-1, 1, 1, 1, 1};
    static const double near[4] = {0.88, -0.88, 0.1, -0.88};
    static const double far[3] = {0.9, 0.5, 0.9};
    double many[CASES];
    int i;

    check_measure(ends, 2, "the largest and its opposite");
    check_measure(starts, 2, "the least and its opposite");
    check_measure(one, 3, "a constant as large as can be");
    check_measure(lone, 3, "a constant as low as can be");
    check_measure(most, 5, "most at the other end");
    check_measure(near, 4, "3e38 and its like");
    check_measure(far, 3, "all on one side");
    for (i = 0; i < CASES; i++)
        many[i] = i == 0 ? -1 : 1;
    check_measure(many, CASES, "one against many");
    for (i = 0; i < CASES; i++)
        many[i] = uniform();
    check_measure(many, CASES, "all over the range");
}

/* The two ends of the range can be learnt from, or are refused; then the moe
   is as it was, and learns from other data what it would have learnt. */
static void check_huge_training(double a, double b, double c)
{
    static moe_real x[CASES], d[CASES], good_x[CASES], good_d[CASES];
    moe_config config = config_of(1, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_data good = make_data(CASES, good_x, good_d);
    moe_training t = training_of(MOE_ADAM, 0);
    moe_status status;
    moe m, spared;
    int i;

    fill_problem(good_x, good_d, CASES, 1);
    for (i = 0; i < CASES; i++) {
        x[i] = huge(i % 3 == 0 ? a : i % 3 == 1 ? b : c);
        d[i] = (moe_real)(i % 3);
    }
    t.epochs = 5;
    open_small(&m, &config);
    open_small(&spared, &config);
    status = moe_train(&m, &data, NULL, &t, NULL);
    CHECK_THAT(all_finite(m.params, m.param_count),
               "%g, %g and %g leave finite weights and scales", a, b, c);
    if (status == MOE_OK) {
        CHECK_THAT(predicts_finite(&m, &data), "%g, %g, %g", a, b, c);
    } else {
        CHECK_THAT(status == MOE_ERR_DIVERGED, "%g, %g, %g: %s", a, b, c,
                   moe_status_text(status));
        CHECK_THAT(never_measured(&m), "%g, %g, %g: scales are back", a, b, c);
        CHECK_THAT(!memcmp(m.params, spared.params,
                           m.param_count * sizeof(moe_real)),
                   "%g, %g, %g: weights are back", a, b, c);
        t.seed = 7;         /* the order of epochs goes on, so all in one */
        t.batch = MOE_ALL;
        CHECK(moe_train(&m, &good, NULL, &t, NULL) == MOE_OK);
        CHECK(moe_train(&spared, &good, NULL, &t, NULL) == MOE_OK);
        CHECK_THAT(!memcmp(m.params, spared.params,
                           m.param_count * sizeof(moe_real)),
                   "%g, %g, %g: good data are learnt as if nothing had been",
                   a, b, c);
    }
    moe_close(&m);
    moe_close(&spared);
}

static void test_huge_training(void)
{
    check_huge_training(0.88, -0.88, 0);
    check_huge_training(1, -1, -1);
    check_huge_training(-1, 1, 1);
    check_huge_training(1, 1, 0.999);
    check_huge_training(1, 1, 1);
}

/* Ends that lie evenly are no reason to refuse. */
static void test_even_ends(void)
{
    static moe_real x[2], d[2];
    moe_config config = config_of(1, 1, 2);
    moe_data data = make_data(2, x, d);
    moe_training t = training_of(MOE_ADAM, 0);
    moe_report report;
    moe m;

    x[0] = huge(0.88);
    x[1] = huge(-0.88);
    d[0] = 1;
    d[1] = 2;
    t.epochs = 300;
    open_small(&m, &config);
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK_THAT(report.squared_error < (moe_real)0.01, "squared error %g",
               (double)report.squared_error);
    moe_close(&m);
}

/* ---- steps ------------------------------------------------------------- */

/* A checkpoint of what is not finite is refused. */
static int moments_finite(const moe *m)
{
    return moe_save_bytes(m, MOE_MODE_TRAIN) > 0;
}

/* Steps along one weight until one is refused: what stands is finite all along,
   and the refused one leaves weights and moments as they were. */
static void check_steps(const moe_training *t, double g, int steps,
                        int must_end, const char *what)
{
    static moe_real before[MAX_VALUES];
    static unsigned char file[2][MAX_FILE];
    moe_config config = config_of(2, 1, 2);
    moe_status status = MOE_OK;
    size_t i, bytes;
    moe m;
    int k;

    open_small(&m, &config);
    for (i = 0; i < m.trained_count; i++)
        m.weights[i] = 0;
    bytes = moe_save_bytes(&m, MOE_MODE_TRAIN);
    for (k = 0; k < steps && status == MOE_OK; k++) {
        memcpy(before, m.params, m.param_count * sizeof(moe_real));
        if (is_single())
            CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, file[0], MAX_FILE)
                  == MOE_OK);
        m.grads[moe_layer_at(&config, 1, 0).weight] = (moe_real)g;
        status = moe_step(&m, t, 1);
        CHECK_THAT(all_finite(m.params, m.param_count),
                   "%s: step %d leaves finite weights", what, k + 1);
        if (is_single())
            CHECK_THAT(moments_finite(&m),
                       "%s: step %d leaves finite moments", what, k + 1);
    }
    if (must_end && is_single()) {
        CHECK_THAT(status == MOE_ERR_DIVERGED, "%s: %s", what,
                   moe_status_text(status));
        CHECK(m.error != NULL && strstr(m.error, "finite") != NULL);
        CHECK_THAT(!memcmp(before, m.params, m.param_count * sizeof(moe_real)),
                   "%s: the weights stay", what);
        CHECK_THAT(counts_as_zero(&m), "%s: the gradient goes", what);
        CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, file[1], MAX_FILE) == MOE_OK);
        CHECK_THAT(bytes <= MAX_FILE && !memcmp(file[0], file[1], bytes),
                   "%s: moments and counts stay", what);
    }
    moe_close(&m);
}

static void test_steps(void)
{
    moe_training t = training_of(MOE_SGD, 1e20);

    t.momentum = (moe_real)0.9;
    check_steps(&t, 1e18, 5, 1, "momentum at 1e20");
    t = training_of(MOE_SGD, 1e30);
    check_steps(&t, 3e8, 5, 1, "SGD at 1e30");
    t = training_of(MOE_ADAM, 1e20);
    t.weight_decay = (moe_real)1e20;
    check_steps(&t, 1, 3, 1, "rate and decay of 1e20");
    check_steps(&t, 0, 3, 1, "rate and decay of 1e20 on zeros");
    t = training_of(MOE_ADAM, 1e30);
    check_steps(&t, 1e19, 100, 0, "Adam at 1e30");
    t = training_of(MOE_SGD, 0.1);
    t.weight_decay = (moe_real)1e30;
    check_steps(&t, 1, 5, 1, "a decay of 1e30");
    t = training_of(MOE_SGD, 0.1);
    t.momentum = (moe_real)0.999;
    check_steps(&t, 1e36, 2000, 1, "a momentum that sums up");
    t = training_of(MOE_ADAM, 0.01);
    check_steps(&t, 1e25, 3, 1, "a square that no float holds");
}

/* A large step, a tiny rate; then a tiny step, a large rate. */
static void test_two_rates(void)
{
    moe_config config = config_of(2, 1, 2);
    moe_training low = training_of(MOE_ADAM, 1e-3);
    moe_training high = training_of(MOE_ADAM, 1e25);
    static moe_real before[MAX_VALUES];
    moe_status status;
    size_t i;
    moe m;

    open_small(&m, &config);
    for (i = 0; i < m.trained_count; i++)
        m.grads[i] = (moe_real)1e18;
    CHECK(moe_step(&m, &low, 1) == MOE_OK);
    memcpy(before, m.params, m.param_count * sizeof(moe_real));
    for (i = 0; i < m.trained_count; i++)
        m.grads[i] = 1;
    status = moe_step(&m, &high, 1);
    CHECK_THAT(all_finite(m.params, m.param_count), "%s: weights are finite",
               moe_status_text(status));
    CHECK(status == MOE_OK || !memcmp(before, m.params,
                                      m.param_count * sizeof(moe_real)));
    for (i = 0; i < m.trained_count; i++)
        m.grads[i] = 1;
    CHECK(moe_step(&m, &low, 1) == MOE_OK);
    CHECK(all_finite(m.params, m.param_count));
    moe_close(&m);
}

/* Weights that stand at the end of the range move no further. */
static void test_large_weights(void)
{
    moe_config config = config_of(2, 1, 2);
    moe_training t = training_of(MOE_SGD, 1e16);
    size_t i;
    moe m;

    open_small(&m, &config);
    for (i = 0; i < m.trained_count; i++) {
        m.weights[i] = huge(1);
        m.grads[i] = (moe_real)-1e18;
    }
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_DIVERGED);
    CHECK(all_finite(m.params, m.param_count) && m.weights[0] == huge(1));
    for (i = 0; i < m.trained_count; i++)
        m.grads[i] = -1;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    CHECK(all_finite(m.params, m.param_count));
    moe_close(&m);
}

/* A gradient of any finite size is used where the step is finite, and clipped
   to what was asked. */
static void test_large_gradient(void)
{
    moe_config config = config_of(2, 1, 2);
    moe_training t = training_of(MOE_SGD, 1e-30);
    double norm = 0;
    size_t i;
    moe m;

    open_small(&m, &config);
    for (i = 0; i < m.trained_count; i++) {
        m.weights[i] = 0;
        m.grads[i] = (moe_real)1e30;
    }
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    CHECK(fabs((double)m.weights[0] + 1) < 1e-5);
    for (i = 0; i < m.trained_count; i++) {
        m.weights[i] = 0;
        m.grads[i] = (moe_real)1e30;
    }
    t = training_of(MOE_SGD, 1);
    t.clip = 2;
    CHECK(moe_step(&m, &t, 1) == MOE_OK);
    for (i = 0; i < m.trained_count; i++)
        norm += (double)m.weights[i] * (double)m.weights[i];
    CHECK_THAT(fabs(sqrt(norm) - 2) < 1e-4, "clipped to %g", sqrt(norm));
    moe_close(&m);
}

/* NaN and infinity in any place of the gradient are found, by all vectors. */
static void check_bad_gradient(const moe_config *config)
{
    static moe_real before[MAX_VALUES];
    size_t i, at;
    moe m;

    open_small(&m, config);
    memcpy(before, m.params, m.param_count * sizeof(moe_real));
    for (at = 0; at < m.trained_count; at++) {
        for (i = 0; i < m.trained_count; i++)
            m.grads[i] = 1;
        m.grads[at] = at % 3 == 0 ? make_nan() : at % 3 == 1 ? make_infinity()
                                                             : -make_infinity();
        CHECK_THAT(moe_step(&m, NULL, 1) == MOE_ERR_DIVERGED,
                   "number %d of the gradient, simd %d", (int)at, config->simd);
        CHECK(!memcmp(before, m.params, m.param_count * sizeof(moe_real)));
    }
    moe_close(&m);
}

static void test_bad_gradient(void)
{
    static const int vectors[] = {0, 1, 128, 256, 512};
    moe_config config = config_of(3, 2, 3);
    int i;

    config.hidden[0] = 5;
    for (i = 0; i < 5; i++) {
        config.simd = vectors[i];
        if (moe_check_config(&config, NULL) == MOE_OK)
            check_bad_gradient(&config);
    }
}

/* ---- checkpoints ------------------------------------------------------- */

/* Where the numbers of a tensor begin in a file, and how many there are. */
static unsigned char *tensor(unsigned char *file, const char *name, int *count)
{
    unsigned long header = 0, from, to;
    const char *at;
    char *end;
    int i;

    for (i = 7; i >= 0; i--)
        header = header << 8 | file[i];
    at = strstr((const char *)file + 8, name);
    at = at ? strstr(at, "\"data_offsets\":[") : NULL;
    if (!CHECK(at != NULL))
        exit(check_done());
    from = strtoul(at + 16, &end, 10);
    to = strtoul(end + 1, NULL, 10);
    *count = (int)((to - from) / 4);
    return file + 8 + header + from;
}

static void put_float(unsigned char *to, double a)
{
    float number = (float)a;
    uint32_t bits;
    int i;

    memcpy(&bits, &number, sizeof bits);
    for (i = 0; i < 4; i++)
        to[i] = (unsigned char)(bits >> (8 * i));
}

/* A checkpoint with other moments than training makes: it is refused, or the
   steps that it leads to are finite or refused. */
static void check_moments(const char *name, double number, double rate)
{
    static moe_real x[CASES * 2], d[CASES], before[MAX_VALUES];
    static unsigned char file[MAX_FILE];
    moe_config config = config_of(2, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_ADAM, rate);
    moe_status status;
    unsigned char *at;
    size_t bytes;
    moe m;
    int i, count, k;

    fill_problem(x, d, CASES, 2);
    open_small(&m, &config);
    t.rate = 0;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    t.rate = (moe_real)rate;
    bytes = moe_save_bytes(&m, MOE_MODE_TRAIN);
    CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, file, sizeof file) == MOE_OK);
    moe_close(&m);
    at = tensor(file, name, &count);
    for (i = 0; i < count; i++)
        put_float(at + 4 * i, number);
    if (moe_load_memory(&m, file, bytes, NULL, NULL, 0) != MOE_OK)
        return;
    for (k = 0; k < 3; k++) {
        memcpy(before, m.params, m.param_count * sizeof(moe_real));
        moe_gradient(&m, &data);
        status = moe_step(&m, &t, (moe_real)(1.0 / (int)CASES));
        CHECK_THAT(all_finite(m.params, m.param_count),
                   "%s of %g: weights are finite", name, number);
        CHECK_THAT(status == MOE_OK || (status == MOE_ERR_DIVERGED &&
                   !memcmp(before, m.params, m.param_count * sizeof(moe_real))),
                   "%s of %g: a refused step changes nothing", name, number);
    }
    moe_close(&m);
    CHECK(moe_load_memory(&m, file, bytes, NULL, NULL, 0) == MOE_OK);
    t.epochs = 2;
    status = moe_train(&m, &data, NULL, &t, NULL);
    CHECK(status == MOE_OK || status == MOE_ERR_DIVERGED);
    CHECK_THAT(all_finite(m.params, m.param_count) &&
               predicts_finite(&m, &data), "%s of %g: trained, %s", name,
               number, moe_status_text(status));
    t.rate = 0;
    CHECK_THAT(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK,
               "%s of %g: sane steps go on", name, number);
    moe_close(&m);
}

static void test_checkpoints(void)
{
    check_moments("training.first", -3e38, 0);
    check_moments("training.first", 3e38, 1e3);
    check_moments("training.first", 1e30, 0);
    check_moments("training.first", 1e17, 1e30);
    check_moments("training.second", 3e38, 0);
    check_moments("training.second", 1e36, 1e30);
}

/* ---- training ---------------------------------------------------------- */

/* MOE_OK: finite predictions.  MOE_ERR_DIVERGED: the best weights that were
   measured finite, which predict finite numbers, too. */
static void check_trained(moe_optimizer optimizer, double rate, int epochs,
                          int hidden, int validated)
{
    static moe_real x[CASES * 2], d[CASES];
    moe_config config = config_of(2, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(optimizer, rate);
    moe_status status;
    moe_report report;
    moe m;

    fill_problem(x, d, CASES, 2);
    config.hidden[0] = config.hidden[1] = hidden;
    t.epochs = epochs;
    open_small(&m, &config);
    status = moe_train(&m, &data, validated ? &data : NULL, &t, &report);
    CHECK_THAT(status == MOE_OK || status == MOE_ERR_DIVERGED, "%s",
               moe_status_text(status));
    CHECK_THAT(predicts_finite(&m, &data),
               "rate %g, %d epochs, hidden %d: %s, but y is not finite", rate,
               epochs, hidden, moe_status_text(status));
    CHECK_THAT(all_finite(m.params, m.param_count), "rate %g", rate);
    CHECK_THAT(is_finite(report.loss) && is_finite(report.valid_loss) &&
               is_finite(report.squared_error) &&
               is_finite(report.gate_entropy) && is_finite(report.imbalance),
               "rate %g: the report is finite", rate);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    CHECK_THAT(is_finite(report.loss), "rate %g: the loss is finite", rate);
    moe_close(&m);
}

static void test_trained(void)
{
    static const double rate[9] = {1, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1e24,
                                   1e30};
    int i, hidden, epochs, validated;

    for (i = 0; i < 9; i++)
        for (hidden = 0; hidden <= 4; hidden += 4)
            for (epochs = 1; epochs <= 3; epochs++)
                for (validated = 0; validated < 2; validated++) {
                    check_trained(MOE_ADAM, rate[i], epochs, hidden, validated);
                    check_trained(MOE_SGD, rate[i], epochs, hidden, validated);
                }
}

/* A step that is finite, and weights that no prediction survives. */
static void test_last_step(void)
{
    static moe_real x[CASES * 2], d[CASES], before[MAX_VALUES];
    moe_config config = config_of(2, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_ADAM, is_single() ? 1e18 : 1e30);
    moe_report start, end;
    moe m;

    fill_problem(x, d, CASES, 2);
    config.hidden[0] = config.hidden[1] = 4;
    config.hidden[2] = config.hidden[3] = 4;
    t.batch = MOE_ALL;
    open_small(&m, &config);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &start) == MOE_OK);
    memcpy(before, m.params, m.param_count * sizeof(moe_real));
    if (is_single()) {
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_DIVERGED);
        CHECK(m.error != NULL && strstr(m.error, "finite") != NULL);
        CHECK(!memcmp(before, m.params, m.param_count * sizeof(moe_real)));
    }
    CHECK(moe_evaluate(&m, &data, &end) == MOE_OK && end.loss == start.loss);
    moe_close(&m);
}

/* Targets that no y of the user's units can reach without leaving the range:
   whatever the status, what is predicted after MOE_OK is finite. */
static void test_huge_targets(void)
{
    static moe_real x[CASES], d[CASES];
    moe_config config = config_of(1, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_ADAM, 0);
    moe_status status;
    moe m;
    int i;

    for (i = 0; i < CASES; i++) {
        x[i] = (moe_real)uniform();
        d[i] = huge(x[i] > 0 ? 1 : -1);
    }
    t.epochs = 100;
    open_small(&m, &config);
    status = moe_train(&m, &data, NULL, &t, NULL);
    CHECK(status == MOE_OK || status == MOE_ERR_DIVERGED);
    CHECK(predicts_finite(&m, &data));
    CHECK(all_finite(m.params, m.param_count));
    moe_close(&m);
}

/* ---- validation -------------------------------------------------------- */

/* A validation row that the moe cannot answer is refused, with the row, before
   anything was learnt; and all is as it was. */
static void check_validation(int row, double share, int trained)
{
    static moe_real x[CASES * 2], d[CASES], far[CASES * 2];
    static moe_real before[MAX_VALUES];
    moe_config config = config_of(2, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_data valid = make_data(CASES / 2, far, d);
    moe_training t = training_of(MOE_ADAM, 0);
    moe_report report;
    int i, epoch;
    moe m;

    fill_problem(x, d, CASES, 2);
    for (i = 0; i < CASES; i++) {
        x[2 * i] *= (moe_real)1e-3;
        x[2 * i + 1] *= (moe_real)1e-3;
        far[2 * i] = x[2 * i];
        far[2 * i + 1] = x[2 * i + 1];
    }
    far[2 * row + 1] = huge(share);
    t.epochs = 3;
    open_small(&m, &config);
    if (trained)
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    epoch = m.epoch;
    memcpy(before, m.params, m.param_count * sizeof(moe_real));
    CHECK_THAT(moe_train(&m, &data, &valid, &t, &report) == MOE_ERR_DATA,
               "row %d: refused", row);
    CHECK_THAT(report.bad_row == CASES + row, "row %d: told as %d", row,
               report.bad_row);
    CHECK(m.error != NULL && strstr(m.error, "finite") != NULL);
    CHECK_THAT(!memcmp(before, m.params, m.param_count * sizeof(moe_real)),
               "row %d: weights and scales stay", row);
    CHECK(m.epoch == epoch && (trained || never_measured(&m)));
    valid.x = x;
    CHECK(moe_train(&m, &data, &valid, &t, &report) == MOE_OK);
    CHECK_THAT(is_finite(report.valid_loss) && !never_measured(&m),
               "row %d: good data are learnt after it", row);
    moe_close(&m);
}

static void test_validation(void)
{
    check_validation(0, 1, 0);
    check_validation(17, -1, 0);
    check_validation(CASES / 2 - 1, 0.9, 0);
    check_validation(5, 0.9, 1);
}

/* Evaluating what cannot be answered is refused in the same way. */
static void test_evaluation(void)
{
    static moe_real x[CASES * 2], d[CASES];
    moe_config config = config_of(2, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_report report;
    moe m;

    fill_problem(x, d, CASES, 2);
    open_small(&m, &config);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    m.weights[0] = huge(1);
    m.weights[1] = huge(1);
    m.weights[2] = m.weights[3] = huge(1);
    x[2 * 40] = x[2 * 40 + 1] = 100;
    x[2 * 70] = x[2 * 70 + 1] = -100;
    CHECK(moe_evaluate(&m, &data, &report) == MOE_ERR_DATA);
    CHECK_THAT(report.bad_row >= 0 && report.bad_row <= 70, "row %d",
               report.bad_row);
    moe_close(&m);
}

/* ---- columns that say nothing ------------------------------------------ */

/* Deviation of y from what it was, in deviations of d, when the constant
   columns move by `off`. */
static double moved(moe *m, const moe_real *x, int n, double off)
{
    static moe_real other[CASES * 3], y[2][CASES];
    double most = 0, deviation = (double)scales(m)[1];
    int i;

    for (i = 0; i < n; i++) {
        other[3 * i] = x[3 * i];
        other[3 * i + 1] = (moe_real)((double)x[3 * i + 1] + off);
        other[3 * i + 2] = (moe_real)((double)x[3 * i + 2] + off);
    }
    moe_predict(m, x, n, y[0]);
    moe_predict(m, other, n, y[1]);
    for (i = 0; i < n; i++)
        most = fmax(most, fabs((double)(y[1][i] - y[0][i])) / deviation);
    return most;
}

static void check_constant(int hidden, int gate_hidden, int gate_first,
                           int measured)
{
    static moe_real x[CASES * 3], d[CASES];
    moe_config config = config_of(3, 1, 3);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(MOE_ADAM, 0);
    moe_layer layer;
    moe m;
    int i, e, k;

    fill_problem(x, d, CASES, 3);
    for (i = 0; i < CASES; i++) {
        x[3 * i + 1] = (moe_real)1e6;
        x[3 * i + 2] = -5;
    }
    config.hidden[0] = hidden;
    config.gate_hidden[0] = gate_hidden;
    config.gate_inputs.first = gate_first;
    config.expert_inputs.count = 2;
    t.epochs = 20;
    t.keep_units = measured;
    open_small(&m, &config);
    if (measured)
        CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    for (e = 0; e <= 3 && measured; e++) {
        int first = e < 3 ? 0 : gate_first;

        layer = moe_layer_at(&config, e, 0);
        for (i = 0; i < layer.in * layer.out; i++) {
            int column = first + i / layer.out;
            moe_real w = m.weights[layer.weight + (size_t)i];

            CHECK_THAT(column > 0 ? w == 0 : w != 0 || (e == 3 && !gate_hidden),
                       "expert %d, column %d: %g", e, column, (double)w);
        }
    }
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK_THAT(moved(&m, x, CASES, 1000) < 1e-6,
               "hidden %d, gate %d from %d: y moves by %g deviations of d",
               hidden, gate_hidden, gate_first, moved(&m, x, CASES, 1000));
    for (i = 0; i < CASES; i++) {       /* later the column says something */
        x[3 * i + 1] = (moe_real)(1e6 + i % 2);
        d[i] = (moe_real)(i % 2);
    }
    t.epochs = 30;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    for (e = k = 0; e < 3; e++) {
        layer = moe_layer_at(&config, e, 0);
        for (i = 0; i < layer.out; i++)
            k += m.weights[layer.weight + (size_t)(layer.out + i)] != 0;
    }
    CHECK_THAT(k > 0, "hidden %d, gate %d: it learns from the column later",
               hidden, gate_hidden);
    moe_close(&m);
}

static void test_constant(void)
{
    int measured;

    for (measured = 0; measured < 2; measured++) {
        check_constant(0, 0, 0, measured);
        check_constant(8, 0, 0, measured);
        check_constant(8, 6, 0, measured);
        check_constant(8, 6, 1, measured);
        check_constant(0, 6, 2, measured);
    }
}

/* Measured again before anything was learnt, a column stays at 0 and learns. */
static void test_measured_again(void)
{
    static moe_real x[CASES * 2], flat[CASES * 2], d[CASES];
    moe_config config = config_of(2, 1, 2);
    moe_data data = make_data(CASES, x, d);
    moe_data constant = make_data(CASES, flat, d);
    moe_training t = training_of(MOE_ADAM, 0);
    moe_report report;
    moe m;

    fill_problem(x, d, CASES, 2);
    config.hidden[0] = 8;
    open_small(&m, &config);
    CHECK(moe_fit_scales(&m, &constant) == MOE_OK);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    t.epochs = 300;
    CHECK(moe_train(&m, &data, NULL, &t, &report) == MOE_OK);
    CHECK_THAT(report.squared_error < (moe_real)0.01, "squared error %g",
               (double)report.squared_error);
    moe_close(&m);
}

int main(void)
{
    RUN(test_measure());
    RUN(test_huge_training());
    RUN(test_even_ends());
    RUN(test_steps());
    RUN(test_two_rates());
    RUN(test_large_weights());
    RUN(test_large_gradient());
    RUN(test_bad_gradient());
    RUN(test_checkpoints());
    RUN(test_trained());
    RUN(test_last_step());
    RUN(test_huge_targets());
    RUN(test_validation());
    RUN(test_evaluation());
    RUN(test_constant());
    RUN(test_measured_again());
    return check_done();
}
