/* csv.h - a table of numbers from a text file, for the examples

   Numbers stand between commas, semicolons, blanks or tabs.  One line of names
   may come first.  What else is not as the first row is told by its line. */
#ifndef CSV_H
#define CSV_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct csv {
    int rows, columns;
    float *value;                     /* (rows,columns); free it */
    char error[200];                  /* "" or why there are no rows */
} csv;

enum { CSV_COLUMNS = 256, CSV_LINE = 8192, CSV_CELLS = 1 << 26 };

/* The numbers of a line; -1: something else, or NaN, is in it. */
static inline int csv_line(const char *at, float *value)
{
    char *end;
    int n = 0;

    for (;;) {
        at += strspn(at, ",; \t\r\n");
        if (*at == '\0' || n == CSV_COLUMNS)
            return *at == '\0' ? n : -1;
        value[n++] = (float)strtod(at, &end);
        if (end == at || strspn(end, ",; \t\r\n") + (*end == '\0') == 0
            || !(value[n - 1] > -1e30f && value[n - 1] < 1e30f))
            return -1;
        at = end;
    }
}

static inline int csv_add(csv *t, const float *row, int n)
{
    int cells = (t->rows + 1) * n;
    float *value;

    /* memory doubles when the rows are a power of two */
    if ((t->rows & (t->rows - 1)) == 0) {
        value = (float *)realloc(t->value, 2 * (size_t)cells * sizeof *value);
        if (value == NULL || cells > CSV_CELLS)
            return 0;
        t->value = value;
    }
    memcpy(t->value + cells - n, row, (size_t)n * sizeof *row);
    t->rows++;
    t->columns = n;
    return 1;
}

/* How many rows; 0: t->error says why none. */
static inline int csv_read(csv *t, const char *path)
{
    float row[CSV_COLUMNS];
    char line[CSV_LINE];
    int n, number;
    FILE *f = fopen(path, "r");

    memset(t, 0, sizeof *t);
    if (f == NULL)
        snprintf(t->error, sizeof t->error, "%.150s cannot be opened", path);
    for (number = 1; f && !*t->error && fgets(line, sizeof line, f); number++) {
        n = csv_line(line, row);
        if (n == 0 || (n < 0 && number == 1))
            continue;                            /* empty, or the names */
        if (n < 0 || (t->rows > 0 && n != t->columns) || !csv_add(t, row, n))
            snprintf(t->error, sizeof t->error,
                     "%.120s, line %d: not as many numbers as in the first row",
                     path, number);
    }
    if (f != NULL)
        fclose(f);
    if (t->rows == 0 && !*t->error)
        snprintf(t->error, sizeof t->error, "%.150s: no rows of numbers", path);
    return *t->error ? 0 : t->rows;
}
#endif
