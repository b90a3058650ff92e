/* stack.h - how deep the stack has been, by painting it.  Include it behind
   DEEP, PAINT and target_put. */
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
