//! What each strategy is to reach, beside what it did. Said, never enforced: figures are the machine's as well.

use super::{Measured, Sample, Side};
use crate::bench::figures::count;
use crate::bench::report::significant;
use crate::bench::statistics::Summary;

/// What the plug may add beside its window, in milliseconds.
const PLUG: f64 = 2.0;
/// What SYN drop may leave of the delays of the original technique.
const SYN_DROP: f64 = 0.5;

/// A goal with its figures.
#[derive(Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) side: &'static str,
    pub(super) goal: String,
    pub(super) figures: String,
    /// None: it cannot be said.
    pub(super) met: Option<bool>,
}

/// One kind of figure of a run.
pub(super) type Figure = fn(&Sample) -> f64;

/// A figure of all runs of a side; none where it was not measured.
pub(super) fn summary(all: &[Measured], side: Side, figure: Figure) -> Option<Summary> {
    let one = all.iter().find(|one| one.side == side && one.trouble.is_none())?;
    (!one.samples.is_empty()).then(|| Summary::of(&one.samples.iter().map(figure).collect::<Vec<_>>()))
}

/// All goals, whether they can be judged or not.
pub(super) fn judge(all: &[Measured]) -> Vec<Judged> {
    let strategies = ["handoff", "reuseport", "plug", "tableflip", "syn-drop", "auto"];
    let mut judged: Vec<Judged> = strategies.iter().map(|strategy| lossless(all, strategy)).collect();
    let kinds: [(&'static str, Figure); 3] = [
        ("p50", |one| one.report.total.latency.p50),
        ("p99", |one| one.report.total.latency.p99),
        ("p99.9", |one| one.report.total.latency.p999),
    ];
    for (control, words) in [
        (Side::IdleClearway, "as of the idle control: not above its worst round"),
        (
            Side::StartBeside,
            "as where a HAProxy is started at other ports: not above the worst round of that",
        ),
    ] {
        judged.extend(kinds.map(|(figure, of)| no_worse(all, control, &format!("{figure} {words}"), of)));
    }
    judged.extend(["plug", "tableflip"].map(|strategy| unnoticed(all, strategy)));
    judged.push(plug(all));
    judged.push(syn_drop(all));
    for one in judged.iter_mut().filter(|one| is_another(all, one.side)) {
        one.met = None;
        one.figures = format!("no socket was moved so: {}", one.figures);
    }
    judged
}

/// Whether every reload of a strategy was told to be another one's work.
fn is_another(all: &[Measured], strategy: &'static str) -> bool {
    let Some(one) = all.iter().find(|one| one.side == Side::Clearway(strategy)) else { return false };
    let mut told =
        one.samples.iter().flat_map(|run| &run.told).filter(|told| !told.moved.is_empty()).peekable();
    strategy != "auto" && told.peek().is_some() && told.all(|told| !told.moved.contains_key(strategy))
}

fn lossless(all: &[Measured], side: &'static str) -> Judged {
    let lost = summary(all, Side::Clearway(side), |one| count(one.report.total.failed()));
    let (connections, lost) = (total(all, side), lost.map(|lost| lost.runs.iter().sum::<f64>()));
    let figures = match (connections, lost) {
        (Some(of), Some(lost)) => format!("{lost:.0} of {of:.0}"),
        _ => String::new(),
    };
    Judged { side, goal: "no connection lost".into(), figures, met: lost.map(|lost| lost < 0.5) }
}

fn total(all: &[Measured], side: &'static str) -> Option<f64> {
    let connections = summary(all, Side::Clearway(side), |one| count(one.report.total.count()))?;
    Some(connections.runs.iter().sum())
}

fn no_worse(all: &[Measured], control: Side, goal: &str, figure: Figure) -> Judged {
    let ours = summary(all, Side::Clearway("handoff"), figure);
    let (figures, met) = match (ours, summary(all, control, figure)) {
        (Some(ours), Some(theirs)) => {
            let words =
                format!("{}; the control {}", ours.words(significant, "ms"), theirs.words(significant, "ms"));
            (words, Some(ours.median <= theirs.max))
        }
        _ => (String::new(), None),
    };
    Judged { side: "handoff", goal: goal.to_owned(), figures, met }
}

fn unnoticed(all: &[Measured], side: &'static str) -> Judged {
    let late = |side| summary(all, side, |one| count(one.delayed)).map(|late| late.runs.iter().sum::<f64>());
    let (ours, idle) = (late(Side::Clearway(side)), late(Side::IdleClearway));
    let (figures, met) = match (ours, idle) {
        (Some(ours), Some(idle)) => (
            format!("{ours:.0} delayed; {idle:.0} without reloads"),
            unless_noisy(ours <= 0.0, ours > 0.0 && idle > 0.0),
        ),
        _ => (String::new(), None),
    };
    let goal = "no delay over 200 ms, which is what a person would notice".into();
    Judged { side, goal, figures, met }
}

/// Where the idle control is as bad as what is to be shown not to happen, nothing is shown: the machine is too busy.
fn unless_noisy(met: bool, noisy: bool) -> Option<bool> {
    (!noisy).then_some(met)
}

/// The slowest connection near a reload, beside the slowest at the same moments without one: what is between them
/// is the window, and what the plug adds.
fn plug(all: &[Measured]) -> Judged {
    let worst = |side| summary_of_all(all, side, |one| one.worst_near.clone());
    let window = summary_of_all(all, Side::Clearway("plug"), |one| {
        one.windows.iter().map(|window| window.ms).collect()
    });
    let (figures, met) = match (worst(Side::Clearway("plug")), worst(Side::IdleClearway), window) {
        (Some(ours), Some(idle), Some(window)) => {
            let added = ours.median - idle.median;
            let words = format!(
                "{} ms, window {} ms (slowest within 1 s of a reload {}, without {})",
                significant(added),
                significant(window.median),
                ours.words(significant, "ms"),
                idle.words(significant, "ms"),
            );
            let most = window.median + PLUG;
            (words, unless_noisy(added <= most, idle.median > most))
        }
        (Some(_), Some(_), None) => ("it did not tell its window".into(), None),
        _ => (String::new(), None),
    };
    Judged { side: "plug", goal: "added delay at most the window + 2 ms".into(), figures, met }
}

/// Of each reload of each run, where there are any figures.
pub(super) fn summary_of_all(
    all: &[Measured],
    side: Side,
    figures: impl Fn(&Sample) -> Vec<f64>,
) -> Option<Summary> {
    let one = all.iter().find(|one| one.side == side && one.trouble.is_none())?;
    let figures: Vec<f64> = one.samples.iter().flat_map(figures).collect();
    (!figures.is_empty()).then(|| Summary::of(&figures))
}

fn syn_drop(all: &[Measured]) -> Judged {
    let percent = |side| summary(all, side, Sample::delayed_percent);
    let (figures, met) = match (percent(Side::Clearway("syn-drop")), percent(Side::Original)) {
        (Some(ours), Some(theirs)) => {
            let words =
                format!("{} %; the original {} %", significant(ours.median), significant(theirs.median));
            (words, Some(ours.median <= theirs.median * SYN_DROP))
        }
        _ => (String::new(), None),
    };
    Judged {
        side: "syn-drop",
        goal: "at most half of the original's connections delayed over 200 ms".into(),
        figures,
        met,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::sample;
    use super::super::told::{Told, Window};
    use super::{Measured, Side, judge};
    use crate::load::Tally;

    fn side(side: Side, latencies: &[u64]) -> Measured {
        Measured { side, samples: vec![sample(latencies, Tally::default())], trouble: None }
    }

    fn met(all: &[Measured], side: &str, goal: &str) -> Option<bool> {
        judge(all).into_iter().find(|one| one.side == side && one.goal.contains(goal)).and_then(|one| one.met)
    }

    #[test]
    fn a_loss_is_no_goal_met() {
        let mut all = [side(Side::Clearway("handoff"), &[1; 10])];
        assert_eq!(met(&all, "handoff", "lost"), Some(true));
        all[0].samples.push(sample(&[1; 10], Tally { reset: 1, ..Tally::default() }));
        assert_eq!(met(&all, "handoff", "lost"), Some(false));
        assert_eq!(met(&all, "plug", "lost"), None, "it was not measured");
    }

    #[test]
    fn the_plug_is_judged_by_its_own_window() {
        let mut all = [side(Side::Clearway("plug"), &[1, 1, 31]), side(Side::IdleClearway, &[1, 1, 2])];
        assert_eq!(met(&all, "plug", "added"), None, "no window was told");
        for (window, right) in [(26.9, false), (27.1, true)] {
            all[0].samples[0].windows = vec![Window { ms: window, held: None }];
            assert_eq!(met(&all, "plug", "added"), Some(right));
        }
        assert_eq!(met(&all, "plug", "notice"), Some(true));
        all[1] = side(Side::IdleClearway, &[1, 1, 300]);
        assert_eq!(met(&all, "plug", "added"), None, "the control was slower than the window");
        assert_eq!(met(&all, "plug", "notice"), Some(true), "none is none, whatever the control did");
        all[0].samples.push(sample(&[300], Tally::default()));
        assert_eq!(met(&all, "plug", "notice"), None, "the control was noticed as well");
    }

    #[test]
    fn a_strategy_that_did_not_move_a_socket_is_not_judged() {
        let told = |means: &str| Told { moved: [(means.to_owned(), 3)].into() };
        let mut all = [side(Side::Clearway("tableflip"), &[1])];
        all[0].samples[0].told = vec![told("handoff")];
        assert_eq!(met(&all, "tableflip", "lost"), None);
        all[0].samples[0].told.push(told("tableflip"));
        assert_eq!(met(&all, "tableflip", "lost"), Some(true));
    }

    #[test]
    fn half_of_the_delays_is_enough() {
        let original = side(Side::Original, &[1, 1, 300, 300]);
        let all = [side(Side::Clearway("syn-drop"), &[1, 1, 1, 300]), original];
        assert_eq!(met(&all, "syn-drop", "half"), Some(true));
        let all = [side(Side::Clearway("syn-drop"), &[1, 300, 300]), side(Side::Original, &[1, 300])];
        assert_eq!(met(&all, "syn-drop", "half"), Some(false));
    }
}
