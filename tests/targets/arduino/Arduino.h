/* Arduino.h - as much of the Arduino's library as the sketches use: readings
   are made up, what is printed goes to target_put. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <math.h>
#include <stdint.h>

extern "C" void target_put(int c);

enum { A0, A1 };

/* A0 goes up and down again in steps; A1 is what a better sensor shows. */
static inline int analogRead(uint8_t pin)
{
    static int now = 0;
    int off;

    now = pin == A0 ? (now + 37) % 1024 : now;
    off = now - 512;
    return pin == A0 ? now : 512 + (off < 0 ? -off : off / 2);
}

static inline void delay(unsigned long) {}

struct Printer {
    void begin(long) {}

    void println(const char *text)
    {
        while (*text)
            target_put(*text++);
        target_put('\n');
    }

    void println(double x, int digits)
    {
        long scale = 1, n;

        while (digits-- > 0)
            scale *= 10;
        n = (long)(x * (double)scale + (x < 0 ? -0.5 : 0.5));
        if (n < 0)
            target_put('-');
        n = n < 0 ? -n : n;
        for (; scale > 0; scale /= 10) {
            target_put('0' + (int)(n / scale % 10));
            if (scale > 1 && !dotted)
                target_put('.');
            dotted = true;
        }
        dotted = false;
        target_put('\n');
    }

    bool dotted = false;
};

static Printer Serial;

void setup();
void loop();

#endif
