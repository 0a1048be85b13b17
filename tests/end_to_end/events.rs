//! `clearway events` and `GET /v1/events`: what followers are told is what the log says, once each, until the end.

pub mod wire;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, clearway_program};
use clearway_lab::session::Session;
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{EVENTS, SOON, Stage, assert_code, complained, said, signal};
use crate::takeover::{NAMED, successor_by};

crate::tests![
    a_follower_is_told_what_the_log_says_over_a_reload_a_failure_and_a_crash,
    what_is_followed_does_not_depend_on_the_level_of_the_log,
    a_follower_in_words_goes_on_from_an_event,
    a_follower_ends_with_clearway_or_with_its_reader,
    a_follower_sees_a_takeover_and_its_next_one_that_ids_begin_anew,
    what_cannot_be_followed_is_named,
];

/// A `clearway events` that runs.
pub struct Following {
    child: Child,
    out: PathBuf,
}

impl Following {
    pub fn start(stage: &Stage, name: &str, words: &[&str]) -> Result<Self> {
        let out = stage.path(name);
        let mut command = stage.hosts.balancer.command(clearway_program()?);
        command.arg("events").args(words).env("CLEARWAY_RUN_DIRECTORY", stage.run_directory());
        command.stdout(File::create(&out)?).stderr(Stdio::piped());
        Ok(Self { child: command.spawn().context("running clearway events")?, out })
    }

    pub fn text(&self) -> Result<String> {
        std::fs::read_to_string(&self.out).context("reading what a follower wrote")
    }

    /// What it was told so far.
    pub fn events(&self) -> Result<Vec<Value>> {
        let text = self.text()?;
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    pub fn wait_for(&self, event: &str) -> Result<Value> {
        eventually_because(SOON, &format!("a follower to be told of {event}"), || {
            let events = self.events()?;
            events
                .into_iter()
                .find(|one| one["event"] == event)
                .with_context(|| self.text().unwrap_or_default())
        })
    }

    /// Waits for its end, and gives what it complained of.
    pub fn ended(mut self) -> Result<(ExitStatus, String)> {
        let status = eventually(SOON, "a follower to end", || self.child.try_wait().transpose())??;
        let mut complaint = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut complaint)?;
        }
        Ok((status, complaint))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the log has said: its events, as text without the time, in an order that does not depend on threads.
fn logged(balancer: &Balancer) -> Result<Vec<String>> {
    let log = balancer.raw_stderr()?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(in_order(lines.filter(|line| line["event"].is_string())))
}

fn in_order(events: impl Iterator<Item = Value>) -> Vec<String> {
    let mut texts: Vec<String> = events
        .map(|mut event| {
            if let Some(fields) = event.as_object_mut() {
                fields.remove("timestamp");
                fields.remove("id");
            }
            event.to_string()
        })
        .collect();
    texts.sort_unstable();
    texts
}

/// The numbers of the ids, of which all have the same beginning.
pub fn numbers(events: &[Value]) -> Result<Vec<u64>> {
    let ids = events.iter().map(|event| event["id"].as_str().and_then(|id| id.split_once('-')));
    let ids: Vec<(&str, &str)> = ids.collect::<Option<_>>().context("an event without an id")?;
    ensure!(ids.windows(2).all(|pair| pair[0].0 == pair[1].0), "ids of several Clearways: {ids:?}");
    ids.iter().map(|(_, number)| number.parse().context("a number")).collect()
}

/// A file that HAProxy refuses.
pub fn break_file(stage: &Stage) -> Result<()> {
    stage.write(&(stage.plain() + "    nonsense here\n"))
}

fn a_follower_is_told_what_the_log_says_over_a_reload_a_failure_and_a_crash() -> Result<()> {
    let stage = Stage::new("events")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let following = Following::start(&stage, "all", &["--json", "--from", "0"])?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    break_file(&stage)?;
    assert_code(stage.clearway(&["reload"])?.status, 65)?;
    let serving = balancer.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    let position = balancer.log_position()?;
    balancer.kill_descendant(u32::try_from(serving["worker"].as_u64().context("a worker")?)?)?;
    balancer.wait_for_event(position, "generation.serving", &[("generation", &4)], SOON)?;
    for event in ["clearway.starting", "reload.requested", "generation.failed", "generation.crashed"] {
        following.wait_for(event)?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let last = following.wait_for("clearway.leaving")?;
    ensure!(last["exit_code"] == 0 && last["level"] == "INFO", "{last}");
    let events = following.events()?;
    ensure!(events.last() == Some(&last), "something came after {last}");
    let told = numbers(&events)?;
    ensure!(told == (1..=told.len() as u64).collect::<Vec<_>>(), "{told:?}");
    let (logged, followed) = (logged(&balancer)?, in_order(events.into_iter()));
    ensure!(logged == followed, "the log has\n{}\nand not\n{}", logged.join("\n"), followed.join("\n"));
    let (status, complaint) = following.ended()?;
    assert_code(status, 0)?;
    ensure!(complaint.is_empty(), "{complaint}");
    stage.assert_clean()
}

fn what_is_followed_does_not_depend_on_the_level_of_the_log() -> Result<()> {
    let stage = Stage::new("evlevel")?;
    stage.write(&stage.plain())?;
    for level in ["json,error", "json,debug"] {
        let mut balancer = stage.launch(&[], &[(EVENTS.0, level)])?;
        stage.wait_ready(&mut balancer)?;
        let following = Following::start(&stage, level, &["--json", "--from", "0"])?;
        following.wait_for("generation.serving")?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        following.wait_for("clearway.leaving")?;
        let levels: Vec<Value> = following.events()?.iter().map(|event| event["level"].clone()).collect();
        ensure!(levels.iter().all(|one| one == "INFO" || one == "WARN"), "{level}: {levels:?}");
        ensure!(levels.iter().any(|one| one == "INFO"), "{level}: {levels:?}");
        let has_debug = !balancer.events("log.debug", &[])?.is_empty();
        ensure!(has_debug == level.ends_with("debug"), "the log is as it was set: {}", balancer.stderr()?);
    }
    stage.assert_clean()
}

fn a_follower_in_words_goes_on_from_an_event() -> Result<()> {
    let stage = Stage::new("evwords")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let new = Following::start(&stage, "new", &[])?;
    let all = Following::start(&stage, "all", &["--json", "--from", "0"])?;
    let serving = all.wait_for("generation.serving")?;
    let id = serving["id"].as_str().context("an id")?;
    let older = Following::start(&stage, "older", &["--from", id])?;
    // It is there when it is told of something: until then there may be one reload more.
    eventually_because(SOON, "both to be told of a reload", || {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        for following in [&new, &older] {
            let text = following.text()?;
            ensure!(text.contains("  INFO generation ") && text.contains(" serves, worker "), "{text}");
        }
        Ok(())
    })?;
    for following in [&new, &older] {
        ensure!(!following.text()?.contains("generation 1 serves"), "{}", following.text()?);
    }
    let first = older.text()?.lines().next().unwrap_or_default().to_owned();
    ensure!(first.ends_with("  INFO reload asked for by the admin socket"), "{first}");
    // What HAProxy itself says is no event; what Clearway says of it is, with its hints.
    break_file(&stage)?;
    assert_code(stage.clearway(&["reload"])?.status, 65)?;
    let failed = all.wait_for("generation.failed")?;
    eventually(SOON, "a hint in words", || older.text().ok()?.contains(" ERROR hint: ").then_some(()))?;
    let message = failed["message"].as_str().context("a sentence")?;
    ensure!(older.text()?.contains(message), "{}", older.text()?);
    ensure!(!older.text()?.contains("[ALERT]"), "{}", older.text()?);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    for following in [new, all, older] {
        assert_code(following.ended()?.0, 0)?;
    }
    stage.assert_clean()
}

fn a_follower_ends_with_clearway_or_with_its_reader() -> Result<()> {
    let stage = Stage::new("evends")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    for (stop, code) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let following = Following::start(&stage, "stopped", &["--json", "--from", "0"])?;
        following.wait_for("generation.serving")?;
        signal(following.child.id(), stop)?;
        assert_code(following.ended()?.0, code)?;
    }
    // `clearway events | head -1`: it notices with the next event.
    let mut command = stage.hosts.balancer.command(clearway_program()?);
    command.args(["events", "--from", "0"]).env("CLEARWAY_RUN_DIRECTORY", stage.run_directory());
    let mut unread = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(unread.stdout.take());
    let status = eventually(SOON, "one that is not read to end", || unread.try_wait().transpose())??;
    assert_code(status, 0)?;
    // One that is killed says no last word.
    let following = Following::start(&stage, "killed", &["--json", "--from", "0"])?;
    following.wait_for("generation.serving")?;
    balancer.signal(Signal::KILL)?;
    let (status, complaint) = following.ended()?;
    assert_code(status, 68)?;
    ensure!(complaint.contains("without a last word") && complaint.contains("hint: "), "{complaint}");
    balancer.wait_exit(SOON)?;
    stage.assert_clean()
}

fn a_follower_sees_a_takeover_and_its_next_one_that_ids_begin_anew() -> Result<()> {
    let stage = Stage::new("evtake")?;
    stage.write(&stage.plain())?;
    let mut first = stage.start_with(&[], &[NAMED])?;
    let old = Following::start(&stage, "old", &["--json", "--from", "0", "--instance", "web"])?;
    old.wait_for("generation.serving")?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = successor_by(&stage, "handoff")?;
    old.wait_for("takeover.superseded")?;
    let last = old.wait_for("takeover.settled")?;
    let id = last["id"].as_str().context("an id")?.to_owned();
    // Under the name there is another one now.
    let new = Following::start(&stage, "new", &["--json", "--from", &id, "--instance", "web"])?;
    new.wait_for("generation.serving")?;
    let events = new.events()?;
    let told = &events[0];
    ensure!(told["event"] == "events.begun-anew" && told["asked"] == *id, "{told}");
    ensure!(numbers(&events)? == (0..events.len() as u64).collect::<Vec<_>>(), "{events:?}");
    ensure!(events[1]["event"] == "clearway.starting", "{}", events[1]);
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    old.wait_for("clearway.leaving")?;
    assert_code(old.ended()?.0, 0)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    assert_code(new.ended()?.0, 0)?;
    stage.assert_clean()
}

fn what_cannot_be_followed_is_named() -> Result<()> {
    let stage = Stage::new("evbad")?;
    let none = stage.clearway(&["events"])?;
    assert_code(none.status, 68)?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    for from in ["abc", "-1", "99999999999999999999", "", "1 2", "00000000-"] {
        let refused = stage.clearway(&["events", &format!("--from={from}")])?;
        assert_code(refused.status, 64).with_context(|| format!("{from}: {}", complained(&refused)))?;
        ensure!(said(&refused).is_empty(), "{}", said(&refused));
    }
    // It looks well, and has not happened.
    let refused = stage.clearway(&["events", "--from", "100000"])?;
    assert_code(refused.status, 64)?;
    ensure!(
        complained(&refused).contains("no event 100000 yet: the last one is "),
        "{}",
        complained(&refused)
    );
    assert_code(balancer.stop(Signal::TERM, Duration::from_secs(10))?, 0)?;
    stage.assert_clean()
}
