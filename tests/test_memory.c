/* test_memory.c - moe_bytes is exact: every call stays inside a buffer of
   that many bytes (the end of the buffer is the end of an allocation, for the
   address sanitizer, or is followed by marked bytes), the count is what the
   documented arrays sum up to, and moe_layer_at tiles the parameters. */
#include "models.h"

enum { FEW = 11, MANY = 300, VALID_CASES = 5 };

/* ---- data in exact allocations ----------------------------------------- */

static moe_real *reals(int rows, int columns)
{
    size_t i, count = (size_t)rows * (size_t)columns;
    moe_real *a = (moe_real *)malloc(count * sizeof(moe_real));

    if (!a)
        exit(1);
    for (i = 0; i < count; i++)
        a[i] = (moe_real)((i * 37 + 11) % 101) / 101;
    return a;
}

/* Targets in exact allocations: labels for softmax, else values in [0,1]. */
static moe_data data_of(const moe_config *config, int n)
{
    moe_data data;
    int i, *labels;

    memset(&data, 0, sizeof data);
    data.n = n;
    data.x = reals(n, config->inputs);
    if (config->output != MOE_OUT_SOFTMAX) {
        data.d = reals(n, config->outputs);
        return data;
    }
    labels = (int *)malloc((size_t)n * sizeof *labels);
    if (!labels)
        exit(1);
    for (i = 0; i < n; i++)
        labels[i] = i % config->outputs;
    data.labels = labels;
    return data;
}

/* The data is const to everyone but who made it. */
static void free_const(const void *p)
{
    void *writable;

    memcpy(&writable, &p, sizeof writable);
    free(writable);
}

static void free_data(const moe_data *data)
{
    free_const(data->x);
    free_const(data->d);
    free_const(data->labels);
}

/* ---- every call inside its bytes --------------------------------------- */

static void use_prediction(moe *m, int cases)
{
    const moe_config *config = &m->config;
    moe_real *x = reals(cases, config->inputs);
    moe_real *y = reals(cases, config->outputs);
    int rows, wanted = cases < config->block ? cases : config->block;

    moe_predict(m, x, cases, y);
    rows = moe_forward(m, x, cases);
    CHECK(rows == wanted && m->rows == wanted);
    free(x);
    free(y);
}

static void use_gradients(moe *m, const moe_data *data)
{
    moe_training sgd;
    moe_report report;
    moe_real *dE_dy = reals(m->config.block, m->config.outputs);
    moe_real *dE_dx;
    int rows = moe_forward(m, data->x, data->n);

    dE_dx = reals(rows, m->config.inputs);
    moe_backward(m, dE_dy, dE_dx);
    moe_backward(m, dE_dy, NULL);
    CHECK(moe_gradient(m, data) < 1000);
    memset(&sgd, 0, sizeof sgd);
    sgd.optimizer = MOE_SGD;
    CHECK(moe_step(m, &sgd, (moe_real)0.01) == MOE_OK);
    CHECK(moe_evaluate(m, data, &report) == MOE_OK);
    free(dE_dy);
    free(dE_dx);
}

static void use_training(moe *m, const moe_data *data)
{
    moe_data valid = data_of(&m->config, VALID_CASES);
    moe_training t;
    moe_report report;

    memset(&t, 0, sizeof t);
    t.epochs = 2;
    t.batch = 4;
    CHECK(moe_train(m, data, &valid, &t, &report) == MOE_OK);
    t.batch = MOE_ALL;
    t.optimizer = MOE_SGD;
    t.momentum = (moe_real)0.5;
    CHECK(moe_train(m, data, NULL, &t, &report) == MOE_OK);
    CHECK(moe_step(m, NULL, 1) == MOE_OK);
    free_data(&valid);
}

static void use_everything(const moe_config *config, int cases, size_t tail)
{
    moe_data data = data_of(config, cases);
    arena a;
    moe m;
    size_t bytes = moe_bytes(config);
    void *memory = arena_make(&a, bytes, tail);

    if (CHECK(moe_open(&m, config, memory, bytes) == MOE_OK)) {
        use_prediction(&m, cases);
        CHECK((m.grads == NULL) == (config->mode > MOE_MODE_GRADIENT));
        if (config->mode != MOE_MODE_PREDICT)
            CHECK(moe_learn(&m, &data, NULL) == 0);
        if (config->mode <= MOE_MODE_GRADIENT)
            use_gradients(&m, &data);
        if (config->mode == MOE_MODE_TRAIN)
            use_training(&m, &data);
        moe_close(&m);
    }
    CHECK(arena_intact(&a));
    free(a.base);
    free_data(&data);
}

/* Attached to exactly param_count const parameters. */
static void use_attached(const moe_config *config, int cases, size_t tail)
{
    arena a, b;
    moe m, source;
    moe_real *weights;
    size_t bytes = moe_work_bytes(config), size;
    void *memory = arena_make(&a, bytes, tail);

    if (!CHECK(moe_open(&source, config, NULL, 0) == MOE_OK))
        exit(1);
    size = source.param_count * sizeof(moe_real);
    weights = (moe_real *)arena_make(&b, size, tail);
    memcpy(weights, source.params, size);
    if (CHECK(moe_attach(&m, config, weights, memory, bytes) == MOE_OK)) {
        CHECK(m.params == weights && m.weights == NULL && m.grads == NULL);
        use_prediction(&m, cases);
        moe_close(&m);
    }
    CHECK(memcmp(weights, source.params, size) == 0);
    CHECK(arena_intact(&a) && arena_intact(&b));
    moe_close(&source);
    free(a.base);
    free(b.base);
}

/* ---- shapes that have little in common --------------------------------- */

enum { SHAPES = 8 };

static moe_config shape(int which)
{
    static const int sizes[SHAPES][3] = {     /* inputs, outputs, experts */
        {1, 1, 1}, {3, 2, 2}, {2, 5, 3}, {7, 1, 4},
        {4, 4, 1}, {9, 3, 17}, {33, 2, 5}, {5, 19, 2}};
    static const int hidden[SHAPES][MOE_MAX_HIDDEN] = {
        {0}, {0}, {3}, {1, 8}, {6, 2, 5, 3}, {0}, {4}, {2, 3, 4}};
    static const int gate[SHAPES][MOE_MAX_HIDDEN] = {
        {0}, {0}, {0}, {5}, {3}, {2, 9}, {1, 2, 3, 4}, {16}};
    moe_config config =
        make_config(sizes[which][0], sizes[which][1], sizes[which][2]);

    memcpy(config.hidden, hidden[which], sizeof config.hidden);
    memcpy(config.gate_hidden, gate[which], sizeof config.gate_hidden);
    if (which % 2 == 1) {
        config.expert_inputs.first = 1;
        config.gate_inputs.count = 2;
    }
    return config;
}

static void test_inside(void)
{
    static const moe_output outputs[3] =
        {MOE_OUT_LINEAR, MOE_OUT_LOGISTIC, MOE_OUT_SOFTMAX};
    static const moe_loss losses[3] =
        {MOE_LOSS_MIXTURE, MOE_LOSS_EXPECTED, MOE_LOSS_BLEND};
    static const moe_mode uses[4] = {MOE_MODE_TRAIN, MOE_MODE_GRADIENT,
                                     MOE_MODE_LEARN, MOE_MODE_PREDICT};
    static const int rows[4] = {1, 3, FEW, 16};
    int i, run;

    for (i = 0; i < SHAPES; i++)
        for (run = 0; run < 144; run++) {
            moe_config config = shape(i);
            size_t tail = run % 2 ? MARGIN : 0;

            config.output = outputs[run % 3];
            config.loss = losses[run / 3 % 3];
            config.mode = uses[run / 9 % 4];
            config.block = rows[run / 36 % 4];
            config.activation = (moe_activation)(run % 5);
            use_everything(&config, FEW, tail);
            use_attached(&config, FEW, tail);
        }
}

/* Blocks of more cases than stand side by side, which are more of narrow
   layers. */
static void test_panels(void)
{
    static const int rows[4] = {100, 255, 257, MANY};
    int i, run;

    for (i = 0; i < SHAPES; i++)
        for (run = 0; run < 8; run++) {
            moe_config config = shape(i);
            size_t tail = run % 2 ? MARGIN : 0;

            config.output = run % 3 ? MOE_OUT_SOFTMAX : MOE_OUT_LINEAR;
            config.loss = run % 2 ? MOE_LOSS_MIXTURE : MOE_LOSS_BLEND;
            config.mode = run < 4 ? MOE_MODE_TRAIN : MOE_MODE_PREDICT;
            config.block = rows[run % 4];
            if (run % 2 == 0 && config.experts > 2)
                config.top_k = 2;
            use_everything(&config, MANY, tail);
            use_attached(&config, MANY, tail);
        }
}

/* ---- what the bytes are made of ---------------------------------------- */

static size_t net_size(int in, int out, const int *hidden, int copies)
{
    size_t count = 0;
    int i;

    for (i = 0; i < MOE_MAX_HIDDEN && hidden[i]; i++) {
        count += (size_t)hidden[i] * ((size_t)in + 1);
        in = hidden[i];
    }
    count += (size_t)out * ((size_t)in + 1);
    return count * (size_t)copies;
}

static int seen(moe_span span, int inputs)
{
    return span.count ? span.count : inputs - span.first;
}

/* What learning changes: the experts' biases and weights, the gate's, and
   gate.balance. */
static size_t trained(const moe_config *c)
{
    size_t count = net_size(seen(c->expert_inputs, c->inputs), c->outputs,
                            c->hidden, c->experts);

    if (c->experts > 1)
        count += net_size(seen(c->gate_inputs, c->inputs), c->experts,
                          c->gate_hidden, 1) + (size_t)c->experts;
    return count;
}

static size_t scales(const moe_config *c)
{
    return 2 * ((size_t)c->inputs + (size_t)c->outputs);
}

static void test_counts(void)
{
    int i;

    for (i = 0; i < SHAPES; i++) {
        moe_config config = shape(i);
        moe m;

        if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
            continue;
        CHECK(m.trained_count == trained(&config));
        CHECK(m.param_count == trained(&config) + scales(&config));
        moe_close(&m);
    }
}

/* Reals up to the end of a cache line of floats. */
static size_t lines(size_t count)
{
    return (count + 15) / 16 * 16;
}

/* Parameters, gradients, moments and best weights are as long as they must be
   for each to begin at a cache line, and the order of a block's cases is of
   whole numbers in the place of reals; the rest is work memory and covers the
   public arrays. */
static void test_bytes(void)
{
    int i;

    for (i = 0; i < SHAPES; i++) {
        moe_config config = shape(i);
        size_t values = trained(&config) + scales(&config);
        size_t B = 64, E = (size_t)config.experts;
        size_t O = (size_t)config.outputs;
        size_t shown = B * (2 * E + E * O + O);
        size_t train = moe_bytes(&config), learn, predict;
        size_t work = moe_work_bytes(&config);

        config.mode = MOE_MODE_GRADIENT;
        learn = moe_bytes(&config);
        CHECK(moe_work_bytes(&config) == work);
        config.mode = MOE_MODE_PREDICT;
        predict = moe_bytes(&config);
        CHECK(moe_work_bytes(&config) == work);

        CHECK(train - learn == 3 * lines(trained(&config)) * sizeof(moe_real)
                               + B * sizeof(moe_real));
        CHECK(predict - work == (lines(values) + 1 + E) * sizeof(moe_real));
        CHECK(learn - predict >= (lines(trained(&config)) + B * E)
                                 * sizeof(moe_real));
        CHECK(work >= shown * sizeof(moe_real));
        config.block = 64;
        CHECK(moe_bytes(&config) == predict);
    }
}

/* Work memory grows with the rows, and by the same amount with every 256 of
   them (in between arrays are padded to whole vectors). */
static void test_rows(void)
{
    int i, rows;

    for (i = 0; i < SHAPES; i++)
        for (rows = 1; rows < 70; rows += 23) {
            moe_config config = shape(i);
            size_t one, two, three;

            config.block = rows;
            one = moe_bytes(&config);
            config.block = rows + 2;
            two = moe_bytes(&config);
            config.block = rows + 4;
            three = moe_bytes(&config);
            CHECK(one < two && two < three);
            config.block = 256 * rows;
            one = moe_bytes(&config);
            config.block = 256 * (rows + 1);
            two = moe_bytes(&config);
            config.block = 256 * (rows + 2);
            three = moe_bytes(&config);
            CHECK(one < two && two - one == three - two);
        }
}

static void check_reals(size_t bytes, size_t reals)
{
    CHECK_THAT(bytes == reals * sizeof(moe_real), "%lu bytes for %lu reals",
               (unsigned long)bytes, (unsigned long)reals);
}

/* Counted by hand from the shapes in the header, for every target the same:
   parameters, gradients, two moments and best weights, each up to the end of a
   cache line; what threads work with; the arrays of a block for prediction and
   for learning; deviations of the experts; where training is, 7 reals and 11
   numbers of 32 bits.  A whole number takes the place of a real.  They change
   with the layout alone. */
static void test_literal_bytes(void)
{
    const size_t state = 7 + (11 * sizeof(int32_t) + sizeof(moe_real) - 1)
                             / sizeof(moe_real);
    moe_config config = make_config(3, 2, 2);

    config.block = 4;
    check_reals(moe_bytes(&config), 48 + 32 + 3 * 32 + 40 + 100 + 90
                                    + 3 + state);
    config.hidden[0] = 5;
    config.gate_hidden[0] = 3;
    config.activation = MOE_ACT_SILU;
    config.output = MOE_OUT_SOFTMAX;
    check_reals(moe_bytes(&config), 96 + 96 + 3 * 96 + 96 + 100 + 218
                                    + 3 + state);
    config = make_config(2, 1, 2);
    config.block = 1;
    config.mode = MOE_MODE_GRADIENT;
    check_reals(moe_bytes(&config), 32 + 16 + 4 + 14 + 43 + 3 + state);
    config = make_config(1, 1, 2);
    config.block = 1;
    check_reals(moe_work_bytes(&config), 10);
}

/* ---- sizes known when compiled ------------------------------------------ */

typedef char is_constant[MOE_LEARN_BYTES(16, 4, 4, 4, 32) > 0 ? 1 : -1];

/* The constants are what the functions say, for every common shape. */
static void test_constant_bytes(void)
{
    int I, O, E, K, hidden;

    for (I = 1; I < 20; I += 3)
        for (O = 1; O < 6; O++)
            for (E = 1; E < 9; E++)
                for (K = 1; K <= E; K++)
                    for (hidden = 0; hidden < 40; hidden += 13) {
                        moe_config config = make_config(I, O, E);

                        config.top_k = K;
                        config.hidden[0] = hidden;
                        config.block = 1;
                        config.mode = MOE_MODE_PREDICT;
                        CHECK(moe_work_bytes(&config)
                              == MOE_WORK_BYTES(I, O, E, K, hidden));
                        CHECK(moe_bytes(&config)
                              == MOE_PREDICT_BYTES(I, O, E, K, hidden));
                        config.mode = MOE_MODE_LEARN;
                        CHECK(moe_bytes(&config)
                              == MOE_LEARN_BYTES(I, O, E, K, hidden));
                    }
    CHECK(sizeof(is_constant) == 1);
}

/* ---- moe_layer_at ------------------------------------------------------- */

static int is_absent(moe_layer layer)
{
    return layer.in == 0 && layer.out == 0 && layer.bias == 0 &&
           layer.weight == 0;
}

/* Layers of `copies` networks, side by side: all biases, then all weights.
   Advances *offset over them. */
static void check_net(const moe_config *config, int first, int copies,
                      int in, int out, const int *hidden, size_t *offset)
{
    int l, i, last = 0;

    for (l = 0; !last; l++) {
        int width;
        size_t biases, weights;

        last = l == MOE_MAX_HIDDEN || hidden[l] == 0;
        width = last ? out : hidden[l];
        biases = (size_t)copies * (size_t)width;
        weights = (size_t)in * (size_t)width;
        for (i = 0; i < copies; i++) {
            moe_layer found = moe_layer_at(config, first + i, l);

            CHECK(found.in == in && found.out == width);
            CHECK(found.bias == *offset + (size_t)i * (size_t)width);
            CHECK(found.weight == *offset + biases + (size_t)i * weights);
        }
        *offset += biases + (size_t)copies * weights;
        in = width;
    }
    for (i = 0; i < copies; i++)
        CHECK(is_absent(moe_layer_at(config, first + i, l)));
}

static void test_find(void)
{
    volatile int beyond = MOE_MAX_HIDDEN + 1;   /* not known to a compiler */
    int i;

    for (i = 0; i < SHAPES; i++) {
        moe_config config = shape(i);
        int experts = config.experts;
        size_t offset = 0;

        check_net(&config, 0, experts,
                  seen(config.expert_inputs, config.inputs),
                  config.outputs, config.hidden, &offset);
        if (experts > 1)
            check_net(&config, experts, 1,
                      seen(config.gate_inputs, config.inputs), experts,
                      config.gate_hidden, &offset);
        else
            CHECK(is_absent(moe_layer_at(&config, experts, 0)));
        CHECK(offset + (experts > 1 ? (size_t)experts : 0)
              == trained(&config));
        CHECK(is_absent(moe_layer_at(&config, experts + 1, 0)));
        CHECK(is_absent(moe_layer_at(&config, -1, 0)));
        CHECK(is_absent(moe_layer_at(&config, 0, -1)));
        CHECK(is_absent(moe_layer_at(&config, 0, beyond)));
    }
}

int main(void)
{
    RUN(test_inside());
    RUN(test_panels());
    RUN(test_counts());
    RUN(test_bytes());
    RUN(test_rows());
    RUN(test_literal_bytes());
    RUN(test_constant_bytes());
    RUN(test_find());
    return check_done();
}
