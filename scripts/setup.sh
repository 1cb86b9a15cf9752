#!/usr/bin/env bash
# Installs what a command needs and is missing. Usage: scripts/setup.sh up|xnode|guest|test|bench|bench-xnode|release
set -euo pipefail

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }

command -v cargo >/dev/null || fail "cargo is not on the PATH. Install Rust (https://rustup.rs), then run this again."
command -v node >/dev/null || fail "node is not on the PATH. Install Node.js 20 or newer, then run this again."
command -v npm >/dev/null || fail "npm is not on the PATH. It comes with Node.js; install it, then run this again."

rust=$(rustc --version | awk '{print $2}')
printf '1.94.0\n%s\n' "${rust%%-*}" | sort -CV || fail "Rust $rust is too old: 1.94 or newer is needed (rustup update)."
node_major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
[ "$node_major" -ge 20 ] || fail "Node $node_major is too old: 20 or newer is needed."

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need_system() { [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || packages+=("$2"); }
need cc build-essential
need curl curl
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
case "${1:-up}" in
  test)
    need chromium chromium; need ip iproute2; need_system nft nftables; need runc runc
    need_system mkfs.xfs xfsprogs; need_system mkfs.ext4 e2fsprogs; need_system losetup mount; need pgrep procps; need age age; need zstd zstd
    # libcontainer's helper is linked with it.
    [ -e /usr/include/seccomp.h ] || packages+=(libseccomp-dev)
    # Of the images' tests: a registry, and roots made of Debian packages.
    need docker-registry docker-registry; need mmdebstrap mmdebstrap
    # Of the tests of certificates by ACME: pebble is built with it.
    need go golang-go
    ;;
  xnode | bench-xnode)
    need ip iproute2; need_system nft nftables; need_system mkfs.xfs xfsprogs; need_system mkfs.ext4 e2fsprogs; need_system losetup mount
    # libcontainer's helper is linked with it; roots of recipes are made by the other.
    [ -e /usr/include/seccomp.h ] || packages+=(libseccomp-dev)
    need mmdebstrap mmdebstrap
    if [ "$1" = bench-xnode ]; then
      need chromium chromium; need podman podman; need_system runc runc; need restic restic; [ -d /usr/lib/postgresql ] || packages+=(postgresql)
      # Podman's package only recommends what its networks are made with.
      [ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins); need_system iptables iptables
    fi
    ;;
  guest)
    need qemu-system-x86_64 qemu-system-x86; need qemu-img qemu-utils; need mmdebstrap mmdebstrap; need_system mkfs.ext4 e2fsprogs
    ;;
  release)
    need zstd zstd; need git git
    ;;
  bench)
    need_system mkfs.xfs xfsprogs; [ -d /usr/lib/postgresql ] || packages+=(postgresql)
    # CometBFT is built with it, and with the library that ours recovers signers with.
    need go golang-go; [ -e /usr/include/secp256k1_recovery.h ] || packages+=(libsecp256k1-dev)
    need restic restic; need python3 python3; python3 -c 'import venv' 2>/dev/null || packages+=(python3-venv)
    ;;
esac
if [ ${#packages[@]} -gt 0 ]; then
  sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "these Debian packages are missing, and neither root nor sudo is to be had: ${packages[*]}"
    sudo=(sudo)
  fi
  say "installing Debian packages: ${packages[*]}"
  log=$(mktemp)
  "${sudo[@]}" apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; fail "apt-get update failed"; }
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$log" 2>&1 \
    || { tail -20 "$log" >&2; fail "apt-get install failed"; }
  rm -f "$log"
fi
if [ "${1:-up}" != up ] && [ "$1" != xnode ] && [ "$1" != guest ] && [ "$1" != release ]; then
  for component in rustfmt clippy; do
    cargo "${component/rust/}" --version >/dev/null 2>&1 || { command -v rustup >/dev/null && rustup component add "$component" >/dev/null 2>&1; } \
      || say "$component is not installed: its check will fail (rustup component add $component)"
  done
fi
# An authority for the tests of certificates, built once. Without it they say that they were skipped.
if [ "${1:-up}" = test ]; then
  pebble=2.10.1
  folder=${OPENMESH_PEBBLE:-$HOME/.cache/openmesh/pebble-$pebble}
  if [ ! -x "$folder/pebble" ] || [ ! -x "$folder/pebble-challtestsrv" ]; then
    say "building pebble $pebble (once)"
    log=$(mktemp)
    GOFLAGS=-mod=mod GOBIN=$folder go install "github.com/letsencrypt/pebble/v2/cmd/pebble@v$pebble" \
      "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv@v$pebble" >"$log" 2>&1 \
      || { tail -5 "$log" >&2; say "pebble cannot be built (Go 1.24 or newer is needed): the tests of certificates by ACME are skipped"; }
    rm -f "$log"
  fi
fi
