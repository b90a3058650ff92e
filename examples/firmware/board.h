/* board.h - text, the only thing these programs want from a board.  The
   numbers are printed as whole millionths: printf would bring double. */
#ifdef TARGET_BARE
void target_put(int c);
#else
#include <stdio.h>
static void target_put(int c) { putchar(c); }
#endif

static void print(const char *text)
{
    while (*text)
        target_put(*text++);
}

static void print_number(long n)
{
    if (n < 0)
        target_put('-');
    n = n < 0 ? -n : n;
    if (n > 9)
        print_number(n / 10);
    target_put('0' + (int)(n % 10));
}

static void print_millionths(float x)
{
    print_number((long)(x * 1000000 + (x < 0 ? -0.5f : 0.5f)));
}
