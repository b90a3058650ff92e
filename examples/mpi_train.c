/* mpi_train.c - training on many machines: every rank has all weights and
   takes its part of each step's cases (Debian: libopenmpi-dev)
     mpicc -O2 examples/mpi_train.c -o mpi_train
     mpirun -n 4 ./mpi_train kin8nm.csv [EPOCHS [CHECKPOINT [SHARDS]]]

   Each rank adds up the gradient of its part; one MPI_Allreduce over the flat
   array grads makes it that of all cases, and every rank takes the same step.
   So the weights stay equal without being sent, and what is learnt depends on
   the number of ranks by rounding alone.  Rank 0 writes a checkpoint every ten
   epochs.  A rank that dies ends the run; the same command goes on from there.
   One process with SHARDS sums so many parts apart: under -DMOE_SAME_BITS it
   prints with two of them the same hash as two ranks.  Every rank reads both
   files.  A row is eight inputs and a target; the last fifth is the test. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { I = 8, CASES = 100000, BATCH = 256, EVERY = 10 };
#define REAL (sizeof(moe_real) == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE)

static const char *checkpoint = "";
static char farewell[500];
static int rank, ranks, shards;
static moe_real x[CASES * I], d[CASES], *sum;
static moe_real now_x[CASES * I], now_d[CASES];     /* in an epoch's order */

/* Called by all ranks: if some are wrong, the first says why, and all end. */
static void check(int wrong, const char *what, const char *why)
{
    int first = wrong ? rank : ranks;

    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (first == rank)
        fprintf(stderr, "mpi_train: rank %d: %s: %s\n", rank, what, why);
    if (first < ranks) {
        MPI_Finalize();
        exit(1);
    }
}

/* mpirun tells the others to end when a rank has died.  A signal handler may
   not print, so the sentence is made before, for the epoch that is saved. */
static void told_to_end(int number)
{
    _exit(write(2, farewell, strlen(farewell)) < 0 ? 1 : 128 + number);
}

static void prepare_farewell(int epoch)
{
    signal(SIGTERM, SIG_IGN);
    snprintf(farewell, sizeof farewell, "mpi_train: rank %d was told to end: "
             "another has died, or the run was stopped.\nCheckpoint: epoch %d; "
             "the same command goes on from there.\n", rank, epoch);
    signal(SIGTERM, rank < 2 ? told_to_end : SIG_DFL);  /* one of two lives */
}

static int read_cases(const char *path)
{
    FILE *file = fopen(path, "r");
    double value;
    int i, wide = I + 1;

    for (i = 0; file && i < CASES * wide
                && fscanf(file, "%lf,", &value) == 1; i++)
        *(i % wide < I ? &x[i - i / wide] : &d[i / wide]) = (moe_real)value;
    check(file == NULL || fclose(file) || i < 5 * wide || i % wide != 0, path,
          "cannot be read as rows of eight inputs and a target");
    return i / wide;
}

/* The order of an epoch (Fisher & Yates), the same on all ranks. */
static void shuffle(int n, int epoch)
{
    uint64_t random = (uint64_t)epoch;
    int i, j;

    for (i = 0; i < n; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        j = (int)((random >> 33) % (uint64_t)(i + 1));
        memmove(now_x + i * I, now_x + j * I, I * sizeof *x);
        memcpy(now_x + j * I, x + i * I, I * sizeof *x);
        now_d[i] = now_d[j];
        now_d[j] = d[i];
    }
}

/* A step on n cases, of which each rank has a part.  Returns its sum of E. */
static double step(moe *m, int first, int n)
{
    double E = 0;
    size_t i;
    int p;

    for (p = rank; p < shards; p += ranks) {
        int from = first + n * p / shards, to = first + n * (p + 1) / shards;
        moe_data part = {to - from, now_x + from * I, now_d + from, NULL, NULL};

        memset(m->grads, 0, m->trained_count * sizeof *m->grads);
        E += (double)moe_gradient(m, &part);
        for (i = 0; i < m->trained_count; i++)
            sum[i] = p == rank ? m->grads[i] : sum[i] + m->grads[i];
    }
    if (MPI_Allreduce(sum, m->grads, (int)m->trained_count, REAL, MPI_SUM,
                      MPI_COMM_WORLD) != MPI_SUCCESS) {
        fprintf(stderr, "mpi_train: rank %d: has another died?\n", rank);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (moe_step(m, NULL, 1 / (moe_real)n) != MOE_OK)
        check(1, "moe_step", m->error);          /* on all ranks or on none */
    return E;
}

/* FNV-1a over the weights, which must be the same on all ranks. */
static uint64_t hash(const moe *m)
{
    const unsigned char *byte = (const unsigned char *)m->params;
    size_t left = m->param_count * sizeof *m->params;
    uint64_t h[2] = {14695981039346656037u, 0}, least[2];

    while (left-- > 0)
        h[0] = (h[0] ^ *byte++) * 1099511628211u;
    h[1] = ~h[0];
    MPI_Allreduce(h, least, 2, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
    check(least[0] != ~least[1], "the ranks have parted", "unlike files, or "
          "unlike processors without MOE_SAME_BITS");
    return h[0];
}

/* From the checkpoint, if there is one. */
static void start(moe *m, const moe_data *train)
{
    moe_config config = {.inputs = I, .outputs = 1, .experts = 8,
                         .hidden = {8}, .loss = MOE_LOSS_BLEND};
    int wrong = access(checkpoint, F_OK) == 0
              ? moe_load(m, checkpoint, NULL) != MOE_OK
              : moe_open(m, &config, NULL, 0) || moe_fit_scales(m, train);

    check(wrong, *checkpoint ? checkpoint : "moe_open", m->error);
    sum = (moe_real *)malloc(m->trained_count * sizeof *sum);
    check(sum == NULL || m->config.inputs != I || m->config.outputs != 1,
          checkpoint, "another model, or no memory");
    hash(m);
    prepare_farewell(m->epoch);
}

static void train_epoch(moe *m, int n)
{
    double E = 0, all = 0;
    int i;

    shuffle(n, m->epoch);
    for (i = 0; i < n; i += BATCH)
        E += step(m, i, n - i < BATCH ? n - i : BATCH);
    MPI_Reduce(&E, &all, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (++m->epoch % EVERY != 0)
        return;
    hash(m);
    check(rank == 0 && *checkpoint && moe_save(m, MOE_MODE_TRAIN, checkpoint),
          checkpoint, "cannot be written");
    prepare_farewell(*checkpoint ? m->epoch : 0);
    if (rank == 0)
        printf("epoch %d: mean E %.6f\n", m->epoch, all / n);
    fflush(stdout);                              /* for who watches the log */
}

int main(int argc, char **argv)
{
    moe_data train = {0, x, d, NULL, NULL}, test = train;
    int epochs = argc > 2 ? atoi(argv[2]) : 60;
    unsigned long long end;
    moe_report report;
    moe m = {0};

    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    checkpoint = argc > 3 ? argv[3] : "";
    shards = argc > 4 ? atoi(argv[4]) : ranks;
    check(argc < 2 || shards < ranks, "use",
          "mpi_train FILE [EPOCHS [CHECKPOINT [SHARDS]]]");
    train.n = read_cases(argv[1]);
    test.n = train.n / 5;
    train.n -= test.n;
    test.x = x + train.n * I;
    test.d = d + train.n;
    for (start(&m, &train); m.epoch < epochs; )
        train_epoch(&m, train.n);
    moe_evaluate(&m, &test, &report);
    end = hash(&m);
    if (rank == 0)
        printf("test: mean squared error %.6f\nhash %016llx\n",
               (double)report.squared_error, end);
    return MPI_Finalize();
}
