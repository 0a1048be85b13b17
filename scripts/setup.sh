#!/usr/bin/env bash
# Installs by apt what the build, the tests and the demo call and this machine lacks. Says what it installs;
# changes nothing, and needs no root, where everything is there. Leaves no service running that was not
# running before, and touches none that was.
#
#   setup.sh            what the build, the tests and the demo call
#   setup.sh image      and what `make image` calls where no registry can be reached
#   setup.sh roots      and what `make test-haproxy` calls: roots of other Debian releases
#   setup.sh vm         and what `make test-kernels` calls: virtual machines
#   setup.sh deb        and what `make deb` calls: lintian, a linker and an emulator for the other architecture
#   setup.sh foreign    and what `make image ARCHITECTURE=...` calls: these, and a base of the other architecture
#   setup.sh fuzz       and what `make fuzz` calls: a compiler for libFuzzer, which is C++
#   setup.sh bench      and what `make bench-transparent` and `make bench-reload` compare with: nginx, iptables
#   setup.sh events     and what `make bench-events` compares with: nginx, Caddy, iptables
set -euo pipefail

fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

# Administrators' programs, also where an ordinary user has no sbin in PATH.
PATH="$PATH:/usr/sbin:/sbin"

command -v cargo >/dev/null || fail "cargo is not in PATH" \
  'install Rust from https://rustup.rs; under sudo keep path and home: sudo env "PATH=$PATH" "HOME=$HOME" make ...'

# What is called, and the package that has it (Debian and Ubuntu).
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need nft nftables
need ip iproute2
need ss iproute2
need nsenter util-linux
need unshare util-linux
need setpriv util-linux
need prlimit util-linux
need openssl openssl
need findmnt util-linux
need mount mount
need cc gcc
need keepalived keepalived
need promtool prometheus
need busybox busybox-static
# The page is looked at in a real browser. Ubuntu has one as a snap only, which does not run in a namespace of ours.
if grep -qs '^ID=debian$' /etc/os-release; then
  need chromium chromium
  need chromedriver chromium-driver
  [ -d /usr/share/fonts/truetype ] || missing+=(fonts-liberation)
fi
[ -x /usr/sbin/haproxy ] || [ -n "${HAPROXY_BIN:-}" ] || missing+=(haproxy)
case ${1:-} in
  image | roots | vm)
    need mmdebstrap mmdebstrap
    ;;&
  roots | vm)
    need patchelf patchelf
    # Ubuntu has it as a package, too.
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
    ;;&
  vm)
    need qemu-system-x86_64 qemu-system-x86
    need cpio cpio
    need depmod kmod
    ;;
  deb)
    need lintian lintian
    ;;&
  foreign)
    need mmdebstrap mmdebstrap
    need arch-test arch-test
    need jq jq
    ;;&
  deb | foreign)
    case $(uname -m) in
      x86_64) need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu ;;
      aarch64) need x86_64-linux-gnu-gcc gcc-x86-64-linux-gnu ;;
    esac
    command -v qemu-aarch64-static >/dev/null || command -v qemu-aarch64 >/dev/null || missing+=(qemu-user-static)
    ;;
  fuzz)
    need c++ g++
    ;;
  bench | events)
    need iptables iptables
    need ip6tables iptables
    ;;&
  events)
    need nginx nginx
    need caddy caddy
    ;;
  bench)
    # It brings nginx.
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
    ;;
esac
# The linker needs the C library's start files; gcc only recommends them.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ "${#missing[@]}" -gt 0 ] || exit 0

mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
command -v apt-get >/dev/null ||
  fail "missing: ${packages[*]}" "this machine has no apt-get: install what these Debian packages are called here"
[ "$(id -u)" -eq 0 ] || fail "missing: ${packages[*]}" 'installing needs root: sudo env "PATH=$PATH" "HOME=$HOME" make setup'

echo "setup: installing ${packages[*]}"

# Services that come with these packages, where they were not installed before.
services=()
for service in haproxy keepalived nginx caddy prometheus; do
  files=({/etc,/usr/lib,/lib}/systemd/system/$service.service)
  there=no
  for file in "${files[@]}"; do [ ! -e "$file" ] || there=yes; done
  [ "$there" = yes ] || services+=("$service.service")
done

# Debian starts the service of a package that it installs, unless this file forbids it. One that is there
# already is another one's and stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
"${apt[@]}" update </dev/null
"${apt[@]}" install --yes --no-install-recommends "${packages[@]}" </dev/null

# Nor at the next boot. A unit that was there before is left as it is.
for service in "${services[@]}"; do
  [ -e "/lib/systemd/system/$service" ] || [ -e "/usr/lib/systemd/system/$service" ] || continue
  if command -v systemctl >/dev/null; then
    systemctl disable --now "$service" >/dev/null 2>&1 || true
  else
    deb-systemd-helper disable "$service" >/dev/null 2>&1 || true
  fi
  echo "setup: $service, which came with the package, is not running and disabled"
done
