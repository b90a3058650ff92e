/* test_files.c - model files: what is saved comes back bit for bit, in place
   or copied; a checkpoint goes on as if never stopped; whatever is wrong with
   a file is refused before there is memory for it, and nothing is lost. */
#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#define HAS_PROCESSES 1
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#else
#define HAS_PROCESSES 0
#endif
#include "models.h"

enum { KINDS = 8, CASES = 40, IS_FLOAT = sizeof(moe_real) == 4 };

/* A file in an allocation of exactly its size. */
typedef struct file { unsigned char *at; size_t bytes; } file;

static file file_of(size_t bytes)
{
    file f;

    f.bytes = bytes;
    f.at = (unsigned char *)malloc(bytes > 0 ? bytes : 1);
    if (f.at == NULL)
        exit(1);
    return f;
}

static file file_copy(const file *from, size_t bytes)
{
    file f = file_of(bytes);

    memcpy(f.at, from->at, bytes < from->bytes ? bytes : from->bytes);
    if (bytes > from->bytes)
        memset(f.at + from->bytes, 0, bytes - from->bytes);
    return f;
}

static moe_config config_of(int kind)
{
    moe_config c;

    memset(&c, 0, sizeof c);
    c.inputs = 3;
    c.outputs = 2;
    c.experts = kind == 1 ? 1 : 4;
    c.seed = 18446744073709551615u - (unsigned)kind;
    c.block = 7;
    if (kind >= 2 && kind != 7) {
        c.hidden[0] = 5;
        c.gate_hidden[0] = 4;
        c.gate_hidden[1] = 3;
    }
    if (kind == 3 || kind == 4 || kind == 6)
        c.top_k = 2;
    if (kind == 4)
        c.balance_loss = (moe_real)0.01f;
    if (kind == 5) {
        c.output = MOE_OUT_SOFTMAX;
        c.activation = MOE_ACT_SILU;
        c.loss = MOE_LOSS_EXPECTED;
    }
    if (kind == 6) {
        c.expert_inputs.first = 1;
        c.gate_inputs.count = 1;
        c.activation = MOE_ACT_TANH;
        c.output = MOE_OUT_LOGISTIC;
        c.loss = MOE_LOSS_BLEND;
        c.sigma = (moe_real)0.3f;
        c.hidden[1] = c.hidden[2] = c.hidden[3] = 2;
    }
    return c;
}

static moe_real x[CASES * 3], d[CASES * 2];

static void fill_data(void)
{
    int i;

    for (i = 0; i < CASES * 3; i++)
        x[i] = (moe_real)((i * 37 + 11) % 101) / 32 - 1;
    for (i = 0; i < CASES; i++) {
        d[2 * i] = x[3 * i] > 0 ? (moe_real)0.25 : (moe_real)0.75;
        d[2 * i + 1] = 1 - d[2 * i];
    }
}

/* A moe that has learnt a little; its weights are float32 in every build. */
static void open_trained(moe *m, int kind)
{
    moe_config c = config_of(kind);
    moe_data data = make_data(CASES, x, d);
    moe_training t;
    size_t i;

    memset(&t, 0, sizeof t);
    t.epochs = 3;
    t.balance_rate = kind == 3 ? (moe_real)0.01 : 0;
    if (moe_open(m, &c, NULL, 0) != MOE_OK ||
        moe_train(m, &data, NULL, &t, NULL) != MOE_OK)
        exit(1);
    for (i = 0; i < m->param_count; i++)
        m->weights[i] = (moe_real)(float)m->weights[i];
}

static file saved(const moe *m, moe_mode keep)
{
    file f = file_of(moe_save_bytes(m, keep));

    CHECK(f.bytes > 0);
    CHECK(moe_save_memory(m, keep, f.at, f.bytes) == MOE_OK);
    return f;
}

static size_t header_of(const file *f)
{
    size_t length = 0;
    int i;

    for (i = 7; i >= 0; i--)
        length = length << 8 | f->at[i];
    return 8 + length;
}

/* ---- there and back ---------------------------------------------------- */

static int same_config(const moe_config *a, const moe_config *b)
{
    return a->inputs == b->inputs && a->outputs == b->outputs &&
           a->experts == b->experts && a->top_k == b->top_k &&
           memcmp(a->hidden, b->hidden, sizeof a->hidden) == 0 &&
           memcmp(a->gate_hidden, b->gate_hidden, sizeof a->hidden) == 0 &&
           memcmp(&a->expert_inputs, &b->expert_inputs,
                  sizeof a->gate_inputs) == 0 &&
           memcmp(&a->gate_inputs, &b->gate_inputs,
                  sizeof a->gate_inputs) == 0 &&
           a->activation == b->activation && a->output == b->output &&
           a->loss == b->loss && same_reals(&a->sigma, &b->sigma, 1) &&
           same_reals(&a->balance_loss, &b->balance_loss, 1) &&
           a->block == b->block &&
           a->seed == b->seed;
}

static void check_predicts_as(moe *m, moe *other)
{
    moe_real y[CASES * 2], z[CASES * 2];

    moe_predict(m, x, CASES, y);
    moe_predict(other, x, CASES, z);
    CHECK(same_reals(y, z, CASES * 2));
}

static int file_says(const file *f, const char *text)
{
    size_t i, length = strlen(text), header = header_of(f);

    for (i = 8; i + length <= header; i++)
        if (memcmp(f->at + i, text, length) == 0)
            return 1;
    return 0;
}

static void check_layout(const file *f, moe_mode keep)
{
    size_t header = header_of(f);

    CHECK(header % 64 == 0);
    CHECK(memcmp(f->at + 8, "{\"__metadata__\":{", 17) == 0);
    CHECK((keep == MOE_MODE_TRAIN) == file_says(f, "\"training.best\":"));
}

/* Plain loops, where a build has them beside others. */
static int plain_simd(const moe *m)
{
    moe_config c = m->config;

    c.simd = 1;
    return moe_work_bytes(&c) > 0 ? 1 : m->config.simd;
}

/* Own weights, weights in place, and another's over those. */
static void check_loads(const file *f, moe *m)
{
    moe loaded, viewed, attached;
    moe_config c, wanted;

    CHECK(moe_read_config(&c, f->at, f->bytes) == MOE_OK);
    CHECK(c.block == 64);        /* a file has none */
    c.block = m->config.block;
    CHECK(same_config(&c, &m->config));
    CHECK(moe_load_memory(&loaded, f->at, f->bytes, &c, NULL, 0) == MOE_OK);
    CHECK(same_config(&loaded.config, &m->config));
    CHECK(loaded.config.mode == c.mode);
    CHECK(loaded.param_count == m->param_count &&
          same_reals(loaded.weights, m->weights, m->param_count));
    check_predicts_as(&loaded, m);
    memset(&wanted, 0, sizeof wanted);
    wanted.block = 3;
    wanted.simd = plain_simd(m);
    if (moe_load_in_place(&viewed, f->at, f->bytes, &wanted, NULL, 0) ==
        MOE_OK) {
        CHECK(IS_FLOAT && viewed.weights == NULL && viewed.grads == NULL);
        CHECK((const void *)viewed.params == (void *)(f->at + header_of(f)));
        CHECK(viewed.config.block == 3 &&
              viewed.config.simd == wanted.simd);
        CHECK(viewed.config.mode == MOE_MODE_PREDICT);
        CHECK(moe_attach(&attached, &c, viewed.params, NULL, 0) == MOE_OK);
        check_predicts_as(&attached, &loaded);
        moe_close(&attached);
        moe_close(&viewed);
    } else {
        CHECK(!IS_FLOAT && viewed.error != NULL && viewed.params == NULL);
    }
    moe_close(&loaded);
}

static void check_sizes(const moe *m, moe_mode keep)
{
    file f = saved(m, keep), small = file_of(f.bytes - 1);

    CHECK(moe_save_memory(m, keep, small.at, small.bytes) == MOE_ERR_MEMORY);
    CHECK(moe_save_memory(m, keep, NULL, f.bytes) == MOE_ERR_NULL);
    CHECK(f.bytes - header_of(&f) ==
          4 * (m->param_count + (m->sigma ? 1 + (size_t)m->config.experts : 0)
               + (keep == MOE_MODE_TRAIN ? 3 * m->trained_count + 4 : 0)));
    check_layout(&f, keep);
    free(small.at);
    free(f.at);
}

/* A file of a file is the same file, checkpoint or not. */
static void check_again(const file *f, moe_mode keep)
{
    moe m;
    file again;

    CHECK(moe_load_memory(&m, f->at, f->bytes, NULL, NULL, 0) == MOE_OK);
    again = saved(&m, keep);
    CHECK(again.bytes == f->bytes && memcmp(again.at, f->at, f->bytes) == 0);
    free(again.at);
    moe_close(&m);
}

static void check_round_trips(void)
{
    int kind;
    moe m;

    for (kind = 0; kind < KINDS; kind++) {
        file weights, checkpoint, apart;
        open_trained(&m, kind);
        weights = saved(&m, MOE_MODE_PREDICT);
        checkpoint = saved(&m, MOE_MODE_TRAIN);
        check_loads(&weights, &m);
        check_loads(&checkpoint, &m);
        check_again(&weights, MOE_MODE_GRADIENT);
        check_again(&checkpoint, MOE_MODE_TRAIN);
        check_sizes(&m, MOE_MODE_PREDICT);
        check_sizes(&m, MOE_MODE_TRAIN);
        apart = file_of(weights.bytes + 1);     /* not aligned: loads */
        memcpy(apart.at + 1, weights.at, weights.bytes);
        moe_close(&m);
        CHECK(moe_load_memory(&m, apart.at + 1, weights.bytes, NULL, NULL, 0) ==
              MOE_OK);
        moe_close(&m);
        CHECK(moe_load_in_place(&m, apart.at + 1, weights.bytes, NULL, NULL,
                                0) ==
              MOE_ERR_STATE);
        CHECK(m.error != NULL && m.params == NULL && m.heap == NULL);
        free(apart.at);
        free(weights.at);
        free(checkpoint.at);
    }
    CHECK(live_blocks == 0);
}

/* The words of the format, as other programs will read them, and the numbers
   in the order of params, least byte first. */
static void check_words(void)
{
    static const struct { int kind; const char *text; } due[] = {
        {4, "\"file\":\"moe.h 1\""}, {4, "\"inputs\":\"3\""},
        {4, "\"outputs\":\"2\""}, {4, "\"experts\":\"4\""},
        {4, "\"top_k\":\"2\""}, {4, "\"gate_hidden\":\"4,3\""},
        {4, "\"seed\":\"18446744073709551611\""},
        {4, "\"balance\":\"0x3c23d70a\""}, {4, "\"loss\":\"mixture\""},
        {4, "\"output\":\"linear\""}, {4, "\"activation\":\"relu\""},
        {5, "\"output\":\"softmax\""}, {5, "\"activation\":\"silu\""},
        {5, "\"loss\":\"expected\""}, {6, "\"output\":\"logistic\""},
        {6, "\"activation\":\"tanh\""}, {6, "\"loss\":\"blend\""},
        {6, "\"expert_sees\":\"1,2\""}, {6, "\"gate_sees\":\"0,1\""},
        {6, "\"hidden\":\"5,2,2,2\""}, {6, "\"sigma\":\"0x3e99999a\""},
        {6, "\"experts.4.weight\":{\"dtype\":\"F32\",\"shape\":[4,2,2],"},
        {6, "\"gate.1.weight\":{\"dtype\":\"F32\",\"shape\":[4,3],"},
        {6, "\"gate.balance\":{\"dtype\":\"F32\",\"shape\":[4],"},
        {6, "\"scale.x\":{\"dtype\":\"F32\",\"shape\":[2,3],"}
    };
    size_t k, i;
    moe m;

    for (k = 0; k < sizeof due / sizeof due[0]; k++) {
        file f;
        open_trained(&m, due[k].kind);
        f = saved(&m, MOE_MODE_PREDICT);
        CHECK_THAT(file_says(&f, due[k].text), "no %s", due[k].text);
        for (i = 0; i < m.param_count; i++) {
            const unsigned char *at = f.at + header_of(&f) + 4 * i;
            union { float real; uint32_t bits; } word;
            word.real = (float)m.params[i];
            CHECK(word.bits == ((uint32_t)at[0] | (uint32_t)at[1] << 8 |
                                (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24));
        }
        free(f.at);
        moe_close(&m);
    }
}

/* What the caller says about rows and use, and memory of the caller's. */
static void check_wishes(void)
{
    moe m, learner;
    moe_config c;
    moe_real *memory;
    moe_data data = make_data(CASES, x, d);
    file f;
    size_t bytes;

    open_trained(&m, 4);
    f = saved(&m, MOE_MODE_TRAIN);
    CHECK(moe_read_config(&c, f.at, f.bytes) == MOE_OK);
    CHECK(c.mode == MOE_MODE_TRAIN && c.block == 64 && c.simd == 0);
    c.mode = MOE_MODE_GRADIENT;
    c.block = 2;
    bytes = moe_bytes(&c);
    memory = (moe_real *)malloc(bytes);
    asked = 0;
    CHECK(moe_load_memory(&learner, f.at, f.bytes, &c, memory, bytes - 1) ==
          MOE_ERR_MEMORY);
    CHECK(moe_load_memory(&learner, f.at, f.bytes, &c, memory, bytes) ==
          MOE_OK);
    CHECK(asked == 0);
    CHECK(learner.config.mode == MOE_MODE_GRADIENT);
    CHECK(learner.config.block == 2);
    CHECK(moe_fit_scales(&learner, &data) == MOE_OK);
    CHECK(moe_save_bytes(&learner, MOE_MODE_TRAIN) == 0);
    CHECK(moe_save_memory(&learner, MOE_MODE_TRAIN, f.at, f.bytes) ==
          MOE_ERR_STATE);
    c.block = -1;
    CHECK(moe_load_memory(&learner, f.at, f.bytes, &c, NULL, 0) ==
          MOE_ERR_CONFIG);
    c.block = 0;
    CHECK(moe_load_memory(&learner, f.at, f.bytes, &c, NULL, 0) == MOE_OK);
    CHECK(learner.config.block == 64);
    moe_close(&learner);
    c.block = 1;
    c.simd = 77;
    CHECK(moe_load_memory(&learner, f.at, f.bytes, &c, NULL, 0) ==
          MOE_ERR_CONFIG);
    CHECK(moe_load_memory(&learner, NULL, 8, NULL, NULL, 0) == MOE_ERR_NULL);
    CHECK(moe_load_memory(NULL, f.at, f.bytes, NULL, NULL, 0) == MOE_ERR_NULL);
    CHECK(moe_load_in_place(NULL, f.at, f.bytes, NULL, NULL, 0) ==
          MOE_ERR_NULL);
    CHECK(moe_read_config(NULL, f.at, f.bytes) == MOE_ERR_NULL);
    CHECK(moe_read_config(&c, NULL, f.bytes) == MOE_ERR_NULL);
    CHECK(moe_save_memory(NULL, MOE_MODE_TRAIN, f.at, f.bytes) == MOE_ERR_NULL);
    m.weights[3] = make_infinity();
    CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, f.at, f.bytes) ==
          MOE_ERR_DIVERGED);
    m.weights[3] = 0;
    m.config.sigma = -1;
    CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, f.at, f.bytes) == MOE_ERR_CONFIG);
    moe_close(&m);
    CHECK(moe_save_memory(&m, MOE_MODE_TRAIN, f.at, f.bytes) == MOE_ERR_STATE);
    free(memory);
    free(f.at);
    CHECK(live_blocks == 0);
}

/* ---- going on from a checkpoint ---------------------------------------- */

typedef struct stop { moe *m; int epoch; file f; } stop;

static int save_at(const moe_report *report, void *user)
{
    stop *s = (stop *)user;

    if (report->epoch == s->epoch)
        s->f = saved(s->m, MOE_MODE_TRAIN);
    return 0;
}

static void check_same_state(const moe *a, const moe *b)
{
    int i;

    CHECK(same_reals(a->weights, b->weights, a->param_count));
    for (i = 0; i < 3; i++)
        CHECK(same_reals(stored(a, i), stored(b, i),
                         a->trained_count));
    CHECK(a->epoch == b->epoch && a->state->steps == b->state->steps);
    CHECK(same_reals(a->state->beta_power, b->state->beta_power, 2));
}

/* 10 epochs, saved after 5 of them; then 5 more from that file. */
static void check_resumes(int kind, const moe_training *settings,
                          const moe_data *validation, int before)
{
    moe_config c = config_of(kind);
    moe_data data = make_data(CASES - 10, x, d);
    moe_training t = *settings;
    moe_report whole, resumed;
    stop s;
    moe m, later;

    memset(&s, 0, sizeof s);
    s.m = &m;
    s.epoch = before;
    t.epochs = 10;
    t.progress = save_at;
    t.user = &s;
    t.batch = 8;
    CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, validation, &t, &whole) == MOE_OK);
    t.epochs = 10 - before;
    t.progress = NULL;
    CHECK(moe_load_memory(&later, s.f.at, s.f.bytes, &c, NULL, 0) == MOE_OK);
    CHECK(later.epoch == before);
    CHECK(moe_train(&later, &data, validation, &t, &resumed) == MOE_OK);
    check_same_state(&m, &later);
    CHECK(same_reals(&whole.loss, &resumed.loss, 1));
    CHECK(same_reals(&whole.valid_loss, &resumed.valid_loss, 1));
    CHECK(whole.epoch == 10 && resumed.epoch == 10);
    moe_close(&m);
    moe_close(&later);
    free(s.f.at);
}

static void check_resumed_training(void)
{
    moe_data validation = make_data(10, x, d);
    moe_training t;
    int kind;

    if (!IS_FLOAT) {
        printf("a double build rounds a checkpoint: resuming left out\n");
        return;
    }
    validation.x += 3 * (CASES - 10);
    validation.d += 2 * (CASES - 10);
    for (kind = 0; kind < KINDS; kind++) {
        memset(&t, 0, sizeof t);
        t.seed = 5;
        t.balance_rate = kind == 3 ? (moe_real)0.01 : 0;
        check_resumes(kind, &t, NULL, 5);
        check_resumes(kind, &t, &validation, 5);
        check_resumes(kind, &t, &validation, 1);
        t.optimizer = MOE_SGD;
        t.momentum = (moe_real)0.9;
        t.weight_decay = (moe_real)0.001;
        check_resumes(kind, &t, &validation, 9);
        t.rate = (moe_real)0.01;
        check_resumes(kind, &t, NULL, 5);
    }
    CHECK(live_blocks == 0);
}

/* Best weights, waiting and the slower rate come back in the middle of a
   plateau: a validation set that only gets worse, after 3,000 steps. */
static void check_plateau(void)
{
    moe_config c = config_of(2);
    moe_data data = make_data(CASES - 10, x, d);
    moe_data validation = make_data(10, x, d);
    moe_real far[20];
    moe_training t;
    stop s;
    moe m, later;
    int i;

    for (i = 0; i < 20; i++)
        far[i] = -d[i];
    validation.d = far;
    memset(&t, 0, sizeof t);
    memset(&s, 0, sizeof s);
    s.m = &m;
    s.epoch = 3029;
    t.batch = MOE_ALL;
    t.epochs = 3040;
    t.patience = -1;
    t.progress = save_at;
    t.user = &s;
    CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, &validation, &t, NULL) == MOE_OK);
    t.epochs = 11;
    t.progress = NULL;
    CHECK(moe_load_memory(&later, s.f.at, s.f.bytes, &c, NULL, 0) == MOE_OK);
    CHECK(later.state->since_best > 21
          && later.state->rate_factor < 1);
    CHECK(!same_reals(later.weights, stored(&later, 2),
                      later.trained_count));
    CHECK(moe_train(&later, &data, &validation, &t, NULL) == MOE_OK);
    if (IS_FLOAT)
        check_same_state(&m, &later);
    moe_close(&m);
    moe_close(&later);
    free(s.f.at);
}

/* ---- files that are not -------------------------------------------------*/

/* Refused everywhere, with a sentence, closed; for its header before any
   memory is found, for its numbers with the memory given back. */
static const char *refused(const file *f)
{
    moe_config c, before;
    moe m;
    const char *why;
    moe_status status;
    int had = live_blocks;

    asked = 0;
    memset(&c, 7, sizeof c);
    before = c;
    status = moe_load_in_place(&m, f->at, f->bytes, NULL, NULL, 0);
    CHECK(status == MOE_ERR_FORMAT || (!IS_FLOAT && status == MOE_ERR_STATE));
    CHECK(m.params == NULL && m.heap == NULL && m.error != NULL);
    CHECK(moe_load_memory(&m, f->at, f->bytes, NULL, NULL, 0) ==
          MOE_ERR_FORMAT);
    why = m.error;
    CHECK(m.params == NULL && m.heap == NULL && why != NULL);
    CHECK(live_blocks == had);
    if (moe_read_config(&c, f->at, f->bytes) != MOE_OK)
        CHECK(asked == 0 && memcmp(&c, &before, sizeof c) == 0);
    return why ? why : "";
}

/* Whatever it is: a moe in order, or refused. */
static int survives(const file *f)
{
    moe m;
    moe_status status = moe_load_memory(&m, f->at, f->bytes, NULL, NULL, 0);

    if (status == MOE_ERR_FORMAT) {
        CHECK(m.error != NULL && m.params == NULL);
        return 0;
    }
    CHECK(status == MOE_OK && all_finite(m.params, m.param_count));
    CHECK(moe_check_config(&m.config, NULL) == MOE_OK);
    moe_close(&m);
    return 1;
}

static void check_truncation(const file *f)
{
    size_t n;

    for (n = 0; n < f->bytes; n++) {
        file part = file_copy(f, n);
        refused(&part);
        CHECK(moe_read_config(NULL, part.at, n) == MOE_ERR_NULL);
        free(part.at);
    }
}

/* Bits of the header turned.  The length may be made longer by nothing, and
   only in a seed, a count or a setting's name can a bit go unseen. */
static void check_flips(const file *f)
{
    size_t i, header = header_of(f);
    int bit, accepted = 0;

    for (i = 0; i < header; i++)
        for (bit = 0; bit < 8; bit++) {
            file turned = file_copy(f, f->bytes);
            turned.at[i] ^= (unsigned char)(1 << bit);
            if (survives(&turned)) {
                CHECK(i >= 8);
                accepted++;
            }
            free(turned.at);
        }
    CHECK_THAT(accepted > 0 && accepted < 2000, "%d accepted", accepted);
}

static void check_not_finite(const file *f)
{
    static const unsigned char bad[][4] = {
        {0, 0, 0x80, 0x7f}, {0, 0, 0x80, 0xff}, {1, 0, 0x80, 0x7f},
        {0, 0, 0xc0, 0xff}
    };
    size_t at;
    int k = 0;

    for (at = header_of(f); at < f->bytes; at += 4) {
        file copy = file_copy(f, f->bytes);
        memcpy(copy.at + at, bad[k++ % 4], 4);
        refused(&copy);
        free(copy.at);
    }
}

/* The file with some text of its header replaced, and the right length. */
static file edited(const file *f, const char *find, const char *put)
{
    size_t header = header_of(f), length = strlen(find), more = strlen(put);
    size_t i, at = 8;
    file e = file_of(f->bytes - length + more);

    while (at + length <= header && memcmp(f->at + at, find, length) != 0)
        at++;
    CHECK_THAT(at + length <= header, "no %s", find);
    if (at + length > header)
        exit(1);
    memcpy(e.at, f->at, at);
    memcpy(e.at + at, put, more);
    memcpy(e.at + at + more, f->at + at + length, f->bytes - at - length);
    for (header += more - length - 8, i = 0; i < 8; i++)
        e.at[i] = (unsigned char)(header >> 8 * i);
    return e;
}

static void refuses(const file *f, const char *find, const char *put,
                    const char *word)
{
    file e = edited(f, find, put);
    const char *why = refused(&e);

    CHECK_THAT(strstr(why, word) != NULL, "%s for %s: %s", put, find, why);
    free(e.at);
}

static void accepts(const file *f, const char *find, const char *put)
{
    file e = edited(f, find, put);
    moe m;

    CHECK_THAT(moe_load_memory(&m, e.at, e.bytes, NULL, NULL, 0) == MOE_OK,
               "%s for %s: %s", put, find, m.error);
    moe_close(&m);
    free(e.at);
}

/* Kind 4 with a checkpoint: 3 inputs, 2 outputs, 4 experts, top 2. */
static void check_metadata(const file *f)
{
    accepts(f, "\"inputs\":\"3\",", "\"inputs\": \"3\", ");
    accepts(f, "\"inputs\":\"3\",", "\"inputs\":\n\"3\",\n ");
    accepts(f, "\"inputs\":\"3\",", "\"format\":\"pt\",\"inputs\":\"3\",");
    accepts(f, "\"inputs\":\"3\",", "\"a\":\"\\\"}{\",\"inputs\":\"3\",");
    accepts(f, "\"inputs\":\"3\",\"outputs\":\"2\"",
            "\"outputs\":\"2\",\"inputs\":\"3\"");
    accepts(f, "\"seed\":", "\"rows\":\"0\",\"seed\":");
    accepts(f, "\"seed\":\"", "\"seed_of_another\":\"");
    accepts(f, "\"hidden\":\"5\"", "\"hidden\":\"5,0,0,0\"");
    accepts(f, "{\"__metadata__\"", "{ \"__metadata__\"");
    accepts(f, "\"inputs\":\"3\",", "\"in\\u0070uts\":\"3\",");
    refuses(f, "\"inputs\":\"3\",", "\"a\":\"\n\",\"inputs\":\"3\",",
            "JSON");
    refuses(f, "\"inputs\":\"3\",", "\"a\":{},\"inputs\":\"3\",", "JSON");
    refuses(f, "\"inputs\":\"3\",", "\"inputs\":3,", "JSON");
    refuses(f, "\"inputs\":\"3\",", "", "inputs");
    refuses(f, "\"inputs\":\"3\",", "\"inputs\":\"3\",\"inputs\":\"3\",",
            "twice");
    refuses(f, "\"inputs\":\"3\"", "\"inputs\":\"\"", "setting");
    refuses(f, "\"inputs\":\"3\"", "\"inputs\":\"-3\"", "setting");
    refuses(f, "\"inputs\":\"3\"", "\"inputs\":\"3,3\"", "setting");
    refuses(f, "\"inputs\":\"3\"", "\"inputs\":\"4\"", "shape");
    refuses(f, "\"inputs\":\"3\"", "\"inputs\":\"32768\"", "range");
    refuses(f, "\"inputs\":\"3\"", "\"inputs\":\"18446744073709551619\"",
            "range");
    refuses(f, "\"hidden\":\"5\"", "\"hidden\":\"5,0,1\"", "hidden");
    refuses(f, "\"hidden\":\"5\"", "\"hidden\":\"5,4,3,2,1\"", "setting");
    refuses(f, "\"hidden\":\"5\"", "\"hidden\":\"\"", "setting");
    refuses(f, "\"top_k\":\"2\"", "\"top_k\":\"5\"", "top_k");
    refuses(f, "\"relu\"", "\"rel\"", "word");
    refuses(f, "\"relu\"", "\"relux\"", "word");
    refuses(f, "\"relu\"", "\"moe.h 1\"", "word");
    refuses(f, "moe.h 1", "moe.h 2", "word");
    refuses(f, "\"file\":\"moe.h 1\"", "\"file_\":\"moe.h 1\"", "moe.h file");
    refuses(f, "\"sigma\":\"0x0\"", "\"sigma\":\"0x7fc00000\"", "sigma");
    refuses(f, "\"sigma\":\"0x0\"", "\"sigma\":\"0x7f800000\"", "sigma");
    refuses(f, "\"sigma\":\"0x0\"", "\"sigma\":\"0xbf800000\"", "sigma");
    refuses(f, "\"sigma\":\"0x0\"", "\"sigma\":\"1\"", "setting");
    refuses(f, "\"sigma\":\"0x0\"", "\"sigma\":\"0x13f800000\"",
            "range");
    refuses(f, "\"training\":\"", "\"training\":\"9999999999", "range");
    refuses(f, "__metadata__", "__metadate__", "field");
}

static void check_tensors(const file *f)
{
    accepts(f, ",\"gate.balance\":{\"dtype\":\"F32\",\"shape\":[4],",
            ", \"gate.balance\": {\"dtype\": \"F32\", \"shape\": [4], ");
    accepts(f, "}}", "}}  ");
    refuses(f, "}}", "}} x", "goes on");
    refuses(f, "}}", "},\"x\":{}}", "lacks");
    refuses(f, "\"F32\"", "\"F16\"", "type");
    refuses(f, "\"F32\"", "\"I32\"", "type");
    refuses(f, "experts.0.bias", "experts.1.bias", "twice");
    refuses(f, "experts.0.bias", "experts.0.biasx", "missing");
    refuses(f, "experts.0.bias", "experts.0 .bias", "missing");
    refuses(f, "experts.0.bias", "experts.0.weight", "twice");
    refuses(f, "[4,5]", "[4,6]", "shape");
    refuses(f, "[4,5]", "[20]", "shape");
    refuses(f, "[4,5]", "[4,5,1]", "shape");
    refuses(f, "[4,5]", "[]", "shape");
    refuses(f, "[4,5]", "[4,18446744073709551621]", "range");
    refuses(f, "[0,80]", "[0,84]", "length");
    refuses(f, "[0,80]", "[4,80]", "length");
    refuses(f, "[0,80]", "[80,0]", "length");
    refuses(f, "[0,80]", "[-0,80]", "JSON");
    refuses(f, "[80,", "[76,", "length");
    refuses(f, "[80,", "[84,", "length");
    refuses(f, "\"gate.balance\"", "\"gate.balance\":{},\"gate.balance\"",
            "lacks");
    refuses(f, "\"gate.0.bias\"", "\"experts.0.bias\"", "twice");
}

/* Lengths, and what comes behind the numbers. */
static void check_lengths(const file *f)
{
    static const unsigned char length[][8] = {
        {0}, {1}, {255, 255, 255, 255, 255, 255, 255, 255},
        {0, 0, 0, 0, 0, 0, 0, 128}, {248, 255, 255, 255, 255, 255, 255, 255},
        {1, 0, 16}
    };
    file e;
    int k;

    for (k = 0; k < 6; k++) {
        e = file_copy(f, k == 5 ? 2 * 1048576 : f->bytes);
        memcpy(e.at, length[k], 8);
        refused(&e);
        free(e.at);
    }
    for (k = 1; k < 9; k++) {
        e = file_copy(f, f->bytes + (size_t)k);
        CHECK(strstr(refused(&e), "as many") != NULL);
        free(e.at);
    }
}

/* 1 MiB of settings of others loads; of brackets, it does not. */
static void check_long_headers(const file *f)
{
    enum { MIB = 1048576 };
    char *text = (char *)malloc(MIB + 1);
    size_t i, room = MIB + 8 - header_of(f);

    if (text == NULL)
        exit(1);
    for (i = 0; i < room; i += 8)
        memcpy(text + i, "\"a\":\"\", ", 8);
    strcpy(text + room / 8 * 8 - 16, "\"inputs\":\"3\",");
    accepts(f, "\"inputs\":\"3\",", text);
    memset(text, '[', MIB / 2);
    strcpy(text + MIB / 2, "\"");
    refuses(f, "\"inputs\"", text, "JSON");
    memset(text, '{', MIB / 2);
    refuses(f, ",\"gate.0.bias\"", text, "JSON");
    refuses(f, "\"seed\":\"", "\"seed\":\"99999999999999999999", "range");
    strcpy(text, "\"inputs\":\"3\",");
    memset(text + 13, ' ', MIB - 13);
    text[MIB] = 0;
    refuses(f, "\"inputs\":\"3\",", text, "MiB");
    free(text);
}

/* A few bytes that say they are a model of many gigabytes. */
static void check_giant(void)
{
    static const char text[] =
        "{\"__metadata__\":{\"file\":\"moe.h 1\",\"inputs\":\"32767\","
        "\"outputs\":\"32767\",\"experts\":\"32767\",\"hidden\":"
        "\"32767,32767,32767,32767\",\"rows\":\"32767\"},"
        "\"experts.0.bias\":{\"dtype\":\"F32\",\"shape\":[32767,32767],"
        "\"data_offsets\":[0,4294705156]}}";
    file f = file_of(8 + sizeof text - 1);

    memset(f.at, 0, 8);
    f.at[0] = (sizeof text - 1) & 255;
    f.at[1] = (sizeof text - 1) >> 8;
    memcpy(f.at + 8, text, sizeof text - 1);
    refused(&f);
    free(f.at);
}

/* Numbers that training could not leave: powers of beta above 1, a negative
   second moment. */
static void check_training_state(const file *f, const moe *m)
{
    static const unsigned char two[] = {0, 0, 0, 0x40};
    static const unsigned char less[] = {0, 0, 0, 0xc0};
    int k;

    for (k = 1; k < 5; k++) {
        file e = file_copy(f, f->bytes);
        memcpy(e.at + e.bytes - 16 + 4 * (k - 1), two, 4);
        CHECK(survives(&e) == (k == 4));
        free(e.at);
    }
    for (k = 1; k <= (int)m->trained_count; k++) {
        file e = file_copy(f, f->bytes);
        memcpy(e.at + e.bytes - 16 - 4 * k, less, 4);
        CHECK(strstr(refused(&e), "second") != NULL);
        free(e.at);
    }
}

/* A checkpoint that does not speak of restarts has none: training goes on. */
static void check_without_restarts(void)
{
    moe_config c = config_of(4);
    moe_data data = make_data(CASES, x, d);
    moe_training t;
    stop s;
    moe m, later[2];
    file e;
    int i;

    memset(&s, 0, sizeof s);
    memset(&t, 0, sizeof t);
    s.m = &m;
    s.epoch = 3;
    t.epochs = 5;
    t.holdout = -1;
    t.progress = save_at;
    t.user = &s;
    CHECK(moe_open(&m, &c, NULL, 0) == MOE_OK);
    CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
    e = edited(&s.f, "\"restarts\":\"0\",", "");
    t.epochs = 0;
    t.progress = NULL;
    for (i = 0; i < 2; i++) {
        const file *from = i ? &e : &s.f;
        CHECK(moe_load_memory(&later[i], from->at, from->bytes, NULL, NULL, 0)
              == MOE_OK);
        CHECK(moe_train(&later[i], &data, NULL, &t, NULL) == MOE_OK);
        CHECK(later[i].epoch == 5);
    }
    check_same_state(&later[0], &later[1]);
    moe_close(&m);
    moe_close(&later[0]);
    moe_close(&later[1]);
    free(s.f.at);
    free(e.at);
}

static void check_hostile(void)
{
    file checkpoint, small, plain;
    moe m;

    open_trained(&m, 4);
    checkpoint = saved(&m, MOE_MODE_TRAIN);
    check_metadata(&checkpoint);
    check_tensors(&checkpoint);
    check_lengths(&checkpoint);
    check_long_headers(&checkpoint);
    check_training_state(&checkpoint, &m);
    check_flips(&checkpoint);
    moe_close(&m);
    open_trained(&m, 0);
    small = saved(&m, MOE_MODE_TRAIN);
    plain = saved(&m, MOE_MODE_PREDICT);
    refuses(&plain, "\"seed\"", "\"training\":\"3\",\"seed\"", "missing");
    accepts(&small, "\"training\":", "\"untraining\":");
    check_truncation(&small);
    check_not_finite(&small);
    check_giant();
    check_without_restarts();
    moe_close(&m);
    free(checkpoint.at);
    free(small.at);
    free(plain.at);
    CHECK(live_blocks == 0);
}

/* ---- files with a path ------------------------------------------------- */

static char folder[64] = ".";

static const char *path_of(const char *name)
{
    static char path[400];

    sprintf(path, "%s/%.300s", folder, name);
    return path;
}

static int exists(const char *name)
{
    FILE *f = fopen(path_of(name), "rb");

    if (f != NULL)
        fclose(f);
    return f != NULL;
}

static void check_loads_path(const char *name, moe *m)
{
    moe loaded;

    CHECK(moe_load(&loaded, path_of(name), NULL) == MOE_OK);
    CHECK(loaded.weights != NULL &&
          same_reals(loaded.weights, m->weights, m->param_count));
    moe_close(&loaded);
}

static void write_file(const char *name, const void *at, size_t bytes)
{
    FILE *f = fopen(path_of(name), "wb");

    if (f == NULL || fwrite(at, 1, bytes, f) != bytes || fclose(f) != 0)
        exit(1);
}

static void check_paths(void)
{
    moe m, other, loaded;
    int was;

    open_trained(&m, 2);
    open_trained(&other, 5);
    was = live_blocks;
    CHECK(moe_save(&m, MOE_MODE_TRAIN, path_of("a.moe")) == MOE_OK);
    check_loads_path("a.moe", &m);
    CHECK(moe_save(&other, MOE_MODE_PREDICT, path_of("a.moe")) == MOE_OK);
    check_loads_path("a.moe", &other);
    CHECK(!exists("a.moe.tmp"));
    CHECK(moe_load(&loaded, path_of("none.moe"), NULL) == MOE_ERR_IO);
    CHECK(loaded.error != NULL && loaded.params == NULL);
    CHECK(moe_load(&loaded, NULL, NULL) == MOE_ERR_NULL);
    CHECK(moe_load(NULL, path_of("a.moe"), NULL) == MOE_ERR_NULL);
    CHECK(moe_save(&m, MOE_MODE_TRAIN, NULL) == MOE_ERR_NULL);
    CHECK(moe_save(NULL, MOE_MODE_TRAIN, path_of("a.moe")) == MOE_ERR_NULL);
    CHECK(moe_save(&m, MOE_MODE_TRAIN, path_of("none/a.moe")) == MOE_ERR_IO);
    write_file("empty.moe", "", 0);
    CHECK(moe_load(&loaded, path_of("empty.moe"), NULL) == MOE_ERR_FORMAT);
    remove(path_of("empty.moe"));
    CHECK(live_blocks == was);
    moe_close(&m);
    CHECK(moe_save(&m, MOE_MODE_TRAIN, path_of("a.moe")) == MOE_ERR_STATE);
    check_loads_path("a.moe", &other);
    moe_close(&other);
    remove(path_of("a.moe"));
    CHECK(live_blocks == 0);
}

#if HAS_PROCESSES
/* A write that fails in the middle, a folder where a file should be, and a
   process that is killed while it saves: the old file stays whole. */
static void check_failing_writes(void)
{
    struct rlimit limit, old;
    moe m, loaded;

    open_trained(&m, 2);
    CHECK(moe_save(&m, MOE_MODE_TRAIN, path_of("b.moe")) == MOE_OK);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 100;
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK(moe_save(&m, MOE_MODE_PREDICT, path_of("b.moe")) == MOE_ERR_IO);
    CHECK(moe_save(&m, MOE_MODE_PREDICT, path_of("c.moe")) == MOE_ERR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(!exists("b.moe.tmp") && !exists("c.moe") && !exists("c.moe.tmp"));
    check_loads_path("b.moe", &m);
    CHECK(moe_load(&loaded, folder, NULL) == MOE_ERR_IO);
    CHECK(mkdir(path_of("d.moe"), 0700) == 0);
    CHECK(moe_save(&m, MOE_MODE_PREDICT, path_of("d.moe")) == MOE_ERR_IO);
    CHECK(!exists("d.moe.tmp"));
    CHECK(rmdir(path_of("d.moe")) == 0);
    CHECK(mkdir(path_of("b.moe.tmp"), 0700) == 0);
    CHECK(moe_save(&m, MOE_MODE_PREDICT, path_of("b.moe")) == MOE_OK);
    CHECK(rmdir(path_of("b.moe.tmp")) == 0);     /* it was left alone */
    check_loads_path("b.moe", &m);
    moe_close(&m);
}

/* What killed processes had begun: b.moe.1f2e3d4c.tmp. */
static void remove_begun(void)
{
    DIR *begun = opendir(folder);
    struct dirent *e;

    while (begun != NULL && (e = readdir(begun)) != NULL)
        if (strncmp(e->d_name, "b.moe.", 6) == 0 &&
            strstr(e->d_name, ".tmp") != NULL)
            remove(path_of(e->d_name));
    if (begun != NULL)
        closedir(begun);
}

static void check_killed(void)
{
    struct timespec moment;
    moe m, other, loaded;
    int round, olds = 0;


    moment.tv_sec = 0;
    open_trained(&m, 2);
    open_trained(&other, 5);
    for (round = 0; round < 20; round++) {
        pid_t child;
        CHECK(moe_save(&m, MOE_MODE_TRAIN, path_of("b.moe")) == MOE_OK);
        fflush(stdout);
        child = fork();
        if (child == 0)
            for (;;) {
                moe_save(&other, MOE_MODE_TRAIN, path_of("b.moe"));
                moe_save(&m, MOE_MODE_TRAIN, path_of("b.moe"));
            }
        moment.tv_nsec = round * 300000L;
        nanosleep(&moment, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        CHECK(moe_load(&loaded, path_of("b.moe"), NULL) == MOE_OK);
        olds += loaded.param_count == m.param_count;
        moe_close(&loaded);
    }
    CHECK(olds > 0);
    remove(path_of("b.moe"));
    remove_begun();
    moe_close(&m);
    moe_close(&other);
    CHECK(live_blocks == 0);
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");

    sprintf(folder, "%.40s/moe_files.XXXXXX", base ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        exit(1);
}

static void remove_folder(void)
{
    CHECK(rmdir(folder) == 0);      /* nothing is left in it */
}
#else
static void check_failing_writes(void)
{
    printf("no POSIX here: failing writes and killed processes left out\n");
}
static void check_killed(void) {}
static void make_folder(void) {}
static void remove_folder(void) {}
#endif

int main(void)
{
    fill_data();
    RUN(check_round_trips());
    RUN(check_words());
    RUN(check_wishes());
    RUN(check_resumed_training());
    RUN(check_plateau());
    RUN(check_hostile());
    make_folder();
    RUN(check_paths());
    RUN(check_failing_writes());
    RUN(check_killed());
    remove_folder();
    return check_done();
}
