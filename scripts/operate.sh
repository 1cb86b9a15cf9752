#!/usr/bin/env bash
# Does what docs/guide/operate.md says, as it is written, on five machines that are namespaces of this one, and removes them again. As root.
# Usage: scripts/operate.sh OPENMESH [HEIGHTS]
#
# HEIGHTS takes the place of the thousand for which a machine is taken away. Blocks of `sh` are run line by line, in order. A comment of HTML before a block
# says what is special about it:
#   guide: background   each line goes on beside what follows
#   guide: until        each line is tried again until it succeeds
#   guide: fails, WORDS the line has to fail, and to say these words
#   guide: skip, WHY    the block is not run
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "namespaces need root" >&2; exit 1; }
binary=$(realpath "$1")
heights=${2:-1000}
root=$(realpath "$(dirname "$0")/..")
folder=$(mktemp -d)
export OPENMESH_MACHINES="om$$"
mkdir "$folder/bin" "$folder/work"
ln -s "$binary" "$folder/bin/openmesh"
ln -s "$root/scripts" "$folder/work/scripts"
printf '#!/bin/sh\nexec "$@"\n' >"$folder/bin/sudo"
chmod +x "$folder/bin/sudo"
export PATH="$folder/bin:$PATH"
cd "$folder/work"
began=0

end() {
  code=$?
  scripts/machines.sh down || code=1
  wait || true
  if [ $code != 0 ]; then tail -n 40 "$folder"/*.log >&2 || true; fi
  rm -rf "$folder"
  exit $code
}
trap end EXIT

do_line() {
  local line=$1 mark=$2
  [[ $line == *"scripts/machines.sh wait "* ]] && line=${line//1000/$heights}
  printf '\033[1m$ %s\033[0m\n' "$line"
  case $mark in
    background)
      began=$((began + 1))
      eval "$line >'$folder/$began.log' 2>&1 &"
      ;;
    until)
      local since=$SECONDS
      until eval "$line" >"$folder/until.log" 2>&1; do
        [ $((SECONDS - since)) -lt 300 ] || { cat "$folder/until.log" >&2; return 1; }
        sleep 0.5
      done
      cat "$folder/until.log"
      ;;
    fails,*)
      if eval "$line" >"$folder/fails.log" 2>&1; then echo "it has succeeded" >&2; return 1; fi
      cat "$folder/fails.log"
      grep -qF "${mark#fails, }" "$folder/fails.log" || { echo "it does not say: ${mark#fails, }" >&2; return 1; }
      ;;
    *) eval "$line" ;;
  esac
}

mark= block= within= joined=
while IFS= read -r line <&3; do
  case $line in
    '<!-- guide: '*) mark=${line#<!-- guide: }; mark=${mark% -->} ;;
    '```sh') within=1 ;;
    '```') mark= within= ;;
    '') ;;
    *)
      if [ -z "$within" ]; then mark=; continue; fi
      case $mark in skip,*) continue ;; esac
      case $line in '#'*) continue ;; *\\) joined+=${line%\\}; continue ;; esac
      do_line "$joined$line" "$mark"
      joined=
      ;;
  esac
done 3<"$root/docs/guide/operate.md"
echo "the guide is true"
