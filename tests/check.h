/* check.h - what every test program shares: CHECK counts, check_done prints
   the count as the last line and gives main its exit status. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

static int check_passed, check_failed;

/* Count a condition; say where and what when it does not hold. */
#define CHECK(condition) \
    check_one((condition) ? 1 : 0, __FILE__, __LINE__, #condition)

/* The same with a text (one printf format and its arguments) for the reader. */
#define CHECK_THAT(condition, ...) \
    (check_one((condition) ? 1 : 0, __FILE__, __LINE__, #condition) \
         ? (void)0 : (void)(printf("    " __VA_ARGS__), printf("\n")))

static int check_one(int holds, const char *file, int line, const char *what)
{
    if (holds) {
        check_passed++;
    } else {
        check_failed++;
        if (check_failed <= 20)
            printf("%s:%d: failed: %s\n", file, line, what);
    }
    return holds;
}

static int check_done(void)
{
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed != 0;
}

#endif
