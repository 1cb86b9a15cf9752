#!/usr/bin/env bash
# Makes the disk of a fresh Debian machine, its kernel and its initial file system, once for each content of this folder. Usage: base.sh FOLDER
#
# Prints the folder with disk.img, kernel and initrd. Everything comes from Debian. The machine has what `scripts/setup.sh xnode` installs, a registry of
# images on its loopback with one small image (there is no network), and a service that runs commands from a port of virtio (commands.sh).
set -euo pipefail
here=$(dirname "$(realpath "$0")")
base=$1/base-$(cat "$here"/{base,commands}.sh | sha256sum | cut -c1-16)
if [ -e "$base/whole" ]; then echo "$base"; exit; fi
rm -rf "$1"/base-* && mkdir -p "$base"
root=$base/root

packages=(linux-image-cloud-amd64 initramfs-tools systemd-sysv udev kmod procps jq curl docker-registry
  ca-certificates iproute2 nftables xfsprogs e2fsprogs mount libseccomp2 mmdebstrap)
mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$root" >&2

echo xnode-guest >"$root/etc/hostname"
printf 'MODULES=list\nCOMPRESS=gzip\n' >"$root/etc/initramfs-tools/conf.d/guest"
printf '%s\n' virtio_pci virtio_blk ext4 >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u >&2
cp "$root"/boot/vmlinuz-* "$base/kernel"
cp "$root"/boot/initrd.img-* "$base/initrd"
# Nothing begins by itself while something is measured or cut.
for unit in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do ln -sf /dev/null "$root/etc/systemd/system/$unit.timer"; done

install -D -m 755 "$here/commands.sh" "$root/usr/local/lib/guest/commands"
cat >"$root/etc/systemd/system/guest-commands.service" <<'UNIT'
[Unit]
Description=Commands from the port of the machine that this guest is in
[Service]
ExecStart=/usr/local/lib/guest/commands
KillMode=process
Restart=always
[Install]
WantedBy=multi-user.target
UNIT
ln -s ../guest-commands.service "$root/etc/systemd/system/multi-user.target.wants/"
mkdir -p "$root/media/given"
echo 'LABEL=given /media/given ext4 ro 0 0' >>"$root/etc/fstab"

# The image `site:1`: busybox, as Debian links it statically. A registry is a folder of blobs by digest, and of links to them.
registry=$root/var/lib/docker-registry
storage=$registry/docker/registry/v2
blob() { # puts a file in, and prints its digest
  local digest; digest=$(sha256sum "$1" | cut -d' ' -f1)
  install -D -m 644 "$1" "$storage/blobs/sha256/${digest:0:2}/$digest/data"
  mkdir -p "$storage/repositories/site/_layers/sha256/$digest"
  printf 'sha256:%s' "$digest" >"$storage/repositories/site/_layers/sha256/$digest/link"
  echo "$digest"
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && chmod 755 . && apt-get -qq -o APT::Sandbox::User=root download busybox-static && dpkg -x busybox-static_*.deb package) >&2
mkdir -p "$work"/image/{bin,data,srv,tmp,etc,proc,sys,dev,run}
cp "$work/package/bin/busybox" "$work/image/bin/"
ln -s busybox "$work/image/bin/sh"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/image" -cf "$work/layer" .
layer=$(blob "$work/layer")
printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$layer" >"$work/config"
config=$(blob "$work/config")
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"%s","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"%s","digest":"sha256:%s","size":%d}]}' \
  application/vnd.oci.image.config.v1+json "$config" "$(stat -c %s "$work/config")" \
  application/vnd.oci.image.layer.v1.tar "$layer" "$(stat -c %s "$work/layer")" >"$work/manifest"
manifest=$(blob "$work/manifest")
for link in revisions/sha256/"$manifest" tags/1/current tags/1/index/sha256/"$manifest"; do
  mkdir -p "$storage/repositories/site/_manifests/$link"
  printf 'sha256:%s' "$manifest" >"$storage/repositories/site/_manifests/$link/link"
done
chroot "$root" chown -R docker-registry: /var/lib/docker-registry
cat >"$root/etc/docker/registry/config.yml" <<'CONFIG'
version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/docker-registry
http:
  addr: 127.0.0.1:5000
CONFIG

rm -rf "$root"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
mkfs.ext4 -q -L root -d "$root" "$base/disk.img" 8G
rm -rf "$root"
touch "$base/whole"
echo "$base"
