/* times.c - what sizes.sh puts behind a file of export_c and a type, number:
   TIMES cases by it, and how deep the stack has been. */
void target_put(int c);
enum { DEEP = 4000, PAINT = 0xa5 };

static void put_number(unsigned long n)
{
    if (n > 9)
        put_number(n / 10);
    target_put('0' + (int)(n % 10));
}

/* Both have the same frame, so that what one paints the other finds, but for
   what was overwritten between. */
static __attribute__((noinline)) int stack(int paint)
{
    volatile unsigned char room[DEEP];
    int i = 0;

    if (paint)
        for (i = 0; i < DEEP; i++)
            room[i] = PAINT;
    else
        while (i < DEEP && room[i] == PAINT)
            i++;
    return DEEP - i;
}

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
