//! The fields of `show stat` that are told, each with the name that HAProxy's exporter gives it.
//!
//! Compared with the sources of the exporter (`addons/promex`, and `stat_cols_px` in `src/stats-proxy.c` from 3.2 on) of 2.6.12,
//! 3.0.0, 3.2.0 and 3.4.0: no name has changed. What only later ones tell is told of earlier ones as well, where these have the
//! column.

use Joining::{Counter, Greatest, Serving, Sum};

use super::scope::Scope::{self, Backend, Frontend, Server};

/// How the numbers of several processes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// It only grows: added up, with that of processes which have ended.
    Counter,
    /// How many there are now: added up.
    Sum,
    /// The most that there were: the greatest.
    Greatest,
    /// What only the process that serves can say.
    Serving,
}

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// It is what it says.
    Plain,
    /// Milliseconds, told in seconds.
    Milliseconds,
    /// A word of [`Scope::states`], by its place.
    State,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct StatField {
    /// The name of its column.
    pub column: &'static str,
    /// What follows `haproxy_frontend_`, `haproxy_backend_` or `haproxy_server_`.
    pub name: &'static str,
    /// The label `code`, where several columns are one metric.
    pub code: Option<&'static str>,
    /// How it is joined.
    pub joining: Joining,
    /// What it counts in.
    pub unit: Unit,
    /// Whose it is.
    pub scopes: &'static [Scope],
    /// What it says, in one line.
    pub help: &'static str,
}

const F: &[Scope] = &[Frontend];
const B: &[Scope] = &[Backend];
const S: &[Scope] = &[Server];
const FB: &[Scope] = &[Frontend, Backend];
const BS: &[Scope] = &[Backend, Server];
const FBS: &[Scope] = &Scope::ALL;

const fn field(
    joining: Joining,
    column: &'static str,
    name: &'static str,
    scopes: &'static [Scope],
    help: &'static str,
) -> StatField {
    StatField { column, name, code: None, joining, unit: Unit::Plain, scopes, help }
}

const fn time(
    column: &'static str,
    name: &'static str,
    of: &'static [Scope],
    help: &'static str,
) -> StatField {
    StatField { unit: Unit::Milliseconds, ..field(Serving, column, name, of, help) }
}

const fn responses(column: &'static str, code: &'static str) -> StatField {
    let help = "HTTP responses by the class of their status.";
    StatField { code: Some(code), ..field(Counter, column, "http_responses_total", FBS, help) }
}

/// All of them, those of one metric one after the other.
pub const FIELDS: &[StatField] = &[
    StatField {
        unit: Unit::State,
        ..field(Serving, "status", "status", FBS, "1 for the state in which it is, 0 for each other one.")
    },
    field(Sum, "scur", "current_sessions", FBS, "Sessions now."),
    field(Greatest, "smax", "max_sessions", FBS, "The most sessions that one process had at a time."),
    field(Serving, "slim", "limit_sessions", FBS, "How many sessions it may have."),
    field(Counter, "stot", "sessions_total", FBS, "Sessions."),
    field(
        Sum,
        "rate",
        "current_session_rate",
        FBS,
        "New sessions in the last second, of backends and servers requests (exporter: 3.2).",
    ),
    field(Greatest, "rate_max", "max_session_rate", FBS, "The most new sessions in a second in one process."),
    field(Serving, "rate_lim", "limit_session_rate", F, "How many new sessions a second it may have."),
    field(
        Greatest,
        "conn_rate_max",
        "connections_rate_max",
        F,
        "The most new connections in a second in one process.",
    ),
    field(Counter, "conn_tot", "connections_total", F, "Connections."),
    field(Counter, "bin", "bytes_in_total", FBS, "Bytes of requests."),
    field(Counter, "bout", "bytes_out_total", FBS, "Bytes of responses."),
    field(Counter, "reqbin", "req_bytes_in_total", FBS, "Bytes of requests that were received (3.4)."),
    field(Counter, "reqbout", "req_bytes_out_total", FBS, "Bytes of requests that were sent on (3.4)."),
    field(Counter, "resbin", "res_bytes_in_total", FBS, "Bytes of responses that were received (3.4)."),
    field(Counter, "resbout", "res_bytes_out_total", FBS, "Bytes of responses that were sent on (3.4)."),
    field(Counter, "dcon", "denied_connections_total", F, "Connections that a rule denied."),
    field(Counter, "dses", "denied_sessions_total", F, "Sessions that a rule denied."),
    field(Counter, "dreq", "requests_denied_total", FB, "Requests that a rule denied."),
    field(Counter, "dresp", "responses_denied_total", FBS, "Responses that a rule denied."),
    field(Counter, "ereq", "request_errors_total", F, "Requests that were wrong or broken off."),
    field(Counter, "econ", "connection_errors_total", BS, "Attempts to connect to a server that failed."),
    field(Counter, "eresp", "response_errors_total", BS, "Responses that were wrong or broken off."),
    field(Counter, "eint", "internal_errors_total", FBS, "Errors of HAProxy itself."),
    field(
        Counter,
        "wretr",
        "retry_warnings_total",
        BS,
        "Attempts to connect to a server that were made again.",
    ),
    field(Counter, "wredis", "redispatch_warnings_total", BS, "Requests that went to another server."),
    field(Counter, "wrew", "failed_header_rewriting_total", FBS, "Headers that could not be changed."),
    field(Counter, "cli_abrt", "client_aborts_total", BS, "Transfers that the client broke off."),
    field(Counter, "srv_abrt", "server_aborts_total", BS, "Transfers that the server broke off."),
    field(
        Greatest,
        "req_rate_max",
        "http_requests_rate_max",
        F,
        "The most HTTP requests in a second in one process.",
    ),
    field(Counter, "req_tot", "http_requests_total", FBS, "HTTP requests (exporter, of servers: 3.2)."),
    responses("hrsp_1xx", "1xx"),
    responses("hrsp_2xx", "2xx"),
    responses("hrsp_3xx", "3xx"),
    responses("hrsp_4xx", "4xx"),
    responses("hrsp_5xx", "5xx"),
    responses("hrsp_other", "other"),
    field(
        Counter,
        "intercepted",
        "intercepted_requests_total",
        F,
        "HTTP requests that HAProxy answered itself.",
    ),
    field(Counter, "cache_lookups", "http_cache_lookups_total", FB, "Times that the cache was asked."),
    field(Counter, "cache_hits", "http_cache_hits_total", FB, "Times that it had the answer."),
    field(Counter, "comp_in", "http_comp_bytes_in_total", FB, "Bytes that were given to compression."),
    field(Counter, "comp_out", "http_comp_bytes_out_total", FB, "Bytes that came out of it."),
    field(
        Counter,
        "comp_byp",
        "http_comp_bytes_bypassed_total",
        FB,
        "Bytes that were to be compressed and were not.",
    ),
    field(Counter, "comp_rsp", "http_comp_responses_total", FB, "Responses that were compressed."),
    field(Sum, "qcur", "current_queue", BS, "Requests that wait for a server now."),
    field(Greatest, "qmax", "max_queue", BS, "The most that waited at a time in one process."),
    field(Serving, "qlimit", "queue_limit", S, "How many may wait for it."),
    field(Counter, "lbtot", "loadbalanced_total", BS, "Times that it was chosen."),
    field(Counter, "connect", "connection_attempts_total", BS, "Attempts to connect to a server."),
    field(Counter, "reuse", "connection_reuses_total", BS, "Requests that used a connection that was there."),
    field(Sum, "used_conn_cur", "used_connections_current", S, "Connections to it that are in use."),
    field(
        Sum,
        "srv_icur",
        "idle_connections_current",
        S,
        "Connections to it that wait for the next request.",
    ),
    field(
        Sum,
        "priv_idle_cur",
        "private_idle_connections_current",
        S,
        "Connections to it that wait for the next request of one client (3.4).",
    ),
    time("qtime", "queue_time_average_seconds", BS, "The time in the queue, of the last 1024 requests."),
    time("ctime", "connect_time_average_seconds", BS, "The time to connect, of the same."),
    time("rtime", "response_time_average_seconds", BS, "The time of the server, of the same."),
    time("ttime", "total_time_average_seconds", BS, "All of it, of the same."),
    field(Serving, "weight", "weight", BS, "Its weight among the servers, or that of all of them."),
    field(Serving, "act", "active_servers", B, "Servers that get requests."),
    field(Serving, "bck", "backup_servers", B, "Backup servers that would get them."),
    field(Serving, "act", "active", S, "1 if it is no backup server, else 0 (exporter: 3.0)."),
    field(Serving, "bck", "backup", S, "1 if it is a backup server, else 0 (exporter: 3.0)."),
    field(Counter, "chkfail", "check_failures_total", S, "Health checks that failed while it was up."),
    field(Counter, "chkdown", "check_up_down_total", BS, "Times that it went down."),
    field(Serving, "lastchg", "check_last_change_seconds", BS, "How long it has been in its state."),
    field(Serving, "check_code", "check_code", S, "The status that the last health check got."),
    time("check_duration", "check_duration_seconds", S, "How long the last health check took."),
    field(Serving, "agent_code", "agent_code", S, "The code that the last agent check got (exporter: 3.2)."),
    time(
        "agent_duration",
        "agent_duration_seconds",
        S,
        "How long the last agent check took (exporter: 3.2).",
    ),
    field(
        Serving,
        "throttle",
        "current_throttle",
        S,
        "How much of its weight it has in a slow start, in percent.",
    ),
];
