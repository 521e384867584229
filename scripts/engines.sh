#!/usr/bin/env bash
# Start the engines that are installed but do not answer: engines.sh [docker] [libvirt]; both without arguments.
#
# With systemd, `service`, or by hand, whichever the machine has. Never restarts one that runs. Safe to run several
# times at once.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

docker_socket=/var/run/docker.sock
wait_seconds=60
logs=/var/log/hythe

say() { printf 'engines: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

docker_answers() {
  local reply
  reply=$(as_root curl --silent --max-time 5 --unix-socket "$docker_socket" http://engine/_ping 2>/dev/null) || return 1
  [ "$reply" = OK ]
}

libvirt_answers() {
  as_root timeout 10 virsh --connect qemu:///system version >/dev/null 2>&1
}

# wait_for docker|libvirt SECONDS
wait_for() {
  local end=$((SECONDS + $2))
  until "$1_answers"; do
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

# starts a daemon of that name in a session of its own
spawn() {
  as_root mkdir -p "$logs"
  say "starting $1 by hand; it writes to $logs/$1.log"
  # A daemon that kept descriptor 9 would hold our lock for ever, and one whose starter stayed behind with
  # our output would keep whoever reads that waiting.
  local starter=(setsid sh -c "exec $1 >>'$logs/$1.log' 2>&1 </dev/null")
  [ "$(id -u)" = 0 ] || starter=(sudo "${starter[@]}")
  (exec "${starter[@]}" </dev/null >/dev/null 2>&1 9>&-) &
}

told_and_failed() {
  say "$1 does not answer; the end of its log:" >&2
  as_root tail -n 20 "$logs/$1.log" >&2
  return 1
}

docker_by_hand() {
  mount_cgroups
  spawn dockerd
  wait_for docker "$wait_seconds" || told_and_failed dockerd
}

libvirt_by_hand() {
  mount_cgroups
  # libvirt asks for these, and nobody else makes them where there is no systemd
  as_root mkdir -p /run/libvirt /var/lib/libvirt/images
  # As udev does it. Where QEMU's user may not open it and root may, libvirt takes its cache for stale at every call
  # and asks QEMU anew what it can, for seconds to minutes.
  if [ -c /dev/kvm ] && getent group kvm >/dev/null; then
    as_root chgrp kvm /dev/kvm && as_root chmod 0660 /dev/kvm
  fi
  if ! grep -qsx virtlogd /proc/[0-9]*/comm; then spawn virtlogd; fi
  spawn libvirtd
  wait_for libvirt "$wait_seconds" || told_and_failed libvirtd
}

# start NAME UNIT: with whatever the machine starts services with
start() {
  local name=$1 unit=$2
  if [ -d /run/systemd/system ]; then
    say "starting $unit with systemctl"
    as_root systemctl start "$unit" 9>&- || true
    if wait_for "$name" "$wait_seconds"; then return; fi
    as_root systemctl status --no-pager --lines 20 "$unit" >&2 || true
    return 1
  fi
  if [ -x "/etc/init.d/$unit" ] && command -v service >/dev/null; then
    say "starting $unit with service"
    if as_root service "$unit" start >/dev/null 2>&1 9>&- && wait_for "$name" 20; then return; fi
    say "service $unit start did not bring it up"
  fi
  "${name}_by_hand"
}

# bring_up NAME DAEMON UNIT
bring_up() {
  local name=$1 daemon=$2 unit=$3
  if ! command -v "$daemon" >/dev/null; then
    say "$daemon is not installed: run scripts/setup.sh" >&2
    return 1
  fi
  if "${name}_answers"; then
    say "$name answers already"
    return
  fi
  local folder=/tmp
  if [ -w /run/lock ]; then folder=/run/lock; fi
  exec 9>"$folder/hythe-engines-$(id -u).lock"
  flock -w $((wait_seconds * 2)) 9
  # another run may have started it while this one waited
  if "${name}_answers"; then
    say "$name answers already"
  # it may be starting right now, by somebody else's doing: two daemons on one socket help nobody
  elif grep -qsx "$daemon" /proc/[0-9]*/comm && wait_for "$name" 20; then
    say "$name answers"
  else
    start "$name" "$unit"
    say "$name answers"
  fi
  exec 9>&-
}

for engine in "${@:-docker libvirt}"; do
  for name in $engine; do
    case $name in
      docker) bring_up docker dockerd docker ;;
      libvirt) bring_up libvirt libvirtd libvirtd ;;
      *)
        echo "usage: $0 [docker] [libvirt]" >&2
        exit 2
        ;;
    esac
  done
done
