/* classes.c - three classes, of which one is rare
     cc -O2 examples/classes.c -o classes && ./classes

   Labels go in, probabilities come out: softmax experts.  Class 2 hides among
   class 0, in one case of eighty, so that "never 2" is nearly always right, and
   is what is learnt.  data.weights makes the classes count alike: class 2 is
   found, for the price of false alarms.  Made-up data, in a second. */
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include <stdio.h>
#include <stdlib.h>

enum { CASES = 2000, CLASSES = 3 };
static float x[2 * CASES][2], weights[CASES], y[CASES][CLASSES];
static int labels[2 * CASES];

static float uniform(void)
{
    static unsigned state = 1;

    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608 - 1;           /* in [-1,1) */
}

/* 0 or 1 as the signs of two measurements are alike or not; 2 in some cases of
   a corner. */
static void get_cases(void)
{
    int n;

    for (n = 0; n < 2 * CASES; n++) {
        x[n][0] = uniform();
        x[n][1] = uniform();
        labels[n] = x[n][0] * x[n][1] < 0;
        if (x[n][0] > 0.6f && x[n][1] > 0.6f && uniform() < -0.4f)
            labels[n] = 2;
    }
}

/* Each class's weights have the same sum, and their mean is 1. */
static void weigh_classes(void)
{
    int n, count[CLASSES] = {0, 0, 0};

    for (n = 0; n < CASES; n++)
        count[labels[n]]++;
    for (n = 0; n < CASES; n++)
        weights[n] = (float)CASES / (float)(CLASSES * count[labels[n]]);
}

static void learn(const char *title, const float *case_weights)
{
    moe_config config = {.inputs = 2, .outputs = CLASSES, .experts = 4,
                         .output = MOE_OUT_SOFTMAX};
    moe_data data = {.n = CASES, .x = x[0], .labels = labels,
                     .weights = case_weights};
    int table[CLASSES][CLASSES] = {{0}}, n, k, most;
    moe m;

    if (moe_open(&m, &config, NULL, 0) != MOE_OK
        || moe_train(&m, &data, NULL, NULL, NULL) != MOE_OK) {
        printf("%s\n", m.error);
        exit(1);
    }
    moe_predict(&m, x[CASES], CASES, y[0]);             /* cases of a test */
    for (n = 0; n < CASES; n++) {
        for (most = 0, k = 1; k < CLASSES; k++)
            most = y[n][k] > y[n][most] ? k : most;
        table[labels[CASES + n]][most]++;
    }
    printf("%s: called    0     1     2   right\n", title);
    for (k = 0; k < CLASSES; k++)
        printf("     class %d  %8d %5d %5d   %3d %%\n", k, table[k][0],
               table[k][1], table[k][2], 100 * table[k][k]
               / (table[k][0] + table[k][1] + table[k][2]));
    moe_close(&m);
}

int main(void)
{
    get_cases();
    weigh_classes();
    learn("all alike", NULL);
    learn("weighed  ", weights);
    return 0;
}
