#!/usr/bin/env bash
# Runs HAProxy's own regression tests against plain HAProxy and against the same HAProxy under Clearway, for the HAProxys of
# four Debian releases, and compares. Ends with a table, also in target/matrix/regtests.md. Fails if a test passes with plain
# HAProxy only and tests/regtests.txt does not name it.
#
#   test-regtests.sh [SUITE...]       bookworm trixie testing experimental, unless told otherwise
#   ONLY=mcli                         only tests with that in their paths
set -euo pipefail
cd "$(dirname "$0")/.."

suites=("$@")
[ $# -gt 0 ] || suites=(bookworm trixie testing experimental)
scripts/setup.sh roots
. scripts/take-out.sh
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
matrix=$(realpath -m "${CARGO_TARGET_DIR:-target}/matrix")
sources=$(realpath -m "${CARGO_TARGET_DIR:-target}/regtests")
known=$PWD/tests/regtests.txt
mkdir -p "$matrix" "$sources"
table=$matrix/regtests.md

bench=$(mktemp -d /tmp/clearway-regtests-XXXXXX)
chmod 755 "$bench"
trap 'rm -rf "$bench"' EXIT

# The tests of the HAProxy that a suite has, from the source of its package.
fetch() { # suite
  local into=$sources/$1 apt uri archive hash
  [ ! -d "$into/reg-tests" ] || return 0
  rm -rf "$into.new"
  mkdir -p "$into.new/lists/partial"
  echo "deb-src $mirror $1 main" >"$into.new/sources.list"
  # `root`: apt's own user may not reach this directory.
  apt=(apt-get -qq -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false -o Dir::Etc::SourceParts=-
    -o "Dir::Etc::SourceList=$into.new/sources.list" -o "Dir::State::Lists=$into.new/lists")
  "${apt[@]}" update </dev/null || return
  # The archive of HAProxy's makers only: Debian's own files of a version go when the next one comes, and are not needed.
  read -r uri archive hash < <("${apt[@]}" source --print-uris haproxy </dev/null | tr -d "'" |
    awk '$2 ~ /\.orig\.tar\.[a-z0-9]+$/ { print $1, $2, $4; exit }')
  /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$uri" "$into.new/$archive" "$hash" >/dev/null || return
  tar -xf "$into.new/$archive" -C "$into.new" --strip-components=1 --wildcards '*/reg-tests' || return
  mv "$into.new" "$into"
}

# The same, but that the number of a process in what HAProxy logs may be any: it logs its worker's, and tests expect the one
# that was started, which is Clearway's.
any_process() { # from, into
  cp -a "$1" "$2"
  find "$2" -name '*.vtc' -exec sed -i -E 's/\$\{h[0-9]*_pid\}/[[:digit:]]+/g' {} +
}

# One test, in a directory of its own; prints `PATH RESULT`. Some of them depend on time, with plain HAProxy as well: what
# fails is tried twice more.
run_one() { # side, program, tests, test
  local side=$1 program=$2 tests=$3 test=$4 place log code
  log=$matrix/regtests-$suite-$side/${test//\//_}.log
  for _ in 1 2 3; do
    code=0
    place=$(mktemp -d "$bench/$side-XXXXXX")
    (
      cd "$tests/$(dirname "$test")"
      HAPROXY_PROGRAM=$program TMPDIR=$place exec timeout --kill-after=5 60 \
        "$bench/varnishtest/varnishtest" -k -t 40 -b 50M -Dtestdir=. -Dno-htx= "${test##*/}"
    ) >"$log" 2>&1 </dev/null || code=$?
    end_what_is_left "$place"
    rm -rf "$place"
    case $code in
      0) echo "$test passed"; return ;;
      77) echo "$test skipped"; return ;;
    esac
  done
  echo "$test failed"
}

# Processes that still have the directory of a test in their environment or arguments: those of that test, and no others.
end_what_is_left() { # directory
  local process
  for process in /proc/[0-9]*; do
    if { tr '\0' '\n' <"$process/environ"; } 2>/dev/null | grep -qx "TMPDIR=$1"; then
      kill -KILL "${process#/proc/}" 2>/dev/null || true
    fi
  done
}

# All tests with one program; the results into a file.
run_all() { # side, program, tests, results
  export side=$1 program=$2 tests=$3
  mkdir -p "$matrix/regtests-$suite-$1"
  (cd "$3" && find . -name '*.vtc' -printf '%P\n') | sort | { grep -F -- "${ONLY:-}" || true; } |
    xargs -r -P "${JOBS:-4}" -I TEST bash -c 'set -euo pipefail; run_one "$side" "$program" "$tests" TEST' | sort >"$4"
}
export -f run_one end_what_is_left
export bench matrix

root=$(scripts/debian-root.sh varnish extract bookworm varnish)
take_out "$root" /usr/bin/varnishtest "$bench/varnishtest"

# What runs under Clearway is started with HAProxy's own arguments.
cat >"$bench/haproxy-under-clearway" <<END
#!/bin/sh
export CLEARWAY_RUN_DIRECTORY="\$TMPDIR/run"
exec "$CLEARWAY_BIN" haproxy "\$@"
END
chmod 755 "$bench/haproxy-under-clearway"

{
  echo '| HAProxy | Debian | tests of | tests | passed by both | by plain only | of these named | by Clearway only | by neither | skipped |'
  echo '|---|---|---|---|---|---|---|---|---|---|'
} >"$table"
failed=0
: >"$matrix/regtests-only-plain.txt"
for suite in "${suites[@]}"; do
  export suite
  root=$(scripts/debian-root.sh "haproxy-$suite" extract "$suite" haproxy)
  take_out "$root" /usr/sbin/haproxy "$bench/$suite"
  # A mirror may have lost the source of a version that it still has. Both sides run the same tests, so older ones will do.
  if fetch "$suite"; then
    tests=$sources/$suite/reg-tests of=$suite
  elif [ -n "${tests:-}" ]; then
    echo "test-regtests: $suite: its source cannot be had from $mirror: the tests of the suite before are taken"
  else
    echo "test-regtests: $suite: its source cannot be had from $mirror, and there are no other tests" >&2
    exit 1
  fi
  any_process "$tests" "$bench/$suite/any-process"
  version=$("$bench/$suite/haproxy" -v | awk 'NR == 1 { print $3 }')
  echo "== $suite: HAProxy $version"
  PATH="$bench/$suite:$PATH" run_all plain "$bench/$suite/haproxy" "$tests" "$bench/plain"
  PATH="$bench/$suite:$PATH" run_all clearway "$bench/haproxy-under-clearway" "$bench/$suite/any-process" "$bench/clearway"
  join "$bench/plain" "$bench/clearway" >"$bench/both"
  [ -s "$bench/both" ] || { echo "test-regtests: no test ran with HAProxy $version"; failed=1; }
  while read -r test _; do
    if reason=$(awk -v test="$test" -v suite="$suite" \
      '$2 == test && ($1 == suite || $1 == "all") { $1 = $2 = ""; print; found = 1; exit } END { exit !found }' "$known"); then
      echo "$suite: $test: passes with plain HAProxy only:$reason"
    else
      echo "$suite: $test: passes with plain HAProxy only: see $matrix/regtests-$suite-clearway/${test//\//_}.log"
    fi
  done < <(awk '$2 == "passed" && $3 != "passed"' "$bench/both") | tee -a "$matrix/regtests-only-plain.txt"
  echo
  awk -v version="$version" -v suite="$suite" -v of="$of" -v known="$known" '
    BEGIN { while ((getline line <known) > 0) { split(line, word, " "); if (word[1] == suite || word[1] == "all") named[word[2]] } }
    $2 == "passed" && $3 == "passed" { both++ }
    $2 == "passed" && $3 != "passed" { plain++; if ($1 in named) excused++ }
    $2 != "passed" && $3 == "passed" { clearway++ }
    $2 == "failed" && $3 != "passed" { neither++ }
    $2 == "skipped" && $3 != "passed" { skipped++ }
    END { printf "| %s | %s | %s | %d | %d | %d | %d | %d | %d | %d |\n", version, suite, of, NR, both, plain, excused, clearway, neither, skipped }
  ' "$bench/both" >>"$table"
done

echo
cat "$table"
echo
if [ -s "$matrix/regtests-only-plain.txt" ]; then
  echo 'passed by plain HAProxy only:'
  cat "$matrix/regtests-only-plain.txt"
else
  echo 'passed by plain HAProxy only: none'
fi
# A loop in a pipe cannot set `failed`.
if grep -q 'only: see ' "$matrix/regtests-only-plain.txt"; then failed=1; fi
exit "$failed"
