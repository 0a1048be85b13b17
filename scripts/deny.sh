#!/usr/bin/env bash
# Licences, sources, doubles and known vulnerabilities of the dependencies, by cargo-deny (rules: deny.toml).
# A missing cargo-deny is built into target/tools, which takes some minutes once.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
tools="$PWD/target/tools"
PATH="$PATH:$tools/bin"
if ! command -v cargo-deny >/dev/null; then
  echo "deny: building cargo-deny $version into $tools"
  cargo install --locked --quiet --root "$tools" "cargo-deny@$version"
fi

checks=(licenses bans sources)
# The advisories are a git repository on github.com, which not every machine can reach.
if timeout 60 cargo deny --locked fetch db >/dev/null 2>&1; then
  checks+=(advisories)
else
  echo "deny: the advisory database cannot be fetched from here: advisories are NOT checked" >&2
fi
cargo deny --locked check "${checks[@]}"
