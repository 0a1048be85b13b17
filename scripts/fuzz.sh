#!/usr/bin/env bash
# Gives every parser of what others wrote any input that libFuzzer thinks of (docs/decisions/0046-fuzzing.md), for a minute
# each, and fails with the path of an input that breaks one.
#
#   fuzz.sh                      all of them
#   fuzz.sh --seconds 10         shorter
#   fuzz.sh takeover netlink     these
#
# What was found interesting stays in target/fuzz/corpus, where the next run begins; the corpus of the repository is only
# read. A missing cargo-fuzz is built into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --seconds=*) seconds=${1#*=}; shift ;;
    -*) echo "fuzz: unknown option $1" >&2; exit 64 ;;
    *) targets+=("$1"); shift ;;
  esac
done

# What an input may be and take; of memory, fuzz/src/lib.rs looks more closely.
limits=(-max_len=4096 -timeout=10 -rss_limit_mb=1024)

version=0.13.2
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tools="$PWD/target/tools"
PATH="$PATH:$tools/bin"
if ! command -v cargo-fuzz >/dev/null; then
  echo "fuzz: building cargo-fuzz $version into $tools"
  cargo install --locked --quiet --root "$tools" "cargo-fuzz@$version"
fi

# Without a sanitizer it needs no nightly compiler; there is hardly any unsafe code that one could look after. Of one target
# only that is built.
host=$(rustc -vV | sed -n 's/^host: //p')
mapfile -t known < <(cargo fuzz list)
[ ${#targets[@]} -gt 0 ] || targets=("${known[@]}")
for name in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $name "* ]] || { echo "fuzz: there is no target $name; there are: ${known[*]}" >&2; exit 64; }
done
one=()
[ ${#targets[@]} -gt 1 ] || one=("${targets[0]}")
cargo fuzz build --sanitizer none --target "$host" --target-dir "$target/fuzz" "${one[@]}"

found=()
printf '%-18s %12s %9s %9s\n' target inputs coverage corpus
for name in "${targets[@]}"; do
  corpus="$target/fuzz/corpus/$name" broken="$target/fuzz/broken/$name" log="$target/fuzz/$name.log"
  mkdir -p "$corpus" "$broken"
  result=passed
  "$target/fuzz/$host/release/$name" "$corpus" "fuzz/corpus/$name" "${limits[@]}" -max_total_time="$seconds" \
    -print_final_stats=1 -artifact_prefix="$broken/" >"$log" 2>&1 || result=broken
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)
  printf '%-18s %12s %9s %9s\n' "$name" "${inputs:--}" "${coverage:--}" "$(find "$corpus" "fuzz/corpus/$name" -type f | wc -l)"
  if [ "$result" = broken ]; then
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    grep -B 1 -A 6 -E 'panicked at|^==.*ERROR' "$log" | head -n 24
    echo "broken by: ${input:-see $log}"
    found+=("$name: ${input:-see $log}")
  fi
done
[ ${#found[@]} -eq 0 ] || {
  echo
  printf 'fuzz: broken: %s\n' "${found[@]}"
  echo "fuzz: mend the parser, and keep the input in fuzz/corpus/TARGET: the tests of the crates try it again"
  exit 1
}
