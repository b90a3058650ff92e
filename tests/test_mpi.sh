#!/bin/sh
# test_mpi.sh - training on many machines, here as ranks on one: two ranks give
# the bits of one process that sums their parts apart, experts on many ranks
# learn what one moe learns, and a run that lost a rank goes on from its
# checkpoint.
cd "$(dirname "$0")" || exit 1
. ./common.sh
log=$work/log
data=${MOE_DATA:-../../shared/data}/kin8nm.csv
trap 'end_ranks; rm -rf "$work"' EXIT

# Open MPI: as root, more ranks than processors, no memory of one process
# mapped into another, time for a last sentence; others do not read this.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_odls_base_sigkill_timeout=2
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe

# Each rank notes its process, so that it can be killed, and none stays behind.
cat >"$work/rank.sh" <<'END_OF_RANK'
rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}
echo $$ >"$0.$1.$rank"
shift
program=$1
shift
if [ "$1" = of_its_own ]; then
    shift
    set -- "$1.$rank" "$2"
fi
exec "$program" "$@"
END_OF_RANK

# ranks NAME N PROGRAM ARGUMENTS...
ranks() {
    name=$1 n=$2
    shift 2
    within 120 mpirun -n "$n" sh "$work/rank.sh" "$name" "$@"
}

processes() {
    (set +f; cat "$work/rank.sh.$1".* 2>/dev/null)
}

end_ranks() {
    for process in $(processes '*'); do
        if ps -o args= -p "$process" | grep -q "$work"; then
            kill -9 "$process"
        fi
    done
}

at_most_200_lines() {
    wc -l "$1"
    [ "$(wc -l <"$1")" -le 200 ]
}

# build PROGRAM COMPILER FLAGS...: clang's programs are not run.
build() {
    program=$1 compiler=$2
    shift 2
    source=../examples/$program.c
    [ -f "$source" ] || source=../benchmarks/$program.c
    [ -f "$source" ] || source=$program.c
    case $*,$compiler in
    *DOUBLE*) code="-O1 -DMOE_IMPLEMENTED $source $objects/double.o" ;;
    *,gcc) code="-O1 $one_set $source" ;;
    *) code="-O0 $one_set $source" ;;
    esac
    holds "$compiler $*: $program compiles" \
        env OMPI_CC="$compiler" MPICH_CC="$compiler" \
        mpicc -std=c99 $strict $code -o "$work/$program.$compiler" "$@" -lm
}

builds() {
    echo "mpi_train gcc -DMOE_SAME_BITS"
    echo "mpi_experts gcc -DMOE_DOUBLE"
    echo "mpi_one gcc -DMOE_DOUBLE"
    if have clang; then
        echo "mpi_cost clang"
        echo "mpi_train clang"
        echo "mpi_experts clang"
    fi
}

# --------------------------------------------------------------- data-parallel
# 1,003 cases, so that parts are not even.
make_cases() {
    awk 'function x() { r = (r * 16807) % 2147483647
                        return 2 * r / 2147483647 - 1 }
         BEGIN {
             for (r = n = 1; n <= 1003; n++) {
                 for (i = 0; i < 8; i++)
                     printf "%.6f,", a[i] = x()
                 printf "%.6f\n", a[0] < 0 ? a[1] + a[2] * a[3] : 2 - a[4]
             }
         }' >"$1"
}

hash_in() {
    grep -o 'hash [0-9a-f]\{16\}' "$1" || { cat "$1" >&2; echo "no $1"; }
}

same_hash() {
    first=$(hash_in "$1") second=$(hash_in "$2")
    echo "$1: $first, $2: $second"
    [ "$first" = "$second" ]
}

same_bits() {
    ranks two 2 "$train" "$cases" 20 >"$work/two" 2>&1
    ranks apart 1 "$train" "$cases" 20 "" 2 >"$work/apart" 2>&1
    ranks one 1 "$train" "$cases" 20 >"$work/one" 2>&1
    holds "two ranks have the bits of one that sums two parts apart" \
        same_hash "$work/two" "$work/apart"
    holds "and these are not the bits of a single sum" \
        not same_hash "$work/apart" "$work/one"
    for run in two one; do
        grep '^epoch\|^test' "$work/$run" >"$work/$run.errors"
    done
    holds "but its errors, to rounding" \
        near "$work/two.errors" "$work/one.errors" 0.001
}

# Ranks that read unlike data must not go on for long.
unlike() {
    cp "$cases" "$work/cases.0"
    sed 's/^-/0/' "$cases" >"$work/cases.1"
    refuses "ranks whose scales differ" 'ranks have parted' \
        ranks unlike 2 "$train" of_its_own "$work/cases" 20
}

# What all ranks refuse, one tells, and none aborts.
junk() {
    ranks junk 2 "$train" "$@" >"$work/junk.said" 2>&1
    status=$?
    cat "$work/junk.said"
    [ $status = 1 ] && [ "$(grep -c mpi_train: "$work/junk.said")" = 1 ] &&
        ! grep -i 'MPI_ABORT' "$work/junk.said"
}

all_junk() {
    echo 'a,b' >"$work/words"
    cp "$cases" "$work/half.0"
    holds "no file: one rank says so" junk
    holds "words: one rank says so" junk "$work/words" 20
    holds "one rank has no file: it says so" junk of_its_own "$work/half" 20
    holds "and which" contains 'rank 1: .*half.1: cannot be read' \
        "$work/junk.said"
}

# ------------------------------------------------------------- a rank that dies
# in_time COMMAND...: until it succeeds, for half a minute.
in_time() {
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || return 1
        sleep 0.1
    done
}

last_epoch() {
    sed -n 's/^epoch \([0-9]*\):.*/\1/p' "$1" | tail -n 1
}

gone() {
    for process in $(processes "$1"); do
        ! kill -0 "$process" || return 1
    done
}

# A run without end, of which a rank is killed after two checkpoints.
kill_rank() {
    run=$work/killed.$1
    ranks "killed$1" 2 "$train" "$cases" 100000000 "$run.moe" \
        >"$run" 2>"$run.said" &
    in_time grep -q '^epoch 20:' "$run"
    kill -9 "$(processes "killed$1" | sed -n "$(($1 + 1))p")"
    wait $!
    status=$?
    reached=$(last_epoch "$run")
    holds "rank $1 killed: the run ends with a status, not $status" \
        [ "$status" -ne 0 -a "$status" -ne 124 ]
    holds "rank $1 killed: the other says so, or mpirun" \
        contains 'another has died.*\|BAD TERMINATION' "$run.said"
    holds "rank $1 killed: no process stays behind" in_time gone "killed$1"
    go_on "$1" $((reached + 40))
}

# To a later epoch: from the checkpoint, and without having been interrupted.
go_on() {
    ranks "again$1" 2 "$train" "$cases" "$2" "$run.moe" >"$run.again" 2>&1
    ranks "whole$1" 2 "$train" "$cases" "$2" >"$run.whole" 2>&1
    holds "rank $1 killed: the next run goes on from the checkpoint" \
        later "$run.again" "$reached"
    holds "rank $1 killed: and ends as if nothing had happened" \
        same_hash "$run.again" "$run.whole"
}

later() {
    echo "reached $2; then:"
    cat "$1"
    first=$(sed -n '1s/^epoch \([0-9]*\):.*/\1/p' "$1")
    [ "${first:-0}" -gt "$2" ] && [ "$2" -ge 20 ]
}

damaged() {
    head -c 300 "$work/killed.0.moe" >"$work/damaged.moe"
    refuses "half a checkpoint is refused" 'rank .*ends too early' \
        ranks damaged 2 "$train" "$cases" 20 "$work/damaged.moe"
}

# near FILE FILE WITHIN: the numbers at the lines' ends, as many of them.
near() {
    paste "$1" "$2" | awk -v within="$3" '
        { a = $(NF / 2); b = $NF; off = (a - b) / b
          if (NF % 2 || off * off > within * within) { print; bad = 1 } }
        END { print NR " lines"; exit bad || NR < 1 }'
}

experts() {
    ranks one_moe 1 "$work/mpi_one.gcc" >"$work/one_moe" 2>&1
    holds "one moe learns" learns "$work/one_moe"
    for n in 1 2 4 16; do
        ranks "experts$n" $n "$work/mpi_experts.gcc" >"$work/experts$n" 2>&1
        holds "experts on $n ranks learn what one moe does" \
            near "$work/experts$n" "$work/one_moe" 0.000002
    done
    refuses "three ranks cannot share 16 experts" 'share the experts' \
        ranks experts3 3 "$work/mpi_experts.gcc"
}

learns() {
    cat "$1"
    awk '{ last = $NF } NR == 1 { first = last }
         END { exit !(NR == 60 && last < first / 10) }' "$1"
}

kin8nm() {
    if [ ! -f "$data" ]; then
        echo "kin8nm.csv is not in ${data%/*}: left out"
        return
    fi
    for n in 1 2 4; do
        ranks "kin$n" $n "$train" "$data" 40 >"$work/kin" 2>&1
        grep '^test' "$work/kin" >"$work/kin$n"
        echo "kin8nm, $n ranks: $(cat "$work/kin$n")"
        holds "kin8nm: $n ranks reach the error of one" \
            near "$work/kin$n" "$work/kin1" 0.03
    done
    holds "kin8nm: it is far below that of a straight line, .041" \
        awk '{ exit !($NF < 0.01) }' "$work/kin1"
}

# -------------------------------------------------------------- the cost model
# costs UPDATE LATENCY BANDWIDTH
costs() {
    printf '%s %s unit\n' expert_forward 1e-6 expert_gradient 1e-6 \
        gate_gradient 1e-9 update "$1" reduce_latency "$2" \
        reduce_bandwidth "$3" exchange_latency "$2" exchange_bandwidth "$3"
}

# row FIRST: its cells, of the network that is measured.
row() {
    awk -F ' *[|] *' -v first="$1" '$2 == first { print $3, $4, $5; exit }' \
        "$work/table"
}

# model WHAT ROW CELLS COSTS...
model() {
    what=$1 at=$2 due=$3
    shift 3
    costs "$@" | (cd "$work" && ./mpi_model) >"$work/table"
    row "$at" >"$work/row"
    holds "the model, $what: $due" contains "^$due\$" "$work/row"
}

# Two ranks by hand: 8 experts 32.80 ms of gradients, .13 update, 2.53
# all-reduce; 1,024 of them 12.39, 17.04, 70.16, or by expert 20.79, 8.55, 2.27,
# and 7.15 of exchanges.
cost_model() {
    holds "mpi_model compiles" "$(first_of gcc clang)" -std=c99 -O1 $strict \
        ../benchmarks/mpi_model.c -o "$work/mpi_model" -lm || return
    model "two ranks" 2 '35.5 (1.85) 99.6 (0.42) 38.8 (1.5)' 1e-9 1e-3 1e9
    model "messages for nothing" 1024 \
        '0.0641 (1.02e+03) 0.0242 (1.02e+03) 0.07 (588)' 1e-30 1e-30 1e30
    model "and all pays" 'pays to' '[*]*1024[*]* [*]*1024[*]* [*]*1024[*]*' \
        1e-30 1e-30 1e30
    model "messages of a second" 'pays to' '[*]*1[*]* [*]*1[*]* [*]*1[*]*' \
        1e-9 1 1e9
    holds "the model draws" contains '</svg>' "$work/mpi.svg"
    refuses "the model wants every number" 'all the lines' \
        "$work/mpi_model" </dev/null
}

first_of() {
    for word; do
        ! have "$word" || break
    done
    echo "$word"
}

for example in mpi_train mpi_experts; do
    holds "$example has at most 200 lines" \
        at_most_200_lines "../examples/$example.c"
done
cost_model
if ! have mpicc || ! have mpirun; then
    echo "MPI (mpicc, mpirun) is not installed: left out"
    check_done
    exit
fi
builds >"$work/builds"
holds "moe.h compiles" moe_object double
share build "$work/builds"
log=$work/log
train=$work/mpi_train.gcc
cases=$work/cases
make_cases "$cases"
same_bits
unlike
all_junk
kill_rank 1
kill_rank 0
damaged
experts
kin8nm
check_done
