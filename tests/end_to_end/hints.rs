//! What HAProxy does not say by itself: each refusal ends with what helps, and with nothing that does not.

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, complained, said};

crate::tests![
    an_address_that_is_not_here_names_the_line_that_mends_it,
    a_missing_chroot_directory_is_no_missing_right,
    a_missing_directory_of_a_socket_is_named,
    a_pidfile_that_cannot_be_written_is_named,
    a_user_with_another_right_than_usesrc,
    silence_that_was_asked_for_does_not_hide_why,
    a_configuration_without_a_listener_is_not_said_to_fail,
];

/// Starts with this before the plain configuration and waits for its end; gives the log.
fn refused(stage: &Stage, before: &str, after: &str, arguments: &[&str], code: i32) -> Result<String> {
    stage.write(&format!("{before}{}{after}", stage.plain()))?;
    let mut balancer: Balancer = stage.launch(arguments, &[])?;
    let status = balancer.wait_exit(SOON)?;
    let log = balancer.stderr()?;
    assert_code(status, code).with_context(|| log.clone())?;
    Ok(log)
}

/// The lines that begin with `hint: `, joined.
fn hints(log: &str) -> String {
    let lines = log.lines().filter_map(|line| line.split_once("hint: "));
    lines.map(|(_, hint)| hint).collect::<Vec<_>>().join("\n")
}

/// `stats socket` and `dgram-bind` take `transparent` themselves, a `peer` line does not.
fn an_address_that_is_not_here_names_the_line_that_mends_it() -> Result<()> {
    let stage = Stage::new("hintaddr")?;
    let log = refused(&stage, "global\n stats socket ipv4@192.0.2.7:7001\n", "", &[], 72)?;
    ensure!(hints(&log).contains("`transparent` to the `stats socket` line"), "{log}");
    let log = refused(&stage, "global\n stats socket ipv6@[2001:db8::7]:7001\n", "", &[], 72)?;
    ensure!(!hints(&log).contains("v6only"), "Clearway makes no stats socket: {log}");

    let forward = "log-forward l\n dgram-bind 192.0.2.7:7002\n log stderr local0\n";
    let log = refused(&stage, "", forward, &[], 72)?;
    ensure!(hints(&log).contains("`transparent` to the `dgram-bind` line"), "{log}");

    let peers = |me: &str| {
        format!(
            "global\n localpeer me\npeers p\n {me}\n peer other 192.0.2.8:7003\nbackend t\n stick-table type ip size 1k \
             peers p\n"
        )
    };
    let log = refused(&stage, &peers("peer me 192.0.2.7:7003"), "", &[], 72)?;
    let wanted = "write `bind 192.0.2.7:7003` and `server NAME` instead of `peer NAME 192.0.2.7:7003`";
    ensure!(hints(&log).contains(wanted) && !hints(&log).contains("transparent"), "{log}");
    let log = refused(&stage, &peers("peer me [2001:db8::7]:7003"), "", &[], 72)?;
    ensure!(hints(&log).contains("`bind [2001:db8::7]:7003 v6only`"), "{log}");

    // What the hints say works.
    let mended = [
        "global\n stats socket ipv4@192.0.2.7:7001 transparent\n".to_owned(),
        peers("bind 192.0.2.7:7003\n server me").replace("peer other", "server other"),
        peers("bind [2001:db8::7]:7003 v6only\n server me").replace("peer other", "server other"),
    ];
    for before in mended {
        stage.write(&format!(
            "{before}{}{}",
            stage.plain(),
            forward.replace(":7002", ":7002 transparent")
        ))?;
        let mut balancer = stage.start().with_context(|| before.clone())?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}

fn a_missing_chroot_directory_is_no_missing_right() -> Result<()> {
    let stage = Stage::new("hintroot")?;
    let missing = stage.path("jail");
    let global = format!("global\n chroot {}\n", missing.display());
    let log = refused(&stage, &global, "", &[], 65)?;
    let hint = hints(&log);
    ensure!(hint.contains(&format!("{} does not exist", missing.display())), "{log}");
    ensure!(!hint.contains("SYS_CHROOT"), "{log}");
    // Where it is there, the right is what is missing. HAProxy 3.4 gets it from a user namespace of its own.
    std::fs::create_dir(&missing)?;
    let mut without = crate::bad_input::start_without(&stage, "-sys_chroot")?;
    let log = eventually(SOON, "it to serve or to be refused", || {
        let log = without.stderr().ok()?;
        ["exit code 77", " serves, worker "].iter().any(|end| log.contains(end)).then_some(log)
    })?;
    if log.contains(" serves, worker ") {
        assert_code(without.stop(Signal::TERM, SOON)?, 0)?;
        return stage.assert_clean();
    }
    assert_code(without.wait_exit(SOON)?, 77)?;
    ensure!(hints(&log).contains("SYS_CHROOT") && !hints(&log).contains("exist"), "{log}");
    stage.assert_clean()
}

fn a_missing_directory_of_a_socket_is_named() -> Result<()> {
    let stage = Stage::new("hintdir")?;
    let socket = stage.path("none/s.sock").display().to_string();
    let (none, _) = socket.rsplit_once('/').context("a directory")?;
    for before in [
        format!("global\n stats socket {socket}\n"),
        format!("frontend u\n bind {socket}\n mode tcp\n timeout client 1s\n"),
    ] {
        let hint = hints(&refused(&stage, &before, "", &[], 65)?);
        ensure!(hint.contains(&format!("the directory {none} does not exist")), "{hint}");
        ensure!(hint.contains("create it") && hint.contains("--tmpfs"), "{hint}");
    }
    stage.assert_clean()
}

fn a_pidfile_that_cannot_be_written_is_named() -> Result<()> {
    let stage = Stage::new("hintpid")?;
    let file = stage.path("none/pid");
    let log = refused(&stage, &format!("global\n pidfile {}\n", file.display()), "", &[], 65)?;
    let wanted = format!("the pid file {} cannot be written", file.display());
    ensure!(log.contains(&wanted), "{log}");
    ensure!(hints(&log).contains("create it") && hints(&log).contains("leave `pidfile`"), "{log}");
    stage.assert_clean()
}

fn a_user_with_another_right_than_usesrc() -> Result<()> {
    let stage = Stage::new("hintuser")?;
    let mark = "frontend m\n bind 127.0.0.1:7005\n mode http\n timeout client 1s\n http-request set-mark 1\n";
    let log = refused(&stage, &format!("global\n user nobody\n{mark}"), "", &[], 65)?;
    let hint = hints(&log);
    ensure!(hint.contains("`set-mark`") && hint.contains("`setcap cap_net_raw`"), "{log}");
    ensure!(!hint.contains("usesrc"), "there is no `usesrc` in the file: {log}");
    stage.assert_clean()
}

fn silence_that_was_asked_for_does_not_hide_why() -> Result<()> {
    let stage = Stage::new("hintquiet")?;
    let broken = "frontend q\n nonsense\n";
    // `-q` is left out, so HAProxy says it.
    let log = refused(&stage, "", broken, &["-q"], 65)?;
    ensure!(log.contains("unknown keyword 'nonsense'") && log.contains("`-q` is left out"), "{log}");
    // In the file it is not: up to 3.0 HAProxy says nothing, later what is wrong.
    let quiet = "global\n quiet\n";
    let log = refused(&stage, quiet, broken, &[], 65)?;
    let place = format!("`quiet` ({}:2)", stage.file().display());
    ensure!(log.contains("unknown keyword 'nonsense'") || hints(&log).contains(&place), "{log}");

    // At a reload, and the remedy works.
    stage.write(&format!("{quiet}{}", stage.plain()))?;
    let mut balancer = stage.start_with(&["-q"], &[])?;
    stage.write(&format!("{quiet}{}{broken}", stage.plain()))?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 65)?;
    let words = complained(&output);
    ensure!(words.contains("unknown keyword 'nonsense'") || words.contains(&place), "{words}");
    let file = stage.file().display().to_string();
    let check = stage.clearway(&["check", "haproxy", "-q", "-f", &file])?;
    assert_code(check.status, 65)?;
    let words = format!("{}{}", said(&check), complained(&check));
    ensure!(words.contains("unknown keyword 'nonsense'"), "{words}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_configuration_without_a_listener_is_not_said_to_fail() -> Result<()> {
    let stage = Stage::new("hintnone")?;
    stage.write(
        "defaults\n mode tcp\n timeout connect 1s\n timeout server 1s\nbackend b\n server s 127.0.0.1:1\n",
    )?;
    let file = stage.file().display().to_string();
    let output = stage.clearway(&["check", "-f", &file])?;
    let words = format!("{}{}", complained(&output), said(&output));
    ensure!(!words.contains("takes it, with 0 bind"), "{words}");
    ensure!(words.contains("nothing in it listens") && words.contains("under Clearway it starts"), "{words}");
    // It does.
    let mut balancer = stage.launch(&[], &[])?;
    balancer.wait_for_log(0, "it listens nowhere", SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
