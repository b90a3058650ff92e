#!/bin/sh
# test_cpp.sh - moe.h in a C++ program that watches its warnings: zeros of all
# structs, a header without an old cast, the implementation in the middle of a
# unity build, in a namespace and in extern "C", and copies with different
# options in one program.
cd "$(dirname "$0")" || exit 1
. ./common.sh
root=$(cd .. && pwd)
log=$work/log
src=$work/src
mkdir "$src"

# ---------------------------------------------------------------- the sources
cat >"$src/empty.cpp" <<'END_OF'
#include "moe.h"
int fields(void);
int fields(void)
{
    moe_config config = {};
    moe_data data = {};
    moe_training training = {};
    moe_report report = {};
    moe_span span = {};
    moe_layer layer = {};
    moe m = {};
    return config.inputs + data.n + training.epochs + report.epoch + span.first
         + layer.in + m.rows;
}
END_OF
sed 's/{}/{0}/' "$src/empty.cpp" >"$src/zero.c"
cp "$src/empty.cpp" "$src/empty.c"
echo 'struct s { int a, b; }; struct s zeros = {};' >"$src/probe.c"

# All that a header-only user can write of the header.
cat >"$src/header.cpp" <<'END_OF'
#include "moe.h"
#include "moe.h"
extern moe_real work[];
extern moe_real weights[];
extern moe_real learning[];
moe_real work[MOE_WORK_BYTES(16, 4, 4, 2, 32) / sizeof(moe_real)];
moe_real weights[MOE_PREDICT_BYTES(16, 4, 4, 2, 32) / sizeof(moe_real)];
moe_real learning[MOE_LEARN_BYTES(16, 4, 4, 4, 32) / sizeof(moe_real)];
int settings(void);
int settings(void)
{
    moe_training training = {};
    moe_config config = {};
    training.batch = MOE_ALL;
    config.hidden[MOE_MAX_HIDDEN - 1] = MOE_MAX_SIZE;
    return training.batch + MOE_VERSION_MAJOR + MOE_VERSION_MINOR
         + config.hidden[0];
}
END_OF

# Code of others in a unity build: products and sums, sums in any order, NaN.
cat >"$src/others.h" <<'END_OF'
#ifdef __cplusplus
extern "C" {
#endif
float product(float a, float b, float c);
float total(const float *x, int n);
void add(float *x, const float *y, int n);
int is_nan(float x);
float product(float a, float b, float c) { return a * b + c; }
float total(const float *x, int n)
{
    float sum = 0;
    int i;
    for (i = 0; i < n; i++)
        sum += x[i];
    return sum;
}
void add(float *x, const float *y, int n)
{
    int i;
    for (i = 0; i < n; i++)
        x[i] += y[i];
}
int is_nan(float x) { return x != x; }
#ifdef __cplusplus
}
#endif
END_OF
echo '#include "others.h"' >"$src/without.c"
cat >"$src/unity.c" <<'END_OF'
#define MOE_IMPLEMENTATION
#include "moe.h"
#include "others.h"
END_OF

# What the namespace or extern "C" is not meant for is included before.
cat >"$src/namespace.cpp" <<'END_OF'
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __unix__
#include <sys/stat.h>
#endif
#ifdef __SSE2__
#include <immintrin.h>
#endif
#ifdef __aarch64__
#include <arm_neon.h>
#endif
namespace brain {
#define MOE_IMPLEMENTATION
#include "moe.h"
#include "moe.h"
}
int main()
{
    brain::moe_config config = {};
    brain::moe m;
    config.inputs = config.outputs = config.experts = 1;
    return brain::moe_open(&m, &config, nullptr, 0) != brain::MOE_OK
        || (brain::moe_close(&m), false);
}
END_OF
cat >"$src/extern_c.cpp" <<'END_OF'
extern "C" {
#define MOE_IMPLEMENTATION
#include "moe.h"
#include "moe.h"
}
int main()
{
    moe_config config = {};
    moe m;
    config.inputs = config.outputs = config.experts = 1;
    return moe_open(&m, &config, nullptr, 0) != MOE_OK
        || (moe_close(&m), false);
}
END_OF

# Copies with options of their own: each makes |x| of two linear experts.
cat >"$src/copy.cpp" <<'END_OF'
#define MOE_STATIC
#define MOE_IMPLEMENTATION
#include "moe.h"
int NAME(double *y);
int NAME(double *y)
{
    static const moe_real weights[] = {0, 0, 1, -1, 0, 0, 3, -3, 0, 0, 0, 1,
                                       0, 1};
    moe_config config = {};
    moe_real x[2] = {5, -4}, out[2];
    moe m;
    int i;
    config.inputs = config.outputs = 1;
    config.experts = 2;
    if (moe_attach(&m, &config, weights, nullptr, 0) != MOE_OK)
        return 0;
    moe_predict(&m, x, 2, out);
    for (i = 0; i < 2; i++)
        y[i] = static_cast<double>(out[i]);
    moe_close(&m);
    return static_cast<int>(sizeof(moe_real) + 100 * sizeof(moe));
}
END_OF
cat >"$src/copies.cpp" <<'END_OF'
#include <stdio.h>
int in_float(double *y);
int in_double(double *y);
int same_bits(double *y);
int predict_only(double *y);
int main()
{
    int (*const copy[])(double *) = {in_float, in_double, same_bits,
                                     predict_only};
    int size[4], wrong = 0;
    for (int i = 0; i < 4; i++) {
        double y[2] = {0, 0};
        size[i] = copy[i](y);
        printf("%d: %d, %.9f %.9f\n", i, size[i], y[0], y[1]);
        wrong += !(y[0] > 4.999 && y[0] < 5.001 && y[1] > 3.999
                   && y[1] < 4.001);
    }
    return wrong || size[1] % 100 != 8 || size[0] % 100 != 4
        || size[0] == size[1];
}
END_OF

# ----------------------------------------------------------------- the checks
# zeros COMPILER FLAGS...: = {} in C++, = {0} in C, and = {} where C knows it
zeros() {
    what="$1 $(last "$@")"
    set -- "$@" -Wall -Wextra -Wpedantic -Wmissing-field-initializers -Werror \
        -I"$root" -fsyntax-only
    case $1 in
    *++) holds "$what: = {}" "$@" "$src/empty.cpp" ;;
    *)
        holds "$what: = {0}" "$@" "$src/zero.c"
        case $what in *c2x)
            if "$@" "$src/probe.c" 2>/dev/null; then
                holds "$what: = {}" "$@" "$src/empty.c"
            else
                echo "$what: the compiler warns of any = {}: left out"
            fi
        esac
    esac
}

# header COMPILER FLAGS...
header() {
    case $1 in *++) ;; *) return ;; esac
    what="$1 $(last "$@")"
    useless=
    [ "$1" != g++ ] || useless='-Wuseless-cast'
    for width in '' -DMOE_DOUBLE -DMOE_PREDICT_ONLY; do
        holds "$what $width: the header alone has no old cast" "$@" $strict \
            -Wold-style-cast -Wzero-as-null-pointer-constant $useless $width \
            -I"$root" -fsyntax-only "$src/header.cpp"
    done
    holds "$what: in a namespace" "$@" $strict $one_set -I"$root" \
        "$src/namespace.cpp" -o "$dir/space" &&
        holds "$what: works" "$dir/space"
    holds "$what: in extern \"C\"" "$@" $strict $one_set -I"$root" \
        "$src/extern_c.cpp" -o "$dir/c" && holds "$what: works" "$dir/c"
}

# code FILE: the instructions of the functions of others
code() {
    for function in product total add is_nan; do
        objdump -d --no-show-raw-insn -j ".text.$function" "$1"
    done | sed '/file format/d; s/^ *[0-9a-f]*:\t//; s/^[0-9a-f]* //;
                s/\(j[a-z]*\|call\) *[0-9a-f]* </\1 </'
}

# unity COMPILER LANGUAGE: what comes after the header is compiled as without it
unity() {
    what=$*
    for flags in '-O2 -ffast-math' "-O1 -mfma -ffp-contract=off $one_set" \
        "-O1 -mfma -ffp-contract=fast -DMOE_SAME_BITS $one_set"; do
        set -- $what $flags -DMOE_PREDICT_ONLY -I"$root" -c -fno-ident \
            -ffunction-sections
        holds "$what $flags: compiles" "$@" "$src/without.c" \
            -o "$dir/without.o" && holds "$what $flags: compiles after moe.h" \
            "$@" "$src/unity.c" -o "$dir/unity.o" || continue
        code "$dir/without.o" >"$dir/without.text"
        code "$dir/unity.o" >"$dir/unity.text"
        holds "$what $flags: there is code to compare" \
            grep -qE 'mulss|fmadd' "$dir/without.text"
        holds "$what $flags: the same code after moe.h" \
            diff "$dir/without.text" "$dir/unity.text"
    done
}

# copies COMPILER FLAGS...
copies() {
    case $1 in *++) ;; *) return ;; esac
    what="$1 $(last "$@")"
    lto=
    [ "$1" != g++ ] || lto=-flto    # clang needs a plugin for it
    set -- "$@" $strict -I"$root" -O0 $one_set
    holds "$what $lto: four copies compile" \
        "$@" $lto -DNAME=in_float -c "$src/copy.cpp" -o "$dir/1.o" &&
        holds "$what $lto: double" "$@" $lto -DNAME=in_double \
            -DMOE_DOUBLE -c "$src/copy.cpp" -o "$dir/2.o" &&
        holds "$what $lto: the same bits" "$@" $lto -DNAME=same_bits \
            -DMOE_SAME_BITS -c "$src/copy.cpp" -o "$dir/3.o" &&
        holds "$what $lto: predict only" "$@" $lto -DNAME=predict_only \
            -DMOE_PREDICT_ONLY -c "$src/copy.cpp" -o "$dir/4.o" &&
        holds "$what $lto: live together" "$1" $lto -O1 -Wall \
            "$src/copies.cpp" "$dir/1.o" "$dir/2.o" "$dir/3.o" "$dir/4.o" \
            -o "$dir/copies" && holds "$what $lto: and work" "$dir/copies"
}

missing_compilers
languages 'c99 c11 c2x' 'c++11 c++14 c++17 c++20' >"$work/languages"
languages '' 'c++11 c++20' >"$work/ends"
share zeros "$work/languages"
thin 3 <"$work/ends" >"$work/some_ends"
share header "$work/some_ends"
languages '' c++11 | thin 2 >"$work/one_of_each"
share copies "$work/one_of_each"
if have objdump && [ "$(uname -m)" = x86_64 ]; then
    for compiler in gcc clang; do
        ! have $compiler || echo "$compiler -std=gnu99"
    done | thin 2 >"$work/units"
    share unity "$work/units"
else
    echo "no objdump, or not x86-64: code after the header is not compared"
fi
log=$work/log
check_done
