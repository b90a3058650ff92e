/* csv.h - a table from a text file, for the examples

   Fields stand between tabs, semicolons, commas or else blanks: whichever of
   them, in this order, the first line has that does not begin with #.  Where
   the delimiter is not a comma, one in a number is its decimal point.  Where
   every line ends with a delimiter, no column follows it.  Quotes around a
   field are not part of it, nor is a mark of UTF-8 before the first.  A first
   line without any number has the names of the columns.
   csv_read wants numbers everywhere.  csv_read_words takes columns of words,
   too, where a value is an index of `word`, and leaves out rows in which a
   field is empty, NA or "?".  What else is not as the first row is told by its
   line. */
#ifndef CSV_H
#define CSV_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CSV_COLUMNS = 256, CSV_LINE = 8192, CSV_CELLS = 1 << 26,
       CSV_NAME = 32, CSV_WORDS = 1000 };

typedef struct csv {
    int rows, columns, left_out;
    float *value;                     /* (rows,columns); free it */
    int takes_words, words, open;     /* open: lines end with a delimiter */
    char delimiter;
    char is_word[CSV_COLUMNS];        /* what the first row has there */
    char name[CSV_COLUMNS][CSV_NAME], word[CSV_WORDS][CSV_NAME];
    char error[200];                  /* "" or why there are no rows */
} csv;

/* Parts a line into its fields; returns how many. */
static inline int csv_fields(char *at, char delimiter, char **field)
{
    char ends[5] = {delimiter, '\r', '\n'}, *end;
    int n = 0, more = 1;

    ends[3] = delimiter == ' ' ? '\t' : '\0';
    while (more && n < CSV_COLUMNS) {
        char quote;

        at += strspn(at, delimiter == '\t' ? " " : " \t");
        if (strchr("\r\n", *at) != NULL && (n == 0 || delimiter == ' '))
            break;
        quote = *at == '"' || *at == '\'' ? *at++ : '\0';
        end = quote ? strchr(at, quote) : NULL;
        if (end == NULL)
            end = at + strcspn(at, ends);
        field[n++] = at;
        at = end + strcspn(end, ends);
        more = *at != '\0' && strchr("\r\n", *at++) == NULL;
        while (end > field[n - 1] && end[-1] == ' ')
            end--;
        *end = '\0';
    }
    return n;
}

static inline int csv_number(const csv *t, char *field, float *value)
{
    char *comma = t->delimiter == ',' ? NULL : strchr(field, ','), *end;

    if (comma != NULL)
        *comma = '.';
    *value = (float)strtod(field, &end);
    if (comma != NULL)
        *comma = ',';
    return end != field && *end == '\0' && *value > -1e30f && *value < 1e30f;
}

static inline int csv_missing(const char *field)
{
    return *field == '\0' || strcmp(field, "NA") == 0
        || strcmp(field, "?") == 0;
}

/* The index of a word; -1: it is too long, or there are too many. */
static inline int csv_word(csv *t, const char *field)
{
    int i;

    for (i = 0; i < t->words && strcmp(t->word[i], field) != 0; i++)
        ;
    if (i == CSV_WORDS || strlen(field) >= CSV_NAME)
        return -1;
    strcpy(t->word[i], field);
    t->words += i == t->words;
    return i;
}

/* One more row; 0: there is no memory for it. */
static inline int csv_add(csv *t, const float *row)
{
    int cells = (t->rows + 1) * t->columns;
    float *value;

    /* memory doubles when the rows are a power of two */
    if ((t->rows & (t->rows - 1)) == 0) {
        value = (float *)realloc(t->value, 2 * (size_t)cells * sizeof *value);
        if (value == NULL || cells > CSV_CELLS)
            return 0;
        t->value = value;
    }
    memcpy(t->value + cells - t->columns, row,
           (size_t)t->columns * sizeof *row);
    t->rows++;
    return 1;
}

/* The values of a row; NULL, or what is wrong. */
static inline const char *csv_row(csv *t, char **field, int n)
{
    float row[CSV_COLUMNS];
    int i, missing = 0;

    if (n == CSV_COLUMNS)
        return "too many fields";
    if (t->rows + t->left_out > 0 && n != t->columns)
        return "not as many fields as before";
    t->columns = n;
    for (i = 0; i < n; i++) {
        if (t->takes_words && csv_missing(field[i])) {
            missing = 1;
            continue;
        }
        if (t->rows == 0)
            t->is_word[i] = (char)(t->takes_words
                                   && !csv_number(t, field[i], &row[i]));
        if (t->is_word[i])
            row[i] = (float)csv_word(t, field[i]);
        else if (!csv_number(t, field[i], &row[i]))
            return "not a number, as elsewhere in this column";
        if (t->is_word[i] && row[i] < 0)
            return "a word longer than 31 letters, or more than 1000";
    }
    t->left_out += missing;
    return missing || csv_add(t, row) ? NULL : "no memory for so many rows";
}

/* Whether this line has names, which it takes. */
static inline int csv_names(csv *t, char **field, int n)
{
    float number;
    int i;

    for (i = 0; i < n; i++)
        if (csv_number(t, field[i], &number))
            break;
    if (i < n)
        n = 0;
    for (i = 0; i < CSV_COLUMNS; i++)
        if (i < n)
            snprintf(t->name[i], CSV_NAME, "%.*s", CSV_NAME - 1, field[i]);
        else
            snprintf(t->name[i], CSV_NAME, "column %d", i + 1);
    return n > 0;
}

/* How many of n fields count: a delimiter at the end of every line has no
   column behind it.  Once a line has one there, those before had gaps. */
static inline int csv_end(csv *t, char **field, int n, int first)
{
    int empty = n > 1 && n < CSV_COLUMNS && *field[n - 1] == '\0';

    if (first)
        t->open = empty;
    if (t->open && !empty && n > t->columns && t->takes_words) {
        t->left_out += t->rows;
        t->columns += t->left_out > 0;
        t->open = t->rows = 0;
    }
    return n - (t->open && empty);
}

/* Reads rows until there are no more, or something is wrong. */
static inline void csv_rows(csv *t, FILE *f, const char *path)
{
    char line[CSV_LINE], *field[CSV_COLUMNS];
    const char *wrong = NULL;
    int n, number, first = 1;

    for (number = 1; !wrong && fgets(line, sizeof line, f); number++) {
        char *text = line;

        if (number == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
            text += 3;
        if (first && *text == '#')
            continue;
        if (first)
            t->delimiter = strchr(text, '\t') ? '\t' : strchr(text, ';') ? ';'
                         : strchr(text, ',') ? ',' : ' ';
        n = csv_fields(text, t->delimiter, field);
        n = csv_end(t, field, n, first);
        if (n > 0 && !(first && csv_names(t, field, n)))
            wrong = csv_row(t, field, n);
        first = first && n == 0;
    }
    if (wrong != NULL)
        snprintf(t->error, sizeof t->error, "%.100s, line %d: %s", path,
                 number - 1, wrong);
    else if (t->rows == 0 && t->left_out > 0)
        snprintf(t->error, sizeof t->error, "%.100s: all %d rows have gaps",
                 path, t->left_out);
    else if (t->rows == 0)
        snprintf(t->error, sizeof t->error, "%.150s has no rows of numbers",
                 path);
}

/* How many rows; 0: t->error says why none. */
static inline int csv_read_table(csv *t, const char *path, int takes_words)
{
    FILE *f = fopen(path, "r");

    memset(t, 0, sizeof *t);
    t->takes_words = takes_words;
    if (f == NULL) {
        snprintf(t->error, sizeof t->error, "%.150s cannot be opened", path);
        return 0;
    }
    csv_rows(t, f, path);
    fclose(f);
    return *t->error ? 0 : t->rows;
}

/* The column of that name or number (from 1 on); name NULL: the last.  -1:
   there is none. */
static inline int csv_column(const csv *t, const char *name)
{
    int i, number = name != NULL ? atoi(name) : t->columns;

    for (i = 0; name != NULL && i < t->columns; i++)
        if (strncmp(t->name[i], name, CSV_NAME - 1) == 0)
            return i;
    return number >= 1 && number <= t->columns ? number - 1 : -1;
}

/* The index of v among `count` ascending values, or where it belongs. */
static inline int csv_place(const float *value, int count, float v)
{
    int i;

    for (i = 0; i < count && value[i] < v; i++)
        ;
    return i;
}

/* The different values of a column, ascending; returns how many, most + 1 if
   they are more than `most`. */
static inline int csv_distinct(const csv *t, int column, float *value, int most)
{
    int n, i, count = 0;

    for (n = 0; n < t->rows; n++) {
        float v = t->value[n * t->columns + column];

        i = csv_place(value, count, v);
        if (i < count && value[i] <= v)
            continue;
        if (count == most)
            return most + 1;
        memmove(value + i + 1, value + i, (size_t)(count++ - i) * sizeof v);
        value[i] = v;
    }
    return count;
}

/* Puts the rows into a random order (Fisher & Yates, splitmix64). */
static inline void csv_shuffle(csv *t, uint64_t seed)
{
    int n, i, j;

    for (n = t->rows; n > 1; n--) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        j = (int)((z ^ z >> 31) % (uint64_t)n);
        for (i = 0; i < t->columns; i++) {
            float *a = t->value + j * t->columns + i;
            float *b = t->value + (n - 1) * t->columns + i, swap = *a;

            *a = *b;
            *b = swap;
        }
    }
}

static inline int csv_read(csv *t, const char *path)
{
    return csv_read_table(t, path, 0);
}

static inline int csv_read_words(csv *t, const char *path)
{
    return csv_read_table(t, path, 1);
}

/* x and d from the first two columns of a file, at most so many rows; how many
   these are.  Where there are none, a sentence ends the program. */
static inline int csv_pairs(const char *path, int most, float *x, float *d)
{
    csv t;
    int n;

    if (csv_read(&t, path) && (t.columns < 2 || t.rows > most))
        snprintf(t.error, sizeof t.error, "%.100s: what is wanted is two "
                 "columns, and at most %d rows", path, most);
    if (*t.error != '\0') {
        printf("%s\n", t.error);
        exit(1);
    }
    for (n = 0; n < t.rows; n++) {
        x[n] = t.value[n * t.columns];
        d[n] = t.value[n * t.columns + 1];
    }
    free(t.value);
    return t.rows;
}
#endif
