/* steps.c [SIMD] - the manual's two linear experts predict |x| of one case, for
   a debugger to step through: see test_steps.sh.  SIMD: bits of the vectors. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdlib.h>

static const moe_real weights[] = {0, 0, 1, -1, 0, 0, 3, -3, 0, 0, 0, 1, 0, 1};

int main(int count, char **arguments)
{
    static moe_real memory[64];
    moe_real x = 2, y = 0;
    moe_config config = {0};
    moe m;

    config.inputs = config.outputs = config.block = 1;
    config.experts = 2;
    config.simd = count > 1 ? atoi(arguments[1]) : 0;
    if (moe_attach(&m, &config, weights, memory, sizeof memory) != MOE_OK)
        return 2;
    moe_predict(&m, &x, 1, &y);
    return !(y > (moe_real)1.9 && y < (moe_real)2.1);
}
