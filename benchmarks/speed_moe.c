/* speed_moe.c - moe.h as it is dropped into a program: -O2, no -march. */

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "speed.h"

static const Workload *now;
static moe m;
static float *y;

static const char *start(void)
{
    return "this header, -O2 -std=c99";
}

static moe_config config_of(const Workload *w)
{
    moe_config config = {0};
    int l;

    config.inputs = w->inputs;
    config.outputs = w->outputs;
    config.experts = w->experts;
    config.top_k = w->top_k;
    for (l = 0; l + 1 < w->layers; l++)
        config.hidden[l] = w->layer[l].out;
    config.loss = w->experts > 1 ? MOE_LOSS_MIXTURE : MOE_LOSS_BLEND;
    config.rows = w->block;
    config.simd = w->bits;
    config.use = w->task == STEP ? MOE_USE_LEARN : MOE_USE_PREDICT;
    return config;
}

/* A mixture also has gate.balance (E), which stays 0. */
static const char *prepare(const Workload *w)
{
    moe_config config = config_of(w);
    size_t i, balance = w->experts > 1 ? (size_t)w->experts : 0;

    if (w->bits > 0 && moe_check(&config, NULL) != MOE_OK)
        return NULL;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        give_up("moe.h", m.why);
    m.n = w->rows;
    if (w->count > 0 && m.trained_count != w->count + balance)
        give_up("moe.h", "the parameters are not laid out as they were");
    for (i = 0; i < w->count; i++)
        m.own[i] = w->params[i];
    now = w;
    y = floats((size_t)w->cases * (size_t)w->outputs);
    return "";
}

/* The functions are not public.  They are reached as rooms 7 to 9 do it. */
static void map(void)
{
    moei_map1(&m, now->task == EXP ? MOEI_EXP : MOEI_TANH,
              moei_row(y, now->cases), moei_row(now->x, now->cases));
}

/* Each layer from a block array to another, and the last into y. */
static void products(void)
{
    moei_view x = moei_matrix(now->x, now->rows, now->inputs), a;
    int l;

    for (l = 0; l < now->layers; l++, x = a) {
        const Layer *at = &now->layer[l];
        a = moei_matrix(l + 1 < now->layers ? m.expert.act[l] : y, now->rows,
                        at->out);
        moei_product(&m, MOEI_COPY, a, moei_row(m.params + at->bias, at->out),
                     x, moei_matrix(m.params + at->weight, at->in, at->out));
    }
}

static void predict(int call)
{
    const float *x = now->x + (size_t)call * (size_t)now->rows
                   * (size_t)now->inputs;

    moe_predict(&m, x, now->rows, y);
}

static void step(int call)
{
    size_t first = (size_t)call * (size_t)now->rows;
    moe_data data = {0};
    moe_training sgd = {0};

    data.n = now->rows;
    data.x = now->x + first * (size_t)now->inputs;
    data.d = now->d + first * (size_t)now->outputs;
    sgd.optimizer = MOE_SGD;
    sgd.rate = RATE;
    moe_gradient(&m, &data);
    moe_step(&m, &sgd, 1.0f / (float)now->rows);
}

static void result(float *out)
{
    size_t i, count = (size_t)now->cases * (size_t)now->outputs;
    const float *from = y;

    if (now->task == STEP) {
        step(0);
        from = m.own;
        count = now->count;
    } else if (now->task == PREDICT) {
        moe_predict(&m, now->x, now->cases, y);
    } else if (now->task == PRODUCTS) {
        products();
    } else {
        map();
    }
    for (i = 0; i < count; i++)
        out[i] = from[i];
}

static double run(int times)
{
    const int calls = now->cases / now->rows - 1;
    double begin = nanoseconds();
    int i;

    if (now->task == PREDICT)
        for (i = 0; i < times; i++)
            predict(i & calls);
    else if (now->task == STEP)
        for (i = 0; i < times; i++)
            step(i & calls);
    else if (now->task == PRODUCTS)
        for (i = 0; i < times; i++)
            products();
    else
        for (i = 0; i < times; i++)
            map();
    return nanoseconds() - begin;
}

static void release(void)
{
    moe_close(&m);
    free(y);
}

const Peer peer_moe = {"moe.h", 0, start, prepare, result, run, release};
