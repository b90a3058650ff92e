#!/bin/sh
# coverage.sh - the lines and branches of moe.h that the tests run, all test
# programs together.  Needs gcc and gcov.
cd "$(dirname "$0")" || exit 1
. ./common.sh
tests=$(pwd)

for tool in gcc gcov; do
    have $tool || { echo "$tool is not installed"; exit 1; }
done

# one_program TEST: with an inline function in one place, not at each call, so
# that its branches count once.
one_program() {
    test=$1
    sources=$(set +f; for source in "$test.c" "part_${test#test_}"_*.c; do
        [ ! -f "$source" ] || echo "$tests/$source"
    done)
    (cd "$dir" && gcc -std=c99 -O0 --coverage -w -Dalways_inline=noinline \
        $sources -o program -lm -lpthread) || return
    within 300 "$dir/program" >"$log" 2>&1 ||
        echo "$test: $(tail -n 1 "$log")"
    (cd "$dir" && set +f && gcov -b -c -t ./*.gcda) \
        >"$work/$test.gcov" 2>/dev/null
}

# A line counts as run, and a branch as taken, if one program did so.  A line
# of the numbers and loops has branches for every instruction set, of which
# a processor takes one: the other rooms have a count of their own.
merge() {
    numbers=$(sed -n '/^\/\* 13  /=' ../moe.h)
    (set +f; awk -F: -v numbers="$numbers" '
        /^ *-: *0:Source:/ { here = $4 ~ /moe\.h$/; next }
        !here { next }
        /^branch/ {
            split($0, word, " ")
            branch = line ":" word[2]
            branches[branch]
            if (word[3] == "taken" && word[4] > 0)
                taken[branch]
            next
        }
        /^ *[-#=0-9]+\*?: *[0-9]+:/ {
            line = $2 + 0
            if ($1 ~ /-/) next
            lines[line]
            if ($1 !~ /[#=]/)
                ran[line]
        }
        function percent(name, some, all) {
            printf "%s: %d of %d, %.1f %%\n", name, some, all,
                   all ? 100 * some / all : 0
        }
        END {
            for (i in lines) { all++; if (i in ran) some++ }
            for (i in branches) {
                outside = i + 0 < numbers
                forks++
                forks_outside += outside
                if (i in taken) { gone++; gone_outside += outside }
            }
            for (i in lines) {
                if (!(i in ran)) print "line", i
            }
            for (i in branches) {
                split(i, part, ":")
                if (part[1] in ran && !(i in taken)) print "branch", part[1]
            }
            percent("total lines of moe.h", some, all)
            percent("total branches of moe.h", gone, forks)
            percent("total branches but for rooms 13 and 14", gone_outside,
                    forks_outside)
        }' "$work"/*.gcov)
}

# 3 4 5 9 as 3-5 9
ranges() {
    sort -nu | awk 'NR > 1 && $1 == last + 1 { last = $1; next }
                    NR > 1 { say() }
                    { first = last = $1 }
                    function say() {
                        printf " %s", first == last ? first : first "-" last
                    }
                    END { if (NR) say(); print "" }' | fold -s -w 78
}

(set +f; for test in test_*.c; do echo "${test%.c}"; done) >"$work/tests"
share one_program "$work/tests"
merge >"$work/merged"
echo "lines never run:"
sed -n 's/^line //p' "$work/merged" | ranges
echo "lines with a branch never taken:"
sed -n 's/^branch //p' "$work/merged" | ranges
sed -n 's/^total //p' "$work/merged"
