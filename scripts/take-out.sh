# Sourced, not run: programs of other Debian releases on this machine.
# shellcheck shell=bash

# Puts a program of an unpacked root and its libraries into a directory, as one executable that starts by itself. Started
# through its root's dynamic loader it would not know its own name: /proc/self/exe would be the loader, and a HAProxy
# that executes itself anew would not find itself. So the loader is written into a copy.
take_out() { # root, program in it, into
  local root=$1 program=$1$2 into=$3 name=${2##*/} loader places
  mkdir -p "$into/lib"
  loader=$(find "$root" -type f -name 'ld-linux-*.so.*' -print -quit)
  # Links in such a root may be absolute, to where this machine has its own: libraries are looked for by place.
  places=$(find "$root" -path '*/lib/*.so*' -printf '%h\n' | sort -u | paste -sd:)
  cp "$loader" "$into/lib/loader"
  # Lines such as `libz.so.1 => /path/libz.so.1 (0x...)`.
  "$loader" --library-path "$places" --list "$program" | awk '$2 == "=>" { print $3 }' |
    while read -r library; do
      case $library in
        "$root"/*) cp -L "$library" "$into/lib/" ;;
        *ld-linux*) ;;
        *) echo "take-out: $root has no ${library##*/}" >&2; exit 1 ;;
      esac
    done
  cp "$program" "$into/$name"
  patchelf --set-interpreter "$into/lib/loader" --force-rpath --set-rpath "$into/lib" "$into/$name"
}
