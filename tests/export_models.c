/* export_models.c - models that test_export.sh exports, and inputs for them.

     export_models NUMBER model.safetensors inputs.csv       a trained one
     export_models large INPUTS model.safetensors            one of 5 x INPUTS
     export_models top_p model.safetensors                   one with top_p
     export_models frozen model.safetensors                  a checkpoint

   All with the same bits, whatever the compiler. */
#define MOE_SAME_BITS
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* inputs, outputs, experts, top_k, hidden, gate_hidden */
typedef struct shape {
    int inputs, outputs, experts, top_k, hidden[2], gate_hidden;
    moe_span expert_inputs, gate_inputs;
    moe_activation activation;
    moe_output output;
} shape;

static const shape shapes[] = {
    {16, 4, 4, 0, {32, 0}, 0, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_LINEAR},
    {5, 3, 6, 2, {7, 0}, 3, {1, 3}, {0, 0}, MOE_ACT_TANH, MOE_OUT_LINEAR},
    {3, 2, 1, 0, {5, 6}, 0, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_LINEAR},
    {4, 5, 3, 0, {0, 0}, 0, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_SOFTMAX},
    {6, 2, 3, 0, {4, 3}, 5, {0, 0}, {2, 2}, MOE_ACT_LOGISTIC,
     MOE_OUT_LOGISTIC},
    {2, 3, 1, 0, {0, 0}, 0, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_SOFTMAX},
    {2, 1, 4, 1, {0, 0}, 0, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_LINEAR},
    {8, 4, 9, 3, {6, 0}, 0, {0, 0}, {0, 0}, MOE_ACT_ELU, MOE_OUT_SOFTMAX},
    {8, 9, 2, 0, {17, 0}, 4, {0, 0}, {0, 0}, MOE_ACT_SILU, MOE_OUT_LINEAR},
    {3, 5, 2, 0, {4, 0}, 0, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_BERNOULLI},
    {4, 1, 3, 0, {10, 0}, 50, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_LINEAR},
    {5, 3, 26, 2, {0, 0}, 0, {0, 0}, {0, 0}, MOE_ACT_RELU, MOE_OUT_LINEAR}
};
enum { CASES = 400, MODELS = sizeof shapes / sizeof *shapes };
static float x[CASES * 16], d[CASES * 9];

static void make_data(const shape *s)
{
    uint64_t state = 1991;
    int n, i, k;

    for (n = 0; n < CASES; n++) {
        float *row = x + n * s->inputs, *due = d + n * s->outputs;

        for (i = 0; i < s->inputs; i++)
            row[i] = 10 * moei_uniform(&state) * (float)(i % 3 + 1) + 3;
        for (k = 0; k < s->outputs; k++) {
            due[k] = row[k % s->inputs] * (row[0] > 3 ? 1.5f : -0.5f)
                   + (float)k;
            if (s->output != MOE_OUT_LINEAR)
                due[k] = s->output != MOE_OUT_SOFTMAX ? due[k] > 0
                       : k == (int)(row[0] + 20) % s->outputs;
        }
    }
}

static void write_rows(const shape *s, FILE *to)
{
    int n, i;

    for (n = 0; n < CASES; n++)
        for (i = 0; i < s->inputs; i++)
            fprintf(to, "%.9g%c", (double)x[n * s->inputs + i],
                    i + 1 < s->inputs ? ',' : '\n');
}

static moe_config config_of(const shape *s)
{
    moe_config c;

    memset(&c, 0, sizeof c);
    c.inputs = s->inputs;
    c.outputs = s->outputs;
    c.experts = s->experts;
    c.top_k = s->top_k == 1 ? 0 : s->top_k;
    memcpy(c.hidden, s->hidden, sizeof s->hidden);
    c.gate_hidden[0] = s->gate_hidden;
    c.expert_inputs = s->expert_inputs;
    c.gate_inputs = s->gate_inputs;
    c.activation = s->activation;
    c.output = s->output;
    return c;
}

/* A mixture of which one expert runs is trained as a whole. */
static int only_one(const char *path)
{
    moe_config c;
    moe_status status;
    moe m;

    memset(&c, 0, sizeof c);
    c.top_k = 1;
    c.mode = MOE_MODE_PREDICT;
    if (moe_load(&m, path, &c) != MOE_OK)
        return 1;
    status = moe_save(&m, MOE_MODE_PREDICT, path);
    moe_close(&m);
    return status != MOE_OK;
}

static int train(const shape *s, const char *path)
{
    moe_config c = config_of(s);
    moe_data data;
    moe_training t;
    moe_status status;
    moe m;

    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    data.n = CASES;
    data.x = x;
    data.d = d;
    t.epochs = 30;
    t.balance_rate = s->top_k > 1 ? 0.01f : 0;
    status = moe_open(&m, &c, NULL, 0);
    if (status == MOE_OK)
        status = moe_train(&m, &data, NULL, &t, NULL);
    if (status == MOE_OK)
        status = moe_save(&m, MOE_MODE_TRAIN, path);
    moe_close(&m);
    return status != MOE_OK || (s->top_k == 1 && only_one(path));
}

static int untrained(const shape *s, moe_real top_p, const char *path)
{
    moe_config c = config_of(s);
    moe_status status;
    moe m;

    c.top_p = top_p;
    c.mode = MOE_MODE_LEARN;
    status = moe_open(&m, &c, NULL, 0);
    if (status == MOE_OK)
        status = moe_save(&m, MOE_MODE_PREDICT, path);
    moe_close(&m);
    return status != MOE_OK;
}

/* A checkpoint of which the first layer and an expert do not learn. */
static int frozen(const char *path)
{
    moe_config c = config_of(shapes);
    moe_status status;
    moe m;

    c.frozen = 1;
    c.frozen_experts = 2;
    status = moe_open(&m, &c, NULL, 0);
    if (status == MOE_OK)
        status = moe_save(&m, MOE_MODE_TRAIN, path);
    moe_close(&m);
    return status != MOE_OK;
}

static int large(int inputs, const char *path)
{
    const shape s = {inputs, 4, 5, 0, {500, 0}, 0, {0, 0}, {0, 0},
                     MOE_ACT_RELU, MOE_OUT_LINEAR};

    return untrained(&s, 0, path);
}

int main(int count, char **word)
{
    const shape *s = shapes + (count > 1 ? atoi(word[1]) % MODELS : 0);
    FILE *to;

    if (count == 4 && strcmp(word[1], "large") == 0)
        return large(atoi(word[2]), word[3]);
    if (count == 3 && strcmp(word[1], "top_p") == 0)
        return untrained(shapes, 0.5f, word[2]);
    if (count == 3 && strcmp(word[1], "frozen") == 0)
        return frozen(word[2]);
    make_data(s);
    to = count == 4 ? fopen(word[3], "w") : NULL;
    if (to == NULL)
        return 1;
    write_rows(s, to);
    return fclose(to) != 0 || train(s, word[2]);
}
