/* main.c - predicts without a floating-point number, in 16 bits
     make && make run          on qemu's Cortex-M0 board; make host: here

   export_c --int8 wrote net.c from a model file: its first lines say what flash
   and RAM it takes, how far it is from the model, and what x and y stand for.
   Every processor gives the same numbers. */
#include "net.c"
#include "../board.h"

enum { STEPS = 8 };

int main(void)
{
    int16_t x[NET_INPUTS], y[NET_OUTPUTS];
    const int wrong = net_check();
    int i;

    (void)print_millionths;             /* it is for floats */
    for (i = 0; i < STEPS; i++) {       /* the gas rises, the heat falls */
        x[0] = (int16_t)(4000 * i - 14000);
        x[1] = (int16_t)(7000 - 2000 * i);
        net_predict(x, y);
        print("gas ");
        print_number(y[0]);
        print("\n");
    }
    print(wrong ? "test vectors are wrong\n" : "all test vectors are right\n");
    return wrong;
}
