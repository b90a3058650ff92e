/* export_scales.c - net0.c of test_export.sh without floats: readings are whole
   256ths of the model's units, and so are answers; beside net0_predict_float.
   With INTEGERS only the part that a device would have. */
#include <stdint.h>
#include "net0.c"

/* Products of 256ths are 65536ths; steps are small. */
#define FIXED(shift, scale) {(int32_t)(256 * shift), (int32_t)(256 * scale)},
#define FINE(shift, step) {(int32_t)(256 * shift), (int32_t)(16777216 * step)},
static const int32_t to_x[][2] = { NET0_X_SCALES(FIXED) };
static const int32_t of_y[][2] = { NET0_Y_SCALES(FINE) };

void predict(const int32_t *reading, int32_t *answer);

void predict(const int32_t *reading, int32_t *answer)
{
    int16_t x[NET0_INPUTS], y[NET0_OUTPUTS];
    int i;

    for (i = 0; i < NET0_INPUTS; i++)
        x[i] = (int16_t)((int64_t)(reading[i] - to_x[i][0]) * to_x[i][1]
                         / 65536);
    net0_predict(x, y);
    for (i = 0; i < NET0_OUTPUTS; i++)
        answer[i] = of_y[i][0]
                  + (int32_t)((int64_t)of_y[i][1] * y[i] / 65536);
}

#ifndef INTEGERS
#include <stdio.h>

int main(void)
{
    int32_t reading[NET0_INPUTS], answer[NET0_OUTPUTS];
    float x[NET0_INPUTS], y[NET0_OUTPUTS], least = 0, most = 0, off = 0, v;
    int n, i;

    for (n = 0; n < 200; n++) {
        for (i = 0; i < NET0_INPUTS; i++) {
            reading[i] = (n * 37 + i * 101) % 5120 - 1792;
            x[i] = (float)reading[i] / 256;
        }
        net0_predict_float(x, y);
        predict(reading, answer);
        for (i = 0; i < NET0_OUTPUTS; i++) {
            v = y[i] - (float)answer[i] / 256;
            v = v < 0 ? -v : v;
            off = v > off ? v : off;
            least = y[i] < least ? y[i] : least;
            most = y[i] > most ? y[i] : most;
        }
    }
    printf("answers of %g to %g, off by %g\n", (double)least, (double)most,
           (double)off);
    return !(most - least > 10 && off < (most - least) / 500);
}
#endif
