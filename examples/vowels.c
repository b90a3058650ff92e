/* vowels.c - the experiment of the 1991 paper: which vowel was that?
     cc -O2 examples/vowels.c -o vowels && ./vowels PATH

   PATH: the measurements of Peterson & Barney (1952), lines of
   "type,sex,speaker,vowel,repetition,f0,f1,f2,f3", sorted by speaker.
     ./vowels PATH             table 1; figures vowels_2.svg, vowels_3.svg
     ./vowels --limits PATH    where the advantage of the mixtures ends
     ./vowels --defaults PATH  the same task with the library's own defaults
   Without PATH the vowels are drawn around published means.

   From the formants F1, F2 in kHz, tell [i] [I] [a] [V] (heed, hid, hod, hud).
   Speakers 1-50 train, the other 25 test; man 33, a 76th, is left out.
   Gradient descent on all cases at once, no momentum, from small random
   weights and an even gate, until the squared error is 0.08; 25 runs.  Every
   system's step is the best of 10, a factor sqrt(2) apart, from 3 starts that
   are not among the 25. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN = 400, TEST = 200, CASES = TRAIN + TEST, RUNS = 25, STARTS = 3,
       GATE = 8 };

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

static const char vowels[] = "iIAV";
static float formant[CASES][2], desired[CASES];
static int vowel[CASES];                             /* its place in vowels */
static uint64_t random_state;

static void stop(const char *why)
{
    printf("%s\n", why);
    exit(1);
}

static float uniform(void)                        /* in -1..1, by splitmix64 */
{
    uint64_t v = random_state += 0x9e3779b97f4a7c15u;

    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return (float)(v >> 40) / 8388608 - 1;
}

static double root(double v)                              /* Newton's method */
{
    double r = 1 + v;
    int i;

    for (i = 0; i < 60; i++)
        r = (r + v / r) / 2;
    return r;
}

static int read_vowels(const char *path)                  /* how many it got */
{
    FILE *f = fopen(path, "r");
    char line[200], v;
    float f1, f2;
    int n = 0, who;

    while (f && n < CASES && fgets(line, sizeof line, f))
        if (sscanf(line, "%*c,%*c,%d,%c,%*d,%*f,%f,%f", &who, &v, &f1, &f2) == 4
            && who != 33 && strchr(vowels, v)) {
            vowel[n] = (int)(strchr(vowels, v) - vowels);
            formant[n][0] = f1 / 1000;
            formant[n++][1] = f2 / 1000;
        }
    if (f)
        fclose(f);
    return n;
}

/* Each vowel twice by 32 men, 28 women, 15 children; 8 % standard deviation. */
static void draw_vowels(void)
{
    static const float mean[3][4][2] = {     /* Peterson & Barney, table II */
        {{0.27f, 2.29f}, {0.39f, 1.99f}, {0.73f, 1.09f}, {0.64f, 1.19f}},
        {{0.31f, 2.79f}, {0.43f, 2.48f}, {0.85f, 1.22f}, {0.76f, 1.40f}},
        {{0.37f, 3.20f}, {0.53f, 2.73f}, {1.03f, 1.37f}, {0.85f, 1.59f}}};
    int k, n;

    printf("No PATH: these vowels are drawn around published means, not "
           "measured.\n");
    for (n = 0; n < CASES; n++) {
        vowel[n] = n / 2 % 4;
        for (k = 0; k < 2; k++) {
            float z = uniform() + uniform() + uniform();      /* variance 1 */

            formant[n][k] = mean[(n >= 256) + (n >= 480)][vowel[n]][k]
                            * (1 + 0.08f * z);
        }
    }
}

static moe_data cases(const struct task *task, int first, int count)
{
    moe_data data = {0};
    int n;

    for (n = 0; n < CASES; n++)
        desired[n] = strchr(task->ones, vowels[vowel[n]]) ? 1.0f : 0.0f;
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
            m->weights[i] = task->range * uniform();
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
    sd = root((squares - sum * row.epochs) / (reached - 1));
    row.error = sd / root(reached);
    printf("%-10s %5.3g %6.1f %5.1f %6.0f %4.0f %4.0f   %2d/%d %6.1f | %s\n",
           net->name, (double)t.rate, learnt, right, row.epochs, sd,
           row.error, reached, RUNS, active / RUNS, net->published);
    return row;
}

/* The figures: 420 x 420 pixels, low left at (70,470), six ticks each way. */
static const char *const name[] = {
    "heed", "hid", "hod", "hud", "expert 1", "expert 2", "expert 3",
    "expert 4", "gate"};
static const char *const colour[] = {
    "#0077bb", "#88ccee", "#cc3311", "#ee9955", "#000000", "#aa3377",
    "#228833", "#997700", "#666666"};
struct plot { const char *path, *title; double low[2], tick[2];
              int first_key, last_key; };
static const struct plot plots[] = {
    {"vowels_2.svg", "The experts' 0.5 lines, and the gate's",
     {0.2, 0.4}, {0.2, 0.6}, 0, 8},
    {"vowels_3.svg", "Foot of the normal from the origin to each expert's line",
     {-0.6, -0.15}, {0.3, 0.15}, 4, 7}};
static const struct plot *plot;
static FILE *svg;

static double pixel(int axis, double kHz)
{
    return 70 * (kHz - plot->low[axis]) / plot->tick[axis];
}

static void begin_figure(const struct plot *p)
{
    int i;

    plot = p;
    svg = fopen(p->path, "w");
    if (svg == NULL)
        stop("a figure cannot be written");
    fprintf(svg, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 590 530'"
            " font-family='sans-serif' font-size='13'>\n"
            "<path fill='white' d='M0 0h590v530H0'/>"
            "<text x='70' y='24' font-size='16'>%s</text>"
            "<text x='8' y='40'>F2 (kHz)</text>"
            "<text x='252' y='518'>F1 (kHz)</text>\n", p->title);
    for (i = 0; i <= 6; i++)
        fprintf(svg, "<path stroke='black' d='M%d 470v6M70 %dh-6'/>"
                "<text x='%d' y='492' text-anchor='middle'>%.3g</text>"
                "<text x='58' y='%d' text-anchor='end'>%.3g</text>\n",
                70 + 70 * i, 470 - 70 * i, 70 + 70 * i,
                p->low[0] + p->tick[0] * i, 475 - 70 * i,
                p->low[1] + p->tick[1] * i);
    for (i = p->first_key; i <= p->last_key; i++)
        fprintf(svg, "<circle cx='510' cy='%d' r='5' fill='%s'/>"
                "<text x='524' y='%d'>%s</text>\n", 65 + 24 * i, colour[i],
                70 + 24 * i, name[i]);
    fprintf(svg, "<path fill='none' stroke='black' d='M70 50h420v420H70z'/>"
            "<svg x='70' y='50' width='420' height='420'>\n");   /* clips */
}

static void end_figure(void)
{
    fprintf(svg, "</svg></svg>\n");
    fclose(svg);
}

static void draw_dot(double f1, double f2, double radius, int what)
{
    fprintf(svg, "<circle cx='%.1f' cy='%.1f' r='%g' fill='%s'/>\n",
            pixel(0, f1), 420 - pixel(1, f2), radius, colour[what]);
}

/* Where w[0] + w[1] F1 + w[2] F2 = 0. */
static void draw_line(const double w[3], double width, int what)
{
    double left = plot->low[0], right = left + 6 * plot->tick[0];

    fprintf(svg, "<path d='M0 %.1fL420 %.1f' stroke='%s' stroke-width='%.1f' "
            "stroke-dasharray='%s'/>\n",
            420 - pixel(1, -(w[0] + w[1] * left) / w[2]),
            420 - pixel(1, -(w[0] + w[1] * right) / w[2]), colour[what], width,
            what == GATE ? "7 5" : "none");
}

/* w = bias and weights of a unit; -= those of another, if it is not -1. */
static void get_unit(const moe *m, int net, int unit, int other, double w[3])
{
    moe_layer l = moe_layer_at(&m->config, net, 0);
    const float *b = m->params + l.bias, *v = m->params + l.weight;
    const float *row[3] = {b, v, v + l.out};
    int k;

    for (k = 0; k < 3; k++)
        w[k] = (double)row[k][unit] - (other < 0 ? 0 : (double)row[k][other]);
}

/* Figure 3, every tenth epoch; the last is larger. */
static int trace(const moe_report *report, void *m)
{
    int i, last = report->squared_error <= tasks[0].target;
    double w[3], far;

    for (i = 0; i < 4 && (last || report->epoch % 10 == 1); i++) {
        get_unit((const moe *)m, i, 0, -1, w);
        far = -w[0] / (w[1] * w[1] + w[2] * w[2]);
        draw_dot(far * w[1], far * w[2], last ? 6 : 1.5, 4 + i);
    }
    return 0;
}

/* Lines in figure 2 are as wide as the gate trusts their experts: those of
   experts that dropped out vanish. */
static void draw_figures(moe_training t)
{
    moe_data all = cases(tasks, 0, CASES);
    moe_report report;
    double w[3], share;
    int i, k, n;
    moe m;

    t.progress = trace;
    t.user = &m;
    begin_figure(&plots[1]);
    teach(&m, nets, tasks, t, 1);
    end_figure();
    begin_figure(&plots[0]);
    for (n = 0; n < CASES; n++)
        draw_dot((double)formant[n][0], (double)formant[n][1], 2.5, vowel[n]);
    moe_evaluate(&m, &all, &report);
    for (i = 0; i < 4; i++) {
        share = (double)report.usage[i];
        get_unit(&m, i, 0, -1, w);
        draw_line(w, 5 * share, 4 + i);
        for (k = 0; k < i; k++) {
            get_unit(&m, 4, i, k, w);
            draw_line(w, 10 * share * (double)report.usage[k], GATE);
        }
    }
    end_figure();
    moe_close(&m);
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
        if (task == tasks && i == 0)
            draw_figures(t);
    }
    for (i = 0; i < 2 && task->nets >= 4; i++) {
        struct row a = rows[i + 2], b = rows[i];
        double u = a.error / a.epochs, v = b.error / b.epochs;

        printf("epochs, %s / %s: %.2f +- %.2f\n", nets[i + 2].name,
               nets[i].name, a.epochs / b.epochs,
               a.epochs / b.epochs * root(u * u + v * v));
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 && argv[1][0] == '-' ? argv[1] : "";
    int last = 1 + (*mode != 0);
    size_t i;

    if (argc <= last)
        draw_vowels();
    else if (read_vowels(argv[last]) < CASES)
        stop("the file does not hold the 600 vowels");
    for (i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(mode, tasks[i].mode) == 0)
            print_table(&tasks[i]);
    return 0;
}
