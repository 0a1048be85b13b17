//! The time line: what has happened as marks from left to right, below them a bar for each generation.
//!
//! Long pauses are drawn shorter than they were, or a reload a day would leave no room for three in a minute: a pause is as
//! wide as its number of minutes has bits. What is drawn is in the tables, too.

use std::time::SystemTime;

use clearway_core::count::{self, Count};
use clearway_core::supervisor::LifePhase;

use super::html::Html;
use super::parts;
use super::{cost, history};
use crate::front::api::{GenerationStatus, Reloads, Status};
use crate::tell::history::{PastEntry, PastEvent, PastResult};

/// How many marks are drawn, and how many bars.
const MARKS: usize = 16;
const BARS: usize = 10;

/// Widths and heights, in pixels.
const MARGIN: u32 = 44;
const NARROW: u32 = 84;
const WIDER: u32 = 10;
const LABELS: u32 = 210;
const SHAPE: u32 = 22;
const HEAD: u32 = 104;
const BAR: u32 = 20;
const STEP: u32 = 28;

/// A generation's bar: where it begins to serve, where it serves no more, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GenerationBar {
    generation: u32,
    from: u32,
    serves_until: Option<u32>,
    ends: Option<u32>,
}

/// The picture, in a box that scrolls and shows its right end first.
pub fn picture(status: &Status, past: &Reloads, now: SystemTime) -> Html {
    let (before, shown) = past.reloads.split_at(past.reloads.len().saturating_sub(MARKS));
    if shown.is_empty() {
        return Html::default();
    }
    let places = places(shown, now);
    let edge = places.last().copied().unwrap_or(MARGIN) + pause(shown.last(), now);
    let bars = bars(before, shown, &places, status, edge);
    let height = HEAD + STEP * u32::try_from(bars.len()).unwrap_or_default() + 6;
    let width = edge + LABELS;
    let marks = shown.iter().zip(&places).enumerate().map(|(number, (entry, place))| {
        let day = parts::day(&entry.at);
        let is_new = number
            .checked_sub(1)
            .and_then(|number| shown.get(number))
            .is_none_or(|one| parts::day(&one.at) != day);
        mark(entry, *place, height, is_new.then_some(day))
    });
    let now_line = line("now", edge, height).then(text("dim", edge + 6, 76, "now"));
    let bars = bars.iter().enumerate().map(|(row, bar)| drawn(bar, row, edge, status)).collect::<Html>();
    let bars = Html::tag("g", &[("aria-hidden", "true")], bars);
    let inside = marks.collect::<Html>().then(now_line).then(bars);
    let size = format!("0 0 {width} {height}");
    let label =
        format!("Time line of the last {}; long pauses are drawn shorter", Count(shown.len(), "event"));
    let attributes = [
        ("class", "time"),
        ("role", "group"),
        ("dir", "ltr"),
        ("viewBox", size.as_str()),
        ("width", &width.to_string()),
        ("height", &height.to_string()),
        ("aria-label", &label),
    ];
    let box_label = "Time line (scrolls)";
    let attributes_of_box = [
        ("class", "scroll"),
        ("role", "region"),
        ("tabindex", "0"),
        ("dir", "rtl"),
        ("aria-label", box_label),
    ];
    Html::tag("div", &attributes_of_box, Html::tag("svg", &attributes, inside))
}

/// How wide the time after an entry is drawn.
fn pause(entry: Option<&PastEntry>, until: SystemTime) -> u32 {
    let since = entry.and_then(|entry| parts::instant(&entry.at));
    let minutes = since.and_then(|since| until.duration_since(since).ok()).unwrap_or_default().as_secs() / 60;
    NARROW + WIDER * (u64::BITS - minutes.leading_zeros()).min(10)
}

/// Where the marks are.
fn places(shown: &[PastEntry], now: SystemTime) -> Vec<u32> {
    let mut places = vec![MARGIN];
    for pair in shown.windows(2) {
        let [former, later] = pair else { continue };
        let before = places.last().copied().unwrap_or(MARGIN);
        places.push(before + pause(Some(former), parts::instant(&later.at).unwrap_or(now)));
    }
    places
}

/// The generations that served in this time, and those that have processes.
fn bars(
    before: &[PastEntry],
    shown: &[PastEntry],
    places: &[u32],
    status: &Status,
    edge: u32,
) -> Vec<GenerationBar> {
    let mut bars: Vec<GenerationBar> = Vec::new();
    let earlier = before.iter().map(|entry| (entry, 0));
    for (entry, at) in earlier.chain(shown.iter().zip(places.iter().copied())) {
        let open = bars.iter_mut().rev().find(|bar| bar.serves_until.is_none());
        match (entry.event, entry.result, entry.generation) {
            (_, PastResult::Took, Some(generation)) => {
                if let Some(open) = open {
                    open.serves_until = Some(at);
                }
                bars.push(GenerationBar { generation, from: at, serves_until: None, ends: None });
            }
            (PastEvent::Crash, ..) => {
                if let Some(open) = open {
                    (open.serves_until, open.ends) = (Some(at), Some(at));
                }
            }
            (_, PastResult::Superseded | PastResult::GivenBack, _) => {
                if let Some(open) = open {
                    open.serves_until = Some(at);
                }
            }
            // What served before it serves again.
            (_, PastResult::Undone, _) => {
                if let Some(last) = bars.last_mut() {
                    last.serves_until = None;
                }
            }
            _ => {}
        }
    }
    for one in &status.generations {
        let known = bars.iter_mut().find(|bar| bar.generation == one.generation);
        match (known, one.state) {
            (Some(bar), LifePhase::Draining) => bar.ends = Some(edge),
            (Some(_), _) => {}
            (None, state) => {
                let (from, serves_until) = match state {
                    LifePhase::Serving => (0, None),
                    LifePhase::Starting => (edge, Some(edge)),
                    LifePhase::Draining | LifePhase::Unknown => (0, Some(0)),
                };
                bars.push(GenerationBar { generation: one.generation, from, serves_until, ends: Some(edge) });
            }
        }
    }
    bars.retain(|bar| bar.serves_until != Some(0) || bar.ends == Some(edge));
    bars.sort_by_key(|bar| bar.generation);
    bars.split_off(bars.len().saturating_sub(BARS))
}

/// A mark: a link to the row in the table that says more.
fn mark(entry: &PastEntry, place: u32, height: u32, day: Option<&str>) -> Html {
    let mark = history::mark(entry);
    let word = match entry.result {
        PastResult::Took | PastResult::Crashed => entry.event.to_string(),
        result => result.to_string(),
    };
    let time = parts::time_of_day(&entry.at);
    let (_, cost) = cost::short(entry);
    let label = format!("{} {}, {time}, cost: {cost}", entry.event, entry.result);
    let (x, y) = (place.saturating_sub(SHAPE / 2).to_string(), "4".to_owned());
    let size = SHAPE.to_string();
    let shape = [("href", mark.shape), ("x", &x), ("y", &y), ("width", &size), ("height", &size)];
    let words = middle("word loud", place, 42, &word)
        .then(middle("", place, 58, &cost))
        .then(middle("dim", place, 74, time))
        .then(day.map(|day| middle("dim", place, 90, day)));
    let link = history::link(entry);
    let attributes =
        [("href", link.as_str()), ("class", &format!("mark-link {}", mark.class)), ("aria-label", &label)];
    let inside = Html::tag("use", &shape, "").then(words);
    line("ray", place, height).then(Html::tag("a", &attributes, inside))
}

fn drawn(bar: &GenerationBar, row: usize, edge: u32, status: &Status) -> Html {
    let top = HEAD + STEP * u32::try_from(row).unwrap_or_default();
    let one = status.generations.iter().find(|one| one.generation == bar.generation);
    let until = bar.serves_until.unwrap_or(edge);
    let serves = (until > bar.from).then(|| block("serves", bar.from, until, top));
    let ends = bar.ends.filter(|ends| *ends > until);
    let drains = ends.map(|ends| block("drains", until, ends, top));
    let number = if until > bar.from + 20 {
        text("in", bar.from + 7, top + 14, &bar.generation.to_string())
    } else {
        Html::default()
    };
    let label = one.map(|one| text("", edge + 8, top + 14, &in_words(one)));
    Html::from(drains).then(serves).then(number).then(label)
}

fn in_words(one: &GenerationStatus) -> String {
    format!("{} {}, {}", one.generation, one.state, count::sessions(one.sessions))
}

fn block(class: &str, from: u32, to: u32, top: u32) -> Html {
    let width = to.saturating_sub(from).to_string();
    let (x, y, height) = (from.to_string(), top.to_string(), BAR.to_string());
    let attributes =
        [("class", class), ("x", &x), ("y", &y), ("width", &width), ("height", &height), ("rx", "3")];
    Html::tag("rect", &attributes, "")
}

fn line(class: &str, x: u32, height: u32) -> Html {
    let (x, bottom) = (x.to_string(), height.to_string());
    Html::tag("line", &[("class", class), ("x1", &x), ("x2", &x), ("y1", "96"), ("y2", &bottom)], "")
}

fn text(class: &str, x: u32, y: u32, words: &str) -> Html {
    Html::tag("text", &[("class", class), ("x", &x.to_string()), ("y", &y.to_string())], words)
}

fn middle(class: &str, x: u32, y: u32, words: &str) -> Html {
    let (x, y) = (x.to_string(), y.to_string());
    Html::tag("text", &[("class", class), ("x", &x), ("y", &y), ("text-anchor", "middle")], words)
}

#[cfg(test)]
mod tests;
