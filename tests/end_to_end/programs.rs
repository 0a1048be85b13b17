//! `program` sections: one process per section, whatever becomes of HAProxy's generations.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::processes_in;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{
    CannotRun, SOON, Stage, assert_code, assert_no_client_lost, complained, haproxy_version, said, signal,
};
use crate::takeover::NAMED;

crate::tests![
    one_that_keeps_its_port_stays_over_reloads_and_crashes,
    one_with_default_options_is_replaced_at_each_reload,
    one_that_dies_is_started_again_and_no_client_notices,
    one_that_ends_by_itself_is_started_again_by_a_reload_only,
    it_sees_what_it_sees_under_haproxy_and_has_no_more_rights,
    it_becomes_the_user_of_its_section,
    what_haproxy_would_refuse_is_refused,
    a_stop_ends_one_that_does_not_want_to,
    none_outlives_a_killed_clearway,
    a_takeover_moves_them,
    a_haproxy_that_knows_none_refuses_them_with_a_reason,
];

/// A program that owns a port, as sidecars do; it has no handler for `SIGUSR1`.
const OWNER: &str = r#"
import os, socket, sys, time
listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind(("127.0.0.1", 9199))
listening.listen()
with open(sys.argv[1], "a") as starts:
    starts.write("%d\n" % os.getpid())
while True:
    connection, _ = listening.accept()
    connection.sendall(b"%d\n" % os.getpid())
    connection.close()
"#;

/// Since which HAProxy there are none.
const REMOVED: (u32, u32) = (3, 3);

/// Whether HAProxy knows such sections.
pub fn are_known() -> Result<()> {
    if haproxy_version()? >= REMOVED {
        return Err(CannotRun("HAProxy 3.3 has removed the section `program`".to_owned()).into());
    }
    Ok(())
}

fn stage(name: &str) -> Result<Stage> {
    are_known()?;
    Stage::new(name)
}

/// A stage with the program in its folder, and sections of it.
struct Programs {
    stage: Stage,
    script: PathBuf,
    starts: PathBuf,
}

impl Programs {
    fn new(name: &str) -> Result<Self> {
        let stage = stage(name)?;
        let (script, starts) = (stage.path("owner.py"), stage.path("starts"));
        std::fs::write(&script, OWNER)?;
        Ok(Self { stage, script, starts })
    }

    /// The configuration with this section, followed by the proxies.
    fn write(&self, options: &str) -> Result<()> {
        let (script, starts) = (self.script.display(), self.starts.display());
        let section = format!("program owner\n    command python3 {script} {starts}\n{options}\n");
        self.stage.write(&(section + &self.stage.plain()))
    }

    /// The processes that have begun, in order.
    fn started(&self) -> Vec<u32> {
        let starts = std::fs::read_to_string(&self.starts).unwrap_or_default();
        starts.lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn wait_started(&self, number: usize) -> Result<u32> {
        let what = format!("{number} programs to have begun");
        let started = eventually(SOON, &what, || Some(self.started()).filter(|all| all.len() >= number))?;
        ensure!(started.len() == number, "too many: {started:?}");
        started.last().copied().context("a pid")
    }

    fn running(&self) -> Result<BTreeSet<u32>> {
        let script = self.script.display().to_string();
        let all = processes_in(&self.stage.hosts.balancer)?;
        Ok(all.into_iter().filter(|(_, command)| command.contains(&script)).map(|(pid, _)| pid).collect())
    }

    /// Waits until only this one runs.
    fn only(&self, pid: u32) -> Result<()> {
        eventually(SOON, "one program to run", || {
            (self.running().ok()? == BTreeSet::from([pid])).then_some(())
        })
        .with_context(|| format!("wanted {pid}, running: {:?}", self.running()))
    }

    fn reload(&self) -> Result<()> {
        let output = self.stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| complained(&output))
    }
}

fn worker(log: &str) -> Option<u32> {
    let line = log.lines().rfind(|line| line.contains(" serves, worker "))?;
    line.split(" serves, worker ").nth(1)?.split(':').next()?.parse().ok()
}

/// Kills HAProxy's worker, and waits for the next generation.
fn crash(balancer: &Balancer) -> Result<()> {
    let position = balancer.log_position()?;
    let pid = worker(&balancer.stderr()?).context("a worker in the log")?;
    balancer.kill_descendant(pid)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON).map(|_| ())
}

fn one_that_keeps_its_port_stays_over_reloads_and_crashes() -> Result<()> {
    let programs = Programs::new("prkeep")?;
    programs.write("    no option start-on-reload")?;
    let mut balancer = programs.stage.start()?;
    let pid = programs.wait_started(1)?;
    let load = clearway_lab::load::start(
        &programs.stage.hosts.client,
        programs.stage.load(200.0, Duration::from_mins(1)).expecting(clearway_lab::load::Expect::Anything),
    )?;
    for _ in 0..3 {
        programs.reload()?;
        programs.only(pid)?;
    }
    let position = balancer.log_position()?;
    assert_no_client_lost(&load.finish_after(100)?)?;
    crash(&balancer)?;
    programs.only(pid)?;
    let log = balancer.stderr_since(position)?;
    ensure!(!log.contains("program `owner`"), "the program noticed the crash:\n{log}");
    ensure!(programs.started() == [pid]);
    let status = said(&programs.stage.clearway(&["status"])?);
    ensure!(status.contains("program owner running for "), "{status}");
    ensure!(status.contains(&format!(", pid {pid}\n")), "{status}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    programs.stage.assert_clean()
}

fn one_with_default_options_is_replaced_at_each_reload() -> Result<()> {
    let programs = Programs::new("prnew")?;
    programs.write("")?;
    let mut balancer = programs.stage.start()?;
    let mut former = programs.wait_started(1)?;
    for number in 2..5 {
        programs.reload()?;
        // The port is free when it begins: it would die otherwise.
        let next = programs.wait_started(number)?;
        ensure!(next != former);
        programs.only(next)?;
        former = next;
    }
    let died = balancer.events("program.died", &[])?;
    ensure!(died.is_empty(), "one has died: {died:?}");
    // A reload that is refused changes nothing.
    programs.write("    nonsense")?;
    assert_code(programs.stage.clearway(&["reload"])?.status, 65)?;
    programs.only(former)?;
    // A section that is gone takes its program along.
    programs.stage.write(&programs.stage.plain())?;
    programs.reload()?;
    eventually(SOON, "no program to run", || programs.running().ok()?.is_empty().then_some(()))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    programs.stage.assert_clean()
}

fn one_that_dies_is_started_again_and_no_client_notices() -> Result<()> {
    let programs = Programs::new("prdies")?;
    programs.write("")?;
    let mut balancer = programs.stage.start()?;
    let first = programs.wait_started(1)?;
    let served_by = worker(&balancer.stderr()?);
    let load = clearway_lab::load::start(
        &programs.stage.hosts.client,
        programs.stage.load(200.0, Duration::from_mins(1)).expecting(clearway_lab::load::Expect::Anything),
    )?;
    signal(first, Signal::KILL)?;
    let died: [(&str, &dyn std::fmt::Display); 2] = [("program", &"owner"), ("again", &0.1)];
    let died = balancer.wait_for_event(0, "program.died", &died, SOON)?;
    ensure!(died["how"].to_string().contains("SIGKILL"), "{died}");
    let second = programs.wait_started(2)?;
    programs.only(second)?;
    assert_no_client_lost(&load.finish_after(100)?)?;
    ensure!(worker(&balancer.stderr()?) == served_by, "HAProxy was started again");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    programs.stage.assert_clean()
}

fn one_that_ends_by_itself_is_started_again_by_a_reload_only() -> Result<()> {
    let stage = stage("prends")?;
    let starts = stage.path("starts");
    let command = format!("/bin/sh -c 'echo x >> {}'", starts.display());
    stage.write(&format!("program once\n    command {command}\n{}", stage.plain()))?;
    let mut balancer = stage.start()?;
    let count = || std::fs::read_to_string(&starts).unwrap_or_default().lines().count();
    for number in 1..3 {
        let position = balancer.log_position()?;
        eventually(SOON, "it to have begun", || (count() == number).then_some(()))?;
        eventually(SOON, "the status to say that it has ended", || {
            said(&stage.clearway(&["status"]).ok()?).contains("program once ended\n").then_some(())
        })?;
        ensure!(count() == number, "it was started again without a reload");
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        balancer.wait_for_event(position, "program.started", &[("program", &"once")], SOON)?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn it_sees_what_it_sees_under_haproxy_and_has_no_more_rights() -> Result<()> {
    let stage = stage("prenv")?;
    let (seen, socket) = (stage.path("seen"), stage.path("user.sock"));
    let text = format!(
        "global\n    stats socket {}\n    setenv FOO \"two words\"\n    localpeer me\nprogram see\n    command \
         /bin/sh -c 'exec > {}; env; cat /proc/self/status; ls -l /proc/self/fd; echo done; exec sleep 1000'\n{}",
        socket.display(),
        seen.display(),
        stage.plain()
    );
    stage.write(&text)?;
    let master_cli = stage.path("m.sock").display().to_string();
    let mut balancer = stage.start_with(&["-S", &master_cli], &[])?;
    let read = || {
        eventually(SOON, "the program to have looked", || {
            std::fs::read_to_string(&seen).ok().filter(|text| text.ends_with("done\n"))
        })
    };
    let file = stage.file().display().to_string();
    let wanted = |text: &str| -> Result<()> {
        for line in [
            &format!("HAPROXY_CFGFILES={file}"),
            "HAPROXY_MWORKER=1",
            "HAPROXY_LOCALPEER=me",
            &format!("HAPROXY_MASTER_CLI=unix@{master_cli}"),
            "FOO=two words",
        ] {
            ensure!(text.lines().any(|one| one == line), "`{line}` is missing in:\n{text}");
        }
        let cli = text.lines().find_map(|line| line.strip_prefix("HAPROXY_CLI=")).context("HAPROXY_CLI")?;
        ensure!(cli.starts_with(&format!("unix@{}", socket.display())), "{cli}");
        // The worker's own, which it has under HAProxy, too.
        ensure!(cli.matches("sockpair@").count() <= 1, "Clearway's private socket is among them: {cli}");
        ensure!(!text.contains("CLEARWAY_"), "{text}");
        let bounding = text.lines().find_map(|line| line.strip_prefix("CapBnd:")).context("CapBnd")?;
        let bounding = u64::from_str_radix(bounding.trim(), 16)?;
        ensure!(bounding >> 12 & 1 == 0, "it could have NET_ADMIN: {bounding:x}");
        ensure!(!text.contains("socket:["), "it has sockets of Clearway's:\n{text}");
        Ok(())
    };
    wanted(&read()?)?;
    // The file changes, HAProxy dies, and what is started from the copy has the same program; so has a reload.
    stage.write(&text.replace("two words", "other words"))?;
    crash(&balancer)?;
    std::fs::remove_file(&seen)?;
    stage.write(&text)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    wanted(&read()?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn it_becomes_the_user_of_its_section() -> Result<()> {
    let stage = stage("pruser")?;
    let out = tempfile::Builder::new().prefix("clearway-e2e-").tempdir()?;
    std::fs::set_permissions(out.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let seen = out.path().join("seen");
    stage.write(&format!(
        "program id\n    command /bin/sh -c 'id > {}; exec sleep 1000'\n    user nobody\n    group daemon\n{}",
        seen.display(),
        stage.plain()
    ))?;
    let mut balancer = stage.start()?;
    let id = eventually(SOON, "it to say its user", || {
        std::fs::read_to_string(&seen).ok().filter(|text| text.ends_with('\n'))
    })?;
    ensure!(id.contains("(nobody) gid=1(daemon) groups=1(daemon)"), "{id}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_haproxy_would_refuse_is_refused() -> Result<()> {
    let stage = stage("prbad")?;
    let file = stage.file().display().to_string();
    for (section, word) in [
        ("program a\n    user root\n", ":1]: The program section 'a' lacks a command to launch."),
        ("program a\n    command true\n    bind :1\n", ":3]: unknown keyword 'bind' in 'program' section"),
        ("program a\n    command true\n    user nosuchuser\n", ":3]: cannot find user id for 'nosuchuser'"),
        // HAProxy's own words about what follows have the numbers of the user's lines.
        ("program a\n    command true\nlisten x\n    nonsense\n", ":4]"),
    ] {
        stage.write(&(section.to_owned() + &stage.plain()))?;
        let mut balancer = stage.launch(&[], &[])?;
        assert_code(balancer.wait_exit(SOON)?, 65)?;
        let log = balancer.stderr()?;
        ensure!(log.contains(&format!("parsing [{file}{word}")), "{section}:\n{log}");
        stage.assert_clean()?;
    }
    Ok(())
}

fn a_stop_ends_one_that_does_not_want_to() -> Result<()> {
    let stage = stage("prdeaf")?;
    let began = stage.path("began");
    let script = format!("trap \"\" TERM USR1; echo x > {}; while :; do sleep 0.1; done", began.display());
    stage.write(&format!("program deaf\n    command /bin/sh -c '{script}'\n{}", stage.plain()))?;
    let mut balancer = stage.start()?;
    eventually(SOON, "it to have begun", || began.exists().then_some(()))?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let again = [("program", &"deaf" as &dyn std::fmt::Display), ("signal", &"SIGKILL")];
    balancer.wait_for_event(0, "program.told-again", &again, SOON)?;
    stage.assert_clean()
}

fn none_outlives_a_killed_clearway() -> Result<()> {
    let programs = Programs::new("prsigkill")?;
    programs.write("    no option start-on-reload")?;
    let mut balancer = programs.stage.start()?;
    let pid = programs.wait_started(1)?;
    programs.only(pid)?;
    balancer.stop(Signal::KILL, SOON)?;
    eventually(SOON, "no program to run", || programs.running().ok()?.is_empty().then_some(()))
}

fn a_takeover_moves_them() -> Result<()> {
    let programs = Programs::new("prtake")?;
    programs.write("    no option start-on-reload")?;
    let mut first = programs.stage.start_with(&[], &[NAMED])?;
    let former = programs.wait_started(1)?;
    let mut second = programs.stage.launch(&[], &[NAMED])?;
    second.wait_for_event(0, "generation.serving", &[], SOON)?;
    let next = programs.wait_started(2)?;
    programs.only(next)?;
    ensure!(next != former);
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    programs.stage.assert_clean()
}

fn a_haproxy_that_knows_none_refuses_them_with_a_reason() -> Result<()> {
    if haproxy_version()? < REMOVED {
        return Err(CannotRun("this HAProxy knows the section `program`".to_owned()).into());
    }
    let stage = Stage::new("prnone")?;
    stage.write(&format!("program sleeps\n    command sleep 1000\n{}", stage.plain()))?;
    let check = stage.clearway(&["check", "-f", &stage.file().display().to_string()])?;
    assert_code(check.status, 65)?;
    let mut balancer = stage.launch(&[], &[])?;
    assert_code(balancer.wait_exit(SOON)?, 65)?;
    let log = balancer.stderr()?;
    for words in [&complained(&check), &log] {
        ensure!(words.contains("unknown keyword 'program'"), "{words}");
    }
    ensure!(log.contains("HAProxy 3.3 has removed `program`"), "no remedy: {log}");
    stage.assert_clean()
}
