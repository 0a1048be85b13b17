//! The generations: on a time line with what has happened, and those that have processes now as a table.

use std::time::SystemTime;

use super::html::Html;
use super::parts::{self, ResultMark};
use super::timeline;
use crate::front::api::{GenerationStatus, Reloads, Status};
use clearway_core::supervisor::LifePhase;

/// The section.
pub fn section(status: &Status, past: &Reloads, now: SystemTime) -> Html {
    let rows = status.generations.iter().rev().map(row).collect::<Html>();
    let headings = ["Generation", "State", "For", "Sessions", "Memory", "~Master, worker"];
    let table = if status.generations.is_empty() {
        Html::of("p", "No generation of HAProxy has a process.")
    } else {
        parts::table("Generations that have processes", &headings, Html::of("tbody", rows))
    };
    parts::section("generations", "", "Generations", timeline::picture(status, past, now).then(table))
}

fn row(one: &GenerationStatus) -> Html {
    let GenerationStatus { generation, state, master, worker, seconds, sessions, memory } = one;
    let mark = match state {
        LifePhase::Serving => ResultMark::TOOK,
        LifePhase::Starting => ResultMark::START,
        LifePhase::Draining | LifePhase::Unknown => ResultMark::UNKNOWN,
    };
    let or_unknown = |known: Option<String>| known.unwrap_or_else(|| "not known".to_owned());
    let worker = worker.map(|pid| format!(", {pid}")).unwrap_or_default();
    let row = parts::row_heading(generation.to_string())
        .then(parts::cell("", mark.with(&state.to_string())))
        .then(parts::cell("time", or_unknown(seconds.map(parts::roughly))))
        .then(parts::cell("number", or_unknown(sessions.map(|sessions| sessions.to_string()))))
        .then(parts::cell("number", or_unknown(memory.map(|bytes| format!("{} MiB", bytes >> 20)))))
        .then(parts::cell("wide number", format!("{master}{worker}")));
    Html::of("tr", row)
}
