/* test_frozen.c - layers that do not learn: their bytes never change, nothing
   is kept for them, what else learns does so as if nothing were frozen; the
   same of single experts, for which memory is kept; and const weights of which
   some layers learn, over a small array. */
#include "models.h"

int frozen_same(int *failed);

#ifdef FROZEN_SAME
enum { SAME_BITS = 1 };
#else
enum { SAME_BITS = 0 };
#endif
enum { CASES = 24, INPUTS = 3, OUTPUTS = 2, MOST = 2000 };

static moe_real x[CASES * INPUTS], d[CASES * OUTPUTS];
static int labels[CASES];
static moe_real flash[MOST], flash_copy[MOST];

static void fill_data(void)
{
    int i;

    for (i = 0; i < CASES * INPUTS; i++)
        x[i] = (moe_real)(2 * uniform());
    for (i = 0; i < CASES * OUTPUTS; i++)
        d[i] = (moe_real)(0.5 + 0.4 * uniform());
    for (i = 0; i < CASES; i++)
        labels[i] = i * 7 % OUTPUTS;
}

static moe_data data_of(const moe_config *c, int first, int n)
{
    moe_data data = {n, x + first * INPUTS, NULL, NULL, NULL};

    if (c->output == MOE_OUT_SOFTMAX)
        data.labels = labels + first;
    else
        data.d = d + first * OUTPUTS;
    return data;
}

static moe_config config_of(int experts, int top_k, int hidden)
{
    moe_config config;
    int l;

    memset(&config, 0, sizeof config);
    config.inputs = INPUTS;
    config.outputs = OUTPUTS;
    config.experts = experts;
    config.top_k = top_k;
    for (l = 0; l < hidden; l++) {
        config.hidden[l] = 4 + l;
        config.gate_hidden[l] = 3 + l;
    }
    config.activation = MOE_ACT_TANH;
    config.block = 5;
    config.seed = 7;
    return config;
}

/* All layers learn, or only those that are not frozen, in own memory. */
static int open_stirred(moe *m, const moe_config *config, int frozen)
{
    const uint64_t state = random_state;
    moe_config c = *config;
    size_t i;

    if (!frozen)
        c.frozen = c.gate_frozen = 0, c.frozen_experts = 0;
    if (!CHECK(moe_open(m, &c, NULL, 0) == MOE_OK))
        exit(1);
    CHECK(m->param_count <= MOST);
    random_state = 7;
    for (i = 0; i < m->trained_count; i++)
        m->weights[i] = (moe_real)uniform();
    random_state = state;
    for (i = 0; i < OUTPUTS && config->output == MOE_OUT_LINEAR; i++) {
        m->weights[m->trained_count + i] = (moe_real)0.25;
        m->weights[m->trained_count + OUTPUTS + i] = 2;
    }
    return 1;
}

/* The same weights in flash. */
static int attach_stirred(moe *m, const moe_config *config)
{
    moe own;

    open_stirred(&own, config, 0);
    memset(flash, 0, sizeof flash);
    memcpy(flash, own.params, own.param_count * sizeof *flash);
    memcpy(flash_copy, flash, sizeof flash);
    moe_close(&own);
    if (!CHECK(moe_attach(m, config, flash, NULL, 0) == MOE_OK))
        exit(1);
    return 1;
}

static int flash_is_whole(void)
{
    return !memcmp(flash, flash_copy, sizeof flash);
}

/* Is shown params[i], whether it learns, whether it has a place in grads, as
   single experts that are frozen have, and where. */
typedef void visit(const moe *m, size_t i, int learns, int held,
                   size_t in_grads);

/* Every parameter before the scales, in order. */
static void each_param(const moe *m, visit *see)
{
    moe_config layers = m->config;
    size_t i, k, before = 0;
    int e, l, last = 1, held;
    moe_layer at;

    layers.frozen_experts = 0;
    for (e = 0; e <= layers.experts; e++)
        for (l = 0; (at = moe_layer_at(&m->config, e, l)).in > 0; l++) {
            held = moe_layer_at(&layers, e, l).learns;
            for (k = 0; k < (size_t)at.out; k++)
                see(m, at.bias + k, at.learns, held,
                    at.bias + k - at.left_out);
            for (k = 0; k < (size_t)at.out * (size_t)at.in; k++)
                see(m, at.weight + k, at.learns, held,
                    at.weight + k - at.left_out);
            last = at.learns;
        }
    if (layers.experts == 1)
        return;
    before = m->trained_count - m->grad_count;
    for (i = m->trained_count - (size_t)layers.experts; i < m->trained_count;
         i++)
        see(m, i, last, last, last ? i - before : 0);
}

static moe_real now[MOST];
static const moe *full;         /* the same with nothing frozen */
static size_t learning, holding, differs, moved, frozen_moved;

static void see_now(const moe *m, size_t i, int learns, int held,
                    size_t in_grads)
{
    now[i] = held && m->params != m->weights ? m->weights[in_grads]
                                             : m->params[i];
    learning += learns ? 1 : 0;
    holding += held ? 1 : 0;
}

static const moe_real *params_now(const moe *m)
{
    learning = holding = 0;
    each_param(m, see_now);
    memcpy(now + m->trained_count, m->params + m->trained_count,
           (m->param_count - m->trained_count) * sizeof *now);
    return now;
}

static void see_grad(const moe *m, size_t i, int learns, int held,
                     size_t in_grads)
{
    if (learns && memcmp(&m->grads[in_grads], &full->grads[i],
                         sizeof(moe_real)) != 0)
        differs++;
    if (held && !learns && m->grads[in_grads] != 0)
        differs++;
    if (learns && m->grads[in_grads] != 0)
        moved++;
}

static void zero_frozen(const moe *m, size_t i, int learns, int held,
                        size_t in_grads)
{
    (void)m, (void)held, (void)in_grads;
    if (!learns)
        full->grads[i] = 0;
}

static int equal(const moe_real *a, const moe *b)
{
    return !memcmp(a, b->params, b->param_count * sizeof *a);
}

/* The same, but that a product and a sum may be rounded as one where a vector
   of weights is whole, and as two where it is not: half a last place a step. */
static int agree(const moe_real *a, const moe *b)
{
    const double epsilon = sizeof *a == 4 ? (double)FLT_EPSILON : DBL_EPSILON;
    size_t i;

    if (SAME_BITS)
        return equal(a, b);
    for (i = 0; i < b->param_count; i++)
        if (fabs((double)(a[i] - b->params[i]))
            > 4 * epsilon * fmax(0.1, fabs((double)a[i])))
            return 0;
    return 1;
}

static moe_real start_of[MOST];

static void see_frozen(const moe *m, size_t i, int learns, int held,
                       size_t in_grads)
{
    (void)m, (void)held, (void)in_grads;
    if (memcmp(&now[i], &start_of[i], sizeof *now) == 0)
        return;
    if (learns)
        moved++;
    else
        frozen_moved++;
}

static void count_moves(const moe *m)
{
    moved = frozen_moved = 0;
    params_now(m);
    each_param(m, see_frozen);
}

/* ---- gradients ---------------------------------------------------------- */

/* A frozen layer has none; the others' are those of a moe where all learns. */
static void check_gradient(const moe_config *config)
{
    moe_data data = data_of(config, 0, CASES);
    moe_real dx[2][CASES * INPUTS], dy[CASES * OUTPUTS], loss;
    moe all, m[2];
    int i, k, n;

    open_stirred(&all, config, 0);
    open_stirred(&m[0], config, 1);
    attach_stirred(&m[1], config);
    full = &all;
    loss = moe_gradient(&all, &data);
    for (i = 0; i < 2; i++) {
        CHECK(moe_gradient(&m[i], &data) == loss);
        differs = moved = 0;
        each_param(&m[i], see_grad);
        params_now(&m[i]);
        CHECK_THAT(differs == 0 && holding == m[i].grad_count
                   && learning < all.grad_count && 2 * moved > learning,
                   "%d: %lu of %lu differ", i, (unsigned long)differs,
                   (unsigned long)learning);
        CHECK(m[i].trained_count == all.trained_count
              && (m[i].grad_count < all.grad_count
                  || (config->frozen == 0 && config->gate_frozen == 0)));
    }
    for (i = 0; i < CASES * OUTPUTS; i++)
        dy[i] = (moe_real)uniform();
    memset(all.grads, 0, all.grad_count * sizeof(moe_real));
    n = moe_forward(&all, x, CASES);
    moe_backward(&all, dy, dx[0]);
    for (i = 0; i < 2; i++)
        for (k = 0; k < 2; k++) {
            memset(m[i].grads, 0, m[i].grad_count * sizeof(moe_real));
            memset(dx[1], 0, sizeof dx[1]);
            CHECK(moe_forward(&m[i], x, CASES) == n);
            moe_backward(&m[i], dy, k ? dx[1] : NULL);
            differs = 0;
            each_param(&m[i], see_grad);
            CHECK(differs == 0);
            CHECK(!k || !memcmp(dx[0], dx[1], (size_t)n * INPUTS
                                              * sizeof dx[0][0]));
        }
    CHECK(flash_is_whole());
    moe_close(&all);
    moe_close(&m[0]);
    moe_close(&m[1]);
}

static char learns_at[MOST];

static void see_learning(const moe *m, size_t i, int learns, int held,
                         size_t in_grads)
{
    (void)m, (void)i;
    if (held)
        learns_at[in_grads] = (char)learns;
}

/* Each derivative that is kept, by central differences of the loss. */
static void check_differences(const moe_config *config)
{
    const int wide = sizeof(moe_real) == 8;
    const double by = wide ? 1e-5 : 1e-2, bound = wide ? 1e-7 : 2e-2;
    moe_data data = data_of(config, 0, CASES);
    double worst = 0, largest = 0;
    size_t i, descending;
    moe_real *kept;
    moe m;

    attach_stirred(&m, config);
    descending = balance_at(&m) - (m.trained_count - m.grad_count);
    kept = (moe_real *)malloc(m.grad_count * sizeof *kept);
    if (kept == NULL)
        exit(1);
    moe_gradient(&m, &data);
    memcpy(kept, m.grads, m.grad_count * sizeof *kept);
    each_param(&m, see_learning);
    for (i = 0; i < descending; i++) {
        const moe_real w = m.weights[i];
        double up, down;

        if (!learns_at[i])
            continue;
        m.weights[i] = (moe_real)((double)w + by);
        up = (double)moe_gradient(&m, &data);
        m.weights[i] = (moe_real)((double)w - by);
        down = (double)moe_gradient(&m, &data);
        m.weights[i] = w;
        worst = fmax(worst, fabs((up - down) / (2 * by) - (double)kept[i]));
        largest = fmax(largest, fabs((double)kept[i]));
    }
    CHECK_THAT(largest > 0.01 && worst < bound * fmax(1, largest),
               "off by %g of %g", worst, largest);
    CHECK(flash_is_whole());
    free(kept);
    moe_close(&m);
}

/* ---- steps -------------------------------------------------------------- */

static moe_training settings_of(int kind)
{
    moe_training t;

    memset(&t, 0, sizeof t);
    t.optimizer = kind < 2 ? MOE_SGD : MOE_ADAM;
    t.momentum = kind == 1 ? (moe_real)0.9 : 0;
    t.rate = (moe_real)(kind < 2 ? 0.01 : 0.02);
    t.keep_units = 1;
    t.epochs = 3;
    t.batch = 7;
    return t;
}

/* As of a moe that learns all, but whose frozen gradients are put to 0; a norm
   over more numbers is rounded otherwise, unless sums are in order. */
static void check_steps(const moe_config *config, int kind, double clip)
{
    moe_training t = settings_of(kind);
    moe_data data = data_of(config, 0, CASES);
    moe all, m[2];
    int i, k;

    t.clip = (moe_real)clip;
    open_stirred(&all, config, 0);
    open_stirred(&m[0], config, 1);
    attach_stirred(&m[1], config);
    memcpy(start_of, flash, sizeof flash);
    full = &all;
    for (k = 0; k < 4; k++) {
        moe_gradient(&all, &data);
        each_param(&m[0], zero_frozen);
        CHECK(moe_step(&all, &t, 1 / (moe_real)CASES) == MOE_OK);
        for (i = 0; i < 2; i++) {
            moe_gradient(&m[i], &data);
            CHECK(moe_step(&m[i], &t, 1 / (moe_real)CASES) == MOE_OK);
        }
    }
    for (i = 0; i < 2; i++) {
        CHECK_THAT(agree(params_now(&m[i]), &all), "%d, kind %d, clip %g", i,
                   kind, clip);
        count_moves(&m[i]);
        CHECK(frozen_moved == 0 && moved > 0);
    }
    CHECK(flash_is_whole());
    moe_close(&all);
    moe_close(&m[0]);
    moe_close(&m[1]);
}

/* Decay is of what learns alone; training too leaves the rest as it is, and
   does over const weights what it does over its own. */
static void check_training(const moe_config *config, int kind, int validated)
{
    moe_training t = settings_of(kind);
    moe_data data = data_of(config, 0, 17), valid = data_of(config, 17, 7);
    moe_real last[MOST];
    moe_report report;
    moe m[2];
    int i;

    t.weight_decay = (moe_real)0.01;
    open_stirred(&m[0], config, 1);
    attach_stirred(&m[1], config);
    memcpy(start_of, flash, sizeof flash);
    for (i = 0; i < 2; i++) {
        CHECK_THAT(moe_train(&m[i], &data, validated ? &valid : NULL, &t,
                             &report) == MOE_OK, "%s", m[i].error);
        count_moves(&m[i]);
        CHECK(frozen_moved == 0 && (moved > 0 || validated));
        if (i == 1)
            CHECK(!memcmp(last, now, m[1].param_count * sizeof *now));
        memcpy(last, now, sizeof last);
    }
    CHECK(flash_is_whole());
    moe_close(&m[0]);
    moe_close(&m[1]);
}

/* moe_learn: the first case as where all learns; then as a gradient and a step
   of the same frozen moe, to rounding. */
static void check_learn(const moe_config *config, double clip)
{
    const double epsilon = sizeof(moe_real) == 4 ? (double)FLT_EPSILON
                                                 : DBL_EPSILON;
    moe_training t = settings_of(0);
    moe_config learning_config = *config;
    moe_data data;
    moe all, m, steps;
    double off = 0;
    size_t k;
    int i;

    t.clip = (moe_real)clip;
    learning_config.mode = MOE_MODE_LEARN;
    open_stirred(&all, &learning_config, 0);
    attach_stirred(&m, &learning_config);
    open_stirred(&steps, config, 1);
    CHECK(m.grads == NULL && m.grad_count == steps.grad_count);
    memcpy(start_of, flash, sizeof flash);
    full = &all;
    for (i = 0; i < CASES; i++) {
        data = data_of(config, i, 1);
        CHECK(moe_learn(&m, &data, &t) == 0);
        moe_gradient(&steps, &data);
        CHECK(moe_step(&steps, &t, 1) == MOE_OK);
        if (i == 0 && clip == 0) {
            CHECK(moe_learn(&all, &data, &t) == 0);
            params_now(&m);
            for (k = 0, off = 0; k < m.param_count; k++)
                off += now[k] != start_of[k] && now[k] != all.params[k];
            CHECK_THAT(off == 0, "%g weights differ", off);
        }
    }
    params_now(&m);
    for (k = 0, off = 0; k < m.param_count; k++)
        off = fmax(off, fabs((double)(now[k] - steps.params[k])));
    CHECK_THAT(off < 100 * epsilon, "off by %g", off);
    count_moves(&m);
    CHECK(frozen_moved == 0 && moved > 0 && flash_is_whole());
    moe_close(&all);
    moe_close(&m);
    moe_close(&steps);
}

/* ---- files -------------------------------------------------------------- */

/* A tuned moe is saved whole, and is again what it was. */
static void check_files(const moe_config *config)
{
    moe_real y[3][CASES * OUTPUTS];
    moe_data data = data_of(config, 0, CASES);
    moe_training t = settings_of(2);
    moe_config shape = *config, free_shape = *config;
    unsigned char *file;
    size_t bytes;
    moe m, again;

    free_shape.frozen = free_shape.gate_frozen = 0;
    free_shape.frozen_experts = 0;
    attach_stirred(&m, config);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    moe_predict(&m, x, CASES, y[0]);
    bytes = moe_save_bytes(&m, MOE_MODE_PREDICT);
    file = (unsigned char *)malloc(bytes + 16);
    if (!CHECK(bytes > 0) || file == NULL)
        exit(1);
    CHECK(moe_save_memory(&m, MOE_MODE_PREDICT, file, bytes) == MOE_OK);
    CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, file, bytes) == MOE_ERR_MEMORY);
    CHECK(moe_load_memory(&again, file, bytes, &free_shape, NULL, 0) == MOE_OK);
    moe_predict(&again, x, CASES, y[1]);
    if (sizeof(moe_real) == 4)
        CHECK(!memcmp(y[0], y[1], sizeof y[0]) && equal(params_now(&m),
                                                         &again));
    CHECK(again.config.frozen == 0 && again.config.gate_frozen == 0
          && again.config.frozen_experts == 0);
    moe_close(&again);
    CHECK(moe_load_memory(&again, file, bytes, &shape, NULL, 0) == MOE_OK);
    CHECK(again.config.frozen == config->frozen
          && again.grad_count == m.grad_count && again.params == again.weights);
    CHECK(moe_train(&again, &data, NULL, &t, NULL) == MOE_OK);
    moe_close(&again);
    if (sizeof(moe_real) == 4
        && moe_load_in_place(&again, file, bytes, &shape, NULL, 0) == MOE_OK) {
        moe_predict(&again, x, CASES, y[2]);
        CHECK(!memcmp(y[0], y[2], sizeof y[0]) && again.tunes == 1);
        memcpy(start_of, params_now(&again), sizeof start_of);
        CHECK(moe_train(&again, &data, NULL, &t, NULL) == MOE_OK);
        count_moves(&again);
        CHECK(frozen_moved == 0 && moved > 0);
        moe_close(&again);
        CHECK(moe_load_memory(&again, file, bytes, NULL, NULL, 0) == MOE_OK);
        CHECK(equal(start_of, &again));
        moe_close(&again);
    } else {
        CHECK(sizeof(moe_real) == 8);
    }
    free(file);
    moe_close(&m);
}

typedef struct stop {
    moe *m;
    unsigned char *file;
    size_t bytes;
} stop;

static int save_and_stop(const moe_report *report, void *user)
{
    stop *s = (stop *)user;

    if (report->epoch != 2)
        return 0;
    s->bytes = moe_save_bytes(s->m, MOE_MODE_TRAIN);
    s->file = (unsigned char *)malloc(s->bytes);
    return s->file == NULL || !CHECK(moe_save_memory(
        s->m, MOE_MODE_TRAIN, s->file, s->bytes) == MOE_OK);
}

static int same_stored(const moe *a, const moe *b, int which)
{
    return same_reals(stored(a, which), stored(b, which), a->grad_count);
}

/* Training goes on from a checkpoint, which says what is frozen, as if it had
   not been left; over const weights too. */
static void check_resumed(const moe_config *config)
{
    const moe_data data = data_of(config, 0, CASES);
    moe_training t = settings_of(2);
    moe_config known = *config, other = *config;
    moe m, later[3];
    stop s;
    int i, place;

    s.m = &m;
    s.file = NULL;
    t.epochs = 5;
    t.progress = save_and_stop;
    t.user = &s;
    open_stirred(&m, config, 1);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    if (s.file == NULL)
        exit(1);
    memcpy(start_of, params_now(&m), sizeof start_of);
    t.progress = NULL;
    t.epochs = 3;
    CHECK(moe_read_config(&known, s.file, s.bytes) == MOE_OK
          && known.mode == MOE_MODE_TRAIN
          && known.frozen_experts == config->frozen_experts);
    known.block = config->block;
    CHECK(moe_load_memory(&later[0], s.file, s.bytes, NULL, NULL, 0) == MOE_OK
          && later[0].state->steps > 0 && later[0].grad_count == m.grad_count);
    moe_close(&later[0]);
    CHECK(moe_load_memory(&later[0], s.file, s.bytes, &known, NULL, 0)
          == MOE_OK);
    CHECK(moe_load_memory(&later[1], s.file, s.bytes, config, NULL, 0)
          == MOE_OK);
    place = sizeof(moe_real) == 8 ? 2 : 3;
    CHECK(place == 2 || moe_load_in_place(&later[2], s.file, s.bytes, config,
                                          NULL, 0) == MOE_OK);
    for (i = 0; i < place; i++) {
        CHECK(later[i].state->steps > 0
              && later[i].grad_count == m.grad_count);
        CHECK(moe_train(&later[i], &data, NULL, &t, NULL) == MOE_OK);
        if (sizeof(moe_real) == 4)
            CHECK(!memcmp(start_of, params_now(&later[i]),
                          m.param_count * sizeof *now)
                  && same_stored(&m, &later[i], 0)
                  && same_stored(&m, &later[i], 1)
                  && same_stored(&m, &later[i], 2)
                  && later[i].state->largest_moment
                     <= 2 * m.state->largest_moment);
        moe_close(&later[i]);
    }
    other.frozen = other.frozen == 1 ? 2 : 1;
    CHECK(moe_load_memory(&later[0], s.file, s.bytes, &other, NULL, 0)
          == MOE_OK && later[0].state->steps == 0);
    moe_close(&later[0]);
    free(s.file);
    moe_close(&m);
}

/* Where other layers were frozen, training starts anew from a checkpoint's
   weights. */
static void check_checkpoint(const moe_config *config)
{
    moe_data data = data_of(config, 0, CASES);
    moe_training t = settings_of(2);
    union { const moe_real *read; moe_real *write; } sigma;
    unsigned char *file;
    moe m, fresh, again;
    size_t bytes;

    open_stirred(&m, config, 0);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    bytes = moe_save_bytes(&m, MOE_MODE_TRAIN);
    file = (unsigned char *)malloc(bytes);
    if (file == NULL)
        exit(1);
    CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, file, bytes) == MOE_OK);
    CHECK(moe_load_memory(&again, file, bytes, config, NULL, 0) == MOE_OK);
    CHECK(again.state->steps == 0 && again.epoch == 0);
    open_stirred(&fresh, config, 1);
    memcpy(fresh.weights, again.weights,
           again.param_count * sizeof *again.weights);
    sigma.read = fresh.sigma;
    memcpy(sigma.write, again.sigma,
           (1 + (size_t)config->experts) * sizeof *again.sigma);
    CHECK(moe_train(&again, &data, NULL, &t, NULL) == MOE_OK
          && moe_train(&fresh, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(equal(again.params, &fresh));
    free(file);
    moe_close(&m);
    moe_close(&again);
    moe_close(&fresh);
}

/* ---- what is refused, and what is needed -------------------------------- */

static int refuses(const moe_config *config, const char *text)
{
    const char *error;

    return moe_check_config(config, &error) == MOE_ERR_CONFIG
        && strstr(error, text) != NULL;
}

static void check_refusals(void)
{
    moe_config c = config_of(4, 2, 1);
    moe_data data = data_of(&c, 0, CASES);
    moe_training t = settings_of(0);
    moe m;

    c.frozen = 4;
    CHECK(refuses(&c, "frozen has a layer that experts do not have"));
    c.frozen = -2;
    CHECK(refuses(&c, "frozen has a layer that experts do not have"));
    c.frozen = 3;
    c.gate_frozen = 8;
    CHECK(refuses(&c, "gate_frozen has a layer that no gate has"));
    c.gate_frozen = MOE_ALL;
    CHECK(refuses(&c, "all layers are frozen"));
    CHECK(moe_bytes(&c) == 0 && moe_open(&m, &c, NULL, 0) == MOE_ERR_CONFIG);
    c.mode = MOE_MODE_PREDICT;
    CHECK(moe_check_config(&c, NULL) == MOE_OK);
    c.mode = MOE_MODE_TRAIN;
    c.frozen = 1;
    attach_stirred(&m, &c);
    t.balance_rate = (moe_real)0.01;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG
          && strstr(m.error, "gate.balance is frozen") != NULL);
    CHECK(moe_fit_scales(&m, &data) == MOE_ERR_STATE);
    CHECK(flash_is_whole());
    moe_close(&m);
    c.frozen = c.gate_frozen = 0;
    c.frozen_experts = 16;
    CHECK(refuses(&c, "frozen_experts has an expert that there is not"));
    c.frozen_experts = 15;
    CHECK(moe_check_config(&c, NULL) == MOE_OK);
    c.gate_frozen = MOE_ALL;
    CHECK(refuses(&c, "all layers are frozen"));
    c.gate_frozen = 0;
    c.frozen_experts = 5;
    attach_stirred(&m, &c);
    CHECK(moe_fit_scales(&m, &data) == MOE_ERR_STATE);
    t.balance_rate = 0;
    t.restarts = 2;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG
          && strstr(m.error, "frozen") != NULL);
    t.restarts = 0;
    m.config.frozen_experts = 0;
    CHECK(moe_fit_scales(&m, &data) == MOE_ERR_STATE && flash_is_whole());
    moe_close(&m);
    c.blend = MOE_BLEND_WEIGHTS;
    c.loss = MOE_LOSS_BLEND;
    c.top_k = 0;
    CHECK(refuses(&c, "frozen_experts: blended weights learn as one"));
    c.frozen_experts = 0;
    open_stirred(&m, &c, 1);
    m.config.frozen_experts = 1;
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG);
    moe_close(&m);
    c = config_of(4, 2, 1);
    attach_stirred(&m, &c);
    CHECK(moe_step(&m, &t, 1) == MOE_ERR_STATE
          && strstr(m.error, "const weights can only predict") != NULL);
    CHECK(m.grads == NULL && m.weights == NULL);
    moe_close(&m);
    c.experts = 1;
    c.top_k = 0;
    c.frozen = MOE_ALL;
    CHECK(refuses(&c, "all layers are frozen"));
}

/* Experts may be frozen, and let go, while others learn. */
static void check_switched(void)
{
    moe_config c = config_of(4, 0, 1);
    moe_data data = data_of(&c, 0, CASES);
    moe_training t = settings_of(2);
    moe m;
    int turn;

    t.weight_decay = (moe_real)0.01;
    open_stirred(&m, &c, 1);
    for (turn = 0; turn < 4; turn++) {
        m.config.frozen_experts = turn < 3 ? (uint64_t)3 << turn : 0;
        memcpy(start_of, params_now(&m), sizeof start_of);
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        count_moves(&m);
        CHECK(frozen_moved == 0 && moved > 0
              && (learning == m.grad_count) == (turn == 3));
    }
    moe_close(&m);
}

/* A column that says nothing yet leaves the weights of frozen experts. */
static void check_constant_column(void)
{
    moe_config c = config_of(3, 0, 1);
    moe_data data = data_of(&c, 0, CASES);
    moe_real flat[CASES * INPUTS];
    moe m;
    int i;

    memcpy(flat, x, sizeof flat);
    for (i = 0; i < CASES; i++)
        flat[i * INPUTS + 1] = 7;
    data.x = flat;
    c.frozen_experts = 2;
    open_stirred(&m, &c, 1);
    memcpy(start_of, params_now(&m), sizeof start_of);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    count_moves(&m);
    CHECK(frozen_moved == 0 && moved == 2 * 4 + 3);
    moe_close(&m);
}

/* A gate that does not learn takes no harm from top_k = 1. */
static void check_top_1(void)
{
    moe_config c = config_of(4, 1, 1);
    moe_data data = data_of(&c, 0, CASES);
    moe_training t = settings_of(2);
    moe_report before, after;
    moe m;

    c.gate_frozen = 1;
    attach_stirred(&m, &c);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_ERR_CONFIG);
    moe_close(&m);
    c.gate_frozen = MOE_ALL;
    attach_stirred(&m, &c);
    memcpy(start_of, flash, sizeof flash);
    t.epochs = 50;
    CHECK(moe_evaluate(&m, &data, &before) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_evaluate(&m, &data, &after) == MOE_OK);
    CHECK_THAT(after.loss < before.loss / 2, "%g, then %g",
               (double)before.loss, (double)after.loss);
    count_moves(&m);
    CHECK(frozen_moved == 0 && moved > 0 && flash_is_whole());
    moe_close(&m);
}

typedef char is_constant[MOE_TUNE_BYTES(16, 4, 4, 4, 32) > 0 ? 1 : -1];

/* Bytes: as the constant says, and enough. */
static void check_bytes(int I, int O, int E, int K, int hidden)
{
    moe_config c;
    void *memory;
    size_t need;
    moe m;

    memset(&c, 0, sizeof c);
    c.inputs = I;
    c.outputs = O;
    c.experts = E;
    c.top_k = K;
    c.hidden[0] = hidden;
    c.block = c.frozen = 1;
    c.mode = MOE_MODE_LEARN;
    need = moe_work_bytes(&c);
    CHECK_THAT(need == MOE_TUNE_BYTES(I, O, E, K, hidden),
               "%lu for %d %d %d %d %d", (unsigned long)need, I, O, E, K,
               hidden);
    memset(flash, 0, sizeof flash);
    memory = malloc(need);
    CHECK(moe_attach(&m, &c, flash, memory, need - 1) == MOE_ERR_MEMORY);
    if (moe_layer_at(&c, E, 0).weight < MOST / 2)
        CHECK(moe_attach(&m, &c, flash, memory, need) == MOE_OK);
    free(memory);
}

/* ---- all of it ---------------------------------------------------------- */

static void check_config(const moe_config *config)
{
    int kind;

    check_gradient(config);
    for (kind = 0; kind < 3; kind++) {
        check_steps(config, kind, 0);
        if (SAME_BITS)
            check_steps(config, kind, 0.02);
        check_training(config, kind, kind == 1);
    }
    if (config->top_k == 0 || config->balance_loss <= 0) {
        check_learn(config, 0);
        check_learn(config, 0.02);
    }
}

static void check_all(void)
{
    static const int experts[][2] = {{1, 0}, {4, 0}, {4, 2}};
    enum { MASKS = 9 };
    static const int masks[MASKS][3] = {
        {1, 0, 0}, {2, 0, 0}, {0, 1, 0}, {3, MOE_ALL, 0}, {MOE_ALL, 0, 0},
        {5, 2, 0}, {0, MOE_ALL, 0}, {0, 0, 5}, {2, 1, 6}
    };
    const int brief = getenv("MOE_BRIEF") != NULL;  /* one kind of outputs */
    moe_config c;
    int e, i, loss, output;

    for (e = 0; e < 3; e++)
        for (i = brief && e > 0 ? e - 1 : 0; i < (e > 0 ? MASKS : 7);
             i += brief && e > 0 ? 2 : 1)
            for (loss = 0; loss < 3; loss++)
                for (output = brief ? loss : 0;
                     output < (brief ? loss + 1 : 3); output++) {
                    c = config_of(experts[e][0], experts[e][1], 2);
                    c.frozen = masks[i][0];
                    c.gate_frozen = masks[i][1];
                    c.frozen_experts = (uint64_t)masks[i][2];
                    if (e == 0 && (c.frozen == 0 || c.frozen == MOE_ALL))
                        c.frozen = 4;
                    c.loss = (moe_loss)loss;
                    c.output = (moe_output)output;
                    c.activation = (moe_activation)(MOE_ACT_TANH + i % 4);
                    c.block = (i + loss) % 2 ? 5 : 0;
                    check_config(&c);
                    if (output == 0 && (e < 2 || c.gate_frozen == MOE_ALL))
                        check_differences(&c);  /* no choice may change */
                }
}

static void check_others(void)
{
    moe_config c = config_of(4, 2, 1);

    c.frozen = 1;
    check_files(&c);
    check_resumed(&c);
    check_checkpoint(&c);
    c.frozen_experts = 6;
    check_files(&c);
    check_resumed(&c);
    check_checkpoint(&c);
    c.frozen_experts = 0;
    c.balance_loss = (moe_real)0.1;
    check_gradient(&c);
    check_steps(&c, 2, 0);
    c.top_k = 0;
    c.balance_loss = 0;
    c.gate_frozen = MOE_ALL;
    check_files(&c);
    check_checkpoint(&c);
    c.frozen = 0;
    check_files(&c);
    check_resumed(&c);
    c.gate_frozen = 0;
    c.frozen_experts = 9;
    check_files(&c);
    check_resumed(&c);
    check_checkpoint(&c);
    check_refusals();
    check_switched();
    check_constant_column();
    check_top_1();
    check_bytes(16, 4, 4, 4, 32);
    check_bytes(2, 1, 4, 2, 6);
    check_bytes(5, 3, 1, 1, 7);
    check_bytes(1, 1, 2, 2, 1);
}

#ifdef FROZEN_SAME
int frozen_same(int *failed)
{
    fill_data();
    RUN(check_all());
    RUN(check_others());
    check_done();
    *failed = check_failed;
    return check_passed;
}
#else
int main(void)
{
    int failed = 0, passed = 0;

    fill_data();
    RUN(check_all());
    RUN(check_others());
#ifndef FEWER_COPIES
    passed = frozen_same(&failed);
#endif
    check_passed += passed;
    check_failed += failed;
    return check_done();
}
#endif
