#!/usr/bin/env bash
# Does an image hold what its name says, and does it start, reload and stop? With no network and no capabilities
# beyond Docker's own; the tests of Clearway itself are `make test`.
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
options=(--network=none --volume "$PWD/examples:/examples:ro" --volume "$PWD/examples/plain.cfg:$config:ro")

fail() { printf 'image-smoke: %s\n' "$@" >&2; exit 1; }
once() { echo "+ $*" >&2; "$engine" run --rm "${options[@]}" "$image" "$@"; }

[[ "$(once --version)" =~ ^clearway\ "$version"(\ |$) ]] || fail "$image is not of Clearway $version"
once haproxy -v
once check -f /examples/plain.cfg

container=$("$engine" run --detach "${options[@]}" "$image")
trap '"$engine" rm --force "$container" >/dev/null' EXIT
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
