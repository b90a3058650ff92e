#!/bin/sh
# test_pasted.sh - the header in the ways it is brought along: as it is, pasted
# into another file, under another name with MOE_FILE and without, and included
# by a path from another folder.  What it says of itself it keeps: one set of
# loops where it cannot be read again, else all.
cd "$(dirname "$0")" || exit 1
. ./common.sh
lib=$work/lib
app=$work/app/src
mkdir -p "$lib" "$app" "$work/named" "$work/alone"
cp ../moe.h "$lib/moe.h"
cp ../moe.h "$work/named/mixture.h"

# Learns |x|, predicts in each set that is here, and says how many there are.
cat >"$work/main.c" <<'END'
#include <stdio.h>
#include <string.h>

static moe_real x[64], d[64], y[64];

static int off_by(const moe_config *shape, int simd)
{
    moe_config config = *shape;
    moe_data data;
    moe_training t;
    moe_report report;
    moe m;
    int i, wrong;

    memset(&data, 0, sizeof data);
    memset(&t, 0, sizeof t);
    config.simd = simd;
    data.n = 64;
    data.x = x;
    data.d = d;
    t.epochs = 300;
    if (moe_open(&m, &config, NULL, 0) != MOE_OK ||
        moe_train(&m, &data, NULL, &t, &report) != MOE_OK)
        return 1;
    moe_predict(&m, x, 64, y);
    for (wrong = i = 0; i < 64; i++)
        wrong += !(y[i] - d[i] < (moe_real)0.2 && d[i] - y[i] < (moe_real)0.2);
    moe_close(&m);
    return wrong > 6 || !(report.squared_error < (moe_real)0.01);
}

int main(void)
{
    static const int bits[] = {1, 128, 256, 512};
    moe_config config;
    int i, sets = 0, wrong = 0;

    memset(&config, 0, sizeof config);
    config.inputs = config.outputs = 1;
    config.experts = 2;
    for (i = 0; i < 64; i++) {
        x[i] = (moe_real)(i - 32) / 32;
        d[i] = x[i] < 0 ? -x[i] : x[i];
    }
    for (i = 0; i < 4; i++) {
        config.simd = bits[i];
        if (moe_check_config(&config, NULL) != MOE_OK)
            continue;
        sets++;
        wrong += off_by(&config, bits[i]);
    }
    printf("%d sets\n", sets);
    return wrong || sets < 1 || off_by(&config, 0);
}
END

# source FILE LINE...: a program with the header as the lines bring it.
source() {
    at=$1
    shift
    {
        echo '#define MOE_IMPLEMENTATION'
        for line; do
            echo "$line"
        done
        cat "$work/header" "$work/main.c"
    } >"$work/$at.c"
}

: >"$work/header"
source lib/beside '#include "moe.h"'
source app/src/by_path '#include "../../lib/moe.h"'
source app/src/renamed '#include "../../named/mixture.h"'
source app/src/renamed_file '#define MOE_FILE "mixture.h"' \
    '#include "../../named/mixture.h"'
cp ../moe.h "$work/header"
source alone/pasted
source alone/pasted_static '#define MOE_STATIC'

compilers() {
    for compiler in gcc g++ clang clang++ tcc; do
        if ! have "$compiler"; then
            echo "$compiler is not installed: left out" >&2
            continue
        fi
        case $compiler in
        *++) echo "$compiler -x c++ -std=c++11 $strict" ;;
        tcc) echo "$compiler" ;;
        *) echo "$compiler -x c -std=c99 $strict" ;;
        esac
    done
}

builds() {
    while read -r compiler; do
        for program in lib/beside app/src/by_path app/src/renamed \
            app/src/renamed_file alone/pasted alone/pasted_static; do
            case $compiler,$program in
            tcc*) echo "$program $compiler" ;;
            gcc*/pasted)
                echo "$program $compiler -O1 -march=native"
                echo "$program $compiler -Os"
                ;;
            *) echo "$program $compiler -O0" ;;
            esac
        done
    done <"$work/compilers"
}

# As many sets as where the header has its own name; one where it cannot be
# read again.
sets_are() {
    cat "$dir/said"
    case $program in
    */renamed | */pasted*) grep -qx '1 sets' "$dir/said" ;;
    *) [ "$(cat "$dir/said")" = "$(cat "$dir/due")" ] ;;
    esac
}

# one_build PROGRAM COMPILER FLAGS...
one_build() {
    program=$1
    shift
    what="$program: $1 $(echo "$*" | grep -o -e '-O.*' -e 'tcc$')"
    holds "$what compiles" "$@" "$work/$program.c" -o "$dir/program" || return
    holds "$what works" works
    case $program in
    */renamed | */pasted* | */beside) "$dir/program" >"$dir/due" ;;
    *) beside "$@" >"$dir/due" ;;
    esac
    holds "$what has the sets that it should have" sets_are
}

# beside COMPILER FLAGS...: what the header by its own name says, found once.
beside() {
    [ -f "$work/due.$1" ] || { "$@" "$lib/beside.c" -o "$dir/beside" &&
        "$dir/beside" >"$dir/beside.said" &&
        mv "$dir/beside.said" "$work/due.$1"; }
    cat "$work/due.$1"
}

works() {
    within 60 "$dir/program" >"$dir/said" 2>&1 || { cat "$dir/said"; false; }
}

compilers >"$work/compilers"
builds | thin 5 >"$work/builds"
share one_build "$work/builds"
check_done
