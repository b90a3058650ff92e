/* export_c.c - a model file as C, for a device without files: the weights as
   a const array, the configuration, and how many bytes of memory they need.

     cc -O2 examples/export_c.c -o export_c
     ./export_c model.safetensors net > net.c

   There

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

   Public domain or MIT, as you choose. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define MOE_IMPLEMENTATION
#include "../moe.h"

/* 9 digits tell every float from its neighbours. */
static void print_weights(const moe *m, const char *name)
{
    size_t i;

    printf("static const float %s_weights[%lu] = {", name,
           (unsigned long)m->param_count);
    for (i = 0; i < m->param_count; i++)
        printf("%s%.8ef%s", i % 5 == 0 ? "\n    " : " ", (double)m->params[i],
               i + 1 < m->param_count ? "," : "\n");
    printf("};\n\n");
}

/* Every field in its order, so that C and C++ take it. */
static void print_config(const moe_config *c, const char *name)
{
    static const char *const activation[] = {"RELU", "TANH", "LOGISTIC", "ELU",
                                             "SILU"};
    static const char *const output[] = {"LINEAR", "LOGISTIC", "SOFTMAX"};
    static const char *const loss[] = {"MIXTURE", "EXPECTED", "BLEND"};
    const int *h = c->hidden, *g = c->gate_hidden;

    printf("static const moe_config %s_config = {\n", name);
    printf("    %d, %d, %d, %d,     /* inputs, outputs, experts, top_k */\n",
           c->inputs, c->outputs, c->experts, c->top_k);
    printf("    {%d, %d, %d, %d}, {%d, %d, %d, %d},     /* hidden */\n",
           h[0], h[1], h[2], h[3], g[0], g[1], g[2], g[3]);
    printf("    {%d, %d}, {%d, %d},     /* columns of x */\n",
           c->expert_inputs.first, c->expert_inputs.count, c->gate_inputs.first,
           c->gate_inputs.count);
    printf("    MOE_ACT_%s, MOE_OUT_%s, MOE_LOSS_%s,\n",
           activation[c->activation], output[c->output], loss[c->loss]);
    printf("    %.8ef, %.8ef,     /* sigma, balance_loss */\n",
           (double)c->sigma, (double)c->balance_loss);
    printf("    %d, 0, MOE_MODE_PREDICT, 0     /* block, simd, mode, seed */\n",
           c->block);
    printf("};\n");
}

static void print_size(const moe_config *c, const char *name)
{
    printf("#define ");
    for (; *name != 0; name++)
        putchar(toupper((unsigned char)*name));
    printf("_BYTES %lu      /* for moe_attach, aligned as a float is */\n\n",
           (unsigned long)moe_work_bytes(c));
}

int main(int count, char **word)
{
    moe_config config;
    moe m;

    if (count < 3 || count > 4) {
        fprintf(stderr, "usage: export_c model name [block] > name.c\n");
        return 2;
    }
    if (moe_load(&m, word[1], NULL) != MOE_OK) {
        fprintf(stderr, "%s: %s\n", word[1], m.error);
        return 1;
    }
    config = m.config;
    config.block = count > 3 ? atoi(word[3]) : 1;
    config.simd = 0;
    if (moe_work_bytes(&config) == 0) {
        fprintf(stderr, "block must be 1..%d\n", MOE_MAX_SIZE);
        return 2;
    }
    printf("/* Written by export_c.c of moe.h from a model file. */\n");
    print_size(&config, word[2]);
    print_weights(&m, word[2]);
    print_config(&config, word[2]);
    moe_close(&m);
    return fflush(stdout) != 0;
}
