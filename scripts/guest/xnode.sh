# Words of the commands that scripts/guest.sh gives to its guest.

# document WORDS [WISH]: a document whose page says these words. Each number that its `add` has answered with `kept` is on the disk.
document() {
  cat <<END
version: 1
applications:
  site:
    image: 127.0.0.1:5000/site:1
    command: [/bin/busybox, httpd, -f, -p, "8080", -h, /srv]
    wish: ${2:-running}
    files:
      /srv/index.html: { content: "$1\n" }
      /srv/cgi-bin/add:
        mode: "0755"
        content: |
          #!/bin/sh
          echo "\$QUERY_STRING" | /bin/busybox dd of=/data/log oflag=append conv=notrunc,fsync 2>/dev/null || exit 1
          printf 'Content-Type: text/plain\r\n\r\nkept %s\n' "\$QUERY_STRING"
    ports:
      http: { port: 8080, protocol: http, publish: { port: 8088, address: 127.0.0.1 } }
    health: { http: { port: http } }
    volumes:
      data: { path: /data, size: 320MiB }
    limits: { memory: 64MiB, processes: 64, processors: 0.5 }
    switch: { probation: 2s }
  hungry:
    image: 127.0.0.1:5000/site:1
    command: [/bin/sh, -c, "until [ -e /tmp/eat ]; do /bin/busybox sleep 0.2; done; /bin/busybox rm /tmp/eat; exec /bin/busybox tail /dev/zero"]
    limits: { memory: 32MiB, processes: 16 }
    switch: { probation: 2s }
END
}

page() { curl --silent --show-error --max-time 30 http://127.0.0.1:8088/; }
add() { curl --silent --fail --max-time 90 --data "" "http://127.0.0.1:8088/cgi-bin/add?$1"; }
numbers() { openmesh app exec site -- /bin/busybox cat /data/log; }

# within SECONDS COMMAND...: waits until it succeeds, and shows what it says last. On a machine that does other work too it may take PATIENCE times as long.
within() {
  local until=$((SECONDS + $1 * PATIENCE)) said
  shift
  until said=$("$@" 2>&1); do
    [ $SECONDS -lt "$until" ] || { printf '%s\nnot in time: %s\n' "$said" "$*"; return 1; }
    sleep 0.3
  done
  printf '%s\n' "$said"
}

# At rest: the wanted generation is committed, and nothing is left to do.
rests() { openmesh xnode status --json | jq -e 'select(.current == .wanted and .current > 0 and .work.state == "rests") | "generation \(.current) rests"' -r; }
at_rest() { within 240 rests || { openmesh xnode status; openmesh xnode events | tail -25; return 1; }; }

# same WHAT FOUND EXPECTED
same() {
  [ "$2" = "$3" ] || { echo "$1 is \`$2\`, not \`$3\`"; return 1; }
  echo "$1: $2"
}

first() { openmesh app why "$1" --json | jq -e '.instances | if length == 1 then .[0].pid else error("\(length) instances") end'; }
group() { echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(first "$1")/cgroup")"; }

# What an agent holds of the machine, in numbers.
counts() {
  echo "agents $(pgrep -xc openmesh)"
  for program in shim door cage unpack; do echo "$program $(pgrep -fc "/openmesh-$program-" || true)"; done
  echo "files in loops $(losetup --noheadings -l | wc -l)"
  echo "mounts $(grep -c openmesh /proc/self/mountinfo)"
  echo "control groups $(find /sys/fs/cgroup -type d -path '*openmesh*' -not -path '*/system.slice/*' | wc -l)"
  echo "network namespaces $(lsns --noheadings -t net -o NS | wc -l)"
  echo "links $(ip -o link | wc -l)"
  echo "tables $(nft list tables | wc -l)"
  echo "lines of data in use $(openmesh app lines site --json | jq '[.[] | select(.in_use)] | length')"
}

# Everything on the machine that somebody could leave behind.
footprint() {
  ps --ppid 2 -p 2 -N -o comm= | grep -vE '^(ps|grep|sort|bash|sed|systemd.*|\(.*)$' | sort
  find /sys/fs/cgroup -type d | grep -vE '/system.slice/(systemd-|[^/]*\.scope)' | sort
  awk '{ print "mount " $5 }' /proc/self/mountinfo | sort
  lsns --noheadings -t net -o NS | wc -l | sed 's/^/network namespaces /'
  ip -o address | awk '{ print "address " $2, $4 }'
  ip route | sed 's/^/route /'
  nft list ruleset
  losetup --noheadings -l | awk '{ print "loop " $6 }'
  ss -Htuln | awk '{ print "listens " $1, $5 }' | sort
  sysctl net.ipv4.ip_forward
  getent passwd | cut -d: -f1,3
  find / -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /var/tmp -o -path /root -o -path /var/lib/systemd -o -path /var/log \) -prune -o -print | sort
  find /run -xdev \( -path /run/systemd -o -path /run/udev -o -path /run/mount \) -prune -o -print | sort
}
