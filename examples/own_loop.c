/* own_loop.c - a training loop of one's own, and what three losses do in it
     cc -O2 examples/own_loop.c -o own_loop && ./own_loop

   moe_gradient and moe_step are what moe_train is made of.  Here they train
   the same mixture under each of the three losses, while we watch how hard
   each expert is pulled, |dE/do|.  As long as the gate trusts all alike and
   all errors are above 1, (1.2) pulls the best expert least, (1.1) pulls all
   alike, and (1.3) pulls the best one most: it is the first to have experts,
   while the blend's own error falls fastest under (1.1), which is that error.
   At the end the same network learns from an error that is not built in. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 144, EXPERTS = 4, LOSSES = 3 };
static const char *const name[LOSSES] = {"(1.3) mixture ", "(1.2) expected",
                                         "(1.1) blend   "};
static float x[2 * CASES], d[CASES];

static void make_cases(void)               /* a law on each side of x_0 = 0 */
{
    int n;

    for (n = 0; n < CASES; n++) {
        float *at = x + 2 * n;

        at[0] = (float)(n % 12) / 5.5f - 1;
        at[1] = (float)(n / 12) / 5.5f - 1;
        d[n] = at[0] < 0 ? 3 + at[1] : -3 - at[1];
    }
}

static void open_with(moe *m, int loss)
{
    moe_config config = {0};

    config.inputs = 2;
    config.outputs = 1;
    config.experts = EXPERTS;
    config.rows = CASES;
    config.loss = (moe_loss)loss;
    if (moe_open(m, &config, NULL, 0) != MOE_OK) {
        printf("%s\n", m->why);
        exit(1);
    }
}

/* |dE/do| of each expert in one case.  A linear expert's output is its bias
   plus weights times x, so that dE/do is the bias's gradient.  m.grads is
   clear before and after. */
static void measure_pull(moe *m, const float *x_n, float d_n, float *pull)
{
    moe_data one = {1, x_n, &d_n, NULL};
    int i;

    moe_gradient(m, &one);
    for (i = 0; i < EXPERTS; i++) {
        float g = m->grads[moe_find(&m->config, i, 0).bias];

        pull[i] = g < 0 ? -g : g;
    }
    memset(m->grads, 0, m->trained_count * sizeof *m->grads);
}

static void show_one_case(void)
{
    static const float zero[2] = {0, 0}, o[EXPERTS] = {1.5f, 2, 2.5f, 3};
    float pull[EXPERTS];
    int i, loss;
    moe m;

    open_with(&m, 0);
    printf("One case, p even    expert A       B       C       D\n"
           "error |d - o|^2      ");
    for (i = 0; i < EXPERTS; i++) {
        m.own[moe_find(&m.config, i, 0).bias] = o[i];
        printf("%8.2f", (double)(o[i] * o[i]));
    }
    for (loss = 0; loss < LOSSES; loss++) {
        m.config.loss = (moe_loss)loss;
        measure_pull(&m, zero, 0, pull);
        printf("\npull, %s ", name[loss]);
        for (i = 0; i < EXPERTS; i++)
            printf("%8.2f", (double)pull[i]);
    }
    printf("\n\n");
    moe_close(&m);
}

/* A line of the table, means over the cases.  1 / sum_i h_i^2 says how many
   experts answer for a case: 1 if one does, EXPERTS if all do alike. */
static void show_means(moe *m)
{
    float error = 0, best_error = 0, share = 0, experts = 0;
    float usage[EXPERTS] = {0}, pull[EXPERTS];
    int i, n;

    for (n = 0; n < CASES; n++) {
        float e[EXPERTS], pulls = 0, squares = 0;
        int best = 0;

        measure_pull(m, x + 2 * n, d[n], pull);
        for (i = 0; i < EXPERTS; i++) {
            e[i] = (d[n] - m->o[i]) * (d[n] - m->o[i]);
            best = e[i] < e[best] ? i : best;
            pulls += pull[i];
            squares += m->h[i] * m->h[i];
            usage[i] += 100 * m->p[i] / CASES;
        }
        error += (d[n] - m->y[0]) * (d[n] - m->y[0]) / CASES;
        best_error += e[best] / CASES;
        share += 100 * pull[best] / pulls / CASES;
        experts += 1 / squares / CASES;
    }
    printf("%s %9.3f %11.3f %9.0f %% %9.1f  ", name[m->config.loss],
           (double)error, (double)best_error, (double)share, (double)experts);
    for (i = 0; i < EXPERTS; i++)
        printf(" %3.0f", (double)usage[i]);
    printf("\n");
}

static void train(moe *m, int steps)
{
    moe_data data = {CASES, x, d, NULL};
    moe_training sgd = {0};

    sgd.optimizer = MOE_SGD;
    sgd.rate = 0.1f;
    while (steps-- > 0) {
        moe_gradient(m, &data);                     /* grads += dE/dparams */
        moe_step(m, &sgd, 1.0f / CASES);            /* and grads = 0 again */
    }
}

/* The same for an error of one's own, |d - y|; returns its last mean. */
static float train_by_distance(moe *m, int steps)
{
    float dE_dy[CASES], sum = 0;
    int n;

    while (steps-- > 0) {
        moe_forward(m, x, CASES);
        for (n = 0, sum = 0; n < CASES; n++) {
            dE_dy[n] = m->y[n] < d[n] ? -1 : 1;
            sum += dE_dy[n] * (m->y[n] - d[n]);
        }
        moe_backward(m, dE_dy, NULL);               /* grads += dE/dparams */
        moe_step(m, NULL, 1.0f / CASES);                     /* NULL: Adam */
    }
    return sum / CASES;
}

int main(void)
{
    static const int looks[] = {0, 10, 30, 100, 300, -1};
    moe m[LOSSES];
    int k, loss, step = 0;

    make_cases();
    show_one_case();
    for (loss = 0; loss < LOSSES; loss++)
        open_with(&m[loss], loss);
    printf("                 |d - y|^2  |d - o|^2   its share   experts"
           "   usage, %%\n"
           "                 of blend   of the best  of pull   per case"
           "   A   B   C   D\n");
    for (k = 0; looks[k] >= 0; step = looks[k++]) {
        printf("after %d steps\n", looks[k]);
        for (loss = 0; loss < LOSSES; loss++) {
            train(&m[loss], looks[k] - step);
            show_means(&m[loss]);
        }
    }
    for (loss = 0; loss < LOSSES; loss++)
        moe_close(&m[loss]);

    open_with(&m[0], 0);
    printf("\nAn error of one's own, |d - y|: %.3f in step 1,",
           (double)train_by_distance(&m[0], 1));
    printf(" %.3f in step 1000\n", (double)train_by_distance(&m[0], 999));
    moe_close(&m[0]);
    return 0;
}
