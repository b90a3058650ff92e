#!/bin/sh
# test_options.sh - combinations of the header's options, in which any two meet
# (in long tests all), compile without a warning and work; files mix as the
# manual says; what contradicts is refused; nothing leaks out of the header and
# nothing is needed that the options rule out.  That widths do not mix is looked
# at with the first two compilers that mix, in long tests with all.
cd "$(dirname "$0")" || exit 1
. ./common.sh
root=$(cd .. && pwd)
src=$work/src
mkdir "$src"

# --------------------------------------------------------------- the sources
cat >"$src/alone.c" <<'END'
#define MOE_IMPLEMENTATION
#include "moe.h"
END

# The header five times before and five times after the code.
sed 'h; G; G; G; G' >"$src/often.c" <<'END'
#include "moe.h"
END
{
    cat "$src/often.c" "$src/alone.c" "$src/often.c"
    echo '#undef MOE_IMPLEMENTATION'
    cat "$src/often.c"
} >"$src/five_times.c"
{
    cat "$src/alone.c" "$src/often.c"
} >"$src/five_times_static.c"

# What every combination must be able to do: two linear experts that make |x|,
# and, with training code, ten epochs that lower the error.
cat >"$src/use.h" <<'END'
#include "moe.h"
#include <stdio.h>
#include <string.h>

static int use_predict(void)
{
    static const moe_real weights[] = {0, 0, 1, -1, 0, 0, 3, -3, 0, 0, 0, 1,
                                       0, 1};
    static moe_real memory[1024];
    moe_config config;
    moe_real x[2], y[2];
    moe m;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = 1;
    config.experts = 2;
    config.block = 2;
    if (moe_layer_at(&config, 2, 0).weight != 6 ||
        moe_work_bytes(&config) > sizeof memory ||
        moe_attach(&m, &config, weights, memory, sizeof memory) != MOE_OK)
        return 0;
    x[0] = 5;
    x[1] = -4;
    moe_predict(&m, x, 2, y);
    moe_close(&m);
    return y[0] > (moe_real)4.999 && y[0] < (moe_real)5.001 &&
           y[1] > (moe_real)3.999 && y[1] < (moe_real)4.001;
}

#ifndef MOE_PREDICT_ONLY
static int use_training(void)
{
    static moe_real memory[8192];
    moe_real x[50], d[50];
    moe_config config;
    moe_data data;
    moe_training t;
    moe_report before, after;
    moe m;
    int i, done;

    memset(&config, 0, sizeof config);
    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    config.inputs = config.outputs = 1;
    config.experts = 2;
    for (i = 0; i < 50; i++) {
        x[i] = (moe_real)(i - 25);
        d[i] = x[i] < 0 ? -x[i] : x[i];
    }
    data.n = 50;
    data.x = x;
    data.d = d;
    t.epochs = 10;
    done = moe_bytes(&config) <= sizeof memory &&
           moe_open(&m, &config, memory, sizeof memory) == MOE_OK &&
           moe_fit_scales(&m, &data) == MOE_OK &&
           moe_evaluate(&m, &data, &before) == MOE_OK &&
           moe_train(&m, &data, NULL, &t, &after) == MOE_OK &&
           moe_evaluate(&m, &data, &after) == MOE_OK &&
           after.squared_error < before.squared_error;
    moe_close(&m);
    return done;
}
#else
static int use_training(void)
{
    return 1;
}
#endif

/* A model file in memory, and by path where there is stdio. */
static int use_files(void)
{
    static moe_real memory[4096], room[4096];
    moe_config config;
    moe_real x[1], y[1], z[1];
    size_t bytes;
    int loaded, saved = 1;
    moe m, other;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = 1;
    config.experts = 2;
    config.block = 1;
    config.mode = MOE_MODE_PREDICT;
    if (moe_open(&m, &config, memory, sizeof memory) != MOE_OK)
        return 0;
#ifdef MOE_PREDICT_ONLY
    if (m.weights[2] != 0 || m.weights[3] != 0)
        return 0;
    m.weights[2] = 1;
    m.weights[3] = 2;
    config.mode = MOE_MODE_TRAIN;       /* of which nothing is here */
    if (moe_open(&other, &config, memory + 2048, sizeof memory / 2) != MOE_OK ||
        moe_save_bytes(&other, MOE_MODE_TRAIN) != 0)
        return 0;
    config.mode = MOE_MODE_PREDICT;
#else
    if (m.weights[2] == 0 || m.weights[3] == 0)
        return 0;
#endif
    bytes = moe_save_bytes(&m, MOE_MODE_PREDICT);
    loaded = bytes > 0 && bytes <= sizeof room &&
             moe_save_memory(&m, MOE_MODE_PREDICT, room, bytes) == MOE_OK &&
             moe_read_config(&config, room, bytes) == MOE_OK &&
             moe_load_memory(&other, room, bytes, &config, memory + 2048,
                           sizeof memory / 2) == MOE_OK;
#ifndef MOE_NO_STDIO
    {
        moe_status status = moe_save(&m, MOE_MODE_PREDICT, "use.moe");
#ifdef MOE_NO_MALLOC
        saved = status == MOE_ERR_MEMORY &&
                moe_load(&other, "use.c", NULL) != MOE_OK &&
                other.error != NULL;
        moe_load_memory(&other, room, bytes, &config, memory + 2048,
                      sizeof memory / 2);
#else
        moe_close(&other);
        saved = status == MOE_OK &&
                moe_load(&other, "use.moe", NULL) == MOE_OK;
        remove("use.moe");
#endif
    }
#endif
    x[0] = 2;
    if (loaded && saved) {
        moe_predict(&m, x, 1, y);
        moe_predict(&other, x, 1, z);
        loaded = y[0] - z[0] < (moe_real)1e-5 && z[0] - y[0] < (moe_real)1e-5;
    }
    moe_close(&other);
    moe_close(&m);
    return loaded && saved;
}

/* Memory of the library's own: refused without a malloc. */
static int use_heap(void)
{
    moe_config config;
    moe_status status;
    moe m;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = config.experts = 1;
    status = moe_open(&m, &config, NULL, 0);
    moe_close(&m);
#ifdef MOE_NO_MALLOC
    return status != MOE_OK;
#else
    return status == MOE_OK;
#endif
}
END
cat >"$src/use.c" <<'END'
#include "use.h"
int main(void)
{
    return !use_predict() + 2 * !use_training() + 4 * !use_heap() +
           8 * !use_files();
}
END

# Two files, each with a use of the header; with MOE_STATIC, each a copy.
cat >"$src/two_a.c" <<'END'
#include "use.h"
#ifdef __cplusplus
extern "C"
#endif
int other(void);
int main(void)
{
    return !use_predict() + 2 * !other() + 4 * !use_heap() +
           8 * !use_training() + 16 * !use_files();
}
END
cat >"$src/two_b.c" <<'END'
#include "use.h"
#ifdef __cplusplus
extern "C"
#endif
int other(void);
int other(void)
{
    return use_predict() && use_training() && use_heap() && use_files();
}
END

# An allocator that counts, and one that has nothing.
cat >"$src/allocator.c" <<'END'
#include <stddef.h>
static void *give(size_t bytes);
static void take(void *memory);
#define MOE_MALLOC(n) give(n)
#define MOE_FREE(p) take(p)
#define MOE_IMPLEMENTATION
#include "moe.h"
#include <string.h>

static double memory[4096];
static int empty, given, taken;

static void *give(size_t bytes)
{
    given++;
    return empty || bytes > sizeof memory ? NULL : (void *)memory;
}

static void take(void *p)
{
    taken += p == (void *)memory;
}

int main(void)
{
    moe_config config;
    moe m;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = config.experts = 1;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK)
        return 1;
    moe_close(&m);
    if (given != 1 || taken != 1)
        return 2;
    empty = 1;
    if (moe_open(&m, &config, NULL, 0) != MOE_ERR_MEMORY)
        return 3;
    moe_close(&m);
    return given != 2 || taken != 1;
}
END

# --------------------------------------------------------- every combination
# combination OPTIONS HOW COMPILER FLAGS...: OPTIONS begins with static or
# extern and is joined by ";".
combination() {
    options=$1 how=$2
    shift
    of=$(echo "$options" | sed 's/^[a-z]*//; s/;/ /g')
    shift
    what="$1 $(last "$@")$of"
    set -- "$@" $strict $of -include stdlib.h -I"$root" $one_set
    if [ "$how" = text ]; then
        case $options in
        static*) set -- "$@" -DMOE_IMPLEMENTATION ;;
        *) holds "$what: is accepted alone" \
            "$@" -fsyntax-only "$src/alone.c" ;;
        esac
        holds "$what: is accepted in use" "$@" -fsyntax-only "$src/use.c"
        return
    fi
    case $options in
    static*)
        set -- "$@" -DMOE_IMPLEMENTATION "$src/use.c"
        ;;
    *)
        holds "$what: compiles alone" \
            "$@" -c "$src/alone.c" -o "$dir/alone.o" || return
        set -- "$@" "$src/use.c" -x none "$dir/alone.o"
        ;;
    esac
    holds "$what: compiles in use" "$@" -o "$dir/use" &&
        holds "$what: works" in_folder "$dir" ./use
}

in_folder() {
    (cd "$1" && shift && within 60 "$@")
}

combinations() {
    for linkage in extern 'static;-DMOE_STATIC'; do
        for width in '' ';-DMOE_DOUBLE'; do
            for code in '' ';-DMOE_PREDICT_ONLY'; do
                for memory in '' ';-DMOE_NO_MALLOC' \
                    ';-DMOE_MALLOC(n)=malloc(n);-DMOE_FREE(p)=free(p)'; do
                    for rest in '' ';-DMOE_ASSERT(e)=' ';-DMOE_NO_STDIO' \
                        ';-DMOE_NO_TEXT'; do
                        echo "$linkage$width$code$memory$rest"
                    done
                done
            done
        done
    done
}

# ------------------------------------------------------------- files that mix
# inclusion COMPILER FLAGS...: what one language can show by itself.
inclusion() {
    what="$1 $(last "$@")"
    set -- "$@" $strict -I"$root" $one_set
    holds "$what: included eleven times" \
        "$@" -fsyntax-only "$src/five_times.c"
    holds "$what: included six times, static" \
        "$@" -DMOE_STATIC -fsyntax-only "$src/five_times_static.c"
    holds "$what: without asserts" \
        "$@" -DNDEBUG -fsyntax-only "$src/alone.c"
    holds "$what: two static copies link" "$@" -DMOE_STATIC \
        -DMOE_IMPLEMENTATION "$src/two_a.c" "$src/two_b.c" -o "$dir/two" &&
        holds "$what: two static copies work" in_folder "$dir" ./two
    holds "$what: an allocator of one's own" \
        "$@" "$src/allocator.c" -o "$dir/own" &&
        holds "$what: is called, and may have nothing" "$dir/own"
    contradictions "$@" -E
}

contradictions() {
    due='error.*"moe.h: '
    refuses "$what: MOE_MALLOC alone" "$due" \
        "$@" "$src/alone.c" '-DMOE_MALLOC(n)=f(n)'
    refuses "$what: MOE_FREE alone" "$due" \
        "$@" "$src/alone.c" '-DMOE_FREE(p)=f(p)'
    refuses "$what: MOE_NO_MALLOC with MOE_MALLOC" "$due" \
        "$@" "$src/alone.c" -DMOE_NO_MALLOC \
        '-DMOE_MALLOC(n)=f(n)' '-DMOE_FREE(p)=f(p)'
    refuses "$what: MOE_STATIC without MOE_IMPLEMENTATION" "$due" \
        "$@" "$src/use.c" -DMOE_STATIC
}

# mixture IMPLEMENTING USING: each a language, with ";" for blanks; the pairs
# go round, from gcc and clang to g++, clang++ and back; every other one mixes C
# and C++.
mixture() {
    one=$(echo "$1" | tr ';' ' ')
    other=$(echo "$2" | tr ';' ' ')
    what="${one%% *} implements, ${other%% *} uses"
    linker=${other%% *}
    case $one in *++*) linker=${one%% *} ;; esac
    with="$strict -I$root $one_set -c"
    holds "$what: compiles" \
        $one $with "$src/alone.c" -o "$dir/alone.o" &&
        holds "$what: use compiles" \
            $other $with "$src/two_a.c" -o "$dir/a.o" &&
        holds "$what: other use compiles" \
            $one $with "$src/two_b.c" -o "$dir/b.o" &&
        holds "$what: links" "$linker" "$dir/alone.o" "$dir/a.o" "$dir/b.o" \
            -o "$dir/both" &&
        holds "$what: works" in_folder "$dir" ./both
    [ "$long" ] || [ "$one" = "$first" ] || return
    $one $with -DMOE_DOUBLE "$src/alone.c" -o "$dir/double.o"
    $other $with -DMOE_DOUBLE "$src/two_a.c" -o "$dir/double_a.o"
    refuses "$what: float code, double use" ndefined "$linker" \
        "$dir/alone.o" "$dir/double_a.o" "$dir/b.o" -o "$dir/both"
    refuses "$what: double code, float use" ndefined "$linker" \
        "$dir/double.o" "$dir/a.o" "$dir/b.o" -o "$dir/both"
}

# --------------------------------------------------- what an object file needs
# In the sets that have it, also where a standard would forbid it.
fused() {
    objdump -d "$1" | grep -q 'vfmadd[0-9]*ps'
}

# objects COMPILER FLAGS...: symbols that come in and go out.
objects() {
    what="$1 $(last "$@")"
    set -- "$@" -O0 $strict -I"$root"
    "$@" -c "$src/alone.c" -o "$dir/full.o"
    "$@" -DMOE_PREDICT_ONLY -c "$src/alone.c" -o "$dir/predict.o"
    set -- "$@" $one_set
    "$@" -DMOE_NO_MALLOC -DMOE_NO_STDIO '-DMOE_ASSERT(e)=' \
        -c "$src/alone.c" -o "$dir/bare.o"
    "$@" '-DMOE_ASSERT(e)=((e) ? (void)0 : mistake())' -c "$src/alone.c" \
        -include "$src/mistake.h" -o "$dir/own.o"

    none "$what: no code of others in a bare object" needs_more "$dir/bare.o"
    none "$what: only malloc, free, assert and files otherwise" \
        needs_more "$dir/full.o" "malloc|free|abort|__assert.*|fopen|fclose|\
fread|fwrite|fflush|fgetc|getc|ferror|stat|chmod|remove|rename|strlen"
    if have objdump && [ "$(uname -m)" = x86_64 ]; then
        holds "$what: products and sums are fused" fused "$dir/full.o"
    fi
    holds "$what: MOE_ASSERT is the caller's" needs "$dir/own.o" mistake
    holds "$what: and then assert is not called" not \
        needs "$dir/own.o" '__assert.*'
    none "$what: all that is visible is moe_..." foreign "$dir/full.o"
    for name in train step gradient backward fit_scales evaluate learn; do
        holds "$what: moe_$name is there" defines "$dir/full.o" "moe_$name"
        holds "$what: MOE_PREDICT_ONLY leaves moe_$name out" not \
            defines "$dir/predict.o" "moe_$name"
    done
    for name in save load; do
        holds "$what: moe_$name is there" defines "$dir/full.o" "moe_$name"
        holds "$what: MOE_NO_STDIO leaves moe_$name out" not \
            defines "$dir/bare.o" "moe_$name"
    done
    for name in save_bytes save_memory load_memory load_in_place \
        read_config; do
        holds "$what: moe_$name is there without stdio" \
            defines "$dir/bare.o" "moe_$name"
    done
    holds "$what: MOE_PREDICT_ONLY is smaller" \
        smaller "$dir/predict.o" "$dir/full.o"
    none "$what: MOE_STATIC shows nothing" static_symbols "$@"
    none "$what: macros begin with moe" macros "$@"
}

cat >"$src/mistake.h" <<'END'
#ifdef __cplusplus
extern "C"
#endif
void mistake(void);
END

# A Mach-O symbol has an underscore in front.
undefined() {
    nm "$1" | awk '$(NF - 1) == "U" { print $NF }'
}

visible() {
    nm -g "$1" | awk '$(NF - 1) != "U" { sub(/^_/, "", $NF); print $NF }'
}

# What compilers call by themselves, and how they ask for the processor.
needs_more() {
    undefined "$1" | grep -vxE "_?((__)?mem(cpy|set|move|cmp)(_chk)?|\
__cpu_model|__cpu_indicator_init|__stack_chk_fail|\
_GLOBAL_OFFSET_TABLE_${2:+|$2})"
    [ $? = 1 ]
}

needs() {
    undefined "$1" | grep -qxE "_?$2"
}

foreign() {
    visible "$1" | grep -v '^moe_'
    [ $? = 1 ]
}

defines() {
    visible "$1" | grep -qx "$2"
}

smaller() {
    size "$1" "$2"
    size "$1" "$2" | awk 'NR > 1 { text[NR] = $1 }
                          END { exit !(text[2] < text[3]) }'
}

static_symbols() {
    "$@" -DMOE_STATIC -c "$src/alone.c" -o "$dir/static.o" &&
        visible "$dir/static.o"
}

# Line markers tell which file a definition stands in.
macros() {
    "$@" -dD -E "$src/alone.c" >"$dir/macros" &&
        awk '/^# [0-9]/ { here = /moe\.h"( |$)/ }
             here && /^#define/ && $2 !~ /^(MOE|moe)/' "$dir/macros" &&
        grep -q 'define MOE_H *$' "$dir/macros"
}

# -------------------------------------------------------- the other programs
# benchmark SOURCE COMPILER FLAGS...: others to compare with may be missing.  A
# program for which MOE_IMPLEMENTED is defined believes that it has moe.h's code
# already; those that look into it are compiled whole.
benchmark() {
    source=$1
    shift
    what="$1 $(last "$@")"
    grep -q "moei_\|MOE_STATIC" "$source" || set -- "$@" -DMOE_IMPLEMENTED
    if ! "$@" -E "$source" >/dev/null 2>"$log" &&
        grep -q 'cblas\.h\|fann\.h\|mpi\.h' "$log"; then
        echo "${source#../}: its library is not installed: left out"
        return
    fi
    holds "$what: ${source#../} compiles" \
        "$@" $strict $one_set -fsyntax-only "$source"
}

# cross FILE: every line of standard input after every line of FILE.
cross() {
    while read -r second; do
        while read -r first; do
            echo "$first $second"
        done <"$1"
    done
}

list() {
    (set +f; for file in $1; do [ ! -f "$file" ] || echo "$file"; done)
}

languages c99 c++11 >"$work/languages"
languages c99 '' >"$work/c"
combinations >"$work/options"
# Among every seventh, which is run by two compilers of C in turn, any two
# options meet; long tests read every one, in C++ if that is here.
awk 'NR % 7 == 3' "$work/options" |
    awk -v names="$work/c" '
        BEGIN { while ((getline line <names) > 0) language[n++] = line }
        { print $0 " run " language[NR % (n < 2 ? n : 2)] }' \
        >"$work/combinations"
[ -z "$long" ] || {
    grep -e '++' "$work/languages" || cat "$work/languages"
} | sed '$!d; s/^/text /' | cross "$work/options" >>"$work/combinations"
tr ' ' ';' <"$work/languages" |
    awk '{ if (NR > 1) print before, $0; else first = $0; before = $0 }
         END { print before, first }' >"$work/pairs"
list '../benchmarks/*.c' >"$work/benchmarks"
sed 1q "$work/c" | cross "$work/benchmarks" >"$work/benchmark_builds"

share combination "$work/combinations"
sed -n '1p; $p' "$work/languages" >"$work/ends"
share inclusion "$work/ends"
sed 1d "$work/pairs" | thin 2 >"$work/some_pairs"
[ -z "$long" ] || cp "$work/pairs" "$work/some_pairs"
first=$(sed '1!d; s/ .*//' "$work/some_pairs" | tr ';' ' ')
share mixture "$work/some_pairs"
share objects "$work/ends"
share benchmark "$work/benchmark_builds"
check_done
