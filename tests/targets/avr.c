/* avr.c - target_put by the serial port of an ATmega1284P.  The simulator
   ends where the processor sleeps with interrupts off; avr-libc does that
   after main. */
#include <avr/io.h>
#include <avr/interrupt.h>
#include <avr/sleep.h>

void target_put(int c);

void target_put(int c)
{
    UCSR0B = 1 << TXEN0;
    while (!(UCSR0A & 1 << UDRE0))
        ;
    UDR0 = (unsigned char)c;
}

__attribute__((destructor, used)) static void rest(void)
{
    while (!(UCSR0A & 1 << UDRE0))
        ;
    cli();
    sleep_enable();
    sleep_cpu();
}
