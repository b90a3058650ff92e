/* plot.h - pictures for the examples: panels with axes and keys, as SVG

   Include it after moe.h; it needs no libm.  Panels fill a grid row by row:

     plot p;
     plot_open(&p, "fit.svg", 2, 1, 400, 300);   columns, rows, pixels of each
     plot_panel(&p, "Error by epoch", "epoch", "RMSE", 0, 100, 0, 2);
     plot_line(&p, 100, epoch, 1, rmse, 1, plot_colour[0], 2, "training");
     plot_panel(&p, "Predicted against true", "true", "predicted", 0, 9, 0, 9);
     plot_bars(&p, n, d, y, deviation, "#999");
     plot_dots(&p, n, d, 1, y, 1, plot_colour[0], 2.5, NULL);
     plot_segment(&p, 0, 0, 9, 9, "black", 1);
     plot_close(&p);

   Arrays are moe_real with a stride, so that m.o + i, E draws expert i.  What
   has a name (else NULL) is in the panel's key.  Names and titles are XML. */
#ifndef PLOT_H
#define PLOT_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLOT_KEYS = 16, PLOT_LEFT = 66, PLOT_TOP = 62, PLOT_CELL_WIDTH = 90,
       PLOT_CELL_HEIGHT = 112 };        /* a cell: a panel and so much */

typedef struct plot {
    FILE *svg;
    const char *path, *title;
    int columns, panels, width, height;
    int whole;                          /* 1: ticks at whole numbers alone */
    double x[2], y[2];                  /* the range of the panel at hand */
    int keys;
    const char *name[PLOT_KEYS], *colour[PLOT_KEYS];
} plot;

/* Eight that colour-blind readers can tell apart (Okabe & Ito 2008). */
static const char *const plot_colour[8] = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
    "#8c6d1f", "#666666"
};
static const char *const plot_expert[8] = {
    "expert A", "expert B", "expert C", "expert D", "expert E", "expert F",
    "expert G", "expert H"
};

/* Widen a range so that it holds the values; {0, 0} holds none yet. */
static inline void plot_range(double range[2], int n, const moe_real *v,
                              int stride)
{
    int i, empty = range[0] >= range[1];
    double low = empty ? (double)v[0] : range[0];
    double high = empty ? (double)v[0] : range[1];

    for (i = 0; i < n; i++) {
        low = (double)v[i * stride] < low ? (double)v[i * stride] : low;
        high = (double)v[i * stride] > high ? (double)v[i * stride] : high;
    }
    range[0] = low;
    range[1] = high > low ? high : low + 1;
}

/* The index of the largest of n numbers: whom a gate trusts most. */
static inline int plot_largest(int n, const moe_real *v)
{
    int i, best = 0;

    for (i = 1; i < n; i++)
        best = v[i] > v[best] ? i : best;
    return best;
}

static inline void plot_open(plot *p, const char *path, int columns, int rows,
                             int width, int height)
{
    int all = columns * (width + PLOT_CELL_WIDTH);
    int high = rows * (height + PLOT_CELL_HEIGHT);

    memset(p, 0, sizeof *p);
    p->svg = fopen(path, "w");
    if (p->svg == NULL) {
        fprintf(stderr, "%s cannot be written\n", path);
        exit(1);
    }
    p->path = path;
    p->columns = columns;
    p->width = width;
    p->height = height;
    fprintf(p->svg, "<svg xmlns='http://www.w3.org/2000/svg' "
            "viewBox='0 0 %d %d' font-family='sans-serif' font-size='13'>\n"
            "<path fill='white' d='M0 0h%dv%dH0'/>\n", all, high, all, high);
}

/* A panel's title and what its marks are called, above it. */
static inline void plot_end_panel(plot *p)
{
    int i, last, rows = p->keys > 0, at = 0, wide[PLOT_KEYS];

    if (p->panels == 0)
        return;
    fprintf(p->svg, "</svg>\n");
    for (i = 0; i < p->keys; i++) {
        wide[i] = 28 + 7 * (int)strlen(p->name[i]);
        at = at + wide[i] > p->width ? rows++, wide[i] : at + wide[i];
    }
    for (i = at = last = 0; i < p->keys && p->name[i] != NULL; i++) {
        if (at + wide[i] > p->width)
            at = 0, last++;
        fprintf(p->svg, "<circle cx='%d' cy='%d' r='5' fill='%s'/><text x='%d' "
                "y='%d'>%s</text>\n", at + 6, -12 - 16 * (rows - 1 - last),
                p->colour[i], at + 15, -8 - 16 * (rows - 1 - last),
                p->name[i]);
        at += wide[i];
    }
    fprintf(p->svg, "<text y='%d' font-size='15' font-weight='bold'>%s</text>"
            "</g>\n", -12 - 16 * rows - 4 * (rows > 0), p->title);
    p->keys = 0;
}

/* Ticks at multiples of 1, 2 or 5 times a power of ten, at most eight. */
static inline void plot_ticks(const plot *p, const double range[2], int upward)
{
    double step = p->whole ? 1 : 1e-9, v;
    int i, size = upward ? p->height : p->width;

    for (i = 0; (range[1] - range[0]) / step > (size < 200 ? 4 : 8); i++)
        step *= i % 3 == 1 ? 2.5 : 2;
    for (v = step * (double)(long)(range[0] / step - 1);
         v <= range[1] + step / 1e6; v += step) {
        double at = (v - range[0]) / (range[1] - range[0]) * size;

        if (at < -0.01)
            continue;
        if (upward)
            fprintf(p->svg, "<path stroke='#ddd' d='M0 %.1fH%d'/><text x='-7' "
                    "y='%.1f' text-anchor='end'>%g</text>\n", size - at,
                    p->width, size - at + 5, v * v < step * step / 4 ? 0 : v);
        else
            fprintf(p->svg, "<path stroke='#ddd' d='M%.1f 0V%d'/><text x='%.1f'"
                    " y='%d' text-anchor='middle'>%g</text>\n", at, p->height,
                    at, p->height + 18, v * v < step * step / 4 ? 0 : v);
    }
}

/* The next panel; what is drawn until the one after is clipped to it. */
static inline void plot_panel(plot *p, const char *title, const char *x_name,
                              const char *y_name, double x_low, double x_high,
                              double y_low, double y_high)
{
    plot_end_panel(p);
    p->title = title;
    p->x[0] = x_low;
    p->x[1] = x_high;
    p->y[0] = y_low;
    p->y[1] = y_high;
    fprintf(p->svg, "<g transform='translate(%d %d)'><text x='%d' "
            "y='%d' text-anchor='middle'>%s</text><text text-anchor='middle' "
            "transform='translate(-48 %d) rotate(-90)'>%s</text>\n",
            PLOT_LEFT + p->panels % p->columns * (p->width + PLOT_CELL_WIDTH),
            PLOT_TOP + p->panels / p->columns * (p->height + PLOT_CELL_HEIGHT),
            p->width / 2, p->height + 38, x_name, p->height / 2, y_name);
    p->panels++;
    plot_ticks(p, p->x, 0);
    plot_ticks(p, p->y, 1);
    fprintf(p->svg, "<path fill='none' stroke='#888' d='M0 0h%dv%dH0z'/>"
            "<svg width='%d' height='%d'>\n", p->width, p->height, p->width,
            p->height);
}

static inline void plot_close(plot *p)
{
    plot_end_panel(p);
    fprintf(p->svg, "</svg>\n");
    if (fclose(p->svg) == 0)
        printf("See %s.\n", p->path);
}

static inline void plot_key(plot *p, const char *name, const char *colour)
{
    if (name != NULL && p->keys < PLOT_KEYS) {
        p->name[p->keys] = name;
        p->colour[p->keys++] = colour;
    }
}

/* Pixels from the panel's corner; what is far away or NaN is put outside. */
static inline double plot_px(const plot *p, double x)
{
    double at = p->width * (x - p->x[0]) / (p->x[1] - p->x[0]);

    return at > 1e5 ? 1e5 : at > -1e5 ? at : -1e5;
}

static inline double plot_py(const plot *p, double y)
{
    double at = p->height * (p->y[1] - y) / (p->y[1] - p->y[0]);

    return at > 1e5 ? 1e5 : at > -1e5 ? at : -1e5;
}

static inline void plot_dot(plot *p, double x, double y, const char *colour,
                            double radius)
{
    fprintf(p->svg, "<circle cx='%.1f' cy='%.1f' r='%.2g' fill='%s'/>\n",
            plot_px(p, x), plot_py(p, y), radius, colour);
}

static inline void plot_dots(plot *p, int n, const moe_real *x, int x_stride,
                             const moe_real *y, int y_stride,
                             const char *colour, double radius,
                             const char *name)
{
    int i;

    fprintf(p->svg, "<g fill-opacity='.6'>\n");
    for (i = 0; i < n; i++)
        plot_dot(p, (double)x[i * x_stride], (double)y[i * y_stride], colour,
                 radius);
    fprintf(p->svg, "</g>\n");
    plot_key(p, name, colour);
}

static inline void plot_segment(plot *p, double x0, double y0, double x1,
                                double y1, const char *colour, double width)
{
    fprintf(p->svg, "<path stroke='%s' stroke-width='%.2g' d='M%.1f %.1fL%.1f "
            "%.1f'/>\n", colour, width, plot_px(p, x0), plot_py(p, y0),
            plot_px(p, x1), plot_py(p, y1));
}

static inline void plot_points(plot *p, int n, const moe_real *x, int x_stride,
                               const moe_real *y, int y_stride)
{
    int i;

    for (i = 0; i < n; i++)
        fprintf(p->svg, "%.1f,%.1f ", plot_px(p, (double)x[i * x_stride]),
                plot_py(p, (double)y[i * y_stride]));
}

static inline void plot_line(plot *p, int n, const moe_real *x, int x_stride,
                             const moe_real *y, int y_stride,
                             const char *colour, double width,
                             const char *name)
{
    fprintf(p->svg, "<polyline fill='none' stroke='%s' stroke-width='%.2g' "
            "points='", colour, width);
    plot_points(p, n, x, x_stride, y, y_stride);
    fprintf(p->svg, "'/>\n");
    plot_key(p, name, colour);
}

/* w[0] + w[1] x_0 + w[2] x_1 is what a unit of a net's first layer adds up,
   less what the other one does, unless that is -1. */
static inline void plot_unit(const moe *m, int net, int unit, int other,
                             double w[3])
{
    moe_layer l = moe_layer_at(&m->config, net, 0);
    const moe_real *row = m->params + l.bias;
    int k;

    for (k = 0; k < 3; k++) {
        w[k] = (double)row[unit] - (other < 0 ? 0 : (double)row[other]);
        row = m->params + l.weight + k * l.out;
    }
}

/* Where that is 0 in the plane of x_0 and x_1. */
static inline void plot_boundary(plot *p, const double w[3],
                                 const char *colour, double width)
{
    const double *x = p->x, *y = p->y;

    if (w[1] * w[1] > w[2] * w[2])
        plot_segment(p, -(w[0] + w[2] * y[0]) / w[1], y[0],
                     -(w[0] + w[2] * y[1]) / w[1], y[1], colour, width);
    else
        plot_segment(p, x[0], -(w[0] + w[1] * x[0]) / w[2], x[1],
                     -(w[0] + w[1] * x[1]) / w[2], colour, width);
}

/* Between two curves over x. */
static inline void plot_band(plot *p, int n, const moe_real *x,
                             const moe_real *low, const moe_real *high,
                             const char *colour, const char *name)
{
    fprintf(p->svg, "<polygon fill='%s' fill-opacity='.5' points='", colour);
    plot_points(p, n, x, 1, low, 1);
    plot_points(p, n, x + n - 1, -1, high + n - 1, -1);
    fprintf(p->svg, "'/>\n");
    plot_key(p, name, colour);
}

/* From y - half to y + half. */
static inline void plot_bars(plot *p, int n, const moe_real *x,
                             const moe_real *y, const moe_real *half,
                             const char *colour)
{
    int i;

    for (i = 0; i < n; i++)
        plot_segment(p, (double)x[i], (double)(y[i] - half[i]), (double)x[i],
                     (double)(y[i] + half[i]), colour, 1);
}

/* The gate of m over a grid of x, as bands that add up to 1: p is (n,E). */
static inline void plot_gate(plot *p, int n, const moe_real *x,
                             const moe_real *proportions, int experts)
{
    moe_real *low = (moe_real *)calloc((size_t)n * 2, sizeof *low);
    moe_real *high = low + n;
    int i, k;

    for (i = 0; i < experts && low != NULL; i++) {
        for (k = 0; k < n; k++)
            high[k] = low[k] + proportions[k * experts + i];
        plot_band(p, n, x, low, high, plot_colour[i % 8], NULL);
        memcpy(low, high, (size_t)n * sizeof *low);
    }
    free(low);
}
#endif
