/* times.c - what sizes.sh puts behind a file of export_c and a type, number:
   TIMES cases by it, and how deep the stack has been. */
void target_put(int c);
enum { DEEP = 4000, PAINT = 0xa5 };
#include "stack.h"

static __attribute__((noinline)) void work(void)
{
    static number x[NET_INPUTS], y[NET_OUTPUTS];
    int i;

    for (i = 0; i < NET_INPUTS; i++)
        x[i] = (number)(i % 3 * 10 - 5);
    for (i = 0; i < TIMES; i++) {
        x[0] = (number)i;
        net_predict(x, y);
    }
}

int main(void)
{
    stack(1);
    work();
    put_number((unsigned long)stack(0));
    target_put('\n');
    return 0;
}
