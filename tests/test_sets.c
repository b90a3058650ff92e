/* test_sets.c - config.simd: every set of vectors that this machine has gives
   what plain C gives, to rounding: predictions, gradients of the three losses,
   and thirty steps of training.  What it does not have is refused. */
#include "models.h"

#define CASES 100
#define MOST_COLUMNS 20
#define MOST_VALUES 6000
#define STEPS 30
#define MOST_ARRAYS 40
#define MOST_KEPT 100000

/* Once: a gradient adds up CASES = 100 terms, and an output some 20, or 150;
   their roundings are half an epsilon each and grow like the root of their
   number: 5 epsilons.  Four layers or losses in a row hand them on: 20.  Terms
   of either sign may cancel to a quarter of their sizes: 80.
   Trained: a step moves the weights by at most a tenth of the gradient (rate
   0.05, twice that by momentum 0.5), so thirty of them by three times what one
   is off, and one more for what they are rounded themselves.  Adam's rate is a
   fifth of that, which makes up for gradients that are small beside the
   largest, as it takes each by its own size.
   MOE_SAME_BITS leaves no room at all. */
#ifdef MOE_SAME_BITS
#define ONCE 0
#else
#define ONCE (80 * EPSILON)
#endif
#define TRAINED (4 * ONCE)

static const int widths[] = {1, 128, 256, 512};
#define WIDTHS ((int)(sizeof widths / sizeof *widths))

static const char *const problems[] = {
    "inputs=3 outputs=1 experts=4 block=100",
    "inputs=19 outputs=17 experts=3 block=64",
    "inputs=5 outputs=2 experts=3 hidden=7 tanh block=32",
    "inputs=5 outputs=2 experts=3 hidden=33,9 gate=6 relu block=1",
    "inputs=5 outputs=2 experts=2 hidden=150 relu block=64",
    "inputs=6 outputs=3 experts=5 logistic-out block=100",
    "inputs=2 outputs=18 experts=2 hidden=17 gate=4 elu logistic-out block=15",
    "inputs=7 outputs=5 experts=17 softmax-out block=64",
    ("inputs=4 outputs=16 experts=2 hidden=16,5 gate=3 silu softmax-out "
     "block=7"),
    "inputs=4 outputs=3 experts=1 hidden=40 logistic softmax-out block=64"
};
#define PROBLEMS ((int)(sizeof problems / sizeof *problems))

/* What a set gives, an array after the other. */
typedef struct result {
    int count;
    size_t end[MOST_ARRAYS];     /* of each array in value */
    double bound[MOST_ARRAYS];
    double value[MOST_KEPT];
} result;

static moe_real x[CASES * MOST_COLUMNS], d[CASES * MOST_COLUMNS];
static moe_real weights[MOST_VALUES];
static double worst_once, worst_trained;

static moe_config config_of(const char *problem, int simd)
{
    moe_config config = case_of(problem).config;

    config.simd = simd;
    return config;
}

/* Targets are between 0 and 1, or one of the classes. */
static void fill_problem(const char *p)
{
    moe_config c = config_of(p, 0);
    int i, k, I = c.inputs, O = c.outputs;

    fill(x, CASES * I);
    for (i = 0; i < CASES; i++)
        for (k = 0; k < O; k++) {
            double side = (double)x[i * I + k % I];

            d[i * O + k] = (moe_real)(c.output == MOE_OUT_SOFTMAX
                                      ? (k == i * i % O)
                                      : 0.5 + 0.3 * side + 0.2 * uniform());
        }
    for (i = 0; i < MOST_VALUES; i++)
        weights[i] = (moe_real)(0.7 * uniform());
}

static void keep(result *to, double bound, const moe_real *from, size_t count)
{
    size_t at = to->count ? to->end[to->count - 1] : 0, i;

    if (to->count == MOST_ARRAYS || at + count > MOST_KEPT)
        exit(1);
    for (i = 0; i < count; i++)
        to->value[at + i] = (double)from[i];
    to->end[to->count] = at + count;
    to->bound[to->count++] = bound;
}

/* The arrays of a block. */
static void keep_arrays(result *to, const moe *m)
{
    size_t rows = (size_t)m->rows, E = (size_t)m->config.experts;
    size_t O = (size_t)m->config.outputs;

    keep(to, ONCE, m->s, rows * E);
    keep(to, ONCE, m->p, rows * E);
    keep(to, ONCE, m->o, rows * E * O);
    keep(to, ONCE, m->y, rows * O);
}

static void forward(moe *m, result *to)
{
    static const int counts[] = {1, 7, 16, CASES};
    moe_real y[CASES * MOST_COLUMNS];
    int i;

    for (i = 0; i < 4; i++) {
        moe_predict(m, x, counts[i], y);
        keep(to, ONCE, y, (size_t)(counts[i] * m->config.outputs));
    }
    moe_forward(m, x, CASES);
    keep_arrays(to, m);
}

/* Those of the last case: sets differ in how many they have at hand. */
static const moe_real *last_posteriors(const moe *m)
{
    return m->h + (m->rows - 1) * m->config.experts;
}

/* The gradients of the three losses, and of an error of the user's own. */
static void backward(moe *m, result *to)
{
    moe_data data = make_data(CASES, x, d);
    moe_real dE_dx[CASES * MOST_COLUMNS];
    int loss, rows;

    for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++) {
        moe_real E;

        m->config.loss = (moe_loss)loss;
        E = moe_gradient(m, &data);
        keep(to, ONCE, &E, 1);
        keep(to, ONCE, m->grads, m->trained_count);
        keep(to, ONCE, last_posteriors(m), (size_t)m->config.experts);
        clear_grads(m);
    }
    m->config.loss = MOE_LOSS_MIXTURE;
    rows = moe_forward(m, x, CASES);
    moe_backward(m, d, dE_dx);
    keep(to, ONCE, m->grads, m->trained_count);
    keep(to, ONCE, dE_dx, (size_t)(rows * m->config.inputs));
    clear_grads(m);
}

/* Thirty steps, the loss before and after them, and where they led. */
static int train(moe *m, moe_optimizer optimizer, double momentum, result *to)
{
    moe_data data = make_data(CASES, x, d);
    moe_training training =
        make_training(optimizer, optimizer == MOE_SGD ? 0.05 : 0.01);
    moe_real y[CASES * MOST_COLUMNS], before = 0, after = 0;
    int step;

    training.momentum = (moe_real)momentum;
    training.weight_decay = (moe_real)0.001;
    for (step = 0; step <= STEPS; step++) {
        after = moe_gradient(m, &data);
        before = step == 0 ? after : before;
        if (moe_step(m, &training, 1 / (moe_real)CASES) != MOE_OK)
            return 0;
    }
    moe_predict(m, x, CASES, y);
    keep(to, TRAINED, &after, 1);
    keep(to, TRAINED, y, (size_t)(CASES * m->config.outputs));
    if (optimizer == MOE_SGD)
        keep(to, TRAINED, m->weights, m->trained_count);
    return after < before;
}

/* Another moe of this set with the weights given. */
static int open_with_weights(moe *m, const char *p, int simd)
{
    moe_config config = config_of(p, simd);
    moe_data data = make_data(CASES, x, d);

    if (moe_open(m, &config, NULL, 0) != MOE_OK
        || m->trained_count > MOST_VALUES)
        return 0;
    memcpy(m->weights, weights, m->trained_count * sizeof *weights);
    return moe_fit_scales(m, &data) == MOE_OK;
}

/* SGD goes with momentum if the problem has hidden layers. */
static int run(const char *p, int simd, result *to)
{
    int optimizer, holds = 1;
    double momentum;
    moe m;

    to->count = 0;
    for (optimizer = MOE_ADAM; optimizer <= MOE_SGD; optimizer++) {
        holds &= open_with_weights(&m, p, simd);
        holds &= CHECK(m.config.simd == simd);
        if (holds && optimizer == MOE_ADAM) {
            forward(&m, to);
            backward(&m, to);
        }
        momentum = optimizer == MOE_SGD && m.config.hidden[0] ? 0.5 : 0;
        holds = holds && train(&m, (moe_optimizer)optimizer, momentum, to);
        moe_close(&m);
    }
    return holds;
}

/* The difference of array k, relative to its largest value. */
static double difference(const result *a, const result *b, int k)
{
    double largest = 0, worst = 0;
    size_t i;

    for (i = k ? b->end[k - 1] : 0; i < b->end[k]; i++) {
        double off = fabs(a->value[i] - b->value[i]);

        largest = fmax(largest, fabs(b->value[i]));
        worst = off <= worst ? worst : isnan(off) ? HUGE_VAL : off;
    }
    return largest > 0 ? worst / largest : worst;
}

static void compare(const char *p, int simd, const result *a,
                    const result *b)
{
    int k;

    CHECK(a->count == b->count && a->count > 20);
    for (k = 0; k < a->count; k++) {
        double off = difference(a, b, k);
        double *worst = b->bound[k] > ONCE ? &worst_trained : &worst_once;

        CHECK(a->end[k] == b->end[k]);
        CHECK_THAT(off <= b->bound[k], "%s, %d bits: array %d is off by %.1e",
                   p, simd, k, off);
        *worst = fmax(*worst, off);
    }
}

static int is_here(int simd)
{
    moe_config config = config_of(problems[0], simd);

    return moe_check_config(&config, NULL) == MOE_OK;
}

static void check_problem(const char *p)
{
    static result plain, other;
    int i;

    fill_problem(p);
    CHECK_THAT(run(p, 1, &plain), "%s", p);
    for (i = 1; i < WIDTHS; i++)
        if (is_here(widths[i])) {
            CHECK_THAT(run(p, widths[i], &other), "%s", p);
            compare(p, widths[i], &other, &plain);
        }
}

/* What is not here is refused by all that take a configuration, with a
   sentence. */
static void check_refused(int simd)
{
    moe_config config = config_of(problems[0], simd);
    const char *why = NULL;
    moe m;

    CHECK(moe_check_config(&config, &why) == MOE_ERR_CONFIG);
    CHECK_THAT(why != NULL && strstr(why, "simd") != NULL, "%d", simd);
    CHECK(moe_bytes(&config) == 0 && moe_work_bytes(&config) == 0);
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_ERR_CONFIG);
    CHECK(m.error == why && m.params == NULL);
    CHECK(moe_attach(&m, &config, weights, NULL, 0) == MOE_ERR_CONFIG);
    CHECK(m.error == why && m.params == NULL);
}

/* A configuration of 0 takes as much memory as any, and opens the widest. */
static void check_choice(void)
{
    static const int never[] = {3, 2, -1, 64, 127, 1024, INT32_MAX};
    moe_config config = config_of(problems[0], 0);
    size_t bytes = moe_bytes(&config);
    int i, widest = 1;
    moe m;

    CHECK(is_here(1));
    for (i = 0; i < WIDTHS; i++)
        if (is_here(widths[i])) {
            widest = widths[i];
            config.simd = widest;
            CHECK(moe_bytes(&config) == bytes);
        } else {
            printf("vectors of %d bits are not here\n", widths[i]);
            check_refused(widths[i]);
        }
    for (i = 0; i < (int)(sizeof never / sizeof *never); i++)
        check_refused(never[i]);
    config.simd = 0;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK_THAT(m.config.simd == widest, "%d for %d", m.config.simd, widest);
    moe_close(&m);
}

/* Attached moes of all sets over the same weights. */
static void check_attached(void)
{
    moe_real first[CASES], y[CASES];
    int i, k;

    fill_problem(problems[0]);
    for (i = 0; i < WIDTHS; i++) {
        moe_config config = config_of(problems[0], widths[i]);
        moe m;

        if (!is_here(widths[i]))
            continue;
        CHECK(moe_attach(&m, &config, weights, NULL, 0) == MOE_OK);
        CHECK(m.config.simd == widths[i]);
        moe_predict(&m, x, CASES, i == 0 ? first : y);
        for (k = 0; k < CASES && i > 0; k++)
            CHECK(fabs((double)(y[k] - first[k])) <= ONCE);
        moe_close(&m);
    }
}

int main(void)
{
    int k;

    RUN(check_choice());
    RUN(check_attached());
    for (k = 0; k < PROBLEMS; k++)
        RUN(check_problem(problems[k]));
    printf("between the sets: %.1e once, %.1e after %d steps\n", worst_once,
           worst_trained, STEPS);
    return check_done();
}
