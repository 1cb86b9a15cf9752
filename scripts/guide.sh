#!/usr/bin/env bash
# Does what docs/guide/xnode.md says, as it is written, with an agent of its own, and removes that again. Usage: scripts/guide.sh OPENMESH
#
# Blocks of `sh` are run line by line, in order. A comment of HTML before a block says what is special about it:
#   guide: file NAME         the block is written to a file
#   guide: ports of NAME     the block takes the place of the ports in a file that was written before
#   guide: before, COMMAND   a command that the text asks for in words
#   guide: background        the block goes on beside what follows
#   guide: skip, WHY         the block is not run
# A line `curl ADDRESS   # WORDS` must answer just these words.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "an agent needs root" >&2; exit 1; }
binary=$(realpath "$1")
guide=$(realpath "$(dirname "$0")/../docs/guide/xnode.md")
folder=$(mktemp -d)
export OPENMESH_XNODE="guide$$"
mkdir "$folder/bin" "$folder/work"
ln -s "$binary" "$folder/bin/openmesh"
printf '#!/bin/sh\nexec "$@"\n' >"$folder/bin/sudo"
chmod +x "$folder/bin/sudo"
export PATH="$folder/bin:$PATH"
cd "$folder/work"

end() {
  code=$?
  openmesh xnode uninstall --yes >"$folder/uninstall.log" 2>&1 || { cat "$folder/uninstall.log" >&2; [ $code != 0 ] || code=1; }
  [ -z "${agent:-}" ] || kill "$agent" 2>/dev/null || true
  wait
  [ $code = 0 ] || cat "$folder/agent.log" >&2
  rm -rf "$folder"
  exit $code
}
trap end EXIT

do_line() {
  printf '\033[1m$ %s\033[0m\n' "$1"
  local line=${1//\/mnt\/backup/$folder/backup}
  if [[ $line =~ ^curl\ ([^ ]+)\ +#\ (.+)$ ]]; then
    local said
    said=$(curl --silent --show-error --max-time 10 "${BASH_REMATCH[1]}")
    [ "$said" = "${BASH_REMATCH[2]}" ] || { echo "it answers \`$said\`" >&2; return 1; }
  else
    eval "$line"
  fi
}

do_block() {
  local lines=$1 mark=$2
  case $mark in
    skip,*) ;;
    file\ *) printf '%s' "${lines//\/mnt\/backup/$folder/backup}" >"${mark#file }" ;;
    ports\ of\ *)
      local name=${mark#ports of }
      awk -v block="$lines" '/^    ports:/ { printf "%s", block; within = 1; next } within && /^      / { next } { within = 0; print }' "$name" >"$name.new"
      mv "$name.new" "$name"
      ;;
    background)
      printf '\033[1m$ %s\033[0m\n' "${lines%$'\n'}"
      eval "${lines%$'\n'} >'$folder/agent.log' 2>&1 &"
      agent=$!
      for _ in $(seq 300); do openmesh xnode status >/dev/null 2>&1 && return; kill -0 "$agent" && sleep 0.1; done
      return 1
      ;;
    *)
      case $mark in before,*) do_line "${mark#before, }" ;; esac
      while IFS= read -r line <&4; do
        case $line in '' | '#'*) ;; *) do_line "$line" ;; esac
      done 4<<<"$lines"
      ;;
  esac
}

mark= block= within=
while IFS= read -r line <&3; do
  case $line in
    '<!-- guide: '*) mark=${line#<!-- guide: }; mark=${mark% -->} ;;
    '```') [ -z "$within" ] || do_block "$block" "$mark"; mark= block= within= ;;
    '```sh') within=1 block= ;;
    '```yaml') block=; case $mark in file*|ports*) within=1 ;; esac ;;
    '') [ -z "$within" ] || block+=$'\n' ;;
    *) if [ -n "$within" ]; then block+="$line"$'\n'; else case $line in '<!--'*) ;; *) mark= ;; esac; fi ;;
  esac
done 3<"$guide"
echo "the guide is true"
