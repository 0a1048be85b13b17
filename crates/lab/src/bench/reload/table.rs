//! The result for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::goals::{Figure, judge, summary, summary_of_all};
use super::sample::PATIENCE;
use super::{Measured, Sample, Shape, Side};
use crate::bench::control::{self, Control};
use crate::bench::figures::{LOSSES, Loss, cell, count};
use crate::bench::former::{self, Comparison};
use crate::bench::machine::made_by;
use crate::bench::report::significant;
use crate::bench::row::Better;
use crate::bench::statistics::Summary;
use crate::load::Tally;

/// The head of the first column of the first table.
const CONNECTIONS: &str = "connections";

const LATENCIES: [(&str, &str, Figure); 7] = [
    ("p50", "ms", |one| one.report.total.latency.p50),
    ("p99", "ms", |one| one.report.total.latency.p99),
    ("p99.9", "ms", |one| one.report.total.latency.p999),
    ("maximum", "ms", |one| one.report.total.latency.max),
    ("delayed over 200 ms", "", |one| count(one.delayed)),
    ("of all", "%", Sample::delayed_percent),
    ("generator late, p99", "ms", |one| one.report.slip.p99),
];

/// Losses, latencies, what the reloads were, the goals, and the machine.
/// Before the last, what stands in `compared`.
pub(super) fn markdown(all: &[Measured], shape: Shape, controls: [Control; 2], compared: &str) -> String {
    let rounds = all.iter().map(|one| one.samples.len()).max().unwrap_or_default();
    let mut text = format!(
        "# What clients notice of a reload, by the way it is done\n\n{}\n\n\
         Rounds: {rounds}, interleaved. In each, every side had {} new connections per second for {}, over IPv4, from \
         another network namespace, with {} reloads {} apart, in new namespaces. A latency counts from the moment at \
         which the schedule intended the connection to the whole answer, `connect()` included, of those that were \
         answered; lost are those without a right answer within {}. Of several rounds: median (min to max).\n\n\
         ![Latency against time](reload.svg)\n\n\
         The picture shows of each side the run with the middle p99.\n",
        made_by("bench-reload", &[("iptables", "--version")]),
        shape.rate,
        humantime::format_duration(shape.length()),
        shape.reloads,
        humantime::format_duration(shape.every),
        humantime::format_duration(PATIENCE),
    );
    text.push_str("\n## Losses, of all rounds together\n\n");
    let heads = LOSSES.map(|(head, _)| head);
    table(&mut text, all, &[&[CONNECTIONS][..], &heads].concat(), losses);
    text.push_str(
        "\n## Latency\n\nHow late the generator was with its own connections is part of every latency: where that is much, \
         the machine was busy with something else, and the row says little.\n\n",
    );
    table(&mut text, all, &LATENCIES.map(|(head, _, _)| head), |one| {
        LATENCIES.map(|(_, unit, figure)| cell(summary(all, one.side, figure), unit)).into()
    });
    text.push_str(
        "\n## The reloads\n\nThe slowest connection is of those that were to begin within a second of a reload's begin \
         (or of the same moment without one). The command of `haproxy -W` is a signal, which waits for nothing. What \
         Clearway told is the answer of `clearway reload --json`, and of a window (in which SYNs are dropped or held) a line of \
         its log.\n\n",
    );
    let heads =
        ["slowest near a reload", "command took", "told: sockets moved by", "window", "SYNs held in it"];
    table(&mut text, all, &heads, |one| reloads(all, one));
    text.push_str(
        "\n## Goals\n\nNot known is what was not measured, what another strategy did instead, and what the idle control \
         did as well: then the machine was too busy to tell.\n\n",
    );
    goals(&mut text, all);
    text.push_str(compared);
    text.push_str("\n## The machine\n\n");
    machine(&mut text, all, controls);
    text
}

/// One row per side. Why one has no figures is said in full in the first table, and briefly in the others.
fn table(text: &mut String, all: &[Measured], heads: &[&str], cells: impl Fn(&Measured) -> Vec<String>) {
    let in_full = heads.first() == Some(&CONNECTIONS);
    let _ = writeln!(text, "| side | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for one in all {
        let cells = match &one.trouble {
            Some(trouble) => {
                let words = if in_full { trouble.to_string() } else { trouble.brief().to_owned() };
                format!("{words} {}", "| ".repeat(heads.len() - 1))
            }
            None => cells(one).join(" | ") + " ",
        };
        let _ = writeln!(text, "| {} | {}|", one.side.words(), cells);
    }
}

fn losses(one: &Measured) -> Vec<String> {
    let sum = |loss: Loss| one.samples.iter().map(|run| loss(&run.report.total)).sum::<u64>().to_string();
    let mut cells = vec![sum(Tally::count)];
    cells.extend(LOSSES.map(|(_, loss)| sum(loss)));
    cells
}

fn reloads(all: &[Measured], one: &Measured) -> Vec<String> {
    let of_all = |unit, figures: fn(&Sample) -> Vec<f64>| cell(summary_of_all(all, one.side, figures), unit);
    let took = if one.side.is_idle() { "-".into() } else { of_all("ms", |run| run.took.clone()) };
    vec![
        of_all("ms", |run| run.worst_near.clone()),
        took,
        moved(one),
        of_all("ms", |run| run.windows.iter().map(|window| window.ms).collect()),
        of_all("", |run| run.windows.iter().filter_map(|window| window.held).map(count).collect()),
    ]
}

/// All that was ever told of it, with numbers per reload where they never differed.
fn moved(one: &Measured) -> String {
    let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (means, number) in one.samples.iter().flat_map(|run| &run.told).flat_map(|told| &told.moved) {
        seen.entry(means.as_str()).or_default().push(*number);
    }
    let words = seen.into_iter().map(|(means, numbers)| {
        let (least, most) = (numbers.iter().min().copied(), numbers.iter().max().copied());
        let number = |number: Option<u64>| number.unwrap_or_default();
        let range = if least == most { String::new() } else { format!(" to {}", number(most)) };
        format!("`{means}` {}{range}", number(least))
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

/// Each Clearway beside the former one, figure by figure.
pub(super) fn compared(all: &[Measured], formers: &[Measured], program: &Path) -> String {
    let mut text = format!("\n## The former Clearway\n\n{}", former::head(program, "side | figure"));
    let commands = |run: &Sample| Summary::of(&run.took).median;
    let lost = |run: &Sample| count(run.report.total.failed());
    let figures: [(&str, &str, Figure); 2] = [("lost", "", lost), ("command took", "ms", commands)];
    for before in formers {
        let Some(this) = all.iter().find(|one| one.side == before.side) else { continue };
        let trouble = this.trouble.as_ref().or(before.trouble.as_ref());
        let kinds = if matches!(this.side, Side::Clearway(_)) { &figures[..] } else { &figures[..1] };
        for (name, unit, figure) in LATENCIES[1..3].iter().chain(kinds) {
            let runs = |one: &Measured| one.samples.iter().map(figure).collect::<Vec<_>>();
            let compared = || Comparison::of(&runs(before), &runs(this), Better::Lower);
            let compared = trouble.map_or_else(|| Ok(compared()), |trouble| Err(trouble.to_string()));
            former::line(&mut text, &format!("{} | {name}", this.side.words()), &compared, unit);
        }
    }
    let others = all.iter().filter(|one| one.side.flags().is_none()).map(|one| one.side.name());
    let others: Vec<&str> = others.collect();
    if !others.is_empty() {
        let _ = writeln!(text, "\nSkipped, because no Clearway is in it: {}.", others.join(", "));
    }
    text
}

fn goals(text: &mut String, all: &[Measured]) {
    text.push_str("| side | goal | measured | |\n|---|---|---|---|\n");
    for one in judge(all) {
        let met = match one.met {
            Some(true) => "met",
            Some(false) => "NOT met",
            None => "not known",
        };
        let figures = if one.figures.is_empty() { "not measured" } else { &one.figures };
        let _ = writeln!(text, "| `{}` | {} | {figures} | {met} |", one.side, one.goal);
    }
}

/// The noise, with nothing left out: the controls before and after, and the idle sides round by round.
fn machine(text: &mut String, all: &[Measured], controls: [Control; 2]) {
    let _ = writeln!(text, "{}", control::words(controls));
    for side in [Side::IdleHaproxy, Side::IdleClearway] {
        let kinds: [(&str, Figure); 2] =
            [("p99", |one| one.report.total.latency.p99), ("maximum", |one| one.report.total.latency.max)];
        for (name, figure) in kinds {
            let Some(rounds) = summary(all, side, figure) else { continue };
            let rounds: Vec<String> = rounds.runs.iter().map(|figure| significant(*figure)).collect();
            let _ = writeln!(text, "- {}, {name} in each round: {} ms", side.words(), rounds.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::sample::tests::sample;
    use super::super::told::Told;
    use super::{Control, Measured, Shape, Side, Tally, markdown, moved};
    use crate::bench::rounds::Trouble;
    use crate::load::Quantiles;

    fn text(all: &[Measured]) -> String {
        let control = Control { spin: 19.0, trip_p50: 0.004, trip_p99: 0.08 };
        let shape = Shape { rate: 1000.0, reloads: 5, every: Duration::from_secs(5) };
        markdown(all, shape, [control, Control { trip_p99: 0.09, ..control }], "")
    }

    #[test]
    fn losses_are_counted_by_kind_over_all_rounds() {
        let tally = Tally { refused: 2, timeout: 1, wrong_answer: 3, short: 1, ..Tally::default() };
        let samples = vec![sample(&[1; 100], tally.clone()), sample(&[1; 100], tally)];
        let text = text(&[Measured { side: Side::StopStart, samples, trouble: None }]);
        assert!(text.contains("| 214 | 4 | 0 | 2 | 8 | 0 |"), "{text}");
    }

    #[test]
    fn latencies_have_their_spread_and_the_control_its_noise() {
        let run = |latency: u32| {
            let latencies = Quantiles { p99: f64::from(latency), ..Quantiles::default() };
            let late = u64::from(latency);
            sample(&[1, 1, late, late], Tally { latency: latencies, ..Tally::default() })
        };
        let samples = vec![run(1), run(300), run(400)];
        let text = text(&[Measured { side: Side::IdleClearway, samples, trouble: None }]);
        assert!(text.contains("| 300 ms (1.00 to 400) |"), "{text}");
        assert!(text.contains("| 2 (0 to 2) | 50.0 % (0.00 to 50.0) |"), "{text}");
        assert!(text.contains("p99 0.080 / 0.090 ms"), "{text}");
        assert!(text.contains("Clearway, no reload, p99 in each round: 1.00, 300, 400 ms"), "{text}");
        assert!(text.contains("1000 new connections per second for 25s"), "{text}");
    }

    #[test]
    fn a_side_that_cannot_be_had_is_named_in_every_table_and_is_not_judged() {
        let trouble = Some(Trouble::Missing("no such strategy".into()));
        let text = text(&[Measured { side: Side::Clearway("plug"), samples: Vec::new(), trouble }]);
        assert_eq!(
            text.matches("| Clearway, `plug` | not available: no such strategy |").count(),
            1,
            "{text}"
        );
        assert_eq!(text.matches("| Clearway, `plug` | not available |").count(), 2, "{text}");
        assert!(text.contains("| `plug` | no connection lost | not measured | not known |"), "{text}");
        let columns = |line: &&str| line.starts_with("| side") || line.starts_with("| Clearway, `plug`");
        let counts: Vec<usize> = text.lines().filter(columns).map(|line| line.matches('|').count()).collect();
        assert!(counts.chunks(2).take(3).all(|pair| pair[0] == pair[1]), "{counts:?}");
    }

    #[test]
    fn what_was_told_is_a_range_where_it_differed() {
        let told = |numbers: &[(&str, u64)]| Told {
            moved: numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect(),
        };
        let mut run = sample(&[1], Tally::default());
        run.told = vec![told(&[("plug", 3), ("handoff", 1)]), told(&[("plug", 2), ("handoff", 1)])];
        let one = Measured { side: Side::Clearway("plug"), samples: vec![run], trouble: None };
        assert_eq!(moved(&one), "`handoff` 1, `plug` 2 to 3");
    }
}
