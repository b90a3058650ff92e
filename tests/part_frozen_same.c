/* part_frozen_same.c - the checks of test_frozen.c once more, with
   MOE_SAME_BITS. */
#define MOE_SAME_BITS
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "../moe.h"
#define FROZEN_SAME
#include "test_frozen.c"
