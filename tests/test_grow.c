/* test_grow.c - examples/grow.h: what is split predicts as before, what is
   pruned has the experts that were kept, and frozen experts stay frozen under
   their new numbers. */
#include "../moe.h"
#include "../examples/grow.h"
#include "check.h"

enum { INPUTS = 3, OUTPUTS = 2, ROWS = 50, MOST = 70 };
static moe_real x[ROWS * INPUTS], d[ROWS * OUTPUTS];

static void make_cases(void)
{
    int i;

    for (i = 0; i < ROWS * INPUTS; i++)
        x[i] = (moe_real)(i * 37 % 101) / 50 - 1;
    for (i = 0; i < ROWS * OUTPUTS; i++)
        d[i] = x[i] * (x[i + 1] > 0 ? 2 : -1);
}

static void open_trained(moe *m, int experts, uint64_t frozen)
{
    moe_config config;
    moe_data data;
    moe_training t;

    memset(&config, 0, sizeof config);
    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    config.inputs = INPUTS;
    config.outputs = OUTPUTS;
    config.experts = experts;
    config.hidden[0] = 4;
    CHECK(moe_open(m, &config, NULL, 0) == MOE_OK);
    data.n = ROWS;
    data.x = x;
    data.d = d;
    t.epochs = 5;
    CHECK(moe_train(m, &data, NULL, &t, NULL) == MOE_OK);
    m->config.frozen_experts = frozen;
}

/* Whether expert i has the weights of another's. */
static int is_copy(const moe *to, int i, const moe *from, int origin)
{
    int l, same = 1;
    moe_layer a, b;

    for (l = 0; (a = moe_layer_at(&to->config, i, l)).out > 0; l++) {
        const size_t out = (size_t)a.out, in = (size_t)a.in;

        b = moe_layer_at(&from->config, origin, l);
        same &= memcmp(to->params + a.bias, from->params + b.bias,
                       out * sizeof(moe_real)) == 0
             && memcmp(to->params + a.weight, from->params + b.weight,
                       in * out * sizeof(moe_real)) == 0;
    }
    return same;
}

static void test_split(void)
{
    static const int origin[] = {0, 1, 2, 2, 2, 2};
    moe_real y[ROWS * OUTPUTS], due[ROWS * OUTPUTS], off;
    moe from, to;
    int i, wrong = 0;

    open_trained(&from, 3, 0);
    CHECK(grow(&to, &from, origin, 6, 0.1, 1) == MOE_OK);
    moe_predict(&from, x, ROWS, due);
    moe_predict(&to, x, ROWS, y);
    for (i = 0; i < ROWS * OUTPUTS; i++) {
        off = y[i] - due[i];
        wrong += !(off < (moe_real)1e-5 && off > (moe_real)-1e-5);
    }
    CHECK_THAT(wrong == 0, "%d predictions have changed", wrong);
    CHECK(is_copy(&to, 0, &from, 0) && is_copy(&to, 1, &from, 1));
    CHECK(!is_copy(&to, 2, &from, 2) && !is_copy(&to, 3, &from, 2));
    moe_close(&from);
    moe_close(&to);
}

/* Experts of origin in a mixture of so many: which are frozen then. */
static void check_frozen(int experts, uint64_t frozen, const int *origin, int n,
                         uint64_t due)
{
    moe from, to;

    open_trained(&from, experts, frozen);
    CHECK(grow(&to, &from, origin, n, 0, 1) == MOE_OK);
    CHECK_THAT(to.config.frozen_experts == due, "%lx for %lx",
               (unsigned long)to.config.frozen_experts, (unsigned long)due);
    moe_close(&from);
    moe_close(&to);
}

static void test_frozen_numbers(void)
{
    static const int split[] = {0, 0, 1, 2, 2}, pruned[] = {0, 2};
    static const int turned[] = {2, 1, 0}, far[] = {69, 63, 64, 5};
    int many[MOST], i;

    for (i = 0; i < MOST; i++)
        many[i] = i == 66 ? 0 : 1;
    check_frozen(3, 1 << 0, split, 5, 3);
    check_frozen(3, 1 << 1, split, 5, 4);
    check_frozen(3, 1 << 2, split, 5, 24);
    check_frozen(3, 1 << 1, pruned, 2, 0);
    check_frozen(3, 1 << 2, pruned, 2, 2);
    check_frozen(3, 1 << 2 | 1 << 1, turned, 3, 3);
    check_frozen(MOST, (uint64_t)1 << 63 | 1 << 5, far, 4, 10);
    check_frozen(3, 1 << 0, many, MOST, 0);
}

/* Expert 2, which becomes 1, stays as it is; the others learn. */
static void test_frozen_learning(void)
{
    static const int origin[] = {0, 2, 3};
    moe from, to;
    moe_data data;
    moe_training t;

    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    data.n = ROWS;
    data.x = x;
    data.d = d;
    t.epochs = 3;
    t.keep_units = 1;
    open_trained(&from, 4, 1 << 2);
    CHECK(grow(&to, &from, origin, 3, 0, 1) == MOE_OK);
    CHECK(is_copy(&to, 0, &from, 0) && is_copy(&to, 1, &from, 2)
          && is_copy(&to, 2, &from, 3));
    CHECK(moe_train(&to, &data, NULL, &t, NULL) == MOE_OK);
    CHECK(is_copy(&to, 1, &from, 2));
    CHECK(!is_copy(&to, 0, &from, 0) && !is_copy(&to, 2, &from, 3));
    moe_close(&from);
    moe_close(&to);
}

int main(void)
{
    make_cases();
    RUN(test_split());
    RUN(test_frozen_numbers());
    RUN(test_frozen_learning());
    return check_done();
}
