/* main.c - learns on the device, one case at a time, without a heap
     make && make run          on qemu's Cortex-M4F board; make host: here

   A motor's friction depends on which way it turns, and grows with wear.  The
   device predicts the torque for a speed and a load, sees what was needed, and
   learns the case; two experts find the two directions. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)0)
#include "../../../moe.h"
#include "../board.h"

enum { WINDOW = 2000, WINDOWS = 6, WORN = 3 };
static float memory[MOE_LEARN_BYTES(2, 1, 2, 2, 0) / sizeof(float)];
static moe m;

static float uniform(void)
{
    static uint32_t state = 1991;

    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608 - 1;
}

/* The world outside: what torque this needed. */
static float torque(const float *x, int worn)
{
    float forwards = worn ? 2.5f : 1.5f;

    return 0.5f * x[1] + (x[0] < 0 ? 0.4f : forwards) * x[0];
}

static int start(void)
{
    static const moe_config none;
    moe_config config = none;

    config.inputs = 2;
    config.outputs = 1;
    config.experts = 2;
    config.block = 1;
    config.sigma = 0.3f;
    config.mode = MOE_MODE_LEARN;       /* no gradients, no moments */
    print("bytes ");
    print_number((long)moe_bytes(&config));
    print("\n");
    return moe_open(&m, &config, memory, sizeof memory) == MOE_OK;
}

/* One case: predict, see, learn; returns the squared error. */
static float live(const moe_training *sgd, int worn)
{
    float x[2], d[1], y[1];
    moe_data one = {1, x, d, NULL, NULL};

    x[0] = uniform();
    x[1] = uniform();
    d[0] = torque(x, worn);
    moe_predict(&m, x, 1, y);
    if (moe_learn(&m, &one, sgd) != 0)
        print("left out\n");
    return (y[0] - d[0]) * (y[0] - d[0]);
}

int main(void)
{
    static const moe_training none;
    moe_training sgd = none;
    float error = 0;
    int w, n;

    sgd.rate = 0.05f;
    if (!start()) {
        print(m.error);
        return 1;
    }
    for (w = 0; w < WINDOWS; w++) {
        for (n = 0, error = 0; n < WINDOW; n++)
            error += live(&sgd, w >= WORN) / WINDOW;
        print(w == WORN ? "worn, error 1e-6: " : "error 1e-6: ");
        print_millionths(error);
        print("\n");
    }
    return !(error < 0.002f);
}
