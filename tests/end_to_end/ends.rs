//! The end of a first process kills every process of its PID namespace: a client that has asked it something is
//! answered, and gone, before.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, clearway_program};
use clearway_lab::session::Session;
use clearway_lab::wait::patience;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, complained, said, signal};

crate::tests![
    a_client_that_waits_for_the_end_is_gone_before_the_first_process,
    a_client_that_waits_for_a_reload_is_told_that_it_never_comes,
    a_client_that_stays_delays_the_end_for_a_moment_only,
    a_follower_has_written_the_last_event_before_the_first_process_is_gone,
];

/// Clearway as the first process of a PID namespace, as in a container.
struct First<'a> {
    stage: &'a Stage,
    balancer: Balancer,
    pid: String,
}

impl<'a> First<'a> {
    fn start(stage: &'a Stage, more: &[(&str, &str)]) -> Result<Self> {
        let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let mut balancer = stage.launch_under(&unshare, more)?;
        balancer.wait_for_event(0, "clearway.starting", &[("pid", &1)], SOON)?;
        stage.wait_ready(&mut balancer)?;
        balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
        let inside = clearway_lab::process::children(balancer.pid());
        let pid = inside.first().context("unshare has no child")?.to_string();
        Ok(Self { stage, balancer, pid })
    }

    /// `nsenter` forks, so that the program itself is inside, and ends as it does.
    fn inside(&self, words: &[&str]) -> Result<Command> {
        let mut command = self.stage.hosts.balancer.command("nsenter");
        command.args(["-t", &self.pid, "-p", "-m"]).arg(clearway_program()?).args(words);
        command.env("CLEARWAY_RUN_DIRECTORY", self.stage.run_directory());
        Ok(command)
    }

    fn spawn(&self, words: &[&str]) -> Result<Child> {
        let mut command = self.inside(words)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("running nsenter")
    }
}

fn a_client_that_waits_for_the_end_is_gone_before_the_first_process() -> Result<()> {
    let stage = Stage::new("ends")?;
    stage.write(&stage.plain())?;
    // With a socket file, and with an abstract one.
    for directory in [stage.run_directory(), "/proc/nowhere".to_owned()] {
        for words in [&["drain"] as &[&str], &["stop"], &["stop", "--release"], &["drain", "--json"]] {
            for _ in 0..3 {
                let mut first = First::start(&stage, &[("CLEARWAY_RUN_DIRECTORY", &directory)])?;
                let mut command = first.inside(words)?;
                let output = command.env("CLEARWAY_RUN_DIRECTORY", &directory).output()?;
                let context =
                    || format!("{words:?} in {directory}: {}{}", said(&output), complained(&output));
                assert_code(output.status, 0).with_context(context)?;
                let last = if words.contains(&"--json") { "\"ended\":true" } else { "has ended" };
                ensure!(said(&output).contains(last), "{}", context());
                assert_code(first.balancer.wait_exit(SOON)?, 0)?;
            }
        }
    }
    stage.assert_clean()
}

fn a_client_that_waits_for_a_reload_is_told_that_it_never_comes() -> Result<()> {
    let stage = Stage::new("endsload")?;
    stage.write(&stage.plain())?;
    let mut first = First::start(&stage, &[("CLEARWAY_SETTLE", "60s")])?;
    let reload = first.spawn(&["reload"])?;
    first.balancer.wait_for_event(0, "generation.started", &[("generation", &2)], SOON)?;
    let drain = first.spawn(&["drain"])?;
    let ended = |child: Child| -> Result<Output> { child.wait_with_output().context("waiting for it") };
    let (drain, reload) = (ended(drain)?, ended(reload)?);
    assert_code(drain.status, 0).with_context(|| complained(&drain))?;
    assert_code(reload.status, 68).with_context(|| complained(&reload))?;
    ensure!(complained(&reload).contains("it is stopping"), "{}", complained(&reload));
    assert_code(first.balancer.wait_exit(SOON)?, 0)?;
    stage.assert_clean()
}

/// It has its answer and does not end: that is its own affair.
fn a_client_that_stays_delays_the_end_for_a_moment_only() -> Result<()> {
    let stage = Stage::new("endstay")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut command = stage.hosts.balancer.command(clearway_program()?);
    command.arg("drain").env("CLEARWAY_RUN_DIRECTORY", stage.run_directory());
    let client = command.stdout(Stdio::piped()).spawn().context("running clearway drain")?;
    balancer.wait_for_event(0, "stop.requested", &[("by", &"drain")], SOON)?;
    signal(client.id(), Signal::STOP)?;
    drop(session);
    balancer.wait_for_event(0, "clearway.leaving", &[("exit_code", &0)], SOON)?;
    let begun = Instant::now();
    assert_code(balancer.wait_exit(SOON)?, 0)?;
    ensure!(begun.elapsed() < Duration::from_secs(4) * patience(), "it waited for {:?}", begun.elapsed());
    signal(client.id(), Signal::CONT)?;
    let output = client.wait_with_output()?;
    assert_code(output.status, 0)?;
    ensure!(said(&output).contains("has ended"), "{}", said(&output));
    stage.assert_clean()
}

fn a_follower_has_written_the_last_event_before_the_first_process_is_gone() -> Result<()> {
    let stage = Stage::new("endsfollow")?;
    stage.write(&stage.plain())?;
    for _ in 0..3 {
        let mut first = First::start(&stage, &[])?;
        let mut following = first.spawn(&["events", "--from", "0"])?;
        // It is there when it has written something.
        let mut out = following.stdout.take().context("its output")?;
        let mut text = String::new();
        while !text.contains(" serves, worker ") {
            let mut bytes = [0; 4096];
            let number = std::io::Read::read(&mut out, &mut bytes)?;
            ensure!(number > 0, "it has ended: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..number]));
        }
        let drain = first.spawn(&["drain"])?.wait_with_output()?;
        assert_code(drain.status, 0).with_context(|| complained(&drain))?;
        std::io::Read::read_to_string(&mut out, &mut text)?;
        assert_code(following.wait()?, 0).with_context(|| text.clone())?;
        let last = text.lines().last().unwrap_or_default();
        ensure!(last.contains(" INFO ") && last.contains("stopped, with nothing left behind"), "{text}");
        assert_code(first.balancer.wait_exit(SOON)?, 0)?;
    }
    stage.assert_clean()
}
