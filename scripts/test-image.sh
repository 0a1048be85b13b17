#!/usr/bin/env bash
# Builds the image under test from target/release/clearway, where a container engine runs or can be started. Where
# none can, says why and succeeds: the tests of the image are then reported as ignored, each by its name.
#
#   CLEARWAY_IMAGE=lb:today make test     tests an image that is there already, and builds none
#
# An engine that was started stays up.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=${CLEARWAY_ENGINE:-docker}
image=clearway:test
if [ "${CLEARWAY_IMAGE:-$image}" != "$image" ]; then
  echo "test-image: ${CLEARWAY_IMAGE} is tested as it is"
  exit 0
fi

none() { echo "test-image: $1: the tests of the image will be ignored" >&2; exit 0; }
answers() { timeout 20 "$engine" info >/dev/null 2>&1; }

start() {
  if [ -d /run/systemd/system ]; then systemctl start docker; else service docker start; fi
}

command -v "$engine" >/dev/null || none "there is no $engine"
if ! answers; then
  [ "$(id -u)" -eq 0 ] || none "$engine does not answer, and starting it needs root"
  echo "test-image: starting the engine"
  # Its own words are for its own log; whether it answers is what counts.
  start >/dev/null 2>&1 </dev/null || true
  for _ in $(seq 60); do answers && break; sleep 0.5; done
  answers || none "$engine does not answer, and could not be started"
fi

# An image of yesterday must not stand in for one that cannot be built.
"$engine" image rm --no-prune "$image" >/dev/null 2>&1 || true
# ARGS of `make test` is for the tests.
ARGS="" IMAGE=$image ENGINE=$engine scripts/image.sh
