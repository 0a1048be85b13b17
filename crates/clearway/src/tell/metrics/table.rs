//! Every metric that there is: its name, its labels with all their values, and what it says.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, and begins anew with the process.
    Counter,
    /// A number as it is now.
    Gauge,
    /// How many were so long at most, for several lengths in seconds.
    Histogram,
}

impl MetricKind {
    /// As both formats call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label: its name, and all the values that it ever has. Unset: what one build has, so there is one series; or the servers of the
/// files, so there is one for each.
pub type MetricLabel = (&'static str, Option<&'static [&'static str]>);

/// One metric: a row of docs/reference/metrics.md.
#[derive(Debug)]
pub struct Metric {
    /// Its name; that of a counter ends with `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What tells its series apart.
    pub labels: &'static [MetricLabel],
    /// What it says, in one line.
    pub help: &'static str,
}

/// The metrics, in the order in which they are written; each is a static with its name, and all are in `ALL`.
macro_rules! metrics {
    ($($id:ident: $kind:ident $name:literal { $($label:literal: $values:expr),* } $help:literal;)*) => {
        $(#[doc = $help] pub static $id: Metric = Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$(($label, $values)),*],
            help: $help,
        };)*

        /// All of them.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    READY: Gauge "clearway_ready" {}
        "Whether new clients should be sent here: a generation serves, no stop is asked for, the network is there.";
    LAST_RELOAD_SUCCESSFUL: Gauge "clearway_config_last_reload_successful" {}
        "Whether the configuration on disk was loaded when it was tried last, or is the one that serves (again).";
    LAST_RELOAD_SUCCESS: Gauge "clearway_config_last_reload_success_timestamp_seconds" {}
        "When a configuration was loaded from disk that serves or has served, in seconds since 1970; 0: never.";
    RELOADS: Counter "clearway_reloads_total"
        { "result": Some(&["took", "refused", "failed"]), "trigger": Some(&["signal", "admin-socket", "apply", "watch", "haproxy-master", "rollback"]) }
        "Reloads that are over, by what asked for them first; what was applied at run time is none.";
    APPLIES: Counter "clearway_applies_total"
        { "result": Some(&["at-run-time", "nothing", "reload", "broken"]), "trigger": Some(&["signal", "admin-socket", "apply", "watch"]) }
        "Changes that were planned at run time: applied, none, not possible (a reload followed), or broken off (a reload followed).";
    APPLY_SECONDS: Histogram "clearway_apply_seconds" {}
        "How long changes took that were applied at run time, from their beginning until HAProxy had them.";
    RELOAD_SECONDS: Histogram "clearway_reload_seconds" {}
        "How long reloads took that took, from their beginning until the new generation served.";
    RELOAD_STEP_SECONDS: Histogram "clearway_reload_step_seconds"
        { "step": Some(&["prepare", "prove", "carry", "settle", "switch"]) }
        "How long their steps took.";
    GENERATIONS: Gauge "clearway_generations" { "state": Some(&["starting", "serving", "draining"]) }
        "HAProxy generations that have a process.";
    SESSIONS: Gauge "clearway_sessions" { "state": Some(&["starting", "serving", "draining"]) }
        "Sessions that they have, as far as they say so.";
    MEMORY: Gauge "clearway_memory_bytes" { "state": Some(&["starting", "serving", "draining"]) }
        "Memory that their processes have resident; pages that two of them share are counted for both.";
    SILENT: Gauge "clearway_generations_silent" {}
        "Generations that serve or drain and did not say within 0.3 s how many sessions they have: busy, or hung.";
    OLDEST: Gauge "clearway_generation_oldest_seconds" {}
        "For how long the oldest generation has been draining; 0: none drains.";
    CRASHES: Counter "clearway_crashes_total" {}
        "Generations that served and ended although they were not told to.";
    RESTARTS: Counter "clearway_restarts_total" {}
        "Generations that serve or have served without a reload: after a crash, or after a successor that has ended.";
    TAKEOVERS: Counter "clearway_takeovers_total"
        { "result": Some(&["taken", "given-back", "given", "failed", "undone"]) }
        "Takeovers by what came of them, as this Clearway saw it.";
    SESSIONS_CUT: Counter "clearway_sessions_cut_total" {}
        "Sessions that old generations had when they were ended: by the budget, by hand or at the end of a stop.";
    SOCKETS_MOVED: Counter "clearway_sockets_moved_total"
        { "means": Some(&["handoff", "reuseport", "syn-drop", "plug", "tableflip", "nothing"]) }
        "Listening sockets that a former generation had and the new one has, by what was done for their clients.";
    HELD: Counter "clearway_held_connections_total" {}
        "Requests for a connection that waited at the gate (`plug`) while sockets were exchanged; repeated ones count again.";
    GATE_DROPPED: Counter "clearway_gate_dropped_total" {}
        "Requests for a connection that the gate dropped (`syn-drop`) while sockets were exchanged, as far as the kernel counts them; repeated ones count again.";
    WAITING: Gauge "clearway_waiting_connections" {}
        "Connections that wait in the listening sockets that Clearway holds until HAProxy accepts them.";
    COST_RESET: Counter "clearway_cost_reset_total" { "when": Some(&["window", "after"]) }
        "Clients seen in the queue of a listening socket of Clearway's that was closed: during a reload, a restart or a takeover, or in the second after.";
    COST_DROPPED: Counter "clearway_cost_dropped_total" { "when": Some(&["window", "after"]) }
        "Packets of new connections that listening sockets of Clearway's dropped in that time; a client sends them again.";
    COST_RESETS_SENT: Counter "clearway_cost_network_resets_total" { "when": Some(&["window", "after"]) }
        "Packets with RST that the network namespace sent in that time, those of other programs and of HAProxy itself included.";
    COST_UNKNOWN: Counter "clearway_cost_unknown_total" { "figure": Some(&["refused", "reset", "dropped", "wait"]) }
        "How often one of these was not known for such a time.";
    COST_QUEUE_WAIT: Histogram "clearway_cost_queue_wait_seconds" {}
        "For how long a client was seen in a queue, the one that waited longest of each such time.";
    LISTENING_SOCKETS: Gauge "clearway_listening_sockets" {}
        "Listening sockets that Clearway holds.";
    CANARY_SERVERS: Gauge "clearway_canary_servers" { "verdict": Some(&["works", "down", "broken", "unknown"]) }
        "Transparent servers, by what the canary says of them.";
    CANARY_SERVER: Gauge "clearway_canary_server"
        { "server": None, "verdict": Some(&["works", "down", "broken", "unknown"]) }
        "1, for each transparent server with its address and what the canary says of it now.";
    PLUMBING_REPAIRS: Counter "clearway_plumbing_repairs_total" {}
        "How often parts of the transparent plumbing were put back that another program had removed.";
    BUILD_INFO: Gauge "clearway_build_info" { "version": None, "commit": None }
        "1, with the version of Clearway and the commit that it is built of.";
    START_TIME: Gauge "process_start_time_seconds" {}
        "When Clearway began, in seconds since 1970; all counters count from then.";
}
