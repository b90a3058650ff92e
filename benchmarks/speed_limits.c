/* speed_limits.c - what one core of this machine can do: multiply-adds per
   second, and bytes read per second from the first, second and third cache.
   Compiled with -ffp-contract=fast, so that a * b + c is one instruction. */

#define _GNU_SOURCE
#include "speed.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KB ((size_t)1024)
#define MAX_SAMPLES 1024
#define FMA_TIMES 8000
#define INTEGER_TIMES 8000

/* Enough accumulators that none waits for its own last result. */
#define EACH_OF_12(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define FMA_FIRST(i) a##i = one * (0.1f * (float)(i));
#define FMA_NEXT(i) a##i = a##i * by + one;
#define FMA_LAST(i) one += a##i;
#define READ_NEXT(i) s##i += v[i];

/* Both loops for vectors of so many bytes. */
#define LOOPS(name, bytes, target)                                          \
    typedef float name##_floats __attribute__((vector_size(bytes)));        \
    typedef uint32_t name##_words                                           \
        __attribute__((vector_size(bytes), may_alias));                     \
    target static float name##_fma(int times)                               \
    {                                                                       \
        name##_floats one = {0}, by, a0, a1, a2, a3, a4, a5, a6, a7, a8,    \
                      a9, a10, a11;                                         \
        one = one + 1.0f;                                                   \
        by = one * 0.5f;                                                    \
        EACH_OF_12(FMA_FIRST)                                               \
        while (times-- > 0) {                                               \
            EACH_OF_12(FMA_NEXT)                                            \
        }                                                                   \
        EACH_OF_12(FMA_LAST)                                                \
        return one[0];                                                      \
    }                                                                       \
    target static uint32_t name##_read(const void *at, size_t size)         \
    {                                                                       \
        const name##_words *v = (const name##_words *)at, *end = v          \
                              + size / sizeof *v;                           \
        name##_words s0 = {0}, s1 = s0, s2 = s0, s3 = s0;                   \
        for (; v < end; v += 4) {                                           \
            READ_NEXT(0) READ_NEXT(1) READ_NEXT(2) READ_NEXT(3)             \
        }                                                                   \
        s0 += s1 + s2 + s3;                                                 \
        return s0[0];                                                       \
    }

#if defined(__x86_64__)
LOOPS(avx512, 64, __attribute__((target("avx512f"))))
LOOPS(avx2, 32, __attribute__((target("avx2,fma"))))
#endif
LOOPS(base, 16, )

/* What a loop did per nanosecond: at best, and since the last limits_usual. */
typedef struct Series { double best, all[MAX_SAMPLES]; int count; } Series;

typedef struct Loops {
    const char *name;
    int lanes;
    float (*fma)(int times);
    uint32_t (*read)(const void *at, size_t size);
    Series adds;
} Loops;

typedef struct Level {
    const char *name;
    size_t size;            /* how much is read                              */
    size_t holds;           /* the size of this cache                        */
    double best;            /* bytes per nanosecond                          */
} Level;

/* Narrow to wide; `widest` is the last one that this processor has. */
static Loops loops[] = {
    {"128-bit vectors", 4, base_fma, base_read, {0, {0}, 0}},
#if defined(__x86_64__)
    {"AVX2", 8, avx2_fma, avx2_read, {0, {0}, 0}},
    {"AVX-512", 16, avx512_fma, avx512_read, {0, {0}, 0}}
#endif
};
static Loops *widest = loops;
static Level levels[] = {
    {"L1", 16 * KB, 32 * KB, 0},
    {"L2", 512 * KB, 1024 * KB, 0},
    {"L3", 8192 * KB, 0, 0}
};
static void *memory;
static Series integers;
static volatile float sink;

static void choose_loops(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        widest = &loops[2];
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        widest = &loops[1];
#endif
}

static void ask_cache_sizes(void)
{
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
    long first = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    long second = sysconf(_SC_LEVEL2_CACHE_SIZE);

    if (first > 0)
        levels[0].holds = (size_t)first;
    if (second > 0)
        levels[1].holds = (size_t)second;
#endif
}

void limits_start(void)
{
    size_t i, words = levels[2].size / sizeof(float);
    float *at;

    choose_loops();
    ask_cache_sizes();
    if (posix_memalign(&memory, 64, levels[2].size) != 0)
        give_up("limits", "out of memory");
    at = (float *)memory;
    for (i = 0; i < words; i++)     /* a page that was never written is no
                                       memory of its own */
        at[i] = (float)i;
    for (i = 0; i < 100; i++)
        limits_sample();
}

static void record(Series *series, double speed)
{
    if (speed > series->best)
        series->best = speed;
    series->all[series->count++ % MAX_SAMPLES] = speed;
}

static void sample_fma(Loops *by)
{
    double start = nanoseconds();

    sink = by->fma(FMA_TIMES);
    record(&by->adds,
           2.0 * 12 * by->lanes * FMA_TIMES / (nanoseconds() - start));
}

/* No limit, but it keeps all of a core busy that multiply-adds leave free, and
   so shows whether somebody else is on it. */
static void sample_integers(void)
{
    uint32_t a = 1, b = 2, c = 3, d = 4;
    double start = nanoseconds();
    int i;

    for (i = 0; i < INTEGER_TIMES; i++) {
        a = (a ^ a >> 7) + 0x9E3779B9u;
        b = (b ^ b >> 7) + 0x9E3779B9u;
        c = (c ^ c >> 7) + 0x9E3779B9u;
        d = (d ^ d >> 7) + 0x9E3779B9u;
    }
    sink = (float)(a ^ b ^ c ^ d);
    record(&integers, 12.0 * INTEGER_TIMES / (nanoseconds() - start));
}

/* About as long for each level; the first pass only brings the bytes there. */
static void sample_read(Level *level)
{
    int pass, passes = level->size >= 8192 * KB ? 1
                     : level->size >= 512 * KB ? 4 : 128;
    double speed, start;

    sink = (float)widest->read(memory, level->size);
    start = nanoseconds();
    for (pass = 0; pass < passes; pass++)
        sink = (float)widest->read(memory, level->size);
    speed = (double)level->size * passes / (nanoseconds() - start);
    if (speed > level->best)
        level->best = speed;
}

/* The third level takes so long that it gets the fewest samples. */
void limits_sample(void)
{
    static int round;

    sample_fma(widest);
    sample_fma(&loops[round % (int)(widest - loops + 1)]);
    sample_integers();
    sample_read(&levels[round % 8 == 0 ? 2 : round % 2]);
    round++;
}

/* Of a mixture's experts, the share that runs for a case. */
static double share_of(const Workload *w)
{
    return w->top_k > 0 ? (double)w->top_k / w->experts : 1;
}

/* Bytes of params that one call must move, and how many it holds at once.
     predict   every weight is read once; of a sparse mixture those that
               random choices can be expected to touch
     step      read forward, read backward (not in the first layer), gradient
               read and written, and in the update gradient and weight read
               and written: 7 or 8 times 4 bytes
     learn     the same without a gradient: weights read forward, backward and
               in the update, and written, of the experts that run           */
static double bytes_moved(const Workload *w, double *held)
{
    double gate = (double)w->gate.in * w->gate.out;
    double first = (double)w->experts * w->layer[0].in * w->layer[0].out
                 + gate;
    double count = (double)w->count;

    *held = sizeof(float) * count * (w->task == STEP ? 2 : 1);
    if (w->task == LEARN)
        return sizeof(float) * (gate + (4 * (count - gate)
                                        - (first - gate)) * share_of(w)
                                + 2 * gate);
    if (w->task == PREDICT)
        count = gate + (count - gate) * (1 - pow(1 - share_of(w), w->rows));
    return sizeof(float) * (w->task == STEP ? 8 * count - first : count);
}

/* Operations per case: 2 in out for each layer; a step does the same again
   for the weights, and for the inputs of all but the first layer. */
static double operations(const Workload *w)
{
    double gate = 2.0 * w->gate.in * w->gate.out, sum = 0;
    int l;

    for (l = 0; l < w->layers; l++)
        sum += 2.0 * share_of(w) * w->experts * w->layer[l].in
             * w->layer[l].out * (!learns(w) ? 1 : l == 0 ? 2 : 3);
    return sum + gate * (learns(w) ? 2 : 1);
}

/* Nanoseconds per byte where so many bytes are gone through again and again:
   each cache is taken to deliver as much of them as it can hold, and the third
   the rest. */
static double time_per_byte(double held)
{
    double from = 0, sum = 0, to;
    int level;

    for (level = 0; level < 3; level++) {
        to = level == 2 || held < (double)levels[level].holds
           ? held : (double)levels[level].holds;
        sum += (to - from) / levels[level].best;
        from = to;
    }
    return sum / held;
}

double limit_of(const Workload *w)
{
    double held, bytes, by_memory, by_fma;
    const Loops *by = widest;

    if (w->task == EXP || w->task == TANH)
        return 0;
    while (w->bits > 0 && by > loops && by->lanes * 32 > w->bits)
        by--;
    if (w->task == PRODUCTS)
        return operations(w) / by->adds.best;
    bytes = bytes_moved(w, &held);
    by_memory = bytes / w->rows * time_per_byte(held);
    by_fma = operations(w) / by->adds.best;
    return by_memory > by_fma ? by_memory : by_fma;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double lower_quartile(Series *series)
{
    const int n = series->count < MAX_SAMPLES ? series->count : MAX_SAMPLES;

    qsort(series->all, (size_t)n, sizeof *series->all, by_value);
    series->count = 0;
    return n > 0 ? series->all[n / 4] : 0;
}

Usual limits_usual(void)
{
    Usual usual;

    usual.adds = lower_quartile(&widest->adds);
    usual.integers = lower_quartile(&integers);
    return usual;
}

int limits_noisy(const Usual *usual)
{
    return usual->adds < 0.9 * widest->adds.best
        || usual->integers < 0.9 * integers.best;
}

void limits_print(const char *before)
{
    const Loops *by;

    printf("%sLimits of this core:", before);
    for (by = widest; by >= loops; by--)
        printf(" %.0f GFLOP/s (%s),", by->adds.best, by->name);
    printf(" read %.0f GB/s from L1, %.0f from L2, %.0f from L3.\n",
           levels[0].best, levels[1].best, levels[2].best);
}
