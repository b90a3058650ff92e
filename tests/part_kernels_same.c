/* part_kernels_same.c - test_kernels.c once more, with MOE_SAME_BITS. */
#define KERNELS_SAME_BITS
#define KERNELS_COPY kernels_same
#include "test_kernels.c"
