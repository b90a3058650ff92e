/* collapse.c - a sparse mixture whose gate has collapsed, and four ways on
     cc -O2 examples/collapse.c -o collapse && ./collapse

   With top_k only the experts that a gate chooses learn, so one that is never
   chosen stays as it is for ever.  Here 2 of 8 straight planes run for a case,
   the plane of x has eight regions with a law each, and the first epoch has a
   rate of 0.7, 70 times what would do: from this seed it leaves five experts
   dead and one in every choice.  From that same state training goes on with
   nothing done about it, with the balance loss, with loss-free balancing, and
   with revival, in which a dead expert becomes a copy of the busiest.

   gate_health.h has the diagnosis and the revival.  Draws collapse.svg: which
   share of the choices each expert has. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "gate_health.h"
#include "plot.h"
#include <math.h>

enum { CASES = 1024, EXPERTS = 8, CHOSEN = 2, BAD_SEED = 49, START = 20,
       EPOCHS = 300, REVIVE_EVERY = 10 };
enum { NOTHING, BALANCE, BALANCE_RATE, REVIVAL, RUNS };
static const char *const name[RUNS] = {
    "nothing done", "balance_loss = 0.5",
    "loss-free, balance_rate = 0.01", "revival every 10 epochs"
};
static float x[2 * CASES], d[CASES], epochs[EPOCHS + 1];
static float share[RUNS][(EPOCHS + 1) * EXPERTS];         /* of the choices */
static const moe_data data = {.n = CASES, .x = x, .d = d};

/* Eight regions, each the nearest to its centre, with a plane for a law. */
static void make_cases(void)
{
    float centre[8][2], law[8][3];
    uint64_t seed = 1991;
    int i, k, n;

    for (i = 0; i < 8; i++) {
        centre[i][0] = ((float)(i % 4) - 1.5f) / 2 + 0.1f * gate_chance(&seed);
        centre[i][1] = (float)(i / 4) - 0.5f + 0.1f * gate_chance(&seed);
        for (k = 0; k < 3; k++)
            law[i][k] = 3 * gate_chance(&seed);
    }
    for (n = 0; n < CASES; n++) {
        float *at = x + 2 * n, nearest = 100;

        at[0] = gate_chance(&seed);
        at[1] = gate_chance(&seed);
        for (i = 0; i < 8; i++) {
            float u = at[0] - centre[i][0], v = at[1] - centre[i][1];

            if (u * u + v * v < nearest) {
                nearest = u * u + v * v;
                d[n] = law[i][0] + law[i][1] * u + law[i][2] * v;
            }
        }
    }
}

static void check(moe_status status, const moe *m)
{
    if (status != MOE_OK) {
        printf("%s\n", m->error);
        exit(1);
    }
}

static void open_mixture(moe *m, int top_k)
{
    moe_config config = {.inputs = 2, .outputs = 1, .experts = EXPERTS,
                         .top_k = top_k, .sigma = 0.3f, .seed = BAD_SEED};

    check(moe_open(m, &config, NULL, 0), m);
}

static void train(moe *m, int count, float rate, float balance_rate)
{
    moe_training t = {.epochs = count, .rate = rate,
                      .balance_rate = balance_rate, .holdout = -1};

    check(moe_train(m, &data, NULL, &t, NULL), m);
}

/* One epoch that is much too wild, and some at a rate that is right. */
static void open_collapsed(moe *m)
{
    open_mixture(m, CHOSEN);
    train(m, 1, 0.7f, 0);
    train(m, START, 0.01f, 0);
}

/* The seed is the same for all, so what collapsed is too. */
static void go_on(int run)
{
    moe_report r;
    int epoch;
    moe m;

    open_collapsed(&m);
    m.config.balance_loss = run == BALANCE ? 0.5f : 0;
    printf("%s\n", name[run]);
    for (epoch = 0; epoch <= EPOCHS; epoch++) {
        float *load = share[run] + epoch * EXPERTS, halved[EXPERTS];

        check(moe_evaluate(&m, &data, &r), &m);
        memcpy(load, r.load, sizeof halved);
        memcpy(halved, r.load, sizeof halved);
        if (epoch == 0 || epoch == 10 || epoch == 30 || epoch == 100
            || epoch == EPOCHS)
            printf("%5d %6.3f %9.2f %4d %7.2f  %s\n", epoch,
                   (double)r.squared_error, (double)r.imbalance, r.dead,
                   (double)r.gate_entropy, diagnose(&r, EXPERTS, CHOSEN));
        if (run == REVIVAL && epoch % REVIVE_EVERY == 0)
            revive_all(&m, halved, (uint64_t)epoch);
        train(&m, 1, 0.01f, run == BALANCE_RATE ? 0.01f : 0);
    }
    moe_close(&m);
}

/* Revive one expert from the busiest, where the same weights all run. */
static void show_what_revival_changes(void)
{
    static float before[CASES], after[CASES];
    double range[2] = {0}, change[2] = {0};
    int n, dead = 0, busiest = 0;
    moe_report r;
    moe m, dense;

    open_collapsed(&m);
    check(moe_evaluate(&m, &data, &r), &m);
    for (n = 0; n < EXPERTS; n++) {
        dead = r.load[n] < r.load[dead] ? n : dead;
        busiest = r.load[n] > r.load[busiest] ? n : busiest;
    }
    open_mixture(&dense, 0);
    memcpy(dense.weights, m.weights, m.param_count * sizeof *m.weights);
    moe_predict(&dense, x, CASES, before);
    revive(&dense, dead, busiest, 1);
    moe_predict(&dense, x, CASES, after);
    plot_range(range, CASES, before, 1);
    for (n = 0; n < CASES; n++)
        after[n] = fabsf(after[n] - before[n]);
    plot_range(change, CASES, after, 1);
    printf("A dense copy, one expert revived: its y, from %.2f to %.2f,\n"
           "changes by %.4f at most.\n\n", range[0], range[1], change[1]);
    moe_close(&dense);
    moe_close(&m);
}

int main(void)
{
    int run, i;
    plot p;

    make_cases();
    show_what_revival_changes();
    for (run = 0; run <= EPOCHS; run++)
        epochs[run] = (float)run;
    plot_open(&p, "collapse.svg", 2, 2, 320, 170);
    printf("epoch  error imbalance dead entropy  diagnosis\n");
    for (run = 0; run < RUNS; run++) {
        go_on(run);
        plot_panel(&p, name[run], "epochs after the collapse",
                   "share of the choices", 0, EPOCHS, 0, 1);
        plot_gate(&p, EPOCHS + 1, epochs, share[run], EXPERTS);
        for (i = 0; i < EXPERTS; i++)
            plot_key(&p, plot_expert[i] + 7, plot_colour[i]);  /* A..H */
    }
    plot_close(&p);
    return 0;
}
