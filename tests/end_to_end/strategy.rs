//! The strategies: under load each loses no client, says what moved which, and leaves nothing behind; where one cannot
//! be had that is said before anything is touched.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::kernel::has_owner_tables;
use clearway_lab::load::{Expect, RunningLoad};
use clearway_lab::session::Session;
use clearway_lab::wait::eventually;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::Value;

use crate::stage::{
    CannotRun, PORT, SOON, Stage, assert_code, assert_no_client_lost, assert_only_accepted_ones_lost,
    complained, said, signal,
};
use crate::steps::Steps;

mod foreign;
mod killed;
mod tableflip;

pub use foreign::TESTS as FOREIGN;
pub use killed::TESTS as KILLED;
pub use tableflip::TESTS as TABLEFLIP;

crate::tests![
    reuseport_loses_no_client,
    syn_drop_loses_no_client,
    plug_loses_no_client,
    tableflip_loses_no_client,
    auto_hands_over_and_holds_the_rest,
    wildcards_are_moved_as_well,
    transparent_sockets_are_moved_as_well,
    a_generation_that_crashes_gets_its_sockets_back,
    what_cannot_be_bound_beside_is_handed_over,
    a_client_that_goes_silent_keeps_no_other_waiting,
    without_net_admin_what_cannot_be_moved_is_told,
    one_that_cannot_be_had_is_named_before_anything_is_touched,
    one_that_fails_in_the_middle_of_a_reload_is_undone,
    clients_of_a_generation_that_is_undone_are_served,
    the_doctor_lists_them,
];

/// The variable of the setting.
pub const STRATEGY: &str = "CLEARWAY_STRATEGY";

/// Without the strategies that this kernel lacks.
pub fn available<const N: usize>(strategies: [&'static str; N]) -> impl Iterator<Item = &'static str> {
    strategies.into_iter().filter(|strategy| can_be_had(strategy).is_ok())
}

/// Whether this kernel has what a strategy needs.
fn can_be_had(strategy: &str) -> Result<(), CannotRun> {
    if strategy == "tableflip" && !has_owner_tables() {
        return Err(CannotRun("this kernel has no owner tables (Linux 5.12)".to_owned()));
    }
    Ok(())
}

/// Starts with a strategy.
fn start(stage: &Stage, strategy: &str) -> Result<Balancer> {
    can_be_had(strategy)?;
    stage.start_with(&[], &[(STRATEGY, strategy)])
}

/// Connections to both addresses, whatever they are answered.
fn load(stage: &Stage, rate: f64) -> Result<RunningLoad> {
    let plan = stage.load(rate, Duration::from_mins(2)).expecting(Expect::Anything);
    clearway_lab::load::start(&stage.hosts.client, plan)
}

/// What was done for which address at the last reload, as `status` tells it.
fn moved(stage: &Stage) -> Result<Vec<(String, String)>> {
    let output = stage.clearway(&["status", "--json"])?;
    let status: Value = serde_json::from_slice(&output.stdout).with_context(|| complained(&output))?;
    let moved = status["last_attempt"]["moved"].as_array().context("what was moved")?;
    let word = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Ok(moved.iter().map(|one| (word(one, "address"), word(one, "by"))).collect())
}

/// Reloads ten times under load from another host, and asserts that each moved these addresses by this means.
fn reloads(stage: &Stage, strategy: &str, texts: &[String], expected: &[(SocketAddr, &str)]) -> Result<()> {
    stage.write(&texts[0])?;
    let mut balancer = start(stage, strategy)?;
    let sessions: Vec<_> = stage
        .fronts()
        .iter()
        .map(|front| Ok(Session::open(&stage.hosts.client, *front, None)?.keep(Duration::from_millis(50))))
        .collect::<Result<_>>()?;
    let seen = if texts[0].contains("usesrc") { Expect::OwnAddress } else { Expect::Anything };
    let plan = stage.load(300.0, Duration::from_mins(2)).expecting(seen);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for round in 1..=10 {
        stage.write(&texts[round % texts.len()])?;
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| format!("{}{}", said(&output), complained(&output)))?;
        let moved = moved(stage)?;
        for (address, means) in expected {
            let by = moved.iter().find(|(one, _)| *one == address.to_string()).map(|(_, by)| by.as_str());
            ensure!(by == Some(means), "{address} was moved by {by:?}: {moved:?}\n{}", said(&output));
        }
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    for session in sessions {
        ensure!(session.is_alive(), "a session that was opened before the first reload has ended");
        session.finish()?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The plain configuration: its two addresses are all moved by the strategy with this name.
fn all_by(name: &str, strategy: &str) -> Result<()> {
    let stage = Stage::new(name)?;
    let expected = stage.fronts().map(|front| (front, strategy));
    reloads(&stage, strategy, &[stage.plain()], &expected)
}

fn reuseport_loses_no_client() -> Result<()> {
    all_by("reuseport", "reuseport")
}

fn syn_drop_loses_no_client() -> Result<()> {
    all_by("syndrop", "syn-drop")
}

fn plug_loses_no_client() -> Result<()> {
    all_by("plug", "plug")
}

fn tableflip_loses_no_client() -> Result<()> {
    all_by("tableflip", "tableflip")
}

/// From the address to the wildcard the kernel prefers the old socket as long as it is open: that one cannot be
/// steered. The IPv6 address stays, and is handed over.
fn auto_hands_over_and_holds_the_rest() -> Result<()> {
    let stage = Stage::new("auto")?;
    let [v4, v6] = stage.fronts();
    let address = stage.plain();
    let wildcard = address.replace(&format!("bind {v4}"), &format!("bind :{PORT}"));
    ensure!(wildcard != address, "{wildcard}");
    stage.write(&address)?;
    let mut balancer = start(&stage, "auto")?;
    let load = load(&stage, 300.0)?;
    for round in 0..6 {
        let (text, by) = if round % 2 == 0 {
            (&wildcard, (v4.to_string(), "plug".to_owned()))
        } else {
            (&address, (format!("0.0.0.0:{PORT}"), "reuseport".to_owned()))
        };
        stage.write(text)?;
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| complained(&output))?;
        let moved = moved(&stage)?;
        ensure!(moved.contains(&by), "{moved:?} without {by:?}");
        ensure!(moved.contains(&(v6.to_string(), "handoff".to_owned())), "{moved:?}");
    }
    assert_no_client_lost(&load.finish_after(100)?)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn wildcards_are_moved_as_well() -> Result<()> {
    for strategy in available(["reuseport", "syn-drop", "plug", "tableflip"]) {
        let stage = Stage::new("wild")?;
        let [v4, v6] = stage.fronts();
        let text = stage.plain().replace(&format!("bind {v4}"), &format!("bind :{PORT}"));
        let text = text.replace(&format!("bind {v6}"), &format!("bind :::{PORT}"));
        let expected =
            ["0.0.0.0", "[::]"].map(|any| (format!("{any}:{PORT}").parse::<SocketAddr>(), strategy));
        let expected: Vec<_> = expected.into_iter().filter_map(|(at, by)| Some((at.ok()?, by))).collect();
        reloads(&stage, strategy, &[text], &expected).with_context(|| strategy.to_owned())?;
    }
    Ok(())
}

/// Its listeners are plain, its connections to servers are the clients': the plumbing and a gate live side by side, and
/// so do the marks and the redirection.
fn transparent_sockets_are_moved_as_well() -> Result<()> {
    for strategy in available(["plug", "tableflip"]) {
        let stage = Stage::new("transp")?;
        let expected = stage.fronts().map(|front| (front, strategy));
        reloads(&stage, strategy, &[stage.transparent()], &expected).with_context(|| strategy.to_owned())?;
    }
    Ok(())
}

/// A reload binds anew, a start after a crash does not: clients that wait in the sockets are served.
fn a_generation_that_crashes_gets_its_sockets_back() -> Result<()> {
    for strategy in available(["reuseport", "syn-drop", "plug", "tableflip"]) {
        let stage = Stage::new("crashes")?;
        stage.write(&stage.plain())?;
        let mut balancer = start(&stage, strategy)?;
        let load = load(&stage, 200.0)?;
        for round in 1..=3 {
            let position = balancer.log_position()?;
            let alone = || Some(balancer.haproxy_processes()).filter(|processes| processes.len() == 2);
            let worker = eventually(SOON, "one generation to be alone", alone)?[1];
            balancer.kill_descendant(worker)?;
            balancer.wait_for_event(position, "generation.serving", &[("adopted", &2)], SOON)?;
            let output = stage.clearway(&["reload"])?;
            assert_code(output.status, 0)
                .with_context(|| format!("round {round}: {}", complained(&output)))?;
        }
        let report = load.finish_after(50)?;
        assert_only_accepted_ones_lost(&report, 3).with_context(|| strategy.to_owned())?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

/// With `noreuseport` the second HAProxy would find the address in use.
fn what_cannot_be_bound_beside_is_handed_over() -> Result<()> {
    for strategy in available(["reuseport", "syn-drop", "plug"]) {
        let stage = Stage::new("beside")?;
        let expected = stage.fronts().map(|front| (front, "handoff"));
        let without = format!("global\n    noreuseport\n{}", stage.plain());
        reloads(&stage, strategy, std::slice::from_ref(&without), &expected)
            .with_context(|| strategy.to_owned())?;
        // The sockets that are there share, the next ones would not.
        stage.write(&stage.plain())?;
        let mut balancer = start(&stage, strategy)?;
        stage.write(&without)?;
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| complained(&output))?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    Ok(())
}

/// Its handshake never ends, as after a SYN scan: the gate is not closed for as long as that is waited for elsewhere.
fn a_client_that_goes_silent_keeps_no_other_waiting() -> Result<()> {
    for strategy in ["syn-drop", "plug"] {
        let stage = Stage::new("silent")?;
        let [front, _] = stage.fronts();
        stage.write(&stage.plain())?;
        let mut balancer = start(&stage, strategy)?;
        // What the balancer answers to this port never comes.
        stage.hosts.client.nft(
            "add table inet deaf\nadd chain inet deaf input { type filter hook input priority 0; }\nadd rule inet deaf input tcp dport 45678 drop\n",
        )?;
        let from = SocketAddr::new(stage.hosts.client_addresses()[0], 45_678);
        let silent = stage.hosts.client.enter(|| -> Result<socket2::Socket> {
            let socket =
                socket2::Socket::new(socket2::Domain::for_address(front), socket2::Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.bind(&from.into())?;
            // It is under way.
            let _ = socket.connect(&front.into());
            Ok(socket)
        })??;
        eventually(SOON, "a handshake that does not go on", || {
            let half_open =
                clearway_lab::kernel::ss(&stage.hosts.balancer, &["-tnH", "state", "syn-recv"]).ok()?;
            half_open.iter().any(|line| line.contains(":45678")).then_some(())
        })?;
        let load = load(&stage, 100.0)?;
        let output = stage.clearway(&["reload"])?;
        assert_code(output.status, 0).with_context(|| complained(&output))?;
        balancer.wait_for_event(0, "switch.half-open", &[("handshakes", &1)], SOON)?;
        assert_no_client_lost(&load.finish_after(10)?)?;
        drop(silent);
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

fn one_that_cannot_be_had_is_named_before_anything_is_touched() -> Result<()> {
    let stage = Stage::new("cannot")?;
    stage.write(&stage.plain())?;
    let mut unknown = stage.launch(&[], &[(STRATEGY, "syndrop")])?;
    assert_code(unknown.wait_exit(SOON)?, 64)?;
    let log = unknown.stderr()?;
    ensure!(log.contains("`syndrop`") && log.contains("`syn-drop`"), "{log}");
    // HAProxy would answer with its usage.
    let file = stage.file().display().to_string();
    for words in
        [["haproxy", "--strategy", "plug", "-f", &file], ["--strategy=plug", "haproxy", "-f", &file, "-W"]]
    {
        let output = stage.clearway(&words)?;
        assert_code(output.status, 64)?;
        ensure!(complained(&output).contains("clearway run --strategy"), "{}", complained(&output));
    }
    for strategy in ["syn-drop", "plug", "tableflip"] {
        let without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
        let mut balancer = stage.launch_under(&without, &[(STRATEGY, strategy)])?;
        let status = balancer.wait_exit(SOON)?;
        let log = balancer.stderr()?;
        ensure!(status.code() == Some(77), "{strategy}: {status}\n{log}");
        ensure!(log.contains(strategy) && log.contains("NET_ADMIN"), "{log}");
        ensure!(log.contains("handoff"), "it does not say what works without: {log}");
        ensure!(balancer.events("generation.started", &[])?.is_empty(), "HAProxy was started: {log}");
    }
    if let Err(why) = can_be_had("tableflip") {
        let mut balancer = stage.launch(&[], &[(STRATEGY, "tableflip")])?;
        let status = balancer.wait_exit(SOON)?;
        let log = balancer.stderr()?;
        ensure!(!status.success() && log.contains("Linux 5.12"), "{why}: {status}\n{log}");
        ensure!(balancer.events("generation.started", &[])?.is_empty(), "HAProxy was started: {log}");
    }
    // These need nothing.
    for strategy in ["handoff", "reuseport", "auto"] {
        let without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
        let mut balancer = stage.launch_under(&without, &[(STRATEGY, strategy)])?;
        stage.wait_ready(&mut balancer)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    }
    stage.assert_clean()
}

/// From the address to the wildcard, where only a gate could help. Before Linux 6.18 a filter does, which needs no
/// rights.
fn without_net_admin_what_cannot_be_moved_is_told() -> Result<()> {
    let stage = Stage::new("unmoved")?;
    let [v4, _] = stage.fronts();
    stage.write(&stage.plain())?;
    let without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let mut balancer = stage.launch_under(&without, &[(STRATEGY, "auto")])?;
    stage.wait_ready(&mut balancer)?;
    balancer.wait_for_event(0, "generation.serving", &[], SOON)?;
    stage.write(&stage.plain().replace(&format!("bind {v4}"), &format!("bind :{PORT}")))?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0)?;
    let (told, log) = (said(&output), balancer.stderr()?);
    let is_told = told.contains(&format!("not moved, and clients may have been reset: {v4}"));
    let is_delayed = told.contains(&format!("moved by syn-drop: {v4}"));
    ensure!(is_told || is_delayed, "{told}");
    ensure!(is_told == log.contains("with NET_ADMIN their SYNs are stopped"), "{log}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// No descriptor is left for the gate at the very moment when it is to be closed.
fn one_that_fails_in_the_middle_of_a_reload_is_undone() -> Result<()> {
    for strategy in ["syn-drop", "plug"] {
        let stage = Stage::new("fails")?;
        stage.write(&stage.plain())?;
        let (steps, mut balancer) = Steps::start(&stage, &[(STRATEGY, strategy)])?;
        let load = load(&stage, 100.0)?;
        let pid = Pid::from_raw(i32::try_from(balancer.pid())?);
        let limit = rustix::process::getrlimit(Resource::Nofile);
        steps.stop_at("does Switch");
        let reload = std::thread::scope(|scope| -> Result<_> {
            let reload = scope.spawn(|| stage.clearway(&["reload"]));
            steps.wait()?;
            let none = Rlimit { current: Some(3), maximum: limit.maximum };
            let former = rustix::process::prlimit(pid, Resource::Nofile, none)?;
            steps.go_on();
            let reload = reload.join().map_err(|_| anyhow::anyhow!("the reload panicked"))?;
            rustix::process::prlimit(pid, Resource::Nofile, former)?;
            reload
        })?;
        ensure!(!reload.status.success(), "it took: {}", said(&reload));
        let words = complained(&reload);
        ensure!(
            words.contains("generation 2 failed: ")
                && words.contains("; generation 1 is still serving")
                && words.contains(strategy),
            "{words}"
        );
        balancer.wait_for_event(0, "generation.failed", &[("serving", &1)], SOON)?;
        let again = stage.clearway(&["reload"])?;
        assert_code(again.status, 0).with_context(|| complained(&again))?;
        assert_no_client_lost(&load.finish_after(10)?)?;
        assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
        stage.assert_clean()?;
    }
    Ok(())
}

/// While both listen half of the clients come to the new sockets. Here the new HAProxy is slow to accept them, and the
/// gate cannot be closed: the kernel takes 1024 chains at a hook.
fn clients_of_a_generation_that_is_undone_are_served() -> Result<()> {
    let stage = Stage::new("undone")?;
    stage.write(&stage.plain())?;
    let host = &stage.hosts.balancer;
    let (steps, mut balancer) = Steps::start(&stage, &[(STRATEGY, "syn-drop")])?;
    let load = load(&stage, 100.0)?;
    steps.stop_at("does Switch");
    balancer.signal(Signal::HUP)?;
    steps.wait()?;
    let newest = *balancer.haproxy_processes().last().context("a worker")?;
    signal(newest, Signal::STOP)?;
    eventually(SOON, "clients to wait at the new sockets", || {
        let listeners = clearway_lab::kernel::listeners(host).ok()?;
        (listeners.iter().map(|(_, waiting)| waiting).sum::<u32>() > 5).then_some(())
    })?;
    let chain = |number| format!("chain c{number} {{ type filter hook input priority 0; }}\n");
    let chains: String = (0..1024).map(chain).collect();
    host.nft(&format!("table inet full {{\n{chains}}}"))?;
    let position = balancer.log_position()?;
    steps.go_on();
    // As long as it waits, it has not said that it failed. Longer would prove more, shorter less.
    std::thread::sleep(Duration::from_millis(300));
    let failed = balancer.events_since(position, "generation.failed", &[])?;
    ensure!(failed.is_empty(), "it did not wait for the clients that have come: {failed:?}");
    signal(newest, Signal::CONT)?;
    balancer.wait_for_event(position, "generation.failed", &[("serving", &1)], SOON)?;
    assert_no_client_lost(&load.finish_after(50)?)?;
    host.nft("delete table inet full")?;
    drop(steps);
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn the_doctor_lists_them() -> Result<()> {
    let stage = Stage::new("doclist")?;
    stage.write(&stage.plain())?;
    let output = stage.clearway(&["doctor", "--json"])?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let findings = found["findings"].as_array().context("findings")?;
    for strategy in ["handoff", "reuseport", "syn-drop", "plug", "tableflip", "auto"] {
        let about =
            |one: &&Value| one["saw"].as_str().is_some_and(|saw| saw.contains(&format!("`{strategy}`")));
        let finding = findings.iter().find(about).with_context(|| format!("nothing about {strategy}"))?;
        let wanted = if can_be_had(strategy).is_ok() { "good" } else { "note" };
        ensure!(finding["severity"] == wanted, "{finding}");
    }
    let mut doctor = stage.hosts.balancer.command("setpriv");
    doctor.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
    doctor.arg(clearway_lab::balancer::clearway_program()?).arg("doctor").env(STRATEGY, "plug");
    let output = doctor.output()?;
    let text = said(&output);
    ensure!(text.contains("BAD   strategy (asked for) `plug` is not available"), "{text}");
    ensure!(text.contains("note  strategy `syn-drop` is not available"), "{text}");
    ensure!(text.contains("nothing, without NET_ADMIN"), "what `auto` cannot do: {text}");
    // The strategy of the running one counts, whatever this environment says.
    let mut balancer = start(&stage, "reuseport")?;
    let text = said(&stage.clearway(&["doctor", "--strategy", "auto"])?);
    ensure!(text.contains("strategy (in use) `reuseport`") && !text.contains("asked for"), "{text}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
