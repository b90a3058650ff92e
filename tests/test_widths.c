/* test_widths.c - float against double: the same networks, weights and data
   in both widths.  part_widths_float.c includes this file for the second copy,
   so that two moe.h of different width live in one program. */
#ifdef WIDTHS_FLOAT
#define widths_run widths_run_float
#else
#undef MOE_DOUBLE
#define MOE_DOUBLE
#define widths_run widths_run_double
#endif
#include "models.h"

#define CASES 40
#define MOST_INPUTS 5
#define MOST_VALUES 2000
#define STEPS 200

typedef struct widths_problem {
    const char *name;
    int inputs, outputs, experts, hidden[2], gate_hidden[2];
    int activation, output, loss, rows, labelled;
    double sigma;
    int optimizer;
} widths_problem;

/* What a run gives back, in double whatever its width. */
typedef struct widths_values {
    int count;
    double value[MOST_VALUES];
} widths_values;

typedef struct widths_result {
    widths_values s, p, o, y, h, grads, scales, loss;
    widths_values trained_loss, trained_y;
} widths_result;

#ifdef __cplusplus
extern "C" {
#endif
int widths_run_float(const widths_problem *problem, const float *weights,
                     widths_result *result);
int widths_run_double(const widths_problem *problem, const float *weights,
                      widths_result *result);
#ifdef __cplusplus
}
#endif

static void keep(widths_values *to, const moe_real *values, size_t count)
{
    size_t i;

    to->count = (int)count;
    for (i = 0; i < count; i++)
        to->value[i] = (double)values[i];
}

static moe_config config_of(const widths_problem *problem)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = problem->inputs;
    config.outputs = problem->outputs;
    config.experts = problem->experts;
    memcpy(config.hidden, problem->hidden, sizeof problem->hidden);
    memcpy(config.gate_hidden, problem->gate_hidden,
           sizeof problem->gate_hidden);
    config.activation = (moe_activation)problem->activation;
    config.output = (moe_output)problem->output;
    config.loss = (moe_loss)problem->loss;
    config.sigma = (moe_real)problem->sigma;
    config.block = problem->rows;
    return config;
}

/* Data that both widths hold exactly: multiples of 1/64. */
static void fill_data(const widths_problem *problem, moe_real *x, moe_real *d,
                      int *labels)
{
    int inputs = problem->inputs, outputs = problem->outputs, n, k;

    for (n = 0; n < CASES; n++) {
        for (k = 0; k < inputs; k++) {
            int wave = (n * (3 * k + 5) + k) % 41 * (k + 1);

            x[n * inputs + k] = (moe_real)(wave - 20) / 64 + 3 * (moe_real)k;
        }
        for (k = 0; k < outputs; k++)
            d[n * outputs + k] = (moe_real)((n * 7 + n * n % 11 + k) % 32)
                               / 32;
        labels[n] = (n + n * n % 5) % outputs;
    }
}

/* Values of one forward and one gradient over all cases. */
static void measure_once(moe *m, const moe_data *data, widths_result *result)
{
    size_t rows, experts = (size_t)m->config.experts;
    size_t outputs = (size_t)m->config.outputs;
    moe_real loss = moe_gradient(m, data);

    rows = (size_t)moe_forward(m, data->x + (data->n - m->rows)
                                            * m->config.inputs, m->rows);
    keep(&result->loss, &loss, 1);
    keep(&result->grads, m->grads, m->trained_count);
    keep(&result->scales, m->params + m->trained_count,
         m->param_count - m->trained_count);
    keep(&result->s, m->s, rows * experts);
    keep(&result->p, m->p, rows * experts);
    keep(&result->o, m->o, rows * experts * outputs);
    keep(&result->y, m->y, rows * outputs);
    keep(&result->h, m->h, rows * experts);
}

static int train(moe *m, const moe_data *data, int optimizer,
                 widths_result *result)
{
    moe_real y[CASES * MOST_INPUTS], loss = 0;
    moe_training training;
    int step;

    memset(&training, 0, sizeof training);
    training.optimizer = (moe_optimizer)optimizer;
    training.rate = (moe_real)(optimizer == MOE_SGD ? 0.0625 : 0.0078125);
    training.momentum = (moe_real)(optimizer == MOE_SGD ? 0.5 : 0);
    for (step = 0; step < STEPS; step++) {
        if (moe_step(m, &training, 1 / (moe_real)data->n) != MOE_OK)
            return 0;
        loss = moe_gradient(m, data);
    }
    keep(&result->trained_loss, &loss, 1);
    moe_predict(m, data->x, data->n, y);
    keep(&result->trained_y, y, (size_t)(data->n * m->config.outputs));
    return 1;
}

/* 1 when all went well. */
int widths_run(const widths_problem *problem, const float *weights,
               widths_result *result)
{
    moe_real x[CASES * MOST_INPUTS], d[CASES * MOST_INPUTS];
    int labels[CASES], holds = 0;
    moe_config config = config_of(problem);
    moe_data data;
    moe m;
    size_t i;

    fill_data(problem, x, d, labels);
    data.n = CASES;
    data.x = x;
    data.d = problem->labelled ? NULL : d;
    data.labels = problem->labelled ? labels : NULL;
    data.weights = NULL;
    if (moe_open(&m, &config, NULL, 0) == MOE_OK
            && m.param_count <= MOST_VALUES) {
        for (i = 0; i < m.trained_count; i++)
            m.weights[i] = (moe_real)weights[i];
        if (moe_fit_scales(&m, &data) == MOE_OK) {
            measure_once(&m, &data, result);
            holds = train(&m, &data, problem->optimizer, result);
        }
    }
    moe_close(&m);
    return holds;
}

#ifndef WIDTHS_FLOAT

static const widths_problem problems[] = {
    {"linear experts", 2, 1, 4, {0, 0}, {0, 0},
     MOE_ACT_RELU, MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, 64, 0, 0.5, MOE_ADAM},
    {"tanh, blend", 3, 2, 3, {6, 0}, {0, 0},
     MOE_ACT_TANH, MOE_OUT_LINEAR, MOE_LOSS_BLEND, 16, 0, 1, MOE_SGD},
    {"one case at a time", 3, 2, 3, {6, 0}, {4, 0},
     MOE_ACT_SILU, MOE_OUT_LINEAR, MOE_LOSS_EXPECTED, 1, 0, 1, MOE_SGD},
    {"wide, elu", 5, 2, 2, {20, 17}, {0, 0},
     MOE_ACT_ELU, MOE_OUT_LOGISTIC, MOE_LOSS_MIXTURE, 32, 0, 0.25, MOE_ADAM},
    {"classes", 4, 5, 6, {0, 0}, {5, 0},
     MOE_ACT_LOGISTIC, MOE_OUT_SOFTMAX, MOE_LOSS_MIXTURE, 20, 1, 1, MOE_ADAM},
    {"classes, blend", 4, 3, 2, {8, 0}, {0, 0},
     MOE_ACT_RELU, MOE_OUT_SOFTMAX, MOE_LOSS_BLEND, 64, 1, 1, MOE_SGD},
    {"one expert", 2, 2, 1, {7, 0}, {0, 0},
     MOE_ACT_TANH, MOE_OUT_LOGISTIC, MOE_LOSS_MIXTURE, 64, 0, 1, MOE_ADAM}
};
#define PROBLEMS ((int)(sizeof problems / sizeof problems[0]))

/* Once: a result is a sum of some 40 cases times some 20 products, whose
   rounding grows like the root of their number: 30 times 2^-24, 2e-6, and
   five times that for the layers in between.  Trained: descent shrinks a
   difference in all directions but the flat ones, where 200 steps may add up
   200 roundings: 1e-5, and ten times that. */
#define ONCE 1e-5
#define TRAINED 1e-4

static double worst_once, worst_trained;

/* The difference relative to the largest value of the array. */
static void compare(const char *name, const char *what,
                    const widths_values *a, const widths_values *b,
                    double bound, double *worst_seen)
{
    double largest = 0, worst = 0;
    int i;

    CHECK(a->count == b->count && a->count > 0);
    for (i = 0; i < a->count; i++) {
        double off = fabs(a->value[i] - b->value[i]);

        largest = fmax(largest, fabs(b->value[i]));
        worst = off <= worst ? worst : isnan(off) ? HUGE_VAL : off;
    }
    worst = largest > 0 ? worst / largest : worst;
    *worst_seen = fmax(*worst_seen, worst);
    CHECK_THAT(worst <= bound, "%s: %s differs by %.1e", name, what, worst);
}

static void check_problem(const widths_problem *problem,
                          const float *weights)
{
    static widths_result narrow, wide;
    const char *name = problem->name;

    memset(&narrow, 0, sizeof narrow);
    memset(&wide, 0, sizeof wide);
    CHECK(widths_run_float(problem, weights, &narrow));
    CHECK(widths_run_double(problem, weights, &wide));
    compare(name, "scales", &narrow.scales, &wide.scales, ONCE, &worst_once);
    compare(name, "s", &narrow.s, &wide.s, ONCE, &worst_once);
    compare(name, "p", &narrow.p, &wide.p, ONCE, &worst_once);
    compare(name, "o", &narrow.o, &wide.o, ONCE, &worst_once);
    compare(name, "y", &narrow.y, &wide.y, ONCE, &worst_once);
    compare(name, "h", &narrow.h, &wide.h, ONCE, &worst_once);
    compare(name, "loss", &narrow.loss, &wide.loss, ONCE, &worst_once);
    compare(name, "gradient", &narrow.grads, &wide.grads, ONCE, &worst_once);
    compare(name, "trained loss", &narrow.trained_loss, &wide.trained_loss,
            TRAINED, &worst_trained);
    compare(name, "trained y", &narrow.trained_y, &wide.trained_y, TRAINED,
            &worst_trained);
    CHECK(wide.trained_loss.value[0] < wide.loss.value[0]);
}

int main(void)
{
    static float weights[MOST_VALUES];
    int k;

    for (k = 0; k < MOST_VALUES; k++)
        weights[k] = (float)(k * 73 % 127 - 63) / 128;
    for (k = 0; k < PROBLEMS; k++)
        RUN(check_problem(&problems[k], weights));
    printf("float against double: %.1e once, %.1e after %d steps\n",
           worst_once, worst_trained, STEPS);
    return check_done();
}

#endif
