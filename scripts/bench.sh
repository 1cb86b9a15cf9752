#!/usr/bin/env bash
# Runs every benchmark of the member `benches`, and those against named peers in the same run on the same machine; prints one JSON object a
# line. Figures go to docs/benchmarks.md by hand, with the machine they were measured on. About an hour once everything is built, of which
# the memory of a network takes MEMORY_MINUTES (12) and CometBFT's turns with ours ROUNDS (3) times ten.
set -euo pipefail
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
recordings=${OPENMESH_RECORDINGS:-../shared/data}
repeat=${REPEAT:-20}
bench=${CARGO_TARGET_DIR:-$HOME/.cache/openmesh/target}/debug/openmesh-bench

# The form that `make up` runs, not that of the tests.
cargo build --locked --workspace --bins --examples

set_dir=$recordings/cf-KRAKEN-20210417
if [ -d "$set_dir" ]; then
  venv=$HOME/.cache/openmesh/bench-venv
  if [ ! -x "$venv/bin/python" ]; then
    say "installing cryptofeed from PyPI"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet cryptofeed==2.4.1
  fi
  say "normalise and apply to book, one core: cryptofeed as it is by default and with checksums, ours, then again (the best of each counts)"
  best() { python3 -c 'import json,sys; print(max(json.loads(l)["frames_per_second_best"] for l in sys.stdin))'; }
  by_default=$(mktemp) with_checksums=$(mktemp) ours=$(mktemp)
  for _ in 1 2; do
    taskset -c 0 "$venv/bin/python" benches/cryptofeed_normalise.py "$set_dir" "$repeat" | tee -a "$by_default"
    taskset -c 0 "$venv/bin/python" benches/cryptofeed_normalise.py "$set_dir" "$repeat" checksums | tee -a "$with_checksums"
    taskset -c 0 "$bench" normalise "$set_dir" "$repeat" | tee -a "$ours"
  done
  # Ours always checks them. The peer is cryptofeed as anyone gets it.
  python3 - "$(best <"$ours")" "$(best <"$by_default")" "$(best <"$with_checksums")" <<'PYTHON'
import json, sys
ours, default, checksums = map(float, sys.argv[1:])
print(json.dumps({
    "benchmark": "normalise", "unit": "frames a second", "ours": ours,
    "cryptofeed": default, "ratio": round(ours / default, 1),
    "cryptofeed_with_checksums": checksums, "ratio_with_checksums": round(ours / checksums, 1),
}))
PYTHON
else
  say "no recordings at $recordings: the comparison with cryptofeed is left out (set OPENMESH_RECORDINGS)"
fi

say "execute and commit transfers, one store, signatures apart; the index from accounts to transactions"
"$bench" throughput

say "a snapshot of 1,000,000 accounts: export, check, restore"
"${bench%/*}/examples/snapshot" 1000000

say "the disk after pruning 10,000 heights, against a store that never held them"
cargo test --quiet --locked --workspace --test it -- retention::the_disk_is_given_back --exact --nocapture

say "committed transfers: four validators in processes of their own, loaded through their API, signatures verified"
"$bench" transfers

say "the processor time of a committed transfer by part"
"$bench" transfers --profile

say "the pause between blocks with one of four validators down"
"$bench" transfers --one-down

say "single transfers on the idle network"
"$bench" transfers --single 100

say "memory of each process of a simulated network"
"$bench" memory --minutes "${MEMORY_MINUTES:-12}"

# The peer's side, with an application that verifies the same signatures; its own tests say that it does.
cometbft=$HOME/.cache/openmesh/bench-cometbft
say "building CometBFT (Go 1.22 or newer, libsecp256k1-dev)"
if (cd benches/cometbft && go test ./... >&2 && go build -o "$cometbft" .); then
  say "committed transfers beside CometBFT: its kvstore without signatures, and the same signatures; as it comes and in its best configuration"
  # The last one: it ends with an error where a bar is not met.
  "$bench" transfers --beside "$cometbft" --seconds "${BESIDE_SECONDS:-60}" --rounds "${ROUNDS:-3}"
else
  say "it cannot be built: the comparison with CometBFT is left out"
fi
