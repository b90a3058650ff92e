/* main.c - a model in flash whose last layers follow a sensor that drifts
     make && make run          on qemu's Cortex-M4F board; make host: here

   The gas sensor of ../predict gets old: what it shows falls, and no longer
   begins at 0.  Now and then a reference tells the concentration.  The hidden
   layers stay in flash; the layer behind them and the gate are copied to a few
   hundred bytes, and learn there. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)0)
#include "../../../moe.h"
#include "../board.h"
#include "../predict/network.h"
#include "model.h"      /* const: the linker puts it into flash */

enum { WINDOW = 500, WINDOWS = 10, REFERENCE = 4 };
enum {
    WORK = MOE_WORK_BYTES(INPUTS, OUTPUTS, EXPERTS, EXPERTS, HIDDEN),
    TUNE = MOE_TUNE_BYTES(INPUTS, OUTPUTS, EXPERTS, EXPERTS, HIDDEN)
};
static float fixed_memory[WORK / sizeof(float)];
static float tuned_memory[TUNE / sizeof(float)];
static moe fixed, tuned;

static float uniform(void)
{
    static uint32_t state = 1991;

    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216;
}

/* What the sensor shows, and how warm it is, `age` from 0 to 1. */
static void sense(float gas, float age, float *x)
{
    float heat = 90 * uniform() - 20;
    float shown = gas < 0.4f ? 2 * gas : 0.8f + 0.15f * (gas - 0.4f);

    shown *= 1 + 0.004f * (heat - 25);
    x[0] = (1 - 0.25f * age) * shown + 0.1f * age;
    x[1] = heat;
}

static int start(void)
{
    moe_config config;

    network(&config);
    if (moe_attach(&fixed, &config, model, fixed_memory, WORK) != MOE_OK) {
        print(fixed.error);
        return 0;
    }
    config.mode = MOE_MODE_LEARN;
    config.frozen = 1;              /* layer 0: the hidden one */
    if (moe_attach(&tuned, &config, model, tuned_memory, TUNE) != MOE_OK) {
        print(tuned.error);
        return 0;
    }
    print("bytes ");
    print_number(TUNE);
    print("\n");
    return 1;
}

/* As the host predicts, before anything was learnt. */
static int as_trained(void)
{
    int i, wrong = 0;

    for (i = 0; i < CHECKS; i++) {
        float y, off;

        moe_predict(&tuned, case_x + INPUTS * i, 1, &y);
        off = y - case_y[i];
        wrong += off > 1e-4f || off < -1e-4f;
    }
    return wrong == 0;
}

/* One reading; adds the squared errors, and learns if there is a reference. */
static void live(const moe_training *sgd, float age, int learns, float *error)
{
    float x[INPUTS], gas = uniform(), y;
    moe_data one = {1, x, &gas, NULL, NULL};

    sense(gas, age, x);
    moe_predict(&fixed, x, 1, &y);
    error[0] += (y - gas) * (y - gas) / WINDOW;
    moe_predict(&tuned, x, 1, &y);
    error[1] += (y - gas) * (y - gas) / WINDOW;
    if (learns && moe_learn(&tuned, &one, sgd) != 0)
        print("left out\n");
}

int main(void)
{
    static const moe_training none;
    moe_training sgd = none;
    float error[2] = {0, 0};
    int w, n, right;

    sgd.rate = 0.02f;
    if (!start())
        return 1;
    right = as_trained();
    print(right ? "as on the host\n" : "not as on the host\n");
    for (w = 0; w <= WINDOWS; w++) {
        error[0] = error[1] = 0;
        for (n = 0; n < WINDOW; n++)
            live(&sgd, (float)w / WINDOWS, n % REFERENCE == 0, error);
        print("squared error 1e-6: in flash ");
        print_millionths(error[0]);
        print(", tuned ");
        print_millionths(error[1]);
        print("\n");
    }
    return !(right && error[1] < error[0] / 10);
}
