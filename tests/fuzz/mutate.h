/* mutate.h - changes to a model file that know what it is made of: members of
   its header are swapped, doubled, left out and added, numbers and words
   replaced, characters escaped, blanks put between tokens, tensors laid out
   anew, their numbers made special.  The header's length is then put right,
   mostly. */
#ifndef MUTATE_H
#define MUTATE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 4096, MOST_TENSORS = 256, MOST_TEXT = 1 << 16 };

/* A string, a number or word, or a mark; its depth in braces and brackets. */
typedef struct token { size_t at, length; int depth; } token;

static token tokens[MOST_TOKENS];
static int token_count;
static uint64_t luck_state;

static unsigned luck(unsigned below)
{
    luck_state = luck_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(luck_state >> 33) % (below > 0 ? below : 1);
}

static int is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int is_mark(int c)
{
    return c != 0 && strchr("{}[]:,", c) != NULL;
}

static size_t token_length(const char *text, size_t n)
{
    size_t i = 1;

    if (is_mark(text[0]))
        return 1;
    if (text[0] != '"') {
        while (i < n && !is_mark(text[i]) && !is_blank(text[i]) &&
               text[i] != '"')
            i++;
        return i;
    }
    while (i < n && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return i < n ? i + 1 : n;
}

static void find_tokens(const char *text, size_t n)
{
    size_t i = 0;
    int depth = 0;

    token_count = 0;
    while (i < n && token_count < MOST_TOKENS) {
        token *t = &tokens[token_count];
        if (is_blank(text[i])) {
            i++;
            continue;
        }
        t->at = i;
        t->length = token_length(text + i, n - i);
        depth -= text[i] == '}' || text[i] == ']';
        t->depth = depth;
        depth += text[i] == '{' || text[i] == '[';
        i += t->length;
        token_count++;
    }
}

static int token_is(const char *text, int i, const char *word)
{
    return i >= 0 && i < token_count && tokens[i].length == strlen(word) &&
           memcmp(text + tokens[i].at, word, tokens[i].length) == 0;
}

/* ---- the header as text ------------------------------------------------- */

typedef struct text_file {
    char text[MOST_TEXT];        /* the header                               */
    size_t length;
    unsigned char data[MOST_TEXT];
    size_t bytes;
} text_file;

/* `more` in place of `old` bytes at `at`. */
static void splice(text_file *f, size_t at, size_t old, const char *more,
                   size_t size)
{
    if (f->length - old + size > sizeof f->text)
        return;
    memmove(f->text + at + size, f->text + at + old, f->length - at - old);
    memcpy(f->text + at, more, size);
    f->length += size - old;
}

static void put_token(text_file *f, int i, const char *text)
{
    splice(f, tokens[i].at, tokens[i].length, text, strlen(text));
}

/* A token that is a string (or no mark and no string), by chance. */
static int some_token(const text_file *f, int string)
{
    int i, tries;

    for (tries = 0; tries < 50 && token_count > 0; tries++) {
        int c;
        i = (int)luck((unsigned)token_count);
        c = f->text[tokens[i].at];
        if (string ? c == '"' : !is_mark(c) && c != '"')
            return i;
    }
    return -1;
}

/* A member: from its name to before the comma or brace behind it. */
static int some_member(const text_file *f, size_t *at, size_t *length,
                       int depth)
{
    int i, last, tries;

    for (tries = 0; tries < 80 && token_count > 0; tries++) {
        i = (int)luck((unsigned)token_count);
        if (tokens[i].depth != depth || f->text[tokens[i].at] != '"' ||
            !token_is(f->text, i + 1, ":"))
            continue;
        for (last = i + 2; last < token_count; last++)
            if (tokens[last].depth < depth ||
                (tokens[last].depth == depth && token_is(f->text, last, ",")))
                break;
        if (last == token_count)
            continue;
        *at = tokens[i].at;
        *length = tokens[last - 1].at + tokens[last - 1].length - *at;
        return 1;
    }
    return 0;
}

/* ---- one change each ---------------------------------------------------- */

static void change_number(text_file *f)
{
    static const char *const form[] = {
        "0", "1", "-1", "-0", "00", "1e2", "1E+2", "1.0", "+4", "0x10", "NaN",
        "null", "true", "4294967295", "4294967296", "9223372036854775807",
        "9223372036854775808", "18446744073709551615", "18446744073709551616",
        "1152921504606846975", "1152921504606846976", "32767", "32768", "[]",
        "{}", "\"4\"", "99999999999999999999999999"
    };
    int i = some_token(f, 0);
    char text[40];
    long long was;

    if (i < 0)
        return;
    was = strtoll(f->text + tokens[i].at, NULL, 10) % 1000000000;
    switch (luck(4)) {
    case 0:
        put_token(f, i, form[luck(sizeof form / sizeof form[0])]);
        return;
    case 1:
        sprintf(text, "%lld", was + (int)luck(17) - 8);
        break;
    case 2:
        sprintf(text, "%lld", luck(2) ? was * 2 : was / 2);
        break;
    default:
        sprintf(text, "%u", luck(200));
    }
    put_token(f, i, text);
}

static const char *const words[] = {
    "__metadata__", "dtype", "shape", "data_offsets", "F32", "F16", "BF16",
    "F64", "I8", "U8", "BOOL", "F4", "F6_E2M3", "file", "moe.h 1", "moe.h 2",
    "inputs", "outputs", "experts", "top_k", "top_p", "hidden", "gate_hidden",
    "expert_sees", "gate_sees", "activation", "output", "loss", "sigma",
    "balance", "rows", "seed", "training", "relu", "tanh", "logistic", "elu",
    "silu", "linear", "softmax", "mixture", "expected", "blend",
    "experts.0.bias", "experts.0.weight", "experts.1.bias", "gate.0.bias",
    "gate.0.weight", "gate.balance", "scale.d", "scale.x", "training.best",
    "training.first", "training.second", "training.state", "0", "1", "2", "3",
    "1,2", "0,1", "2,2,2", "32767", "0x3f800000", "0x7f800000", "0x0", "-1",
    "1e1", "", "18446744073709551615", "5,0,0,0", "3,4,5"
};

static void change_string(text_file *f)
{
    int i = some_token(f, 1);
    char text[100];

    if (i < 0)
        return;
    sprintf(text, "\"%s\"", words[luck(sizeof words / sizeof words[0])]);
    put_token(f, i, text);
}

/* A character written as an escape, or one put in. */
static void change_character(text_file *f)
{
    static const char *const more[] = {
        "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0000",
        "\\uD83D\\uDE00", "\\ud800", "\\u00g0", "\\u12", "\\x", "\\", "\n",
        "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff", "\xc0\x80",
        "\xed\xa0\x80", "\x01", "\x7f", "a", "\""
    };
    int i = some_token(f, 1);
    char text[8];
    size_t at;

    if (i < 0 || tokens[i].length < 3)
        return;
    at = tokens[i].at + 1 + luck((unsigned)tokens[i].length - 2);
    if (luck(2)) {
        sprintf(text, luck(2) ? "\\u%04x" : "\\u%04X",
                (unsigned)(unsigned char)f->text[at]);
        splice(f, at, 1, text, 6);
    } else {
        const char *put = more[luck(sizeof more / sizeof more[0])];
        splice(f, at, luck(2), put, strlen(put));
    }
}

static void change_blanks(text_file *f)
{
    static const char *const blank[] = {" ", "\t", "\n", "\r", "  \n\t",
                                        "\v", "\f", "/**/"};
    unsigned n = 1 + luck(20), kind = luck(luck(8) ? 5 : 8);

    while (n-- > 0 && token_count > 0) {
        token t = tokens[luck((unsigned)token_count)];
        splice(f, t.at + (luck(2) ? t.length : 0), 0, blank[kind],
               strlen(blank[kind]));
        find_tokens(f->text, f->length);
    }
}

static void swap_members(text_file *f)
{
    int depth = 1 + (int)luck(2);
    size_t a, a_size, b, b_size, length = f->length;
    char *old;

    if (!some_member(f, &a, &a_size, depth) ||
        !some_member(f, &b, &b_size, depth))
        return;
    if (a > b) {
        size_t at = a, size = a_size;
        a = b;
        a_size = b_size;
        b = at;
        b_size = size;
    }
    if (a + a_size > b)
        return;
    old = (char *)malloc(length);
    if (old == NULL)
        return;
    memcpy(old, f->text, length);
    splice(f, b, b_size, old + a, a_size);
    splice(f, a, a_size, old + b, b_size);
    free(old);
}

/* A member twice, or not at all. */
static void change_member(text_file *f)
{
    size_t at, size;
    char *old;

    if (!some_member(f, &at, &size, 1 + (int)luck(2)))
        return;
    if (luck(2)) {
        size_t end = at + size;
        while (end < f->length && is_blank(f->text[end]))
            end++;
        splice(f, at, end - at + (f->text[end] == ','), "", 0);
        return;
    }
    old = (char *)malloc(size + 1);
    if (old == NULL)
        return;
    memcpy(old, f->text + at, size);
    old[size] = ',';
    splice(f, at, 0, old, size + 1);
    free(old);
}

/* A tensor that is not ours, with numbers of its own at the end. */
static void add_tensor(text_file *f)
{
    static const struct { const char *type; int bits; } of[] = {
        {"F32", 32}, {"F16", 16}, {"I64", 64}, {"U8", 8}, {"F4", 4},
        {"BOOL", 8}, {"C64", 64}
    };
    unsigned k = luck(7), n = luck(4) * 2, bytes = n * (unsigned)of[k].bits / 8;
    char text[200];
    size_t at, size;

    if (!some_member(f, &at, &size, 1) || f->bytes + bytes > sizeof f->data)
        return;
    sprintf(text, "\"a%u\":{\"dtype\":\"%s\",\"shape\":[%u],"
            "\"data_offsets\":[%u,%u]},", luck(10), of[k].type, n,
            (unsigned)f->bytes, (unsigned)f->bytes + bytes);
    splice(f, at, 0, text, strlen(text));
    memset(f->data + f->bytes, (int)luck(256), bytes);
    f->bytes += bytes;
}

/* The two numbers of every data_offsets that has them, by their tokens. */
typedef struct range { int token; size_t begin, end; } range;
static range ranges[MOST_TENSORS];
static int range_count;

static void find_ranges(const char *text)
{
    int i;

    range_count = 0;
    for (i = 0; i + 6 < token_count && range_count < MOST_TENSORS; i++) {
        range *r = &ranges[range_count];
        if (!token_is(text, i, "\"data_offsets\"") || tokens[i].depth != 2 ||
            !token_is(text, i + 2, "[") || !token_is(text, i + 4, ","))
            continue;
        r->token = i + 3;
        r->begin = (size_t)strtoull(text + tokens[i + 3].at, NULL, 10);
        r->end = (size_t)strtoull(text + tokens[i + 5].at, NULL, 10);
        range_count++;
    }
}

/* All tensors in another order of their numbers, which move along. */
static void lay_out(text_file *f)
{
    static unsigned char data[MOST_TEXT];
    size_t place[MOST_TENSORS], at = 0;
    int order[MOST_TENSORS], i;
    char text[24];

    find_ranges(f->text);
    for (i = 0; i < range_count; i++) {
        int k = (int)luck((unsigned)i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    for (i = 0; i < range_count; i++) {
        const range *r = &ranges[order[i]];
        if (r->begin > r->end || r->end > f->bytes ||
            at + (r->end - r->begin) > sizeof data)
            return;
        memcpy(data + at, f->data + r->begin, r->end - r->begin);
        place[order[i]] = at;
        at += r->end - r->begin;
    }
    memcpy(f->data, data, at);
    f->bytes = at;
    for (i = range_count - 1; i >= 0; i--) {
        const range *r = &ranges[i];
        sprintf(text, "%lu", (unsigned long)(place[i] + r->end - r->begin));
        put_token(f, r->token + 2, text);
        sprintf(text, "%lu", (unsigned long)place[i]);
        put_token(f, r->token, text);
    }
}

static void change_float(text_file *f)
{
    static const unsigned char special[][4] = {
        {0, 0, 0x80, 0x7f}, {0, 0, 0xc0, 0xff}, {255, 255, 0x7f, 0x7f},
        {0, 0, 0, 0x80}, {1, 0, 0, 0}, {0, 0, 0x80, 0xbf}, {0, 0, 0, 0x40},
        {0x99, 0x76, 0x96, 0x7e}
    };

    if (f->bytes >= 4)
        memcpy(f->data + luck((unsigned)f->bytes / 4) * 4, special[luck(8)],
               4);
}

static void change_size(text_file *f)
{
    size_t by = luck(9);

    if (luck(2))
        f->bytes -= by < f->bytes ? by : f->bytes;
    else if (f->bytes + by <= sizeof f->data)
        f->bytes += by;
}

static void change(text_file *f)
{
    static void (*const one[])(text_file *) = {
        change_number, change_number, change_string, change_string,
        change_character, change_blanks, swap_members, swap_members,
        change_member, add_tensor, lay_out, lay_out, change_float, change_size
    };

    find_tokens(f->text, f->length);
    one[luck(sizeof one / sizeof one[0])](f);
}

/* Changes a file of `size` bytes in place, up to `most`; its new size. */
size_t mutate(unsigned char *data, size_t size, size_t most, unsigned seed);
size_t mutate(unsigned char *data, size_t size, size_t most, unsigned seed)
{
    static text_file f;
    size_t i, length = 0;
    unsigned n;

    luck_state = seed * 0x9e3779b97f4a7c15u + size;
    for (i = 8; i-- > 0 && size >= 8;)
        length = length << 8 | data[i];
    if (size < 8 || length > size - 8 || length > sizeof f.text ||
        size - 8 - length > sizeof f.data)
        return 0;
    memcpy(f.text, data + 8, length);
    f.length = length;
    f.bytes = size - 8 - length;
    memcpy(f.data, data + 8 + length, f.bytes);
    memset(f.data + f.bytes, 0, sizeof f.data - f.bytes);
    for (n = 1 + luck(3); n > 0; n--)
        change(&f);
    if (8 + f.length + f.bytes > most)
        return 0;
    length = f.length + (luck(50) == 0 ? luck(5) - 2 : 0);
    for (i = 0; i < 8; i++)
        data[i] = (unsigned char)(length >> 8 * i & 255);
    memcpy(data + 8, f.text, f.length);
    memcpy(data + 8 + f.length, f.data, f.bytes);
    return 8 + f.length + f.bytes;
}

/* Whether all tensors of a header tile their numbers: none in between, none
   twice.  Another way than the library's, by order. */
static int by_begin(const void *a, const void *b)
{
    const range *p = (const range *)a, *q = (const range *)b;

    return p->begin != q->begin ? (p->begin > q->begin) - (p->begin < q->begin)
                                : (p->end > q->end) - (p->end < q->end);
}

static int tiles(const unsigned char *data, size_t size)
{
    size_t i, length = 0, at = 0;
    int k;

    for (i = 8; i-- > 0;)
        length = length << 8 | data[i];
    find_tokens((const char *)data + 8, length);
    if (token_count == MOST_TOKENS)
        return 1;
    find_ranges((const char *)data + 8);
    qsort(ranges, (size_t)range_count, sizeof *ranges, by_begin);
    for (k = 0; k < range_count; k++) {
        if (ranges[k].begin == ranges[k].end)
            continue;
        if (ranges[k].begin != at)
            return 0;
        at = ranges[k].end;
    }
    return 8 + length + at == size;
}

#endif
