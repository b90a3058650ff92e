/* hierarchy.c - a gate above gates: a tree of two levels, of public calls alone
     cc -O2 examples/hierarchy.c -o hierarchy -lm && ./hierarchy

   Jordan & Jacobs (1994): y = sum_i g_i y_i, where every branch y_i is itself
   a mixture.  The gate at the top is a moe of one linear expert, whose outputs
   are the logits; each branch is a moe of two straight experts, whose loss E_i
   is its own -log likelihood.  So the whole has
     E = -log sum_i g_i exp(-E_i),  h_i = g_i exp(-E_i) / sum_j g_j exp(-E_j)
     dE/ds_i = g_i - h_i,  dE/dw = h_i dE_i/dw for a weight w of branch i:
   h_i is how much a case counts for branch i, a weight of moe_data.
   The plane has four laws, in halves that are cut at different heights: one
   softmax over four experts has no such boundaries.  Draws hierarchy.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "plot.h"
#include <math.h>

enum { CASES = 900, BRANCHES = 2, EPOCHS = 1200, SIDE = 61,
       GRID = SIDE * SIDE };
static float x[GRID * 2], d[GRID];
static moe top, branch[BRANCHES], flat;
static float h[BRANCHES][CASES], log_p[BRANCHES][CASES];
static float dE_ds[CASES * BRANCHES];

static void make_cases(int side)
{
    int n;

    for (n = 0; n < side * side; n++) {
        float u = x[2 * n] = 2 * (float)(n % side) / (float)(side - 1) - 1;
        float v = x[2 * n + 1] = 2 * (float)(n / side) / (float)(side - 1) - 1;

        d[n] = u < 0 ? (v < 0.4f ? 1 + v : -1 - u)
                     : (v < -0.4f ? -1 + u : 1 - 2 * v);
    }
}

static void open_one(moe *m, int experts, int outputs, uint64_t seed)
{
    moe_config config = {.inputs = 2, .outputs = outputs, .experts = experts,
                         .sigma = 0.2f, .block = GRID, .seed = seed};

    if (moe_open(m, &config, NULL, 0) != MOE_OK) {
        printf("%s\n", m->error);
        exit(1);
    }
}

/* g = softmax of the top's outputs s in case n */
static void proportions(int n, double *g)
{
    const float *s = top.y + n * BRANCHES;
    double all = 0;
    int i;

    for (i = 0; i < BRANCHES; i++)
        all += g[i] = exp((double)(s[i] - s[0]));
    for (i = 0; i < BRANCHES; i++)
        g[i] /= all;
}

/* E of case n, but for a constant; h and dE/ds are filled in. */
static double learn_case(int n)
{
    double g[BRANCHES], L = 0;
    int i;

    proportions(n, g);
    for (i = 0; i < BRANCHES; i++)
        L += g[i] * exp((double)log_p[i][n]);
    L = fmax(L, 1e-300);
    for (i = 0; i < BRANCHES; i++) {
        h[i][n] = (float)(g[i] * exp((double)log_p[i][n]) / L);
        dE_ds[n * BRANCHES + i] = (float)g[i] - h[i][n];
    }
    return -log(L);
}

static void train(void)
{
    moe_data data = {.n = CASES, .x = x, .d = d};
    moe_training t = {.rate = 0.02f};
    double E;
    int epoch, i, n;

    for (epoch = 1; epoch <= EPOCHS; epoch++) {
        for (i = 0; i < BRANCHES; i++)
            moe_density(&branch[i], x, d, CASES, log_p[i]);
        moe_forward(&top, x, CASES);
        for (n = 0, E = 0; n < CASES; n++)
            E += learn_case(n) / CASES;
        moe_backward(&top, dE_ds, NULL);
        moe_step(&top, &t, 1.0f / CASES);
        for (i = 0; i < BRANCHES; i++) {
            data.weights = h[i];
            moe_gradient(&branch[i], &data);
            moe_step(&branch[i], &t, 1.0f / CASES);
        }
        if (epoch % 300 == 0)
            printf("epoch %4d of %d  E %.3f\n", epoch, EPOCHS, E);
    }
}

/* Whom the tree trusts most, and its blend. */
static int leaf(int n, double *y)
{
    float trust[2 * BRANCHES];
    double g[BRANCHES];
    int i;

    proportions(n, g);
    for (i = 0, *y = 0; i < BRANCHES; i++)
        *y += g[i] * (double)branch[i].y[n];
    for (i = 0; i < 2 * BRANCHES; i++)
        trust[i] = (float)g[i / 2] * branch[i / 2].p[2 * n + i % 2];
    return plot_largest(2 * BRANCHES, trust);
}

/* Where a gate's two units are equal. */
static void draw_boundary(plot *p, const moe *m, int net, double width)
{
    double w[3];

    plot_unit(m, net, 0, 1, w);
    plot_boundary(p, w, "black", width);
}

static void show(void)
{
    double y, error[2] = {0};
    int i, n;
    plot p;

    make_cases(SIDE);
    moe_forward(&top, x, GRID);
    moe_forward(&flat, x, GRID);
    for (i = 0; i < BRANCHES; i++)
        moe_forward(&branch[i], x, GRID);
    plot_open(&p, "hierarchy.svg", 2, 1, 330, 330);
    plot_panel(&p, "A gate above two gates", "x_0", "x_1", -1, 1, -1, 1);
    for (n = 0; n < GRID; n++) {
        plot_dot(&p, (double)x[2 * n], (double)x[2 * n + 1],
                 plot_colour[leaf(n, &y)], 4);
        error[0] += (y - (double)d[n]) * (y - (double)d[n]) / GRID;
    }
    draw_boundary(&p, &top, 0, 4);
    for (i = 0; i < BRANCHES; i++)
        draw_boundary(&p, &branch[i], 2, 1.5);
    for (i = 0; i < 4; i++)
        plot_key(&p, plot_expert[i], plot_colour[i]);
    plot_key(&p, "gates; thick: the one on top", "black");
    plot_panel(&p, "One gate over four experts", "x_0", "x_1", -1, 1, -1, 1);
    for (n = 0; n < GRID; n++) {
        plot_dot(&p, (double)x[2 * n], (double)x[2 * n + 1],
                 plot_colour[plot_largest(4, flat.p + 4 * n)], 4);
        y = (double)(flat.y[n] - d[n]);
        error[1] += y * y / GRID;
    }
    for (i = 0; i < 4; i++)
        plot_key(&p, plot_expert[i], plot_colour[i]);
    plot_close(&p);
    printf("RMSE: hierarchy %.3f, one gate over four experts %.3f\n",
           sqrt(error[0]), sqrt(error[1]));
}

int main(void)
{
    moe_data data = {.n = CASES, .x = x, .d = d};
    moe_training t = {.epochs = EPOCHS, .batch = MOE_ALL, .rate = 0.02f,
                      .keep_units = 1};
    int i;

    make_cases(30);
    open_one(&top, 1, BRANCHES, 1);
    memset(top.weights, 0, top.trained_count * sizeof(moe_real));
    for (i = 0; i < BRANCHES; i++)
        open_one(&branch[i], 2, 1, (uint64_t)i + 2);
    open_one(&flat, 4, 1, 1);
    train();
    if (moe_train(&flat, &data, NULL, &t, NULL) != MOE_OK)
        return puts(flat.error), 1;
    show();
    moe_close(&flat);
    for (i = 0; i < BRANCHES; i++)
        moe_close(&branch[i]);
    moe_close(&top);
    return 0;
}
