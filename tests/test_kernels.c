/* test_kernels.c - every loop of the kernels, in every instruction set that
   this machine has, against plain sums in double: all sizes, so that every
   last vector is met, and all ways in which operands may stand.
   part_kernels_*.c include this file once more in double, and in both widths
   with MOE_SAME_BITS: all sets and layouts must give the same bits then. */
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

/* Reals before and behind every array, an odd number so that nothing is
   aligned; none where AddressSanitizer watches its ends.  Elsewhere, if there
   are pages that can be forbidden, one begins where the array ends: it catches
   also what a sanitizer does not see, the loads of masked vectors. */
#if defined(__SANITIZE_ADDRESS__)
#define FENCE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FENCE 0
#endif
#endif
#ifdef FENCE
#undef HAS_PAGES
#else
#define FENCE 19
#endif
#ifdef HAS_PAGES
#define BEHIND 0
#else
#define BEHIND FENCE
#endif

#define MOST 20000              /* elements of a matrix */
#define COUNT(array) ((int)(sizeof array / sizeof *array))

static uint64_t random_state = 1991;

static int any(int count)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int)((random_state >> 33) % (uint64_t)count);
}

/* In [-1,1), and away from 0 by an eighth at least, to be divided by. */
static moe_real any_real(void)
{
    double u = (double)any(1 << 30) / (1 << 29) - 1;

    return (moe_real)(u < 0 ? u * 0.875 - 0.125 : u * 0.875 + 0.125);
}

/* -------------------------------------------------------------- matrices */

/* How a matrix stands, or what it is instead of one. */
enum { BY_ROWS, BY_COLUMNS, ROW, COLUMN, NUMBER, STANDINGS };
static const char *const standing_name[] = {"rows", "columns", "row", "column",
                                            "number"};

/* A matrix in memory of its own, which ends with its last element.  All that
   is not an element of it is a HOLE: a number that no kernel may make. */
typedef struct grid {
    moei_view view;
    moe_real *memory;
    size_t reals;
} grid;

static moe_real *element(const grid *g, int i, int j)
{
    int row = g->view.list ? (int)g->view.list[i] : i;

    return moei_writable(g->view) + (ptrdiff_t)row * g->view.row
         + (ptrdiff_t)j * g->view.col;
}

static moei_view view_of(int standing, int m, int n, int gap)
{
    switch (standing) {
    case BY_ROWS:    return moei_view_of(NULL, n + gap, 1, m, n);
    case BY_COLUMNS: return moei_view_of(NULL, 1, m + gap, m, n);
    case ROW:        return moei_view_of(NULL, 0, 1 + gap, 1, n);
    case COLUMN:     return moei_view_of(NULL, 1 + gap, 0, m, 1);
    default:         return moei_view_of(NULL, 0, 0, 1, 1);
    }
}

#ifdef HAS_PAGES
/* As many arrays as are needed at a time, each before a forbidden page. */
enum { SLOTS = 32, SLOT = 1 << 18, PAGE = 1 << 16 };    /* bytes */
static struct { char *at; int taken; } slot[SLOTS];

static moe_real *take(size_t reals)
{
    int i = 0;

    while (i < SLOTS && slot[i].taken)
        i++;
    if (i == SLOTS || reals * sizeof(moe_real) > SLOT)
        return NULL;
    if (slot[i].at == NULL) {
        void *at = mmap(NULL, SLOT + PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANON, -1, 0);

        if (at == MAP_FAILED || mprotect((char *)at + SLOT, PAGE, PROT_NONE))
            return NULL;
        slot[i].at = (char *)at;
    }
    slot[i].taken = 1;
    return (moe_real *)(void *)(slot[i].at + SLOT) - reals;
}

static void put_back(moe_real *memory)
{
    int i;

    for (i = 0; i < SLOTS; i++)
        if (slot[i].at != NULL && (char *)memory >= slot[i].at
            && (char *)memory < slot[i].at + SLOT)
            slot[i].taken = 0;
}
#else
static moe_real *take(size_t reals)
{
    return (moe_real *)malloc(reals * sizeof(moe_real));
}

static void put_back(moe_real *memory)
{
    free(memory);
}
#endif

/* All holes, what will be elements too.  gap: reals that are left out between
   rows, columns, or elements of a vector. */
static grid new_grid(int standing, int m, int n, int gap)
{
    const moe_real hole = moei_from_bits(HOLE);
    grid g;
    size_t i;

    g.view = view_of(standing, m, n, gap);
    g.reals = (size_t)(g.view.m - 1) * (size_t)g.view.row
            + (size_t)(g.view.n - 1) * (size_t)g.view.col + 1 + FENCE + BEHIND;
    g.memory = take(g.reals);
    if (g.memory == NULL)
        exit(1);
    for (i = 0; i < g.reals; i++)
        g.memory[i] = hole;
    g.view.at = g.memory + FENCE;
    return g;
}

/* The same, but often some rows of more, in any order; list has room for all
   of them, LISTED at most. */
enum { LISTED = 64 };

static grid new_list(int standing, int m, int n, int gap, int32_t *list)
{
    int vector = standing == ROW || standing == NUMBER;
    int i, k, rows = m + any(4);
    grid g;

    if (vector || rows > LISTED || any(3))
        return new_grid(standing, m, n, gap);
    for (i = 0; i < rows; i++) {
        k = any(i + 1);
        list[i] = list[k];
        list[k] = i;
    }
    g = new_grid(standing, rows, n, gap);
    g.view = moei_listed(g.view, list, m);
    return g;
}

/* Its elements from values, row by row. */
static void set_grid(const grid *g, const moe_real *values)
{
    int i, j;

    for (i = 0; i < g->view.m; i++)
        for (j = 0; j < g->view.n; j++)
            *element(g, i, j) = *values++;
}

static grid filled_grid(int standing, int m, int n, int gap,
                        const moe_real *values)
{
    grid g = new_grid(standing, m, n, gap);

    set_grid(&g, values);
    return g;
}

/* Its elements into values, row by row.  Whether all else is still holes. */
static int read_grid(const grid *g, moe_real *values)
{
    size_t i, holes = 0;
    int r, c;

    for (r = 0; r < g->view.m; r++)
        for (c = 0; c < g->view.n; c++)
            *values++ = *element(g, r, c);
    for (i = 0; i < g->reals; i++)
        holes += moei_to_bits(g->memory[i]) == HOLE;
    return holes == g->reals - (size_t)g->view.m * (size_t)g->view.n;
}

static int take_grid(const grid *g, moe_real *values)
{
    int holds = read_grid(g, values);

    put_back(g->memory);
    return holds;
}

/* Gaps are none or a few, alike often. */
static int any_gap(void)
{
    return any(2) * (1 + any(4));
}

/* -------------------------------------------------------------- judgement */

/* What should come out, row by row, and how far off it may be; what did come
   out; and what came out first, whose bits are to be met. */
static double want[MOST], bound[MOST];
static moe_real got[MOST], first[MOST];
static int is_first;

static void expect(int at, double value, double error)
{
    want[at] = value;
    bound[at] = error;
}

static int is_right(int at)
{
    double is = (double)got[at];

    return is == want[at] || fabs(is - want[at]) <= bound[at]
        || (isnan(is) && isnan(want[at]));
}

static int is_same(int count)
{
    if (is_first)
        memcpy(first, got, (size_t)count * sizeof *got);
    is_first = 0;
    return memcmp(first, got, (size_t)count * sizeof *got) == 0;
}

/* Judge got (count): near to what is wanted, and the same bits as before. */
static void judge(const char *name, int count, int whole, const char *what)
{
    int at = 0, same = !SAME_BITS || is_same(count);

    while (at < count && is_right(at))
        at++;
    if (!CHECK(at == count && whole && same) && check_failed <= 20)
        printf("    %s %s%s: %s\n", WIDTH, name,
               at < count ? "" : whole ? ", other bits" : ", wrote beyond",
               what);
    if (at < count && check_failed <= 20)
        printf("    element %d: %.9g for %.9g +- %.1e\n", at, (double)got[at],
               want[at], bound[at]);
}

static char said[200];
#define SAY(...) snprintf(said, sizeof said, __VA_ARGS__)

/* ---------------------------------------------------------------- product */

/* C = then(S + A B).  s: how S stands, ITSELF if it is C, BESIDE if it stands
   like C.  A may be the ones. */
enum { BESIDE = BY_ROWS, ITSELF = STANDINGS };

typedef struct product {
    moei_map_op then;
    int m, n, k, s, ones;
    grid A[2], B[2];            /* by rows, by columns */
    moe_real a[MOST], b[MOST], c[MOST];
} product;

static double activation(moei_map_op op, double x)
{
    return op == MOEI_TANH ? tanh(x) : op == MOEI_RELU && x < 0 ? 0 : x;
}

/* Each of k products and k sums rounds by half an epsilon of what was added up
   so far, at most the sum of all sizes; tanh is off by 2 ulp more, and makes
   nothing larger. */
static void expect_product(const product *p)
{
    int i, j, l;

    for (i = 0; i < p->m; i++)
        for (j = 0; j < p->n; j++) {
            int s_at = p->s == NUMBER ? 0 : p->s == ROW ? j
                     : p->s == COLUMN ? i : i * p->n + j;
            double sum = (double)p->c[s_at], size = fabs(sum);

            for (l = 0; l < p->k; l++) {
                double term = (double)p->a[i * p->k + l]
                            * (double)p->b[l * p->n + j];
                sum += term;
                size += fabs(term);
            }
            expect(i * p->n + j, activation(p->then, sum),
                   (p->k + 1) * EPSILON * size + 2 * EPSILON);
        }
}

static void fill_product(product *p)
{
    int i;

    for (i = 0; i < p->m * p->k; i++)
        p->a[i] = p->ones ? 1 : any_real();
    for (i = 0; i < p->k * p->n; i++)
        p->b[i] = any_real();
    for (i = 0; i < p->m * p->n; i++)
        p->c[i] = any_real();
    for (i = 0; i < 2; i++) {
        p->A[i] = filled_grid(i, p->m, p->k, any_gap(), p->a);
        p->B[i] = filled_grid(i, p->k, p->n, any_gap(), p->b);
    }
}

static grid product_start(const product *p, int standing, int gap)
{
    return p->s == ITSELF || p->s == BESIDE
         ? filled_grid(standing, p->m, p->n, gap, p->c)
         : filled_grid(p->s, p->m, p->n, 0, p->c);
}

/* One call: the layouts are the bits of `layout`. */
static void run_product(const product *p, int layout, int set)
{
    int standing = layout & 1, gap = any_gap(), whole;
    grid S = product_start(p, standing, gap);
    grid C = p->s == ITSELF ? S : new_grid(standing, p->m, p->n, gap);
    moei_view A = p->ones ? MOEI_ONES(p->k) : p->A[layout >> 1 & 1].view;
    moe m;

    memset(&m, 0, sizeof m);
    m.set = set;
    moei_product(&m, p->then, C.view, S.view, A, p->B[layout >> 2 & 1].view);
    if (S.memory != C.memory)
        put_back(S.memory);
    whole = take_grid(&C, got);
    SAY("%d bits, m %d, n %d, k %d, C by %s, A by %s, B by %s,"
        " S %d, then %d", moei_set[set]->bits, p->m, p->n, p->k,
        standing_name[standing], p->ones ? "ones"
        : standing_name[layout >> 1 & 1], standing_name[layout >> 2 & 1],
        p->s, (int)p->then);
    judge("product", p->m * p->n, whole, said);
}

/* Every layout in every set.  A matrix S stands as C does. */
static void check_product(int m, int n, int k, int ones)
{
    static const moei_map_op then[] = {MOEI_COPY, MOEI_RELU, MOEI_TANH};
    static const int starts[] = {BESIDE, ROW, COLUMN, NUMBER, ITSELF};
    static product p;
    int layout, set, i;

    p.m = m;
    p.n = n;
    p.k = k;
    p.ones = ones;
    p.s = starts[any(COUNT(starts))];
    p.then = then[any(COUNT(then))];
    fill_product(&p);
    expect_product(&p);
    is_first = 1;
    for (layout = 0; layout < (ones ? 2 : 8); layout++)
        for (set = 0; set < moei_count_sets(); set++)
            run_product(&p, layout, set);
    for (i = 0; i < 2; i++) {
        put_back(p.A[i].memory);
        put_back(p.B[i].memory);
    }
}

static const int beyond[] = {64, 65, 128, 130, 257, 300};
#define SIZES (40 + COUNT(beyond))

/* 1 to 40, and a few beyond. */
static int size_of(int i)
{
    return i < 40 ? i + 1 : beyond[i - 40];
}

/* Every size in every place, where the other two take a few; of their pairs
   each size meets one in five. */
static void check_products(void)
{
    static const int other[] = {1, 3, 7, 17, 33};
    int i, j;

    for (i = 0; i < SIZES; i++)
        for (j = 0; j < COUNT(other); j++) {
            int size = size_of(i), by = other[j];
            int with = other[(i + 2 * j) % COUNT(other)];

            check_product(size, by, with, 0);
            check_product(by, size, with, 0);
            check_product(by, with, size, 0);
            check_product(1, size_of(i), other[j], 1);
            check_product(1, other[j], size_of(i), 1);
        }
    check_product(33, 520, 3, 0);       /* rows that stand far apart */
    check_product(40, 40, 40, 0);
    check_product(70, 70, 140, 0);
}

/* -------------------------------------------------------------------- map */

enum { OPS = MOEI_SILU_SLOPE + 1 };

/* How many operands an op has. */
static int operands(moei_map_op op)
{
    switch (op) {
    case MOEI_COPY: case MOEI_LOG: case MOEI_RELU: case MOEI_TANH:
    case MOEI_LOGISTIC: case MOEI_ELU: case MOEI_SILU:
        return 1;
    case MOEI_MUL_ADD: case MOEI_SUB_MUL: case MOEI_SUB_DIV:
    case MOEI_EQUAL: case MOEI_AT_LEAST:
        return 3;
    default:
        return 2;
    }
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

static double op_value(moei_map_op op, double a, double b, double c)
{
    switch (op) {
    case MOEI_COPY:     return a;
    case MOEI_ADD:      return a + b;
    case MOEI_SUB:      return a - b;
    case MOEI_MUL:      return a * b;
    case MOEI_MUL_ADD:  return a * b + c;
    case MOEI_SUB_MUL:  return (a - b) * c;
    case MOEI_SUB_DIV:  return (a - b) / c;
    case MOEI_MAX2:     return a < b ? b : a;
    case MOEI_MIN:      return a > b ? b : a;
    case MOEI_EQUAL:    return a == b ? c : 0;
    case MOEI_AT_LEAST: return a >= b ? c : 0;
    case MOEI_EXP:      return exp(a - b);
    case MOEI_LOG:      return log(a);
    case MOEI_RELU:     return a < 0 ? 0 : a;
    case MOEI_TANH:     return tanh(a);
    case MOEI_LOGISTIC: return logistic(a);
    case MOEI_ELU:      return a > 0 ? a : expm1(a);
    case MOEI_SILU:     return a * logistic(a);
    case MOEI_RELU_SLOPE:     return b > 0 ? a : 0;
    case MOEI_TANH_SLOPE:     return a * (1 - b * b);
    case MOEI_LOGISTIC_SLOPE: return a * (b * (1 - b));
    case MOEI_ELU_SLOPE:      return b > 0 ? a : a * (b + 1);
    case MOEI_SILU_SLOPE:
        return a * logistic(b) * (1 + b * (1 - logistic(b)));
    }
    return 0;
}

/* How far off it may be, in epsilons.  One rounding is half of one, and half
   the reference's; exp, log and tanh are within 2 ulp and hand on a relative
   error of half of |a - b| from the rounding of their argument; the logistic
   function is within 3 ulp, and its slope adds up terms of at most 1 + |b|. */
static double op_error(moei_map_op op, double a, double b, double c)
{
    double value = fabs(op_value(op, a, b, c));

    switch (op) {
    case MOEI_COPY: case MOEI_MAX2: case MOEI_MIN: case MOEI_EQUAL:
    case MOEI_AT_LEAST: case MOEI_RELU: case MOEI_RELU_SLOPE:
        return 0;
    case MOEI_MUL_ADD:
        return fabs(a * b) + value;
    case MOEI_EXP:
        return (fabs(a - b) + 3) * value;
    case MOEI_TANH_SLOPE:
        return 3 * fabs(a) * (1 + b * b);
    case MOEI_SILU_SLOPE:
        return 8 * fabs(a) * (1 + fabs(b));
    case MOEI_SILU:
        return 5 * value;
    default:
        return 4 * value;
    }
}

/* Y = op(A, B, C); standing of each, and `same`: which operand Y is, or none
   (3). */
typedef struct map {
    moei_map_op op;
    int m, n, y, standing[3], same;
    moe_real values[3][MOST];
} map;

static double operand(const map *p, int which, int i, int j)
{
    const moe_real *values = p->values[which];

    switch (which == p->same ? p->y : p->standing[which]) {
    case ROW:    return (double)values[j];
    case COLUMN: return (double)values[i];
    case NUMBER: return (double)values[0];
    default:     return (double)values[i * p->n + j];
    }
}

static void expect_map(const map *p)
{
    int i, j;

    for (i = 0; i < p->m; i++)
        for (j = 0; j < p->n; j++) {
            double a = operand(p, 0, i, j), b = operand(p, 1, i, j);
            double c = operand(p, 2, i, j);

            expect(i * p->n + j, op_value(p->op, a, b, c),
                   op_error(p->op, a, b, c) * EPSILON);
        }
}

static void run_map(const map *p, const grid *given, int set)
{
    int32_t list[LISTED];
    grid Y = new_list(p->y, p->m, p->n, any_gap(), list);
    moei_view v[4];
    int i, whole;

    if (p->same < 3)
        set_grid(&Y, p->values[p->same]);
    v[0] = Y.view;
    for (i = 0; i < 3; i++)
        v[i + 1] = i == p->same ? Y.view : given[i].view;
    moei_share_map(moei_set[set], p->op, v);
    whole = take_grid(&Y, got);
    SAY("%d bits, op %d, m %d, n %d, Y by %s%d, %s, %s, %s",
        moei_set[set]->bits, (int)p->op, p->m, p->n, standing_name[p->y],
        p->same, standing_name[p->standing[0]],
        standing_name[p->standing[1]], standing_name[p->standing[2]]);
    judge("map", p->m * p->n, whole, said);
}

/* A few values come often, so that some are equal. */
static void check_map(map *p)
{
    int32_t list[3][LISTED];
    grid given[3];
    int i, k, set;

    for (k = 0; k < 3; k++) {
        for (i = 0; i < p->m * p->n; i++)
            p->values[k][i] = any(4) ? any_real() : (moe_real)0.5;
        given[k] = new_list(p->standing[k], p->m, p->n, any_gap(), list[k]);
        set_grid(&given[k], p->values[k]);
    }
    expect_map(p);
    is_first = 1;
    for (set = 0; set < moei_count_sets(); set++)
        run_map(p, given, set);
    for (k = 0; k < 3; k++)
        put_back(given[k].memory);
}

/* Every op and every standing of its operands in one size. */
static void check_standings(map *p, int m, int n)
{
    int op, kinds, k;

    p->m = m;
    p->n = n;
    p->same = 3;
    for (op = 0; op < OPS; op++)
        for (kinds = 0; kinds < 2 * STANDINGS * STANDINGS * STANDINGS;
             kinds++) {
            int rest = kinds / 2, used = operands((moei_map_op)op);

            p->op = (moei_map_op)op;
            p->y = kinds % 2;
            for (k = 0; k < 3; k++, rest /= STANDINGS)
                p->standing[k] = k < used ? rest % STANDINGS : NUMBER;
            if (used == 3 ? any(8) == 0 : kinds < 2 * (used == 1 ? 5 : 25))
                check_map(p);
        }
}

/* One size, anything else by chance; Y is often one of the operands. */
static void check_any_map(map *p, int m, int n)
{
    int k;

    p->m = m;
    p->n = n;
    p->op = (moei_map_op)any(OPS);
    p->y = any(2);
    for (k = 0; k < 3; k++)
        p->standing[k] = any(STANDINGS);
    p->same = any(2) ? 3 : any(operands(p->op));
    check_map(p);
}

static void check_maps(void)
{
    static map p;
    int m, n, i;

    check_standings(&p, 3, 5);
    check_standings(&p, 18, 3);
    check_standings(&p, 5, 37);
    for (m = 1; m <= 40; m++)
        for (n = 1; n <= 40; n++)
            for (i = 0; i < 3; i++)
                check_any_map(&p, m, n);
    for (i = 0; i < 60; i++) {
        n = 1 + any(20);
        check_any_map(&p, beyond[i % COUNT(beyond)], n);
        check_any_map(&p, n, beyond[i % COUNT(beyond)]);
    }
}

/* Beyond the largest number is infinity; the logistic function may be 0 where
   it is subnormal. */
static void expect_special(int at, moei_map_op op, double a, double b)
{
    const double most = (double)moei_from_bits(MOEI_INFINITY_BITS - 1);
    double value = op_value(op, a, b, 1);
    double small = 4 * DENORMAL;

    if (op == MOEI_LOGISTIC || op == MOEI_SILU)
        small = (double)moei_power_of_2(1 - MOEI_BIAS) * (1 + fabs(a));
    expect(at, value > most ? HUGE_VAL : value < -most ? -HUGE_VAL : value,
           op_error(op, a, b, 1) * EPSILON + small);
}

/* Zeros, infinities, what is not a number, what is subnormal, and the ends of
   exp: not-a-numbers stay so, and no set treats them otherwise. */
static void check_special(moei_map_op op)
{
    const moe_real inf = MOEI_INFINITY, least = moei_from_bits(1);
    const moe_real value[] = {
        0, -(moe_real)0.0, 1, -1, inf, -inf, MOEI_NAN, least, -least,
        moei_power_of_2(1 - MOEI_BIAS), MOEI_LARGEST, -MOEI_LARGEST,
        MOEI_EXP_MIN, MOEI_EXP_MAX, MOEI_EXP_MIN + 1, 20, -20};
    enum { N = sizeof value / sizeof *value };
    grid A = filled_grid(ROW, 1, N, 0, value);
    grid B = filled_grid(COLUMN, N, 1, 0, value);
    grid C = filled_grid(NUMBER, 1, 1, 0, value + 2);
    int set, i, whole;

    for (i = 0; i < N * N; i++)
        expect_special(i, op, (double)value[i % N], (double)value[i / N]);
    is_first = 1;
    for (set = 0; set < moei_count_sets(); set++) {
        grid Y = new_grid(BY_ROWS, N, N, 0);

        moei_view v[4] = {Y.view, A.view, B.view, C.view};

        moei_share_map(moei_set[set], op, v);
        whole = take_grid(&Y, got);
        for (i = 0; i < N * N; i++)     /* one is as good as another */
            got[i] = isnan(got[i]) ? MOEI_NAN : got[i];
        SAY("op %d, %d bits", (int)op, moei_set[set]->bits);
        judge("special", N * N, whole, said);
    }
    put_back(A.memory);
    put_back(B.memory);
    put_back(C.memory);
}

static void check_specials(void)
{
    static const moei_map_op ops[] = {
        MOEI_COPY, MOEI_ADD, MOEI_SUB, MOEI_MUL, MOEI_MAX2, MOEI_MIN,
        MOEI_EQUAL, MOEI_AT_LEAST, MOEI_EXP, MOEI_LOG, MOEI_RELU,
        MOEI_TANH, MOEI_LOGISTIC, MOEI_ELU, MOEI_SILU, MOEI_RELU_SLOPE};
    int k;

    for (k = 0; k < COUNT(ops); k++)
        check_special(ops[k]);
}

/* ----------------------------------------------------------------- reduce */

typedef struct reduce {
    moei_reduce_op op;
    int m, n, b;                /* b: how B stands; ITSELF if it is A */
    moe_real values[2][MOST];
} reduce;

/* n terms of at most three roundings each, added up with n more, each at most
   half an epsilon of the sum of all sizes. */
static void expect_reduce(const reduce *p)
{
    int i, j;

    for (i = 0; i < p->m; i++) {
        double sum = p->op == MOEI_MAX ? -HUGE_VAL : 0, size = 0;

        for (j = 0; j < p->n; j++) {
            int at = i * p->n + j;
            double a = (double)p->values[0][at], b = p->b == ITSELF ? a
                     : (double)p->values[1][p->b == NUMBER ? 0 : at];
            double term = p->op == MOEI_SUM ? a : p->op == MOEI_DOT ? a * b
                        : (a - b) * (a - b);

            sum = p->op != MOEI_MAX ? sum + term : fmax(sum, a);
            size += fabs(term);
        }
        expect(i, sum, p->op == MOEI_MAX ? 0 : (p->n + 3) * EPSILON * size);
    }
}

/* One row by columns may look like one by rows: then A and B do so both. */
static void run_reduce(const reduce *p, int standing, int set)
{
    int gap = any_gap();
    grid A = filled_grid(standing, p->m, p->n, gap, p->values[0]);
    grid B = filled_grid(p->b == NUMBER ? NUMBER : standing, p->m, p->n,
                         p->m == 1 ? gap : any_gap(), p->values[1]);
    grid y = new_grid(p->m == 1 ? NUMBER : COLUMN, p->m, 1, any_gap());
    moei_job job = {(int)p->op, -1, 0};
    moei_view v[4] = {y.view, A.view, p->b == ITSELF ? A.view : B.view,
                      moei_zero};
    int whole;

    moei_set[set]->reduce(&job, v);
    whole = take_grid(&y, got);
    put_back(A.memory);
    put_back(B.memory);
    SAY("%d bits, op %d, m %d, n %d, by %s, B %d",
        moei_set[set]->bits, (int)p->op, p->m, p->n,
        standing_name[standing], p->b);
    judge("reduce", p->m, whole, said);
}

/* All layouts and sets.  B is a matrix like A, A, or 0. */
static void check_reduce(int m, int n)
{
    static const int kinds[][2] = {
        {MOEI_MAX, ITSELF}, {MOEI_SUM, ITSELF}, {MOEI_DOT, ITSELF},
        {MOEI_DOT, BESIDE}, {MOEI_DOT, NUMBER}, {MOEI_SQUARE, BESIDE},
        {MOEI_SQUARE, NUMBER}};
    static reduce p;
    int i, standing, set;

    p.m = m;
    p.n = n;
    for (i = 0; i < COUNT(kinds); i++) {
        int k;

        p.op = (moei_reduce_op)kinds[i][0];
        p.b = kinds[i][1];
        for (k = 0; k < m * n; k++) {
            p.values[0][k] = any_real();
            p.values[1][k] = p.b == NUMBER ? 0 : any_real();
        }
        expect_reduce(&p);
        is_first = 1;
        for (standing = 0; standing < 2; standing++)
            for (set = 0; set < moei_count_sets(); set++)
                run_reduce(&p, standing, set);
    }
}

/* ---------------------------------------------------------------- softmax */

static double cut(double x)
{
    double most = (double)MOEI_LARGEST;

    return x > most ? most : x < -most ? -most : x;
}

/* Where row i of P, log P and lse stands in what is wanted. */
static int softmax_at(int m, int n, int row, int which)
{
    return which == 2 ? 2 * m * n + row : which * m * n + row * n;
}

/* x - top is off by half of its epsilons, which exp hands on, itself within
   2 ulp; as |x| e^x is below 1, the sum is off by less than 2 epsilons for each
   term, n more for adding up, and its logarithm by as much. */
static void expect_softmax(int m, int n, const moe_real *x)
{
    int i, j;

    for (i = 0; i < m; i++, x += n) {
        int p = softmax_at(m, n, i, 0), log_p = softmax_at(m, n, i, 1);
        double top = -HUGE_VAL, sum = 0, lse, off = 3 * n + 8;

        for (j = 0; j < n; j++)
            top = fmax(top, cut((double)x[j]));
        for (j = 0; j < n; j++)
            sum += exp(cut((double)x[j]) - top);
        lse = top + log(sum);
        expect(softmax_at(m, n, i, 2), lse, EPSILON * (fabs(lse) + off));
        for (j = 0; j < n; j++) {
            double a = cut((double)x[j]) - top, part = exp(a) / sum;

            expect(log_p + j, a - log(sum), EPSILON * (fabs(a) + off));
            expect(p + j, part,
                   EPSILON * part * (fabs(a) + off) + 4 * DENORMAL);
        }
    }
}

static void run_softmax(int m, int n, const moe_real *x, int standing, int in_x,
                        int set)
{
    grid X = filled_grid(standing, m, n, any_gap(), x);
    grid P = new_grid(standing, m, n, any_gap());
    grid L = in_x ? X : new_grid(standing, m, n, any_gap());
    grid lse = new_grid(COLUMN, m, 1, 0);
    moei_job job = {0, -1, 0};
    moei_view v[4] = {P.view, L.view, lse.view, X.view};
    int whole;

    moei_set[set]->softmax(&job, v);
    if (!in_x)
        put_back(X.memory);
    whole = take_grid(&P, got + softmax_at(m, n, 0, 0));
    whole &= take_grid(&L, got + softmax_at(m, n, 0, 1));
    whole &= take_grid(&lse, got + softmax_at(m, n, 0, 2));
    SAY("%d bits, m %d, n %d, by %s%s", moei_set[set]->bits, m, n,
        standing_name[standing], in_x ? ", in place" : "");
    judge("softmax", 2 * m * n + m, whole, said);
}

/* Logits of ordinary size, large ones, or ones beyond all bounds. */
static void check_softmax(int m, int n)
{
    static const moe_real sizes[] = {2, 2, 30, (moe_real)1e32};
    static moe_real x[MOST];
    moe_real size = sizes[any(COUNT(sizes))];
    int i, standing, in_x, set;

    for (i = 0; i < m * n; i++)
        x[i] = size * any_real();
    expect_softmax(m, n, x);
    is_first = 1;
    for (standing = 0; standing < 2; standing++)
        for (in_x = 0; in_x < 2; in_x++)
            for (set = 0; set < moei_count_sets(); set++)
                run_softmax(m, n, x, standing, in_x, set);
}

static void check_rows(void)
{
    static const int other[] = {1, 5, 18};
    int i, j;

    for (i = 0; i < SIZES; i++)
        for (j = 0; j < COUNT(other); j++) {
            check_reduce(size_of(i), other[j]);
            check_reduce(other[j], size_of(i));
            check_softmax(size_of(i), other[j]);
            check_softmax(other[j], size_of(i));
        }
    check_reduce(150, 70);
    check_softmax(70, 70);
}

/* ----------------------------------------------------------------- update */

/* The arrays of a step: weights, gradients, two moments. */
enum { W, G, V, U, ARRAYS };

typedef struct update {
    int n;
    moei_rule rule;
    moe_real values[ARRAYS][MOST / ARRAYS];
} update;

static void expect_arrays(const update *p, int i, double w, double w_error,
                          double v, double v_error, double u)
{
    expect(W * p->n + i, w, w_error * EPSILON);
    expect(G * p->n + i, 0, 0);
    expect(V * p->n + i, v, v_error * EPSILON);
    expect(U * p->n + i, u, 4 * EPSILON * u);
}

/* A moment is made by at most four operations on numbers no larger than the
   sum of all sizes, and a step by six more. */
static void expect_sgd(const update *p, int i)
{
    const moei_rule *r = &p->rule;
    double w = (double)p->values[W][i], v = (double)p->values[V][i];
    double u = (double)p->values[U][i], rate = (double)r->rate;
    double g = (double)p->values[G][i] * (double)r->scale;
    double decay = (double)r->decay * w, more = (double)r->momentum * v;
    double size = fabs(g) + fabs(decay), step = g + decay;

    if (r->op == MOEI_MOMENTUM) {
        size += fabs(more);
        v = step += more;
    }
    expect_arrays(p, i, w - rate * step, 10 * rate * size + fabs(w), v,
                  r->op == MOEI_MOMENTUM ? 4 * size : 0, u);
}

/* The same; the root of the second moment takes half of that one's relative
   error, and 2 ulp of its own. */
static void expect_adam(const update *p, int i)
{
    const moei_rule *r = &p->rule;
    double w = (double)p->values[W][i], v = (double)p->values[V][i];
    double u = (double)p->values[U][i], rate = (double)r->rate;
    double g = (double)p->values[G][i] * (double)r->scale, root;
    double decay = (double)r->decay * w, size = fabs(v) + fabs(g);

    v += (double)(1 - MOEI_BETA_1) * (g - v);
    u += (double)(1 - MOEI_BETA_2) * (g * g - u);
    root = sqrt(u * (double)r->second_scale) + (double)MOEI_EPSILON;
    expect_arrays(p, i, w - (rate * v / root + decay),
                  10 * (rate * size / root + fabs(decay)) + fabs(w), v,
                  4 * size, u);
}

/* SGD has no moments at all, momentum has one. */
static void run_update(const update *p, int set)
{
    const int used[] = {1, 1, p->rule.op != MOEI_SGD,
                        p->rule.op == MOEI_ADAM};
    grid array[ARRAYS];
    int k, whole = 1;

    for (k = 0; k < ARRAYS; k++)
        array[k] = filled_grid(ROW, 1, p->n, 0, p->values[k]);
    moei_set[set]->update((size_t)p->n, element(&array[W], 0, 0),
                          element(&array[G], 0, 0),
                          used[V] ? element(&array[V], 0, 0) : NULL,
                          used[U] ? element(&array[U], 0, 0) : NULL, &p->rule);
    for (k = 0; k < ARRAYS; k++)
        whole &= take_grid(&array[k], got + k * p->n);
    SAY("%d bits, op %d, n %d, decay %g", moei_set[set]->bits,
        (int)p->rule.op, p->n, (double)p->rule.decay);
    judge("update", ARRAYS * p->n, whole, said);
}

static void check_update(moei_update_op op, int n, int decay)
{
    static update p;
    int i, k, set;

    p.n = n;
    p.rule.op = op;
    p.rule.scale = (moe_real)0.3;
    p.rule.rate = (moe_real)0.07;
    p.rule.momentum = (moe_real)0.9;
    p.rule.decay = decay ? (moe_real)0.011 : 0;
    p.rule.second_scale = (moe_real)1.7;
    for (i = 0; i < n; i++) {
        for (k = 0; k < ARRAYS; k++)
            p.values[k][i] = any_real();
        p.values[U][i] *= p.values[U][i];
        if (op == MOEI_ADAM)
            expect_adam(&p, i);
        else
            expect_sgd(&p, i);
    }
    is_first = 1;
    for (set = 0; set < moei_count_sets(); set++)
        run_update(&p, set);
}

static void check_updates(void)
{
    int n;

    for (n = 1; n <= 100; n++) {
        check_update(MOEI_SGD, n, n % 2);
        check_update(MOEI_MOMENTUM, n, n % 2);
        check_update(MOEI_ADAM, n, n % 2);
    }
}

/* ------------------------------------------------------------------- sets */

/* Narrow to wide, each found by its width, the widest by 0. */
static void check_sets(void)
{
    int i, count = moei_count_sets();

    CHECK(count >= 1 && count <= COUNT(moei_set) && moei_set[0]->bits == 1);
    for (i = 0; i < count; i++) {
        CHECK(moei_find_set(moei_set[i]->bits) == i);
        CHECK(i == 0 || moei_set[i]->bits > moei_set[i - 1]->bits);
    }
    CHECK(moei_find_set(0) == count - 1);
    CHECK(moei_find_set(3) == -1 && moei_find_set(-1) == -1);
}

static void check_kernels(void)
{
    check_sets();
    check_products();
    check_maps();
    check_specials();
    check_rows();
    check_updates();
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
    check_kernels();
    check_copy(kernels_double);
    check_copy(kernels_same);
    check_copy(kernels_same_double);
    return check_done();
}

#endif
