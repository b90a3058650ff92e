/* by_hand.c - the paper's formulas as thirty lines of C, checked against moe.h
     cc -O2 examples/by_hand.c -o by_hand -lm && ./by_hand

   To be read beside the paper: forward, posterior and gradient of (1.3) for
   one case, E straight experts and a straight gate.  Numbers stand in the
   order of moe.h's params: biases of the experts (E,O) and weights (E,I,O),
   biases of the gate (E) and weights (I,E). */
#define MOE_DOUBLE
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { I = 3, O = 2, E = 4, CASES = 50,
       WEIGHT = E * O, GATE_BIAS = WEIGHT + E * I * O,
       GATE = GATE_BIAS + E, COUNT = GATE + I * E };

/* The loss of one case; p, o, y and h on the way; g += dE/dw. */
static double by_hand(const double *w, const double *x, const double *d,
                      double *p, double *o, double *y, double *h, double *g)
{
    double sum_p = 0, sum_h = 0;
    int i, j, k;

    memset(y, 0, O * sizeof *y);
    for (i = 0; i < E; i++) {           /* o_i = b_i + x W_i;  p_i ~ exp s_i */
        double s = w[GATE_BIAS + i], e = 0;            /* e_i = |d - o_i|^2 */

        for (j = 0; j < I; j++)
            s += x[j] * w[GATE + j * E + i];
        for (k = 0; k < O; k++) {
            o[i * O + k] = w[i * O + k];
            for (j = 0; j < I; j++)
                o[i * O + k] += x[j] * w[WEIGHT + i * I * O + j * O + k];
            e += (d[k] - o[i * O + k]) * (d[k] - o[i * O + k]);
        }
        sum_p += p[i] = exp(s);
        sum_h += h[i] = p[i] * exp(-e / 2);
    }
    for (i = 0; i < E; i++) {
        p[i] /= sum_p;                  /* p_i = exp s_i / sum_j exp s_j     */
        h[i] /= sum_h;                  /* h_i = p_i exp(-e_i/2) / its sum   */
        for (k = 0; k < O; k++) {
            double dE_do = -h[i] * (d[k] - o[i * O + k]);

            y[k] += p[i] * o[i * O + k];            /* y = sum_i p_i o_i */
            g[i * O + k] += dE_do;
            for (j = 0; j < I; j++)
                g[WEIGHT + (i * I + j) * O + k] += dE_do * x[j];
        }
        g[GATE_BIAS + i] += p[i] - h[i];               /* dE/ds_i = p_i - h_i*/
        for (j = 0; j < I; j++)
            g[GATE + j * E + i] += (p[i] - h[i]) * x[j];
    }
    return -log(sum_h / sum_p);         /* -log sum_i p_i exp(-e_i/2)  (1.3) */
}

static double chance(void)                                      /* in -1..1 */
{
    static uint32_t state = 1991;

    state = state * 1664525u + 1013904223u;
    return (double)(state >> 8) / 8388608 - 1;
}

/* Prints the largest difference of n numbers; 1 if it is more than rounding. */
static int differ(const char *name, const double *a, const double *b, int n)
{
    double most = 0;

    for (n--; n >= 0; n--)
        most = fmax(most, fabs(a[n] - b[n]));
    printf("  %-9s %.0e\n", name, most);
    return most > 1e-10;
}

int main(void)
{
    double x[CASES * I], d[CASES * O], g[COUNT] = {0}, sum = 0, sum_of_moe;
    double p[CASES * E], o[CASES * E * O], y[CASES * O], h[CASES * E];
    moe_data data = {.n = CASES, .x = x, .d = d};
    moe_config config = {.inputs = I, .outputs = O, .experts = E,
                         .block = CASES};          /* so that all cases show */
    int n, wrong = 0;
    moe m;

    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        return puts(m.error), 1;
    for (n = 0; n < COUNT; n++)
        m.weights[n] = chance();
    for (n = 0; n < CASES * I; n++)
        x[n] = chance();
    for (n = 0; n < CASES * O; n++)
        d[n] = 3 * chance();
    for (n = 0; n < CASES; n++)
        sum += by_hand(m.weights, x + n * I, d + n * O, p + n * E,
                       o + n * E * O, y + n * O, h + n * E, g);
    sum_of_moe = moe_gradient(&m, &data);
    printf("%d cases, E %.6f; largest differences from moe.h:\n", CASES, sum);
    wrong += differ("E", &sum, &sum_of_moe, 1);
    wrong += differ("posterior", m.h, h, CASES * E);
    wrong += differ("gradient", m.grads, g, COUNT);
    moe_forward(&m, x, CASES);
    wrong += differ("p", m.p, p, CASES * E);
    wrong += differ("o", m.o, o, CASES * E * O);
    wrong += differ("y", m.y, y, CASES * O);
    moe_close(&m);
    return wrong;
}
