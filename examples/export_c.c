/* export_c.c - a model file as C, for a device without files.

     cc -O2 examples/export_c.c -o export_c
     ./export_c model.safetensors net > net.c
     ./export_c --code model.safetensors net > net.c
     ./export_c --int8 --calibrate inputs.csv model.safetensors net > net.c

   The first is for a program with moe.h in it: the weights as a const array,
   the configuration, and how many bytes of memory they need.  There

     #define MOE_STATIC
     #define MOE_PREDICT_ONLY
     #define MOE_IMPLEMENTATION
     #include "moe.h"
     #include "net.c"

     static float memory[NET_BYTES / sizeof(float)];
     ...
     moe_attach(&m, &net_config, net_weights, memory, sizeof memory);

   and nothing that reads or writes files is left in the program.  The device
   works on one case at a time; give another block as a third word.

   The others need no library: a program compiles net.c and calls net_predict.
   --code is the model in floats, in loops of constant sizes.  --int8 is for a
   processor without floats: weights of 8 bits, activations of 16, sums of 32.
   It must know how large the numbers get, and reads typical inputs from a CSV:
   a row for each case, a number for each input, in the units of training; the
   first row may be a heading, and further columns are not read.

   Public domain or MIT, as you choose. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "export.h"
#include "export_code.h"
#include "export_int8.h"
#include "export_int8_text.h"

/* Every field in its order, so that C and C++ take it. */
static void print_config(const moe_config *c)
{
    static const char *const activation[] = {"RELU", "TANH", "LOGISTIC", "ELU",
                                             "SILU"};
    static const char *const output[] = {"LINEAR", "LOGISTIC", "SOFTMAX"};
    static const char *const loss[] = {"MIXTURE", "EXPECTED", "BLEND"};
    const int *h = c->hidden, *g = c->gate_hidden;

    put("static const moe_config @_config = {\n");
    printf("    %d, %d, %d, %d,     /* inputs, outputs, experts, top_k */\n",
           c->inputs, c->outputs, c->experts, c->top_k);
    printf("    {%d, %d, %d, %d}, {%d, %d, %d, %d},     /* hidden */\n",
           h[0], h[1], h[2], h[3], g[0], g[1], g[2], g[3]);
    printf("    {%d, %d}, {%d, %d},     /* columns of x */\n",
           c->expert_inputs.first, c->expert_inputs.count, c->gate_inputs.first,
           c->gate_inputs.count);
    printf("    NULL, NULL,     /* listed columns */\n");
    printf("    MOE_ACT_%s, MOE_OUT_%s, MOE_LOSS_%s,\n",
           activation[c->activation], output[c->output], loss[c->loss]);
    printf("    %.8ef, %.8ef,     /* sigma, balance_loss */\n",
           (double)c->sigma, (double)c->balance_loss);
    printf("    %s, %s,\n", c->blend ? "MOE_BLEND_WEIGHTS"
           : "MOE_BLEND_OUTPUTS", c->gate ? "MOE_GATE_NONE"
           : "MOE_GATE_SOFTMAX");
    printf("    %d, 0, MOE_MODE_PREDICT, 0, 0, 0, 0     /* block ... seed */\n",
           c->block);
    printf("};\n");
}

/* The weights and the configuration, for a program with moe.h in it. */
static const char *export_arrays(const moe *m, int block)
{
    moe_config config = m->config;

    config.block = block;
    config.simd = 0;
    if (moe_work_bytes(&config) == 0)
        return "block must be 1..32767";
    printf("/* Written by export_c.c of moe.h from a model file. */\n");
    put("#define $_BYTES %lu      /* for moe_attach, aligned as a float is */"
        "\n\n", (unsigned long)moe_work_bytes(&config));
    put("static const float @_weights[%lu] = {\n    ",
        (unsigned long)m->param_count);
    put_floats(m->params, m->param_count);
    printf("\n};\n\n");
    print_config(&config);
    return NULL;
}

/* The words of the command line. */
typedef struct command {
    int code, int8, block;
    const char *calibrate, *model, *name;
} command;

static int usage(void)
{
    fprintf(stderr, "usage: export_c model name [block] > name.c\n"
            "       export_c --code model name > name.c\n"
            "       export_c --int8 --calibrate inputs.csv model name "
            "> name.c\n");
    return 2;
}

static int refused(const char *what, const char *why)
{
    fprintf(stderr, "export_c: %s: %s\n", what, why);
    return 1;
}

/* 0: these are not words of the usage. */
static int read_command(int count, char **word, command *c)
{
    int i;

    memset(c, 0, sizeof *c);
    for (i = 1; i < count && strncmp(word[i], "--", 2) == 0; i++)
        if (strcmp(word[i], "--code") == 0)
            c->code = 1;
        else if (strcmp(word[i], "--int8") == 0)
            c->int8 = 1;
        else if (strcmp(word[i], "--calibrate") == 0 && i + 1 < count)
            c->calibrate = word[++i];
        else
            return 0;
    if (i + 2 > count || c->code + c->int8 > 1)
        return 0;
    c->model = word[i];
    c->name = word[i + 1];
    c->block = i + 2 < count ? atoi(word[i + 2]) : 1;
    return i + 2 + (!c->code && !c->int8) >= count;
}

int main(int count, char **word)
{
    command c;
    const char *fault, *about;
    moe m;

    if (!read_command(count, word, &c))
        return usage();
    if ((fault = name_fault(c.name)) != NULL)
        return refused(c.name, fault);
    if (c.int8 && c.calibrate == NULL)
        return refused(c.model, "--int8 needs --calibrate inputs.csv, typical "
                       "inputs that show how large the numbers get");
    if (c.calibrate != NULL && !c.int8)
        return refused(c.calibrate, "--calibrate goes with --int8");
    if (moe_load(&m, c.model, NULL) != MOE_OK)
        return refused(c.model, m.error);
    set_name(c.name);
    about = c.model;
    fault = c.code ? export_code(&m)
          : c.int8 ? export_int8(&m, c.calibrate, &about)
          : export_arrays(&m, c.block);
    moe_close(&m);
    if (fault != NULL)
        return refused(about, fault);
    return fflush(stdout) != 0 || ferror(stdout)
         ? refused("stdout", "cannot be written") : 0;
}
