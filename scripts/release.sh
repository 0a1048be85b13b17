#!/usr/bin/env bash
# The steps of a release, for .github/workflows/release.yml.
#
#   release.sh check TAG              is the tag the version of Cargo.toml, with a section of its own in CHANGELOG.md?
#   release.sh image REPOSITORY DIR   makes one image of those in DIR/image-*.txt (what image.sh has pushed and
#                                     noted in target/image.txt), gives it its tags, prints its name and digest
#   release.sh github TAG DIR         makes the GitHub release, with DIR/clearway-* and DIR/SHA256SUMS
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)

fail() { printf 'release: %s\n' "$@" >&2; exit 1; }

# A version such as 1.2.0-rc.1 is neither `latest` nor `1.2`.
is_preview() { [[ $version == *-* ]]; }

# What CHANGELOG.md says of this version.
notes() { awk -v head="## [$version]" '/^## / { on = index($0, head) == 1; next } on' CHANGELOG.md; }

check() { # tag
  [ "$1" = "v$version" ] || fail "the tag is $1, but Cargo.toml says $version" "tag it v$version, or change the version first"
  notes | grep -q . || fail "CHANGELOG.md has no section [$version]" 'rename [Unreleased], in the commit that is tagged'
}

image() { # repository, directory
  local repository=${1,,} file name haproxy both='' digest images=() tags=()
  for file in "$2"/image-*.txt; do
    read -r name haproxy <"$file"
    images+=("$name")
    [ "$haproxy" = "${both:=$haproxy}" ] || fail "the images differ in their HAProxy: $both and $haproxy" 'build them anew'
  done
  tags=("$version" "$version-haproxy$both")
  is_preview || tags+=("${version%.*}" latest)
  docker buildx imagetools create "${tags[@]/#/--tag=$repository:}" "${images[@]}" >&2
  digest=$(docker buildx imagetools inspect --format '{{json .Manifest}}' "$repository:$version" | jq --raw-output .digest)
  printf 'name=%s\ndigest=%s\n' "$repository" "$digest"
}

github() { # tag, directory
  local options=(--verify-tag --title "Clearway $version" --notes-file -)
  ! is_preview || options+=(--prerelease)
  notes | gh release create "$1" "${options[@]}" "$2"/clearway-* "$2/SHA256SUMS"
}

case ${1:-} in
  check | image | github) "$@" ;;
  *) fail "not one of its steps: ${1:-nothing}" 'the head of this file lists them' ;;
esac
