#!/usr/bin/env bash
# Does an image hold what its name says, and does it start, reload and stop? With no network and no capabilities
# beyond Docker's own; the tests of Clearway itself are `make test`. That of another architecture is run emulated, and does not
# serve.
#
#   image-smoke.sh IMAGE
#
# ENGINE  docker; podman was not tried.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=${ENGINE:-docker}
image=$1
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
config=/usr/local/etc/haproxy/haproxy.cfg
architecture=$("$engine" image inspect --format '{{.Architecture}}' "$image")
options=(--network=none --platform "linux/$architecture" --volume "$PWD/examples:/examples:ro" --volume "$PWD/examples/plain.cfg:$config:ro")

fail() { printf 'image-smoke: %s\n' "$@" >&2; exit 1; }

case $architecture-$(uname -m) in
  arm64-x86_64) foreign=aarch64 ;;
  amd64-aarch64) foreign=x86_64 ;;
  *) foreign= ;;
esac
. scripts/foreign.sh
container=
cleanup() {
  [ -z "$container" ] || "$engine" rm --force "$container" >/dev/null
  forget_foreign
}
trap cleanup EXIT
[ -z "$foreign" ] || know_foreign "$foreign"
once() { echo "+ $*" >&2; "$engine" run --rm "${options[@]}" "$image" "$@"; }

[[ "$(once --version)" =~ ^clearway\ "$version"(\ |$) ]] || fail "$image is not of Clearway $version"
once haproxy -v
once check -f /examples/plain.cfg
if [ -n "$foreign" ]; then
  # What Clearway asks of HAProxy's sockets (SO_DOMAIN and its kin) qemu-user does not know.
  echo "image-smoke: $image says what it is and checks a file; serving was NOT tried: it is of another architecture"
  exit 0
fi

container=$("$engine" run --detach "${options[@]}" "$image")
inside() { echo "+ $*" >&2; "$engine" exec "$container" "$@"; }
failed() { "$engine" logs "$container" >&2; fail "$1"; }

deadline=$((SECONDS + 30))
until "$engine" exec "$container" clearway status 2>/dev/null | grep -q '^serving'; do
  [ "$SECONDS" -lt "$deadline" ] || failed 'it does not serve after 30 s'
  sleep 0.2
done
inside clearway status
inside clearway health || failed 'it serves and does not say that it is healthy'
inside clearway reload || failed 'it does not reload'
"$engine" stop --time=30 "$container" >/dev/null
code=$("$engine" inspect --format '{{.State.ExitCode}}' "$container")
[ "$code" -eq 0 ] || failed "it ended with exit code $code after a stop"
echo "image-smoke: $image starts, reloads and stops"
