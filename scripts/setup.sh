#!/usr/bin/env bash
# Get a Debian 12 machine ready: setup.sh demo | test
#
# Installs the Debian packages that are missing (as root, or with sudo), and makes .venv with Hythe in it.
# Does nothing that was done before.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-demo}
runtime_packages=(
  ca-certificates curl docker.io iptables mmdebstrap busybox-static openssh-client
  libvirt-daemon-system libvirt-clients qemu-utils dnsmasq-base e2fsprogs
  gcc libvirt-dev pkg-config python3-dev # libvirt-python has no wheel
)
case $(dpkg --print-architecture 2>/dev/null) in
  arm64) runtime_packages+=(qemu-system-arm qemu-efi-aarch64) ;;
  *) runtime_packages+=(qemu-system-x86 ovmf) ;;
esac
test_packages=(
  git make procps psmisc iproute2 openssl
  podman catatonit crun runc containernetworking-plugins uidmap buildah
  docker-registry apache2-utils
  openssh-server nftables lvm2 pgbouncer
  radosgw ceph-mon ceph-osd
)
case $mode in
  demo) packages=("${runtime_packages[@]}") extras="[vm]" ;;
  test) packages=("${runtime_packages[@]}" "${test_packages[@]}") extras="[vm,test]" ;;
  *)
    echo "usage: $0 demo|test" >&2
    exit 2
    ;;
esac
# with AppArmor in the kernel, Docker starts no container without its tools
if [ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ]; then
  packages+=(apparmor)
fi

apt_options=(-q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)

say() { printf 'setup: %s\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "this needs root, and there is no sudo: $*" >&2
    return 1
  fi
}

installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages() {
  local missing=() package
  for package in "$@"; do
    # Docker may have come from elsewhere than Debian, and the two do not go together
    if [ "$package" = docker.io ] && command -v dockerd >/dev/null; then continue; fi
    installed "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  say "installing ${missing[*]}"
  quietly apt-get "${apt_options[@]}" update
  quietly apt-get "${apt_options[@]}" install -y --no-install-recommends "${missing[@]}"
}

# PostgreSQL's programs without the cluster that Debian's package makes and starts by itself: tests make their own, and
# one that is there is its owner's
install_postgresql() {
  local conf=/etc/postgresql-common/createcluster.conf aside=/etc/postgresql-common/createcluster.conf.hythe failed=0
  # a run before was killed in the middle
  if [ -e "$aside" ]; then as_root mv "$aside" "$conf"; fi
  if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then return; fi
  install_packages postgresql-common
  as_root touch "$conf"
  as_root cp --preserve=all "$conf" "$aside"
  as_root pg_conftool "$conf" set create_main_cluster off
  install_packages postgresql || failed=1
  as_root mv "$aside" "$conf"
  return "$failed"
}

# shows what a program said only when it fails
quietly() {
  local log
  log=$(mktemp)
  if ! as_root env DEBIAN_FRONTEND=noninteractive "$@" >"$log" 2>&1; then
    say "$* failed:" >&2
    tail -n 40 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# the first Python that is new enough and can make virtual environments
find_python() {
  local candidate
  for candidate in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

make_environment() {
  local python stamp=.venv/.hythe-stamp wanted
  wanted="$(sha256sum pyproject.toml | cut -d' ' -f1) $PWD"
  if [ -x .venv/bin/hythe ] && grep -qxF "$wanted demo" "$stamp" 2>/dev/null && [ "$mode" = demo ]; then return; fi
  if [ -x .venv/bin/hythe ] && grep -qxF "$wanted test" "$stamp" 2>/dev/null; then return; fi
  if ! find_python >/dev/null; then install_packages python3 python3-venv; fi
  if ! python=$(find_python); then
    say "Hythe needs Python 3.11 or newer, and $(python3 --version 2>&1) is what this machine has" >&2
    return 1
  fi
  if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
  say "installing Hythe in .venv"
  rm -f "$stamp"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras"
  echo "$wanted $mode" >"$stamp"
}

# two runs at once, of two commands of the Makefile say, take turns
exec 9>.setup.lock
if ! command -v flock >/dev/null || ! flock -w 600 9; then
  say "another setup.sh does not end" >&2
  exit 1
fi
install_packages "${packages[@]}"
if [ "$mode" = test ]; then install_postgresql; fi
make_environment
