#!/usr/bin/env bash
# Measures against the named peers, in the same run on the same machine, and prints one JSON object a line.
# Figures go to docs/benchmarks.md by hand, with the machine they were measured on.
set -euo pipefail
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
recordings=${OPENMESH_RECORDINGS:-../shared/data}
repeat=${REPEAT:-20}
binaries=${CARGO_TARGET_DIR:-$HOME/.cache/openmesh/target}/debug/examples

cargo build --locked --workspace --examples

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
    taskset -c 0 "$binaries/normalise" "$set_dir" "$repeat" | tee -a "$ours"
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

say "execute and commit transfers, one store, signatures apart"
"$binaries/throughput"

say "committed transfers: four validators in processes of their own, loaded through their API, signatures verified"
cargo build --locked --workspace
"$binaries/../openmesh" bench transfers
