/* speed_old.c - version 0.1 of the header, for make OLD=/path/to/its/moe.h;
   without it nothing.  Where moe.h learns, it has a gradient and a step. */

#include "speed.h"
#ifdef OLD_HEADER

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include OLD_HEADER

static const Workload *now;
static moe m;
static float *y;

static const char *start(void)
{
    return "version 0.1 of the header, -O2 -std=c99";
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
    config.use = learns(w) ? MOE_USE_LEARN : MOE_USE_PREDICT;
    return config;
}

static const char *prepare(const Workload *w)
{
    moe_config config = config_of(w);
    size_t i;

    if (w->task != PREDICT && !learns(w))
        return NULL;
    if (w->bits > 0 && moe_check(&config, NULL) != MOE_OK)
        return NULL;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        give_up("moe.h 0.1", m.why);
    for (i = 0; i < w->count; i++)
        m.own[i] = w->params[i];
    now = w;
    y = floats((size_t)w->cases * (size_t)w->outputs);
    return "";
}

static void predict(int call, float *to)
{
    const float *x = now->x + (size_t)call * (size_t)now->rows
                   * (size_t)now->inputs;

    moe_predict(&m, x, now->rows, to);
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
    size_t i, calls = (size_t)(now->cases / now->rows);
    size_t row = (size_t)now->rows * (size_t)now->outputs;

    if (now->task == PREDICT) {
        for (i = 0; i < calls; i++)
            predict((int)i, out + i * row);
        return;
    }
    step(0);
    for (i = 0; i < now->count; i++)
        out[i] = m.own[i];
}

static double run(int times)
{
    const int calls = now->cases / now->rows - 1;
    double begin = nanoseconds();
    int i;

    if (now->task == PREDICT)
        for (i = 0; i < times; i++)
            predict(i & calls, y);
    else
        for (i = 0; i < times; i++)
            step(i & calls);
    return nanoseconds() - begin;
}

static void release(void)
{
    moe_close(&m);
    free(y);
}

const Peer peer_old = {"moe.h 0.1", 0, start, prepare, result, run, release};

#endif
