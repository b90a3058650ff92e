/* part_numbers_double.c - the accuracy tests of test_numbers.c once more, in
   double. */
#define NUMBERS_DOUBLE
#include "test_numbers.c"
