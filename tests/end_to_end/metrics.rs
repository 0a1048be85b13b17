//! The metrics: what they say after a reload, a crash and a takeover is what has happened.

pub mod joined;
pub mod now;
pub mod prometheus;
pub mod tools;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::session::Session;
use clearway_lab::wait::eventually;
use rustix::process::Signal;

use crate::stage::{SOON, Stage, assert_code, complained, said};
use crate::takeover::NAMED;

crate::tests![
    counters_and_the_last_reload_are_those_of_what_has_happened,
    a_configuration_that_is_given_up_after_a_crash_counts_as_not_loaded,
    a_trial_and_an_old_generation_that_is_cut_are_told_apart_from_reloads,
    a_takeover_is_counted_by_both_sides,
    both_formats_are_served,
];

const BROKEN: &str = "nonsense\n";

/// The samples of a text, by what stands before the value.
pub type Samples = BTreeMap<String, f64>;

/// What `clearway metrics` prints.
pub fn text(stage: &Stage, words: &[&str]) -> Result<String> {
    let output = stage.clearway(&[&["metrics"], words].concat())?;
    ensure!(output.status.success(), "{}", complained(&output));
    Ok(said(&output))
}

/// All samples of a text.
pub fn samples(text: &str) -> Result<Samples> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
            Ok((name.to_owned(), value.parse().with_context(|| format!("no number: {line}"))?))
        })
        .collect()
}

/// What `clearway metrics` says.
pub fn metrics(stage: &Stage) -> Result<Samples> {
    samples(&text(stage, &[])?)
}

/// The counters that have counted anything, without the common beginning of their names. That of sockets goes with the others.
fn counted(samples: &Samples) -> String {
    let lines = samples.iter().filter(|(name, value)| name.contains("_total") && **value > 0.0);
    let lines = lines.filter(|(name, _)| !name.starts_with("clearway_sockets_moved_total"));
    let lines = lines.map(|(name, value)| format!("{} {value}", name.trim_start_matches("clearway_")));
    lines.collect::<Vec<_>>().join("; ")
}

/// The value of one of them.
pub fn value(samples: &Samples, name: &str) -> Result<f64> {
    samples.get(name).copied().with_context(|| format!("no {name}"))
}

/// Asserts what the counters say, and whether the last reload was successful.
pub fn assert_counted(stage: &Stage, wanted: &str, is_successful: bool) -> Result<Samples> {
    let samples = metrics(stage)?;
    ensure!(counted(&samples) == wanted, "counted is {}, and not {wanted}", counted(&samples));
    let successful = value(&samples, "clearway_config_last_reload_successful")?;
    ensure!((successful > 0.0) == is_successful, "the last reload: {successful}; {wanted}");
    Ok(samples)
}

/// Kills the worker of the generation that serves, and waits for the next one.
fn crash(balancer: &Balancer, generation: u32) -> Result<serde_json::Value> {
    // The log may come after the answer to a reload.
    let serving = balancer.wait_for_event(0, "generation.serving", &[("generation", &generation)], SOON)?;
    let worker = serving["worker"].as_u64().context("a worker")?;
    let position = balancer.log_position()?;
    balancer.kill_descendant(u32::try_from(worker)?)?;
    let crashed = balancer.wait_for_event(position, "generation.crashed", &[], SOON)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON)?;
    Ok(crashed)
}

fn counters_and_the_last_reload_are_those_of_what_has_happened() -> Result<()> {
    let stage = Stage::new("metrics")?;
    let good = stage.plain();
    stage.write(&good)?;
    let mut balancer = stage.start()?;
    let first = assert_counted(&stage, "", true)?;
    for (name, wanted) in [
        ("clearway_ready", 1.0),
        ("clearway_listening_sockets", 2.0),
        ("clearway_generations{state=\"serving\"}", 1.0),
        ("clearway_generations{state=\"draining\"}", 0.0),
        ("clearway_reload_seconds_count", 0.0),
    ] {
        ensure!((value(&first, name)? - wanted).abs() < 0.1, "{name}: {first:?}");
    }
    let began = value(&first, "process_start_time_seconds")?;
    let loaded = value(&first, "clearway_config_last_reload_success_timestamp_seconds")?;
    ensure!(loaded > began && loaded < began + 60.0, "began at {began}, loaded at {loaded}");

    stage.write(BROKEN)?;
    ensure!(!stage.clearway(&["reload"])?.status.success(), "a broken configuration was loaded");
    let refused = "reloads_total{result=\"refused\",trigger=\"admin-socket\"} 1";
    assert_counted(&stage, refused, false)?;
    // It is put back without a reload, as nothing is to be loaded: all is well.
    stage.write(&good)?;
    assert_counted(&stage, refused, true)?;

    // The copy in memory is started while the file is broken: it is broken still.
    stage.write(BROKEN)?;
    crash(&balancer, 1)?;
    let crashed = format!("crashes_total 1; {refused}; restarts_total 1");
    let samples = assert_counted(&stage, &crashed, false)?;
    let still = value(&samples, "clearway_config_last_reload_success_timestamp_seconds")?;
    ensure!((still - loaded).abs() < 0.001, "nothing was loaded since {loaded}: {still}");

    stage.write(&good)?;
    let position = balancer.log_position()?;
    balancer.signal(Signal::HUP)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON)?;
    let reloaded = format!(
        "crashes_total 1; {refused}; reloads_total{{result=\"took\",trigger=\"signal\"}} 1; restarts_total 1"
    );
    let samples = assert_counted(&stage, &reloaded, true)?;
    ensure!(
        value(&samples, "clearway_config_last_reload_success_timestamp_seconds")? > loaded,
        "{samples:?}"
    );
    let took = value(&samples, "clearway_reload_seconds_sum")?;
    let steps = ["prepare", "prove", "carry", "settle", "switch"]
        .map(|step| value(&samples, &format!("clearway_reload_step_seconds_sum{{step=\"{step}\"}}")));
    let steps: f64 = steps.into_iter().sum::<Result<f64>>()?;
    ensure!(took > 0.0 && (took - steps).abs() < 0.1, "{took} s in all, {steps} s in its steps");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_configuration_that_is_given_up_after_a_crash_counts_as_not_loaded() -> Result<()> {
    let stage = Stage::new("metricsback")?;
    let good = stage.plain();
    stage.write(&good)?;
    let mut balancer = stage.start()?;
    stage.write(&good.replace("timeout connect 5s", "timeout connect 6s"))?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let crashed = crash(&balancer, 2)?;
    ensure!(crashed["back_to"] == 1, "it is not given up: {crashed}");
    let counted =
        "crashes_total 1; reloads_total{result=\"took\",trigger=\"admin-socket\"} 1; restarts_total 1";
    assert_counted(&stage, counted, false)?;
    stage.write(&good)?;
    assert_counted(&stage, counted, true)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_trial_and_an_old_generation_that_is_cut_are_told_apart_from_reloads() -> Result<()> {
    let stage = Stage::new("metricscut")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    assert_code(stage.clearway(&["reload", "--dry-run"])?.status, 0)?;
    assert_counted(&stage, "", true)?;
    assert_code(stage.clearway(&["reload"])?.status, 0)?;
    let reloaded = "reloads_total{result=\"took\",trigger=\"admin-socket\"} 1";
    eventually(SOON, "the old generation to be the oldest", || {
        let samples = metrics(&stage).ok()?;
        let is_there = value(&samples, "clearway_generations{state=\"draining\"}").ok()? > 0.0;
        (is_there && value(&samples, "clearway_generation_oldest_seconds").ok()? > 0.0).then_some(())
    })?;
    assert_code(stage.clearway(&["end", "--generation", "1"])?.status, 0)?;
    let samples = assert_counted(&stage, &format!("{reloaded}; sessions_cut_total 1"), true)?;
    ensure!(value(&samples, "clearway_generations{state=\"draining\"}")? < 1.0, "{samples:?}");
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_takeover_is_counted_by_both_sides() -> Result<()> {
    let stage = Stage::new("metricstake")?;
    stage.write(&stage.plain())?;
    // Of its own, as a container has one.
    let own = stage.path("own").display().to_string();
    let mut first = stage.start_with(&[], &[NAMED, ("CLEARWAY_RUN_DIRECTORY", &own)])?;
    // So that the first one stays.
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let mut second = stage.launch(&[], &[NAMED])?;
    first.wait_for_event(0, "takeover.settled", &[], SOON)?;
    for (directory, result, ready) in [(own, "given", 0.0), (stage.run_directory(), "taken", 1.0)] {
        let samples = samples(&text(&stage, &["--run-directory", &directory])?)?;
        let wanted = format!("takeovers_total{{result=\"{result}\"}} 1");
        ensure!(counted(&samples) == wanted, "{}", counted(&samples));
        ensure!((value(&samples, "clearway_ready")? - ready).abs() < 0.1, "{result}: {samples:?}");
    }
    drop(session);
    assert_code(first.wait_exit(SOON)?, 0)?;
    assert_code(second.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The admin socket of the only Clearway.
pub fn admin_socket(stage: &Stage) -> Result<PathBuf> {
    let sockets = std::fs::read_dir(stage.run_directory())?.filter_map(Result::ok);
    let mut sockets = sockets.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    Ok(sockets.next().context("an admin socket")?.path())
}

/// Asks the admin socket itself: the header of the answer, and its body.
fn ask(socket: &Path, path: &str, accept: &str) -> Result<(String, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: clearway\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (header, body) = answer.split_once("\r\n\r\n").context("an answer")?;
    Ok((header.to_lowercase(), body.to_owned()))
}

fn both_formats_are_served() -> Result<()> {
    let stage = Stage::new("metricsform")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let socket = admin_socket(&stage)?;
    let (header, plain) = ask(&socket, "/metrics", "*/*")?;
    ensure!(header.contains("content-type: text/plain; version=0.0.4"), "{header}");
    ensure!(plain.contains("# TYPE clearway_reloads_total counter\n"), "{plain}");
    let (header, open) =
        ask(&socket, "/metrics", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3")?;
    ensure!(header.contains("content-type: application/openmetrics-text; version=1.0.0"), "{header}");
    ensure!(open.contains("# TYPE clearway_reloads counter\n") && open.ends_with("\n# EOF\n"), "{open}");
    let names = |text: &str| samples(text).map(|samples| samples.into_keys().collect::<Vec<_>>());
    ensure!(names(&plain)? == names(&open)?, "the formats have other samples");
    // A header that is none of ours, and one that no parser likes.
    for accept in ["text/html;q=much,,;", &"application/openmetrics-text;q=0,".repeat(50)] {
        ensure!(ask(&socket, "/metrics", accept)?.0.contains("text/plain"), "{accept}");
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    let none = stage.clearway(&["metrics"])?;
    assert_code(none.status, 68)?;
    stage.assert_clean()
}
