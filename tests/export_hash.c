/* export_hash.c - the integer models of test_export.sh on random inputs, the
   largest and the smallest among them: a hash of the first 10,000 outputs, one
   of 100,000 (not with TENTH), which are the same everywhere, and how many test
   vectors are wrong.  MODELS are included here, so that nothing is lost between
   files. */
#include <stdint.h>
#include "net0.c"
#include "net1.c"
#include "net2.c"
#include "net3.c"
#include "net4.c"
#include "net5.c"
#include "net6.c"
#include "net9.c"

#ifdef TARGET_BARE
void target_put(int c);
#else
#include <stdio.h>
static void target_put(int c) { putchar(c); }
#endif

#ifdef TENTH
enum { ROUNDS = 400 };
#else
enum { ROUNDS = 4000 };
#endif
typedef void predict(const int16_t *x, int16_t *y);

static uint32_t hash = 2166136261u, state = 1991;
static int16_t x[16], y[8];

static void put_hex(uint32_t n)
{
    int i;

    for (i = 28; i >= 0; i -= 4)
        target_put("0123456789abcdef"[n >> i & 15]);
    target_put('\n');
}

/* Every fourth number is the largest or the smallest there is. */
static void go(predict *f, int inputs, int outputs)
{
    int i;

    for (i = 0; i < inputs; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (int16_t)((int32_t)(state >> 16) - 32768);
        if ((state >> 8 & 3) == 0)
            x[i] = x[i] < 0 ? -32767 - 1 : 32767;
    }
    f(x, y);
    for (i = 0; i < outputs; i++)
        hash = ((hash ^ ((uint32_t)y[i] & 255)) * 16777619u
                ^ ((uint32_t)y[i] >> 8 & 255)) * 16777619u;
}

int main(void)
{
    int n, wrong = net0_check() + net1_check() + net2_check() + net3_check()
                 + net4_check() + net5_check() + net6_check() + net9_check();

    for (n = 0; n < ROUNDS; n++) {
        go(net0_predict, NET0_INPUTS, NET0_OUTPUTS);
        go(net1_predict, NET1_INPUTS, NET1_OUTPUTS);
        go(net2_predict, NET2_INPUTS, NET2_OUTPUTS);
        go(net3_predict, NET3_INPUTS, NET3_OUTPUTS);
        go(net4_predict, NET4_INPUTS, NET4_OUTPUTS);
        go(net5_predict, NET5_INPUTS, NET5_OUTPUTS);
        go(net6_predict, NET6_INPUTS, NET6_OUTPUTS);
        go(net9_predict, NET9_INPUTS, NET9_OUTPUTS);
        if (n == 399 || n == ROUNDS - 1)
            put_hex(hash);
    }
    put_hex((uint32_t)wrong);
    return wrong != 0;
}
