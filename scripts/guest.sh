#!/usr/bin/env bash
# Tries the Xnode on a machine of its own: QEMU without KVM, Debian with systemd and control groups v2 alone, no network. Usage: scripts/guest.sh OPENMESH
#
# OPENMESH is the one file of `make install`. Kernel and disk are made once, and kept in GUEST_CACHE. CUTS are the numbers of events of a deployment after
# which the power is cut. A cut is a kill of QEMU on a disk of which QEMU itself knows the newest writes until the guest flushes (qcow2 keeps the places of new
# clusters in memory): what was not synced is lost as in a disk's own cache, in no order.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "making a disk needs root" >&2; exit 1; }
here=$(dirname "$(realpath "$0")")/guest
binary=$(realpath "$1")
cache=${GUEST_CACHE:-$HOME/.cache/openmesh/guest}
cuts=${CUTS:-1 2 3 5 7 9 12 16}
# A busy machine takes several times as long.
patience=${PATIENCE:-4}
mkdir -p "$cache"
base=$("$here/base.sh" "$cache")
folder=$(mktemp -d -p "$cache")
machine= lost= results=() said= disk= layers=0

end() {
  code=$?
  [ -z "$machine" ] || kill -KILL "$machine" 2>/dev/null || true
  wait
  rm -rf "$folder"
  exit $code
}
trap end EXIT

# Files for the guest, on a disk of their own.
mkdir "$folder/given"
cp "$binary" "$folder/given/openmesh"
cp "$here/xnode.sh" "$folder/given/"
mkfs.ext4 -q -L given -d "$folder/given" "$folder/given.img" "$(($(stat -c %s "$binary") / 1048576 * 5 / 4 + 32))M"
rm -r "$folder/given"

# The next disk, over the present one: every first write to it needs a new cluster.
next_disk() {
  local below=${disk:-$base/disk.img} format=qcow2
  [ -n "$disk" ] || format=raw
  layers=$((layers + 1)) disk=$folder/disk$layers.qcow2
  qemu-img create -q -f qcow2 -o cluster_size=4k,lazy_refcounts=on -F "$format" -b "$below" "$disk"
}

# Begins the machine, and waits for its word.
boot() {
  next_disk
  rm -f "$folder"/port.*
  mkfifo "$folder/port.in" "$folder/port.out"
  exec {to}<>"$folder/port.in" {from}<>"$folder/port.out"
  qemu-system-x86_64 -accel tcg,thread=single,tb-size=256 -cpu Nehalem -smp 1 -m 1536 -nodefaults -no-user-config -display none -nic none \
    -kernel "$base/kernel" -initrd "$base/initrd" -append "root=/dev/vda rw console=ttyS0 quiet panic=-1" \
    -chardev "file,id=console,append=on,path=$folder/console.log" -serial chardev:console \
    -drive "if=virtio,format=qcow2,cache=writeback,file=$disk" -drive "if=virtio,format=raw,read-only=on,file=$folder/given.img" \
    -device virtio-rng-pci -device virtio-serial-pci -chardev "pipe,id=port,path=$folder/port" \
    -device virtserialport,chardev=port,name=openmesh.guest &
  machine=$!
  ready
}

# The next line of the guest; fails when the time is over or the machine is gone.
read_line() {
  local until=$1 part
  line=
  until IFS= read -r -t 1 -u "$from" part; do
    line+=$part
    if [ $SECONDS -ge "$until" ] || ! kill -0 "$machine" 2>/dev/null; then return 1; fi
  done
  line+=$part
}

ready() {
  local until=$((SECONDS + 120 * patience)) line=
  until [[ $line = @ready* ]]; do
    read_line "$until" || { tail -30 "$folder/console.log"; echo "the guest does not begin" >&2; exit 1; }
  done
}

send() { printf '%s\n' "$(printf 'PATIENCE=%d\n. /media/given/xnode.sh\n%s\n' "$patience" "$1" | base64 -w0)" >&"$to"; }

# ask SECONDS COMMAND: runs it in the guest and shows what it says, which is in `said` too. Its code.
ask() {
  local until=$((SECONDS + $1 * patience)) line
  said=
  send "$2"
  while read_line "$until"; do
    case $line in
      '@end '*) return "${line#@end }" ;;
      '') ;;
      *) printf '    %s\n' "$line"; said+=$line$'\n' ;;
    esac
  done
  lost=1
  echo "    no answer within $(($1 * patience)) s"
  return 124
}

note() { results+=("$(printf '%-6s %4d s  %s' "$1" "$2" "$3")"); }

table() {
  printf '\n\033[1m%s\033[0m\n' "the Xnode on control groups v2 under systemd"
  printf '%s\n' "${results[@]}"
}

# check NAME SECONDS COMMAND
check() {
  local begun=$SECONDS
  printf '\033[1m==> %s\033[0m\n' "$1"
  if ask "$2" "$3"; then note ok $((SECONDS - begun)) "$1"; return; fi
  note FAILED $((SECONDS - begun)) "$1"
  [ -n "$lost" ] || ask 60 'openmesh xnode status; journalctl --no-pager -u openmesh-xnode -n 40; dmesg | tail -15' || true
  [ -z "$lost" ] || { tail -30 "$folder/console.log"; table; exit 1; }
}

# cut EVENTS WORDS: begins a deployment while numbers are added, and cuts the power after so many of its events. What was acknowledged is in `kept`.
cut() {
  local events=0 until=$((SECONDS + 120 * patience)) line ended=
  # A number without an answer may be there: none is given again.
  number=$((number / 10000 * 10000 + 10000))
  printf '\033[1m==> power cut after event %d of a deployment\033[0m\n' "$1"
  send "document '$2' > site.yaml
    (n=$number; while :; do n=\$((n + 1)); [ \"\$(add \$n)\" = \"kept \$n\" ] && echo \"@kept \$n\"; done) & writer=\$!
    openmesh app deploy site.yaml --yes || true; kill \$writer"
  while [ $events -lt "$1" ] && read_line "$until"; do
    case $line in
      '@kept '*) kept+=" ${line#@kept }" ;;
      '@end '*) ended=1; break ;;
      20[0-9][0-9]-*) events=$((events + 1)); printf '    %s\n' "$line" ;;
    esac
  done
  kill -KILL "$machine"
  wait "$machine" 2>/dev/null || true
  # What the guest had said before is an acknowledgement too.
  while IFS= read -r -t 0.2 -u "$from" line; do case $line in '@kept '*) kept+=" ${line#@kept }" ;; esac; done
  echo "    cut after $events events${ended:+ (there were no more)}, $(wc -w <<<"$kept") numbers acknowledged"
  exec {to}>&- {from}>&-
}

boot
check "a fresh Debian with systemd and control groups v2 alone" 120 '
  same "file system of the control groups" "$(stat -f -c %T /sys/fs/cgroup)" cgroup2fs
  same "hierarchies of v1" "$(grep -c " cgroup " /proc/mounts || true)" 0
  same "first process" "$(cat /proc/1/comm)" systemd
  booted() { ! systemctl list-jobs --no-legend | grep .; }
  within 90 booted
  install -m 755 /media/given/openmesh /usr/local/bin/openmesh
  within 60 curl --silent http://127.0.0.1:5000/v2/
  footprint > /var/tmp/before; wc -l < /var/tmp/before; uname -r'
check "openmesh xnode check finds nothing wrong" 120 'openmesh xnode check'
check "openmesh xnode service: the agent runs under systemd" 240 '
  openmesh xnode service install
  openmesh xnode service status
  same state "$(systemctl is-active openmesh-xnode)" active
  same "at boot" "$(systemctl is-enabled openmesh-xnode)" enabled
  same lacks "$(openmesh xnode status --json | jq -c .lacks)" "[]"'
check "a first deployment answers at its published port" 300 '
  document "it works" > site.yaml
  openmesh app deploy site.yaml
  at_rest
  same page "$(page)" "it works"'
check "limits are the kernel's, on v2" 60 '
  group=$(group site)
  same memory.max "$(cat $group/memory.max)" 67108864
  same memory.swap.max "$(cat $group/memory.swap.max 2>/dev/null || echo 0)" 0
  same pids.max "$(cat $group/pids.max)" 64
  same cpu.max "$(cat $group/cpu.max)" "50000 100000"
  echo "after systemd has gone through its own groups:"
  systemctl daemon-reload; systemctl restart docker-registry
  same memory.max "$(cat $group/memory.max)" 67108864
  same cpu.max "$(cat $group/cpu.max)" "50000 100000"'
check "rights of the first process" 60 '
  status=/proc/$(first site)/status
  of() { sed -n "s/^$1:\t//p" $status; }
  same Seccomp "$(of Seccomp)" 2
  same NoNewPrivs "$(of NoNewPrivs)" 1
  for set in CapInh CapPrm CapEff CapBnd CapAmb; do same $set "$(of $set)" 0000000000000000; done
  [ "$(of Uid | cut -f1)" -ge 65536 ]; echo "user $(of Uid | cut -f1)"'
check "a process beside the first one is in the same group" 60 '
  openmesh app exec site -- /bin/busybox sh -c "/bin/busybox grep -E \"Seccomp:|NoNewPrivs|CapEff\" /proc/self/status; /bin/busybox cat /proc/self/cgroup"'
check "a kill for want of memory is named, and the application starts again" 180 '
  before=$(first hungry)
  openmesh app exec hungry -- /bin/busybox touch /tmp/eat
  named() { openmesh app why hungry | grep -i "memory"; }
  within 90 named
  again() { [ "$(first hungry)" != "$before" ] && openmesh app why hungry --json | jq -e ".state == \"running\""; }
  within 60 again
  same "memory.swap.max after it" "$(cat $(group hungry)/memory.swap.max)" 0'
check "a pause is a maintenance page, and undone" 240 '
  document "it works" paused > site.yaml; openmesh app deploy site.yaml --yes; at_rest
  words=$(page); [ "$words" != "it works" ]; echo "page: ${words:0:80}"
  document "it works" > site.yaml; openmesh app deploy site.yaml --yes; at_rest
  same page "$(page)" "it works"'
check "the freezer of v2: frozen by somebody is named, and left so until it is undone" 180 '
  group=$(group site); pid=$(first site)
  echo 1 > $group/cgroup.freeze
  frozen() { openmesh app why site --json | jq -er "select(.state == \"frozen\" or .state == \"held\") | .state, .cause"; }
  within 60 frozen
  same frozen "$(sed -n "s/^frozen //p" $group/cgroup.events)" 1
  echo 0 > $group/cgroup.freeze
  runs() { openmesh app why site --json | jq -er "select(.state == \"running\") | .state"; }
  within 60 runs
  same "first process" "$(first site)" "$pid"
  same page "$(page)" "it works"'
check "the agent killed: systemd starts it again, and no application notices" 180 '
  pid=$(first site); agent=$(systemctl show -p MainPID --value openmesh-xnode)
  kill -KILL $agent
  other() { [ "$(systemctl show -p MainPID --value openmesh-xnode)" != "$agent" ] && openmesh xnode status --json >/dev/null; }
  within 90 other
  at_rest
  same "first process" "$(first site)" "$pid"
  same page "$(page)" "it works"'

number=0 kept="1 2 3 4 5"
check "a restart of the machine: everything is back, nothing twice" 60 '
  for n in 1 2 3 4 5; do same answer "$(add $n)" "kept $n"; done
  at_rest > /var/tmp/generation; counts > /var/tmp/counts; cat /proc/sys/kernel/random/boot_id > /var/tmp/boot'
send 'systemctl reboot'
ready
check "  after it" 420 '
  [ "$(cat /proc/sys/kernel/random/boot_id)" != "$(cat /var/tmp/boot)" ]
  within 120 openmesh xnode status > /dev/null
  same generation "$(at_rest)" "$(cat /var/tmp/generation)"
  same page "$(page)" "it works"
  same numbers "$(numbers | tr "\n" " ")" "1 2 3 4 5 "
  counts | tee /var/tmp/now; diff /var/tmp/counts /var/tmp/now'

old="it works"
for events in $cuts; do
  new="words of cut $events"
  cut "$events" "$new"
  boot
  check "power cut after event $events: old or new, every acknowledged number, nothing left over" 420 "
    within 120 openmesh xnode status > /dev/null
    at_rest
    page=\$(page); [ \"\$page\" = '$old' ] || [ \"\$page\" = '$new' ]; echo \"page: \$page\"
    numbers > /var/tmp/numbers
    for n in $kept; do grep -qx \"\$n\" /var/tmp/numbers || { echo \"number \$n is lost\"; lost=1; }; done; [ -z \"\${lost:-}\" ]
    same 'numbers twice' \"\$(sort /var/tmp/numbers | uniq -d | wc -l)\" 0
    counts > /var/tmp/now; diff /var/tmp/counts /var/tmp/now
    echo \"page is: \$page\""
  old=$(sed -n 's/^page is: //p' <<<"$said")
done

check "another version takes over within the service" 300 '
  pid=$(first site); agent=$(systemctl show -p MainPID --value openmesh-xnode)
  install -m 755 /media/given/openmesh /usr/local/bin/openmesh
  if openmesh xnode agent --take-over; then echo "it took over from outside of the service"; exit 1; fi
  openmesh xnode service renew
  now=$(systemctl show -p MainPID --value openmesh-xnode)
  [ "$now" != "$agent" ]; echo "agent: $agent, then $now"
  at_rest
  same "state" "$(systemctl is-active openmesh-xnode)" active
  same "starts by systemd" "$(systemctl show -p NRestarts --value openmesh-xnode)" 0
  same "first process" "$(first site)" "$pid"
  same agents "$(pgrep -xc openmesh)" 1
  document "after the other version" > site.yaml; openmesh app deploy site.yaml; at_rest
  same page "$(page)" "after the other version"'
check "uninstall leaves the machine as it was" 300 '
  openmesh xnode uninstall --wipe --yes
  footprint > /var/tmp/after
  diff /var/tmp/before /var/tmp/after && echo "no difference in $(wc -l < /var/tmp/after) lines"'
send 'systemctl poweroff'
wait "$machine" || true
machine=
table
[[ ! " ${results[*]}" =~ FAILED ]]
