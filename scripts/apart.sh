#!/usr/bin/env bash
# Runs a command in a network namespace of its own, which has nothing but loopback: Chromium cuts every request that waits for a connection
# when an address comes to the machine or leaves it, as with each application of a test. Where no namespace is to be had (without root nobody
# makes links either) the command runs as it is. Usage: scripts/apart.sh COMMAND...
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
unshare --net -- ip link set lo up 2>/dev/null || exec "$@"
exec unshare --net -- sh -c 'ip link set lo up && exec "$@"' sh "$@"
