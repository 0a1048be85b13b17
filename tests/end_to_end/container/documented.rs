//! The documented command line: read-only, no new privileges, seven rights, the machine's network.

use anyhow::{Result, anyhow, ensure};
use clearway_lab::session::{Session, State};

use super::rig::{ANOTHER_USER, Rig, assert_said};
use crate::stage::{SOON, assert_no_client_lost};

crate::tests![
    it_is_transparent_on_a_low_port_and_reloads_lose_no_client,
    a_broken_file_keeps_the_old_generation,
    docker_stop_lets_an_open_session_finish,
    after_docker_restart_it_serves_again,
    the_rules_of_others_stay_as_they_are,
    nothing_transparent_needs_no_plumbing,
    in_the_machines_process_namespace_it_finds_itself,
];

fn it_is_transparent_on_a_low_port_and_reloads_lose_no_client() -> Result<()> {
    let rig = Rig::on_low_port("low")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut container = rig.start()?;
    let load = rig.load()?;
    container.signal("HUP")?;
    container.wait_for_event(0, "generation.serving", &[("generation", &2)], SOON)?;
    for generation in 3..6 {
        let words = assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
        ensure!(words.contains(&format!("generation {generation} serves")), "{words}");
        ensure!(words.contains("2 sockets taken over"), "{words}");
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    rig.stop_and_assert_clean(&mut container)
}

fn a_broken_file_keeps_the_old_generation() -> Result<()> {
    let rig = Rig::new("broken")?;
    let good = ANOTHER_USER.to_owned() + &rig.stage.transparent();
    rig.stage.write(&good)?;
    let mut container = rig.start()?;
    let load = rig.load()?;
    rig.stage.write(&(good.clone() + "    no-such-keyword at all\n"))?;
    let words = assert_said(&container.exec(&["clearway", "reload"])?, 65)?;
    ensure!(words.contains("unknown keyword 'no-such-keyword'"), "HAProxy's own words are missing: {words}");
    let log = container.log_position()?;
    container.signal("HUP")?;
    container.wait_for_log(log, "unknown keyword 'no-such-keyword'", SOON)?;
    let status = assert_said(&container.exec(&["clearway", "status"])?, 0)?;
    ensure!(status.contains("generation 1 serving") && status.contains("DID NOT TAKE"), "{status}");
    rig.stage.write(&good)?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    assert_no_client_lost(&load.finish_after(100)?)?;
    rig.stop_and_assert_clean(&mut container)
}

fn docker_stop_lets_an_open_session_finish() -> Result<()> {
    let rig = Rig::new("finish")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut container = rig.start()?;
    let mut session = Session::open(rig.client(), rig.stage.fronts()[1], None)?;
    let name = container.name().to_owned();
    let engine = rig.engine.clone();
    let stop = std::thread::spawn(move || engine.done(&["stop", "--time=300", &name]));
    container.wait_for_event(0, "generation.draining", &[("generation", &1)], SOON)?;
    ensure!(session.beat() == State::Alive, "the session was cut");
    ensure!(container.state()?.running, "it has left a session behind");
    ensure!(session.close() == State::Closed, "the session was not closed properly");
    stop.join().map_err(|_| anyhow!("`docker stop` panicked"))??;
    rig.stop_and_assert_clean(&mut container)
}

fn after_docker_restart_it_serves_again() -> Result<()> {
    let rig = Rig::new("restart")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut container = rig.start()?;
    let position = container.log_position()?;
    container.restart(300)?;
    container.wait_for_event(position, "clearway.leaving", &[("exit_code", &0)], SOON)?;
    container.wait_for_event(position, "generation.serving", &[("generation", &1)], SOON)?;
    let load = rig.load()?;
    rig.assert_serving(&mut container)?;
    assert_no_client_lost(&load.finish_after(1)?)?;
    rig.stop_and_assert_clean(&mut container)
}

fn the_rules_of_others_stay_as_they_are() -> Result<()> {
    let rig = Rig::new("rules")?;
    rig.stage.write(&rig.stage.transparent())?;
    let before = rig.rules_of_others()?;
    let mut container = rig.start()?;
    let tables = rig.stage.hosts.balancer.output("nft", &["list", "tables"])?;
    ensure!(tables.matches("table inet clearway_").count() == 1, "one table of Clearway: {tables}");
    ensure!(
        rig.rules_of_others()? == before,
        "rules of others changed:\n{}\n{before}",
        rig.rules_of_others()?
    );
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    ensure!(rig.rules_of_others()? == before, "rules of others changed by a reload");
    rig.stop_and_assert_clean(&mut container)?;
    ensure!(rig.rules_of_others()? == before, "rules of others changed by a stop");
    Ok(())
}

fn nothing_transparent_needs_no_plumbing() -> Result<()> {
    let rig = Rig::new("plain")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.plain()))?;
    let mut container = rig.start()?;
    rig.stage.assert_kernel_clean()?;
    let plan = rig.stage.load(300.0, std::time::Duration::from_mins(1));
    let load = clearway_lab::load::start(rig.client(), plan.expecting(clearway_lab::load::Expect::Anything))?;
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    assert_no_client_lost(&load.finish_after(20)?)?;
    rig.stop_and_assert_clean(&mut container)
}

fn in_the_machines_process_namespace_it_finds_itself() -> Result<()> {
    let rig = Rig::new("pid")?;
    rig.stage.write(&(ANOTHER_USER.to_owned() + &rig.stage.transparent()))?;
    let mut container = rig.run(&["--pid=host"], &[])?;
    rig.wait_until_serving(&mut container)?;
    let processes = container.processes()?;
    let status = assert_said(&container.exec(&["clearway", "status"])?, 0)?;
    ensure!(status.contains(&format!("pid {}", processes[0])), "{processes:?}: {status}");
    assert_said(&container.exec(&["clearway", "reload"])?, 0)?;
    rig.stop_and_assert_clean(&mut container)?;
    let left = processes.into_iter().find(|pid| clearway_lab::process::is_alive(*pid));
    ensure!(left.is_none(), "process {left:?} is left");
    Ok(())
}
