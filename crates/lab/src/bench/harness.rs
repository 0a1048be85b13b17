//! Measures a row: interleaved, between two idle controls.

use std::fmt;

use anyhow::{Context, Result};
use serde::Serialize;

use super::control::Control;
use super::row::{About, Row, Side};
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
    /// The machine before and after.
    pub controls: [Control; 2],
}

/// Measures each side `pairs` times: A B, B A, A B, and so on, so that a drift of the machine meets both.
pub fn measure(row: &mut dyn Row, pairs: usize) -> Result<Measured> {
    let about = row.about();
    let before = Control::take().context("the idle control before")?;
    let mut runs = [Vec::new(), Vec::new()];
    for pair in 0..pairs {
        let order = if pair % 2 == 0 { [Side::A, Side::B] } else { [Side::B, Side::A] };
        for side in order {
            let figure = row.measure(side);
            let figure =
                figure.with_context(|| format!("{}, run {}", about.sides[side.index()], pair + 1))?;
            runs[side.index()].push(figure);
        }
    }
    let after = Control::take().context("the idle control after")?;
    let [a, b] = runs.map(|runs| Summary::of(&runs));
    let ratio = (a.median > 0.0).then(|| b.median / a.median);
    let goal_met = about.goal.is_met(about.better, a.median, b.median);
    Ok(Measured { about, a, b, ratio, goal_met, controls: [before, after] })
}

/// Every round begins with another side, and every other one goes backwards: none always follows the same.
pub(super) fn order(round: usize, sides: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sides).map(|index| (index + round) % sides).collect();
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
        write!(out, "{side_a} {a:.2} {unit}, {side_b} {b:.2} {unit}, ratio {}", self.ratio_text())
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn every_round_has_every_side_in_another_order() {
        assert_eq!([0, 1, 2].map(|round| order(round, 3)), [[0, 1, 2], [0, 2, 1], [2, 0, 1]]);
    }
}
