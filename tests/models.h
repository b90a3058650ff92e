/* models.h - what the test programs share beside check.h: moe.h itself, random
   numbers, small models and data, and comparisons.  A program that includes
   moe.h before this, with options of its own, is compiled whole; all others
   have its code here, or link with moe.c (LINKED, see run.sh). */
#ifndef MODELS_H
#define MODELS_H

#ifndef MOE_H
#include "hooks.h"
#ifndef LINKED
#define MOE_IMPLEMENTATION
#endif
#endif
#include "../moe.h"
#undef fread                    /* the program's own are libc's */
#undef ferror
#undef fwrite
#undef rename
#include "check.h"
#include "finite.h"
#include "random.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The distance of 1 to the next number. */
#define EPSILON (sizeof(moe_real) == 4 ? (double)FLT_EPSILON : DBL_EPSILON)

/* ---- models and data ---------------------------------------------------- */

static inline void fill(moe_real *a, int count)
{
    int i;

    for (i = 0; i < count; i++)
        a[i] = (moe_real)uniform();
}

static inline moe_config make_config(int inputs, int outputs, int experts)
{
    moe_config config;

    memset(&config, 0, sizeof config);
    config.inputs = inputs;
    config.outputs = outputs;
    config.experts = experts;
    return config;
}

static inline moe_data make_data(int n, const moe_real *x, const moe_real *d)
{
    moe_data data;

    memset(&data, 0, sizeof data);
    data.n = n;
    data.x = x;
    data.d = d;
    return data;
}

/* Nothing is held out. */
static inline moe_training make_training(moe_optimizer optimizer, double rate)
{
    moe_training t;

    memset(&t, 0, sizeof t);
    t.holdout = -1;
    t.optimizer = optimizer;
    t.rate = (moe_real)rate;
    return t;
}

/* Steps of all cases, in the units given. */
static inline moe_training plain_sgd(moe_real rate)
{
    moe_training t = make_training(MOE_SGD, (double)rate);

    t.epochs = 1;
    t.batch = MOE_ALL;
    t.keep_units = 1;
    return t;
}

/* An exit where nothing that follows makes sense. */
static inline void open_or_exit(moe *m, const moe_config *config)
{
    if (!CHECK(moe_open(m, config, NULL, 0) == MOE_OK)) {
        printf("    %s\n", m->error);
        exit(check_done());
    }
}

/* Leave the even start: every trained parameter moves a little. */
static inline void stir(moe *m)
{
    size_t i;

    for (i = 0; i < m->trained_count; i++)
        m->weights[i] += (moe_real)(0.5 * uniform());
}

/* Where gate.balance is: the last of what is trained, and what no gradient
   moves; one expert has none. */
static inline size_t balance_at(const moe *m)
{
    int experts = m->config.experts;

    return m->trained_count - (experts > 1 ? (size_t)experts : 0);
}

/* Moment 0 or 1 of every parameter, 2 the best weights: arrays one behind the
   other, and behind grads, each from a cache line on. */
static inline const moe_real *stored(const moe *m, int which)
{
    const size_t line = 64 / sizeof(moe_real);
    const size_t lines = (m->grad_count + line - 1) / line;

    return m->grads + (size_t)(1 + which) * lines * line;
}

static inline void clear_grads(moe *m)
{
    memset(m->grads, 0, m->trained_count * sizeof *m->grads);
}

/* A case of a test, written out: "inputs=3 outputs=2 experts=5 hidden=4,3".
   What is not named is 0, so the default. */
typedef struct model_case {
    const char *text;
    moe_config config;
    int n, labelled;             /* cases of data; targets are labels        */
} model_case;

/* Word `word` of a list like "relu tanh"; -1 when it is none of them. */
static inline int word_at(const char *list, const char *word, size_t length)
{
    int at = 0;

    for (; *list; list += strcspn(list, " "), list += *list == ' ', at++)
        if (strcspn(list, " ") == length && !memcmp(list, word, length))
            return at;
    return -1;
}

/* Up to `most` numbers with commas between; returns what follows them. */
static inline const char *numbers_at(const char *text, int *to, int most)
{
    char *end = NULL;
    int i;

    for (i = 0; i < most && (i == 0 || *text++ == ','); i++) {
        to[i] = (int)strtol(text, &end, 10);
        text = end;
        if (*text != ',')
            break;
    }
    return text;
}

/* The number NAME=... is for; NULL when there is none of that name. */
static inline int *case_field(model_case *c, const char *name, size_t length,
                              int *most)
{
    moe_config *m = &c->config;
    int *const field[] = {
        &m->inputs, &m->outputs, &m->experts, &m->top_k, &m->block, &c->n,
        &c->labelled, m->hidden, m->gate_hidden, &m->expert_inputs.first,
        &m->expert_inputs.count, &m->gate_inputs.first, &m->gate_inputs.count
    };
    int at = word_at("inputs outputs experts top_k block n labelled hidden "
                     "gate from count gate_from gate_count", name, length);

    *most = at == 7 || at == 8 ? MOE_MAX_HIDDEN : 1;
    return at < 0 ? NULL : field[at];
}

/* An activation or a kind of outputs by its name; 1 if there is such. */
static inline int case_word(model_case *c, const char *word, size_t length)
{
    int f = word_at("relu tanh logistic elu silu", word, length);
    int o = word_at("linear-out logistic-out softmax-out", word, length);

    if (f >= 0)
        c->config.activation = (moe_activation)f;
    if (o >= 0)
        c->config.output = (moe_output)o;
    return f >= 0 || o >= 0;
}

static inline model_case case_of(const char *text)
{
    model_case c;
    const char *at = text;

    memset(&c, 0, sizeof c);
    c.text = text;
    while (*at) {
        size_t length = strcspn(at, "= ");
        int most, *field = at[length] == '='
                         ? case_field(&c, at, length, &most) : NULL;

        if (field) {
            at = numbers_at(at + length + 1, field, most);
        } else if (at[length] != '=' && case_word(&c, at, length)) {
            at += length;
        } else {
            printf("\"%s\" is not understood from \"%s\" on\n", text, at);
            exit(1);
        }
        at += strspn(at, " ");
    }
    return c;
}

/* ---- comparisons -------------------------------------------------------- */

static inline int is_zero(moe_real a)
{
    return a >= 0 && a <= 0;
}

static inline int all_zero(const moe_real *a, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (!is_zero(a[i]))
            return 0;
    return 1;
}

/* Bit for bit. */
static inline int same_reals(const moe_real *a, const moe_real *b,
                             size_t count)
{
    return count == 0 || memcmp(a, b, count * sizeof *a) == 0;
}

static inline int same_params(const moe *a, const moe *b)
{
    return a->param_count == b->param_count
        && same_reals(a->params, b->params, a->param_count);
}

/* Beside b. */
static inline double relative(double a, double b)
{
    return fabs(a - b) / fabs(b);
}

static inline double largest_of(const moe_real *a, size_t count)
{
    double largest = 0;
    size_t i;

    for (i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)a[i]));
    return largest;
}

static inline double largest_difference(const moe_real *a, const moe_real *b,
                                        int count)
{
    double largest = 0;
    int i;

    for (i = 0; i < count; i++) {
        double off = fabs((double)a[i] - (double)b[i]);

        if (!is_finite((moe_real)off))
            return HUGE_VAL;
        largest = fmax(largest, off);
    }
    return largest;
}

/* y before a file and after it, which has floats. */
static inline int same_of_file(const moe_real *a, const moe_real *b, int count)
{
    return sizeof *a == sizeof(float) ? same_reals(a, b, (size_t)count)
                                      : largest_difference(a, b, count) < 1e-4;
}

/* The largest difference of two arrays, of the largest value wanted. */
static inline double off_by(const moe_real *got, const double *want,
                            size_t count)
{
    double largest = 0, worst = 0;
    size_t i;

    for (i = 0; i < count; i++) {
        if (!is_finite(got[i]))
            return HUGE_VAL;
        largest = fmax(largest, fabs(want[i]));
        worst = fmax(worst, fabs((double)got[i] - want[i]));
    }
    return largest > 0 ? worst / largest : worst;
}

/* After a step grads count as 0: the next gradient, of no case here, writes
   over them. */
static inline int counts_as_zero(moe *m)
{
    static const moe_real target[1] = {0};
    moe_data none = {0, NULL, target, NULL, NULL};

    return is_zero(moe_gradient(m, &none))
        && all_zero(m->grads, m->trained_count);
}

/* A sentence has the word that a reader needs. */
static inline int says(const char *sentence, const char *word)
{
    return sentence != NULL && strstr(sentence, word) != NULL;
}

/* ---- what must hold of any model ----------------------------------------- */

/* Ascending, so without a double, and inside 0..E-1. */
static inline int choice_is_sound(const moe *m)
{
    int r, k, K = m->config.top_k;

    for (r = 0; r < m->rows; r++)
        for (k = 0; k < K; k++) {
            int32_t at = m->selected[r * K + k];

            if (at < 0 || at >= m->config.experts
                    || (k > 0 && at <= m->selected[r * K + k - 1]))
                return 0;
        }
    return 1;
}

/* What must hold of every report. */
static inline void check_report(const moe_report *report, int experts)
{
    double usage = 0, load = 0, largest = 0;
    int i;

    for (i = 0; i < experts; i++) {
        CHECK(report->usage[i] >= 0 && report->load[i] >= 0);
        usage += (double)report->usage[i];
        load += (double)report->load[i];
        largest = fmax(largest, (double)report->load[i]);
    }
    CHECK_THAT(fabs(usage - 1) < 1e-5, "usage sums to %.7f", usage);
    CHECK_THAT(fabs(load - 1) < 1e-5, "load sums to %.7f", load);
    CHECK(report->gate_entropy >= (moe_real)-1e-6);
    CHECK((double)report->gate_entropy <= log((double)experts) + 1e-5);
    CHECK(report->imbalance >= (moe_real)0.99999);
    CHECK(fabs((double)report->imbalance - experts * largest) < 1e-4);
    CHECK(report->bad_row == -1 && report->bad_column == -1);
}

/* ---- memory ------------------------------------------------------------- */

/* Exactly so many bytes between marked ones; behind them is `tail` of those,
   or, for the address sanitizer, the end of an allocation. */
enum { MARGIN = 64, MARK = 0xA5 };

typedef struct arena { unsigned char *base; size_t bytes, tail; } arena;

static inline void *arena_make(arena *a, size_t bytes, size_t tail)
{
    a->bytes = bytes;
    a->tail = tail;
    a->base = (unsigned char *)malloc(MARGIN + bytes + tail);
    if (!a->base)
        exit(1);
    memset(a->base, MARK, MARGIN + bytes + tail);
    return a->base + MARGIN;
}

static inline int arena_intact(const arena *a)
{
    size_t i;

    for (i = 0; i < MARGIN; i++)
        if (a->base[i] != MARK)
            return 0;
    for (i = 0; i < a->tail; i++)
        if (a->base[MARGIN + a->bytes + i] != MARK)
            return 0;
    return 1;
}

#endif
