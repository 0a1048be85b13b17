//! Bad input: each has its exit code, says what mends it, and leaves nothing.

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, haproxy_program};
use clearway_lab::process::write_executable;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, complained};

crate::tests![
    a_configuration_that_is_not_there,
    a_configuration_that_haproxy_refuses,
    a_directory_without_configuration,
    no_haproxy,
    an_old_haproxy,
    no_net_admin_for_a_transparent_configuration,
    no_net_raw_for_a_transparent_configuration,
    no_rights_and_nothing_transparent_works,
    no_right_to_a_low_port,
    a_port_that_another_process_holds,
    a_setting_that_is_wrong,
    a_limit_of_descriptors_that_is_enough_for_haproxy_alone,
    user_together_with_usesrc_on_an_old_haproxy,
    a_root_that_cannot_be_written,
];

/// Starts Clearway as root with capabilities taken away (`-net_admin,-net_raw`).
pub fn start_without(stage: &Stage, capabilities: &str) -> Result<Balancer> {
    stage.launch_under(&["setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities], &[])
}

/// Waits for an end with this code; every text must be in what it said, and nothing may be left.
fn assert_refused(stage: &Stage, mut balancer: Balancer, code: i32, texts: &[&str]) -> Result<()> {
    let status = balancer.wait_exit(SOON)?;
    let log = balancer.stderr()?;
    ensure!(status.code() == Some(code), "{status} instead of exit code {code}:\n{log}");
    for text in texts {
        ensure!(log.contains(text), "`{text}` is missing in:\n{log}");
    }
    stage.assert_clean()
}

fn a_configuration_that_is_not_there() -> Result<()> {
    let stage = Stage::new("nofile")?;
    assert_refused(&stage, stage.launch(&[], &[])?, 66, &["haproxy.cfg", "No such file", "hint: "])
}

fn a_configuration_that_haproxy_refuses() -> Result<()> {
    let stage = Stage::new("refuse")?;
    stage.write(&stage.transparent().replace("mode tcp", "mode nonsense"))?;
    assert_refused(&stage, stage.launch(&[], &[])?, 65, &["[ALERT]", "nonsense", "HAProxy did not start"])
}

fn a_directory_without_configuration() -> Result<()> {
    let stage = Stage::new("nodir")?;
    std::fs::create_dir(stage.file())?;
    assert_refused(&stage, stage.launch(&[], &[])?, 66, &["*.cfg"])
}

fn no_haproxy() -> Result<()> {
    let stage = Stage::new("nohap")?;
    stage.write(&stage.plain())?;
    let balancer = stage.launch(&[], &[("PATH", "/nowhere")])?;
    assert_refused(&stage, balancer, 69, &["not on PATH", "apt-get install haproxy"])
}

fn an_old_haproxy() -> Result<()> {
    let stage = Stage::new("oldhap")?;
    stage.write(&stage.plain())?;
    let old = stage.path("haproxy");
    write_executable(
        &old,
        "#!/bin/sh\necho 'HA-Proxy version 2.2.9-2+deb11u6 2023/12/14 - https://haproxy.org/'\n",
    )?;
    let path = format!("{}:/usr/bin:/bin", stage.path("").display());
    assert_refused(&stage, stage.launch(&[], &[("PATH", &path)])?, 69, &["HAProxy 2.2.9", "2.4 or later"])
}

fn no_net_admin_for_a_transparent_configuration() -> Result<()> {
    let stage = Stage::new("noadm")?;
    stage.write(&stage.transparent())?;
    let texts = ["lacks NET_ADMIN", "--cap-add=NET_ADMIN", "usesrc clientip"];
    assert_refused(&stage, start_without(&stage, "-net_admin")?, 77, &texts)
}

fn no_net_raw_for_a_transparent_configuration() -> Result<()> {
    let stage = Stage::new("noraw")?;
    stage.write(&stage.transparent())?;
    assert_refused(&stage, start_without(&stage, "-net_raw")?, 77, &["lacks NET_RAW", "--cap-add=NET_RAW"])
}

fn no_rights_and_nothing_transparent_works() -> Result<()> {
    let stage = Stage::new("norts")?;
    stage.write(&stage.plain())?;
    let mut balancer = start_without(&stage, "-net_admin,-net_raw,-sys_admin,-setpcap")?;
    stage.wait_ready(&mut balancer)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    stage.wait_ready(&mut balancer)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn no_right_to_a_low_port() -> Result<()> {
    let stage = Stage::new("low")?;
    stage.write(&stage.plain().replace(":8080", ":80"))?;
    let texts = ["Permission denied", "--cap-add=NET_BIND_SERVICE"];
    assert_refused(&stage, start_without(&stage, "-net_bind_service")?, 77, &texts)
}

fn a_port_that_another_process_holds() -> Result<()> {
    let stage = Stage::new("taken")?;
    stage.write(&stage.plain())?;
    let listen = [stage.fronts()[0]];
    let host = &stage.hosts.balancer;
    let holder =
        clearway_lab::server::Server::start(host, "holder", &listen, clearway_lab::server::Mode::Line)?;
    let mut balancer = stage.launch(&[], &[])?;
    assert_code(balancer.wait_exit(SOON)?, 72)?;
    let log = balancer.stderr()?;
    let named = format!("held by clearway-lab (pid {})", holder.process.pid());
    ensure!(
        log.contains("Address already in use") && log.contains(&named),
        "`{named}` is missing in:\n{log}"
    );
    Ok(())
}

fn a_setting_that_is_wrong() -> Result<()> {
    let stage = Stage::new("wrong")?;
    stage.write(&stage.plain())?;
    for (name, value) in
        [("HAPROXY_PORTS", "80,http"), ("CLEARWAY_DRAIN_TIMEOUT", "soon"), ("CLEARWAY_INSTANCE", "A b")]
    {
        let balancer = stage.launch(&[], &[(name, value)])?;
        assert_refused(&stage, balancer, 64, &[name, value])?;
    }
    Ok(())
}

fn user_together_with_usesrc_on_an_old_haproxy() -> Result<()> {
    let stage = Stage::new("user")?;
    let version = stage.hosts.balancer.output("haproxy", &["-v"])?;
    stage.write(&format!("global\n    user nobody\n{}", stage.transparent()))?;
    if version.contains("version 2.") {
        let texts = ["require full privileges", "hint: ", "3.0 or later"];
        return assert_refused(&stage, stage.launch(&[], &[])?, 65, &texts);
    }
    let mut balancer = stage.start()?;
    let report =
        clearway_lab::load::start(&stage.hosts.client, stage.load(100.0, std::time::Duration::from_secs(1)))?
            .wait()?;
    crate::stage::assert_no_client_lost(&report)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}

fn a_root_that_cannot_be_written() -> Result<()> {
    let stage = Stage::new("ro")?;
    stage.write(&stage.transparent())?;
    let script = "set -e; mount --make-rprivate /; \
        for at in $(findmnt -rno TARGET | grep -E '^/(run|tmp|dev/shm)?$' | sort -r); do \
          mount -o remount,bind,ro \"$at\"; done; \
        if touch /run/x 2>/dev/null || touch /tmp/x 2>/dev/null; then echo 'it can be written' >&2; exit 99; fi; \
        exec \"$@\"";
    let mut balancer = stage.launch_under(&["unshare", "--mount", "sh", "-c", script, "sh"], &[])?;
    stage.wait_ready(&mut balancer)?;
    let output = stage.command(&stage.hosts.balancer, &["reload"])?;
    assert_code(output.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// What plain HAProxy starts, starts: what Clearway adds is not to cost it the last descriptors. One fewer, and plain HAProxy
/// refuses; so does Clearway's.
fn a_limit_of_descriptors_that_is_enough_for_haproxy_alone() -> Result<()> {
    let stage = Stage::new("maxconn")?;
    stage.write(&format!("global\n    maxconn 4000\n{}", stage.plain()))?;
    let under = |limit: u64| {
        let limit = format!("--nofile={limit}:{limit}");
        ["prlimit", &limit, "setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource"]
            .map(str::to_owned)
    };
    let plain = |limit: u64| -> Result<String> {
        let mut command = stage.hosts.balancer.command("timeout");
        command.args(["-s", "TERM", "5"]).args(under(limit)).arg(haproxy_program());
        let output = command.args(["-W", "-db", "-f"]).arg(stage.file()).output()?;
        Ok(complained(&output))
    };
    let words = plain(100)?;
    // From 3.1 on the master says first what it wants itself, which is less.
    let wanted = words.split("Cannot raise FD limit to ").skip(1);
    let wanted = wanted.filter_map(|number| number.split(',').next()?.parse::<u64>().ok()).max();
    let wanted = wanted.with_context(|| words.clone())?;
    ensure!(!plain(wanted)?.contains("Cannot raise FD limit"), "HAProxy alone does not start with {wanted}");

    let words = under(wanted);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut balancer = stage.launch_under(&words, &[])?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let log = balancer.stderr()?;
    ensure!(log.contains("is started once more") && log.contains("--ulimit nofile"), "{log}");
    // What HAProxy alone would refuse is refused.
    stage.write(&format!("global\n    maxconn 4001\n{}", stage.plain()))?;
    let refused = stage.clearway(&["reload"])?;
    ensure!(!refused.status.success(), "plain HAProxy would want two descriptors more than there are");
    ensure!(complained(&refused).contains("Cannot raise FD limit"), "{}", complained(&refused));
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
