/* page.c - what the lesson's page asks of moe.h: data in the plane, a mixture
   over them, and pictures of it.  Compiled for a web page by
     make -C examples/page
   and, with the very same bits, as a program:
     cc -O2 examples/page/page.c -o page && ./page
   which prints the hash and the speed that the page can be compared with:
     page [data points experts hidden top_k loss sigma optimizer rate batch
           balance_rate seed epochs restarts]

   Points lie in [-1,1] x [-1,1].  Data up to OWN have classes: each point is of
   class 0 or 1, and each expert has one logistic output, as in the experiment
   of 1991: its line or curve is where that output is 0.5.  Those after it are
   for regression: across is x, up is d, and the output is linear. */
#define MOE_SAME_BITS
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_IMPLEMENTATION
#ifdef __wasm__
#define MOE_STATIC
#define MOE_NO_TEXT
#define MOE_ASSERT(e) ((e) ? (void)0 : __builtin_trap())
#define PAGE(name) __attribute__((export_name(#name), used)) name
#else
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#define PAGE(name) name
#endif
#include "../../moe.h"

enum { VOWELS, SPIRALS, CHECKERBOARD, ZIGZAG, OWN, BENT, BRANCHES, OWN_CURVE,
       MOST_POINTS = 4096, MOST_EXPERTS = 8, MOST_HIDDEN = 32, SIDE = 96,
       CELLS = SIDE * SIDE, SAID = 7 + 2 * MOST_EXPERTS,
       FITTED = 200, TRIED = 30 };             /* epochs of a seed's trial */

static moe m;
static moe_training training;
static int count, inputs = 2;                  /* 1: regression */
static float x[2 * MOST_POINTS], d[MOST_POINTS];
static float memory[1 << 17];
static float said[SAID];                       /* of the last report */
static float cell_x[2 * CELLS], cell_p[CELLS]; /* see page_map */
static float cell_o[MOST_EXPERTS * CELLS], cell_y[CELLS];
static unsigned char cell_best[CELLS];
static float curves[(2 + 2 * MOST_EXPERTS) * SIDE];     /* see page_curves */
static float deviation[1 + MOST_EXPERTS];      /* m.sigma as it is shown */
static uint64_t state;

float *PAGE(page_x)(void);
float *PAGE(page_d)(void);
float *PAGE(page_said)(void);
float *PAGE(page_y)(void);
float *PAGE(page_p)(void);
float *PAGE(page_o)(void);
unsigned char *PAGE(page_best)(void);
float *PAGE(page_curve)(void);
int PAGE(page_side)(void);
int PAGE(page_make)(int data, int points, int seed);
void PAGE(page_own)(int data, int points);
int PAGE(page_open)(int experts, int hidden, int top_k, int seed);
void PAGE(page_tune)(int loss, float sigma, int optimizer, float rate,
                     int batch, float balance_rate);
int PAGE(page_try)(int seeds);
int PAGE(page_train)(int epochs);
int PAGE(page_look)(void);
void PAGE(page_map)(int from, int cells);
void PAGE(page_density)(int from, int cells);
void PAGE(page_curves)(void);
void PAGE(page_collapse)(void);
int PAGE(page_revive)(void);
uint32_t PAGE(page_hash)(void);

float *page_x(void) { return x; }
float *page_d(void) { return d; }
float *page_said(void) { return said; }
float *page_y(void) { return cell_y; }
float *page_p(void) { return cell_p; }
float *page_o(void) { return cell_o; }
unsigned char *page_best(void) { return cell_best; }
float *page_curve(void) { return curves; }
int page_side(void) { return SIDE; }

/* ---- data ---------------------------------------------------------------- */

/* Uniform in [-1,1). */
static float chance(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / 8388608 - 1;
}

/* Drawn around the means that Peterson & Barney published in 1952, not
   measured: [i] [I] [a] [V] of men, women and children, F1 and F2 in kHz, 8 %
   standard deviation.  1 for [i] and [V]: one line cannot tell these. */
static void make_vowel(int i)
{
    static const float mean[3][4][2] = {
        {{0.27f, 2.29f}, {0.39f, 1.99f}, {0.73f, 1.09f}, {0.64f, 1.19f}},
        {{0.31f, 2.79f}, {0.43f, 2.48f}, {0.85f, 1.22f}, {0.76f, 1.40f}},
        {{0.37f, 3.20f}, {0.53f, 2.73f}, {1.03f, 1.37f}, {0.85f, 1.59f}}};
    int vowel = i % 4, who = i / 4 % 75;
    const float *at = mean[(who >= 32) + (who >= 60)][vowel];
    float f1 = at[0] * (1 + 0.08f * (chance() + chance() + chance()));
    float f2 = at[1] * (1 + 0.08f * (chance() + chance() + chance()));

    x[2 * i] = (f1 - 0.7f) / 0.6f;
    x[2 * i + 1] = (f2 - 2.1f) / 1.7f;
    d[i] = vowel == 0 || vowel == 3 ? 1.0f : 0.0f;
}

/* Turns by a small angle at a time, so that no sine is needed. */
static void make_spirals(int points)
{
    float step = 9.0f / (float)points, u = 1, v = 0, r;
    int i;

    for (i = 0; i + 1 < points; i += 2) {
        float w = u - 2 * step * v;

        v += 2 * step * w;           /* a rotation that keeps its radius */
        u = w;
        r = 0.1f + 0.8f * (float)i / (float)points;
        x[2 * i] = r * u + 0.02f * chance();
        x[2 * i + 1] = r * v + 0.02f * chance();
        x[2 * i + 2] = -r * u + 0.02f * chance();
        x[2 * i + 3] = -r * v + 0.02f * chance();
        d[i] = 1;
        d[i + 1] = 0;
    }
}

static int is_one(int data, float u, float v)
{
    float w = u < 0 ? -u : u;

    if (data == CHECKERBOARD)
        return ((int)((u + 1) * 1.5f) + (int)((v + 1) * 1.5f)) % 2 == 0;
    return v > (w < 0.5f ? 0.6f - 2.4f * w : 2.4f * w - 1.8f);
}

/* Normal enough: the sum has standard deviation 1. */
static float noise(void)
{
    return chance() + chance() + chance();
}

/* d against x: a line with two bends, noisy to the right of the second; or x as
   a function of d that turns back, so that one x has up to three d. */
static void make_curve(int data, int i)
{
    float u = chance(), v = u * (2.2f * u * u - 1.2f);

    if (data == BENT) {
        v = u < -0.3f ? -1.5f * u - 0.9f
          : u < 0.4f ? 1.6f * u + 0.03f : 1.15f - 1.2f * u;
        x[i] = u;
        d[i] = v + (u < 0.4f ? 0.04f : 0.12f) * noise();
    } else {
        x[i] = v + 0.04f * noise();
        d[i] = 0.9f * u;
    }
}

static void make_point(int data, int i)
{
    if (data > OWN) {
        make_curve(data, i);
    } else if (data == VOWELS) {
        make_vowel(i);
    } else {
        x[2 * i] = chance();
        x[2 * i + 1] = chance();
        d[i] = is_one(data, x[2 * i], x[2 * i + 1]) ? 1.0f : 0.0f;
    }
}

/* Returns how many points there are: an even number. */
int page_make(int data, int points, int seed)
{
    int i;

    inputs = data > OWN ? 1 : 2;
    count = points < 2 ? 2 : points > MOST_POINTS ? MOST_POINTS : points;
    count -= count % 2;
    state = 1991 + (uint64_t)seed;
    if (data == SPIRALS)
        make_spirals(count);
    for (i = 0; i < count && data != SPIRALS; i++)
        make_point(data, i);
    return count;
}

/* The page has written so many points of its own to x and d. */
void page_own(int data, int points)
{
    inputs = data > OWN ? 1 : 2;
    count = points;
}

/* ---- learning ------------------------------------------------------------ */

int page_open(int experts, int hidden, int top_k, int seed)
{
    static const moe_config nothing;
    moe_config config = nothing;

    config.inputs = inputs;
    config.outputs = 1;
    config.experts = experts;
    config.hidden[0] = hidden;
    config.activation = MOE_ACT_TANH;
    config.output = inputs == 1 ? MOE_OUT_LINEAR : MOE_OUT_LOGISTIC;
    config.top_k = top_k;
    config.seed = (uint64_t)seed;
    training.seed = (uint64_t)seed;
    training.holdout = -1;                      /* all points are learnt */
    return (int)moe_open(&m, &config, memory, sizeof memory);
}

/* All that may change while it learns; sigma 0: that is learnt, too. */
void page_tune(int loss, float sigma, int optimizer, float rate, int batch,
               float balance_rate)
{
    m.config.loss = (moe_loss)loss;
    m.config.sigma = sigma;
    training.optimizer = (moe_optimizer)optimizer;
    training.rate = rate;
    training.batch = batch;
    training.balance_rate = m.config.top_k % m.config.experts ? balance_rate
                          : 0;                  /* nothing is chosen */
}

static void keep(const moe_report *r)
{
    int i;

    said[0] = (float)m.epoch;
    said[1] = r->loss;
    said[2] = r->squared_error;
    said[3] = r->accuracy;
    said[4] = r->gate_entropy;
    said[5] = (float)r->dead;
    for (i = 0; i < m.config.experts; i++) {
        said[6 + i] = r->usage[i];
        said[6 + MOST_EXPERTS + i] = r->load[i];
    }
    said[6 + 2 * MOST_EXPERTS] = m.config.sigma > 0 ? m.config.sigma
                               : m.sigma[0];
}

static moe_data all(void)
{
    moe_data data;

    data.n = count;
    data.x = x;
    data.d = d;
    data.labels = NULL;
    data.weights = NULL;
    return data;
}

int page_look(void)
{
    moe_data data = all();
    moe_report report;
    moe_status status = moe_evaluate(&m, &data, &report);

    if (status == MOE_OK)
        keep(&report);
    return (int)status;
}

static int has_chosen(const moe_report *report, void *unused)
{
    (void)unused;
    return report->restart == 0;
}

/* Tries so many seeds, from the one it was opened with, for TRIED epochs each,
   and opens with the best, which it returns; -1: something failed. */
int page_try(int seeds)
{
    moe_data data = all();
    moe_report report;
    moe_status status;

    training.epochs = 10 * TRIED;
    training.restarts = seeds;
    training.progress = has_chosen;
    status = moe_train(&m, &data, NULL, &training, &report);
    training.restarts = 0;
    training.progress = NULL;
    if (status == MOE_STOPPED)
        status = moe_open(&m, &m.config, memory, sizeof memory);
    return status == MOE_OK ? (int)m.config.seed : -1;
}

int page_train(int epochs)
{
    moe_data data = all();
    moe_report report;
    moe_status status;

    training.epochs = epochs;
    status = moe_train(&m, &data, NULL, &training, &report);
    if (status == MOE_OK)
        keep(&report);
    return (int)status;
}

/* ---- pictures ------------------------------------------------------------ */

/* One cell: which expert the gate prefers, how much, and what each says; -1
   where an expert does not run. */
static void map_cell(int cell, int row)
{
    int E = m.config.experts, K = m.config.top_k, i, best = 0;

    if (K < 1 || K > E)
        K = E;
    for (i = 0; i < E; i++) {
        cell_o[i * CELLS + cell] = -1;
        if (m.p[row * E + i] > m.p[row * E + best])
            best = i;
    }
    for (i = 0; i < K; i++)
        cell_o[m.selected[row * K + i] * CELLS + cell] = m.o[row * K + i];
    cell_best[cell] = (unsigned char)best;
    cell_p[cell] = m.p[row * E + best];
    cell_y[cell] = m.y[row];
}

/* So many of the plane's SIDE x SIDE cells, the upper left one the first. */
void page_map(int from, int cells)
{
    int i, rows, end = from + cells < CELLS ? from + cells : CELLS;

    for (i = from; i < end; i++) {
        cell_x[2 * i] = (float)(2 * (i % SIDE) + 1) / SIDE - 1;
        cell_x[2 * i + 1] = 1 - (float)(2 * (i / SIDE) + 1) / SIDE;
    }
    for (; from < end; from += rows) {
        rows = moe_forward(&m, cell_x + 2 * from, end - from);
        for (i = 0; i < rows; i++)
            map_cell(from + i, i);
    }
}

/* As many cells of a regression's plane: log p(d|x) in the place of p, with
   deviations as page_curves has fitted them. */
void page_density(int from, int cells)
{
    float *cell_d = cell_x + CELLS;
    const float *learnt = m.sigma;
    int i, end = from + cells < CELLS ? from + cells : CELLS;

    for (i = from; i < end; i++) {
        cell_x[i] = (float)(2 * (i % SIDE) + 1) / SIDE - 1;
        cell_d[i] = 1 - (float)(2 * (i / SIDE) + 1) / SIDE;
    }
    m.sigma = deviation;
    moe_density(&m, cell_x + from, cell_d + from, end - from, cell_p + from);
    m.sigma = learnt;
}

/* Each expert's deviation on the points, in a copy of m.sigma: what is learnt
   does not depend on what is shown.  FITTED of many points do, which are in no
   order: a frame of the page has 17 ms. */
static void fit_deviations(void)
{
    moe_data data = all();
    const float *learnt = m.sigma;
    int i;

    for (i = 0; i <= m.config.experts; i++)
        deviation[i] = learnt[i];
    m.sigma = deviation;
    data.n = count > 500 ? FITTED : count;
    if (count > 1)
        (void)moe_fit_variance(&m, &data);
    m.sigma = learnt;
}

/* Rows of SIDE numbers from left to right: y, its deviation, all o_i (E), all
   p_i (E); 0 where an expert does not run. */
void page_curves(void)
{
    const float *learnt = m.sigma;
    int E = m.config.experts, K = m.config.top_k, i, k, row, done;

    fit_deviations();
    for (i = 0; i < 2 * (1 + E) * SIDE; i++)
        curves[i] = 0;
    for (i = 0; i < SIDE; i++)
        cell_x[i] = (float)(2 * i + 1) / SIDE - 1;
    m.sigma = deviation;
    moe_predict_deviation(&m, cell_x, SIDE, curves, curves + SIDE);
    m.sigma = learnt;
    K = K > 0 ? K : E;
    for (done = 0; done < SIDE; done += m.rows) {
        (void)moe_forward(&m, cell_x + done, SIDE - done);
        for (row = 0; row < m.rows; row++)
            for (k = 0; k < K; k++) {
                i = m.selected[row * K + k];
                curves[(2 + i) * SIDE + done + row] = m.o[row * K + k];
                curves[(2 + E + i) * SIDE + done + row] = m.p[row * E + i];
            }
    }
}

/* ---- a gate that goes wrong, see ../collapse.c --------------------------- */

/* What a first step that was much too large may leave: a gate that prefers
   the first experts by 6 nats wherever x is; 2 of them, or 1 if 1 runs. */
void page_collapse(void)
{
    moe_layer gate = moe_layer_at(&m.config, m.config.experts, 0);
    int i;

    for (i = 0; i < gate.out && i < (m.config.top_k == 1 ? 1 : 2); i++)
        m.weights[gate.bias + (size_t)i] += 6;
}

static void copy_part(size_t to, size_t from, size_t values)
{
    size_t i;

    for (i = 0; i < values; i++)
        m.weights[to + i] = m.weights[from + i] * (1 + 0.01f * chance());
}

/* A dead expert becomes a slightly disturbed copy of the busiest; with both
   logits lower by log 2 the two share what the busiest had. */
static void revive(int dead, int busiest)
{
    size_t to = (size_t)dead, from = (size_t)busiest, j, row;
    moe_layer a, b, gate = moe_layer_at(&m.config, m.config.experts, 0);
    int l;

    for (l = 0; (a = moe_layer_at(&m.config, dead, l)).out > 0; l++) {
        b = moe_layer_at(&m.config, busiest, l);
        copy_part(a.bias, b.bias, (size_t)a.out);
        copy_part(a.weight, b.weight, (size_t)a.in * (size_t)a.out);
    }
    m.weights[gate.bias + from] -= 0.69314718f;
    m.weights[gate.bias + to] = m.weights[gate.bias + from];
    for (j = 0; j < (size_t)gate.in; j++) {
        row = gate.weight + j * (size_t)gate.out;
        copy_part(row + to, row + from, 1);
    }
    row = m.trained_count - (size_t)m.config.experts;      /* gate.balance */
    m.weights[row + to] = m.weights[row + from];
}

/* All that are silent and first nowhere, each from what is the busiest by then;
   how many. */
int page_revive(void)
{
    float won[MOST_EXPERTS];
    int E = m.config.experts, i, j, busiest, revived = 0;

    if (page_look() != MOE_OK)
        return 0;
    for (i = 0; i < E; i++)
        won[i] = said[6 + MOST_EXPERTS + i];
    for (i = 0; i < E; i++) {
        if (won[i] > 0.001f || said[6 + i] >= 0.01f)
            continue;
        for (busiest = 0, j = 1; j < E; j++)
            busiest = won[j] > won[busiest] ? j : busiest;
        revive(i, busiest);
        won[i] = won[busiest] /= 2;
        revived++;
    }
    return revived;
}

/* FNV-1a over the bits of all parameters: equal bits, equal learning. */
uint32_t page_hash(void)
{
    union { float real; uint32_t bits; } word;
    uint32_t hash = 2166136261u;
    size_t i;
    int k;

    for (i = 0; i < m.param_count; i++) {
        word.real = m.weights[i];
        for (k = 0; k < 32; k += 8)
            hash = (hash ^ (word.bits >> k & 0xff)) * 16777619u;
    }
    return hash;
}

#ifndef __wasm__
int main(int arguments, char **argument)
{
    double a[14] = {0, 600, 4, 0, 0, 0, 0.5, 0, 0.03, 32, 0, 1, 100, 0};
    clock_t start;
    int i;

    for (i = 1; i < arguments && i <= 14; i++)
        a[i - 1] = atof(argument[i]);
    page_make((int)a[0], (int)a[1], (int)a[11]);
    if (page_open((int)a[2], (int)a[3], (int)a[4], (int)a[11]) != MOE_OK) {
        printf("%s\n", m.error);
        return 1;
    }
    page_tune((int)a[5], (float)a[6], (int)a[7], (float)a[8], (int)a[9],
              (float)a[10]);
    if (a[13] > 1)
        printf("seed %d, ", page_try((int)a[13]));
    page_look();
    printf("loss %.4f ", (double)said[1]);
    start = clock();
    if (page_train((int)a[12]) != MOE_OK)
        printf("%s ", m.error);
    start = clock() - start;
    page_look();
    printf("to %.4f, right %.3f, usage", (double)said[1], (double)said[3]);
    for (i = 0; i < m.config.experts; i++)
        printf(" %.2f", (double)said[6 + i]);
    printf(", hash %08lx, %.0f epochs/s\n", (unsigned long)page_hash(),
           a[12] * CLOCKS_PER_SEC / (double)(start ? start : 1));
    return 0;
}
#endif
