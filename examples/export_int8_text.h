/* export_int8_text.h - what export_c --int8 writes: the comment, the numbers
   and the code that goes through them. */

/* What of the code a model needs, and the numbers in its arrays. */
typedef struct int8_parts {
    int forward, sums, relu, tanh, logistic, softmax, chooses;
    int in, even, odd, sum;
} int8_parts;

static int up_to(int n, int multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int8_parts parts_of(const int8_model *q)
{
    const moe_config *c = &q->m->config;
    const int hidden = q->layers > 1 || q->gate_layers > 1;
    int8_parts part;
    int e, l;

    memset(&part, 0, sizeof part);
    part.softmax = c->output == MOE_OUT_SOFTMAX;
    part.forward = hidden || !part.softmax;
    part.sums = q->E > 1 || part.softmax;
    part.relu = hidden && c->activation == MOE_ACT_RELU;
    part.tanh = hidden && c->activation == MOE_ACT_TANH;
    part.logistic = (hidden && c->activation == MOE_ACT_LOGISTIC)
                 || c->output == MOE_OUT_LOGISTIC;
    part.chooses = q->K < q->E;
    for (e = 0; e <= q->E; e += q->E)
        for (l = 0; l < layers_of(q, e); l++) {
            const int8_layer *layer = int8_layer_at(q, e, l);
            const int sums = is_sums(q, e, l);
            int *wide = sums ? &part.sum : l % 2 ? &part.odd : &part.even;

            *wide = max_int(*wide, sums ? layer->rows : up_to(layer->out, 4));
            if (l == 0)
                part.in = max_int(part.in, layer->columns);
        }
    return part;
}

/* ---------------------------------------------------------- the comment */
static double root(double x)
{
    double y = x > 1 ? x : 1;
    int i;

    for (i = 0; i < 200; i++)
        y = (y + x / y) / 2;
    return x > 0 ? y : 0;
}

/* A line for each of at most 16 outputs. */
static void put_error(const int8_model *q)
{
    int k;

    printf("   Error  against the float model on %d cases of calibration",
           q->n);
    if (q->m->config.output != MOE_OUT_LINEAR && q->O > 1)
        printf("; the largest\n          output is the same in %.2f %% of "
               "them", 100.0 * q->same / q->n);
    printf(":\n          root mean square, largest, standard deviation of y "
           "itself\n");
    for (k = 0; k < q->O && k < 16; k++) {
        const double mean = q->sum[k] / q->n;

        printf("          y[%d]  %.2g, %.2g, %.3g\n", k,
               root(q->error[k] / q->n), q->worst[k],
               root(larger(q->square[k] / q->n - mean * mean, 0)));
    }
}

static void put_comment(const int8_model *q, const int8_parts *part)
{
    const int ram = 2 * (part->in + part->even + part->odd) + 4 * part->sum
                  + (q->E > 1 ? 2 * q->E + 4 * q->O : 0)
                  + (part->softmax ? 2 * q->O : 0);

    put("/* @.c - a mixture of experts in integers.  export_c.c of moe.h wrote "
        "it.\n\n");
    put_shape(&q->m->config);
    printf("   Flash  %lu bytes of constants where pointers have 4, and about "
           "1,000 of code.\n", (unsigned long)q->bytes);
    printf("   RAM    %d bytes of arrays on the stack, and about 100 for "
           "calls.\n", ram);
    put_error(q);
    put("\n"
        "   @_predict(x, y) takes x[i] = (column i - shift[i]) scale[i], cut "
        "to int16_t,\n"
        "   and column k of the model's output is shift[k] + step[k] y[k]; "
        "these are\n"
        "   $_X_SCALES and $_Y_SCALES.  Nothing wraps; what is too large is "
        "cut.\n"
        "   @_check() says how many outputs of its test cases are wrong: 0.\n"
        "   @_predict_float(x, y), with $_FLOAT defined, does the same in "
        "float.\n"
        "   Compile this file with the others.  They #define $_DECLARE and "
        "include\n"
        "   it too, for its declarations alone. */\n");
}

/* ---------------------------------------------------- declarations, scales */
/* f(shift, factor) for each column: value[0][i], value[1][i] times factor. */
static void put_scale(const char *what, const float *value, double factor,
                      int count)
{
    int i;

    put("#define $_");
    printf("%s(f)", what);
    for (i = 0; i < count; i++)
        printf(" \\\n    f(%.8ef, %.8ef)", (double)value[i],
               (double)value[count + i] * factor);
    printf("\n");
}

static void put_scales(const int8_model *q)
{
    put("/* f(shift[i], scale[i]) for each column of x, f(shift[k], step[k]) "
        "for y.\n"
        "   Where f makes integers of them, no float is left in the program:\n"
        "     #define FIXED(shift, scale) {(int32_t)(16 * shift), "
        "(int32_t)(16 * scale)},\n"
        "     static const int32_t fixed[][2] = { $_X_SCALES(FIXED) }; */\n");
    put_scale("X_SCALES", scale_x_of(q->m), q->x_scale, q->I);
    put_scale("Y_SCALES", scale_d_of(q->m), 1 / q->o_scale, q->O);
}

static void put_declarations(const int8_model *q)
{
    put("#ifndef $_DECLARED\n"
        "#define $_DECLARED\n"
        "#include <stdint.h>\n\n"
        "#ifdef __cplusplus\n"
        "extern \"C\" {\n"
        "#endif\n"
        "enum { $_INPUTS = %d, $_OUTPUTS = %d };\n\n"
        "void @_predict(const int16_t *x, int16_t *y);\n"
        "int @_check(void);\n"
        "#ifdef $_FLOAT\n"
        "void @_predict_float(const float *x, float *y);\n"
        "#endif\n"
        "#ifdef __cplusplus\n"
        "}\n"
        "#endif\n\n", q->I, q->O);
    put_scales(q);
    put("#endif\n\n"
        "#ifndef $_DECLARE\n");
}

static void put_float(void)
{
    put("#ifdef $_FLOAT\n"
        "#define $_PAIR(shift, scale) {shift, scale},\n"
        "static const struct { float shift, scale; } @_x_scales[] = {\n"
        "    $_X_SCALES($_PAIR)\n"
        "};\n"
        "static const struct { float shift, step; } @_y_scales[] = {\n"
        "    $_Y_SCALES($_PAIR)\n"
        "};\n\n"
        "void @_predict_float(const float *x, float *y)\n"
        "{\n"
        "    int16_t in[$_INPUTS], out[$_OUTPUTS];\n"
        "    float v;\n"
        "    int i;\n\n"
        "    for (i = 0; i < $_INPUTS; i++) {\n"
        "        v = (x[i] - @_x_scales[i].shift) * @_x_scales[i].scale;\n"
        "        v = v > -32767.0f ? v : -32767.0f;\n"
        "        v = v < 32767.0f ? v : 32767.0f;\n"
        "        in[i] = (int16_t)(v < 0 ? v - 0.5f : v + 0.5f);\n"
        "    }\n"
        "    @_predict(in, out);\n"
        "    for (i = 0; i < $_OUTPUTS; i++)\n"
        "        y[i] = @_y_scales[i].shift\n"
        "             + @_y_scales[i].step * (float)out[i];\n"
        "}\n"
        "#endif\n\n");
}

/* ------------------------------------------------------- weights and biases */
static void put_layer(const int8_model *q, const int8_layer *layer,
                      const char *name)
{
    const size_t width = (size_t)layer->columns;
    int j, i, k;

    (void)q;
    put("static @_const struct { int32_t bias[2]; int8_t weight[");
    printf("%d]; }\n", 2 * layer->columns);
    put("@_");
    printf("%s[%d] ", name, layer->rows / 2);
    put("@_aligned = {\n");
    for (j = 0; j < layer->rows; j += 2) {
        const int8_t *w = layer->weight + (size_t)j * width;

        printf("    {{%ld, %ld}, {", (long)layer->bias[j],
               (long)layer->bias[j + 1]);
        for (i = 0; i < layer->columns; i += 2)
            for (k = 0; k < 4; k++)
                printf("%s%d", 2 * i + k == 0 ? "\n    "
                       : between((size_t)(2 * i + k), 12),
                       w[(size_t)(i + k / 2) + (size_t)(k % 2) * width]);
        printf("}}%s\n", j + 2 < layer->rows ? "," : "");
    }
    printf("};\n\n");
}

static void layer_name(const int8_model *q, int copy, int l, char *name)
{
    if (copy < q->E)
        sprintf(name, "expert%d_%d", copy, l);
    else
        sprintf(name, "gate_%d", l);
}

static void put_line_of_layer(const int8_model *q, const int8_parts *part,
                              int copy, int l)
{
    const int8_layer *layer = int8_layer_at(q, copy, l);
    char name[40];

    layer_name(q, copy, l, name);
    printf("{%d, %d, %d, ", layer->rows, layer->multiplier, layer->shift);
    if (part->relu)
        printf(l < layers_of(q, copy) - 1 ? "0, " : "-32768, ");
    put("@_");
    printf("%s}", name);
}

static void put_table(const int8_model *q, const int8_parts *part)
{
    int e, l;

    put("static @_const @_layer @_experts[%d][%d] = {\n", q->E, q->layers);
    for (e = 0; e < q->E; e++)
        for (l = 0; l < q->layers; l++) {
            printf("    %s", l == 0 ? "{" : " ");
            put_line_of_layer(q, part, e, l);
            printf("%s%s", l + 1 < q->layers ? "" : "}",
                   l + 1 < q->layers || e + 1 < q->E ? ",\n" : "\n");
        }
    printf("};\n\n");
    if (q->E == 1)
        return;
    put("static @_const @_layer @_gate[%d] = {\n", q->gate_layers);
    for (l = 0; l < q->gate_layers; l++) {
        printf("    ");
        put_line_of_layer(q, part, q->E, l);
        printf("%s\n", l + 1 < q->gate_layers ? "," : "");
    }
    printf("};\n\n");
}

static void put_numbers(const int8_model *q, const int8_parts *part)
{
    char name[40];
    int e, l;

    put("/* On AVR constants stay in flash by __flash, which gcc has in GNU C "
        "alone\n"
        "   (-std=gnu99): in ISO C and C++ they are copied to RAM. */\n"
        "#if defined(__FLASH) && !defined(__STRICT_ANSI__)\n"
        "#define @_const const __flash\n"
        "#else\n"
        "#define @_const const\n"
        "#endif\n"
        "#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_BIG_ENDIAN)\n"
        "#define $_DSP                   /* two products at once */\n"
        "#define @_aligned __attribute__((aligned(8)))\n"
        "#else\n"
        "#define @_aligned\n"
        "#endif\n\n"
        "/* Two outputs of a layer in each row: biases, and weights of two "
        "inputs\n"
        "   w00 w10 w01 w11, then of the next two. */\n");
    for (e = 0; e < q->E + (q->E > 1); e++)
        for (l = 0; l < layers_of(q, e); l++) {
            layer_name(q, e, l, name);
            put_layer(q, int8_layer_at(q, e, l), name);
        }
    put("/* y (out) = sum multiplier / 2^(16 + shift) */\n"
        "typedef struct @_layer {\n"
        "    int16_t out;                /* up to a multiple of 2 */\n"
        "    int16_t multiplier, shift;\n");
    if (part->relu)
        put("    int16_t low;                /* y is at least low */\n");
    put("    @_const void *rows;\n"
        "} @_layer;\n\n");
    put_table(q, part);
}

/* ---------------------------------------------------------------- its code */
static void put_sums_dsp(void)
{
    put("/* Two sums of the rows at w, which goes on to the next two. */\n"
        "typedef struct @_sum { int32_t a, b; @_const int8_t *w; } @_sum;\n\n"
        "#ifdef $_DSP\n"
        "#include <arm_acle.h>\n"
        "typedef uint64_t __attribute__((may_alias)) @_word;\n\n"
        "static inline int32_t @_cut(int32_t x)\n"
        "{\n"
        "    int32_t cut;\n\n"
        "    __asm__(\"ssat %%0, #16, %%1\" : \"=r\"(cut) : \"r\"(x));\n"
        "    return cut;\n"
        "}\n\n"
        "static inline int32_t @_scale(int32_t sum, int32_t multiplier)\n"
        "{\n"
        "    return __smlawb(sum, multiplier, 0);\n"
        "}\n\n"
        "static inline int16x2_t @_odd(uint32_t bytes)\n"
        "{\n"
        "    int16x2_t odd;\n\n"
        "    __asm__(\"sxtb16 %%0, %%1, ror #8\" : \"=r\"(odd) : "
        "\"r\"(bytes));\n"
        "    return odd;\n"
        "}\n\n"
        "static inline int16x2_t @_even(uint32_t bytes)\n"
        "{\n"
        "    return __sxtb16((int8x4_t)bytes);\n"
        "}\n\n");
    put("static inline @_sum @_two_sums(@_sum s, const int16_t *x,\n"
        "                               const int16_t *end)\n"
        "{\n"
        "    const int32_t *bias = (const int32_t *)(const void *)s.w;\n"
        "    const @_word *w = (const @_word *)(const void *)(s.w + 8);\n"
        "    const @_word *v = (const @_word *)(const void *)x;\n\n"
        "    s.a = bias[0];\n"
        "    s.b = bias[1];\n"
        "    do {\n"
        "        const uint64_t w4 = *w++, x4 = *v++;\n"
        "        const uint32_t w0 = (uint32_t)w4, w1 = (uint32_t)(w4 >> 32);\n"
        "        const int16x2_t x0 = (int16x2_t)x4, "
        "x1 = (int16x2_t)(x4 >> 32);\n\n"
        "        s.a = __smlad(@_even(w0), x0, s.a);\n"
        "        s.b = __smlad(@_odd(w0), x0, s.b);\n"
        "        s.a = __smlad(@_even(w1), x1, s.a);\n"
        "        s.b = __smlad(@_odd(w1), x1, s.b);\n"
        "    } while (v != (const @_word *)(const void *)end);\n"
        "    s.w = (const int8_t *)w;\n"
        "    return s;\n"
        "}\n");
}

/* Shifts of what is negative go to the left, as every compiler's do; the file
   does not compile where they do not. */
static void put_sums_plain(void)
{
    put("#else\n"
        "static inline int32_t @_cut(int32_t x)\n"
        "{\n"
        "    return x > 32767 ? 32767 : x < -32767 - 1 ? -32767 - 1 : x;\n"
        "}\n\n"
        "static inline int32_t @_scale(int32_t sum, int32_t multiplier)\n"
        "{\n"
        "    return (sum >> 16) * multiplier\n"
        "         + (int32_t)(((uint32_t)sum & 0xffff) * (uint32_t)multiplier "
        ">> 16);\n"
        "}\n\n"
        "static inline @_sum @_two_sums(@_sum s, const int16_t *x,\n"
        "                               const int16_t *end)\n"
        "{\n"
        "    @_const int32_t *bias = (@_const int32_t *)(@_const void *)s.w;\n"
        "    @_const int8_t *w = s.w + 8;\n\n"
        "    s.a = bias[0];\n"
        "    s.b = bias[1];\n"
        "    do {\n"
        "        const int32_t x0 = *x++, x1 = *x++;\n\n"
        "        s.a += w[0] * x0 + w[2] * x1;\n"
        "        s.b += w[1] * x0 + w[3] * x1;\n"
        "        w += 4;\n"
        "    } while (x != end);\n"
        "    s.w = w;\n"
        "    return s;\n"
        "}\n"
        "#endif\n\n"
        "typedef char @_shifts_keep_the_sign[-1 >> 1 == -1 ? 1 : -1];\n\n");
}

/* The number of inputs is an argument: a compiler that sees it does not make a
   loop for more of them than the array has. */
static void put_forward(const int8_parts *part)
{
    put("/* y (out) of x (n), zeros up to a multiple of 4 */\n"
        "static void @_forward(@_const @_layer *l, const int16_t *x, int n,\n"
        "                      int16_t *y)\n"
        "{\n"
        "    const int16_t *const last = x + n;\n"
        "    int16_t *const end = y + l->out;\n"
        "    @_sum s = {0, 0, (@_const int8_t *)l->rows};\n\n"
        "    if (l->out %% 4 != 0)\n"
        "        end[0] = end[1] = 0;\n"
        "    for (; y != end; y += 2) {\n"
        "        s = @_two_sums(s, x, last);\n"
        "        s.a = @_cut(@_scale(s.a, l->multiplier) >> l->shift);\n"
        "        s.b = @_cut(@_scale(s.b, l->multiplier) >> l->shift);\n");
    if (part->relu)
        put("        s.a = s.a < l->low ? l->low : s.a;\n"
            "        s.b = s.b < l->low ? l->low : s.b;\n");
    put("        y[0] = (int16_t)s.a;\n"
        "        y[1] = (int16_t)s.b;\n"
        "    }\n"
        "}\n\n");
}

static void put_sums(void)
{
    put("/* sum (out) of x (n) */\n"
        "static void @_sums(@_const @_layer *l, const int16_t *x, int n,\n"
        "                   int32_t *sum)\n"
        "{\n"
        "    const int16_t *const last = x + n;\n"
        "    int32_t *const end = sum + l->out;\n"
        "    @_sum s = {0, 0, (@_const int8_t *)l->rows};\n\n"
        "    for (; sum != end; sum += 2) {\n"
        "        s = @_two_sums(s, x, last);\n"
        "        sum[0] = s.a;\n"
        "        sum[1] = s.b;\n"
        "    }\n"
        "}\n\n");
}

static void put_exp(const int8_parts *part)
{
    if (part->sums || part->tanh || part->logistic)
        put("/* 32768 2^(-d / 1024), d < 32768, within .0001 of it */\n"
            "static uint16_t @_exp2(int32_t d)\n"
            "{\n"
            "    const int32_t f = (d & 1023) * 32;\n"
            "    const int32_t q = 22657 - (f * (7555 - (f * 1283 >> 15)) "
            ">> 15);\n\n"
            "    return (uint16_t)((32768 - (f * q >> 15)) >> (d >> 10));\n"
            "}\n\n");
    if (part->sums || part->tanh || part->logistic)
        put("/* 32768 a / b, at most 32768 */\n"
            "static uint16_t @_divide(uint32_t a, uint32_t b)\n"
            "{\n"
            "    return (uint16_t)((a * 32768 + b / 2) / b);\n"
            "}\n\n");
    if (part->tanh)
        put("/* y (n) = tanh y, of 32768; tanh a = (1 - t) / (1 + t), "
            "t = exp(-2a) */\n"
            "static void @_tanh(int16_t *y, int n)\n"
            "{\n"
            "    for (; n > 0; n--, y++) {\n"
            "        const int32_t v = *y, t = @_exp2(@_cut(v < 0 ? -v : v));\n"
            "        const int32_t h = @_divide((uint32_t)(32768 - t),\n"
            "                                   (uint32_t)(32768 + t));\n\n"
            "        *y = (int16_t)@_cut(v < 0 ? -h : h);\n"
            "    }\n"
            "}\n\n");
    if (part->logistic)
        put("/* y (n) = 1 / (1 + exp(-y)), of 32768 */\n"
            "static void @_logistic(int16_t *y, int n)\n"
            "{\n"
            "    for (; n > 0; n--, y++) {\n"
            "        const int32_t v = *y, t = @_exp2(@_cut(v < 0 ? -v : v));\n"
            "        const int32_t h = @_divide(32768, (uint32_t)(32768 + t))"
            ";\n\n"
            "        *y = (int16_t)@_cut(v < 0 ? 32768 - h : h);\n"
            "    }\n"
            "}\n\n");
}

static void put_gate(const int8_model *q, const int8_parts *part)
{
    int i;

    if (part->sums)
        put("/* p (n) = softmax of sums, of those whose p is not 0 */\n"
            "static void @_softmax(@_const @_layer *l, const int32_t *sum, "
            "int n,\n"
            "                      uint16_t *p)\n"
            "{\n"
            "    int32_t largest = -INT32_MAX;\n"
            "    uint32_t total = 0;\n"
            "    int i;\n\n"
            "    for (i = 0; i < n; i++)\n"
            "        if (p[i] != 0 && sum[i] > largest)\n"
            "            largest = sum[i];\n"
            "    for (i = 0; i < n; i++) {\n"
            "        if (p[i] != 0)\n"
            "            p[i] = @_exp2(@_cut(@_scale(largest - sum[i],\n"
            "                                        l->multiplier) >> "
            "l->shift));\n"
            "        total += p[i];\n"
            "    }\n"
            "    for (i = 0; i < n; i++)\n"
            "        p[i] = @_divide(p[i], total);\n"
            "}\n\n");
    if (!part->chooses)
        return;
    put("static @_const int32_t @_balance[%d] = {\n    ", q->E);
    for (i = 0; i < q->E; i++)
        printf("%s%ld", between((size_t)i, 6), (long)q->balance[i]);
    put("\n};\n\n"
        "/* p is 1 for the %d of the largest sum + balance, else 0. */\n"
        "static void @_choose(const int32_t *sum, uint16_t *p)\n"
        "{\n"
        "    int i, k, best;\n\n"
        "    for (i = 0; i < %d; i++)\n"
        "        p[i] = 0;\n"
        "    for (k = 0; k < %d; k++) {\n"
        "        best = -1;\n"
        "        for (i = 0; i < %d; i++)\n"
        "            if (p[i] == 0 && (best < 0 || sum[i] + @_balance[i]\n"
        "                              > sum[best] + @_balance[best]))\n"
        "                best = i;\n"
        "        p[best] = 1;\n"
        "    }\n"
        "}\n\n", q->K, q->E, q->K, q->E);
}

/* --------------------------------------------------------------- predict */
static const char *array_of(int l)
{
    return l < 0 ? "in.at" : l % 2 ? "odd.at" : "even.at";
}

/* The calls of one network, the last of which leaves y or sums. */
static void put_net(const int8_model *q, int copy, const char *indent)
{
    const moe_config *c = &q->m->config;
    const int gate = copy == q->E, last = layers_of(q, copy) - 1;
    int l;

    for (l = 0; l <= last; l++) {
        const int sums = is_sums(q, copy, l);
        const int in = int8_layer_at(q, copy, l)->columns;
        const int out = int8_layer_at(q, copy, l)->out;

        put(sums ? "%s@_sums(&@_%s[%d], " : "%s@_forward(&@_%s[%d], ",
            indent, gate ? "gate" : q->E == 1 ? "experts[0]" : "experts[i]", l);
        printf("%s, %d, %s);\n", array_of(l - 1), in,
               sums ? "sum" : array_of(l));
        if (!sums && l < last && c->activation == MOE_ACT_TANH)
            put("%s@_tanh(%s, %d);\n", indent, array_of(l), out);
        if (!sums && ((l < last && c->activation == MOE_ACT_LOGISTIC)
                      || (l == last && c->output == MOE_OUT_LOGISTIC)))
            put("%s@_logistic(%s, %d);\n", indent, array_of(l), out);
    }
    if (!gate && c->output == MOE_OUT_SOFTMAX) {
        printf("%sfor (k = 0; k < %d; k++)\n%s    o[k] = 1;\n", indent, q->O,
               indent);
        put("%s@_softmax(&@_experts[%s][%d], sum, %d, o);\n", indent,
            q->E == 1 ? "0" : "i", last, q->O);
    }
}

static void put_take(moe_span span)
{
    put("    @_take(x + %d, %d, in.at);\n", span.first, span.count);
}

/* The expert's output k in the array where its last layer leaves it. */
static const char *output_of(const int8_model *q)
{
    return q->m->config.output == MOE_OUT_SOFTMAX ? "o[k]"
         : (q->layers - 1) % 2 ? "odd.at[k]" : "even.at[k]";
}

static void put_mixture(const int8_model *q, const int8_parts *part)
{
    const moe_span gate = q->m->config.gate_inputs;
    const moe_span expert = q->m->config.expert_inputs;

    put_take(gate);
    put_net(q, q->E, "    ");
    if (part->chooses)
        put("    @_choose(sum, p);\n");
    else
        put("    for (i = 0; i < %d; i++)\n        p[i] = 1;\n", q->E);
    put("    @_softmax(&@_gate[%d], sum, %d, p);\n", q->gate_layers - 1, q->E);
    if (gate.first != expert.first || gate.count != expert.count)
        put_take(expert);
    put("    for (k = 0; k < %d; k++)\n"
        "        blend[k] = 16384;\n"
        "    for (i = 0; i < %d; i++) {\n"
        "        if (p[i] == 0)\n"
        "            continue;\n", q->O, q->E);
    put_net(q, 0, "        ");
    put("        for (k = 0; k < %d; k++)\n"
        "            blend[k] += (int32_t)p[i] * @_cut(%s);\n"
        "    }\n"
        "    for (k = 0; k < %d; k++)\n"
        "        y[k] = (int16_t)@_cut(blend[k] >> 15);\n", q->O, output_of(q),
        q->O);
}

static void put_predict(const int8_model *q, const int8_parts *part)
{
    const char *row = "    union { int64_t aligned; int16_t at[%d]; } %s;\n";

    put("static void @_take(const int16_t *x, int n, int16_t *y)\n"
        "{\n"
        "    int i;\n\n"
        "    for (i = 0; i < n; i++)\n"
        "        y[i] = x[i];\n"
        "    for (; i %% 4 != 0; i++)\n"
        "        y[i] = 0;\n"
        "}\n\n"
        "void @_predict(const int16_t *x, int16_t *y)\n"
        "{\n");
    printf(row, part->in, "in");
    if (part->even > 0)
        printf(row, part->even, "even");
    if (part->odd > 0)
        printf(row, part->odd, "odd");
    if (part->sum > 0)
        printf("    int32_t sum[%d];\n", part->sum);
    if (q->E > 1)
        printf("    int32_t blend[%d];\n    uint16_t p[%d];\n", q->O, q->E);
    if (part->softmax)
        printf("    uint16_t o[%d];\n", q->O);
    printf("    int %sk;\n\n", q->E > 1 ? "i, " : "");
    if (q->E > 1) {
        put_mixture(q, part);
    } else {
        put_take(q->m->config.expert_inputs);
        put_net(q, 0, "    ");
        put("    for (k = 0; k < %d; k++)\n"
            "        y[k] = (int16_t)@_cut(%s);\n", q->O, output_of(q));
    }
    printf("}\n\n");
}

/* ------------------------------------------------------------ test vectors */
static void put_vectors(const int8_model *q, int outputs)
{
    const size_t I = (size_t)q->I, O = (size_t)q->O;
    int32_t *room = (int32_t *)zeros(5 * INT8_WIDEST + I + O, sizeof *room);
    int32_t *x = room + 5 * INT8_WIDEST, *y = x + I;
    float *z = (float *)zeros(I, sizeof *z);
    int t, i;

    for (t = 0; t < INT8_TESTS; t++) {
        int8_inputs(q, t + 1 == INT8_TESTS ? q->n
                    : (int)((int64_t)t * q->n / (INT8_TESTS - 1)), z, x);
        int8_predict(q, x, room, y);
        printf("    {");
        for (i = 0; i < (outputs ? q->O : q->I); i++)
            printf("%s%d", between((size_t)i, 8), (int)(outputs ? y : x)[i]);
        printf("}%s\n", t + 1 < INT8_TESTS ? "," : "");
    }
    free(room);
    free(z);
}

static void put_check(const int8_model *q)
{
    put("static @_const int16_t @_test_x[%d][$_INPUTS] = {\n", INT8_TESTS);
    put_vectors(q, 0);
    put("};\n"
        "static @_const int16_t @_test_y[%d][$_OUTPUTS] = {\n", INT8_TESTS);
    put_vectors(q, 1);
    put("};\n\n"
        "int @_check(void)\n"
        "{\n"
        "    int16_t x[$_INPUTS], y[$_OUTPUTS];\n"
        "    int t, i, wrong = 0;\n\n"
        "    for (t = 0; t < %d; t++) {\n"
        "        for (i = 0; i < $_INPUTS; i++)\n"
        "            x[i] = @_test_x[t][i];\n"
        "        @_predict(x, y);\n"
        "        for (i = 0; i < $_OUTPUTS; i++)\n"
        "            wrong += y[i] != @_test_y[t][i];\n"
        "    }\n"
        "    return wrong;\n"
        "}\n\n", INT8_TESTS);
}

/* ------------------------------------------------------------------ all */
/* Memory of the layers, and how many bytes of constants they will be. */
static const char *int8_shape(int8_model *q)
{
    const moe_config *c = &q->m->config;
    int e, l;

    q->I = c->inputs;
    q->O = c->outputs;
    q->E = c->experts;
    q->K = c->top_k;
    q->layers = expert_layers(c);
    q->gate_layers = gate_layers(c);
    q->layer = (int8_layer *)zeros((size_t)q->E * (size_t)q->layers
                                   + (size_t)q->gate_layers, sizeof *q->layer);
    q->balance = (int32_t *)zeros((size_t)q->E, sizeof *q->balance);
    q->share = (double *)zeros((size_t)q->E + 1, sizeof *q->share);
    q->bytes = q->K < q->E ? 4 * (size_t)q->E : 0;
    for (e = 0; e < q->E + (q->E > 1); e++)
        for (l = 0; l < layers_of(q, e); l++) {
            int8_layer *layer = int8_layer_at(q, e, l);
            const moe_layer at = moe_layer_at(c, e, l);

            layer->in = at.in;
            layer->out = at.out;
            layer->columns = up_to(at.in, 4);
            layer->rows = up_to(at.out, 2);
            layer->mean = (double *)zeros((size_t)at.in, sizeof *layer->mean);
            q->bytes += (size_t)layer->rows * (4 + (size_t)layer->columns) + 12;
            if (at.in > INT8_WIDEST || at.out > INT8_WIDEST)
                return "a layer is wider than 32,000";
        }
    return NULL;
}

static void int8_free(int8_model *q)
{
    int i;

    for (i = 0; i < q->E * q->layers + q->gate_layers; i++) {
        free(q->layer[i].mean);
        free(q->layer[i].bias);
        free(q->layer[i].weight);
    }
    free(q->layer);
    free(q->balance);
    free(q->share);
    free(q->error);
    free(q->x);
}

static void put_int8(const int8_model *q)
{
    const int8_parts part = parts_of(q);

    put_comment(q, &part);
    put_declarations(q);
    put_numbers(q, &part);
    put_sums_dsp();
    put_sums_plain();
    if (part.forward)
        put_forward(&part);
    if (part.sums)
        put_sums();
    put_exp(&part);
    put_gate(q, &part);
    put_predict(q, &part);
    put_check(q);
    put_float();
    put("#endif\n");
}

/* NULL, or why this model will not do; or why the inputs will not, of which it
   is then `about`. */
static const char *export_int8(moe *m, const char *inputs, const char **about)
{
    int8_model q;

    memset(&q, 0, sizeof q);
    q.m = m;
    if (!is_known(m) || m->config.activation > MOE_ACT_LOGISTIC)
        return "only relu, tanh and logistic units can be had in integers";
    q.fault = int8_shape(&q);
    if (q.fault == NULL) {
        q.fault = read_inputs(&q, inputs);
        *about = q.fault ? inputs : *about;
    }
    if (q.fault == NULL) {
        centre_all(&q);
        calibrate(&q);
        quantise_all(&q);
    }
    if (q.fault == NULL) {
        measure(&q);
        put_int8(&q);
    }
    int8_free(&q);
    return q.fault;
}
