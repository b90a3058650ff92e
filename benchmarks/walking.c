/* walking.c - two tasks as a game's, in which the phase of a walk is hidden.

     walking [SEEDS]

   phase: cues of four legs, whose amplitudes differ, tell the phase of a
   network with one hidden layer, all of whose weights go round with it (cyclic
   Catmull-Rom between four sets: Holden, Komura & Saito 2017); what it makes of
   7 other numbers is to be learnt.
   feet: where the feet of a four-legged character go next, given where they
   are, what the player asks for and how high the ground is.  How fast it walked
   up to now is hidden, too.  A foot on the ground stays there, a lifted one
   makes for where it is to land, the sooner the less is left of its step.

   Blended weights, blended outputs of the same experts and gate, and one wider
   network that takes as long for one character learn from the same frames with
   the same settings.  The error is the share of the variance that is not told,
   on frames that nobody learnt from.                                        */
#include "clock.h"
#define MOE_IMPLEMENTATION
#include "../moe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LEGS = 4, CUES = 3 * LEGS, INPUTS = CUES + 7, OUTPUTS = 3 * LEGS + 1,
       LEARN = 4000, TEST = 4000, WAYS = 3, EXPERTS = 4, UNITS = 32 };

static float x[(LEARN + TEST) * INPUTS], d[(LEARN + TEST) * OUTPUTS];
static const char *const name[WAYS] = {"blended weights", "blended outputs",
                                       "one network"};

static float uniform(uint64_t *state)           /* in [0,1), by splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)((z ^ z >> 31) >> 40) / 16777216;
}

static float wrap(float phase)
{
    return phase - floorf(phase);
}

/* The phase's weights at k of four sets and t beyond: the cyclic spline. */
static float spline(const float *set, size_t size, int k, float t)
{
    const float a = set[(size_t)(k + 3) % 4 * size], b = set[(size_t)k * size];
    const float c = set[(size_t)(k + 1) % 4 * size];
    const float e = set[(size_t)(k + 2) % 4 * size];

    return b + t * (0.5f * (c - a) + t * (a - 2.5f * b + 2 * c - 0.5f * e
                                          + t * (1.5f * (b - c)
                                                 + 0.5f * (e - a))));
}

/* A frame: cues, then the numbers; their network's y. */
static void make_phase(uint64_t *state, float *from, float *to)
{
    enum { IN = INPUTS - CUES, HID = 8, ALL = (IN + OUTPUTS) * HID };
    static float set[4 * ALL];
    const float phase = uniform(state), speed = 0.5f + uniform(state);
    const int k = (int)(4 * phase);
    float unit[HID];
    int i, j;

    for (i = 0; i < 4 * ALL && set[4 * ALL - 1] == 0; i++)
        set[i] = 2 * uniform(state) - 1;
    for (i = 0; i < CUES; i++) {
        from[i] = speed * sinf(6.2831853f * (phase + (float)i / LEGS)
                               * (float)(1 + i / LEGS));
        from[i] = i < LEGS && from[i] < 0 ? 0 : from[i];
    }
    for (i = CUES; i < INPUTS; i++)
        from[i] = 2 * uniform(state) - 1;
    for (j = 0; j < HID; j++)
        for (unit[j] = 0, i = 0; i < IN; i++)
            unit[j] += from[CUES + i] * spline(set + i * HID + j, ALL, k,
                                               4 * phase - (float)k);
    for (i = 0; i < OUTPUTS; i++)
        for (to[i] = 0, j = 0; j < HID; j++)
            to[i] += tanhf(unit[j]) * spline(set + (IN + i) * HID + j, ALL, k,
                                             4 * phase - (float)k);
}

/* Ahead of where the foot rests, in strides: a foot is on the ground in the
   first 5/8 of its phase, and then swings. */
static const float on_ground = 0.625f;

static float stride(float phase)
{
    const float t = (phase - on_ground) / (1 - on_ground);

    return phase < on_ground ? 0.5f - phase / on_ground
                             : t * t * (3 - 2 * t) - 0.5f;
}

static float lift(float phase)
{
    const float t = (phase - on_ground) / (1 - on_ground);

    return phase < on_ground ? 0 : sinf(3.14159265f * t);
}

/* A frame, and what moves until the next one: before it the character walked
   as `was` says, from now on as the player asks: forward, sideways, turning. */
static void make_feet(uint64_t *state, float *from, float *to)
{
    static const float offset[LEGS] = {0, 0.5f, 0.75f, 0.25f};
    static const float rest[LEGS][2] = {{1, .5f}, {1, -.5f}, {-1, .5f},
                                        {-1, -.5f}};
    const float phase = uniform(state), step = 1.0f / 16;
    float was[3], asked[3], speed, next;
    int l, k;

    for (k = 0; k < 3; k++) {
        was[k] = 2 * uniform(state) - 1;
        asked[k] = was[k] + 0.6f * (2 * uniform(state) - 1);
        from[3 * LEGS + k] = asked[k];
    }
    speed = sqrtf(asked[0] * asked[0] + asked[1] * asked[1]);
    next = step * (0.5f + speed);
    for (l = 0; l < LEGS; l++) {
        const float now = wrap(phase + offset[l]), then = wrap(now + next);
        const float left = then < now ? 0 : (1 - then) / (1 - now);
        const float ground = 0.3f * (uniform(state) - 0.5f);
        float *foot = from + 3 * l, *move = to + 3 * l;

        from[3 * LEGS + 3 + l] = ground;
        for (k = 0; k < 2; k++) {
            const float side = k ? rest[l][0] : -rest[l][1];
            const float before = was[k] + was[2] * side;
            const float after = asked[k] + asked[2] * side;

            foot[k] = before * stride(now);
            move[k] = now < on_ground ? -after * next / on_ground
                    : (0.5f * after - foot[k]) * (1 - left);
        }
        foot[2] = ground + 0.5f * lift(now);
        move[2] = 0.5f * (lift(then) - lift(now)) * (1 + 0.5f * speed);
    }
    to[3 * LEGS] = 0.2f * speed * sinf(12.5663706f * (phase + next));
}

static moe_config config_of(int way, int wide, unsigned seed)
{
    moe_config c;

    memset(&c, 0, sizeof c);
    c.inputs = INPUTS;
    c.outputs = OUTPUTS;
    c.experts = way < 2 ? EXPERTS : 1;
    c.hidden[0] = c.hidden[1] = way < 2 ? UNITS : wide;
    c.gate_hidden[0] = 32;
    c.gate_inputs.count = CUES;             /* or the feet */
    c.activation = MOE_ACT_ELU;
    c.loss = MOE_LOSS_BLEND;
    c.blend = way == 0 ? MOE_BLEND_WEIGHTS : MOE_BLEND_OUTPUTS;
    c.seed = seed;
    return c;
}

static void give_up(const moe *m)
{
    fprintf(stderr, "walking: %s\n", m->error);
    exit(2);
}

/* Nanoseconds for one character: the shortest of some passes. */
static double time_of(moe *m)
{
    double least = 1e30;
    float y[OUTPUTS];
    int pass, i;

    for (pass = 0; pass < 50; pass++) {
        const double start = nanoseconds();

        for (i = 0; i < 100; i++)
            moe_predict(m, x + i * INPUTS, 1, y);
        least = fmin(least, (nanoseconds() - start) / 100);
    }
    return least;
}

/* The width at which one network takes as long as blended weights do. */
static int width_of(double time)
{
    int wide = UNITS;
    double took = 0;
    moe m;

    while (took < time && wide < 512) {
        const moe_config c = config_of(2, wide += 8, 1);

        if (moe_open(&m, &c, NULL, 0) != MOE_OK)
            give_up(&m);
        took = time_of(&m);
        moe_close(&m);
    }
    return wide;
}

/* The share of the variance that is not told. */
static double error_of(moe *m)
{
    static float y[TEST * OUTPUTS];
    double off = 0, all = 0, mean;
    int i, k;

    moe_predict(m, x + LEARN * INPUTS, TEST, y);
    for (k = 0; k < OUTPUTS; k++) {
        const float *due = d + LEARN * OUTPUTS + k;

        for (mean = 0, i = 0; i < TEST; i++)
            mean += (double)due[i * OUTPUTS] / TEST;
        for (i = 0; i < TEST; i++) {
            const double gap = (double)(y[i * OUTPUTS + k] - due[i * OUTPUTS]);

            off += gap * gap;
            all += ((double)due[i * OUTPUTS] - mean)
                 * ((double)due[i * OUTPUTS] - mean);
        }
    }
    return off / all;
}

/* 1: blended weights are best. */
static int try_task(const char *task, int feet, int seeds)
{
    double sum[WAYS] = {0}, square[WAYS] = {0}, time[WAYS] = {0};
    moe_data learn = {LEARN, x, d, NULL, NULL};
    int way, seed, wide = 0, i;
    uint64_t state = 2018;

    for (i = 0; i < LEARN + TEST; i++)
        (feet ? make_feet : make_phase)(&state, x + i * INPUTS,
                                        d + i * OUTPUTS);
    for (seed = 1; seed <= seeds; seed++)
        for (way = 0; way < WAYS; way++) {
            const moe_config c = config_of(way, wide, (unsigned)seed);
            moe_training t = {0};
            double error;
            moe m;

            t.epochs = 200;
            if (moe_open(&m, &c, NULL, 0) != MOE_OK
                || moe_train(&m, &learn, NULL, &t, NULL) != MOE_OK)
                give_up(&m);
            error = error_of(&m);
            sum[way] += error;
            square[way] += error * error;
            time[way] = time_of(&m);
            if (wide == 0)
                wide = width_of(time[0]);
            moe_close(&m);
        }
    for (way = 0; way < WAYS; way++) {
        const double mean = sum[way] / seeds;
        const double variance = square[way] / seeds - mean * mean;

        printf("%-6s %-16s %4d units %8.2f (%.2f) %8.0f\n", task, name[way],
               way < 2 ? UNITS : wide, 100 * mean,
               100 * sqrt(fmax(variance, 0)), time[way]);
    }
    return sum[0] < sum[1] && sum[0] < sum[2];
}

int main(int count, char **word)
{
    const int seeds = count > 1 ? atoi(word[1]) : 5;
    int best;

    printf("%d experts of %d-%d-%d-%d            error, %%            ns\n",
           EXPERTS, INPUTS, UNITS, UNITS, OUTPUTS);
    best = try_task("phase", 0, seeds);
    (void)try_task("feet", 1, seeds);
    return !best;
}
