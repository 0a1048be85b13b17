# Sourced, not run: lets the kernel start programs of another architecture by qemu-user, until `forget_foreign`. Changes
# nothing where it can already. The kernel opens the emulator at once (`F`), so that it need not be in a container.
# shellcheck shell=bash

foreign_entry='' foreign_mounted=''

# The first bytes of an ELF program of a machine, as binfmt_misc wants them (qemu's scripts/qemu-binfmt-conf.sh has the same
# fields: class 64, little endian, version 1, type 2 or 3, machine).
foreign_magic() { # machine
  case $1 in
    aarch64) printf '%s' '\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00' ;;
    x86_64) printf '%s' '\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00' ;;
    *) return 1 ;;
  esac
}

know_foreign() { # machine
  local place=/proc/sys/fs/binfmt_misc emulator entry
  if [ ! -e "$place/register" ]; then
    mount -t binfmt_misc binfmt_misc "$place" || {
      echo "foreign: this kernel runs no programs of $1: it has no binfmt_misc, or this needs root" >&2
      return 1
    }
    foreign_mounted=$place
  fi
  for entry in "$place"/qemu-"$1"*; do
    [ ! -e "$entry" ] || ! grep -q ^enabled "$entry" || return 0
  done
  emulator=$(command -v "qemu-$1-static") || { echo "foreign: no qemu-$1-static: install qemu-user-static" >&2; return 1; }
  foreign_entry=$place/qemu-$1-clearway
  printf '%s' ":qemu-$1-clearway:M::$(foreign_magic "$1"):\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:$emulator:FC" \
    >"$place/register"
}

forget_foreign() {
  [ -z "$foreign_entry" ] || [ ! -e "$foreign_entry" ] || echo -1 >"$foreign_entry"
  [ -z "$foreign_mounted" ] || umount "$foreign_mounted" 2>/dev/null || true
}
