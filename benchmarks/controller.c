/* controller.c - a character controller in a game: 480-512-512-363, 8 experts
   whose weights a gate of 19 columns blends, 22 MB, for one character and for
   crowds of them; beside programs that blend a matrix for each character.

     controller [SAMPLES]

   All ways run in turn, so that a machine that others use disturbs all alike;
   medians are printed, and the least.  The exit status is 1 where results
   differ by more than 1e-5 or a goal is missed.                             */
#include "clock.h"
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "../examples/controller.h"
#include "controller_peer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CROWD = 256, EXPERTS = PEER_EXPERTS, MOST = 201, WAYS = 12 };

static const char *const columns = "0-2,20,40-42,60,80-82,100,200-206";
/* What runs, and for how many characters. */
enum { READ, MOE, SGEMV, ONE_PASS, FEWER };
static const struct { const char *name; int what, count; } ways[WAYS] = {
    {"the weights are read", READ, 1},
    {"moe.h", MOE, 1}, {"blending by sgemv", SGEMV, 1},
    {"blending in one pass", ONE_PASS, 1}, {"moe.h, top_p .9", FEWER, 1},
    {"moe.h", MOE, 64}, {"blending by sgemv", SGEMV, 64},
    {"blending in one pass", ONE_PASS, 64}, {"moe.h, top_p .9", FEWER, 64},
    {"moe.h", MOE, 256}, {"blending by sgemv", SGEMV, 256},
    {"blending in one pass", ONE_PASS, 256}
};

static moe m, fewer;
static peer_net peer;
static float *x, *y[2], *p;
static double samples[WAYS][MOST];

static void open_all(void)
{
    moe_config c;
    size_t i;
    int l;

    memset(&c, 0, sizeof c);
    c.inputs = 480, c.outputs = 363, c.experts = EXPERTS;
    c.hidden[0] = c.hidden[1] = 512;
    c.gate_hidden[0] = c.gate_hidden[1] = 32;
    c.gate_columns = columns;
    c.blend = MOE_BLEND_WEIGHTS, c.loss = MOE_LOSS_BLEND;
    c.mode = MOE_MODE_LEARN;
    c.block = CROWD;
    opened(&m, moe_open(&m, &c, NULL, 0));
    wake(&m, 4);
    c.mode = MOE_MODE_PREDICT;
    c.top_p = 0.9f;
    opened(&fewer, moe_attach(&fewer, &c, m.params, NULL, 0));
    for (l = 0; l < PEER_LAYERS; l++) {
        const moe_layer at = moe_layer_at(&c, 0, l);

        peer.width[l] = at.in, peer.width[l + 1] = at.out;
        peer.bias[l] = m.params + at.bias;
        peer.weight[l] = m.params + at.weight;
    }
    peer.room = numbers(512 * 512);
    x = numbers(CROWD * 480);
    p = numbers(CROWD * EXPERTS);
    y[0] = numbers(CROWD * 363);
    y[1] = numbers(CROWD * 363);
    for (i = 0; i < CROWD * 480; i++)
        x[i] = noise();
    moe_forward(&m, x, CROWD);
    memcpy(p, m.p, CROWD * EXPERTS * sizeof *p);
}

static double off(int n)
{
    double worst = 0;
    int i;

    for (i = 0; i < n * 363; i++)
        worst = fmax(worst, fabs((double)(y[0][i] - y[1][i]))
                            / (1 + fabs((double)y[1][i])));
    return worst;
}

/* Microseconds per character. */
static double go(int way)
{
    static volatile float sum;
    const int n = ways[way].count, what = ways[way].what;
    const double start = nanoseconds();

    if (what == READ)
        sum = peer_read(m.params, (long)m.param_count);
    else if (what == MOE || what == FEWER)
        moe_predict(what == MOE ? &m : &fewer, x, n, y[what == FEWER]);
    else
        peer_predict(&peer, what == ONE_PASS, x, p, n, y[1]);
    (void)sum;
    return (nanoseconds() - start) * 1e-3 / n;
}

static int goal(const char *what, double got, double most)
{
    printf("%-46s %8.2f  goal %8.2f%s\n", what, got, most,
           got <= most ? "" : "  MISSED");
    return got > most;
}

int main(int count, char **word)
{
    const int n = count > 1 ? atoi(word[1]) : 15;
    double median[WAYS], worst = 0;
    int s, w, bad, ran = 0, i;

    if (n < 1 || n > MOST)
        return 2;
    open_all();
    for (s = -1; s < n; s++)                /* the first is not counted */
        for (w = 0; w < WAYS; w++) {
            const double time = go(w);

            if (s >= 0)
                samples[w][s] = time;
            if (ways[w].what == SGEMV || ways[w].what == ONE_PASS)
                worst = fmax(worst, off(ways[w].count));
        }
    printf("%-24s characters   us each: median      least\n", "");
    for (w = 0; w < WAYS; w++) {
        median[w] = median_of(samples[w], n);
        printf("%-24s %10d %17.0f %10.0f\n", ways[w].name, ways[w].count,
               median[w], samples[w][0]);
    }
    moe_forward(&fewer, x, CROWD);
    for (i = 0; i < CROWD * EXPERTS; i++)
        ran += fewer.p[i] > 0;
    printf("top_p .9 runs %.2f experts of 8\n", (double)ran / CROWD);
    bad = goal("one character, us", median[1], fmax(1050, 0.9 * median[0]));
    bad |= goal("64 characters, of blending by sgemv",
                median[5] / median[6], 1 / 8.0);
    bad |= goal("256 characters, of blending by sgemv",
                median[9] / median[10], 1 / 10.0);
    bad |= goal("largest difference, in 1e-5", worst * 1e5, 1);
    return bad;
}
