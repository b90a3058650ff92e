/* test_top_p.c - as few experts as have the share top_p of p: which run, and
   every number of a forward, a gradient and a report against the reference; a
   case for which k run is to rounding that of top_k = k, blended by outputs and
   by weights, learnt and given p; files; what is refused. */
#include "reference.h"

enum { MOST_BYTES = 20000 };

/* ---- blended outputs, against the reference ------------------------------ */

static long ties, seen, dropped;

static int row_is_right(const problem *q, const answer *a, int r)
{
    const moe *m = &q->m;
    int i, k, E = m->config.experts, O = m->config.outputs;
    int K = m->config.top_k, wrong = 0;

    for (k = 0; k < K; k++)
        wrong += m->selected[r * K + k] != a->selected[k];
    for (i = 0; i < E; i++)
        wrong += a->runs[i] ? !near_to(m->p[r * E + i], a->p[i])
                            : !is_zero(m->p[r * E + i]);
    for (k = 0; k < a->ran * O; k++)
        wrong += !near_to(m->o[r * K * O + k],
                          in_units(q, k % O, a->o[a->selected[k / O]][k % O]));
    for (k = 0; k < O; k++)
        wrong += !near_to(m->y[r * O + k], in_units(q, k, a->y[k]));
    return wrong == 0;
}

static void check_forward(problem *q)
{
    const moe_config *c = &q->m.config;
    moe_real y[MAX_ROWS * MAX_OUT];
    int first, rows, r, k, wrong = 0;
    static answer a;

    moe_predict(&q->m, q->x, q->data.n, y);
    for (first = 0; first < q->data.n; first += rows) {
        rows = moe_forward(&q->m, q->x + first * c->inputs,
                           q->data.n - first);
        for (r = 0; r < rows; r++, seen++) {
            solve(q, first + r, &a);
            ties += a.tie;
            dropped += a.ran < c->top_k;
            if (a.tie)
                continue;
            wrong += !row_is_right(q, &a, r);
            for (k = 0; k < c->outputs; k++)
                wrong += !near_to(y[(first + r) * c->outputs + k],
                                  in_units(q, k, a.y[k]));
        }
    }
    CHECK_THAT(wrong == 0, "%d of %d experts, top_p %g, block %d", c->top_k,
               c->experts, (double)c->top_p, c->block);
}

static void check_evaluation(problem *q)
{
    const moe_config *c = &q->m.config;
    double loss = 0, ran = 0, load[MAX_EXPERTS] = {0};
    moe_report report;
    static answer a;
    int row, i, wrong = 0;

    for (row = 0; row < q->data.n; row++) {
        solve(q, row, &a);
        loss += a.loss[c->loss] / q->data.n;
        ran += (double)a.ran / q->data.n;
        for (i = 0; i < c->experts; i++)
            load[i] += a.runs[i];
    }
    CHECK(moe_evaluate(&q->m, &q->data, &report) == MOE_OK);
    check_report(&report, c->experts);
    CHECK(near_to(report.loss, loss));
    CHECK(near_to(report.mean_ran, ran));
    for (i = 0; i < c->experts; i++)
        wrong += !near_to(report.load[i], load[i] / (ran * q->data.n));
    CHECK(wrong == 0);
}

static void check_outputs(void)
{
    static const char *const cases[] = {
        "inputs=3 outputs=2 experts=5 block=4 n=13",
        ("inputs=2 outputs=3 experts=8 top_k=5 hidden=3 gate=3 "
         "block=16 n=20 tanh"),
        "inputs=3 outputs=2 experts=9 hidden=2 block=1 n=18 silu",
        "inputs=2 outputs=2 experts=17 top_k=16 block=64 n=38"
    };
    static const double taus[] = {0.3, 0.7, 0.9};
    static problem q;
    const int brief = getenv("MOE_BRIEF") != NULL;  /* one kind of outputs */
    int k, t, output, loss;

    for (k = 0; k < 4; k++)
        for (t = 0; t < 3; t++)
            for (output = brief ? t : 0; output < (brief ? t + 1 : 3);
                 output++) {
                model_case c = case_of(cases[k]);

                c.config.top_p = (moe_real)taus[t];
                c.config.output = (moe_output)output;
                if (!open_problem(&q, &c, uniform))
                    continue;
                check_forward(&q);
                for (loss = 0; loss < 3; loss++) {
                    check_loss_slopes(&q, (moe_loss)loss);
                    check_evaluation(&q);
                }
                moe_close(&q.m);
            }
    CHECK(ties * 50 < seen && dropped * 2 > seen);
}

/* ---- one case for which k run, and top_k = k ----------------------------- */

/* The same weights, of which so many experts run. */
static int open_like(moe *m, const moe *like, int top_k)
{
    moe_config config = like->config;

    config.top_k = top_k;
    config.top_p = 0;
    config.block = 1;
    if (!CHECK(moe_open(m, &config, NULL, 0) == MOE_OK))
        return 0;
    memcpy(m->weights, like->params, like->param_count * sizeof *m->weights);
    return 1;
}

static int count_ran(const moe *m, int row)
{
    const int32_t *selected = m->selected + row * m->config.top_k;
    int k, ran = 0;

    for (k = 0; k < m->config.top_k; k++)
        ran += selected[k] >= 0;
    for (k = 0; k < ran; k++)
        if (selected[k] < 0 || (k > 0 && selected[k] <= selected[k - 1]))
            return 0;
    return ran;
}

static int all_near(const moe_real *a, const moe_real *b, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (!near_to(a[i], (double)b[i]))
            return 0;
    return 1;
}

/* p, y, the gradient and what moe_learn makes of the weights; p of the
   caller's, of both signs, is not the gate's to drop. */
static void check_case(const problem *q, int row, int ran)
{
    const moe_config *c = &q->m.config;
    const size_t E = (size_t)c->experts, O = (size_t)c->outputs;
    moe_data one = {1, NULL, NULL, NULL, NULL};
    moe_training t;
    moe m[2];
    int i;

    memset(&t, 0, sizeof t);
    t.rate = (moe_real)0.01;
    one.x = q->x + row * c->inputs;
    one.d = q->d + row * c->outputs;
    if (!open_like(&m[0], &q->m, c->top_k) || !open_like(&m[1], &q->m, ran))
        return;
    moe_close(&m[0]);
    CHECK(moe_open(&m[0], c, NULL, 0) == MOE_OK);
    memcpy(m[0].weights, q->m.params, q->m.param_count * sizeof *m[0].weights);
    for (i = 0; i < 2; i++)
        (void)moe_gradient(&m[i], &one);
    CHECK(all_near(m[0].grads, m[1].grads, balance_at(&q->m)));
    for (i = 0; i < 2; i++)
        CHECK(moe_forward(&m[i], one.x, 1) == 1);
    CHECK(count_ran(&m[0], 0) == ran);
    CHECK(memcmp(m[0].selected, m[1].selected,
                 (size_t)ran * sizeof *m[0].selected) == 0);
    CHECK(all_near(m[0].p, m[1].p, E) && all_near(m[0].y, m[1].y, O));
    for (i = 0; i < 2; i++)
        CHECK(ran == 1 || moe_learn(&m[i], &one, &t) == 0);
    CHECK(all_near(m[0].weights, m[1].weights, m[0].param_count));
    moe_close(&m[0]);
    moe_close(&m[1]);
}

/* A block, and case by case. */
static void check_like_top_k(const char *text, moe_blend blend, double tau)
{
    model_case c = case_of(text);
    static problem q;
    int row, ran, E = c.config.experts, O = c.config.outputs, many = 0;
    moe_real p[MAX_ROWS * MAX_EXPERTS], y[MAX_ROWS * MAX_OUT];
    moe_report report;

    c.config.blend = blend;
    c.config.loss = blend ? MOE_LOSS_BLEND : MOE_LOSS_MIXTURE;
    c.config.top_p = (moe_real)tau;
    if (!open_problem(&q, &c, uniform))
        return;
    memset(q.m.weights + balance_at(&q.m), 0, (size_t)E * sizeof *p);
    CHECK(moe_forward(&q.m, q.x, c.n) == c.n);
    memcpy(p, q.m.p, (size_t)(c.n * E) * sizeof *p);
    memcpy(y, q.m.y, (size_t)(c.n * O) * sizeof *y);
    for (row = 0; row < c.n; row++) {
        (void)moe_forward(&q.m, q.x + row * c.config.inputs, 1);
        ran = count_ran(&q.m, 0);
        CHECK(all_near(p + row * E, q.m.p, (size_t)E));
        CHECK(all_near(y + row * O, q.m.y, (size_t)O));
        check_case(&q, row, ran);
        many += ran;
    }
    CHECK(moe_evaluate(&q.m, &q.data, &report) == MOE_OK);
    CHECK(near_to(report.mean_ran, (double)many / c.n));
    CHECK(many < c.n * (c.config.top_k ? c.config.top_k : E));
    moe_close(&q.m);
}

static void check_all_like_top_k(void)
{
    static const char *const cases[] = {
        "inputs=3 outputs=2 experts=5 hidden=4,3 block=20 n=20 elu",
        "inputs=3 outputs=2 experts=8 top_k=4 hidden=3 gate=3 block=5 n=5",
        "inputs=2 outputs=3 experts=17 block=40 n=30"
    };
    int k, blend;

    for (k = 0; k < 3; k++)
        for (blend = 0; blend < 2; blend++) {
            check_like_top_k(cases[k], (moe_blend)blend, 0.5);
            check_like_top_k(cases[k], (moe_blend)blend, 0.8);
        }
}

/* ---- p of the caller's --------------------------------------------------- */

/* |p| .5, .3, .1, .1: the first two have .8 of it; all 0: one runs. */
static void check_given(int blend)
{
    static const moe_real given[2][8] = {
        {(moe_real)0.1, (moe_real)-0.5, (moe_real)0.1, (moe_real)0.3},
        {0, (moe_real)-0.5, 0, (moe_real)0.3}};
    model_case c = case_of("inputs=3 outputs=2 experts=4 hidden=4 n=2");
    static problem q;
    moe_real x[6] = {1, 2, 3, 1, 2, 3}, y[2][4];
    moe all;

    c.config.blend = (moe_blend)blend;
    c.config.loss = MOE_LOSS_BLEND;
    c.config.top_p = (moe_real)0.7;
    if (!open_problem(&q, &c, uniform) || !open_like(&all, &q.m, 4))
        return;
    CHECK(moe_forward_with(&q.m, x, given[0], 2) == 2);
    CHECK(same_reals(q.m.p, given[1], 8));
    CHECK(count_ran(&q.m, 0) == 2 && count_ran(&q.m, 1) == 1);
    moe_predict_with(&q.m, x, given[0], 2, y[0]);
    moe_predict_with(&all, x, given[1], 2, y[1]);
    CHECK(all_near(y[0], y[1], 4));
    moe_predict_with(&q.m, x, given[0], 1, y[0]);
    CHECK(all_near(y[0], y[1], 2));
    moe_close(&all);
    moe_close(&q.m);
}

/* ---- a gate that is not finite ------------------------------------------- */

/* It is frozen, so that only the experts' part tells. */
static void check_nan(int block)
{
    model_case c = case_of("inputs=3 outputs=2 experts=5 n=4");
    static problem q;
    moe_layer gate;

    c.config.block = block;
    c.config.top_p = (moe_real)0.7;
    c.config.gate_frozen = MOE_ALL;
    if (!open_problem(&q, &c, uniform))
        return;
    gate = moe_layer_at(&q.m.config, 5, 0);
    q.m.weights[gate.bias + 1] = make_nan();
    CHECK(!is_finite(moe_gradient(&q.m, &q.data)));
    CHECK(moe_step(&q.m, NULL, 1) == MOE_ERR_DIVERGED);
    CHECK(moe_learn(&q.m, &q.data, NULL) == q.data.n);
    moe_close(&q.m);
}

/* ---- settings, files, what is refused ------------------------------------ */

/* Changed between calls; 1 is all of them, from the first call on. */
static void check_settings(void)
{
    model_case c = case_of("inputs=3 outputs=2 experts=6 n=20 block=20");
    static problem q;
    moe_report report[2];
    moe all;

    c.config.top_p = (moe_real)0.6;
    if (!open_problem(&q, &c, uniform) || !open_like(&all, &q.m, 6))
        return;
    CHECK(moe_evaluate(&q.m, &q.data, &report[0]) == MOE_OK);
    q.m.config.top_p = (moe_real)0.9;
    CHECK(moe_evaluate(&q.m, &q.data, &report[1]) == MOE_OK);
    CHECK(report[0].mean_ran < report[1].mean_ran);
    q.m.config.top_p = 2;
    CHECK(moe_evaluate(&q.m, &q.data, &report[0]) == MOE_OK);
    CHECK(moe_evaluate(&all, &q.data, &report[1]) == MOE_OK);
    CHECK(near_to(report[0].mean_ran, 6) && near_to(report[1].mean_ran, 6));
    CHECK(near_to(report[0].loss, (double)report[1].loss));
    CHECK(moe_save_bytes(&q.m, MOE_MODE_PREDICT) == 0);
    moe_close(&all);
    moe_close(&q.m);
}

static void check_files(void)
{
    static unsigned char file[MOST_BYTES];
    model_case c = case_of("inputs=3 outputs=2 experts=6 hidden=2 n=9");
    moe_config config;
    static problem q;
    moe_real y[2][18];
    size_t bytes;
    moe m;

    c.config.top_p = (moe_real)0.6;
    if (!open_problem(&q, &c, uniform))
        return;
    moe_predict(&q.m, q.x, 9, y[0]);
    bytes = moe_save_bytes(&q.m, MOE_MODE_PREDICT);
    if (!CHECK(bytes > 0 && bytes <= sizeof file))
        return;
    CHECK(moe_save_memory(&q.m, MOE_MODE_PREDICT, file, bytes) == MOE_OK);
    CHECK(moe_read_config(&config, file, bytes) == MOE_OK);
    CHECK(fabs((double)config.top_p - 0.6) < 1e-6);
    CHECK(moe_load_memory(&m, file, bytes, NULL, NULL, 0) == MOE_OK);
    moe_predict(&m, q.x, 9, y[1]);
    CHECK(largest_difference(y[0], y[1], 18) < 1e-5);
    moe_close(&m);
    memset(&config, 0, sizeof config);
    config.top_p = 1;                   /* all, although the file says .6 */
    CHECK(moe_load_memory(&m, file, bytes, &config, NULL, 0) == MOE_OK);
    CHECK(moe_forward(&m, q.x, 1) == 1 && count_ran(&m, 0) == 6);
    moe_close(&m);
    moe_close(&q.m);
}

static void check_refusals(void)
{
    static const double bad[] = {-0.1, 1.1, -HUGE_VAL, HUGE_VAL};
    model_case c = case_of("inputs=3 outputs=2 experts=6");
    const char *error;
    moe m;
    int i;

    for (i = 0; i < 5; i++) {
        c.config.top_p = i < 4 ? (moe_real)bad[i] : (moe_real)(0 * HUGE_VAL);
        CHECK(moe_check_config(&c.config, &error) == MOE_ERR_CONFIG);
        CHECK(says(error, "top_p"));
        CHECK(moe_open(&m, &c.config, NULL, 0) == MOE_ERR_CONFIG);
    }
}

int main(void)
{
    RUN(check_outputs());
    RUN(check_all_like_top_k());
    RUN(check_given(0));
    RUN(check_given(1));
    RUN(check_nan(1));
    RUN(check_nan(64));
    RUN(check_settings());
    RUN(check_files());
    RUN(check_refusals());
    return check_done();
}
