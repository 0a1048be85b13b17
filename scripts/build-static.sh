#!/usr/bin/env bash
# Builds target/release/clearway as a static binary: with musl where the target can be had, else with glibc.
set -euo pipefail
cd "$(dirname "$0")/.."

. scripts/static-target.sh
echo "build-static: $target"
cargo build --release --locked -p clearway --target "$target"

into="${CARGO_TARGET_DIR:-target}"
built="$into/$target/release/clearway"
# `ldd` says "statically linked" or "not a dynamic executable", in English with LC_ALL=C.
if ! LC_ALL=C ldd "$built" 2>&1 | grep -Eq 'statically linked|not a dynamic executable'; then
  echo "build-static: $built is not static:" >&2
  ldd "$built" >&2
  exit 1
fi
"$built" --version
mkdir -p "$into/release"
# cargo's own file there is a hard link into its cache: replace it, do not write through it.
cp --remove-destination "$built" "$into/release/clearway"
ls -l "$into/release/clearway"
