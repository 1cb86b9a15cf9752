#!/usr/bin/env bash
# Every test, in the order in which a mistake shows soonest. Studio's own part runs beside cargo's lints and builds, of which each leaves
# cores idle for a while; it is told when these are over. It goes before them: its pages hold waits against the clock.
set -euo pipefail
step() { scripts/step.sh "$@"; }

step "formatting" cargo fmt --all --check
step "Studio: dependencies and build" make --no-print-directory studio
step "other readers of Parquet and Avro (PyPI, once)" scripts/readers.sh

said=$(mktemp)
setsid scripts/step.sh "Studio: types, lints, unit tests" \
  bash -c 'cd studio && npm run --silent check && npm run --silent test' >"$said" 2>&1 &
studio=$!
trap 'kill -- "-$studio" 2>/dev/null || true; rm -f "$said"' EXIT
step "lints (clippy)" nice -n 5 cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
# What is shipped has no feature that only tests ask for. Where there is none of these, nothing is checked twice.
step "lints of the product without its tests" nice -n 5 cargo clippy --quiet --locked --workspace -- -D warnings
step "building tests and the binary" nice -n 5 cargo test --quiet --locked --workspace --no-run
code=0
wait "$studio" || code=$?
cat "$said" >&2
trap - EXIT
rm -f "$said"
[ "$code" = 0 ] || exit "$code"

step "unit, property, golden, simulation and four-process tests, Studio in Chromium" \
  "${CARGO_TARGET_DIR:-target}/debug/openmesh-tests"
