# Sourced, not run: a machine with a real systemd as its first process, in namespaces of its own, without network. Its
# root is a directory of scripts/debian-root.sh, which stays as it is: what the machine writes is in memory.
#
#   machine_start ROOT SHARED     boots it; SHARED is its /shared. `$machine_init` is its first process
#   inside COMMAND...             runs a command in it
#   machine_stop                  ends it and all that runs in it
# shellcheck shell=bash

machine_init='' machine_outer='' machine_cgroup=''

# Within the new namespaces, up to systemd itself. Nothing of the host's kernel can be set from there.
machine_enter() { # root, shared
  set -e
  mount --make-rprivate /
  mount -t tmpfs tmpfs /mnt
  mkdir /mnt/upper /mnt/work /mnt/root
  mount -t overlay overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
  cd /mnt/root
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs tmpfs run
  mount -t tmpfs tmpfs tmp
  mount -t tmpfs -o mode=755 tmpfs dev
  local device
  for device in null zero full random urandom tty; do
    mknod -m 666 "dev/$device" c "$(stat -c 0x%t /dev/$device)" "$(stat -c 0x%T /dev/$device)"
  done
  mkdir -p dev/pts dev/shm shared
  mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  mount -t tmpfs tmpfs dev/shm
  ln -s /proc/self/fd dev/fd
  mount --bind "$2" shared
  ip link set lo up
  pivot_root . mnt
  umount -l /mnt
  exec env -i container=clearway PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init >/shared/console 2>&1 </dev/null
}

inside() {
  nsenter --target "$machine_init" --mount --pid --net --uts --ipc --cgroup \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

machine_start() { # root, shared
  local hierarchy
  hierarchy=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || {
    echo 'systemd-machine: there is no cgroup2 here' >&2
    return 1
  }
  machine_cgroup=$hierarchy/clearway-machine-$$
  mkdir "$machine_cgroup"
  (
    echo "$BASHPID" >"$machine_cgroup/cgroup.procs"
    export -f machine_enter
    exec unshare --mount --pid --net --uts --ipc --cgroup --fork bash -c 'machine_enter "$@"' machine "$1" "$2" 2>>"$2/console"
  ) &
  machine_outer=$!
  local deadline=$((SECONDS + 60))
  until machine_init=$(pgrep --parent "$machine_outer") && [ "$(cat "/proc/$machine_init/comm")" = systemd ] &&
    [[ $(inside systemctl is-system-running 2>/dev/null) == @(running|degraded) ]]; do
    [ "$SECONDS" -lt "$deadline" ] || { echo "systemd-machine: it does not start: $2/console" >&2; return 1; }
    sleep 0.2
  done
}

machine_stop() {
  [ -z "$machine_init" ] || kill -9 "$machine_init" 2>/dev/null || true
  [ -z "$machine_outer" ] || wait "$machine_outer" || true
  [ -z "$machine_cgroup" ] || find "$machine_cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
  machine_init='' machine_outer='' machine_cgroup=''
}
