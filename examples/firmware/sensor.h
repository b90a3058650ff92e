/* sensor.h - the cases that predict/ and integer/ train on: a gas sensor's
   reading and the temperature (degrees) in, the concentration out.  Below and
   above its saturation the sensor follows different laws. */
enum { CASES = 600 };
static float x[2 * CASES], d[CASES];

/* What the sensor shows is made up here; yours would come from a log. */
static void make_cases(void)
{
    int n;

    for (n = 0; n < CASES; n++) {
        float gas = (float)(n * 17 % 40) / 40, heat = (float)(n * 7 % 90) - 20;
        float shown = gas < 0.4f ? 2 * gas : 0.8f + 0.15f * (gas - 0.4f);

        x[2 * n] = shown * (1 + 0.004f * (heat - 25));
        x[2 * n + 1] = heat;
        d[n] = gas;
    }
}
