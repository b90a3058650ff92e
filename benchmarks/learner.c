/* learner.c - what moe.h learns right out of the box, and how sure it is: with
   nothing set but the shape, the loss, the seed and, where a row says so,
   restarts or weights of cases

     learner FOLDER [ROW]

   FOLDER holds the data, ROW is the first word of some rows (all by default).
   Where a target is missed, the row says so, and the exit status is 1.  The
   targets for two straight experts are what expectation-maximisation reaches on
   all cases; "all" says that no case was held out.                          */

#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "../examples/csv.h"

#include <math.h>

#define NONE (-99)          /* there is no such target */

static const char *folder, *wanted;
static int missed;
static csv table;
static moe_real *x, *d, *log_density, *weights;
static int *labels;

static void give_up(const char *what)
{
    fprintf(stderr, "learner: %s\n", what);
    exit(2);
}

/* ---- rows that are printed ---------------------------------------------- */

static int asked_for(const char *row)
{
    return wanted == NULL || strcmp(row, wanted) == 0;
}

/* sign 1: at least the target; -1: at most */
static void say(const char *row, const char *what, double value, int sign,
                double target)
{
    int bad = target > NONE && !(sign * value >= sign * target);

    printf("  %-14s %-40s %9.4f", row, what, value);
    if (target > NONE)
        printf("  %s %8.4f", sign > 0 ? ">=" : "<=", target);
    if (bad)
        printf("  MISSED by %.4f", fabs(value - target));
    printf("\n");
    fflush(stdout);
    missed += bad;
}

/* ---- cases --------------------------------------------------------------- */

static void *memory(void *old, size_t bytes)
{
    void *p = realloc(old, bytes + 1);

    if (p == NULL)
        give_up("out of memory");
    return p;
}

/* 0: this file is not there. */
static int read_cases(const char *name)
{
    char path[1024];
    size_t cells;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    free(table.value);
    if (!csv_read_words(&table, path)) {
        printf("  %s: left out\n", table.error);
        return 0;
    }
    cells = (size_t)table.rows * (size_t)table.columns;
    x = (moe_real *)memory(x, cells * sizeof *x);
    d = (moe_real *)memory(d, cells * sizeof *d);
    weights = (moe_real *)memory(weights, cells * sizeof *weights);
    log_density = (moe_real *)memory(log_density, cells * sizeof *x);
    labels = (int *)memory(labels, cells * sizeof *labels);
    return 1;
}

/* The last `outputs` columns are d; words and numbers count as labels from the
   smallest on. */
static void take_cases(int outputs)
{
    float value[100];
    int n, i, inputs = table.columns - outputs;
    int count = csv_distinct(&table, table.columns - 1, value, 100);

    for (n = 0; n < table.rows; n++) {
        const float *row = table.value + n * table.columns;

        for (i = 0; i < inputs; i++)
            x[n * inputs + i] = (moe_real)row[i];
        for (i = 0; i < outputs; i++)
            d[n * outputs + i] = (moe_real)row[inputs + i];
        labels[n] = count > 100 ? 0 : csv_place(value, count,
                                                row[table.columns - 1]);
    }
}

/* Cases first .. first+n-1. */
static moe_data part(const moe_config *c, int first, int n)
{
    moe_data data;

    memset(&data, 0, sizeof data);
    data.n = n;
    data.x = x + first * c->inputs;
    if (c->output == MOE_OUT_LINEAR)
        data.d = d + first * c->outputs;
    else
        data.labels = labels + first;
    return data;
}

#define TWO_PI 6.283185307179586

/* in [0,1), by splitmix64 */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static moe_config shape(int inputs, int outputs, int experts, int hidden)
{
    moe_config c;

    memset(&c, 0, sizeof c);
    c.inputs = inputs;
    c.outputs = outputs;
    c.experts = experts;
    c.hidden[0] = hidden;
    return c;
}

static void train(moe *m, const moe_config *c, const moe_data *data,
                  const moe_data *valid, const moe_training *t)
{
    if (moe_open(m, c, NULL, 0) != MOE_OK
        || moe_train(m, data, valid, t, NULL) != MOE_OK)
        give_up(m->error);
}

static double mean_log_density(moe *m, const moe_data *data)
{
    double sum = 0;
    int n;

    moe_density(m, data->x, data->d, data->n, log_density);
    for (n = 0; n < data->n; n++)
        sum += (double)log_density[n] / data->n;
    return sum;
}

/* ---- two straight experts ----------------------------------------------- */

/* npreg's inputs are x and x^2, for one of its laws is a parabola. */
static void take_line(int inputs)
{
    int n;

    for (n = 0; n < table.rows; n++) {
        moe_real first = (moe_real)table.value[n * table.columns];

        x[inputs * n] = first;
        if (inputs == 2)
            x[2 * n + 1] = first * first;
        d[n] = (moe_real)table.value[n * table.columns + 1];
    }
}

typedef struct Lines { const char *name; double one, own; } Lines;

static void try_lines(const Lines *l, int inputs, int all)
{
    moe_config c = shape(inputs, 1, 2, 0);
    moe_data data = part(&c, 0, table.rows);
    moe_real same[3];
    const moe_real *kept;
    moe_training t;
    char what[80];
    moe m;

    memset(&t, 0, sizeof t);
    t.restarts = 5;
    t.holdout = all ? -1 : 0;
    train(&m, &c, &data, NULL, &t);
    kept = m.sigma;
    same[0] = same[1] = same[2] = kept[0];
    m.sigma = same;
    snprintf(what, sizeof what, "log-likelihood, one sigma%s",
             all ? ", all" : "");
    if (l->one > NONE)
        say(l->name, what, mean_log_density(&m, &data), 1, l->one);
    m.sigma = kept;
    if (moe_fit_variance(&m, &data) != MOE_OK)
        give_up(m.error);
    snprintf(what, sizeof what, "log-likelihood, own%s", all ? ", all" : "");
    say(l->name, what, mean_log_density(&m, &data), 1, l->own);
    if (strcmp(l->name, "tonedata") == 0 && all) {
        static const moe_real at[2] = {0, 1};
        int steep;

        moe_forward(&m, at, 2);
        steep = m.o[3] - m.o[1] > m.o[2] - m.o[0];
        say(l->name, "off slope 1.00", fabs((double)(m.o[2 + steep]
            - m.o[steep]) - 1), -1, 0.05);
        say(l->name, "off slope .04", fabs((double)(m.o[3 - steep]
            - m.o[1 - steep]) - 0.04), -1, 0.05);
    }
    moe_close(&m);
}

static void try_two_lines(void)
{
    static const Lines all[] = {
        {"tonedata", .715, .94}, {"co2data", -2.45, -2.40},
        {"nodata", 1.32, 1.39}, {"npreg", -3.206, -3.206},
        {"faithful", -3.133, -3.133}, {"nodata", NONE, 123.0 / 88},
        {"tempanomalies", NONE, 102.4 / 136}
    };
    char name[64];
    int i, how, inputs;

    for (i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "%s.csv", all[i].name);
        if (!asked_for("lines") || !read_cases(name))
            continue;
        inputs = strcmp(all[i].name, "npreg") == 0 ? 2 : 1;
        take_line(inputs);
        for (how = 0; how < 2; how++)
            try_lines(all + i, inputs, how);
    }
}

/* ---- one to many --------------------------------------------------------- */

/* y uniform in 0..1, x = y + .3 sin(2 pi y) + .05 noise: learn y from x.  How
   far the nearest of three straight experts is from it. */
static void try_branches(void)
{
    enum { CASES = 400, RUNS = 5 };
    static moe_real from[CASES], to[CASES];
    moe_config c = shape(1, 1, 3, 0);
    uint64_t state = 1;
    double square = 0;
    moe_training t;
    moe_data data;
    int run, n, i;
    moe m;

    if (!asked_for("branches"))
        return;
    memset(&t, 0, sizeof t);
    memset(&data, 0, sizeof data);
    t.restarts = 5;
    data.n = CASES;
    data.x = from;
    data.d = to;
    c.block = CASES;
    for (run = 0; run < RUNS; run++) {
        for (n = 0; n < CASES; n++) {
            double y = uniform(&state), radius = uniform(&state);

            to[n] = (moe_real)y;
            from[n] = (moe_real)(y + .3 * sin(TWO_PI * y) + .05
                * sqrt(-2 * log(1 - radius)) * cos(TWO_PI * uniform(&state)));
        }
        c.seed = (uint64_t)(5 * run);
        train(&m, &c, &data, NULL, &t);
        moe_forward(&m, from, CASES);
        for (n = 0; n < CASES; n++) {
            double least = 1e9;

            for (i = 0; i < 3; i++)
                least = fmin(least, fabs((double)(m.o[3 * n + i] - to[n])));
            square += least * least / (CASES * RUNS);
        }
        moe_close(&m);
    }
    say("branches", "RMSE of the nearest expert", sqrt(square), -1, .05);
}

/* ---- fresh splits, or the file's own: learnt, validation, test ----------- */

typedef struct Task {
    const char *row, *file;
    int experts, hidden, gate_hidden, outputs, classes;
    moe_loss loss;
    double validation;       /* share of the training part; 0: not given */
    int restarts, runs, own_split;
    double target;           /* mean over the runs, at most */
    const char *what;
} Task;

static const Task tasks[] = {
    {"nll", "mcycle.csv", 8, 8, 0, 1, 0, MOE_LOSS_BLEND, .15, 0, 50, 0, 4.50,
     "mcycle, -log p(d|x), 8 of 8, blend"},
    {"nll", "concrete.txt", 16, 0, 0, 1, 0, MOE_LOSS_BLEND, .15, 0, 10, 0, 3.03,
     "concrete, -log p(d|x), 16 linear, blend"},
    {"nll", "kin8nm.csv", 8, 8, 0, 1, 0, MOE_LOSS_BLEND, .15, 0, 5, 0, -1.17,
     "kin8nm, -log p(d|x), 8 of 8, blend"},
    {"classes", "pima.csv", 8, 8, 0, 1, 2, MOE_LOSS_MIXTURE, 0, 0, 20, 0, 24.5,
     "pima, % wrong, 8 of 8"},
    {"classes", "ecoli.csv", 8, 8, 0, 1, 8, MOE_LOSS_MIXTURE, 0, 0, 20, 0, 15.5,
     "ecoli, % wrong, 8 of 8"},
    {"regimes", "regimes.csv", 4, 0, 8, 2, 0, MOE_LOSS_MIXTURE, .2, 8, 10, 1,
     6, "regimes, squared error, ten seeds"},
    {"regimes", "regimes.csv", 4, 0, 8, 2, 0, MOE_LOSS_MIXTURE, .2, 8, 10, 0,
     NONE, "regimes, squared error, fresh splits"},
    {"rare", "mammography.csv", 8, 8, 0, 1, 2, MOE_LOSS_MIXTURE, 0, 0, 10, 0,
     NONE, "mammography, % wrong, weights 10"}
};

/* Recall and precision of the rare class, 1. */
typedef struct Found { double right, rare, called; } Found;

static void count_found(moe *m, const moe_data *test, Found *f)
{
    moe_real y[2];
    int n;

    for (n = 0; n < test->n; n++) {
        moe_predict(m, test->x + n * m->config.inputs, 1, y);
        f->rare += test->labels[n] == 1;
        f->called += y[1] > y[0];
        f->right += test->labels[n] == 1 && y[1] > y[0];
    }
}

/* The figure of one run: what of the task is tested. */
static double run_task(const Task *k, const moe_config *c, Found *f)
{
    int tested = table.rows / (k->own_split ? 6 : 10);
    int kept = (int)(k->validation * (table.rows - tested));
    int learnt = table.rows - tested - kept;
    moe_data test = part(c, k->own_split ? learnt + kept : 0, tested);
    moe_data valid = part(c, k->own_split ? learnt : tested, kept);
    moe_data data = part(c, k->own_split ? 0 : tested + kept, learnt);
    moe_report report;
    moe_training t;
    double figure;
    moe m;

    memset(&t, 0, sizeof t);
    t.restarts = k->restarts;
    if (strcmp(k->row, "rare") == 0)
        data.weights = weights + tested + kept;
    train(&m, c, &data, kept ? &valid : NULL, &t);
    if (moe_evaluate(&m, &test, &report) != MOE_OK)
        give_up(m.error);
    figure = k->classes ? 100 - 100 * (double)report.accuracy
           : strcmp(k->row, "nll") == 0 ? -mean_log_density(&m, &test)
           : (double)report.squared_error;
    if (data.weights)
        count_found(&m, &test, f);
    moe_close(&m);
    return figure;
}

static void try_task(const Task *k)
{
    Found f = {0, 0, 0};
    double sum = 0;
    moe_config c;
    int run, n;

    if (!asked_for(k->row) || !read_cases(k->file))
        return;
    for (run = 0; run < k->runs; run++) {
        if (!k->own_split)
            csv_shuffle(&table, (uint64_t)run + 1);
        take_cases(k->outputs);
        for (n = 0; n < table.rows; n++)
            weights[n] = labels[n] == 1 ? 10 : 1;
        c = shape(table.columns - k->outputs,
                  k->classes ? k->classes : k->outputs, k->experts, k->hidden);
        c.gate_hidden[0] = k->gate_hidden;
        c.loss = k->loss;
        c.output = k->classes ? MOE_OUT_SOFTMAX : MOE_OUT_LINEAR;
        c.seed = (uint64_t)(10 * run);
        sum += run_task(k, &c, &f) / k->runs;
    }
    say(k->row, k->what, sum, -1, k->target);
    if (strcmp(k->row, "rare") == 0) {
        say(k->row, "mammography, recall, weights 10", f.right / f.rare, 1,
            .75);
        say(k->row, "mammography, precision, weights 10", f.right / f.called,
            1, .45);
    }
}

int main(int argc, char **argv)
{
    int i;

    if (argc < 2 || argc > 3) {
        printf("usage: learner FOLDER [lines|branches|nll|classes|regimes|"
               "rare]\n");
        return 2;
    }
    folder = argv[1];
    wanted = argc > 2 ? argv[2] : NULL;
    try_two_lines();
    try_branches();
    for (i = 0; i < (int)(sizeof tasks / sizeof tasks[0]); i++)
        try_task(tasks + i);
    printf("  %d missed\n", missed);
    return missed != 0;
}
