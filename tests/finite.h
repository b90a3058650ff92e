/* finite.h - numbers that are not finite, made and told by their bits, so that
   the tests mean the same under -ffast-math.  Include it after moe.h. */
#ifndef FINITE_H
#define FINITE_H

#include <string.h>

/* All ones in the exponent; the compiler must not know the number. */
static volatile uint32_t finite_h_exponent = 0x7f800000;

static inline moe_real make_infinity(void)
{
    uint32_t bits = finite_h_exponent;
    float a;

    memcpy(&a, &bits, sizeof a);
    return (moe_real)a;
}

static inline moe_real make_nan(void)
{
    uint32_t bits = finite_h_exponent | 0x400000;
    float a;

    memcpy(&a, &bits, sizeof a);
    return (moe_real)a;
}

/* The upper bits of a number, by way of memory. */
static inline uint32_t upper_bits(moe_real a)
{
    volatile moe_real kept = a;
    moe_real copy = kept;
    uint64_t wide = 0;
    uint32_t bits = 0;

    if (sizeof copy == sizeof bits) {
        memcpy(&bits, &copy, sizeof bits < sizeof copy ? sizeof bits
                                                       : sizeof copy);
    } else {
        memcpy(&wide, &copy, sizeof copy);
        bits = (uint32_t)(wide >> 32);
    }
    return bits;
}

static inline int is_finite(moe_real a)
{
    uint32_t ones = sizeof a == sizeof(float) ? 0x7f800000u : 0x7ff00000u;

    return (upper_bits(a) & ones) != ones;
}

static inline int all_finite(const moe_real *a, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (!is_finite(a[i]))
            return 0;
    return 1;
}

#endif
