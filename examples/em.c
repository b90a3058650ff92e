/* em.c - the paper's task by expectation-maximisation, on moe.h's arrays
     cc -O2 examples/em.c -o em -lm && ./em [PATH of the vowels]

   Jordan & Jacobs (1994) fit mixtures of experts without a step size:
     E-step  h_i = p_i P_i(d) / sum_j p_j P_j(d)
     M-step  one Newton step of every expert's logistic regression, cases
             weighted by h_i, and of the gate's, whose targets are the h_i
             (IRLS: iteratively reweighted least squares)
   P_i(d) is o_i or 1 - o_i: the experts are Bernoulli.  The M-step leads
   uphill; where it overshoots it is halved, so the likelihood never falls.
   moe.h gives p, o and y (moe_forward) and a place for the weights.

   Table 1's task: how many steps until the squared error is 0.08, of 25 runs,
   beside Adam on all cases at once at the best of ten rates from .14 to 3.2.
   Draws em.svg. */
#define MOE_DOUBLE
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "plot.h"
#include "vowel_data.h"
#include <math.h>

enum { E = 4, Z = 3, RUNS = 25, STEPS = 60, PLOTTED = 30 };
enum { K_MEANS, RANDOM, ADAM, WAYS };
#define CRITERION 0.08
static double d[CASES], h[TRAIN][E], z[TRAIN][Z];   /* z: 1, x standardised */
static double error[WAYS][RUNS][STEPS + 1];
static int fell;              /* steps after which the likelihood was lower */

/* ---- linear algebra ----------------------------------------------------- */

/* A (n,n) a = b by Gauss-Jordan; A is positive definite, b becomes a. */
static void solve(int n, double *A, double *b)
{
    int i, j, k;

    for (k = 0; k < n; k++)
        for (i = 0; i < n; i++) {
            double f = A[i * n + k] / A[k * n + k];

            if (i == k)
                continue;
            for (j = k; j < n; j++)
                A[i * n + j] -= f * A[k * n + j];
            b[i] -= f * b[k];
        }
    for (k = 0; k < n; k++)
        b[k] /= A[k * n + k];
}

/* Where weight j of z to a unit of expert i, or of the gate (i = E), is. */
static double *weight(const moe *m, int i, int unit, int j)
{
    moe_layer l = moe_layer_at(&m->config, i, 0);

    return m->weights + (j == 0 ? l.bias : l.weight + (size_t)(j - 1)
                                           * (size_t)l.out) + unit;
}

/* ---- expectation-maximisation ------------------------------------------- */

/* h, and the log-likelihood per case */
static double e_step(moe *m)
{
    double sum, total = 0;
    int i, n;

    moe_forward(m, formant[0], TRAIN);
    for (n = 0; n < TRAIN; n++, total += log(sum) / TRAIN) {
        for (i = 0, sum = 1e-300; i < E; i++) {
            double o = m->o[n * E + i];

            sum += h[n][i] = m->p[n * E + i] * (d[n] > 0 ? o : 1 - o);
        }
        for (i = 0; i < E; i++)
            h[n][i] /= sum;
    }
    return total;
}

/* The two derivatives of the log-likelihood of case n, without factors z: by
   what unit i of a net adds up, and by that of unit j, too.  Experts have the
   slope h (d - o) and the curvature h o (1 - o), the gate (i = 0..E-1 is its
   expert) h_i - p_i and p_i ([i=j] - p_j). */
static double slope(const moe *m, int net, int n, int i)
{
    const double *o = m->o + n * E, *p = m->p + n * E;

    return net < E ? h[n][net] * (d[n] - o[net]) : h[n][i] - p[i];
}

static double curvature(const moe *m, int net, int n, int i, int j)
{
    const double *o = m->o + n * E, *p = m->p + n * E;

    return net < E ? h[n][net] * o[net] * (1 - o[net])
                   : p[i] * ((i == j) - p[j]);
}

/* A net's weights += (sum curvature z z')^-1 sum slope z, over the cases. */
static void newton(const moe *m, int net)
{
    const int size = net < E ? Z : E * Z;
    double A[E * Z * E * Z] = {0}, b[E * Z] = {0};
    int n, r, c;

    for (n = 0; n < TRAIN; n++)
        for (r = 0; r < size; r++) {
            b[r] += slope(m, net, n, r / Z) * z[n][r % Z];
            for (c = 0; c < size; c++)
                A[r * size + c] += curvature(m, net, n, r / Z, c / Z)
                                 * z[n][r % Z] * z[n][c % Z];
        }
    for (r = 0; r < size; r++)      /* a ridge: an expert may tell all apart, */
        A[r * size + r] += 0.01;    /* and adding to all s changes no p */
    solve(size, A, b);
    for (r = 0; r < size; r++)
        *weight(m, net, r / Z, r % Z) += b[r];
}

/* From the h at hand to a likelihood that is not below `before`. */
static double m_step(moe *m, double before)
{
    double old[2 * E * Z], now;
    int i, halvings;

    memcpy(old, m->weights, sizeof old);
    for (i = 0; i <= E; i++)
        newton(m, i);
    for (halvings = 0; (now = e_step(m)) < before && halvings < 30; halvings++)
        for (i = 0; i < 2 * E * Z; i++)
            m->weights[i] = (m->weights[i] + old[i]) / 2;
    return now;
}

static int nearest(const double *at, double centre[E][Z])
{
    double closeness[E];
    int i;

    for (i = 0; i < E; i++)
        closeness[i] = -hypot(at[1] - centre[i][1], at[2] - centre[i][2]);
    return plot_largest(E, closeness);
}

/* h_i = 1 for the nearest of the means to which four cases lead, else 0 */
static void k_means(int passes)
{
    double centre[E][Z], count;
    int i, j, n;

    for (i = 0; i < E; i++)
        memcpy(centre[i], z[(int)((uniform() + 1) / 2 * TRAIN)], sizeof *z);
    while (passes-- > 0) {
        for (n = 0; n < TRAIN; n++)
            for (i = 0; i < E; i++)
                h[n][i] = i == nearest(z[n], centre);
        for (i = 0; i < E; i++)
            for (j = 0; j < Z; j++) {
                centre[i][j] = count = 0;
                for (n = 0; n < TRAIN; n++, count += h[n - 1][i])
                    centre[i][j] += h[n][i] * z[n][j];
                centre[i][j] /= fmax(count, 1);
            }
    }
}

/* ---- runs --------------------------------------------------------------- */

static void open_mixture(moe *m, uint64_t seed)
{
    moe_data train = {.n = TRAIN, .x = formant[0], .d = d};
    moe_config config = {.inputs = 2, .outputs = 1, .experts = E,
                         .output = MOE_OUT_LOGISTIC, .block = TRAIN,
                         .seed = seed};
    const double *scale;
    int n, k;

    random_state = seed;
    if (moe_open(m, &config, NULL, 0) != MOE_OK ||
        moe_fit_scales(m, &train) != MOE_OK) {
        printf("%s\n", m->error);
        exit(1);
    }
    scale = m->params + m->trained_count + 2;      /* shift (2), factor (2) */
    for (n = 0; n < TRAIN; n++)
        for (z[n][0] = 1, k = 0; k < 2; k++)
            z[n][k + 1] = (formant[n][k] - scale[k]) * scale[k + 2];
}

/* Open; returns a likelihood that the first step must not be below. */
static double start(moe *m, int way, uint64_t seed)
{
    int n;

    open_mixture(m, seed);
    for (n = 0; n < 2 * E * Z; n++)
        m->weights[n] = way == K_MEANS ? 0 : 0.5 * uniform();
    if (way != K_MEANS)
        return e_step(m);
    k_means(2);
    return -HUGE_VAL;
}

/* Steps to the criterion; *right becomes the test's share right there. */
static int run(int way, int number, double rate, double *right)
{
    const moe_data train = {.n = TRAIN, .x = formant[0], .d = d};
    const moe_data test = {.n = TEST, .x = formant[TRAIN], .d = d + TRAIN};
    int step, reached = STEPS + 1;
    moe_training adam = {.rate = rate};
    moe_report report;
    double before, now;
    moe m;

    before = start(&m, way, (uint64_t)number + 1);
    for (step = 0; step <= STEPS; step++, before = now) {
        moe_evaluate(&m, &train, &report);
        error[way][number][step] = report.squared_error;
        if (reached > STEPS && report.squared_error <= CRITERION) {
            reached = step;
            moe_evaluate(&m, &test, &report);
            *right = report.accuracy;
        }
        if (way == ADAM) {
            moe_gradient(&m, &train);
            moe_step(&m, &adam, 1.0 / TRAIN);
            now = before;
        } else {
            moe_forward(&m, formant[0], TRAIN);             /* p and o again */
            now = m_step(&m, before);
            fell += now < before;
        }
    }
    moe_close(&m);
    return reached;
}

static void run_all(int way, double rate, const char *name)
{
    double sum = 0, share = 0, right = 0;
    int number, steps, reached = 0, most = 0;

    for (number = 0; number < RUNS; number++) {
        sum += steps = run(way, number, rate, &share);
        reached += steps <= STEPS;
        most = steps > most ? steps : most;
        right += share;
    }
    printf("%-22s %5.1f %8d %5d of %d %8.1f %%\n", name, sum / RUNS, most,
           reached, RUNS, 100 * right / RUNS);
}

static void draw(void)
{
    static const char *const name[] = {"EM, k-means", "EM, at random", "Adam"};
    double step[PLOTTED + 1];
    int way, number;
    plot p;

    for (number = 0; number <= PLOTTED; number++)
        step[number] = number;
    plot_open(&p, "em.svg", 1, 1, 600, 320);
    plot_panel(&p, "Four experts tell vowels: 25 runs each", "steps",
               "squared error", 0, PLOTTED, 0, 0.3);
    for (way = WAYS - 1; way >= 0; way--)
        for (number = 0; number < RUNS; number++)
            plot_line(&p, PLOTTED + 1, step, 1, error[way][number], 1,
                      plot_colour[way], 0.7, number > 0 ? NULL : name[way]);
    plot_segment(&p, 0, CRITERION, PLOTTED, CRITERION, "black", 1);
    plot_key(&p, "criterion, 0.08", "black");
    plot_close(&p);
}

int main(int argc, char **argv)
{
    get_vowels(argc > 1 ? argv[1] : NULL);
    desire("iV", d);
    printf("Steps to %.2f           mean   at most   reached      test\n",
           CRITERION);
    run_all(K_MEANS, 0, "EM from k-means");
    run_all(RANDOM, 0, "EM from random weights");
    run_all(ADAM, 1.6, "Adam, rate 1.6");
    printf("EM's likelihood fell in %d of %d steps.\n"
           "Gradient descent in 1991: 1124 epochs.\n", fell,
           2 * RUNS * (STEPS + 1));
    draw();
    return fell > 0;
}
