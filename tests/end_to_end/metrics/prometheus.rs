//! What is in `deploy/prometheus`: alerts, and a dashboard whose queries a real Prometheus answers that scrapes a real Clearway
//! during reloads.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clearway_lab::load::Expect;
use clearway_lab::namespace::Namespace;
use clearway_lab::process::Process;
use clearway_lab::wait::{eventually, eventually_because};
use rustix::process::Signal;
use serde_json::Value;

use super::tools::get;
use crate::stage::{CannotRun, SOON, Stage, assert_code, complained, said};

crate::tests![
    every_alert_is_tried_where_it_is_to_be_and_where_not,
    queries_of_the_dashboard_are_answered_during_reloads_without_a_gap_or_a_reset,
];

/// A Prometheus that has been asked to scrape each second needs a few of them.
const PATIENT: Duration = Duration::from_mins(1);

const PROMETHEUS: &str = "127.0.0.1:9090";

/// Where Clearway answers, as the part of `prometheus.yml` has it.
const API: &str = "127.0.0.1:9179";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus")
}

fn read(name: &str) -> Result<String> {
    std::fs::read_to_string(folder().join(name)).with_context(|| name.to_owned())
}

/// The names of the alerts in a file of rules, or of tests of them.
fn alerts(text: &str, before: &str) -> BTreeSet<String> {
    let names = text.split(before).skip(1).filter_map(|rest| rest.split([',', '}', '\n']).next());
    names.map(|name| name.trim().to_owned()).collect()
}

fn every_alert_is_tried_where_it_is_to_be_and_where_not() -> Result<()> {
    let run = |words: &[&str]| {
        let output = Command::new("promtool").args(words).current_dir(folder()).output();
        output.map_err(|_| CannotRun("`promtool` is not installed (`make setup` does that)".to_owned()))
    };
    for words in [["check", "rules", "clearway.rules.yml"], ["test", "rules", "clearway.rules.test.yml"]] {
        let output = run(&words)?;
        ensure!(output.status.success(), "{words:?}: {}{}", said(&output), complained(&output));
    }
    let (rules, tests) = (read("clearway.rules.yml")?, read("clearway.rules.test.yml")?);
    let there = alerts(&rules, "- alert: ");
    ensure!(there.len() > 10, "{there:?}");
    ensure!(
        alerts(&tests, "alertname: ") == there,
        "the tests are about {:?}",
        alerts(&tests, "alertname: ")
    );
    let fires = tests.split("exp_alerts:").count() - 1;
    ensure!(fires >= there.len(), "{fires} of {} alerts are seen", there.len());
    Ok(())
}

/// Prometheus with the rules of the folder, in the balancer's host.
fn prometheus(stage: &Stage) -> Result<Process> {
    let file = stage.path("prometheus.yml");
    let scrape = read("scrape.yml")?
        .replace("- clearway.rules.yml", &format!("- {}", folder().join("clearway.rules.yml").display()))
        .replace("scrape_timeout: 8s", "scrape_timeout: 1s")
        .replace("scrape_interval: 15s", "scrape_interval: 1s");
    ensure!(scrape.contains("scrape_interval: 1s") && scrape.contains(API), "{scrape}");
    std::fs::write(&file, format!("global: {{evaluation_interval: 1s}}\n{scrape}"))?;
    let mut command = stage.hosts.balancer.command("prometheus");
    command.args([
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", stage.path("tsdb").display()),
        format!("--web.listen-address={PROMETHEUS}"),
        "--log.level=warn".to_owned(),
    ]);
    let log = std::fs::File::create(stage.path("prometheus.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    stage.hosts.balancer.spawn(command)
}

/// What Prometheus answers to a query.
fn ask(host: &Namespace, query: &str) -> Result<Vec<Value>> {
    let mut words = String::new();
    for byte in query.bytes() {
        write!(words, "%{byte:02X}")?;
    }
    let answer = api(host, &format!("/api/v1/query?query={words}"))?;
    Ok(answer["result"].as_array().with_context(|| format!("no result: {answer}"))?.clone())
}

fn api(host: &Namespace, path: &str) -> Result<Value> {
    let text = get(host, PROMETHEUS.parse()?, path)?;
    let mut answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    ensure!(answer["status"] == "success", "{text}");
    Ok(answer["data"].take())
}

/// The only value that a query comes to.
fn value(host: &Namespace, query: &str) -> Result<f64> {
    let result = ask(host, query)?;
    let value = result.first().and_then(|one| one["value"][1].as_str());
    Ok(value.with_context(|| format!("{query}: {result:?}"))?.parse()?)
}

/// All queries of a dashboard, with its variables as one has them who has chosen nothing.
fn queries(dashboard: &Value, found: &mut BTreeSet<String>) {
    match dashboard {
        Value::Object(fields) => {
            if let Some(query) = fields.get("expr").and_then(Value::as_str) {
                let query = query.replace("$__rate_interval", "1m");
                found.insert(query.replace("$job", ".*").replace("$instance", ".*"));
            }
            fields.values().for_each(|field| queries(field, found));
        }
        Value::Array(all) => all.iter().for_each(|one| queries(one, found)),
        _ => {}
    }
}

/// What has nothing to say where all is well.
fn may_be_empty(query: &str) -> bool {
    query.contains("verdict!=\"works\"") || query.starts_with("changes(")
}

fn queries_of_the_dashboard_are_answered_during_reloads_without_a_gap_or_a_reset() -> Result<()> {
    if Command::new("prometheus").arg("--version").output().is_err() {
        return Err(CannotRun("`prometheus` is not installed (`make setup` does that)".to_owned()).into());
    }
    let stage = Stage::new("prometheus")?;
    let host = &stage.hosts.balancer;
    let web = "listen web\n    mode http\n    bind 127.0.0.1:9006\n    http-request return status 200\n";
    stage.write(&(stage.transparent() + web))?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_ADMIN", API)])?;
    balancer.wait_for_event(0, "canary.verified", &[("servers", &2)], SOON)?;
    let collector = prometheus(&stage)?;
    let log = || std::fs::read_to_string(stage.path("prometheus.log")).unwrap_or_default();
    let sessions = "haproxy_frontend_sessions_total{proxy=\"f0\"}";
    eventually(PATIENT, "the first samples", || ask(host, sessions).ok().filter(|all| !all.is_empty()))
        .with_context(log)?;
    let plan = stage.load(50.0, Duration::from_mins(5)).expecting(Expect::Anything);
    let load = clearway_lab::load::start(&stage.hosts.client, plan)?;
    for reloads in 1..=3_u8 {
        assert_code(stage.clearway(&["reload"])?.status, 0)?;
        get(host, "127.0.0.1:9006".parse()?, "/")?;
        eventually_because(PATIENT, "the reload to be seen", || {
            let seen = value(host, "sum(clearway_reloads_total{result=\"took\"})")?;
            ensure!(seen >= f64::from(reloads), "{seen} reloads are seen of {reloads}");
            Ok(())
        })?;
    }
    let counted = "sum(increase(haproxy_frontend_sessions_total{proxy=\"f0\"}[1m]))";
    eventually_because(PATIENT, "clients to be seen", || {
        ensure!(value(host, counted)? > 50.0, "{} clients", value(host, counted)?);
        Ok(())
    })?;
    for counter in ["frontend_sessions", "frontend_bytes_in", "backend_sessions", "server_bytes_out"] {
        let resets = value(host, &format!("sum(resets(haproxy_{counter}_total[5m]))"))?;
        ensure!(resets.to_string() == "0", "{counter} went back {resets} times");
    }
    let gaps = format!("count_over_time(up[5m]) - on (instance) count_over_time({sessions}[5m])");
    ensure!(value(host, &gaps)?.to_string() == "0", "{} scrapes had no counters", value(host, &gaps)?);

    let dashboard: Value = serde_json::from_str(&read("clearway-dashboard.json")?)?;
    let mut all = BTreeSet::new();
    queries(&dashboard, &mut all);
    ensure!(all.len() > 30, "only {} queries", all.len());
    for query in &all {
        eventually_because(SOON, "the query to have data", || {
            let result = ask(host, query).with_context(|| query.clone())?;
            ensure!(!result.is_empty() || may_be_empty(query), "no data: {query}");
            Ok(())
        })?;
    }
    let rules = api(host, "/api/v1/rules")?;
    let rules = rules["groups"][0]["rules"].as_array().context("the rules")?;
    ensure!(rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:?}");
    let firing: Vec<_> = rules.iter().filter(|rule| rule["state"] == "firing").collect();
    ensure!(firing.is_empty(), "alerts although all is well: {firing:?}");
    load.finish_after(10)?;
    drop(collector);
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
