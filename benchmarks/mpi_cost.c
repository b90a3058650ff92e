/* mpi_cost.c - the numbers that mpi_model.c reckons with
     ./mpi_cost                  what cases and steps cost on one processor
     mpirun -n 2 ./mpi_cost      what messages between two ranks cost

   Lines of a name, a number and a unit.  The network is that of the model: an
   expert 64-128-64, and a linear gate for 1,024 of them.  Each is the best of
   31 samples, for others may be at work on the machine. */
#define _POSIX_C_SOURCE 199309L
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDE = 64, UNITS = 128, EXPERTS = 1024, CASES = 256, SAMPLES = 31,
       LARGE = 4 << 20 };               /* floats of a large message */
enum { PREDICT, GRADIENT, GATE, STEP };

static float x[CASES * WIDE], d[CASES * WIDE], y[CASES * EXPERTS];
static float *out, *in;
static int ranks;

/* Of this process alone, or on the wall. */
static double seconds(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* ---- one processor ----------------------------------------------------- */

static void open_net(moe *m, int outputs, int hidden)
{
    moe_config config = {0};

    config.inputs = WIDE;
    config.outputs = outputs;
    config.experts = 1;
    config.hidden[0] = hidden;
    config.loss = MOE_LOSS_BLEND;
    config.block = CASES;
    if (moe_open(m, &config, NULL, 0) != MOE_OK) {
        fprintf(stderr, "mpi_cost: %s\n", m->error);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

static void work(moe *m, int what)
{
    moe_data data = {CASES, x, d, NULL, NULL};

    if (what == PREDICT) {
        moe_predict(m, x, CASES, y);
    } else if (what == GRADIENT) {
        moe_gradient(m, &data);
    } else if (what == GATE) {
        moe_forward(m, x, CASES);
        moe_backward(m, y, NULL);
    } else {
        memcpy(m->grads, y, m->trained_count * sizeof *y);   /* has arrived */
        moe_step(m, NULL, 1);
    }
}

/* Seconds of processor time of one call, twenty in a sample. */
static double time_of(moe *m, int what)
{
    double best = 1e9;
    int i, n;

    for (i = 0; i < SAMPLES; i++) {
        double start = seconds(CLOCK_PROCESS_CPUTIME_ID);

        for (n = 0; n < 20; n++)
            work(m, what);
        best = smaller(best, seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
    }
    return best / 20;
}

static void compute(void)
{
    moe expert, gate;

    open_net(&expert, WIDE, UNITS);
    open_net(&gate, EXPERTS, 0);
    printf("expert_forward %.4g seconds per case\n",
           time_of(&expert, PREDICT) / CASES);
    printf("expert_gradient %.4g seconds per case\n",
           time_of(&expert, GRADIENT) / CASES);
    printf("gate_gradient %.4g seconds per case and expert\n",
           time_of(&gate, GATE) / CASES / EXPERTS);
    printf("update %.4g seconds per parameter\n",
           time_of(&expert, STEP) / (double)expert.trained_count);
    moe_close(&gate);
    moe_close(&expert);
}

/* ---- two ranks --------------------------------------------------------- */

static void reduce(int count)
{
    MPI_Allreduce(out, in, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

/* Half of the floats stay, half go to the other. */
static void exchange(int count)
{
    int n[2], at[2];

    n[0] = n[1] = count / 2;
    at[0] = 0;
    at[1] = count / 2;
    MPI_Alltoallv(out, n, at, MPI_FLOAT, in, n, at, MPI_FLOAT,
                  MPI_COMM_WORLD);
}

/* Seconds on the wall of one call. */
static double message(void (*send)(int), int count, int calls)
{
    double best = 1e9;
    int i, n;

    for (i = 0; i < SAMPLES; i++) {
        double start;

        MPI_Barrier(MPI_COMM_WORLD);
        start = seconds(CLOCK_MONOTONIC);
        for (n = 0; n < calls; n++)
            send(count);
        best = smaller(best, seconds(CLOCK_MONOTONIC) - start);
    }
    return best / calls;
}

/* mpi_model.c says how latency and bandwidth make these times. */
static void messages(int rank)
{
    double bytes = 4.0 * LARGE;
    double reduce_2 = message(reduce, 2, 200);
    double reduce_large = message(reduce, LARGE, 1);
    double exchange_2 = message(exchange, 2, 200);
    double exchange_large = message(exchange, LARGE, 1);

    if (rank != 0)
        return;
    printf("reduce_latency %.4g seconds\n", reduce_2 / 2);
    printf("reduce_bandwidth %.4g bytes per second\n",
           bytes / (reduce_large - reduce_2));
    printf("exchange_latency %.4g seconds\n", exchange_2);
    printf("exchange_bandwidth %.4g bytes per second\n",
           bytes / 2 / (exchange_large - exchange_2));
}

int main(int argc, char **argv)
{
    int rank, i;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (i = 0; i < CASES * WIDE; i++) {
        x[i] = (float)(i * 7919 % 1009) / 504 - 1;
        d[i] = (float)(i * 104729 % 1013) / 506 - 1;
    }
    for (i = 0; i < CASES * EXPERTS; i++)
        y[i] = (float)(i % 13) / 13;
    out = (float *)calloc(LARGE, sizeof *out);
    in = (float *)calloc(LARGE, sizeof *in);
    if (out == NULL || in == NULL || ranks > 2) {
        fprintf(stderr, "mpi_cost: one rank or two, and memory for them\n");
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (ranks == 1)
        compute();
    else
        messages(rank);
    free(in);
    free(out);
    return MPI_Finalize();
}
