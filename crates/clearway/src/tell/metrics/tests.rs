use std::collections::BTreeMap;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{
    ApplyOutcome, Carried, End, Event, Limits, Planned, PlumbingDemand, Proof, RequestId, Supervisor,
};

use super::*;

/// The samples of a text, by what stands before the value.
fn samples(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

/// A core whose actions are heard, and done without HAProxy.
struct Heard {
    core: Supervisor,
    metrics: Metrics,
    now: Duration,
    /// Whether what is on disk is refused.
    is_broken: bool,
    is_on_disk: bool,
    /// Whether what is planned can be applied.
    planned: Option<bool>,
    last: Generation,
}

impl Heard {
    fn new() -> Self {
        let settings = clearway_core::settings::Settings::default();
        let limits = Limits {
            stop_delay: Duration::ZERO,
            drain: Duration::from_mins(1),
            takeover_drain: Duration::from_mins(1),
            ready: Duration::from_mins(1),
            settle: Duration::ZERO,
            old: settings.old,
            apply: settings.apply,
            interrupted: ExitCode::Done,
        };
        let (core, metrics) = (Supervisor::new(limits), Metrics::new());
        let last = Generation::FIRST;
        let mut heard = Self {
            core,
            metrics,
            now: Duration::ZERO,
            is_broken: false,
            is_on_disk: true,
            planned: None,
            last,
        };
        heard.take(Event::Begin);
        heard
    }

    fn take(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            self.now += Duration::from_millis(10);
            for action in self.core.step(event, self.now) {
                self.metrics.hear(&action);
                events.extend(self.carry_out(&action));
            }
        }
    }

    fn carry_out(&mut self, action: &Action) -> Option<Event> {
        let proof = Proof { worker: 1, adopted: vec!["a".to_owned()], fresh: vec![], unclaimed: vec![] };
        match *action {
            Action::Prepare(generation, Source::Disk) if self.is_broken => Some(Event::Failed {
                generation,
                failure: Failure::new(ExitCode::ConfigurationRefused, "it"),
            }),
            Action::Plan(generation) => Some(Event::Planned {
                generation,
                planned: match self.planned {
                    Some(true) => Planned::RunTime { tally: "1 map".to_owned(), commands: 3 },
                    _ => Planned::Reload { reasons: vec!["a bind line".to_owned()] },
                },
            }),
            Action::Apply(generation) => {
                Some(Event::Applied { generation, outcome: ApplyOutcome::Done { commands: 3 } })
            }
            Action::Prepare(generation, _) => {
                Some(Event::Prepared { generation, plumbing: PlumbingDemand::NotNeeded, most_reloads: None })
            }
            Action::Launch(generation, _) => {
                self.last = generation;
                let started = self.core.step(Event::Started { generation, pid: 1 }, self.now);
                assert!(started.iter().all(|action| matches!(action, Action::Report(_))));
                Some(Event::Proved { generation, proof })
            }
            Action::Carry(generation) => Some(Event::Carried { generation, carried: Carried::default() }),
            _ => None,
        }
    }

    fn reload(&mut self, by: Asker) {
        self.now += Duration::from_secs(10);
        self.take(Event::ReloadAsked(by));
    }

    fn crash(&mut self) {
        let generation = self.core.serving().unwrap();
        self.take(Event::Exited { generation, end: End::Clean });
        self.now += Duration::from_secs(20);
        self.take(Event::TimePassed);
    }

    fn samples(&self) -> BTreeMap<String, String> {
        let gauges = Gauges { is_on_disk: self.is_on_disk, ..Gauges::default() };
        samples(
            &MetricsSnapshot { counted: self.metrics.counted().clone(), gauges, haproxy: None }
                .text(MetricsFormat::Prometheus),
        )
    }

    /// Whether the last reload counts as successful.
    fn is_successful(&self) -> bool {
        self.samples()["clearway_config_last_reload_successful"] == "1"
    }

    /// The reloads that were counted.
    fn reloads(&self) -> String {
        let samples = self.samples();
        let counted = samples.iter().filter_map(|(name, value)| {
            let labels = name.strip_prefix("clearway_reloads_total")?;
            (value != "0").then(|| format!("{labels} {value}"))
        });
        counted.collect::<Vec<_>>().join(" ")
    }
}

const SIGNAL: Asker = Asker::Signal("SIGHUP");
const ADMIN: Asker = Asker::Admin(RequestId(1));

#[test]
fn each_metric_is_written_once_with_what_it_is() {
    let snapshot = MetricsSnapshot { counted: Counted::new(), gauges: Gauges::default(), haproxy: None };
    for format in [MetricsFormat::Prometheus, MetricsFormat::OpenMetrics] {
        let text = snapshot.text(format);
        let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let wanted = table::ALL.iter().map(|metric| {
            let is_short = format == MetricsFormat::OpenMetrics && metric.name.ends_with("_total");
            let name = if is_short { metric.name.strip_suffix("_total").unwrap() } else { metric.name };
            format!("{name} {}", metric.kind.word())
        });
        assert_eq!(types, wanted.collect::<Vec<_>>());
        assert_eq!(text.matches("# HELP ").count(), table::ALL.len());
        assert_eq!(text.ends_with("\n# EOF\n"), format == MetricsFormat::OpenMetrics);
        assert!(!text.contains("\n\n"), "{text}");
    }
}

#[test]
fn the_table_keeps_the_rules_of_both_formats() {
    for metric in table::ALL {
        let is_counter = metric.kind == table::MetricKind::Counter;
        assert_eq!(metric.name.ends_with("_total"), is_counter, "{}", metric.name);
        assert!(metric.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", metric.name);
        assert!(
            !metric.help.contains(['\\', '\n', '"', '|']) && metric.help.ends_with('.'),
            "{}",
            metric.help
        );
        assert!(metric.labels.iter().all(|(name, _)| *name != "le"), "{}", metric.name);
    }
}

#[test]
fn all_series_are_there_from_the_beginning_and_no_others_come() {
    let mut heard = Heard::new();
    let before: Vec<String> = heard.samples().into_keys().collect();
    assert!(before.contains(&r#"clearway_reloads_total{result="failed",trigger="watch"}"#.to_owned()));
    for by in [SIGNAL, ADMIN, Asker::Watch, Asker::Master] {
        heard.reload(by);
    }
    heard.metrics.counted.reloads.add(&["took", "made up"], 1);
    assert_eq!(heard.samples().into_keys().collect::<Vec<_>>(), before);
}

#[test]
fn reloads_are_counted_by_result_and_by_what_asked_first() {
    let mut heard = Heard::new();
    assert_eq!((heard.reloads(), heard.is_successful()), (String::new(), true));
    heard.reload(SIGNAL);
    heard.reload(ADMIN);
    heard.reload(Asker::Watch);
    assert_eq!(
        heard.reloads(),
        r#"{result="took",trigger="admin-socket"} 1 {result="took",trigger="signal"} 1 "#.to_owned()
            + r#"{result="took",trigger="watch"} 1"#
    );
    let samples = heard.samples();
    assert_eq!(samples["clearway_reload_seconds_count"], "3");
    assert_eq!(samples[r#"clearway_reload_step_seconds_count{step="prove"}"#], "3");
    assert_eq!(samples[r#"clearway_reload_step_seconds_count{step="switch"}"#], "0");
    assert_eq!(samples["clearway_restarts_total"], "0");
}

#[test]
fn a_reload_that_was_refused_is_over_when_the_file_is_as_it_was() {
    let mut heard = Heard::new();
    (heard.is_broken, heard.is_on_disk) = (true, false);
    heard.reload(ADMIN);
    assert_eq!(
        (heard.reloads().as_str(), heard.is_successful()),
        (r#"{result="failed",trigger="admin-socket"} 1"#, false)
    );
    heard.is_on_disk = true;
    assert!(heard.is_successful(), "put back, without a reload");
    heard.is_on_disk = false;
    heard.crash();
    let samples = heard.samples();
    assert_eq!(samples["clearway_restarts_total"], "1");
    assert!(!heard.is_successful(), "the copy in memory serves, and the file is still broken");
    heard.is_broken = false;
    heard.reload(ADMIN);
    assert!(heard.is_successful());
}

#[test]
fn a_configuration_that_is_given_up_after_a_crash_was_not_loaded() {
    let mut heard = Heard::new();
    heard.reload(SIGNAL);
    let time = |name: &str| heard.samples()[name].parse::<f64>().unwrap();
    assert!(
        time("clearway_config_last_reload_success_timestamp_seconds") >= time("process_start_time_seconds")
    );
    // Within five seconds: the one before it is started.
    heard.is_on_disk = false;
    heard.crash();
    assert!(heard.core.serving().is_some() && !heard.is_successful());
    // The one before it lives on: the file is put back, and loaded.
    heard.reload(SIGNAL);
    heard.now += Duration::from_secs(10);
    heard.crash();
    assert!(heard.is_successful(), "that was trusted, and serves again");
    assert_eq!(heard.samples()["clearway_restarts_total"], "2");
}

#[test]
fn a_rollback_counts_as_one_and_what_is_on_disk_as_not_loaded() {
    let mut heard = Heard::new();
    heard.reload(SIGNAL);
    heard.is_on_disk = false;
    heard.now += Duration::from_secs(10);
    heard.take(Event::RollbackAsked(RequestId(2)));
    let rolled_back = r#"{result="took",trigger="rollback"} 1"#;
    assert!(heard.reloads().contains(rolled_back), "{}", heard.reloads());
    assert!(!heard.is_successful(), "what is on disk does not serve");
    heard.crash();
    assert!(!heard.is_successful(), "nor after a crash");
    heard.is_on_disk = true;
    assert!(heard.is_successful(), "the files were put back as they were");
    heard.is_on_disk = false;
    // A second one finds nothing before, and is no reload.
    heard.take(Event::RollbackAsked(RequestId(3)));
    assert!(heard.reloads().contains(rolled_back), "{}", heard.reloads());
    heard.reload(ADMIN);
    assert!(heard.is_successful());
}

#[test]
fn takeovers_are_counted_on_both_sides() {
    let mut metrics = Metrics::new();
    let takeover = clearway_core::supervisor::Peer(1);
    metrics.hear(&Action::Supersede);
    for turn in [
        Turn::GivingBack,
        Turn::HandingOver { takeover },
        Turn::Superseded { takeover },
        Turn::SuccessorGone { takeover },
        Turn::NotTakenOver { takeover },
    ] {
        metrics.hear(&Action::Report(Report::Takeover(turn)));
    }
    assert!(metrics.counted.takeovers.all().all(|(_, number)| *number == 1));
}

#[test]
fn sessions_that_are_cut_are_added_up() {
    let mut metrics = Metrics::new();
    for sessions in [Some(3), None, Some(4)] {
        metrics.cut(sessions);
    }
    assert_eq!(metrics.counted.cut.all().collect::<Vec<_>>(), [(&[][..], &7)]);
}

fn text_of(gauges: Gauges) -> BTreeMap<String, String> {
    samples(
        &MetricsSnapshot { counted: Counted::new(), gauges, haproxy: None }.text(MetricsFormat::Prometheus),
    )
}

#[test]
fn sessions_and_memory_are_added_up_by_state_and_silence_is_counted() {
    let one = |state, sessions, memory| GenerationGauge { state, sessions, memory };
    let generations = vec![
        one(LifePhase::Serving, Some(10), Some(1000)),
        one(LifePhase::Draining, Some(2), Some(100)),
        one(LifePhase::Draining, None, Some(30)),
        // It is not asked before it has proved itself.
        one(LifePhase::Starting, None, None),
    ];
    let samples = text_of(Gauges { generations, ..Gauges::default() });
    for (name, wanted) in [
        (r#"clearway_generations{state="draining"}"#, "2"),
        (r#"clearway_generations{state="starting"}"#, "1"),
        (r#"clearway_sessions{state="serving"}"#, "10"),
        (r#"clearway_sessions{state="draining"}"#, "2"),
        (r#"clearway_memory_bytes{state="draining"}"#, "130"),
        ("clearway_generations_silent", "1"),
    ] {
        assert_eq!(samples[name], wanted, "{name}");
    }
}

#[test]
fn each_server_has_the_verdict_of_now_and_no_other() {
    let server = |last| SocketAddr::from(([10, 0, 0, last], 80));
    let verdicts = vec![(server(1), CanaryVerdict::Works), (server(2), CanaryVerdict::Broken)];
    let samples = text_of(Gauges { verdicts, ..Gauges::default() });
    let of: Vec<_> = samples.keys().filter_map(|name| name.strip_prefix("clearway_canary_server{")).collect();
    assert_eq!(of, [r#"server="10.0.0.1:80",verdict="works"}"#, r#"server="10.0.0.2:80",verdict="broken"}"#]);
    assert_eq!(samples[r#"clearway_canary_servers{verdict="broken"}"#], "1");
}

#[test]
fn what_the_kernel_does_not_say_is_left_out() {
    let gates = text_of(Gauges { held: 3, dropped: 7, ..Gauges::default() });
    assert_eq!(
        (gates["clearway_held_connections_total"].as_str(), gates["clearway_gate_dropped_total"].as_str()),
        ("3", "7")
    );
    let waiting = |waiting| text_of(Gauges { waiting, ..Gauges::default() });
    assert_eq!(waiting(Some(7))["clearway_waiting_connections"], "7");
    assert!(!waiting(None).contains_key("clearway_waiting_connections"));
}

#[test]
fn sockets_are_counted_by_how_their_clients_were_moved() {
    use clearway_core::strategy::{Means, Moved};
    let mut heard = Heard::new();
    heard.reload(SIGNAL);
    let samples = heard.samples();
    assert_eq!(
        samples[r#"clearway_sockets_moved_total{means="handoff"}"#], "2",
        "at the start and the reload"
    );
    let labels = table::SOCKETS_MOVED.labels[0].1.unwrap();
    for by in
        [Means::Handoff, Means::Reuseport, Means::SynDrop, Means::Plug, Means::TableFlip, Means::Nothing]
    {
        let moved = Moved { address: "a".to_owned(), by };
        assert!(labels.contains(&&*moved.by.to_string()), "{by}");
    }
}

#[test]
fn version_and_commit_are_told_apart() {
    assert_eq!(build("1.2.0 (0123456789ab 2026-11-30)"), ["1.2.0", "0123456789ab"]);
    assert_eq!(build("1.2.0 (2026-11-30)"), ["1.2.0", "unknown"]);
    assert_eq!(build("1.2.0"), ["1.2.0", "unknown"]);
}

#[test]
fn what_windows_have_cost_is_added_up_and_what_is_not_known_is_said() {
    use clearway_core::cost::{CostFigures, NetworkCounters};

    let mut metrics = Metrics::new();
    let window = CostFigures {
        dropped: Some(3),
        reset: Some(0),
        refused: Some(0),
        waited: Some(Duration::from_millis(300)),
        network: NetworkCounters { resets_sent: Some(2), ..NetworkCounters::default() },
        ..CostFigures::default()
    };
    let after = CostFigures { dropped: Some(1), refused: None, ..window };
    for _ in 0..2 {
        metrics.note(&Cost { window, after: Some(after), ..Cost::default() });
    }
    metrics.note(&Cost::default());
    let gauges = Gauges::default();
    let counted = metrics.counted().clone();
    let samples =
        samples(&MetricsSnapshot { counted, gauges, haproxy: None }.text(MetricsFormat::Prometheus));
    let value = |name: &str| samples[&format!("clearway_cost_{name}")].clone();
    assert_eq!(value("dropped_total{when=\"window\"}"), "6");
    assert_eq!(value("dropped_total{when=\"after\"}"), "2");
    assert_eq!(value("reset_total{when=\"window\"}"), "0");
    assert_eq!(value("network_resets_total{when=\"after\"}"), "4");
    assert_eq!(
        value("unknown_total{figure=\"refused\"}"),
        "3",
        "each second after, and the whole of the last"
    );
    assert_eq!(value("unknown_total{figure=\"dropped\"}"), "1");
    assert_eq!(
        (value("queue_wait_seconds_count"), value("queue_wait_seconds_sum")),
        ("2".to_owned(), "0.6".to_owned())
    );
}

#[test]
fn what_is_applied_at_run_time_is_no_reload() {
    let mut heard = Heard::new();
    heard.planned = Some(true);
    heard.take(Event::ApplyAsked(RequestId(1)));
    heard.planned = Some(false);
    heard.take(Event::ApplyAsked(RequestId(2)));
    let samples = heard.samples();
    for (result, count) in [("at-run-time", "1"), ("reload", "1"), ("nothing", "0"), ("broken", "0")] {
        let name = format!("clearway_applies_total{{result=\"{result}\",trigger=\"apply\"}}");
        assert_eq!(samples[&name], count, "{name}");
    }
    assert_eq!(samples["clearway_apply_seconds_count"], "1");
    assert_eq!(samples["clearway_reloads_total{result=\"took\",trigger=\"apply\"}"], "1");
    assert!(heard.is_successful());
}
