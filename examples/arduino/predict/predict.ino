/* predict.ino - a mixture of two lines on an Arduino, from an Uno on
   Copy moe.h into this folder, beside the sketch, and open it in the IDE.

   What pin A0 shows, as -1 .. 1, goes in, and its distance from the middle
   comes out: one line is right below it, the other above, and the gate tells
   which.  Weights of your own come from moe_train on a larger machine: print
   its m.params.  On AVR boards constant arrays are copied to RAM. */
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#define MOE_PREDICT_ONLY
#define MOE_NO_MALLOC
#define MOE_NO_STDIO
#define MOE_ASSERT(e) ((void)0)
#include "moe.h"

/* biases, weights; the gate's; balance, scale.d, scale.x */
static const float weights[] = {0, 0, -1, 1, 0, 0, -30, 30, 0, 0, 0, 1, 0, 1};
static float memory[MOE_WORK_BYTES(1, 1, 2, 2, 0) / sizeof(float)];
static moe m;

void setup()
{
    moe_config config = {};

    Serial.begin(9600);
    config.inputs = config.outputs = config.block = 1;
    config.experts = 2;
    if (moe_attach(&m, &config, weights, memory, sizeof memory) != MOE_OK)
        Serial.println(m.error);
}

void loop()
{
    float x = (float)(analogRead(A0) - 512) / 512, y = 0;

    moe_predict(&m, &x, 1, &y);
    Serial.println(y, 3);
    delay(100);
}
