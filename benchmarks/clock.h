/* clock.h - the time, and samples of it in order.  Include it before others: it
   asks for POSIX's clock. */
#ifndef CLOCK_H
#define CLOCK_H
#define _POSIX_C_SOURCE 200112L
#include <stdlib.h>
#include <time.h>

static inline double nanoseconds_of(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static inline double nanoseconds(void)
{
    return nanoseconds_of(CLOCK_MONOTONIC);
}

static inline int by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;

    return (p > q) - (p < q);
}

/* The median; sample[0] is then the least. */
static inline double median_of(double *sample, int count)
{
    qsort(sample, (size_t)count, sizeof *sample, by_value);
    return sample[count / 2];
}

#endif
