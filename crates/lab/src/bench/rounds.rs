//! Many sides, measured in rounds: interleaved, so that a drift of the machine meets every side.

use std::fmt;

use anyhow::Result;

use super::harness::order;

/// What came of a run.
#[derive(Debug, Clone)]
pub enum Outcome<T> {
    /// It was measured.
    Measured(T),
    /// The side cannot be had here, in its own words.
    Missing(String),
}

/// One side with its runs.
#[derive(Debug)]
pub(super) struct Runs<S, T> {
    pub(super) side: S,
    /// One per round, from the first on.
    pub(super) samples: Vec<T>,
    /// Why there are none, or no more.
    pub(super) trouble: Option<Trouble>,
}

/// Why a side is not measured any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It cannot be had here.
    Missing(String),
    /// It does not work.
    Broken(String),
}

impl<S, T> Runs<S, T> {
    pub(super) fn new(side: S) -> Self {
        Self { side, samples: Vec::new(), trouble: None }
    }
}

impl Trouble {
    /// Without the reason.
    pub(super) fn brief(&self) -> &'static str {
        match self {
            Self::Missing(_) => "not available",
            Self::Broken(_) => "did not work",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Missing(words) | Self::Broken(words)) = self;
        write!(out, "{}: {words}", self.brief())
    }
}

/// All rounds of all sides. A side that failed once is not tried again. `name` and `take` get the side and its place.
pub(super) fn interleave<S, T>(
    all: &mut [Runs<S, T>],
    rounds: usize,
    name: impl Fn(&S, usize) -> String,
    mut take: impl FnMut(&S, usize) -> Result<Outcome<T>>,
    said: impl Fn(&T) -> String,
) {
    for round in 0..rounds {
        eprintln!("round {} of {rounds} ...", round + 1);
        for place in order(round, all.len()) {
            let Some(one) = all.get_mut(place).filter(|one| one.trouble.is_none()) else { continue };
            let name = name(&one.side, place);
            match take(&one.side, place) {
                Ok(Outcome::Measured(sample)) => {
                    eprintln!("  {name}: {}", said(&sample));
                    one.samples.push(sample);
                }
                Ok(Outcome::Missing(words)) => {
                    eprintln!("  {name}: not available: {words}");
                    one.trouble = Some(Trouble::Missing(words));
                }
                Err(error) => {
                    eprintln!("  BROKEN: {name}: {error:#}");
                    // For a cell of a table.
                    let words = format!("{error:#}").replace('\n', " ").replace('|', "\\|");
                    one.trouble = Some(Trouble::Broken(words));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::{Outcome, Runs, Trouble, interleave};

    #[test]
    fn every_side_is_measured_in_every_round_until_it_fails() {
        let mut all = ["good", "bad", "missing"].map(Runs::new);
        let mut tried = Vec::new();
        let take = |side: &&'static str, place: usize| {
            tried.push(place);
            match *side {
                "good" => Ok(Outcome::Measured(tried.len())),
                "bad" => bail!("one\ntwo | three"),
                _ => Ok(Outcome::Missing("no program".into())),
            }
        };
        interleave(&mut all, 3, |side, _| (*side).to_owned(), take, usize::to_string);
        let [good, bad, missing] = all;
        assert_eq!((good.samples.len(), good.trouble), (3, None));
        assert_eq!(bad.trouble, Some(Trouble::Broken("one two \\| three".into())));
        assert_eq!(
            missing.trouble.map(|trouble| trouble.to_string()).as_deref(),
            Some("not available: no program")
        );
        assert_eq!(tried.len(), 5, "{tried:?}");
    }
}
