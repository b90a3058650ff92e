/* own_loop.c - a training loop of one's own, and what three losses do in it
     cc -O2 examples/own_loop.c -o own_loop && ./own_loop

   moe_gradient and moe_step are what moe_train is made of.  Here they train
   the same mixture under each loss: by (1.3) experts are right alone first, by
   (1.1) their blend is.  Then it learns from an error that is not built in. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>

enum { CASES = 144, EXPERTS = 4 };
static float x[2 * CASES], d[CASES];

static void make_cases(void)               /* a law on each side of x_0 = 0 */
{
    int n;

    for (n = 0; n < CASES; n++) {
        x[2 * n] = (float)(n % 12) / 5.5f - 1;
        x[2 * n + 1] = (float)(n / 12) / 5.5f - 1;
        d[n] = x[2 * n] < 0 ? 3 + x[2 * n + 1] : -3 - x[2 * n + 1];
    }
}

static moe_status open_with(moe *m, int loss)
{
    moe_config config = {.inputs = 2, .outputs = 1, .experts = EXPERTS,
                         .loss = (moe_loss)loss,
                         .block = CASES};    /* so that o and y show all */

    return moe_open(m, &config, NULL, 0);
}

static void train(moe *m, int steps)
{
    moe_data data = {.n = CASES, .x = x, .d = d};
    moe_training sgd = {.optimizer = MOE_SGD, .rate = 0.1f};

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
        float e = d[n] - m->y[n], least = 1e9f;

        blend += e * e / CASES;
        for (i = 0; i < EXPERTS; i++) {
            e = d[n] - m->o[n * EXPERTS + i];
            least = e * e < least ? e * e : least;
        }
        best += least / CASES;
    }
    printf(" %6.2f %5.2f", (double)blend, (double)best);
}

/* Training for an error of one's own, |d - y|. */
static void train_by_distance(moe *m, int steps)
{
    float dE_dy[CASES], sum;
    int step, n;

    for (step = 1; step <= steps; step++) {
        moe_forward(m, x, CASES);
        for (n = 0, sum = 0; n < CASES; n++) {
            dE_dy[n] = m->y[n] < d[n] ? -1 : 1;
            sum += dE_dy[n] * (m->y[n] - d[n]);
        }
        moe_backward(m, dE_dy, NULL);               /* grads += dE/dparams */
        moe_step(m, NULL, 1.0f / CASES);                     /* NULL: Adam */
        if (step == 1 || step == steps)
            printf("step %4d: |d - y| %.3f\n", step, (double)sum / CASES);
    }
}

int main(void)
{
    static const int more[] = {0, 10, 20, 70, 200};
    int k, loss;
    moe m;

    make_cases();
    printf("Squared error of the blend, and of each case's best expert\n"
           "steps %12d %12d %12d %12d %12d\n", 0, 10, 30, 100, 300);
    for (loss = MOE_LOSS_MIXTURE; loss <= MOE_LOSS_BLEND; loss++) {
        printf("(1.%d)", 3 - loss);
        if (open_with(&m, loss) != MOE_OK)
            return puts(m.error), 1;
        for (k = 0; k < 5; k++) {
            train(&m, more[k]);
            show_errors(&m);
        }
        moe_close(&m);
        printf("\n");
    }
    if (open_with(&m, MOE_LOSS_MIXTURE) != MOE_OK)
        return puts(m.error), 1;
    train_by_distance(&m, 1000);
    moe_close(&m);
    return 0;
}
