#!/usr/bin/env bash
# Installs by apt what the build, the tests and the demo call and this machine lacks. Says what it installs;
# changes nothing, and needs no root, where everything is there. Leaves no HAProxy service running that was not
# running before, and touches none that was.
#
#   setup.sh            what the build, the tests and the demo call
#   setup.sh image      and what `make image` calls where no registry can be reached
#   setup.sh roots      and what `make test-haproxy` calls: roots of other Debian releases
#   setup.sh vm         and what `make test-kernels` calls: virtual machines
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
esac
# The linker needs the C library's start files; gcc only recommends them.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ "${#missing[@]}" -gt 0 ] || exit 0

mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
command -v apt-get >/dev/null ||
  fail "missing: ${packages[*]}" "this machine has no apt-get: install what these Debian packages are called here"
[ "$(id -u)" -eq 0 ] || fail "missing: ${packages[*]}" 'installing needs root: sudo env "PATH=$PATH" "HOME=$HOME" make setup'

echo "setup: installing ${packages[*]}"

unit_files=(/etc/systemd/system/haproxy.service /usr/lib/systemd/system/haproxy.service /lib/systemd/system/haproxy.service)
has_unit() { local file; for file in "${unit_files[@]}"; do [ ! -e "$file" ] || return 0; done; return 1; }
had_unit=no; has_unit && had_unit=yes

# Debian starts the service of a package that it installs, unless this file forbids it. One that is there
# already belongs to somebody else and stays.
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
if [ "$had_unit" = no ] && has_unit; then
  if command -v systemctl >/dev/null; then
    systemctl disable --now haproxy.service >/dev/null 2>&1 || true
  else
    deb-systemd-helper disable haproxy.service >/dev/null 2>&1 || true
  fi
  echo "setup: haproxy.service, which came with the package, is not running and disabled"
fi
