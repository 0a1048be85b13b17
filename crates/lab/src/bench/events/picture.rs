//! All figures in one grid: peers below each other, events side by side.

use std::path::Path;

use anyhow::{Context, Result};

use super::Measured;
use super::event::Event;
use super::peer::{Peer, Way};
use super::run::Sample;
use crate::bench::figures::count;
use crate::bench::plot::grid::{Cell, Colour, Row, draw};
use crate::bench::report::significant;
use crate::bench::statistics::Summary;

/// What a person would notice, in milliseconds.
const NOTICED: f64 = 200.0;

const TITLE: &str = "Connections lost, and the slowest of those answered: green none lost, yellow slower than 200 ms, red lost";

/// Draws what was measured.
pub(super) fn picture(path: &Path, all: &[Measured], events: &[Event]) -> Result<()> {
    let heads: Vec<&str> = events.iter().map(|event| event.words()).collect();
    let peers = Peer::ALL.into_iter().filter(|peer| all.iter().any(|one| one.side.0 == *peer));
    let row = |peer: Peer| -> Row {
        let cells = events.iter().map(|event| cell(all, peer, *event)).collect();
        (peer.words().replace('`', ""), cells)
    };
    let rows: Vec<Row> = peers.map(row).collect();
    draw(path, TITLE, &heads, &rows).with_context(|| format!("drawing {}", path.display()))
}

fn cell(all: &[Measured], peer: Peer, event: Event) -> Cell {
    let one = all.iter().find(|one| one.side == (peer, event)).filter(|one| !one.samples.is_empty());
    let Some(one) = one else {
        let words = if matches!(peer.way(event), Way::Lacks(_)) { "-" } else { "not measured" };
        return (Colour::None, vec![words.into()]);
    };
    let median = |figure: &dyn Fn(&Sample) -> f64| {
        Summary::of(&one.samples.iter().map(figure).collect::<Vec<_>>()).median
    };
    let slowest = median(&|run| run.report.total.latency.max);
    // Whatever stops refuses those that come later: that is no fault of it.
    let lost = median(&|run| {
        let total = &run.report.total;
        count(if event.goes_on() { total.failed() } else { total.failed() - total.refused })
    });
    let colour = match () {
        () if lost > 0.0 => Colour::Bad,
        () if slowest > NOTICED => Colour::Late,
        () => Colour::Good,
    };
    let verb = if event.goes_on() { "lost" } else { "cut" };
    (colour, vec![format!("{lost:.0} {verb}"), format!("{} ms", significant(slowest))])
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::sample;
    use super::*;
    use crate::bench::rounds::Runs;
    use crate::load::Tally;

    fn drawn(event: Event, tally: Tally, max: f64) -> Cell {
        let all = [Runs { side: (Peer::Nginx, event), samples: vec![sample(tally, max)], trouble: None }];
        cell(&all, Peer::Nginx, event)
    }

    #[test]
    fn a_cell_is_as_bad_as_what_clients_saw() {
        let refused = || Tally { refused: 7, ..Tally::default() };
        assert_eq!(
            drawn(Event::Kill, refused(), 3.0),
            (Colour::Bad, vec!["7 lost".into(), "3.00 ms".into()])
        );
        assert_eq!(drawn(Event::Kill, Tally::default(), 1030.0).0, Colour::Late);
        assert_eq!(drawn(Event::Kill, Tally::default(), 3.0).0, Colour::Good);
    }

    #[test]
    fn clients_that_come_after_a_stop_are_not_cut() {
        let tally = Tally { refused: 7, reset: 1, ..Tally::default() };
        assert_eq!(drawn(Event::Stop, tally, 3.0).1[0], "1 cut");
        assert_eq!(drawn(Event::Stop, Tally { refused: 7, ..Tally::default() }, 3.0).0, Colour::Good);
    }

    #[test]
    fn what_is_not_there_has_no_colour() {
        assert_eq!(cell(&[], Peer::Nginx, Event::Held), (Colour::None, vec!["-".into()]));
        assert_eq!(cell(&[], Peer::Nginx, Event::Kill), (Colour::None, vec!["not measured".into()]));
    }
}
