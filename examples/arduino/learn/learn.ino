/* learn.ino - a mixture that learns on the board, for a Mega or a 32-bit board
   Copy moe.h into this folder, beside the sketch, and open it in the IDE.

   From a sensor at pin A0 the board learns what a better one shows at A1,
   reading by reading; it prints how far off it is.  Without the better one it
   may then predict. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)0)
#include "moe.h"

static float memory[MOE_LEARN_BYTES(1, 1, 2, 2, 0) / sizeof(float)];
static moe m;

static float reading(int pin)
{
    return (float)(analogRead((uint8_t)pin) - 512) / 512;
}

void setup()
{
    moe_config config = {};

    Serial.begin(9600);
    config.inputs = config.outputs = config.block = 1;
    config.experts = 2;
    config.sigma = 0.2f;
    config.mode = MOE_MODE_LEARN;
    if (moe_open(&m, &config, memory, sizeof memory) != MOE_OK)
        Serial.println(m.error);
}

void loop()
{
    moe_training how = {};
    moe_data one = {};
    float error = 0;
    int i;

    how.rate = 0.01f;
    one.n = 1;
    for (i = 0; i < 200; i++) {
        float x = reading(A0), d = reading(A1), y = 0;

        moe_predict(&m, &x, 1, &y);
        error += (y - d) * (y - d) / 200;
        one.x = &x;
        one.d = &d;
        moe_learn(&m, &one, &how);
    }
    Serial.println(error, 5);
}
