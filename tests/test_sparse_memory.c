/* test_sparse_memory.c - top_k: which settings are refused, how many bytes a
   choice takes, that every call stays inside them, and that const weights and
   single cases give the same. */
#include "reference.h"

enum { EXPERTS = 5 };

static moe_config config_of(int top_k, int block)
{
    moe_config config = make_config(3, 4, EXPERTS);

    config.top_k = top_k;
    config.block = block;
    config.mode = MOE_MODE_GRADIENT;
    return config;
}

/* ---- settings and memory ------------------------------------------------ */

static void check_refusal(int top_k, double balance, const char *word)
{
    moe_config config = config_of(top_k, 4);
    const char *why = NULL;
    moe m;

    config.balance_loss = (moe_real)balance;
    CHECK(moe_check_config(&config, &why) == MOE_ERR_CONFIG);
    CHECK_THAT(why && strstr(why, word), "top_k %d, balance %g: %s", top_k,
               balance, why ? why : "no reason");
    CHECK(moe_bytes(&config) == 0 && moe_work_bytes(&config) == 0);
    CHECK(moe_open(&m, &config, NULL, 0) == MOE_ERR_CONFIG);
    CHECK(m.error && strstr(m.error, word));
}

static void check_settings(void)
{
    moe_config config = config_of(2, 4);

    check_refusal(-1, 0, "top_k");
    check_refusal(EXPERTS + 1, 0, "top_k");
    check_refusal(0, 1, "balance");
    check_refusal(EXPERTS, 1, "balance");
    check_refusal(2, -1, "balance");
    check_refusal(2, (double)NAN, "balance");
    check_refusal(2, HUGE_VAL, "balance");
    config.balance_loss = 1;
    CHECK(moe_check_config(&config, NULL) == MOE_OK);
    config.balance_loss = 0;
    for (config.top_k = 0; config.top_k <= EXPERTS; config.top_k++)
        CHECK(moe_check_config(&config, NULL) == MOE_OK);
    config.experts = config.top_k = 1;
    CHECK(moe_check_config(&config, NULL) == MOE_OK);
}

/* What learning keeps of the experts is of those that ran. */
static void check_sizes(void)
{
    moe_config config = config_of(0, 64);
    size_t dense, before = 0;

    config.experts = 16;
    config.hidden[0] = 32;
    dense = moe_bytes(&config);
    for (config.top_k = 1; config.top_k <= 8; config.top_k++) {
        CHECK(moe_bytes(&config) > before && moe_bytes(&config) < dense);
        before = moe_bytes(&config);
    }
}

static void use_all(problem *q, moe *m)
{
    moe_real y[MAX_ROWS * MAX_OUT], dE_dx[MAX_ROWS * MAX_IN];
    moe_training t = plain_sgd((moe_real)0.01);
    moe_status due = m->config.top_k == 1 ? MOE_ERR_CONFIG : MOE_OK;
    moe_report report;
    int loss;

    t.balance_rate = (moe_real)0.01;
    moe_predict(m, q->x, q->data.n, y);
    moe_forward(m, q->x, q->data.n);
    moe_backward(m, y, dE_dx);
    for (loss = 0; loss < 3; loss++) {
        m->config.loss = (moe_loss)loss;
        moe_gradient(m, &q->data);
        CHECK(moe_step(m, &t, (moe_real)0.01) == due);
        CHECK(moe_evaluate(m, &q->data, &report) == MOE_OK);
        CHECK(moe_train(m, &q->data, &q->data, &t, &report) == due);
        CHECK(choice_is_sound(m));
    }
}

static void check_exact_open(problem *q, size_t tail)
{
    moe_config config = q->m.config;
    size_t bytes;
    void *memory;
    arena a;
    moe m;

    config.mode = MOE_MODE_TRAIN;
    config.balance_loss = 1;
    bytes = moe_bytes(&config);
    memory = arena_make(&a, bytes, tail);
    CHECK(moe_open(&m, &config, memory, bytes - 1) == MOE_ERR_MEMORY);
    if (CHECK(moe_open(&m, &config, memory, bytes) == MOE_OK)) {
        memcpy(m.weights, q->m.weights, m.param_count * sizeof *m.weights);
        use_all(q, &m);
        CHECK(arena_intact(&a));
    }
    moe_close(&m);
    free(a.base);
}

/* The same bits over const weights, without memory to learn. */
static void check_exact_attach(problem *q, size_t tail)
{
    moe_real y[MAX_ROWS * MAX_OUT], again[MAX_ROWS * MAX_OUT];
    moe_config config = q->m.config;
    size_t bytes = moe_work_bytes(&config), rows;
    size_t K = (size_t)config.top_k, O = (size_t)config.outputs;
    arena a;
    void *memory = arena_make(&a, bytes, tail);
    moe m;

    moe_predict(&q->m, q->x, q->data.n, y);
    if (CHECK(moe_attach(&m, &config, q->m.weights, memory, bytes) == MOE_OK)) {
        moe_predict(&m, q->x, q->data.n, again);
        CHECK(same_reals(y, again, (size_t)q->data.n * O));
        rows = (size_t)moe_forward(&m, q->x, q->data.n);
        CHECK((int)rows == moe_forward(&q->m, q->x, q->data.n));
        CHECK(memcmp(m.selected, q->m.selected, rows * K * sizeof *m.selected)
              == 0);
        CHECK(same_reals(m.o, q->m.o, rows * K * O));
        CHECK(same_reals(m.y, q->m.y, rows * O));
        CHECK(arena_intact(&a));
    }
    moe_close(&m);
    free(a.base);
}

/* Cases one by one: to rounding, or bit for bit under MOE_SAME_BITS. */
static void check_one_by_one(problem *q)
{
    moe_real y[MAX_ROWS * MAX_OUT], one[MAX_OUT];
    int i, k, wrong = 0, I = q->m.config.inputs, O = q->m.config.outputs;

    moe_predict(&q->m, q->x, q->data.n, y);
    for (i = 0; i < q->data.n; i++) {
        moe_predict(&q->m, q->x + i * I, 1, one);
        for (k = 0; k < O; k++)
            wrong += !near_to(one[k], (double)y[i * O + k]);
#ifdef MOE_SAME_BITS
        wrong += !same_reals(one, y + i * O, (size_t)O);
#endif
    }
    CHECK(wrong == 0);
}

static void check_memory(void)
{
    static const int rows[] = {1, 7, 64};
    static const char *const cases[] = {
        "inputs=3 outputs=2 experts=9 top_k=2 n=40",
        ("inputs=2 outputs=3 experts=5 top_k=3 hidden=4 gate=3 n=40 "
         "silu softmax-out labelled=1"),
        "inputs=4 outputs=2 experts=33 top_k=1 hidden=3 n=33 tanh logistic-out",
        "inputs=3 outputs=3 experts=18 top_k=17 gate=4 n=37 elu softmax-out"
    };
    static problem q;
    int k;

    for (k = 0; k < 12; k++) {
        model_case c = case_of(cases[k / 3]);

        c.config.block = rows[k % 3];
        if (!open_problem(&q, &c, uniform))
            continue;
        check_exact_open(&q, 0);
        check_exact_open(&q, 64);
        check_exact_attach(&q, 0);
        check_exact_attach(&q, 64);
        check_one_by_one(&q);
        moe_close(&q.m);
    }
}

int main(void)
{
    RUN(check_settings());
    RUN(check_sizes());
    RUN(check_memory());
    return check_done();
}
