/* quality.c - does moe.h learn well?  Mixtures beside single networks of the
   same size on five real data sets, every run with the library's defaults:
   nothing is set but the shape, the output kind, the loss and the seed.
   Where the mixture loses, the table says so.

     quality FOLDER [SET [SEED]]

   FOLDER holds the data; SET is one of the names below, or all; or alone: all,
   but moe_train is given no validation data, and holds out some by itself; or
   sparse: mixtures in which two of 16 experts run, beside dense ones and a
   network as small as what runs.  SEED moves every split and every initial
   weight.  The exit status is 1 when a target is missed, a mixture collapsed
   onto one expert, or a balanced one has a dead expert or an imbalance of 1.5
   in some run.                                                              */

#define MOE_IMPLEMENTATION
#include "../moe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_CASES 10000
#define MAX_RUNS 50
#define COLLAPSE_RUNS 25
#define COLLAPSED 0.9       /* one expert wins more than this share of cases */

/* Rows of numbers: cases with one target each, a value or a class. */
typedef struct Table {
    int rows, inputs;
    moe_real *x, *d;
    int *labels;
} Table;

/* A data set.  With test_file the split is the published one. */
typedef struct Set {
    const char *name, *file, *test_file;
    int header;             /* lines before the first case                   */
    int inputs, classes;    /* classes 0: regression                         */
    int target_first;       /* the target is the first column, else the last */
    int first_class;        /* what the file calls class 0                   */
    int validation;         /* percent of the training part                  */
    int runs;               /* splits, or seeds on the published split       */
    const char *unit;
} Set;

static const Set sets[] = {
    {"concrete", "concrete.txt", NULL, 0, 8, 0, 0, 0, 15, 10, "RMSE, MPa"},
    {"kin8nm", "kin8nm.csv", NULL, 0, 8, 0, 0, 0, 15, 5, "RMSE"},
    {"mcycle", "mcycle.csv", NULL, 1, 1, 0, 0, 0, 15, 50, "RMSE, g"},
    {"optdigits", "optdigits_train.csv", "optdigits_test.csv", 1, 64, 10, 0, 0,
     15, 5, "error, %"},
    {"deterding", "vowel_deterding_train.csv", "vowel_deterding_test.csv", 1,
     10, 11, 1, 1, 0, 10, "error, %"}
};

/* A mixture to try, or with one expert the linear model that shows how hard
   the splits are.  Figures are 0 where there is none.  The references were
   measured with PyTorch on other splits of the same kind; their single
   network is the tanh network nearest in size.  For mcycle they are means of
   ten splits with 13 test cases each, which are uncertain by about 2. */
typedef struct System {
    const char *set, *name;
    int experts, hidden;
    moe_loss loss;
    double reference, reference_single, target;
} System;

static const System systems[] = {
    {"concrete", "linear", 1, 0, MOE_LOSS_BLEND, 10.66, 0, 0},
    {"concrete", "16 linear, blend", 16, 0, MOE_LOSS_BLEND, 5.56, 5.69, 5.7},
    {"concrete", "16 linear, mixture", 16, 0, MOE_LOSS_MIXTURE, 0, 5.69, 0},
    {"kin8nm", "linear", 1, 0, MOE_LOSS_BLEND, .203, 0, 0},
    {"kin8nm", "16 linear, blend", 16, 0, MOE_LOSS_BLEND, .0806, .0766, .082},
    {"kin8nm", "16 linear, mixture", 16, 0, MOE_LOSS_MIXTURE, 0, .0766, 0},
    {"kin8nm", "8 of 8 units, blend", 8, 8, MOE_LOSS_BLEND, .0731, .0751,
     .075},
    {"kin8nm", "8 of 8 units, mixture", 8, 8, MOE_LOSS_MIXTURE, 0, .0751, 0},
    {"mcycle", "linear", 1, 0, MOE_LOSS_BLEND, 43.7, 0, 0},
    {"mcycle", "8 of 8 units, blend", 8, 8, MOE_LOSS_BLEND, 19.8, 20.9, 21},
    {"mcycle", "8 of 8 units, mixture", 8, 8, MOE_LOSS_MIXTURE, 0, 20.9, 0},
    {"optdigits", "linear", 1, 0, MOE_LOSS_MIXTURE, 5.3, 0, 0},
    {"optdigits", "8 linear, mixture", 8, 0, MOE_LOSS_MIXTURE, 3.15, 3.6, 3.6},
    {"deterding", "linear", 1, 0, MOE_LOSS_MIXTURE, 62.3, 0, 0},
    {"deterding", "8 linear, mixture", 8, 0, MOE_LOSS_MIXTURE, 53.7, 53.7, 0},
    {"deterding", "8 of 8 units, mixture", 8, 8, MOE_LOSS_MIXTURE, 47.6, 42.5,
     50}
};

/* Systems whose seeds are counted for collapse.  The data are in the units of
   the file; with keep_units the library leaves them so, which is shown for
   contrast and not counted. */
typedef struct Collapse {
    const char *set;
    int experts, hidden, keep_units;
    moe_loss loss;
} Collapse;

static const Collapse collapses[] = {
    {"concrete", 16, 0, 0, MOE_LOSS_MIXTURE},
    {"concrete", 16, 0, 0, MOE_LOSS_BLEND},
    {"mcycle", 8, 8, 0, MOE_LOSS_BLEND},
    {"deterding", 8, 0, 0, MOE_LOSS_MIXTURE},
    {"concrete", 16, 0, 1, MOE_LOSS_MIXTURE},
    {"concrete", 16, 0, 1, MOE_LOSS_BLEND}
};

#define COUNT(array) ((int)(sizeof (array) / sizeof (array)[0]))

static void give_up(const char *what, const char *which)
{
    fprintf(stderr, "quality: %s: %s\n", which, what);
    exit(2);
}

static void *memory(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);

    if (!p)
        give_up("out of memory", "malloc");
    return p;
}

/* ---- random splits ----------------------------------------------------- */

/* splitmix64 */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* A random order of 0..n-1 (Fisher & Yates). */
static int *shuffled(int n, uint64_t seed)
{
    int *order = (int *)memory(NULL, (size_t)n * sizeof *order);
    int i, j, swap;

    for (i = 0; i < n; i++)
        order[i] = i;
    for (i = n - 1; i > 0; i--) {
        j = (int)(random_bits(&seed) % (uint64_t)(i + 1));
        swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    return order;
}

/* ---- tables ------------------------------------------------------------ */

static void table_make(Table *t, int rows, int inputs)
{
    size_t n = (size_t)rows + 1;             /* never 0 bytes */

    t->rows = rows;
    t->inputs = inputs;
    t->x = (moe_real *)memory(NULL, n * (size_t)inputs * sizeof *t->x);
    t->d = (moe_real *)memory(NULL, n * sizeof *t->d);
    t->labels = (int *)memory(NULL, n * sizeof *t->labels);
}

static void table_free(Table *t)
{
    free(t->x);
    free(t->d);
    free(t->labels);
    memset(t, 0, sizeof *t);
}

static void table_copy_row(Table *to, int row, const Table *from, int source)
{
    size_t inputs = (size_t)from->inputs;

    memcpy(to->x + (size_t)row * inputs, from->x + (size_t)source * inputs,
           inputs * sizeof *to->x);
    to->d[row] = from->d[source];
    to->labels[row] = from->labels[source];
}

/* Rows order[first], order[first + 1], ... */
static void table_take(Table *part, const Table *from, const int *order,
                       int first, int rows)
{
    int i;

    table_make(part, rows, from->inputs);
    for (i = 0; i < rows; i++)
        table_copy_row(part, i, from, order[first + i]);
}

static void table_copy(Table *to, const Table *from)
{
    int i;

    table_make(to, from->rows, from->inputs);
    for (i = 0; i < from->rows; i++)
        table_copy_row(to, i, from, i);
}

/* The numbers of a line, between commas, spaces or tabs; returns how many. */
static int read_line(const char *at, double *value, int most)
{
    char *end;
    int n = 0;

    for (;;) {
        at += strspn(at, ", \t\r\n");
        if (*at == '\0' || n == most)
            return n;
        value[n++] = strtod(at, &end);
        if (end == at)
            return -1;
        at = end;
    }
}

static void read_table(Table *t, const Set *set, const char *folder,
                       const char *name)
{
    char path[1024], line[4096];
    double value[65];
    int inputs = set->inputs, rows = 0, i;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "r");
    if (!file)
        give_up("cannot be opened", path);
    for (i = 0; i < set->header; i++)
        if (!fgets(line, sizeof line, file))
            give_up("has no header", path);
    table_make(t, MAX_CASES, inputs);
    while (fgets(line, sizeof line, file)) {
        int n = read_line(line, value, inputs + 1);
        const double *x = value + set->target_first;
        double d = set->target_first ? value[0] : value[inputs];

        if (n == 0)
            continue;
        if (n != inputs + 1 || rows == MAX_CASES)
            give_up("is not the table expected", path);
        for (i = 0; i < inputs; i++)
            t->x[rows * inputs + i] = (moe_real)x[i];
        t->d[rows] = (moe_real)d;
        t->labels[rows++] = (int)d - set->first_class;
    }
    fclose(file);
    t->rows = rows;
}

/* The three parts of one run: a tenth of the data is the test part, or the
   published one. */
typedef struct Split { Table train, validation, test; } Split;

static int alone;           /* no validation part: moe_train finds one itself */

static void split_make(Split *s, const Set *set, const Table *all,
                       const Table *test, uint64_t seed)
{
    int *order = shuffled(all->rows, seed);
    int tested = set->test_file ? 0 : all->rows / 10;
    int kept = alone ? 0 : (all->rows - tested) * set->validation / 100;

    if (set->test_file)
        table_copy(&s->test, test);
    else
        table_take(&s->test, all, order, 0, tested);
    table_take(&s->validation, all, order, tested, kept);
    table_take(&s->train, all, order, tested + kept,
               all->rows - tested - kept);
    free(order);
}

static void split_free(Split *s)
{
    table_free(&s->train);
    table_free(&s->validation);
    table_free(&s->test);
}

/* ---- one run ----------------------------------------------------------- */

static moe_data data_of(const Table *t, const Set *set)
{
    moe_data data;

    memset(&data, 0, sizeof data);
    data.n = t->rows;
    data.x = t->x;
    if (set->classes)
        data.labels = t->labels;
    else
        data.d = t->d;
    return data;
}

/* Root mean squared error, or the percentage of wrong classes. */
static double test_error(moe *m, const Table *test, const Set *set)
{
    int outputs = set->classes ? set->classes : 1, i, k;
    size_t bytes = (size_t)test->rows * (size_t)outputs * sizeof(moe_real);
    moe_real *y = (moe_real *)memory(NULL, bytes);
    double squares = 0, error;
    int wrong = 0;

    moe_predict(m, test->x, test->rows, y);
    for (i = 0; i < test->rows; i++) {
        const moe_real *row = y + i * outputs;
        int largest = 0;

        for (k = 1; k < outputs; k++)
            if (row[k] > row[largest])
                largest = k;
        wrong += largest != test->labels[i];
        error = (double)(row[0] - test->d[i]);
        squares += error * error;
    }
    free(y);
    return set->classes ? 100.0 * wrong / test->rows
                        : sqrt(squares / test->rows);
}

typedef struct Result {
    double error;           /* on the test part                              */
    double share;           /* largest share of training cases an expert won */
    double imbalance, dead; /* of the report on the training part            */
    int parameters, epochs;
} Result;

static Result run(const moe_config *config, const moe_training *training,
                  const Set *set, const Split *split)
{
    moe_data train = data_of(&split->train, set);
    moe_data validation = data_of(&split->validation, set);
    moe_report report;
    Result result;
    moe m;

    if (moe_open(&m, config, NULL, 0) != MOE_OK)
        give_up(m.error, set->name);
    if (moe_train(&m, &train, validation.n ? &validation : NULL, training,
                  NULL) != MOE_OK)
        give_up(m.error, set->name);
    if (moe_evaluate(&m, &train, &report) != MOE_OK)
        give_up(m.error, set->name);
    result.error = test_error(&m, &split->test, set);
    result.share = (double)report.imbalance / config->experts;
    result.imbalance = (double)report.imbalance;
    result.dead = report.dead;
    result.parameters = (int)m.trained_count;
    result.epochs = m.epoch;
    moe_close(&m);
    return result;
}

static moe_config config_for(const Set *set, int experts, int hidden,
                             moe_loss loss, uint64_t seed)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = set->inputs;
    config.outputs = set->classes ? set->classes : 1;
    config.experts = experts;
    config.hidden[0] = hidden;
    config.output = set->classes ? MOE_OUT_SOFTMAX : MOE_OUT_LINEAR;
    config.loss = loss;
    config.seed = seed;
    return config;
}

/* Hidden units of the single network with nearly as many parameters:
   (I + 1) H + (H + 1) O. */
static int units_for(int parameters, const Set *set)
{
    int outputs = set->classes ? set->classes : 1;
    int each = set->inputs + 1 + outputs;

    return (parameters - outputs + each / 2) / each;
}

/* ---- tables of results ------------------------------------------------- */

static double mean_of(const double *v, int n)
{
    double sum = 0;
    int i;

    for (i = 0; i < n; i++)
        sum += v[i];
    return sum / n;
}

/* Standard error of the mean. */
static double error_of(const double *v, int n)
{
    double mean = mean_of(v, n), squares = 0;
    int i;

    for (i = 0; i < n; i++)
        squares += (v[i] - mean) * (v[i] - mean);
    return sqrt(squares / (n - 1) / n);
}

/* A figure in a column, with the digits its size deserves. */
static void print_figure(int width, double figure, double scale)
{
    if (figure == 0)
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, scale < 1 ? 4 : 2, figure);
}

static void print_head(const Set *set, const Split *split)
{
    printf("\n%s: test %s; %d %s of %d training, %d validation, %d test "
           "cases\n", set->name, set->unit, set->runs,
           set->test_file ? "seeds" : "splits", split->train.rows,
           split->validation.rows, split->test.rows);
    printf("  %-21s  %7s %7s %6s | %-6s %8s %7s %6s | %7s %6s %7s | %6s %6s |"
           " %6s\n", "mixture", "weights", "error", "se", "single", "weights",
           "error", "se", "differ", "se", "", "ref", "single", "target");
}

static void errors_of(double *to, const Result *results, int runs)
{
    int i;

    for (i = 0; i < runs; i++)
        to[i] = results[i].error;
}

static void print_name(const char *name, int parameters)
{
    if (parameters)
        printf("  %-21s %8d", name, parameters);
    else
        printf("  %-21s %8s", name, "-");
}

/* Mean and standard error of some runs; returns the mean. */
static double print_mean(const double *error, int runs)
{
    double mean = mean_of(error, runs);

    print_figure(7, mean, mean);
    print_figure(6, error_of(error, runs), mean);
    return mean;
}

/* One line: the mixture, the single network, the paired difference.  Whether
   the target is met. */
static int print_comparison(const System *system, int units,
                            const Result *mixture, const Result *single,
                            int runs)
{
    double a[MAX_RUNS], b[MAX_RUNS], c[MAX_RUNS], mean, difference, error;
    int i, met;

    errors_of(a, mixture, runs);
    errors_of(b, single, runs);
    for (i = 0; i < runs; i++)
        c[i] = a[i] - b[i];
    difference = mean_of(c, runs);
    error = error_of(c, runs);
    print_name(system->name, mixture[0].parameters);
    mean = print_mean(a, runs);
    met = system->target == 0 || mean <= system->target;
    printf(" | 1x%-4d %8d", units, single[0].parameters);
    print_mean(b, runs);
    printf(" |");
    print_figure(7, difference, mean);
    print_figure(6, error, mean);
    printf("  %s%s |", difference < 0 ? "wins " : "loses",
           fabs(difference) < 2 * error ? "?" : " ");
    print_figure(6, system->reference, mean);
    print_figure(6, system->reference_single, mean);
    printf(" |");
    print_figure(6, system->target, mean);
    printf("%s\n", system->target == 0 ? "" : met ? " met" : " MISSED");
    fflush(stdout);
    return met;
}

/* Every run of one system, on the split of that number. */
static void run_all(Result *results, const System *system, int experts,
                    int hidden, const Set *set, const Split *splits,
                    uint64_t seed)
{
    moe_config config;
    int i;

    for (i = 0; i < set->runs; i++) {
        config = config_for(set, experts, hidden, system->loss,
                            seed + (uint64_t)i);
        results[i] = run(&config, NULL, set, splits + i);
    }
}

/* One system and its single network on the same splits. */
static int compare(const System *system, const Set *set, const Split *splits,
                   uint64_t seed)
{
    Result mixture[MAX_RUNS], single[MAX_RUNS];
    double error[MAX_RUNS], mean;
    int units;

    run_all(mixture, system, system->experts, system->hidden, set, splits,
            seed);
    if (system->experts == 1) {
        errors_of(error, mixture, set->runs);
        print_name(system->name, mixture[0].parameters);
        mean = print_mean(error, set->runs);
        printf(" | %30s | %22s |", "", "");
        print_figure(6, system->reference, mean);
        printf("%7s |\n", "");
        return 1;
    }
    units = units_for(mixture[0].parameters, set);
    run_all(single, system, 1, units, set, splits, seed);
    return print_comparison(system, units, mixture, single, set->runs);
}

/* ---- a yardstick for one input ------------------------------------------ */

/* Squared errors on the test part of a straight line fitted around each case,
   weights exp(-((x' - x) / width)^2 / 2).  All but the test cases are used. */
static double smooth_squares(const Split *s, double width)
{
    const Table *parts[2];
    double squares = 0;
    int i, j, k;

    parts[0] = &s->train;
    parts[1] = &s->validation;
    for (i = 0; i < s->test.rows; i++) {
        double n = 1e-9, x = 0, d = 0, xx = 1e-9, xd = 0, error;

        for (k = 0; k < 2; k++)
            for (j = 0; j < parts[k]->rows; j++) {
                double off = (double)(parts[k]->x[j] - s->test.x[i]) / width;
                double w = exp(-off * off / 2);
                double target = (double)parts[k]->d[j];

                n += w;
                x += w * off;
                d += w * target;
                xx += w * off * off;
                xd += w * off * target;
            }
        error = (d * xx - x * xd) / (n * xx - x * x) - (double)s->test.d[i];
        squares += error * error;
    }
    return squares;
}

/* The width is the best of several in hindsight, which favours it: about the
   least error that these splits allow. */
static void print_smoother(const Set *set, const Split *splits)
{
    static const double widths[] = {.7, 1, 1.4, 2, 2.8};
    double error[MAX_RUNS], best[MAX_RUNS];
    int i, j;

    for (j = 0; j < COUNT(widths); j++) {
        for (i = 0; i < set->runs; i++)
            error[i] = sqrt(smooth_squares(splits + i, widths[j])
                            / splits[i].test.rows);
        if (j == 0 || mean_of(error, set->runs) < mean_of(best, set->runs))
            memcpy(best, error, sizeof best);
    }
    print_name("local straight lines", 0);
    print_mean(best, set->runs);
    printf(" | %30s | %22s | %13s |\n", "", "", "");
}

static void read_set(Table *all, Table *test, const Set *set,
                     const char *folder)
{
    memset(test, 0, sizeof *test);
    read_table(all, set, folder, set->file);
    if (set->test_file)
        read_table(test, set, folder, set->test_file);
}

/* All systems on one data set; how many targets were missed. */
static int try_set(const Set *set, const char *folder, uint64_t seed)
{
    Table all, test;
    Split splits[MAX_RUNS];
    clock_t start = clock();
    int i, missed = 0;

    read_set(&all, &test, set, folder);
    for (i = 0; i < set->runs; i++)
        split_make(splits + i, set, &all, &test, seed + (uint64_t)i);
    print_head(set, splits);
    for (i = 0; i < COUNT(systems); i++)
        if (strcmp(systems[i].set, set->name) == 0)
            missed += !compare(systems + i, set, splits, seed);
    if (set->inputs == 1)
        print_smoother(set, splits);
    printf("  %.0f s\n", (double)(clock() - start) / CLOCKS_PER_SEC);
    for (i = 0; i < set->runs; i++)
        split_free(splits + i);
    table_free(&all);
    table_free(&test);
    return missed;
}

static const Set *find_set(const char *name)
{
    int i;

    for (i = 0; i < COUNT(sets); i++)
        if (strcmp(sets[i].name, name) == 0)
            return sets + i;
    return NULL;
}

/* Seeds of one system that ended with one expert for nearly all cases. */
static int count_collapsed(const Collapse *c, const char *folder,
                           uint64_t seed)
{
    const Set *set = find_set(c->set);
    Table all, test;
    moe_training training;
    double largest = 0;
    int i, collapsed = 0;

    read_set(&all, &test, set, folder);
    memset(&training, 0, sizeof training);
    training.keep_units = c->keep_units;
    for (i = 0; i < COLLAPSE_RUNS; i++) {
        uint64_t s = seed + (uint64_t)i;
        moe_config config = config_for(set, c->experts, c->hidden, c->loss, s);
        Split split;
        Result result;

        split_make(&split, set, &all, &test, s);
        result = run(&config, &training, set, &split);
        collapsed += result.share > COLLAPSED;
        largest = result.share > largest ? result.share : largest;
        split_free(&split);
    }
    printf("  %-10s %2dx%-2d %-8s %-14s %3d of %d, largest share %3.0f %%\n",
           c->set, c->experts, c->hidden,
           c->loss == MOE_LOSS_BLEND ? "blend" : "mixture",
           c->keep_units ? "keep_units" : "", collapsed, COLLAPSE_RUNS,
           100 * largest);
    fflush(stdout);
    table_free(&all);
    table_free(&test);
    return collapsed;
}

static int count_all_collapsed(const char *folder, uint64_t seed)
{
    int i, collapsed = 0, runs = 0;

    printf("\ncollapse: seeds with one expert winning more than %.0f %% of "
           "the training cases\n", 100 * COLLAPSED);
    for (i = 0; i < COUNT(collapses); i++) {
        int count = count_collapsed(collapses + i, folder, seed);

        if (!collapses[i].keep_units) {
            collapsed += count;
            runs += COLLAPSE_RUNS;
        }
    }
    printf("  with defaults %d of %d\n", collapsed, runs);
    return collapsed;
}

/* ---- sparse mixtures ----------------------------------------------------- */

#define SPARSE_RUNS 10
#define BALANCE_RATE 0.01
#define BALANCE_LOSS 0.1
#define BALANCED 1.5        /* the largest imbalance of a balanced mixture */

/* Mixtures of 16 experts with 8 hidden units; the first is the network that
   has the hidden units of two. */
typedef struct Gating {
    const char *name;
    int experts, hidden, top_k;
    double balance_rate, balance_loss;
    moe_loss loss;
} Gating;

static const Gating gatings[] = {
    {"one network", 1, 16, 0, 0, 0, MOE_LOSS_BLEND},
    {"dense, mixture", 16, 8, 0, 0, 0, MOE_LOSS_MIXTURE},
    {"dense, blend", 16, 8, 0, 0, 0, MOE_LOSS_BLEND},
    {"top 2, mixture", 16, 8, 2, 0, 0, MOE_LOSS_MIXTURE},
    {"top 2, blend", 16, 8, 2, 0, 0, MOE_LOSS_BLEND},
    {"  balance_rate, mixture", 16, 8, 2, BALANCE_RATE, 0, MOE_LOSS_MIXTURE},
    {"  balance_rate, blend", 16, 8, 2, BALANCE_RATE, 0, MOE_LOSS_BLEND},
    {"  balance_loss, mixture", 16, 8, 2, 0, BALANCE_LOSS, MOE_LOSS_MIXTURE},
    {"  balance_loss, blend", 16, 8, 2, 0, BALANCE_LOSS, MOE_LOSS_BLEND}
};

static void run_gating(Result *results, const Gating *g, const Set *set,
                       const Split *splits, uint64_t seed)
{
    moe_training training;
    moe_config config;
    int i;

    memset(&training, 0, sizeof training);
    training.balance_rate = (moe_real)g->balance_rate;
    for (i = 0; i < SPARSE_RUNS; i++) {
        config = config_for(set, g->experts, g->hidden, g->loss,
                            seed + (uint64_t)i);
        config.top_k = g->top_k;
        config.balance_loss = (moe_real)g->balance_loss;
        results[i] = run(&config, &training, set, splits + i);
    }
}

/* One line; first: the results of the network, which the others are compared
   with, paired by split.  Whether a balanced mixture was not so in a run. */
static int print_gating(const Gating *g, const Result *results,
                         const Result *first)
{
    double a[SPARSE_RUNS], b[SPARSE_RUNS], mean, imbalance = 0, dead = 0;
    double worst = 0;
    int i, missed;

    errors_of(a, results, SPARSE_RUNS);
    for (i = 0; i < SPARSE_RUNS; i++) {
        b[i] = a[i] - first[i].error;
        imbalance += results[i].imbalance / SPARSE_RUNS;
        dead += results[i].dead / SPARSE_RUNS;
        worst = fmax(worst, results[i].imbalance);
    }
    missed = g->balance_loss + g->balance_rate > 0
          && (dead > 0 || worst >= BALANCED);
    printf("  %-23s %6d", g->name, results[0].parameters);
    mean = print_mean(a, SPARSE_RUNS);
    printf(" |");
    print_figure(8, mean_of(b, SPARSE_RUNS), mean);
    print_figure(6, error_of(b, SPARSE_RUNS), mean);
    if (g->experts > 1)
        printf(" | %9.2f %5.2f %5.1f%s", imbalance, worst, dead,
               missed ? " *" : "");
    printf("\n");
    fflush(stdout);
    return missed;
}

/* How many forms of loss-free balancing failed. */
static int try_sparse_set(const char *name, const char *folder, uint64_t seed)
{
    const Set *set = find_set(name);
    Result first[SPARSE_RUNS], results[SPARSE_RUNS];
    Split splits[SPARSE_RUNS];
    Table all, test;
    clock_t start = clock();
    int i, missed = 0;

    read_set(&all, &test, set, folder);
    for (i = 0; i < SPARSE_RUNS; i++)
        split_make(splits + i, set, &all, &test, seed + (uint64_t)i);
    printf("\n%s: test %s; %d %s\n  %-23s %6s %7s %6s | %8s %6s | %9s %5s "
           "%5s\n",
           set->name, set->unit, SPARSE_RUNS, set->test_file ? "seeds"
           : "splits", "", "params", "error", "se", "differ", "se",
           "imbalance", "worst", "dead");
    for (i = 0; i < COUNT(gatings); i++) {
        if (i > 0 && set->classes && gatings[i].loss == MOE_LOSS_BLEND)
            continue;
        run_gating(results, &gatings[i], set, splits, seed);
        if (i == 0)
            memcpy(first, results, sizeof first);
        if (print_gating(&gatings[i], results, first))
            missed += gatings[i].balance_rate > 0;
    }
    printf("  %.0f s\n", (double)(clock() - start) / CLOCKS_PER_SEC);
    for (i = 0; i < SPARSE_RUNS; i++)
        split_free(splits + i);
    table_free(&all);
    table_free(&test);
    return missed;
}

static int try_sparse(const char *folder, uint64_t seed)
{
    static const char *const names[] = {"kin8nm", "optdigits", "deterding"};
    int i, missed = 0;

    printf("16 experts of 8 hidden units, of which 2 run for a case, beside "
           "all of them and\none network of 16 hidden units.  balance_rate "
           "%g, balance_loss %g, else the\nlibrary's defaults.  differ: less "
           "the network, paired; dead: experts that win\nno case of the "
           "training part; worst: the largest imbalance of a run; *: an\n"
           "expert died, or worst is not below %g.  With labels mixture and "
           "blend are the same\nloss.\n", BALANCE_RATE, BALANCE_LOSS, BALANCED);
    for (i = 0; i < COUNT(names); i++)
        missed += try_sparse_set(names[i], folder, seed);
    return missed;
}

int main(int argc, char **argv)
{
    const char *only = argc > 2 ? argv[2] : "all";
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    int every = strcmp(only, "all") == 0, counting = every, bad = 0, i;

    alone = strcmp(only, "alone") == 0;
    every |= alone;
    if (argc > 1 && argc < 5 && strcmp(only, "sparse") == 0)
        return try_sparse(argv[1], seed) != 0;
    if (argc > 1 && strcmp(only, "collapse") == 0)
        counting = 1;
    else if (argc < 2 || argc > 4 || (!every && !find_set(only))) {
        printf("usage: quality FOLDER [concrete|kin8nm|mcycle|optdigits|"
               "deterding|collapse|sparse|alone|all [SEED]]\n");
        return 2;
    }
    printf("Library defaults throughout.  se: standard error; differ: mixture "
           "less single\nnetwork, paired by split; ?: by less than two "
           "standard errors; ref: PyTorch.\n");
    for (i = 0; i < COUNT(sets); i++)
        if (every || strcmp(only, sets[i].name) == 0)
            bad += try_set(sets + i, argv[1], seed);
    if (counting)
        bad += count_all_collapsed(argv[1], seed);
    return bad != 0;
}
