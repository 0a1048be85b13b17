#!/usr/bin/env bash
# Builds the container image from target/release/clearway (`make image` has built it before).
#
#   BASE=haproxy:3.0-alpine IMAGE=lb:test scripts/image.sh
#
# BASE    what the image stands on: any Debian, or anything that has haproxy already. Without it Debian 13, from
#         the registry or, where none can be reached, made here from Debian's packages.
# IMAGE   the name of the image. Without it clearway:VERSION and clearway:VERSION-haproxyX.Y.
# PUSH    a repository such as ghcr.io/owner/clearway: the image goes there with SBOM and provenance, by its digest
#         alone, without a tag. Needs docker buildx, with a builder of the driver `docker-container` in use.
# ARCHITECTURE   amd64 or arm64, that of this machine if unsaid. The programs of another one run emulated (qemu-user),
#         for as long as this takes; its image is named clearway:VERSION-ARCHITECTURE where IMAGE says nothing.
# ENGINE  docker; podman was not tried.
# ARGS    more arguments for `docker build`, such as --network=host or --build-arg APT_MIRROR=...
#
# Leaves the name of the image and the version of its HAProxy in target/image.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=${ENGINE:-docker}
target=${CARGO_TARGET_DIR:-target}
binary="$target/release/clearway"
suite=trixie
mirror=${APT_MIRROR:-http://deb.debian.org/debian}

fail() { printf 'image: %s\n' "$@" >&2; exit 1; }

case $(uname -m) in
  x86_64) ours=amd64 ;;
  aarch64) ours=arm64 ;;
  *) ours=$(uname -m) ;;
esac
architecture=${ARCHITECTURE:-$ours}
case $architecture in
  "$ours") foreign= ;;
  amd64) foreign=x86_64 ;;
  arm64) foreign=aarch64 ;;
  *) fail "no image was ever made for ARCHITECTURE=$architecture" 'amd64 and arm64 are known' ;;
esac
platform="linux/$architecture"

[ -x "$binary" ] || fail "no $binary" 'run `make build` first, or `make image`'
command -v "$engine" >/dev/null || fail "no $engine in PATH" 'install it, or name another with ENGINE='
"$engine" info >/dev/null 2>&1 || fail "$engine does not answer" 'start its daemon, or ask for the right to use it'

context=$(mktemp -d)
cleanup() { rm -rf "$context" "$context.json"; }
trap cleanup EXIT
if [ -n "$foreign" ]; then
  scripts/setup.sh foreign
  # Both are undone at the end.
  . scripts/foreign.sh
  trap 'cleanup; forget_foreign' EXIT
  know_foreign "$foreign"
  scripts/build-static.sh "$foreign"
  binary=$target/$(machine=$foreign && . scripts/static-target.sh && echo "$target")/release/clearway
fi

# Docker before 23 takes what is imported for an image of its own architecture, whatever it is told.
call_it() { # image
  local parts config
  ! is_here "$1" || return 0
  parts=$(mktemp -d "$context/parts-XXXXXX")
  "$engine" save "$1" | tar -x -C "$parts"
  config=$parts/$(jq --raw-output '.[0].Config' "$parts/manifest.json")
  jq --compact-output --arg architecture "$architecture" '.architecture = $architecture' "$config" >"$parts/new"
  cat "$parts/new" >"$config"
  rm "$parts/new"
  tar -c -C "$parts" . | "$engine" load --quiet >/dev/null
  rm -rf "$parts"
}

# Debian 13 as small as its own slim image: no manual pages, no documentation but the licences, no translations.
make_base() {
  command -v mmdebstrap >/dev/null || scripts/setup.sh image
  echo "image: no registry within reach: making a base of Debian's packages ($suite)" >&2
  local options=(--variant=minbase --components=main --architectures="$architecture")
  local path
  for path in '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/doc/*'; do
    options+=(--dpkgopt="path-exclude=$path")
  done
  options+=(--dpkgopt='path-include=/usr/share/doc/*/copyright')
  [ "$(id -u)" -ne 0 ] || options+=(--aptopt='APT::Sandbox::User "root"')
  mmdebstrap --quiet "${options[@]}" "$suite" - "$mirror" | "$engine" import --platform "$platform" - "$1" >/dev/null
  call_it "$1"
}

is_here() { [ "$("$engine" image inspect --format '{{.Architecture}}' "$1" 2>/dev/null)" = "$architecture" ]; }

base=${BASE:-}
if [ -z "$base" ]; then
  base=debian:13-slim
  made=clearway-base:$suite${foreign:+-$architecture}
  if is_here "$made"; then
    base=$made
  elif ! is_here "$base" && ! timeout 120 "$engine" pull --quiet --platform "$platform" "$base" 2>/dev/null; then
    make_base "$made"
    base=$made
  fi
fi

version=$("$target/release/clearway" --version | cut -d' ' -f2)
# The same names as in a checkout, so that a plain `docker build .` does the same.
mkdir -p "$context/target/release"
cp "$binary" "$context/target/release/clearway"
cp LICENSE-MIT LICENSE-APACHE "$context"

arguments=(--file Dockerfile --platform "$platform"
  --build-arg BASE="$base"
  --build-arg VERSION="$version"
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)")
# shellcheck disable=SC2206  # ARGS is a list of words
arguments+=(${ARGS:-})
if [ -n "${PUSH:-}" ]; then
  repository=${PUSH,,}
  metadata=$context.json
  "$engine" buildx build "${arguments[@]}" --sbom=true --provenance=mode=max --metadata-file "$metadata" \
    --output "type=image,name=$repository,push-by-digest=true,name-canonical=true,push=true" "$context"
  digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$metadata")
  [ -n "$digest" ] || fail 'the builder does not tell the digest of what it pushed'
  # What follows deals with what the registry has.
  first=$repository@$digest
  "$engine" pull --quiet --platform "$platform" "$first"
else
  first=${IMAGE:-clearway:$version${foreign:+-$architecture}}
  "$engine" build "${arguments[@]}" --tag "$first" "$context"
fi

haproxy=$("$engine" run --rm --network=none --platform "$platform" "$first" haproxy -v | sed -n 's/^HAProxy version \([0-9]*\.[0-9]*\).*/\1/p')
[ -n "$haproxy" ] || fail "the HAProxy in $first does not tell its version"
echo "$first $haproxy" >"$target/image.txt"
if [ -z "${IMAGE:-}${PUSH:-}$foreign" ]; then
  "$engine" tag "$first" "clearway:$version-haproxy$haproxy"
  first="clearway:$version and clearway:$version-haproxy$haproxy"
fi
echo "image: $first (on $base, HAProxy $haproxy, $architecture)"
