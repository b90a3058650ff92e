# common.sh - what the scripts of this folder share: flags, compilers, counted
# checks, three jobs at a time, for some of them wait.  Source it with tests/ as
# the current folder.

strict="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion \
-Wdouble-promotion -Wcast-qual -Wundef -Werror"

# With one instruction set moe.h compiles in a third of the time: for what has
# nothing to do with sets.
one_set='-DMOE_FILE="no_file"'
: "${JOBS:=3}"
long=$MOE_LONG             # not empty: look at all that there is
unset MOE_LONG MOE_BRIEF

LC_ALL=C
export LC_ALL
set -f                     # no file names out of flags; on where globs are due

work=$(mktemp -d "${TMPDIR:-/tmp}/moe_tests.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM
: >"$work/counts"

have() {
    command -v "$1" >/dev/null 2>&1
}

# within SECONDS COMMAND...: a program that hangs is a failure, not a wait.
if have timeout; then
    within() { timeout "$@"; }
else
    within() { shift; "$@"; }
fi

# languages "C STANDARDS" "C++ STANDARDS": a line per compiler and standard.
languages() {
    for compiler in gcc clang g++ clang++; do
        case $compiler in
        *++) of='-x c++'; standards=$2 ;;
        *) of='-x c -Wstrict-prototypes'; standards=$1 ;;
        esac
        for standard in $standards; do
            if "$compiler" $of "-std=$standard" -fsyntax-only /dev/null \
                >/dev/null 2>&1; then
                echo "$compiler $of -std=$standard"
            fi
        done
    done
}

missing_compilers() {
    for compiler in gcc clang g++ clang++; do
        have "$compiler" || echo "$compiler is not installed: left out"
    done
}

# share FUNCTION FILE: FUNCTION with the words of every line of FILE, $JOBS
# lines at a time.  Who makes a line's mark does the line, in the folder $dir.
share() {
    jobs=0
    while [ "$jobs" -lt "$JOBS" ]; do
        jobs=$((jobs + 1))
        work_off "$1" "$2" &
    done
    wait
}

work_off() {
    number=0
    while read -r words; do
        number=$((number + 1))
        dir=$work/$1.$number
        mkdir "$dir.taken" 2>/dev/null || continue
        mkdir "$dir"
        log=$dir/log
        "$1" $words </dev/null
        rm -rf "$dir"
    done <"$2"
}

# thin EVERY: of the lines every such one, from the first on; in long tests all.
thin() {
    awk -v every="${long:+1}" -v few="$1" '
        (NR - 1) % (every ? every : few) == 0'
}

# is_linked TEST: its program has no code of moe.h, and links with moe.c.
is_linked() {
    ! grep -q '^#define MOE_IMPLEMENTATION' "$1.c"
}

# moe_object float|double: moe.h alone as $objects/NAME.o, compiled once for all
# scripts of a run.  A program for which MOE_IMPLEMENTED is defined believes
# that it has the code already, and is linked with that.
objects=${MOE_OBJECTS:-$work}
moe_object() {
    [ ! -f "$objects/$1.o" ] || return 0
    case $1 in
    float) width= ;;
    double) width=-DMOE_DOUBLE ;;
    esac
    $(languages c99 '' | sed 1q) -O1 $width -DMOE_IMPLEMENTATION \
        -c ../moe.h -o "$work/$1.made" && mv "$work/$1.made" "$objects/$1.o"
}

# holds WHAT COMMAND...: one check, that the command succeeds.
holds() {
    claim=$1
    shift
    if "$@" >"$log" 2>&1; then
        echo passed >>"$work/counts"
    else
        echo failed >>"$work/counts"
        { echo "failed: $claim"; sed 's/^/    /' "$log" | head -n 40; } \
            >"$log.said"
        cat "$log.said"
        return 1
    fi
}

# refuses WHAT WORDS COMMAND...: one check, that the command fails and says
# WORDS.
refuses() {
    claim=$1 refusal=$2
    shift 2
    if "$@" >"$log.refusal" 2>&1; then
        holds "$claim (was accepted)" false
    else
        holds "$claim" contains "$refusal" "$log.refusal"
    fi
}

contains() {
    grep -e "$1" "$2" || { cat "$2"; false; }
}

# none WHAT COMMAND...: one check, that the command succeeds and prints
# nothing.
none() {
    claim=$1
    shift
    holds "$claim" silent "$@"
}

silent() {
    "$@" >"$log.found" 2>&1 && [ ! -s "$log.found" ] ||
        { cat "$log.found"; false; }
}

not() {
    ! "$@"
}

last() {
    for argument; do :; done
    echo "$argument"
}

# The last line of every test, and its exit status.
check_done() {
    passed=$(grep -c passed "$work/counts")
    failed=$(grep -c failed "$work/counts")
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" != 0 ]
}
