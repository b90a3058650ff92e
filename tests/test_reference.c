/* test_reference.c - every number of a forward, a gradient and a backward
   against a second implementation of the formulas (reference/generate.py), and
   so the third, reference.h, that other tests compare with. */
#include "reference.h"

typedef struct reference_case {
    const char *name;
    int inputs, outputs, experts;
    int hidden[2], gate_hidden[2];
    moe_span expert_inputs, gate_inputs;
    moe_activation activation;
    moe_output output;
    moe_loss loss;
    double sigma;
    int rows, n;
    const double *params, *x, *d;
    const int *labels;
    const double *s, *p, *o, *y, *h;      /* all n rows of them */
    double loss_sum;
    const double *grads;
    const double *dE_dy, *own_grads, *dE_dx;
} reference_case;

#include "reference_vectors.h"

#define CASES ((int)(sizeof reference_cases / sizeof reference_cases[0]))

/* The vectors are printed with 14 digits; sums of a few hundred terms lose
   some 100 roundings of the width in use at the very worst. */
static double bound(void)
{
    return sizeof(moe_real) == sizeof(float) ? 1e-5 : 1e-12;
}

static double worst_seen;

/* Differences are relative to the largest value of the array. */
static void compare(const reference_case *c, const char *what,
                    const moe_real *got, const double *want, size_t count)
{
    double worst = off_by(got, want, count);

    worst_seen = fmax(worst_seen, worst);
    CHECK_THAT(worst <= bound(), "%s: %s is off by %.1e", c->name, what,
               worst);
}

static moe_real *converted(const double *values, size_t count)
{
    moe_real *result = (moe_real *)malloc(count * sizeof *result);
    size_t i;

    for (i = 0; result && i < count; i++)
        result[i] = (moe_real)values[i];
    return result;
}

static moe_config config_of(const reference_case *c)
{
    moe_config config = make_config(c->inputs, c->outputs, c->experts);

    memcpy(config.hidden, c->hidden, sizeof c->hidden);
    memcpy(config.gate_hidden, c->gate_hidden, sizeof c->gate_hidden);
    config.expert_inputs = c->expert_inputs;
    config.gate_inputs = c->gate_inputs;
    config.activation = c->activation;
    config.output = c->output;
    config.loss = c->loss;
    config.sigma = (moe_real)c->sigma;
    config.block = c->rows;
    return config;
}

/* The arrays that a forward leaves, for rows from first on. */
static void compare_rows(const reference_case *c, const moe *m, int first)
{
    size_t experts = (size_t)c->experts, outputs = (size_t)c->outputs;
    size_t at = (size_t)first, rows = (size_t)m->rows;

    compare(c, "s", m->s, c->s + at * experts, rows * experts);
    compare(c, "p", m->p, c->p + at * experts, rows * experts);
    compare(c, "o", m->o, c->o + at * experts * outputs,
            rows * experts * outputs);
    compare(c, "y", m->y, c->y + at * outputs, rows * outputs);
}

/* The vectors have no gate.balance: where all experts run, zeros before the
   scales. */
static void fill_params(const reference_case *c, moe *m)
{
    size_t i, from = balance_at(m), without = m->trained_count - from;

    for (i = 0; i < from; i++)
        m->weights[i] = (moe_real)c->params[i];
    for (i = m->trained_count; i < m->param_count; i++)
        m->weights[i] = (moe_real)c->params[i - without];
}

/* Block by block, with the gradient of an error sum dE_dy y of our own. */
static void check_blocks(const reference_case *c, moe *m, const moe_real *x,
                         const moe_real *dE_dy)
{
    moe_real *dE_dx = converted(c->x, (size_t)(c->n * c->inputs));
    int first;

    clear_grads(m);
    for (first = 0; first < c->n; first += c->rows) {
        int left = c->n - first, at = first * c->inputs;
        int rows = moe_forward(m, x + at, left);

        CHECK(rows == (left < c->rows ? left : c->rows) && m->rows == rows);
        compare_rows(c, m, first);
        moe_backward(m, dE_dy + first * c->outputs, dE_dx + at);
    }
    compare(c, "gradient of an own error", m->grads, c->own_grads,
            balance_at(m));
    compare(c, "dE/dx", dE_dx, c->dE_dx, (size_t)(c->n * c->inputs));
    free(dE_dx);
}

/* All rows in one call, and what moe_evaluate says of them. */
static void check_whole(const reference_case *c, moe *m,
                        const moe_data *data)
{
    size_t outputs = (size_t)(c->n * c->outputs);
    moe_real *y = (moe_real *)malloc(outputs * sizeof *y);
    moe_real sum[2];
    moe_report report;
    int last;

    clear_grads(m);
    sum[0] = moe_gradient(m, data);
    last = c->n - m->rows;
    CHECK(m->rows >= 1 && m->rows <= (c->n - 1) % c->rows + 1);
    compare(c, "h", m->h, c->h + last * c->experts,
            (size_t)(m->rows * c->experts));
    compare(c, "gradient", m->grads, c->grads,
            balance_at(m));
    CHECK(moe_forward(m, data->x + last * c->inputs, c->n - last) > 0);
    compare_rows(c, m, last);
    CHECK(moe_evaluate(m, data, &report) == MOE_OK);
    sum[1] = report.loss * (moe_real)c->n;
    compare(c, "loss", &sum[0], &c->loss_sum, 1);
    compare(c, "reported loss", &sum[1], &c->loss_sum, 1);
    if (y) {
        moe_predict(m, data->x, c->n, y);
        compare(c, "prediction", y, c->y, outputs);
    }
    free(y);
}

static void check_case(const reference_case *c)
{
    moe_config config = config_of(c);
    size_t outputs = (size_t)(c->n * c->outputs);
    moe_real *x = converted(c->x, (size_t)(c->n * c->inputs));
    moe_real *d = c->d ? converted(c->d, outputs) : NULL;
    moe_real *dE_dy = converted(c->dE_dy, outputs);
    moe_data data;
    moe m;

    data.n = c->n;
    data.x = x;
    data.d = d;
    data.labels = c->labels;
    data.weights = NULL;
    CHECK(x && dE_dy && (d || c->labels));
    if (CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK)) {
        fill_params(c, &m);
        check_whole(c, &m, &data);
        check_blocks(c, &m, x, dE_dy);
    }
    moe_close(&m);
    free(x);
    free(d);
    free(dE_dy);
}

/* ---- the vectors and reference.h ---------------------------------------- */

static double worst_of_formulas;

static void compare_doubles(const reference_case *c, const char *what,
                            const double *got, const double *want,
                            size_t count)
{
    double worst = 0, largest = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        largest = fmax(largest, fabs(want[i]));
        worst = fmax(worst, fabs(got[i] - want[i]));
    }
    worst = largest > 0 ? worst / largest : worst;
    worst_of_formulas = fmax(worst_of_formulas, worst);
    CHECK_THAT(worst <= 1e-12, "%s: reference.h: %s is off by %.1e", c->name,
               what, worst);
}

static int open_case(problem *q, const reference_case *c)
{
    moe_config config = config_of(c);
    int i;

    if (!open_model(q, &config))
        return 0;
    fill_params(c, &q->m);
    q->data.n = c->n;
    q->data.labels = c->labels;
    for (i = 0; i < (int)balance_at(&q->m); i++)
        q->w[i] = c->params[i];
    for (i = (int)q->m.trained_count; i < (int)q->m.param_count; i++)
        q->w[i] = c->params[i - (int)q->m.trained_count
                            + (int)balance_at(&q->m)];
    memcpy(q->at, c->x, (size_t)(c->n * c->inputs) * sizeof *q->at);
    for (i = 0; i < c->n * c->outputs; i++)
        q->want[i] = c->d ? c->d[i]
                          : c->labels[i / c->outputs] == i % c->outputs;
    return 1;
}

static void check_answer(const reference_case *c, const problem *q, int row)
{
    size_t E = (size_t)c->experts, O = (size_t)c->outputs, i, k;
    size_t at = (size_t)row;
    double o[MAX_EXPERTS * MAX_OUT], y[MAX_OUT];
    static answer a;

    solve(q, row, &a);
    for (k = 0; k < O; k++) {
        y[k] = in_units(q, (int)k, a.y[k]);
        for (i = 0; i < E; i++)
            o[i * O + k] = in_units(q, (int)k, a.o[i][k]);
    }
    compare_doubles(c, "s", a.s, c->s + at * E, E);
    compare_doubles(c, "p", a.p, c->p + at * E, E);
    compare_doubles(c, "h", a.h, c->h + at * E, E);
    compare_doubles(c, "o", o, c->o + at * E * O, E * O);
    compare_doubles(c, "y", y, c->y + at * O, O);
}

static void check_formulas(const reference_case *c)
{
    static problem q;
    static double g[MAX_VALUES], dx[MAX_ROWS * MAX_IN];
    double sum;
    int row;

    if (!open_case(&q, c))
        return;
    for (row = 0; row < c->n; row++)
        check_answer(c, &q, row);
    sum = loss_error(&q);
    compare_doubles(c, "loss", &sum, &c->loss_sum, 1);
    loss_gradient(&q, g);
    compare_doubles(c, "gradient", g, c->grads, balance_at(&q.m));
    own_gradient(&q, c->n, c->dE_dy, g, dx);
    compare_doubles(c, "gradient of an own error", g, c->own_grads,
                    balance_at(&q.m));
    compare_doubles(c, "dE/dx", dx, c->dE_dx, (size_t)(c->n * c->inputs));
    moe_close(&q.m);
}

int main(void)
{
    int k;

    for (k = 0; k < CASES; k++) {
        RUN(check_case(&reference_cases[k]));
        RUN(check_formulas(&reference_cases[k]));
    }
    printf("%d configurations, largest difference %.1e, of reference.h "
           "%.1e\n", CASES, worst_seen, worst_of_formulas);
    return check_done();
}
