/* fuzz_files.c - any bytes as a model file: read its configuration, load it,
   take one training step, save it again, view it.  Built with libFuzzer it is
   called by that, with changes that know the format (mutate.h); with
   -DFUZZ_MAIN it reads the files it is given, for AFL++ and to run findings
   again; with -DFUZZ_RUNS it makes so many changes to the files it is given by
   itself, for compilers without libFuzzer; with -DFUZZ_SEEDS it writes seeds
   into a folder.  See run.sh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOE_IMPLEMENTATION
#include "../../moe.h"
#include "mutate.h"

#define MUST(condition) \
    ((condition) ? (void)0 : must(#condition, __LINE__))

enum { LARGEST = 1 << 20 };      /* bytes that a moe may take here */

static void must(const char *condition, int line)
{
    fprintf(stderr, "line %d: not so: %s\n", line, condition);
    abort();
}

static int all_finite(const moe *m)
{
    size_t i;

    for (i = 0; i < m->param_count; i++)
        if (!(m->params[i] - m->params[i] == 0))
            return 0;
    return 1;
}

static void predict(moe *m)
{
    moe_real *x = (moe_real *)calloc((size_t)m->config.inputs, sizeof *x);
    moe_real *y = (moe_real *)calloc((size_t)m->config.outputs, sizeof *y);

    MUST(x != NULL && y != NULL);
    moe_predict(m, x, 1, y);
    free(x);
    free(y);
}

/* One epoch of one case; a gate whose top_k is 1 does not train. */
static void train(moe *m)
{
    moe_data data;
    moe_training t;
    moe_real *x = (moe_real *)calloc((size_t)m->config.inputs, sizeof *x);
    moe_real *d = (moe_real *)calloc((size_t)m->config.outputs, sizeof *d);
    moe_status status;

    MUST(x != NULL && d != NULL);
    d[0] = 1;
    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    data.n = 1;
    data.x = x;
    data.d = d;
    t.epochs = 1;
    status = moe_train(m, &data, NULL, &t, NULL);
    MUST(status == MOE_OK || status == MOE_ERR_DIVERGED
         || (status == MOE_ERR_CONFIG && m->config.top_k == 1));
    free(x);
    free(d);
}

/* What was read can be written, and is then a file again. */
static void save(const moe *m, moe_mode keep)
{
    size_t bytes = moe_save_bytes(m, keep);
    void *file = malloc(bytes + 1);
    moe_config config;

    MUST(file != NULL && bytes > 0);
    MUST(moe_save_memory(m, keep, file, bytes) == MOE_OK);
    MUST(moe_read_config(&config, file, bytes) == MOE_OK);
    free(file);
}

/* A header with escapes: tiles does not know all its words. */
static int escaped(const void *file)
{
    const unsigned char *at = (const unsigned char *)file;

    return memchr(at + 8, '\\', at[0] | (size_t)at[1] << 8
                                | (size_t)at[2] << 16) != NULL;
}

static void load(const void *file, size_t bytes, moe_config config)
{
    moe m;
    moe_status status;
    moe_mode keep = config.mode;

    config.block = 1;
    status = moe_load_memory(&m, file, bytes, &config, NULL, 0);
    if (status == MOE_OK) {
        MUST(all_finite(&m) && m.epoch >= 0);
        MUST(tiles((const unsigned char *)file, bytes) || escaped(file));
        save(&m, keep);
        predict(&m);
        moe_close(&m);
        config.mode = MOE_MODE_TRAIN;
        MUST(moe_load_memory(&m, file, bytes, &config, NULL, 0) == MOE_OK);
        train(&m);
        moe_close(&m);
        config.mode = MOE_MODE_PREDICT;
        status = moe_load_in_place(&m, file, bytes, &config, NULL, 0);
        MUST(status == MOE_OK || status == MOE_ERR_STATE);
        if (status == MOE_OK) {
            MUST(all_finite(&m));
            predict(&m);
        }
    } else {
        MUST(status == MOE_ERR_FORMAT && m.error != NULL && m.heap == NULL);
    }
    moe_close(&m);
}

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *file = malloc(size + 1);      /* its own: aligned, with its end */
    moe_config config, wide;
    moe m;

    MUST(file != NULL);
    file = size > 0 ? realloc(file, size) : file;
    memcpy(file, data, size);
    if (moe_read_config(&config, file, size) == MOE_OK) {
        MUST(moe_check_config(&config, NULL) == MOE_OK);
        wide = config;
        wide.mode = MOE_MODE_TRAIN;
        wide.block = 1;
        if (moe_bytes(&wide) > 0 && moe_bytes(&wide) <= LARGEST)
            load(file, size, config);
    } else {
        MUST(moe_load_memory(&m, file, size, NULL, NULL, 0) == MOE_ERR_FORMAT);
        MUST(moe_load_in_place(&m, file, size, NULL, NULL, 0)
             == MOE_ERR_FORMAT);
        MUST(m.error != NULL && m.heap == NULL && m.params == NULL);
    }
    free(file);
    return 0;
}

#ifdef FUZZ_SEEDS
#elif defined(FUZZ_RUNS)
/* Changes upon changes, but for what is refused seldom. */
int main(int count, char **name)
{
    static unsigned char room[1 << 17], seed[64][1 << 14];
    size_t bytes[64];
    unsigned long run, kept = 0;
    int i, n = 0;

    for (i = 1; i < count && n < 64; i++) {
        FILE *f = fopen(name[i], "rb");
        if (f == NULL)
            return 1;
        bytes[n] = fread(seed[n], 1, sizeof seed[n], f);
        n++;
        fclose(f);
    }
    MUST(n > 0);
    for (run = 0; run < FUZZ_RUNS; run++) {
        size_t size = bytes[run % (unsigned)n];
        moe_config c;
        memcpy(room, seed[run % (unsigned)n], size);
        size = mutate(room, size, sizeof room, (unsigned)run);
        LLVMFuzzerTestOneInput(room, size);
        if (size > 0 && size < sizeof seed[0] && run % 4096 < 3000 &&
            moe_read_config(&c, room, size) == MOE_OK) {
            memcpy(seed[run % (unsigned)n], room, size);
            bytes[run % (unsigned)n] = size;
            kept++;
        } else if (run % 4096 > 4000) {
            FILE *f = fopen(name[1 + run % (unsigned)n], "rb");
            MUST(f != NULL);
            bytes[run % (unsigned)n] = fread(seed[run % (unsigned)n], 1,
                                             sizeof seed[0], f);
            fclose(f);
        }
    }
    printf("%lu runs, %lu accepted\n", run, kept);
    return 0;
}
#elif !defined(FUZZ_MAIN)
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most,
                               unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most,
                               unsigned seed)
{
    size_t changed = seed % 8 > 0 ? mutate(data, size, most, seed) : 0;

    return changed > 0 ? changed : LLVMFuzzerMutate(data, size, most);
}
#endif

#ifdef FUZZ_MAIN
/* Each file named; without names, standard input. */
static void one(FILE *f)
{
    static unsigned char room[LARGEST];
    size_t bytes = f ? fread(room, 1, sizeof room, f) : 0;

    if (f != NULL)
        LLVMFuzzerTestOneInput(room, bytes);
}

int main(int count, char **name)
{
    int i;

    if (count < 2)
        one(stdin);
    for (i = 1; i < count; i++) {
        FILE *f = fopen(name[i], "rb");
        one(f);
        if (f != NULL)
            fclose(f);
    }
    return 0;
}
#endif

#ifdef FUZZ_SEEDS
static void write_seed(const moe_config *config, moe_mode keep,
                       const char *folder, int number)
{
    char path[1000];
    moe m;

    sprintf(path, "%.900s/seed%d.moe", folder, number);
    MUST(moe_open(&m, config, NULL, 0) == MOE_OK);
    if (keep == MOE_MODE_TRAIN)
        train(&m);
    MUST(moe_save(&m, keep, path) == MOE_OK);
    moe_close(&m);
}

/* The smallest ones, and one of everything. */
int main(int count, char **name)
{
    moe_config c;

    MUST(count == 2);
    memset(&c, 0, sizeof c);
    c.inputs = c.outputs = c.experts = c.block = 1;
    write_seed(&c, MOE_MODE_PREDICT, name[1], 1);
    write_seed(&c, MOE_MODE_TRAIN, name[1], 2);
    c.experts = 3;
    c.inputs = 2;
    c.top_k = 2;
    c.balance_loss = (moe_real)0.01;
    write_seed(&c, MOE_MODE_TRAIN, name[1], 3);
    c.hidden[0] = c.hidden[1] = 2;
    c.gate_hidden[0] = 2;
    c.expert_inputs.first = 1;
    c.gate_inputs.count = 1;
    c.activation = MOE_ACT_SILU;
    c.output = MOE_OUT_SOFTMAX;
    c.outputs = 2;
    c.loss = MOE_LOSS_BLEND;
    c.seed = 12345;
    write_seed(&c, MOE_MODE_PREDICT, name[1], 4);
    write_seed(&c, MOE_MODE_TRAIN, name[1], 5);
    return 0;
}
#endif
