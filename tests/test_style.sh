#!/bin/sh
# test_style.sh - what must stay true of the text: width, size and order of
# moe.h, where #if and the names of instruction sets may stand, what lies at
# the top of the project.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
header=../moe.h

# ---------------------------------------------------------------------- rooms
# A room begins at its banner, "/* 5  KERNELS      */" between two rules.
rooms() {
    awk '/^\/\* =+ \*\/$/ { rule = NR; next }
         rule == NR - 1 && /^\/\* [0-9]+  [A-Z]/ { print $2, NR, $3 }' $header
}

first_line() {
    rooms | awk -v room="$1" '$1 == room { print $2; exit }'
}

# between ROOM ROOM: the numbered lines from one room up to another (or the
# end).
between() {
    awk -v from="$(first_line "$1")" -v to="$(first_line "$2")" \
        'from && NR >= from && (!to || NR < to) { print NR ": " $0 }' $header
}

length_between() {
    between "$1" "$2" | wc -l
}

at_most() {
    echo "$1 lines; $2 allowed"
    [ "$1" -gt 0 ] && [ "$1" -le "$2" ]
}

in_order() {
    rooms | awk '$1 != NR - 1 { print "room", $1, "comes as number", NR - 1
                                bad = 1 }
                 END { exit bad || NR < 14 }'
}

# The list of rooms in the title and the banners say the same.
listed() {
    sed '/\*\/$/q' $header | tr -s ' ' '\n' >"$work/title"
    rooms | while read -r number line word; do
        word=$(echo "$word" | tr '[:upper:]' '[:lower:]')
        awk -v number="$number" -v word="$word" \
            'before == number && tolower($0) == word { found = 1 }
             { before = $0 }
             END { exit !found }' "$work/title" ||
            echo "room $number, $word, is not in the title"
    done
}

# ----------------------------------------------------------------------- text
sources() {
    (set +f; ls $header *.c *.h *.sh *.awk ../examples/*.[ch] \
        ../benchmarks/*.[ch] targets/*.[ch] targets/*.sh targets/*.mjs \
        ../examples/firmware/*.[ch] ../examples/firmware/*/*.[ch] 2>/dev/null)
}

wide() {
    awk 'length($0) > 80 { print FILENAME ":" FNR ": " length($0) }' $(sources)
}

untidy() {
    awk '/\t/ || /[ ]$/ || /[^ -~\t]/ { print FILENAME ":" FNR ": " $0 }' \
        $(sources)
}

# The end of extern "C" aside.
conditions() {
    between 6 none | grep '^[0-9]*: *# *\(if\|el\)' |
        grep -v '#ifdef __cplusplus$'
}

# Rooms above the kernels know nothing of one case, one expert or threads; only
# the layout knows that a gate begins at two experts.
special_cases() {
    between 6 none | grep -E \
        '\<(n|rows|experts|E|B|threads|K|top_k) *(==|<=|>|!=) *(1|E|K)\>' |
        grep -v 'if (c->experts > 1)$'
}

instruction_sets() {
    { between 0 5; between 6 none; } |
        grep -iE "[^a-z]($(tr ' ' '|' <<END
sse[0-9] avx fma neon sve altivec simd128 rvv _mm[0-9]*_ __m[0-9] immintrin
END
))"
}

# Every name that is visible outside a function; %s is where it stands.
foreign_names() {
    ctags --language-force=C --kinds-C=defgstuv -x --_xformat='%N line %n %s' \
        $header | grep -v '^__anon\|::' |
        grep -v '^\(moei\{0,1\}_\|MOEI\{0,1\}_\|moe \)'
}

long_functions() {
    ctags --language-force=C --kinds-C=f -x --_xformat='%N %n %e' $header |
        awk -v allowed="$1" '$3 - $2 >= allowed { print $1, $3 - $2 + 1 }'
}

top_level() {
    (cd .. && git ls-files -co --exclude-standard 2>/dev/null) |
        sed 's/\/.*//; /^\./d' | sort -u >"$work/top"
    [ -s "$work/top" ] || ls .. >"$work/top"
    echo LICENSE README.md benchmarks examples moe.h tests | tr ' ' '\n' |
        diff - "$work/top"
}

has_ctags() {
    have ctags && ctags --version | grep -q Universal
}

holds "the rooms come in order" in_order
none "the title lists the rooms" listed
none "no line is wider than 80 columns" wide
none "plain ASCII, no tabs, no blanks at the end of a line" untidy
none "no #if below the kernels" not conditions
none "instruction sets are named in room 5 alone" not instruction_sets
none "no branch on one case, one expert, all experts" not special_cases
holds "the top level is as it should be" top_level
holds "moe.h" at_most "$(wc -l <$header)" 5660
holds "manual, options, interface" at_most "$(length_between 0 3)" 650
holds "kernels" at_most "$(length_between 5 6)" 800
if has_ctags; then
    none "every name begins with moe" not foreign_names
    echo "functions of moe.h above 60 lines: $(long_functions 60 |
        tr '\n' ' ')"
    none "no function is above 100 lines" long_functions 100
else
    echo "universal-ctags is not installed: names and lengths left out"
fi
check_done
