//! What has happened: a table of starts, reloads, restarts, crashes and takeovers, the newest first, each with its details.

use std::time::SystemTime;

use super::html::Html;
use super::parts::{self, ResultMark};
use super::{cost, failure};
use crate::front::api::Reloads;
use crate::tell::history::{
    PastCarried, PastEntry, PastEvent, PastMoved, PastResult, PastSockets, PastSteps,
};

/// How many are shown.
const SHOWN: usize = 25;

/// The section.
pub fn section(past: &Reloads, now: SystemTime) -> Html {
    let entries = past.reloads.iter().rev().take(SHOWN).map(|entry| body(entry, now));
    let headings = ["When (UTC)", "What", "Result", "Cost", "~Took", "~Asked for by", "~Generation"];
    let bodies = entries.collect::<Html>();
    let table = parts::table("Reloads, crashes and takeovers, the newest first", &headings, bodies);
    let more = parts::and_more(past.reloads.len(), SHOWN, "v1/reloads");
    parts::section("reloads", "", "Reloads, crashes, takeovers", table.then(more))
}

/// What something came to, as a mark.
pub fn mark(entry: &PastEntry) -> ResultMark {
    match (entry.event, entry.result) {
        (_, PastResult::Refused | PastResult::Failed | PastResult::GivenBack | PastResult::Undone) => {
            ResultMark::REFUSED
        }
        (_, PastResult::Crashed) => ResultMark::CRASH,
        (PastEvent::Takeover, _) => ResultMark::TAKEOVER,
        (PastEvent::Start, _) => ResultMark::START,
        (_, PastResult::Took | PastResult::Applied) => ResultMark::TOOK,
        _ => ResultMark::UNKNOWN,
    }
}

/// What happened and what came of it, in one word each where that is enough.
pub fn sentence(entry: &PastEntry) -> String {
    let of = entry.generation.map(|number| format!(" (generation {number})")).unwrap_or_default();
    let ended = entry.ended.as_ref().map(|how| format!(", {how}")).unwrap_or_default();
    match (entry.event, entry.result) {
        (PastEvent::Crash, _) => format!("HAProxy crashed{of}{ended}"),
        (event, PastResult::Took) => format!("The last {event} took{of}"),
        (event, PastResult::Applied) => format!("The last {event} was applied at run time{of}"),
        (event, PastResult::Refused) => format!("HAProxy refused the last {event}{of}{ended}"),
        (event, result) => format!("The last {event}: {result}{of}{ended}"),
    }
}

fn id(entry: &PastEntry) -> String {
    format!("event-{}", entry.id)
}

/// Where its row is.
pub fn link(entry: &PastEntry) -> String {
    format!("#{}", id(entry))
}

fn body(entry: &PastEntry, now: SystemTime) -> Html {
    let (class, words) = cost::short(entry);
    let cost = Html::tag("span", &[("class", class)], words);
    let row = parts::row_heading(parts::moment(&entry.at, now))
        .then(parts::cell("", entry.event.to_string()))
        .then(parts::cell("", mark(entry).with(&entry.result.to_string())))
        .then(parts::cell("", cost))
        .then(parts::cell("wide number", entry.seconds.map(parts::took).unwrap_or_default()))
        .then(parts::cell("wide", entry.by.join(", ")))
        .then(parts::cell(
            "wide number",
            entry.generation.map(|number| number.to_string()).unwrap_or_default(),
        ));
    let label = format!("Details of the {} at {}", entry.event, parts::time_of_day(&entry.at));
    let summary = Html::tag("summary", &[("aria-label", &label)], "details");
    let details = Html::of("details", summary.then(details(entry)));
    let more = Html::of("tr", Html::tag("td", &[("colspan", "7"), ("class", "more")], details));
    Html::tag("tbody", &[("id", &id(entry))], Html::of("tr", row).then(more))
}

fn details(entry: &PastEntry) -> Html {
    let mut rows = Vec::new();
    let mut add = |name: &str, words: Option<String>| {
        if let Some(words) = words.filter(|words| !words.is_empty()) {
            rows.push(Html::of("dt", name).then(Html::of("dd", words)));
        }
    };
    add("generation", entry.generation.map(|number| number.to_string()));
    add("asked for by", Some(entry.by.join(", ")));
    add("applied at run time", entry.applied.clone());
    add("not applied at run time", entry.not_applied.as_ref().and_then(parts::excerpt));
    add("took", entry.seconds.map(|seconds| took(seconds, entry.steps.as_ref())));
    add("HAProxy ended", entry.ended.clone());
    if let Some(PastSockets { moved, new, gone, twice }) = &entry.sockets {
        for PastMoved { by, addresses } in moved {
            add(&by.heading(), parts::excerpt(addresses));
        }
        add("newly bound", parts::excerpt(new));
        add("no longer bound", parts::excerpt(gone));
        add("bound a second time", parts::excerpt(twice));
    }
    if let Some(PastCarried { set, left, age_seconds }) = &entry.carried {
        let age = age_seconds.map(|age| format!(" (as known {age} s ago)")).unwrap_or_default();
        add(&format!("carried over{age}"), parts::excerpt(set));
        add("not carried over", parts::excerpt(left));
    }
    rows.push(Html::of("dt", "cost").then(Html::of("dd", cost::in_words(entry))));
    let facts = Html::of("dl", rows.into_iter().collect::<Html>());
    facts.then(entry.failure.as_ref().map(failure::why))
}

/// The whole, and the steps that took any time.
fn took(seconds: f64, steps: Option<&PastSteps>) -> String {
    let whole = parts::took(seconds);
    match steps.and_then(|steps| steps.words(parts::took)) {
        Some(steps) => format!("{whole}: {steps}"),
        None => whole,
    }
}
