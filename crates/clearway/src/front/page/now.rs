//! How it is now: the state in one word, the last attempt in one sentence, and what should be looked at.

use clearway_core::count;
use clearway_core::supervisor::{LifePhase, Phase};

use super::history;
use super::html::Html;
use super::parts::{self, ResultMark};
use crate::front::api::{Reloads, Status};
use crate::front::findings;

/// The section at the top.
pub fn section(status: &Status, past: &Reloads) -> Html {
    let found = findings::beside_the_last_attempt(status);
    let failed = status.last_attempt.as_ref().is_some_and(|last| last.failure.is_some());
    let (mark, class) = match status.state {
        Phase::Serving if failed => (ResultMark::LOOK, "bad"),
        Phase::Serving | Phase::Reloading if !found.is_empty() => (ResultMark::LOOK, "warn"),
        Phase::Serving | Phase::Reloading | Phase::Superseded => (ResultMark::TOOK, "good"),
        Phase::Starting | Phase::Unknown => (ResultMark::START, "warn"),
        Phase::Restarting | Phase::Stopping => (ResultMark::CRASH, "bad"),
    };
    let state = mark.with(&status.state.to_string());
    let serving = serving(status).map(|words| Html::tag("span", &[("class", "faint")], words));
    let state = Html::tag("p", &[("class", "state")], Html::of("b", state).then(Html::from(serving)));
    let summary = Html::tag("p", &[("id", "summary")], summary(past));
    let found = (!found.is_empty()).then(|| Html::of("h3", "To look at").then(parts::list(&found)));
    parts::section("now", class, "Now", state.then(summary).then(found))
}

fn serving(status: &Status) -> Option<String> {
    let one = status.generations.iter().find(|one| one.state == LifePhase::Serving)?;
    let seconds = one.seconds.map(|seconds| format!(" for {}", parts::roughly(seconds))).unwrap_or_default();
    Some(format!("generation {}{seconds}, {}", one.generation, count::sessions(one.sessions)))
}

/// The newest entry in one sentence without a time that passes: it is read out when it changes.
fn summary(past: &Reloads) -> Html {
    let Some(entry) = past.reloads.last() else { return "Nothing has happened yet.".into() };
    let sentence = format!("{} at {} UTC.", history::sentence(entry), parts::time_of_day(&entry.at));
    let link =
        entry.failure.as_ref().map(|_| Html::tag("a", &[("href", "#failure")], "Why, and what it cost"));
    Html::from(sentence).then(" ").then(Html::from(link))
}
