/* export_int8.h - a model in integers: weights of 8 bits, activations of 16,
   sums of 32.  A number v stands for v / scale:

     layer     sum = bias + W x           at scale(x) scale(W)
               y = cut(sum multiplier / 2^(16 + shift))        at scale(y)
     exp       2^(-d / 1024) by a polynomial, times 32768: softmax, tanh and
               logistic are made of it

   Every scale(W) is the largest with which weights fit 8 bits and no sum, of
   any inputs, leaves 32: nothing wraps.  Scales of activations come from the
   inputs of calibration, twice whose range fits, or are 32768 where a function
   is bounded.  Experts share the scale of their outputs.

   What rounding the weights takes off a sum, in the mean of the inputs of
   calibration, its bias gives back; before a softmax, which does not see what
   all sums have in common, weights are made smaller by that. */

#define INT8_UNIT (1024 * 1.44269504088896340736)   /* of exp: 1024 is 2^-1  */
#define INT8_ROOM 2             /* activations may be so many times as large */

#define INT8_DIFFERENCE 1073741823  /* differences of such sums have 32 bits */

enum { INT8_TESTS = 5, INT8_WIDEST = 32000 };

typedef struct int8_layer {
    int in, out;                /* as in the model                           */
    int columns, rows;          /* the same up to multiples of 4 and of 2    */
    double largest;             /* |sum| seen in calibration                 */
    double *mean;               /* (in) of inputs there, weighted by p       */
    double in_scale, weight_scale, out_scale;
    int multiplier, shift;
    int32_t *bias;              /* (rows)                                    */
    int8_t *weight;             /* (rows,columns)                            */
} int8_layer;

typedef struct int8_model {
    moe *m;
    int I, O, E, K, layers, gate_layers;
    int8_layer *layer;          /* (E,layers), then the gate's               */
    int32_t *balance;           /* (E)                                       */
    double *share;              /* (E+1) p summed over calibration           */
    double x_scale, o_scale;    /* of standardised numbers                   */
    float *x;                   /* (n,I) inputs of calibration               */
    int n;
    size_t bytes;               /* of constants                              */
    double *error, *worst;      /* (O) squares summed, largest               */
    double *sum, *square;       /* (O) of the float model's y                */
    int same;                   /* cases whose largest output is the same    */
    const char *fault;
} int8_model;

/* Memory of zeros; the program ends soon, and gives all back. */
static void *zeros(size_t count, size_t size)
{
    void *at = calloc(count + 1, size);

    if (at == NULL) {
        fprintf(stderr, "export_c: out of memory\n");
        exit(1);
    }
    return at;
}

static long rounded(double x)
{
    return (long)(x < 0 ? x - 0.5 : x + 0.5);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double magnitude(double x)
{
    return x < 0 ? -x : x;
}

/* Layer l of a copy; copy E is the gate. */
static int8_layer *int8_layer_at(const int8_model *q, int copy, int l)
{
    return q->layer + (size_t)copy * (size_t)q->layers + l;
}

static int layers_of(const int8_model *q, int copy)
{
    return copy < q->E ? q->layers : q->gate_layers;
}

/* --------------------------------------------------------- calibration */
/* A number off a line, and what follows it: separators are blanks, commas,
   semicolons and tabs.  0: there is none. */
static int read_number(char **at, float *value)
{
    char *end;
    double x;

    while (**at == ' ' || **at == '\t')
        ++*at;
    x = strtod(*at, &end);
    if (end == *at || !(x >= -1e30 && x <= 1e30))
        return 0;
    *value = (float)x;
    while (*end == ' ' || *end == '\t' || *end == '\r')
        end++;
    if (*end == ',' || *end == ';')
        end++;
    else if (*end != 0 && *end != '\n' && end[-1] != ' ' && end[-1] != '\t')
        return 0;
    *at = end;
    return 1;
}

/* A whole line without its end, in memory that grows; 0: there is none. */
static int read_line(FILE *from, char **line, size_t *size)
{
    size_t length = 0;
    int c;

    do {
        if (length + 2 > *size) {
            *size = 2 * *size + 256;
            *line = (char *)realloc(*line, *size);
            if (*line == NULL)
                return 0;
        }
        c = getc(from);
        (*line)[length++] = (char)(c != 0 ? c : '?');
    } while (c != EOF && c != '\n');
    (*line)[--length] = 0;
    return c != EOF || length > 0;
}

/* The inputs of a line to row n of x; how many were found. */
static int read_row(int8_model *q, char *line)
{
    const size_t I = (size_t)q->I, n = (size_t)q->n;
    size_t i;

    if ((n & (n - 1)) == 0)             /* room for twice as many, or for 1 */
        q->x = (float *)realloc(q->x, (2 * n + 1) * I * sizeof *q->x);
    for (i = 0; i < I && q->x != NULL; i++)
        if (!read_number(&line, q->x + n * I + i))
            break;
    return (int)i;
}

/* Whether a first line is no row: it does not begin with a number, such as are
   nan and 1e99, too, nor with the end of an empty field. */
static int is_heading(char *line)
{
    char *end;

    while (*line == ' ' || *line == '\t')
        line++;
    strtod(line, &end);
    return strchr(",;", *line) == NULL
        && (end == line || strchr(" \t\r,;", *end) == NULL);
}

static const char *read_inputs(int8_model *q, const char *path)
{
    static char fault[120];
    FILE *from = fopen(path, "rb");
    size_t size = 0;
    char *line = NULL;
    int number, found;

    if (from == NULL)
        return "cannot be opened";
    for (number = 1; read_line(from, &line, &size) && fault[0] == 0; number++) {
        if (line[strspn(line, " \t\r,;")] == 0)
            continue;
        found = q->n < 1000000 ? read_row(q, line) : q->I;
        if (found == q->I)
            q->n += q->n < 1000000;
        else if (number > 1 || !is_heading(line))
            sprintf(fault, "line %d has %d numbers where the model has %d "
                    "inputs", number, found, q->I);
    }
    free(line);
    fclose(from);
    return fault[0] != 0 ? fault
         : q->n == 0 ? "there is no row with a number for each input" : NULL;
}

/* z = (x - shift) factor, as the networks see it */
static void standardised(const int8_model *q, const float *x, float *z)
{
    const float *shift = scale_x_of(q->m), *factor = shift + q->I;
    int i;

    for (i = 0; i < q->I; i++)
        z[i] = (x[i] - shift[i]) * factor[i];
}

/* e^x = (e^(x / 1024))^1024 */
static double exponential(double x)
{
    const double r = larger(smaller(x, 700), -700) / 1024;
    double y = 1 + r * (1 + r / 2 * (1 + r / 3 * (1 + r / 4 * (1 + r / 5))));
    int i;

    for (i = 0; i < 10; i++)
        y *= y;
    return y;
}

static float activated(moe_activation f, float a)
{
    return f == MOE_ACT_RELU ? (a > 0 ? a : 0)
         : f == MOE_ACT_TANH
            ? (float)(1 - 2 / (1 + exponential(2 * (double)a)))
            : (float)(1 / (1 + exponential(-(double)a)));
}

/* A network in floats, for the means and the largest sums of its layers. */
static void observe(int8_model *q, int copy, const float *z, double share,
                    float *room)
{
    const moe_config *c = &q->m->config;
    float *y = room;
    int l, i, j;

    z += copy < q->E ? c->expert_inputs.first : c->gate_inputs.first;
    for (l = 0; l < layers_of(q, copy); l++) {
        int8_layer *layer = int8_layer_at(q, copy, l);
        const moe_layer at = moe_layer_at(c, copy, l);
        const float *w = q->m->params + at.weight;

        memcpy(y, q->m->params + at.bias, (size_t)at.out * sizeof *y);
        for (i = 0; i < at.in; i++, w += at.out) {
            layer->mean[i] += share * (double)z[i];
            for (j = 0; j < at.out; j++)
                y[j] += z[i] * w[j];
        }
        for (j = 0; j < at.out; j++) {
            layer->largest = larger(layer->largest, magnitude((double)y[j]));
            y[j] = activated(c->activation, y[j]);
        }
        z = y;
        y = y == room ? room + INT8_WIDEST : room;
    }
}

/* How much a case counts for a network; again: for the experts whose p was
   never above 0. */
static double share_of(const int8_model *q, int copy, int again)
{
    if (again)
        return q->share[copy] > 0 ? 0 : 1;
    return copy < q->E ? (double)q->m->p[copy] : 1;
}

static void observe_all(int8_model *q, const float *z, int again, float *room)
{
    int i;

    for (i = 0; i < q->E + (q->E > 1); i++) {
        const double share = share_of(q, i, again);

        if (share > 0)
            observe(q, i, z, share, room);
        q->share[i] += again ? 0 : share;
    }
}

/* From sums over cases to means. */
static void divide_means(int8_model *q)
{
    int copy, l, i;

    for (copy = 0; copy < q->E + (q->E > 1); copy++)
        for (l = 0; l < layers_of(q, copy); l++) {
            int8_layer *layer = int8_layer_at(q, copy, l);

            for (i = 0; i < layer->in; i++)
                layer->mean[i] /= q->share[copy] > 0 ? q->share[copy] : q->n;
        }
}

/* Ranges of inputs and of the sums of all layers, and means of what goes into
   these; experts that do not answer for a case do not count, unless they never
   do. */
static void calibrate(int8_model *q)
{
    float *room = (float *)zeros(2 * INT8_WIDEST + (size_t)q->I, sizeof *room);
    float *z = room + 2 * INT8_WIDEST;
    double largest = 0;
    int n, i, again;

    for (again = 0; again < 2; again++)
        for (n = 0; n < q->n; n++) {
            const float *x = q->x + (size_t)n * (size_t)q->I;

            standardised(q, x, z);
            for (i = 0; i < q->I; i++)
                largest = larger(largest, magnitude((double)z[i]));
            if (again == 0)
                moe_forward(q->m, x, 1);
            observe_all(q, z, again, room);
        }
    q->x_scale = 32767 / (INT8_ROOM * larger(largest, 1e-30));
    divide_means(q);
    free(room);
}

/* -------------------------------------------------------- quantisation */
/* Softmax does not see what is added to all sums: weights lie around 0 without
   the middle of those of an input, and their scale is larger. */
static void centre(moe *m, moe_layer at)
{
    int i, j;

    for (i = 0; i < at.in; i++) {
        float *w = m->weights + at.weight + (size_t)i * (size_t)at.out;
        double least = (double)w[0], most = least;

        for (j = 1; j < at.out; j++) {
            least = smaller(least, (double)w[j]);
            most = larger(most, (double)w[j]);
        }
        for (j = 0; j < at.out; j++)
            w[j] -= (float)((least + most) / 2);
    }
}

/* The largest sum, of any inputs, if weights are scaled so; halves that are
   rounded up count, and what the bias gets for them. */
static double worst_sum(const moe *m, const int8_layer *layer, moe_layer at)
{
    double worst = 0;
    int i, j;

    for (j = 0; j < at.out; j++) {
        double sum = magnitude((double)m->params[at.bias + (size_t)j])
                   * layer->in_scale * layer->weight_scale + 131072;

        for (i = 0; i < at.in; i++)
            sum += 32768 * (1 + layer->weight_scale * magnitude((double)
                m->params[at.weight + (size_t)i * (size_t)at.out
                          + (size_t)j]));
        worst = larger(worst, sum);
    }
    return worst;
}

/* The largest scale at which weights fit 8 bits and sums `limit`. */
static void scale_weights(const moe *m, int8_layer *layer, moe_layer at,
                          double limit)
{
    const size_t count = (size_t)at.in * (size_t)at.out;
    double largest = 1e-30, worst;
    size_t i;

    for (i = 0; i < count; i++)
        largest = larger(largest, magnitude((double)m->params[at.weight + i]));
    layer->weight_scale = 127 / largest;
    while ((worst = worst_sum(m, layer, at)) > limit)
        layer->weight_scale *= smaller(limit / worst, 0.99);
}

/* multiplier / 2^(16 + shift) = out_scale / (in_scale weight_scale), which is
   below a half */
static void set_multiplier(int8_layer *layer)
{
    double ratio = layer->out_scale / (layer->in_scale * layer->weight_scale)
                 * 65536;

    for (layer->shift = 0; layer->shift < 15 && ratio < 16383.5; ratio *= 2)
        layer->shift++;
    layer->multiplier = (int)smaller((double)rounded(ratio), 32767);
}

/* Row j of the weights; what rounding them takes off the sum of a mean case. */
static double quantise_row(const moe *m, int8_layer *layer, moe_layer at, int j)
{
    int8_t *row = layer->weight + (size_t)j * (size_t)layer->columns;
    double off = 0;
    int i;

    for (i = 0; i < at.in; i++) {
        const double w = layer->weight_scale * (double)m->params[at.weight
                       + (size_t)i * (size_t)at.out + (size_t)j];

        row[i] = (int8_t)rounded(w);
        off += (w - row[i]) * layer->mean[i];
    }
    return off * layer->in_scale;
}

/* Weights and biases; `round` adds half of what the shift takes away. */
static void quantise(const moe *m, int8_layer *layer, moe_layer at, int round)
{
    const double half = round && layer->multiplier > 0
        ? 32768.0 * (1 << layer->shift) / layer->multiplier : 0;
    int j;

    layer->bias = (int32_t *)zeros((size_t)layer->rows, sizeof *layer->bias);
    layer->weight = (int8_t *)zeros((size_t)layer->rows
                                    * (size_t)layer->columns, 1);
    for (j = 0; j < at.out; j++)
        layer->bias[j] = (int32_t)rounded(smaller(half, 131071)
            + (double)m->params[at.bias + (size_t)j]
            * layer->in_scale * layer->weight_scale
            + quantise_row(m, layer, at, j));
}

/* Whether a layer leaves its sums, for softmax. */
static int is_sums(const int8_model *q, int copy, int l)
{
    return l == layers_of(q, copy) - 1
        && (copy == q->E || q->m->config.output == MOE_OUT_SOFTMAX);
}

/* What sums are scaled to where they go to exp, else 0. */
static double bounded_scale(const int8_model *q, int copy, int l)
{
    const moe_config *c = &q->m->config;

    if (l < layers_of(q, copy) - 1)
        return c->activation == MOE_ACT_TANH ? 2 * INT8_UNIT
             : c->activation == MOE_ACT_LOGISTIC ? INT8_UNIT : 0;
    return copy == q->E || c->output != MOE_OUT_LINEAR ? INT8_UNIT : 0;
}

/* All last layers before a softmax. */
static void centre_all(int8_model *q)
{
    int i;

    for (i = 0; i < q->E + (q->E > 1); i++)
        if (is_sums(q, i, layers_of(q, i) - 1))
            centre(q->m, moe_layer_at(&q->m->config, i, layers_of(q, i) - 1));
}

/* Scales of one network, layer by layer; linear outputs get theirs later. */
static void scale_net(int8_model *q, int copy)
{
    double scale = q->x_scale;
    int l;

    for (l = 0; l < layers_of(q, copy); l++) {
        int8_layer *layer = int8_layer_at(q, copy, l);
        const double bounded = bounded_scale(q, copy, l);
        double most;

        layer->in_scale = scale;
        scale_weights(q->m, layer, moe_layer_at(&q->m->config, copy, l),
                      is_sums(q, copy, l) ? INT8_DIFFERENCE : INT32_MAX);
        most = 0.499 * layer->in_scale * layer->weight_scale;
        layer->out_scale = bounded > 0 ? bounded : smaller(most, 32767
            / (INT8_ROOM * larger(layer->largest, 1e-30)));
        if (layer->out_scale > most)
            q->fault = "its weights are too large for integers: exp would be "
                       "finer than their sums";
        scale = bounded > 0 ? 32768 : layer->out_scale;
    }
}

/* All layers in integers.  Linear outputs have the smallest scale of all. */
static void quantise_all(int8_model *q)
{
    const moe *m = q->m;
    const int last = q->layers - 1, linear = m->config.output == MOE_OUT_LINEAR;
    int i, l;

    for (i = 0; i < q->E + (q->E > 1); i++)
        scale_net(q, i);
    q->o_scale = linear ? 1e30 : 32768;
    for (i = 0; i < q->E && linear; i++)
        q->o_scale = smaller(q->o_scale, int8_layer_at(q, i, last)->out_scale);
    for (i = 0; i < q->E && linear; i++)
        int8_layer_at(q, i, last)->out_scale = q->o_scale;
    for (i = 0; i < q->E + (q->E > 1); i++)
        for (l = 0; l < layers_of(q, i); l++) {
            int8_layer *layer = int8_layer_at(q, i, l);

            set_multiplier(layer);
            quantise(m, layer, moe_layer_at(&m->config, i, l),
                     !is_sums(q, i, l));
        }
    for (i = 0; i < q->E && q->K < q->E; i++) {
        const int8_layer *gate = int8_layer_at(q, q->E, q->gate_layers - 1);

        q->balance[i] = (int32_t)smaller(larger(gate->in_scale
            * gate->weight_scale * (double)balance_of(m)[i], -INT8_DIFFERENCE),
            INT8_DIFFERENCE);
    }
}

/* ------------------------------------------- the same in this program */
/* What the written code does, for its test vectors and its error. */
static int32_t cut(int64_t x)
{
    return (int32_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
}

static void int8_sums(const int8_layer *layer, const int32_t *x, int32_t *sum)
{
    int i, j;

    for (j = 0; j < layer->out; j++) {
        const int8_t *w = layer->weight + (size_t)j * (size_t)layer->columns;
        int32_t a = layer->bias[j];

        for (i = 0; i < layer->in; i++)
            a += w[i] * x[i];
        sum[j] = a;
    }
}

/* floor(sum multiplier / 2^(16 + shift)) */
static int64_t rescaled(const int8_layer *layer, int64_t sum)
{
    const int64_t power = (int64_t)1 << (16 + layer->shift);
    const int64_t a = sum * layer->multiplier;

    return a >= 0 ? a / power : -((power - 1 - a) / power);
}

static int32_t int8_exp2(int32_t d)
{
    const int32_t f = (d & 1023) << 5, q = 7555 - (f * 1283 >> 15);

    return (32768 - (f * (22657 - (f * q >> 15)) >> 15)) >> (d >> 10);
}

/* Of a sum at the scale of exp; tanh's is twice as large. */
static int32_t int8_sigmoid(int32_t v, int tanh)
{
    const int32_t t = int8_exp2(cut(v < 0 ? -v : v)), below = 32768 + t;
    const int32_t above = tanh ? 32768 - t : 32768;
    const int32_t y = (int32_t)(((int64_t)above * 32768 + below / 2) / below);

    return (int32_t)smaller(v >= 0 ? y : tanh ? -y : 32768 - y, 32767);
}

/* p (n) = softmax of sums, of those that run */
static void int8_softmax(const int8_layer *layer, const int32_t *sum, int n,
                         int32_t *p)
{
    int64_t largest = INT32_MIN, total = 0;
    int i;

    for (i = 0; i < n; i++)
        if (p[i] != 0 && sum[i] > largest)
            largest = sum[i];
    for (i = 0; i < n; i++) {
        if (p[i] != 0)
            p[i] = int8_exp2(cut(rescaled(layer, largest - sum[i])));
        total += p[i];
    }
    for (i = 0; i < n; i++)
        p[i] = (int32_t)(((int64_t)p[i] * 32768 + total / 2) / total);
}

/* y of one network from x; the gate and softmax experts give sums. */
static void int8_net(const int8_model *q, int copy, const int32_t *x,
                     int32_t *room, int32_t *y)
{
    const moe_config *c = &q->m->config;
    const int last = layers_of(q, copy) - 1;
    int l, j;

    x += copy < c->experts ? c->expert_inputs.first : c->gate_inputs.first;
    for (l = 0; l <= last; l++) {
        const int8_layer *layer = int8_layer_at(q, copy, l);
        int32_t *to = l == last ? y : room + l % 2 * INT8_WIDEST;

        int8_sums(layer, x, to);
        for (j = 0; j < layer->out && !is_sums(q, copy, l); j++) {
            to[j] = cut(rescaled(layer, to[j]));
            if (bounded_scale(q, copy, l) > 0)
                to[j] = int8_sigmoid(to[j], l < last
                                     && c->activation == MOE_ACT_TANH);
            else if (l < last && to[j] < 0)
                to[j] = 0;
        }
        x = to;
    }
}

/* p (E) in 32768ths; 0: does not run */
static void int8_gate(const int8_model *q, const int32_t *x, int32_t *room,
                      int32_t *p)
{
    int32_t *sum = room + 2 * INT8_WIDEST;
    int i, k;

    p[0] = 32768;
    if (q->E == 1)
        return;
    int8_net(q, q->E, x, room, sum);
    for (i = 0; i < q->E; i++)
        p[i] = q->K == q->E;
    for (k = 0; k < q->K && q->K < q->E; k++) {
        int best = -1;

        for (i = 0; i < q->E; i++)
            if (p[i] == 0 && (best < 0 || sum[i] + q->balance[i]
                              > sum[best] + q->balance[best]))
                best = i;
        p[best] = 1;
    }
    int8_softmax(int8_layer_at(q, q->E, q->gate_layers - 1), sum, q->E, p);
}

/* y (O) of a case in integers   room (5 widest) */
static void int8_predict(const int8_model *q, const int32_t *x, int32_t *room,
                         int32_t *y)
{
    const moe *m = q->m;
    int32_t *p = room + 3 * INT8_WIDEST, *o = room + 4 * INT8_WIDEST;
    int32_t *sum = room + 2 * INT8_WIDEST;
    int i, k;

    int8_gate(q, x, room, p);
    for (k = 0; k < q->O; k++)
        y[k] = 16384;
    for (i = 0; i < q->E; i++) {
        if (p[i] == 0)
            continue;
        int8_net(q, i, x, room, m->config.output == MOE_OUT_SOFTMAX ? sum : o);
        for (k = 0; k < q->O; k++)
            o[k] = m->config.output == MOE_OUT_SOFTMAX ? 1 : o[k];
        if (m->config.output == MOE_OUT_SOFTMAX)
            int8_softmax(int8_layer_at(q, i, q->layers - 1), sum, q->O, o);
        for (k = 0; k < q->O; k++)
            y[k] += p[i] * cut(o[k]);
    }
    for (k = 0; k < q->O; k++)
        y[k] = cut(y[k] >> 15);
}

/* Row n of the calibration; the one after the last: the extremes. */
static void int8_inputs(const int8_model *q, int n, float *z, int32_t *x)
{
    int i;

    if (n < q->n)
        standardised(q, q->x + (size_t)n * (size_t)q->I, z);
    for (i = 0; i < q->I; i++)
        x[i] = n == q->n ? (i % 2 ? 32767 : -32768)
             : cut(rounded(smaller(larger((double)z[i] * q->x_scale, -32768),
                                   32767)));
}

/* y in the units of the model, beside moe_predict's. */
static void int8_compare(int8_model *q, int n, const int32_t *v)
{
    const moe *m = q->m;
    const float *shift = scale_d_of(m), *factor = shift + q->O;
    int k, best = 0, due = 0;

    moe_forward(q->m, q->x + (size_t)n * (size_t)q->I, 1);
    for (k = 0; k < q->O; k++) {
        const double y = (double)shift[k]
                       + (double)factor[k] * v[k] / q->o_scale;
        const double off = y - (double)m->y[k];

        q->error[k] += off * off;
        q->worst[k] = larger(q->worst[k], magnitude(off));
        q->sum[k] += (double)m->y[k];
        q->square[k] += (double)m->y[k] * (double)m->y[k];
        best = v[k] > v[best] ? k : best;
        due = m->y[k] > m->y[due] ? k : due;
    }
    q->same += best == due;
}

static void measure(int8_model *q)
{
    const size_t I = (size_t)q->I, O = (size_t)q->O;
    int32_t *room = (int32_t *)zeros(5 * INT8_WIDEST + I + O, sizeof *room);
    float *z = (float *)zeros(I, sizeof *z);
    int32_t *x = room + 5 * INT8_WIDEST, *y = x + I;
    int n;

    q->error = (double *)zeros(4 * O, sizeof *q->error);
    q->worst = q->error + O;
    q->sum = q->worst + O;
    q->square = q->sum + O;
    for (n = 0; n < q->n; n++) {
        int8_inputs(q, n, z, x);
        int8_predict(q, x, room, y);
        int8_compare(q, n, y);
    }
    free(room);
    free(z);
}
