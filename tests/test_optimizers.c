/* test_optimizers.c - Adam and SGD against PyTorch's, step by step for 1,001
   steps: reference/optimizers.py made the numbers. */
#include "models.h"
#include "optimizer_vectors.h"

enum { STEPS = 1001, EVERY = 100, PARAMS = 13 };

/* In double all of the printed digits but the last few; floats drift apart by
   some roundings in each step, of numbers up to a thousand. */
static double bound(void)
{
    return sizeof(moe_real) == sizeof(float) ? 2e-4 : 1e-11;
}

static void open_network(moe *m)
{
    moe_config config = make_config(2, 1, 1);
    int i;

    config.hidden[0] = 3;
    config.hidden[1] = 0;
    config.activation = MOE_ACT_LOGISTIC;
    config.output = MOE_OUT_LOGISTIC;
    if (moe_open(m, &config, NULL, 0) != MOE_OK)
        exit(1);
    CHECK(m->trained_count == PARAMS);
    for (i = 0; i < PARAMS; i++)
        m->weights[i] = (moe_real)first_params[i];
}

static void follow(moe_optimizer optimizer, double rate, const double *after)
{
    const moe_real ones[3] = {1, 1, 1};
    moe_real x[6];
    moe_training t;
    double worst = 0;
    int step, i;
    moe m;

    memset(&t, 0, sizeof t);
    t.optimizer = optimizer;
    t.rate = (moe_real)rate;
    for (i = 0; i < 6; i++)
        x[i] = (moe_real)cases_x[i];
    open_network(&m);
    for (step = 0; step < STEPS; step++) {
        CHECK(moe_forward(&m, x, 3) == 3);
        moe_backward(&m, ones, NULL);
        CHECK(moe_step(&m, &t, 1) == MOE_OK);
        for (i = 0; i < PARAMS && step % EVERY == 0; i++) {
            double want = after[step / EVERY * PARAMS + i];

            worst = fmax(worst, fabs((double)m.weights[i] - want)
                                / fmax(1, fabs(want)));
        }
    }
    CHECK_THAT(worst <= bound(), "the parameters are off by %.2e", worst);
    moe_close(&m);
}

int main(void)
{
    RUN(follow(MOE_ADAM, 1, after_adam));
    RUN(follow(MOE_SGD, 0.1, after_sgd));
    return check_done();
}
