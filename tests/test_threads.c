/* test_threads.c - one set of const weights, many moes: each thread attaches
   its own work memory to them and gets the bits that one thread alone gets,
   and a moe whose params are pointed at other weights computes with those.
   The tests' hooks count for one thread alone, so the memory is libc's. */
#include "models.h"
#include <pthread.h>

enum { INPUTS = 5, OUTPUTS = 3, EXPERTS = 4, CASES = 300, THREADS = 4,
       REPEATS = 20, BRAINS = 3, MAX_VALUES = 1024 };

typedef struct job {
    const moe_config *config;
    const moe_real *params;
    moe_real y[CASES * OUTPUTS];
    moe_status status;
    int differing;               /* repeats that gave other bits than the
                                    first did                                */
} job;

static moe_real x[CASES * INPUTS];
static job jobs[THREADS];

static moe_config shared_config(void)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = INPUTS;
    config.outputs = OUTPUTS;
    config.experts = EXPERTS;
    config.hidden[0] = 7;
    config.gate_hidden[0] = 6;
    config.activation = MOE_ACT_TANH;
    config.block = 16;
    return config;
}

static void fill_inputs(void)
{
    int i;

    for (i = 0; i < CASES * INPUTS; i++)
        x[i] = (moe_real)((i * 7919) % 2001 - 1000) / 500;
}

/* Weights of a moe whose gate has left its even start. */
static size_t make_weights(uint64_t seed, moe_real *weights)
{
    moe_config config = shared_config();
    moe m;
    size_t i, count;

    config.seed = seed;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return 0;
    count = m.param_count;
    if (!CHECK(count <= MAX_VALUES))
        count = 0;
    for (i = 0; i < count; i++)
        weights[i] = m.params[i];
    for (i = 0; i < count && i < m.trained_count; i++)
        weights[i] += (moe_real)((int)((i * 31 + seed) % 17) - 8) / 20;
    moe_close(&m);
    return count;
}

static void *work(void *argument)
{
    job *mine = (job *)argument;
    moe_real again[CASES * OUTPUTS];
    size_t bytes = moe_work_bytes(mine->config);
    void *memory = malloc(bytes);
    moe m;
    int i;

    mine->status = memory == NULL ? MOE_ERR_MEMORY
        : moe_attach(&m, mine->config, mine->params, memory, bytes);
    if (mine->status != MOE_OK) {
        free(memory);
        return NULL;
    }
    moe_predict(&m, x, CASES, mine->y);
    for (i = 0; i < REPEATS; i++) {
        moe_predict(&m, x, CASES, again);
        mine->differing += memcmp(again, mine->y, sizeof again) != 0;
    }
    moe_close(&m);
    free(memory);
    return NULL;
}

static void test_same_bits(void)
{
    static moe_real weights[MAX_VALUES], before[MAX_VALUES];
    static job alone;
    pthread_t thread[THREADS];
    moe_config config = shared_config();
    size_t bytes = make_weights(1, weights) * sizeof(moe_real);
    int i, started = 0;

    memcpy(before, weights, sizeof before);
    alone.config = &config;
    alone.params = weights;
    work(&alone);
    CHECK(alone.status == MOE_OK && alone.differing == 0);

    for (i = 0; i < THREADS; i++) {
        jobs[i] = alone;
        memset(jobs[i].y, 0, sizeof jobs[i].y);
        if (!CHECK(!pthread_create(&thread[i], NULL, work, &jobs[i])))
            break;
        started++;
    }
    for (i = 0; i < started; i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
        CHECK(jobs[i].status == MOE_OK && jobs[i].differing == 0);
        CHECK(memcmp(jobs[i].y, alone.y, sizeof alone.y) == 0);
    }
    CHECK(bytes > 0 && memcmp(before, weights, bytes) == 0);
}

/* One work memory for many sets of weights, as a game has it. */
static void test_repointing(void)
{
    static moe_real weights[BRAINS][MAX_VALUES];
    static job own[BRAINS];
    static moe_real y[CASES * OUTPUTS];
    moe_config config = shared_config();
    moe m;
    int i, round;

    for (i = 0; i < BRAINS; i++) {
        make_weights((uint64_t)i + 1, weights[i]);
        own[i].config = &config;
        own[i].params = weights[i];
        work(&own[i]);
        CHECK(own[i].status == MOE_OK);
    }
    CHECK(memcmp(own[0].y, own[1].y, sizeof y) != 0);
    if (!CHECK(moe_attach(&m, &config, weights[0], NULL, 0) == MOE_OK))
        return;
    for (round = 0; round < 2; round++)
        for (i = BRAINS - 1; i >= 0; i--) {
            m.params = weights[i];
            moe_predict(&m, x, CASES, y);
            CHECK(memcmp(y, own[i].y, sizeof y) == 0);
        }
    CHECK(m.weights == NULL);
    moe_close(&m);
}

/* A moe with weights of its own may look through other eyes and come back. */
static void test_repointing_own(void)
{
    static moe_real other[MAX_VALUES];
    static moe_real first[CASES * OUTPUTS], y[CASES * OUTPUTS];
    moe_config config = shared_config();
    moe m;

    make_weights(9, other);
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    moe_predict(&m, x, CASES, first);
    m.params = other;
    moe_predict(&m, x, CASES, y);
    CHECK(memcmp(y, first, sizeof y) != 0);
    m.params = m.weights;
    moe_predict(&m, x, CASES, y);
    CHECK(memcmp(y, first, sizeof y) == 0);
    moe_close(&m);
}

int main(void)
{
    fill_inputs();
    RUN(test_same_bits());
    RUN(test_repointing());
    RUN(test_repointing_own());
    return check_done();
}
