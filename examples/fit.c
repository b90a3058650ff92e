/* fit.c - a table is learnt: the program to start from
     cc -O2 examples/fit.c -o fit -lm && ./fit DATA.csv [--target COLUMN]

   csv.h finds out the delimiter and a line of names.  COLUMN is a name or a
   number from 1 on, else the last.  Words and few whole numbers are classes
   (not with --regression).  A fifth of the rows is the test.  Eight experts of
   eight units, a linear model and one network of as many weights are trained
   with the defaults and five seeds.  Writes fit.svg and fit.safetensors. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "csv.h"
#include "plot.h"
#include <math.h>

enum { RESTARTS = 5, EXPERTS = 8, HIDDEN = 8, LEAST = 20, FEW = 20,
       MOST_CLASSES = 100, EPOCHS = 10000, HOLD_OUT = 50 };

static csv table;
static int target, inputs, classes;                /* classes 0: regression */
static float class_value[MOST_CLASSES];
static moe_data test, train;
static int epochs;                                 /* and the loss of each */
static float epoch_at[EPOCHS], loss_at[EPOCHS], valid_at[EPOCHS];

static void stop(const char *what, const char *which)
{
    printf("%s%s\n", what, which);
    exit(1);
}

static void *memory(int n)                      /* for n floats, or ints */
{
    void *p = calloc((size_t)n, sizeof(float) + sizeof(int));

    if (p == NULL)
        stop("there is no memory for so many rows", "");
    return p;
}

/* Whether the target has classes: words, or few whole numbers. */
static void find_classes(int regression)
{
    int i, whole = 1, word = table.is_word[target];

    classes = csv_distinct(&table, target, class_value, MOST_CLASSES);
    for (i = 0; i < classes && i < MOST_CLASSES; i++)
        whole = whole && class_value[i] <= floorf(class_value[i]);
    if (classes < 2)
        stop("there is but one value in ", table.name[target]);
    if (word && (regression || classes > MOST_CLASSES))
        stop("neither numbers nor at most 100 classes: ", table.name[target]);
    if (!word && (regression || !whole || classes > FEW
                  || classes * 10 > table.rows))
        classes = 0;
}

/* Inputs are the columns of numbers but the target. */
static void take_rows(void)
{
    int *labels = (int *)memory(table.rows), i, n;
    float *d = (float *)memory(table.rows);
    float *x = (float *)memory(table.rows * table.columns), *to = x;

    csv_shuffle(&table, 0);
    for (n = 0; n < table.rows; n++) {
        const float *row = table.value + n * table.columns;

        d[n] = row[target];
        labels[n] = csv_place(class_value, classes, d[n]);
        for (i = 0; i < table.columns; i++)
            if (i != target && !table.is_word[i])
                *to++ = row[i];
    }
    inputs = (int)(to - x) / table.rows;
    test.n = table.rows / 5;
    train.n = table.rows - test.n;
    test.x = x;
    train.x = x + test.n * inputs;
    test.labels = classes ? labels : NULL;
    train.labels = classes ? labels + test.n : NULL;
    test.d = classes ? NULL : d;
    train.d = classes ? NULL : d + test.n;
}

static void say_task(const char *path)
{
    int i;

    if (inputs == 0)
        stop("there is no column of numbers to learn from in ", path);
    for (i = 0; i < table.columns; i++)
        if (i != target && table.is_word[i])
            printf("left out, for it has words: %s\n", table.name[i]);
    printf("%d rows, and %d with gaps; %d inputs; %s is %s\n", table.rows,
           table.left_out, inputs, table.name[target],
           classes ? "a class" : "a number");
    for (i = 0; i < classes; i++)
        if (table.is_word[target])
            printf("output %d is %s\n", i, table.word[(int)class_value[i]]);
        else
            printf("output %d is %g\n", i, (double)class_value[i]);
    if (train.n < HOLD_OUT)
        printf("Below %d rows to learn from none are held out: deviations and "
               "log p are far too confident.\n", HOLD_OUT);
}

static int show_progress(const moe_report *now, void *user)
{
    (void)user;
    if (now->epoch % 10 == 0)
        fprintf(stderr, "\rseed %d, epoch %4d, loss %7.3f, held out %7.3f   ",
                (int)now->seed, now->epoch, (double)now->loss,
                (double)now->valid_loss);
    epochs = now->epoch < EPOCHS ? now->epoch : EPOCHS;
    epoch_at[epochs - 1] = (float)now->epoch;
    loss_at[epochs - 1] = (float)now->loss;
    valid_at[epochs - 1] = (float)now->valid_loss;
    return 0;                    /* those of other seeds are written over */
}

static void fit(moe *m, int experts, int hidden, const char *name)
{
    moe_config config = {
        .inputs = inputs, .outputs = classes ? classes : 1,
        .experts = experts, .hidden = {hidden},
        .output = classes ? MOE_OUT_SOFTMAX : MOE_OUT_LINEAR
    };
    moe_training t = {.restarts = RESTARTS, .progress = show_progress};
    moe_report report;
    float *log_p = (float *)memory(test.n);
    double sum = 0;
    int n;

    moe_close(m);
    if (moe_open(m, &config, NULL, 0) != MOE_OK
        || moe_train(m, &train, NULL, &t, NULL) != MOE_OK
        || moe_evaluate(m, &test, &report) != MOE_OK)
        stop(m->error, "");
    if (!classes)
        moe_density(m, test.x, test.d, test.n, log_p);
    for (n = 0; n < test.n; n++)
        sum += classes ? -(double)report.loss : (double)log_p[n];
    fprintf(stderr, "\r%79s\r", "");
    printf("%-11s  %4d weights  test: %s %.5g  log p(d|x) %.3f\n", name,
           (int)m->trained_count, classes ? "% wrong" : "RMSE", classes
           ? 100 - 100 * (double)report.accuracy
           : sqrt((double)report.squared_error), sum / test.n);
    free(log_p);
}

static void draw_errors(plot *p)
{
    const int validated = train.n < HOLD_OUT ? 0 : epochs;
    double high[2] = {0};

    plot_range(high, epochs, loss_at, 1);
    plot_range(high, validated, valid_at, 1);
    plot_panel(p, "Error by epoch", "epoch", "loss E", 0, epochs, high[0],
               high[1]);
    plot_line(p, epochs, epoch_at, 1, loss_at, 1, plot_colour[0], 1.5,
              "training");
    plot_line(p, validated, epoch_at, 1, valid_at, 1, plot_colour[1], 1.5,
              validated ? "held out" : NULL);
}

static void draw_classes(plot *p, const float *y)
{
    int count[MOST_CLASSES * MOST_CLASSES] = {0}, n;

    p->whole = 1;
    plot_panel(p, "Predicted against true", "true class, numbered as printed",
               "predicted", -0.5, classes - 0.5, -0.5, classes - 0.5);
    for (n = 0; n < test.n; n++, y += classes)
        count[test.labels[n] * classes + plot_largest(classes, y)]++;
    plot_key(p, "test, so many cases as the area says", plot_colour[0]);
    for (n = 0; n < classes * classes; n++)
        plot_dot(p, n / classes, n % classes, plot_colour[0],
                 160 * sqrt((double)count[n] / test.n / classes));
}

static void draw_numbers(plot *p, const float *y, const float *deviation)
{
    double high[2] = {0};

    plot_range(high, test.n, test.d, 1);
    plot_range(high, test.n, y, 1);
    plot_panel(p, "Predicted against true", "true", "predicted", high[0],
               high[1], high[0], high[1]);
    plot_bars(p, test.n, test.d, y, deviation, "#bbb");
    plot_dots(p, test.n, test.d, 1, y, 1, plot_colour[0], 2.5,
              "test, one deviation up and down");
    plot_segment(p, high[0], high[0], high[1], high[1], "black", 1);
}

static void show(moe *m)
{
    float *y = (float *)memory(2 * test.n * (classes + 1));
    moe_report report;
    plot p;
    int i;

    moe_evaluate(m, &train, &report);
    for (i = 0; i < m->config.experts; i++)
        printf("%s expert %d %.0f %%", i ? "," : "usage:", i,
               100 * (double)report.usage[i]);
    printf("\n");
    moe_predict_deviation(m, test.x, test.n, y, y + test.n * (classes + 1));
    plot_open(&p, "fit.svg", 2, 1, 400, 400);
    draw_errors(&p);
    if (classes)
        draw_classes(&p, y);
    else
        draw_numbers(&p, y, y + test.n);
    plot_close(&p);
    free(y);
    if (moe_save(m, MOE_MODE_PREDICT, "fit.safetensors") != MOE_OK)
        stop("fit.safetensors: ", m->error);
    printf("Saved fit.safetensors.\n");
}

int main(int argc, char **argv)
{
    const char *path = NULL, *column = NULL;
    int i, regression = 0;
    moe m = {0};

    for (i = 1; i < argc; i++)
        if (strcmp(argv[i], "--regression") == 0)
            regression = 1;
        else if (i + 1 < argc && strcmp(argv[i], "--target") == 0)
            column = argv[++i];
        else
            path = path == NULL && argv[i][0] != '-' ? argv[i] : "";
    if (path == NULL || *path == '\0')
        stop("usage: fit DATA.csv [--target COLUMN] [--regression]", "");
    if (csv_read_words(&table, path) < LEAST)
        stop(*table.error ? table.error : "at least 20 rows are wanted", "");
    target = csv_column(&table, column);
    if (target < 0)
        stop("there is no such column: ", column);
    find_classes(regression);
    take_rows();
    say_task(path);
    fit(&m, 1, 0, "linear");
    fit(&m, 1, EXPERTS * (HIDDEN + 1), "one network");
    fit(&m, EXPERTS, HIDDEN, "mixture");
    show(&m);
    moe_close(&m);
    return 0;
}
