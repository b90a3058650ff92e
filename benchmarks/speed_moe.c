/* speed_moe.c - moe.h as it is dropped into a program: -O2, no -march. */

#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "speed.h"

#define PANEL 64                /* cases of one product, as in the header    */

static const Workload *now;
static moe m;
static float *y;
static float *panels, *act[2];          /* of products                       */

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
    config.block = w->block;
    config.simd = w->bits;
    config.mode = w->task == STEP ? MOE_MODE_GRADIENT
                : w->task == LEARN ? MOE_MODE_LEARN : MOE_MODE_PREDICT;
    return config;
}

/* The cases as products have them: (I,PANEL), one panel after the other. */
static void prepare_products(void)
{
    const int I = now->inputs;
    int c, i, l, widest = I;

    for (l = 0; l < now->layers; l++)
        widest = now->layer[l].out > widest ? now->layer[l].out : widest;
    panels = floats((size_t)now->cases * (size_t)I);
    for (c = 0; c < now->cases; c++)
        for (i = 0; i < I; i++)
            panels[(c / PANEL * I + i) * PANEL + c % PANEL]
                = now->x[c * I + i];
    for (l = 0; l < 2; l++)
        act[l] = floats((size_t)widest * PANEL);
}

/* A mixture also has gate.balance (E), which stays 0. */
static const char *prepare(const Workload *w)
{
    moe_config config = config_of(w);
    size_t i, balance = w->experts > 1 ? (size_t)w->experts : 0;

    if (w->bits > 0 && moe_check_config(&config, NULL) != MOE_OK)
        return NULL;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        give_up("moe.h", m.error);
    if (w->count > 0 && m.trained_count != w->count + balance)
        give_up("moe.h", "the parameters are not laid out as they were");
    for (i = 0; i < w->count; i++)
        m.weights[i] = w->params[i];
    now = w;
    y = floats((size_t)w->cases * (size_t)w->outputs);
    if (w->task == PRODUCTS)
        prepare_products();
    return "";
}

/* The loops are not public.  y = f(y), so that the numbers are copied first. */
static void map(void)
{
    moei_copy(y, now->x, now->cases);
    moei_loops_of(&m)->apply(now->task == EXP ? (int)MOEI_EXP
                                              : (int)MOE_ACT_TANH,
                             now->cases, y);
}

/* Each panel through all layers, and the last into y, (O,PANEL). */
static void products(void)
{
    const moei_loops *loops = moei_loops_of(&m);
    const int last = now->layers - 1;
    int c, l;

    for (c = 0; c < now->cases; c += PANEL) {
        const float *x = panels + c * now->inputs;
        for (l = 0; l <= last; l++) {
            const Layer *at = &now->layer[l];
            float *to = l < last ? act[l % 2] : y + c * now->outputs;
            loops->forward(PANEL, PANEL, at->in, at->out, x,
                           m.params + at->bias, m.params + at->weight, 0, to);
            x = to;
        }
    }
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
    if (now->task == LEARN) {
        moe_learn(&m, &data, &sgd);
    } else {
        moe_gradient(&m, &data);
        moe_step(&m, &sgd, 1.0f / (float)now->rows);
    }
}

static void result(float *out)
{
    size_t i, count = (size_t)now->cases * (size_t)now->outputs;
    size_t row = (size_t)now->rows * (size_t)now->outputs;
    const float *from = y;

    if (learns(now)) {
        step(0);
        from = m.weights;
        count = now->count;
    } else if (now->task == PREDICT) {
        for (i = 0; i < count / row; i++)
            predict((int)i, y + i * row);
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
            predict(i & calls, y);
    else if (learns(now))
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
    free(panels);
    free(act[0]);
    free(act[1]);
    panels = act[0] = act[1] = NULL;
}

const Peer peer_moe = {"moe.h", 0, start, prepare, result, run, release};
