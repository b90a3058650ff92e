/* test_numbers.c - exp, log, tanh, sqrt and the activations of moe.h, in every
   instruction set that this machine has, against libm in a wider type; random
   numbers, and the order of cases.  part_numbers_double.c
   includes this file for the same in double.  MOE_LONG in the environment:
   exp at every one of the 2^32 floats, tanh at every one that matters. */
#undef MOE_DOUBLE
#ifdef NUMBERS_DOUBLE
#define MOE_DOUBLE
#endif
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "check.h"
#include "random.h"

#include <float.h>
#include <math.h>
#include <string.h>

#ifdef NUMBERS_DOUBLE
#define WIDTH "double"
#define LIBM(name) name##l
#define DIGITS DBL_MANT_DIG
#define MOST_EXPONENT DBL_MAX_EXP
#define LEAST_EXPONENT (DBL_MIN_EXP - DBL_MANT_DIG)
#define LARGEST DBL_MAX
#define SMALLEST DBL_MIN
#define SWEEP 1000000
typedef uint64_t bit_pattern;
typedef long double wide;
#else
#define WIDTH "float"
#define LIBM(name) name
#define DIGITS FLT_MANT_DIG
#define MOST_EXPONENT FLT_MAX_EXP
#define LEAST_EXPONENT (FLT_MIN_EXP - FLT_MANT_DIG)
#define LARGEST FLT_MAX
#define SMALLEST FLT_MIN
#define SWEEP 2000000
typedef uint32_t bit_pattern;
typedef double wide;
#endif

/* Half an ulp more where the reference is no wider than what it judges. */
#define SPARE (sizeof(wide) > sizeof(moe_real) ? 0 : 0.5)

/* A function: what the sets apply, or of one number alone; the ends of the
   interval where it is neither constant nor plain, the most ulps it may be off,
   and the worst that was seen of it, and in which set. */
typedef struct subject {
    const char *name;
    int applied;
    moe_real (*alone)(moe_real);
    wide (*exact)(wide);
    double from, to;
    double bound, worst;
    moe_real worst_at;
    int worst_set;
} subject;

static moe_real exp_alone(moe_real x) { return moei_exp(x); }
static moe_real log_alone(moe_real x) { return moei_log(x); }
static moe_real sqrt_alone(moe_real x) { return moei_sqrt(x); }

static wide exact_elu(wide x)
{
    return x > 0 ? x : LIBM(expm1)(x);
}

static wide exact_logistic(wide x)
{
    return 1 / (1 + LIBM(exp)(-x));
}

static wide exact_silu(wide x)
{
    return x * exact_logistic(x);
}

/* The logistic function rounds three times, exp among them, and may be 0 where
   it is subnormal; silu once more. */
enum { EXP, LOG, TANH, ELU, LOGISTIC, SILU, SQRT, EXP_ALONE, LOG_ALONE,
       SUBJECTS };

static subject subjects[SUBJECTS] = {
    {"exp", MOEI_EXP, NULL, LIBM(exp), -DIGITS * 2.0 - 710, 710, 2, 0.5, 0, 0},
    {"log", MOEI_LOG, NULL, LIBM(log), 0.5, 2, 2, 0.5, 0, 0},
    {"tanh", MOE_ACT_TANH, NULL, LIBM(tanh), -25, 25, 2, 0.5, 0, 0},
    {"elu", MOE_ACT_ELU, NULL, exact_elu, -40, 0, 2, 0.5, 0, 0},
    {"logistic", MOE_ACT_LOGISTIC, NULL, exact_logistic, -88, 40, 3, 0.5, 0, 0},
    {"silu", MOE_ACT_SILU, NULL, exact_silu, -88, 40, 4, 0.5, 0, 0},
    {"sqrt", 0, sqrt_alone, LIBM(sqrt), 0, 8, 2, 0.5, 0, 0},
    {"exp alone", 0, exp_alone, LIBM(exp), -DIGITS * 2.0 - 710, 710, 2, 0.5, 0,
     0},
    {"log alone", 0, log_alone, LIBM(log), 0.5, 2, 2, 0.5, 0, 0}
};

static moe_real from_bits(uint64_t pattern)
{
    bit_pattern bits = (bit_pattern)pattern;
    moe_real x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static int same_bits(moe_real a, moe_real b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* The difference in units of the spacing of moe_real at the exact value;
   infinity counts as the number that would follow the largest. */
static double ulps(moe_real got, wide exact)
{
    wide end = LIBM(ldexp)(1, MOST_EXPONENT), value = (wide)got;
    int exponent;

    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : HUGE_VAL;
    exact = exact > end ? end : exact < -end ? -end : exact;
    value = value > end ? end : value < -end ? -end : value;
    LIBM(frexp)(exact, &exponent);
    exponent -= DIGITS;
    if (exponent < LEAST_EXPONENT)
        exponent = LEAST_EXPONENT;
    return (double)LIBM(fabs)(LIBM(ldexp)(value - exact, -exponent));
}

static void judge(subject *f, moe_real x, moe_real got, wide exact, int set)
{
    double off;

    if ((moe_real)exact == got)          /* correctly rounded: half an ulp */
        return;
    off = ulps(got, exact);
    if (off > f->worst) {
        f->worst = off;
        f->worst_at = x;
        f->worst_set = set;
    }
}

/* Numbers wait here until there are many: a length that ends within a strip. */
enum { MANY = 1003 };
static moe_real waiting[MANY];
static int waiting_count;
static long too_large;          /* logistic functions due to be subnormal */

static void check_waiting(subject *f)
{
    moe_real y[MANY];
    wide exact[MANY];
    int i, set, skip;

    for (i = 0; i < waiting_count; i++)
        exact[i] = f->exact((wide)waiting[i]);
    for (set = 0; set <= (f->alone ? 0 : moei_find_set(0)); set++) {
        memcpy(y, waiting, sizeof y);
        if (f->alone == NULL)
            moei_sets[set]->apply(f->applied, waiting_count, y);
        for (i = 0; i < waiting_count; i++) {
            skip = (f == &subjects[LOGISTIC] || f == &subjects[SILU])
                && exact_logistic((wide)waiting[i]) < (wide)SMALLEST;
            if (skip)
                too_large += f == &subjects[LOGISTIC] && y[i] > SMALLEST;
            else
                judge(f, waiting[i], f->alone ? f->alone(y[i]) : y[i],
                      exact[i], set);
        }
    }
    waiting_count = 0;
}

static void check_at(subject *f, moe_real x)
{
    waiting[waiting_count++] = x;
    if (waiting_count == MANY)
        check_waiting(f);
}

/* Bit patterns at equal distances: all exponents, both signs, subnormals,
   infinities and not-a-numbers. */
static void sweep_patterns(subject *f, uint64_t count)
{
    uint64_t range = (uint64_t)(bit_pattern)-1, step = range / count | 1, i;

    for (i = 0; i < count; i++)
        check_at(f, from_bits(i * step));
}

static void sweep_interval(subject *f, long count)
{
    long i;

    for (i = 0; i <= count; i++)
        check_at(f, (moe_real)(f->from + (f->to - f->from) * (double)i
                                       / (double)count));
}

/* Anywhere at all, and as near to 1 as to 0. */
static void sweep_random(subject *f, long count)
{
    long i;

    for (i = 0; i < count; i++) {
        uint64_t bits = random_word();
        int shift = 2 + (int)(bits % (uint64_t)DIGITS);
        double part = (double)(bits >> 11) / 9007199254740992.0;

        check_at(f, from_bits(bits));
        check_at(f, (moe_real)(1 + ldexp(part, 1 - shift)));
        check_at(f, (moe_real)(1 - ldexp(part, 1 - shift)));
        check_at(f, (moe_real)ldexp(part - 0.5, 6 - shift));
    }
}

/* The last few numbers on either side of x. */
static void sweep_near(subject *f, double x)
{
    moe_real at = (moe_real)x;
    bit_pattern bits;
    int k;

    memcpy(&bits, &at, sizeof bits);
    for (k = -8; k <= 8; k++)
        check_at(f, from_bits((uint64_t)(bits + (bit_pattern)k)));
}

/* Where an argument reduction may change its mind: powers of two, multiples
   of half of log 2, and where exp leaves the numbers at either end. */
static void sweep_edges(subject *f)
{
    int k;

    for (k = LEAST_EXPONENT; k < MOST_EXPONENT; k++) {
        sweep_near(f, ldexp(1, k));
        sweep_near(f, -ldexp(1, k));
        sweep_near(f, ldexp(1.4142135623730950488, k));
    }
    for (k = 2 * LEAST_EXPONENT - 4; k < 2 * MOST_EXPONENT + 4; k++) {
        sweep_near(f, k * 0.34657359027997265471);
        sweep_near(f, k * 0.17328679513998632735);
    }
}

/* MOE_BRIEF: a tenth, where it is the code that is looked at, not the values,
   which other builds have seen. */
static void check_accuracy(subject *f)
{
    const long sweep = getenv("MOE_BRIEF") ? SWEEP / 10 : SWEEP;

    sweep_patterns(f, (uint64_t)sweep);
    sweep_interval(f, sweep / 4);
    sweep_random(f, sweep / 8);
    sweep_edges(f);
    check_waiting(f);
    printf("%s %s: %.3f ulp at %.17g, %d bits\n", WIDTH, f->name, f->worst,
           (double)f->worst_at, moei_sets[f->worst_set]->bits);
    CHECK_THAT(f->worst <= f->bound + SPARE, "%s %s", WIDTH, f->name);
    CHECK(too_large == 0);
}

/* A number alone, by the set at hand. */
static int set_at_hand;

static moe_real applied(int f, moe_real x)
{
    moei_sets[set_at_hand]->apply(f, 1, &x);
    return x;
}

static moe_real our_exp(moe_real x) { return applied(MOEI_EXP, x); }
static moe_real our_log(moe_real x) { return applied(MOEI_LOG, x); }
static moe_real our_tanh(moe_real x) { return applied(MOE_ACT_TANH, x); }
static moe_real our_elu(moe_real x) { return applied(MOE_ACT_ELU, x); }
static moe_real our_logistic(moe_real x)
{
    return applied(MOE_ACT_LOGISTIC, x);
}

static void check_specials(void)
{
    const moe_real inf = (moe_real)HUGE_VAL, nan = inf - inf, zero = 0;
    const moe_real least = from_bits(1);

    CHECK(same_bits(our_exp(0), 1) && same_bits(our_exp(-zero), 1));
    CHECK(our_exp(inf) == inf && same_bits(our_exp(-inf), 0));
    CHECK(our_exp(LARGEST) == inf && same_bits(our_exp(-LARGEST), 0));
    CHECK(our_exp(least) == 1 && our_exp(-least) == 1);
    CHECK(isnan(our_exp(nan)));
    CHECK(same_bits(our_log(1), 0));
    CHECK(our_log(0) == -inf && our_log(-zero) == -inf);
    CHECK(our_log(inf) == inf && isnan(our_log(nan)));
    CHECK(isnan(our_log(-1)) && isnan(our_log(-inf)));
    CHECK(isnan(our_log(-least)) && isnan(our_log(-SMALLEST)));
    CHECK(same_bits(our_tanh(0), 0) && same_bits(our_tanh(-zero), -zero));
    CHECK(our_tanh(inf) == 1 && our_tanh(-inf) == -1);
    CHECK(our_tanh(LARGEST) == 1 && our_tanh(-LARGEST) == -1);
    CHECK(same_bits(our_tanh(least), least));
    CHECK(isnan(our_tanh(nan)));
    CHECK(same_bits(our_elu(-inf), -1) && isnan(our_elu(nan)));
    CHECK(our_logistic(inf) == 1 && same_bits(our_logistic(-inf), 0));
    CHECK(our_logistic(0) == (moe_real)0.5 && isnan(our_logistic(nan)));
    CHECK(same_bits(moei_sqrt(0), 0) && moei_sqrt(-zero) == 0);
    CHECK(moei_sqrt(inf) == inf && isnan(moei_sqrt(nan)));
    CHECK(isnan(moei_sqrt(-1)) && isnan(moei_sqrt(-inf)));
    CHECK(isnan(moei_sqrt(-least)));
}

/* tanh is odd bit by bit; tanh and the logistic function stay in bounds. */
static void check_symmetries(void)
{
    int odd = 1, within = 1, k;

    for (k = 0; k < 100000; k++) {
        double part = (double)(random_word() >> 11) / 9007199254740992.0;
        moe_real x = (moe_real)ldexp(part, k % 64 - 56);
        moe_real up = our_tanh(x), left = our_logistic(-x);

        odd &= same_bits(our_tanh(-x), -up);
        within &= up >= 0 && up <= 1 && left >= 0 && left <= (moe_real)0.5;
        within &= our_logistic(x) >= (moe_real)0.5 && our_logistic(x) <= 1;
    }
    CHECK(odd);
    CHECK(within);
}

static void check_width(void)
{
    int k;

    for (k = 0; k <= moei_find_set(0); k++) {
        set_at_hand = k;
        check_specials();
        check_symmetries();
    }
    for (k = 0; k < SUBJECTS; k++)
        check_accuracy(&subjects[k]);
}

#ifdef NUMBERS_DOUBLE

#ifdef __cplusplus
extern "C"
#endif
int numbers_double(int *passed);

/* The number of failures. */
int numbers_double(int *passed)
{
    check_width();
    check_done();
    *passed = check_passed;
    return check_failed;
}

#else

#ifdef __cplusplus
extern "C"
#endif
int numbers_double(int *passed);

/* exp is 1 around 0, and 0 or infinite far from it, which needs no libm to
   see; not-a-numbers are seen to in between.  tanh: the positive numbers up
   to 16; below 2^-14 it is the identity, and it is odd. */
static void sweep_all(void)
{
    const moe_real inf = (moe_real)HUGE_VAL, near = (moe_real)ldexp(1, -25);
    uint64_t bits;
    long wrong = 0;

    for (bits = 0; bits < (uint64_t)1 << 32; bits++) {
        moe_real x = from_bits(bits);

        if (x > -near && x < near)
            wrong += !same_bits(moei_exp(x), 1);
        else if (x > 89)
            wrong += !same_bits(moei_exp(x), inf);
        else if (x < -104)
            wrong += !same_bits(moei_exp(x), 0);
        else
            check_at(&subjects[EXP], x);
    }
    check_waiting(&subjects[EXP]);
    CHECK(wrong == 0);
    for (bits = 0x38800000; bits < 0x41800000; bits++)
        check_at(&subjects[TANH], from_bits(bits));
    check_waiting(&subjects[TANH]);
}

/* Uniform in [-1,1): range, mean, variance, neighbours, and ten equal bins,
   each within five standard deviations of what chance does. */
static void check_uniform(void)
{
    const int n = 1000000;
    uint64_t state = 7, again = 7, other = 8;
    double sum = 0, squares = 0, products = 0, before = 0;
    int bins[10], within = 1, same = 0, k;

    memset(bins, 0, sizeof bins);
    for (k = 0; k < n; k++) {
        double u = (double)moei_uniform(&state);

        if (u < -1 || u >= 1) {
            within = 0;
            continue;
        }
        sum += u;
        squares += u * u;
        products += u * before;
        before = u;
        bins[(int)((u + 1) * 5)]++;
    }
    CHECK(within);
    CHECK(fabs(sum / n) < 5 * sqrt(1.0 / 3 / n));
    CHECK(fabs(squares / n - 1.0 / 3) < 5 * sqrt(4.0 / 45 / n));
    CHECK(fabs(products / n) < 5 / 3.0 / sqrt(n));
    for (k = 0; k < 10; k++)
        CHECK(abs(bins[k] - n / 10) < 5 * sqrt(n * 0.09));
    state = 7;
    for (k = 0; k < 1000; k++) {
        moe_real u = moei_uniform(&state);

        CHECK(same_bits(u, moei_uniform(&again)));
        same += same_bits(u, moei_uniform(&other));
    }
    CHECK(same < 5);
}

/* The order of n cases under a key; 1 if each stands there just once. */
static int shuffle(int32_t *order, uint32_t n, uint64_t key)
{
    char *seen = (char *)calloc(n, 1);
    int once = seen != NULL;
    uint32_t i;

    for (i = 0; once && i < n; i++) {
        uint32_t at = moei_shuffled(i, n, key);

        once = at < n && !seen[at];
        if (once)
            seen[at] = 1;
        order[i] = (int32_t)at;
    }
    free(seen);
    return once;
}

/* How many cases two orders put into the same place; chance expects 1. */
static int fixed_places(const int32_t *a, const int32_t *b, int32_t n)
{
    int32_t i;
    int count = 0;

    for (i = 0; i < n; i++)
        count += a[i] == b[i];
    return count;
}

/* How many cases still stand next to their neighbours; chance expects 2. */
static int neighbours(const int32_t *a, int32_t n)
{
    int32_t i;
    int count = 0;

    for (i = 0; i + 1 < n; i++)
        count += abs(a[i + 1] - a[i]) == 1;
    return count;
}

/* Correlation of place and case, in standard deviations of pure chance. */
static double trend(const int32_t *a, int32_t n)
{
    double middle = (n - 1) / 2.0, spread = 0, sum = 0;
    int32_t i;

    for (i = 0; i < n; i++) {
        spread += (i - middle) * (i - middle);
        sum += (i - middle) * (a[i] - middle);
    }
    return fabs(sum) / spread * sqrt(n);
}

static void check_order(int32_t n)
{
    size_t bytes = (size_t)n * sizeof(int32_t);
    int32_t *first = (int32_t *)malloc(bytes);
    int32_t *order = (int32_t *)malloc(bytes);
    uint64_t key;
    int holds = first && order && shuffle(first, (uint32_t)n, moei_mix(0));

    CHECK_THAT(holds, "n = %d", (int)n);
    for (key = 1; holds && key < 8; key++) {
        CHECK_THAT(shuffle(order, (uint32_t)n, moei_mix(key)), "n = %d",
                   (int)n);
        if (n < 100)
            continue;
        CHECK(fixed_places(first, order, n) < 12);
        CHECK(neighbours(order, n) < 20);
        CHECK(trend(order, n) < 5);
    }
    free(first);
    free(order);
}

/* Over many keys every case comes to every place about equally often. */
static void check_fairness(uint32_t n)
{
    const uint32_t tries = 20000;
    const double mean = (double)tries / n;
    int count[16 * 16], worst = 0;
    uint32_t i, key;

    memset(count, 0, sizeof count);
    for (key = 0; key < tries; key++)
        for (i = 0; i < n; i++)
            count[i * n + moei_shuffled(i, n, moei_mix(key))]++;
    for (i = 0; i < n * n; i++)
        worst = abs(count[i] - (int)mean) > worst
              ? abs(count[i] - (int)mean) : worst;
    CHECK_THAT(worst < 5 * sqrt(mean), "n = %u: %d, by chance some %.0f",
               (unsigned)n, worst, sqrt(mean));
}

static void check_orders(void)
{
    static const int32_t sizes[] = {1, 2, 3, 5, 16, 17, 100, 1000, 65537};
    size_t k;

    for (k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        check_order(sizes[k]);
    check_fairness(2);
    check_fairness(3);
    check_fairness(5);
    check_fairness(16);
}

int main(void)
{
    int passed;

    if (getenv("MOE_LONG"))
        sweep_all();
    RUN(check_width());
    RUN(check_uniform());
    RUN(check_orders());
    check_failed += numbers_double(&passed);
    check_passed += passed;
    return check_done();
}

#endif
