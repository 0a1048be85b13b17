#!/bin/bash
# The first process inside a virtual machine of scripts/test-kernels.sh. The kernel gives it `NAME=value` words of
# its command line as variables: `RUN` says which tests, the rest is theirs. What people may want to see goes to
# the console, the results of the tests to the second serial port.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
# What udev would make: bash opens `>(...)` by it.
ln -s /proc/self/fd /dev/fd
mkdir -p /dev/shm /run /tmp
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
ip link set lo up
# The kernel's own limit is 4096; with systemd or Docker there is more.
ulimit -n 65536

export CLEARWAY_BIN=/tests/clearway CLEARWAY_LAB_BIN=/tests/clearway-lab CLEARWAY_STEPS_BIN=/tests/clearway-steps
exec 3>/dev/ttyS1
run() { # test binary, arguments
  local binary=$1
  shift
  echo "begin $binary" >&3
  "/tests/$binary" --color=never "$@" | tee /run/results >&3
  echo "end $binary ${PIPESTATUS[0]}" >&3
}

# An emulated processor may be starved for a second by the machine around it, and that is as long as HAProxy waits
# for its sockets. So what failed has a second attempt, alone, and the table says so.
once_more() { # test binary
  local name
  [ -n "${SECOND_ATTEMPT:-}" ] || return 0
  # shellcheck disable=SC2013 # names without blanks
  for name in $(sed -n 's/^test \([^ ]*\) *\.\.\. FAILED$/\1/p' /run/results); do
    echo "second attempt" >&3
    run "$1" --test-threads=1 --exact "$name"
  done
}

echo "kernel $(uname -r)" >&3
case ${RUN:-} in
  probe) ;;
  # Everything. Those that unload modules come first, when none is in use.
  all)
    CLEARWAY_TEST_MODULES=unload run end_to_end --test-threads=1 modules::without_sys_module
    for binary in /tests/kernel/*; do
      run "${binary#/tests/}"
      once_more "${binary#/tests/}"
    done
    # An image needs more than there is here.
    # `scale` is about size, which takes hours on an emulated processor, not about the kernel, and so are HAProxy's and
    # Clearway's deaths at every step, except for those that could leave something in it (`strategy::killed`).
    skip=(container:: scale:: takeover::killed kill::the_ kill::one_)
    # These are about files, HAProxy's words and what people are told: the same on every kernel. A new group runs here until it
    # is named.
    skip+=(bad_input:: carry:: copies:: dry_run:: entry_point:: hints:: history:: marked_down:: master_cli:: masters:: metrics::
      names:: pid_file:: programs:: prompt:: questions:: sessions:: several:: statistics:: stick_tables:: subject::
      truth:: tutorial:: watch::)
    run end_to_end --test-threads=2 "${skip[@]/#/--skip=}"
    once_more end_to_end
    ;;
  only)
    for name in ${ONLY//,/ }; do
      if [ -e "/tests/kernel/$name" ]; then
        run "kernel/$name"
        once_more "kernel/$name"
      else
        run end_to_end --test-threads=2 --skip container:: "$name"
        once_more end_to_end
      fi
    done
    ;;
  # Some of them.
  *)
    run end_to_end --test-threads=1 "$RUN"
    once_more end_to_end
    ;;
esac
echo "done" >&3
exec 3>&-
sync
# `-no-reboot` makes this the end of the machine.
echo b >/proc/sysrq-trigger
sleep 60
