/* lockstep.c - a game that runs on every player's machine and must stay equal
     cc -O2 examples/lockstep.c -o lockstep && ./lockstep [simd bits]

   Lockstep games send only what the players press; every machine computes the
   rest, and one bit that differs ends the match.  Here eight hunters chase a
   runner for 10,000 frames, and a mixture learns on the way what the runner
   does next.  The hash is that of the positions and of all that was learnt:
   with MOE_SAME_BITS it is the same whatever the compiler, its options and the
   instruction set.

   What the game itself computes is in integers, as is usual: a compiler may
   round a * b + c of floats once or twice. */
#define MOE_SAME_BITS
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 10000, HUNTERS = 8, SEES = 6, FIELD = 4096 };

typedef struct place { int32_t x, y; } place;

static place runner, step, hunter[HUNTERS];

/* Which hunter is nearest. */
static int nearest(void)
{
    int32_t least = INT32_MAX;
    int i, which = 0;

    for (i = 0; i < HUNTERS; i++) {
        int32_t off = abs((int)(hunter[i].x - runner.x))
                    + abs((int)(hunter[i].y - runner.y));

        which = off < least ? i : which;
        least = off < least ? off : least;
    }
    return which;
}

/* The runner turns away from whom is nearest, by one law when it is close and
   another when not, and back where the field ends. */
static void run(void)
{
    place from = hunter[nearest()];
    int32_t dx = runner.x - from.x, dy = runner.y - from.y;

    if (abs((int)dx) + abs((int)dy) < 600) {
        step.x = dx > 0 ? 24 : -24;
        step.y = dy > 0 ? 24 : -24;
    } else {
        step.x = (runner.y - FIELD / 2) / 128;
        step.y = (FIELD / 2 - runner.x) / 128;
    }
    if (runner.x + step.x < 0 || runner.x + step.x > FIELD)
        step.x = -step.x;
    if (runner.y + step.y < 0 || runner.y + step.y > FIELD)
        step.y = -step.y;
    runner.x += step.x;
    runner.y += step.y;
}

/* What the mixture is given: powers of 2 make exact floats of integers. */
static void see(float *x)
{
    place from = hunter[nearest()];

    x[0] = (float)(runner.x - FIELD / 2) / (FIELD / 2);
    x[1] = (float)(runner.y - FIELD / 2) / (FIELD / 2);
    x[2] = (float)(runner.x - from.x) / 1024;
    x[3] = (float)(runner.y - from.y) / 1024;
    x[4] = (float)step.x / 32;
    x[5] = (float)step.y / 32;
}

/* A step of at most 16 towards where the runner is thought to go. */
static int32_t towards(int32_t from, int32_t to)
{
    return to > from + 16 ? 16 : to < from - 16 ? -16 : to - from;
}

static void hunt(const float *y)
{
    place aim;
    int i;

    for (i = 0; i < HUNTERS; i++) {
        int32_t ahead = 4 + 8 * i;

        aim.x = runner.x + (int32_t)(y[0] * 32) * ahead;
        aim.y = runner.y + (int32_t)(y[1] * 32) * ahead;
        hunter[i].x += towards(hunter[i].x, aim.x);
        hunter[i].y += towards(hunter[i].y, aim.y);
    }
}

/* One frame: predict, hunt, see what the runner did, learn from it.  Returns
   the squared error in 32nds. */
static int32_t frame(moe *m, const moe_training *sgd)
{
    float x[SEES], d[2], y[2];
    moe_data one = {.n = 1, .x = x, .d = d};
    int32_t off_x, off_y;

    see(x);
    moe_predict(m, x, 1, y);
    hunt(y);
    run();
    d[0] = (float)step.x / 32;
    d[1] = (float)step.y / 32;
    if (moe_learn(m, &one, sgd) != 0)
        printf("a case was left out\n");
    off_x = (int32_t)(y[0] * 32) - step.x;
    off_y = (int32_t)(y[1] * 32) - step.y;
    return off_x * off_x + off_y * off_y;
}

/* FNV-1a, a word at a time. */
static uint64_t hash_of(const moe *m, uint64_t hash)
{
    union { float real; uint32_t word; } at;
    size_t i;

    for (i = 0; i < m->trained_count; i++) {
        at.real = m->params[i];
        hash = (hash ^ at.word) * 0x100000001b3u;
    }
    for (i = 0; i < HUNTERS; i++) {
        hash = (hash ^ (uint32_t)hunter[i].x) * 0x100000001b3u;
        hash = (hash ^ (uint32_t)hunter[i].y) * 0x100000001b3u;
    }
    return hash;
}

static moe_status open_with(moe *m, int simd)
{
    moe_config config = {.inputs = SEES, .outputs = 2, .experts = 4,
                         .hidden = {12}, .gate_hidden = {8},
                         .loss = MOE_LOSS_EXPECTED, .block = 1, .simd = simd,
                         .mode = MOE_MODE_LEARN, .seed = 7};

    return moe_open(m, &config, NULL, 0);
}

int main(int count, char **arguments)
{
    moe_training sgd = {.rate = 0.02f, .clip = 1};
    uint64_t hash = 0xcbf29ce484222325u;
    int32_t error = 0;
    int i;
    moe m;

    if (count > 1 && arguments[1][strspn(arguments[1], "0123456789")] != 0) {
        printf("simd bits are a number: 1, 128, 256, 512\n");
        return 1;
    }
    if (open_with(&m, count > 1 ? atoi(arguments[1]) : 0) != MOE_OK) {
        printf("%s\n", m.error);
        return 1;
    }
    runner.x = runner.y = FIELD / 3;
    for (i = 0; i < HUNTERS; i++)
        hunter[i].x = hunter[i].y = i * FIELD / HUNTERS;
    for (i = 1; i <= FRAMES; i++) {
        error += frame(&m, &sgd);
        hash = hash_of(&m, hash);
        if (i % 2000 == 0) {
            printf("frame %5d  mean squared error %4ld  hash %08lx%08lx\n", i,
                   (long)(error / 2000), (unsigned long)(hash >> 32),
                   (unsigned long)(hash & 0xffffffffu));
            error = 0;
        }
    }
    moe_close(&m);
    return 0;
}
