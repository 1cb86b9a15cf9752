#!/usr/bin/env bash
# Fuzzes decoders with libFuzzer. Usage: scripts/fuzz.sh [SECONDS] [TARGET...]
# Each target runs for SECONDS (60), one after the other; without names, those that are quick to build. `all` means every
# target, `list` prints their names. Corpora stay in fuzz/corpus, what breaks a promise in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }

# name and the feature it needs (none: -), from the package itself
listed() {
  awk '/^\[\[bin\]\]/ {if (name) print name, feature; name=""; feature="-"}
       /^name = / && NR>12 {gsub(/"/, "", $3); name=$3}
       /^required-features/ {gsub(/[\["\]]/, "", $3); feature=$3}
       END {if (name) print name, feature}' fuzz/Cargo.toml
}

seconds=60
if [[ ${1:-} =~ ^[0-9]+$ ]]; then seconds=$1; shift; fi
case "${1:-}" in
  list) listed; exit ;;
  all) mapfile -t targets < <(listed | awk '{print $1}') ;;
  "") mapfile -t targets < <(listed | awk '$2 == "-" {print $1}') ;;
  *) targets=("$@") ;;
esac

export CARGO_TARGET_DIR="${FUZZ_TARGET_DIR:-$HOME/.cache/openmesh/fuzz-target}"
command -v cargo-fuzz >/dev/null || {
  say "installing cargo-fuzz"
  cargo install --quiet --locked cargo-fuzz
}
# Coverage alone: there is no unsafe code of our own, and without a sanitizer no standard library has to be rebuilt and
# an input costs a third. FUZZ_SANITIZER=address takes the dependencies' unsafe code in too, and needs nightly.
sanitizer=${FUZZ_SANITIZER:-none}
toolchain=()
if command -v rustup >/dev/null && rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
  toolchain=(+nightly)
elif [ "$sanitizer" != none ]; then
  fail "a sanitizer needs the nightly toolchain (rustup toolchain install nightly)"
else
  export RUSTC_BOOTSTRAP=1
fi

failed=()
for target in "${targets[@]}"; do
  feature=$(listed | awk -v name="$target" '$1 == name {print $2}')
  [ -n "$feature" ] || fail "there is no target $target: scripts/fuzz.sh list"
  features=()
  [ "$feature" = - ] || features=(--features "$feature")
  corpus="$PWD/fuzz/corpus/$target"
  mkdir -p "$corpus"
  say "$target for $seconds s"
  # -fork=0: one process, so that figures are of one core. The longest input is what a target looks at.
  FUZZ_SEEDS="$corpus" nice -n 10 cargo "${toolchain[@]}" fuzz run --fuzz-dir fuzz --sanitizer "$sanitizer" \
    "${features[@]}" ${FUZZ_JOBS:+--jobs "$FUZZ_JOBS"} "$target" "$corpus" -- \
    -max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -fork=0 -print_final_stats=1 \
    || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || fail "a promise was broken by: ${failed[*]} (fuzz/README.md says how to replay)"
