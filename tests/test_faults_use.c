/* test_faults_use.c - faults that users of 0.1 met: a way back without its
   forward, settings changed after opening, sentences that are missing or say
   too little, and a gate that cannot learn. */
#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#define HAS_FOLDERS 1
#include <sys/stat.h>
#include <unistd.h>
#else
#define HAS_FOLDERS 0
#endif
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"

enum { CASES = 67, MOST = 4096, IS_FLOAT = sizeof(moe_real) == 4 };

static moe_real x[CASES * 3], d[CASES * 2];

/* x in [-1,1], every column in an order of its own. */
static void fill_data(void)
{
    int i;

    for (i = 0; i < CASES * 3; i++)
        x[i] = (moe_real)((i * 37 + 11) % 101) / 50 - 1;
    for (i = 0; i < CASES * 2; i++)
        d[i] = (moe_real)((i * 29 + 5) % 23) / 23;
}

static moe_training training_of(int epochs)
{
    moe_training t = make_training(MOE_ADAM, 0);

    t.epochs = epochs;
    return t;
}

static int is_nan(moe_real a)
{
    return !(a >= 0 || a < 0);
}

#define SAYS(m, word) \
    CHECK_THAT(says((m).error, word), "\"%s\" has no \"%s\"", \
               (m).error ? (m).error : "NULL", word)

/* So many reals, for the address sanitizer not one more. */
static moe_real *reals(size_t count)
{
    moe_real *at = (moe_real *)malloc((count + (count == 0)) * sizeof *at);
    size_t i;

    if (at == NULL)
        exit(1);
    for (i = 0; i < count; i++)
        at[i] = (moe_real)(i % 7) - 3;
    return at;
}

/* ---- the way back belongs to the forward just before -------------------- */

/* A mistake, after which nothing was read, added or written. */
static void check_no_backward(moe *m, const char *after)
{
    size_t rows = m->rows > 0 ? (size_t)m->rows : 1;
    moe_real *dE_dy = reals(rows * 2), *dE_dx = reals(rows);
    moe_real *had = reals(m->trained_count), *first = reals(rows);

    memcpy(had, m->grads, m->trained_count * sizeof *had);
    mistakes = 0;
    moe_backward(m, dE_dy, dE_dx);
    CHECK_THAT(mistakes == 1, "after %s: %d mistakes", after, mistakes);
    CHECK_THAT(same_reals(had, m->grads, m->trained_count), "after %s", after);
    CHECK_THAT(same_reals(dE_dx, first, rows), "after %s", after);
    free(dE_dy);
    free(dE_dx);
    free(had);
    free(first);
}

/* And after a forward it is none, as often as one likes. */
static void check_backward(moe *m, int n)
{
    size_t i, count = m->trained_count, wrong = 0;
    moe_real *once = reals(count), *dE_dy;
    int rows = moe_forward(m, x, n);

    dE_dy = reals((size_t)rows * 2);
    memset(m->grads, 0, count * sizeof *once);
    mistakes = 0;
    moe_backward(m, dE_dy, NULL);
    memcpy(once, m->grads, count * sizeof *once);
    CHECK(rows == 0 || !all_zero(once, count));
    moe_backward(m, dE_dy, NULL);
    for (i = 0; i < count; i++)
        wrong += fabs((double)(m->grads[i] - 2 * once[i]))
               > 1e-4 * (1 + fabs((double)once[i]));
    CHECK_THAT(wrong == 0, "twice the same error is twice the gradient");
    CHECK_THAT(mistakes == 0, "after a forward of %d", n);
    memset(m->grads, 0, count * sizeof *once);
    free(dE_dy);
    free(once);
}

static void test_backward(void)
{
    static const int rows[] = {1, 64};
    moe_config config = make_config(1, 2, 2);
    moe_data data = make_data(CASES, x, d), wrong = make_data(CASES, x, d);
    moe_training t = training_of(1);
    moe_real y[CASES * 2];
    moe m;
    int k;

    for (k = 0; k < 2; k++) {
        config.block = rows[k];
        if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
            return;
        check_no_backward(&m, "opening");
        check_backward(&m, 0);
        check_backward(&m, CASES);
        moe_predict(&m, x, CASES, y);
        check_no_backward(&m, "moe_predict");
        check_backward(&m, 1);
        wrong.d = NULL;
        moe_gradient(&m, &wrong);
        check_no_backward(&m, "a refused moe_gradient");
        memset(m.grads, 0, m.trained_count * sizeof *m.grads);
        check_backward(&m, CASES);
        moe_gradient(&m, &data);
        check_no_backward(&m, "moe_gradient");
        CHECK(moe_fit_scales(&m, &data) == MOE_OK);
        check_backward(&m, CASES);
        CHECK(moe_step(&m, NULL, (moe_real)0.01) == MOE_OK);
        check_no_backward(&m, "moe_step");
        check_backward(&m, CASES);
        CHECK(moe_evaluate(&m, &data, NULL) == MOE_OK);
        check_no_backward(&m, "moe_evaluate");
        check_backward(&m, CASES);
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        check_no_backward(&m, "moe_train");
        check_backward(&m, CASES);
        moe_close(&m);
    }
}

/* ---- a configuration of its own ----------------------------------------- */

static void test_own_config(void)
{
    static moe_real memory[MOST], work[MOST], more[MOST];
    static moe_real y[CASES], again[CASES];
    moe_config config = make_config(3, 1, 4);
    moe_real weights[256];
    moe m, other;

    config.hidden[0] = 5;
    config.top_k = 2;
    config.block = 8;
    config.seed = 7;
    config.expert_inputs.first = 1;
    if (!CHECK(moe_open(&m, &config, memory, sizeof memory) == MOE_OK)
            || !CHECK(m.param_count <= 256))
        return;
    moe_predict(&m, x, CASES, y);
    CHECK(moe_open(&m, &m.config, memory, sizeof memory) == MOE_OK);
    CHECK(m.config.inputs == 3 && m.config.block == 8 && m.config.top_k == 2);
    CHECK(m.config.seed == 7 && m.config.hidden[0] == 5);
    moe_predict(&m, x, CASES, again);
    CHECK_THAT(same_reals(y, again, CASES), "the same seed, weights, answers");
    memcpy(weights, m.weights, m.param_count * sizeof *weights);
    m.config.block = 3;
    CHECK(moe_attach(&m, &m.config, weights, work, sizeof work) == MOE_OK);
    CHECK(m.config.block == 3 && m.params == weights && m.weights == NULL);
    moe_predict(&m, x, CASES, again);
    CHECK_THAT(moe_forward(&m, x, CASES) == 3, "67 cases in blocks of 3");
    CHECK(moe_attach(&other, &m.config, weights, more, sizeof more) == MOE_OK);
    moe_predict(&other, x, CASES, again);
    CHECK(moe_open(&other, &m.config, memory, sizeof memory) == MOE_OK);
    m.config.inputs = 0;
    CHECK(moe_open(&m, &m.config, memory, sizeof memory) == MOE_ERR_CONFIG);
    SAYS(m, "inputs");
}

/* ---- a configuration that is changed after opening ---------------------- */

typedef void change(moe_config *c);

static void fewer_rows(moe_config *c) { c->block = 1; }
static void more_rows(moe_config *c) { c->block = 5000; }
static void no_rows(moe_config *c) { c->block = 0; }
static void to_train(moe_config *c) { c->mode = MOE_MODE_TRAIN; }
static void to_learn(moe_config *c) { c->mode = MOE_MODE_GRADIENT; }
static void to_predict(moe_config *c) { c->mode = MOE_MODE_PREDICT; }
static void more_inputs(moe_config *c) { c->inputs = 300; }
static void more_outputs(moe_config *c) { c->outputs = 300; }
static void more_experts(moe_config *c) { c->experts = 300; }
static void no_experts(moe_config *c) { c->experts = 0; }
static void one_chosen(moe_config *c) { c->top_k = 1; }
static void all_chosen(moe_config *c) { c->top_k = 0; }
static void more_chosen(moe_config *c) { c->top_k = 3000; }
static void more_hidden(moe_config *c) { c->hidden[0] = c->hidden[1] = 99; }
static void wide_gate(moe_config *c) { c->gate_hidden[0] = 999; }
static void other_part(moe_config *c) { c->expert_inputs.first = 77; }
static void other_gate(moe_config *c) { c->gate_inputs.count = -5; }
static void other_units(moe_config *c) { c->activation = MOE_ACT_SILU; }
static void softmax(moe_config *c) { c->output = MOE_OUT_SOFTMAX; }
static void other_set(moe_config *c) { c->simd = 77; }

static change *const changes[] = {
    fewer_rows, more_rows, to_train, to_learn, to_predict, more_inputs,
    more_outputs, more_experts, one_chosen, all_chosen, more_chosen,
    more_hidden, wide_gate, other_part, other_gate, other_units, softmax,
    other_set, no_experts, no_rows
};

static moe_config sparse_config(moe_mode use)
{
    moe_config config = make_config(3, 2, 4);

    config.hidden[0] = 3;
    config.top_k = 2;
    config.block = 8;
    config.mode = use;
    return config;
}

static unsigned char *exact_memory(const moe_config *config)
{
    unsigned char *memory = (unsigned char *)malloc(moe_bytes(config));

    if (memory == NULL)
        exit(1);
    return memory;
}

/* What a moe does, as numbers: answers, gradients, a report, weights; and the
   bytes of a file. */
static size_t use_all(moe *m, moe_mode use, moe_real *to)
{
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(2);
    moe_report report;
    moe_real *y = to, *at = to + CASES * 2;
    int i;

    moe_predict(m, x, CASES, y);
    *at++ = (moe_real)moe_forward(m, x, CASES);
    for (i = 0; i < m->rows * 2; i++)
        *at++ = m->y[i];
    *at++ = (moe_real)moe_save_bytes(m, MOE_MODE_PREDICT);
    if (use == MOE_MODE_PREDICT) {
        *at++ = (moe_real)moe_step(m, NULL, 1);
        return (size_t)(at - to);
    }
    moe_backward(m, y, NULL);
    *at++ = moe_gradient(m, &data);
    memcpy(at, m->grads, m->trained_count * sizeof *at);
    at += m->trained_count;
    *at++ = (moe_real)moe_step(m, NULL, (moe_real)0.01);
    *at++ = (moe_real)moe_evaluate(m, &data, &report);
    *at++ = report.loss;
    for (i = 0; i < 4; i++)
        *at++ = report.usage[i] + report.load[i];
    *at++ = (moe_real)moe_train(m, &data, &data, &t, NULL);
    memcpy(at, m->weights, m->param_count * sizeof *at);
    return (size_t)(at - to) + m->param_count;
}

static void check_change(moe_mode use, size_t which)
{
    static moe_real before[MOST], after[MOST];
    moe_config config = sparse_config(use);
    unsigned char *memory = exact_memory(&config);
    size_t bytes = moe_bytes(&config), count;
    moe m;

    CHECK(moe_open(&m, &config, memory, bytes) == MOE_OK);
    count = use_all(&m, use, before);
    CHECK(moe_open(&m, &config, memory, bytes) == MOE_OK);
    changes[which](&m.config);
    mistakes = 0;
    CHECK(use_all(&m, use, after) == count && mistakes == 0);
    CHECK_THAT(same_reals(before, after, count),
               "change %d of the public copy has an effect (use %d)",
               (int)which, (int)use);
    free(memory);
}

static void test_changed_sizes(void)
{
    size_t k;

    for (k = 0; k < sizeof changes / sizeof *changes; k++) {
        check_change(MOE_MODE_PREDICT, k);
        check_change(MOE_MODE_GRADIENT, k);
        check_change(MOE_MODE_TRAIN, k);
    }
}

/* loss, sigma and balance may be changed, and then matter. */
static void test_changed_settings(void)
{
    moe_config config = sparse_config(MOE_MODE_GRADIENT);
    moe_data data = make_data(CASES, x, d);
    moe_real *grads, E;
    size_t bytes;
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    bytes = m.trained_count * sizeof *grads;
    grads = reals(m.trained_count);
    E = moe_gradient(&m, &data);
    memcpy(grads, m.grads, bytes);
    memset(m.grads, 0, bytes);
    m.config.balance_loss = 1;
    moe_gradient(&m, &data);
    CHECK_THAT(!same_reals(grads, m.grads, m.trained_count), "balance");
    m.config.balance_loss = 0;
    m.config.sigma = (moe_real)0.5;
    CHECK_THAT(moe_gradient(&m, &data) > E, "sigma");
    m.config.sigma = 1;
    m.config.loss = MOE_LOSS_BLEND;
    CHECK_THAT(fabs((double)(moe_gradient(&m, &data) - E)) > 1, "loss");
    free(grads);
    moe_close(&m);
}

/* ---- a closed moe ------------------------------------------------------- */

#define CLOSED(call) \
    CHECK_THAT((call) == MOE_ERR_STATE, "%s", #call); \
    SAYS(m, "this moe is closed"); \
    m.error = NULL

static void test_closed(void)
{
    moe_data data = make_data(CASES, x, d);
    moe_config config = make_config(3, 2, 2);
    moe_training t = training_of(1);
    moe_report report;
    moe_real y[CASES * 2], dE_dx[3];
    moe m;

    t.balance_rate = (moe_real)0.01;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    moe_close(&m);
    memset(y, 0, sizeof y);
    memset(dE_dx, 0, sizeof dE_dx);
    mistakes = 0;
    moe_predict(&m, x, CASES, y);
    CHECK(mistakes == 1 && all_zero(y, CASES * 2));
    CHECK(moe_forward(&m, x, CASES) == 0 && mistakes == 2);
    moe_backward(&m, d, dE_dx);
    CHECK(mistakes == 3 && all_zero(dE_dx, 3));
    CHECK(is_nan(moe_gradient(&m, &data)) && mistakes == 4);
    CLOSED(moe_train(&m, &data, NULL, NULL, NULL));
    CLOSED(moe_train(&m, &data, NULL, &t, NULL));
    CLOSED(moe_step(&m, &t, 1));
    CLOSED(moe_evaluate(&m, &data, &report));
    CLOSED(moe_fit_scales(&m, &data));
    CLOSED(moe_step(&m, NULL, 1));
    CLOSED(moe_save(&m, MOE_MODE_PREDICT, "never.written"));
    CHECK(moe_save_bytes(&m, MOE_MODE_PREDICT) == 0);
    CHECK(moe_save_memory(&m, MOE_MODE_PREDICT, y, sizeof y) == MOE_ERR_STATE);
    CHECK(mistakes == 4);
}

/* Nor is anything read through NULL, or learnt by what only predicts. */
static void test_mistakes(void)
{
    moe_data data = make_data(CASES, x, d), none = make_data(CASES, x, d);
    moe_config config = make_config(3, 2, 2);
    moe_real y[CASES * 2];
    moe m;

    none.x = NULL;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    mistakes = 0;
    moe_predict(&m, NULL, 3, y);
    moe_predict(&m, x, 3, NULL);
    CHECK(moe_forward(&m, NULL, 3) == 0 && mistakes == 3);
    CHECK(moe_forward(&m, x, 3) == 3);
    moe_backward(&m, NULL, NULL);
    CHECK(mistakes == 4 && all_zero(m.grads, m.trained_count));
    CHECK(is_nan(moe_gradient(&m, &none)) && mistakes == 5);
    CHECK(is_nan(moe_gradient(&m, NULL)) && mistakes == 6);
    CHECK_THAT(moe_step(&m, NULL, 1) == MOE_ERR_DIVERGED,
               "a gradient of nothing is no gradient");
    moe_close(&m);
    config.mode = MOE_MODE_PREDICT;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(is_nan(moe_gradient(&m, &data)) && mistakes == 7);
    moe_backward(&m, y, NULL);
    CHECK(mistakes == 8);
    moe_predict(NULL, x, 3, y);
    CHECK(moe_forward(NULL, x, 3) == 0 && mistakes == 10);
    moe_close(&m);
}

/* ---- addresses and rows ------------------------------------------------- */

typedef struct behind { char byte; moe_real real; } behind;

/* Any address that suits a moe_real inside a struct: with double on i386 it
   is a multiple of 4.  The undefined behaviour sanitizer sees more. */
static void test_alignment(void)
{
    moe_config config = make_config(3, 2, 4);
    moe_real y[CASES * 2], again[CASES * 2];
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(1);
    unsigned char *room;
    moe m;

    config.hidden[0] = 9;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    moe_predict(&m, x, CASES, y);
    moe_close(&m);
    room = (unsigned char *)malloc(moe_bytes(&config) + 64);
    if (room == NULL)
        exit(1);
    CHECK(moe_open(&m, &config, room + offsetof(behind, real),
                   moe_bytes(&config)) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    moe_predict(&m, x, CASES, again);
    CHECK_THAT(same_reals(y, again, CASES * 2), "at %d bytes past a line",
               (int)offsetof(behind, real));
    moe_close(&m);
    free(room);
}

/* bad_row counts on from training to validation rows, so that both together
   must be a number that an int can tell; no row of them is read before. */
static void test_too_many_rows(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_data data = make_data(INT_MAX, x, d), valid = make_data(1, x, d);
    moe_real at[1];
    moe_report report;
    moe m;

    at[0] = (moe_real)NAN;
    data.x = data.d = at;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    CHECK(moe_train(&m, &data, &valid, NULL, &report) == MOE_ERR_DATA);
    CHECK(report.bad_row == -1 && report.bad_column == -1);
    SAYS(m, "rows");
    CHECK(moe_train(&m, &data, NULL, NULL, &report) == MOE_ERR_DATA);
    CHECK(report.bad_row == 0 && report.bad_column == 0);
    moe_close(&m);
}

/* ---- why ---------------------------------------------------------------- */

static int stop(const moe_report *report, void *user)
{
    (void)report;
    (void)user;
    return 1;
}

static void test_why(void)
{
    moe_config config = make_config(3, 2, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(2);
    moe_real y[2];
    moe m, other;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    CHECK(m.error != NULL && strcmp(m.error, "ok") == 0);
    t.rate = -1;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG);
    SAYS(m, "rate");
    moe_predict(&m, x, 1, y);
    SAYS(m, "rate");
    CHECK(moe_fit_scales(&m, &data) == MOE_OK && strcmp(m.error, "ok") == 0);
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_CONFIG);
    SAYS(m, "rate");
    CHECK(moe_evaluate(&m, &data, NULL) == MOE_OK);
    CHECK_THAT(strcmp(m.error, "ok") == 0, "what was wrong is over");
    t.rate = 0;
    t.progress = stop;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_STOPPED);
    SAYS(m, "stopped");
    moe_gradient(&m, &data);
    CHECK(moe_step(&m, &t, (moe_real)0.01) == MOE_OK);
    CHECK(m.error != NULL && strcmp(m.error, "ok") == 0);
    t.progress = NULL;
    m.grads[0] = (moe_real)NAN;
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_DIVERGED);
    SAYS(m, "finite");
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(m.error != NULL && strcmp(m.error, "ok") == 0);
    CHECK(moe_attach(&other, &config, m.params, NULL, 0) == MOE_OK);
    CHECK(other.error != NULL && strcmp(other.error, "ok") == 0);
    moe_close(&other);
    moe_close(&m);
}

#if HAS_FOLDERS
static char folder[64];

static const char *path_of(const char *name)
{
    static char path[128];

    sprintf(path, "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");

    sprintf(folder, "%.40s/moe_use.XXXXXX", base ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        exit(1);
}

/* Which step failed is told; the next success says "ok" again. */
static void check_saving(moe *m)
{
    CHECK(moe_save(m, MOE_MODE_TRAIN, path_of("none/a")) == MOE_ERR_IO);
    SAYS(*m, "open");
    CHECK(moe_save(m, MOE_MODE_TRAIN, path_of("a")) == MOE_OK);
    CHECK(m->error != NULL && strcmp(m->error, "ok") == 0);
    no_write = 1;
    CHECK(moe_save(m, MOE_MODE_TRAIN, path_of("a")) == MOE_ERR_IO);
    SAYS(*m, "writ");
    no_write = 0;
    no_rename = 1;
    CHECK(moe_save(m, MOE_MODE_TRAIN, path_of("a")) == MOE_ERR_IO);
    SAYS(*m, "renam");
    no_rename = 0;
    CHECK(moe_save(m, MOE_MODE_TRAIN, NULL) == MOE_ERR_NULL);
    SAYS(*m, "path");
    m->config.sigma = -1;
    CHECK(moe_save(m, MOE_MODE_TRAIN, path_of("a")) == MOE_ERR_CONFIG);
    SAYS(*m, "sigma");
    m->config.sigma = 1;
    m->weights[0] = (moe_real)NAN;
    CHECK(moe_save(m, MOE_MODE_TRAIN, path_of("a")) == MOE_ERR_DIVERGED);
    SAYS(*m, "finite");
}

static void check_loading(void)
{
    moe m;

    CHECK(moe_load(&m, path_of("none"), NULL) == MOE_ERR_IO);
    SAYS(m, "open");
    CHECK(moe_load(&m, folder, NULL) == MOE_ERR_IO);
    SAYS(m, "read");
    no_read = 1;
    CHECK(moe_load(&m, path_of("a"), NULL) == MOE_ERR_IO);
    SAYS(m, "read");
    no_read = 0;
    CHECK(moe_load(&m, NULL, NULL) == MOE_ERR_NULL);
    SAYS(m, "path");
    if (CHECK(moe_load(&m, path_of("a"), NULL) == MOE_OK))
        CHECK(m.error != NULL && strcmp(m.error, "ok") == 0);
    moe_close(&m);
}

static void test_paths(void)
{
    moe_config config = make_config(3, 2, 2);
    moe m;

    make_folder();
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    check_saving(&m);
    moe_close(&m);
    check_loading();
    config.mode = MOE_MODE_GRADIENT;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_save(&m, MOE_MODE_TRAIN, path_of("a")) == MOE_ERR_STATE);
    SAYS(m, "MOE_MODE_TRAIN");
    moe_close(&m);
    remove(path_of("a"));
    CHECK_THAT(rmdir(folder) == 0, "nothing is left in %s", folder);
}
#else
static void test_paths(void)
{
    printf("no POSIX here: paths left out\n");
}
#endif

/* A file in memory of a moe, as weights alone. */
static unsigned char *file_of(const moe *m, size_t *bytes)
{
    unsigned char *file;

    *bytes = moe_save_bytes(m, MOE_MODE_PREDICT);
    file = (unsigned char *)malloc(*bytes > 0 ? *bytes : 1);
    if (file == NULL)
        exit(1);
    CHECK(moe_save_memory(m, MOE_MODE_PREDICT, file, *bytes) == MOE_OK);
    return file;
}

/* Who loads with NULL never wrote MOE_MODE_PREDICT: what to pass is said. */
static void test_load_and_train(void)
{
    moe_config config = make_config(3, 2, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(1);
    unsigned char *file;
    size_t bytes;
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    file = file_of(&m, &bytes);
    moe_close(&m);
    CHECK(moe_load_memory(&m, file, bytes, NULL, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_STATE);
    SAYS(m, "config");
    SAYS(m, "MOE_MODE_TRAIN");
    CHECK(moe_step(&m, NULL, 1) == MOE_ERR_STATE);
    SAYS(m, "config");
    CHECK(moe_evaluate(&m, &data, NULL) == MOE_ERR_STATE);
    SAYS(m, "config");
    SAYS(m, "MOE_MODE_GRADIENT");
    moe_close(&m);
    memset(&config, 0, sizeof config);
    config.mode = MOE_MODE_TRAIN;
    CHECK(moe_load_memory(&m, file, bytes, &config, NULL, 0) == MOE_OK);
    CHECK_THAT(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK,
               "what the sentence advises works");
    moe_close(&m);
    free(file);
}

static void check_numbers(const moe *m, size_t given, size_t needed)
{
    char number[2][24];

    sprintf(number[0], " %lu ", (unsigned long)given);
    sprintf(number[1], " %lu", (unsigned long)needed);
    CHECK_THAT(says(m->error, number[0]) && says(m->error, number[1]),
               "%lu of %lu: \"%s\"", (unsigned long)given,
               (unsigned long)needed, m->error ? m->error : "NULL");
    CHECK_THAT(says(m->error, "bytes") && says(m->error, "small"), "\"%s\"",
               m->error ? m->error : "NULL");
}

static void test_small_memory(void)
{
    static moe_real memory[MOST], weights[MOST];
    moe_config config = make_config(3, 2, 2);
    size_t need, work;
    moe m;

    config.block = 4;
    need = moe_bytes(&config);
    work = moe_work_bytes(&config);
    CHECK(need < sizeof memory && work < need);
    CHECK(moe_open(&m, &config, memory, need - 1) == MOE_ERR_MEMORY);
    check_numbers(&m, need - 1, need);
    SAYS(m, "moe_bytes");
    CHECK(moe_open(&m, &config, memory, 0) == MOE_ERR_MEMORY);
    check_numbers(&m, 0, need);
    CHECK(moe_attach(&m, &config, weights, memory, 10) == MOE_ERR_MEMORY);
    check_numbers(&m, 10, work);
    SAYS(m, "moe_work_bytes");
    CHECK(m.params == NULL && m.param_count == 0);
    moe_close(&m);
}

/* ---- settings that do nothing ------------------------------------------- */

static void test_idle_settings(void)
{
    moe_config config = make_config(3, 2, 2);
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(1);
    moe_real E;
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    t.balance_rate = (moe_real)0.01;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG);
    SAYS(m, "balance_rate");
    SAYS(m, "top_k");
    moe_gradient(&m, &data);
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_CONFIG);
    SAYS(m, "balance_rate");
    moe_close(&m);
    data.d = NULL;
    data.labels = (const int *)calloc(CASES, sizeof(int));
    config.output = MOE_OUT_SOFTMAX;
    config.sigma = (moe_real)0.25;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    E = moe_gradient(&m, &data);
    m.config.sigma = 1;
    CHECK_THAT(fabs((double)(E - moe_gradient(&m, &data))) < 1e-5,
               "softmax experts have no sigma: it is ignored");
    moe_close(&m);
    free((void *)(uintptr_t)data.labels);
}

/* ---- one expert for each case ------------------------------------------- */

enum { POINTS = 201 };
static moe_real at_x[POINTS], at_d[POINTS];

static void fill_points(void)
{
    int i;

    for (i = 0; i < POINTS; i++) {
        at_x[i] = (moe_real)(i - POINTS / 2) / (POINTS / 2);
        at_d[i] = at_x[i] < 0 ? -at_x[i] : at_x[i];
    }
}

static moe_data points(void)
{
    moe_data data = make_data(POINTS, x, d);

    data.x = at_x;
    data.d = at_d;
    return data;
}

/* The softmax of one logit is 1, so that the gate would have no gradient. */
static void test_one_refused(void)
{
    moe_config config = make_config(1, 1, 2);
    moe_data data = points();
    moe_training t = training_of(1);
    moe_real y[1];
    int loss;
    moe m;

    config.top_k = 1;
    for (loss = 0; loss < 3; loss++) {
        config.loss = (moe_loss)loss;
        if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
            return;
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG);
        SAYS(m, "top_k = 1");
        SAYS(m, "train with");
        CHECK(moe_train(&m, &data, NULL, NULL, NULL) == MOE_ERR_CONFIG);
        moe_gradient(&m, &data);
        CHECK(moe_step(&m, &t, 1) == MOE_ERR_CONFIG);
        SAYS(m, "top_k = 1");
        CHECK(moe_step(&m, NULL, 1) == MOE_ERR_CONFIG);
        CHECK_THAT(!all_zero(m.grads, m.trained_count), "nothing changed");
        CHECK(moe_evaluate(&m, &data, NULL) == MOE_OK);
        moe_predict(&m, at_x, 1, y);
        moe_close(&m);
    }
    config.experts = 1;                 /* where one is all */
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    moe_close(&m);
}

/* gate.balance, (E) zeros where it is not used, is there for any top_k. */
static void test_one_layout(void)
{
    moe_config config = make_config(3, 2, 4);
    size_t count = 0;
    moe m;

    for (config.top_k = 0; config.top_k <= 4; config.top_k++) {
        if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
            return;
        count = config.top_k > 0 ? count : m.trained_count;
        CHECK_THAT(m.trained_count == count && m.param_count == count + 10,
                   "top_k %d", config.top_k);
        CHECK(all_zero(m.weights + m.trained_count - 4, 4));
        moe_close(&m);
    }
    CHECK(count == 4 * (2 + 3 * 2) + 4 + 3 * 4 + 4);
    config.experts = config.top_k = 1;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK);
    CHECK_THAT(m.trained_count == 2 + 3 * 2, "one expert has no gate");
    moe_close(&m);
}

/* The largest error of |x| where each case has one expert. */
static void check_answers(moe *m, const char *how)
{
    moe_real y[POINTS];
    double most = 0;
    int i;

    moe_predict(m, at_x, POINTS, y);
    for (i = 0; i < POINTS; i++)
        most = fmax(most, fabs((double)(y[i] - at_d[i])));
    CHECK_THAT(most <= 0.011, "%s: off by %g", how, most);
    CHECK(moe_forward(m, at_x, POINTS) == POINTS);
    CHECK_THAT(m->config.top_k == 1
               && m->selected[0] != m->selected[m->rows - 1],
               "%s: one for each case, both in use", how);
}

static void open_dense(moe *m, uint64_t seed)
{
    moe_config config = make_config(1, 1, 2);
    moe_data data = points();
    moe_training t = training_of(1000);

    config.seed = seed;
    config.block = POINTS;
    CHECK(moe_open(m, &config, NULL, 0) == MOE_OK);
    CHECK(moe_train(m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK_THAT(all_zero(m->weights + m->trained_count - 2, 2),
               "nothing is balanced where all experts run");
}

/* Learnt by all experts, then answered by the best one of each case. */
static void check_road(uint64_t seed)
{
    moe_config config;
    unsigned char *file;
    size_t bytes;
    moe dense, one;

    open_dense(&dense, seed);
    config = dense.config;
    config.top_k = 1;
    CHECK(moe_attach(&one, &config, dense.params, NULL, 0) == MOE_OK);
    check_answers(&one, "attached");
    moe_close(&one);
    CHECK(moe_open(&one, &config, NULL, 0) == MOE_OK);
    memcpy(one.weights, dense.weights, dense.param_count * sizeof *one.weights);
    check_answers(&one, "opened over a copy");
    moe_close(&one);
    file = file_of(&dense, &bytes);
    memset(&config, 0, sizeof config);
    config.top_k = 1;
    config.block = POINTS;
    config.mode = MOE_MODE_PREDICT;
    CHECK(moe_load_memory(&one, file, bytes, &config, NULL, 0) == MOE_OK);
    check_answers(&one, "loaded");
    moe_close(&one);
    if (IS_FLOAT
            && moe_load_in_place(&one, file, bytes, &config, NULL, 0)
               == MOE_OK) {
        check_answers(&one, "viewed");
        moe_close(&one);
    }
    config.top_k = 3;
    CHECK(moe_load_memory(&one, file, bytes, &config, NULL, 0)
          == MOE_ERR_CONFIG);
    SAYS(one, "top_k");
    moe_close(&dense);
    free(file);
}

static void test_one_road(void)
{
    uint64_t seed;

    for (seed = 0; seed < 5; seed++)
        check_road(seed);
}

/* The other way: a sparse model with a balance loss, loaded with all. */
static void test_all_again(void)
{
    moe_config config = sparse_config(MOE_MODE_TRAIN), wanted;
    moe_data data = make_data(CASES, x, d);
    moe_training t = training_of(1);
    unsigned char *file;
    size_t bytes;
    moe m;

    config.balance_loss = (moe_real)0.01;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    file = file_of(&m, &bytes);
    moe_close(&m);
    memset(&wanted, 0, sizeof wanted);
    CHECK(moe_load_memory(&m, file, bytes, &wanted, NULL, 0) == MOE_OK);
    CHECK_THAT(m.config.top_k == 2 && m.config.balance_loss > 0,
               "top_k 0: the file's");
    moe_close(&m);
    wanted.top_k = 4;
    if (CHECK(moe_load_memory(&m, file, bytes, &wanted, NULL, 0) == MOE_OK)) {
        CHECK(m.config.top_k == 4 && !(m.config.balance_loss > 0));
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        moe_close(&m);
    }
    wanted.top_k = 3;
    if (CHECK(moe_load_memory(&m, file, bytes, &wanted, NULL, 0) == MOE_OK)) {
        CHECK(m.config.top_k == 3 && m.config.balance_loss > 0);
        moe_close(&m);
    }
    free(file);
}

/* ---- a file of 0.1, whose dense mixture has no gate.balance ------------- */

/* Header, numbers and, in a checkpoint, what learning keeps: "old" has the
   values i + 1 where there are any. */
typedef struct old_file { unsigned char at[4096]; size_t bytes; } old_file;

static void put_floats(old_file *f, int count, float first, float step)
{
    union { float real; uint32_t bits; } word;
    int i, k;

    for (i = 0; i < count; i++, first += step) {
        word.real = first;
        for (k = 0; k < 4; k++)
            f->at[f->bytes++] = (unsigned char)(word.bits >> 8 * k & 255);
    }
}

/* One input, one output, two linear experts: biases 1 2, weights 3 4, the
   gate's 5 6 and 7 8, scales; trained are 8 numbers. */
static void write_old(old_file *f, int training)
{
    static const char weights[] =
        "\"file\":\"moe.h 1\"%s},"
        "\"experts.0.bias\":{\"dtype\":\"F32\",\"shape\":[2,1],"
        "\"data_offsets\":[0,8]},"
        "\"experts.0.weight\":{\"dtype\":\"F32\",\"shape\":[2,1,1],"
        "\"data_offsets\":[8,16]},"
        "\"gate.0.bias\":{\"dtype\":\"F32\",\"shape\":[2],"
        "\"data_offsets\":[16,24]},"
        "\"gate.0.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],"
        "\"data_offsets\":[24,32]},"
        "\"scale.d\":{\"dtype\":\"F32\",\"shape\":[2,1],"
        "\"data_offsets\":[32,40]},"
        "\"scale.x\":{\"dtype\":\"F32\",\"shape\":[2,1],"
        "\"data_offsets\":[40,48]}%s}";
    static const char more[] =
        ",\"training.best\":{\"dtype\":\"F32\",\"shape\":[8],"
        "\"data_offsets\":[48,80]},"
        "\"training.first\":{\"dtype\":\"F32\",\"shape\":[8],"
        "\"data_offsets\":[80,112]},"
        "\"training.second\":{\"dtype\":\"F32\",\"shape\":[8],"
        "\"data_offsets\":[112,144]},"
        "\"training.state\":{\"dtype\":\"F32\",\"shape\":[4],"
        "\"data_offsets\":[144,160]}";
    char *header = (char *)f->at + 8;
    int i, length;

    memset(f, 0, sizeof *f);
    length = sprintf(header, "{\"__metadata__\":{\"inputs\":\"1\","
                     "\"outputs\":\"1\",\"experts\":\"2\",\"top_k\":\"2\",");
    length += sprintf(header + length, weights,
                      training ? ",\"training\":\"5,9,0\"" : "",
                      training ? more : "");
    for (; length % 64 != 56; length++)
        header[length] = ' ';
    f->at[0] = (unsigned char)(length & 255);
    f->at[1] = (unsigned char)(length >> 8);
    f->bytes = (size_t)length + 8;
    put_floats(f, 8, 1, 1);
    put_floats(f, 1, 0, 0);
    put_floats(f, 1, 1, 0);
    put_floats(f, 1, 0, 0);
    put_floats(f, 1, 1, 0);
    for (i = 0; i < 3 && training; i++)
        put_floats(f, 8, (float)(100 * i), 1);
    put_floats(f, training ? 4 : 0, 0.5f, 0);
}

static void check_old(const moe *m)
{
    static const moe_real due[14] = {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0, 1};

    CHECK(m->trained_count == 10 && m->param_count == 14);
    CHECK_THAT(same_reals(m->weights, due, 14),
               "the weights, zeros, the scales");
}

static void test_old_files(void)
{
    static union { old_file f; double aligned; } old;
    moe_config config;
    moe_data data = points();
    moe_training t = training_of(1);
    moe_real y[1];
    moe m;

    write_old(&old.f, 0);
    memset(&config, 0, sizeof config);
    config.mode = MOE_MODE_TRAIN;
    if (CHECK(moe_load_memory(&m, old.f.at, old.f.bytes, &config, NULL, 0)
              == MOE_OK)) {
        check_old(&m);
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        moe_close(&m);
    }
    config.top_k = 1;
    if (CHECK(moe_load_memory(&m, old.f.at, old.f.bytes, &config, NULL, 0)
              == MOE_OK)) {
        check_old(&m);
        moe_predict(&m, at_x + POINTS - 1, 1, y);
        CHECK_THAT(m.selected[0] == 1 && fabs((double)y[0] - 6) < 1e-6,
                   "x = 1: logits 12 and 14, so 2 + 4 x");
        moe_close(&m);
    }
    CHECK(moe_load_in_place(&m, old.f.at, old.f.bytes, NULL, NULL, 0)
          == MOE_ERR_STATE);
    CHECK(m.params == NULL && m.error != NULL);
    if (IS_FLOAT)
        SAYS(m, "gate.balance");
    write_old(&old.f, 1);
    if (CHECK(moe_load_memory(&m, old.f.at, old.f.bytes, NULL, NULL, 0)
              == MOE_OK)) {
        check_old(&m);
        CHECK(m.epoch == 5);
        CHECK_THAT(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK,
                   "a checkpoint goes on");
        CHECK(m.epoch == 6);
        moe_close(&m);
    }
    old.f.at[old.f.bytes - 17] ^= 0x80;     /* the last second moment */
    CHECK(moe_load_memory(&m, old.f.at, old.f.bytes, NULL, NULL, 0)
          == MOE_ERR_FORMAT);
    SAYS(m, "second moment");
}

int main(void)
{
    mistakes_allowed = 1;       /* is counted, and the call goes on */
    fill_data();
    fill_points();
    RUN(test_backward());
    RUN(test_own_config());
    RUN(test_changed_sizes());
    RUN(test_changed_settings());
    RUN(test_closed());
    RUN(test_mistakes());
    RUN(test_alignment());
    RUN(test_too_many_rows());
    RUN(test_why());
    RUN(test_paths());
    RUN(test_load_and_train());
    RUN(test_small_memory());
    RUN(test_idle_settings());
    RUN(test_one_refused());
    RUN(test_one_layout());
    RUN(test_one_road());
    RUN(test_all_again());
    RUN(test_old_files());
    return check_done();
}
