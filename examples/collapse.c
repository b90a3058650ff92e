/* collapse.c - a sparse mixture whose gate has collapsed, and four ways on
     cc -O2 examples/collapse.c -o collapse && ./collapse

   With top_k only the experts that a gate chooses learn, so one that is never
   chosen stays as it is for ever.  Here 2 of 8 straight planes run for a case,
   the plane of x has eight regions with a law each, and the first epoch has a
   rate of 0.7, 70 times what would do: from this seed it leaves five experts
   dead and one in every choice.  From that same state training goes on with
   nothing done about it, with the balance loss, with loss-free balancing, and
   with revival, in which a dead expert becomes a copy of the busiest.

   diagnose() and revive() are there to be copied: they need nothing but moe.h.
   Writes collapse.svg: which share of the choices each expert has. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>

enum { CASES = 1024, EXPERTS = 8, CHOSEN = 2, BAD_SEED = 49, START = 20,
       EPOCHS = 300, REVIVE_EVERY = 10 };
enum { NOTHING, BALANCE, BALANCE_RATE, REVIVAL, RUNS };
static const char *const name[RUNS] = {
    "nothing done", "balance_loss = 0.5",
    "loss-free, balance_rate = 0.01", "revival every 10 epochs"
};
static float x[2 * CASES], d[CASES];
static float share[RUNS][EPOCHS + 1][EXPERTS]; /* of the choices, by epoch */
static const moe_data data = {CASES, x, d, NULL, NULL};

/* ---- to be copied ------------------------------------------------------- */

/* log n = sum_k log(k / (k-1)), each by two terms of its series: to 0.002 */
static float log_of(int n)
{
    float sum = 0;
    int k;

    for (k = 2; k <= n; k++) {
        float t = 1 / (float)(2 * k - 1);

        sum += 2 * t + 2 * t * t * t / 3;
    }
    return sum;
}

/* What a report says about the gate, and what to do: one sentence.  top_k: as
   in the configuration, 0 when all experts run; only a choice of some can be
   balanced, by balance_rate or balance_loss. */
static const char *diagnose(const moe_report *r, int experts, int top_k)
{
    int i, sparse = top_k % experts != 0, choices = sparse ? top_k : experts;
    int uniform = (float)r->gate_entropy > 0.95f * log_of(choices);
    int always = sparse && (float)(r->imbalance * (moe_real)top_k)
                           > 0.9f * (float)experts;
    float lead = 0;                         /* the largest mean proportion */

    for (i = 0; i < experts; i++)
        lead = r->usage[i] > lead ? (float)r->usage[i] : lead;
    if (experts < 2)
        return "One expert: there is no gate to judge.";
    if (lead > 0.9f || (sparse && experts - r->dead <= top_k))
        return sparse ? "Collapsed: set balance_rate, or revive the dead."
                      : "Collapsed: start anew at a lower rate.";
    if (uniform && !always && !(sparse && r->dead > 0))
        return "Uniform: train on, or lower sigma.";
    if (always || (lead > 0.5f && lead * (float)experts > 2))
        return sparse ? "One expert dominates: set balance_rate."
                      : "One expert dominates: lower the rate.";
    if (r->dead > 0)
        return sparse ? "Dead experts: balance, or revive them."
                      : "Dead experts: revive them.";
    return "Healthy: change nothing.";
}

/* A number in -1..1 from a seed that moves on. */
static float chance(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(*seed >> 40) / 8388608 - 1;
}

/* to[i] = from[i], disturbed by so much of itself */
static void copy_part(moe_real *weights, size_t to, size_t from, size_t count,
                      float disturb, uint64_t *seed)
{
    size_t i;

    for (i = 0; i < count; i++)
        weights[to + i] = weights[from + i]
                        * (1 + (moe_real)(disturb * chance(seed)));
}

/* A dead expert becomes a copy of the busiest: its weights, slightly disturbed
   so that the two can part, and its column of the gate.  log(p/2) = log p -
   log 2: with both logits lowered by log 2 the two share what the busiest had,
   and a dense prediction changes by no more than the disturbance does and the
   little that the dead expert had said.  (Hinton's word is speciation.)  In a
   sparse one both may be chosen for a case, at the cost of another's place. */
static void revive(moe *m, int dead, int busiest, uint64_t seed)
{
    const moe_config *c = &m->config;
    const moe_real log_2 = (moe_real)0.69314718;
    const float little = 0.01f;
    moe_real *balance = m->weights + m->trained_count - (size_t)c->experts;
    moe_layer at, from, gate = moe_layer_at(c, c->experts, 0);
    int l, j;

    for (l = 0; (at = moe_layer_at(c, dead, l)).out > 0; l++) {
        from = moe_layer_at(c, busiest, l);
        copy_part(m->weights, at.bias, from.bias, (size_t)at.out, little,
                  &seed);
        copy_part(m->weights, at.weight, from.weight,
                  (size_t)at.in * (size_t)at.out, little, &seed);
    }
    for (l = 1; (at = moe_layer_at(c, c->experts, l)).out > 0; l++)
        gate = at;                                  /* its last layer */
    m->weights[gate.bias + (size_t)busiest] -= log_2;
    m->weights[gate.bias + (size_t)dead] =
        m->weights[gate.bias + (size_t)busiest];
    for (j = 0; j < gate.in; j++) {
        size_t row = gate.weight + (size_t)j * (size_t)gate.out;

        copy_part(m->weights, row + (size_t)dead, row + (size_t)busiest, 1,
                  little, &seed);
    }
    balance[dead] = balance[busiest];
}

/* All dead experts, each from what is the busiest by then. */
static void revive_all(moe *m, const moe_report *r, uint64_t seed)
{
    int i, j, busiest, all = m->config.experts;
    moe_real *won = (moe_real *)malloc((size_t)all * sizeof *won);

    for (i = 0; i < all && won != NULL; i++)
        won[i] = r->load[i];
    for (i = 0; i < all && won != NULL; i++) {
        if (won[i] > 0)
            continue;
        for (busiest = 0, j = 1; j < all; j++)
            busiest = won[j] > won[busiest] ? j : busiest;
        revive(m, i, busiest, seed + (uint64_t)i);
        won[i] = won[busiest] /= 2;
    }
    free(won);
}

/* ---- the task ----------------------------------------------------------- */

/* Eight regions, each the nearest to its centre, with a plane for a law. */
static void make_cases(void)
{
    float centre[8][2], law[8][3];
    uint64_t seed = 1991;
    int i, k, n;

    for (i = 0; i < 8; i++) {
        centre[i][0] = ((float)(i % 4) - 1.5f) / 2 + 0.1f * chance(&seed);
        centre[i][1] = (float)(i / 4) - 0.5f + 0.1f * chance(&seed);
        for (k = 0; k < 3; k++)
            law[i][k] = 3 * chance(&seed);
    }
    for (n = 0; n < CASES; n++) {
        float *at = x + 2 * n, nearest = 100;

        at[0] = chance(&seed);
        at[1] = chance(&seed);
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
    moe_config config = {0};

    config.inputs = 2;
    config.outputs = 1;
    config.experts = EXPERTS;
    config.top_k = top_k;
    config.sigma = 0.3f;
    config.seed = BAD_SEED;
    check(moe_open(m, &config, NULL, 0), m);
}

static moe_report look(moe *m)
{
    moe_report report;

    check(moe_evaluate(m, &data, &report), m);
    return report;
}

static void train(moe *m, int epochs, float rate, float balance_rate)
{
    moe_training t = {0};

    t.epochs = epochs;
    t.rate = rate;
    t.balance_rate = balance_rate;
    check(moe_train(m, &data, NULL, &t, NULL), m);
}

/* One epoch that is much too wild, and some at a rate that is right. */
static void collapse(moe *m)
{
    train(m, 1, 0.7f, 0);
    train(m, START, 0.01f, 0);
}

/* ---- four ways on ------------------------------------------------------- */

static void print_line(const moe_report *r, int epoch)
{
    printf("%5d %6.3f %9.2f %4d %7.2f  %s\n", epoch,
           (double)r->squared_error, (double)r->imbalance, r->dead,
           (double)r->gate_entropy, diagnose(r, EXPERTS, CHOSEN));
}

static void keep_shares(float *to, const moe_report *r)
{
    int i;

    for (i = 0; i < EXPERTS; i++)
        to[i] = r->load[i];
}

/* The seed is the same for all, so what collapsed is too. */
static void go_on(int run)
{
    int epoch;
    moe m;

    open_mixture(&m, CHOSEN);
    collapse(&m);
    m.config.balance_loss = run == BALANCE ? 0.5f : 0;
    printf("%s\n", name[run]);
    for (epoch = 0; epoch <= EPOCHS; epoch++) {
        moe_report r = look(&m);

        keep_shares(share[run][epoch], &r);
        if (epoch == 0 || epoch == 10 || epoch == 30 || epoch == 100
            || epoch == EPOCHS)
            print_line(&r, epoch);
        if (run == REVIVAL && epoch % REVIVE_EVERY == 0)
            revive_all(&m, &r, (uint64_t)epoch);
        train(&m, 1, 0.01f, run == BALANCE_RATE ? 0.01f : 0);
    }
    moe_close(&m);
}

/* The same weights in a mixture that runs all experts. */
static void open_dense_copy(moe *dense, const moe *m)
{
    size_t i;

    open_mixture(dense, 0);
    for (i = 0; i < dense->param_count; i++)
        dense->weights[i] = m->weights[i];
}

/* Revive one expert from the busiest, in a dense copy of the collapsed one. */
static void show_what_revival_changes(void)
{
    static float before[CASES], after[CASES];
    float most = 0, range[2] = {0, 0};
    int n, dead = 0, busiest = 0;
    moe_report r;
    moe m, dense;

    open_mixture(&m, CHOSEN);
    collapse(&m);
    r = look(&m);
    for (n = 0; n < EXPERTS; n++) {
        dead = r.load[n] < r.load[dead] ? n : dead;
        busiest = r.load[n] > r.load[busiest] ? n : busiest;
    }
    open_dense_copy(&dense, &m);
    moe_predict(&dense, x, CASES, before);
    revive(&dense, dead, busiest, 1);
    moe_predict(&dense, x, CASES, after);
    for (n = 0; n < CASES; n++) {
        float change = after[n] - before[n];

        most = change > most ? change : -change > most ? -change : most;
        range[0] = before[n] < range[0] ? before[n] : range[0];
        range[1] = before[n] > range[1] ? before[n] : range[1];
    }
    printf("A dense copy, one expert revived: its y, from %.2f to %.2f,\n"
           "changes by %.4f at most.\n\n", (double)range[0],
           (double)range[1], (double)most);
    moe_close(&dense);
    moe_close(&m);
}

/* ---- the picture -------------------------------------------------------- */

static void draw_axes(FILE *f, double left, double top)
{
    int i;

    for (i = 0; i <= 2; i++)
        fprintf(f, "<text x='%.0f' y='%.0f' text-anchor='end'>%d %%</text>\n",
                left - 6, top + 165 - 80 * i, 50 * i);
    for (i = 0; i <= 3; i++)
        fprintf(f, "<text x='%.0f' y='%.0f' text-anchor='middle'>%d</text>\n",
                left + 100 * i, top + 178, i * EPOCHS / 3);
}

/* One run: the band of each expert lies on those of the experts before. */
static void draw_run(FILE *f, int run)
{
    static const char *const colour[EXPERTS] = {
        "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9",
        "#e69f00", "#666666"
    };
    static float below[EPOCHS + 1];
    const int epochs = EPOCHS;
    double left = 60 + 370 * (run % 2), top = 50 + 230 * (run / 2);
    double step = 300.0 / epochs;
    int i, n;

    for (n = 0; n <= EPOCHS; n++)
        below[n] = 0;
    fprintf(f, "<text x='%.0f' y='%.0f' font-weight='bold'>%s</text>\n", left,
            top - 10, name[run]);
    for (i = 0; i < EXPERTS; i++) {
        fprintf(f, "<path fill='%s' d='M", colour[i]);
        for (n = EPOCHS; n >= 0; n--)
            fprintf(f, "%.1f,%.1f ", left + n * step,
                    top + 160 - 160 * (double)below[n]);
        for (n = 0; n <= EPOCHS; n++) {
            below[n] += share[run][n][i];
            fprintf(f, "%.1f,%.1f ", left + n * step,
                    top + 160 - 160 * (double)below[n]);
        }
        fprintf(f, "z'/>\n");
    }
    draw_axes(f, left, top);
}

static void draw(void)
{
    FILE *f = fopen("collapse.svg", "w");
    int run;

    if (f == NULL)
        return;
    fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 760 500' "
            "font-family='sans-serif' font-size='13'>\n"
            "<path fill='white' d='M0 0h760v500H0'/>\n");
    for (run = 0; run < RUNS; run++)
        draw_run(f, run);
    fprintf(f, "<text x='380' y='487' text-anchor='middle'>epochs after the "
            "collapse; each colour is the share of the choices that one expert "
            "has</text>\n</svg>\n");
    fclose(f);
    printf("See collapse.svg.\n");
}

int main(void)
{
    int run;

    make_cases();
    show_what_revival_changes();
    printf("epoch  error imbalance dead entropy  diagnosis\n");
    for (run = 0; run < RUNS; run++)
        go_on(run);
    draw();
    return 0;
}
