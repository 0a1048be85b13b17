#!/usr/bin/env bash
# Runs what deals with HAProxy against the HAProxys of four Debian releases, without containers (but for one
# test): each is taken out of its packages with its own libraries. Ends with a table, also in target/matrix/haproxy.md.
#
#   test-haproxy.sh [SUITE...]        bookworm trixie testing experimental, unless told otherwise
#   ONLY=strategy::                   only end-to-end tests with that in their names
set -euo pipefail
cd "$(dirname "$0")/.."

suites=("$@")
[ $# -gt 0 ] || suites=(bookworm trixie testing experimental)
scripts/setup.sh roots
matrix=${CARGO_TARGET_DIR:-target}/matrix
mkdir -p "$matrix"
table=$matrix/haproxy.md
. scripts/results.sh
. scripts/take-out.sh

# A place that every user can reach: a test runs Clearway as the user `nobody`.
bench=$(mktemp -d /tmp/clearway-haproxy-XXXXXX)
chmod 755 "$bench"
trap 'rm -rf "$bench"' EXIT

# Built beforehand: the times in the table are those of the tests.
cargo test --locked --no-run -p clearway-lab --test end_to_end
cargo test --locked --no-run -p clearway-haproxy --test real_haproxy

failed=0
{
  echo '| HAProxy | Debian | tests | passed | failed | ignored | took |'
  echo '|---|---|---|---|---|---|---|'
} >"$table"

haproxys=()
for suite in "${suites[@]}"; do
  root=$(scripts/debian-root.sh "haproxy-$suite" extract "$suite" haproxy)
  take_out "$root" /usr/sbin/haproxy "$bench/$suite"
  haproxys+=("$bench/$suite")
  export HAPROXY_BIN=$bench/$suite/haproxy
  # Clearway itself takes `haproxy` from PATH; a test (`the_haproxy_under_test_serves`) compares.
  version=$(PATH="$bench/$suite:$PATH" haproxy -v)
  version=${version%%$'\n'*}
  echo "== $suite: $version"
  tests=('clearway-lab end_to_end' 'clearway-haproxy real_haproxy')
  [ -z "${ONLY:-}" ] || tests=('clearway-lab end_to_end')
  for test in "${tests[@]}"; do
    read -r package name <<<"$test"
    log=$matrix/haproxy-$suite-$name.log
    begun=$SECONDS code=0
    # An image brings its own HAProxy.
    PATH="$bench/$suite:$PATH" CLEARWAY_TEST_HAPROXY=$HAPROXY_BIN \
      env --default-signal=INT,QUIT cargo test --locked -p "$package" --test "$name" -- --skip container:: ${ONLY:+"$ONLY"} 2>&1 | tee "$log" || code=$?
    results <"$log" >"$log.results"
    # Tests that did not end with a result have failed.
    [ "$code" -ne 0 ] || complete "$log" || code=incomplete
    [ "$code" = 0 ] || failed=1
    number=$(awk '{ print $3 }' <<<"$version")
    echo "| $number | $suite | \`$name\` | $(counts "$log.results" "$code") | $((SECONDS - begun)) s |" >>"$table"
    notable "$log.results" | sed "s/^/$suite: /"
  done
done

# Containers with one after the other, where an engine has the image (`make test-image`).
unset HAPROXY_BIN
[ -n "${ONLY:-}" ] || CLEARWAY_TEST_HAPROXYS=$(IFS=:; echo "${haproxys[*]}") \
  cargo test --locked -p clearway-lab --test end_to_end -- container::takeover::other_haproxys || failed=1

echo
cat "$table"
exit "$failed"
