#!/bin/sh
# run.sh - fuzz model files for SECONDS (30) under the sanitizers, from seeds
# that moe.h writes; or RUNS times.  FUZZER is libfuzzer (clang), afl
# (afl-clang-fast, afl-fuzz) or runs (any compiler: RUNS changes of the seeds
# that know the format).  CORPUS is a folder to keep what is found between runs.  The exit
# status is 0 if nothing was found.
cd "$(dirname "$0")" || exit 1
: "${SECONDS_TO_RUN:=30}" "${FUZZER:=libfuzzer}"
work=$(mktemp -d "${TMPDIR:-/tmp}/moe_fuzz.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT PIPE TERM
: "${CORPUS:=$work/corpus}"
sanitize="-fno-sanitize-recover=all -fsanitize=address,undefined"
flags="-std=c99 -g -O1 -Wall -Wextra"

mkdir -p "$CORPUS" "$work/seeds" || exit 1
${CC:-cc} $flags -DFUZZ_SEEDS fuzz_files.c -o "$work/seeds.exe" &&
    "$work/seeds.exe" "$work/seeds" || exit 1

case $FUZZER in
libfuzzer)
    limit=-max_total_time=$SECONDS_TO_RUN
    [ -z "$RUNS" ] || limit=-runs=$RUNS
    if ! clang $flags $sanitize,fuzzer fuzz_files.c -o "$work/fuzz" \
        2>"$work/log"; then
        cat "$work/log"
        echo "no clang with libFuzzer here: fuzzing left out"
        exit 0
    fi
    "$work/fuzz" -dict=files.dict -max_len=8192 -rss_limit_mb=1024 \
        -timeout=10 $limit -print_final_stats=1 \
        -artifact_prefix="$CORPUS/" "$CORPUS" "$work/seeds" >"$work/log" 2>&1
    status=$?
    grep -E '^stat::|ERROR|runtime error|not so|Test unit' "$work/log"
    [ $status = 0 ] || tail -n 40 "$work/log"
    ;;
runs)
    ${CC:-cc} $flags $sanitize -DFUZZ_RUNS="${RUNS:-100000}" fuzz_files.c \
        -o "$work/fuzz" && "$work/fuzz" "$work"/seeds/*.moe
    status=$?
    ;;
afl)
    export AFL_SKIP_CPUFREQ=1 AFL_NO_UI=1 AFL_USE_ASAN=1 AFL_USE_UBSAN=1
    export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1
    if ! afl-clang-fast $flags -DFUZZ_MAIN fuzz_files.c -o "$work/fuzz" \
        2>"$work/log"; then
        cat "$work/log"
        echo "no AFL++ here: fuzzing left out"
        exit 0
    fi
    afl-fuzz -i "$work/seeds" -o "$work/found" -x files.dict -m none \
        -V "$SECONDS_TO_RUN" -- "$work/fuzz" @@ >"$work/log" 2>&1 ||
        { tail -n 20 "$work/log"; exit 1; }
    grep -E 'execs_done|execs_per_sec|saved_(crashes|hangs)' \
        "$work/found/default/fuzzer_stats"
    grep -q 'saved_crashes *: 0' "$work/found/default/fuzzer_stats"
    status=$?
    [ $status = 0 ] || cp "$work"/found/default/crashes/id* "$CORPUS"
    ;;
esac
exit $status
