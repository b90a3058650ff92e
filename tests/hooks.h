/* hooks.h - what moe.h asks of the tests instead of libc: memory that is
   counted and can run out, files that cannot be read, written or renamed, and
   assertions that can be counted.  moe.c has them, or a program that has
   moe.h's code: include this before moe.h. */
#ifndef HOOKS_H
#define HOOKS_H

#include <stdio.h>
#include <stdlib.h>

extern int live_blocks, asked;
extern size_t most_asked;         /* the largest wish                         */
extern size_t most_given;         /* no more than that in one piece           */
extern int allocations_left;      /* then one fails; negative: none does      */
extern int no_read, no_write, no_rename;      /* these fail if they are set  */
extern int mistakes;              /* assertions that did not hold             */
extern int mistakes_allowed;      /* else such a one ends the program         */

#ifndef LINKED
int live_blocks, asked;
size_t most_asked, most_given = (size_t)-1;
int allocations_left = -1;
int no_read, no_write, no_rename;
int mistakes, mistakes_allowed;

static void *counted_malloc(size_t bytes)
{
    void *p = allocations_left == 0 || bytes > most_given ? NULL
                                                          : malloc(bytes);

    allocations_left -= allocations_left > 0;
    asked++;
    most_asked = bytes > most_asked ? bytes : most_asked;
    live_blocks += p != NULL;
    return p;
}

static void counted_free(void *p)
{
    if (p != NULL)                /* threads, whose memory is given, write */
        live_blocks--;            /* nothing                               */
    free(p);
}

static size_t some_fread(void *at, size_t size, size_t n, FILE *f)
{
    return no_read ? 0 : fread(at, size, n, f);
}

static int some_ferror(FILE *f)
{
    return no_read || ferror(f);
}

static size_t some_fwrite(const void *at, size_t size, size_t n, FILE *f)
{
    return no_write ? 0 : fwrite(at, size, n, f);
}

static int some_rename(const char *from, const char *to)
{
    return no_rename ? -1 : rename(from, to);
}

/* Threads, which make no mistakes, write nothing here. */
static void count_assertion(int holds)
{
    if (holds)
        return;
    mistakes++;
    if (!mistakes_allowed)
        abort();
}

#define MOE_MALLOC(n) counted_malloc(n)
#define MOE_FREE(p) counted_free(p)
#define MOE_ASSERT(e) count_assertion((e) ? 1 : 0)
#define fread some_fread
#define ferror some_ferror
#define fwrite some_fwrite
#define rename some_rename
#endif

#endif
