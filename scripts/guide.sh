#!/usr/bin/env bash
# Does what docs/guide/xnode.md says, as it is written, with an agent of its own, and removes that again. Usage: scripts/guide.sh OPENMESH
#
# Blocks of `sh` are run line by line, in order. A comment of HTML before a block says what is special about it:
#   guide: file NAME         the block is written to a file
#   guide: ports of NAME     the block takes the place of the ports in a file that was written before
#   guide: more of NAME      the block is appended to such a file
#   guide: before, COMMAND   a command that the text asks for in words
#   guide: background [NAME] the block, an agent, goes on beside what follows; NAME is that of another agent than the usual one
#   guide: skip, WHY         the block is not run
# A line `curl ADDRESS   # WORDS` must answer just these words.
# The agent of the guide has the ports of the usual one (7780 its face, 7790 its lender), the second one is called `attic` (7781 and 7791): here both have names and
# ports of their own, beside whatever else this machine runs.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "an agent needs root" >&2; exit 1; }
binary=$(realpath "$1")
guide=$(realpath "$(dirname "$0")/../docs/guide/xnode.md")
folder=$(mktemp -d)
export OPENMESH_XNODE="guide$$"
second="guide$$b"
settings="/var/lib/openmesh/xnodes/$OPENMESH_XNODE/xnode.toml"

free_port() {
  local port
  while :; do
    port=$((RANDOM % 2000 + 30000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}
face=$(free_port) lender=$(free_port) second_face=$(free_port) second_lender=$(free_port)
agents=()
mkdir "$folder/bin" "$folder/work"
ln -s "$binary" "$folder/bin/openmesh"
printf '#!/bin/sh\nexec "$@"\n' >"$folder/bin/sudo"
chmod +x "$folder/bin/sudo"
export PATH="$folder/bin:$PATH"
cd "$folder/work"

end() {
  code=$?
  for name in "$second" "$OPENMESH_XNODE"; do
    [ -d "/var/lib/openmesh/xnodes/$name" ] || continue
    openmesh xnode uninstall --agent "$name" --yes >"$folder/uninstall.log" 2>&1 || { cat "$folder/uninstall.log" >&2; [ $code != 0 ] || code=1; }
  done
  for agent in "${agents[@]}"; do kill "$agent" 2>/dev/null || true; done
  wait
  [ $code = 0 ] || cat "$folder"/agent*.log >&2
  rm -rf "$folder"
  exit $code
}
trap end EXIT

# A text of the guide with the names, ports and folders of this run.
ours() {
  local text=${1//\/mnt\/backup/$folder/backup}
  text=${text//attic/$second}
  text=${text//7780/$face}
  text=${text//7781/$second_face}
  text=${text//7790/$lender}
  printf '%s' "${text//7791/$second_lender}"
}

do_line() {
  printf '\033[1m$ %s\033[0m\n' "$1"
  local line
  line=$(ours "$1")
  case $line in
    *'openmesh xnode init '*)
      # The usual agent has a face and a place for its lender without being told.
      eval "${line/xnode init /xnode init --face 127.0.0.1:$face }"
      printf '\n[lend]\nlisten = "127.0.0.1:%s"\n' "$lender" >>"$settings"
      return
      ;;
  esac
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
    file\ *) ours "$lines" >"${mark#file }" ;;
    more\ of\ *) ours "$lines" >>"${mark#more of }" ;;
    ports\ of\ *)
      local name=${mark#ports of }
      awk -v block="$lines" '/^    ports:/ { printf "%s", block; within = 1; next } within && /^      / { next } { within = 0; print }' "$name" >"$name.new"
      mv "$name.new" "$name"
      ;;
    background*)
      local name=${mark#background} agent
      name=$(ours "${name# }")
      printf '\033[1m$ %s\033[0m\n' "${lines%$'\n'}"
      eval "$(ours "${lines%$'\n'}") >'$folder/agent$name.log' 2>&1 &"
      agent=$!
      agents+=("$agent")
      for _ in $(seq 300); do
        openmesh xnode status ${name:+--agent "$name"} >/dev/null 2>&1 && return
        kill -0 "$agent" && sleep 0.1
      done
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
    '```yaml') block=; case $mark in file*|ports*|more*) within=1 ;; esac ;;
    '') [ -z "$within" ] || block+=$'\n' ;;
    *) if [ -n "$within" ]; then block+="$line"$'\n'; else case $line in '<!--'*) ;; *) mark= ;; esac; fi ;;
  esac
done 3<"$guide"
echo "the guide is true"
