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

[ -x "$binary" ] || fail "no $binary" 'run `make build` first, or `make image`'
command -v "$engine" >/dev/null || fail "no $engine in PATH" 'install it, or name another with ENGINE='
"$engine" info >/dev/null 2>&1 || fail "$engine does not answer" 'start its daemon, or ask for the right to use it'

# Debian 13 as small as its own slim image: no manual pages, no documentation but the licences, no translations.
make_base() {
  command -v mmdebstrap >/dev/null || scripts/setup.sh image
  echo "image: no registry within reach: making a base of Debian's packages ($suite)" >&2
  local options=(--variant=minbase --components=main)
  local path
  for path in '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/doc/*'; do
    options+=(--dpkgopt="path-exclude=$path")
  done
  options+=(--dpkgopt='path-include=/usr/share/doc/*/copyright')
  [ "$(id -u)" -ne 0 ] || options+=(--aptopt='APT::Sandbox::User "root"')
  mmdebstrap --quiet "${options[@]}" "$suite" - "$mirror" | "$engine" import - "$1" >/dev/null
}

base=${BASE:-}
if [ -z "$base" ]; then
  base=debian:13-slim
  made=clearway-base:$suite
  if "$engine" image inspect "$made" >/dev/null 2>&1; then
    base=$made
  elif ! "$engine" image inspect "$base" >/dev/null 2>&1 && ! timeout 120 "$engine" pull --quiet "$base" 2>/dev/null; then
    make_base "$made"
    base=$made
  fi
fi

version=$("$binary" --version | cut -d' ' -f2)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
# The same names as in a checkout, so that a plain `docker build .` does the same.
mkdir -p "$context/target/release"
cp "$binary" "$context/target/release/clearway"
cp LICENSE-MIT LICENSE-APACHE "$context"

arguments=(--file Dockerfile
  --build-arg BASE="$base"
  --build-arg VERSION="$version"
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)")
# shellcheck disable=SC2206  # ARGS is a list of words
arguments+=(${ARGS:-})
if [ -n "${PUSH:-}" ]; then
  repository=${PUSH,,}
  metadata=$context.json
  trap 'rm -rf "$context" "$metadata"' EXIT
  "$engine" buildx build "${arguments[@]}" --sbom=true --provenance=mode=max --metadata-file "$metadata" \
    --output "type=image,name=$repository,push-by-digest=true,name-canonical=true,push=true" "$context"
  digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' "$metadata")
  [ -n "$digest" ] || fail 'the builder does not tell the digest of what it pushed'
  # What follows deals with what the registry has.
  first=$repository@$digest
  "$engine" pull --quiet "$first"
else
  first=${IMAGE:-clearway:$version}
  "$engine" build "${arguments[@]}" --tag "$first" "$context"
fi

haproxy=$("$engine" run --rm --network=none "$first" haproxy -v | sed -n 's/^HAProxy version \([0-9]*\.[0-9]*\).*/\1/p')
[ -n "$haproxy" ] || fail "the HAProxy in $first does not tell its version"
echo "$first $haproxy" >"$target/image.txt"
if [ -z "${IMAGE:-}${PUSH:-}" ]; then
  "$engine" tag "$first" "clearway:$version-haproxy$haproxy"
  first="clearway:$version and clearway:$version-haproxy$haproxy"
fi
echo "image: $first (on $base, HAProxy $haproxy)"
