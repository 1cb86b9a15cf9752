#!/usr/bin/env bash
# Makes the disk of a fresh Debian machine, its kernel and its initial file system, once for each content of this folder. Usage: base.sh FOLDER
#
# Prints the folder with disk.img, kernel and initrd. Everything comes from Debian. The machine has what `scripts/setup.sh xnode` installs, a registry of
# images on its loopback with one small image (there is no network), and a service that runs commands from a port of virtio (commands.sh).
set -euo pipefail
script=$(realpath "$0")
here=$(dirname "$script")
packages=(linux-image-cloud-amd64 initramfs-tools systemd-sysv udev kmod procps jq curl docker-registry
  ca-certificates iproute2 nftables xfsprogs e2fsprogs mount libseccomp2 mmdebstrap)

# furnish ROOT: what the machine has beside its packages; run by mmdebstrap, which alone mounts anything there.
furnish() {
  local root=$1 unit
  echo xnode-guest >"$root/etc/hostname"
  printf 'MODULES=list\nCOMPRESS=gzip\n' >"$root/etc/initramfs-tools/conf.d/guest"
  printf '%s\n' virtio_pci virtio_blk ext4 >>"$root/etc/initramfs-tools/modules"
  chroot "$root" update-initramfs -u
  # Nothing begins by itself while something is measured or cut.
  for unit in {apt-daily,apt-daily-upgrade,dpkg-db-backup,e2scrub_all,fstrim}.timer e2scrub_reap.service getty.target; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
  done
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
  stock "$root"
}

# stock ROOT: the image `site:1` in the registry, which is busybox as Debian links it statically.
stock() {
  local root=$1 work layer config manifest link media=application/vnd.oci.image
  local storage=$root/var/lib/docker-registry/docker/registry/v2
  work=$(mktemp -d)
  (cd "$work" && chmod 755 . && apt-get -qq -o APT::Sandbox::User=root download busybox-static && dpkg -x busybox-static_*.deb package)
  mkdir -p "$work"/image/{bin,data,srv,tmp,etc,proc,sys,dev,run}
  cp "$work/package/bin/busybox" "$work/image/bin/"
  ln -s busybox "$work/image/bin/sh"
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/image" -cf "$work/layer" .
  layer=$(blob "$storage" "$work/layer")
  printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$layer" >"$work/config"
  config=$(blob "$storage" "$work/config")
  printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"%s","digest":"sha256:%s","size":%d}]}' \
    $media.manifest.v1+json $media.config.v1+json "$config" "$(stat -c %s "$work/config")" \
    $media.layer.v1.tar "$layer" "$(stat -c %s "$work/layer")" >"$work/manifest"
  manifest=$(blob "$storage" "$work/manifest")
  for link in revisions/sha256/"$manifest" tags/1/current tags/1/index/sha256/"$manifest"; do
    mkdir -p "$storage/repositories/site/_manifests/$link"
    printf 'sha256:%s' "$manifest" >"$storage/repositories/site/_manifests/$link/link"
  done
  rm -r "$work"
  chroot "$root" chown -R docker-registry: /var/lib/docker-registry
  cat >"$root/etc/docker/registry/config.yml" <<'CONFIG'
version: 0.1
storage:
  filesystem:
    rootdirectory: /var/lib/docker-registry
http:
  addr: 127.0.0.1:5000
CONFIG
}

# blob STORAGE FILE: puts a file into a registry, which is a folder of blobs by digest and of links to them; prints the digest.
blob() {
  local digest
  digest=$(sha256sum "$2" | cut -d' ' -f1)
  install -D -m 644 "$2" "$1/blobs/sha256/${digest:0:2}/$digest/data"
  mkdir -p "$1/repositories/site/_layers/sha256/$digest"
  printf 'sha256:%s' "$digest" >"$1/repositories/site/_layers/sha256/$digest/link"
  echo "$digest"
}

# make FOLDER: kernel, initrd and disk.img in it.
make() {
  mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook="'$script' --furnish \"\$1\"" bookworm "$1/root.tar"
  mkdir "$1/root"
  tar -C "$1/root" --numeric-owner --xattrs -xf "$1/root.tar"
  cp "$1"/root/boot/vmlinuz-* "$1/kernel"
  cp "$1"/root/boot/initrd.img-* "$1/initrd"
  rm -rf --one-file-system "$1"/root/boot/*
  mkfs.ext4 -q -L root -d "$1/root" "$1/disk.img" 8G
  rm -rf --one-file-system "$1/root" "$1/root.tar"
}

if [ "$1" = --furnish ]; then furnish "$2" >&2; exit; fi
folder=$(realpath "$1")
base=$folder/base-$(cat "$here"/{base,commands}.sh | sha256sum | cut -c1-16)
exec 9>"$folder/lock"
flock 9
if [ ! -d "$base" ]; then
  rm -rf --one-file-system "$folder"/base-* "$folder"/making
  mkdir "$folder/making"
  make "$folder/making" >&2
  mv "$folder/making" "$base"
fi
echo "$base"
