#!/usr/bin/env bash
# The steps of a release, for `make release` and .github/workflows/release.yml.
#
#   release.sh files              leaves in target/release-VERSION what a release has beside the image: the binaries and
#                                 Debian packages for amd64 and arm64, what the binary is made of (SBOM in CycloneDX's
#                                 form), SHA256SUMS. `make build` has built the binary of this machine before
#   release.sh check TAG              is the tag the version of Cargo.toml, with a section of its own in CHANGELOG.md?
#   release.sh image REPOSITORY DIR   makes one image of those in DIR/image-*.txt (what image.sh has pushed and
#                                     noted in target/image.txt), gives it its tags, prints its name and digest
#   release.sh github TAG DIR         makes the GitHub release, with what `files` has left in DIR
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)

into=$(realpath -m "${CARGO_TARGET_DIR:-target}")
cyclonedx=0.5.9
tools="$PWD/target/tools"
PATH="$PATH:$tools/bin"

fail() { printf 'release: %s\n' "$@" >&2; exit 1; }

# A version such as 1.2.0-rc.1 is neither `latest` nor `1.2`.
is_preview() { [[ $version == *-* ]]; }

# What CHANGELOG.md says of this version.
notes() { awk -v head="## [$version]" '/^## / { on = index($0, head) == 1; next } on' CHANGELOG.md; }

check() { # tag
  [ "$1" = "v$version" ] || fail "the tag is $1, but Cargo.toml says $version" "tag it v$version, or change the version first"
  notes | grep -q . || fail "CHANGELOG.md has no section [$version]" 'rename [Unreleased], in the commit that is tagged'
}

# What one of the two machines has built.
binary() { # machine, architecture, directory
  local target
  target=$(machine=$1 && . scripts/static-target.sh && echo "$target")
  cp "$into/$target/release/clearway" "$3/clearway-$version-linux-$2"
}

# What the binary is made of, without the tests; the architectures differ in nothing. cargo-cyclonedx writes beside each
# Cargo.toml and names the directory, so it is given a copy.
sbom() { # directory
  local copy=$1/copy
  if ! command -v cargo-cyclonedx >/dev/null; then
    echo "release: building cargo-cyclonedx $cyclonedx into $tools"
    cargo install --locked --quiet --root "$tools" "cargo-cyclonedx@$cyclonedx"
  fi
  mkdir "$copy"
  cp -r Cargo.toml Cargo.lock crates "$copy"
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git show --no-patch --format=%ct HEAD)} cargo cyclonedx --quiet --format json \
    --spec-version 1.5 --target x86_64-unknown-linux-musl --manifest-path "$copy/crates/clearway/Cargo.toml"
  sed "s#file://$copy#file:///clearway#g" "$copy/crates/clearway/clearway.cdx.json" >"$1/clearway-$version.cdx.json"
  rm -rf "$copy"
}

files() {
  local directory=$into/release-$version
  rm -rf "$directory"
  mkdir -p "$directory"
  PACKAGES=$directory scripts/deb.sh
  binary x86_64 amd64 "$directory"
  binary aarch64 arm64 "$directory"
  sbom "$directory"
  (cd "$directory" && sha256sum clearway* | tee SHA256SUMS)
  echo "release: $directory"
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
  check | files | image | github) "$@" ;;
  *) fail "not one of its steps: ${1:-nothing}" 'the head of this file lists them' ;;
esac
