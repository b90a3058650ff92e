/* moe.c - moe.h by itself, for the test programs that link with it. */
#include "hooks.h"
#define MOE_IMPLEMENTATION
#include "../moe.h"
