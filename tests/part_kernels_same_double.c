/* part_kernels_same_double.c - test_kernels.c once more, with MOE_SAME_BITS in
   double. */
#define KERNELS_SAME_BITS
#define KERNELS_DOUBLE
#define KERNELS_COPY kernels_same_double
#include "test_kernels.c"
