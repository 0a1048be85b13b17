//! The status for a person to read.

use std::fmt::Write;

use clearway_core::count::Count;
use clearway_core::strategy::{Strategy, by_means};
use clearway_kernel::canary::CanaryVerdict;
use clearway_kernel::plumbing::Description;

use crate::front::api::{Crash, ProgramStatus, Status};
use crate::front::findings::{attempted, back};
use crate::front::request::Health;
use crate::path::canary::SeenByCanary;

/// The status for a person to read.
pub fn in_words(status: &Status) -> String {
    let mut text = String::new();
    let instance = status.instance.as_deref().unwrap_or("private");
    let haproxy = status.haproxy.as_deref().unwrap_or("unknown");
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} (clearway {}, pid {}, instance {instance}, HAProxy {haproxy})",
        status.state, status.version, status.pid
    );
    for one in &status.generations {
        let _ = write!(text, "generation {} {}", one.generation, one.state);
        if let Some(seconds) = one.seconds {
            let _ = write!(text, " for {seconds} s");
        }
        if let Some(sessions) = one.sessions {
            let _ = write!(text, ", {}", Count(sessions, "session"));
        }
        if let Some(memory) = one.memory {
            let _ = write!(text, ", {} MiB", memory >> 20);
        }
        let _ = write!(text, ", master {}", one.master);
        let _ = match one.worker {
            Some(worker) => writeln!(text, ", worker {worker}"),
            None => writeln!(text),
        };
    }
    text.extend(status.programs.iter().map(program));
    if let Some(last) = &status.last_attempt {
        let _ = writeln!(text, "{}", attempted(last));
        if !last.not_applied.is_empty() {
            let _ = writeln!(text, "not applied at run time: {}", last.not_applied.join("; "));
        }
        for (means, addresses) in by_means(&last.moved) {
            let _ = writeln!(text, "{}: {}", means.heading(), listed(&addresses));
        }
        if !last.carried.is_nothing() {
            let _ = writeln!(text, "{}", last.carried);
        }
        for line in last.failure.iter().flat_map(|refused| &refused.words) {
            let _ = writeln!(text, "  {line}");
        }
    }
    if let Some(rolled_back) = &status.rolled_back {
        let _ = writeln!(text, "ROLLED BACK: {}", back(rolled_back));
    }
    if status.network_gone {
        let _ = writeln!(text, "UNREACHABLE: {}", Health::NetworkGone);
    }
    if let Some(configuration) = &status.configuration {
        let _ = writeln!(text, "configuration: {}", configuration.words);
    }
    for stranger in &status.strangers {
        let _ = writeln!(text, "STRANGER: {stranger}");
    }
    if let Some(last) = &status.last_crash {
        let Crash { generation, how, seconds_ago, at } = last;
        let _ = writeln!(
            text,
            "crashes: {} in all, {} since a reload was asked for; the last one {seconds_ago} s ago ({at}): generation \
             {generation} ({how})",
            status.crashes, status.crashes_since_reload
        );
    }
    if status.crashes_in_a_row > 0 {
        let _ = writeln!(text, "{} deaths and failed starts of HAProxy in a row", status.crashes_in_a_row);
    }
    if status.strategy != Strategy::default() {
        let _ = writeln!(text, "strategy: {}", status.strategy);
    }
    for way in &status.redirected {
        let _ = writeln!(text, "redirected: {way}");
    }
    let _ = writeln!(text, "in custody: {}", listed(&status.custody));
    match status.holder {
        Some(true) => text += "holder: there, it keeps the listening sockets open when this Clearway ends\n",
        Some(false) => text += "holder: none\n",
        None => {}
    }
    if let Some(plumbing) = &status.plumbing {
        let Description { table, mark, route_table, intercepts, fail, .. } = plumbing;
        let _ = writeln!(text, "plumbing: table inet {table}, mark {mark}, route table {route_table}");
        let fail = fail.map_or_else(|| "?".to_owned(), |fail| fail.to_string());
        for rule in intercepts {
            let _ = writeln!(text, "intercepted: {rule} (fails {fail})");
        }
    }
    for one in &status.obstacles {
        let _ = writeln!(text, "IN THE WAY: {}", one.saw);
    }
    if let Some(asks) = &status.canary_asks {
        let _ = writeln!(text, "canary: {asks}");
    }
    if let Some(why) = &status.incomplete {
        let _ = writeln!(text, "INCOMPLETE: {why}");
    }
    text + &canary(&status.canary)
}

/// A line about the program of a `program` section.
fn program(one: &ProgramStatus) -> String {
    let seconds = one.seconds.map_or_else(String::new, |seconds| format!(" for {seconds} s"));
    let pid = one.pid.map_or_else(String::new, |pid| format!(", pid {pid}"));
    format!("program {} {}{seconds}{pid}\n", one.name, one.state)
}

/// One line if all is well, else one for each server where it is not.
fn canary(seen: &[SeenByCanary]) -> String {
    let wrong: Vec<String> = seen
        .iter()
        .filter(|one| one.verdict != CanaryVerdict::Works)
        .map(|one| {
            let line = one.line.as_ref().map(|line| format!(" ({line})")).unwrap_or_default();
            format!("canary: the server {}: {}{line}\n", one.address, one.words)
        })
        .collect();
    match (seen.len(), wrong.len()) {
        (0, _) => String::new(),
        (all, 0) => format!("canary: return path verified for {}\n", Count(all, "server")),
        _ => wrong.concat(),
    }
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "nothing".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests;
