//! Every kind of socket that HAProxy listens on is held and taken over again, by inode, over a reload and a crash.

mod datagrams;
mod pieces;
mod sockets;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use rustix::process::Signal;

use crate::stage::{CannotRun, SOON, Stage, assert_code, said};
use datagrams::Datagrams;
use pieces::Piece;
use sockets::Sockets;

crate::tests![
    all_kinds_are_held_over_a_reload_and_a_crash,
    mptcp_is_held_over_a_reload_and_a_crash,
    quic_is_held_over_a_reload_and_a_crash,
    udp_and_tcp_in_another_namespace_are_held_over_a_reload_and_a_crash,
    datagrams_of_a_socket_that_cannot_be_taken_over_arrive_after_a_reload,
];

/// Reloads and crashes; the sockets are to be the same ones each time, and to answer.
fn follow(stage: &Stage, pieces: &[Piece], datagrams: Option<&Datagrams>) -> Result<()> {
    let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    stage.write(&(text + &stage.plain()))?;
    let mut balancer = stage.start_with(&["-L", "me"], &[])?;
    let before = Sockets::of(stage, pieces)?;
    answers(stage, pieces)?;
    for generation in 2..4 {
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| said(&output))?;
        ensure!(!said(&output).contains("bound"), "reload to generation {generation}: {}", said(&output));
        before.assert_same(&Sockets::of(stage, pieces)?).context("after a reload")?;
        answers(stage, pieces).context("after a reload")?;
    }
    datagrams.map_or(Ok(()), Datagrams::assert_none_lost).context("after two reloads")?;
    crash(&balancer, 4)?;
    before.assert_same(&Sockets::of(stage, pieces)?).context("after a crash")?;
    answers(stage, pieces).context("after a crash")?;
    datagrams.map_or(Ok(()), Datagrams::assert_hardly_any_lost).context("after a crash")?;
    let log = balancer.stderr()?;
    ensure!(!log.contains("could not take the socket"), "{log}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    Sockets::assert_gone(stage, pieces)
}

fn answers(stage: &Stage, pieces: &[Piece]) -> Result<()> {
    pieces.iter().try_for_each(|piece| (piece.answers)(stage))
}

/// Kills the worker; the generation that comes has this number.
fn crash(balancer: &Balancer, next: u32) -> Result<()> {
    let (log, position) = (balancer.stderr()?, balancer.log_position()?);
    let line = log.lines().rfind(|line| line.contains(" serves, worker ")).context("no generation serves")?;
    let worker = line.split(" serves, worker ").nth(1).and_then(|rest| rest.split(':').next());
    balancer.kill_descendant(worker.context("no worker in the log")?.parse()?)?;
    balancer.wait_for_event(position, "generation.serving", &[("generation", &next)], SOON)?;
    Ok(())
}

fn all_kinds_are_held_over_a_reload_and_a_crash() -> Result<()> {
    let stage = Stage::new("kinds")?;
    let mut all = vec![pieces::streams(&stage), pieces::logs(&stage)];
    for one in [pieces::mptcp(), pieces::quic(&stage)] {
        match one.map_err(anyhow::Error::downcast::<CannotRun>) {
            Ok(piece) => all.push(piece),
            // Its own test is reported as ignored.
            Err(Ok(reason)) => eprintln!("left out: {reason}"),
            Err(Err(error)) => return Err(error),
        }
    }
    let datagrams = Datagrams::start(&stage, &pieces::LOGS)?;
    follow(&stage, &all, Some(&datagrams))
}

fn mptcp_is_held_over_a_reload_and_a_crash() -> Result<()> {
    let piece = pieces::mptcp()?;
    follow(&Stage::new("kinds-mptcp")?, &[piece], None)
}

fn quic_is_held_over_a_reload_and_a_crash() -> Result<()> {
    let stage = Stage::new("kinds-quic")?;
    let piece = pieces::quic(&stage)?;
    follow(&stage, &[piece], None)
}

fn udp_and_tcp_in_another_namespace_are_held_over_a_reload_and_a_crash() -> Result<()> {
    let stage = Stage::new("kinds-netns")?;
    let piece = pieces::elsewhere(&stage)?;
    follow(&stage, &[piece], None)
}

/// HAProxy does not recognise a specific IPv6 address without `v6only`, on `dgram-bind` as little as on `bind`: no
/// process reads the former socket any more, so it must not be open any longer.
fn datagrams_of_a_socket_that_cannot_be_taken_over_arrive_after_a_reload() -> Result<()> {
    let stage = Stage::new("kinds-lost")?;
    let piece = pieces::not_recognised(&stage);
    stage.write(&(piece.text.clone() + &stage.plain()))?;
    let mut balancer = stage.start()?;
    let before = Sockets::of(&stage, std::slice::from_ref(&piece))?;
    let datagrams = Datagrams::start(&stage, &[pieces::NOT_RECOGNISED])?;
    for generation in 2..4 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        balancer.wait_for_event(0, "generation.drained", &[("generation", &(generation - 1))], SOON)?;
        // `Sockets::of` fails where an address has two.
        before.assert_others(&Sockets::of(&stage, std::slice::from_ref(&piece))?)?;
        datagrams.assert_hardly_any_lost()?;
    }
    crash(&balancer, 4)?;
    before.assert_others(&Sockets::of(&stage, std::slice::from_ref(&piece))?)?;
    datagrams.assert_arriving()?;
    let log = balancer.stderr()?;
    let line = log.lines().find(|line| line.contains("could not take the socket")).context("nothing said")?;
    ensure!(line.contains("haproxy.cfg:2)") && line.contains("lacks `v6only`"), "{line}");
    ensure!(line.contains("datagrams that wait in it are lost"), "{line}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)
}
