/* speed.c - how fast is moe.h?  The same work, with the same weights, by
   moe.h and by other systems, one core, sample by sample in turn.

     speed [--csv] [--quick] [--least] [--only TEXT] [--bits BITS]

   The exit status is 1 when a system gives another result than moe.h.      */

#define _GNU_SOURCE
#include "speed.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#define COUNT(array) ((int)(sizeof (array) / sizeof (array)[0]))

#define SAMPLE_NS 30000.0       /* a sample is as many calls as fill this    */
#define LONG_NS 2e7             /* a longer call needs no warming up         */
#define TOLERANCE 1e-3          /* between results, relative                 */
#define MAX_PEERS 8
#define MAX_WORKLOADS 100
#define MAX_SAMPLES 101

/* What to run.  sizes: inputs, hidden widths, outputs. */
typedef struct Plan {
    const char *name;
    Task task;
    int experts, sizes[MAX_LAYERS + 1];
    int rows, block;
    int top_k, ours_only, bits;
} Plan;

#define PRODUCTS_BY(vectors)                                                \
    {"products, " #vectors "-bit vectors", PRODUCTS, 1,                        \
     {64, 128, 128, 64}, 256, 256, 0, 1, vectors}
#define FOUR_OF(text, experts, ...)                                         \
    {text " predict b1", PREDICT, experts, {__VA_ARGS__}, 1, 1, 0, 0, 0},      \
    {text " predict b256", PREDICT, experts, {__VA_ARGS__}, 256, 256, 0, 0, 0},\
    {text " step b1", STEP, experts, {__VA_ARGS__}, 1, 1, 0, 0, 0},            \
    {text " step b256", STEP, experts, {__VA_ARGS__}, 256, 256, 0, 0, 0}

/* Small groups, in a block of the default size. */
#define GROUPS_OF(text, ...)                                                \
    {text " predict b4", PREDICT, 1, {__VA_ARGS__}, 4, 64, 0, 0, 0},           \
    {text " predict b8", PREDICT, 1, {__VA_ARGS__}, 8, 64, 0, 0, 0},           \
    {text " predict b32", PREDICT, 1, {__VA_ARGS__}, 32, 64, 0, 0, 0}
#define TOP_2(text, task, rows)                                             \
    {"top-2 of 64 " text, task, 64, {64, 128, 64}, rows, rows, 2, 0, 0}

/* One divided by the other: what choosing saves. */
#define SPARSE "top-2 of 64 predict b2048"
#define DENSE "all of 64 predict b2048"

static const Plan plans[] = {
    FOUR_OF("2-6-4", 1, 2, 6, 4),
    FOUR_OF("16-32-32-4", 1, 16, 32, 32, 4),
    FOUR_OF("4 x 16-32-4", 4, 16, 32, 4),
    FOUR_OF("64-128-128-64", 1, 64, 128, 128, 64),
    GROUPS_OF("64-128-128-64", 64, 128, 128, 64),
    {"64-128-128-64 learn b1", LEARN, 1, {64, 128, 128, 64}, 1, 1, 0, 0, 0},
    FOUR_OF("480-512-512-363", 1, 480, 512, 512, 363),
    GROUPS_OF("480-512-512-363", 480, 512, 512, 363),
    FOUR_OF("8 x 64-128-64", 8, 64, 128, 64),
    {"8 x 64-128-64 learn b1", LEARN, 8, {64, 128, 64}, 1, 1, 0, 0, 0},
    {"4 x 2-1 (1991) step b400", STEP, 4, {2, 1}, 400, 400, 0, 0, 0},
    {"top-2 of 8 linear predict b1", PREDICT, 8, {16, 4}, 1, 1, 2, 0, 0},
    TOP_2("predict b1", PREDICT, 1),
    TOP_2("predict b256", PREDICT, 256),
    {SPARSE, PREDICT, 64, {64, 128, 64}, 2048, 2048, 2, 0, 0},
    TOP_2("step b256", STEP, 256),
    TOP_2("step b2048", STEP, 2048),
    TOP_2("learn b1", LEARN, 1),
    PRODUCTS_BY(512),
    PRODUCTS_BY(256),
    PRODUCTS_BY(128),
    {DENSE, PREDICT, 64, {64, 128, 64}, 2048, 2048, 0, 1, 0},
    {"exp, 4096 numbers", EXP, 1, {1, 1}, 4096, 1, 0, 0, 0},
    {"tanh, 4096 numbers", TANH, 1, {1, 1}, 4096, 1, 0, 0, 0}
};

static const Peer *const peers[] = {
    &peer_moe,
#if HAVE_OLD
    &peer_old,
#endif
    &peer_plain,
#if HAVE_OPENBLAS
    &peer_blas, &peer_blas_fused,
#endif
#if HAVE_FANN
    &peer_fann,
#endif
#if HAVE_TORCH
    &peer_torch,
#endif
};

static const struct { const char *name; int here; } asked_for[] = {
    {"OpenBLAS", HAVE_OPENBLAS}, {"FANN", HAVE_FANN}, {"PyTorch", HAVE_TORCH}
};

typedef enum Outcome { NOT_RUN, TIMED, DIFFERS } Outcome;

/* What came of one system on one workload. */
typedef struct Cell {
    Outcome outcome;
    double ns;                  /* per case, median or least                 */
    double distance;            /* of its result from moe.h's                */
    char form[80];
} Cell;

typedef struct Row {
    Workload w;
    Cell cell[MAX_PEERS];
    Usual usual;                /* speed of the core meanwhile               */
} Row;

static const char *about[MAX_PEERS];    /* NULL: this system cannot be had  */
static Row rows[MAX_WORKLOADS];
static int row_count, samples = MAX_SAMPLES, as_csv, least, pinned = -1, bits;
static double budget = 4e8;     /* ns for a system's samples of a workload   */
static const char *only = "";

/* ---- used by all ------------------------------------------------------- */

void give_up(const char *who, const char *what)
{
    fprintf(stderr, "speed: %s: %s\n", who, what);
    exit(2);
}

/* Aligned for the widest vectors, which helps those who use this. */
float *floats(size_t count)
{
    void *at;

    if (posix_memalign(&at, 64, (count + 1) * sizeof(float)) != 0)
        give_up("speed", "out of memory");
    memset(at, 0, count * sizeof(float));
    return (float *)at;
}

double nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* splitmix64 */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform numbers between -scale and scale. */
static void fill(float *at, size_t count, float scale, uint64_t *state)
{
    size_t i;

    for (i = 0; i < count; i++)
        at[i] = scale * ((float)(random_bits(state) >> 40) / 8388608 - 1);
}

/* ---- workloads --------------------------------------------------------- */

int learns(const Workload *w)
{
    return w->task == STEP || w->task == LEARN;
}

/* Where a layer of so many copies stands; the next one begins behind it. */
static Layer place(size_t *count, int copies, int in, int out)
{
    Layer layer;

    layer.in = in;
    layer.out = out;
    layer.bias = *count;
    layer.weight = *count + (size_t)copies * (size_t)out;
    *count = layer.weight + (size_t)copies * (size_t)in * (size_t)out;
    return layer;
}

/* Weights so small that hidden units stay below 1, where FANN's end. */
static void fill_layer(float *params, const Layer *layer, int copies,
                       uint64_t *state)
{
    size_t out = (size_t)copies * (size_t)layer->out;

    fill(params + layer->bias, out, 0.1f, state);
    fill(params + layer->weight, out * (size_t)layer->in,
         0.5f / sqrtf((float)layer->in), state);
}

static void shape(Workload *w, const Plan *plan)
{
    int l;

    memset(w, 0, sizeof *w);
    snprintf(w->name, sizeof w->name, "%s", plan->name);
    w->task = plan->task;
    w->experts = plan->experts;
    w->inputs = plan->sizes[0];
    for (l = 0; l < MAX_LAYERS && plan->sizes[l + 1]; l++)
        w->outputs = plan->sizes[l + 1];
    w->layers = l;
    w->rows = plan->rows;
    w->cases = plan->rows < 64 ? 64 : plan->rows;
    w->block = plan->block;
    w->top_k = plan->top_k;
    w->ours_only = plan->ours_only;
    w->bits = plan->bits ? plan->bits : bits;
    if (w->task == EXP || w->task == TANH)
        return;
    for (l = 0; l < w->layers; l++)
        w->layer[l] = place(&w->count, w->experts, plan->sizes[l],
                            plan->sizes[l + 1]);
    if (w->experts > 1)
        w->gate = place(&w->count, 1, w->inputs, w->experts);
}

/* Weights and cases, the same in every run. */
static void invent(Workload *w)
{
    size_t inputs = (size_t)w->cases * (size_t)w->inputs;
    size_t outputs = (size_t)w->cases * (size_t)w->outputs;
    float *params = floats(w->count), *x = floats(inputs);
    float *d = floats(outputs);
    uint64_t state = 1991;
    int l;

    for (l = 0; w->count > 0 && l < w->layers; l++)
        fill_layer(params, &w->layer[l], w->experts, &state);
    if (w->gate.out > 0)
        fill_layer(params, &w->gate, 1, &state);
    fill(x, inputs, w->task == EXP || w->task == TANH ? 10 : 1, &state);
    fill(d, outputs, 1, &state);
    w->params = params;
    w->x = x;
    w->d = d;
}

static void forget(Workload *w)
{
    union { const float *read; float *write; } at;

    at.read = w->params;
    free(at.write);
    at.read = w->x;
    free(at.write);
    at.read = w->d;
    free(at.write);
    w->params = w->x = w->d = NULL;
}

/* ---- is the result the same? ------------------------------------------- */

/* |a - b| / |b - from|, or with from NULL |a - b| / |b| */
static double distance(size_t count, const float *a, const float *b,
                       const float *from)
{
    double off = 0, size = 1e-30;
    size_t i;

    for (i = 0; i < count; i++) {
        double error = (double)a[i] - (double)b[i];
        double change = (double)b[i] - (from ? (double)from[i] : 0.0);
        off += error * error;
        size += change * change;
    }
    return sqrt(off / size);
}

static double worse(double a, double b)
{
    return a > b || a != a ? a : b;
}

/* Of learning what counts is how far it moved the weights and the biases of
   every layer, for the weights themselves hardly change. */
static double layer_distance(const Workload *w, const Layer *layer, int copies,
                             const float *a, const float *b)
{
    size_t out = (size_t)copies * (size_t)layer->out;
    size_t at = layer->bias, to = layer->weight;
    double bias = distance(out, a + at, b + at, w->params + at);

    return worse(bias, distance(out * (size_t)layer->in, a + to, b + to,
                                w->params + to));
}

static double result_distance(const Workload *w, const Peer *peer,
                              const float *a, const float *b)
{
    double worst = 0;
    int l;

    if (!learns(w))
        return distance((size_t)w->cases * (size_t)w->outputs, a, b, NULL);
    for (l = peer->last_layer_only ? w->layers - 1 : 0; l < w->layers; l++)
        worst = worse(layer_distance(w, &w->layer[l], w->experts, a, b),
                      worst);
    if (w->gate.out > 0)
        worst = worse(layer_distance(w, &w->gate, 1, a, b), worst);
    return worst;
}

/* Make all systems ready, and compare their results with the first one's. */
static void prepare_all(Row *row)
{
    const Workload *w = &row->w;
    size_t y = (size_t)w->cases * (size_t)w->outputs;
    float *want = floats(w->count + y), *got = floats(w->count + y);
    int i;

    for (i = 0; i < COUNT(peers); i++) {
        Cell *cell = &row->cell[i];
        int asked = about[i] && (i == 0 || !w->ours_only);
        const char *form = asked ? peers[i]->prepare(w) : NULL;
        if (!form)
            continue;
        snprintf(cell->form, sizeof cell->form, "%s", form);
        peers[i]->result(i == 0 ? want : got);
        if (i > 0)
            cell->distance = result_distance(w, peers[i], got, want);
        cell->outcome = cell->distance < TOLERANCE ? TIMED : DIFFERS;
        if (cell->outcome == DIFFERS)
            peers[i]->release();
    }
    free(want);
    free(got);
}

/* ---- timing ------------------------------------------------------------ */

/* How a system's samples are taken: so many calls each, in every stride-th
   round. */
typedef struct Pace {
    const Peer *peer;
    Cell *cell;
    int times, stride, taken;
    int warm;               /* whether calls before it are thrown away       */
    double sample[MAX_SAMPLES];
} Pace;

static Pace calibrate(const Peer *peer, Cell *cell)
{
    Pace pace = {NULL, NULL, 1, 1, 0, 0, {0}};
    double ns = peer->run(1), cost;
    int most = samples / 5;

    while ((ns = peer->run(pace.times)) < SAMPLE_NS && pace.times < 1 << 24)
        pace.times = ns < SAMPLE_NS / 8 ? pace.times * 4
            : (int)(pace.times * 1.05 * SAMPLE_NS / ns) + 1;
    pace.peer = peer;
    pace.cell = cell;
    pace.warm = ns < LONG_NS;
    cost = (pace.warm ? 2 : 1) * ns * samples;
    if (cost > budget)
        pace.stride = cost > budget * most ? most : (int)(cost / budget) + 1;
    return pace;
}

static void take_sample(Pace *pace)
{
    if (pace->warm)
        pace->peer->run(pace->times);
    pace->sample[pace->taken++] = pace->peer->run(pace->times) / pace->times;
}

/* All systems once, in a random order. */
static void take_round(Pace *pace, int count, int round, uint64_t *state)
{
    int order[MAX_PEERS], i, j;

    for (i = 0; i < count; i++) {
        j = (int)(random_bits(state) % (uint64_t)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    for (i = 0; i < count; i++)
        if (round % pace[order[i]].stride == 0)
            take_sample(&pace[order[i]]);
    limits_sample();
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double usual(double *sample, int count)
{
    qsort(sample, (size_t)count, sizeof *sample, by_value);
    return sample[least ? 0 : count / 2];
}

static void measure(Row *row)
{
    static Pace pace[MAX_PEERS];
    uint64_t state = 3;
    int i, count = 0, round;

    prepare_all(row);
    for (i = 0; i < COUNT(peers); i++)
        if (row->cell[i].outcome == TIMED)
            pace[count++] = calibrate(peers[i], &row->cell[i]);
    limits_usual();
    for (round = 0; round < samples; round++)
        take_round(pace, count, round, &state);
    row->usual = limits_usual();
    for (i = 0; i < count; i++) {
        pace[i].cell->ns = usual(pace[i].sample, pace[i].taken) / row->w.rows;
        pace[i].peer->release();
    }
}

/* ---- what is printed --------------------------------------------------- */

/* Three digits, or all of them. */
static const char *number(double x)
{
    static char text[4][32];
    static int next;
    char *at = text[next++ % 4];

    snprintf(at, sizeof text[0], x < 9.995 ? "%.2f" : x < 99.95 ? "%.1f"
             : "%.0f", x);
    return at;
}

static void print_cell(const Cell *cell, double ours)
{
    char text[64] = "";

    if (cell->outcome == TIMED)
        snprintf(text, sizeof text, "%s x %s", number(cell->ns),
                 number(cell->ns / ours));
    else if (cell->outcome == DIFFERS)
        snprintf(text, sizeof text, "differs by %.1e", cell->distance);
    printf(" %16s |", text);
}

static void print_table(void)
{
    int r, i;

    printf("| %-29s | %8s | %5s |", "ns per case", "moe.h", "limit");
    for (i = 1; i < COUNT(peers); i++)
        if (about[i])
            printf(" %16s |", peers[i]->name);
    printf("\n|%s|%s|%s|", "-------------------------------", "---------:",
           "------:");
    for (i = 1; i < COUNT(peers); i++)
        if (about[i])
            printf("-----------------:|");
    printf("\n");
    for (r = 0; r < row_count; r++) {
        double ours = rows[r].cell[0].ns, limit = limit_of(&rows[r].w);
        if (rows[r].cell[0].outcome == NOT_RUN)
            continue;       /* this processor has no such vectors */
        printf("| %-28s%s | %8s |", rows[r].w.name,
               limits_noisy(&rows[r].usual) ? "*" : " ", number(ours));
        if (limit > 0)
            printf(" %3.0f %% |", 100 * limit / ours);
        else
            printf(" %5s |", "");
        for (i = 1; i < COUNT(peers); i++)
            if (about[i])
                print_cell(&rows[r].cell[i], ours);
        printf("\n");
    }
}

/* One line for each form of a system, and where it was the fastest. */
static void print_forms(const Peer *peer, int i)
{
    int r, s;

    for (r = 0; r < row_count; r++) {
        const char *form = rows[r].cell[i].form;
        for (s = 0; s < r && strcmp(rows[s].cell[i].form, form) != 0; s++)
            continue;
        if (form[0] == '\0' || s < r)
            continue;
        printf("%s, %s:", peer->name, form);
        for (s = r; s < row_count; s++)
            if (strcmp(rows[s].cell[i].form, form) == 0)
                printf("%s %s", s == r ? "" : ",", rows[s].w.name);
        printf(".\n");
    }
}

/* What choosing saves: moe.h's time beside its own with all experts. */
static void print_saving(void)
{
    double sparse = 0, dense = 0;
    int r;

    for (r = 0; r < row_count; r++) {
        sparse = strcmp(rows[r].w.name, SPARSE) ? sparse : rows[r].cell[0].ns;
        dense = strcmp(rows[r].w.name, DENSE) ? dense : rows[r].cell[0].ns;
    }
    if (sparse > 0 && dense > 0)
        printf("moe.h, time of sparse over time of dense at batch 2048: %.3f "
               "(2 of 64 experts: %.3f).\n", sparse / dense, 2.0 / 64);
}

static void print_csv(void)
{
    int r, i;

    printf("workload,system,ns per case,times moe.h,distance,form,noisy\n");
    for (r = 0; r < row_count; r++) {
        const Cell *cell = rows[r].cell;
        double limit = limit_of(&rows[r].w);
        int noisy = limits_noisy(&rows[r].usual);

        if (cell[0].outcome != TIMED)
            continue;
        if (limit > 0)
            printf("\"%s\",limit,%.4g,%.4g,,,%d\n", rows[r].w.name, limit,
                   limit / cell[0].ns, noisy);
        for (i = 0; i < COUNT(peers); i++)
            if (cell[i].outcome == TIMED)
                printf("\"%s\",%s,%.4g,%.4g,%.1e,\"%s\",%d\n",
                       rows[r].w.name, peers[i]->name, cell[i].ns,
                       cell[i].ns / cell[0].ns, cell[i].distance,
                       cell[i].form, noisy);
            else if (cell[i].outcome == DIFFERS)
                printf("\"%s\",%s,,,%.1e,\"%s\",%d\n", rows[r].w.name,
                       peers[i]->name, cell[i].distance, cell[i].form, noisy);
    }
}

/* The processor's name for itself, where there is one. */
static void print_machine(const char *before)
{
    char line[256] = "";
    FILE *file = fopen("/proc/cpuinfo", "r");

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0)
            break;
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
    printf("%sMachine: %s", before, strncmp(line, "model name", 10) == 0
           && strchr(line, ':') ? strchr(line, ':') + 2 : "not known");
    if (pinned >= 0)
        printf("; pinned to processor %d.\n", pinned);
    else
        printf("; not pinned to one processor.\n");
#if defined(__clang__)
    printf("%sCompiler: %s.\n", before, __VERSION__);
#else
    printf("%sCompiler: gcc %s.\n", before, __VERSION__);
#endif
}

static void print_systems(const char *before)
{
    int i;

    for (i = 0; i < COUNT(peers); i++)
        if (about[i])
            printf("%s%s: %s.\n", before, peers[i]->name, about[i]);
        else
            printf("%s%s: does not start.\n", before, peers[i]->name);
    for (i = 0; i < COUNT(asked_for); i++)
        if (!asked_for[i].here)
            printf("%s%s: not found; `make peers` may install it.\n", before,
                   asked_for[i].name);
}

static void print_noise(const char *before)
{
    int r, noisy = 0;

    for (r = 0; r < row_count; r++)
        noisy += limits_noisy(&rows[r].usual);
    if (least)
        printf("%sThe least of the samples, not the median.\n", before);
    if (noisy == 0)
        printf("%sA quiet run.\n", before);
    else
        printf("%sA NOISY RUN: in %d of %d workloads (*) somebody else was on "
               "this core.\n", before, noisy, row_count);
}

/* Returns how many results differ. */
static int report(void)
{
    const char *before = as_csv ? "# " : "";
    int i, r, different = 0;

    print_machine(before);
    print_systems(before);
    limits_print(before);
    print_noise(before);
    if (as_csv) {
        print_csv();
    } else {
        printf("\n");
        print_table();
        printf("\n");
        print_saving();
        for (i = 1; i < COUNT(peers); i++)
            print_forms(peers[i], i);
    }
    for (r = 0; r < row_count; r++)
        for (i = 1; i < COUNT(peers); i++)
            if (rows[r].cell[i].outcome == DIFFERS) {
                different++;
                fprintf(stderr, "speed: %s: %s differs from moe.h by %.1e\n",
                        rows[r].w.name, peers[i]->name,
                        rows[r].cell[i].distance);
            }
    return different;
}

/* ---- the program ------------------------------------------------------- */

static void pin(void)
{
#if defined(__linux__)
    cpu_set_t set;
    int at = sched_getcpu();

    CPU_ZERO(&set);
    CPU_SET((unsigned)(at < 0 ? 0 : at), &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        pinned = at < 0 ? 0 : at;
#endif
}

static void read_arguments(int count, char **argument)
{
    int i;

    for (i = 1; i < count; i++)
        if (strcmp(argument[i], "--csv") == 0) {
            as_csv = 1;
        } else if (strcmp(argument[i], "--least") == 0) {
            least = 1;
        } else if (strcmp(argument[i], "--quick") == 0) {
            samples = 11;
            budget = 5e7;
        } else if (strcmp(argument[i], "--only") == 0 && i + 1 < count) {
            only = argument[++i];
        } else if (strcmp(argument[i], "--bits") == 0 && i + 1 < count) {
            bits = atoi(argument[++i]);
        } else {
            fprintf(stderr, "usage: speed [--csv] [--quick] [--least] "
                    "[--only TEXT] [--bits BITS]\n");
            exit(2);
        }
}

int main(int count, char **argument)
{
    int i, show = isatty(2);

    read_arguments(count, argument);
    pin();
    limits_start();
    for (i = 0; i < COUNT(peers); i++)
        about[i] = peers[i]->start();
    for (i = 0; i < COUNT(plans); i++)
        if (strstr(plans[i].name, only)) {
            Row *row = &rows[row_count++];
            if (show)
                fprintf(stderr, "\r\033[K%s", plans[i].name);
            shape(&row->w, &plans[i]);
            invent(&row->w);
            measure(row);
            forget(&row->w);
        }
    if (show)
        fprintf(stderr, "\r\033[K");
    if (row_count == 0)
        give_up(only, "is in the name of no workload");
    return report() != 0;
}
