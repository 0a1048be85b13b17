//! Least privilege: which process has which right in the container, and what is said where one is missing.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::rig::{ANOTHER_USER, RIGHTS, Rig, assert_said};
use crate::isolation::{NET_ADMIN, NET_RAW, set};
use crate::stage::SOON;

crate::tests![
    haproxy_under_another_user_has_two_rights_and_its_master_no_net_admin,
    haproxy_under_no_other_user_has_two_rights_too,
    a_missing_right_is_named_at_the_start,
    without_the_right_to_low_ports_that_is_said,
    what_needs_no_right_gets_none,
];

const NET_BIND_SERVICE: u64 = 1 << 10;
const KILL_SETGID_SETUID: u64 = 0b111 << 5;
const SYS_CHROOT: u64 = 1 << 18;

/// All of [`RIGHTS`].
const GIVEN: u64 = KILL_SETGID_SETUID | NET_BIND_SERVICE | NET_ADMIN | NET_RAW | SYS_CHROOT;

/// What talks to the world.
const OF_WORKER: u64 = NET_RAW | NET_BIND_SERVICE;

/// The lines of `/proc/PID/status`.
fn status(pid: u32) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

fn assert_sets(pid: u32, process: &str, expected: &[(&str, u64)]) -> Result<()> {
    for (name, bits) in expected {
        let found = set(pid, name)?;
        ensure!(found == *bits, "{process} has {found:#x} in {name}, expected {bits:#x}");
    }
    Ok(())
}

/// Clearway has what was given, HAProxy's master that without what the file does not need, and its worker two.
fn assert_least_rights(global: &str, user: &str, of_master: u64) -> Result<()> {
    let rig = Rig::new("rights")?;
    rig.stage.write(&(global.to_owned() + &rig.stage.transparent()))?;
    let mut container = rig.start()?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    container.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    let clearway = container.pid()?;
    let none = [("CapInh", 0), ("CapAmb", 0)];
    assert_sets(clearway, "Clearway", &[("CapEff", GIVEN), ("CapPrm", GIVEN), ("CapBnd", GIVEN)])?;
    assert_sets(clearway, "Clearway", &none)?;
    let haproxies = container.haproxies()?;
    ensure!(haproxies.len() == 1, "one master and one worker: {haproxies:?}");
    for (master, worker) in haproxies {
        for (pid, process, rights) in [(master, "the master", of_master), (worker, "the worker", OF_WORKER)] {
            assert_sets(pid, process, &[("CapEff", rights), ("CapPrm", rights)])?;
            assert_sets(pid, process, &none)?;
        }
        let users = &status(worker)?["Uid"];
        ensure!(users.split_whitespace().all(|one| one == user), "the worker has the users {users}");
    }
    for pid in container.processes()? {
        let status = status(pid)?;
        for (name, value) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
            let found = status.get(name).context("a kernel with seccomp")?;
            ensure!(found == value, "{pid} ({}): {name} is {found}", status["Name"]);
        }
    }
    rig.stop_and_assert_clean(&mut container)
}

fn haproxy_under_another_user_has_two_rights_and_its_master_no_net_admin() -> Result<()> {
    assert_least_rights(ANOTHER_USER, "99", GIVEN & !NET_ADMIN)
}

fn haproxy_under_no_other_user_has_two_rights_too() -> Result<()> {
    assert_least_rights("", "0", OF_WORKER)
}

fn a_missing_right_is_named_at_the_start() -> Result<()> {
    let rig = Rig::new("missing")?;
    let cases = [
        ("NET_ADMIN", ""),
        ("NET_RAW", ""),
        ("SETUID", "global\n    user haproxy\n"),
        ("SETGID", "global\n    group haproxy\n"),
        ("SYS_CHROOT", "global\n    chroot /var/lib/haproxy\n"),
        ("KILL", "global\n    user haproxy\n"),
    ];
    for (right, global) in cases {
        rig.stage.write(&(global.to_owned() + &rig.stage.transparent()))?;
        let flag = format!("--cap-add={right}");
        rig.assert_refused_for_want_of(rig.run_without(&[right])?, &flag)
            .with_context(|| format!("without {right}"))?;
    }
    Ok(())
}

fn without_the_right_to_low_ports_that_is_said() -> Result<()> {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?;
    let rig = Rig::on_low_port("nolow")?;
    if first.trim().parse::<u16>()? <= rig.stage.fronts()[0].port() {
        let reason = format!("every process may bind ports from {} on here", first.trim());
        return Err(crate::stage::CannotRun(reason).into());
    }
    rig.stage.write(&rig.stage.plain())?;
    let container = rig.run_without(&["NET_BIND_SERVICE"])?;
    rig.assert_refused_for_want_of(container, "--cap-add=NET_BIND_SERVICE")
}

fn what_needs_no_right_gets_none() -> Result<()> {
    let rig = Rig::new("none")?;
    rig.stage.write(&rig.stage.plain())?;
    let mut container = rig.run_without(&RIGHTS)?;
    rig.wait_until_serving(&mut container)?;
    container.signal("HUP")?;
    container.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    rig.assert_serving(&mut container)?;
    rig.stop_and_assert_clean(&mut container)
}
