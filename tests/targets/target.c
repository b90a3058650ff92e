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

static void check_numbers(void)
{
    volatile moe_real zero = 0, tiny = moei_power_of_2(1 - MOEI_BIAS) / 64;
    moe_real none = MOEI_NAN, inf = MOEI_INFINITY;

    CHECK(is_about(moei_exp(1), (moe_real)2.718281828));
    CHECK(is_about(moei_exp((moe_real)0.34), (moe_real)1.404947591));
    CHECK(is_about(moei_exp(-10), (moe_real)4.539992976e-5));
    CHECK(is_about(moei_exp(zero), 1));
    CHECK(is_about(moei_exp(-2000) + 1, 1) && moei_exp(2000) >= inf);
    CHECK(is_about(moei_log(2), (moe_real)0.6931471806));
    CHECK(is_about(moei_log((moe_real)1e-30), (moe_real)-69.07755279));
    CHECK(moei_log(zero) <= -inf && !(moei_log(-1) < inf));
    CHECK(is_about(moei_log(tiny * 64) - moei_log(tiny),
                   (moe_real)4.158883083) || tiny <= 0);
    CHECK(is_about(moei_tanh((moe_real)0.5), (moe_real)0.4621171573));
    CHECK(is_about(moei_tanh(-30), -1));
    CHECK(is_about(moei_sqrt(2), (moe_real)1.414213562));
    CHECK(is_about(moei_sqrt((moe_real)1e-30), (moe_real)1e-15));
    CHECK(is_about(moei_logistic(zero), (moe_real)0.5));
    CHECK(!(moei_exp(none) <= inf) && !(moei_tanh(none) <= inf));
    CHECK(!moei_is_finite(none) && !moei_is_finite(inf) && moei_is_finite(1));
}

/* ---------------------------------------------------------------- kernels */

enum { PART = 368 };            /* reals of a matrix */
static moe_real *const A = room, *const B = room + PART;
static moe_real *const S = room + 2 * PART, *const C = room + 3 * PART;
static moe_real *const plain = room + 4 * PART;

/* (m,n), row by row or, turned, column by column. */
static moei_view stand(const moe_real *at, int m, int n, int turned)
{
    return turned ? moei_view_of(at, 1, m, m, n) : moei_matrix(at, m, n);
}

static moe_real element(const moei_view *v, int i, int j)
{
    return v->at[(ptrdiff_t)i * v->row + (ptrdiff_t)j * v->col];
}

/* What the plain loops gave, and all else: to the bit if that is promised. */
static int agree(int count)
{
    int i, k = 0;

    for (i = 0; i < count; i++)
        k += SAME_BITS ? moei_to_bits(C[i]) == moei_to_bits(plain[i])
           : near(C[i], plain[i], (moe_real)2e-6 * (1 + size_of(plain[i])));
    return k == count;
}

static void keep_plain(int set, int count)
{
    int i;

    for (i = 0; i < count && set == 0; i++)
        plain[i] = C[i];
}

/* C = max(0, S + A B) against the sum as one writes it down. */
static int product_holds(const moei_view *c, const moei_view *s,
                         const moei_view *a, const moei_view *b)
{
    int i, j, l, right = 0;

    for (i = 0; i < c->m; i++)
        for (j = 0; j < c->n; j++) {
            moe_real sum = element(s, i, j);

            for (l = 0; l < a->n; l++)
                sum += element(a, i, l) * element(b, l, j);
            right += near(element(c, i, j), sum < 0 ? 0 : sum,
                          (moe_real)1e-5);
        }
    return right == c->m * c->n;
}

static void product(int set, moei_view c, moei_view s, moei_view a,
                    moei_view b)
{
    static moe m;

    m.set = set;
    moei_product(&m, MOEI_RELU, c, s, a, b);
}

static void check_product(int set, int m, int k, int n)
{
    int turn;

    for (turn = 0; turn < 8; turn++) {
        moei_view c = stand(C, m, n, turn & 1), s = moei_row(S, n);
        moei_view a = stand(A, m, k, turn >> 1 & 1);
        moei_view b = stand(B, k, n, turn >> 2 & 1);

        random_state = (uint32_t)turn;
        fill(room, 3 * PART);
        if (set > 0) {
            product(0, c, s, a, b);
            keep_plain(0, m * n);
        }
        product(set, c, s, a, b);
        CHECK(product_holds(&c, &s, &a, &b));
        CHECK(set == 0 || agree(m * n));
    }
}

static void run(moei_loop *loop, int op, moei_view y, moei_view a, moei_view b,
                moei_view c)
{
    moei_job job = {op, -1, 0};
    moei_view v[4] = {y, a, b, c};

    loop(&job, v);
}

static moe_real term(moei_reduce_op op, moe_real sum, moe_real a, moe_real b)
{
    return op == MOEI_MAX ? (a > sum ? a : sum) : op == MOEI_SUM ? sum + a
         : op == MOEI_DOT ? sum + a * b : sum + (a - b) * (a - b);
}

static void check_reduce(int set, int m, int n, int turned)
{
    moei_view y = moei_cases(C, m);
    moei_view a = stand(A, m, n, turned), b = stand(B, m, n, turned);
    int op, i, j;

    for (op = MOEI_MAX; op <= MOEI_SQUARE; op++) {
        moei_reduce_op as = (moei_reduce_op)op;

        fill(room, 2 * PART);
        run(moei_set[0]->reduce, op, y, a, b, moei_zero);
        keep_plain(0, m);
        run(moei_set[set]->reduce, op, y, a, b, moei_zero);
        CHECK(agree(m));
        for (i = 0; i < m; i++) {
            moe_real sum = op == MOEI_MAX ? -2 : 0;

            for (j = 0; j < n; j++)
                sum = term(as, sum, element(&a, i, j), element(&b, i, j));
            CHECK(near(C[i], sum, (moe_real)1e-5));
        }
    }
}

/* Every elementwise function; operands between 1/4 and 9/4, for divisors and
   logarithms. */
static void check_map(int set, int m, int n, int turned)
{
    moei_view y = stand(C, m, n, turned), a = stand(A, m, n, turned);
    moei_view b = stand(B, m, n, 0), c = moei_row(S, n);
    int op, i;

    fill(room, 3 * PART);
    for (i = 0; i < 3 * PART; i++)
        room[i] += (moe_real)1.25;
    for (op = MOEI_COPY; op <= MOEI_SILU_SLOPE; op++) {
        run(moei_set[0]->map, op, y, a, b, c);
        keep_plain(0, m * n);
        run(moei_set[set]->map, op, y, a, b, c);
        CHECK(agree(m * n));
    }
    run(moei_set[set]->map, MOEI_MUL_ADD, y, a, b, c);
    CHECK(near(element(&y, m - 1, n - 1), element(&a, m - 1, n - 1)
               * element(&b, m - 1, n - 1) + S[n - 1], (moe_real)1e-6));
}

/* Rows sum to 1, the logarithms are theirs, and no logit is too large. */
static void check_softmax(int set, int m, int n, int turned)
{
    moei_view p = stand(C, m, n, turned), l = stand(B, m, n, turned);
    moei_view x = stand(A, m, n, turned), lse = moei_cases(S, m);
    int i, j;

    fill(A, m * n);
    A[0] = (moe_real)1e30;
    run(moei_set[0]->softmax, 0, p, l, lse, x);
    keep_plain(0, m * n);
    run(moei_set[set]->softmax, 0, p, l, lse, x);
    CHECK(agree(m * n));
    CHECK(near(C[0], 1, (moe_real)1e-6));
    for (i = 0; i < m; i++) {
        moe_real sum = 0;

        for (j = 0; j < n; j++)
            sum += element(&p, i, j);
        CHECK(near(sum, 1, (moe_real)1e-5));
        CHECK(near(moei_exp(element(&l, i, n - 1)), element(&p, i, n - 1),
                   (moe_real)1e-6));
    }
}

/* w in C, g in S, the moments in A and B. */
static void update(int set, int op, int n)
{
    moei_rule rule = {MOEI_SGD, (moe_real)0.5, (moe_real)0.1, (moe_real)0.7,
                      (moe_real)0.01, (moe_real)1.5};
    int i;

    random_state = 7;
    fill(room, 4 * PART);
    for (i = 0; i < n; i++)
        B[i] += 1;
    rule.op = (moei_update_op)op;
    moei_set[set]->update((size_t)n, C, S, A, B, &rule);
    for (i = 0; i < n; i++)
        CHECK(near(S[i], 0, 0));
}

static void check_update(int set, int n)
{
    int op;

    for (op = MOEI_SGD; op <= MOEI_ADAM; op++) {
        update(0, op, n);
        keep_plain(0, n);
        update(set, op, n);
        CHECK(agree(n));
    }
    C[0] = 2;                               /* 2 - .1 (.5 * 3 + .01 * 2) */
    S[0] = 3;
    {
        moei_rule sgd = {MOEI_SGD, (moe_real)0.5, (moe_real)0.1, 0,
                         (moe_real)0.01, 1};
        moei_set[set]->update(1, C, S, NULL, NULL, &sgd);
    }
    CHECK(is_about(C[0], (moe_real)1.848));
}

static void check_kernels(void)
{
    static const unsigned char shape[][3] = {
        {1, 5, 33}, {7, 3, 18}, {17, 9, 5}, {2, 20, 1}, {1, 18, 20}, {9, 1, 40}
    };
    int set, i;

    for (set = 0; set < moei_count_sets(); set++)
        for (i = 0; i < 6; i++) {
            int m = shape[i][0], k = shape[i][1], n = shape[i][2];

            check_product(set, m, k, n);
            check_reduce(set, m, k, i & 1);
            check_map(set, m, n, i & 1);
            check_softmax(set, m, n, i & 1);
            check_update(set, m * n);
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

static moe_config config_of(const problem *p, int rows)
{
    moe_config config;

    moei_wipe(&config, sizeof config);
    config.inputs = INPUTS;
    config.outputs = OUTPUTS;
    config.experts = p->experts;
    config.top_k = p->top_k;
    config.hidden[0] = p->hidden;
    config.gate_hidden[0] = p->gate_hidden;
    config.activation = (moe_activation)p->activation;
    config.output = (moe_output)p->output;
    config.loss = (moe_loss)p->loss;
    config.balance = p->more && p->top_k ? (moe_real)0.1 : 0;
    config.rows = rows;
    config.seed = 7;
    return config;
}

/* Targets between 0 and 1 that sum to 1: legal for every kind of output. */
static moe_data cases(int n)
{
    moe_data data;
    int i;

    moei_wipe(&data, sizeof data);
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
    config.use = MOE_USE_LEARN;
    config.balance = 0;
    if (!open_in_room(&m, &config))
        return;
    random_state = 3;
    data = cases(7);
    fill(m.own, (int)m.trained_count);
    for (i = 0; i < m.trained_count; i += 7) {
        moei_clear(m.grads, m.trained_count);
        moe_gradient(&m, &data);
        claimed = m.grads[i];
        m.own[i] += step;
        up = moe_gradient(&m, &data);
        m.own[i] -= 2 * step;
        down = moe_gradient(&m, &data);
        m.own[i] += step;
        most = size_of(claimed) > most ? size_of(claimed) : most;
        CHECK(near((up - down) / (2 * step), claimed, (moe_real)2e-3));
    }
    CHECK(most > (moe_real)0.05);
}

/* Two laws, one on each side of x_0 = 0, learnt by moe_train. */
static void check_training(moe_real *error, moe_real *predicted)
{
    static const moe_real at[INPUTS] = {(moe_real)0.5, (moe_real)-0.25, 0};
    moe_config config = config_of(&problems[0], 10);
    moe_training training;
    moe_data data;
    moe_report report;
    moe_real y[OUTPUTS];
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
    moei_wipe(&training, sizeof training);
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
    CHECK(m.why != NULL && m.params == NULL);
    for (by = 1; by < 4; by++) {
        unsigned char *off = (unsigned char *)room + by;

        CHECK(moe_open(&m, &config, off, bytes) == due);
        CHECK(moe_attach(&m, &config, (moe_real *)(void *)off, room, bytes)
              == due);
    }
    config.experts = 0;
    CHECK(moe_open(&m, &config, room, bytes) == MOE_ERR_CONFIG);
    CHECK(moe_bytes(&config) == 0);
    config.rows = 1;
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

/* 50 steps of ever other numbers of cases, then 250 predictions. */
static uint64_t hash_of_model(const problem *p, int rows, int simd,
                              uint64_t hash)
{
    moe_config config = config_of(p, rows);
    moe_training t;
    moe_data data;
    moe_real y[10 * OUTPUTS];
    int i;
    moe m;

    config.simd = simd;
    if (!open_in_room(&m, &config))
        return 0;
    moei_wipe(&t, sizeof t);
    t.optimizer = (moe_optimizer)p->optimizer;
    t.momentum = p->more && t.optimizer == MOE_SGD ? (moe_real)0.7 : 0;
    t.weight_decay = p->more ? (moe_real)0.01 : 0;
    t.clip = p->more ? (moe_real)0.3 : 0;
    t.balance_rate = p->more && p->top_k ? (moe_real)0.01 : 0;
    random_state = 1991;
    data = cases(CASES);
    CHECK(moe_measure(&m, &data) == MOE_OK);
    for (i = 0; i < 50; i++) {
        data = cases(1 + i % 7);
        moe_gradient(&m, &data);
        CHECK(moe_step(&m, &t, 1 / (moe_real)data.n) == MOE_OK);
    }
    hash = hash_of(hash, m.own, m.value_count);
    for (i = 0; i < 25; i++) {
        fill(x, 10 * INPUTS);
        moe_predict(&m, x, 10, y);
        hash = hash_of(hash, y, 10 * OUTPUTS);
    }
    return hash;
}

/* Every set of kernels and every number of rows must give it. */
static void hash_all(void)
{
    uint64_t hash = 0xcbf29ce484222325u, next;
    int i, set;

    for (i = 0; i < PROBLEMS; i++) {
        next = hash_of_model(&problems[i], 10, 1, hash);
        for (set = 1; set < moei_count_sets(); set++)
            CHECK(hash_of_model(&problems[i], 4, moei_set[set]->bits, hash)
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
    check_kernels();
    for (output = MOE_OUT_LINEAR; output <= MOE_OUT_SOFTMAX; output++)
        for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++)
            check_gradient(&problems[output], output, loss);
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
