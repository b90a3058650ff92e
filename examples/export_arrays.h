/* export_arrays.h - a model as const arrays for a program with moe.h in it: the
   weights and the configuration.  There

     #define MOE_STATIC
     #define MOE_PREDICT_ONLY
     #define MOE_IMPLEMENTATION
     #include "moe.h"
     #include "net.c"

     static float memory[NET_BYTES / sizeof(float)];
     ...
     moe_attach(&m, &net_config, net_weights, memory, sizeof memory);

   and nothing that reads or writes files is left in the program. */

/* A number from 1 on, or 0: it is none. */
static int block_of_word(const char *word)
{
    const size_t length = strlen(word);

    return strspn(word, "0123456789") == length && length < 6 ? atoi(word) : 0;
}

/* A list of columns, which consists of digits, commas and hyphens. */
static void print_columns(const char *columns)
{
    if (columns == NULL)
        printf("NULL, ");
    else
        printf("\"%s\", ", columns);
}

/* Every field in its order, so that C and C++ take it. */
static void print_config(const moe_config *c)
{
    static const char *const activation[] = {"RELU", "TANH", "LOGISTIC", "ELU",
                                             "SILU"};
    static const char *const output[] = {"LINEAR", "LOGISTIC", "SOFTMAX",
                                         "BERNOULLI"};
    static const char *const loss[] = {"MIXTURE", "EXPECTED", "BLEND"};
    const int *h = c->hidden, *g = c->gate_hidden;

    put("static const moe_config @_config = {\n");
    printf("    %d, %d, %d,     /* inputs, outputs, experts */\n",
           c->inputs, c->outputs, c->experts);
    printf("    %d, %.8ef,     /* top_k, top_p */\n", c->top_k,
           (double)c->top_p);
    printf("    {%d, %d, %d, %d}, {%d, %d, %d, %d},     /* hidden */\n",
           h[0], h[1], h[2], h[3], g[0], g[1], g[2], g[3]);
    printf("    {%d, %d}, {%d, %d},     /* columns of x */\n",
           c->expert_inputs.first, c->expert_inputs.count, c->gate_inputs.first,
           c->gate_inputs.count);
    printf("    ");
    print_columns(c->expert_columns);
    print_columns(c->gate_columns);
    printf("    /* listed columns */\n");
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
    config.mode = MOE_MODE_PREDICT;     /* what is frozen needs no memory */
    config.frozen = config.gate_frozen = 0;
    config.frozen_experts = 0;
    if (block == 0 || moe_work_bytes(&config) == 0)
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
