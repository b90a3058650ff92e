/* own_loop.c - a training loop of one's own, and what three losses do in it
     cc -O2 examples/own_loop.c -o own_loop && ./own_loop

   moe_gradient and moe_step are what moe_train is made of.  Here they train
   the same mixture under each of the three losses.  (1.3) pulls the expert
   hardest that already fits a case best, and so is the first to have experts;
   the blend's own error falls fastest under (1.1), which is that error.
   At the end the same network learns from an error that is not built in. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>

enum { CASES = 144, EXPERTS = 4, LOSSES = 3 };
static float x[2 * CASES], d[CASES];

static float square(float a) { return a * a; }

static void make_cases(void)               /* a law on each side of x_0 = 0 */
{
    int n;

    for (n = 0; n < CASES; n++) {
        x[2 * n] = (float)(n % 12) / 5.5f - 1;
        x[2 * n + 1] = (float)(n / 12) / 5.5f - 1;
        d[n] = x[2 * n] < 0 ? 3 + x[2 * n + 1] : -3 - x[2 * n + 1];
    }
}

static void open_with(moe *m, int loss)
{
    moe_config config = {0};

    config.inputs = 2;
    config.outputs = 1;
    config.experts = EXPERTS;
    config.block = CASES;                /* so that m->o and m->y show all */
    config.loss = (moe_loss)loss;
    if (moe_open(m, &config, NULL, 0) != MOE_OK) {
        printf("%s\n", m->error);
        exit(1);
    }
}

static void train(moe *m, int steps)
{
    moe_data data = {CASES, x, d, NULL, NULL};
    moe_training sgd = {0};

    sgd.optimizer = MOE_SGD;
    sgd.rate = 0.1f;
    while (steps-- > 0) {
        moe_gradient(m, &data);                     /* grads += dE/dparams */
        moe_step(m, &sgd, 1.0f / CASES);            /* and grads = 0 again */
    }
}

/* The mean error of the blend, and of each case's best expert. */
static void show_errors(moe *m)
{
    float blend = 0, best = 0;
    int i, n;

    moe_forward(m, x, CASES);
    for (n = 0; n < CASES; n++) {
        float least = square(d[n] - m->o[n * EXPERTS]);

        for (i = 1; i < EXPERTS; i++) {
            float e = square(d[n] - m->o[n * EXPERTS + i]);

            least = e < least ? e : least;
        }
        best += least / CASES;
        blend += square(d[n] - m->y[n]) / CASES;
    }
    printf("   %7.3f %7.3f", (double)blend, (double)best);
}

/* Training for an error of one's own, |d - y|; returns its last mean. */
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
    static const int looks[] = {0, 10, 30, 100, 300};
    moe m[LOSSES];
    int k, loss;

    make_cases();
    for (loss = 0; loss < LOSSES; loss++)
        open_with(&m[loss], loss);
    printf("Squared error of the blend, and of each case's best expert\n"
           "       (1.3) mixture     (1.2) expected    (1.1) blend\n"
           "step      blend    best     blend    best     blend    best");
    for (k = 0; k < 5; k++) {
        printf("\n%4d", looks[k]);
        for (loss = 0; loss < LOSSES; loss++) {
            train(&m[loss], looks[k] - (k > 0 ? looks[k - 1] : 0));
            show_errors(&m[loss]);
        }
    }
    for (loss = 0; loss < LOSSES; loss++)
        moe_close(&m[loss]);

    open_with(&m[0], 0);
    printf("\n\nAn error of one's own, |d - y|: %.3f in step 1,",
           (double)train_by_distance(&m[0], 1));
    printf(" %.3f in step 1000\n", (double)train_by_distance(&m[0], 999));
    moe_close(&m[0]);
    return 0;
}
