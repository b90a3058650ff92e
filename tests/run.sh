#!/bin/sh
# run.sh - run every test_*.sh, build and run every test_*.c in every build.
# run.sh quick      every program once, in the first compiler
# run.sh debug      every program once, with sanitizers and -O0
# run.sh long       what takes long: every float, every option, C++'s code
# run.sh test_NAME  test_NAME.c in the first compiler, test_NAME.sh, or all
#                   whose names begin with test_NAME_
# The last line is the sum of all counts; the exit status is 0 if nothing
# failed.  JOBS is how many run at a time.
cd "$(dirname "$0")" || exit 1
. ./common.sh

# The builds: NAME HOW COMPILER FLAGS...  The first looks at many values, the
# others are brief, for they look at the code: another compiler has code of its
# own, as doubles have; sanitizers see what goes wrong unseen.
# "text" builds run nothing and have moe.h alone: other standards, and C++,
# differ in what they accept; in long tests C++ is run, too.
builds() {
    case $1 in
    all)
        first "gcc clang" c99 | add full -O2
        first "clang" c99 | add brief -O1
        first "gcc" c17 | add text
        first "clang" c17 | add text
        first "g++" "c++11 c++17" | add text
        first "clang++" "c++11 c++17" | add text
        first "gcc clang" c99 | add brief -DMOE_DOUBLE |
            sed 's/ -DMOE_DOUBLE$/ -O1&/'
        sanitized "gcc -Og -fira-region=one" "clang -O0"
        ;;
    debug) sanitized "clang -O0" "gcc -O0" ;;
    long)
        first "gcc clang" c99 | add long -O2
        first "g++ clang++" c++11 | add brief -O1
        ;;
    *) languages c99 c++11 | sed 1q | add full -O1 ;;
    esac | awk '!seen[$1]++'
}

# first COMPILERS STANDARDS: the first of them that is here.
first() {
    languages "$2" "$2" | awk -v wanted="$1" '
        { here[$1] = here[$1] $0 "\n" }
        END {
            count = split(wanted, compiler)
            for (i = 1; i <= count; i++)
                if (compiler[i] in here) {
                    printf "%s", here[compiler[i]]
                    exit
                }
        }'
}

# add HOW FLAGS: a name in front of a compiler, flags behind it.
add() {
    while read -r compiler rest; do
        echo "$compiler-${rest##*=}${2:+-${2#-}} $1 $compiler $rest $2"
    done
}

# sanitized "COMPILER LEVEL"...: the first of them that can.  At -Og gcc's tests
# run four times as fast as at -O0, and with registers given out to functions as
# a whole compile in half the time of -O1; clang takes minutes to compile that.
# Of what is once more done in the same bits they see the loops in float.
sanitized() {
    flags="-fsanitize=address,undefined -fno-sanitize-recover=all -g1"
    flags="$flags -DFEWER_COPIES"
    echo "int main(void) { return 0; }" >"$work/empty.c"
    for compiler; do
        if $compiler $flags "$work/empty.c" -o "$work/empty" 2>/dev/null &&
            "$work/empty"; then
            echo "sanitized brief $compiler -x c -std=c99 $flags"
            return
        fi
    done
    echo "no compiler here has sanitizers: left out" >&2
}

# one_object NAME HOW COMPILER FLAGS...: moe.h alone, for the programs that
# have no code of it; most of the time of a test is to compile that.  Programs
# of doubles have an object of their own.
one_object() {
    case $1 in script) moe_object "$2"; return ;; esac
    object=$work/$1.o how=$2
    shift 2
    "$@" $strict -c moe.c -o "$object" >"$object.log" 2>&1
}

# one_test TEST BUILD HOW COMPILER FLAGS..., or one_test SCRIPT
one_test() {
    case $1 in *.sh) one_script "$1"; return ;; esac
    test=$1 build=$2 how=$3
    shift 3
    start=$(date +%s)
    sources=$(parts "$test") object=
    if is_linked "$test"; then
        set -- "$@" -DLINKED
        object="-x none $work/$build$(width "$test").o"
    fi
    if [ "$how" = text ]; then
        "$@" $strict -fsyntax-only $sources >"$dir/log" 2>&1
        status=$?
        [ $status != 0 ] || echo "1 passed, 0 failed" >"$dir/log"
        report "$test" "$build" $status "does not compile"
    elif "$@" $strict $sources $object -o "$dir/program" -lm -lpthread \
        >"$dir/log" 2>&1; then
        run_program >"$dir/log" 2>&1
        report "$test" "$build" $?
    else
        report "$test" "$build" 1 "does not compile"
    fi
}

run_program() (
    case $how in
    long) export MOE_LONG=1 ;;
    brief) export MOE_BRIEF=1 ;;
    esac
    within 600 "$dir/program"
)

# The files of a program.
parts() {
    echo "$1.c"
    set +f
    for part in "part_${1#test_}"_*.c; do
        case $build,$part in
        sanitized,*_same_double.c | sanitized,*frozen_same.c) continue ;;
        esac
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
    [ "$failed" = 0 ] && [ "$which" != one ] ||
        sed 's/^/    /' "$dir/log" >>"$dir/line"
    cat "$dir/line"
}

failure() {
    [ "$1" = 0 ] || echo "$1 FAILED${2:+ ($2)} "
}

# all_programs BUILDS: a line for each program in each build.  Who has double
# in every build needs no build for it.
all_programs() {
    while read -r build; do
        for test in $programs; do
            case $build,$test in
            *" text "*) ;;
            *" long "*,test_numbers) echo "$test $build" ;;
            *" long "*) ;;
            *-DMOE_DOUBLE,*) has_double "$test" || echo "$test $build" ;;
            *) echo "$test $build" ;;
            esac
        done
        case $build in *" text "*) echo "moe $build" ;; esac
    done <"$1"
}

width() {
    ! has_double "$1" || echo .double
}

# objects BUILDS: a line for each object that the programs need.
objects() {
    for test in $programs; do
        ! is_linked "$test" || echo "x$(width "$test")"
    done | sort -u | while read -r of; do
        while read -r build rest; do
            case $of,$rest in
            *,text* | *,long*) ;;
            x,*) echo "$build $rest" ;;
            *-DMOE_DOUBLE) ;;
            *) echo "$build.double $rest -DMOE_DOUBLE" ;;
            esac
        done <"$1"
    done
}

has_double() {
    grep -q '^#define .*DOUBLE$' $(parts "$1")
}

# A script does one thing at a time, unless it is alone.
one_script() {
    start=$(date +%s)
    jobs_of=1
    [ "$due" != 1 ] || jobs_of=$JOBS
    JOBS=$jobs_of MOE_LONG=$long sh "./$1" >"$dir/log" 2>&1
    report "$1" sh $?
}

# choose WORD: which builds, programs and scripts; the latter two by file name.
choose() {
    case $1 in
    '') set -- all 'test_*.c' 'test_*.sh' ;;
    quick | debug) set -- "$1" 'test_*.c' ;;
    long) set -- long 'test_*.c' 'test_*.sh' ;;
    test_*) set -- one "$1.c $1_*.c" "$1.sh $1_*.sh" ;;
    *) set -- unknown ;;
    esac
    which=$1
    programs=$(files "$2" | sed 's/\.c$//')
    scripts=$(files "$3")
    [ "$which" = long ] || return
    long=1
    scripts=$(grep -l -e '| thin' -e '\$long' $scripts)
}

files() (
    set +f
    for file in $1; do
        [ ! -f "$file" ] || echo "$file"
    done
)

choose "${1%.[cs]*}"
if [ $# -gt 1 ] || [ -z "$programs$scripts" ]; then
    echo "There is no test \"$*\".  Say nothing for all of them, quick," \
        "debug, or the name of a file here: test_files, test_gradient ..." >&2
    exit 2
fi
: >"$work/sums"
[ "$which" != all ] || missing_compilers
builds "$which" >"$work/builds"
{
    objects "$work/builds"
    [ -z "$scripts" ] || printf 'script float\nscript double\n'
} >"$work/objects"
share one_object "$work/objects"
{
    printf '%s\n' $scripts
    all_programs "$work/builds"
} | grep . >"$work/tests"
due=$(wc -l <"$work/tests")
MOE_OBJECTS=$work
export MOE_OBJECTS
share one_test "$work/tests"

# What has left no sum was lost on the way.
awk -v due="$due" '
    { passed += $1; failed += $2 }
    $2 > 0 { print "failed:", $3, $4 }
    END {
        for (; NR < due; due--)
            failed++
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0 || passed == 0
    }' "$work/sums"
