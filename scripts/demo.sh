#!/usr/bin/env bash
# Bring up examples/two-tier, show that a second plan is empty and that the page answers.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
example=$root/examples/two-tier
hythe=$root/.venv/bin/hythe

bold() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }

scripts/setup.sh demo
scripts/engines.sh

# somebody who was just put into Docker's group, or is not in it, may not open the socket
run=("$hythe")
if ! [ -w /var/run/docker.sock ]; then run=(sudo "$hythe"); fi
export HYTHE_ENGINE=docker
if [ "${run[0]}" = sudo ]; then run=(sudo HYTHE_ENGINE=docker "$hythe"); fi

free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# a port that is taken is no reason to fail; the choice is kept for later runs
choose_port() {
  if "${run[@]}" output --raw url >/dev/null 2>&1; then return; fi
  local wanted=${PORT:-8080} port
  rm -f demo.auto.hclvars
  for port in $(seq "$wanted" $((wanted + 50))); do
    if ! free "$port"; then continue; fi
    if [ "$port" != 8080 ]; then
      echo "Port 8080 is not used: port $port is, see examples/two-tier/demo.auto.hclvars"
      printf '# written by make demo\nport = %s\n' "$port" >demo.auto.hclvars
    fi
    return
  done
  echo "No port from $wanted to $((wanted + 50)) is free: choose another with make demo PORT=N" >&2
  return 1
}

cd "$example"
bold "hythe init"
"${run[@]}" init
choose_port
bold "hythe apply --auto-approve"
"${run[@]}" apply --auto-approve
bold "hythe plan --detailed-exitcode: nothing is left to do"
"${run[@]}" plan --detailed-exitcode

url=$("${run[@]}" output --raw url)
bold "curl $url"
curl --silent --show-error --fail --retry 5 --retry-connrefused --max-time 10 "$url"

shown="${run[*]}"
bold "Look at it (in examples/two-tier)"
cat <<WORDS
  cd $example
  curl $url
  $shown show
  $shown logs container.web
  docker ps --filter label=dev.hythe.lineage
Change something in main.hcl (the greeting, say), then
  $shown plan
  $shown apply
Remove all of it:
  $shown destroy --auto-approve
WORDS
