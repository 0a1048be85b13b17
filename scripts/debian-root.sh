#!/usr/bin/env bash
# Prints a directory with packages of a Debian suite, below target/roots; makes it if it is not there.
#
#   debian-root.sh NAME VARIANT SUITE PACKAGE[,PACKAGE...]
#
# VARIANT as mmdebstrap has it: `extract` unpacks the packages and what they depend on, and runs nothing of them;
# `essential` is a system that one could chroot into. To have a newer one, remove the directory.
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1 variant=$2 suite=$3 packages=$4
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
roots=${CARGO_TARGET_DIR:-$PWD/target}/roots
root=$(realpath -m "$roots/$name")
if [ ! -d "$root" ]; then
  echo "debian-root: $packages of $suite into $root" >&2
  mkdir -p "$roots"
  sources=("deb $mirror $suite main")
  base=$suite pin=()
  # Backports and experimental are no suites of their own: they need the one below.
  case $suite in
    *-backports)
      base=${suite%-backports}
      sources+=("deb $mirror $base main")
      ;;
    experimental)
      base=sid
      sources+=("deb $mirror $base main")
      # apt takes nothing from there unless a pin says so: these packages from there, their libraries from sid.
      preferences="Package: ${packages//,/ }\nPin: release a=$suite\nPin-Priority: 990\n"
      pin=(--setup-hook="mkdir -p \"\$1/etc/apt/preferences.d\" &&
        printf '$preferences' >\"\$1/etc/apt/preferences.d/debian-root\"")
      ;;
  esac
  rm -rf "$root.new"
  # `root`: apt's own user may not reach this directory. A mirror that is a few weeks old will do for tests.
  mmdebstrap --quiet --variant="$variant" --include="$packages" --aptopt='APT::Sandbox::User "root"' \
    --aptopt='Acquire::Check-Valid-Until "false"' "${pin[@]}" "$base" "$root.new" "${sources[@]}" >&2 ||
    { rm -rf "$root.new"; echo "debian-root: no $packages of $suite from $mirror" >&2; exit 1; }
  mv "$root.new" "$root"
fi
echo "$root"
