//! What the pages with many sides have in common: kinds of losses, and figures as they stand in a cell.

use super::report::significant;
use super::statistics::Summary;
use crate::load::Tally;

/// A kind of loss.
pub(super) type Loss = fn(&Tally) -> u64;

/// All kinds, with the heads of their columns.
pub(super) const LOSSES: [(&str, Loss); 5] = [
    ("refused", |tally| tally.refused),
    ("reset", |tally| tally.reset),
    ("timed out", |tally| tally.timeout),
    ("wrong or cut short", |tally| tally.wrong_answer + tally.short),
    ("other", |tally| tally.other.values().sum()),
];

/// A figure, where there is one. What has no unit is a count.
pub(super) fn cell(summary: Option<Summary>, unit: &str) -> String {
    let whole = |number: f64| format!("{number:.0}");
    let number = if unit.is_empty() { whole } else { significant };
    summary.map_or_else(|| "-".into(), |summary| summary.words(number, unit))
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 connections")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::{Summary, cell};

    #[test]
    fn a_figure_that_is_not_there_is_a_dash() {
        assert_eq!(cell(None, "ms"), "-");
        assert_eq!(cell(Some(Summary::of(&[3.0])), ""), "3");
        assert_eq!(cell(Some(Summary::of(&[1.234, 2.0, 300.4])), "ms"), "2.00 ms (1.23 to 300)");
    }
}
