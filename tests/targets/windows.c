/* windows.c - what targets/target.c needs to run on Windows without a C
   library: target_put by the console, an entry point, and the three symbols
   that Microsoft's compiler and clang's like it call by themselves. */
#include <stddef.h>

__declspec(dllimport) void *__stdcall GetStdHandle(unsigned long which);
__declspec(dllimport) int __stdcall WriteFile(void *file, const void *bytes,
                                              unsigned long count,
                                              unsigned long *written, void *at);
__declspec(dllimport) void __stdcall ExitProcess(unsigned status);

int main(void);
void target_put(int c);
void start(void);
void *memset(void *to, int byte, size_t count);
void *memcpy(void *to, const void *from, size_t count);

int _fltused = 1;

void target_put(int c)
{
    char byte = (char)c;
    unsigned long written;

    WriteFile(GetStdHandle((unsigned long)-11), &byte, 1, &written, NULL);
}

/* volatile, or the compiler sees memset and calls it. */
void *memset(void *to, int byte, size_t count)
{
    volatile unsigned char *at = (volatile unsigned char *)to;

    while (count-- > 0)
        *at++ = (unsigned char)byte;
    return to;
}

void *memcpy(void *to, const void *from, size_t count)
{
    volatile unsigned char *at = (volatile unsigned char *)to;
    const unsigned char *source = (const unsigned char *)from;

    while (count-- > 0)
        *at++ = *source++;
    return to;
}

void start(void)
{
    ExitProcess((unsigned)main());
}
