//! What HAProxy inherits: nothing that it does not need.

use anyhow::{Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code};

crate::tests![
    no_haproxy_process_has_net_admin,
    without_setpcap_the_rights_are_given_up_too,
    no_descriptor_leaks,
    what_clearway_was_given_keeps_its_number,
    no_variable_leaks,
];

pub const NET_ADMIN: u64 = 1 << 12;
pub const NET_RAW: u64 = 1 << 13;

/// A capability set of a process: `CapEff`, `CapPrm`, `CapBnd`.
pub fn set(pid: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    Ok(u64::from_str_radix(line.unwrap_or_default().trim(), 16)?)
}

fn assert_without_net_admin(balancer: &Balancer) -> Result<()> {
    let processes = balancer.haproxy_processes();
    ensure!(processes.len() == 2, "a master and a worker: {processes:?}");
    for pid in processes {
        for name in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            ensure!(set(pid, name)? & NET_ADMIN == 0, "pid {pid} has NET_ADMIN in {name}");
        }
        ensure!(set(pid, "CapEff")? & NET_RAW != 0, "pid {pid} lacks NET_RAW");
    }
    Ok(())
}

fn no_haproxy_process_has_net_admin() -> Result<()> {
    let stage = Stage::new("caps")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    assert_without_net_admin(&balancer)?;
    for pid in balancer.haproxy_processes() {
        ensure!(set(pid, "CapBnd")? & NET_ADMIN == 0, "pid {pid} could get NET_ADMIN back");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn without_setpcap_the_rights_are_given_up_too() -> Result<()> {
    let stage = Stage::new("nopcap")?;
    stage.write(&stage.transparent())?;
    let mut balancer = crate::bad_input::start_without(&stage, "-setpcap")?;
    stage.wait_ready(&mut balancer)?;
    assert_without_net_admin(&balancer)?;
    // Its death still takes HAProxy along: the signal survived the change of rights.
    balancer.signal(Signal::KILL)?;
    balancer.wait_exit(SOON)?;
    eventually(SOON, "HAProxy to end with Clearway", || {
        clearway_lab::kernel::processes_in(&stage.hosts.balancer).ok().filter(Vec::is_empty)
    })
    .map(|_| ())
}

fn no_descriptor_leaks() -> Result<()> {
    let stage = Stage::new("fds")?;
    stage.write(&stage.transparent())?;
    let mut balancer = stage.start()?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    let ours = descriptors(balancer.pid())?;
    let listening = clearway_lab::kernel::ss(&stage.hosts.balancer, &["-tlne"])?.join(" ");
    let in_custody = |target: &str| {
        let inode = target.trim_start_matches("socket:[").trim_end_matches(']');
        target.starts_with("socket:") && listening.contains(&format!("ino:{inode} "))
    };
    for pid in balancer.haproxy_processes() {
        for theirs in descriptors(pid)? {
            // `anon_inode:[eventpoll]` and `/dev/null` have the same name everywhere, and what is not
            // close-on-exec was given to Clearway by the process that started it.
            let named = theirs.target.starts_with("anon_inode") || theirs.target == "/dev/null";
            let same = ours.iter().find(|one| one.target == theirs.target && one.close_on_exec);
            ensure!(
                named || same.is_none() || in_custody(&theirs.target),
                "HAProxy ({pid}) has Clearway's {theirs:?}"
            );
        }
    }
    // The netlink socket that owns the table, seen from the kernel: only Clearway has one of netfilter.
    let netlink = clearway_lab::kernel::ss(&stage.hosts.balancer, &["-f", "netlink", "-p"])?;
    ensure!(!netlink.iter().any(|line| line.contains("haproxy") && line.contains("12:")), "{netlink:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

/// A descriptor beyond 0, 1 and 2, which are meant to be shared.
#[derive(Debug)]
struct Descriptor {
    number: u32,
    target: String,
    close_on_exec: bool,
}

fn descriptors(pid: u32) -> Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let (Ok(target), Ok(info)) = (
            std::fs::read_link(entry.path()),
            std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")),
        ) else {
            continue;
        };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default().trim();
        let close_on_exec = u32::from_str_radix(flags, 8)? & 0o2_000_000 != 0;
        if number > 2 {
            found.push(Descriptor { number, target: target.display().to_string(), close_on_exec });
        }
    }
    Ok(found)
}

fn what_clearway_was_given_keeps_its_number() -> Result<()> {
    // `bind fd@N` in a configuration means a descriptor that the user's own supervisor has opened.
    let stage = Stage::new("given")?;
    stage.write(&stage.plain())?;
    let script = "exec 3</etc/hostname 5</etc/passwd; exec \"$@\"";
    let mut balancer = stage.launch_under(&["sh", "-c", script, "sh"], &[])?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    // One that is just ending has no descriptors any more.
    balancer.wait_for_event(0, "generation.drained", &[("generation", &1)], SOON)?;
    for pid in balancer.haproxy_processes() {
        for (number, target) in [(3, "/etc/hostname"), (5, "/etc/passwd")] {
            let found = descriptors(pid)?.into_iter().find(|one| one.number == number);
            ensure!(found.as_ref().is_some_and(|one| one.target == target), "{pid}: {number} is {found:?}");
        }
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn no_variable_leaks() -> Result<()> {
    let stage = Stage::new("env")?;
    stage.write(&stage.plain())?;
    let variables = [("CLEARWAY_DRAIN_TIMEOUT", "9s"), ("HAPROXY_PORTS", "8080"), ("MINE", "kept")];
    let mut balancer = stage.start_with(&[], &variables)?;
    for pid in balancer.haproxy_processes() {
        let environment = std::fs::read(format!("/proc/{pid}/environ"))?;
        let environment = String::from_utf8_lossy(&environment);
        ensure!(!environment.contains("CLEARWAY_"), "pid {pid}: {environment}");
        ensure!(environment.contains("MINE=kept"), "the user's own variables are passed on: {environment}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
