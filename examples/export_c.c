/* export_c.c - a model file as C, for a device without files
     cc -O2 examples/export_c.c -o export_c
     ./export_c model.safetensors net > net.c
     ./export_c --code model.safetensors net > net.c
     ./export_c --int8 --calibrate inputs.csv model.safetensors net > net.c

   The first is for a program with moe.h in it: the weights as a const array,
   the configuration, and how many bytes of memory they need for one case at a
   time, or for a block of 1..32767, which is a third word; see export_arrays.h.

   The others need no library: a program compiles net.c and calls net_predict.
   --code is the model in floats, in loops of constant sizes.  --int8 is for a
   processor without floats: weights of 8 bits, activations of 16, sums of 32.
   It must know how large the numbers get, and reads typical inputs from a CSV:
   a row for each case, a number for each input, in the units of training; what
   follows in a row is not read, nor is a first line that begins with no number.
   NET_X_SCALES, NET_Y_SCALES lead from these to whole numbers and back. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define MOE_IMPLEMENTATION
#include "../moe.h"
#include "export.h"
#include "export_arrays.h"
#include "export_code.h"
#include "export_int8.h"
#include "export_int8_text.h"

/* The words of the command line. */
typedef struct command {
    int code, int8;
    const char *calibrate, *model, *name, *block;
} command;

static int usage(void)
{
    fprintf(stderr, "usage: export_c [--code | --int8 --calibrate inputs.csv] "
            "model name [block] > name.c\n");
    return 2;
}

static int refused(const char *what, const char *why)
{
    fprintf(stderr, "export_c: %s: %s\n", what, why);
    return 1;
}

/* 0: not as the usage says. */
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
    c->block = i + 2 < count ? word[i + 2] : "1";
    return i + 2 + (!c->code && !c->int8) >= count;
}

/* Outputs of Bernoulli are logistic ones that learn otherwise. */
static void forget_loss(moe_config *c)
{
    if (c->output == MOE_OUT_BERNOULLI)
        c->output = MOE_OUT_LOGISTIC;
}

int main(int count, char **word)
{
    const char *fault, *about;
    command c;
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
    if (c.code + c.int8 > 0 && (fault = code_fault(&m.config)) != NULL)
        return refused(c.model, fault);
    if (c.code + c.int8 > 0)
        forget_loss(&m.config);
    set_name(c.name);
    about = c.model;
    fault = c.code ? export_code(&m)
          : c.int8 ? export_int8(&m, c.calibrate, &about)
          : export_arrays(&m, block_of_word(c.block));
    moe_close(&m);
    if (fault != NULL)
        return refused(about, fault);
    return fflush(stdout) != 0 || ferror(stdout)
         ? refused("stdout", "cannot be written") : 0;
}
