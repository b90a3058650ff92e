/* test_faults_files.c - files as other tools write them, as version 0.1 wrote
   them, and as nobody should: every well-formed header with our tensors is
   read, wherever the numbers lie, and each kind of fault has its sentence.  A
   file never chooses the size of a block; a save has a name of its own; no
   more is read than the header asks for. */
#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#define HAS_PROCESSES 1
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#else
#define HAS_PROCESSES 0
#endif
#include <stdarg.h>

#include "models.h"
#include "files_0_1.h"

enum { TENSORS = 11, MOST = 16, CASES = 6, IS_FLOAT = sizeof(moe_real) == 4 };

/* The tensors of one configuration, as the manual names and shapes them. */
static const struct { const char *name, *shape; int count; } ours[TENSORS] = {
    {"experts.0.bias", "3,4", 12}, {"experts.0.weight", "3,3,4", 36},
    {"experts.1.bias", "3,2", 6}, {"experts.1.weight", "3,4,2", 24},
    {"gate.0.bias", "2", 2}, {"gate.0.weight", "3,2", 6},
    {"gate.1.bias", "3", 3}, {"gate.1.weight", "2,3", 6},
    {"gate.balance", "3", 3}, {"scale.d", "2,2", 4}, {"scale.x", "2,3", 6}
};

static const char metadata[] =
    "\"__metadata__\":{\"inputs\":\"3\",\"outputs\":\"2\",\"experts\":\"3\","
    "\"top_k\":\"2\",\"hidden\":\"4\",\"gate_hidden\":\"2\","
    "\"activation\":\"tanh\",\"output\":\"linear\",\"loss\":\"mixture\","
    "\"sigma\":\"0x3f800000\",\"seed\":\"5\",\"file\":\"moe.h 1\"}";

static moe_config config_of(void)
{
    moe_config c = make_config(3, 2, 3);

    c.top_k = 2;
    c.hidden[0] = 4;
    c.gate_hidden[0] = 2;
    c.activation = MOE_ACT_TANH;
    c.seed = 5;
    return c;
}

/* The model that all these files hold; every number is its own. */
static moe model;

static void open_model(void)
{
    moe_config c = config_of();
    size_t i;

    CHECK(moe_open(&model, &c, NULL, 0) == MOE_OK);
    for (i = 0; i < model.param_count; i++)
        model.weights[i] = (moe_real)((float)(i % 29) / 16 - (float)i / 64 + 3);
}

/* ---- a header, in pieces ------------------------------------------------ */

static char text[1 << 21];
static size_t length;

static void say(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    length += (size_t)vsprintf(text + length, format, list);
    va_end(list);
}

/* How another tool writes. */
typedef struct style {
    int fields;              /* which order of the three fields, 0..5        */
    int metadata_at;         /* before which tensor                          */
    int step;                /* tensor i of the header is step * i + first,  */
    int first;               /* modulo how many there are                    */
    int data_step;           /* the same for the numbers                     */
    const char *extra;       /* a tensor that is not ours; %d %d: its place  */
    int extra_bytes;
    const char *metadata;    /* NULL: those above                            */
    int leave_out;           /* 1 + a tensor that is not there               */
    int double_of;           /* 1 + a tensor that stands twice               */
} style;

static void say_tensor(int i, int begin, int fields)
{
    static const char order[6][4] = {"dso", "sdo", "ods", "osd", "dos", "sod"};
    int k;

    say("\"%s\":{", ours[i].name);
    for (k = 0; k < 3; k++) {
        say(k > 0 ? "," : "");
        if (order[fields][k] == 'd')
            say("\"dtype\":\"F32\"");
        else if (order[fields][k] == 's')
            say("\"shape\":[%s]", ours[i].shape);
        else
            say("\"data_offsets\":[%d,%d]", begin, begin + 4 * ours[i].count);
    }
    say("}");
}

/* Where each tensor's numbers begin; returns how many bytes there are. */
static int place(const style *s, int *begin)
{
    int i, k, at = s->extra_bytes;

    for (i = 0; i < TENSORS; i++) {
        k = (s->data_step * i + s->first) % TENSORS;
        begin[k] = at;
        at += k == s->leave_out - 1 ? 0 : 4 * ours[k].count;
    }
    return at;
}

static void say_header(const style *s, const int *begin)
{
    int i, k, said = 0;

    length = 0;
    say("{");
    for (i = 0; i <= TENSORS; i++) {
        k = (s->step * i + s->first) % TENSORS;
        if (i == s->metadata_at)
            say("%s%s", said++ ? "," : "",
                s->metadata ? s->metadata : metadata);
        if (i == TENSORS / 2 && s->extra != NULL) {
            say("%s", said++ ? "," : "");
            say(s->extra, 0, s->extra_bytes);
        }
        if (i == TENSORS || k == s->leave_out - 1)
            continue;
        say("%s", said++ ? "," : "");
        say_tensor(k, begin[k], s->fields);
        if (k == s->double_of - 1) {
            say(",");
            say_tensor(k, begin[k], s->fields);
        }
    }
    say("}");
}

/* A file in an allocation of exactly its size. */
typedef struct file { unsigned char *at; size_t bytes; } file;

static file file_of(size_t bytes)
{
    file f;

    f.bytes = bytes;
    f.at = (unsigned char *)calloc(bytes + 1, 1);
    if (f.at == NULL)
        exit(1);
    return f;
}

static void put_header(file *f)
{
    size_t i;

    for (i = 0; i < 8; i++)
        f->at[i] = (unsigned char)(length >> 8 * i & 255);
    memcpy(f->at + 8, text, length);
}

static void put_number(unsigned char *at, uint32_t bits)
{
    int i;

    for (i = 0; i < 4; i++)
        at[i] = (unsigned char)(bits >> 8 * i & 255);
}

static uint32_t bits_of(moe_real x)
{
    union { float real; uint32_t bits; } word;

    word.real = (float)x;
    return word.bits;
}

static file styled(const style *s)
{
    int begin[TENSORS], i, k;
    int bytes = place(s, begin);
    const moe_real *x = model.params;
    file f;

    say_header(s, begin);
    f = file_of(8 + length + (size_t)bytes);
    put_header(&f);
    for (i = 0; i < TENSORS; i++)
        for (k = 0; k < ours[i].count; k++, x++)
            if (i != s->leave_out - 1)
                put_number(f.at + 8 + length + begin[i] + 4 * k, bits_of(*x));
    return f;
}

static style plain_style(void)
{
    style s;

    memset(&s, 0, sizeof s);
    s.step = s.data_step = 1;
    return s;
}

/* The header's text again, with `blank` around each of its tokens. */
static file spread(const file *f, const char *blank)
{
    size_t old = length, i, k;
    char *was = (char *)malloc(old + 1);
    int in_string = 0;
    file e;

    if (was == NULL)
        exit(1);
    memcpy(was, text, old);
    length = 0;
    for (i = 0; i < old; i++) {
        int mark = !in_string && strchr("{}[]:,", was[i]) != NULL;
        say("%s", mark && i > 0 ? blank : "");
        say("%c", was[i]);
        say("%s", mark ? blank : "");
        k = i;
        while (k > 0 && was[k - 1] == '\\')
            k--;
        in_string ^= was[i] == '"' && (i - k) % 2 == 0;
    }
    e = file_of(f->bytes - old + length);
    put_header(&e);
    memcpy(e.at + 8 + length, f->at + 8 + old, f->bytes - 8 - old);
    free(was);
    return e;
}

/* ---- what other tools write --------------------------------------------- */

static void check_same_weights(const moe *m, const char *what)
{
    size_t i;

    CHECK_THAT(m->param_count == model.param_count, "%s", what);
    for (i = 0; i < m->param_count; i++)
        if (bits_of(m->params[i]) != bits_of(model.params[i]))
            break;
    CHECK_THAT(i == m->param_count, "%s: number %d", what, (int)i);
}

static void accepts(const file *f, const char *what)
{
    moe m;
    moe_config c;
    moe_status status = moe_load_memory(&m, f->at, f->bytes, NULL, NULL, 0);

    CHECK_THAT(moe_read_config(&c, f->at, f->bytes) == MOE_OK, "%s", what);
    CHECK_THAT(status == MOE_OK, "%s: %s", what, m.error);
    if (status == MOE_OK)
        check_same_weights(&m, what);
    moe_close(&m);
}

static void accepts_style(const style *s, const char *what)
{
    file f = styled(s);

    accepts(&f, what);
    free(f.at);
}

static void check_orders(void)
{
    style s = plain_style();
    int k;

    accepts_style(&s, "the plain file");
    for (k = 0; k < 6; k++, s.fields = k % 6)
        accepts_style(&s, "the fields of a tensor in another order");
    for (k = 0; k <= TENSORS; k++) {
        s.metadata_at = k;
        accepts_style(&s, "metadata in the middle or last");
    }
    for (k = 2; k < TENSORS; k++) {
        s = plain_style();
        s.first = k;
        s.step = k;
        accepts_style(&s, "tensors in another order");
        s.data_step = TENSORS - k;
        accepts_style(&s, "numbers in another order");
        s.step = 1;
        s.first = 0;
        accepts_style(&s, "numbers in an order that is not the header's");
    }
}

static void check_blanks(void)
{
    static const char *const blank[] = {" ", "\t", "\n", "\r\n", " \n\t\r "};
    style s = plain_style();
    file f, e;
    int k;

    s.metadata_at = 3;
    s.fields = 5;
    for (k = 0; k < 5; k++) {
        f = styled(&s);
        e = spread(&f, blank[k]);
        accepts(&e, "blanks wherever JSON has them");
        free(f.at);
        free(e.at);
    }
}

/* Escapes, in names and values of others and in ours. */
static void check_escapes(void)
{
    static const char *const more[] = {
        "\"a\\\"b\\\\\\/\\b\\f\\n\\r\\t\":\"\\\"}{[]\"",
        "\"\\u0041\\uD83D\\uDE00\":\"\\u00e9\\u0000\"",
        "\"\":\"\"", "\"format\":\"pt\"", "\"\\\\\":\"\\\\\"",
        "\"a key of more than sixty-four characters, as may be in metadata of "
        "others, which we do not read\":\"and a value which is longer, too, "
        "than any of ours could ever become\"",
        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\":\"\xf4\x8f\xbf\xbf\"",
        "\"rows\":\"none of ours\""
    };
    style s = plain_style();
    char of[1000];
    int k;

    s.metadata = of;
    for (k = 0; k < 8; k++) {
        sprintf(of, "%.*s,%s}", (int)strlen(metadata) - 1, metadata, more[k]);
        accepts_style(&s, more[k]);
    }
    sprintf(of, "\"__metadata__\":{%s",
            "\"in\\u0070uts\":\"\\u0033\",\"outputs\":\"2\",\"experts\":\"3\","
            "\"\\u0074op_k\":\"2\",\"hidden\":\"4\",\"gate_hidden\":\"2\","
            "\"activation\":\"tan\\u0068\",\"seed\":\"5\","
            "\"f\\u0069le\":\"moe\\u002Eh\\u00201\"}");
    accepts_style(&s, "our own words, escaped");
    sprintf(of, "\"__meta\\u0064ata__\":{%s",
            "\"inputs\":\"3\",\"outputs\":\"2\",\"experts\":\"3\","
            "\"top_k\":\"2\",\"hidden\":\"4\",\"gate_hidden\":\"2\","
            "\"activation\":\"tanh\",\"file\":\"moe.h 1\"}");
    accepts_style(&s, "the name of the metadata, escaped");
}

/* Tensors that are not ours; of every type that safetensors know. */
static void check_extra(void)
{
    static const struct { const char *text; int bytes; } extra[] = {
        {"\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[%d,%d]}",
         16},
        {"\"a\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[%d,%d]}", 6},
        {"\"a\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
         2},
        {"\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[%d,%d]}", 8},
        {"\"a\":{\"dtype\":\"I64\",\"shape\":[1,1,1,1,1,2],"
         "\"data_offsets\":[%d,%d]}", 16},
        {"\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[%d,%d]}", 3},
        {"\"a\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
         1},
        {"\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[5],\"data_offsets\":[%d,%d]}",
         5},
        {"\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[%d,%d]}", 2},
        {"\"a\":{\"dtype\":\"I32\",\"shape\":[7,0,9],\"data_offsets\":[%d,%d]}",
         0},
        {"\"experts.9.bias\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[%d,%d]}", 4},
        {"\"training.best\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[%d,%d]}", 4},
        {"\"experts.0.bia\":{\"dtype\":\"I8\",\"shape\":[4],"
         "\"data_offsets\":[%d,%d]}", 4},
        {"\"\\u00e9 \\\"\":{\"shape\":[2],\"data_offsets\":[%d,%d],"
         "\"dtype\":\"U\\u0031\\u0036\"}", 4},
        {"\"a name that is longer than any name of ours could ever be, much "
         "longer\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
         1}
    };
    style s = plain_style();
    int k;

    for (k = 0; k < (int)(sizeof extra / sizeof extra[0]); k++) {
        s.extra = extra[k].text;
        s.extra_bytes = extra[k].bytes;
        s.data_step = 1 + k % 3;
        accepts_style(&s, extra[k].text);
    }
}

/* Thousands of tensors of others: read in one go, whatever their order. */
static void check_many(void)
{
    enum { OTHERS = 9000 };
    style s = plain_style();
    int begin[TENSORS], i, k, bytes;
    file f;

    s.extra_bytes = OTHERS;
    bytes = place(&s, begin);
    say_header(&s, begin);
    length--;
    for (i = 0; i < OTHERS; i++) {
        k = i * 7 % OTHERS;
        say(",\"x%d\":{\"dtype\":\"U8\",\"shape\":[1],", i);
        say("\"data_offsets\":[%d,%d]}", k, k + 1);
    }
    say("}");
    f = file_of(8 + length + (size_t)bytes);
    put_header(&f);
    for (i = 0; i < (int)model.param_count; i++)
        put_number(f.at + 8 + length + begin[0] + 4 * i,
                   bits_of(model.params[i]));
    accepts(&f, "nine thousand tensors of others");
    free(f.at);
}

/* ---- what is still refused ---------------------------------------------- */

static void refuses(const file *f, const char *word, const char *what)
{
    moe m;
    moe_config c;
    int before = live_blocks;
    moe_status status = moe_load_memory(&m, f->at, f->bytes, NULL, NULL, 0);

    CHECK_THAT(status == MOE_ERR_FORMAT, "%s: status %d", what, (int)status);
    CHECK_THAT(m.error != NULL && strstr(m.error, word) != NULL, "%s: %s", what,
               m.error ? m.error : "no sentence");
    CHECK(m.params == NULL && m.heap == NULL && live_blocks == before);
    CHECK_THAT(moe_read_config(&c, f->at, f->bytes) == MOE_ERR_FORMAT,
               "%s: has a configuration", what);
    moe_close(&m);
}

/* The plain file with the first `find` of its header replaced. */
static file edited(const char *find, const char *put)
{
    style s = plain_style();
    file f = styled(&s), e;
    size_t old = length, size = strlen(find), more = strlen(put);
    char *at;

    text[length] = 0;
    at = strstr(text, find);
    CHECK_THAT(at != NULL, "no %s", find);
    if (at == NULL)
        exit(1);
    memmove(at + more, at + size, old - (size_t)(at - text) - size);
    memcpy(at, put, more);
    length = old - size + more;
    e = file_of(f.bytes - old + length);
    put_header(&e);
    memcpy(e.at + 8 + length, f.at + 8 + old, f.bytes - 8 - old);
    free(f.at);
    return e;
}

static void refuses_edit(const char *find, const char *put, const char *word)
{
    file f = edited(find, put);

    refuses(&f, word, put);
    free(f.at);
}

static void check_not_json(void)
{
    static const char *const bad[][2] = {
        {"{\"__meta", "[\"__meta"}, {"{\"__meta", "\"__meta"},
        {"{\"__meta", ",{\"__meta"}, {"{\"__meta", "{,\"__meta"},
        {"[3,4]", "[3,4,]"}, {"[3,4]", "[,3,4]"}, {"[3,4]", "[3 4]"},
        {"[3,4]", "[3,4}"}, {"[3,4]", "[03,4]"}, {"[3,4]", "[+3,4]"},
        {"[3,4]", "[-3,4]"}, {"[3,4]", "[3.0,4]"}, {"[3,4]", "[3e0,4]"},
        {"[3,4]", "[0x3,4]"}, {"[3,4]", "[\"3\",4]"}, {"[3,4]", "3"},
        {"[3,4]", "[[3,4]]"}, {"[3,4]", "[3,null]"}, {"[3,4]", "[\\u0033,4]"},
        {"[3,4]", "[-0,4]"}, {"[3,4]", "[3,4/**/]"},
        {"\"F32\"", "F32"}, {"\"F32\"", "'F32'"}, {"\"F32\"", "\"F32"},
        {"\"F32\"", "32"}, {"\"dtype\":", "\"dtype\""},
        {"\"dtype\":", "dtype:"}, {"\"dtype\":", "\"dtype\"::"},
        {"\"F32\",", "\"F32\""}, {"\"F32\",", "\"F32\",,"},
        {"\"5\"", "\"\\x35\""}, {"\"5\"", "\"\\u003\""},
        {"\"5\"", "\"\\u00g5\""}, {"\"5\"", "\"5\n\""}, {"\"5\"", "\"5\x01\""},
        {"\"5\"", "\"\xff\""}, {"\"5\"", "\"\xc3\""}, {"\"5\"", "\"\xc0\x80\""},
        {"\"5\"", "\"\xed\xa0\x80\""}, {"\"5\"", "\"\xf4\x90\x80\x80\""},
        {"\"seed\"", "\"\x80\":\"\",\"seed\""},
        {"\"seed\"", "\"\xc0\x80\":\"\",\"seed\""},
        {"\"seed\"", "\"\xed\xa0\x80\":\"\",\"seed\""},
        {"\"seed\"", "\"\xf5\x80\x80\x80\":\"\",\"seed\""},
        {"\"5\"", "\"\x80\""}, {"\"5\"", "5"}, {"\"5\"", "null"},
        {"\"5\"", "{}"}, {"\"5\"", "[\"5\"]"}, {"]}}", "]},}"}, {"]}}", "]}"},
        {"\xff", ""}
    };
    int k;

    for (k = 0; bad[k][0][0] != '\xff'; k++)
        refuses_edit(bad[k][0], bad[k][1], "JSON");
}

static void check_wrong_header(void)
{
    refuses_edit("]}}", "]}} x", "goes on");
    refuses_edit("]}}", "]}}}", "goes on");
    refuses_edit("moe.h 1", "moe.h 2", "word");
    refuses_edit("\"file\"", "\"life\"", "moe.h file");
    refuses_edit("__metadata__", "__metadate__", "field");
    refuses_edit("\"seed\":\"5\"", "\"inputs\":\"3\"", "setting stands twice");
    refuses_edit("\"seed\":\"5\"", "\"in\\u0070uts\":\"3\"",
                 "setting stands twice");
    refuses_edit("\"seed\":\"5\"", "\"seed\":\"-5\"", "setting");
    refuses_edit("\"seed\":\"5\"", "\"seed\":\"5e0\"", "setting");
    refuses_edit("\"seed\":\"5\"", "\"seed\":\"\"", "setting");
    refuses_edit("\"seed\":\"5\"", "\"seed\":\"18446744073709551616\"",
                 "range");
    refuses_edit("\"inputs\":\"3\"", "\"inputs\":\"32768\"", "range");
    refuses_edit("\"inputs\":\"3\"", "\"inputs\":\"0\"", "inputs");
    refuses_edit("\"inputs\":\"3\",", "", "inputs");
    refuses_edit("\"inputs\":\"3\"", "\"inputs\":\"4\"", "shape");
    refuses_edit("tanh", "tame", "word");
    refuses_edit("tanh", "tanhh", "word");
    refuses_edit("0x3f800000", "1", "setting");
    refuses_edit("0x3f800000", "0x7fc00000", "sigma");
}

static void check_wrong_tensors(void)
{
    style s = plain_style();
    file f;
    int k;

    refuses_edit("F32", "F16", "F32");
    refuses_edit("F32", "F33", "type");
    refuses_edit("F32", "f32", "type");
    refuses_edit("[3,4]", "[12]", "shape");
    refuses_edit("[3,4]", "[4,3]", "shape");
    refuses_edit("[3,4]", "[3,4,1]", "shape");
    refuses_edit("[3,4]", "[3,5]", "shape");
    refuses_edit("[3,4]", "[]", "shape");
    refuses_edit("[3,4]", "[3,18446744073709551620]", "range");
    refuses_edit("[3,4]", "[1152921504606846975,1152921504606846975]",
                 "shape");
    refuses_edit("[0,48]", "[0,48,48]", "lacks");
    refuses_edit("[0,48]", "[48]", "lacks");
    refuses_edit("[0,48]", "[48,0]", "length");
    refuses_edit("[0,48]", "[0,52]", "length");
    refuses_edit("[0,48]", "[4,52]", "gaps or overlap");
    refuses_edit("[0,48]", "[48,96]", "gaps or overlap");
    refuses_edit("[0,48]", "[18446744073709551568,18446744073709551616]",
                 "range");
    refuses_edit("[0,48]", "[9223372036854775760,9223372036854775808]",
                 "range");
    refuses_edit("[0,48]", "[1152921504606846900,1152921504606846948]", "gaps");
    refuses_edit("\"dtype\":\"F32\",", "", "lacks");
    refuses_edit("\"dtype\":\"F32\",", "\"dtype\":\"F32\",\"dtype\":\"F32\",",
                 "field");
    refuses_edit("\"dtype\":\"F32\",", "\"dtype\":\"F32\",\"more\":\"F32\",",
                 "field");
    refuses_edit("experts.0.bias", "experts.7.bias", "missing");
    refuses_edit("experts.0.bias", "experts.0.weight", "tensor stands twice");
    refuses_edit("gate.0.bias", "experts.\\u0030.bias", "tensor stands twice");
    for (k = 1; k <= TENSORS; k++) {
        s.leave_out = k;
        s.double_of = 0;
        f = styled(&s);
        if (strcmp(ours[k - 1].name, "gate.balance") != 0)
            refuses(&f, "missing", ours[k - 1].name);
        free(f.at);
        s.leave_out = 0;
        s.double_of = k;
        f = styled(&s);
        refuses(&f, "stands twice", ours[k - 1].name);
        free(f.at);
    }
}

static void check_wrong_extra(void)
{
    static const char *const extra[][2] = {
        {"\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[%d,%d]}",
         "length"},
        {"\"a\":{\"dtype\":\"Q32\",\"shape\":[2],\"data_offsets\":[%d,%d]}",
         "type"},
        {"\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}",
         "gaps or overlap"},
        {"\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}",
         "gaps or overlap"},
        {"\"a\":{\"dtype\":\"U8\",\"shape\":[12],\"data_offsets\":[0,12]}",
         "gaps or overlap"},
        {"\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}",
         "stands twice"},
        {"\"a\":{\"dtype\":\"U8\",\"shape\":[8]}", "lacks"},
        {"\"a\":{}", "lacks"}, {"\"a\":[]", "JSON"}, {"\"a\":\"\"", "JSON"},
        {"\"a\":{\"dtype\":{},\"shape\":[8],\"data_offsets\":[%d,%d]}", "JSON"}
    };
    style s = plain_style();
    int k;

    s.extra_bytes = 8;
    for (k = 0; k < 11; k++) {
        file f;
        s.extra = extra[k][0];
        f = styled(&s);
        refuses(&f, extra[k][1], extra[k][0]);
        free(f.at);
    }
}

static void check_lengths(void)
{
    style s = plain_style();
    file f = styled(&s), e;
    size_t n;

    for (n = 0; n < f.bytes; n++) {
        e = file_of(n);
        memcpy(e.at, f.at, n);
        refuses(&e, "", "a file that ends early");
        free(e.at);
    }
    e = file_of(f.bytes + 1);
    memcpy(e.at, f.at, f.bytes);
    refuses(&e, "as many", "a byte behind the numbers");
    free(e.at);
    free(f.at);
}

static void check_not_finite(void)
{
    style s = plain_style();
    file f;
    moe m;
    int i;

    s.data_step = 3;
    for (i = 0; i < (int)model.param_count; i++) {
        f = styled(&s);
        put_number(f.at + 8 + length + 4 * i, i % 2 ? 0x7f800000 : 0xffc00000);
        CHECK(moe_load_memory(&m, f.at, f.bytes, NULL, NULL, 0) ==
              MOE_ERR_FORMAT);
        CHECK_THAT(strstr(m.error, "finite") != NULL, "%s", m.error);
        free(f.at);
    }
}

/* ---- in place ------------------------------------------------------------ */

static moe_status view(file *f, const char **why)
{
    moe m;
    moe_status status;

    status = moe_load_in_place(&m, f->at, f->bytes, NULL, NULL, 0);
    *why = m.error;
    if (status == MOE_OK)
        check_same_weights(&m, "in place");
    moe_close(&m);
    return status;
}

/* The plain header, made as long as a multiple of 4. */
static file aligned(const style *s)
{
    file f = styled(s), e;
    size_t old = length;

    while (length % 4 != 0)
        say(" ");
    e = file_of(f.bytes - old + length);
    put_header(&e);
    memcpy(e.at + 8 + length, f.at + 8 + old, f.bytes - 8 - old);
    free(f.at);
    return e;
}

static void check_in_place(void)
{
    style s = plain_style();
    const char *why;
    file f = aligned(&s);

    CHECK(view(&f, &why) == (IS_FLOAT ? MOE_OK : MOE_ERR_STATE));
    free(f.at);
    s.step = 3;
    s.metadata_at = 5;
    s.fields = 2;
    s.extra = "\"a\":{\"dtype\":\"I32\",\"shape\":[2],"
              "\"data_offsets\":[%d,%d]}";
    s.extra_bytes = 8;
    f = aligned(&s);     /* another header; the numbers are as ours */
    CHECK(view(&f, &why) == (IS_FLOAT ? MOE_OK : MOE_ERR_STATE));
    free(f.at);
    s.data_step = 2;
    f = aligned(&s);
    CHECK(view(&f, &why) == MOE_ERR_STATE);
    CHECK_THAT(why != NULL && (!IS_FLOAT || strstr(why, "order") != NULL),
               "%s", why);
    free(f.at);
    s = plain_style();
    s.leave_out = 9;
    f = aligned(&s);
    CHECK(view(&f, &why) == MOE_ERR_STATE);
    free(f.at);
}

/* A file without gate.balance: it is zeros. */
static void check_without_balance(void)
{
    style s = plain_style();
    file f;
    moe m;
    size_t i, balance = model.trained_count - 3;

    s.leave_out = 9;
    CHECK(strcmp(ours[8].name, "gate.balance") == 0);
    f = styled(&s);
    CHECK(moe_load_memory(&m, f.at, f.bytes, NULL, NULL, 0) == MOE_OK);
    for (i = 0; m.params != NULL && i < m.param_count; i++)
        CHECK(bits_of(m.params[i]) ==
              (i >= balance && i < balance + 3 ? 0
                                               : bits_of(model.params[i])));
    moe_close(&m);
    free(f.at);
}

/* ---- rows ---------------------------------------------------------------- */

static void check_rows(void)
{
    moe_config c;
    moe m;
    file f;
    size_t bytes = moe_save_bytes(&model, MOE_MODE_PREDICT);

    f = file_of(bytes);
    CHECK(moe_save_memory(&model, MOE_MODE_PREDICT, f.at, bytes) == MOE_OK);
    memcpy(text, f.at + 8, bytes - 8);
    text[bytes - 8] = 0;
    CHECK_THAT(strstr(text, "rows") == NULL, "%.300s", text);
    free(f.at);
    f = edited("\"seed\":", "\"rows\":\"32767\",\"seed\":");
    CHECK(moe_read_config(&c, f.at, f.bytes) == MOE_OK);
    CHECK_THAT(c.block == 0 || c.block == 64, "%d", c.block);
    c.mode = MOE_MODE_PREDICT;
    most_asked = 0;
    CHECK(moe_load_memory(&m, f.at, f.bytes, NULL, NULL, 0) == MOE_OK);
    CHECK(m.config.block == 64);
    CHECK_THAT(most_asked <= moe_bytes(&c) + 64, "%d bytes", (int)most_asked);
    CHECK(most_asked < 64 * 1024);
    moe_close(&m);
    c.block = 5;
    CHECK(moe_load_memory(&m, f.at, f.bytes, &c, NULL, 0) == MOE_OK);
    CHECK(m.config.block == 5);
    moe_close(&m);
    c.block = 0;
    CHECK(moe_load_memory(&m, f.at, f.bytes, &c, NULL, 0) == MOE_OK);
    CHECK(m.config.block == 64);
    moe_close(&m);
    free(f.at);
    f = edited("\"seed\":", "\"rows\":\"any\",\"seed\":");
    accepts(&f, "rows that are no number");
    free(f.at);
}

/* ---- version 0.1 --------------------------------------------------------- */

static file old_file(const char *header, const uint32_t *number, size_t count)
{
    size_t i;
    file f;

    length = strlen(header);
    memcpy(text, header, length);
    f = file_of(8 + length + 4 * count);
    put_header(&f);
    for (i = 0; i < count; i++)
        put_number(f.at + 8 + length + 4 * i, number[i]);
    return f;
}

static void check_predicts(moe *m, const float *due)
{
    static const moe_real x[] = {-3, -2, -2, -1, -1, 0, 0, 1};
    moe_real y[4];
    int i;

    moe_predict(m, x, 4, y);
    for (i = 0; i < 4; i++)
        CHECK_THAT((float)y[i] - due[i] < 1e-5f && due[i] - (float)y[i] < 1e-5f,
                   "%g, not %g", (double)y[i], (double)due[i]);
}

static void check_old(file f, const float *due, int epochs)
{
    moe_data data;
    moe_training t;
    moe_real x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, d[4] = {1, 2, 3, 4};
    moe_config c;
    moe m;

    CHECK(moe_read_config(&c, f.at, f.bytes) == MOE_OK);
    CHECK(c.mode == (epochs > 0 ? MOE_MODE_TRAIN : MOE_MODE_PREDICT));
    CHECK(moe_load_memory(&m, f.at, f.bytes, NULL, NULL, 0) == MOE_OK);
    CHECK(m.epoch == epochs && m.config.block == 64);
    if (m.params != NULL)
        check_predicts(&m, due);
    if (epochs > 0 && m.params != NULL) {
        memset(&data, 0, sizeof data);
        memset(&t, 0, sizeof t);
        data.n = 4;
        data.x = x;
        data.d = d;
        t.epochs = 1;
        CHECK(moe_train(&m, &data, NULL, &t, NULL) == MOE_OK);
        CHECK(m.epoch == epochs + 1);
    }
    moe_close(&m);
    free(f.at);
}

#define NUMBERS(name) name, sizeof name / sizeof name[0]

static void check_0_1(void)
{
    check_old(old_file(dense_weights_header, NUMBERS(dense_weights_numbers)),
              dense_predicts, 0);
    check_old(old_file(sparse_weights_header, NUMBERS(sparse_weights_numbers)),
              sparse_predicts, 0);
    check_old(old_file(dense_checkpoint_header,
                       NUMBERS(dense_checkpoint_numbers)), dense_predicts, 3);
    check_old(old_file(sparse_checkpoint_header,
                       NUMBERS(sparse_checkpoint_numbers)),
              sparse_predicts, 3);
}

/* ---- paths --------------------------------------------------------------- */

#if HAS_PROCESSES
static char folder[64];

static const char *path_of(const char *name)
{
    static char path[2][128];
    static int turn;

    turn ^= 1;
    sprintf(path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_bytes(const char *name, const void *at, size_t bytes)
{
    FILE *f = fopen(path_of(name), "wb");

    if (f == NULL || fwrite(at, 1, bytes, f) != bytes || fclose(f) != 0)
        exit(1);
}

static int holds_text(const char *name, const char *due)
{
    char seen[64];
    FILE *f = fopen(path_of(name), "rb");
    size_t n = f ? fread(seen, 1, sizeof seen - 1, f) : 0;

    if (f != NULL)
        fclose(f);
    seen[n] = 0;
    return strcmp(seen, due) == 0;
}

static void check_loads(const char *name)
{
    moe m;
    moe_status status = moe_load(&m, path_of(name), NULL);

    CHECK_THAT(status == MOE_OK, "%s: %s", name, m.error);
    if (status == MOE_OK)
        check_same_weights(&m, name);
    moe_close(&m);
}

/* What has the name that 0.1 wrote to is another's: links are not followed,
   files are not lost. */
static void check_names(void)
{
    write_bytes("precious", "not yours", 9);
    CHECK(symlink(path_of("precious"), path_of("a.moe.tmp")) == 0);
    write_bytes("b.moe.tmp", "mine", 4);
    CHECK(mkdir(path_of("c.moe.tmp"), 0700) == 0);
    CHECK(moe_save(&model, MOE_MODE_PREDICT, path_of("a.moe")) == MOE_OK);
    CHECK(moe_save(&model, MOE_MODE_PREDICT, path_of("b.moe")) == MOE_OK);
    CHECK(moe_save(&model, MOE_MODE_PREDICT, path_of("c.moe")) == MOE_OK);
    CHECK(holds_text("precious", "not yours"));
    CHECK(holds_text("b.moe.tmp", "mine"));
    check_loads("a.moe");
    check_loads("b.moe");
    check_loads("c.moe");
    CHECK(remove(path_of("a.moe.tmp")) == 0 && remove(path_of("a.moe")) == 0);
    CHECK(remove(path_of("b.moe.tmp")) == 0 && remove(path_of("b.moe")) == 0);
    CHECK(rmdir(path_of("c.moe.tmp")) == 0 && remove(path_of("c.moe")) == 0);
    CHECK(remove(path_of("precious")) == 0);
}

static void check_permissions(void)
{
    struct stat s;

    CHECK(moe_save(&model, MOE_MODE_PREDICT, path_of("d.moe")) == MOE_OK);
    CHECK(chmod(path_of("d.moe"), 0600) == 0);
    CHECK(moe_save(&model, MOE_MODE_PREDICT, path_of("d.moe")) == MOE_OK);
    CHECK(stat(path_of("d.moe"), &s) == 0);
    CHECK_THAT((s.st_mode & 0777) == 0600, "%o", (unsigned)s.st_mode);
    CHECK(chmod(path_of("d.moe"), 0664) == 0);
    CHECK(moe_save(&model, MOE_MODE_PREDICT, path_of("d.moe")) == MOE_OK);
    CHECK(stat(path_of("d.moe"), &s) == 0);
    CHECK_THAT((s.st_mode & 0777) == 0664, "%o", (unsigned)s.st_mode);
}

/* A file of 5 GB that holds next to nothing, with a header that is none. */
static void check_sparse(void)
{
    static const unsigned char start[][9] = {
        {0}, {8, 0, 0, 0, 0, 0, 0, 0, '{'}, {255, 255, 255, 255, 1, 0, 0, 0, 9},
        {255, 255, 15, 0, 0, 0, 0, 0, '['}
    };
    moe m;
    int k;

    for (k = 0; k < 4; k++) {
        write_bytes("e.moe", start[k], 9);
        if (sizeof(off_t) < 8 ||
            truncate(path_of("e.moe"), (off_t)5 << 30) != 0) {
            printf("no file of 5 GB here: left out\n");
        } else {
            most_asked = 0;
            CHECK(moe_load(&m, path_of("e.moe"), NULL) == MOE_ERR_FORMAT);
            CHECK_THAT(most_asked < 2u << 20, "%.0f bytes", (double)most_asked);
            CHECK(m.error != NULL && m.params == NULL);
        }
        CHECK(remove(path_of("e.moe")) == 0);
    }
}

/* A model through a pipe; and one that breaks off. */
static void check_pipe(void)
{
    style s = plain_style();
    file f;
    moe m;
    int k, wrong;

    CHECK(mkfifo(path_of("pipe"), 0600) == 0);
    for (k = 0; k < 3; k++) {
        pid_t child;
        moe_status status;
        f = styled(&s);
        fflush(stdout);
        child = fork();
        if (child == 0) {
            FILE *to = fopen(path_of("pipe"), "wb");
            f.at[8] = k == 2 ? '[' : f.at[8];
            _exit(to == NULL || fwrite(f.at, 1, k == 1 ? f.bytes - 4 : f.bytes,
                                       to) == 0 || fclose(to) != 0);
        }
        alarm(60);
        status = moe_load(&m, path_of("pipe"), NULL);
        CHECK_THAT(status == (k ? MOE_ERR_FORMAT : MOE_OK), "%d: %s",
                   (int)status, m.error);
        if (status == MOE_OK)
            check_same_weights(&m, "through a pipe");
        moe_close(&m);
        waitpid(child, &wrong, 0);
        alarm(0);
        free(f.at);
    }
    CHECK(remove(path_of("pipe")) == 0);
}

/* What is too short or too long, in every place where a read may stop. */
static void check_short(void)
{
    style s = plain_style();
    file f = styled(&s);
    size_t n;
    moe m;

    for (n = 0; n <= f.bytes + 1; n++) {
        write_bytes("f.moe", f.at, n);
        CHECK(moe_load(&m, path_of("f.moe"), NULL) ==
              (n == f.bytes ? MOE_OK : MOE_ERR_FORMAT));
        CHECK(n == f.bytes || m.error != NULL);
        moe_close(&m);
    }
    CHECK(moe_load(&m, folder, NULL) == MOE_ERR_IO && m.error != NULL);
    CHECK(moe_load(&m, path_of("none"), NULL) == MOE_ERR_IO && m.error != NULL);
    free(f.at);
    CHECK(remove(path_of("f.moe")) == 0);
}

static void check_paths(void)
{
    const char *base = getenv("TMPDIR");
    int before = live_blocks;

    sprintf(folder, "%.40s/moe_files.XXXXXX", base ? base : "/tmp");
    if (mkdtemp(folder) == NULL)
        exit(1);
    check_names();
    check_permissions();
    check_sparse();
    check_pipe();
    check_short();
    CHECK(remove(path_of("d.moe")) == 0);
    CHECK(rmdir(folder) == 0);      /* nothing is left in it */
    CHECK(live_blocks == before);
}
#else
static void check_paths(void)
{
    printf("no POSIX here: links, pipes and permissions left out\n");
}
#endif

int main(void)
{
    most_given = (1u << 30) - 1;
    open_model();
    RUN(check_orders());
    RUN(check_blanks());
    RUN(check_escapes());
    RUN(check_extra());
    RUN(check_many());
    RUN(check_not_json());
    RUN(check_wrong_header());
    RUN(check_wrong_tensors());
    RUN(check_wrong_extra());
    RUN(check_lengths());
    RUN(check_not_finite());
    RUN(check_in_place());
    RUN(check_without_balance());
    RUN(check_rows());
    check_0_1();
    RUN(check_paths());
    moe_close(&model);
    CHECK(live_blocks == 0);
    return check_done();
}
