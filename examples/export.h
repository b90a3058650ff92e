/* export.h - what the parts of export_c.c share: the name that the exported
   code gets, text with that name in it, arrays, and what a layer is. */

static const char *export_name;         /* net, of net_predict              */
static char export_upper[64];           /* NET, of NET_INPUTS               */

enum { LONGEST_NAME = 40 };

/* Whether it begins with moe, in capitals or not. */
static int begins_with_moe(const char *name)
{
    return (name[0] == 'm' || name[0] == 'M')
        && (name[1] == 'o' || name[1] == 'O')
        && (name[2] == 'e' || name[2] == 'E');
}

/* NULL, or what is wrong with a name. */
static const char *name_fault(const char *name)
{
    size_t i;

    for (i = 0; name[i] != 0; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || name[i] == '_'
              || (name[i] >= 'A' && name[i] <= 'Z')
              || (i > 0 && name[i] >= '0' && name[i] <= '9')))
            return "a name in C begins with a letter and consists of letters, "
                   "digits and _";
    if (i == 0 || i > LONGEST_NAME)
        return "a name has 1 to 40 characters";
    if (name[0] == '_' || strstr(name, "__") != NULL)
        return "names with _ in front or __ inside are the compiler's own";
    if (name[i - 1] == '_')
        return "a name does not end with _: that of a function would have __ "
               "inside";
    if (begins_with_moe(name))
        return "names that begin with moe, in capitals or not, are moe.h's own";
    return NULL;
}

static void set_name(const char *name)
{
    size_t i;

    export_name = name;
    for (i = 0; name[i] != 0; i++)
        export_upper[i] = (char)(name[i] >= 'a' && name[i] <= 'z'
                                 ? name[i] - 'a' + 'A' : name[i]);
    export_upper[i] = 0;
}

/* printf, with the name for @ and in capitals for $. */
static void put(const char *text, ...)
{
    char line[4096];
    size_t used = 0;
    va_list more;

    for (; *text != 0 && used + LONGEST_NAME + 1 < sizeof line; text++) {
        const char *part = *text == '@' ? export_name : export_upper;
        const size_t length = strlen(part);

        if (*text == '@' || *text == '$') {
            memcpy(line + used, part, length);
            used += length;
        } else {
            line[used++] = *text;
        }
    }
    line[used] = 0;
    va_start(more, text);
    vprintf(line, more);
    va_end(more);
}

/* Element i of n in an array of so many columns: what stands before it. */
static const char *between(size_t i, size_t columns)
{
    return i == 0 ? "" : i % columns == 0 ? ",\n    " : ", ";
}

/* 9 digits tell every float from its neighbours. */
static void put_floats(const float *value, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        printf("%s%.8ef", between(i, 4), (double)value[i]);
}

static int hidden_layers(const int *hidden)
{
    int l = 0;

    while (l < MOE_MAX_HIDDEN && hidden[l] > 0)
        l++;
    return l;
}

/* Layers of an expert, of the gate; one expert has no gate. */
static int expert_layers(const moe_config *c)
{
    return hidden_layers(c->hidden) + 1;
}

static int gate_layers(const moe_config *c)
{
    return c->experts > 1 ? hidden_layers(c->gate_hidden) + 1 : 0;
}

/* 16-32-4, say, into at least 40 bytes. */
static void shape_text(const moe_config *c, int expert, int layers, char *text)
{
    int l;

    text += sprintf(text, "%d", moe_layer_at(c, expert, 0).in);
    for (l = 0; l < layers; l++)
        text += sprintf(text, "-%d", moe_layer_at(c, expert, l).out);
}

/* What lies behind the layers: gate.balance (E), scale.d (2,O), scale.x (2,I);
   of a scale row 0 is the shift, row 1 the factor. */
static const float *scale_x_of(const moe *m)
{
    return m->params + m->param_count - 2 * (size_t)m->config.inputs;
}

static const float *scale_d_of(const moe *m)
{
    return scale_x_of(m) - 2 * (size_t)m->config.outputs;
}

static const float *balance_of(const moe *m)
{
    return scale_d_of(m) - m->config.experts;
}

/* Whether all parameters are those that this program knows. */
static int is_known(const moe *m)
{
    const moe_config *c = &m->config;
    size_t count = 2 * ((size_t)c->inputs + (size_t)c->outputs)
                 + (c->experts > 1 ? (size_t)c->experts : 0);
    int e, l;

    for (e = 0; e <= c->experts && (e < c->experts || c->experts > 1); e++)
        for (l = 0; l < (e < c->experts ? expert_layers(c) : gate_layers(c));
             l++) {
            const moe_layer at = moe_layer_at(c, e, l);

            count += ((size_t)at.in + 1) * (size_t)at.out;
        }
    return count == m->param_count && c->output <= MOE_OUT_SOFTMAX
        && c->activation <= MOE_ACT_SILU;
}

/* What the model is, as the first lines of a comment. */
static void put_shape(const moe_config *c)
{
    static const char *const activation[] = {"relu", "tanh", "logistic", "elu",
                                             "silu"};
    static const char *const output[] = {"linear", "logistic", "softmax"};
    char text[40];

    shape_text(c, 0, expert_layers(c), text);
    printf("   %d expert%s %s", c->experts, c->experts > 1 ? "s" : "", text);
    if (c->hidden[0] > 0 || c->gate_hidden[0] > 0)
        printf(", %s", activation[c->activation]);
    printf(", outputs %s", output[c->output]);
    if (c->experts > 1) {
        shape_text(c, c->experts, gate_layers(c), text);
        printf("; gate %s; ", text);
        printf(c->top_k < c->experts ? "the best %d answer" : "all %d answer",
               c->top_k);
    }
    printf(".\n");
}
