/* export_code.h - what export_c --code writes: the model in floats, in loops of
   constant sizes.  Outputs of a layer stand in blocks of 16, 8, 4 and 1, each
   with its biases first, then its weights input by input, so that a block is a
   few sums in registers and one walk through memory; blocks are padded with
   zeros where that is faster than a smaller one.  Two blocks of 16 are worked
   at once where there are vectors: each input is read once for both. */

/* What only programs with moe.h in them can do, or NULL. */
static const char *code_fault(const moe_config *c)
{
    return c->top_p > 0 && c->top_p < 1
            ? "top_p is for programs with moe.h: loops here have constant sizes"
        : c->experts > 1 && c->blend == MOE_BLEND_WEIGHTS
            ? "blended weights are for programs with moe.h"
        : c->experts > 1 && c->gate == MOE_GATE_NONE
            ? "p of the caller's is for programs with moe.h"
        : c->expert_columns != NULL || c->gate_columns != NULL
            ? "listed columns are for programs with moe.h" : NULL;
}

/* The first block of so many outputs. */
static int block_of(int outputs)
{
    return outputs > 12 ? 16 : outputs > 4 ? 8 : outputs > 2 ? 4 : 1;
}

/* The first blocks of so many outputs that are worked at once. */
static int worked_of(int outputs)
{
    return outputs > 28 ? 32 : block_of(outputs);
}

/* How many of these are alike, one behind the other; a loop if it is not 1. */
static int alike_of(int outputs)
{
    const int n = worked_of(outputs);
    int times = 1;

    while (outputs > times * n && worked_of(outputs - times * n) == n)
        times++;
    return times;
}

/* Outputs of a layer with what its blocks are padded with. */
static int padded_outputs(int outputs)
{
    int padded = 0;

    while (padded < outputs)
        padded += block_of(outputs - padded);
    return padded;
}

/* Which of the blocks a model has. */
typedef struct code_parts { int block[33]; } code_parts;

static int code_layers(const moe_config *c, int copy)
{
    return copy < c->experts ? expert_layers(c) : gate_layers(c);
}

static code_parts code_parts_of(const moe_config *c)
{
    code_parts part;
    int e, l, j;

    memset(&part, 0, sizeof part);
    for (e = 0; e <= c->experts; e += c->experts)
        for (l = 0; l < code_layers(c, e); l++) {
            const int out = moe_layer_at(c, e, l).out;

            for (j = 0; j < out; j += worked_of(out - j))
                part.block[worked_of(out - j)] = 1;
        }
    return part;
}

/* ------------------------------------------------------------- the numbers */
/* One layer of one expert or of the gate, block by block. */
static void put_blocks(const moe *m, int copy, int l)
{
    const moe_layer at = moe_layer_at(&m->config, copy, l);
    const float *b = m->params + at.bias, *w = m->params + at.weight;
    size_t n = 0;
    int j, k, i;

    for (j = 0; j < at.out; j += block_of(at.out - j))
        for (i = -1; i < at.in; i++)
            for (k = j; k < j + block_of(at.out - j); k++)
                printf("%s%.8ef", between(n++, 4), k >= at.out ? 0
                       : (double)(i < 0 ? b : w + (size_t)i * (size_t)at.out)
                                 [k]);
}

static void put_code_layer(const moe *m, int gate, int l)
{
    const int E = m->config.experts;
    const moe_layer at = moe_layer_at(&m->config, gate ? E : 0, l);
    int e;

    put("static const float @_%s_%d[%d][%lu] @_aligned = {\n",
        gate ? "gate" : "expert", l, gate ? 1 : E,
        (unsigned long)(at.in + 1) * (unsigned long)padded_outputs(at.out));
    for (e = 0; e < (gate ? 1 : E); e++) {
        printf("    {");
        put_blocks(m, gate ? E : e, l);
        printf("}%s\n", gate || e + 1 == E ? "" : ",");
    }
    printf("};\n\n");
}

static void put_constants(const char *name, const float *value, int count)
{
    put("static const float @_%s[%d] = {\n    ", name, count);
    put_floats(value, (size_t)count);
    printf("\n};\n\n");
}

/* Whether a scale changes anything: shift 0, factor 1 do not. */
static int is_scaled(const float *scale, int count)
{
    int i, scaled = 0;

    for (i = 0; i < count; i++)
        scaled |= scale[i] < 0 || scale[i] > 0
               || scale[count + i] < 1 || scale[count + i] > 1;
    return scaled;
}

static void put_code_numbers(const moe *m)
{
    const moe_config *c = &m->config;
    int l;

    for (l = 0; l < expert_layers(c); l++)
        put_code_layer(m, 0, l);
    for (l = 0; l < gate_layers(c); l++)
        put_code_layer(m, 1, l);
    if (c->top_k < c->experts)
        put_constants("balance", balance_of(m), c->experts);
    if (is_scaled(scale_x_of(m), c->inputs)) {
        put_constants("x_shift", scale_x_of(m), c->inputs);
        put_constants("x_factor", scale_x_of(m) + c->inputs, c->inputs);
    }
    if (is_scaled(scale_d_of(m), c->outputs)) {
        put_constants("y_shift", scale_d_of(m), c->outputs);
        put_constants("y_factor", scale_d_of(m) + c->outputs, c->outputs);
    }
}

/* ---------------------------------------------------------------- the code */
static void put_code_head(const moe_config *c)
{
    put("/* @.c - a mixture of experts in floats.  export_c.c of moe.h wrote "
        "it.\n\n");
    put_shape(c);
    put("   @_predict(x, y) gives what moe_predict gives for one case, to "
        "rounding.\n"
        "   Compile this file with the others.  They #define $_DECLARE and "
        "include\n"
        "   it too, for its declarations alone. */\n"
        "#ifndef $_DECLARED\n"
        "#define $_DECLARED\n"
        "#ifdef __cplusplus\n"
        "extern \"C\" {\n"
        "#endif\n"
        "enum { $_INPUTS = %d, $_OUTPUTS = %d };\n\n"
        "void @_predict(const float *x, float *y);\n"
        "#ifdef __cplusplus\n"
        "}\n"
        "#endif\n"
        "#endif\n\n"
        "#ifndef $_DECLARE\n"
        "#include <stdint.h>\n\n", c->inputs, c->outputs);
    put("/* Vectors of so many floats, where the compiler has them and $_PLAIN "
        "is not\n"
        "   defined. */\n"
        "#if defined(__GNUC__) && defined(__AVX__) && !defined($_PLAIN)\n"
        "enum { @_lanes = 8 };\n"
        "#elif defined(__GNUC__) && !defined($_PLAIN) && (defined(__SSE__) "
        "\\\n"
        "    || defined(__ARM_NEON) || defined(__wasm_simd128__))\n"
        "enum { @_lanes = 4 };\n"
        "#else\n"
        "enum { @_lanes = 1 };\n"
        "#ifndef $_PLAIN\n"
        "#define $_PLAIN\n"
        "#endif\n"
        "#endif\n"
        "#ifdef $_PLAIN\n"
        "typedef float @_wide, @_four;\n"
        "#define @_aligned\n"
        "#else\n"
        "typedef float @_wide __attribute__((vector_size(4 * @_lanes), "
        "aligned(4),\n"
        "                                    may_alias));\n"
        "typedef float @_four __attribute__((vector_size(16), aligned(4), "
        "may_alias));\n"
        "#define @_aligned __attribute__((aligned(32)))\n"
        "#endif\n"
        "#if defined(__GNUC__) && __GNUC__ >= 8 && !defined(__clang__)\n"
        "#define $_UNROLL _Pragma(\"GCC unroll 16\")\n"
        "#define $_LOOP _Pragma(\"GCC unroll 1\")\n"
        "#else\n"
        "#define $_UNROLL\n"
        "#define $_LOOP\n"
        "#endif\n\n");
}

/* A block of n outputs, in so many partial sums where there are vectors. */
static void put_block(int n, int parts)
{
    const char *vector = n > 4 ? "wide" : "four";

    put("/* y (%d) = b + W x, in partial sums */\n"
        "static inline void @_block_%d(const float *w, const float *x, int in,"
        "\n                             float *y)\n"
        "{\n", n, n);
    if (n > 4)
        put("    enum { lanes = @_lanes, parts = lanes == 1 ? 1 : %d };\n",
            parts);
    else
        put("    enum { lanes = @_lanes == 1 ? 1 : 4, "
            "parts = lanes == 1 ? 1 : %d };\n", parts);
    put("    const @_%s *v = (const @_%s *)(const void *)w;\n"
        "    @_%s sum[parts][%d / lanes], *to = (@_%s *)(void *)y;\n"
        "    int i, p, k;\n\n", vector, vector, vector, n, vector);
    put("    $_UNROLL\n"
        "    for (k = 0; k < %d / lanes; k++) {\n"
        "        sum[0][k] = *v++;\n"
        "        $_UNROLL\n"
        "        for (p = 1; p < parts; p++)\n"
        "            sum[p][k] = sum[0][k] - sum[0][k];\n"
        "    }\n"
        "    for (i = 0; i + parts <= in; i += parts)\n"
        "        $_UNROLL\n"
        "        for (p = 0; p < parts; p++)\n"
        "            $_UNROLL\n"
        "            for (k = 0; k < %d / lanes; k++)\n"
        "                sum[p][k] += x[i + p] * *v++;\n", n, n);
    put("    for (; i < in; i++)\n"
        "        $_UNROLL\n"
        "        for (k = 0; k < %d / lanes; k++)\n"
        "            sum[0][k] += x[i] * *v++;\n"
        "    $_UNROLL\n"
        "    for (k = 0; k < %d / lanes; k++) {\n"
        "        $_UNROLL\n"
        "        for (p = 1; p < parts; p++)\n"
        "            sum[0][k] += sum[p][k];\n"
        "        to[k] = sum[0][k];\n"
        "    }\n"
        "}\n\n", n, n);
}

/* Two of 16.  So many sums fill the registers; were the loop over inputs
   unrolled whole, compilers would keep these there, too. */
static void put_block_32(void)
{
    put("/* the same of two blocks of 16, that stand one behind the other */\n"
        "static inline void @_block_32(const float *w, const float *x, int in,"
        "\n                             float *y)\n"
        "{\n"
        "#ifdef $_PLAIN\n"
        "    @_block_16(w, x, in, y);\n"
        "    @_block_16(w + 16 * (in + 1), x, in, y + 16);\n"
        "#else\n"
        "    enum { lanes = @_lanes, half = 16 / lanes, parts = lanes / 4 };\n"
        "    const @_wide *v = (const @_wide *)(const void *)w;\n"
        "    const @_wide *u = v + half * (in + 1);\n"
        "    @_wide sum[parts][2 * half], *to = (@_wide *)(void *)y;\n"
        "    int i, p, k;\n\n");
    put("    $_UNROLL\n"
        "    for (k = 0; k < half; k++) {\n"
        "        sum[0][k] = *v++;\n"
        "        sum[0][k + half] = *u++;\n"
        "        $_UNROLL\n"
        "        for (p = 1; p < parts; p++)\n"
        "            sum[p][k] = sum[p][k + half] = sum[0][k] - sum[0][k];\n"
        "    }\n"
        "    $_LOOP\n"
        "    for (i = 0; i + parts <= in; i += parts)\n"
        "        $_UNROLL\n"
        "        for (p = 0; p < parts; p++)\n"
        "            $_UNROLL\n"
        "            for (k = 0; k < half; k++) {\n"
        "                sum[p][k] += x[i + p] * *v++;\n"
        "                sum[p][k + half] += x[i + p] * *u++;\n"
        "            }\n");
    put("    for (; i < in; i++)\n"
        "        $_UNROLL\n"
        "        for (k = 0; k < half; k++) {\n"
        "            sum[0][k] += x[i] * *v++;\n"
        "            sum[0][k + half] += x[i] * *u++;\n"
        "        }\n"
        "    $_UNROLL\n"
        "    for (k = 0; k < 2 * half; k++) {\n"
        "        $_UNROLL\n"
        "        for (p = 1; p < parts; p++)\n"
        "            sum[0][k] += sum[p][k];\n"
        "        to[k] = sum[0][k];\n"
        "    }\n"
        "#endif\n"
        "}\n\n");
}

static void put_code_blocks(const code_parts *part)
{
    const int pairs = part->block[32] && !part->block[16];

    if (pairs)
        put("#ifdef $_PLAIN\n");
    if (part->block[16] || pairs)
        put_block(16, 2);
    if (pairs)
        put("#endif\n\n");
    if (part->block[32])
        put_block_32();
    if (part->block[8])
        put_block(8, 2);
    if (part->block[4])
        put_block(4, 4);
    if (part->block[1])
        put("static inline void @_block_1(const float *w, const float *x, int "
            "in,\n                            float *y)\n"
            "{\n"
            "    float sum = w[0];\n"
            "    int i;\n\n"
            "    for (i = 0; i < in; i++)\n"
            "        sum += x[i] * w[i + 1];\n"
            "    *y = sum;\n"
            "}\n\n");
}

/* y = f(y), as a statement about y[k]; it needs exp unless it is relu. */
static const char *activation_text(int f)
{
    static const char *const text[] = {
        "y[k] > 0 ? y[k] : 0",
        "1 - 2 / (1 + @_exp(2 * y[k]))",
        "1 / (1 + @_exp(-y[k]))",
        "y[k] > 0 ? y[k] : @_exp(y[k]) - 1",
        "y[k] / (1 + @_exp(-y[k]))"
    };
    return text[f];
}

static void put_function(const char *name, const char *text)
{
    put("static inline void @_%s(float *y, int n)\n"
        "{\n"
        "    int k;\n\n"
        "    for (k = 0; k < n; k++)\n"
        "        y[k] = ", name);
    put(text);
    put(";\n"
        "}\n\n");
}

/* 2^k e^r, |r| <= ln(2) / 2, by the series of e^r; and what is made of it. */
static void put_code_functions(const moe_config *c)
{
    const int hidden = c->hidden[0] > 0 || (c->experts > 1
                                            && c->gate_hidden[0] > 0);
    const int softmax = c->experts > 1 || c->output == MOE_OUT_SOFTMAX;

    if (softmax || c->output == MOE_OUT_LOGISTIC
        || (hidden && c->activation != MOE_ACT_RELU))
        put("/* e^x = 2^k e^r, |r| <= ln(2) / 2 */\n"
            "static inline float @_exp(float x)\n"
            "{\n"
            "    union { float value; uint32_t bits; } power;\n"
            "    float cut = x > -87 ? x < 88 ? x : 88 : -87, r;\n"
            "    int32_t k = (int32_t)(cut * 1.44269504f + (cut < 0 ? -0.5f : "
            "0.5f));\n\n"
            "    r = (cut - (float)k * 0.693359375f) + (float)k * "
            "2.12194440e-4f;\n"
            "    power.bits = (uint32_t)(k + 127) << 23;\n"
            "    r = 1 + r * (1 + r * (0.5f + r * (1 / 6.0f + r * (1 / 24.0f\n"
            "        + r * (1 / 120.0f + r * (1 / 720.0f))))));\n"
            "    return power.value * r;\n"
            "}\n\n");
    if (hidden)
        put_function("activate", activation_text((int)c->activation));
    if (c->output == MOE_OUT_LOGISTIC)
        put_function("logistic", activation_text(MOE_ACT_LOGISTIC));
    if (softmax)
        put("static inline void @_softmax(float *p, int n)\n"
            "{\n"
            "    float largest = p[0], sum = 0;\n"
            "    int k;\n\n"
            "    for (k = 1; k < n; k++)\n"
            "        largest = p[k] > largest ? p[k] : largest;\n"
            "    for (k = 0; k < n; k++) {\n"
            "        p[k] = @_exp(p[k] - largest);\n"
            "        sum += p[k];\n"
            "    }\n"
            "    for (k = 0; k < n; k++)\n"
            "        p[k] /= sum;\n"
            "}\n\n");
    if (c->top_k < c->experts)
        put("/* The %d of the largest s + balance; their s to p. */\n"
            "static inline void @_choose(const float *s, int *chosen, "
            "float *p)\n"
            "{\n"
            "    float left[%d];\n"
            "    int i, k, best;\n\n"
            "    for (i = 0; i < %d; i++)\n"
            "        left[i] = s[i] + @_balance[i];\n"
            "    for (k = 0; k < %d; k++) {\n"
            "        best = 0;\n"
            "        for (i = 1; i < %d; i++)\n"
            "            best = left[i] > left[best] ? i : best;\n"
            "        chosen[k] = best;\n"
            "        p[k] = s[best];\n"
            "        left[best] = -3.4e38f;\n"
            "    }\n"
            "}\n\n", c->top_k, c->experts, c->experts, c->top_k, c->experts);
}

/* ---------------------------------------------------------------- predict */
/* The calls of a layer's blocks: from x to y. */
static void put_calls(moe_layer at, const char *weights, const char *x,
                      const char *y)
{
    int j = 0, times, n;

    for (; j < at.out; j += times * n) {
        n = worked_of(at.out - j);
        times = alike_of(at.out - j);
        if (times > 1)
            put("    for (k = %d; k < %d; k += %d)\n"
                "        @_block_%d(%s + %d * k, %s, %d, %s + k);\n", j,
                j + times * n, n, n, weights, at.in + 1, x, at.in, y);
        else
            put("    @_block_%d(%s + %lu, %s, %d, %s + %d);\n", n, weights,
                (unsigned long)(at.in + 1) * (unsigned long)j, x, at.in, y, j);
    }
}

/* A network as a function of its weights' place: y = f(x). */
static void put_code_net(const moe_config *c, int gate)
{
    const int copy = gate ? c->experts : 0, layers = code_layers(c, copy);
    const char *name = gate ? "gate" : "expert";
    char weights[80];
    int l, left, loops = 0, widest = 1;

    for (l = 0; l < layers; l++) {
        const int out = moe_layer_at(c, copy, l).out;

        for (left = out; left > 0; left -= alike_of(left) * worked_of(left))
            loops |= alike_of(left) > 1;
        if (l < layers - 1 && padded_outputs(out) > widest)
            widest = padded_outputs(out);
    }
    put("static inline void @_%s(int e, const float *x, float *y)\n{\n", name);
    if (layers > 1)
        printf("    float a[%d]%s", widest, layers > 2 ? ", b[" : ";\n");
    if (layers > 2)
        printf("%d];\n", widest);
    if (loops)
        printf("    int k;\n\n");
    else
        printf("%s", layers > 1 ? "\n" : "");
    for (l = 0; l < layers; l++) {
        const moe_layer at = moe_layer_at(c, copy, l);
        const char *to = l == layers - 1 ? "y" : l % 2 ? "b" : "a";

        sprintf(weights, "%s_%s_%d[e]", export_name, name, l);
        put_calls(at, weights, l == 0 ? "x" : l % 2 ? "a" : "b", to);
        if (l < layers - 1)
            put("    @_activate(%s, %d);\n", to, at.out);
    }
    if (!gate && c->output == MOE_OUT_LOGISTIC)
        put("    @_logistic(y, %d);\n", c->outputs);
    if (!gate && c->output == MOE_OUT_SOFTMAX)
        put("    @_softmax(y, %d);\n", c->outputs);
    printf("}\n\n");
}

/* s, p, and y = sum p o into `blend`. */
static void put_code_mixture(const moe_config *c, const char *x)
{
    const int sparse = c->top_k < c->experts;

    put("    @_gate(0, %s + %d, s);\n", x, c->gate_inputs.first);
    if (sparse)
        put("    @_choose(s, chosen, p);\n");
    put("    @_softmax(%s, %d);\n"
        "    for (k = 0; k < %d; k++)\n"
        "        blend[k] = 0;\n"
        "    for (i = 0; i < %d; i++) {\n"
        "        @_expert(%s, %s + %d, o);\n"
        "        for (k = 0; k < %d; k++)\n"
        "            blend[k] += %s[i] * o[k];\n"
        "    }\n", sparse ? "p" : "s", c->top_k, c->outputs, c->top_k,
        sparse ? "chosen[i]" : "i", x, c->expert_inputs.first, c->outputs,
        sparse ? "p" : "s");
}

static void put_code_predict(const moe *m)
{
    const moe_config *c = &m->config;
    const int mixed = c->experts > 1, sparse = c->top_k < c->experts;
    const int in = is_scaled(scale_x_of(m), c->inputs);
    const int out = is_scaled(scale_d_of(m), c->outputs);

    put("void @_predict(const float *x, float *y)\n{\n");
    printf("    float o[%d]", padded_outputs(c->outputs));
    if (in)
        printf(", z[%d]", c->inputs);
    if (mixed)
        printf(", s[%d], blend[%d]", padded_outputs(c->experts), c->outputs);
    if (sparse)
        printf(", p[%d]", c->top_k);
    printf(";\n    int %sk%s", mixed ? "i, " : "", sparse ? ", " : ";\n\n");
    if (sparse)
        printf("chosen[%d];\n\n", c->top_k);
    if (in)
        put("    for (k = 0; k < %d; k++)\n"
            "        z[k] = (x[k] - @_x_shift[k]) * @_x_factor[k];\n",
            c->inputs);
    if (mixed)
        put_code_mixture(c, in ? "z" : "x");
    else
        put("    @_expert(0, %s + %d, o);\n", in ? "z" : "x",
            c->expert_inputs.first);
    put(out ? "    for (k = 0; k < %d; k++)\n"
              "        y[k] = @_y_shift[k] + @_y_factor[k] * %s[k];\n}\n"
            : "    for (k = 0; k < %d; k++)\n        y[k] = %s[k];\n}\n",
        c->outputs, mixed ? "blend" : "o");
}

/* NULL, or why this model will not do. */
static const char *export_code(const moe *m)
{
    const moe_config *c = &m->config;
    const code_parts part = code_parts_of(c);

    if (!is_known(m))
        return "it has parameters or functions that export_c does not know";
    put_code_head(c);
    put_code_numbers(m);
    put_code_blocks(&part);
    put_code_functions(c);
    put_code_net(c, 0);
    if (c->experts > 1)
        put_code_net(c, 1);
    put_code_predict(m);
    put("#endif\n");
    return NULL;
}
