/* quickstart.c - three experts find three laws, a gate finds which holds when
     cc -O2 examples/quickstart.c -o quickstart && ./quickstart

   A kettle heats up, boils, is topped up with cold water and cools.  We know
   241 readings, but not which law held when.  Writes quickstart.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
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
    if (now->epoch == 1 || now->epoch == 10 || now->epoch % 250 == 0)
        printf("epoch %4d  loss %.3f  squared error %5.1f\n", now->epoch,
               (double)now->loss, (double)now->squared_error);
    return 0;                                 /* anything else would stop it */
}

static int leader(const moe *m, int n)     /* whom the gate trusts in case n */
{
    const float *p = m->p + n * EXPERTS;
    int i, best = 0;

    for (i = 1; i < EXPERTS; i++)
        best = p[i] > p[best] ? i : best;
    return best;
}

/* Who takes over when, with what law. */
static void print_regions(const moe *m)
{
    int n, now, before = -1;

    for (n = 0; n < CASES; n++, before = now) {
        now = leader(m, n);
        if (now != before)
            printf("from minute %4.2f  expert %c  %5.1f %+5.1f t\n",
                   (double)t[n], 'A' + now, (double)m->o[now],
                   (double)(m->o[LAST + now] - m->o[now]) / 12);
    }
}

/* In the picture degrees are above, the gate's proportions below. */
static double py(float degrees) { return 350 - 2.4 * (double)degrees; }

static void draw(const moe *m)
{
    static const char *const colour[] = {"#0072b2", "#d55e00", "#009e73"};
    FILE *f = fopen("quickstart.svg", "w");
    float below[CASES] = {0};        /* the gate's next band */
    int i, n;

    if (f == NULL)
        return;
    fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 720 490' "
            "font-family='sans-serif'>\n<path fill='white' d='M0 0h720v490H0'/>"
            "<clipPath id='top'><path d='M70 62h600v288H70'/></clipPath>\n"
            "<text x='70' y='35'>blend</text><text x='25' y='425'>gate</text>");
    for (i = 0; i <= 6; i++)
        fprintf(f, "<path stroke='#ddd' d='M70 %dh600'/>"
                "<text x='62' y='%d' text-anchor='end'>%d &#176;C</text>"
                "<text x='%d' y='480' text-anchor='middle'>%d min</text>\n",
                350 - 48 * i, 355 - 48 * i, 20 * i, 70 + 100 * i, 2 * i);
    for (n = 0; n < CASES; n++)
        fprintf(f, "<circle cx='%.1f' cy='%.1f' r='3' opacity='.5' fill='%s'/>",
                70 + 2.5 * n, py(d[n]), colour[leader(m, n)]);
    for (i = 0; i < EXPERTS; i++) {
        fprintf(f, "\n<g fill='%s'><text x='%d' y='35'>expert %c</text>"
                "<path d='M70 %.1fL670 %.1f' stroke='%s' clip-path='url(#top)'"
                "/><polygon points='670,380 70,380 ", colour[i], 140 + 90 * i,
                'A' + i, py(m->o[i]), py(m->o[LAST + i]), colour[i]);
        for (n = 0; n < CASES; n++) {
            fprintf(f, "%.1f,%.1f ", 70 + 2.5 * n, 460 - 80 * (double)below[n]);
            below[n] += m->p[n * EXPERTS + i];
        }
        fprintf(f, "'/></g>");
    }
    fprintf(f, "<path fill='none' stroke='black' stroke-width='2' d='M");
    for (n = 0; n < CASES; n++)
        fprintf(f, "%.1f,%.1f ", 70 + 2.5 * n, py(m->y[n]));
    fprintf(f, "'/></svg>\n");
    fclose(f);
    printf("See quickstart.svg.\n");
}

int main(void)
{
    moe_config config = {0};
    moe_training training = {0};
    moe_data data = {CASES, t, d, NULL, NULL};
    moe m;

    read_thermometer();
    config.inputs = config.outputs = 1;
    config.experts = EXPERTS;                  /* straight lines by default */
    config.sigma = 0.3f;        /* an expert's error, d's deviation being 1 */
    config.block = CASES;         /* so that m.p, m.o and m.y show all cases */
    training.epochs = 1000;
    training.rate = 0.01f;
    training.progress = show_progress;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &training, NULL) != MOE_OK) {
        printf("%s\n", m.error);
        return 1;
    }
    moe_forward(&m, t, CASES);
    print_regions(&m);
    draw(&m);
    moe_close(&m);
    return 0;
}
