/* main.c - learns on the device, one case at a time, without a heap
     make && make run          on qemu's Cortex-M4F board; make host: here

   A motor's friction depends on which way it turns, and grows with wear.  The
   device predicts the torque for a speed and a load, sees what was needed, and
   takes one step; two experts find the two directions. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)0)
#include "../../../moe.h"
#include "../board.h"

enum { WINDOW = 2000, WINDOWS = 6, WORN = 3 };
static float memory[118];       /* moe_bytes says how much is needed */
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
    config.rows = 1;
    config.sigma = 0.3f;
    config.use = MOE_USE_LEARN;         /* no moments, no second copy */
    print("bytes ");
    print_number((long)moe_bytes(&config));
    print("\n");
    return moe_open(&m, &config, memory, sizeof memory) == MOE_OK;
}

/* One case: predict, see, learn; returns the squared error. */
static float live(const moe_training *sgd, int worn)
{
    float x[2], d[1], y[1];
    moe_data one = {1, x, d, NULL};

    x[0] = uniform();
    x[1] = uniform();
    d[0] = torque(x, worn);
    moe_predict(&m, x, 1, y);
    moe_gradient(&m, &one);
    if (moe_step(&m, sgd, 1) != MOE_OK)
        print(m.why);
    return (y[0] - d[0]) * (y[0] - d[0]);
}

int main(void)
{
    static const moe_training none;
    moe_training sgd = none;
    float error = 0;
    int w, n;

    sgd.optimizer = MOE_SGD;
    sgd.rate = 0.05f;
    if (!start()) {
        print(m.why);
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
