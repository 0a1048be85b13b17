//! Medians and spread: few runs on a shared machine allow no more.

use serde::Serialize;

/// What several runs of one side come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// All of them in the order in which they were measured.
    pub runs: Vec<f64>,
}

impl Summary {
    /// Sums up; all zero for no runs.
    pub fn of(runs: &[f64]) -> Self {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: median(&sorted),
            min: sorted.first().copied().unwrap_or(0.0),
            max: sorted.last().copied().unwrap_or(0.0),
            runs: runs.to_vec(),
        }
    }

    /// The median with its extremes, where there is more than one run.
    pub(super) fn words(&self, number: impl Fn(f64) -> String, unit: &str) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(number);
        let figure = format!("{median} {unit}").trim_end().to_owned();
        if self.runs.len() > 1 { format!("{figure} ({min} to {max})") } else { figure }
    }

    /// The distance of the extremes as a part of the median.
    pub fn spread(&self) -> f64 {
        if self.median > 0.0 { (self.max - self.min) / self.median } else { 0.0 }
    }
}

/// The median of sorted values.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle), middle.checked_sub(1).and_then(|below| sorted.get(below))) {
        (Some(upper), Some(lower)) if sorted.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        (Some(value), _) => *value,
        (None, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Better, Goal};
    use super::Summary;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn medians_of_odd_even_and_nothing() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Summary::of(&[]).median, 0.0);
        let summary = Summary::of(&[2.0, 1.0, 4.0]);
        assert_eq!((summary.min, summary.max, summary.spread()), (1.0, 4.0, 1.5));
        assert_eq!(summary.words(|figure| format!("{figure}"), "ms"), "2 ms (1 to 4)");
        assert_eq!(Summary::of(&[2.0]).words(|figure| format!("{figure}"), ""), "2");
    }

    #[test]
    fn goals_know_their_direction() {
        assert_eq!(Goal::Ratio(1.1).is_met(Better::Lower, 100.0, 109.0), Some(true));
        assert_eq!(Goal::Ratio(0.9).is_met(Better::Higher, 100.0, 89.0), Some(false));
        assert_eq!(Goal::RatioOrAbove(1.1, 20.0).is_met(Better::Lower, 50.0, 69.0), Some(true));
        assert_eq!(Goal::AtMost(4096.0).is_met(Better::Lower, 0.0, 5000.0), Some(false));
        assert_eq!(Goal::None.is_met(Better::Lower, 1.0, 2.0), None);
    }
}
