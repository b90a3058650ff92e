#!/bin/sh
# test_examples.sh - the examples run as they say: each builds by the command
# in its first lines, prints what it promises, draws whole pictures, and
# answers junk with a sentence.  MOE_DATA=folder: with the published figures,
# too.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
root=$(cd .. && pwd)
examples=../examples

# Those with a test of their own are only built here.
elsewhere="collapse export_c lockstep model_file"

# The command in the comment at the top; "" for others.
command_of() {
    sed -n '1,8s/^ *cc \(-O2 examples\/[^&]*\).*/\1/p' "$1"
}

# build NAME: as its command says, but for flags; other compilers see the text.
build() {
    words=$(command_of "$examples/$1.c")
    holds "$1.c says how to build it" test -n "$words" || return
    name=$1 object=float
    if grep -q '^#define MOE_DOUBLE' "$examples/$name.c"; then
        object=double
    fi
    set -- $words
    holds "$2 builds" $compiler $strict -O1 -DMOE_IMPLEMENTED "$root/$2" \
        -x none "$objects/$object.o" -o "$dir/$4" $5 || return
    while read -r other; do
        holds "$2 compiles: $other" $other $strict -DMOE_IMPLEMENTED \
            -fsyntax-only "$root/$2"
    done <"$work/others"
    set -- "$name"
}

in_folder() {
    (cd "$1" && shift && "$@")
}

# run NAME WORDS...: what it prints goes to $dir/said.
run() {
    in_folder "$dir" within 60 "./$@" >"$dir/said"
}

says() {
    cat "$dir/said"
    grep -q -e "$1" "$dir/said"
}

# value AFTER: the number behind these words
value() {
    sed -n "s/.*$1 *\([-+0-9.e]*\).*/\1/p" "$dir/said" | sed -n 1p
}

# is EXPRESSION WORDS: of the number v behind them
is() {
    echo "$2 $(value "$2"): $1"
    value "$2" | awk "{ v = \$1; seen = 1 } END { exit !(seen && ($1)) }"
}

# A picture is whole XML, without numbers that are none, with titles.
whole() {
    [ -s "$1" ] && ! grep -qi 'nan\|inf[^o]' "$1" &&
        grep -q 'font-weight' "$1" && tail -n 1 "$1" | grep -q '</svg>' &&
        awk '{ for (at = $0; match(at, /<[^>]*>/);
                    at = substr(at, RSTART + RLENGTH)) {
                   tag = substr(at, RSTART, RLENGTH)
                   if (tag ~ /^<\//) depth--
                   else if (tag !~ /\/>$/) depth++
               } }
             END { exit depth != 0 }' "$1"
}

# The titles of panels beside each other are at one height.
level() {
    sed -n "s/.*<g transform='translate([0-9]* \([0-9]*\)).*/row \1/p
            s/.*<text y='\([-0-9]*\)' font-size='15'.*/title \1/p" "$1" |
        awk '{ print }
             $1 == "row" { row = $2 }
             $1 == "title" { n++; if (row in at && at[row] != $2) bad = 1
                             at[row] = $2 }
             END { exit bad || !n }'
}

# ------------------------------------------------------------------ each alone
of_by_hand() {
    holds "by_hand.c: forward, posterior and gradient are moe.h's" run by_hand
}

# Of the test's cases of a class, which share is called it: the second table's.
of_classes() {
    holds "classes.c runs" run classes
    holds "classes.c: alike, the rare class is missed" rare 1 0 25
    holds "classes.c: weighed, it is found" rare 2 80 100
}

rare() {
    cat "$dir/said"
    awk -v table="$1" -v least="$2" -v most="$3" '
        $2 == 2 && ++seen == table { ok = $6 >= least && $6 <= most }
        END { exit !ok }' "$dir/said"
}

of_how_sure() {
    holds "how_sure.c runs" run how_sure
    holds "how_sure.c: one deviation" \
        is 'v > 66 && v < 73' 'within one deviation'
    holds "how_sure.c: two" is 'v > 94 && v < 98' 'two'
    holds "how_sure.c: little is new" is 'v < 2' 'as it was *new:'
    holds "how_sure.c: what drifts is" is 'v > 80' 'drifts by .8 *new:'
}

of_em() {
    holds "em.c runs" run em $vowels
    holds "em.c: the likelihood never falls" is 'v == 0' 'fell in'
    holds "em.c: from k-means, all runs" says 'k-means .* 25 of 25'
    holds "em.c: at most 7 steps" em_steps
}

em_steps() {
    awk '/k-means/ { seen = 1; bad = $5 > 7 } END { exit bad || !seen }' \
        "$dir/said"
}

of_two_lines() {
    holds "two_lines.c runs" run two_lines
    holds "two_lines.c: a gate tells more" two_likelihoods
    [ -z "$MOE_DATA" ] || published_lines
}

two_likelihoods() {
    awk '/log-likelihood/ { sub(/.*log-likelihood/, ""); L[++n] = $1 + 0 }
         END { exit n != 2 || L[2] < L[1] + 10 || L[1] < 10 }' "$dir/said"
}

published_lines() {
    holds "two_lines.c runs" run two_lines "$MOE_DATA/nodata.csv"
    holds "two_lines.c, NOdata with a gate: 123.62" \
        is 'v > 123.0 && v < 123.7' 'with a gate *log-likelihood'
    holds "two_lines.c runs" run two_lines "$MOE_DATA/co2data.csv"
    holds "two_lines.c, CO2data without one: -66.94" \
        is 'v > -67.4 && v < -66.9' 'without a gate *log-likelihood'
    holds "two_lines.c: and tells what is published" says '^Published.* -66.94'
}

of_trend_break() {
    holds "trend_break.c runs" run trend_break
    holds "trend_break.c: finds the break that was made" \
        is 'v > 1960 && v < 1980' 'breaks between'
    [ -z "$MOE_DATA" ] && return
    holds "trend_break.c runs" run trend_break "$MOE_DATA/tempanomalies.csv"
    holds "trend_break.c: and tells it" says '^Published.* 102.722'
    holds "trend_break.c: 102.722" is 'v > 102.4 && v < 103' log-likelihood
}

of_one_to_many() {
    holds "one_to_many.c runs" run one_to_many
    holds "one_to_many.c: experts lie on the branches" \
        is 'v <= 0.050' 'nearest expert:'
    holds "one_to_many.c: the mode is right" is 'v > 50' mode
    holds "one_to_many.c: the mean is not" is 'v < 30' mean
}

of_hierarchy() {
    holds "hierarchy.c runs" run hierarchy
    holds "hierarchy.c: it learns" is 'v < 0.26' 'RMSE: hierarchy'
    holds "hierarchy.c: better than one gate" is 'v > 0.28' 'four experts'
}

of_grow() {
    holds "grow.c runs" run grow
    holds "grow.c: splitting changes no prediction" splits
    holds "grow.c: pruning changes no loss" \
        is 'v >= -0.5 && v <= 0.5' 'these alone: loss'
}

splits() {
    awk '/split into/ { n++; bad += $7 > 1e-6 } END { exit n != 3 || bad }' \
        "$dir/said"
}

of_quickstart() {
    holds "quickstart.c runs" run quickstart
    holds "quickstart.c: three laws" test 3 = "$(grep -c from "$dir/said")"
}

of_crowd() {
    holds "crowd.c runs, blended weights are blended matrices" run crowd 1
    holds "crowd.c: three ways" test 3 = "$(grep -c worst "$dir/said")"
}

of_motorcycle() {
    holds "motorcycle.c runs" run motorcycle
    holds "motorcycle.c: five lines" is 'v < 25' 'RMSE'
    holds "motorcycle.c: made-up data are marked as such" \
        grep made-up "$dir/motorcycle.svg"
}

of_own_loop() {
    holds "own_loop.c runs" run own_loop
    holds "own_loop.c: its own error falls" is 'v < 0.2' 'step 1000: |d - y|'
}

# In 25 runs, which take half a minute, in long tests, else in four.
of_vowels() {
    [ "$long" ] || holds "vowels.c builds for four runs" four_runs || return
    holds "vowels.c runs" run vowels $vowels
    holds "vowels.c: four experts" says '^4 experts .* 90 '
    holds "vowels.c: twelve hidden units" says '^BP 12 .* 90 '
}

four_runs() {
    sed "s/RUNS = 25/RUNS = 4/; s,\"\.\./moe,\"$root/moe," \
        $examples/vowels.c >"$dir/four.c"
    grep -q 'RUNS = 4,' "$dir/four.c" &&
        $compiler -O1 -DMOE_IMPLEMENTED -I$examples "$dir/four.c" \
            -x none "$objects/float.o" -o "$dir/vowels" -lm
}

# Tables in several forms, of two laws: |u| of the first column, and its sign.
make_tables() {
    awk -v form="$1" 'BEGIN {
        gap = form == "semicolons" ? ";" : form == "tabs" ? "\t" \
            : form == "blanks" ? "  " : ", "
        if (form == "semicolons")
            print "u;\"v; w\";kind;abs"
        for (n = 0; n < 300; n++) {
            u = n * 37 % 200 / 100 - 1
            v = n * 59 % 100 / 100
            abs = u < 0 ? -u : u
            kind = u < 0 ? "under" : "over"
            if (form == "semicolons" && n % 50 == 49)
                v = "NA"
            if (form == "blanks")
                print u gap v gap 4 * (u < 0) + (v > .5)
            else if (form == "commas")
                print u gap v gap "\x27" kind "\x27"
            else
                print u gap v gap kind gap abs
        }
    }' >"$dir/$1"
}

# A remark, decimal commas, and a delimiter at the end of every line.
make_decimals() {
    echo "# made up, not measured" >"$dir/decimals"
    sed 's/NA//; s/\./,/g; s/$/;/' "$dir/semicolons" >>"$dir/decimals"
}

# Numbers alone: of the first two rows the last is missing.
make_few() {
    awk 'BEGIN { for (n = 0; n < 32; n++)
                     print n "," n * 7 % 9 "," (n > 1 ? n / 2 : "") }' \
        >"$dir/few"
}

# Rows without a last value, below a line of names that has one.
make_gaps() {
    awk 'BEGIN { print "a,b,c"
                 for (n = 0; n < 32; n++)
                     print n "," n * 7 % 9 "," }' >"$dir/gaps"
}

# Words of more than 31 letters, and the mark of UTF-8 before a name.
make_long() {
    { printf '\357\273\277'; cat "$dir/semicolons"; } >"$dir/marked"
    awk 'BEGIN { word = "a word that goes on and on and on"
                 for (n = 0; n < 32; n++)
                     print n "," n % 5 "," word n }' >"$dir/long"
}

whole_ticks() {
    sed '1,/numbered as printed/d' "$dir/fit.svg" | grep '>[-0-9.]*</text>' \
        >"$dir/ticks"
    grep '>1</text>' "$dir/ticks" && not grep '[.][0-9]*</text>' "$dir/ticks"
}

of_fit() {
    for form in semicolons tabs commas blanks; do
        make_tables $form
    done
    holds "fit.c: semicolons, names and gaps" run fit semicolons
    holds "fit.c: gaps are left out" says '294 rows, and 6 with gaps; 2 inputs'
    holds "fit.c: the last column" says 'abs is a number'
    holds "fit.c: words are no inputs" says 'left out, for it has words: kind'
    holds "fit.c: a line does not fit" is 'v > 0.2' 'linear .*RMSE'
    holds "fit.c: experts do" is 'v < 0.05' 'mixture .*RMSE'
    holds "fit.c: the model is saved" test -s "$dir/fit.safetensors"
    holds "fit.c: usage" says 'usage: expert 0 .*expert 7 [0-9]* %'
    holds "fit.c: a target by name" run fit semicolons --target kind
    holds "fit.c: words are classes" says 'kind is a class'
    holds "fit.c: tabs, no names" run fit tabs --target 1
    holds "fit.c: all rows" says '300 rows, and 0 .*column 1 is a number'
    holds "fit.c: commas, quotes" run fit commas
    holds "fit.c: classes told apart" is 'v < 4' 'mixture .*% wrong'
    holds "fit.c: a class at every tick" whole_ticks
    holds "fit.c: blanks" run fit blanks
    holds "fit.c: few whole numbers are classes" says 'column 3 is a class'
    holds "fit.c: unless told" run fit blanks --regression
    holds "fit.c: then they are numbers" says 'column 3 is a number'
    make_decimals
    holds "fit.c: decimal commas, a remark, ends of lines" run fit decimals
    holds "fit.c: all is understood" says '294 rows, and 6 with .*; 2 inputs'
    holds "fit.c: and learnt" is 'v < 0.05' 'mixture .*RMSE'
    holds "fit.c: rows are held out" not says 'none are held out'
    make_long
    holds "fit.c: a mark of UTF-8" run fit marked --target u
    holds "fit.c: long words" not run fit long
    holds "fit.c: and says so" says 'line 1: a word longer than 31 letters'
    make_few
    holds "fit.c: few rows" run fit few
    holds "fit.c: gaps at the ends of lines" \
        says '30 rows, and 2 with gaps; 2 inputs; column 3 is a number'
    holds "fit.c: no rows are held out" says 'none are held out'
    rm "$dir/fit.safetensors" && mkdir "$dir/fit.safetensors"
    holds "fit.c: a model that is not saved" not run fit few
    holds "fit.c: and says so" says '^fit.safetensors: '
    make_gaps
    holds "fit.c: nothing but gaps" not run fit gaps
    holds "fit.c: and says so" says 'all 32 rows have gaps'
    holds "fit.c: no such column" not run fit blanks --target none
    holds "fit.c: and says so" says 'no such column: none'
    [ -z "$MOE_DATA" ] && return
    holds "fit.c runs" run fit "$MOE_DATA/concrete.txt"
    holds "fit.c: concrete, linear" is 'v > 8 && v < 12' 'linear .*RMSE'
    holds "fit.c: concrete, experts" is 'v < 6.5' 'mixture .*RMSE'
    holds "fit.c runs" run fit "$MOE_DATA/ecoli.csv"
    holds "fit.c: ecoli" is 'v < 20' 'mixture .*% wrong'
}

# ------------------------------------------------------------------------ junk
reads_files() {
    grep -q 'argv\[1\]' "$examples/$1.c"
}

make_junk() {
    printf '' >"$work/empty"
    printf 'a,b\n1,2\n3\n4,5\n' >"$work/ragged"
    printf 'a,b\n1,2\n3,x4\n' >"$work/words"
    printf '1,2\n3,nan\n5,6\n' >"$work/nan"
    head -c 3000 "$root/tests/common.sh" | tr 'a-m' '\200-\214' >"$work/binary"
    echo "$work/none" >"$work/junk"
    for file in empty ragged words nan binary; do
        echo "$work/$file" >>"$work/junk"
    done
}

# One line of sense, and status 1: neither a crash nor silence.
sentence() {
    in_folder "$dir" within 60 "./$1" "$2" >"$dir/said" 2>&1
    status=$?
    cat "$dir/said"
    [ $status = 1 ] && [ "$(wc -l <"$dir/said")" = 1 ] &&
        ! grep -q 'anitizer\|ssertion' "$dir/said"
}

junk() {
    while read -r file; do
        holds "$1.c: ${file##*/}: a sentence" sentence "$1" "$file"
    done <"$work/junk"
}

# ---------------------------------------------------------------- no leftovers
ignored() {
    (cd "$root" && git check-ignore -q --no-index "$1")
}

ignores() {
    (cd "$root" && git rev-parse --git-dir) >/dev/null 2>&1 || return
    for output in "$1" "$1.svg" "examples/$1" "examples/$1.svg"; do
        holds "git ignores $output" ignored "$output"
    done
}

one_example() {
    build "$1" || return
    ignores "$1"
    case " $elsewhere " in *" $1 "*) return ;; esac
    "of_$1"
    for picture in $(set +f; ls "$dir"/*.svg 2>/dev/null); do
        holds "${picture##*/} is whole" whole "$picture"
        holds "${picture##*/}: titles are level" level "$picture"
    done
    if reads_files "$1"; then
        junk "$1"
    fi
}

run_words() {
    "$@"
}

# -------------------------------------------------------------------- the walk
# The commands of examples/README.md, in a tree of their own, with the program
# that it shows, but in half the time; the laws say 70 and 93.
walk() {
    mkdir -p "$dir/examples"
    cp ../moe.h "$dir" && (set +f; cp $examples/*.[ch] "$dir/examples")
    sed -n '/^```sh$/,/^```$/{/^```/!p;}' $examples/README.md |
        sed 's/-O2/-O1/' >"$dir/walk.sh"
    sed -n '/^```cpp$/,/^```$/{/^```/!p;}' $examples/README.md \
        >"$dir/predict.cpp"
    holds "the walk in examples/README.md" in_folder "$dir" sh -e walk.sh
    cp "$log" "$dir/said"
    holds "the walk: fit says what is shown" same_lines
    holds "the walk: near the laws" near_laws
}

# The lines of fit; errors within a tenth of what is shown, for other processors
# round otherwise.
same_lines() {
    sed -n '/^[0-9]* rows/p; /weights  test/p' $examples/README.md >"$dir/due"
    awk 'function off(a, b) { return a > 1.1 * b || b > 1.1 * a }
         { sub(/.*\r/, ""); split($0, part, "RMSE "); part[2] += 0 }
         FILENAME ~ /due$/ { error[part[1]] = part[2]; due++; next }
         { print }
         part[1] in error { found++
                            bad += off(part[2], error[part[1]]) }
         END { exit bad || found != due || due != 4 }' "$dir/due" "$dir/said"
}

near_laws() {
    tail -n 2 "$dir/said"
    tail -n 2 "$dir/said" | awk '{ off = $1 - (NR == 1 ? 70 : 93)
                                   bad += off * off > 25 || $2 != "+-" }
                                 END { exit bad || NR != 2 }'
}

languages c99 '' | sed -n 1p >"$work/first"
languages c99 '' | sed 1d >"$work/others"
read -r compiler <"$work/first"
vowels=${MOE_DATA:+$MOE_DATA/peterson_barney.csv}
make_junk
: >"$work/long"
for width in float double; do
    echo "holds moe.h_compiles_$width moe_object $width" >>"$work/long"
done
if have cc && have c++; then
    echo walk >>"$work/long"
else
    echo "there is no cc, or no c++ here: the walk is left out"
fi
share run_words "$work/long"
(set +f; basename -s .c $examples/*.c) | grep -v '^mpi_' >"$work/examples"
share one_example "$work/examples"
check_done
