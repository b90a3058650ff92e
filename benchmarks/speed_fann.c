/* speed_fann.c - FANN, the Fast Artificial Neural Network Library, for the
   ordinary networks.  It works case by case: a prediction of many cases is a
   loop of fann_run, one SGD step is fann_train, and a step on many cases is an
   epoch of its batch training.

   It has no ReLU.  Nearest is its piecewise linear unit, 0 below 0, 1 above 1,
   and the workloads stay below 1.  Its slope however is taken to be 1
   everywhere, so that after a step only the last layer can be compared. */

#include "speed.h"

#include <floatfann.h>
#include <stdlib.h>

static const Workload *now;
static struct fann *net;
static struct fann_train_data *cases;

static const char *start(void)
{
    return "libfloatfann as installed";
}

/* Copy weights to FANN, or from it: those of a unit stand together there, by
   input, the bias last. */
static void copy_weights(float *params, int to_fann)
{
    const struct fann_layer *at = net->first_layer + 1;
    int l, i, o;

    for (l = 0; l < now->layers; l++, at++) {
        const Layer *layer = &now->layer[l];
        for (o = 0; o < layer->out; o++) {
            float *unit = net->weights + at->first_neuron[o].first_con;
            for (i = 0; i <= layer->in; i++) {
                size_t mine = i == layer->in ? layer->bias + (size_t)o
                    : layer->weight + (size_t)(i * layer->out + o);
                if (to_fann)
                    unit[i] = params[mine];
                else
                    params[mine] = unit[i];
            }
        }
    }
}

/* FANN wants its cases where they may be written. */
static struct fann_train_data *copy_cases(void)
{
    struct fann_train_data *data = fann_create_train((unsigned)now->cases,
        (unsigned)now->inputs, (unsigned)now->outputs);
    int c, i;

    if (data == NULL)
        give_up("FANN", "out of memory");
    for (c = 0; c < now->cases; c++) {
        for (i = 0; i < now->inputs; i++)
            data->input[c][i] = now->x[c * now->inputs + i];
        for (i = 0; i < now->outputs; i++)
            data->output[c][i] = now->d[c * now->outputs + i];
    }
    return data;
}

static const char *prepare(const Workload *w)
{
    unsigned sizes[MAX_LAYERS + 1];
    float *params;
    size_t i;
    int l;

    if (w->experts > 1 || (w->task != PREDICT && !learns(w)))
        return NULL;
    now = w;
    sizes[0] = (unsigned)w->inputs;
    for (l = 0; l < w->layers; l++)
        sizes[l + 1] = (unsigned)w->layer[l].out;
    net = fann_create_standard_array((unsigned)w->layers + 1, sizes);
    if (net == NULL)
        give_up("FANN", "out of memory");
    fann_set_activation_function_hidden(net, FANN_LINEAR_PIECE);
    fann_set_activation_function_output(net, FANN_LINEAR);
    fann_set_activation_steepness_hidden(net, 1);
    fann_set_activation_steepness_output(net, 1);
    fann_set_train_error_function(net, FANN_ERRORFUNC_LINEAR);
    fann_set_training_algorithm(net, FANN_TRAIN_BATCH);
    fann_set_learning_rate(net, 2 * RATE);     /* it halves the square */
    params = floats(w->count);
    for (i = 0; i < w->count; i++)
        params[i] = w->params[i];
    copy_weights(params, 1);
    free(params);
    cases = copy_cases();
    return "";
}

static const fann_type *predict(int c)
{
    return fann_run(net, cases->input[c]);
}

static void step(int call)
{
    if (now->rows == 1)
        fann_train(net, cases->input[call], cases->output[call]);
    else
        fann_train_epoch(net, cases);
}

static void result(float *out)
{
    int c, k;

    if (learns(now)) {
        step(0);
        copy_weights(out, 0);
        return;
    }
    for (c = 0; c < now->cases; c++) {
        const fann_type *y = predict(c);
        for (k = 0; k < now->outputs; k++)
            out[c * now->outputs + k] = y[k];
    }
}

static double run(int times)
{
    const int mask = now->cases / now->rows - 1;
    double begin = nanoseconds();
    int i, c;

    if (learns(now))
        for (i = 0; i < times; i++)
            step(i & mask);
    else
        for (i = 0; i < times; i++)
            for (c = 0; c < now->rows; c++)
                predict((i & mask) * now->rows + c);
    return nanoseconds() - begin;
}

static void release(void)
{
    fann_destroy(net);
    fann_destroy_train(cases);
}

const Peer peer_fann = {"FANN", 1, start, prepare, result, run, release};
