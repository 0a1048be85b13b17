//! What a row of the benchmark is.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::load::LoadReport;

/// One question with two sides.
pub trait Row {
    /// What is measured.
    fn about(&self) -> About;

    /// Measures one side once, with this Clearway. An error means that the side does not work.
    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64>;

    /// A load of the last run of B over time, where the row has one. Once.
    fn timeline(&mut self) -> Option<Timeline> {
        None
    }
}

/// The constant part of a row.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct About {
    /// A short word for the command line and file names.
    pub name: &'static str,
    /// What is measured, for people.
    pub what: &'static str,
    /// The unit of the figures.
    pub unit: &'static str,
    /// Which direction is good.
    pub better: Better,
    /// What A (the baseline) and B (the subject) are.
    pub sides: [&'static str; 2],
    /// What B should reach.
    pub goal: Goal,
}

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// What the subject should reach. Reported, never enforced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Goal {
    /// Nothing in particular.
    None,
    /// B divided by A: at most (lower is better) or at least (higher is better) this.
    Ratio(f64),
    /// As `Ratio`, or at most so much above A, whichever allows more.
    RatioOrAbove(f64, f64),
    /// B alone at most this.
    AtMost(f64),
}

impl Goal {
    /// Whether the medians reach it; none where there is no goal.
    pub fn is_met(self, better: Better, a: f64, b: f64) -> Option<bool> {
        Some(match self {
            Self::None => return None,
            Self::AtMost(most) => b <= most,
            Self::RatioOrAbove(ratio, above) => b <= (a * ratio).max(a + above),
            Self::Ratio(ratio) if better == Better::Lower => b <= a * ratio,
            Self::Ratio(ratio) => b >= a * ratio,
        })
    }

    /// For the table.
    pub fn words(self, unit: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::Ratio(ratio) => format!("ratio {ratio}"),
            Self::RatioOrAbove(ratio, above) => format!("ratio {ratio} or +{above} {unit}"),
            Self::AtMost(most) => format!("at most {most} {unit}"),
        }
    }
}

/// A or B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The baseline.
    A,
    /// The subject.
    B,
}

impl Side {
    /// 0 or 1.
    pub fn index(self) -> usize {
        usize::from(self == Self::B)
    }
}

/// A load over time with the moments at which something was done.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// What was seen.
    pub report: LoadReport,
    /// Milliseconds from its start.
    pub marks_ms: Vec<u64>,
}
