#!/usr/bin/env bash
# Packs a release: binary, licence, notices, unit, container recipe and guide, as tar.zst and tar.gz with their checksums. The same inputs make the same bytes.
# Usage: scripts/release.sh BINARY NOTICES OUT
#
# Times are that of the newest commit, or of SOURCE_DATE_EPOCH; owners are numbers; entries are sorted; modes do not depend on the umask.
set -euo pipefail
binary=$(realpath "$1") notices=$(realpath "$2")
mkdir -p "$3"
out=$(realpath "$3")
root=$(realpath "$(dirname "$0")/..")
for program in tar zstd gzip sha256sum; do
  command -v $program >/dev/null || { echo "$program is missing: apt-get install tar zstd gzip coreutils" >&2; exit 1; }
done
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
[ -n "$version" ] || { echo "Cargo.toml names no version" >&2; exit 1; }
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
name=openmesh-$version-$(uname -m)-linux
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

tree=$folder/$name
install -D -m 755 "$binary" "$tree/openmesh"
install -m 644 "$root/LICENSE" "$tree/LICENSE"
install -m 644 "$notices" "$tree/NOTICES"
install -m 644 "$root/packaging/openmesh-node.service" "$root/packaging/Containerfile" "$root/packaging/openmesh-node.yaml" "$tree/"
install -D -m 644 "$root/docs/guide/operate.md" "$tree/docs/guide/operate.md"
install -D -m 644 "$root/docs/spec/operators.md" "$tree/docs/spec/operators.md"
find "$tree" -type d -exec chmod 755 {} +
(cd "$tree" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >"$folder/sums")
install -m 644 "$folder/sums" "$tree/SHA256SUMS"

# Of GNU's tar alone: POSIX headers would hold the time of now.
LC_ALL=C tar --create --file "$folder/tar" --directory "$folder" --format=gnu --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=go-w "$name"
# One thread: the number of processors would be in the bytes.
zstd --quiet --force -19 --single-thread "$folder/tar" -o "$out/$name.tar.zst"
gzip --no-name -9 <"$folder/tar" >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" "$name.tar.zst" >SHA256SUMS)
cat "$out/SHA256SUMS"
