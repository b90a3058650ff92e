/* test_gradient.c - every derivative against central differences: each
   parameter of each kind of network, blended by outputs and by weights, dE/dx,
   and dE/dp of proportions that are given.  Always in double. */
#ifndef MOE_DOUBLE
#define MOE_DOUBLE
#endif
#include "models.h"

/* A central difference with step 1e-5 is off by step^2 E'''/6, some 1e-9 for
   the E''' of some 10 to 100 met here, and by 1e-16 E / step, some 1e-10 for
   an E of up to some 100.  BOUND, relative to the largest derivative, leaves
   room for both and none for a wrong formula. */
#define STEP 1e-5
#define BOUND 1e-6

#define MOST_ROWS 40
#define MOST_ROW_REALS 8
#define MOST_EXPERTS 17

/* Blocks of 16 and more put narrow networks into another inner layout, so both
   sides of that limit are here, and layers on both sides of 16 units. */
static const char *const cases[] = {
    "inputs=3 outputs=2 experts=3 block=4 n=1",
    "inputs=3 outputs=2 experts=3 gate=4,3 block=20 n=20",
    "inputs=3 outputs=3 experts=2 hidden=4 block=3 n=7",
    "inputs=2 outputs=2 experts=3 hidden=4 block=16 n=33",
    ("inputs=5 outputs=2 experts=2 hidden=4,3 gate=3 from=0 count=3 "
     "gate_from=2 gate_count=2 block=20 n=20"),
    ("inputs=5 outputs=2 experts=2 hidden=4,3 gate=3 from=3 count=2 "
     "gate_from=0 gate_count=2 block=1 n=1"),
    "inputs=2 outputs=2 experts=2 hidden=17 from=0 count=1 block=17 n=18",
    ("inputs=2 outputs=2 experts=2 gate=18 gate_from=1 gate_count=1 "
     "block=16 n=5"),
    "inputs=2 outputs=2 experts=17 block=16 n=18",
    "inputs=3 outputs=2 experts=1 hidden=4 from=1 count=2 block=16 n=20"
};
#define COUNT ((int)(sizeof cases / sizeof cases[0]))

/* The same with listed columns. */
static const char *const listed[][3] = {
    {"inputs=5 outputs=2 experts=3 hidden=4 gate=3 block=20 n=25", "3,0",
     "4,1,0"},
    {"inputs=5 outputs=2 experts=3 hidden=4 count=3 block=20 n=5", NULL,
     "4,1"},
    {"inputs=5 outputs=3 experts=2 gate=3 gate_from=1 gate_count=2 n=1 block=1",
     "4,2,1,0", NULL}
};

typedef struct problem {
    model_case c;
    moe_data data;                   /* n rows; the arrays hold MOST_ROWS    */
    double x[MOST_ROWS * MOST_ROW_REALS], d[MOST_ROWS * MOST_ROW_REALS];
    double p[MOST_ROWS * MOST_EXPERTS];      /* given, or not                */
    int given;
    int labels[MOST_ROWS];
    moe m;
} problem;

typedef double (*error_function)(problem *);

static double worst_seen;
static long derivatives, skipped;

/* A target row that is legal for every kind of output but linear. */
static void proportions(double *d, int outputs)
{
    double sum = 0;
    int k;

    for (k = 0; k < outputs; k++)
        sum += d[k] = uniform() + 1.125;
    for (k = 0; k < outputs; k++)
        d[k] /= sum;
}

static void fill_data(problem *q, int labelled)
{
    int n, k, in = q->m.config.inputs, O = q->m.config.outputs;

    for (n = 0; n < MOST_ROWS; n++) {
        double *d = q->d + n * O;

        for (k = 0; k < in; k++)
            q->x[n * in + k] = 5 * k - 3 + (k + 1) * uniform() / 2;
        proportions(d, O);
        for (k = 0; k < O && q->m.config.output == MOE_OUT_LINEAR; k++)
            d[k] = 7 - 20 * k + (k + 3) * uniform();
        q->labels[n] = (n * 7 + n / 3) % O;
    }
    q->data.n = MOST_ROWS;
    q->data.x = q->x;
    q->data.d = labelled ? NULL : q->d;
    q->data.labels = labelled ? q->labels : NULL;
}

/* Weights large enough to curve everything; scales measured on more rows
   than the n that follow, so that a single case is not at the mean. */
static int open_problem(problem *q, const model_case *c)
{
    moe_config config = c->config;
    int expert, layer;

    memset(q, 0, sizeof *q);
    q->c = *c;
    config.sigma = 0.75;
    config.mode = MOE_MODE_GRADIENT;
    if (moe_open(&q->m, &config, NULL, 0) != MOE_OK)
        return 0;
    fill_data(q, c->labelled);
    for (expert = 0; expert <= config.experts; expert++) {
        for (layer = 0; layer < 3; layer++) {
            moe_layer l = moe_layer_at(&config, expert, layer);
            int k;

            for (k = 0; k < l.out; k++)
                q->m.weights[l.bias + (size_t)k] = 0.5 * uniform();
            for (k = 0; k < l.in * l.out; k++)
                q->m.weights[l.weight + (size_t)k] = 2 * uniform() / sqrt(l.in);
        }
    }
    if (moe_fit_scales(&q->m, &q->data) != MOE_OK)
        return 0;
    q->data.n = c->n;
    return 1;
}

/* The sum of E, by way of the forward pass alone. */
static double evaluated_loss(problem *q)
{
    moe_report report;

    if (moe_evaluate(&q->m, &q->data, &report) != MOE_OK)
        return HUGE_VAL;
    return report.loss * q->data.n;
}

/* How far claimed is from dE/dw, where E is here; 0 at a kink of relu, where
   the slopes on its two sides differ by a share of scale. */
static double difference(problem *q, error_function error, double here,
                         double *w, double claimed, double scale)
{
    double at = *w, up, down;

    *w = at + STEP;
    up = error(q);
    *w = at - STEP;
    down = error(q);
    *w = at;
    derivatives++;
    if (q->m.config.activation == MOE_ACT_RELU
            && fabs(up + down - 2 * here) > STEP * 1e-2 * scale) {
        skipped++;
        return 0;
    }
    return fabs((up - down) / (2 * STEP) - claimed);
}

/* All derivatives of error by the count values at w. */
static void check_derivatives(problem *q, const char *what,
                              error_function error, double *w,
                              const double *claimed, size_t count)
{
    double scale = largest_of(claimed, count), here = error(q), worst = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        double off = difference(q, error, here, w + i, claimed[i], scale);

        worst = off <= worst ? worst : isnan(off) ? HUGE_VAL : off;
    }
    CHECK_THAT(scale > 1e-3, "%s, %s: no gradient", q->c.text, what);
    worst /= scale;
    worst_seen = fmax(worst_seen, worst);
    CHECK_THAT(worst <= BOUND, "%s, %s: off by %.1e (loss %d, output %d, "
               "activation %d, blend %d)", q->c.text, what, worst,
               (int)q->m.config.loss, (int)q->m.config.output,
               (int)q->m.config.activation, (int)q->m.config.blend);
}

/* Every bias and weight array that exists gets some gradient (but that the
   units of relu may all be off for a single case), and the layers that
   moe_layer_at tells are all there is. */
static void check_every_tensor(const problem *q)
{
    const moe *m = &q->m;
    int may_be_off = m->config.activation == MOE_ACT_RELU && m->rows == 1;
    size_t found = 0;
    int expert, layer;

    for (expert = 0; expert <= q->c.config.experts; expert++) {
        for (layer = 0; layer < 3; layer++) {
            moe_layer l = moe_layer_at(&m->config, expert, layer);
            size_t weights = (size_t)l.in * (size_t)l.out;

            found += (size_t)l.out + weights;
            if (l.out == 0 || may_be_off)
                continue;
            CHECK(largest_of(m->grads + l.bias, (size_t)l.out) > 0);
            CHECK(largest_of(m->grads + l.weight, weights) > 0);
        }
    }
    if (q->c.config.experts > 1)      /* gate.balance, which has no gradient */
        found += (size_t)q->c.config.experts;
    CHECK(found == m->trained_count);
}

/* Gradients add up over calls, and over parts of the data. */
static void check_accumulation(problem *q, const double *once)
{
    moe *m = &q->m;
    moe_data part = q->data;
    double scale = largest_of(once, m->trained_count), worst = 0;
    size_t i;

    moe_gradient(m, &q->data);
    for (i = 0; i < m->trained_count; i++)
        worst = fmax(worst, fabs(m->grads[i] - 2 * once[i]));
    CHECK(worst <= 1e-13 * scale);
    clear_grads(m);
    part.n = 1 + q->data.n / 3;
    moe_gradient(m, &part);
    part.x += part.n * q->c.config.inputs;
    if (part.d)
        part.d += part.n * q->c.config.outputs;
    if (part.labels)
        part.labels += part.n;
    part.n = q->data.n - part.n;
    moe_gradient(m, &part);
    for (worst = 0, i = 0; i < m->trained_count; i++)
        worst = fmax(worst, fabs(m->grads[i] - once[i]));
    CHECK(worst <= 1e-13 * scale);
}

static void check_loss(problem *q, moe_loss loss)
{
    moe *m = &q->m;
    size_t bytes = m->trained_count * sizeof *m->grads;
    double *claimed = (double *)malloc(bytes);
    double sum, again;

    m->config.loss = loss;
    clear_grads(m);
    sum = moe_gradient(m, &q->data);
    again = evaluated_loss(q);
    CHECK(fabs(sum - again) <= 1e-12 * fabs(sum));
    if (CHECK(claimed != NULL)) {
        memcpy(claimed, m->grads, bytes);
        check_every_tensor(q);
        check_derivatives(q, "gradient", evaluated_loss, m->weights, claimed,
                          m->trained_count);
        check_accumulation(q, claimed);
    }
    free(claimed);
}

/* An error of y that is nobody's loss: sum over rows of c_k y_k^2. */
static double own_slope(int k)
{
    return k % 2 ? -0.5 : 0.25 * (k + 1);
}

static double own_error(problem *q)
{
    double sum = 0;
    int rows = moe_forward_with(&q->m, q->x, q->given ? q->p : NULL,
                                q->data.n), i;

    for (i = 0; i < rows * q->c.config.outputs; i++)
        sum += own_slope(i % q->c.config.outputs) * q->m.y[i] * q->m.y[i];
    return sum;
}

/* Columns that neither the experts nor the gate are given. */
static int unseen(const moe_config *c, int column)
{
    const moe_span *e = &c->expert_inputs, *g = &c->gate_inputs;
    int expert_end = e->count ? e->first + e->count : c->inputs;
    int gate_end = g->count ? g->first + g->count : c->inputs;

    return (c->expert_columns ? !strchr(c->expert_columns, '0' + column)
            : column < e->first || column >= expert_end)
        && (c->gate_columns ? !strchr(c->gate_columns, '0' + column)
            : column < g->first || column >= gate_end || c->experts == 1);
}

static void check_own_error(problem *q)
{
    moe *m = &q->m;
    size_t bytes = m->trained_count * sizeof *m->grads, i;
    double dE_dy[MOST_ROWS * MOST_ROW_REALS];
    double dE_dx[MOST_ROWS * MOST_ROW_REALS];
    double dE_dp[MOST_ROWS * MOST_EXPERTS];
    double *claimed = (double *)malloc(bytes);
    const double *p = q->given ? q->p : NULL;
    int rows = moe_forward_with(m, q->x, p, q->data.n), k, doubled = 1;

    for (k = 0; k < rows * q->c.config.outputs; k++)
        dE_dy[k] = 2 * own_slope(k % q->c.config.outputs) * m->y[k];
    clear_grads(m);
    moe_backward_with(m, dE_dy, dE_dx, dE_dp);
    for (k = 0; k < rows * q->c.config.inputs; k++)
        if (unseen(&m->config, k % q->c.config.inputs))
            CHECK(dE_dx[k] >= 0 && dE_dx[k] <= 0);
    if (CHECK(claimed != NULL)) {
        memcpy(claimed, m->grads, bytes);
        if (!q->given)
            check_every_tensor(q);
        moe_backward(m, dE_dy, NULL);
        for (i = 0; i < m->trained_count; i++)
            if (fabs(m->grads[i] - 2 * claimed[i]) > 1e-12
                    * largest_of(claimed, m->trained_count))
                doubled = 0;
        CHECK(doubled);
        check_derivatives(q, "own error", own_error, m->weights, claimed,
                          m->trained_count);
        check_derivatives(q, "dE/dx", own_error, q->x, dE_dx,
                          (size_t)(rows * q->c.config.inputs));
        if (q->given)
            check_derivatives(q, "dE/dp", own_error, q->p, dE_dp,
                              (size_t)(rows * q->c.config.experts));
    }
    free(claimed);
}

/* The same by proportions of any sign and sum, from without; but a single case
   may be one for which all units of relu are off. */
static void check_given(problem *q)
{
    const moe_config *c = &q->c.config;
    int k;

    if (c->experts == 1 || (c->activation == MOE_ACT_RELU && c->block == 1))
        return;
    for (k = 0; k < MOST_ROWS * c->experts; k++)
        q->p[k] = 2 * sin(7.0 * k + 3);
    q->given = 1;
    check_own_error(q);
    q->given = 0;
}

static void check_network(model_case c, int output, int labelled)
{
    problem q;
    int loss = c.config.blend == MOE_BLEND_WEIGHTS ? MOE_LOSS_BLEND : 0;

    c.config.output = (moe_output)output;
    c.labelled = labelled;
    if (CHECK(open_problem(&q, &c))) {
        for (; loss < 3; loss++)
            check_loss(&q, (moe_loss)loss);
        if (!labelled) {
            check_own_error(&q);
            check_given(&q);
        }
    }
    moe_close(&q.m);
}

static void check_case(const char *text, const char *expert_columns,
                       const char *gate_columns, moe_blend blend)
{
    model_case c = case_of(text);
    int activations = c.config.hidden[0] || c.config.gate_hidden[0] ? 5 : 1;
    int activation;

    c.config.expert_columns = expert_columns;
    c.config.gate_columns = gate_columns;
    c.config.blend = blend;
    if (blend == MOE_BLEND_WEIGHTS)
        c.config.loss = MOE_LOSS_BLEND;
    for (activation = 0; activation < activations; activation++) {
        c.config.activation = (moe_activation)activation;
        check_network(c, MOE_OUT_LINEAR, 0);
        check_network(c, MOE_OUT_LOGISTIC, 0);
        check_network(c, MOE_OUT_SOFTMAX, 0);
        check_network(c, MOE_OUT_SOFTMAX, 1);
    }
}

int main(void)
{
    const int step = getenv("MOE_BRIEF") ? 4 : 1;
    int k, b;

    for (b = MOE_BLEND_OUTPUTS; b <= MOE_BLEND_WEIGHTS; b++) {
        for (k = 0; k < COUNT; k += step)
            RUN(check_case(cases[k], NULL, NULL, (moe_blend)b));
        for (k = 0; k < 3; k++)
            RUN(check_case(listed[k][0], listed[k][1], listed[k][2],
                           (moe_blend)b));
    }
    CHECK(skipped * 1000 < derivatives);
    printf("%ld derivatives, %ld at a kink; largest difference %.1e\n",
           derivatives, skipped, worst_seen);
    return check_done();
}
