#!/usr/bin/env bash
# Bring up examples/hybrid, show that a second plan is empty and that containers inside the VMs answer.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
example=$root/examples/hybrid
hythe=$root/.venv/bin/hythe

bold() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }

stages=()
# stage WORDS COMMAND...: run it, and note how long it took
stage() {
  local words=$1 since=$SECONDS
  shift
  "$@"
  stages+=("$(printf '%4d s  %s' $((SECONDS - since)) "$words")")
}

stage "packages and Hythe installed" scripts/setup.sh demo
stage "Docker and libvirt started" scripts/engines.sh

# somebody who was just put into the groups of Docker and libvirt, or is not in them, may not open their sockets
export HYTHE_ENGINE=docker
run=("$hythe")
if ! [ -w /var/run/docker.sock ] || ! [ -w /var/run/libvirt/libvirt-sock ]; then
  run=(sudo HYTHE_ENGINE=docker "$hythe")
fi

# addresses that are taken are no reason to fail; the choice is kept for later runs
choose_addresses() {
  if [ -e hythe.state.json ]; then return; fi
  rm -f demo.auto.hclvars
  local third
  for third in $(seq 20 60); do
    if ip -4 route show table all | grep -qF "10.77.$third."; then continue; fi
    if [ "$third" != 20 ]; then
      echo "10.77.20.0/24 is in use here: 10.77.$third.0/24 is taken, see examples/hybrid/demo.auto.hclvars"
      printf '# written by make demo\ncidr = "10.77.%s.0/24"\n' "$third" >demo.auto.hclvars
    fi
    return
  done
  echo "No network from 10.77.20.0/24 to 10.77.60.0/24 is free here" >&2
  return 1
}

urls() { "${run[@]}" output --json urls | "$root/.venv/bin/python" -c 'import json, sys; print(*json.load(sys.stdin).values())'; }
answers() {
  for url in $(urls); do
    echo "$ curl $url"
    curl --silent --show-error --fail --retry 5 --retry-connrefused --max-time 20 "$url"
  done
}

cd "$example"
bold "hythe init"
"${run[@]}" init
choose_addresses
bold "hythe apply --auto-approve"
stage "disk image built, VMs booted, containers started: one apply" "${run[@]}" apply --auto-approve
bold "A container inside each VM answers"
stage "answers of both" answers
answered=$SECONDS
bold "hythe plan --detailed-exitcode: nothing is left to do"
stage "second plan" "${run[@]}" plan --detailed-exitcode

bold "From start to answer: $answered s"
printf '%s\n' "${stages[@]}"

shown="${run[*]}"
bold "Look at it"
cat <<WORDS
  cd $example
  $shown show
  $shown ssh 'vm.node["a"]'
  $shown exec 'container.web["a"]' -- cat /data/visits
  $shown logs 'container.web["a"]' 'container.web["b"]'
  $shown serial 'vm.node["a"]'
  virsh --connect qemu:///system list
Change something in main.hcl (the memory of web, say), then
  $shown plan
  $shown apply
Remove all of it:
  $shown destroy --auto-approve
WORDS
