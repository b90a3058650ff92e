/* mpi_experts.c - a sparse mixture whose experts do not fit one machine: every
   rank owns some of them, and cases travel to the experts they choose
     mpicc -O2 examples/mpi_experts.c -o mpi_experts -lm
     mpirun -n 4 ./mpi_experts

   An expert is a moe of its own, with experts = 1, at its owner.  The gate is
   one with a linear output per expert; all ranks have it.  A step:
     s = gate(x), and the K largest of them   moe_forward
     x to the owners of those experts         MPI_Alltoallv
     o = expert(x)                            moe_predict
     o back to where x came from              MPI_Alltoallv
     p, h and E; dE/do to the owners          MPI_Alltoallv
     experts' gradients from dE/do            moe_forward, moe_backward
     gate's gradient from dE/ds = p - h       moe_backward, MPI_Allreduce
   The gradient of an expert is whole at its owner, so none but the gate's is
   summed over ranks.  One moe with top_k = K learns the same, to rounding. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

enum { I = 4, E = 16, K = 2, HIDDEN = 8, CASES = 4096, BATCH = 512,
       EPOCHS = 60, ALL = BATCH * K };     /* all may choose the same owner */
#define REAL (sizeof(moe_real) == sizeof(float) ? MPI_FLOAT : MPI_DOUBLE)
#define WORLD MPI_COMM_WORLD

static int rank, ranks = 1, own = E;       /* own: experts of every rank    */
static moe gate, expert[E];                /* of these, the first `own`     */
static moe_real x[CASES * I], d[CASES];
/* Choice k of case c, q = c K + k: which expert, and its place among them all
   sorted by expert, and so by owner.  Rows for each expert; rows from rank r
   for expert j of this one, at r own + j; for and from each rank, and where. */
static int chosen[ALL], place[ALL], sent[E], came[E];
static int out_n[E], out_at[E], in_n[E], in_at[E];
static moe_real out_x[ALL * I], in_x[ALL * I];   /* what leaves, what comes */
static moe_real out_o[ALL], in_o[ALL];           /* o, and then dE/do       */

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "mpi_experts: rank %d: %s: %s\n", rank, what, why);
    MPI_Abort(WORLD, 1);
}

/* One law for each sign of x_0. */
static void make_cases(void)
{
    unsigned random = 1;
    int i;

    for (i = 0; i < CASES * I; i++) {
        random = random * 1664525u + 1013904223u;
        x[i] = (moe_real)(random >> 8) / 8388608 - 1;
        if (i % I == 3)
            d[i / I] = x[i - 3] > 0 ? 1 + x[i - 1] * x[i] : x[i - 2] - 1;
    }
}

/* The experts of this rank, and the gate, which is the same everywhere. */
static void open_all(void)
{
    int j;

    for (j = 0; j <= own; j++) {
        moe_config config = {.inputs = I, .experts = 1, .block = BATCH};
        config.outputs = j < own ? 1 : E;
        config.hidden[0] = j < own ? HIDDEN : 0;
        config.seed = (uint64_t)(j < own ? rank * own + j : E);
        if (moe_open(j < own ? &expert[j] : &gate, &config, NULL, 0))
            fail("moe_open", "not enough memory");
    }
}

/* The K largest logits of each case, sorted. */
static void choose(const moe_real *s, int n)
{
    moe_real left[E];
    int q, e, at = 0;

    for (q = 0; q < n * K; q++) {
        if (q % K == 0)
            memcpy(left, s + q / K * E, sizeof left);
        for (chosen[q] = 0, e = 1; e < E; e++)
            if (left[e] > left[chosen[q]])
                chosen[q] = e;
        left[chosen[q]] = -(moe_real)HUGE_VAL;
    }
    for (e = 0; e < E; e++)
        for (sent[e] = q = 0; q < n * K; q++)
            if (chosen[q] == e) {
                place[q] = at++;
                sent[e]++;
            }
}

/* Rows to each rank, or from it, and where these begin. */
static void count_rows(const int *count, int *n, int *begin)
{
    int i, at = 0;

    for (i = 0; i < E; at += count[i++]) {
        if (i % own == 0)
            begin[i / own] = at;
        n[i / own] = at + count[i] - begin[i / own];
    }
}

/* exp a_k / sum_j exp a_j */
static double softmax(const double *a, int k)
{
    double sum = 0;
    int j;

    for (j = 0; j < K; j++)
        sum += exp(a[j] - a[k]);
    return 1 / sum;
}

/* Case c: E = -log sum_i exp(b_i) + log sum_i exp(s_i), b_i = s_i - e_i/2 (1.3)
   dE/ds_i = p_i - h_i;  o_i becomes  dE/do_i = h_i (o_i - d) */
static double loss(int c, moe_real d_c, const moe_real *s, moe_real *dE_ds)
{
    double a[K], b[K];
    int k, best = 0;

    for (k = 0; k < K; k++) {
        double e = (double)(out_o[place[c * K + k]] -= d_c);
        a[k] = (double)s[chosen[c * K + k]];
        b[k] = a[k] - e * e / 2;
        best = b[k] > b[best] ? k : best;
    }
    for (k = 0; k < K; k++) {
        double h = softmax(b, k);
        dE_ds[chosen[c * K + k]] = (moe_real)(softmax(a, k) - h);
        out_o[place[c * K + k]] *= (moe_real)h;
    }
    return a[0] - log(softmax(a, 0)) - b[best] + log(softmax(b, best));
}

/* The n cases from `first` on are this rank's.  Returns the sum of E. */
static double step(int first, int n, MPI_Datatype row)
{
    static moe_real dE_ds[BATCH * E];
    double sum = 0;
    int c, q, i, at;

    moe_forward(&gate, x + first * I, n);
    choose(gate.y, n);
    MPI_Alltoall(sent, own, MPI_INT, came, own, MPI_INT, WORLD);
    count_rows(sent, out_n, out_at);
    count_rows(came, in_n, in_at);
    for (q = 0; q < n * K; q++)
        memcpy(out_x + place[q] * I, x + (first + q / K) * I, I * sizeof *x);
    MPI_Alltoallv(out_x, out_n, out_at, row, in_x, in_n, in_at, row, WORLD);
    for (i = at = 0; i < E; at += came[i++])
        moe_predict(&expert[i % own], in_x + at * I, came[i], in_o + at);
    MPI_Alltoallv(in_o, in_n, in_at, REAL, out_o, out_n, out_at, REAL, WORLD);
    memset(dE_ds, 0, sizeof dE_ds);
    for (c = 0; c < n; c++)
        sum += loss(c, d[first + c], gate.y + c * E, dE_ds + c * E);
    MPI_Alltoallv(out_o, out_n, out_at, REAL, in_o, in_n, in_at, REAL, WORLD);
    for (i = at = 0; i < E; at += came[i++])
        if (moe_forward(&expert[i % own], in_x + at * I, came[i]) > 0)
            moe_backward(&expert[i % own], in_o + at, NULL);
    moe_backward(&gate, dE_ds, NULL);
    MPI_Allreduce(MPI_IN_PLACE, gate.grads, (int)gate.trained_count, REAL,
                  MPI_SUM, WORLD);
    for (i = 0; i <= own; i++)
        if (moe_step(i < own ? &expert[i] : &gate, NULL, 1 / (moe_real)BATCH))
            fail("moe_step", "the gradient is not finite");
    return sum;
}

int main(int argc, char **argv)
{
    int epoch, first, n;
    double sum, all;
    MPI_Datatype row;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(WORLD, &rank);
    MPI_Comm_size(WORLD, &ranks);
    MPI_Type_contiguous(I, REAL, &row);
    MPI_Type_commit(&row);
    own = E / ranks;
    n = BATCH / ranks;                  /* whole, for BATCH / E is */
    if (own * ranks != E)
        fail("ranks", "they cannot share the experts evenly");
    make_cases();
    open_all();
    for (epoch = 1; epoch <= EPOCHS; epoch++) {
        for (sum = 0, first = 0; first < CASES; first += BATCH)
            sum += step(first + rank * n, n, row);
        MPI_Reduce(&sum, &all, 1, MPI_DOUBLE, MPI_SUM, 0, WORLD);
        if (rank == 0)
            printf("epoch %d: mean E %.7f\n", epoch, all / CASES);
    }
    return MPI_Finalize();
}
