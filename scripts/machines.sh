#!/usr/bin/env bash
# Machines on one machine, for trying what is meant for several: network namespaces at a switch, each with an address of its own. As root.
# Usage: scripts/machines.sh up N            N machines, 10.77.0.1 to 10.77.0.N
#        scripts/machines.sh on M COMMAND    runs a command on machine M
#        scripts/machines.sh unplug M        takes machine M off the switch; what runs on it goes on
#        scripts/machines.sh plug M          puts it back
#        scripts/machines.sh wait M BLOCKS   until the node on machine M has so many blocks more
#        scripts/machines.sh level M OTHER   until the node on machine M has the blocks that the one on OTHER has now
#        scripts/machines.sh down            ends everything on the machines, and removes them
# The switch is a namespace as well, so nothing of this machine's own network is touched. OPENMESH_MACHINES is the first part of their names (om): with
# another one a second set stands beside the first.
set -euo pipefail
name=${OPENMESH_MACHINES:-om}
openmesh=${OPENMESH:-openmesh}
# Longest time for a block, seconds: of a network of which some are away, on a machine that is busy.
patience=${PATIENCE:-180}
fail() { echo "error: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "namespaces need root"
command -v ip >/dev/null || fail "ip is missing: apt-get install iproute2"

machine() { [[ ${1:-} =~ ^[1-9][0-9]?$ ]] || fail "a machine is a number from 1 to 99, not '${1:-}'"; }
# Reads all of the list: a reader that ends at the first match may end `ip` by a broken pipe, which counts as a failure here.
there() { ip netns list | awk -v name="$1" '$1 == name { found = 1 } END { exit !found }'; }
# Also where the node has open alerts, which is its exit code.
height() { { ip netns exec "$name-$1" "$openmesh" validator status --json 2>/dev/null || true; } | sed -n 's/^  "height": \([0-9]*\),$/\1/p'; }

# The height of a node that has to answer now.
height_of() {
  local found
  found=$(height "$1")
  [ -n "$found" ] || fail "the node on machine $1 does not answer"
  echo "$found"
}

up() {
  machine "$1"
  ! there "$name-switch" || fail "the machines are up: scripts/machines.sh down removes them"
  ip netns add "$name-switch"
  ip -n "$name-switch" link add switch type bridge
  ip -n "$name-switch" link set switch up
  for m in $(seq "$1"); do
    ip netns add "$name-$m"
    ip link add eth0 netns "$name-$m" type veth peer name "port$m" netns "$name-switch"
    ip -n "$name-switch" link set "port$m" master switch up
    ip -n "$name-$m" link set lo up
    ip -n "$name-$m" address add "10.77.0.$m/24" dev eth0
    ip -n "$name-$m" link set eth0 up
  done
}

down() {
  local all
  all=$(ip netns list | awk -v name="$name" '$1 == name "-switch" || $1 ~ "^" name "-[0-9]+$" { print $1 }')
  for space in $all; do
    # Of these namespaces alone.
    ip netns pids "$space" | xargs -r kill 2>/dev/null || true
  done
  for space in $all; do
    for _ in $(seq 100); do [ -n "$(ip netns pids "$space")" ] || break; sleep 0.1; done
    ip netns pids "$space" | xargs -r kill -KILL 2>/dev/null || true
    ip netns delete "$space"
  done
}

wait_for() {
  local now=0 seen wanted=$2 since=$SECONDS
  while :; do
    seen=$(height "$1")
    [ "${seen:-0}" -lt "$wanted" ] || return 0
    if [ "${seen:-0}" -gt "$now" ]; then now=$seen since=$SECONDS; fi
    [ $((SECONDS - since)) -lt "$patience" ] || fail "machine $1 has ${seen:-no answer} and not $wanted, and no block came for $patience s"
    sleep 0.5
  done
}

case ${1:-} in
  up) up "${2:-5}" ;;
  down) down ;;
  on)
    machine "${2:-}"
    there "$name-$2" || fail "there is no machine $2: scripts/machines.sh up 5"
    space=$name-$2
    shift 2
    exec ip netns exec "$space" "$@"
    ;;
  unplug | plug)
    machine "${2:-}"
    ip -n "$name-switch" link set "port$2" "$([ "$1" = plug ] && echo up || echo down)"
    ;;
  wait)
    machine "${2:-}"
    from=$(height_of "$2")
    wait_for "$2" $((from + ${3:-1}))
    ;;
  level)
    machine "${2:-}"
    machine "${3:-}"
    wanted=$(height_of "$3")
    wait_for "$2" "$wanted"
    ;;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
