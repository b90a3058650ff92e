/* vowels.c - Table 1 of the 1991 paper repeated, and where its headline ends
     make -C benchmarks vowels DATA=folder

   PATH: the measurements of Peterson & Barney (1952), see
   examples/vowel_data.h; examples/vowels.c is the experiment itself.
     vowels PATH             Table 1 with both pairings of the labels, and with
                             four softmax outputs
     vowels --limits PATH    where the advantage of the mixtures ends
     vowels --defaults PATH  the same task with the library's own defaults
   Without PATH the vowels are drawn around published means.  The first takes
   half a minute.

   Gradient descent on all cases at once, no momentum, from small random
   weights and an even gate, until the squared error is 0.08; 25 runs.  Every
   system's step is the best of 10, a factor sqrt(2) apart, from 3 starts that
   are not among the 25. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "../examples/vowel_data.h"
#include <math.h>

enum { RUNS = 25, STARTS = 3 };

struct net { const char *name; int experts, hidden; moe_loss loss;
             const char *published; };
/* One network under (1.3) has half the squared error: one unit for all. */
static const struct net nets[] = {
    {"4 experts", 4,  0, MOE_LOSS_MIXTURE, "88  90 1124  23"},
    {"8 experts", 8,  0, MOE_LOSS_MIXTURE, "88  90 1083  12"},
    {"BP 6",      1,  6, MOE_LOSS_MIXTURE, "88  90 2209  83"},
    {"BP 12",     1, 12, MOE_LOSS_MIXTURE, "88  90 2435 124"},
    {"4, (1.1)",  4,  0, MOE_LOSS_BLEND,   ""}};

/* ones: vowels whose output is 1; "": a softmax output for each (two of them
   count every error, so the target doubles).  range: of the first weights; 0:
   the library's way.  step: the largest of `sizes` to try; of 0, the one. */
struct task { const char *mode, *title, *ones; float range, target, step;
              int sizes, nets; };
static const struct task tasks[] = {
    {"", "Table 1: 1 for [i], [V]", "iV", 0.05f, 0.08f, 51.2f, 10, 4},
    {"", "1 for [i], [a]", "iA", 0.05f, 0.08f, 51.2f, 10, 4},
    {"", "Four softmax outputs", "", 0.5f, 0.16f, 12.8f, 10, 4},
    {"--limits", "Squared error 0.06", "iV", 0.05f, 0.06f, 51.2f, 10, 4},
    {"--limits", "The same step for all", "iV", 0.05f, 0.08f, 12.8f, 0, 5},
    {"--defaults", "Default settings", "iV", 0, 0.08f, 0, 0, 2},
    {"--defaults", "Adam, on all cases at once", "iV", 0, 0.08f, 3.2f, 10, 2}};

static float desired[CASES];

static void stop(const char *why)
{
    printf("%s\n", why);
    exit(1);
}

static moe_data cases(const struct task *task, int first, int count)
{
    moe_data data = {0};

    desire(task->ones, desired);
    data.n = count;
    data.x = formant[first];
    data.d = *task->ones ? desired + first : NULL;
    data.labels = *task->ones ? NULL : vowel + first;
    return data;
}

/* One run; the caller closes m.  The epochs it took; 0: did not get there. */
static int teach(moe *m, const struct net *net, const struct task *task,
                 moe_training t, uint64_t seed)
{
    moe_data data = cases(task, 0, TRAIN);
    moe_config config = {0};
    moe_report report;
    moe_layer gate;
    size_t i, end;

    config.inputs = 2;
    config.outputs = *task->ones ? 1 : 4;
    config.experts = net->experts;
    config.hidden[0] = net->hidden;
    config.activation = MOE_ACT_LOGISTIC;
    config.output = *task->ones ? MOE_OUT_LOGISTIC : MOE_OUT_SOFTMAX;
    config.loss = net->loss;
    config.seed = t.seed = random_state = seed;
    if (moe_open(m, &config, NULL, 0) != MOE_OK)
        stop(m->error);
    if (task->range > 0) {
        gate = moe_layer_at(&config, net->experts, 0);
        end = gate.out > 0 ? gate.bias : m->trained_count;
        for (i = 0; i < end; i++)                 /* the gate's are 0 already */
            m->weights[i] = task->range * (float)uniform();
        t.optimizer = MOE_SGD;
        t.keep_units = 1;
    }
    t.batch = task->step > 0 ? MOE_ALL : 0;
    t.target = task->target;
    if (moe_train(m, &data, NULL, &t, &report) != MOE_OK)
        stop(m->error);
    return report.squared_error <= t.target ? report.epoch : 0;
}

/* With the size whose slowest start is the fastest.  A run is cut off where
   it would take longer than the slowest of the best size so far. */
static moe_training find_step(const struct net *net, const struct task *task)
{
    moe_training t = {0}, best;
    int size, start, slowest, epochs;
    moe m;

    t.epochs = task->range > 0 ? 6000 : 200;
    t.rate = task->step;
    best = t;
    for (size = 0; size < task->sizes; size++, t.rate /= 1.41421356f) {
        epochs = 1;
        slowest = 0;
        for (start = 0; start < STARTS && epochs > 0; start++) {
            epochs = teach(&m, net, task, t, 1000 + (uint64_t)start);
            slowest = epochs > slowest ? epochs : slowest;
            moe_close(&m);
        }
        if (epochs > 0) {
            best.rate = t.rate;
            t.epochs = slowest;
        }
    }
    return best;
}

/* Mean and its standard error over the runs that reached the target. */
struct row { double epochs, error; };

static struct row repeat(const struct net *net, const struct task *task,
                         moe_training t)
{
    moe_data train = cases(task, 0, TRAIN), test = cases(task, TRAIN, TEST);
    double sum = 0, squares = 0, learnt = 0, right = 0, active = 0, sd;
    int i, seed, epochs, reached = 0;
    moe_report report;
    struct row row;
    moe m;

    for (seed = 1; seed <= RUNS; seed++) {
        epochs = teach(&m, net, task, t, (uint64_t)seed);
        reached += epochs > 0;
        sum += epochs;
        squares += (double)epochs * epochs;
        moe_evaluate(&m, &test, &report);
        right += 100 * (double)report.accuracy / RUNS;
        moe_evaluate(&m, &train, &report);
        learnt += 100 * (double)report.accuracy / RUNS;
        for (i = 0; i < net->experts; i++)
            active += report.usage[i] > 0.05f;
        moe_close(&m);
    }
    row.epochs = sum / reached;
    sd = sqrt((squares - sum * row.epochs) / (reached - 1));
    row.error = sd / sqrt(reached);
    printf("%-10s %5.3g %6.1f %5.1f %6.0f %4.0f %4.0f   %2d/%d %6.1f | %s\n",
           net->name, (double)t.rate, learnt, right, row.epochs, sd,
           row.error, reached, RUNS, active / RUNS, net->published);
    return row;
}

static void print_table(const struct task *task)
{
    struct row rows[5];
    moe_training t;
    int i;

    printf("\n%s\n%-10s %5s %6s %5s %6s %4s %4s %7s %6s | 1991\n", task->title,
           "", "step", "train%", "test%", "epochs", "SD", "SE", "reached",
           "active");
    for (i = 0; i < task->nets; i++) {
        t = find_step(&nets[i], task);
        rows[i] = repeat(&nets[i], task, t);
        fflush(stdout);
    }
    for (i = 0; i < 2 && task->nets >= 4; i++) {
        struct row a = rows[i + 2], b = rows[i];
        double u = a.error / a.epochs, v = b.error / b.epochs;

        printf("epochs, %s / %s: %.2f +- %.2f\n", nets[i + 2].name,
               nets[i].name, a.epochs / b.epochs,
               a.epochs / b.epochs * sqrt(u * u + v * v));
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 && argv[1][0] == '-' ? argv[1] : "";
    int last = 1 + (*mode != 0);
    size_t i;

    get_vowels(argc > last ? argv[last] : NULL);
    for (i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(mode, tasks[i].mode) == 0)
            print_table(&tasks[i]);
    return 0;
}
