/* allocator.h - memory of moe.h that is counted and can run out.  Include it
   before moe.h. */
#ifndef ALLOCATOR_H
#define ALLOCATOR_H

#include <stdlib.h>

static int live_blocks, asked, no_memory;
static size_t most_asked;                /* the largest wish                 */
static size_t most_given = (size_t)-1;   /* no more than that in one piece   */

static void *counted_malloc(size_t bytes)
{
    void *p = no_memory || bytes > most_given ? NULL : malloc(bytes);

    asked++;
    most_asked = bytes > most_asked ? bytes : most_asked;
    live_blocks += p != NULL;
    return p;
}

static void counted_free(void *p)
{
    live_blocks -= p != NULL;
    free(p);
}

#define MOE_MALLOC(n) counted_malloc(n)
#define MOE_FREE(p) counted_free(p)

#endif
