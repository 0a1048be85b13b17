#!/usr/bin/env bash
# Builds the Debian package `clearway`, target/packages/clearway_VERSION_ARCHITECTURE.deb, and lets lintian look at it.
# `make deb` has built the binary of this machine before; that of another one is built here, with Debian's cross linker.
# What is in it: crates/clearway/Cargo.toml, deploy/debian. A missing cargo-deb is built into target/tools, once.
#
#   deb.sh [ARCHITECTURE...]      amd64 and arm64 unless told otherwise
#
# PACKAGES                where they go, target/packages if unsaid
# REVISION                the Debian revision, 1 if unsaid
# SOURCE_DATE_EPOCH       the date of all files, that of the commit if unsaid: the same sources give the same package
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'deb: %s\n' "$@" >&2; exit 1; }

cargo_deb=3.8.0
into=$(realpath -m "${CARGO_TARGET_DIR:-target}")
packages=${PACKAGES:-$into/packages}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
# 1.2.0~rc.1 is before 1.2.0.
debian_version=${version/-/\~}-${REVISION:-1}
# Not exported: cargo would build everything anew.
epoch=${SOURCE_DATE_EPOCH:-$(git show --no-patch --format=%ct HEAD 2>/dev/null || stat --format=%Y Cargo.toml)}
date=$(LC_ALL=C date --utc --rfc-email --date="@$epoch")
maintainer=$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' crates/clearway/Cargo.toml)

tools="$PWD/target/tools"
PATH="$PATH:$tools/bin"
if ! command -v cargo-deb >/dev/null; then
  echo "deb: building cargo-deb $cargo_deb into $tools"
  cargo install --locked --quiet --root "$tools" "cargo-deb@$cargo_deb"
fi

# What is not in the tree: made by a binary of this machine, for every architecture.
stage() { # directory
  local native="$into/release/clearway"
  rm -rf "$1"
  mkdir -p "$1"
  "$native" man --directory "$1/man"
  gzip --best --no-name "$1"/man/*
  for shell in bash zsh fish; do "$native" completions "$shell" >"$1/clearway.$shell"; done
  sed 's#/usr/local/bin/#/usr/bin/#' deploy/systemd/clearway.service >"$1/clearway.service"
  printf 'clearway (%s) unstable; urgency=medium\n\n  * New version: see changelog.gz.\n\n -- %s  %s\n' \
    "$debian_version" "$maintainer" "$date" | gzip --best --no-name >"$1/changelog.Debian.gz"
}

package() { # architecture
  local machine target file
  case $1 in
    amd64) machine=x86_64 ;;
    arm64) machine=aarch64 ;;
    *) fail "no package was ever made for $1" ;;
  esac
  [ "$machine" = "$(uname -m)" ] || scripts/build-static.sh "$machine"
  target=$(. scripts/static-target.sh && echo "$target")
  stage "$into/$target/release/package"
  file="$packages/clearway_${debian_version}_$1.deb"
  # Cargo has stripped it, and `strip` of this machine does not know the programs of others. Not into target/debian,
  # where cargo-deb removes what it finds.
  SOURCE_DATE_EPOCH=$epoch cargo deb --quiet --locked --no-build --no-strip -p clearway --target "$target" --deb-version "$debian_version" \
    --output "$into/$target/release/package/" >/dev/null
  mkdir -p "$packages"
  mv "$into/$target/release/package/"*.deb "$file"
  echo "deb: $file"
  command -v lintian >/dev/null || { echo "deb: there is no lintian: NOT looked at" >&2; return 0; }
  lintian --fail-on error --allow-root --tag-display-limit 0 "$file"
}

architectures=("$@")
[ $# -gt 0 ] || architectures=(amd64 arm64)
[ -x "$into/release/clearway" ] || fail "no $into/release/clearway" 'run `make build` first, or `make deb`'
for architecture in "${architectures[@]}"; do package "$architecture"; done
