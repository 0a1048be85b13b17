//! A first start beside a balancer that is not ours, which is stopped later: no client is lost, whichever strategy.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, Kind};
use clearway_lab::kernel::ss;
use clearway_lab::session::{Session, State};
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;
use serde_json::Value;

use super::{STRATEGY, available, can_be_had, load};
use crate::stage::{
    SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost, complained, signal,
};
use crate::steps::Steps;

crate::tests![
    with_handoff_new_clients_come_here,
    with_reuseport_new_clients_come_here,
    with_syn_drop_new_clients_come_here,
    with_plug_new_clients_come_here,
    with_auto_new_clients_come_here,
    with_tableflip_new_clients_come_here_whichever_process_holds_the_port,
    the_first_process_has_the_clients_again_when_we_go,
    when_the_others_have_gone_all_sockets_serve,
    a_crash_beside_the_other_one_sends_no_client_there,
    clients_that_have_come_are_waited_for_beside_the_loop,
    a_stop_beside_the_other_one_loses_no_client,
];

/// How many connections are answered in each state.
const ENOUGH: u64 = 150;

/// A plain HAProxy on the addresses of the stage, behind which servers see the balancer; behind ours they see the
/// client.
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
    assert_no_client_lost(&load.finish_after(ENOUGH)?).context("some were not answered by the newcomer")
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
    // A reload before the other one is stopped.
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
    assert_no_client_lost(&load.finish_after(300)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

const STEERED: &str =
    "come here; the process that listened there before gets none any more, and may be stopped";

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

/// It needs no place beside the other one, which does not share its address with any other. And what was connected when
/// nothing tracked connections stays where it is.
fn with_tableflip_new_clients_come_here_whichever_process_holds_the_port() -> Result<()> {
    let global = "global\n    noreuseport\n";
    comes_into_the_place_of_another("frgflip", "tableflip", global, " serves, worker ")
}

fn the_first_process_has_the_clients_again_when_we_go() -> Result<()> {
    for strategy in available(["handoff", "tableflip"]) {
        let stage = Stage::new("frgback")?;
        let mut other = foreign(&stage, "")?;
        let mut balancer = stage.launch(&[], &[(STRATEGY, strategy)])?;
        balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
        if strategy == "handoff" {
            balancer.wait_for_event(0, "beside.taken", &[], SOON)?;
            let told = strangers(&stage)?;
            ensure!(
                told.len() == 2 && told.iter().all(|one| one.contains("gets no new clients of")),
                "{told:?}"
            );
        }
        assert_all_ours(&stage)?;
        balancer.signal(Signal::KILL)?;
        balancer.wait_exit(SOON)?;
        // Its HAProxy ends a moment later, with the clients that it has accepted.
        eventually(SOON, "only the other one to listen", || {
            let listening = ss(&stage.hosts.balancer, &["-tln"]).ok()?;
            (listening.len() == 2).then_some(())
        })?;
        let load = load(&stage, 300.0)?;
        assert_no_client_lost(&load.finish_after(ENOUGH)?).with_context(|| format!("after {strategy}"))?;
        other.stop(Signal::TERM, SOON)?;
    }
    Ok(())
}

/// Several sockets at each address: which belongs to which is known as long as the others are there, and no client is
/// steered any more when they have gone.
fn when_the_others_have_gone_all_sockets_serve() -> Result<()> {
    for theirs in [1, 2] {
        beside_several(theirs).with_context(|| format!("beside {theirs} at each address"))?;
    }
    Ok(())
}

fn beside_several(theirs: u8) -> Result<()> {
    let stage = Stage::new("frgshard")?;
    let shards = |text: &str, number: u8| {
        let binds = stage.fronts().map(|front| format!("bind {front}"));
        binds
            .iter()
            .fold(text.to_owned(), |text, bind| text.replace(bind, &format!("{bind} shards {number}")))
    };
    let file = stage.path("foreign.cfg");
    std::fs::write(&file, shards(&stage.plain(), theirs))?;
    let mut other = Balancer::start(&stage.hosts.balancer, Kind::PlainMasterWorker, &file, &[], &[])?;
    stage.wait_ready(&mut other)?;
    let load = load(&stage, 300.0)?;
    stage.write(&shards(&stage.transparent(), 2))?;
    let mut balancer = stage.launch(&[], &[])?;
    balancer.wait_for_event(0, "beside.taken", &[], SOON)?;
    assert_all_ours(&stage)?;
    let reload = |number: u8| -> Result<()> {
        stage.write(&shards(&stage.transparent(), number))?;
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        eventually(SOON, "the former generation to be gone", || {
            (balancer.haproxy_processes().len() == 2).then_some(())
        })
    };
    // HAProxy makes as many as it has threads at most. It is looked five times a second what has changed.
    for number in [1, 2, 1] {
        reload(number)?;
        eventually_because(SOON, "all clients to come here", || assert_all_ours(&stage))
            .with_context(|| format!("with {number} sockets"))?;
    }
    assert_no_client_lost(&load.finish_after(300)?)?;
    other.signal(Signal::USR1)?;
    other.wait_exit(SOON)?;
    balancer.wait_for_event(0, "beside.ended", &[], SOON)?;
    // What was left behind would lead all of them to the second of these.
    reload(2)?;
    // No process accepts, so it is seen where they wait.
    let worker = *balancer.haproxy_processes().get(1).context("a worker")?;
    signal(worker, Signal::STOP)?;
    eventually(SOON, "each of its threads to stop", || {
        let tasks = std::fs::read_dir(format!("/proc/{worker}/task")).ok()?;
        let read = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status"));
        let stopped = tasks.flatten().all(|task| read(task).is_ok_and(|text| text.contains("State:\tT")));
        stopped.then_some(())
    })?;
    let waiting = wait_where(&stage, 40);
    signal(worker, Signal::CONT)?;
    let waiting = waiting?;
    ensure!(waiting.len() == 2 && waiting.iter().all(|number| *number > 0), "not shared out: {waiting:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// How many of so many connections wait at each socket of the first address.
fn wait_where(stage: &Stage, connections: u32) -> Result<Vec<u32>> {
    let [front, _] = stage.fronts();
    let _connections: Vec<TcpStream> = stage.hosts.client.enter(|| {
        (0..connections).map(|_| TcpStream::connect_timeout(&front, SOON)).collect::<Result<_, _>>()
    })??;
    let lines = ss(&stage.hosts.balancer, &["-tln", &format!("src {front}")])?;
    let queue = |line: &String| line.split_whitespace().nth(1)?.parse().ok();
    lines.iter().map(|line| queue(line).with_context(|| line.clone())).collect()
}

fn a_crash_beside_the_other_one_sends_no_client_there() -> Result<()> {
    let stage = Stage::new("frgcrash")?;
    let mut other = foreign(&stage, "")?;
    let mut balancer = stage.launch(&[], &[])?;
    balancer.wait_for_event(0, "beside.taken", &[], SOON)?;
    let load = clearway_lab::load::start(&stage.hosts.client, stage.load(200.0, Duration::from_mins(2)))?;
    for _ in 0..3 {
        let position = balancer.log_position()?;
        let worker = eventually(SOON, "a worker", || balancer.haproxy_processes().get(1).copied())?;
        balancer.kill_descendant(worker)?;
        balancer.wait_for_event(position, "generation.serving", &[("adopted", &2)], SOON)?;
    }
    assert_only_accepted_ones_lost(&load.finish_after(50)?, 3)?;
    other.stop(Signal::TERM, SOON)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The clients go back to the one that was there first, before ours closes its sockets.
fn a_stop_beside_the_other_one_loses_no_client() -> Result<()> {
    for strategy in ["handoff", "reuseport"] {
        let stage = Stage::new("frgstop")?;
        let mut other = foreign(&stage, "")?;
        let load = load(&stage, 300.0)?;
        let mut balancer = stage.launch(&[], &[(STRATEGY, strategy)])?;
        balancer.wait_for_event(0, "beside.taken", &[], SOON)?;
        assert_all_ours(&stage)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        ensure!(!balancer.events("beside.given-back", &[])?.is_empty(), "{}", balancer.stderr()?);
        assert_no_client_lost(&load.finish_after_more(ENOUGH)?)?;
        other.stop(Signal::TERM, SOON)?;
        stage.assert_clean()?;
    }
    Ok(())
}

/// A moment, in which the loop must hear what else there is.
fn clients_that_have_come_are_waited_for_beside_the_loop() -> Result<()> {
    let stage = Stage::new("frgwait")?;
    let mut other = foreign(&stage, "")?;
    let (steps, mut balancer) = Steps::start(&stage, &[])?;
    balancer.wait_for_event(0, "beside.taken", &[], SOON)?;
    steps.take_seen();
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let seen = steps.take_seen();
    ensure!(seen.contains("hears GaveBack"), "{seen:?}");
    other.stop(Signal::TERM, SOON)?;
    stage.assert_clean()
}
