/* export_quality.c - what is left of a model in integers?  Compiled as it is,
   it trains one on real data, with fixed seeds and the library's defaults:

     train FOLDER MODEL SEED model.safetensors inputs.csv cases.csv

   MODEL is a name of the list below.  inputs.csv has the inputs of its training
   cases, to calibrate export_c with; cases.csv the test cases, inputs first.
   Compiled with -DNET='"net.c"' and -DNET_FLOAT, where export_c wrote net.c,
   and linked with moe.h, it compares both:

     compare model.safetensors cases.csv NAME

   prints a line with the error of the floats on the test cases, that of the
   integers, and their ratio or difference; of classes also how many answers are
   others.  export_quality.sh does all this. */
#ifndef NET
#define MOE_IMPLEMENTATION
#endif
#include "../moe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef NET
#include NET
#endif

enum { MOST_CASES = 10000, MOST_INPUTS = 16 };

static float x[MOST_CASES * MOST_INPUTS], d[MOST_CASES];
static int labels[MOST_CASES];

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "export_quality: %s: %s\n", what, why);
    return 1;
}

/* Rows of `inputs` numbers and a target, which may stand first; lines that do
   not begin with a number are headings. */
static int read_cases(const char *path, int inputs, int target_first)
{
    FILE *from = fopen(path, "r");
    int n = 0, i;
    char line[1024];

    while (from != NULL && n < MOST_CASES
           && fgets(line, sizeof line, from) != NULL) {
        char *at = line, *end;

        for (i = 0; i <= inputs; i++, at = end) {
            const float v = (float)strtod(at, &end);

            if (end == at)
                break;
            end += *end == ',';
            if (i == (target_first ? 0 : inputs))
                d[n] = v;
            else
                x[n * inputs + i - target_first] = v;
        }
        labels[n] = (int)d[n] - 1;
        n += i > inputs;
    }
    if (from != NULL)
        fclose(from);
    return n;
}

#ifndef NET

typedef struct model {
    const char *name, *file, *test_file;
    int inputs, classes, target_first;
    int experts, hidden, top_k;
    moe_loss loss;
} model;

static const model models[] = {
    {"kin8nm-8x8", "kin8nm.csv", NULL, 8, 0, 0, 8, 8, 0, MOE_LOSS_BLEND},
    {"kin8nm-2of16", "kin8nm.csv", NULL, 8, 0, 0, 16, 8, 2, MOE_LOSS_BLEND},
    {"vowels-8", "vowel_deterding_train.csv", "vowel_deterding_test.csv", 10,
     11, 1, 8, 0, 0, MOE_LOSS_MIXTURE},
    {"vowels-8x8", "vowel_deterding_train.csv", "vowel_deterding_test.csv", 10,
     11, 1, 8, 8, 0, MOE_LOSS_MIXTURE}
};

static int write_rows(const char *path, int first, int n, int inputs,
                      int targets)
{
    FILE *to = fopen(path, "w");
    int r, i;

    if (to == NULL)
        return failed(path, "cannot be written");
    for (r = first; r < first + n; r++) {
        for (i = 0; i < inputs; i++)
            fprintf(to, "%s%.9g", i ? "," : "", (double)x[r * inputs + i]);
        if (targets)
            fprintf(to, ",%.9g", (double)d[r]);
        fprintf(to, "\n");
    }
    return fclose(to) != 0;
}

/* Rows in a random order (Fisher & Yates). */
static void shuffle(int n, int inputs, uint64_t seed)
{
    int i, j, k;

    for (i = n - 1; i > 0; i--) {
        const float t = d[i];

        j = (int)((moei_uniform(&seed) + 1) / 2 * (float)(i + 1));
        d[i] = d[j];
        d[j] = t;
        for (k = 0; k < inputs; k++) {
            const float v = x[i * inputs + k];

            x[i * inputs + k] = x[j * inputs + k];
            x[j * inputs + k] = v;
        }
    }
    for (i = 0; i < n; i++)
        labels[i] = (int)d[i] - 1;
}

/* A tenth is the test part where no other is published, and 15 % of the rest
   stop the training of a regression. */
static int train(const model *a, uint64_t seed, const char *folder, char **path)
{
    char name[1024];
    const int own = a->test_file != NULL;
    int n, tested, kept;
    moe_config c;
    moe_data data, validation;
    moe_training t;
    moe m;

    memset(&c, 0, sizeof c);
    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    snprintf(name, sizeof name, "%s/%s", folder, a->file);
    n = read_cases(name, a->inputs, a->target_first);
    if (n == 0)
        return failed(name, "has no cases");
    shuffle(n, a->inputs, seed);
    tested = own ? 0 : n / 10;
    kept = own ? 0 : (n - tested) * 15 / 100;
    c.inputs = a->inputs;
    c.outputs = a->classes ? a->classes : 1;
    c.experts = a->experts;
    c.hidden[0] = a->hidden;
    c.top_k = a->top_k;
    c.output = a->classes ? MOE_OUT_SOFTMAX : MOE_OUT_LINEAR;
    c.loss = a->loss;
    c.seed = t.seed = seed;
    t.balance_rate = a->top_k ? (moe_real)0.01 : 0;
    data.n = n - tested - kept;
    data.x = x + tested * a->inputs;
    data.d = a->classes ? NULL : d + tested;
    data.labels = a->classes ? labels + tested : NULL;
    validation = data;
    validation.n = kept;
    validation.x += data.n * a->inputs;
    validation.d = a->classes ? NULL : data.d + data.n;
    if (moe_open(&m, &c, NULL, 0) != MOE_OK
        || moe_train(&m, &data, kept ? &validation : NULL, &t, NULL) != MOE_OK
        || moe_save(&m, MOE_MODE_PREDICT, path[0]) != MOE_OK)
        return failed(a->name, m.error);
    moe_close(&m);
    if (write_rows(path[1], tested, n - tested, a->inputs, 0))
        return 1;
    if (own) {
        snprintf(name, sizeof name, "%s/%s", folder, a->test_file);
        tested = read_cases(name, a->inputs, a->target_first);
    }
    return write_rows(path[2], 0, tested, a->inputs, 1);
}

int main(int count, char **word)
{
    size_t i;

    if (count == 8 && strcmp(word[1], "train") == 0)
        for (i = 0; i < sizeof models / sizeof *models; i++)
            if (strcmp(word[3], models[i].name) == 0)
                return train(&models[i], (uint64_t)atoi(word[4]), word[2],
                             word + 5);
    return failed("usage", "train FOLDER MODEL SEED model inputs cases");
}

#else

static int largest(const float *y, int n)
{
    int k, best = 0;

    for (k = 1; k < n; k++)
        best = y[k] > y[best] ? k : best;
    return best;
}

int main(int count, char **word)
{
    static float y[NET_OUTPUTS], z[NET_OUTPUTS];
    double floats = 0, integers = 0;
    int n, i, changed = 0, right[2] = {0, 0};
    moe m;

    if (count != 4 || moe_load(&m, word[1], NULL) != MOE_OK)
        return failed("usage", "compare model cases NAME");
    n = read_cases(word[2], NET_INPUTS, 0);
    if (n == 0)
        return failed(word[2], "has no cases");
    for (i = 0; i < n; i++) {
        moe_predict(&m, x + i * NET_INPUTS, 1, y);
        net_predict_float(x + i * NET_INPUTS, z);
        floats += ((double)y[0] - (double)d[i]) * ((double)y[0] - (double)d[i]);
        integers += ((double)z[0] - (double)d[i])
                  * ((double)z[0] - (double)d[i]);
        right[0] += largest(y, NET_OUTPUTS) == labels[i];
        right[1] += largest(z, NET_OUTPUTS) == labels[i];
        changed += largest(y, NET_OUTPUTS) != largest(z, NET_OUTPUTS);
    }
    moe_close(&m);
    if (NET_OUTPUTS == 1)
        printf("%-14s RMSE %.5f in floats, %.5f in integers: x %.4f\n",
               word[3], sqrt(floats / n), sqrt(integers / n),
               sqrt(integers / floats));
    else
        printf("%-14s %.2f %% right in floats, %.2f %% in integers: %+.2f, "
               "%d of %d answers changed\n", word[3], 100.0 * right[0] / n,
               100.0 * right[1] / n, 100.0 * (right[1] - right[0]) / n,
               changed, n);
    return net_check() != 0;
}

#endif
