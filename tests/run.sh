#!/bin/sh
# run.sh [quick] - build and run every test_*.c under every compiler and
# standard, then every test_*.sh.  The last line is the sum of all counts;
# the exit status is 0 if nothing failed.  JOBS is how many run at a time.
cd "$(dirname "$0")" || exit 1
. ./common.sh

# The builds: NAME LENGTH COMPILER FLAGS...  The first one is long: its tests
# may sweep every float.
builds() {
    if [ "$1" = quick ]; then
        languages c99 c++11 | sed -n '1s/.*/quick short & -O1/p'
        return
    fi
    length=long
    languages "c99 c11 c17" "c++11 c++17" | while read -r compiler rest; do
        case $rest in
        *=c99 | *=c++11) level=-O1 ;;
        *) level=-O0 ;;
        esac
        [ $length = short ] || level=-O2
        echo "$compiler-${rest##*=} $length $compiler $rest $level"
        length=short
    done
    sanitized
}

# clang's sanitizers find more; gcc's will do.
sanitized() {
    flags="-fsanitize=address,undefined -fno-sanitize-recover=all -g -O0"
    echo "int main(void) { return 0; }" >"$work/empty.c"
    for compiler in clang gcc; do
        if $compiler $flags "$work/empty.c" -o "$work/empty" 2>/dev/null &&
            "$work/empty"; then
            build="short $compiler -x c -std=c99 $flags"
            echo "sanitized $build"
            echo "sanitized-double $build -DMOE_DOUBLE"
            return
        fi
    done
    echo "no compiler here has sanitizers: left out" >&2
}

# one_program TEST BUILD LENGTH COMPILER FLAGS...
one_program() {
    test=$1 build=$2 length=$3
    shift 3
    start=$(date +%s)
    if "$@" $strict "$test.c" $(parts "$test") -o "$dir/program" \
        -lm -lpthread >"$dir/log" 2>&1; then
        run_program >"$dir/log" 2>&1
        report "$test" "$build" $?
    else
        report "$test" "$build" 1 "does not compile"
    fi
}

run_program() (
    if [ "$length" = long ]; then
        export MOE_LONG=1
    fi
    within 600 "$dir/program"
)

parts() {
    set +f
    for part in "part_${1#test_}"_*.c; do
        if [ -f "$part" ]; then
            echo "$part"
        fi
    done
}

# report TEST BUILD STATUS [WHY]: count what $dir/log ends with.
report() {
    seconds=$(($(date +%s) - start))
    why=$4
    set -- "$1" "$2" "$3" $(sed -n \
        '$s/^\([0-9]\{1,\}\) passed, \([0-9]\{1,\}\) failed$/\1 \2/p' \
        "$dir/log")
    passed=${4:-0} failed=${5:-1}
    if [ "$3" != 0 ] && [ "$failed" = 0 ]; then
        failed=1
        why="exit status $3"
    elif [ $# = 3 ]; then
        why=${why:-"no count: exit status $3"}
    fi
    echo "$passed $failed $1 $2" >>"$work/sums"
    printf '%-17s %-18s %9d passed %s%4d s\n' "$1" "$2" "$passed" \
        "$(failure "$failed" "$why")" "$seconds" >"$dir/line"
    [ "$failed" = 0 ] || sed 's/^/    /' "$dir/log" >>"$dir/line"
    cat "$dir/line"
}

failure() {
    [ "$1" = 0 ] || echo "$1 FAILED${2:+ ($2)} "
}

all_programs() {
    builds "$1" | while read -r name rest; do
        echo "$tests" | while read -r test; do
            echo "$test $name $rest"
        done
    done
}

one_script() {
    start=$(date +%s)
    sh "./$1" >"$dir/log" 2>&1 </dev/null
    report "$1" sh $?
}

: >"$work/sums"
: >"$work/scripts"
tests=$(set +f; for test in test_*.c; do echo "${test%.c}"; done)
missing_compilers
all_programs "$1" >"$work/programs"
share one_program "$work/programs"

# These run $JOBS at a time by themselves.
[ "$1" = quick ] || (set +f; ls test_*.sh) >"$work/scripts"
dir=$work/script
mkdir "$dir"
while read -r script; do
    one_script "$script"
done <"$work/scripts"

# What has left no sum was lost on the way.
due=$(cat "$work/programs" "$work/scripts" | wc -l)
awk -v due="$due" '
    { passed += $1; failed += $2 }
    $2 > 0 { print "failed:", $3, $4 }
    END {
        for (; NR < due; due--)
            failed++
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0 || passed == 0
    }' "$work/sums"
