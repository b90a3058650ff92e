/* mpi_model.c - how long a step takes on R ranks, and where more of them stop
   paying; reads what mpi_cost.c has measured
     ./mpi_model < costs         prints a table and writes mpi.svg

   N cases in a step, E experts of which K run for a case, P parameters of an
   expert, W bytes of its inputs or outputs for a case, G parameters of the
   gate.  Seconds, on R ranks:

   data-parallel      N/R (K gradient + E gate) + (E P + G) update
                      + A(4 (E P + G))
   expert-parallel    N/R (K L (forward + gradient) + E gate)
                      + (E P / R + G) update
                      + 3 V(N/R K W) + V(4 E) + A(4 G)

   A(n) = 2 log2(R) latency + 2 (R-1)/R n / bandwidth: n bytes, by halves that
   are summed and then gathered.  V(n) = (R-1) latency + (R-1)/R n / bandwidth:
   n bytes of a rank, a part for each other.  3 V: x, o and dE/do; 4 E: how much
   will come.  L = 1 + sqrt(2 ln(R) R / (N K)): on the rank with the most cases
   their number is so much above the mean N K / R when choices are even but
   random; one expert too popular is worse. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOUBLINGS = 10, CURVES = 3, NETWORKS = 2 };

/* In the order of `named`. */
typedef struct Costs {
    double forward, gradient, gate, update, reduce_latency, reduce_bandwidth,
        exchange_latency, exchange_bandwidth;
} Costs;

static const char *const named[] = {
    "expert_forward", "expert_gradient", "gate_gradient", "update",
    "reduce_latency", "reduce_bandwidth", "exchange_latency",
    "exchange_bandwidth"
};

typedef struct Form {
    const char *name, *colour;
    int by_expert;
    double E, K;
} Form;

static const Form form[CURVES] = {
    {"8 experts, all run; data-parallel", "#0072b2", 0, 8, 8},
    {"2 of 1,024 run; data-parallel", "#d55e00", 0, 1024, 2},
    {"2 of 1,024 run; expert-parallel", "#007a5a", 1, 1024, 2}
};
static const char *const network_name[NETWORKS] = {
    "measured: two ranks in one memory",
    "assumed: 10 Gbit/s Ethernet, latency 20 microseconds"
};

static const double N = 8192, WIDE = 64, UNITS = 128;

/* ---- the formulas ------------------------------------------------------ */

static double all_reduce(const Costs *c, double bytes, double R)
{
    return 2 * log2(R) * c->reduce_latency
         + 2 * (R - 1) / R * bytes / c->reduce_bandwidth;
}

static double all_to_all(const Costs *c, double bytes, double R)
{
    return (R - 1) * c->exchange_latency
         + (R - 1) / R * bytes / c->exchange_bandwidth;
}

/* Seconds of a step. */
static double step(const Form *f, const Costs *c, double R)
{
    double P = 2 * WIDE * UNITS + UNITS + WIDE, G = (WIDE + 1) * f->E;
    double E = f->E, K = f->K, W = 4 * WIDE;
    double L = 1 + sqrt(2 * log(R) * R / (N * K));

    if (!f->by_expert)
        return N / R * (K * c->gradient + E * c->gate)
             + (E * P + G) * c->update + all_reduce(c, 4 * (E * P + G), R);
    return N / R * (K * L * (c->forward + c->gradient) + E * c->gate)
         + (E * P / R + G) * c->update
         + 3 * all_to_all(c, N / R * K * W, R) + all_to_all(c, 4 * E, R)
         + all_reduce(c, 4 * G, R);
}

/* The most ranks that pay: up to them each doubling saves a quarter of the
   time or more. */
static double pays_to(const Form *f, const Costs *c)
{
    double R = 1;

    while (R < 1024 && step(f, c, 2 * R) <= 0.75 * step(f, c, R))
        R *= 2;
    return R;
}

/* ---- what is measured, and the table ----------------------------------- */

static void read_costs(Costs *c)
{
    char name[64];
    double value;
    int i, found = 0;

    memset(c, 0, sizeof *c);
    while (scanf("%63s %lf%*[^\n]", name, &value) == 2)
        for (i = 0; i < 8; i++)
            if (strcmp(name, named[i]) == 0 && value > 0) {
                memcpy((char *)c + (size_t)i * sizeof value, &value,
                       sizeof value);
                found |= 1 << i;
            }
    if (found != 255) {
        fprintf(stderr, "mpi_model: wants all the lines of mpi_cost\n");
        exit(1);
    }
}

static void table(const Costs *network)
{
    int i, n, k;

    for (n = 0; n < NETWORKS; n++) {
        printf("\n%s%s\n\n| ranks |", n ? "" : "Milliseconds per step, and "
               "times as fast as one rank.  Network ", network_name[n]);
        for (i = 0; i < CURVES; i++)
            printf(" %s |", form[i].name);
        printf("\n|--:|--:|--:|--:|\n");
        for (k = 0; k <= DOUBLINGS; k++) {
            printf("| %d |", 1 << k);
            for (i = 0; i < CURVES; i++) {
                double t = step(&form[i], &network[n], 1 << k);
                printf(" %.3g (%.3g) |", 1e3 * t,
                       step(&form[i], &network[n], 1) / t);
            }
            printf("\n");
        }
        printf("| pays to |");
        for (i = 0; i < CURVES; i++)
            printf(" **%.0f** |", pays_to(&form[i], &network[n]));
        printf("\n");
    }
}

/* ---- the picture ------------------------------------------------------- */

enum { LEFT = 60, RIGHT = 470, TOP = 50, BOTTOM = 400, APART = 470 };
static const double MOST = 1024, LEAST = 0.25;

static double at_x(int panel, double R)
{
    return panel * APART + LEFT + (RIGHT - LEFT) * log2(R) / log2(MOST);
}

static double at_y(double speed)
{
    double share = (log2(speed) - log2(LEAST)) / (log2(MOST) - log2(LEAST));

    return BOTTOM - (BOTTOM - TOP) * share;
}

static void axes(FILE *svg, int panel)
{
    int k;

    fprintf(svg, "<text x='%.0f' y='28' font-weight='bold'>%s</text>\n",
            at_x(panel, 1), network_name[panel]);
    for (k = -2; k <= DOUBLINGS; k += 2) {
        double speed = pow(2, k);

        fprintf(svg, "<path d='M%.1f %.1fH%.1f' stroke='#ddd'/>"
                "<text x='%.1f' y='%.1f' text-anchor='end'>%g</text>\n",
                at_x(panel, 1), at_y(speed), at_x(panel, MOST),
                at_x(panel, 1) - 8, at_y(speed) + 4, speed);
        if (k >= 0)
            fprintf(svg, "<text x='%.1f' y='%d' text-anchor='middle'>%g"
                    "</text>\n", at_x(panel, speed), BOTTOM + 18, speed);
    }
    fprintf(svg, "<path d='M%.1f %.1fL%.1f %.1f' stroke='#999' "
            "stroke-dasharray='3 4'/>\n", at_x(panel, 1), at_y(1),
            at_x(panel, MOST), at_y(MOST));
    fprintf(svg, "<text x='%.1f' y='%d' text-anchor='middle'>ranks</text>\n",
            at_x(panel, 32), BOTTOM + 38);
}

/* The curve, and a ring at the last doubling that pays. */
static void curve(FILE *svg, const Form *f, const Costs *c, int panel)
{
    double one = step(f, c, 1), last = pays_to(f, c), k;

    fprintf(svg, "<polyline fill='none' stroke-width='2.5' stroke='%s' "
            "points='", f->colour);
    for (k = 0; k <= DOUBLINGS; k += 0.25)
        fprintf(svg, "%.1f,%.1f ", at_x(panel, pow(2, k)),
                at_y(fmax(LEAST, one / step(f, c, pow(2, k)))));
    fprintf(svg, "'/>\n<circle cx='%.1f' cy='%.1f' r='5' fill='#fff' "
            "stroke='%s' stroke-width='2.5'/>\n", at_x(panel, last),
            at_y(fmax(LEAST, one / step(f, c, last))), f->colour);
}

static void picture(const Costs *network)
{
    FILE *svg = fopen("mpi.svg", "w");
    int i, n;

    if (svg == NULL) {
        fprintf(stderr, "mpi_model: mpi.svg cannot be written\n");
        exit(1);
    }
    fprintf(svg, "<svg xmlns='http://www.w3.org/2000/svg' "
            "viewBox='0 0 960 510' font-family='sans-serif' font-size='13'>\n"
            "<rect width='960' height='510' fill='#fff'/>\n"
            "<text transform='translate(16 300) rotate(-90)'>"
            "times as fast as one rank</text>\n");
    for (n = 0; n < NETWORKS; n++) {
        axes(svg, n);
        for (i = 0; i < CURVES; i++)
            curve(svg, &form[i], &network[n], n);
    }
    for (i = 0; i < CURVES; i++)
        fprintf(svg, "<path d='M%d 465h24' stroke='%s' stroke-width='2.5'/>"
                "<text x='%d' y='469'>%s</text>\n", LEFT + i * 290,
                form[i].colour, LEFT + i * 290 + 32, form[i].name);
    fprintf(svg, "<text x='%d' y='495' fill='#555'>A ring: the last doubling "
            "that saves a quarter of the time. Dashed: R times as fast."
            "</text>\n</svg>\n", LEFT);
    if (fclose(svg) != 0)
        exit(1);
}

int main(void)
{
    Costs network[NETWORKS];

    read_costs(&network[0]);
    network[1] = network[0];
    network[1].reduce_latency = network[1].exchange_latency = 20e-6;
    network[1].reduce_bandwidth = network[1].exchange_bandwidth = 1.25e9;
    table(network);
    picture(network);
    return 0;
}
