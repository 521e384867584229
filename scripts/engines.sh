#!/usr/bin/env bash
# Start Docker where it is installed but does not answer; never restarts one that runs.
#
# With systemd, `service`, or by hand, whichever the machine has. Safe to run several times at once.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

socket=/var/run/docker.sock
wait_seconds=60

say() { printf 'engines: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

answers() {
  local reply
  reply=$(as_root curl --silent --max-time 5 --unix-socket "$socket" http://engine/_ping 2>/dev/null) || return 1
  [ "$reply" = OK ]
}

wait_for_docker() {
  local end=$((SECONDS + $1))
  until answers; do
    if [ "$SECONDS" -ge "$end" ]; then return 1; fi
    sleep 0.2
  done
}

# without systemd nobody mounts the control groups
mount_cgroups() {
  if mountpoint -q /sys/fs/cgroup && [ -n "$(ls -A /sys/fs/cgroup)" ]; then return; fi
  say "mounting control groups"
  if grep -qw cgroup2 /proc/filesystems && as_root mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; then return; fi
  as_root mount -t tmpfs -o uid=0,gid=0,mode=0755 cgroup /sys/fs/cgroup
  local controller
  for controller in $(awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups); do
    as_root mkdir -p "/sys/fs/cgroup/$controller"
    as_root mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" ||
      as_root rmdir "/sys/fs/cgroup/$controller"
  done
}

start_by_hand() {
  local folder=/var/log/hythe
  as_root mkdir -p "$folder"
  mount_cgroups
  say "starting dockerd by hand; it writes to $folder/dockerd.log"
  # A daemon that kept descriptor 9 would hold our lock for ever, and one whose starter stayed behind with
  # our output would keep whoever reads that waiting.
  local starter=(setsid sh -c "exec dockerd >>'$folder/dockerd.log' 2>&1 </dev/null")
  [ "$(id -u)" = 0 ] || starter=(sudo "${starter[@]}")
  (exec "${starter[@]}" </dev/null >/dev/null 2>&1 9>&-) &
  if ! wait_for_docker "$wait_seconds"; then
    say "dockerd does not answer; the end of its log:" >&2
    as_root tail -n 20 "$folder/dockerd.log" >&2
    return 1
  fi
}

start_docker() {
  if [ -d /run/systemd/system ]; then
    say "starting docker with systemctl"
    as_root systemctl start docker 9>&- || true
    if wait_for_docker "$wait_seconds"; then return; fi
    as_root systemctl status --no-pager --lines 20 docker >&2 || true
    return 1
  fi
  if [ -x /etc/init.d/docker ] && command -v service >/dev/null; then
    say "starting docker with service"
    if as_root service docker start >/dev/null 2>&1 9>&- && wait_for_docker 20; then return; fi
    say "service docker start did not bring it up"
  fi
  start_by_hand
}

if ! command -v dockerd >/dev/null; then
  say "dockerd is not installed: run scripts/setup.sh" >&2
  exit 1
fi
if answers; then
  say "docker answers already"
  exit 0
fi
folder=/tmp
if [ -w /run/lock ]; then folder=/run/lock; fi
exec 9>"$folder/hythe-engines-$(id -u).lock"
flock -w $((wait_seconds * 2)) 9
# another run may have started it while this one waited
if answers; then
  say "docker answers already"
  exit 0
fi
# it may be starting right now, by somebody else's doing: two daemons on one socket help nobody
if grep -qsx dockerd /proc/[0-9]*/comm && wait_for_docker 20; then
  say "docker answers"
  exit 0
fi
start_docker
say "docker answers"
