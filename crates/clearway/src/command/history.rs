//! `clearway history`: what has happened to the running Clearway, for people or as JSON.

use std::fmt::Write;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::hints::Hint;
use hyper::{Method, StatusCode};

use crate::front::api::Reloads;
use crate::front::client::{self, Wait};
use crate::front::find::{self, Target};
use crate::tell::history::{Excerpt, PastCarried, PastEntry, PastFailure, PastSockets};

const PATH: &str = "/v1/reloads";

/// Lists what is remembered, the newest last.
pub async fn history(target: Target) -> Result<ExitCode, Failure> {
    let found = find::find(&target).await?;
    let name = found.name.clone();
    let (status, body) = client::request(found.stream, Method::GET, PATH, Wait::Briefly).await?;
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(too_early(&name)),
        _ => return Err(client::refused(PATH, status, &body)),
    }
    let answer: Reloads = client::understand(&body)?;
    if target.json {
        crate::say!("{}", String::from_utf8_lossy(&body));
    } else {
        crate::say!("{}", in_words(&answer).trim_end());
    }
    Ok(ExitCode::Done)
}

fn too_early(name: &str) -> Failure {
    Failure::new(
        ExitCode::NoInstance,
        format!("{name} is a Clearway of an earlier version, which keeps no history"),
    )
    .hint("`clearway status` has its last reload; its log has all of them")
}

/// A table, with what there is to say of an entry below its row.
pub(super) fn in_words(answer: &Reloads) -> String {
    let heading = ["WHEN", "WHAT", "BY", "GENERATION", "RESULT", "TOOK"].map(str::to_owned);
    let rows: Vec<_> = answer.reloads.iter().map(row).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| [&heading].into_iter().chain(&rows).map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&heading);
    for (entry, row) in answer.reloads.iter().zip(&rows) {
        text += &line(row);
        for more in details(entry) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "    {more}");
        }
    }
    if answer.forgotten > 0 {
        let _ = writeln!(text, "{} before these are not remembered", answer.forgotten);
    }
    text
}

fn row(entry: &PastEntry) -> [String; 6] {
    let PastEntry { at, event, result, by, generation, seconds, .. } = entry;
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    [
        to_the_second(at),
        event.to_string(),
        or_none(by.join(",")),
        or_none(generation.map(|number| number.to_string()).unwrap_or_default()),
        result.to_string(),
        or_none(seconds.map(milliseconds).unwrap_or_default()),
    ]
}

/// `2026-11-29T12:24:58.123456Z` without the fraction.
fn to_the_second(at: &str) -> String {
    at.split_once('.').map_or_else(|| at.to_owned(), |(whole, _)| format!("{whole}Z"))
}

fn milliseconds(seconds: f64) -> String {
    // One of a later version may be anything.
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    format!("{} ms", duration.as_millis())
}

fn details(entry: &PastEntry) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(entry.applied.as_ref().map(|what| format!("applied at run time: {what}")));
    lines.extend(entry.not_applied.iter().filter_map(|why| list("not applied at run time", why)));
    lines.extend(entry.steps.as_ref().and_then(|steps| steps.words(milliseconds)));
    lines.extend(entry.sockets.iter().flat_map(sockets));
    lines.extend(entry.carried.iter().flat_map(carried));
    match &entry.failure {
        Some(failure) => lines.extend(why(failure)),
        None => lines.extend(entry.ended.clone()),
    }
    lines.extend(entry.cost.as_ref().map(|cost| format!("cost: {cost}")));
    lines
}

fn sockets(sockets: &PastSockets) -> Vec<String> {
    let PastSockets { moved, new, gone, twice } = sockets;
    let mut lines: Vec<String> =
        moved.iter().filter_map(|one| list(&one.by.heading(), &one.addresses)).collect();
    lines.extend(list("newly bound", new));
    lines.extend(list("no longer bound", gone));
    lines.extend(list("bound a second time", twice));
    lines
}

fn carried(carried: &PastCarried) -> Vec<String> {
    let PastCarried { set, left, age_seconds } = carried;
    let age = age_seconds.map(|age| format!(" (as known {age} s ago)")).unwrap_or_default();
    let set = list(&format!("carried over{age}"), set);
    set.into_iter().chain(list("not carried over", left)).collect()
}

/// In one line, if there are any.
fn list(heading: &str, items: &Excerpt) -> Option<String> {
    (items.number > 0).then(|| format!("{heading}: {}{}", items.first.join(", "), and_more(items)))
}

fn and_more(items: &Excerpt) -> String {
    match items.left_out() {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Why it failed: what Clearway says, HAProxy's words, what helps.
fn why(failure: &PastFailure) -> Vec<String> {
    let PastFailure { code, message, words, lines: cited, hints } = failure;
    let mut lines = vec![format!("exit code {code}: {message}")];
    lines.extend(words.first.iter().map(|word| format!("  {word}")));
    if words.left_out() > 0 {
        lines.push(format!("  and {} more lines, which are in the log", words.left_out()));
    }
    lines.extend(cited.first.iter().map(|line| format!("  {line}")));
    lines.extend(hints.first.iter().map(|hint| Hint(hint).to_string()));
    lines
}

#[cfg(test)]
mod tests;
