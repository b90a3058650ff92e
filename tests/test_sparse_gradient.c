/* test_sparse_gradient.c - top_k: the gradients of the three losses and of an
   error of one's own are the formulas' with the choice held fixed, these are
   the differences of the losses, and gate.balance counts who was chosen. */
#include "reference.h"

/* The gradient of gate.balance: how many cases chose each expert, `times`
   over; of an expert without any, everything is 0. */
static void check_counts(const problem *q, int n, int times)
{
    const moe *m = &q->m;
    int i, row, wrong = 0;
    size_t k;

    for (i = 0; i < m->config.experts; i++) {
        const moe_layer *l = q->layer[i];
        int count = 0;

        for (row = 0; row < n; row++)
            count += q->runs[row][i];
        wrong += m->grads[balance_at(m) + (size_t)i]
                 != (moe_real)(times * count);
        for (k = 0; k < 2 && count == 0; k++) {
            size_t b = (size_t)l[k].out, w = b * (size_t)l[k].in;

            while (b-- > 0)
                wrong += !is_zero(m->grads[l[k].bias + b]);
            while (w-- > 0)
                wrong += !is_zero(m->grads[l[k].weight + w]);
        }
    }
    CHECK(wrong == 0);
}

static void check_loss(problem *q, moe_loss loss)
{
    check_loss_slopes(q, loss);
    check_counts(q, q->data.n, 1);
    moe_gradient(&q->m, &q->data);
    check_counts(q, q->data.n, 2);
}

/* dE/dy of own_error. */
static void own_slopes(const problem *q, double *dE_dy)
{
    int row, k, O = q->m.config.outputs;
    static answer a;

    for (row = 0; row < q->rows; row++) {
        solve(q, row, &a);
        for (k = 0; k < O; k++)
            dE_dy[row * O + k] = 2 * own_slope(k) * in_units(q, k, a.y[k]);
    }
}

static void check_own_error(problem *q)
{
    static double claimed[MAX_VALUES], formula[MAX_VALUES];
    static double dx[MAX_ROWS * MAX_IN], formula_dx[MAX_ROWS * MAX_IN];
    moe_real dE_dy[MAX_ROWS * MAX_OUT], dE_dx[MAX_ROWS * MAX_IN];
    double own[MAX_ROWS * MAX_OUT];
    moe *m = &q->m;
    int i, in = m->config.inputs, O = m->config.outputs;

    clear_grads(m);
    q->rows = moe_forward(m, q->x, q->data.n);
    for (i = 0; i < q->rows * O; i++)
        dE_dy[i] = (moe_real)(2 * own_slope(i % O)) * m->y[i];
    moe_backward(m, dE_dy, dE_dx);
    take_grads(m, claimed);
    for (i = 0; i < q->rows * in; i++)
        dx[i] = (double)dE_dx[i];
    own_slopes(q, own);
    own_gradient(q, q->rows, own, formula, formula_dx);
    check_slopes(q, "own error", own_error, q->w, claimed, formula,
                 balance_at(m));
    check_slopes(q, "dE/dx", own_error, q->at, dx, formula_dx,
                 (size_t)(q->rows * in));
    check_counts(q, q->rows, 1);
    moe_backward(m, dE_dy, NULL);
    check_counts(q, q->rows, 2);
}

static void check_gradients(void)
{
    static const char *const cases[] = {
        "inputs=3 outputs=2 experts=5 top_k=2 block=4 n=13",
        ("inputs=2 outputs=3 experts=4 top_k=3 hidden=3 gate=3 "
         "block=16 n=20 tanh"),
        "inputs=3 outputs=2 experts=9 top_k=1 hidden=2 block=7 n=18 silu",
        "inputs=2 outputs=2 experts=17 top_k=5 block=64 n=18"
    };
    static problem q;
    int k, output, loss;

    for (k = 0; k < 4; k++)
        for (output = 0; output < 3; output++) {
            model_case c = case_of(cases[k]);

            c.config.output = (moe_output)output;
            c.labelled = output == MOE_OUT_SOFTMAX && k % 2;
            if (!open_problem(&q, &c, uniform))
                continue;
            for (loss = 0; loss < 3; loss++)
                check_loss(&q, (moe_loss)loss);
            check_own_error(&q);
            moe_close(&q.m);
        }
}

int main(void)
{
    RUN(check_gradients());
    return check_done();
}
