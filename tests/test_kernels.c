/* test_kernels.c - every loop of struct moei_loops, in every instruction set
   that this machine has, against plain sums in double: all sizes, so that every
   last vector is met, one case, some row by row, and panels of them.
   part_kernels_*.c include this file once more in double, and in both widths
   with MOE_SAME_BITS: all sets and arrangements must give the same
   bits then. */
#if defined(__unix__) || defined(__APPLE__)
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE         /* for MAP_ANON under -std=c99 */
#endif
#define _DARWIN_C_SOURCE
#include <sys/mman.h>
#define HAS_PAGES
#endif
#include <float.h>
#include <math.h>
#include <string.h>

#undef MOE_DOUBLE
#undef MOE_SAME_BITS
#ifdef KERNELS_DOUBLE
#define MOE_DOUBLE
#endif
#if defined(KERNELS_SAME_BITS) && defined(FLT_EVAL_METHOD)
#if FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16       /* where it can be */
#define MOE_SAME_BITS
#endif
#endif
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "check.h"
#include "random.h"

/* One rounding is half of this; the other half is the reference's, which in
   double is no wider than what it judges.  DENORMAL: the same where numbers
   are subnormal. */
#ifdef MOE_DOUBLE
#define WIDTH "double"
#define EPSILON DBL_EPSILON
#define DENORMAL (DBL_MIN * DBL_EPSILON)
#define HOLE 0x7ff8a5a5a5a5a5a5u
#else
#define WIDTH "float"
#define EPSILON ((double)FLT_EPSILON)
#define DENORMAL ((double)FLT_MIN * (double)FLT_EPSILON)
#define HOLE 0x7fc5a5a5u
#endif
#ifdef MOE_SAME_BITS
#define SAME_BITS 1
#else
#define SAME_BITS 0
#endif
#define COUNT(array) ((int)(sizeof array / sizeof *array))

enum { MOST_CASES = 256, MOST = 600 * MOST_CASES };

static int any(int count)
{
    return pick(count);
}

/* In [-1,1), and away from 0 by an eighth at least, to be divided by. */
static moe_real any_real(void)
{
    double u = (double)any(1 << 30) / (1 << 29) - 1;

    return (moe_real)(u < 0 ? u * 0.875 - 0.125 : u * 0.875 + 0.125);
}

static void fill(moe_real *a, int count)
{
    while (count-- > 0)
        *a++ = any_real();
}

/* ---------------------------------------------------------------- memory */
/* Arrays that end right before a page that is forbidden, or begin right after
   one: the loads and stores of masked vectors are seen, too.  Where there are
   no such pages, they are alone in memory of malloc. */
enum { SLOTS = 8, SLOT = 1 << 20, PAGE = 1 << 16 };     /* bytes */
static int at_end;              /* which of the two */
static char *slot[SLOTS];

static void open_slots(void)
{
    int i;

    for (i = 0; i < SLOTS && slot[i] == NULL; i++) {
#ifdef HAS_PAGES
        void *at = mmap(NULL, SLOT + 2 * PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANON, -1, 0);

        if (at == MAP_FAILED || mprotect(at, PAGE, PROT_NONE)
            || mprotect((char *)at + PAGE + SLOT, PAGE, PROT_NONE))
            exit(1);
        slot[i] = (char *)at + PAGE;
#else
        slot[i] = (char *)malloc(SLOT);
        if (slot[i] == NULL)
            exit(1);
#endif
    }
}

/* Slot i, all holes: numbers that no loop may make. */
static moe_real *array(int i, int count)
{
    const moe_real hole = moei_from_bits(HOLE);
    moe_real *at = (moe_real *)(void *)slot[i];
    int k;

    if ((size_t)count * sizeof(moe_real) > SLOT)
        exit(1);
    at += at_end ? SLOT / sizeof(moe_real) - (size_t)count : 0;
    for (k = 0; k < count; k++)
        at[k] = hole;
    return at;
}

static moe_real *copied(int i, const moe_real *from, int count)
{
    moe_real *at = array(i, count);

    memcpy(at, from, (size_t)count * sizeof *at);
    return at;
}

/* ---------------------------------------------------------- arrangements */
/* n cases in arrays (F,N), or with N = 1 row by row.  A set goes through all
   that the header gives it: few cases, and all of the plain set, with N = 1. */
typedef struct arrangement { int set, n, N; } arrangement;

static const moei_loops *loops_of(const arrangement *a)
{
    return moei_sets[a->set];
}

static int at(const arrangement *a, int F, int c, int k)
{
    return a->N == 1 ? c * F + k : k * a->N + c;
}

static int reals(const arrangement *a, int F)
{
    return F * (a->N == 1 ? a->n : a->N);
}

/* Rows (n,F) to an array, whose columns beyond n are holes. */
static moe_real *arranged(int i, const arrangement *a, int F,
                          const moe_real *rows)
{
    moe_real *to = array(i, reals(a, F));
    int c, k;

    for (c = 0; c < a->n; c++)
        for (k = 0; k < F; k++)
            to[at(a, F, c, k)] = rows[c * F + k];
    return to;
}

static const int cases[] = {1, 2, 3, 5, 11, 12, 15, 16, 17, 32, 48, 64, 256};

/* The next of all sets and arrangements of n cases; whether there is one. */
static int next(arrangement *a, int n)
{
    if (a->n == 0) {
        a->n = n;
        a->set = -1;
        a->N = 0;
    }
    if (a->set >= 0 && a->N == 1 && n > 1 && moei_sets[a->set]->bits > 1) {
        a->N = (n + 15) & ~15;
        return 1;
    }
    a->N = 1;
    return ++a->set <= moei_find_set(0);
}

/* -------------------------------------------------------------- judgement */
/* What should come out and how far off it may be, what did come out, and what
   came out first, whose bits are to be met. */
static double want[MOST], bound[MOST];
static moe_real got[MOST], first[MOST];
static int is_first;

static void expect(int i, double value, double error)
{
    want[i] = value;
    bound[i] = error;
}

static int is_right(int i)
{
    double is = (double)got[i];

    return is == want[i] || fabs(is - want[i]) <= bound[i]
        || (isnan(is) && isnan(want[i]));
}

static void judge(const char *name, int count, const arrangement *a, int in,
                  int out)
{
    const size_t bytes = (size_t)count * sizeof *got;
    int i = 0, same;

    if (is_first)
        memcpy(first, got, bytes);
    is_first = 0;
    same = !SAME_BITS || memcmp(first, got, bytes) == 0;
    while (i < count && is_right(i))
        i++;
    if (!CHECK(i == count && same) && check_failed <= 20) {
        printf("    %s %s: %d bits, n %d, N %d, in %d, out %d%s\n", WIDTH,
               name, loops_of(a)->bits, a->n, a->N, in, out,
               same ? "" : ", other bits");
        if (i < count)
            printf("    element %d: %.9g for %.9g +- %.1e\n", i,
                   (double)got[i], want[i], bound[i]);
    }
}

/* Of an array: (n,F) into got, and judged. */
static void judge_rows(const char *name, const moe_real *y,
                       const arrangement *a, int F, int in, int out)
{
    int c, k;

    for (c = 0; c < a->n; c++)
        for (k = 0; k < F; k++)
            got[c * F + k] = y[at(a, F, c, k)];
    judge(name, a->n * F, a, in, out);
}

/* --------------------------------------------------------------- products */
static moe_real x[MOST], dy[MOST], w[MOST], b[MOST];

/* Each of k products and k sums rounds by half an epsilon of what was added up
   so far, at most the sum of all sizes. */
static void expect_sum(int i, double start, const moe_real *p, int p_step,
                       const moe_real *q, int q_step, int k, int relu)
{
    double sum = start, size = fabs(start);
    int l;

    for (l = 0; l < k; l++) {
        double term = (double)p[l * p_step] * (double)q[l * q_step];

        sum += term;
        size += fabs(term);
    }
    expect(i, relu && sum < 0 ? 0 : sum, (k + 1) * EPSILON * size);
}

static void check_forward(int n, int in, int out)
{
    arrangement a = {0, 0, 0};
    int c, j, relu = any(2);

    for (c = 0; c < n; c++)
        for (j = 0; j < out; j++)
            expect_sum(c * out + j, (double)b[j], x + c * in, 1, w + j, out,
                       in, relu);
    for (is_first = 1; next(&a, n);) {
        moe_real *y = array(4, reals(&a, out));

        loops_of(&a)->forward(n, a.N, in, out, arranged(0, &a, in, x),
                              copied(1, b, out), copied(2, w, in * out), relu,
                              y);
        judge_rows("forward", y, &a, out, in, out);
    }
}

static void check_inputs(int n, int in, int out)
{
    arrangement a = {0, 0, 0};
    int c, i;

    for (c = 0; c < n; c++)
        for (i = 0; i < in; i++)
            expect_sum(c * in + i, 0, dy + c * out, 1, w + i * out, 1, out, 0);
    for (is_first = 1; next(&a, n);) {
        moe_real *dx = array(4, reals(&a, in));

        loops_of(&a)->inputs(n, a.N, in, out, arranged(0, &a, out, dy),
                             copied(2, w, in * out), dx);
        judge_rows("inputs", dx, &a, in, in, out);
    }
}

/* The plain set is given case by case. */
static void run_weights(const arrangement *a, int in, int out)
{
    moe_real *db = copied(4, b, out), *dw = copied(5, w, in * out);
    moe_real *X = arranged(0, a, in, x), *D = arranged(1, a, out, dy);
    moe_real *room = array(6, a->N * out);
    int c, plain = loops_of(a)->bits == 1;

    if (!plain)
        loops_of(a)->weights(a->n, a->N, in, out, X, D, db, dw, room);
    for (c = 0; c < a->n && plain; c++)
        loops_of(a)->weights(1, 1, in, out, X + c * in, D + c * out, db, dw,
                             room);
    memcpy(got, db, (size_t)out * sizeof *got);
    memcpy(got + out, dw, (size_t)(in * out) * sizeof *got);
}

static void check_weights(int n, int in, int out)
{
    static const moe_real one = 1;
    arrangement a = {0, 0, 0};
    int i, j;

    for (j = 0; j < out; j++)
        expect_sum(j, (double)b[j], &one, 0, dy + j, out, n, 0);
    for (i = 0; i < in; i++)
        for (j = 0; j < out; j++)
            expect_sum(out + i * out + j, (double)w[i * out + j], x + i, in,
                       dy + j, out, n, 0);
    for (is_first = 1; next(&a, n);) {
        run_weights(&a, in, out);
        judge("weights", out + in * out, &a, in, out);
    }
}

static void expect_outer(int i, double from, double term)
{
    expect(i, from + term, 2 * EPSILON * (fabs(from) + fabs(term)));
}

static void check_outer(int in, int out)
{
    arrangement a = {0, 0, 0};
    const moe_real scale = any_real();
    int i, j;

    for (j = 0; j < out; j++)
        expect_outer(j, (double)b[j], (double)scale * (double)dy[j]);
    for (i = 0; i < in; i++)
        for (j = 0; j < out; j++)
            expect_outer(out + i * out + j, (double)w[i * out + j],
                         (double)x[i] * (double)scale * (double)dy[j]);
    for (is_first = 1; next(&a, 1);) {
        moe_real *db = copied(4, b, out), *dw = copied(5, w, in * out);

        loops_of(&a)->outer(in, out, copied(0, x, in), copied(1, dy, out),
                            scale, db, dw);
        memcpy(got, db, (size_t)out * sizeof *got);
        memcpy(got + out, dw, (size_t)(in * out) * sizeof *got);
        judge("outer", out + in * out, &a, in, out);
    }
}

static void fill_product(int n, int in, int out)
{
    if ((in + 1) * out > MOST || MOST_CASES * out > MOST
        || MOST_CASES * in > MOST)
        exit(1);
    fill(x, n * in);
    fill(dy, n * out);
    fill(w, in * out);
    fill(b, out);
    at_end = !at_end;
}

static void check_product(int n, int in, int out)
{
    fill_product(n, in, out);
    check_forward(n, in, out);
    check_inputs(n, in, out);
    check_weights(n, in, out);
    check_outer(in, out);
}

/* Every width with a few of the other side, depths beyond MOEI_DEEP, and
   weights beyond MOEI_FAR. */
static void check_products(void)
{
    static const int others[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 70};
    int size, i;

    for (size = 1; size <= 70; size++)
        for (i = any(3); i < COUNT(others); i += 1 + any(4)) {
            check_product(cases[any(COUNT(cases))], size, others[i]);
            check_product(cases[any(COUNT(cases))], others[i], size);
        }
    for (i = 0; i < COUNT(cases); i++) {
        check_product(cases[i], 128, 3);
        check_product(cases[i], 129, 17);
        check_product(cases[i], 5, 129);
        fill_product(cases[i], 129, 257);
        check_forward(cases[i], 129, 257);
        check_product(cases[i], 1 + any(70), 1 + any(70));
    }
}

/* -------------------------------------------------- features by cases */
static void check_scale(int n, int rows)
{
    arrangement a = {0, 0, 0};
    int c, k, how;

    for (how = MOEI_SCALE_IN; how <= MOEI_DIVIDE_IN; how++) {
        for (c = 0; c < n; c++)
            for (k = 0; k < rows; k++) {
                double v = (double)x[c * rows + k], s = (double)b[k];
                double f = (double)w[k], moved = v - s;
                double y = how == MOEI_SCALE_OUT ? s + f * v
                         : how == MOEI_SCALE_IN ? moved * f : moved / f;

                expect(c * rows + k, y, 3 * EPSILON
                       * (how == MOEI_SCALE_OUT ? fabs(s) + fabs(f * v)
                                                : fabs(y)));
            }
        a.n = 0;
        for (is_first = 1; next(&a, n);) {
            moe_real *y = arranged(0, &a, rows, x);
            moe_real *shift = array(1, 2 * rows);

            memcpy(shift, b, (size_t)rows * sizeof *b);
            memcpy(shift + rows, w, (size_t)rows * sizeof *w);

            for (c = 0; c < (a.N == 1 ? n : 1); c++)
                loops_of(&a)->scale((moei_scaling)how, a.N, rows, y + c * rows,
                                    shift, y + c * rows);
            judge_rows("scale", y, &a, rows, rows, how);
        }
    }
}

static void check_blend(int n, int rows)
{
    arrangement a = {0, 0, 0};
    int c, k, add = any(2);

    for (c = 0; c < n; c++)
        for (k = 0; k < rows; k++)
            expect_sum(c * rows + k, add ? (double)dy[c * rows + k] : 0,
                       w + c, 0, x + c * rows + k, 0, 1, 0);
    for (is_first = 1; next(&a, n);) {
        moe_real *y = arranged(4, &a, rows, dy);

        if (!add)
            array(4, reals(&a, rows));
        loops_of(&a)->blend(n, a.N, rows, add, arranged(0, &a, 1, w),
                            arranged(1, &a, rows, x), y);
        judge_rows("blend", y, &a, rows, rows, 0);
    }
}

static void check_dot(int n, int rows)
{
    arrangement a = {0, 0, 0};
    int c;

    for (c = 0; c < n; c++)
        expect_sum(c, 0, x + c * rows, 1, dy + c * rows, 1, rows, 0);
    for (is_first = 1; next(&a, n);) {
        moe_real *e = array(4, reals(&a, 1));

        loops_of(&a)->dot(n, a.N, rows, arranged(0, &a, rows, x),
                          arranged(1, &a, rows, dy), e);
        judge_rows("dot", e, &a, 1, rows, 0);
    }
}

static double cut(double s)
{
    const double most = (double)MOEI_LARGEST;

    return s > most ? most : s < -most ? -most : s;
}

/* The logits are rounded when the largest is taken out: by half an epsilon of
   what is left, which exp makes a share of p; exp and log are off by 2 ulp. */
static void expect_softmax(int c, int n, int rows)
{
    const moe_real *s = x + c * rows;
    double top = cut((double)s[0]), sum = 0;
    int k;

    for (k = 1; k < rows; k++)
        top = fmax(top, cut((double)s[k]));
    for (k = 0; k < rows; k++)
        sum += exp(cut((double)s[k]) - top);
    for (k = 0; k < rows; k++) {
        double left = cut((double)s[k]) - top, p = exp(left) / sum;
        double off = EPSILON * (fabs(left) + rows + 8);

        expect(c * rows + k, p, p * off + DENORMAL);
        expect(n * rows + c * rows + k, left - log(sum), off);
    }
    expect(2 * n * rows + c, top + log(sum),
           EPSILON * (fabs(top) + rows + 8));
}

static void run_softmax(const arrangement *a, int rows)
{
    moe_real *s = arranged(0, a, rows, x), *p = array(1, reals(a, rows));
    moe_real *log_p = array(2, reals(a, rows)), *lse = array(4, reals(a, 1));
    int c, k, n = a->n, turn = any(3);

    p = turn == 0 ? s : p;
    log_p = turn == 1 ? s : log_p;
    loops_of(a)->softmax(n, a->N, rows, s, p, log_p, lse);
    for (c = 0; c < n; c++) {
        for (k = 0; k < rows; k++) {
            got[c * rows + k] = p[at(a, rows, c, k)];
            got[n * rows + c * rows + k] = log_p[at(a, rows, c, k)];
        }
        got[2 * n * rows + c] = lse[c];
    }
    judge("softmax", (2 * rows + 1) * n, a, rows, turn);
    s = arranged(0, a, rows, x);
    loops_of(a)->softmax(n, a->N, rows, s, s, NULL, array(4, reals(a, 1)));
    for (c = 0; c < n; c++)
        for (k = 0; k < rows; k++)
            got[c * rows + k] = s[at(a, rows, c, k)];
    judge("softmax alone", (2 * rows + 1) * n, a, rows, 0);
}

static void check_softmax(int n, int rows)
{
    static const double far[] = {0, 1, 5, 30, 1e3, 1e20, 1e30, 3e38};
    arrangement a = {0, 0, 0};
    int i;

    for (i = 0; i < n * rows; i++)
        x[i] *= (moe_real)far[any(any(3) ? 4 : COUNT(far))];
    for (i = 0; i < n; i++)
        expect_softmax(i, n, rows);
    for (is_first = 1; next(&a, n);)
        run_softmax(&a, rows);
}

static void check_panels(void)
{
    int rows, i;

    for (rows = 1; rows <= 68; rows++)
        for (i = any(3); i < COUNT(cases); i += 1 + any(5)) {
            fill(x, cases[i] * rows);
            fill(dy, cases[i] * rows);
            fill(w, MOST_CASES + rows);
            fill(b, rows);
            at_end = !at_end;
            check_scale(cases[i], rows);
            check_blend(cases[i], rows);
            check_dot(cases[i], rows);
            check_softmax(cases[i], rows);
        }
}

/* -------------------------------------------------------- number by number */
static double function(int f, double a)
{
    double g = 1 / (1 + exp(-a));

    return f == MOEI_EXP ? exp(a) : f == MOEI_LOG ? log(a)
         : f == MOE_ACT_TANH ? tanh(a) : f == MOE_ACT_LOGISTIC ? g
         : f == MOE_ACT_ELU ? (a > 0 ? a : expm1(a)) : a * g;
}

/* f' by y = f(a), but of silu by a; and the size of what it is made of. */
static double slope(int f, double y, double *size)
{
    double g = 1 / (1 + exp(-y));

    *size = 2 + fabs(y) * (1 + fabs(y));
    return f == MOE_ACT_TANH ? 1 - y * y : f == MOE_ACT_LOGISTIC ? y * (1 - y)
         : f == MOE_ACT_ELU ? (y > 0 ? 1 : y + 1)
         : f == MOE_ACT_RELU ? (y > 0) : g * (1 + y * (1 - g));
}

/* 4 ulp: test_numbers.c is stricter; here it is all counts. */
static void check_map(int f, int count)
{
    arrangement a = {0, 0, 0};
    int i;

    for (i = 0; i < count; i++) {
        x[i] *= f == MOEI_LOG ? x[i] * 20 : 10;
        expect(i, function(f, (double)x[i]),
               4 * EPSILON * fabs(function(f, (double)x[i])) + DENORMAL);
    }
    for (is_first = 1; next(&a, 1);) {
        moe_real *y = copied(0, x, count);

        loops_of(&a)->apply(f, count, y);
        memcpy(got, y, (size_t)count * sizeof *got);
        judge("apply", count, &a, f, count);
    }
}

static void check_slope(int f, int count)
{
    arrangement a = {0, 0, 0};
    int i;

    for (i = 0; i < count; i++) {
        double size, by = slope(f, (double)x[i], &size);

        expect(i, by * (double)dy[i], 4 * EPSILON * size);
    }
    for (is_first = 1; next(&a, 1);) {
        moe_real *to = copied(1, dy, count);

        loops_of(&a)->slope(f, count, copied(0, x, count), to);
        memcpy(got, to, (size_t)count * sizeof *got);
        judge("slope", count, &a, f, count);
    }
}

static void check_subtract(int count)
{
    arrangement a = {0, 0, 0};
    int i;

    for (i = 0; i < count; i++)
        expect(i, (double)x[i] - (double)dy[i],
               EPSILON * fabs((double)x[i] - (double)dy[i]));
    for (is_first = 1; next(&a, 1);) {
        moe_real *to = copied(1, dy, count);

        loops_of(&a)->subtract(count, copied(0, x, count), to, to);
        memcpy(got, to, (size_t)count * sizeof *got);
        judge("subtract", count, &a, count, 0);
    }
}

/* One that is just too large, or none, at any place. */
static void check_are_below(int count)
{
    static const int exponents[] = {1, 2, 30, MOEI_BIAS, MOEI_BIAS + 1};
    const int exponent = exponents[any(COUNT(exponents))], sign = any(2);
    const moei_bits limit = (moei_bits)(exponent + MOEI_BIAS) << MOEI_FRACTION;
    arrangement a = {0, 0, 0};
    moe_real large = moei_from_bits(limit), small = moei_from_bits(limit - 1);
    int i, place = any(count);

    if (exponent > MOEI_BIAS && any(2))
        large = moei_from_bits(HOLE);
    for (i = 0; i < count; i++)
        x[i] = any(2) ? small : any(2) ? -small : 0;
    while (next(&a, 1)) {
        moe_real *at_x = copied(0, x, count);

        CHECK(loops_of(&a)->are_below(exponent, (size_t)count, at_x));
        CHECK(loops_of(&a)->are_below(exponent, 0, at_x));
        at_x[place] = sign ? -large : large;
        CHECK_THAT(!loops_of(&a)->are_below(exponent, (size_t)count, at_x),
                   "%d bits, %d of %d", loops_of(&a)->bits, place, count);
    }
}

/* w, v and u after a step, one after the other, by the formulas in double. */
static void expect_update(const moei_rule *r, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        double W = (double)w[i], g = (double)r->scale * (double)dy[i];
        double v = (double)x[i], u = (double)b[i], rate = (double)r->rate;
        double sum = fabs((double)r->momentum * v) + fabs(g)
                   + fabs((double)r->decay * W), to;

        if (r->moments < 2) {
            v = (r->moments ? (double)r->momentum * v : 0) + g
              + (double)r->decay * W;
            to = W - rate * v;
        } else {
            sum = fabs(v) + fabs(g);
            v += (1 - (double)MOEI_BETA_1) * (g - v);
            u += (1 - (double)MOEI_BETA_2) * (g * g - u);
            to = W - (rate * v / (sqrt(u * (double)r->second_scale) + 1e-8)
                      + (double)r->decay * W);
        }
        expect(i, to, 8 * EPSILON * (fabs(W) + rate * sum * 4));
        expect(n + i, r->moments ? v : (double)x[i], 4 * EPSILON * sum);
        expect(2 * n + i, r->moments > 1 ? u : (double)b[i],
               4 * EPSILON * (fabs(u) + g * g));
    }
}

static void check_update(int moments, int n)
{
    arrangement a = {0, 0, 0};
    moei_rule r = {0, 0, 0, 0, 0, 0};
    int i;

    r.moments = moments;
    r.scale = (moe_real)0.25;
    r.rate = (moe_real)0.3;
    r.momentum = (moe_real)(moments == 1 ? 0.9 : 0);
    r.decay = (moe_real)(any(2) ? 0.01 : 0);
    r.second_scale = (moe_real)1.5;
    for (i = 0; i < n; i++)
        b[i] = (b[i] < 0 ? -b[i] : b[i]);
    expect_update(&r, n);
    for (is_first = 1; next(&a, 1);) {
        moe_real *W = copied(0, w, n), *v = copied(1, x, n);
        moe_real *u = copied(2, b, n);

        loops_of(&a)->update(&r, (size_t)n, W, copied(4, dy, n),
                             moments > 0 ? v : NULL, moments > 1 ? u : NULL);
        memcpy(got, W, (size_t)n * sizeof *got);
        memcpy(got + n, v, (size_t)n * sizeof *got);
        memcpy(got + 2 * n, u, (size_t)n * sizeof *got);
        judge("update", 3 * n, &a, moments, n);
    }
}

static void check_strips(void)
{
    static const int functions[] = {MOEI_EXP, MOEI_LOG, MOE_ACT_TANH,
                                    MOE_ACT_LOGISTIC, MOE_ACT_ELU,
                                    MOE_ACT_SILU};
    int count, k, f;

    for (count = 1; count <= 70; count++)
        for (k = 0; k < 2; k++) {
            at_end = k;
            for (f = 0; f < COUNT(functions); f++) {
                fill(x, count);
                check_map(functions[f], count);
            }
            fill(dy, count);
            for (f = MOE_ACT_RELU; f <= MOE_ACT_SILU; f++) {
                fill(x, count);
                check_slope(f, count);
            }
            check_subtract(count);
            for (f = 0; f < 3; f++) {
                fill(w, count);
                fill(x, count);
                fill(b, count);
                check_update(f, count);
            }
            check_are_below(count);
        }
}

/* Narrow to wide, each found by its width, the widest by 0. */
static void check_sets(void)
{
    int i, count = moei_find_set(0) + 1;

    CHECK(count >= 1 && count <= COUNT(moei_sets));
    for (i = 0; i < count; i++) {
        CHECK(moei_find_set(moei_sets[i]->bits) == i);
        CHECK(i == 0 || moei_sets[i]->bits > moei_sets[i - 1]->bits);
    }
    CHECK(moei_find_set(3) == -1 && moei_find_set(-1) == -1);
}

static void check_kernels(void)
{
    open_slots();
    check_sets();
    check_products();
    check_panels();
    check_strips();
}

#ifdef __cplusplus
extern "C" {
#endif
int kernels_double(int *passed);
int kernels_same(int *passed);
int kernels_same_double(int *passed);
#ifdef __cplusplus
}
#endif

#ifdef KERNELS_COPY

/* The number of failures. */
int KERNELS_COPY(int *passed)
{
    check_kernels();
    check_done();
    *passed = check_passed;
    return check_failed;
}

#else

static void check_copy(int copy(int *passed))
{
    int passed;

    check_failed += copy(&passed);
    check_passed += passed;
}

int main(void)
{
    RUN(check_kernels());
    RUN(check_copy(kernels_double));
    RUN(check_copy(kernels_same));
#ifndef FEWER_COPIES
    RUN(check_copy(kernels_same_double));
#endif
    return check_done();
}

#endif
