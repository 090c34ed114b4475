#!/usr/bin/env bash
# tools/fuzz.sh [SECONDS [TARGET...]]: builds the libFuzzer targets of fuzz/ (clang, address and undefined-behaviour
# sanitizers) and runs each for so long (default 120 seconds), one after the other, JOBS of them at a time (default 1).
# A target starts from fuzz/corpus/TARGET, which is committed, and keeps what it finds in FUZZ_CORPUS/TARGET (default
# build/fuzz/corpus), so that the next run goes on from there. A finding ends the script with status 1; its input is
# build/fuzz/crashes/TARGET-*. A target that needs more than csrc/proto says so in a line "fuzz-build: FLAGS FILES";
# @core there stands for all of csrc and an embedded Python: UVOLT_FUZZ_PYTHON (default .venv/bin/python), which has
# the packages that uvolt.http needs. fuzz/TARGET.py with a one_input() and no TARGET.c is a target in Python, which
# fuzz/pyfuzz.py runs under libFuzzer (atheris); "multipart" is fuzz/multipart.py, run by that Python alone.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-120}
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for source in fuzz/*.c; do targets+=("$(basename "$source" .c)"); done
    targets+=(multipart)
    for source in $(grep -l "^def one_input" fuzz/*.py); do targets+=("$(basename "$source" .py)"); done
fi
command -v "${CLANG:-clang}" >/dev/null || {
    echo "tools/fuzz.sh: needs clang: apt install clang" >&2
    exit 1
}

out=build/fuzz
export UVOLT_FUZZ_PYTHON=${UVOLT_FUZZ_PYTHON:-$PWD/.venv/bin/python}
kept=${FUZZ_CORPUS:-$out/corpus}
mkdir -p "$out/crashes"

compile=("${CLANG:-clang}" -std=c11 -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer -UNDEBUG -Icsrc -Wall -Wextra
    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined)

# Prints the flags and objects that stand for @core, once they are made. Free lists would hide what the sanitizer sees.
core() {
    local flags objects=$out/core
    mkdir -p "$objects"
    flags=$("$UVOLT_FUZZ_PYTHON" -c 'import sysconfig as s; print("-I" + s.get_path("include"))')
    flags+=" -DUVOLT_NO_POOLS -DUVOLT_HAVE_BROTLI -DUVOLT_HAVE_ZSTD $(pkg-config --cflags libuv zlib libbrotlidec libzstd)"
    find csrc -name '*.c' ! -path 'csrc/proto/*' -print0 |
        UNIT="${compile[*]} -fsanitize=fuzzer-no-link $flags" OBJECTS=$objects xargs -0 -P "$(nproc)" -I{} bash -c '
            object=$OBJECTS/$(tr / _ <<<"{}").o
            [ -n "$(find csrc "{}" -newer "$object" \( -name "*.h" -o -path "{}" \) -print -quit 2>&1)" ] || exit 0
            $UNIT -c "{}" -o "$object"' >&2
    "$UVOLT_FUZZ_PYTHON" - <<'EOF'
import sysconfig as s

folder = s.get_config_var("LIBDIR")
print(f"-L{folder} -Wl,-rpath,{folder} -lpython{s.get_config_var('LDVERSION')}")
EOF
    echo "$flags $objects/*.o $(pkg-config --libs libuv zlib libbrotlidec libzstd) -ldl -lm"
}

build() {
    local extra
    [ -f "fuzz/$1.c" ] || return 0
    extra=$(sed -n 's/.*fuzz-build: \(.*[^ *\/]\).*/\1/p' "fuzz/$1.c")
    if [[ $extra == *@core* ]]; then extra=${extra/@core/$(core)}; fi
    # shellcheck disable=SC2086  # one word a flag
    "${compile[@]}" "fuzz/$1.c" csrc/proto/*.c $extra -o "$out/$1"
}

run() {
    if [ "$1" = multipart ]; then
        "$UVOLT_FUZZ_PYTHON" fuzz/multipart.py "$seconds"
        return
    fi
    mkdir -p "$kept/$1"
    local dictionary=() program=("$out/$1")
    [ -f "fuzz/$1.dict" ] && dictionary=("-dict=fuzz/$1.dict")
    [ -f "fuzz/$1.c" ] || program=("$UVOLT_FUZZ_PYTHON" fuzz/pyfuzz.py "$1")
    if "${program[@]}" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$out/crashes/$1-" "${dictionary[@]}" "$kept/$1" "fuzz/corpus/$1" >"$out/$1.log" 2>&1; then
        awk -v name="$1" '/ cov: /{cov=$4; ft=$6} /number_of_executed_units/{runs=$2} /average_exec_per_sec/{rate=$2}
            END {printf "%-16s no finding: %d runs, %d a second, %d edges, %d features\n", name, runs, rate, cov, ft}' "$out/$1.log"
    else
        echo "$1: FOUND SOMETHING, see $out/$1.log" >&2
        tail -25 "$out/$1.log" >&2
        return 1
    fi
}

for target in "${targets[@]}"; do build "$target"; done
failed=0
pids=()
for target in "${targets[@]}"; do
    run "$target" &
    pids+=($!)
    if [ ${#pids[@]} -ge "${JOBS:-1}" ]; then
        wait "${pids[0]}" || failed=1
        pids=("${pids[@]:1}")
    fi
done
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
