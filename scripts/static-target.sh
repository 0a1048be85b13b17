# Sourced, not run: `$target` for a static binary of this machine, or of `$machine` where that is set, with RUSTFLAGS and
# a linker where it needs them. musl where the target can be had, else glibc with crt-static. No crate of the tree has C
# code, so neither way needs a C compiler beyond the linker.
# shellcheck shell=bash

machine=${machine:-$(uname -m)}
case "$machine" in
  x86_64 | aarch64) ;;
  *) echo "static-target: $machine was never tried; only x86_64 and aarch64 are known" >&2; exit 1 ;;
esac

target="$machine-unknown-linux-musl"
has_musl() { rustup target list --installed 2>/dev/null | grep -qx "$target"; }
if ! has_musl && ! rustup target add "$target" >/dev/null 2>&1; then
  if [ "$machine" != "$(uname -m)" ]; then
    echo "static-target: Rust's standard library for $target is missing, and \`rustup target add $target\` does not bring it" >&2
    exit 1
  fi
  # `--target` although it is the host's own: without it, RUSTFLAGS would reach the procedural macros, which
  # are shared libraries and cannot be made with crt-static.
  target="$machine-unknown-linux-gnu"
  export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
fi
if [ "$machine" != "$(uname -m)" ]; then
  linker=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$target")_LINKER
  export "$linker=${!linker:-$machine-linux-gnu-gcc}"
fi
