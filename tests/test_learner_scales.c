/* test_learner_scales.c - scales can be measured again at any time: what was
   learnt stays to rounding, moments are cleared, a moe that began on one case
   goes on; and the default rate by depth. */
#include "models.h"

#define CASES 120
#define MAX_REALS 1024

static moe_real x[CASES * 3], d[CASES * 2];

/* Columns of unlike units; the third is constant. */
static void fill_data(double middle, double spread)
{
    int i;

    for (i = 0; i < CASES; i++) {
        x[3 * i] = (moe_real)(middle + spread * uniform());
        x[3 * i + 1] = (moe_real)(1e-3 * uniform() - 2e-3 * middle);
        x[3 * i + 2] = 7;
        d[2 * i] = (moe_real)(40 * fabs((double)x[3 * i] - middle) / spread);
        d[2 * i + 1] = (moe_real)(0.1 * (double)x[3 * i] + middle);
    }
}

static moe_config config_of(moe_output output, int top_k, moe_mode mode)
{
    moe_config config = make_config(3, 2, 3);

    config.top_k = top_k;
    config.hidden[0] = 4;
    config.gate_hidden[0] = top_k ? 5 : 0;
    config.activation = MOE_ACT_TANH;
    config.output = output;
    config.expert_inputs.first = top_k ? 1 : 0;
    config.mode = mode;
    return config;
}

/* Squash the targets of experts that are not linear. */
static void into_classes(void)
{
    int i;

    for (i = 0; i < CASES; i++) {
        d[2 * i] = (moe_real)(d[2 * i] > 20);
        d[2 * i + 1] = 1 - d[2 * i];
    }
}

static const moe_data data = {CASES, x, d, NULL, NULL};

static void check_folding(moe_output output, int top_k, moe_mode mode,
                          int listed)
{
    static moe_real before[2 * CASES], after[2 * CASES], scale[10];
    moe_config config = config_of(output, top_k, mode);
    moe_training t;
    double most = 0, off = 0, sigma;
    moe m;
    int i, moments = 0;

    config.expert_columns = listed ? "2,0" : NULL;
    config.gate_columns = listed ? "1,0-1" : NULL;
    memset(&t, 0, sizeof t);
    t.epochs = 20;
    t.rate = mode == MOE_MODE_TRAIN ? 0 : (moe_real)1e-3;
    fill_data(10, 3);
    if (output != MOE_OUT_LINEAR)
        into_classes();
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    if (mode == MOE_MODE_TRAIN)
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    else
        CHECK(moe_learn(&m, &data, &t) == 0);
    memcpy(scale, m.params + m.trained_count, sizeof scale);
    sigma = (double)(m.sigma[1] * scale[2]);
    fill_data(-50, 20);
    if (output != MOE_OUT_LINEAR)
        into_classes();
    moe_predict(&m, x, CASES, before);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    moe_predict(&m, x, CASES, after);
    for (i = 0; i < 2 * CASES; i++) {
        most = fmax(most, fabs((double)before[i]));
        off = fmax(off, fabs((double)(before[i] - after[i])));
    }
    CHECK_THAT(off <= 2e-4 * most + 2e-4, "output %d, top_k %d, listed %d: off "
               "by %g of %g", (int)output, top_k, listed, off, most);
    CHECK(memcmp(scale + 4, m.params + m.trained_count + 4,
                 2 * sizeof scale[0]) != 0);
    CHECK(m.params[m.trained_count + 6] == 7);
    CHECK((m.params[m.trained_count] == 0) == (output != MOE_OUT_LINEAR));
    if (output == MOE_OUT_LINEAR)
        CHECK(m.params[m.trained_count] != scale[0]);
    for (i = 0; i < (int)m.trained_count && mode == MOE_MODE_TRAIN; i++)
        moments += !is_zero(stored(&m, 0)[i])
                || !is_zero(stored(&m, 1)[i]);
    CHECK(moments == 0);
    CHECK(sigma > 0 && m.sigma[1] > 0);
    moe_close(&m);
}

static void test_folding(void)
{
    static const moe_output outputs[3] =
        {MOE_OUT_LINEAR, MOE_OUT_LOGISTIC, MOE_OUT_BERNOULLI};
    int i, k;

    for (i = 0; i < 3; i++)
        for (k = 0; k < 4; k++) {
            check_folding(outputs[i], k / 2 * 2, MOE_MODE_TRAIN, k % 2);
            check_folding(outputs[i], k / 2 * 2, MOE_MODE_LEARN, k % 2);
        }
}

/* The first case is far from the others and all that was measured: learning
   goes nowhere; measured anew, it does. */
static double error_of(moe *m)
{
    double sum = 0;
    int i;

    for (i = 0; i < CASES; i++) {
        moe_real y[2];
        moe_predict(m, x + 3 * i, 1, y);
        sum += pow((double)(y[0] - d[2 * i]), 2) / CASES;
    }
    return sum;
}

static void test_began_on_one(void)
{
    const moe_config config = config_of(MOE_OUT_LINEAR, 0, MOE_MODE_LEARN);
    moe_data one = {1, x, d, NULL, NULL};
    double error[2];
    int again, round;

    fill_data(1000, 100);
    for (again = 0; again < 2; again++) {
        moe m;

        CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
        CHECK(moe_fit_scales(&m, &one) == MOE_OK);
        moe_learn(&m, &one, NULL);
        if (again)
            CHECK(moe_fit_scales(&m, &data) == MOE_OK);
        for (round = 0; round < 60; round++)
            moe_learn(&m, &data, NULL);
        error[again] = error_of(&m);
        CHECK(all_finite(m.params, m.param_count));
        moe_close(&m);
    }
    CHECK_THAT(error[1] < 0.2 * error[0] && error[1] < 30, "%g, then %g",
               error[0], error[1]);
}

/* Weights that would leave the finite numbers keep their scale. */
static void test_extremes(void)
{
    const moe_config config = config_of(MOE_OUT_LINEAR, 0, MOE_MODE_TRAIN);
    moe m;
    int i;

    fill_data(1, 1);
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(moe_learn(&m, &data, NULL) == 0);
    for (i = 0; i < CASES; i++) {
        x[3 * i] = (moe_real)(i % 2 ? 3e37 : -3e37);
        d[2 * i] = (moe_real)(i % 2 ? 1e-37 : -1e-37);
    }
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    CHECK(all_finite(m.params, m.param_count));
    CHECK(m.sigma[0] > 0 && is_finite(m.sigma[0]));
    moe_close(&m);
}

/* Half the rate for each hidden layer but one: a step of Adam tells. */
static void test_rate_by_depth(void)
{
    static const double wanted[5] = {0.015, 0.015, 0.0075, 0.00375, 0.001875};
    int layers, l, of_gate;

    for (layers = 0; layers <= 4; layers++)
        for (of_gate = 0; of_gate < 2; of_gate++) {
            moe_config config = config_of(MOE_OUT_LINEAR, 0, MOE_MODE_TRAIN);
            moe_real before;
            moe m;

            config.hidden[0] = 0;
            for (l = 0; l < layers; l++)
                (of_gate ? config.gate_hidden : config.hidden)[l] = 3;
            CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
            before = m.params[0];
            m.grads[0] = 1;
            CHECK(moe_step(&m, NULL, 1) == MOE_OK);
            CHECK_THAT(fabs((double)(before - m.params[0]) - wanted[layers])
                       < 1e-5, "%d layers: %g", layers,
                       (double)(before - m.params[0]));
            moe_close(&m);
        }
}

int main(void)
{
    RUN(test_folding());
    RUN(test_began_on_one());
    RUN(test_extremes());
    RUN(test_rate_by_depth());
    return check_done();
}
