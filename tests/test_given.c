/* test_given.c - proportions of the caller's: the gate's own p given back, any
   sign and sum, the phase function of four control points, top_k, models
   without a gate and what these refuse.  test_gradient.c has derivatives. */
#include "models.h"

enum { INPUTS = 9, OUTPUTS = 7, EXPERTS = 4, UNITS = 20, CASES = 70 };

static moe_real x[CASES * INPUTS], p[CASES * EXPERTS], y[CASES * OUTPUTS];

static moe_config config_of(moe_blend blend, moe_gate gate, int block,
                            int top_k)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = INPUTS;
    config.outputs = OUTPUTS;
    config.experts = EXPERTS;
    config.hidden[0] = config.hidden[1] = UNITS;
    config.activation = MOE_ACT_ELU;
    config.loss = MOE_LOSS_BLEND;
    config.blend = blend;
    config.gate = gate;
    config.block = block;
    config.top_k = top_k;
    return config;
}

/* Open, with every parameter and scale other than it was. */
static int open_given(moe *m, const moe_config *config)
{
    size_t i;

    if (!CHECK(moe_open(m, config, NULL, 0) == MOE_OK))
        return 0;
    for (i = 0; i < m->param_count; i++)
        m->weights[i] += (moe_real)0.2 * (moe_real)uniform();
    return 1;
}

static double farthest(const moe_real *a, const moe_real *b, int count)
{
    double worst = 0;
    int i;

    for (i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

/* What the gate says, given back, is the same prediction. */
static void check_gates_own(moe_blend blend, int block, int top_k)
{
    moe_config config = config_of(blend, MOE_GATE_SOFTMAX, block, top_k);
    moe_real again[CASES * OUTPUTS];
    int first, rows;
    moe m;

    if (!open_given(&m, &config))
        return;
    for (first = 0; first < CASES; first += rows) {
        rows = moe_forward(&m, x + first * INPUTS, CASES - first);
        memcpy(p + first * EXPERTS, m.p,
               (size_t)(rows * EXPERTS) * sizeof *p);
    }
    moe_predict(&m, x, CASES, y);
    moe_predict_with(&m, x, p, CASES, again);
    CHECK(farthest(y, again, CASES * OUTPUTS) < 1e-6);
    CHECK(farthest(y, y + OUTPUTS, OUTPUTS) > 1e-2);
    moe_close(&m);
}

/* Row by row, p has its largest alone, and p is shown as it was given. */
static int shows_largest(const moe *m, const moe_real *given, int row)
{
    const moe_real *shown = m->p + row * EXPERTS;
    const int32_t *ran = m->selected + row * 2;
    int i, holds = ran[0] < ran[1];

    for (i = 0; i < EXPERTS; i++) {
        const int runs = i == (int)ran[0] || i == (int)ran[1];
        const double size = fabs((double)given[i]);

        holds &= runs ? fabs((double)(shown[i] - given[i])) <= 0
                      : fabs((double)shown[i]) <= 0
                        && size <= fabs((double)given[ran[0]])
                        && size <= fabs((double)given[ran[1]]);
    }
    return holds;
}

/* y - shift = sum_i p_i (o_i - shift) for p of any sign and sum. */
static void check_any_sum(int block, int top_k)
{
    moe_config config = config_of(MOE_BLEND_OUTPUTS, MOE_GATE_NONE, block,
                                  top_k);
    const int K = top_k ? top_k : EXPERTS;
    int first, rows, i, k, o;
    double want, worst = 0;
    moe m;

    if (!open_given(&m, &config))
        return;
    for (i = 0; i < CASES * EXPERTS; i++)
        p[i] = 2 * (moe_real)uniform();
    moe_predict_with(&m, x, p, CASES, y);
    for (first = 0; first < CASES; first += rows) {
        rows = moe_forward_with(&m, x + first * INPUTS, p + first * EXPERTS,
                                CASES - first);
        for (i = 0; i < rows; i++)
            for (o = 0; o < OUTPUTS; o++) {
                const moe_real shift = m.params[m.trained_count + (size_t)o];

                for (want = (double)shift, k = 0; k < K; k++)
                    want += (double)p[(first + i) * EXPERTS
                                      + m.selected[i * K + k]]
                          * (double)(m.o[(i * K + k) * OUTPUTS + o] - shift);
                worst = fmax(worst, fabs((double)m.y[i * OUTPUTS + o] - want));
                worst = fmax(worst, fabs((double)y[(first + i) * OUTPUTS + o]
                                         - want));
                CHECK(K > 2
                      || shows_largest(&m, p + (first + i) * EXPERTS, i));
            }
    }
    CHECK_THAT(worst < 1e-5, "off by %.1e, block %d, top_k %d", worst, block,
               top_k);
    moe_close(&m);
}

/* ---- the phase function of four control points -------------------------- */

/* Cyclic Catmull-Rom weights of the control points at a phase in [0,1). */
static void catmull_rom(double phase, moe_real *weight)
{
    const double at = phase * 4, t = at - floor(at);
    const int k = (int)at;

    weight[(k + 3) % 4] = (moe_real)(t * (-0.5 + t * (1 - 0.5 * t)));
    weight[k] = (moe_real)(1 + t * t * (-2.5 + 1.5 * t));
    weight[(k + 1) % 4] = (moe_real)(t * (0.5 + t * (2 - 1.5 * t)));
    weight[(k + 2) % 4] = (moe_real)(t * t * (-0.5 + 0.5 * t));
}

/* W and b blended first, then one network; in double. */
static void of_blended_matrices(const moe *m, const moe_real *row,
                                const moe_real *weight, double *out)
{
    const moe_real *scale = m->params + m->trained_count;
    double a[UNITS], sum, W;
    int l, i, j, e;

    for (j = 0; j < INPUTS; j++)
        out[j] = ((double)row[j] - (double)scale[2 * OUTPUTS + j])
               * (double)scale[2 * OUTPUTS + INPUTS + j];
    for (l = 0; l < 3; l++) {
        const moe_layer at = moe_layer_at(&m->config, 0, l);

        for (i = 0; i < at.out; i++) {
            for (sum = 0, j = -1; j < at.in; j++) {
                for (W = 0, e = 0; e < EXPERTS; e++) {
                    const moe_layer of = moe_layer_at(&m->config, e, l);
                    W += (double)weight[e] * (double)m->params[
                        j < 0 ? of.bias + (size_t)i
                              : of.weight + (size_t)(j * at.out + i)];
                }
                sum += j < 0 ? W : W * out[j];
            }
            a[i] = sum > 0 || l == 2 ? sum : exp(sum) - 1;
        }
        memcpy(out, a, (size_t)at.out * sizeof *a);
    }
    for (i = 0; i < OUTPUTS; i++)
        out[i] = (double)scale[i] + (double)scale[OUTPUTS + i] * out[i];
}

static void check_phases(int block)
{
    moe_config config = config_of(MOE_BLEND_WEIGHTS, MOE_GATE_NONE, block, 0);
    double want[UNITS], worst = 0, largest = 0;
    int i, k, negative = 0;
    moe m;

    if (!open_given(&m, &config))
        return;
    for (i = 0; i < CASES; i++)             /* five phases */
        catmull_rom(0.07 + 0.2 * (i % 5), p + i * EXPERTS);
    for (i = 0; i < CASES * EXPERTS; i++)
        negative += p[i] < 0;
    CHECK(negative > CASES);
    moe_predict_with(&m, x, p, CASES, y);
    for (i = 0; i < CASES; i++) {
        of_blended_matrices(&m, x + i * INPUTS, p + i * EXPERTS, want);
        for (k = 0; k < OUTPUTS; k++) {
            largest = fmax(largest, fabs(want[k]));
            worst = fmax(worst, fabs((double)y[i * OUTPUTS + k] - want[k]));
        }
    }
    CHECK_THAT(worst <= 3e-6 * largest, "off by %.1e of %.1e, block %d", worst,
               largest, block);
    moe_close(&m);
}

/* ---- without a gate ----------------------------------------------------- */

static void check_files(moe_blend blend)
{
    moe_config config = config_of(blend, MOE_GATE_NONE, 64, 0), read;
    moe_real again[CASES * OUTPUTS];
    unsigned char *file;
    moe_layer none;
    size_t bytes;
    moe a, b;

    if (!open_given(&a, &config))
        return;
    none = moe_layer_at(&config, EXPERTS, 0);
    CHECK(none.out == 0);
    CHECK(a.trained_count == (size_t)EXPERTS
          * ((INPUTS + 1) * UNITS + (UNITS + 1) * (UNITS + OUTPUTS)));
    moe_predict_with(&a, x, p, CASES, y);
    bytes = moe_save_bytes(&a, MOE_MODE_PREDICT);
    file = (unsigned char *)malloc(bytes);
    if (CHECK(file != NULL)) {
        CHECK(moe_save_memory(&a, MOE_MODE_PREDICT, file, bytes) == MOE_OK);
        CHECK(moe_read_config(&read, file, bytes) == MOE_OK);
        CHECK(read.gate == MOE_GATE_NONE && read.blend == blend);
        if (CHECK(moe_load_memory(&b, file, bytes, NULL, NULL, 0) == MOE_OK)) {
            moe_predict_with(&b, x, p, CASES, again);
            CHECK(same_of_file(y, again, CASES * OUTPUTS));
            moe_close(&b);
        }
        free(file);
    }
    moe_close(&a);
}

/* A teacher's phase: experts follow it by forward, backward and step. */
static double taught(moe *m, double *before)
{
    moe_real off[CASES * OUTPUTS];
    moe_training how;
    double sum = 0;
    int epoch, i, k;

    memset(&how, 0, sizeof how);
    how.optimizer = MOE_ADAM;
    for (epoch = 0; epoch < 200; epoch++) {
        CHECK(moe_forward_with(m, x, p, CASES) == CASES);
        for (sum = 0, i = 0; i < CASES; i++)
            for (k = 0; k < OUTPUTS; k++) {
                const moe_real d = x[i * INPUTS + k] * p[i * EXPERTS + k % 4];
                off[i * OUTPUTS + k] = m->y[i * OUTPUTS + k] - d;
                sum += (double)off[i * OUTPUTS + k]
                     * (double)off[i * OUTPUTS + k];
            }
        if (epoch == 0)
            *before = sum;
        moe_backward(m, off, NULL);
        CHECK(moe_step(m, &how, 1 / (moe_real)CASES) == MOE_OK);
    }
    return sum;
}

static void check_teaching(moe_blend blend, moe_gate gate)
{
    moe_config config = config_of(blend, gate, CASES, 0);
    const int E = EXPERTS;
    double before = 0, after;
    moe_layer of_gate;
    int i, moved = 0;
    moe m;

    if (!open_given(&m, &config))
        return;
    after = taught(&m, &before);
    CHECK_THAT(after < 0.1 * before, "%g, then %g", before, after);
    of_gate = moe_layer_at(&config, E, 0);
    if (gate == MOE_GATE_SOFTMAX) {         /* it was not asked */
        CHECK(moe_forward_with(&m, x, p, 8) == 8);
        moe_backward(&m, y, NULL);
        for (i = 0; i < of_gate.in * E; i++)
            moved += fabs((double)m.grads[of_gate.weight + (size_t)i]) > 0;
        CHECK(moved == 0);
    }
    moe_close(&m);
}

/* An integer that is none of the values, put where an enum is. */
static void put_enum(void *field, int value)
{
    memcpy(field, &value, sizeof value);
}

static void check_refusals(void)
{
    moe_config config = config_of(MOE_BLEND_OUTPUTS, MOE_GATE_NONE, 8, 2);
    moe_data data = {CASES, NULL, NULL, NULL, NULL};
    moe_training how;
    moe_real E;
    moe m;

    memset(&how, 0, sizeof how);
    data.x = x;
    data.d = y;
    config.balance_loss = 1;
    CHECK(moe_check_config(&config, NULL) == MOE_ERR_CONFIG);
    config.balance_loss = 0;
    put_enum(&config.gate, 2);
    CHECK(moe_check_config(&config, NULL) == MOE_ERR_CONFIG);
    config.gate = MOE_GATE_NONE;
    if (!open_given(&m, &config))
        return;
    mistakes = 0;
    y[0] = 7;
    moe_predict(&m, x, 1, y);
    CHECK(mistakes == 1 && y[0] >= 7 && y[0] <= 7);
    CHECK(moe_forward(&m, x, 1) == 0);
    CHECK(mistakes == 2);
    CHECK(moe_train(&m, &data, NULL, NULL, NULL) == MOE_ERR_STATE);
    CHECK(strstr(m.error, "needs a gate") != NULL);
    CHECK(moe_evaluate(&m, &data, NULL) == MOE_ERR_STATE);
    CHECK(moe_learn(&m, &data, NULL) == CASES);
    CHECK(moe_fit_scales(&m, &data) == MOE_OK);
    how.balance_rate = 1;
    CHECK(moe_step(&m, &how, 1) == MOE_ERR_CONFIG);
    E = moe_gradient(&m, &data);
    CHECK(!(E >= 0) && !(E < 0));
    CHECK(moe_step(&m, NULL, 1) == MOE_ERR_DIVERGED);
    moe_close(&m);
    config.experts = 1;
    config.top_k = 0;
    if (CHECK(moe_open(&m, &config, NULL, 0) == MOE_OK)) {
        moe_predict(&m, x, 1, y);
        CHECK(mistakes == 2);
        moe_predict_with(&m, x, p, 1, y);   /* one expert has p = 1 */
        CHECK(mistakes == 3);
        moe_close(&m);
    }
}

int main(void)
{
    static const int blocks[] = {1, 5, 16, 64};
    int i, k;

    mistakes_allowed = 1;
    for (i = 0; i < CASES * INPUTS; i++)
        x[i] = 2 * (moe_real)uniform();
    for (i = 0; i < 4; i++) {
        for (k = 0; k < EXPERTS; k++) {
            RUN(check_gates_own(MOE_BLEND_OUTPUTS, blocks[i], k));
            RUN(check_gates_own(MOE_BLEND_WEIGHTS, blocks[i], k));
        }
        RUN(check_any_sum(blocks[i], 0));
        RUN(check_any_sum(blocks[i], 2));
        RUN(check_phases(blocks[i]));
    }
    RUN(check_files(MOE_BLEND_OUTPUTS));
    RUN(check_files(MOE_BLEND_WEIGHTS));
    RUN(check_teaching(MOE_BLEND_OUTPUTS, MOE_GATE_NONE));
    RUN(check_teaching(MOE_BLEND_WEIGHTS, MOE_GATE_NONE));
    RUN(check_teaching(MOE_BLEND_WEIGHTS, MOE_GATE_SOFTMAX));
    CHECK(mistakes == 0);
    RUN(check_refusals());
    return check_done();
}
