/* test_columns.c - listed columns for experts and gate: as a moe whose rows
   were put in that order; scales, files, memory, refusals.  test_gradient.c has
   the derivatives. */
#include "models.h"

enum { INPUTS = 12, OUTPUTS = 3, CASES = 70 };

static const char experts_see[] = "10,2-4,2", gate_sees[] = "11,0-1,7";
static const int expert_at[] = {10, 2, 3, 4, 2}, gate_at[] = {11, 0, 1, 7};

static moe_real x[CASES * INPUTS], ordered[CASES * 9], d[CASES * OUTPUTS];

static moe_config config_of(int listed, int block, int top_k)
{
    moe_config config = make_config(listed ? INPUTS : 9, OUTPUTS, 4);

    config.top_k = top_k;
    config.hidden[0] = 6;
    config.block = block;
    config.expert_inputs.count = listed ? 0 : 5;
    config.gate_inputs.first = listed ? 0 : 5;
    config.expert_columns = listed ? experts_see : NULL;
    config.gate_columns = listed ? gate_sees : NULL;
    return config;
}

static void fill_data(void)
{
    int i, k;

    for (i = 0; i < CASES; i++) {
        for (k = 0; k < INPUTS; k++)
            x[i * INPUTS + k] = (moe_real)k + 2 * (moe_real)uniform();
        x[i * INPUTS + 3] = 5;              /* constant */
        for (k = 0; k < 9; k++)
            ordered[i * 9 + k] = x[i * INPUTS + (k < 5 ? expert_at[k]
                                                       : gate_at[k - 5])];
        for (k = 0; k < OUTPUTS; k++)
            d[i * OUTPUTS + k] = x[i * INPUTS + k * 5] * (moe_real)uniform();
    }
}

/* The gate's last layer, which is 0 at first, chooses. */
static void wake(moe *m)
{
    const moe_layer at = moe_layer_at(&m->config, 4, 0);
    int i;

    for (i = 0; i < at.in * at.out; i++)
        m->weights[at.weight + (size_t)i] = (moe_real)(i % 7 - 3) / 4;
}

/* Measured, trained and asked, both are the same. */
static void check_same(int block, int top_k)
{
    moe_config a_config = config_of(1, block, top_k);
    moe_config b_config = config_of(0, block, top_k);
    moe_data a_data = {CASES, NULL, NULL, NULL, NULL}, b_data = a_data;
    moe_real a_y[CASES * OUTPUTS], b_y[CASES * OUTPUTS];
    moe_training t;
    moe a, b;

    memset(&t, 0, sizeof t);
    t.epochs = 3;
    t.holdout = -1;
    a_data.x = x;
    b_data.x = ordered;
    a_data.d = b_data.d = d;
    if (!CHECK(moe_open(&a, &a_config, NULL, 0) == MOE_OK)
        || !CHECK(moe_open(&b, &b_config, NULL, 0) == MOE_OK))
        return;
    CHECK(a.trained_count == b.trained_count);
    wake(&a);
    wake(&b);
    CHECK(moe_train(&a, &a_data, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_train(&b, &b_data, NULL, &t, NULL) == MOE_OK);
    CHECK(moe_learn(&a, &a_data, NULL) == 0);
    CHECK(moe_learn(&b, &b_data, NULL) == 0);
    CHECK(memcmp(a.weights, b.weights, a.trained_count * sizeof *a.weights)
          == 0);
    moe_predict(&a, x, CASES, a_y);
    moe_predict(&b, ordered, CASES, b_y);
    CHECK(memcmp(a_y, b_y, sizeof a_y) == 0);
    moe_close(&a);
    moe_close(&b);
}

static void check_files(moe_blend blend)
{
    moe_config config = config_of(1, 64, 0), read;
    moe_real before[CASES * OUTPUTS], after[CASES * OUTPUTS];
    char text[2][sizeof experts_see + sizeof gate_sees];
    static moe_real memory[40000];
    /* files have float32 */
    const moe_real rounding = sizeof(moe_real) == 4 ? 0 : (moe_real)1e-5;
    unsigned char *file;
    size_t bytes;
    moe a, b;
    int i;

    config.blend = blend;
    config.loss = MOE_LOSS_BLEND;
    strcpy(text[0], experts_see);           /* the caller's, and soon gone */
    strcpy(text[1], gate_sees);
    config.expert_columns = text[0];
    config.gate_columns = text[1];
    if (!CHECK(moe_open(&a, &config, NULL, 0) == MOE_OK))
        return;
    memset(text, 0, sizeof text);
    CHECK(strcmp(a.config.gate_columns, gate_sees) == 0);
    wake(&a);
    moe_predict(&a, x, CASES, before);
    bytes = moe_save_bytes(&a, MOE_MODE_PREDICT);
    file = (unsigned char *)malloc(bytes);
    if (CHECK(file != NULL)) {
        CHECK(moe_save_memory(&a, MOE_MODE_PREDICT, file, bytes) == MOE_OK);
        CHECK(moe_read_config(&read, file, bytes) == MOE_OK);
        CHECK(strncmp(read.gate_columns, gate_sees, sizeof gate_sees - 1)
              == 0);
        CHECK(moe_bytes(&read) > 0 && moe_bytes(&read) <= sizeof memory);
        if (CHECK(moe_load_memory(&b, file, bytes, NULL, memory,
                                  moe_bytes(&read)) == MOE_OK)) {
            memset(file, 0, bytes);
            moe_predict(&b, x, CASES, after);
            for (i = 0; i < (int)(sizeof before / sizeof *before); i++)
                CHECK(before[i] - after[i] <= rounding
                      && after[i] - before[i] <= rounding);
            CHECK(strcmp(b.config.expert_columns, experts_see) == 0);
            CHECK(moe_open(&b, &b.config, memory, sizeof memory)
                  == MOE_ERR_MEMORY);       /* where its text is */
        }
        free(file);
    }
    moe_close(&a);
}

static void check_list(const char *columns, int fits)
{
    moe_config config = config_of(1, 64, 0);
    const char *error;

    config.gate_columns = columns;
    CHECK_THAT((moe_check_config(&config, &error) == MOE_OK) == fits, "%s: %s",
               columns, error);
    config.gate_columns = NULL;
    config.expert_columns = columns;
    CHECK((moe_check_config(&config, NULL) == MOE_OK) == fits);
}

static void check_lists(void)
{
    moe_config config = config_of(1, 64, 0);
    static char many[4 * 32767];
    size_t i;

    check_list("0", 1);
    check_list("0-11", 1);
    check_list("11,11,11", 1);
    check_list("0-11,0-11", 1);
    check_list("", 0);
    check_list("12", 0);
    check_list("0-12", 0);
    check_list("3-2", 0);
    check_list("-1", 0);
    check_list("1-", 0);
    check_list("1,", 0);
    check_list(",1", 0);
    check_list("1,,2", 0);
    check_list("1 2", 0);
    check_list("1-2-3", 0);
    check_list("99999999999999999999", 0);
    for (i = 0; i < 3 * 8000; i++)          /* 8000 fours of columns */
        many[i] = "0-3,"[i % 4];
    many[i - 1] = 0;
    check_list(many, 1);
    for (i = 0; i < 4 * 32000; i++)
        many[i] = "0-3,"[i % 4];
    many[i - 1] = 0;
    check_list(many, 0);
    config.inputs = 32767;                  /* no room for a column more */
    CHECK(moe_check_config(&config, NULL) == MOE_ERR_CONFIG);
    config.inputs = 32767 - 9;
    config.gate_columns = "32757,0-2";
    CHECK(moe_check_config(&config, NULL) == MOE_OK);
}

int main(void)
{
    static const int blocks[] = {1, 5, 16, 64};
    int i;

    fill_data();
    for (i = 0; i < 4; i++) {
        RUN(check_same(blocks[i], 0));
        RUN(check_same(blocks[i], 2));
    }
    RUN(check_files(MOE_BLEND_OUTPUTS));
    RUN(check_files(MOE_BLEND_WEIGHTS));
    RUN(check_lists());
    return check_done();
}
