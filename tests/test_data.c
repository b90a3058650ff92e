/* test_data.c - real data, read from the folder that MOE_DATA names: short
   trainings with the defaults must reach what a sound mixture reaches easily
   and a broken one does not. */
#include "models.h"

enum { MAX_LINE = 4096 };

typedef struct table { int rows, columns; moe_real *a; } table;

static FILE *open_data(const char *name)
{
    const char *folder = getenv("MOE_DATA");
    char path[1024];
    int length;

    if (!folder)
        folder = "../../shared/data";
    length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || length >= (int)sizeof path)
        return NULL;
    return fopen(path, "r");
}

/* Numbers of a line, parted by commas, tabs or blanks; returns how many. */
static int parse_line(const char *line, moe_real *to, int most)
{
    int count = 0;

    while (*line && count < most) {
        char *end;
        double value = strtod(line, &end);

        if (end == line) {
            line++;
            continue;
        }
        to[count++] = (moe_real)value;
        line = end;
    }
    return count;
}

/* Rows of a file after `skip` lines; no rows when the file is not there. */
static table read_table(const char *name, int skip, int columns)
{
    static char line[MAX_LINE];
    FILE *file = open_data(name);
    table t;
    int room = 0;

    t.rows = 0;
    t.columns = columns;
    t.a = NULL;
    if (!file) {
        printf("skipped: %s is not in the data folder\n", name);
        return t;
    }
    while (fgets(line, (int)sizeof line, file)) {
        if (skip-- > 0)
            continue;
        if (t.rows == room) {
            room = room ? 2 * room : 512;
            t.a = (moe_real *)realloc(t.a, (size_t)room * (size_t)columns
                                           * sizeof(moe_real));
            if (!t.a)
                exit(1);
        }
        if (parse_line(line, t.a + t.rows * columns, columns) == columns)
            t.rows++;
    }
    fclose(file);
    return t;
}

/* A fixed order of the rows, so that parts of a file are alike. */
static void shuffle(table *t, uint64_t seed)
{
    int row, k;

    random_state = seed;
    for (row = t->rows - 1; row > 0; row--) {
        moe_real *here = t->a + row * t->columns, *there;

        there = t->a + pick(row + 1) * t->columns;
        for (k = 0; k < t->columns; k++) {
            moe_real swapped = here[k];

            here[k] = there[k];
            there[k] = swapped;
        }
    }
}

/* Inputs, and either targets or labels, of a table's rows. */
typedef struct cases { int n; moe_real *x, *d; int *labels; } cases;

static cases make_cases(const table *t, int inputs, int first_input, int goal)
{
    cases c;
    int row, k;

    c.n = t->rows;
    c.x = (moe_real *)malloc((size_t)(c.n * inputs) * sizeof(moe_real));
    c.d = (moe_real *)malloc((size_t)c.n * sizeof(moe_real));
    c.labels = (int *)malloc((size_t)c.n * sizeof(int));
    if (!c.x || !c.d || !c.labels)
        exit(1);
    for (row = 0; row < c.n; row++) {
        const moe_real *from = t->a + row * t->columns;

        for (k = 0; k < inputs; k++)
            c.x[row * inputs + k] = from[first_input + k];
        c.d[row] = from[goal];
        c.labels[row] = (int)from[goal];
    }
    return c;
}

static void free_cases(cases *c)
{
    free(c->x);
    free(c->d);
    free(c->labels);
}

/* Rows first .. first+n-1 as the library wants them. */
static moe_data part(const cases *c, int inputs, int first, int n,
                     int classes)
{
    moe_data data;

    memset(&data, 0, sizeof data);
    data.n = n;
    data.x = c->x + first * inputs;
    if (classes)
        data.labels = c->labels + first;
    else
        data.d = c->d + first;
    return data;
}

/* Train with the defaults and report on what was not seen. */
static moe_report train(const moe_config *config, const moe_data *data,
                        const moe_data *valid, const moe_data *unseen,
                        const moe_training *t)
{
    moe_report report;
    moe m;
    int epochs;

    if (moe_open(&m, config, NULL, 0) != MOE_OK)
        exit(1);
    CHECK_THAT(moe_train(&m, data, valid, t, NULL) == MOE_OK, "%s",
               m.error ? m.error : "");
    epochs = m.epoch;
    CHECK(moe_evaluate(&m, unseen, &report) == MOE_OK);
    moe_close(&m);
    report.epoch = epochs;
    report.usage = report.load = NULL;
    return report;
}

/* Strength of concrete in MPa.  A straight line makes 10.7 of it. */
static void test_concrete(void)
{
    static const moe_loss losses[2] = {MOE_LOSS_MIXTURE, MOE_LOSS_BLEND};
    static const double bound[2] = {8.5, 7.5};
    table t = read_table("concrete.txt", 0, 9);
    cases c;
    int i;

    if (!t.a)
        return;
    CHECK(t.rows == 1030);
    shuffle(&t, 1);
    c = make_cases(&t, 8, 0, 8);
    for (i = 0; i < 2; i++) {
        moe_config config = make_config(8, 1, 16);
        moe_data data = part(&c, 8, 0, 787, 0);
        moe_data valid = part(&c, 8, 787, 140, 0);
        moe_data unseen = part(&c, 8, 927, 103, 0);
        moe_report report;
        double error;

        config.loss = losses[i];
        report = train(&config, &data, &valid, &unseen, NULL);
        error = sqrt((double)report.squared_error);
        printf("concrete, loss %d: RMSE %.2f MPa after %d epochs\n",
               (int)losses[i], error, report.epoch);
        CHECK_THAT(error < bound[i], "RMSE %.2f", error);
    }
    free_cases(&c);
    free(t.a);
}

/* Handwritten digits, 8 linear experts; one linear layer makes 5.3 % errors. */
static void test_digits(void)
{
    table t = read_table("optdigits_train.csv", 1, 65);
    table u = read_table("optdigits_test.csv", 1, 65);

    if (t.a && u.a) {
        moe_config config = make_config(64, 10, 8);
        cases c, unseen;
        moe_data data, valid, test;
        moe_training training;
        moe_report report;
        double error;

        CHECK(t.rows == 3823 && u.rows == 1797);
        shuffle(&t, 2);
        c = make_cases(&t, 64, 0, 64);
        unseen = make_cases(&u, 64, 0, 64);
        config.output = MOE_OUT_SOFTMAX;
        data = part(&c, 64, 0, 3250, 1);
        valid = part(&c, 64, 3250, 573, 1);
        test = part(&unseen, 64, 0, unseen.n, 1);
        memset(&training, 0, sizeof training);
        training.epochs = 15;
        training.batch = 64;
        report = train(&config, &data, &valid, &test, &training);
        error = 100 * (1 - (double)report.accuracy);
        printf("optdigits: %.2f %% wrong after %d epochs\n", error,
               report.epoch);
        CHECK_THAT(error < 6, "%.2f %% wrong", error);
        free_cases(&c);
        free_cases(&unseen);
    }
    free(t.a);
    free(u.a);
}

/* Deterding's vowels, other speakers in the test: 11 classes, hard for all
   (one linear layer 62 % errors, chance 91 %). */
static void test_vowels(void)
{
    table t = read_table("vowel_deterding_train.csv", 1, 11);
    table u = read_table("vowel_deterding_test.csv", 1, 11);

    if (t.a && u.a) {
        moe_config config = make_config(10, 11, 8);
        cases c, unseen;
        moe_data data, valid, test;
        moe_report report;
        double error;
        int i;

        CHECK(t.rows == 528 && u.rows == 462);
        shuffle(&t, 3);
        c = make_cases(&t, 10, 1, 0);
        unseen = make_cases(&u, 10, 1, 0);
        for (i = 0; i < c.n; i++)
            c.labels[i]--;
        for (i = 0; i < unseen.n; i++)
            unseen.labels[i]--;
        config.output = MOE_OUT_SOFTMAX;
        data = part(&c, 10, 0, 449, 1);
        valid = part(&c, 10, 449, 79, 1);
        test = part(&unseen, 10, 0, unseen.n, 1);
        report = train(&config, &data, &valid, &test, NULL);
        error = 100 * (1 - (double)report.accuracy);
        printf("vowels: %.1f %% wrong after %d epochs\n", error,
               report.epoch);
        CHECK_THAT(error < 62, "%.1f %% wrong", error);
        free_cases(&c);
        free_cases(&unseen);
    }
    free(t.a);
    free(u.a);
}

int main(void)
{
    if (getenv("MOE_BRIEF") == NULL) {      /* how well, not how safely */
        RUN(test_concrete());
        RUN(test_digits());
    }
    RUN(test_vowels());
    return check_done();
}
