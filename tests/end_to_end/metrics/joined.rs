//! What HAProxy counts, of all generations together: no gap and no jump at a reload, as a collector would see them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::{Balancer, haproxy_program};
use clearway_lab::load::Expect;
use clearway_lab::session::Session;
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;

use super::now::worker;
use super::tools::{assert_well_formed, get};
use super::{Samples, admin_socket, samples, text, value};
use crate::stage::{CannotRun, SOON, Stage, assert_code, haproxy_version, said, signal};
use crate::statistics::named;

crate::tests![
    counters_go_on_over_reloads_and_a_crash_without_a_jump,
    counters_never_go_back_under_load,
    one_that_hangs_counts_with_what_it_has_said_before,
    counters_of_a_stats_file_are_not_counted_twice,
    what_no_file_has_any_more_is_told_no_more,
    names_labels_and_values_are_those_of_haproxys_own_exporter,
    both_formats_have_them,
];

const HAPROXY: &[&str] = &["--haproxy"];

const SESSIONS: &str = "haproxy_frontend_sessions_total{proxy=\"f0\"}";

/// What is told with what HAProxy counts.
fn joined(stage: &Stage) -> Result<Samples> {
    samples(&text(stage, HAPROXY)?)
}

fn sessions(stage: &Stage) -> Result<f64> {
    value(&joined(stage)?, SESSIONS)
}

/// So many clients come and go, one after the other.
fn clients(stage: &Stage, number: usize) -> Result<()> {
    for _ in 0..number {
        drop(Session::open(&stage.hosts.client, stage.fronts()[0], None)?);
    }
    Ok(())
}

fn reload(stage: &Stage) -> Result<()> {
    assert_code(stage.clearway(&["reload"])?.status, 0)
}

/// Waits until so many have been counted, and no more.
fn counts(stage: &Stage, wanted: f64, after: &str) -> Result<()> {
    eventually_because(SOON, "the sum", || {
        let now = sessions(stage)?;
        ensure!((now - wanted).abs() < 0.1, "{now} are counted after {after}, and not {wanted}");
        Ok(())
    })
}

/// Waits until the former generations have ended, or one is left that has a session.
fn drained(balancer: &Balancer, generation: u32) -> Result<()> {
    balancer.wait_for_event(0, "generation.drained", &[("generation", &generation)], SOON).map(|_| ())
}

fn counters_go_on_over_reloads_and_a_crash_without_a_jump() -> Result<()> {
    let stage = Stage::new("joined")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let began = sessions(&stage)?;
    clients(&stage, 5)?;
    counts(&stage, began + 5.0, "five clients")?;
    let mut all = began + 5.0;
    for generation in 1..4_u32 {
        // They are counted although they were never asked for while their generation served.
        clients(&stage, 3)?;
        reload(&stage)?;
        all += 3.0;
        drained(&balancer, generation)?;
        counts(&stage, all, &format!("reload {generation}"))?;
    }
    // While one drains, both count.
    let mut session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    reload(&stage)?;
    clients(&stage, 2)?;
    all += 3.0;
    counts(&stage, all, "a session that goes on")?;
    let samples = joined(&stage)?;
    let of = |name: &str| value(&samples, &format!("haproxy_{name}"));
    ensure!(of("frontend_current_sessions{proxy=\"f0\"}")? >= 1.0, "the session that drains: {samples:?}");
    ensure!(of("server_weight{proxy=\"f0\",server=\"s\"}")?.to_string() == "1", "{samples:?}");
    ensure!(
        value(&samples, "clearway_haproxy_generations{counters=\"answered\"}")?.to_string() == "2",
        "{samples:?}"
    );
    session.beat();
    drop(session);
    drained(&balancer, 4)?;
    counts(&stage, all, "the end of that session")?;
    // What was counted when it was asked last is there after a crash.
    clients(&stage, 4)?;
    counts(&stage, all + 4.0, "four clients")?;
    let position = balancer.log_position()?;
    balancer.kill_descendant(worker(&stage, 5)?)?;
    balancer.wait_for_event(position, "generation.serving", &[], SOON)?;
    counts(&stage, all + 4.0, "a crash")?;
    clients(&stage, 1)?;
    counts(&stage, all + 5.0, "a client after a crash")?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn counters_never_go_back_under_load() -> Result<()> {
    let stage = Stage::new("joinedload")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let before = joined(&stage)?;
    let counters = |samples: &Samples| -> BTreeMap<String, f64> {
        let is_counter = |name: &str| name.split('{').next().is_some_and(|name| name.ends_with("_total"));
        let ours = samples.iter().filter(|(name, _)| name.starts_with("haproxy_") && is_counter(name));
        ours.map(|(name, value)| (name.clone(), *value)).collect()
    };
    let plan = stage.load(200.0, Duration::from_mins(2)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    let (mut last, mut scrapes) = (counters(&before), 0);
    for _ in 0..8 {
        let reloading = std::thread::scope(|scope| -> Result<()> {
            let reloading = scope.spawn(|| reload(&stage));
            while !reloading.is_finished() {
                let now = counters(&joined(&stage)?);
                for (name, before) in &last {
                    let now = now.get(name).with_context(|| format!("a gap: no {name}"))?;
                    ensure!(now >= before, "{name} went back from {before} to {now}");
                }
                (last, scrapes) = (now, scrapes + 1);
            }
            reloading.join().map_err(|_| anyhow::anyhow!("the reload has died"))?
        });
        reloading?;
    }
    ensure!(scrapes >= 8, "only {scrapes} looks");
    let report = load.finish_after(50)?;
    let clients = report.total.ok;
    let counted = eventually(SOON, "the clients to be counted", || {
        let now = counters(&joined(&stage).ok()?);
        let sum = |samples: &BTreeMap<String, f64>| -> f64 {
            let of_frontends =
                samples.iter().filter(|(name, _)| name.starts_with("haproxy_frontend_sessions_total"));
            of_frontends.map(|(_, value)| value).sum()
        };
        let counted = sum(&now) - sum(&counters(&before));
        // Lost is what a generation counts after it was asked for the last time.
        #[allow(clippy::cast_precision_loss)]
        let of = counted / clients as f64;
        println!("{counted} counted of {clients}, in {scrapes} looks");
        (of > 0.97).then_some(of)
    })?;
    ensure!(counted < 1.001, "{counted} of what there was is counted: something twice");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn one_that_hangs_counts_with_what_it_has_said_before() -> Result<()> {
    let stage = Stage::new("joinedhung")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    clients(&stage, 3)?;
    let began = sessions(&stage)?;
    reload(&stage)?;
    clients(&stage, 1)?;
    counts(&stage, began + 1.0, "a client")?;
    let hung = worker(&stage, 1)?;
    signal(hung, Signal::STOP)?;
    clients(&stage, 2)?;
    let since = Instant::now();
    let samples = joined(&stage);
    signal(hung, Signal::CONT)?;
    let (samples, took) = (samples?, since.elapsed());
    ensure!(took < Duration::from_secs(5), "it took {took:?}");
    for (part, wanted) in [("answered", "1"), ("remembered", "1"), ("unknown", "0")] {
        let is = value(&samples, &format!("clearway_haproxy_generations{{counters=\"{part}\"}}"))?;
        ensure!(is.to_string() == wanted, "{part}: {is}");
    }
    let now = value(&samples, SESSIONS)?;
    ensure!((now - began - 3.0).abs() < 0.1, "{now} are counted, {began} before three clients");
    drop(session);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn counters_of_a_stats_file_are_not_counted_twice() -> Result<()> {
    if haproxy_version()? < (3, 0) {
        return Err(CannotRun("`stats-file` came with HAProxy 3.0".to_owned()).into());
    }
    let stage = Stage::new("joinedfile")?;
    let file = stage.path("counters");
    stage.write(&format!("global\n    stats-file {}\n{}", file.display(), named(&stage)))?;
    let mut balancer = stage.start()?;
    let began = sessions(&stage)?;
    clients(&stage, 5)?;
    counts(&stage, began + 5.0, "five clients")?;
    for generation in 1..4_u32 {
        reload(&stage)?;
        drained(&balancer, generation)?;
        clients(&stage, 1)?;
        counts(&stage, began + 5.0 + f64::from(generation), &format!("reload {generation}"))?;
    }
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_no_file_has_any_more_is_told_no_more() -> Result<()> {
    let stage = Stage::new("joinedgone")?;
    let more = "listen gone\n    bind 127.0.0.1:9005\n    server s 127.0.0.1:1\n";
    stage.write(&(stage.plain() + more))?;
    let mut balancer = stage.start()?;
    let gone = "haproxy_backend_sessions_total{proxy=\"gone\"}";
    value(&joined(&stage)?, gone)?;
    stage.write(&stage.plain())?;
    reload(&stage)?;
    drained(&balancer, 1)?;
    eventually_because(SOON, "it to be gone", || {
        let samples = joined(&stage)?;
        ensure!(!samples.contains_key(gone) && samples.contains_key(SESSIONS), "{samples:?}");
        Ok(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// The series of these objects, without what differs from one moment to the next.
fn comparable(samples: &Samples) -> Samples {
    let steady = |name: &str| {
        let of =
            |kind: &str| name.starts_with(&format!("haproxy_{kind}_")) && !name.contains("proxy=\"metrics\"");
        let moves = ["_last_change_seconds", "_current_session_rate"].iter().any(|one| name.contains(one));
        (of("frontend") || of("backend") || of("server")) && !moves
    };
    // The exporter of 2.6 divides by 1024 requests also where there were fewer, `show stat` by as many as there were.
    let value = |name: &str, value: f64| if name.contains("_time_average_seconds") { 0.0 } else { value };
    let compared = samples.iter().filter(|(name, _)| steady(name));
    compared.map(|(name, of_it)| (name.clone(), value(name, *of_it))).collect()
}

/// What the exporter of this version does not tell, although `show stat` has it.
fn is_later((major, minor): (u32, u32), name: &str) -> bool {
    let is_one_of =
        |names: &[&str]| names.iter().any(|one| name.starts_with(&format!("haproxy_server_{one}{{")));
    let is_before = |version| (major, minor) < version;
    is_before((3, 0)) && is_one_of(&["active", "backup"])
        || is_before((3, 2)) && is_one_of(&["http_requests_total", "agent_code", "agent_duration_seconds"])
}

fn names_labels_and_values_are_those_of_haproxys_own_exporter() -> Result<()> {
    let built = std::process::Command::new(haproxy_program()).arg("-vv").output()?;
    if !said(&built).contains("PROMEX") && !said(&built).contains("Prometheus") {
        return Err(CannotRun("this HAProxy was built without its Prometheus exporter".to_owned()).into());
    }
    let version = haproxy_version()?;
    let stage = Stage::new("joinednames")?;
    let exporter = "listen web\n    mode http\n    bind 127.0.0.1:9006\n    server up 127.0.0.1:9007 check\n    server off 127.0.0.1:9008 disabled\n\
                    frontend metrics\n    mode http\n    bind 127.0.0.1:9007\n    \
                    http-request use-service prometheus-exporter if { path /metrics }\n    http-request return status 404\n";
    stage.write(&(stage.plain() + exporter))?;
    let mut balancer = stage.start()?;
    clients(&stage, 3)?;
    let host = &stage.hosts.balancer;
    for path in ["/", "/metrics"] {
        get(host, "127.0.0.1:9006".parse()?, path)?;
    }
    eventually_because(SOON, "both to say the same", || {
        let theirs = comparable(&samples(&get(host, "127.0.0.1:9007".parse()?, "/metrics")?)?);
        let mut ours = comparable(&joined(&stage)?);
        ours.retain(|name, _| theirs.contains_key(name) || !is_later(version, name));
        ensure!(ours.len() > 100, "only {} series", ours.len());
        let unknown: BTreeSet<_> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
        ensure!(unknown.is_empty(), "the exporter has no {unknown:?}");
        let both = ours.iter().map(|(name, value)| (name, *value, theirs.get(name).copied()));
        let other: Vec<_> = both.filter(|(_, ours, theirs)| *theirs != Some(*ours)).collect();
        ensure!(other.is_empty(), "other values than theirs: {other:?}");
        Ok(())
    })?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn both_formats_have_them() -> Result<()> {
    let stage = Stage::new("joinedform")?;
    stage.write(&stage.plain())?;
    let mut balancer = stage.start()?;
    clients(&stage, 1)?;
    reload(&stage)?;
    let plain = text(&stage, HAPROXY)?;
    assert_well_formed(&plain)?;
    let socket = admin_socket(&stage)?;
    let (_, open) = super::ask(&socket, "/metrics?haproxy=1", "application/openmetrics-text")?;
    ensure!(
        open.contains("# TYPE haproxy_frontend_sessions counter\n") && open.ends_with("\n# EOF\n"),
        "{open}"
    );
    let names = |text: &str| samples(text).map(|samples| samples.into_keys().collect::<BTreeSet<_>>());
    ensure!(names(&plain)? == names(&open)?, "the formats have other samples");
    ensure!(!text(&stage, &[])?.contains("haproxy_frontend_"), "it was not asked for");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
