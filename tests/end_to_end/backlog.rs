//! A changed `backlog` or `maxconn` takes effect on sockets that were taken over, as if HAProxy had made them anew.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::ss;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, said};

crate::tests![what_the_file_says_is_applied_at_a_reload, what_the_command_line_says_counts_as_well];

/// What changes. Ten frontends that get their number in ten ways.
struct Numbers {
    process: u32,
    defaults: [u32; 2],
    sections: [u32; 2],
    lines: [u32; 5],
    log_forward: u32,
}

const ONE: Numbers = Numbers {
    process: 900,
    defaults: [60, 80],
    sections: [300, 70],
    lines: [20, 40, 11, 12, 100],
    log_forward: 13,
};

/// Some grow, some shrink, and one is more than the kernel lets it be.
const OTHER: Numbers = Numbers {
    process: 700,
    defaults: [61, 8],
    sections: [30, 700],
    lines: [200, 4, 110, 6, 100_000],
    log_forward: 14,
};

/// What the kernel lets it be.
const MOST: u32 = 4096;

/// The backend is called otherwise than every frontend: HAProxy 3.3 refuses two that share a name.
fn configuration(stage: &Stage, numbers: &Numbers) -> String {
    let Numbers { process, defaults, sections, lines, log_forward } = numbers;
    let timeouts = "mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n";
    format!(
        "global\n maxconn {process}\n\
         defaults one\n {timeouts} backlog {}\n\
         frontend a from one\n bind :9001 backlog {}\n default_backend servers\n\
         frontend b from one\n bind :9002\n backlog {}\n default_backend servers\n\
         frontend c from one\n bind :9003\n default_backend servers\n\
         defaults two\n {timeouts} maxconn {}\n\
         frontend d from two\n bind :9004 maxconn {}\n default_backend servers\n\
         frontend e from two\n bind :9005\n maxconn {}\n default_backend servers\n\
         frontend f from two\n bind :9006\n default_backend servers\n\
         defaults three\n {timeouts}\
         frontend g\n bind :9007\n default_backend servers\n\
         frontend h\n bind {} backlog {}\n bind abns@{} backlog {}\n default_backend servers\n\
         frontend i\n bind :9009 backlog {}\n bind :::9010 v6only backlog 33\n default_backend servers\n\
         log-forward l\n bind :9011\n maxconn {log_forward}\n log stderr local0\n\
         backend servers\n server s 10.2.0.2:8080\n\
         {}",
        defaults[0],
        lines[0],
        sections[0],
        defaults[1],
        lines[1],
        sections[1],
        stage.path("h.sock").display(),
        lines[2],
        name(stage),
        lines[3],
        lines[4],
        stage.plain(),
    )
}

/// An abstract name of this test alone.
fn name(stage: &Stage) -> String {
    stage.hosts.balancer.name().to_owned()
}

/// How many clients may wait where, as `ss` shows it (`Send-Q`).
fn limits(stage: &Stage) -> Result<BTreeMap<String, u32>> {
    let lines = [ss(&stage.hosts.balancer, &["-tln"])?, ss(&stage.hosts.balancer, &["-xl"])?].concat();
    let path = stage.path("h.sock").display().to_string();
    let entries = lines.iter().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let unix = words.first() == Some(&"u_str");
        let (limit, address) = (words.get(2 + usize::from(unix))?, words.get(3 + usize::from(unix))?);
        let address = match address {
            path_of_it if path_of_it.starts_with(&path) => "path".to_owned(),
            abstract_name if abstract_name.trim_matches('@') == name(stage) => "abstract".to_owned(),
            ip if !unix => (*ip).to_owned(),
            _ => return None,
        };
        Some((address, limit.parse().ok()?))
    });
    Ok(entries.collect())
}

fn reload(stage: &Stage, numbers: &Numbers) -> Result<BTreeMap<String, u32>> {
    stage.write(&configuration(stage, numbers))?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| said(&output))?;
    ensure!(said(&output).contains("14 sockets taken over"), "{}", said(&output));
    limits(stage)
}

fn start(stage: &Stage, arguments: &[&str], numbers: &Numbers) -> Result<(Balancer, BTreeMap<String, u32>)> {
    stage.write(&configuration(stage, numbers))?;
    let balancer = stage.start_with(arguments, &[])?;
    let limits = limits(stage)?;
    Ok((balancer, limits))
}

const LINE: &str = "listen backlog changed: ";

/// What HAProxy makes of a file when it makes the sockets anew is what a reload has to come to.
fn follows(name: &str, arguments: &[&str]) -> Result<(BTreeMap<String, u32>, BTreeMap<String, u32>)> {
    let stage = Stage::new(name)?;
    stage.hosts.balancer.sysctl("net/core/somaxconn", &MOST.to_string())?;
    let (mut balancer, one) = start(&stage, arguments, &ONE)?;
    ensure!(one.len() == 14, "{one:?}");
    let position = balancer.log_position()?;
    let changed = reload(&stage, &OTHER)?;
    let line = balancer.wait_for_log(position, LINE, SOON)?;
    ensure!(line.contains("of 0.0.0.0:9001 from 20 to 200") && line.ends_with(" more"), "{line}");
    // The same once more: there is nothing to change, and nothing is.
    let position = balancer.log_position()?;
    ensure!(reload(&stage, &OTHER)? == changed);
    balancer.wait_for_event(position, "generation.serving", &[("generation", &3)], SOON)?;
    let log = balancer.stderr()?;
    ensure!(log.matches(LINE).count() == 1, "{log}");
    stage.write(&configuration(&stage, &ONE))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(limits(&stage)? == one, "back again: {:?}, and {one:?} at first", limits(&stage)?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()?;

    let (mut balancer, other) = start(&stage, arguments, &OTHER)?;
    ensure!(changed == other, "after a reload: {changed:?}, and as HAProxy makes them: {other:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()?;
    Ok((one, other))
}

fn what_the_file_says_is_applied_at_a_reload() -> Result<()> {
    let (one, other) = follows("backlog", &[])?;
    // HAProxy itself says what it is to be; these are here to see that something was read.
    for (address, was, is) in [
        ("0.0.0.0:9001", 20, 200),
        ("0.0.0.0:9002", 300, 30),
        ("0.0.0.0:9003", 60, 61),
        ("0.0.0.0:9004", 40, 4),
        ("0.0.0.0:9005", 70, 700),
        ("0.0.0.0:9006", 80, 8),
        ("0.0.0.0:9007", 900, 700),
        ("path", 11, 110),
        ("abstract", 12, 6),
        ("0.0.0.0:9009", 100, MOST),
        ("[::]:9010", 33, 33),
        ("0.0.0.0:9011", 13, 14),
    ] {
        let seen = (one.get(address), other.get(address));
        ensure!(seen == (Some(&was), Some(&is)), "{address}: {seen:?}");
    }
    Ok(())
}

fn what_the_command_line_says_counts_as_well() -> Result<()> {
    let (one, other) = follows("backlog-n", &["-N", "450"])?;
    ensure!(one.get("0.0.0.0:9007") == Some(&450) && other.get("0.0.0.0:9007") == Some(&450), "{one:?}");
    Ok(())
}
