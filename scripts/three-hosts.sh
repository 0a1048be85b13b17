#!/usr/bin/env bash
# Three hosts in a row as network namespaces, to try Clearway by hand (docs/tutorial/first-steps.md):
#
#   cd-client  10.1.0.2 fd01::2  ----  10.1.0.1 fd01::1  cd-balancer  10.2.0.1 fd02::1  ----  10.2.0.2, .3  cd-server
#                                                                                             fd02::2, ::3
#
# The default gateway of both ends is the balancer. Two servers answer on port 80 with the address they see.
set -euo pipefail
cd "$(dirname "$0")/.."
lab="${LAB_PROGRAM:-${CARGO_TARGET_DIR:-target}/lab/clearway-lab}"
hosts=(cd-client cd-balancer cd-server)

down() {
  local host
  for host in "${hosts[@]}"; do
    [ -e "/run/netns/$host" ] || continue
    ip netns pids "$host" | xargs -r kill
    ip netns delete "$host"
  done
}

link() { # host, its device, the balancer's device, network, host addresses
  local host=$1 device=$2 far=$3 network=$4 address
  shift 4
  ip link add "$device" netns "$host" type veth peer name "$far" netns cd-balancer
  ip -n cd-balancer address add "10.$network.0.1/24" dev "$far"
  ip -n cd-balancer address add "fd0$network::1/64" dev "$far" nodad
  ip -n cd-balancer link set "$far" up
  for address in "$@"; do
    ip -n "$host" address add "10.$network.0.$address/24" dev "$device"
    ip -n "$host" address add "fd0$network::$address/64" dev "$device" nodad
  done
  ip -n "$host" link set "$device" up
  ip -n "$host" route add default via "10.$network.0.1"
  ip -n "$host" route add default via "fd0$network::1"
}

up() {
  local host
  [ -x "$lab" ] || { echo "three-hosts: no $lab: cargo build --profile lab -p clearway-lab" >&2; exit 1; }
  for host in "${hosts[@]}"; do
    ip netns add "$host"
    ip -n "$host" link set lo up
  done
  link cd-client clients0 clients 1 2
  link cd-server servers0 servers 2 2 3
  for host in 2 3; do
    ip netns exec cd-server setsid "$lab" server --name "s$((host - 1))" \
      --listen "10.2.0.$host:80" --listen "[fd02::$host]:80" </dev/null >/dev/null 2>&1 &
  done
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  *) echo "usage: $0 up|down" >&2; exit 64 ;;
esac
