#!/bin/sh
# test_style.sh - what must stay true of the text: width, size and order of
# moe.h, where #if and the names of instruction sets may stand, how long its
# functions are, what lies at the top of the project.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
header=../moe.h

# ---------------------------------------------------------------------- rooms
# A room begins at its banner, "/* 5  NETWORK      */" between two rules.
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
    echo "$1; $2 allowed"
    [ "$1" -gt 0 ] && [ "$1" -le "$2" ]
}

in_order() {
    rooms | awk '$1 != NR - 1 { print "room", $1, "comes as number", NR - 1
                                bad = 1 }
                 END { exit bad || NR != 15 }'
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

# Options and platform have the #if, numbers and loops what they need; the rooms
# of the model between them have none but those of training and files.
conditions() {
    between 4 13 | grep '^[0-9]*: *# *\(if\|el\)' | grep -vE \
        'MOE_(PREDICT_ONLY|NO_STDIO)$|MOEI_PLAIN$|__FLT_EVAL_METHOD__|#else$'
}

# What a processor is called, in the platform and in the loops alone.
instruction_sets() {
    { between 0 3; between 4 14; } | sed '/^[0-9]*: *\(and \)\{0,1\}x87/d' |
        grep -iE "[^a-z]($(tr ' ' '|' <<END
sse[0-9] avx fma neon sve altivec simd128 rvv _mm[0-9]*_ __m[0-9] immintrin
END
))"
}

private_defines() {
    grep -o '^# *define MOEI[A-Z0-9_]*' $header | sed 's/.* //'
}

lengths() {
    ctags --language-force=C --kinds-C=f -x --_xformat='%n %e' $header |
        awk '{ print $2 - $1 + 1 }' | sort -n
}

median() {
    lengths | awk '{ of[NR] = $1 } END { print of[int((NR + 1) / 2)] }'
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

# .clang-format leaves the layout alone.
reformatted() {
    for file in $(sources | grep '\.[ch]$'); do
        clang-format --style=file "$file" | cmp - "$file" || return
    done
}

# The last line of every file ends.
unended() {
    for file in $(sources); do
        [ -z "$(tail -c 1 "$file")" ] || echo "$file"
    done
}

has_ctags() {
    have ctags && ctags --version | grep -q Universal
}

holds "the rooms come in order" in_order
none "the title lists the rooms" listed
none "no line is wider than 80 columns" wide
none "plain ASCII, no tabs, no blanks at the end of a line" untidy
none "every last line ends" unended
if have clang-format; then
    holds "clang-format leaves all as it is" reformatted
else
    echo "clang-format is not installed: left out"
fi
none "no #if in the rooms of the model" not conditions
none "instruction sets are named in rooms 3 and 14 alone" not instruction_sets
holds "the top level is as it should be" top_level
echo "moe.h: $(wc -l <$header) lines, manual $(length_between 0 1), manual to" \
    "interface $(length_between 0 3), loops $(length_between 14 none);" \
    "$(private_defines | wc -l) private #defines"
# The rebuilt mixture of 1991, and what was added since: the learner, frozen
# layers, blended weights, frozen experts and checkpoints of what is frozen,
# top_p, experts whose weights are read side by side, deviations that cases
# held out widen.
holds "moe.h" at_most "$(wc -l <$header)" \
    $((6100 + 857 + 230 + 540 + 9 + 126 + 20 + 25))
holds "manual" at_most "$(length_between 0 1)" $((185 + 12 + 4 + 9))
holds "manual, options, interface" at_most "$(length_between 0 3)" \
    $((650 + 60 + 30 + 60 + 5))
holds "private #defines" at_most "$(private_defines | wc -l)" 90
if has_ctags; then
    none "every name begins with moe" not foreign_names
    echo "functions: $(lengths | wc -l), median $(median) lines, longest" \
        "$(lengths | tail -n 1)"
    holds "the median of functions" at_most "$(median)" 14
    none "no function is above 60 lines" long_functions 60
else
    echo "universal-ctags is not installed: names and lengths left out"
fi
check_done
