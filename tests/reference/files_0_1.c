/* files_0_1.c - writes ../files_0_1.h: models and checkpoints that version
   0.1 of moe.h saved, with what it predicted from them.  Build it beside the
   moe.h of that version:

     cc -std=c99 -I FOLDER_OF_0.1 files_0_1.c -o files && ./files >files_0_1.h
*/
#define MOE_IMPLEMENTATION
#include "moe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 24 };

static unsigned number_at(const unsigned char *at)
{
    return at[0] | (unsigned)at[1] << 8 | (unsigned)at[2] << 16
         | (unsigned)at[3] << 24;
}

static void show_numbers(const char *name, const unsigned char *at, size_t n)
{
    size_t i;

    printf("static const uint32_t %s[] = {", name);
    for (i = 0; i < n; i++)
        printf("%s0x%08x,", i % 5 ? " " : "\n    ", number_at(at + 4 * i));
    printf("\n};\n");
}

/* The header as strings of at most 60 characters. */
static void show_header(const char *name, const unsigned char *at, size_t n)
{
    size_t i;

    printf("static const char %s[] =", name);
    for (i = 0; i < n; i++) {
        if (i % 52 == 0)
            printf("%s\n    \"", i ? "\"" : "");
        printf(at[i] == '"' ? "\\\"" : "%c", at[i]);
    }
    printf("\";\n");
}

static void show(const moe *m, moe_use keep, const char *name)
{
    size_t bytes = moe_save_bytes(m, keep);
    unsigned char *file = (unsigned char *)malloc(bytes);
    size_t header = 8;
    char of[80];

    if (file == NULL || moe_save_to(m, keep, file, bytes) != MOE_OK)
        exit(1);
    header += number_at(file);
    sprintf(of, "%s_header", name);
    show_header(of, file + 8, header - 8);
    sprintf(of, "%s_numbers", name);
    show_numbers(of, file + header, (bytes - header) / 4);
    free(file);
}

static void model(const moe_config *config, const char *name)
{
    static float x[CASES * 2], d[CASES], y[4];
    moe_data data;
    moe_training t;
    moe m;
    char of[80];
    int i;

    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    for (i = 0; i < CASES; i++) {
        x[2 * i] = (float)(i % 7) - 3;
        x[2 * i + 1] = (float)(i % 5) - 2;
        d[i] = x[2 * i] > 0 ? x[2 * i + 1] : -x[2 * i + 1];
    }
    data.n = CASES;
    data.x = x;
    data.d = d;
    t.epochs = 3;
    if (moe_open(&m, config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &t, NULL) != MOE_OK)
        exit(1);
    moe_predict(&m, x, 4, y);
    printf("\n");
    sprintf(of, "%s_weights", name);
    show(&m, MOE_USE_PREDICT, of);
    sprintf(of, "%s_checkpoint", name);
    show(&m, MOE_USE_TRAIN, of);
    printf("static const float %s_predicts[] = {\n    %.9gf, %.9gf, %.9gf, "
           "%.9gf\n};\n", name, (double)y[0], (double)y[1], (double)y[2],
           (double)y[3]);
    moe_close(&m);
}

int main(void)
{
    moe_config c;

    printf("/* files_0_1.h - written by reference/files_0_1.c and moe.h 0.1:"
           "\n   headers and numbers of files, and what their models predict"
           "\n   for the cases (-3,-2), (-2,-1), (-1,0), (0,1). */\n"
           "#include <stdint.h>\n");
    memset(&c, 0, sizeof c);
    c.inputs = 2;
    c.outputs = 1;
    c.experts = 2;
    c.seed = 7;
    c.rows = 12345;
    model(&c, "dense");
    c.experts = 3;
    c.top_k = 2;
    c.hidden[0] = 2;
    c.gate_hidden[0] = 2;
    c.activation = MOE_ACT_TANH;
    c.rows = 5;
    model(&c, "sparse");
    return 0;
}
