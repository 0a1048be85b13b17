//! `clearway status --watch`: the status again and again, in place on a terminal, as plain text elsewhere.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::clearway_program;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, complained, signal};

crate::tests![
    it_follows_what_happens_until_it_is_interrupted,
    it_ends_when_its_reader_is_gone,
    on_a_terminal_it_draws_in_place,
    a_pause_that_is_none_is_refused,
];

/// A watch that runs, and its lines.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watching {
    fn start(stage: &Stage, words: &[&str]) -> Result<Self> {
        let mut command = stage.hosts.balancer.command(clearway_program()?);
        command.args(["status", "--watch=100ms"]).args(words);
        command.env("CLEARWAY_RUN_DIRECTORY", stage.run_directory()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting clearway status --watch")?;
        let output = BufReader::new(child.stdout.take().context("its output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    fn wait_for(&self, text: &str) -> Result<()> {
        loop {
            let line = self.lines.recv_timeout(SOON).with_context(|| format!("no `{text}`"))?;
            ensure!(!line.contains('\u{1b}'), "it draws although there is no terminal: {line:?}");
            if line.contains(text) {
                return Ok(());
            }
        }
    }
}

fn it_follows_what_happens_until_it_is_interrupted() -> Result<()> {
    let stage = Stage::new("stwatch")?;
    let none = stage.clearway(&["status", "--watch"])?;
    assert_code(none.status, 68)?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut watching = Watching::start(&stage, &[])?;
    watching.wait_for("generation 1 serving")?;
    // Again, with an empty line between.
    watching.wait_for("in custody: ")?;
    watching.wait_for("generation 1 serving")?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    watching.wait_for("generation 2 serving")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    watching.wait_for("no running Clearway was found")?;
    let mut balancer = stage.start()?;
    watching.wait_for("generation 1 serving")?;
    signal(watching.child.id(), Signal::INT)?;
    let ended = watching.child.wait()?;
    ensure!(ended.code().is_none(), "it was not ended by the signal: {ended}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn it_ends_when_its_reader_is_gone() -> Result<()> {
    let stage = Stage::new("stpipe")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let mut command = stage.hosts.balancer.command(clearway_program()?);
    command.args(["status", "--json", "--watch=100ms"]).env("CLEARWAY_RUN_DIRECTORY", stage.run_directory());
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("its output")?);
    for _ in 0..2 {
        let mut line = String::new();
        output.read_line(&mut line)?;
        let status: serde_json::Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        ensure!(status["state"] == "serving", "{status}");
    }
    drop(output);
    let ended = clearway_lab::wait::eventually(SOON, "it to end", || child.try_wait().ok().flatten())?;
    assert_code(ended, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn on_a_terminal_it_draws_in_place() -> Result<()> {
    let stage = Stage::new("stterm")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let program = clearway_program()?.display().to_string();
    // A terminal of its own, by util-linux.
    let mut command = stage.hosts.balancer.command("script");
    command.args(["-qec", &format!("{program} status --watch=100ms"), "/dev/null"]);
    command.env("CLEARWAY_RUN_DIRECTORY", stage.run_directory());
    let mut script = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("script")?;
    let mut output = script.stdout.take().context("its output")?;
    let (mut drawn, mut bytes) = (String::new(), [0; 4096]);
    while drawn.matches("\u{1b}[H").count() < 3 {
        let length = output.read(&mut bytes)?;
        ensure!(length > 0, "it has ended after {drawn:?}");
        drawn += &String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
    }
    // Its terminal is gone with it.
    script.kill()?;
    script.wait()?;
    ensure!(drawn.matches("\u{1b}[2J").count() == 1, "cleared once: {drawn:?}");
    ensure!(drawn.matches("generation 1 serving").count() > 1, "{drawn:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_pause_that_is_none_is_refused() -> Result<()> {
    let stage = Stage::new("stbad")?;
    for bad in ["--watch=", "--watch=soon", "--watch=0", "--watch=1ms", "--watch=-1s"] {
        let output = stage.clearway(&["status", bad])?;
        assert_code(output.status, 64).with_context(|| bad.to_owned())?;
        ensure!(complained(&output).contains("--watch"), "{}", complained(&output));
    }
    assert_code(stage.clearway(&["status", "--watch", "--check"])?.status, 64)
}
