/* test_refusals.c - what cannot work is refused at the door: the status tells
   the kind of mistake, why names it, and nothing has changed. */
#include <limits.h>
#include <stddef.h>

#include "models.h"

enum { INPUTS = 3, OUTPUTS = 2, EXPERTS = 3, CASES = 10, VALID_CASES = 6,
       MAX_REALS = 2048 };

static moe_real not_a_number, infinite;         /* made by main */
static const moe_real tiny =      /* its square is 0 */
    (moe_real)(sizeof(moe_real) == sizeof(float) ? 1e-30 : 1e-300);

static int is_closed(const moe *m)
{
    return !m->params && !m->weights && !m->grads && !m->s && !m->p && !m->o &&
           !m->y && !m->h && !m->param_count && !m->trained_count &&
           !m->rows && !m->epoch;
}

/* As after a fault in the user's program: whatever was on the stack. */
static void spoil(moe *m)
{
    memset(m, 0x5A, sizeof *m);
}

/* Closing a closed moe is harmless, however often. */
static void close_twice(moe *m)
{
    moe_close(m);
    CHECK(is_closed(m));
    moe_close(m);
    CHECK(is_closed(m));
}

/* ---- configurations ---------------------------------------------------- */

static moe_config small_config(void)
{
    return make_config(INPUTS, OUTPUTS, EXPERTS);
}

static void refuse_config(const moe_config *config, const char *what,
                          const char *word)
{
    static moe_real weights[MAX_REALS], room[MAX_REALS];
    const char *why = NULL;
    moe_status status = moe_check_config(config, &why);
    moe m;

    CHECK_THAT(status == MOE_ERR_CONFIG, "%s: %s", what,
               moe_status_text(status));
    CHECK_THAT(says(why, word), "%s: \"%s\"", what, why ? why : "");
    CHECK(moe_check_config(config, NULL) == MOE_ERR_CONFIG);
    CHECK(moe_layer_at(config, 0, 0).out == 0);
    CHECK(moe_bytes(config) == 0 && moe_work_bytes(config) == 0);

    spoil(&m);
    CHECK(moe_open(&m, config, NULL, 0) == MOE_ERR_CONFIG);
    CHECK(is_closed(&m) && says(m.error, word));
    close_twice(&m);
    spoil(&m);
    CHECK(moe_attach(&m, config, weights, room, sizeof room)
          == MOE_ERR_CONFIG);
    CHECK(is_closed(&m) && says(m.error, word));
    close_twice(&m);
    CHECK(live_blocks == 0);
}

#define REFUSE_CONFIG(change, word)              \
    do {                                         \
        moe_config c = small_config();           \
        change;                                  \
        refuse_config(&c, #change, word);        \
    } while (0)

#define ACCEPT_CONFIG(change)                                  \
    do {                                                       \
        moe_config c = small_config();                         \
        const char *why = "";                                  \
        change;                                                \
        CHECK_THAT(moe_check_config(&c, &why) == MOE_OK, "%s", why);  \
        CHECK(moe_bytes(&c) > 0 && moe_work_bytes(&c) > 0);    \
    } while (0)

static void test_sizes(void)
{
    REFUSE_CONFIG(c.inputs = 0, "inputs");
    REFUSE_CONFIG(c.inputs = -1, "inputs");
    REFUSE_CONFIG(c.inputs = INT_MIN, "inputs");
    REFUSE_CONFIG(c.inputs = MOE_MAX_SIZE + 1, "inputs");
    REFUSE_CONFIG(c.inputs = INT_MAX, "inputs");
    REFUSE_CONFIG(c.outputs = 0, "outputs");
    REFUSE_CONFIG(c.outputs = -7, "outputs");
    REFUSE_CONFIG(c.outputs = MOE_MAX_SIZE + 1, "outputs");
    REFUSE_CONFIG(c.experts = 0, "experts");
    REFUSE_CONFIG(c.experts = -1, "experts");
    REFUSE_CONFIG(c.experts = MOE_MAX_SIZE + 1, "experts");
    REFUSE_CONFIG(c.block = -1, "block");
    REFUSE_CONFIG(c.block = MOE_MAX_SIZE + 1, "block");
    REFUSE_CONFIG(c.block = INT_MIN, "block");
    ACCEPT_CONFIG(c.inputs = MOE_MAX_SIZE);
    ACCEPT_CONFIG(c.outputs = MOE_MAX_SIZE);
    ACCEPT_CONFIG(c.experts = MOE_MAX_SIZE);
    ACCEPT_CONFIG(c.experts = 1);
    ACCEPT_CONFIG(c.block = MOE_MAX_SIZE);
}

static void test_hidden(void)
{
    REFUSE_CONFIG(c.hidden[0] = -1, "hidden");
    REFUSE_CONFIG(c.hidden[0] = INT_MIN, "hidden");
    REFUSE_CONFIG(c.hidden[0] = MOE_MAX_SIZE + 1, "hidden");
    REFUSE_CONFIG(c.hidden[1] = 5, "hidden");
    REFUSE_CONFIG((c.hidden[0] = 4, c.hidden[2] = 5), "hidden");
    REFUSE_CONFIG((c.hidden[0] = 4, c.hidden[1] = -5), "hidden");
    REFUSE_CONFIG(c.hidden[MOE_MAX_HIDDEN - 1] = -1, "hidden");
    REFUSE_CONFIG(c.gate_hidden[0] = -1, "hidden");
    REFUSE_CONFIG(c.gate_hidden[3] = 8, "hidden");
    REFUSE_CONFIG((c.gate_hidden[0] = 2, c.gate_hidden[3] = 8),
                  "hidden");
    REFUSE_CONFIG(c.gate_hidden[0] = MOE_MAX_SIZE + 1, "hidden");
    ACCEPT_CONFIG((c.hidden[0] = 1, c.hidden[1] = 2, c.hidden[2] = 3,
                   c.hidden[3] = 4));
    ACCEPT_CONFIG(c.gate_hidden[0] = MOE_MAX_SIZE);
}

static void test_spans(void)
{
    REFUSE_CONFIG(c.expert_inputs.first = -1, "expert_inputs");
    REFUSE_CONFIG(c.expert_inputs.count = -1, "expert_inputs");
    REFUSE_CONFIG(c.expert_inputs.count = INPUTS + 1, "expert_inputs");
    REFUSE_CONFIG(c.expert_inputs.first = INPUTS, "expert_inputs");
    REFUSE_CONFIG((c.expert_inputs.first = 2, c.expert_inputs.count = 2),
                  "expert_inputs");
    REFUSE_CONFIG((c.expert_inputs.first = INT_MAX,
                   c.expert_inputs.count = INT_MAX), "expert_inputs");
    REFUSE_CONFIG((c.expert_inputs.first = 1,
                   c.expert_inputs.count = INT_MAX), "expert_inputs");
    REFUSE_CONFIG(c.gate_inputs.first = -1, "gate_inputs");
    REFUSE_CONFIG(c.gate_inputs.count = INT_MIN, "gate_inputs");
    REFUSE_CONFIG(c.gate_inputs.first = INPUTS, "gate_inputs");
    REFUSE_CONFIG(c.gate_inputs.first = INT_MAX, "gate_inputs");
    REFUSE_CONFIG(c.gate_inputs.count = INPUTS + 1, "gate_inputs");
    ACCEPT_CONFIG(c.gate_inputs.first = INPUTS - 1);
    ACCEPT_CONFIG((c.expert_inputs.first = 1, c.expert_inputs.count = 2));
    ACCEPT_CONFIG(c.expert_inputs.count = INPUTS);
}

/* An integer that is none of the values, put where an enum is. */
static void put(void *field, int value)
{
    memcpy(field, &value, sizeof value);
}

static void test_enums(void)
{
    REFUSE_CONFIG(put(&c.activation, 5), "activation");
    REFUSE_CONFIG(put(&c.activation, -1), "activation");
    REFUSE_CONFIG(put(&c.output, 4), "output");
    REFUSE_CONFIG(put(&c.output, INT_MIN), "output");
    REFUSE_CONFIG(put(&c.loss, 3), "loss");
    REFUSE_CONFIG(put(&c.loss, INT_MAX), "loss");
    REFUSE_CONFIG(put(&c.mode, 4), "mode");
    REFUSE_CONFIG(put(&c.mode, -1), "mode");
    ACCEPT_CONFIG(put(&c.activation, 4));
    ACCEPT_CONFIG(put(&c.output, 2));
    ACCEPT_CONFIG(put(&c.loss, 2));
    ACCEPT_CONFIG(put(&c.mode, 2));
    ACCEPT_CONFIG(put(&c.mode, 3));
}

static void test_sigma(void)
{
    REFUSE_CONFIG(c.sigma = -1, "sigma");
    REFUSE_CONFIG(c.sigma = not_a_number, "sigma");
    REFUSE_CONFIG(c.sigma = infinite, "sigma");
    REFUSE_CONFIG(c.sigma = tiny, "sigma");
    ACCEPT_CONFIG(c.sigma = (moe_real)0.01);
}

/* More than size_t counts where it has 32 bits, more than there is where it
   has 64: no product may wrap round to something small. */
static void test_too_large(void)
{
    static moe_real room[MAX_REALS];
    moe_config config = small_config();
    const double widest = MOE_MAX_SIZE;
    double need = 4 * widest * widest * widest * sizeof(moe_real);
    const char *why = NULL;
    moe m;
    int i;

    config.inputs = config.outputs = config.experts = MOE_MAX_SIZE;
    for (i = 0; i < MOE_MAX_HIDDEN; i++)
        config.hidden[i] = config.gate_hidden[i] = MOE_MAX_SIZE;
    config.block = MOE_MAX_SIZE;
    if (need > (double)(size_t)-1) {
        CHECK(moe_check_config(&config, &why) == MOE_ERR_CONFIG && why != NULL);
        CHECK(moe_bytes(&config) == 0);
    } else {
        CHECK(moe_check_config(&config, &why) == MOE_OK);
        CHECK((double)moe_bytes(&config) > need);
    }
    CHECK(moe_open(&m, &config, room, sizeof room) != MOE_OK);
    CHECK(is_closed(&m));
    close_twice(&m);
    config = small_config();
    config.block = 1;
    for (i = 1; i < 40; i++) {
        config.experts = i;
        config.inputs = config.outputs = MOE_MAX_SIZE;
        need = i * widest * widest * sizeof(moe_real);
        CHECK(moe_bytes(&config) == 0 || (double)moe_bytes(&config) > need);
    }
}

/* ---- memory ------------------------------------------------------------ */

static void check_closed_why(moe *m, const char *word)
{
    CHECK(is_closed(m));
    CHECK_THAT(says(m->error, word), "\"%s\"", m->error ? m->error : "");
    close_twice(m);
    CHECK(live_blocks == 0);
}

static void test_memory(void)
{
    static moe_real room[MAX_REALS], weights[MAX_REALS];
    moe_config config = small_config();
    size_t bytes, work;
    unsigned char *odd = (unsigned char *)room + 1;
    moe m;

    config.block = 4;
    bytes = moe_bytes(&config);
    work = moe_work_bytes(&config);
    if (!CHECK(bytes > 0 && bytes <= sizeof room && work < bytes))
        return;
    spoil(&m);
    CHECK(moe_open(&m, &config, room, bytes - 1) == MOE_ERR_MEMORY);
    check_closed_why(&m, "small");
    CHECK(moe_open(&m, &config, room, 0) == MOE_ERR_MEMORY);
    check_closed_why(&m, "small");
    CHECK(moe_open(&m, &config, odd, bytes + 8) == MOE_ERR_MEMORY);
    check_closed_why(&m, "align");
    CHECK(moe_attach(&m, &config, weights, room, work - 1)
          == MOE_ERR_MEMORY);
    check_closed_why(&m, "small");
    CHECK(moe_attach(&m, &config, weights, odd, work + 8)
          == MOE_ERR_MEMORY);
    check_closed_why(&m, "align");
    CHECK(moe_open(&m, &config, room, bytes) == MOE_OK && live_blocks == 0);
    close_twice(&m);
    CHECK(moe_attach(&m, &config, weights, room, work) == MOE_OK);
    close_twice(&m);
}

static void test_no_memory(void)
{
    static moe_real weights[MAX_REALS];
    moe_config config = small_config();
    moe m;

    allocations_left = 0;
    spoil(&m);
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_ERR_MEMORY);
    check_closed_why(&m, "memory");
    spoil(&m);
    CHECK(moe_attach(&m, &config, weights, NULL, 0) == MOE_ERR_MEMORY);
    check_closed_why(&m, "memory");
    allocations_left = -1;
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK && live_blocks == 1);
    close_twice(&m);
    CHECK(live_blocks == 0);
    CHECK(moe_attach(&m, &config, weights, NULL, 0) == MOE_OK);
    CHECK(live_blocks == 1 && m.weights == NULL && m.params == weights);
    close_twice(&m);
    CHECK(live_blocks == 0);
    memset(&m, 0, sizeof m);
    close_twice(&m);
    moe_close(NULL);
}

/* ---- a moe in the middle of its life ----------------------------------- */

/* One moe with moments, gradients and an epoch behind it, and good data, to
   be spoilt one thing at a time. */
typedef struct fixture {
    moe m;
    moe_real x[CASES * INPUTS], d[CASES * OUTPUTS];
    moe_real valid_x[VALID_CASES * INPUTS], valid_d[VALID_CASES * OUTPUTS];
    int label[CASES], valid_label[VALID_CASES];
    moe_data data, valid;
    moe_training t;
    moe_report report;
} fixture;

static fixture f;
static moe_real memory[MAX_REALS];      /* of f.m */

static void fill_pattern(moe_real *a, int count, int seed)
{
    int i;

    for (i = 0; i < count; i++)
        a[i] = (moe_real)((i * 29 + seed) % 31) / 31;
}

/* Rows of two columns that sum to 1. */
static void fill_shares(moe_real *d, int rows)
{
    int b;

    for (b = 0; b < rows; b++) {
        d[OUTPUTS * b] = (moe_real)(b % 5) / 4;
        d[OUTPUTS * b + 1] = 1 - d[OUTPUTS * b];
    }
}

static void fill_fixture(void)
{
    int i;

    memset(&f, 0, sizeof f);
    fill_pattern(f.x, CASES * INPUTS, 3);
    fill_pattern(f.valid_x, VALID_CASES * INPUTS, 17);
    fill_shares(f.d, CASES);
    fill_shares(f.valid_d, VALID_CASES);
    for (i = 0; i < CASES; i++)
        f.label[i] = i % OUTPUTS;
    for (i = 0; i < VALID_CASES; i++)
        f.valid_label[i] = i % OUTPUTS;
    f.data.n = CASES;
    f.data.x = f.x;
    f.data.d = f.d;
    f.valid.n = VALID_CASES;
    f.valid.x = f.valid_x;
    f.valid.d = f.valid_d;
    f.t.epochs = 1;
}

static moe_config opened;       /* what f.m.config was before it was changed */

static void begin(moe_output output, moe_mode use)
{
    moe_config config = small_config();

    fill_fixture();
    config.output = output;
    config.mode = use;
    config.hidden[0] = 2;
    config.block = 4;
    if (moe_open(&f.m, &config, memory, sizeof memory) != MOE_OK)
        exit(1);
    opened = f.m.config;
    if (use == MOE_MODE_TRAIN && moe_train(&f.m, &f.data, NULL, &f.t, NULL))
        exit(1);
    if (use != MOE_MODE_PREDICT)
        moe_gradient(&f.m, &f.data);
}

static void gather_array(const moe_real *a, size_t count, moe_real *to)
{
    if (count > MAX_REALS)
        exit(1);
    if (a)
        memcpy(to, a, count * sizeof(moe_real));
}

static moe kept;
static moe_real kept_memory[MAX_REALS], kept_params[MAX_REALS];

/* Remember f.m as it is, and all of its memory. */
static void keep(void)
{
    f.m.error = NULL;
    kept = f.m;
    memcpy(kept_memory, memory, sizeof memory);
    gather_array(f.m.params, f.m.param_count, kept_params);
}

static void go_back(void)
{
    f.m = kept;
    memcpy(memory, kept_memory, sizeof memory);
}

static int unchanged(void)
{
    size_t at = f.m.grads ? (size_t)(f.m.grads - memory) : 0;
    size_t count = f.m.grads ? f.m.trained_count : 0;

    return f.m.epoch == kept.epoch && f.m.params == kept.params &&
           f.m.weights == kept.weights && f.m.grads == kept.grads &&
           same_reals(f.m.params, kept_params, kept.param_count) &&
           same_reals(memory + at, kept_memory + at, count);
}

/* The step that would have come next is the same as without the refused
   call, so moments and counts are as they were, too. */
static int goes_on(void)
{
    static moe_real after[MAX_REALS];
    size_t count = f.m.param_count;
    moe_status status;

    if (!f.m.grads || f.m.params != f.m.weights)
        return 1;
    f.m.config = opened;        /* a step refuses a bad loss or sigma, too */
    status = moe_step(&f.m, NULL, 1);
    gather_array(f.m.params, count, after);
    go_back();
    f.m.config = opened;
    return moe_step(&f.m, NULL, 1) == status && status == MOE_OK &&
           same_reals(f.m.params, after, count) &&
           !same_reals(f.m.params, kept_params, count);
}

static void check_refusal(moe_status status, moe_status wanted,
                          const char *what, const char *word)
{
    CHECK_THAT(status == wanted, "%s: %s", what, moe_status_text(status));
    CHECK_THAT(says(f.m.error, word), "%s: \"%s\"", what,
               f.m.error ? f.m.error : "");
    CHECK_THAT(unchanged(), "%s", what);
    CHECK_THAT(goes_on(), "%s", what);
}

#define REFUSE_IN(output, use, change, call, wanted, word)        \
    do {                                                          \
        begin(output, use);                                       \
        change;                                                   \
        keep();                                                   \
        check_refusal(call, wanted, #change " " #call, word);     \
        moe_close(&f.m);                                          \
    } while (0)

#define TRAIN moe_train(&f.m, &f.data, NULL, &f.t, &f.report)
#define TRAIN_VALID moe_train(&f.m, &f.data, &f.valid, &f.t, &f.report)
#define EVALUATE moe_evaluate(&f.m, &f.data, &f.report)
#define STEP moe_step(&f.m, &f.t, 1)

/* ---- how to train ------------------------------------------------------ */

/* moe_train and moe_step read the same settings of a step. */
#define REFUSE_STEP(change, word)                                          \
    do {                                                                   \
        REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_TRAIN, change, TRAIN,            \
                  MOE_ERR_CONFIG, word);                                   \
        REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_TRAIN, change, STEP,             \
                  MOE_ERR_CONFIG, word);                                   \
    } while (0)

#define REFUSE_TRAINING(change, word)                                      \
    REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_TRAIN, change, TRAIN,                \
              MOE_ERR_CONFIG, word)

static void test_step_settings(void)
{
    REFUSE_STEP(f.t.rate = -1, "rate");
    REFUSE_STEP(f.t.rate = not_a_number, "rate");
    REFUSE_STEP(f.t.rate = infinite, "rate");
    REFUSE_STEP(f.t.clip = -1, "clip");
    REFUSE_STEP(f.t.clip = not_a_number, "clip");
    REFUSE_STEP(f.t.weight_decay = -1, "decay");
    REFUSE_STEP(f.t.weight_decay = not_a_number, "decay");
    REFUSE_STEP(put(&f.t.optimizer, 2), "optimizer");
    REFUSE_STEP(put(&f.t.optimizer, -1), "optimizer");
    REFUSE_STEP((f.t.optimizer = MOE_SGD, f.t.momentum = 1), "momentum");
    REFUSE_STEP((f.t.optimizer = MOE_SGD, f.t.momentum = 2), "momentum");
    REFUSE_STEP((f.t.optimizer = MOE_SGD, f.t.momentum = (moe_real)-0.1),
                "momentum");
    REFUSE_STEP((f.t.optimizer = MOE_SGD, f.t.momentum = not_a_number),
                "momentum");
}

static void test_training_settings(void)
{
    REFUSE_TRAINING(f.t.target = -1, "target");
    REFUSE_TRAINING(f.t.target = not_a_number, "target");
    REFUSE_TRAINING(f.t.epochs = -1, "epochs");
    REFUSE_TRAINING(f.t.epochs = INT_MIN, "epochs");
    REFUSE_TRAINING(f.t.batch = -2, "batch");
    REFUSE_TRAINING(f.t.batch = INT_MIN, "batch");
    REFUSE_TRAINING(f.t.patience = -2, "patience");
    REFUSE_TRAINING(f.t.patience = 5, "patience");
    REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_TRAIN, f.t.patience = -2, TRAIN_VALID,
              MOE_ERR_CONFIG, "patience");
}

/* config.loss and sigma may be changed between calls, even to nonsense. */
static void test_changed_config(void)
{
    REFUSE_TRAINING(put(&f.m.config.loss, 9), "loss");
    REFUSE_TRAINING(f.m.config.sigma = -2, "sigma");
    REFUSE_TRAINING(f.m.config.sigma = not_a_number, "sigma");
}

/* ---- data -------------------------------------------------------------- */

static void check_place(int row, int column, const char *what)
{
    CHECK_THAT(f.report.bad_row == row && f.report.bad_column == column,
               "%s: row %d, column %d", what, f.report.bad_row,
               f.report.bad_column);
}

/* Training and evaluation both find the number, and tell where. */
#define REFUSE_DATA(output, change, word, row, column)                     \
    do {                                                                   \
        REFUSE_IN(output, MOE_MODE_TRAIN, change, TRAIN, MOE_ERR_DATA,      \
                  word);                                                   \
        check_place(row, column, #change);                                 \
        REFUSE_IN(output, MOE_MODE_TRAIN, change, EVALUATE, MOE_ERR_DATA,   \
                  word);                                                   \
        check_place(row, column, #change);                                 \
    } while (0)

#define REFUSE_VALID(output, change, word, row, column)                    \
    do {                                                                   \
        REFUSE_IN(output, MOE_MODE_TRAIN, change, TRAIN_VALID,              \
                  MOE_ERR_DATA, word);                                     \
        check_place(row, column, #change);                                 \
    } while (0)

static void use_labels(void)
{
    f.data.d = f.valid.d = NULL;
    f.data.labels = f.label;
    f.valid.labels = f.valid_label;
}

static void test_not_finite(void)
{
    REFUSE_DATA(MOE_OUT_LINEAR, f.x[0] = not_a_number, "finite", 0, 0);
    REFUSE_DATA(MOE_OUT_LINEAR, f.x[4 * INPUTS + 2] = infinite, "finite",
                4, 2);
    REFUSE_DATA(MOE_OUT_LINEAR, f.x[9 * INPUTS + 1] = -infinite, "finite",
                9, 1);
    REFUSE_DATA(MOE_OUT_LINEAR, f.d[9 * OUTPUTS + 1] = not_a_number,
                "finite", 9, INPUTS + 1);
    REFUSE_DATA(MOE_OUT_LOGISTIC, f.d[0] = infinite, "infinite", 0,
                INPUTS);
    REFUSE_DATA(MOE_OUT_SOFTMAX, f.d[3] = not_a_number, "NaN", 1,
                INPUTS + 1);
    REFUSE_VALID(MOE_OUT_LINEAR, f.valid_x[0] = not_a_number, "finite",
                 CASES, 0);
    REFUSE_VALID(MOE_OUT_LINEAR, f.valid_x[5 * INPUTS + 2] = infinite,
                 "finite", CASES + 5, 2);
    REFUSE_VALID(MOE_OUT_LINEAR, f.valid_d[2 * OUTPUTS + 1] = -infinite,
                 "finite", CASES + 2, INPUTS + 1);
}

static void test_ranges(void)
{
    REFUSE_DATA(MOE_OUT_LOGISTIC, f.d[5] = (moe_real)1.01, "[0,1]", 2,
                INPUTS + 1);
    REFUSE_DATA(MOE_OUT_LOGISTIC, f.d[4] = (moe_real)-0.01, "[0,1]", 2,
                INPUTS);
    REFUSE_DATA(MOE_OUT_SOFTMAX,
                (f.d[0] = (moe_real)-0.5, f.d[1] = (moe_real)1.5), "negative",
                0, INPUTS);
    REFUSE_DATA(MOE_OUT_SOFTMAX,
                (f.d[6] = (moe_real)0.5, f.d[7] = (moe_real)0.4), "sum", 3,
                INPUTS);
    REFUSE_DATA(MOE_OUT_SOFTMAX, f.d[18] = f.d[19] = 1, "sum", 9, INPUTS);
    REFUSE_DATA(MOE_OUT_SOFTMAX, (use_labels(), f.label[0] = -1), "label",
                0, INPUTS);
    REFUSE_DATA(MOE_OUT_SOFTMAX, (use_labels(), f.label[7] = OUTPUTS),
                "label", 7, INPUTS);
    REFUSE_DATA(MOE_OUT_SOFTMAX, (use_labels(), f.label[9] = INT_MIN),
                "label", 9, INPUTS);
    REFUSE_VALID(MOE_OUT_LOGISTIC, f.valid_d[1] = 2, "[0,1]", CASES,
                 INPUTS + 1);
    REFUSE_VALID(MOE_OUT_SOFTMAX, f.valid_d[2] = 2, "sum", CASES + 1,
                 INPUTS);
    REFUSE_VALID(MOE_OUT_SOFTMAX,
                 (use_labels(), f.valid_label[3] = INT_MAX), "label",
                 CASES + 3, INPUTS);
}

/* What is wrong with the arrays as a whole: no row is to blame. */
static void test_arrays(void)
{
    REFUSE_DATA(MOE_OUT_LINEAR, f.data.n = 0, "n is", -1, -1);
    REFUSE_DATA(MOE_OUT_LINEAR, f.data.n = INT_MIN, "n is", -1, -1);
    REFUSE_VALID(MOE_OUT_LINEAR, f.valid.n = 0, "n is", -1, -1);
    REFUSE_DATA(MOE_OUT_SOFTMAX, f.data.labels = f.label, "both", -1, -1);
    REFUSE_VALID(MOE_OUT_SOFTMAX, f.valid.labels = f.valid_label, "both",
                 -1, -1);
    REFUSE_DATA(MOE_OUT_LINEAR, use_labels(), "labels", -1, -1);
    REFUSE_DATA(MOE_OUT_LOGISTIC, use_labels(), "labels", -1, -1);
}

/* ---- pointers ---------------------------------------------------------- */

#define REFUSE_NULL(change, call, word)                                    \
    REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_TRAIN, change, call, MOE_ERR_NULL,   \
              word)

static void test_null_data(void)
{
    REFUSE_NULL(f.data.x = NULL, TRAIN, "x");
    REFUSE_NULL(f.data.x = NULL, EVALUATE, "x");
    REFUSE_NULL(f.valid.x = NULL, TRAIN_VALID, "x");
    REFUSE_NULL(f.data.d = NULL, TRAIN, "labels");
    REFUSE_NULL(f.data.d = NULL, EVALUATE, "labels");
    REFUSE_NULL(f.valid.d = NULL, TRAIN_VALID, "labels");
    REFUSE_NULL((void)0, moe_train(&f.m, NULL, NULL, NULL, NULL), "data");
    REFUSE_NULL((void)0, moe_evaluate(&f.m, NULL, &f.report), "data");
    REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_GRADIENT, (void)0,
              moe_fit_scales(&f.m, NULL), MOE_ERR_NULL, "data");
}

static void test_null(void)
{
    static moe_real weights[MAX_REALS];
    moe_config config = small_config();
    const char *why = NULL;
    moe m;

    CHECK(moe_check_config(NULL, &why) == MOE_ERR_NULL && says(why, "config"));
    CHECK(moe_check_config(NULL, NULL) == MOE_ERR_NULL);
    CHECK(moe_bytes(NULL) == 0 && moe_work_bytes(NULL) == 0);
    CHECK(moe_layer_at(NULL, 0, 0).out == 0);
    CHECK(moe_open(NULL, &config, NULL, 0) == MOE_ERR_NULL);
    CHECK(moe_attach(NULL, &config, weights, NULL, 0) == MOE_ERR_NULL);
    spoil(&m);
    CHECK(moe_open(&m, NULL, NULL, 0) == MOE_ERR_NULL);
    check_closed_why(&m, "config");
    spoil(&m);
    CHECK(moe_attach(&m, NULL, weights, NULL, 0) == MOE_ERR_NULL);
    check_closed_why(&m, "config");
    spoil(&m);
    CHECK(moe_attach(&m, &config, NULL, NULL, 0) == MOE_ERR_NULL);
    check_closed_why(&m, "params");
    fill_fixture();
    CHECK(moe_train(NULL, &f.data, NULL, NULL, NULL) == MOE_ERR_NULL);
    CHECK(moe_evaluate(NULL, &f.data, NULL) == MOE_ERR_NULL);
    CHECK(moe_fit_scales(NULL, &f.data) == MOE_ERR_NULL);
    CHECK(moe_step(NULL, NULL, 1) == MOE_ERR_NULL);
}

/* ---- what a moe was not opened for ------------------------------------- */

#define MEASURE moe_fit_scales(&f.m, &f.data)
#define STEP_DEFAULT moe_step(&f.m, NULL, 1)

#define REFUSE_STATE(use, change, call, word) \
    REFUSE_IN(MOE_OUT_LINEAR, use, change, call, MOE_ERR_STATE, word)

static moe_real elsewhere[MAX_REALS];

/* The same weights, const, somewhere else. */
static void attach_instead(void)
{
    moe_config config = f.m.config;

    gather_array(f.m.params, f.m.param_count, elsewhere);
    moe_close(&f.m);
    if (moe_attach(&f.m, &config, elsewhere, NULL, 0) != MOE_OK)
        exit(1);
}

static void look_elsewhere(void)
{
    gather_array(f.m.params, f.m.param_count, elsewhere);
    f.m.params = elsewhere;
}

static void test_const_weights(void)
{
    REFUSE_STATE(MOE_MODE_TRAIN, attach_instead(), TRAIN, "const");
    REFUSE_STATE(MOE_MODE_TRAIN, attach_instead(), MEASURE, "const");
    REFUSE_STATE(MOE_MODE_TRAIN, attach_instead(), STEP, "const");
    REFUSE_STATE(MOE_MODE_TRAIN, attach_instead(), EVALUATE, "const");
    REFUSE_STATE(MOE_MODE_TRAIN, look_elsewhere(), TRAIN, "weights");
    REFUSE_STATE(MOE_MODE_TRAIN, look_elsewhere(), STEP, "weights");
    REFUSE_STATE(MOE_MODE_GRADIENT, look_elsewhere(), MEASURE, "weights");
}

static void test_use(void)
{
    REFUSE_STATE(MOE_MODE_PREDICT, (void)0, TRAIN, "MOE_MODE_TRAIN");
    REFUSE_STATE(MOE_MODE_PREDICT, (void)0, MEASURE, "MOE_MODE_LEARN");
    REFUSE_STATE(MOE_MODE_PREDICT, (void)0, STEP, "MOE_MODE_GRADIENT");
    REFUSE_STATE(MOE_MODE_PREDICT, (void)0, EVALUATE, "MOE_MODE_TRAIN");
    REFUSE_STATE(MOE_MODE_GRADIENT, (void)0, TRAIN, "MOE_MODE_TRAIN");
    REFUSE_STATE(MOE_MODE_GRADIENT, (void)0, STEP, "Adam");
    REFUSE_STATE(MOE_MODE_GRADIENT, (f.t.optimizer = MOE_SGD,
                                 f.t.momentum = (moe_real)0.5), STEP,
                 "momentum");
    REFUSE_STATE(MOE_MODE_TRAIN, moe_close(&f.m), TRAIN, "closed");
    REFUSE_STATE(MOE_MODE_TRAIN, moe_close(&f.m), MEASURE, "closed");
    REFUSE_STATE(MOE_MODE_TRAIN, moe_close(&f.m), STEP, "closed");
    REFUSE_STATE(MOE_MODE_TRAIN, moe_close(&f.m), EVALUATE, "");
}

/* The smaller use still does what it is for, and a bad gradient or number
   for the step is refused as by the larger. */
static void test_learning(void)
{
    begin(MOE_OUT_LINEAR, MOE_MODE_GRADIENT);
    CHECK(MEASURE == MOE_OK && EVALUATE == MOE_OK);
    CHECK(STEP_DEFAULT == MOE_OK);
    f.t.optimizer = MOE_SGD;
    CHECK(STEP == MOE_OK);
    moe_close(&f.m);
    REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_GRADIENT, (void)0,
              moe_step(&f.m, NULL, not_a_number), MOE_ERR_CONFIG, "scale");
    REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_TRAIN, (void)0,
              moe_step(&f.m, NULL, infinite), MOE_ERR_CONFIG, "scale");
    REFUSE_IN(MOE_OUT_LINEAR, MOE_MODE_GRADIENT, f.x[4] = not_a_number, MEASURE,
              MOE_ERR_DATA, "x");
}

/* The fixture itself is sound, so what was refused above was refused for
   what had been spoilt; and a moe goes on after a refusal. */
static void test_sound(void)
{
    static const moe_output outputs[3] =
        {MOE_OUT_LINEAR, MOE_OUT_LOGISTIC, MOE_OUT_SOFTMAX};
    int i;

    for (i = 0; i < 3; i++) {
        begin(outputs[i], MOE_MODE_TRAIN);
        f.t.rate = -1;
        CHECK(TRAIN == MOE_ERR_CONFIG);
        f.t.rate = 0;
        CHECK(TRAIN_VALID == MOE_OK && f.m.epoch == 2);
        CHECK(f.report.bad_row == -1 && f.report.bad_column == -1);
        CHECK(EVALUATE == MOE_OK && STEP == MOE_OK);
        moe_close(&f.m);
    }
    begin(MOE_OUT_SOFTMAX, MOE_MODE_TRAIN);
    use_labels();
    CHECK(TRAIN_VALID == MOE_OK && EVALUATE == MOE_OK);
    CHECK(moe_train(&f.m, &f.data, NULL, NULL, NULL) == MOE_OK);
    CHECK(f.m.epoch == 6002);
    moe_close(&f.m);
    CHECK(live_blocks == 0);
}

static void test_status_text(void)
{
    moe_status unknown;
    int i, k;

    for (i = 0; i <= MOE_ERR_STATE; i++) {
        const char *text = moe_status_text((moe_status)i);

        CHECK(text != NULL && text[0] != 0);
        for (k = 0; k < i; k++)
            CHECK(strcmp(text, moe_status_text((moe_status)k)) != 0);
    }
    put(&unknown, MOE_ERR_STATE + 50);
    CHECK(moe_status_text(unknown) != NULL);
}

int main(void)
{
    not_a_number = make_nan();
    infinite = make_infinity();
    RUN(test_sizes());
    RUN(test_hidden());
    RUN(test_spans());
    RUN(test_enums());
    RUN(test_sigma());
    RUN(test_too_large());
    RUN(test_memory());
    RUN(test_no_memory());
    RUN(test_step_settings());
    RUN(test_training_settings());
    RUN(test_changed_config());
    RUN(test_not_finite());
    RUN(test_ranges());
    RUN(test_arrays());
    RUN(test_null_data());
    RUN(test_null());
    RUN(test_const_weights());
    RUN(test_use());
    RUN(test_learning());
    RUN(test_sound());
    RUN(test_status_text());
    return check_done();
}
