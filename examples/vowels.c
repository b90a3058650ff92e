/* vowels.c - the experiment of the 1991 paper: which vowel was that?
     cc -O2 examples/vowels.c -o vowels -lm && ./vowels [PATH]

   PATH: the measurements of Peterson & Barney (1952); without it vowels are
   drawn around published means, see vowel_data.h.  Draws figures 2 and 3,
   vowels.svg, and prints table 1 beside the paper's, in some ten seconds.

   Gradient descent on all cases, no momentum, from small weights and an even
   gate, until the squared error is 0.08.  benchmarks/vowels.c finds the steps,
   and shows where the advantage of the mixtures ends. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "plot.h"
#include "vowel_data.h"
#include <math.h>

enum { RUNS = 25, E = 4 };

struct net { const char *name; int experts, hidden; float step;
             const char *published; };
static const struct net nets[] = {
    {"4 experts", E, 0, 25.6f, "90   1124   23"},
    {"8 experts", 8, 0, 25.6f, "90   1083   12"},
    {"BP 6", 1, 6, 12.8f, "90   2209   83"},
    {"BP 12", 1, 12, 12.8f, "90   2435  124"}};
static float desired[CASES];
static const moe_data train = {.n = TRAIN, .x = formant[0], .d = desired};
static const moe_data test = {.n = TEST, .x = formant[TRAIN],
                              .d = desired + TRAIN};
static plot p;

/* Opens m and trains it until the error is small; returns the epochs. */
static int teach(moe *m, const struct net *net, uint64_t seed,
                 int (*progress)(const moe_report *, void *))
{
    moe_config config = {.inputs = 2, .outputs = 1, .experts = net->experts,
                         .hidden = {net->hidden},
                         .activation = MOE_ACT_LOGISTIC,
                         .output = MOE_OUT_LOGISTIC, .seed = seed};
    moe_training t = {.epochs = 6000, .batch = MOE_ALL, .optimizer = MOE_SGD,
                      .rate = net->step, .target = 0.08f, .keep_units = 1,
                      .progress = progress, .user = m};
    moe_layer gate = moe_layer_at(&config, net->experts, 0);
    size_t i;

    random_state = seed;
    if (moe_open(m, &config, NULL, 0) == MOE_OK)
        for (i = 0; i < (gate.out > 0 ? gate.bias : m->trained_count); i++)
            m->weights[i] = 0.05f * (float)uniform();  /* the gate's stay 0 */
    if (moe_train(m, &train, NULL, &t, NULL) != MOE_OK) {
        printf("%s\n", m->error);
        exit(1);
    }
    return m->epoch;
}

static void print_row(const struct net *net)
{
    double sum = 0, squares = 0, right = 0;
    moe_report report;
    int seed, epochs;
    moe m;

    for (seed = 1; seed <= RUNS; seed++) {
        epochs = teach(&m, net, (uint64_t)seed, NULL);
        sum += epochs;
        squares += (double)epochs * epochs;
        moe_evaluate(&m, &test, &report);
        right += 100 * (double)report.accuracy / RUNS;
        moe_close(&m);
    }
    printf("%-10s %6.1f %6.0f %4.0f | %s\n", net->name, right, sum / RUNS,
           sqrt((squares - sum * sum / RUNS) / (RUNS - 1)), net->published);
    fflush(stdout);
}

/* Figure 3: the feet of the normals from the origin to the experts' lines, as
   they learn and, without a report, in the end. */
static int draw_feet(const moe_report *report, void *m)
{
    double w[3], far;
    int i;

    for (i = 0; i < E && (report == NULL || report->epoch % 10 == 1); i++) {
        plot_unit((const moe *)m, i, 0, -1, w);
        far = -w[0] / (w[1] * w[1] + w[2] * w[2]);
        plot_dot(&p, far * w[1], far * w[2], plot_colour[i], report ? 1.5 : 6);
    }
    return 0;
}

/* In figure 2 lines are as wide as the gate trusts their experts; those of
   experts that dropped out vanish. */
static void draw(void)
{
    static const char *const word[] = {"heed", "hid", "hod", "hud"};
    static const char *const colour[] = {"#0077bb", "#88ccee", "#cc3311",
                                         "#ee9955"};
    moe_report report;
    double w[3];
    int i, k;
    moe m;

    plot_open(&p, "vowels.svg", 2, 1, 380, 380);
    plot_panel(&p, "The experts' lines as they learn (figure 3)",
               "foot of the normal, F1 (kHz)", "F2 (kHz)", -0.4, 1.6, -0.15,
               0.75);
    for (i = 0; i < E; i++)
        plot_key(&p, plot_expert[i], plot_colour[i]);
    teach(&m, nets, 1, draw_feet);
    draw_feet(NULL, &m);
    moe_evaluate(&m, &train, &report);
    plot_panel(&p, "and in the end, with the gate's (figure 2)", "F1 (kHz)",
               "F2 (kHz)", 0.2, 1.4, 0.4, 4);
    for (i = 0; i < 4; i++)
        plot_key(&p, word[i], colour[i]);
    for (i = 0; i < CASES; i++)
        plot_dot(&p, (double)formant[i][0], (double)formant[i][1],
                 colour[vowel[i]], 2.5);
    for (i = 0; i < E; i++) {
        double used = (double)report.usage[i];

        plot_unit(&m, i, 0, -1, w);
        plot_boundary(&p, w, "black", 5 * used);
        for (k = 0; k < i; k++) {
            plot_unit(&m, E, i, k, w);
            plot_boundary(&p, w, plot_colour[2],
                          10 * used * (double)report.usage[k]);
        }
    }
    plot_key(&p, "expert", "black");
    plot_key(&p, "gate", plot_colour[2]);
    plot_close(&p);
    moe_close(&m);
}

int main(int argc, char **argv)
{
    size_t i;

    get_vowels(argc > 1 ? argv[1] : NULL);
    desire("iV", desired);
    draw();
    printf("%-10s %6s %6s %4s | 1991 (some ten seconds)\n", "", "test%",
           "epochs", "SD");
    for (i = 0; i < sizeof nets / sizeof *nets; i++)
        print_row(&nets[i]);
    return 0;
}
