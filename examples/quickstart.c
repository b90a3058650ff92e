/* quickstart.c - three experts find three laws, a gate finds which holds when
     cc -O2 examples/quickstart.c -o quickstart && ./quickstart

   A kettle heats up, boils, is topped up with cold water and cools.  We know
   241 readings, but not which law held when.  Draws quickstart.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "plot.h"
#include <stdio.h>

enum { CASES = 241, EXPERTS = 3, LAST = (CASES - 1) * EXPERTS };
static float t[CASES], d[CASES];      /* minutes, and the degrees read then */

static void read_thermometer(void)
{
    int n;

    for (n = 0; n < CASES; n++) {
        t[n] = 12 * (float)n / (CASES - 1);
        d[n] = t[n] < 4 ? 20 + 20 * t[n] : t[n] < 7 ? 100 : 88 - 4 * t[n];
        d[n] += (float)(37 * n * n * n % 83) / 10 - 4;  /* looks like chance */
    }
}

static int show_progress(const moe_report *now, void *user)
{
    (void)user;
    if (now->epoch < 3 || now->epoch % 100 == 0)
        printf("epoch %4d  loss %.3f  squared error %5.1f\n", now->epoch,
               (double)now->loss, (double)now->squared_error);
    return 0;                                 /* anything else would stop it */
}

/* Who takes over when, with what law. */
static void print_regions(const moe *m)
{
    int n, now, before = -1;

    for (n = 0; n < CASES; n++, before = now) {
        now = plot_largest(EXPERTS, m->p + n * EXPERTS);
        if (now != before)
            printf("from minute %4.2f  expert %c  %5.1f %+5.1f t\n",
                   (double)t[n], 'A' + now, (double)m->o[now],
                   (double)(m->o[LAST + now] - m->o[now]) / 12);
    }
}

static void draw(const moe *m)
{
    plot p;
    int i;

    plot_open(&p, "quickstart.svg", 1, 2, 600, 220);
    plot_panel(&p, "A kettle", "minutes", "degrees", 0, 12, 0, 120);
    plot_dots(&p, CASES, t, 1, d, 1, "#999", 2.5, "readings");
    for (i = 0; i < EXPERTS; i++)
        plot_line(&p, CASES, t, 1, m->o + i, EXPERTS, plot_colour[i], 1.5,
                  plot_expert[i]);
    plot_line(&p, CASES, t, 1, m->y, 1, "black", 2, "blend");
    plot_panel(&p, "Whom the gate trusts", "minutes", "p", 0, 12, 0, 1);
    plot_gate(&p, CASES, t, m->p, EXPERTS);
    plot_close(&p);
}

int main(void)
{
    moe_config config = {.inputs = 1, .outputs = 1,
                         .experts = EXPERTS,     /* straight lines by default */
                         .block = CASES};    /* m.p, m.o and m.y show so many */
    moe_training training = {.progress = show_progress};
    moe_data data = {.n = CASES, .x = t, .d = d};
    moe m;

    read_thermometer();
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &training, NULL) != MOE_OK)
        return puts(m.error), 1;
    moe_forward(&m, t, CASES);
    print_regions(&m);
    draw(&m);
    moe_close(&m);
    return 0;
}
