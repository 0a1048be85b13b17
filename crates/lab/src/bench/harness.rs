//! Measures a row: interleaved, between two idle controls.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::control::Control;
use super::former::{Comparison, Former};
use super::row::{About, Row, Side, Timeline};
use super::statistics::Summary;

/// A row with its figures.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// What was measured.
    pub about: About,
    /// The baseline.
    pub a: Summary,
    /// The subject.
    pub b: Summary,
    /// Median of B divided by the median of A; none when A is zero.
    pub ratio: Option<f64>,
    /// Whether the goal was reached, where there is one.
    pub goal_met: Option<bool>,
    /// B with the former Clearway beside B with this one, where that was asked for; or why there is none.
    pub former: Option<Result<Comparison, String>>,
    /// The machine before and after.
    pub controls: [Control; 2],
    /// The load of the last run of B over time, where the row has one.
    #[serde(skip)]
    pub timeline: Option<Timeline>,
}

/// Measures each side so many times with this Clearway, and B with the former one too, interleaved, so that a drift of
/// the machine meets all.
pub fn measure(row: &mut dyn Row, rounds: usize, clearway: &Path, former: Option<&Path>) -> Result<Measured> {
    let about = row.about();
    let mut former = former.map(Former::new);
    let mut timeline = None;
    let before = Control::take().context("the idle control before")?;
    let mut runs = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for place in order(round, 2 + usize::from(former.is_some())) {
            let Some(side) = [Side::A, Side::B].get(place).copied() else {
                if let Some(former) = &mut former {
                    former.measure(row);
                }
                continue;
            };
            let figure = row.measure(side, clearway);
            let figure =
                figure.with_context(|| format!("{}, run {}", about.sides[side.index()], round + 1))?;
            runs[side.index()].push(figure);
            if side == Side::B {
                timeline = row.timeline();
            }
        }
    }
    let after = Control::take().context("the idle control after")?;
    let [a, b] = runs.map(|runs| Summary::of(&runs));
    let ratio = (a.median > 0.0).then(|| b.median / a.median);
    let goal_met = about.goal.is_met(about.better, a.median, b.median);
    let former = former.map(|former| former.compare(&b.runs, about.better));
    Ok(Measured { about, a, b, ratio, goal_met, former, controls: [before, after], timeline })
}

/// Every other round goes backwards, and every two begin with another side: none always follows the same.
pub(super) fn order(round: usize, sides: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sides).map(|index| (index + round / 2) % sides).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

impl Measured {
    /// The ratio in words.
    pub(super) fn ratio_text(&self) -> String {
        self.ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [side_a, side_b] = self.about.sides;
        let (a, b, unit) = (self.a.median, self.b.median, self.about.unit);
        write!(out, "{side_a} {a:.2} {unit}, {side_b} {b:.2} {unit}, ratio {}", self.ratio_text())?;
        match &self.former {
            None => Ok(()),
            Some(Ok(compared)) => write!(out, "; former {:.2} {unit}", compared.former.median),
            Some(Err(trouble)) => write!(out, "; former skipped: {trouble}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn every_round_has_every_side_in_another_order() {
        assert_eq!([0, 1, 2, 3].map(|round| order(round, 2)), [[0, 1], [1, 0], [1, 0], [0, 1]]);
        let mut all: Vec<_> = (0..6).map(|round| order(round, 3)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
