/* grow.c - a mixture that grows: 1, 2, 4, 8 experts by splitting, beside 8 from
   the start; then those that are hardly used are pruned
     cc -O2 examples/grow.c -o grow -lm && ./grow [FILE [SEEDS]]

   FILE has rows of numbers, the target last, such as kin8nm; without it a task
   is made up.  A fifth of the rows is for the test, a tenth for validation.
   Some five seconds for each seed of kin8nm.  grow.h is to be copied. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "grow.h"
#include "csv.h"
#include <math.h>

enum { EXPERTS = 8, HIDDEN = 8, STAGE = 8, LAST = 350000, MADE_UP = 2000 };
static moe_real *x, *d;
static moe_data train, valid, test;

static void stop(const char *why)
{
    printf("%s\n", why);
    exit(1);
}

static void make_up_cases(csv *t)
{
    int n;

    t->rows = MADE_UP;
    t->columns = 3;
    t->value = (float *)malloc(3 * MADE_UP * sizeof *t->value);
    for (n = 0; n < MADE_UP && t->value != NULL; n++) {
        float *row = t->value + 3 * n;

        row[0] = (float)(n % 50) / 25 - 1;
        row[1] = (float)(n / 50 * 7 % 40) / 20 - 1;
        row[2] = sinf(5 * row[0]) * cosf(4 * row[1])
               + (float)(37 * (n % 997) * (n % 991) % 83) / 200 - 0.2f;
    }
}

/* The rows in an order of the seed: train, valid, test. */
static void split_cases(const csv *t, uint64_t seed)
{
    const int wide = t->columns - 1, n = t->rows;
    int i, j, k;

    for (i = 0; i < n; i++) {                  /* row i comes to j <= i */
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        j = (int)((seed >> 33) % (uint64_t)(i + 1));
        d[i] = d[j];
        d[j] = t->value[i * t->columns + wide];
        for (k = 0; k < wide; k++) {
            x[i * wide + k] = x[j * wide + k];
            x[j * wide + k] = t->value[i * t->columns + k];
        }
    }
    test.n = n / 5;
    valid.n = n / 10;
    train.n = n - test.n - valid.n;
    train.x = x;
    train.d = d;
    valid.x = x + train.n * wide;
    valid.d = d + train.n;
    test.x = valid.x + valid.n * wide;
    test.d = valid.d + valid.n;
}

static void check(moe_status status, const moe *m)
{
    if (status != MOE_OK)
        stop(m->error);
}

/* epochs 0: until the validation is no better.  Returns how many. */
static int teach(moe *m, int epochs, int grown, uint64_t seed)
{
    moe_training t = {.epochs = epochs, .keep_units = grown, .seed = seed};

    check(moe_train(m, &train, &valid, &t, NULL), m);
    return m->epoch;
}

static void open_first(moe *m, int inputs, int experts, moe_loss loss,
                       uint64_t seed)
{
    moe_config config = {.inputs = inputs, .outputs = 1, .experts = experts,
                         .hidden = {HIDDEN}, .activation = MOE_ACT_TANH,
                         .loss = loss, .seed = seed};

    check(moe_open(m, &config, NULL, 0), m);
}

static double rmse(moe *m)
{
    moe_report r;

    check(moe_evaluate(m, &test, &r), m);
    return sqrt((double)r.squared_error);
}

/* m becomes the mixture of these; returns the largest change of a y. */
static double regrow(moe *m, const int *origin, int n, uint64_t seed)
{
    moe_real y[2][1024];
    double most = 0;
    int i, rows = test.n < 1024 ? test.n : 1024;
    moe grown;

    check(grow(&grown, m, origin, n, 0.1, seed), &grown);
    moe_predict(m, test.x, rows, y[0]);
    moe_predict(&grown, test.x, rows, y[1]);
    for (i = 0; i < rows; i++)
        most = fmax(most, fabs((double)(y[0][i] - y[1][i])));
    moe_close(m);
    *m = grown;
    return most;
}

/* 1, 2, 4, 8: short stages, and a last one that is shown LAST cases; returns
   the epochs of all. */
static int teach_by_splitting(moe *m, int inputs, uint64_t seed)
{
    int origin[EXPERTS], i, n, epochs;
    double change;

    open_first(m, inputs, 1, MOE_LOSS_BLEND, seed);
    epochs = teach(m, STAGE, 0, seed);
    for (n = 2; n <= EXPERTS; n *= 2) {
        for (i = 0; i < n; i++)
            origin[i] = i % (n / 2);
        change = regrow(m, origin, n, seed);
        printf("  split into %d: y changes by %.0e at most, RMSE %.4f\n", n,
               change, rmse(m));
        epochs += teach(m, n < EXPERTS ? STAGE : LAST / train.n
                        + (train.n > LAST), 1, seed + (uint64_t)n);
    }
    return epochs;
}

/* Of m on these cases; `r` is what was measured. */
static double loss_of(moe *m, const moe_data *cases, moe_report *r)
{
    check(moe_evaluate(m, cases, r), m);
    return (double)r->loss;
}

/* By how much of its size, in %: a log-likelihood may have either sign. */
static double percent(double before, double after)
{
    return 100 * (after - before) / fmax(fabs(before), 1e-9);
}

/* Under (1.3) experts compete, and some are left with nearly nothing.  But who
   answers for 1 % of the cases may be alone there: its going costs these a nat
   or so each.  So the training cases say whether fewer are to go. */
static void show_pruning(int inputs, uint64_t seed)
{
    int origin[2 * EXPERTS], n;
    double share = 0.01, had, held, train_change, test_change;
    moe_report r;
    moe m, pruned;

    open_first(&m, inputs, 2 * EXPERTS, MOE_LOSS_MIXTURE, seed);
    teach(&m, 0, 0, seed);
    held = loss_of(&m, &test, &r);
    do {
        had = loss_of(&m, &train, &r);
        n = grow_pruned(&r, 2 * EXPERTS, share, origin);
        check(grow(&pruned, &m, origin, n, 0, 0), &pruned);
        train_change = percent(had, loss_of(&pruned, &train, &r));
        test_change = percent(held, loss_of(&pruned, &test, &r));
        moe_close(&pruned);
        if (train_change > 0.5)
            printf("  %d of %d experts have %g %% of use or more: loss %+.2f "
                   "%%, in training %+.2f %%\n", n, 2 * EXPERTS, 100 * share,
                   test_change, train_change);
        share /= 2;
    } while (train_change > 0.5);
    printf("%d of %d experts have %g %% of use or more; these alone: loss "
           "%+.2f %%\n", n, 2 * EXPERTS, 200 * share, test_change);
    moe_close(&m);
}

int main(int argc, char **argv)
{
    int seeds = argc > 2 ? atoi(argv[2]) : 1, seed, epochs[2], all[2] = {0};
    double e[2], difference, sum = 0, squares = 0;
    csv t = {0};
    moe m;

    if (argc > 1 && !csv_read(&t, argv[1]))
        stop(t.error);
    if (argc < 2)
        make_up_cases(&t);
    if (t.columns < 2 || t.rows < 50 || seeds < 1)
        stop("what is wanted is 50 rows of two numbers or more, and a seed");
    x = (moe_real *)malloc((size_t)t.rows * (size_t)t.columns * sizeof *x);
    d = (moe_real *)malloc((size_t)t.rows * sizeof *d);
    if (x == NULL || d == NULL || t.value == NULL)
        stop("not enough memory");
    for (seed = 1; seed <= seeds; seed++) {
        split_cases(&t, (uint64_t)seed);
        epochs[0] = teach_by_splitting(&m, t.columns - 1, (uint64_t)seed);
        e[0] = rmse(&m);
        moe_close(&m);
        open_first(&m, t.columns - 1, EXPERTS, MOE_LOSS_BLEND, (uint64_t)seed);
        epochs[1] = teach(&m, 0, 0, (uint64_t)seed);
        e[1] = rmse(&m);
        moe_close(&m);
        difference = e[0] - e[1];
        sum += difference / seeds;
        squares += difference * difference / seeds;
        all[0] += epochs[0];
        all[1] += epochs[1];
        printf("seed %d: RMSE by splitting %.4f after %d epochs, from the start"
               " %.4f after %d\n", seed, e[0], epochs[0], e[1], epochs[1]);
        show_pruning(t.columns - 1, (uint64_t)seed);
        fflush(stdout);
    }
    printf("splitting less from the start: %.4f +- %.4f; %.0f epochs, %.0f\n",
           sum, sqrt(fmax(squares - sum * sum, 0) / fmax(seeds - 1, 1)),
           (double)all[0] / seeds, (double)all[1] / seeds);
    free(t.value);
    free(x);
    free(d);
    return 0;
}
