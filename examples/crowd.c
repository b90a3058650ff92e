/* crowd.c - 500 characters of a game, frame by frame: one controller whose
   weights are blended for each of them by its gate.

     cc -O2 examples/crowd.c -o crowd -lpthread
     ./crowd [FRAMES] [MODEL]        2 frames of a random controller, or of
                                     MODEL, a file of python/from_controller.py
   A frame takes some three seconds, nearly all of them for the third way.

   Threads of the program's own, each with a moe of its own, share the
   characters.  Weights are swapped between frames: params of every moe is
   pointed at the new ones.  Three ways, in turn in each frame:
     one by one    moe_predict for each character
     blocks        moe_predict for all of a thread's characters
     blending      W = sum_i p_i W_i for each character, as engines have it, and
                   a network of those; its p comes for nothing                */
#define _POSIX_C_SOURCE 199309L      /* clock_gettime */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "controller.h"
#include <pthread.h>
#include <time.h>

enum { CROWD = 500, THREADS = 2, WAYS = 3 };

typedef struct worker {
    moe m, one;                  /* the controller; a network of its size    */
    float *blended;              /* the weights of that                      */
    int first, count, way;       /* its characters                           */
} worker;

static const char *const way_name[WAYS] = {"one by one", "blocks", "blending"};
static float *x, *y[WAYS], *p;   /* (CROWD,I), (CROWD,O), (CROWD,E)          */
static worker workers[THREADS];

static double microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

/* to (count) = sum_i p_i from_i, where from_i are `count` apart */
static void blend(const float *weight, int experts, size_t count,
                  const float *from, float *to)
{
    size_t k;
    int i;

    for (k = 0; k < count; k++)
        to[k] = weight[0] * from[k];
    for (i = 1; i < experts; i++)
        for (from += count, k = 0; k < count; k++)
            to[k] += weight[i] * from[k];
}

/* The network of one character. */
static void blend_all(worker *w, const float *weight)
{
    const moe_config *c = &w->m.config;
    const float *scales = w->m.params + w->m.trained_count;
    size_t k, count = w->one.param_count - w->one.trained_count;
    int l;

    for (l = 0; moe_layer_at(c, 0, l).out > 0; l++) {
        const moe_layer from = moe_layer_at(c, 0, l);
        const moe_layer to = moe_layer_at(&w->one.config, 0, l);

        blend(weight, c->experts, (size_t)to.out, w->m.params + from.bias,
              w->blended + to.bias);
        blend(weight, c->experts, (size_t)to.in * (size_t)to.out,
              w->m.params + from.weight, w->blended + to.weight);
    }
    for (k = 0; k < count; k++)
        w->blended[w->one.trained_count + k] = scales[k];
}

static void *work(void *argument)
{
    worker *w = (worker *)argument;
    const int I = w->m.config.inputs, O = w->m.config.outputs;
    float *out = y[w->way];
    int i, end = w->first + w->count;

    if (w->way == 1)
        moe_predict(&w->m, x + w->first * I, w->count, out + w->first * O);
    for (i = w->first; i < end && w->way == 0; i++)
        moe_predict(&w->m, x + i * I, 1, out + i * O);
    for (i = w->first; i < end && w->way == 2; i++) {
        blend_all(w, p + i * w->m.config.experts);
        moe_predict(&w->one, x + i * I, 1, out + i * O);
    }
    return NULL;
}

/* All threads go one way with these weights; how long the frame takes. */
static double frame(int way, const float *weights)
{
    pthread_t thread[THREADS];
    double start = microseconds();
    int t;

    for (t = 0; t < THREADS; t++) {
        workers[t].way = way;
        workers[t].m.params = weights;
        if (pthread_create(&thread[t], NULL, work, &workers[t]) != 0)
            exit(1);
    }
    for (t = 0; t < THREADS; t++)
        pthread_join(thread[t], NULL);
    return microseconds() - start;
}

/* 480-512-512-363, 8 experts; the gate sees 19 columns. */
static void open_controller(moe *m, const char *path)
{
    const moe_config config = {
        .inputs = 480, .outputs = 363, .experts = 8, .hidden = {512, 512},
        .gate_hidden = {32, 32},
        .gate_columns = "0,7,14-20,101-104,250,251,300,301,478,479",
        .activation = MOE_ACT_ELU, .loss = MOE_LOSS_BLEND,
        .blend = MOE_BLEND_WEIGHTS, .mode = MOE_MODE_PREDICT
    };

    if (path != NULL) {
        opened(m, moe_load(m, path, NULL));
    } else {
        opened(m, moe_open(m, &config, NULL, 0));
        wake(m, 2);
    }
}

static void open_workers(const moe *of, const float *weights)
{
    moe_config one = of->config;
    int t;

    one.experts = one.top_k = 1;
    for (t = 0; t < THREADS; t++) {
        worker *w = &workers[t];

        w->first = CROWD * t / THREADS;
        w->count = CROWD * (t + 1) / THREADS - w->first;
        opened(&w->m, moe_attach(&w->m, &of->config, weights, NULL, 0));
        opened(&w->one, moe_open(&w->one, &one, NULL, 0));
        w->blended = w->one.weights;
    }
}

/* Where everybody is, and what the gate makes of it. */
static void move(moe *m, const float *weights)
{
    const int I = m->config.inputs, E = m->config.experts;
    int i, k, rows;

    for (i = 0; i < CROWD * I; i++)
        x[i] = noise();
    m->params = weights;
    for (i = 0; i < CROWD; i += rows) {
        rows = moe_forward(m, x + i * I, CROWD - i);
        for (k = 0; k < rows * E; k++)
            p[i * E + k] = m->p[k];
    }
}

static float farthest(const float *a, const float *b, int count)
{
    float most = 0;
    int i;

    for (i = 0; i < count; i++)
        most = a[i] - b[i] > most ? a[i] - b[i]
             : b[i] - a[i] > most ? b[i] - a[i] : most;
    return most;
}

int main(int count, char **argument)
{
    const int frames = count > 1 ? atoi(argument[1]) : 2;
    double total[WAYS] = {0}, worst[WAYS] = {0}, time;
    float *weights[2], off = 0, apart;
    size_t k;
    int f, way;
    moe m;

    open_controller(&m, count > 2 ? argument[2] : NULL);
    if (m.config.gate == MOE_GATE_NONE || frames < 1)
        return fprintf(stderr, "crowd: FRAMES is 1 or more, and MODEL has a "
                       "gate\n"), 1;
    weights[0] = numbers(m.param_count);
    weights[1] = numbers(m.param_count);
    x = numbers(CROWD * (size_t)m.config.inputs);
    p = numbers(CROWD * (size_t)m.config.experts);
    for (way = 0; way < WAYS; way++)
        y[way] = numbers(CROWD * (size_t)m.config.outputs);
    open_workers(&m, weights[0]);
    for (f = 0; f < frames; f++) {          /* while one set is in use, the
                                               other may be written */
        for (k = 0; k < m.param_count; k++)
            weights[f % 2][k] = m.weights[k] * (k < m.trained_count && f % 2
                                                ? 1.01f : 1);
        move(&workers[0].m, weights[f % 2]);
        for (way = 0; way < WAYS; way++) {
            time = frame(way, weights[f % 2]);
            total[way] += time;
            worst[way] = time > worst[way] ? time : worst[way];
        }
        for (way = 0; way < WAYS; way += 2) {
            apart = farthest(y[way], y[1], CROWD * m.config.outputs);
            off = apart > off ? apart : off;
        }
        fprintf(stderr, "frame %d of %d\n", f + 1, frames);
    }
    printf("%d characters, %d threads, %d frames, %d experts of %d-%d\n",
           CROWD, THREADS, frames, m.config.experts, m.config.inputs,
           m.config.outputs);
    for (way = 0; way < WAYS; way++)
        printf("%-10s %8.1f us per character; worst frame %9.1f ms\n",
               way_name[way], total[way] / frames / CROWD, worst[way] / 1000);
    printf("largest difference %.1e\n", (double)off);
    return off > 1e-4f;
}
