//! The last attempt that failed: why, in HAProxy's words and with the line of the file, what mends it, what it cost.

use std::time::SystemTime;

use super::cost;
use super::html::Html;
use super::parts::{self, ResultMark};
use crate::front::api::{Reloads, Status};
use crate::tell::history::{Excerpt, PastEntry, PastEvent, PastFailure, PastResult};

/// The section, or one sentence if there is none.
pub fn section(status: &Status, past: &Reloads, now: SystemTime) -> Html {
    let last = past.reloads.iter().rev().find_map(|entry| Some((entry, entry.failure.as_ref()?)));
    let Some((entry, failure)) = last else {
        let words = "No start, reload or restart has failed, as far as this Clearway remembers.";
        return parts::section("failure", "", "The last failure", Html::of("p", words));
    };
    let is_over = status.last_attempt.as_ref().is_some_and(|last| last.failure.is_none());
    let class = if is_over { "" } else { "bad" };
    let inside = what(entry, now)
        .then(is_over.then(|| since(entry, past, now)))
        .then(why(failure))
        .then(Html::of("h3", "What it cost"))
        .then(Html::tag("p", &[("class", "cost")], cost::in_words(entry)))
        .then(Html::of("p", aftermath(entry)));
    parts::section("failure", class, "The last failure", inside)
}

fn what(entry: &PastEntry, now: SystemTime) -> Html {
    let by =
        if entry.by.is_empty() { String::new() } else { format!(", asked for by {}", entry.by.join(", ")) };
    let generation = entry.generation.map(|number| format!(", generation {number}")).unwrap_or_default();
    let words = format!("{}{by}{generation}: ", entry.event);
    let result = ResultMark::REFUSED.with(&entry.result.to_string());
    Html::of("p", Html::from(words).then(result).then(" ").then(parts::moment(&entry.at, now)))
}

/// What has become of it.
fn since(entry: &PastEntry, past: &Reloads, now: SystemTime) -> Html {
    let later = past.reloads.iter().find(|later| later.id > entry.id && later.result == PastResult::Took);
    let Some(later) = later else { return Html::default() };
    let result = ResultMark::TOOK.with(&format!("{} took", later.event));
    Html::of("p", Html::from("It is over: ").then(result).then(" ").then(parts::moment(&later.at, now)))
}

/// Why it failed, for this section and for the row of an entry.
pub fn why(failure: &PastFailure) -> Html {
    let PastFailure { code, message, words, lines, hints } = failure;
    let message =
        Html::from(message).then(Html::tag("span", &[("class", "faint")], format!(" (exit code {code})")));
    Html::of("h3", "Why")
        .then(Html::of("p", message))
        .then(block("The line of the file, as HAProxy read it", lines))
        .then(block("HAProxy's words", words))
        .then((hints.number > 0).then(|| Html::of("h3", "What mends it").then(parts::list(&hints.first))))
}

/// Line by line, as they are.
fn block(heading: &str, lines: &Excerpt) -> Option<Html> {
    let all = lines.first.iter().map(|line| {
        let class = if line.contains("[ALERT]") { "alert" } else { "" };
        Html::tag("span", &[("class", class)], line).then("\n")
    });
    let more = match lines.left_out() {
        0 => Html::default(),
        more => format!("... and {more} more, which are in the log").into(),
    };
    let block = Html::tag("pre", &[("class", "words")], all.collect::<Html>().then(more));
    (lines.number > 0).then(|| Html::of("h3", heading).then(block))
}

fn aftermath(entry: &PastEntry) -> &'static str {
    match entry.event {
        PastEvent::Reload | PastEvent::Rollback => {
            "The generation that served went on serving, with the configuration that it had."
        }
        PastEvent::Start => "There was nothing that served before.",
        PastEvent::Restart => {
            "New clients wait in the listening sockets, which Clearway holds, until a restart takes."
        }
        PastEvent::Takeover => "The other Clearway went on serving.",
        PastEvent::Crash | PastEvent::Unknown => "",
    }
}
