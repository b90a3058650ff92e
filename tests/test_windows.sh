#!/bin/sh
# test_windows.sh - Windows as games have it: clang with Microsoft's ABI, where
# there is no __GNUC__.  The header compiles with vectors, as C and as C++,
# without what cl.exe would warn of; and targets/target.c, without a C library,
# prints under Wine what it prints here: in C the same bits, in C++ as fast as
# can be, and in long tests both in both, by more standards.
cd "$(dirname "$0")" || exit 1
. ./common.sh
root=$(cd .. && pwd)
log=$work/log
abi='--target=x86_64-pc-windows-msvc -fms-compatibility'

# ---------------------------------------------- what stands in for the headers
# As much of Microsoft's as moe.h and clang's intrinsics ask for.  fopen is
# deprecated there, too (C4996).
mkdir "$work/include"
declare() {
    printf '#pragma once\n#ifdef __cplusplus\nextern "C" {\n#endif\n'
    cat
    printf '#ifdef __cplusplus\n}\n#endif\n'
}
declare >"$work/include/stdlib.h" <<'END_OF'
#include <stddef.h>
void *malloc(size_t n);
void *_aligned_malloc(size_t n, size_t alignment);
void free(void *p);
void _aligned_free(void *p);
END_OF
declare >"$work/include/stdio.h" <<'END_OF'
#include <stddef.h>
typedef struct FILE FILE;
__declspec(deprecated("C4996")) FILE *fopen(const char *path, const char *how);
FILE *_fsopen(const char *path, const char *how, int sharing);
size_t fread(void *at, size_t size, size_t count, FILE *f);
size_t fwrite(const void *at, size_t size, size_t count, FILE *f);
int fclose(FILE *f);
int fflush(FILE *f);
int fgetc(FILE *f);
int ferror(FILE *f);
int remove(const char *path);
int rename(const char *from, const char *to);
END_OF
declare >"$work/include/assert.h" <<'END_OF'
void _assert(const char *text, const char *file, unsigned line);
#define assert(e) ((void)((e) || (_assert(#e, __FILE__, __LINE__), 0)))
END_OF
declare >"$work/include/omp.h" <<'END_OF'
int omp_in_parallel(void);
int omp_get_max_threads(void);
int omp_get_thread_num(void);
END_OF
echo 'typedef int jmp_buf[64];' >"$work/include/setjmp.h"
echo '#include <stdlib.h>' >"$work/include/malloc.h"
cat >"$work/alone.c" <<'END_OF'
#if defined(__GNUC__) || !defined(_MSC_VER)
#error "this is not as Microsoft's compiler has it"
#endif
#define MOE_IMPLEMENTATION
#include "moe.h"
END_OF

# ------------------------------------------------------------------ compiling
# build COMPILER FLAGS...: the header with the options that change most of it
build() {
    what=$*
    set -- "$@" $abi $strict -isystem "$work/include" -I"$root" "$work/alone.c"
    for options in -O2 '-O2 -DMOE_DOUBLE' -DMOE_SAME_BITS -DMOE_PREDICT_ONLY \
        '-DMOE_STATIC -DMOE_NO_STDIO' -Os -fopenmp \
        '-DMOE_PREDICT_ONLY -DMOE_NO_STDIO -DMOE_NO_MALLOC'; do
        holds "$what $options: no warning" "$@" $options -fsyntax-only
    done
    holds "$what: compiles" "$@" -O0 -c -o "$dir/x.o" &&
        holds "$what: vectors of 128, 256 and 512 bits" vectors "$dir/x.o"
}

vectors() {
    $dump -d "$1" >"$dir/code"
    for register in xmm ymm zmm; do
        grep -q "$register" "$dir/code" || { echo "no $register"; return 1; }
    done
}

# What cl.exe calls C4100, C4456 to C4459, C4701, C4244, C4267, C4018, C4702,
# C4706 and C4146, as far as clang knows it.
as_cl() {
    what="$*"
    set -- clang --driver-mode=cl --target=x86_64-pc-windows-msvc /W4 /WX \
        -imsvc "$work/include" -I"$root" -Wshadow-all -Wextra-semi \
        -Wconditional-uninitialized -Wimplicit-int-conversion \
        -Wshorten-64-to-32 -Wsign-compare -Wfloat-conversion \
        -Wunreachable-code-aggressive -Wmicrosoft -Wassign-enum \
        -Wno-tautological-value-range-compare "$@" \
        /Zs "$work/alone.c"
    for options in /Od /O2 /DMOE_DOUBLE /DMOE_PREDICT_ONLY /DMOE_STATIC; do
        holds "clang --driver-mode=cl /W4 $what, $options" "$@" $options
    done
    none "$what: no minus in front of what has no sign (C4146)" negated
}

negated() {
    grep -nE '[^A-Za-z0-9_) ] *-\((moei_bits|size_t|uint[0-9]+_t|unsigned)\)' \
        "$root/moe.h"
    [ $? = 1 ]
}

# The old preprocessor does not know _Pragma: none is left after preprocessing
# as it does, beside those of the headers.
no_pragma_operator() {
    clang $abi -fopenmp -isystem "$work/include" -I"$root" -U__clang__ -dD -E \
        "$work/alone.c" >"$dir/text" 2>"$dir/errors"
    awk '/^# [0-9]/ { here = /moe\.h"( |$)/ }
         here && /_Pragma/' "$dir/text"
    grep -q 'define MOEI_SHARE' "$dir/text" || echo "moe.h was not read"
}

# -------------------------------------------------------------------- running
kernel32() {
    (set +f; ls /usr/x86_64-w64-mingw32/lib/libkernel32.a \
        "$(x86_64-w64-mingw32-gcc -print-file-name=libkernel32.a)") \
        2>/dev/null | head -n 1
}

wine_path() {
    command -v wine64 || echo /usr/lib/wine/wine64
}

run() {
    WINEPREFIX=$work/wine WINEDEBUG=-all within 240 "$(wine_path)" \
        "$1" 2>/dev/null | tr -d '\r' >"$1.text"
    cat "$1.text"
    grep -q '^[1-9][0-9]* passed, 0 failed$' "$1.text"
}

same_text() {
    diff "$1" "$2"
}

# program COMPILER FLAGS...: as fast as can be, or the same bits
program() {
    what=$*
    set -- "$@" $abi $strict -isystem "$work/include" -mno-stack-arg-probe -O1
    holds "$what: the start-up code compiles" clang $abi $strict -O1 \
        -mno-stack-arg-probe -c targets/windows.c -o "$dir/windows.o"
    holds "$what: compiles" "$@" -DTARGET_BARE -DTARGET_NO_FLUSH \
        -c targets/target.c -o "$dir/target.o" &&
        holds "$what: links" lld-link /subsystem:console /entry:start \
            /nodefaultlib "$dir/target.o" "$dir/windows.o" "$(kernel32)" \
            "/out:$dir/target.exe" &&
        holds "$what: works" run "$dir/target.exe" || return
    case $what in *-DMOE_SAME_BITS)
        holds "$what: the same hash, and as many checks, as here" \
            same_text "$work/here.text" "$dir/target.exe.text" ;;
    esac
    echo "$what: $(tr '\n' ' ' <"$dir/target.exe.text")"
}

# What Wine leaves running writes to its folder, which is to be removed.
end_wine() {
    for server in wineserver /usr/lib/wine/wineserver64 none; do
        ! have "$server" || break
    done
    [ $server = none ] || WINEPREFIX=$work/wine within 60 $server -w
}

missing=
for tool in clang clang++ lld-link wine64; do
    have $tool || { [ $tool = wine64 ] && [ -x "$(wine_path)" ]; } ||
        missing="$missing $tool"
done
dump=objdump
have llvm-objdump && dump=llvm-objdump
case $missing in *clang*)
    echo "not installed, so that nothing is tested:$missing"
    exit 0 ;;
esac
printf '%s\n' 'clang -x c -std=c99' 'clang -x c -std=c17' \
    'clang++ -x c++ -std=c++11' 'clang++ -x c++ -std=c++20' |
    thin 3 >"$work/languages"
printf '%s\n' /TC '/TP -Xclang -std=c++17' >"$work/cl"
share build "$work/languages"
share as_cl "$work/cl"
dir=$work
none "no _Pragma for a compiler that is neither gcc nor clang" \
    no_pragma_operator
[ -n "$(kernel32)" ] || missing="$missing libkernel32.a (mingw-w64)"
if [ -n "$missing" ]; then
    echo "not installed, so that no program is run:$missing"
else
    clang -std=c99 -O1 -DMOE_SAME_BITS -DTARGET_NO_FLUSH targets/target.c \
        -o "$work/here" && "$work/here" >"$work/here.text"
    for bits in -DMOE_SAME_BITS -DTARGET_FAST; do
        echo "clang -x c -std=c99 $bits"
        echo "clang++ -x c++ -std=c++14 $bits"
    done | thin 3 >"$work/programs"
    share program "$work/programs"
    log=$work/log
    end_wine
fi
check_done
