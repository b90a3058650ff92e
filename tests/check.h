/* check.h - what every test program shares.  CHECK counts, RUN tells which
   subject a failure belongs to, check_done prints the count as the last line
   and gives main its exit status.  CHECK_SUBJECTS=1 in the environment prints
   how many checks each subject has. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

static int check_passed, check_failed;
static const char *check_subject = "main";

/* Count a condition; say where and what when it does not hold. */
#define CHECK(condition) \
    check_one((condition) ? 1 : 0, __FILE__, __LINE__, #condition)

/* The same with a text (one printf format and its arguments) for the reader. */
#define CHECK_THAT(condition, ...) \
    (check_one((condition) ? 1 : 0, __FILE__, __LINE__, #condition) \
         ? (void)0 : (void)(printf("    " __VA_ARGS__), printf("\n")))

/* Call a function that checks a subject: RUN(test_clip()). */
#define RUN(call)                                                \
    do {                                                         \
        const int check_before[2] = {check_passed, check_failed}; \
        check_subject = #call;                                   \
        call;                                                    \
        check_ran(check_before[0], check_before[1]);             \
    } while (0)

static int check_one(int holds, const char *file, int line, const char *what)
{
    if (holds) {
        check_passed++;
    } else {
        check_failed++;
        if (check_failed <= 20)
            printf("%s:%d: %s: failed: %s\n", file, line, check_subject, what);
    }
    return holds;
}

/* Not every program has subjects. */
static inline void check_ran(int passed_before, int failed_before)
{
    int passed = check_passed - passed_before;
    int failed = check_failed - failed_before;

    if (failed > 0)
        printf("RUN(%s): %d of %d failed\n", check_subject, failed,
               passed + failed);
    else if (getenv("CHECK_SUBJECTS"))
        printf("%9d  %s\n", passed, check_subject);
    check_subject = "main";
}

static int check_done(void)
{
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed != 0;
}

#endif
