#!/usr/bin/env bash
# Applies edits of generated configurations to a HAProxy that runs, and compares its answers with those of one that is
# started from the same files: 10,000 pairs, in the HAProxys of four Debian releases (docs/decisions/0047-apply.md).
#
#   test-apply.sh [SUITE...]          bookworm trixie testing experimental, unless told otherwise
#   PAIRS=1000 SEED=7                 fewer pairs, from another seed on; a pair that differs is printed with its seed
set -euo pipefail
cd "$(dirname "$0")/.."

suites=("$@")
[ $# -gt 0 ] || suites=(bookworm trixie testing experimental)
scripts/setup.sh roots
. scripts/take-out.sh
bench=$(mktemp -d /tmp/clearway-apply-XXXXXX)
trap 'rm -rf "$bench"' EXIT

haproxys=()
for suite in "${suites[@]}"; do
  root=$(scripts/debian-root.sh "haproxy-$suite" extract "$suite" haproxy)
  take_out "$root" /usr/sbin/haproxy "$bench/$suite"
  haproxys+=("$bench/$suite/haproxy")
done

# One after the other: the answers of a busy HAProxy are not wrong, only late.
CLEARWAY_TEST_HAPROXY=$(IFS=';'; echo "${haproxys[*]}") CLEARWAY_APPLY_PAIRS=${PAIRS:-10000} CLEARWAY_APPLY_SEED=${SEED:-1} \
  cargo test --locked -p clearway-haproxy --test apply_pairs -- --test-threads 1 --nocapture
