#!/usr/bin/env bash
# Tries the Debian package, and the drop-in for Debian's own haproxy.service, under a real systemd: install, move from a
# HAProxy that serves, upgrade while it serves, remove, purge. Clients connect all the time, and none may be refused.
# Needs root, Debian's archive once, and target/release/clearway (`make build`).
#
#   test-deb.sh [SUITE...]        trixie unless told otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/systemd-machine.sh

fail() { printf 'test-deb: %s\n' "$@" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || fail 'this needs root'
into=$(realpath -m "${CARGO_TARGET_DIR:-target}")
mkdir -p "$into/matrix"
shared=$(mktemp -d "$into/matrix/systemd-XXXXXX")
trap 'machine_stop; rm -rf "$shared"' EXIT
passed=0 failed=0

# Two packages of the same binary, since an upgrade needs an older one.
packages() {
  local architecture revision
  architecture=$(dpkg --print-architecture)
  for revision in 1 2; do
    REVISION=$revision PACKAGES=$shared scripts/deb.sh "$architecture" >"$shared/deb.log" 2>&1 ||
      { cat "$shared/deb.log" >&2; return 1; }
    mv "$shared"/clearway_*.deb "$shared/$revision.deb"
  done
}

cat >"$shared/haproxy.cfg" <<'CONFIG'
global
    log /dev/log local0
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    user haproxy
    group haproxy
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend web
    bind :80
    http-request return status 200 content-type text/plain string "generation"
listen sessions
    mode tcp
    bind :81
    server echo 127.0.0.1:7
CONFIG

# Clients, one after the other; each that gets no answer is a line in `lost`. And one session that stays open: what it
# sends each tenth of a second comes back, a line in `beats`, or a line is in `cut`.
cat >"$shared/clients" <<'CLIENTS'
#!/bin/bash
cd /shared
: >lost
: >cut
: >served
while [ ! -e stop-clients ]; do
  if curl --silent --show-error --fail --max-time 20 --output /dev/null http://127.0.0.1/ 2>>lost; then echo >>served; fi
  sleep 0.01
done
CLIENTS
cat >"$shared/session" <<'SESSION'
#!/bin/bash
cd /shared
exec 5<>/dev/tcp/127.0.0.1/81 || exit
while [ ! -e stop-session ]; do
  echo here >&5 && read -r -t 20 <&5 || { echo cut >>cut; exit; }
  echo >>beats
  sleep 0.1
done
SESSION
chmod +x "$shared/clients" "$shared/session"

cat >"$shared/echo.socket" <<'UNIT'
[Socket]
ListenStream=127.0.0.1:7
Accept=yes
UNIT
cat >"$shared/echo@.service" <<'UNIT'
[Service]
ExecStart=/bin/cat
StandardInput=socket
StandardOutput=socket
UNIT

try() { # name, command...
  local name=$1 code
  shift
  # Not behind an `if`, where a command that fails would not end it.
  set +e
  (
    set -e
    "$@"
  ) >"$shared/output" 2>&1
  code=$?
  set -e
  if [ "$code" = 0 ]; then
    echo "test $suite::$name ... ok"
    passed=$((passed + 1))
  else
    echo "test $suite::$name ... FAILED"
    sed 's/^/    /' "$shared/output"
    inside journalctl --no-pager --lines 40 2>&1 | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

main_pid() { inside systemctl show --property=MainPID --value "$1"; }
is() { [ "$1" = "$2" ] || { echo "it is '$1' and not '$2'"; return 1; }; }
active() { is "$(inside systemctl is-active "$1")" "${2:-active}"; }
lost_none() { # at least so many were served
  is "$(cat "$shared/lost")" ''
  [ "$(wc -l <"$shared/served")" -ge "$1" ]
}
clients_begin() {
  rm -f "$shared"/stop-*
  inside systemd-run --quiet --unit=clients /shared/clients
  until [ -s "$shared/served" ]; do sleep 0.1; done
}
clients_end() { touch "$shared/stop-clients"; while inside systemctl --quiet is-active clients; do sleep 0.1; done; }
session_begin() {
  rm -f "$shared/stop-session" "$shared/beats"
  inside systemd-run --quiet --unit=session /shared/session
  until [ -s "$shared/beats" ]; do sleep 0.1; done
}
session_end() {
  touch "$shared/stop-session"
  while inside systemctl --quiet is-active session; do sleep 0.1; done
  is "$(cat "$shared/cut")" ''
}
# The whole root, without what belongs to every installation of a package.
files() {
  inside find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /shared -o -path /var/log \
    -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/lib/systemd -o -path /var/tmp -o -path /mnt \) -prune -o -print | sort
}

begin() {
  machine_start "$root" "$shared"
  inside sh -c 'cp /shared/haproxy.cfg /etc/haproxy/haproxy.cfg; cp /shared/echo* /run/systemd/system/; systemctl daemon-reload
    systemctl start echo.socket; systemctl restart haproxy'
  active haproxy
}

installs_beside_a_serving_haproxy() {
  local before
  before=$(main_pid haproxy)
  inside dpkg --install /shared/1.deb
  is "$(main_pid haproxy)" "$before"
  active clearway inactive
  is "$(inside systemctl is-enabled clearway)" disabled
  inside clearway --version
  inside clearway check -f /etc/haproxy/haproxy.cfg
}

# As docs/how-to/systemd.md says it.
moves_from_haproxy() {
  inside sh -ec 'sed "/^Conflicts=/d" /usr/lib/systemd/system/clearway.service >/run/systemd/system/clearway.service
    systemctl daemon-reload
    systemctl start clearway'
  until inside journalctl --no-pager --unit clearway | grep -q 'come here'; do sleep 0.2; done
  inside sh -ec 'systemctl disable --now haproxy
    rm /run/systemd/system/clearway.service
    systemctl daemon-reload
    systemctl enable clearway'
  active clearway
  active haproxy inactive
}

upgrades_while_it_serves() {
  local before
  before=$(main_pid clearway)
  inside dpkg --install /shared/2.deb
  is "$(main_pid clearway)" "$before"
  active clearway
  # The new program asks the old one.
  inside systemctl reload clearway
  inside clearway status
}

# It would, since the program of the running process is gone.
needrestart_leaves_it_alone() {
  local before
  before=$(main_pid clearway)
  inside needrestart -r a
  is "$(main_pid clearway)" "$before"
}

restarts_into_the_new_one() {
  local before
  before=$(main_pid clearway)
  inside systemctl restart clearway
  [ "$(main_pid clearway)" != "$before" ]
  active clearway
}

# Its own scripts start and reload haproxy.service.
lives_through_an_upgrade_of_haproxy() { # unit
  local before
  before=$(main_pid "$1")
  inside dpkg-reconfigure haproxy
  # It waits for no reload.
  while [ "$(inside systemctl is-active "$1")" = reloading ]; do sleep 0.1; done
  is "$(main_pid "$1")" "$before"
  active "$1"
}

is_removed() {
  inside dpkg --remove clearway
  active clearway inactive
  inside sh -c '! pgrep "clearway|haproxy"'
  inside test -e /etc/default/clearway
}

leaves_nothing() {
  inside dpkg --purge clearway
  # The move has disabled it.
  inside systemctl enable haproxy
  files >"$shared/after"
  diff "$shared/before" "$shared/after"
  inside sh -c '! ls -d /run/clearway* /etc/systemd/system/*/clearway.service'
  is "$(inside systemctl list-unit-files --no-legend 'clearway*')" ''
  is "$(inside ip rule list | wc -l)" 3
}

the_package() {
  begin
  files >"$shared/before"
  clients_begin
  try package::installs_beside_a_serving_haproxy installs_beside_a_serving_haproxy
  try package::moves_from_haproxy moves_from_haproxy
  session_begin
  try package::upgrades_while_it_serves upgrades_while_it_serves
  try package::needrestart_leaves_it_alone needrestart_leaves_it_alone
  try package::lives_through_an_upgrade_of_haproxy lives_through_an_upgrade_of_haproxy clearway
  try package::no_session_was_cut session_end
  try package::restarts_into_the_new_one restarts_into_the_new_one
  clients_end
  try package::no_client_was_refused lost_none 100
  try package::is_removed is_removed
  try package::leaves_nothing leaves_nothing
  machine_stop
}

drop_in=/etc/systemd/system/haproxy.service.d

# As docs/how-to/from-debians-haproxy-service.md says it.
moves_into_haproxy_service() {
  inside dpkg --install /shared/1.deb
  inside systemd-run --unit=clearway-bridge --service-type=notify --property=NotifyAccess=main --property=KillMode=mixed \
    --setenv=CLEARWAY_INSTANCE=haproxy clearway haproxy -f /etc/haproxy/haproxy.cfg
  until inside journalctl --no-pager --unit clearway-bridge | grep -q 'come here'; do sleep 0.2; done
  inside install -D --mode=644 -t $drop_in /usr/share/doc/clearway/examples/haproxy.service.d/clearway.conf
  inside systemctl daemon-reload
  inside systemctl restart haproxy
  active haproxy
  is "$(inside cat "/proc/$(main_pid haproxy)/comm")" clearway
  while inside systemctl --quiet is-active clearway-bridge; do sleep 0.2; done
}

reloads_as_before() {
  local before
  before=$(main_pid haproxy)
  inside systemctl reload haproxy
  inside sh -c 'kill -USR2 $(systemctl show --property=MainPID --value haproxy)'
  inside clearway reload
  is "$(main_pid haproxy)" "$before"
}

refuses_a_broken_file() {
  inside sh -c 'echo nonsense >>/etc/haproxy/haproxy.cfg'
  if inside systemctl reload haproxy; then echo 'it was taken'; return 1; fi
  active haproxy
  inside cp /shared/haproxy.cfg /etc/haproxy/haproxy.cfg
  inside systemctl reload haproxy
}

restarts_in_its_unit() {
  inside systemctl restart haproxy
  active haproxy
}

goes_back() {
  inside rm $drop_in/clearway.conf
  inside systemctl daemon-reload
  inside systemctl restart haproxy
  is "$(inside cat "/proc/$(main_pid haproxy)/comm")" haproxy
  inside curl --silent --fail --max-time 5 --output /dev/null http://127.0.0.1/
}

the_drop_in() {
  begin
  clients_begin
  try drop_in::moves_into_haproxy_service moves_into_haproxy_service
  session_begin
  try drop_in::reloads_as_before reloads_as_before
  try drop_in::refuses_a_broken_file refuses_a_broken_file
  try drop_in::lives_through_an_upgrade_of_haproxy lives_through_an_upgrade_of_haproxy haproxy
  try drop_in::no_session_was_cut session_end
  try drop_in::restarts_in_its_unit restarts_in_its_unit
  clients_end
  try drop_in::no_client_was_refused lost_none 100
  try drop_in::goes_back goes_back
  machine_stop
}

suites=("$@")
[ $# -gt 0 ] || suites=(trixie)
packages
for suite in "${suites[@]}"; do
  root=$(scripts/debian-root.sh "systemd-$suite" minbase "$suite" \
    systemd,systemd-sysv,dbus,iproute2,curl,procps,haproxy,needrestart)
  the_package
  the_drop_in
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
