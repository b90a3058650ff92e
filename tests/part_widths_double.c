/* part_widths_double.c - the runs of test_widths.c once more, in double. */
#define WIDTHS_DOUBLE
#include "test_widths.c"
