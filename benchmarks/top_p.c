/* top_p.c - how many experts top_p runs, what that costs and what it saves:
   mixtures of 8 experts of 8 units, whose gate has no or 16 hidden units,
   trained by (1.3) with all of them.

     top_p FOLDER [SEEDS]       FOLDER has kin8nm.csv and mcycle.csv

   70 of 100 cases are trained on, the rest are tested; means over seeds.  Rows
   with "on" were trained on with top_p.  The exit status is 1 if no row has at
   most 1.5 experts and at most 1 % more squared error.                      */
#include "clock.h"
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "../examples/csv.h"

#include <math.h>

enum { ROWS = 10, TAUS = 7, EXPERTS = 8, UNITS = 8 };

/* From TAUS on it is trained on with. */
static const float tau[ROWS] = {1, 0.99f, 0.97f, 0.95f, 0.9f, 0.8f, 0.6f,
                                0.9f, 0.8f, 0.6f};

/* Of a row: sums over seeds. */
typedef struct tally { double ran, loss, error, one, block; } tally;

static void give_up(const char *what)
{
    fprintf(stderr, "top_p: %s\n", what);
    exit(2);
}

/* The rows in the order of a seed, as x and d. */
static void shuffle(const csv *t, unsigned seed, float *x, float *d)
{
    const int I = t->columns - 1;
    uint64_t state = seed;
    int i, k;

    for (i = t->rows - 1; i > 0; i--) {
        const int at = (int)(((state = state * 6364136223846793005u
            + 1442695040888963407u) >> 33) % (unsigned)(i + 1));
        for (k = 0; k <= I; k++) {
            float *a = t->value + i * (I + 1) + k;
            float *b = t->value + at * (I + 1) + k, old = *a;
            *a = *b;
            *b = old;
        }
    }
    for (i = 0; i < t->rows; i++) {
        memcpy(x + i * I, t->value + i * (I + 1), (size_t)I * sizeof *x);
        d[i] = t->value[i * (I + 1) + I];
    }
}

/* The shortest of some passes over all cases, one by one or in blocks. */
static double time_of(moe *m, const moe_data *data, float *y, int one)
{
    double least = 1e30, start;
    int pass, i;

    for (pass = 0; pass < 5 + 20000 / data->n; pass++) {
        start = nanoseconds();
        for (i = 0; i < data->n && one; i++)
            moe_predict(m, data->x + i * m->config.inputs, 1, y + i);
        if (!one)
            moe_predict(m, data->x, data->n, y);
        least = fmin(least, (nanoseconds() - start) / data->n);
    }
    return least;
}

static void try_tau(const void *file, size_t bytes, int k,
                    const moe_data *train, const moe_data *test, float *y,
                    tally *t)
{
    moe_config config;
    moe_report report;
    moe m;

    memset(&config, 0, sizeof config);
    config.top_p = tau[k];
    config.block = 256;
    if (moe_load_memory(&m, file, bytes, &config, NULL, 0) != MOE_OK
        || (k >= TAUS && moe_train(&m, train, NULL, NULL, NULL) != MOE_OK)
        || moe_evaluate(&m, test, &report) != MOE_OK)
        give_up(m.error);
    t->ran += (double)report.mean_ran;
    t->loss += (double)report.loss;
    t->error += (double)report.squared_error;
    t->one += time_of(&m, test, y, 1);
    t->block += time_of(&m, test, y, 0);
    moe_close(&m);
}

static void try_seed(const csv *table, int gate, unsigned seed, tally *t)
{
    const int I = table->columns - 1, n = table->rows * 7 / 10;
    float *x = (float *)malloc((size_t)(table->rows * I) * sizeof *x);
    float *d = (float *)malloc((size_t)table->rows * 2 * sizeof *d);
    moe_data train = {0}, test = {0};
    moe_config config;
    size_t bytes;
    void *file;
    moe m;
    int k;

    if (x == NULL || d == NULL)
        give_up("no memory");
    shuffle(table, seed, x, d);
    train.n = n, train.x = x, train.d = d;
    test.n = table->rows - n, test.x = x + n * I, test.d = d + n;
    memset(&config, 0, sizeof config);
    config.inputs = I;
    config.outputs = 1;
    config.experts = EXPERTS;
    config.hidden[0] = UNITS;
    config.gate_hidden[0] = gate;
    config.seed = seed;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK
        || moe_train(&m, &train, NULL, NULL, NULL) != MOE_OK)
        give_up(m.error);
    bytes = moe_save_bytes(&m, MOE_MODE_PREDICT);
    file = malloc(bytes);
    if (file == NULL
        || moe_save_memory(&m, MOE_MODE_PREDICT, file, bytes) != MOE_OK)
        give_up("no memory");
    moe_close(&m);
    for (k = 0; k < ROWS; k++)
        try_tau(file, bytes, k, &train, &test, d + table->rows, &t[k]);
    free(file);
    free(d);
    free(x);
}

/* 1: some tau runs few experts at little loss. */
static int try_data(const char *folder, const char *name, int gate, int seeds)
{
    tally t[ROWS] = {{0, 0, 0, 0, 0}};
    char path[1024];
    int k, seed, found = 0;
    csv table;

    snprintf(path, sizeof path, "%s/%s.csv", folder, name);
    if (!csv_read(&table, path))
        give_up(table.error);
    for (seed = 1; seed <= seeds; seed++)
        try_seed(&table, gate, (unsigned)seed, t);
    for (k = 0; k < ROWS; k++) {
        const double more = t[k].error / t[0].error - 1;

        printf("%-6s %4d %5.2f %-3s %8.2f %9.4g %+7.2f %% %+8.3f %7.0f %6.0f\n",
               name, gate, (double)tau[k], k < TAUS ? "" : "on",
               t[k].ran / seeds, sqrt(t[k].error / seeds), 100 * more,
               (t[k].loss - t[0].loss) / seeds, t[k].one / seeds,
               t[k].block / seeds);
        found |= t[k].ran <= 1.5 * seeds && more <= 0.01;
    }
    free(table.value);
    return found;
}

int main(int count, char **word)
{
    const int seeds = count > 2 ? atoi(word[2]) : 3;
    int i, found[2] = {0, 0};

    if (count < 2)
        give_up("usage: top_p FOLDER [SEEDS]");
    printf("data   gate   tau     mean ran      RMSE  squared     loss      "
           "ns, in a block\n");
    for (i = 0; i < 4; i++)
        found[i / 2] |= try_data(word[1], i < 2 ? "kin8nm" : "mcycle",
                                 i % 2 * 16, seeds);
    return !(found[0] && found[1]);
}
