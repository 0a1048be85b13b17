#!/usr/bin/env bash
# Runs all tests: `cargo test` of the whole workspace, with the words given here.
#
# The end-to-end tests run side by side on a machine that others may be using. Where no more than three of them fail,
# each is tried once more, alone, and the run says so at its end: a test that fails twice, fails. A name in that list is
# a bug, of the test or of Clearway, and not noise: what a busy machine shows at night, users see by day.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/results.sh

most=3
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A shell without job control starts what it puts into the background with SIGINT ignored, and HAProxy inherits that: its
# worker would not end by it.
cargo() { env --default-signal=INT,QUIT cargo "$@"; }
if cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$log"; then exit 0; fi

# Cargo names the targets that failed in its last lines.
others=$(plain <"$log" | sed -n 's/^    `\(.*\)`$/\1/p' | grep -vc -e '--test end_to_end$' || true)
mapfile -t failed < <(results <"$log" | awk '$2 == "FAILED" { print $1 }')
if [ "$others" -gt 0 ] || [ "${#failed[@]}" -eq 0 ] || [ "${#failed[@]}" -gt "$most" ]; then exit 1; fi

for name in "${failed[@]}"; do
  echo
  echo "== once more, alone: $name"
  cargo test --locked -p clearway-lab --test end_to_end -- --exact "$name"
done
echo
echo "passed only at a second attempt, alone, so look at the first: ${failed[*]}"
