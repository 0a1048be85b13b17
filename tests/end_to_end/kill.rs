//! HAProxy is killed at every step of a reload, whichever of its processes: no new client is refused, one generation
//! serves afterwards, and a reload works.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::load::{Expect, RunningLoad};
use clearway_lab::process::{children, is_alive};
use clearway_lab::session::{Session, State};
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{
    SOON, Stage, assert_code, assert_lost_at_deaths, assert_only_accepted_ones_lost, complained, said, signal,
};
use crate::steps::Steps;
use crate::transaction::{other, wait_for_server};

crate::tests![
    the_old_worker_at_every_step,
    the_old_master_at_every_step,
    the_new_worker_at_every_step,
    the_new_master_at_every_step,
    the_new_one_while_clients_are_moved,
    the_old_one_while_clients_are_moved,
    one_that_dies_before_it_has_shown_its_sockets_has_proved_nothing,
    one_that_dies_soon_after_it_was_ready_gives_way,
    the_steps_are_all_known,
    a_client_that_waits_for_a_reload_is_told_that_clearway_has_ended,
];

/// Which process of HAProxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    OldWorker,
    OldMaster,
    NewWorker,
    NewMaster,
}

use Victim::{NewMaster, NewWorker, OldMaster, OldWorker};

/// No generation but the one that serves.
const OLD: &[Victim] = &[OldWorker, OldMaster];
/// The new one is loading its configuration.
const LOADING: &[Victim] = &[OldWorker, OldMaster, NewMaster];
/// Both accept; after the commit, the old one has a session.
const BOTH: &[Victim] = &[OldWorker, OldMaster, NewWorker, NewMaster];
/// The old one has gone.
const NEW: &[Victim] = &[NewWorker, NewMaster];

/// The steps of a reload by SIGHUP, and the processes that can be killed before each. A reload with a step that is not
/// in this list fails `the_steps_are_all_known`; one that lacks a step fails every test that wants to kill there.
const STEPS: [(&str, &[Victim]); 25] = [
    ("takes ReloadAsked", OLD),
    ("does Report ReloadAsked", OLD),
    ("does Prepare", OLD),
    ("hears Read", OLD),
    ("hears Followed", OLD),
    ("hears Asked", OLD),
    ("takes Prepared", OLD),
    ("does Launch", OLD),
    ("takes Started", LOADING),
    ("does Report Started", LOADING),
    ("hears Answered", BOTH),
    ("asks Sockets", BOTH),
    ("hears Proved", BOTH),
    ("takes Proved", BOTH),
    ("does Carry", BOTH),
    ("takes Carried", BOTH),
    // 200 ms in which the new one settles: what is killed before `takes Proved` is found out then.
    ("does Commit", BOTH),
    ("does Report Serving", BOTH),
    ("does Attempted", BOTH),
    ("does Drain", BOTH),
    ("does Report Draining", BOTH),
    ("does RememberOnly", BOTH),
    ("takes Exited", NEW),
    ("does Report Drained", NEW),
    ("takes LastWords", NEW),
];

/// The steps that come between `takes Proved` and the commit where HAProxy does not recognise a socket.
const SWITCHED: [&str; 5] =
    ["does Switch", "diverts Clients", "waits Clients", "hears Switched", "takes Switched"];

/// What may come at any time and has no place in a reload: the clock, the lines of a thread, and what the tests
/// themselves ask for.
const BESIDE: [&str; 14] = [
    "hears State",
    "hears StateDue",
    "hears Event Carried",
    "hears Servers",
    "hears Canary",
    "hears Due",
    "hears Removed",
    "takes TimePassed",
    "hears Strangers",
    "hears Event Exited",
    "hears Event LastWords",
    "does Answer",
    // Only where the files are the same as before.
    "hears Event SameFiles",
    "takes SameFiles",
];

/// IPv4 and IPv6, whatever they are answered.
fn load(stage: &Stage) -> Result<RunningLoad> {
    let plan = stage.load(200.0, Duration::from_mins(10)).expecting(Expect::Anything);
    clearway_lab::load::start(&stage.hosts.client, plan.patient_for(Duration::from_secs(15)))
}

/// Those of the two generations, where the processes of the former one are known.
fn find(balancer: &Balancer, former: &[u32], victim: Victim) -> Option<u32> {
    match victim {
        OldMaster => former.first().copied(),
        OldWorker => former.get(1).copied(),
        NewMaster | NewWorker => {
            let master = children(balancer.pid()).into_iter().find(|pid| !former.contains(pid))?;
            if victim == NewMaster { Some(master) } else { children(master).first().copied() }
        }
    }
}

/// Master and worker of the only generation.
fn the_only_generation(stage: &Stage, balancer: &Balancer) -> Result<Vec<u32>> {
    eventually(SOON, "one generation to serve, alone", || {
        let status = said(&stage.clearway(&["status"]).ok()?);
        let masters = children(balancer.pid());
        let [master] = masters[..] else { return None };
        let processes: Vec<u32> = std::iter::once(master).chain(children(master)).collect();
        (status.starts_with("serving") && !status.contains("draining") && processes.len() == 2)
            .then_some(processes)
    })
}

/// Kills this one, and waits until it is dead.
fn kill(balancer: &Balancer, pid: u32) -> Result<()> {
    balancer.kill_descendant(pid)?;
    eventually(SOON, "it to be dead", || (!is_alive(pid)).then_some(()))
}

/// Reloads once for each step, kills the process before it, and sees that all is well again.
fn at_every_step(name: &str, victim: Victim) -> Result<()> {
    let stage = Stage::new(name)?;
    stage.write(&stage.transparent())?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    let load = load(&stage)?;
    let mut kills = 0;
    for (step, _) in STEPS.into_iter().filter(|(_, victims)| victims.contains(&victim)) {
        round(&stage, &steps, &mut balancer, step, victim)
            .with_context(|| format!("{victim:?} before `{step}`"))?;
        kills += 1;
    }
    assert_only_accepted_ones_lost(&load.finish_after(100)?, kills)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn round(stage: &Stage, steps: &Steps, balancer: &mut Balancer, step: &str, victim: Victim) -> Result<()> {
    let former = the_only_generation(stage, balancer)?;
    // It keeps the old generation there, and lives on if another process is killed.
    let ends_alone = matches!(step, "takes Exited" | "does Report Drained" | "takes LastWords");
    let open = || Session::open(&stage.hosts.client, stage.fronts()[0], None);
    let mut session = (!ends_alone).then(open).transpose()?;
    steps.stop_at(step);
    balancer.signal(Signal::HUP)?;
    steps.wait()?;
    let pid = find(balancer, &former, victim).context("there is no such process to kill")?;
    kill(balancer, pid)?;
    steps.go_on();
    if let Some(session) = session.as_mut().filter(|_| matches!(victim, NewWorker | NewMaster)) {
        let heard = session.beat();
        ensure!(heard == State::Alive, "the session of the old generation is {heard:?}");
    }
    drop(session);
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))
}

fn the_old_worker_at_every_step() -> Result<()> {
    at_every_step("oldw", OldWorker)
}

fn the_old_master_at_every_step() -> Result<()> {
    at_every_step("oldm", OldMaster)
}

fn the_new_worker_at_every_step() -> Result<()> {
    at_every_step("neww", NewWorker)
}

fn the_new_master_at_every_step() -> Result<()> {
    at_every_step("newm", NewMaster)
}

/// A specific IPv6 address without `v6only`, which HAProxy binds a second time: clients that wait in a socket that no
/// process will accept from are reset, as the log has said. No client is refused or left waiting, and IPv4 is not
/// affected.
fn while_switching(name: &str, victims: [Victim; 2]) -> Result<()> {
    let stage = Stage::new(name)?;
    stage.write(&stage.plain().replace(" v6only", ""))?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    let load = load(&stage)?;
    let mut kills = 0;
    for step in SWITCHED {
        for victim in victims {
            round(&stage, &steps, &mut balancer, step, victim)
                .with_context(|| format!("{victim:?} before `{step}`"))?;
            kills += 1;
        }
    }
    let report = load.finish_after(100)?;
    let v4 = stage.fronts()[0].to_string();
    ensure!(report.targets.contains_key(&v4), "no connections over IPv4");
    assert_lost_at_deaths(&report, kills, |lost| lost.target == v4)?;
    ensure!(report.total.refused == 0 && report.total.timeout == 0, "new clients were lost: {report}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_new_one_while_clients_are_moved() -> Result<()> {
    while_switching("newst", [NewWorker, NewMaster])
}

fn the_old_one_while_clients_are_moved() -> Result<()> {
    while_switching("oldst", [OldWorker, OldMaster])
}

/// HAProxy without a listening socket closes the connection when it is asked for them, and so does a dead one. Taken
/// for the former, it could be committed, and every socket would be closed.
fn one_that_dies_before_it_has_shown_its_sockets_has_proved_nothing() -> Result<()> {
    let stage = Stage::new("shown")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    let former = the_only_generation(&stage, &balancer)?;
    steps.take_seen();
    steps.stop_at("asks Sockets");
    balancer.signal(Signal::HUP)?;
    steps.wait()?;
    let [master, worker] = [NewMaster, NewWorker].map(|victim| find(&balancer, &former, victim));
    let (master, worker) = (master.context("a new master")?, worker.context("a new worker")?);
    // As long as the master is there, so is the other end of the question.
    signal(master, Signal::STOP)?;
    kill(&balancer, worker)?;
    steps.go_on();
    // Ten bytes, `_getsocks`, in a socket that nothing reads.
    eventually(SOON, "the question to be on its way", || {
        let sockets = clearway_lab::kernel::ss(&stage.hosts.balancer, &["-xH"]).ok()?;
        sockets.iter().any(|line| line.split_whitespace().nth(2) == Some("10")).then_some(())
    })?;
    kill(&balancer, master)?;
    balancer.wait_for_event(0, "generation.failed", &[], SOON)?;
    let seen = steps.take_seen();
    ensure!(!seen.contains("takes Proved"), "it was dead, and has proved something: {seen:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// A generation that dies soon after it has answered: before the commit nothing has changed, after it the configuration
/// before is started again. `s1` is the server of the good one, `s2` that of the one that dies.
fn one_that_dies_soon_after_it_was_ready_gives_way() -> Result<()> {
    let stage = Stage::new("soon")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    let load = load(&stage)?;
    // `None`: when it serves.
    for moment in [Some("hears Answered"), Some("takes Proved"), Some("does Commit"), None] {
        let former = the_only_generation(&stage, &balancer)?;
        let position = balancer.log_position()?;
        stage.write(&other(&stage))?;
        if let Some(step) = moment {
            steps.stop_at(step);
        }
        balancer.signal(Signal::HUP)?;
        match moment {
            Some(_) => steps.wait()?,
            None => balancer.wait_for_event(position, "generation.serving", &[], SOON).map(drop)?,
        }
        let worker = find(&balancer, &former, NewWorker).context("a new worker")?;
        kill(&balancer, worker)?;
        steps.go_on();
        eventually(SOON, "the death to be noticed", || {
            let events = |name| balancer.events_since(position, name, &[]).ok();
            let went_back = |crash: &Value| crash["back_to"].is_u64();
            let noticed = !events("generation.failed")?.is_empty();
            (noticed || events("generation.crashed")?.iter().any(went_back)).then_some(())
        })?;
        the_only_generation(&stage, &balancer)?;
        wait_for_server(&stage, &mut balancer, "s1").with_context(|| format!("dead at {moment:?}"))?;
        // A reload that is asked for gets what is on the disk.
        stage.write(&stage.plain())?;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
    }
    ensure!(!balancer.events("generation.failed", &[])?.is_empty(), "none died before it was committed");
    ensure!(!balancer.events("generation.crashed", &[])?.is_empty(), "none died after it was committed");
    assert_only_accepted_ones_lost(&load.finish_after(100)?, 4)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_steps_are_all_known() -> Result<()> {
    let stage = Stage::new("known")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    steps.take_seen();
    balancer.signal(Signal::HUP)?;
    let mut seen = BTreeSet::new();
    eventually_because(SOON, "all steps of a reload", || {
        seen.extend(steps.take_seen());
        let missing: Vec<&str> =
            STEPS.iter().map(|(step, _)| *step).filter(|step| !seen.contains(*step)).collect();
        ensure!(missing.is_empty(), "it went without {missing:?}");
        Ok(())
    })?;
    seen.retain(|step| STEPS.iter().all(|(known, _)| known != step));
    seen.retain(|step| !BESIDE.contains(&step.as_str()));
    ensure!(seen.is_empty(), "steps at which nothing is killed, so add them to `STEPS`: {seen:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_client_that_waits_for_a_reload_is_told_that_clearway_has_ended() -> Result<()> {
    let stage = Stage::new("asker")?;
    stage.write(&stage.plain())?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    steps.stop_at("does Launch");
    let output = std::thread::scope(|scope| -> Result<_> {
        let reload = scope.spawn(|| stage.clearway(&["reload"]));
        steps.wait()?;
        balancer.signal(Signal::KILL)?;
        steps.go_on();
        reload.join().map_err(|_| anyhow::anyhow!("the reload panicked"))?
    })?;
    assert_code(output.status, 68)?;
    ensure!(complained(&output).contains("ended before it answered `/reload`"), "{}", complained(&output));
    balancer.wait_exit(SOON)?;
    stage.assert_clean()
}
