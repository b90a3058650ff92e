/* test_sparse_odd.c - top_k with numbers that are not, and with numbers that
   are too large: the choice stays sound, a NaN loses against all, one odd row
   does not touch the others, and who does not run has no share. */
#include "reference.h"

/* ---- numbers that are not, and numbers that are too large --------------- */

enum { ODD_ROWS = 9, ODD_IN = 3, ODD_OUT = 4, ODD_EXPERTS = 5 };

static moe_real odd_number(int k)
{
    static const double odd[] = {1e38, -1e38, HUGE_VAL, -HUGE_VAL};

    return k < 4 ? (moe_real)odd[k] : (moe_real)NAN;
}

static moe_config odd_config(int top_k, int rows)
{
    moe_config config = make_config(ODD_IN, ODD_OUT, ODD_EXPERTS);

    config.top_k = top_k;
    config.block = rows;
    config.mode = MOE_MODE_GRADIENT;
    return config;
}

static int chosen_in(const moe *m, int row, int expert)
{
    int k, K = m->config.top_k;

    for (k = 0; k < K; k++)
        if (m->selected[row * K + k] == expert)
            return 1;
    return 0;
}

static void fill_odd(moe *m, moe_real *x)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        m->weights[i] = (moe_real)uniform();
    for (i = 0; i < ODD_ROWS * ODD_IN; i++)
        x[i] = (moe_real)uniform();
}

/* One number of one row is odd: the other rows do not notice. */
static void check_odd_row(moe *m, moe_real *x, int row, moe_real odd)
{
    moe_real y[ODD_ROWS * ODD_OUT], again[ODD_ROWS * ODD_OUT];
    moe_real *at = x + row * ODD_IN + row % ODD_IN, kept = *at;
    int i, wrong = 0;

    moe_predict(m, x, ODD_ROWS, y);
    *at = odd;
    moe_predict(m, x, ODD_ROWS, again);
    CHECK(choice_is_sound(m));
    for (i = 0; i < ODD_ROWS * ODD_OUT; i++)
        wrong += i / ODD_OUT != row && !near_to(again[i], (double)y[i]);
    CHECK(wrong == 0);
    CHECK(moe_forward(m, x + row * ODD_IN, ODD_ROWS - row) > 0);
    CHECK(choice_is_sound(m));
    moe_backward(m, y, NULL);
    *at = kept;
}

static void check_odd_inputs(int top_k, int rows)
{
    moe_config config = odd_config(top_k, rows);
    moe_real x[ODD_ROWS * ODD_IN];
    int row, k;
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    fill_odd(&m, x);
    for (row = 0; row < ODD_ROWS; row++)
        for (k = 0; k < 5; k++)
            check_odd_row(&m, x, row, odd_number(k));
    moe_close(&m);
}

/* Where expert j's bias in the gate is, its second weight, its balance. */
static moe_real *gate_number(moe *m, int which, int j)
{
    moe_layer gate = moe_layer_at(&m->config, ODD_EXPERTS, 0);

    return m->weights + (size_t)j
         + (which == 0 ? gate.bias
            : which == 1 ? gate.weight + ODD_EXPERTS : balance_at(m));
}

/* A NaN loses against all: of experts 0 .. last, none is chosen while there
   are enough others, and all others are when there are no more than that. */
static void check_losers(const moe *m, int last)
{
    int r, others = ODD_EXPERTS - 1 - last;

    for (r = 0; r < m->rows; r++) {
        if (others >= m->config.top_k)
            CHECK(!chosen_in(m, r, last) && !chosen_in(m, r, 0));
        if (others > 0 && others <= m->config.top_k)
            CHECK(chosen_in(m, r, last + 1)
                  && chosen_in(m, r, ODD_EXPERTS - 1));
    }
}

/* The same numbers in the weights of the gate, in one expert's after the
   other's. */
static void check_odd_gate(int top_k, moe_real odd, int which)
{
    moe_config config = odd_config(top_k, 4);
    moe_real x[ODD_ROWS * ODD_IN], d[ODD_ROWS * ODD_OUT];
    moe_real y[ODD_ROWS * ODD_OUT];
    moe_data data = {ODD_ROWS, x, d, NULL, NULL};
    int j;
    moe m;

    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    fill_odd(&m, x);
    memset(d, 0, sizeof d);
    for (j = 0; j < ODD_EXPERTS; j++) {
        *gate_number(&m, which, j) = odd;
        moe_predict(&m, x, ODD_ROWS, y);
        CHECK(choice_is_sound(&m));
        CHECK(moe_forward(&m, x, ODD_ROWS) == 4 && choice_is_sound(&m));
        if (isnan(odd))
            check_losers(&m, j);
        moe_gradient(&m, &data);
        CHECK(choice_is_sound(&m));
        clear_grads(&m);
    }
    moe_close(&m);
}

/* However low the logits of the chosen, the others have no share: of p, nor,
   however large the errors, of h. */
static void check_no_share(moe_real bias, moe_real target)
{
    moe_config config = odd_config(2, 4);
    moe_real x[ODD_ROWS * ODD_IN], d[ODD_ROWS * ODD_OUT];
    moe_data data = {4, x, d, NULL, NULL};
    moe_layer gate = moe_layer_at(&config, ODD_EXPERTS, 0);
    int i, wrong = 0;
    moe m;

    config.sigma = (moe_real)0.5;
    if (!CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK))
        return;
    fill_odd(&m, x);
    for (i = 0; i < ODD_EXPERTS; i++)
        m.weights[gate.bias + (size_t)i] += bias;
    for (i = 0; i < ODD_ROWS * ODD_OUT; i++)
        d[i] = target;
    moe_gradient(&m, &data);
    for (i = 0; i < 4 * ODD_EXPERTS; i++)
        wrong += !chosen_in(&m, i / ODD_EXPERTS, i % ODD_EXPERTS)
               && !(is_zero(m.p[i]) && is_zero(m.h[i]));
    CHECK_THAT(wrong == 0, "logits near %g, targets %g", (double)bias,
               (double)target);
    moe_close(&m);
}

static void check_odd_numbers(void)
{
    static const int rows[] = {1, 4, 64};
    static const double low[] = {-1, -1e20, -9e29, -1e30, -2e30, -1e38};
    int k, top_k;

    for (top_k = 1; top_k < ODD_EXPERTS; top_k++) {
        for (k = 0; k < 3; k++)
            check_odd_inputs(top_k, rows[k]);
        for (k = 0; k < 15; k++)
            check_odd_gate(top_k, odd_number(k % 5), k / 5);
    }
    for (k = 0; k < 6; k++)
        check_no_share((moe_real)low[k], 1);
    check_no_share(0, (moe_real)1e10);
    check_no_share(0, (moe_real)1e20);
}

int main(void)
{
    RUN(check_odd_numbers());
    return check_done();
}
