#!/usr/bin/env bash
# Every test, in the order in which a mistake shows soonest.
set -euo pipefail
step() { scripts/step.sh "$@"; }

step "formatting" cargo fmt --all --check
step "Studio: dependencies and build" make --no-print-directory studio
step "Studio: types, lints, unit tests" bash -c 'cd studio && npm run --silent check && npm run --silent test'
step "lints (clippy)" cargo clippy --quiet --locked --workspace -- -D warnings
step "lints of the tests" cargo clippy --quiet --locked --workspace --all-targets -- -D warnings -A clippy::unwrap_used
step "other readers of Parquet and Avro (PyPI, once)" scripts/readers.sh
step "building tests and the binary" cargo test --quiet --locked --workspace --no-run
step "unit, property, golden, simulation and four-process tests" cargo test --locked --workspace --no-fail-fast
step "Studio in Chromium" bash -c 'cd studio && npm run --silent e2e'
