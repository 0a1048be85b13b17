//! The result for people.

use std::fmt::Write as _;

use super::Measured;
use super::event::Event;
use super::idle::Idle;
use super::left::Kernel;
use super::peer::{CADDY, NGINX, Peer, Way};
use super::run::{GAP, PATIENCE, Sample, Shape};
use crate::bench::control;
use crate::bench::figures::{LOSSES, cell, count};
use crate::bench::machine::made_by;
use crate::bench::report::significant;
use crate::bench::statistics::Summary;

/// Others that people run, and why they are not here.
const NOT_COMPARED: &str = "Envoy, Traefik and sozu, of which Debian 12 has no packages (sozu 2.3.3 is on crates.io: a build with 399 \
                            packages in its lock file, a C compiler and `protoc`), and `pingora`, which is a library and not a balancer";

/// A table for each event, how each peer is set up, and the machine.
pub(super) fn markdown(all: &[Measured], events: &[Event], shape: Shape, idle: &[Idle; 2]) -> String {
    let rounds = all.iter().map(|one| one.samples.len()).max().unwrap_or_default();
    let length = shape.before + shape.after;
    let programs = [(NGINX, "-v"), (CADDY, "version"), ("iptables", "--version")];
    let mut text = format!(
        "# What clients notice of what happens to a balancer\n\n{}\n\n\
         Rounds: {rounds}, interleaved. In each, every peer met every event once, in new namespaces, {} after the begin of {} of \
         {} new connections per second: HTTP over IPv4, one request each, from another network namespace, to the same two servers. \
         A latency counts from the moment at which the schedule intended the connection to the whole answer, `connect()` \
         included, of those that were answered; timed out is what had no answer within {}. What is started by hand is \
         started {} after the kill. Figures are medians of the rounds (min to max).\n\n\
         *Left* is what `nft -j`, `ip -j` and `ss` find in the balancer's namespace after a stop and did not before the \
         start: nftables tables, policy rules, routes, listening sockets (TCP, UDP, Unix), processes.\n\n\
         ![Each peer and each event](events.svg)\n",
        made_by("bench-events", &programs),
        humantime::format_duration(shape.before),
        humantime::format_duration(length),
        shape.rate,
        humantime::format_duration(PATIENCE),
        humantime::format_duration(GAP),
    );
    for event in events {
        one_event(&mut text, all, *event);
    }
    text.push_str("\n## How each is set up\n\nEach as its own manual or image has it; all in front of the same servers.\n\n");
    for peer in Peer::ALL.into_iter().filter(|peer| all.iter().any(|one| one.side.0 == *peer)) {
        let _ = writeln!(text, "- **{}**: {}.", peer.words(), peer.configured());
    }
    let _ = writeln!(text, "\nNot compared: {NOT_COMPARED}.");
    machine(&mut text, idle);
    text
}

fn one_event(text: &mut String, all: &[Measured], event: Event) {
    let _ = writeln!(text, "\n## {}\n\n{}\n", event.words(), event.explained());
    let losses = LOSSES.map(|(head, _)| head).join(" | ");
    let _ = writeln!(text, "| peer | how | {losses} | p99 | maximum | left |");
    let _ = writeln!(text, "|---|---|{}---|---|---|", "---|".repeat(LOSSES.len()));
    let mut notes = String::new();
    for peer in Peer::ALL.into_iter().filter(|peer| all.iter().any(|one| one.side.0 == *peer)) {
        let name = peer.words();
        let one = all.iter().find(|one| one.side == (peer, event));
        match (peer.way(event), one) {
            (Way::Lacks(reason), _) => {
                let _ = writeln!(text, "| {name} | - | {} |", dashes().join(" | "));
                let _ = writeln!(notes, "- {name}: {reason}.");
            }
            (Way::Does(how), Some(one)) => {
                let _ = writeln!(text, "| {name} | {how} | {} |", cells(one).join(" | "));
                if let Some(trouble) = &one.trouble {
                    let _ = writeln!(notes, "- {name}: {trouble}.");
                }
                if let Some(words) = by_kill(one) {
                    let _ =
                        writeln!(notes, "- {name}, left between the kill and the start by hand: {words}.");
                }
            }
            // It was not asked for.
            (Way::Does(_), None) => {}
        }
    }
    if !notes.is_empty() {
        let _ = write!(text, "\n{notes}");
    }
}

fn dashes() -> Vec<String> {
    vec!["-".to_owned(); LOSSES.len() + 3]
}

fn cells(one: &Measured) -> Vec<String> {
    if one.samples.is_empty() {
        return dashes();
    }
    let figure = |figure: &dyn Fn(&Sample) -> f64| {
        Some(Summary::of(&one.samples.iter().map(figure).collect::<Vec<_>>()))
    };
    let losses = LOSSES.iter().map(|(_, loss)| cell(figure(&|run| count(loss(&run.report.total))), ""));
    let mut cells: Vec<String> = losses.collect();
    cells.push(cell(figure(&|run| run.report.total.latency.p99), "ms"));
    cells.push(cell(figure(&|run| run.report.total.latency.max), "ms"));
    cells.push(each_once(one.samples.iter().map(|run| &run.left)));
    cells
}

/// What a kill has left, where there was one.
fn by_kill(one: &Measured) -> Option<String> {
    let mut left = one.samples.iter().filter_map(|run| run.left_by_kill.as_ref()).peekable();
    left.peek()?;
    Some(each_once(left))
}

/// All rounds where they are alike, else each that is unlike.
fn each_once<'a>(all: impl Iterator<Item = &'a Kernel>) -> String {
    let mut words: Vec<String> = all.map(Kernel::words).collect();
    words.sort();
    words.dedup();
    words.join(", or ")
}

fn machine(text: &mut String, idle: &[Idle; 2]) {
    let _ =
        writeln!(text, "\n## The machine\n\n{}\n", control::words(idle.each_ref().map(|one| one.control)));
    for (when, one) in ["before", "after"].into_iter().zip(idle) {
        let latency = one.total.latency;
        let _ = writeln!(
            text,
            "- The same load on `haproxy -W` to which nothing happened, {when}: {} lost of {}, p99 {} ms, maximum {} ms; the \
             generator was late by {} ms (p99).",
            one.total.failed(),
            one.total.count(),
            significant(latency.p99),
            significant(latency.max),
            significant(one.slip.p99),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::idle::tests::quiet;
    use super::*;
    use crate::bench::rounds::{Runs, Trouble};
    use crate::load::{LoadReport, Quantiles, Tally};

    pub fn sample(tally: Tally, max: f64) -> Sample {
        let latency = Quantiles { p99: max / 2.0, max, ..Quantiles::default() };
        let report = LoadReport {
            total: Tally { latency, ..tally },
            targets: std::collections::BTreeMap::default(),
            seconds: 1.0,
            slip: Quantiles::default(),
            series: Vec::new(),
            failures: Vec::new(),
            lost: Vec::new(),
            each: Vec::new(),
        };
        Sample { report, left: Kernel::default(), left_by_kill: None }
    }

    fn text(all: &[Measured], event: Event) -> String {
        let second = Duration::from_secs(1);
        let shape = Shape { rate: 1000.0, before: second, after: second * 2 };
        markdown(all, &[event], shape, &[quiet(), quiet()])
    }

    fn row<'a>(text: &'a str, peer: &str) -> &'a str {
        text.lines().find(|line| line.starts_with(&format!("| {peer} |"))).unwrap_or_default()
    }

    #[test]
    fn figures_are_medians_with_their_spread() {
        let runs = [(3, 4.0), (1, 40.0), (2, 400.0)];
        let samples = runs.map(|(refused, max)| sample(Tally { refused, ..Tally::default() }, max)).into();
        let all = [Runs { side: (Peer::Nginx, Event::Crash), samples, trouble: None }];
        let text = text(&all, Event::Crash);
        let wanted = "| 2 (1 to 3) | 0 (0 to 0) | 0 (0 to 0) | 0 (0 to 0) | 0 (0 to 0) | 20.0 ms (2.00 to 200) | \
                      40.0 ms (4.00 to 400) | nothing |";
        assert!(row(&text, "nginx").ends_with(wanted), "{text}");
        assert!(
            text.contains("Rounds: 3") && text.contains("1s after the begin of 3s of 1000 new"),
            "{text}"
        );
        assert!(text.contains("nothing happened, after: 0 lost of 3000"), "{text}");
        assert_eq!(row(&text, "Caddy"), "", "it was not measured");
    }

    #[test]
    fn what_a_peer_has_not_is_a_dash_with_a_note() {
        let all = [
            Runs {
                side: (Peer::Clearway, Event::Held),
                samples: vec![sample(Tally::default(), 1.0)],
                trouble: None,
            },
            Runs {
                side: (Peer::Nginx, Event::Kill),
                samples: vec![sample(Tally::default(), 1.0)],
                trouble: None,
            },
        ];
        let text = text(&all, Event::Held);
        assert_eq!(row(&text, "nginx"), "| nginx | - | - | - | - | - | - | - | - | - |");
        assert!(text.contains("\n- nginx: has no holder"), "{text}");
        assert_eq!(row(&text, "Caddy"), "", "it was not measured at all");
        let columns = |line: &str| line.matches('|').count();
        assert_eq!(columns(row(&text, "nginx")), columns(row(&text, "peer")), "{text}");
        assert_eq!(columns(row(&text, "Clearway")), columns(row(&text, "peer")), "{text}");
    }

    #[test]
    fn one_that_cannot_be_had_is_named_and_has_no_zeros() {
        let trouble = Some(Trouble::Missing("no /usr/bin/caddy".into()));
        let text =
            text(&[Runs { side: (Peer::Caddy, Event::Stop), samples: Vec::new(), trouble }], Event::Stop);
        assert!(row(&text, "Caddy").ends_with("| - | - | - | - | - | - | - | - |"), "{text}");
        assert!(text.contains("- Caddy: not available: no /usr/bin/caddy."), "{text}");
    }

    #[test]
    fn what_a_kill_left_is_said_beside_what_a_stop_left() {
        let mut one = sample(Tally::default(), 1.0);
        one.left_by_kill = Some(Kernel::default());
        let text = text(
            &[Runs { side: (Peer::Clearway, Event::Kill), samples: vec![one], trouble: None }],
            Event::Kill,
        );
        assert!(text.contains("- Clearway, left between the kill and the start by hand: nothing."), "{text}");
    }
}
