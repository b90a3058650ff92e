/* part_widths_float.c - the runs of test_widths.c once more, in float. */
#undef MOE_DOUBLE
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#define WIDTHS_FLOAT
#include "test_widths.c"
