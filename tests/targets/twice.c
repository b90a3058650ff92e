/* twice.c - one of the files of a program that all have the header's code for
   themselves, NAME telling them apart; the last one says what the OTHER is.
   Each includes the header five times. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_STDIO
#include "../../moe.h"
#include "../../moe.h"
#include "../../moe.h"
#include "../../moe.h"
#include "../../moe.h"

int NAME(void);

/* Whether |x| is what two lines of weights make it. */
int NAME(void)
{
    static const moe_real weights[] = {0, 0, -1, 1, 0, 0, -9, 9, 0, 0, 0, 1,
                                       0, 1};
    static moe_real memory[256], x[1] = {-2}, y[1];
    moe_config config;
    moe m;

    moei_zero_bytes(&config, sizeof config);
    config.inputs = config.outputs = 1;
    config.experts = 2;
    config.block = 1;
    if (moe_attach(&m, &config, weights, memory, sizeof memory) != MOE_OK)
        return 0;
    moe_predict(&m, x, 1, y);
    return y[0] > 1.999f && y[0] < 2.001f;
}

#ifdef OTHER
int OTHER(void);

int main(void)
{
    return !NAME() || !OTHER();
}
#endif
