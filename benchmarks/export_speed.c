/* export_speed.c - one case by exported code beside moe.h, in one process; see
   export_speed.sh.  As it is compiled first,

     write SHAPE model.safetensors

   writes a model with random weights; with -DTIMED and the code of all shapes
   it prints a line for each: nanoseconds per case of moe.h (-O2), of the code
   at -O2 and at -O3 -march=native, and of export_peers.cpp, as -DRTNEURAL and
   -DTINYMIND say; the shortest of many samples that take turns.  The exit
   status is 1 when the results differ by more than 1e-6. */
#include "clock.h"
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"

#include <stdio.h>
#include <string.h>

typedef struct shape {
    const char *name, *text;
    int inputs, hidden[2], outputs, experts, top_k;
} shape;

static const shape shapes[] = {
    {"tiny", "2-6-4", 2, {6, 0}, 4, 1, 0},
    {"small", "16-32-32-4", 16, {32, 32}, 4, 1, 0},
    {"sparse", "top-2 of 8 linear 16-4", 16, {0, 0}, 4, 8, 2},
    {"dense", "4 x 16-32-4", 16, {32, 0}, 4, 4, 0}
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* All weights random, the gate's too. */
static int open_model(const shape *s, moe *m)
{
    uint64_t state = 1991;
    moe_config c;
    size_t i;

    memset(&c, 0, sizeof c);
    c.inputs = s->inputs;
    c.outputs = s->outputs;
    c.experts = s->experts;
    c.top_k = s->top_k;
    c.block = 1;
    c.loss = MOE_LOSS_BLEND;
    memcpy(c.hidden, s->hidden, sizeof s->hidden);
    c.mode = MOE_MODE_PREDICT;
    if (moe_open(m, &c, NULL, 0) != MOE_OK)
        return 1;
    for (i = 0; i < m->trained_count; i++)
        m->weights[i] = moei_uniform(&state) / 4;
    for (i = 0; i < (size_t)s->experts && s->experts > 1; i++)
        m->weights[m->trained_count - 1 - i] = 0;
    return 0;
}

#ifndef TIMED

int main(int count, char **word)
{
    int i;
    moe m;

    for (i = 0; i < SHAPES && count == 3; i++)
        if (strcmp(word[1], shapes[i].name) == 0 && !open_model(&shapes[i], &m))
            return moe_save(&m, MOE_MODE_PREDICT, word[2]) != MOE_OK;
    return 1;
}

#else

enum { CASES = 64, SAMPLES = 2000, CODES = 3, WAYS = 4 };
typedef void predict(const float *x, float *y);
predict tiny_o2_predict, small_o2_predict, sparse_o2_predict, dense_o2_predict,
        tiny_o3_predict, small_o3_predict, sparse_o3_predict, dense_o3_predict,
        tiny_peer_predict, small_peer_predict, sparse_peer_predict;

#ifndef RTNEURAL
#define tiny_peer_predict NULL
#define small_peer_predict NULL
#endif
#ifndef TINYMIND
#define sparse_peer_predict NULL
#endif

static predict *const exported[SHAPES][WAYS] = {
    {NULL, tiny_o2_predict, tiny_o3_predict, tiny_peer_predict},
    {NULL, small_o2_predict, small_o3_predict, small_peer_predict},
    {NULL, sparse_o2_predict, sparse_o3_predict, sparse_peer_predict},
    {NULL, dense_o2_predict, dense_o3_predict, NULL}
};
/* RTNeural reads whole vectors, aligned. */
enum { ROW = 16 };
static float x[CASES * ROW] __attribute__((aligned(64))), y[WAYS][CASES * 4];

static double run(moe *m, const shape *s, predict *code, float *out)
{
    const double start = nanoseconds();
    int i, again;

    for (again = 0; again < 8; again++)
        for (i = 0; i < CASES; i++)
            if (code != NULL)
                code(x + i * ROW, out + i * s->outputs);
            else
                moe_predict(m, x + i * ROW, 1, out + i * s->outputs);
    return (nanoseconds() - start) / (8 * CASES);
}

static int compare(const shape *s, predict *const *code)
{
    double best[WAYS] = {1e9, 1e9, 1e9, 1e9};
    float worst = 0;
    moe m;
    int i, way;

    if (open_model(s, &m))
        return 1;
    for (i = 0; i < SAMPLES * WAYS; i++) {
        double took;

        way = i % WAYS;
        if (way == CODES && code[way] == NULL)
            continue;
        took = run(&m, s, code[way], y[way]);
        best[way] = took < best[way] ? took : best[way];
    }
    for (way = 1; way < CODES; way++)
        for (i = 0; i < CASES * s->outputs; i++) {
            const float off = y[way][i] - y[0][i];

            worst = off > worst ? off : -off > worst ? -off : worst;
        }
    printf("| %-22s | %8.1f | %8.1f | %8.1f | ", s->text, best[0], best[1],
           best[2]);
    printf(code[CODES] ? "%8.1f" : "       -", best[CODES]);
    printf(" | %.0e |\n", (double)worst);
    moe_close(&m);
    return worst > 1e-6f;
}

int main(void)
{
    uint64_t state = 3;
    int i, failed = 0;

    for (i = 0; i < CASES * ROW; i++)
        x[i] = moei_uniform(&state);
    printf("| ns per case            | moe.h    | code -O2 | -O3 "
           "native | peer     | off by |\n|---|--:|--:|--:|--:|--:|\n");
    for (i = 0; i < SHAPES; i++)
        failed |= compare(&shapes[i], exported[i]);
    return failed;
}

#endif
