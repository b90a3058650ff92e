/* part_kernels_double.c - test_kernels.c once more, in double. */
#define KERNELS_DOUBLE
#define KERNELS_COPY kernels_double
#include "test_kernels.c"
