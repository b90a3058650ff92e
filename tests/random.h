/* random.h - the random numbers of the tests, one generator for all: the high
   bits of a linear congruential one (Knuth's MMIX).  Set random_state to begin
   again. */
#ifndef RANDOM_H
#define RANDOM_H

#include <math.h>
#include <stdint.h>

static uint64_t random_state = 1991;

/* 53 bits. */
static inline uint64_t random_bits(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 11;
}

/* 64 bits: the high halves of two. */
static inline uint64_t random_word(void)
{
    uint64_t high = random_bits() >> 21;

    return high << 32 | random_bits() >> 21;
}

/* In [-1, 1). */
static inline double uniform(void)
{
    return (double)random_bits() / 4503599627370496.0 - 1;
}

/* 0 .. count-1 */
static inline int pick(int count)
{
    return (int)((random_bits() >> 20) % (uint64_t)count);
}

/* A number with few bits: sums of products of such have no rounding, so that
   equal logits are equal everywhere, and there are many. */
static inline double coarse(void)
{
    return floor(4 * uniform()) / 4;
}

#endif
