#!/usr/bin/env bash
# Runs what deals with the kernel on Debian's kernels, each in a virtual machine without network or disk: kernel,
# modules, a small Debian 13 with HAProxy and the tests are all in its initial RAM disk. Ends with a table, also in
# target/matrix/kernels.md.
#
#   test-kernels.sh [SUITE...]        bullseye bookworm trixie trixie-backports (5.10, 6.1, 6.12 and the newest),
#                                     unless told otherwise
#   ONLY=gate,flip,strategy::           only these: kernel tests by the names of their files, end-to-end tests by a part of
#                                     their names; one boot of each machine
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(uname -m)" = x86_64 ] || { echo "test-kernels: only x86_64 was ever tried" >&2; exit 1; }
suites=("$@")
[ $# -gt 0 ] || suites=(bullseye bookworm trixie trixie-backports)
scripts/setup.sh vm
into=$(realpath -m "${CARGO_TARGET_DIR:-target}")
matrix=$into/matrix
mkdir -p "$matrix"
table=$matrix/kernels.md
. scripts/results.sh
. scripts/static-target.sh

bench=$(mktemp -d "$matrix/vm-XXXXXX")
vm=
trap '[ -z "$vm" ] || kill "$vm" 2>/dev/null || true; rm -rf "$bench"' EXIT
trap 'exit 130' INT TERM

pack() { find . -print0 | cpio --null --quiet --create --format=newc --owner=0:0; }

# The tests run in another Debian than this one, so they are static.
tests() {
  echo "== building the tests ($target)"
  local built name kernel=() binary
  for name in crates/kernel/tests/*.rs; do kernel+=(--test "$(basename "$name" .rs)"); done
  cargo build --locked --target "$target" --profile lab -p clearway-lab
  # The one that tells tests its steps: Clearway is killed at each of a switch here, too.
  cargo build --locked --target "$target" --profile lab --bin clearway -p clearway --features clearway/test-steps
  built=$(cargo test --locked --target "$target" --profile lab --no-run -p clearway-lab --test end_to_end \
    -p clearway-kernel "${kernel[@]}" 2>&1 | tee >(cat >&2) |
    sed -n 's/^ *Executable .* (\(.*\))$/\1/p')
  mkdir -p "$bench/tree/tests/kernel"
  for binary in $built; do
    name=$(basename "${binary%-*}")
    [ "$name" = end_to_end ] || name=kernel/$name
    cp "$binary" "$bench/tree/tests/$name"
  done
  cp "$into/$target/lab/clearway-lab" "${CLEARWAY_BIN:-$into/release/clearway}" "$bench/tree/tests/"
  cp "$into/$target/lab/clearway" "$bench/tree/tests/clearway-steps"
  cp scripts/vm-init.sh "$bench/tree/init"
  (cd "$bench/tree" && pack >"$bench/tests.cpio")
}

# The kernel's own files of a suite: $vmlinuz, and its modules as far as a network needs them, in a RAM disk.
kernel() { # suite, and again where it is not the one that apt would take
  local root version modules
  root=$(scripts/debian-root.sh "kernel-$1" extract "$1" "linux-image-amd64${2:+/$2}")
  modules=$(find "$root" -type d -path '*/lib/modules/*' -prune)
  version=$(basename "$modules")
  # Debian moved it from /boot to the modules.
  vmlinuz=$modules/vmlinuz
  [ -e "$vmlinuz" ] || vmlinuz=$root/boot/vmlinuz-$version
  rm -rf "$bench/modules"
  mkdir -p "$bench/modules/usr/lib/modules/$version/kernel/drivers"
  (cd "$modules" && cp -r --parents modules.order modules.builtin* kernel/{net,lib,crypto,arch} \
    kernel/drivers/net/*.ko* "$bench/modules/usr/lib/modules/$version/")
  depmod -b "$bench/modules/usr" "$version"
  (cd "$bench/modules" && pack >"$bench/modules.cpio")
}

# Starts $vmlinuz; the words go to vm-init.sh. Results come into the file, what the kernel says beside it.
machine() { # results, seconds, words...
  local results=$1 limit=$2
  shift 2
  cat "$bench/system.cpio" "$bench/modules.cpio" "$bench/tests.cpio" >"$bench/initrd"
  timeout --foreground --kill-after=5 "$limit" qemu-system-x86_64 "${acceleration[@]}" -smp 2 -m 3G \
    -nodefaults -display none -no-reboot -kernel "$vmlinuz" -initrd "$bench/initrd" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init CLEARWAY_TEST_PATIENCE=$patience $second $*" \
    -serial "file:$results.console" -serial "file:$results" </dev/null &
  vm=$!
  wait "$vm"
}

# Whether KVM is there and works: in a virtual machine it may be there and not.
choose_acceleration() {
  acceleration=(-accel kvm -cpu host) patience=2 second=
  if [ -w /dev/kvm ] && machine "$bench/probe" 20 RUN=probe 2>/dev/null && grep -q ^done "$bench/probe"; then
    echo "== KVM works here"
  else
    echo "== no KVM that works here: the processor is emulated, about ten times slower"
    acceleration=(-accel "tcg,thread=multi" -cpu max) patience=8 second=SECOND_ATTEMPT=1
  fi
}

# One boot: its results, each name with the binary's in front, are added to those of this kernel.
boot() { # suite, boot's name, seconds, words...
  local suite=$1 name=$2 limit=$3 log=$matrix/kernel-$1-$2.log begun=$SECONDS
  shift 3
  echo "== $suite, $name"
  rm -f "$log" "$log.console"
  local ended=0
  machine "$log" "$limit" "$@" || ended=$?
  # An emulated processor may stop at a breakpoint that the kernel's patching of its own code has just taken back.
  if ! grep -q ^done "$log" && grep -q 'Oops: int3' "$log.console"; then
    echo "== $suite, $name: the emulator has tripped over code that was being patched; once more"
    rm -f "$log" "$log.console"
    ended=0
    machine "$log" "$limit" "$@" || ended=$?
  fi
  [ "$ended" = 0 ] || echo "test the_machine_of_$name ... FAILED, it was killed after $limit s" >>"$log"
  if ! grep -q ^done "$log" || ! complete "$log"; then
    echo "test the_boot_$name ... FAILED, it ended before the tests did: $log.console" >>"$log"
  fi
  plain <"$log" | awk '
    $1 == "begin" { binary = $2 "::" } $1 == "end" { binary = ""; second = 0 } /^second attempt$/ { second = 1 }
    $1 == "test" && $2 != "result:" { $2 = binary $2; if (second) sub(/ ok$/, " ok, at the second attempt, alone") }
    { print }' >>"$log_of_kernel"
  grep '^test result' "$log" || true
  echo "== $suite, $name: $((SECONDS - begun)) s"
}

tests
system=$(scripts/debian-root.sh vm-trixie essential trixie \
  iproute2,nftables,netbase,kmod,procps,haproxy,mount,util-linux,findutils,openssl)
# What no program needs; devices and file systems are made at boot.
(cd "$system" && find . \( -path ./usr/share/doc -o -path ./usr/share/locale -o -path ./usr/share/man -o -path ./dev \
  -o -path ./var/cache -o -path ./var/lib/apt \) -prune -o -print0 |
  cpio --null --quiet --create --format=newc --owner=0:0 >"$bench/system.cpio")

failed=0
{
  # shellcheck disable=SC2016
  echo '| `uname -r` | Debian | passed | failed | ignored | passed only at a second attempt, alone | took |'
  echo '|---|---|---|---|---|---|---|'
} >"$table"
for suite in "${suites[@]}"; do
  kernel "$suite" "$([[ $suite != *-backports ]] || echo "$suite")"
  [ -n "${acceleration:-}" ] || choose_acceleration
  begun=$SECONDS
  log_of_kernel=$matrix/kernel-$suite.log
  : >"$log_of_kernel"
  if [ -n "${ONLY:-}" ]; then
    boot "$suite" all 2400 RUN=only "ONLY=$ONLY"
  else
    boot "$suite" all 4800 RUN=all
    boot "$suite" locked 300 RUN=modules::where_modules_are_locked CLEARWAY_TEST_MODULES=lock
    boot "$suite" nothing-loaded 300 RUN=modules::where_modules_are_locked CLEARWAY_TEST_MODULES=lock-all
    boot "$suite" no-ipv6 300 RUN=modules::without_ipv6 CLEARWAY_TEST_MODULES=no-ipv6 ipv6.disable=1
  fi
  results <"$log_of_kernel" >"$log_of_kernel.results"
  release=$(plain <"$matrix/kernel-$suite-all.log" | sed -n 's/^kernel //p')
  echo "| ${release:-did not start} | $suite | $(counts "$log_of_kernel.results" 0) |" \
    "$(grep -c 'second attempt' "$log_of_kernel.results" || true) | $((SECONDS - begun)) s |" >>"$table"
  notable "$log_of_kernel.results" | sed "s/^/$suite: /"
  ! grep -q ' FAILED' "$log_of_kernel.results" || failed=1
done

echo
cat "$table"
exit "$failed"
