//! The result for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::{AT_A_TIME, Figures, Measured, Side};
use crate::bench::control::{self, Control};
use crate::bench::machine::made_by;
use crate::bench::report::significant;
use crate::bench::statistics::Summary;

/// What Clearway's plumbing shall leave of plain HAProxy's connections per second.
const GOAL: f64 = 0.97;

/// One kind of figure of a run.
type Figure = fn(&Figures) -> f64;

/// A column: its head, its unit, and how its figure is had.
const COLUMNS: [(&str, &str, Figure); 3] = [
    ("new connections", "/s", |figures| figures.connections),
    ("processor time per connection", "µs", |figures| figures.processor),
    ("one download", "MB/s", |figures| figures.download),
];

/// Two tables (what each side did, and how that is to plain HAProxy), whether the goal was met, the machine.
pub(super) fn markdown(all: &[Measured], controls: [Control; 2], lengths: [Duration; 2]) -> String {
    let [loading, downloading] = lengths.map(humantime::format_duration);
    let rounds = all.iter().map(|one| one.runs.len()).max().unwrap_or_default();
    let mut text = format!(
        "{}\n\nRounds: {rounds}, interleaved. In each, every side had {loading} of new connections, \
         {AT_A_TIME} at a time, and {downloading} of one download, in new namespaces. IPv4. Median (min to max).\n\n",
        made_by("bench-transparent", &[(super::side::NGINX, "-v"), ("iptables", "--version")])
    );
    let plain = all.iter().find(|one| one.side == Side::Plain).map_or(&[][..], |one| &one.runs);
    table(&mut text, all, |one, (_, unit, figure)| {
        let summary = Summary::of(&one.runs.iter().map(figure).collect::<Vec<_>>());
        summary.words(significant, unit)
    });
    text.push_str("\nTo plain HAProxy in the same round:\n\n");
    table(&mut text, all, |one, (_, _, figure)| {
        ratio(&one.runs, plain, *figure).words(|value| format!("{value:.2}"), "")
    });
    let _ = writeln!(text, "\n{}", goal(all, plain));
    let _ = writeln!(text, "\n{}", control::words(controls));
    text
}

fn table(text: &mut String, all: &[Measured], cell: impl Fn(&Measured, &(&str, &str, Figure)) -> String) {
    let heads = COLUMNS.map(|(head, _, _)| head).join(" | ");
    let _ = writeln!(text, "| side | {heads} |\n|---|---|---|---|");
    for one in all {
        let cells = match &one.trouble {
            Some(trouble) => format!("{trouble} | |"),
            None => COLUMNS.each_ref().map(|column| cell(one, column)).join(" | "),
        };
        let _ = writeln!(text, "| {} | {cells} |", one.side.words());
    }
}

/// Round by round, so that what slows the machine for a while slows both.
fn ratio(runs: &[Figures], plain: &[Figures], figure: Figure) -> Summary {
    let pairs = runs.iter().zip(plain).filter(|(_, plain)| figure(plain) > 0.0);
    Summary::of(&pairs.map(|(run, plain)| figure(run) / figure(plain)).collect::<Vec<_>>())
}

/// Whether the goal was met, in a sentence. It judges medians; the table has the spread.
fn goal(all: &[Measured], plain: &[Figures]) -> String {
    let measured = |side| all.iter().find(|one| one.side == side && one.trouble.is_none());
    let compared = |side, base: &[Figures]| {
        let runs = &measured(side).filter(|_| !base.is_empty())?.runs;
        Some(ratio(runs, base, |figures| figures.connections).median)
    };
    let connections = |side| compared(side, plain);
    let Some(clearway) = connections(Side::Clearway) else {
        return "Whether the goal is met is not known.".into();
    };
    let met = |yes| if yes { "met" } else { "NOT met" };
    let mut text = format!(
        "Goal, connections per second: Clearway's plumbing at least {GOAL} of plain HAProxy: {clearway:.3}, \
         {}",
        met(clearway >= GOAL)
    );
    for (words, side) in [("the classic recipe", Side::Classic), ("nginx", Side::Nginx)] {
        let _ = match connections(side) {
            Some(other) => write!(text, "; ahead of {words}: {other:.3}, {}", met(clearway > other)),
            None => write!(text, "; ahead of {words}: not known"),
        };
    }
    text.push('.');
    for (words, side, base) in [
        ("What HAProxy's own part of it leaves of plain HAProxy", Side::Unplumbed, Side::Plain),
        ("What transparency leaves of nginx", Side::Nginx, Side::PlainNginx),
    ] {
        if let Some(left) = measured(base).and_then(|base| compared(side, &base.runs)) {
            let _ = write!(text, " {words}: {left:.3}.");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Figures, Measured, Side, goal, ratio};

    fn runs(connections: &[f64]) -> Vec<Figures> {
        let figures =
            |connections: &f64| Figures { connections: *connections, processor: 1.0, download: 1.0 };
        connections.iter().map(figures).collect()
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        let summary = ratio(&runs(&[9.0, 45.0]), &runs(&[10.0, 50.0, 7.0]), |figures| figures.connections);
        assert_eq!(summary.runs, [0.9, 0.9]);
    }

    #[test]
    fn the_goal_is_a_ratio_and_two_rivals() {
        let side = |side, figures: &[f64]| Measured { side, runs: runs(figures), trouble: None };
        let all = [
            side(Side::Clearway, &[98.0]),
            side(Side::Classic, &[99.0]),
            side(Side::PlainNginx, &[120.0]),
            side(Side::Nginx, &[90.0]),
        ];
        let text = goal(&all, &runs(&[100.0]));
        assert!(text.contains(
            "0.980, met; ahead of the classic recipe: 0.990, NOT met; ahead of nginx: 0.900, met. What \
                 transparency leaves of nginx: 0.750."
        ));
        assert!(goal(&all[..2], &runs(&[100.0])).ends_with("ahead of nginx: not known."));
        assert!(goal(&all, &[]).contains("not known"));
    }
}
