#!/bin/bash
# Runs in the guest: commands come in from a port of virtio, one on a line in base64; what they say goes out, then `@end CODE`.
exec 3<>/dev/virtio-ports/openmesh.guest
echo "@ready $(cat /proc/sys/kernel/random/boot_id)" >&3
while IFS= read -r line <&3; do
  bash -euo pipefail -c "$(base64 -d <<<"$line")" </dev/null >&3 2>&1 3>&-
  printf '\n@end %d\n' $? >&3
done
