//! A first start beside a balancer that is not ours, which is stopped later: nobody is lost, whichever strategy.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::kernel::ss;
use clearway_lab::session::{Session, State};
use clearway_lab::wait::eventually;
use rustix::process::Signal;
use serde_json::Value;

use super::{STRATEGY, available, can_be_had, load};
use crate::stage::{SOON, Stage, assert_code, assert_nobody_lost, complained};

crate::tests![
    with_handoff_new_clients_come_here,
    with_reuseport_new_clients_come_here,
    with_syn_drop_new_clients_come_here,
    with_plug_new_clients_come_here,
    with_auto_new_clients_come_here,
    with_tableflip_new_clients_come_here_whoever_holds_the_port,
    who_was_there_first_has_the_clients_again_when_we_go,
];

/// How long connections are made in each state.
const WHILE: Duration = Duration::from_millis(500);

/// A plain HAProxy on the addresses of the stage, behind which servers see the balancer; behind ours they see the client.
fn foreign(stage: &Stage, global: &str) -> Result<Balancer> {
    let file = stage.path("foreign.cfg");
    std::fs::write(&file, format!("{global}{}", stage.plain()))?;
    let mut balancer = Balancer::start(&stage.hosts.balancer, Kind::PlainMasterWorker, &file, &[], &[])?;
    stage.wait_ready(&mut balancer)?;
    stage.write(&stage.transparent())?;
    Ok(balancer)
}

/// Connections that only ours answers rightly.
fn assert_all_ours(stage: &Stage) -> Result<()> {
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(300.0, Duration::from_mins(2)))?;
    std::thread::sleep(WHILE);
    assert_nobody_lost(&load.finish()?, 50).context("some were not answered by the newcomer")
}

fn strangers(stage: &Stage) -> Result<Vec<String>> {
    let output = stage.clearway(&["status", "--json"])?;
    let status: Value = serde_json::from_slice(&output.stdout).with_context(|| complained(&output))?;
    let all = status["strangers"].as_array().context("strangers")?;
    Ok(all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
}

/// Ours comes, the other one is stopped: under load, with sessions.
fn comes_into_the_place_of_another(name: &str, strategy: &str, global: &str, sign: &str) -> Result<()> {
    can_be_had(strategy)?;
    let stage = Stage::new(name)?;
    let mut other = foreign(&stage, global)?;
    let open = || -> Result<Vec<Session>> {
        stage.fronts().iter().map(|front| Session::open(&stage.hosts.client, *front, None)).collect()
    };
    let mut theirs = open()?;
    let load = load(&stage, 300.0)?;
    let mut balancer = stage.launch(&[], &[(STRATEGY, strategy)])?;
    balancer.wait_for_log(0, sign, SOON)?;
    assert_all_ours(&stage)?;
    let mut ours = open()?;
    // Whoever reloads before the other one is stopped.
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    ensure!(other.is_running()?, "the other one has ended");
    other.signal(Signal::USR1)?;
    eventually(SOON, "the other one to listen no more", || strangers(&stage).ok()?.is_empty().then_some(()))?;
    assert_all_ours(&stage)?;
    for session in theirs.iter_mut().chain(&mut ours) {
        ensure!(session.beat() == State::Alive, "a session was lost");
    }
    drop((theirs, ours));
    other.wait_exit(SOON)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_all_ours(&stage)?;
    assert_nobody_lost(&load.finish()?, 300)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

const STEERED: &str = "come here, and none any more to who listened there before";

fn with_handoff_new_clients_come_here() -> Result<()> {
    comes_into_the_place_of_another("frghand", "handoff", "", STEERED)
}

fn with_reuseport_new_clients_come_here() -> Result<()> {
    comes_into_the_place_of_another("frgreuse", "reuseport", "", STEERED)
}

fn with_syn_drop_new_clients_come_here() -> Result<()> {
    comes_into_the_place_of_another("frgdrop", "syn-drop", "", STEERED)
}

fn with_plug_new_clients_come_here() -> Result<()> {
    comes_into_the_place_of_another("frgplug", "plug", "", STEERED)
}

fn with_auto_new_clients_come_here() -> Result<()> {
    comes_into_the_place_of_another("frgauto", "auto", "", STEERED)
}

/// It needs no place beside the other one, which does not share its address with anybody. And what was connected when
/// nobody tracked connections stays where it is.
fn with_tableflip_new_clients_come_here_whoever_holds_the_port() -> Result<()> {
    let global = "global\n    noreuseport\n";
    comes_into_the_place_of_another("frgflip", "tableflip", global, " serves, worker ")
}

fn who_was_there_first_has_the_clients_again_when_we_go() -> Result<()> {
    for strategy in available(["handoff", "tableflip"]) {
        let stage = Stage::new("frgback")?;
        let mut other = foreign(&stage, "")?;
        let mut balancer = stage.launch(&[], &[(STRATEGY, strategy)])?;
        balancer.wait_for_log(0, " serves, worker ", SOON)?;
        if strategy == "handoff" {
            balancer.wait_for_log(0, STEERED, SOON)?;
            let told = strangers(&stage)?;
            ensure!(
                told.len() == 2 && told.iter().all(|one| one.contains("gets no new clients of")),
                "{told:?}"
            );
        }
        assert_all_ours(&stage)?;
        balancer.signal(Signal::KILL)?;
        balancer.wait_exit(SOON)?;
        // Its HAProxy ends a moment later, with whom it has accepted.
        eventually(SOON, "only the other one to listen", || {
            let listening = ss(&stage.hosts.balancer, &["-tln"]).ok()?;
            (listening.len() == 2).then_some(())
        })?;
        let load = load(&stage, 300.0)?;
        std::thread::sleep(WHILE);
        assert_nobody_lost(&load.finish()?, 50).with_context(|| format!("after {strategy}"))?;
        other.stop(Signal::TERM, SOON)?;
    }
    Ok(())
}
