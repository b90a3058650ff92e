/* export_code.c - code of export_c --code beside moe.h: how far they are apart,
   relative to the largest output.  NET is the file; moe.h is
   linked to it.
     export_code model inputs.csv */
#include "../moe.h"
#include NET

#include <stdio.h>
#include <stdlib.h>

static double magnitude(double v)
{
    return v < 0 ? -v : v;
}

int main(int count, char **word)
{
    float x[NET_INPUTS], due[NET_OUTPUTS], y[NET_OUTPUTS];
    double apart = 0, largest = 0, v;
    int i, n = 0;
    FILE *from = count == 3 ? fopen(word[2], "r") : NULL;
    moe m;

    if (from == NULL || moe_load(&m, word[1], NULL) != MOE_OK)
        return 1;
    for (;; n++) {
        for (i = 0; i < NET_INPUTS && fscanf(from, "%f,", x + i) == 1; i++)
            continue;
        if (i < NET_INPUTS)
            break;
        moe_predict(&m, x, 1, due);
        net_predict(x, y);
        for (i = 0; i < NET_OUTPUTS; i++) {
            v = magnitude((double)y[i] - (double)due[i]);
            apart = v > apart ? v : apart;
            v = magnitude((double)due[i]);
            largest = v > largest ? v : largest;
        }
    }
    printf("%d cases, apart by %.2g of %.2g\n", n, apart, largest);
    moe_close(&m);
    return fclose(from) != 0 || n != 400 || !(apart <= 1e-6 * largest);
}
