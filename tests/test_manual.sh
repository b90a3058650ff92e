#!/bin/sh
# test_manual.sh - every ```c block of README.md, of CONTRIBUTING.md and of the
# manual in moe.h compiles and runs, as C99 and C++11, and prints what stands in
# the ```text block below it.  Whole programs have the code of moe.h in them;
# others, but for long tests and options of their own, are linked with it.
cd "$(dirname "$0")" || exit 1
. ./common.sh
root=$(cd .. && pwd)
log=$work/log

# What one writes to be read: {0}, a float in printf, a function by itself.
shown="-Wno-missing-field-initializers -Wno-double-promotion \
-Wno-unused-function"

# A block is a whole program; functions; what stands at the top of a file; or
# statements.  What it does not show is put around it.
complete() {
    if grep -q 'int main(' "$1"; then
        cat "$1"
    elif grep -q '^{' "$1" || ! grep -qv '^#\|^$' "$1"; then
        implementation "$1"
        cat "$1"
        echo 'int main(void) { return 0; }'
    else
        implementation "$1"
        grep '^#' "$1"
        echo 'int main(void) {'
        grep -v '^#' "$1"
        echo 'return 0; }'
    fi
}

implementation() {
    grep -q '^#include "moe.h"' "$1" ||
        printf '#define MOE_IMPLEMENTATION\n#include "moe.h"\n'
}

# same EXPECTED ACTUAL: equal words; numbers may differ in what rounding and
# the order of sums change.
same() {
    [ -s "$2" ] && awk 'NR == FNR { expected[++lines] = $0; next }
         function number(s) { return s ~ /^[-+]?[0-9]*\.?[0-9]+%?,?$/ }
         function close_to(a, b) {
             return a - b <= 0.02 + 0.05 * (a < 0 ? -a : a) &&
                    b - a <= 0.02 + 0.05 * (a < 0 ? -a : a)
         }
         {
             n = split(expected[FNR], word)
             if (n != NF)
                 exit wrong = 1
             for (i = 1; i <= n; i++)
                 if (word[i] != $i && !(number(word[i]) && number($i) &&
                                        close_to(word[i] + 0, $i + 0)))
                     exit wrong = 1
         }
         END { exit wrong || lines != FNR }' "$1" "$2" ||
        { diff "$1" "$2"; false; }
}

# block FILE COMPILER FLAGS...
block() {
    file=$1
    shift
    what="$(name "$file") $1 $(last "$@")"
    complete "$file" >"$dir/block.c"
    if [ -z "$long" ] && ! grep -q 'int main(\|#define MOE_[A-HJ-Z]' "$file"
    then
        code="-DMOE_IMPLEMENTED $dir/block.c -x none $objects/float.o"
    else
        code="$one_set $dir/block.c"
    fi
    holds "$what: compiles" "$@" $strict $shown -I"$root" $code \
        -o "$dir/block" || return
    holds "$what: runs" in_folder "$dir" within 30 ./block
    if [ -f "${file%.c}.txt" ]; then
        cp "$log" "$dir/printed"
        holds "$what: prints what is shown" \
            same "${file%.c}.txt" "$dir/printed"
    fi
}

in_folder() {
    (cd "$1" && shift && "$@")
}

# /x/y/README.12.c is README line 12
name() {
    base=${1##*/}
    base=${base%.c}
    echo "${base%.*} line ${base##*.}"
}

sed '/^#ifndef MOE_H$/,$d' ../moe.h >"$work/manual"
holds "the fences of moe.h" \
    awk -v out="$work/moe.h" -f blocks.awk "$work/manual"
for page in README.md .github/CONTRIBUTING.md; do
    if [ -f "../$page" ]; then
        holds "the fences of $page" \
            awk -v out="$work/${page##*/}" -f blocks.awk "../$page"
    else
        echo "$page is not here: left out"
    fi
done
# README.md names every public function, and its table of statuses is made of
# the header.
unnamed() {
    sed -n 's/^MOE_DEF [a-z_ ]*\**\(moe_[a-z_]*\)(.*/\1/p' ../moe.h | sort -u |
        while read -r function; do
            grep -q "\`$function\`" ../README.md || echo "$function"
        done
}

statuses() {
    awk -f status.awk ../moe.h >"$work/statuses"
    sed -n '/^<!-- status begins -->$/,/^<!-- status ends -->$/p' ../README.md |
        sed -n '/^| `/p' | diff "$work/statuses" -
}

if [ -f ../README.md ]; then
    none "README.md names every public function" unnamed
    holds "the statuses in README.md are those of moe.h" statuses
fi
blocks=$(set +f; ls "$work"/*.c)
holds "moe.h shows programs" test -n "$blocks"
holds "moe.h compiles" moe_object float

languages c99 c++11 >"$work/languages"
for file in $blocks; do
    while read -r language; do
        echo "$file $language"
    done <"$work/languages"
done | thin 2 >"$work/blocks"
share block "$work/blocks"
check_done
