#!/usr/bin/env bash
# Builds target/release/clearway as a static binary: with musl where the target can be had, else with glibc and
# crt-static. No crate of the tree has C code, so neither way needs a C compiler beyond the linker.
set -euo pipefail
cd "$(dirname "$0")/.."

machine=$(uname -m)
case "$machine" in
  x86_64 | aarch64) ;;
  *) echo "build-static: $machine was never tried; only x86_64 and aarch64 are known" >&2; exit 1 ;;
esac

target="$machine-unknown-linux-musl"
has_musl() { rustup target list --installed 2>/dev/null | grep -qx "$target"; }
if ! has_musl && ! rustup target add "$target" >/dev/null 2>&1; then
  # `--target` although it is the host's own: without it, RUSTFLAGS would reach the procedural macros, which
  # are shared libraries and cannot be made with crt-static.
  target="$machine-unknown-linux-gnu"
  export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
fi
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
