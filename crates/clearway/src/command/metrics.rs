//! `clearway metrics`: the metrics as text; and the page of docs/reference that is made of their table.

use std::fmt::Write;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_haproxy::statistics::{FIELDS, Joining, StatField};
use hyper::{Method, StatusCode};

use crate::cli::WhoseMetrics;
use crate::front::answers::WITH_HAPROXY;
use crate::front::client::{self, Wait};
use crate::front::find::{self, Target};
use crate::tell::metrics::joined;
use crate::tell::metrics::table::{ALL, Metric, MetricLabel};

/// Asks the running Clearway and prints what it says.
pub async fn metrics(target: Target, whose: WhoseMetrics) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let path = match whose {
        WhoseMetrics::Clearways => "/metrics".to_owned(),
        WhoseMetrics::AlsoHaproxys => format!("/metrics?{WITH_HAPROXY}"),
    };
    let (status, body) = client::request(found.stream, Method::GET, &path, Wait::Briefly).await?;
    if status != StatusCode::OK {
        return Err(client::refused(&path, status, &body));
    }
    crate::say!("{}", String::from_utf8_lossy(&body).trim_end());
    Ok(ExitCode::Done)
}

const BEGINNING: &str = "\
# Metrics

Made by `clearway metrics --table`; a test compares. `clearway metrics` prints them in Prometheus' text format (0.0.4); `GET /metrics` at
the admin socket answers so too, or as OpenMetrics (1.0) if the header `Accept` asks for that. How to have them collected:
[monitoring](../how-to/monitoring.md#metrics). Metrics and labels keep their names and meanings; others may be added.

";

const HAPROXY: &str = "
## With `?haproxy=1`

`clearway metrics --haproxy`, and `GET /metrics?haproxy=1`, add what HAProxy counts, under the names of [its own
exporter](../how-to/monitoring.md#haproxys-own-metrics), of all generations together: a reload makes no gap and no jump in them. Labels:
`proxy`, of servers also `server`; `code` and `state` as below. So many series as the files have proxies and servers.

| joined | from |
|---|---|
| added up | all that live; of counters also what those that have ended had counted when they said it last |
| greatest | all that live |
| serving | the generation that serves |

`clearway_haproxy_generations{counters}` says how many generations have `answered`, of how many it is `remembered` what they said before (they
are busy, or hang), and how many are `unknown`, as they have never answered. What is lost, and
why not all of the exporter's metrics are here, is in [decision 0044](../decisions/0044-joined-counters.md).

| metric: `haproxy_` and | `frontend`, `backend`, `server` | type | joined | meaning |
|---|---|---|---|---|
";

const END: &str = "
All series of a metric are there from the beginning, with 0. No label names a client or a file: the series above are all that there are, and
one of `clearway_canary_server` for each transparent server of the files that serve. Counters begin anew with each Clearway, so with each
container, and a takeover is counted by both of its sides.

## When a reload counts as successful

`clearway_config_last_reload_successful` is about the state, not about the last attempt alone:

| what happens | value |
|---|---|
| nothing was loaded yet | 0 |
| a start or a reload takes | 1 |
| a reload is refused; what served before is still serving | 0 |
| the file is put back as it was, without another reload | 1: what is on disk is what serves |
| the same with `CLEARWAY_WATCH` | 1, at once; for the watch the file has changed once more, so that a reload follows |
| HAProxy crashes while the file on disk is broken, and is started again from the copy in memory | 0: the file is still broken, and what serves is still another one |
| a new configuration is loaded, crashes within 5 s, and the one before it is started instead | 0: what is on disk does not serve, until it is put back or a reload takes |
| the same, and no configuration can be started but that on disk | 1 |
| a rollback: what served before serves again, from the copy in memory | 0: what is on disk does not serve, until it is put back or a reload takes |

The files are compared when the metrics are asked for, and only after a reload that was refused, given up or rolled back.

## What is counted when

- `clearway_reloads_total`: each reload once, when it is over, by what asked for it first. `refused`: HAProxy ended before it was ready, as with a
  configuration that it does not accept; `failed`: something else. A trial (`--dry-run`), a start and a reload that a stop or a takeover
  ends are not in it. `signal` is SIGHUP or SIGUSR2, `admin-socket` also the [master CLI](master-cli.md),
  `haproxy-master` a signal to HAProxy's own master, `rollback` a `clearway rollback`, which is a reload of what served before.
- `clearway_reload_step_seconds`, of reloads that took: `prepare` (the files are read), `prove` (HAProxy starts, and answers), `carry` (it is
  given the state of its servers), `settle` (it serves beside the former one), `switch` (clients of sockets that it did not take over are
  brought to it; only where there are such).
- `clearway_takeovers_total`: `taken` from another Clearway, and `given-back` to it soon after; `given` to another one, and `undone` soon after;
  `failed`: another one got the sockets, and ended before it served. What is `given-back` or `undone` was counted before as `taken` or `given`.
- `clearway_sessions`, `clearway_memory_bytes`: read when the metrics are asked for, which takes a second at most. A generation that does not
  say how many sessions it has is missing in the sum, and counts in `clearway_generations_silent`.
- `clearway_sockets_moved_total`: at each reload, restart and takeover that took. `means` is a [strategy](../explanation/strategies.md):
  `handoff`, the new generation has the socket itself; `nothing`, clients that were connecting at that moment may have been reset.
- `clearway_waiting_connections`: of all sockets in this network namespace; a second after a crash it is what HAProxy has still to accept.
- `clearway_cost_*`: what [each reload, restart and takeover cost](../explanation/cost.md) new clients, when the second after it is over. `when` is `window` or
  `after`, that second. `clearway_cost_network_resets_total` has others' resets in it, and HAProxy's own. What is not known adds nothing to its
  metric, and 1 to `clearway_cost_unknown_total`.
- `clearway_sessions_cut_total`: what HAProxy said within 300 ms before it was ended; one that did not answer adds nothing.
";

/// The page.
pub fn reference() -> String {
    let mut text = BEGINNING.to_owned() + "| metric | type | labels | meaning |\n|---|---|---|---|\n";
    for Metric { name, kind, labels, help } in ALL {
        let labels: Vec<String> = labels.iter().map(label).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{name}` | {} | {} | {help} |", kind.word(), labels.join("; "));
    }
    text += END;
    text += HAPROXY;
    let mut before = "";
    for field in FIELDS.iter().filter(|field| std::mem::replace(&mut before, field.name) != field.name) {
        let StatField { name, scopes, help, .. } = field;
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.word()).collect();
        let (kind, joined) = (joined::kind(field).word(), joined(field.joining));
        let _ = writeln!(text, "| `{name}` | {} | {kind} | {joined} | {help} |", scopes.join(", "));
    }
    text
}

fn joined(joining: Joining) -> &'static str {
    match joining {
        Joining::Counter | Joining::Sum => "added up",
        Joining::Greatest => "greatest",
        Joining::Serving => "serving",
    }
}

fn label((name, values): &MetricLabel) -> String {
    match values {
        Some(values) => format!("`{name}`: `{}`", values.join("`, `")),
        None => format!("`{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        let written = include_str!("../../../../docs/reference/metrics.md");
        assert!(written == reference(), "docs/reference/metrics.md is stale: run `make reference`");
    }
}
