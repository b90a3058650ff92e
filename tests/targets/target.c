/* target.c - the core checks, for any processor: some 12 KB of RAM, no heap,
   no files, no libm.  tests/targets/run.sh builds and runs it everywhere.

     result E Y   squared error and a prediction of a trained model, 1e-6
     hash H       with MOE_SAME_BITS: parameters after steps, predictions
     N passed, M failed

   With TARGET_BARE the text goes through target_put, one character at a time,
   which the target's start-up code has. */
#include <stddef.h>
#include <stdint.h>

static long passed, failed;

static int check_one(int holds, int line);

#define CHECK(condition) check_one((condition) ? 1 : 0, __LINE__)

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)check_one((e) ? 1 : 0, __LINE__))
#include "../../moe.h"

#ifdef TARGET_BARE
#ifdef __cplusplus
extern "C"
#endif
void target_put(int c);
#else
#include <stdio.h>
static void target_put(int c) { putchar(c); }
#endif

#ifdef MOE_SAME_BITS
#define SAME_BITS 1
#else
#define SAME_BITS 0
#endif

/* With addresses of 32 bits a moe is its configuration and at most 272 bytes,
   and where enumerations are bytes, as on Cortex-M, at most 400. */
typedef char moe_is_small[sizeof(void *) != 4
    || (sizeof(moe) - sizeof(moe_config) <= 272
        && (sizeof(moe_gate) > 1 || sizeof(moe_real) > 4
            || sizeof(moe) <= 400)) ? 1 : -1];

/* ------------------------------------------------------------------- text */

static void put_text(const char *text)
{
    while (*text)
        target_put(*text++);
}

static void put_number(long n)
{
    char digit[24];
    int count = 0;

    if (n < 0)
        target_put('-');
    n = n < 0 ? -n : n;
    do {
        digit[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (count > 0)
        target_put(digit[--count]);
}

static int check_one(int holds, int line)
{
    passed += holds;
    failed += !holds;
    if (!holds && failed <= 20) {
        put_text("target.c:");
        put_number(line);
        put_text(": failed\n");
    }
    return holds;
}

/* ----------------------------------------------- memory and random numbers */

/* Used by every check in turn.  One real more than the 1840 that are asked
   for, to be able to stand wrong. */
#define ROOM 1840
static moe_real room[ROOM + 1];

static uint32_t random_state;

/* Uniform in [-1,1): multiples of 2^-20, the same in all arithmetics. */
static moe_real uniform(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (moe_real)((int32_t)(random_state >> 11) - (int32_t)1048576)
           / 1048576;
}

static void fill(moe_real *at, int count)
{
    while (count-- > 0)
        *at++ = uniform();
}

static moe_real size_of(moe_real x)
{
    return x < 0 ? -x : x;
}

static int near(moe_real a, moe_real b, moe_real bound)
{
    return size_of(a - b) <= bound;
}

/* ---------------------------------------------------------------- numbers */

/* Within two roundings of single precision, in either width. */
static int is_about(moe_real value, moe_real due)
{
    return near(value, due, size_of(due) * (moe_real)3e-7);
}

/* f(x), one of moe_activation or MOEI_EXP */
static moe_real value_of(int f, moe_real x)
{
    moei_sets[0]->apply(f, 1, &x);
    return x;
}

static void check_numbers(void)
{
    volatile moe_real zero = 0;
    volatile moe_real tiny = moei_from_bits((moei_bits)1 << MOEI_FRACTION) / 64;
    moe_real none = MOEI_NAN, inf = MOEI_INFINITY;

    CHECK(is_about(value_of(MOEI_EXP, 1), (moe_real)2.718281828));
    CHECK(is_about(value_of(MOEI_EXP, (moe_real)0.34), (moe_real)1.404947591));
    CHECK(is_about(value_of(MOEI_EXP, -10), (moe_real)4.539992976e-5));
    CHECK(is_about(value_of(MOEI_EXP, zero), 1));
    CHECK(is_about(value_of(MOEI_EXP, -2000) + 1, 1));
    CHECK(value_of(MOEI_EXP, 2000) >= inf);
    CHECK(is_about(moei_log(2), (moe_real)0.6931471806));
    CHECK(is_about(moei_log((moe_real)1e-30), (moe_real)-69.07755279));
    CHECK(moei_log(zero) <= -inf && !(moei_log(-1) < inf));
    CHECK(is_about(moei_log(tiny * 64) - moei_log(tiny),
                   (moe_real)4.158883083) || tiny <= 0);
    CHECK(is_about(value_of(MOE_ACT_TANH, (moe_real)0.5),
                   (moe_real)0.4621171573));
    CHECK(is_about(value_of(MOE_ACT_TANH, -30), -1));
    CHECK(is_about(moei_sqrt(2), (moe_real)1.414213562));
    CHECK(is_about(moei_sqrt((moe_real)1e-30), (moe_real)1e-15));
    CHECK(is_about(value_of(MOE_ACT_LOGISTIC, zero), (moe_real)0.5));
    CHECK(!(value_of(MOEI_EXP, none) <= inf));
    CHECK(!(value_of(MOE_ACT_TANH, none) <= inf));
    CHECK(!moei_is_finite(none) && !moei_is_finite(inf) && moei_is_finite(1));
}

/* ------------------------------------------------------------------ loops */

enum { PART = 460 };            /* reals of an operand */
static moe_real *const A = room, *const B = room + PART;
static moe_real *const C = room + 2 * PART, *const plain = room + 3 * PART;
static moe_real scratch[MOEI_PANEL > 1 ? 400 : 33];

/* What the plain loops gave, and all else: to the bit if that is promised. */
static int agree(int count)
{
    int i, k = 0;

    for (i = 0; i < count; i++)
        k += SAME_BITS ? moei_to_bits(C[i]) == moei_to_bits(plain[i])
           : near(C[i], plain[i], (moe_real)2e-6 * (1 + size_of(plain[i])));
    return k == count;
}

/* sum_i a_i b_i, whose terms stand so far apart */
static moe_real sum_of(int count, const moe_real *a, int a_by,
                       const moe_real *b, int b_by)
{
    moe_real sum = 0;
    int i;

    for (i = 0; i < count; i++)
        sum += a[i * a_by] * b[i * b_by];
    return sum;
}

/* y (out,N) of x (in,N) in B; biases, then weights (in,out), in A.  The plain
   loops take one case at a time. */
static void check_forward(const moei_loops *loops, int N, int in, int out)
{
    moe_real one[40] = {0}, y[40] = {0};    /* MSan sees no masked stores */
    int i, j, c, right = 0;

    fill(room, 2 * PART);
    loops->forward(N, N, in, out, B, A, A + out, 1, C);
    for (c = 0; c < N; c++) {
        for (i = 0; i < in; i++)
            one[i] = B[i * N + c];
        moei_sets[0]->forward(1, 1, in, out, one, A, A + out, 1, y);
        for (j = 0; j < out; j++) {
            moe_real sum = A[j] + sum_of(in, one, 1, A + out + j, out);

            plain[j * N + c] = y[j];
            right += near(y[j], sum < 0 ? 0 : sum, (moe_real)1e-5);
        }
    }
    CHECK(right == out * N);
    CHECK(agree(out * N));
}

/* dx (in,N) of dy (out,N) in B; then dW (in,out) and db, of x behind dy. */
static void check_backward(const moei_loops *loops, int N, int in, int out)
{
    const moe_real *dy = B, *x_of = B + out * N;
    moe_real *db = plain;
    int i, j, c, right = 0;

    fill(room, 2 * PART);
    loops->inputs(N, N, in, out, dy, A, C);
    for (i = 0; i < in; i++)
        for (c = 0; c < N; c++)
            right += near(C[i * N + c], sum_of(out, A + i * out, 1, dy + c, N),
                          (moe_real)1e-5);
    CHECK(right == in * N);
    moei_zero(db, out);
    moei_zero(C, (in * out));
    loops->weights(N, N, in, out, x_of, dy, db, C, scratch);
    for (right = 0, j = 0; j < out; j++) {
        moe_real sum = 0;

        for (c = 0; c < N; c++)
            sum += dy[j * N + c];
        right += near(db[j], sum, (moe_real)1e-5);
        for (i = 0; i < in; i++)
            right += near(C[i * out + j], sum_of(N, x_of + i * N, 1,
                          dy + j * N, 1), (moe_real)1e-5);
    }
    CHECK(right == (in + 1) * out);
}

/* dW += scale x dy', db += scale dy of one case, straight into the weights. */
static void check_outer(const moei_loops *loops, int in, int out)
{
    int i, right = 0;

    fill(room, 3 * PART);
    for (i = 0; i < in * out; i++)
        plain[i] = C[i] + B[i / out] * A[i % out] / 4;
    moei_zero(scratch, out);
    loops->outer(in, out, B, A, (moe_real)0.25, scratch, C);
    for (i = 0; i < in * out; i++)
        right += near(C[i], plain[i], (moe_real)1e-6);
    for (i = 0; i < out; i++)
        right += near(scratch[i], A[i] / 4, (moe_real)1e-6);
    CHECK(right == (in + 1) * out);
}

/* Every function, of arguments between 1/4 and 9/4, and every slope. */
static void check_apply(const moei_loops *loops, int count)
{
    int f, i;

    fill(room, 2 * PART);
    for (i = 0; i < count; i++)
        A[i] += (moe_real)1.25;
    for (f = MOE_ACT_RELU; f <= MOEI_LOG; f++) {
        moei_copy(C, A, count);
        moei_copy(plain, A, count);
        loops->apply(f, count, C);
        moei_sets[0]->apply(f, count, plain);
        CHECK(agree(count));
        if (f > MOE_ACT_SILU)
            continue;
        moei_copy(C, B, count);
        moei_copy(plain, B, count);
        loops->slope(f, count, A, C);
        moei_sets[0]->slope(f, count, A, plain);
        CHECK(agree(count));
    }
}

/* p in C and log p in A; each case sums to 1, and no logit is too large. */
static void check_softmax(const moei_loops *loops, int N, int rows)
{
    moe_real one[40] = {0}, p[40], lse[64];
    int i, c, right = 0;

    fill(B, PART);
    B[0] = (moe_real)1e30;
    loops->softmax(N, N, rows, B, C, A, lse);
    for (c = 0; c < N; c++) {
        moe_real sum = 0;

        for (i = 0; i < rows; i++)
            one[i] = B[i * N + c];
        moei_sets[0]->softmax(1, 1, rows, one, p, NULL, lse);
        for (i = 0; i < rows; i++) {
            plain[i * N + c] = p[i];
            sum += p[i];
        }
        right += near(sum, 1, (moe_real)1e-5)
              && near(value_of(MOEI_EXP, A[(rows - 1) * N + c]), p[rows - 1],
                      (moe_real)1e-6);
    }
    CHECK(agree(rows * N));
    CHECK(right == N);
    CHECK(near(C[0], 1, (moe_real)1e-6));
}

/* w at w, g behind the moments in A and B */
static void update(const moei_loops *loops, int moments, int n, moe_real *w)
{
    moei_rule rule = {0, (moe_real)0.5, (moe_real)0.1, (moe_real)0.7,
                      (moe_real)0.01, (moe_real)1.5};
    int i;

    random_state = 7;
    fill(room, 2 * PART);
    fill(w, n);
    for (i = 0; i < n; i++)
        B[i] += 1;
    rule.moments = moments;
    loops->update(&rule, (size_t)n, w, A + n, moments > 0 ? A : NULL,
                  moments > 1 ? B : NULL);
}

static void check_update(const moei_loops *loops, int n)
{
    const moei_rule sgd = {0, (moe_real)0.5, (moe_real)0.1, 0, (moe_real)0.01,
                           1};
    int moments;

    for (moments = 0; moments <= 2; moments++) {
        update(moei_sets[0], moments, n, plain);
        update(loops, moments, n, C);
        CHECK(agree(n));
    }
    C[0] = 2;                               /* 2 - .1 (.5 * 3 + .01 * 2) */
    A[0] = 3;
    loops->update(&sgd, 1, C, A, NULL, NULL);
    CHECK(is_about(C[0], (moe_real)1.848));
}

static void check_loops(void)
{
    static const unsigned char shape[][3] = {           /* N, in, out */
        {1, 5, 33}, {1, 20, 7}, {16, 9, 5}, {32, 3, 5}, {16, 18, 9}, {16, 2, 20}
    };
    int set, i;

    for (set = 0; set <= moei_find_set(0); set++)
        for (i = 0; i < 6; i++) {
            const moei_loops *loops = moei_sets[set];
            int N = loops->bits > 1 ? shape[i][0] : 1;
            int in = shape[i][1], out = shape[i][2];

            random_state = (uint32_t)i;
            check_forward(loops, N, in, out);
            check_backward(loops, N, in, out);
            check_outer(loops, in, out);
            check_apply(loops, in * out);
            check_softmax(loops, N, out);
            check_update(loops, in * out);
        }
}

/* ----------------------------------------------------------------- models */

enum { INPUTS = 3, OUTPUTS = 2, CASES = 20 };
static moe_real x[CASES * INPUTS], d[CASES * OUTPUTS];

typedef struct problem {
    unsigned char experts, top_k, hidden, gate_hidden;
    unsigned char activation, output, loss, optimizer;
    unsigned char more;         /* momentum or clipping, decay, balance */
} problem;

static const problem problems[] = {
    {3, 0, 5, 0, MOE_ACT_RELU, MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, MOE_ADAM, 0},
    {2, 0, 4, 3, MOE_ACT_TANH, MOE_OUT_LOGISTIC, MOE_LOSS_EXPECTED, MOE_SGD,
     1},
    {3, 0, 3, 0, MOE_ACT_SILU, MOE_OUT_SOFTMAX, MOE_LOSS_BLEND, MOE_ADAM, 1},
    {4, 2, 3, 0, MOE_ACT_ELU, MOE_OUT_LINEAR, MOE_LOSS_MIXTURE, MOE_ADAM, 1}
};
enum { PROBLEMS = sizeof problems / sizeof *problems };

static moe_config config_of(const problem *p, int block)
{
    moe_config config;

    moei_zero_bytes(&config, sizeof config);
    config.inputs = INPUTS;
    config.outputs = OUTPUTS;
    config.experts = p->experts;
    config.top_k = p->top_k;
    config.hidden[0] = p->hidden;
    config.gate_hidden[0] = p->gate_hidden;
    config.activation = (moe_activation)p->activation;
    config.output = (moe_output)p->output;
    config.loss = (moe_loss)p->loss;
    config.balance_loss = p->more && p->top_k ? (moe_real)0.1 : 0;
    config.block = block;
    config.seed = 7;
    return config;
}

/* Targets between 0 and 1 that sum to 1: legal for every kind of output. */
static moe_data cases(int n)
{
    moe_data data;
    int i;

    moei_zero_bytes(&data, sizeof data);
    fill(x, n * INPUTS);
    for (i = 0; i < n; i++) {
        d[OUTPUTS * i] = uniform() < 0 ? (moe_real)0.25 : 1;
        d[OUTPUTS * i + 1] = 1 - d[OUTPUTS * i];
    }
    data.n = n;
    data.x = x;
    data.d = d;
    return data;
}

static int open_in_room(moe *m, const moe_config *config)
{
    return CHECK(moe_bytes(config) <= ROOM * sizeof(moe_real))
        && CHECK(moe_open(m, config, room, moe_bytes(config)) == MOE_OK);
}

/* Every seventh derivative by a central difference. */
static void check_gradient(const problem *p, int output, int loss)
{
    const moe_real step = (moe_real)0.015625;
    moe_config config = config_of(p, 4);
    moe_data data;
    moe_real most = 0, claimed, up, down;
    size_t i;
    moe m;

    config.output = (moe_output)output;
    config.loss = (moe_loss)loss;
    config.activation = MOE_ACT_TANH;
    config.mode = MOE_MODE_GRADIENT;
    config.balance_loss = 0;
    if (!open_in_room(&m, &config))
        return;
    random_state = 3;
    data = cases(7);
    fill(m.weights, (int)m.trained_count);
    for (i = 0; i < m.trained_count; i += 7) {
        CHECK(moe_step(&m, NULL, 0) == MOE_OK);     /* grads = 0 */
        moe_gradient(&m, &data);
        claimed = m.grads[i];
        m.weights[i] += step;
        up = moe_gradient(&m, &data);
        m.weights[i] -= 2 * step;
        down = moe_gradient(&m, &data);
        m.weights[i] += step;
        most = size_of(claimed) > most ? size_of(claimed) : most;
        CHECK(near((up - down) / (2 * step), claimed, (moe_real)2e-3));
    }
    CHECK(most > (moe_real)0.05);
}

/* Learning one case is a step of its gradient. */
static void check_learning(const problem *p)
{
    moe_config config = config_of(p, 1);
    moe_real *const stepped = room + ROOM - PART;
    moe_training t;
    moe_data data;
    size_t i, right = 0;
    int learns;
    moe m;

    moei_zero_bytes(&t, sizeof t);
    t.optimizer = MOE_SGD;
    t.rate = (moe_real)0.125;
    config.balance_loss = 0;
    for (learns = 0; learns <= 1; learns++) {
        config.mode = learns ? MOE_MODE_LEARN : MOE_MODE_GRADIENT;
        if (!open_in_room(&m, &config))
            return;
        random_state = 5;
        data = cases(1);
        fill(m.weights, (int)m.trained_count);
        if (learns) {
            CHECK(moe_learn(&m, &data, &t) == 0);
        } else {
            moe_gradient(&m, &data);
            CHECK(moe_step(&m, &t, 1) == MOE_OK);
            CHECK(moe_bytes(&config) <= (ROOM - PART) * sizeof(moe_real));
            moei_copy(stepped, m.weights, (ptrdiff_t)m.trained_count);
        }
    }
    for (i = 0; i < m.trained_count; i++)
        right += (size_t)near(m.weights[i], stepped[i], (moe_real)2e-6);
    CHECK(right == m.trained_count);
}

/* Two laws, one on each side of x_0 = 0, learnt by moe_train. */
static void check_training(moe_real *error, moe_real *predicted)
{
    static const moe_real at[INPUTS] = {(moe_real)0.5, (moe_real)-0.25, 0};
    moe_config config = config_of(&problems[0], 10);
    moe_training training;
    moe_data data;
    moe_report report;
    moe_real y[OUTPUTS] = {0};
    int i;
    moe m;

    if (!open_in_room(&m, &config))
        return;
    random_state = 11;
    data = cases(CASES);
    for (i = 0; i < CASES; i++) {
        d[2 * i] = x[3 * i] < 0 ? x[3 * i + 1] : -x[3 * i + 1];
        d[2 * i + 1] = x[3 * i] + 2;
    }
    moei_zero_bytes(&training, sizeof training);
    training.epochs = 60;
    training.batch = 5;
    CHECK(moe_train(&m, &data, NULL, &training, &report) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &report) == MOE_OK);
    CHECK(report.squared_error < (moe_real)0.05);
    moe_predict(&m, at, 1, y);
    *error = report.squared_error;
    *predicted = y[0];
}

/* --------------------------------------------------------------- refusals */

static void check_refusals(void)
{
    moe_config config = config_of(&problems[0], 4);
    size_t bytes = moe_bytes(&config);
    moe_status due = MOE_ERR_MEMORY;
    int by;
    moe m;

#ifdef __AVR__                  /* any address is right for a real there */
    due = MOE_OK;
#endif
    CHECK(moe_open(&m, &config, room, bytes - 1) == MOE_ERR_MEMORY);
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_ERR_MEMORY);
    CHECK(m.error != NULL && m.params == NULL);
    for (by = 1; by < 4; by++) {
        unsigned char *off = (unsigned char *)room + by;

        CHECK(moe_open(&m, &config, off, bytes) == due);
        CHECK(moe_attach(&m, &config, (moe_real *)(void *)off, room, bytes)
              == due);
    }
    config.experts = 0;
    CHECK(moe_open(&m, &config, room, bytes) == MOE_ERR_CONFIG);
    CHECK(moe_bytes(&config) == 0);
    config.block = 1;
    config.hidden[0] = 0;
    config.inputs = config.outputs = sizeof bytes < 4 ? 256 : 32767;
    for (by = 1; by < 20; by++) {           /* nothing wraps round */
        config.experts = by;
        bytes = moe_bytes(&config);
        CHECK(bytes == 0 || bytes / sizeof(moe_real) / 32767 / 32767
                                >= (size_t)by);
    }
}

/* The register that says, among other things, whether results below the normal
   numbers become 0: its bits, where that is known. */
#ifdef TARGET_NO_FLUSH
#elif defined(__ARM_FP) && defined(__arm__)
typedef uint32_t control;
#define READ_CONTROL(bits) __asm__ volatile("vmrs %0, fpscr" : "=r"(bits))
#define WRITE_CONTROL(bits) __asm__ volatile("vmsr fpscr, %0" : : "r"(bits))
#define FLUSH ((control)1 << 24)
#elif defined(__aarch64__)
typedef uint64_t control;
#define READ_CONTROL(bits) __asm__ volatile("mrs %0, fpcr" : "=r"(bits))
#define WRITE_CONTROL(bits) __asm__ volatile("msr fpcr, %0" : : "r"(bits))
#define FLUSH ((control)1 << 24)
#elif defined(__SSE2__) && defined(__GNUC__)
typedef uint32_t control;
#define READ_CONTROL(bits) __asm__ volatile("stmxcsr %0" : "=m"(bits))
#define WRITE_CONTROL(bits) __asm__ volatile("ldmxcsr %0" : : "m"(bits))
#define FLUSH ((control)0x8040)
#endif

/* MOE_SAME_BITS cannot hold then, and moe_open says so. */
static void check_flush(void)
{
#ifdef FLUSH
    moe_config config = config_of(&problems[0], 4);
    moe_status status;
    control usual = 0, flushing;
    moe m;

    READ_CONTROL(usual);
    flushing = usual | FLUSH;
    WRITE_CONTROL(flushing);
    status = moe_open(&m, &config, room, ROOM * sizeof *room);
    WRITE_CONTROL(usual);
    CHECK(status == (SAME_BITS ? MOE_ERR_STATE : MOE_OK));
#endif
}

/* ------------------------------------------------------------------- hash */

#if SAME_BITS
static void put_hash(uint64_t hash)
{
    int i;

    for (i = 60; i >= 0; i -= 4)
        target_put("0123456789abcdef"[(int)(hash >> i & 15)]);
}

/* FNV-1a over the bytes of reals, the lowest first on every machine. */
static uint64_t hash_of(uint64_t hash, const moe_real *values, size_t count)
{
    size_t i, k;

    for (i = 0; i < count; i++)
        for (k = 0; k < sizeof *values; k++)
            hash = (hash ^ (moei_to_bits(values[i]) >> 8 * k & 0xff))
                 * 0x100000001b3u;
    return hash;
}

/* 50 steps of ever other numbers of cases, 20 cases learnt one by one, then 250
   predictions. */
static uint64_t hash_of_model(const problem *p, int block, int simd,
                              uint64_t hash)
{
    moe_config config = config_of(p, block);
    moe_training t;
    moe_data data;
    moe_real y[10 * OUTPUTS] = {0};     /* MSan cannot see masked stores */
    int i;
    moe m;

    config.simd = simd;
    if (!open_in_room(&m, &config))
        return 0;
    moei_zero_bytes(&t, sizeof t);
    t.optimizer = (moe_optimizer)p->optimizer;
    t.momentum = p->more && t.optimizer == MOE_SGD ? (moe_real)0.7 : 0;
    t.weight_decay = p->more ? (moe_real)0.01 : 0;
    t.clip = p->more ? (moe_real)0.3 : 0;
    t.balance_rate = p->more && p->top_k ? (moe_real)0.01 : 0;
    random_state = 1991;
    data = cases(CASES);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    for (i = 0; i < 50; i++) {
        data = cases(1 + i % 7);
        moe_gradient(&m, &data);
        CHECK(moe_step(&m, &t, 1 / (moe_real)data.n) == MOE_OK);
    }
    data = cases(CASES);
    CHECK(moe_learn(&m, &data, &t) == 0);
    hash = hash_of(hash, m.weights, m.param_count);
    for (i = 0; i < 25; i++) {
        fill(x, 10 * INPUTS);
        moe_predict(&m, x, 10, y);
        hash = hash_of(hash, y, 10 * OUTPUTS);
    }
    return hash;
}

/* Every set of loops and every block must give it. */
static void hash_all(void)
{
    uint64_t hash = 0xcbf29ce484222325u, next;
    int i, set;

    for (i = 0; i < PROBLEMS; i++) {
        next = hash_of_model(&problems[i], 1, 1, hash);
        for (set = 1; set <= moei_find_set(0); set++)
            CHECK(hash_of_model(&problems[i], 4, moei_sets[set]->bits, hash)
                  == next);
        hash = next;
    }
    CHECK(hash_of_model(&problems[0], 3, 1, 1)
          == hash_of_model(&problems[0], 8, 1, 1));
    put_text("hash ");
    put_hash(hash);
    put_text("\n");
}
#endif

int main(void)
{
    moe_real error = 0, predicted = 0;
    int output, loss;

    check_numbers();
    check_loops();
    for (output = MOE_OUT_LINEAR; output <= MOE_OUT_SOFTMAX; output++)
        for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++)
            check_gradient(&problems[output], output, loss);
    for (output = 0; output < PROBLEMS; output++)
        check_learning(&problems[output]);
    check_training(&error, &predicted);
    check_refusals();
    check_flush();
    put_text("result ");
    put_number((long)(error * 1000000));
    put_text(" ");
    put_number((long)(predicted * 1000000));
    put_text("\n");
#if SAME_BITS
    hash_all();
#endif
    put_number(passed);
    put_text(" passed, ");
    put_number(failed);
    put_text(" failed\n");
    return failed != 0;
}
