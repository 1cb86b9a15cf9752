#!/usr/bin/env bash
# Runs one long step and says what it is and how long it took. Usage: scripts/step.sh NAME COMMAND...
set -euo pipefail
name=$1
shift
start=$SECONDS
printf '\033[1m==>\033[0m %s\n' "$name" >&2
if "$@"; then
  printf '\033[1m==>\033[0m %s: done in %d s\n' "${name%% (*}" $((SECONDS - start)) >&2
else
  code=$?
  printf '\033[31m==>\033[0m %s: failed after %d s\n' "${name%% (*}" $((SECONDS - start)) >&2
  exit "$code"
fi
