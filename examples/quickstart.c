/* quickstart.c - three experts find three laws, a gate finds which holds when
     cc -O2 examples/quickstart.c -o quickstart && ./quickstart

   A kettle heats up, boils, and at minute 7 is topped up with cold water and
   left to cool.  We have 241 thermometer readings, and no word about which
   law held when.  Writes quickstart.svg. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>

enum { CASES = 241, EXPERTS = 3 };
static float t[CASES], d[CASES];      /* minutes, and the degrees read then */

static void read_thermometer(void)
{
    uint32_t random = 1;
    int n;

    for (n = 0; n < CASES; n++) {
        t[n] = 12 * (float)n / (CASES - 1);
        d[n] = t[n] < 4 ? 20 + 20 * t[n]
             : t[n] < 7 ? 100 : 60 - 4 * (t[n] - 7);
        random = random * 1664525u + 1013904223u;
        d[n] += (float)(random >> 8) / 2097152 - 4;         /* off by up to 4 */
    }
}

static int show_progress(const moe_report *now, void *user)
{
    int e = now->epoch;

    (void)user;
    if (e == 1 || e == 10 || e == 50 || e == 200 || e == 1000)
        printf("%5d %9.3f %15.1f %13.0f %% %5.0f %% %5.0f %%\n", e,
               (double)now->loss, (double)now->squared_error,
               100 * (double)now->usage[0], 100 * (double)now->usage[1],
               100 * (double)now->usage[2]);
    return 0;                                 /* anything else would stop it */
}

static int leader(const moe *m, int n)     /* whom the gate trusts in case n */
{
    const float *p = m->p + n * EXPERTS;
    int i, best = 0;

    for (i = 1; i < EXPERTS; i++)
        if (p[i] > p[best])
            best = i;
    return best;
}

/* A row for each stretch of time with one leader: the law that this expert
   found, and how far off every expert is there. */
static void print_regions(const moe *m)
{
    int first, last, i, n;

    for (first = 0; first < CASES; first = last) {
        int lead = leader(m, first);
        float start = m->o[lead];
        float rise = (m->o[(CASES - 1) * EXPERTS + lead] - start) / 12;

        for (last = first; last < CASES && leader(m, last) == lead; last++)
            continue;
        printf("%5.2f to %5.2f    %c   %7.1f %+5.1f t                  ",
               (double)t[first], (double)t[last - 1], 'A' + lead,
               (double)start, (double)rise);
        for (i = 0; i < EXPERTS; i++) {
            float sum = 0;

            for (n = first; n < last; n++) {
                float miss = d[n] - m->o[n * EXPERTS + i];
                sum += miss < 0 ? -miss : miss;
            }
            printf(" %5.1f", (double)(sum / (float)(last - first)));
        }
        printf("\n");
    }
}

/* The picture: degrees above, the gate's proportions below. */
static double px(float minute) { return 70 + 50 * (double)minute; }
static double py(float degrees) { return 350 - 2.4 * (double)degrees; }
static double pp(float share) { return 460 - 80 * (double)share; }

static void draw_axes(FILE *f)
{
    int v;

    fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' font-size='14' "
            "viewBox='0 0 700 520' font-family='sans-serif'>\n"
            "<rect width='700' height='520' fill='white'/>\n"
            "<clipPath id='all'><path d='M70 62h600v288h-600z'/></clipPath>\n"
            "<text x='70' y='28' font-size='18' font-weight='bold'>"
            "Three experts share a kettle</text>\n"
            "<path stroke='black' stroke-width='2' d='M70 47h20'/>"
            "<text x='96' y='52'>blend</text>\n"
            "<text x='670' y='52' text-anchor='end' fill='#555'>dots: "
            "readings, coloured by leader</text>\n"
            "<text x='20' y='250' transform='rotate(-90 20 250)'>"
            "temperature (&#176;C)</text>\n"
            "<text x='20' y='440' transform='rotate(-90 20 440)'>gate p</text>"
            "<text x='340' y='506'>time (min)</text>\n"
            "<text x='50' y='385'>1</text><text x='50' y='465'>0</text>\n");
    for (v = 0; v <= 120; v += 20)
        fprintf(f, "<path stroke='#ddd' d='M70 %.0fh600'/>"
                "<text x='60' y='%.0f' text-anchor='end'>%d</text>\n",
                py((float)v), py((float)v) + 5, v);
    for (v = 0; v <= 12; v += 2)
        fprintf(f, "<path stroke='black' d='M%.0f 460v6'/>"
                "<text x='%.0f' y='483' text-anchor='middle'>%d</text>\n",
                px((float)v), px((float)v), v);
}

/* The curve v[n * stride] over time. */
static void points(FILE *f, double (*y)(float), const float *v, int stride)
{
    int n;

    for (n = 0; n < CASES; n++)
        fprintf(f, "%.1f,%.1f ", px(t[n]), y(v[n * stride]));
}

static void draw(FILE *f, const moe *m)
{
    static const char *const colour[] = {"#0072b2", "#d55e00", "#009e73"};
    static float top[CASES];                   /* of the gate's next band */
    int i, n;

    draw_axes(f);
    for (n = 0; n < CASES; n++) {
        fprintf(f, "<circle cx='%.1f' cy='%.1f' r='3' fill='%s' "
                "fill-opacity='.5'/>\n", px(t[n]), py(d[n]),
                colour[leader(m, n)]);
        top[n] = 1;
    }
    for (i = 0; i < EXPERTS; i++) {
        fprintf(f, "<text x='%d' y='52' fill='%s'>expert %c</text>"
                "<polyline clip-path='url(#all)' fill='none' stroke='%s' "
                "points='", 160 + 85 * i, colour[i], 'A' + i, colour[i]);
        points(f, py, m->o + i, EXPERTS);
        fprintf(f, "'/>\n<polygon fill='%s' points='70,460 ", colour[i]);
        points(f, pp, top, 1);
        fprintf(f, "670,460'/>\n");
        for (n = 0; n < CASES; n++)
            top[n] -= m->p[n * EXPERTS + i];
    }
    fprintf(f, "<polyline fill='none' stroke='black' stroke-width='2' "
            "points='");
    points(f, py, m->y, 1);
    fprintf(f, "'/>\n</svg>\n");
}

int main(void)
{
    moe_config config = {0};
    moe_training training = {0};
    moe_data data = {CASES, t, d, NULL};
    moe m;
    FILE *f;

    read_thermometer();
    config.inputs = 1;
    config.outputs = 1;
    config.experts = EXPERTS;                  /* straight lines by default */
    config.sigma = 0.3f;        /* an expert's error, d's deviation being 1 */
    config.rows = CASES;         /* so that m.p, m.o and m.y show all cases */
    training.epochs = 1000;
    training.progress = show_progress;

    printf("epoch      loss   squared error      share of A       B       C\n");
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &training, NULL) != MOE_OK) {
        printf("%s\n", m.why);
        return 1;
    }
    moe_forward(&m, t, CASES);
    printf("\n    minutes    leader   its law, t in minutes    "
           "mean error of A     B     C\n");
    print_regions(&m);
    f = fopen("quickstart.svg", "w");
    if (f != NULL) {
        draw(f, &m);
        fclose(f);
        printf("\nSee quickstart.svg.\n");
    }
    moe_close(&m);
    return 0;
}
