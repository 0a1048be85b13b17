#!/usr/bin/env bash
# Builds target/release/clearway as a static binary: with musl where the target can be had, else with glibc.
#
#   build-static.sh [MACHINE]     `x86_64` or `aarch64`, this one if unsaid. That of another machine is only left in
#                                 target/TARGET/release, and started where qemu-user is installed
set -euo pipefail
cd "$(dirname "$0")/.."

machine=${1:-$(uname -m)}
. scripts/static-target.sh
echo "build-static: $target"
cargo build --release --locked -p clearway --target "$target"

into="${CARGO_TARGET_DIR:-target}"
built="$into/$target/release/clearway"
# `ldd` says "statically linked" or "not a dynamic executable", in English with LC_ALL=C.
told=$(LC_ALL=C ldd "$built" 2>&1 || true)
if ! grep -Eq 'statically linked|not a dynamic executable' <<<"$told"; then
  printf '%s\n' "build-static: $built is not static:" "$told" >&2
  exit 1
fi
if [ "$machine" != "$(uname -m)" ]; then
  emulator=$(command -v "qemu-$machine-static" "qemu-$machine" | head -n 1) || true
  [ -n "$emulator" ] || { echo "build-static: there is no qemu-$machine: $built was NOT started"; exit 0; }
  "$emulator" "$built" --version
  # With the HAProxy of this machine, which the kernel executes.
  ! command -v haproxy >/dev/null || "$emulator" "$built" check -f examples/plain.cfg
  exit 0
fi
"$built" --version
mkdir -p "$into/release"
# cargo's own file there is a hard link into its cache: replace it, do not write through it.
cp --remove-destination "$built" "$into/release/clearway"
ls -l "$into/release/clearway"
