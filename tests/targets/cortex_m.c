/* cortex_m.c - what stands between reset and main on a Cortex-M board of
   qemu: vectors, the FPU, .data and .bss; then target_put and main's status,
   which go to the debugger (ARM's semihosting, "bkpt 0xab"). */
#include <stdint.h>

extern uint32_t data_from, data_begin, data_end, bss_begin, bss_end;
extern char stack_top;

int main(void);
void target_put(int c);
void reset(void);

enum { SYS_WRITEC = 0x03, SYS_EXIT_EXTENDED = 0x20 };

static void host(uint32_t call, const void *argument)
{
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void target_put(int c)
{
    char one = (char)c;

    host(SYS_WRITEC, &one);
}

/* The plain SYS_EXIT knows only success and failure. */
static void leave(int status)
{
    uint32_t reason[2] = {0x20026, 0};      /* the application has ended */

    reason[1] = (uint32_t)status;
    for (;;)
        host(SYS_EXIT_EXTENDED, reason);
}

static void fault(void)
{
    leave(99);
}

/* An unaligned word is a fault here, as it is on a Cortex-M0 always, unless
   TARGET_UNALIGNED leaves a Cortex-M4 as it is. */
void reset(void)
{
    uint32_t *to, *from = &data_from;

#ifdef __ARM_FP
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20;     /* CPACR */
    __asm__ volatile("dsb\n\tisb");
#endif
#if __ARM_ARCH > 6 && !defined(TARGET_UNALIGNED)
    *(volatile uint32_t *)0xe000ed14u |= 1u << 3;        /* CCR.UNALIGN_TRP */
#endif
    for (to = &data_begin; to < &data_end;)
        *to++ = *from++;
    for (to = &bss_begin; to < &bss_end;)
        *to++ = 0;
    leave(main());
}

union vector { void (*handler)(void); void *stack; };

__attribute__((section(".vectors"), used))
static const union vector vectors[16] = {
    {.stack = &stack_top}, {reset}, {fault}, {fault}, {fault}, {fault},
    {fault}, {0}, {0}, {0}, {0}, {fault}, {fault}, {0}, {fault}, {fault}
};
