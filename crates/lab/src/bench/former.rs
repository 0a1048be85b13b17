//! Another Clearway, built from a former commit, beside this one in the same rounds: is this one worse?
//!
//! The verdict goes by the spread of the rounds, not by one number: each round of this one is set beside each of the
//! former, and it is worse (or better) if it was so in at least nine of ten of these pairs, and by at least 2 % in the
//! median of the rounds. With equal programs chance alone says "worse" of a figure once in 20 times at 3 rounds, in 70
//! at 4, in 130 at 6: of many figures, measure again the one that is worse.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::version;
use super::report::significant;
use super::row::{Better, Row, Side};
use super::statistics::Summary;

/// What is less than this, of the former figure, is no difference.
const LEAST: f64 = 0.02;
/// From fewer rounds nothing can be said.
const ROUNDS: usize = 3;

/// The former Clearway in a row.
pub(super) struct Former<'a> {
    program: &'a Path,
    /// Its figures; or why it has none: a former commit need not know what a row needs.
    runs: Result<Vec<f64>, String>,
}

impl<'a> Former<'a> {
    pub(super) fn new(program: &'a Path) -> Self {
        Self { program, runs: Ok(Vec::new()) }
    }

    /// Measures B once with it, unless it failed before.
    pub(super) fn measure(&mut self, row: &mut dyn Row) {
        let Ok(runs) = &mut self.runs else { return };
        match row.measure(Side::B, self.program) {
            Ok(figure) => runs.push(figure),
            Err(error) => self.runs = Err(format!("{error:#}")),
        }
    }

    /// What came of it, beside the figures of this one.
    pub(super) fn compare(self, this: &[f64], better: Better) -> Result<Comparison, String> {
        self.runs.map(|former| Comparison::of(&former, this, better))
    }
}

/// A figure of both.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// That of the former one.
    pub former: Summary,
    /// That of this one.
    pub this: Summary,
    /// This one's by the former one's, round by round; none where that was zero.
    pub ratio: Option<Summary>,
    /// Whether this one is worse.
    pub verdict: Verdict,
}

/// Whether a figure is worse than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// It is.
    Worse,
    /// The spread of the rounds, or less than 2 %, is all that there is.
    NotWorse,
    /// The former one was worse.
    Better,
    /// There are too few rounds.
    NotKnown,
}

impl Comparison {
    /// Compares figures in the order of their rounds.
    pub(super) fn of(former: &[f64], this: &[f64], better: Better) -> Self {
        let rounds = former.iter().zip(this);
        let ratios: Vec<f64> = rounds.map(|(former, this)| this / former).collect();
        let ratio = ratios.iter().all(|ratio| ratio.is_finite()).then(|| Summary::of(&ratios));
        let differ = ratio.as_ref().is_none_or(|ratio| (ratio.median - 1.0).abs() >= LEAST);
        let pairs = || former.iter().flat_map(|former| this.iter().map(move |this| (*former, *this)));
        let mostly = |is: fn((f64, f64)) -> bool| {
            differ && pairs().filter(|pair| is(*pair)).count() * 10 >= pairs().count() * 9
        };
        let (more, less) = (mostly(|(former, this)| this > former), mostly(|(former, this)| this < former));
        let (worse, improved) = if better == Better::Lower { (more, less) } else { (less, more) };
        let verdict = match (worse, improved) {
            _ if former.len().min(this.len()) < ROUNDS => Verdict::NotKnown,
            (true, _) => Verdict::Worse,
            (_, true) => Verdict::Better,
            _ => Verdict::NotWorse,
        };
        Self { former: Summary::of(former), this: Summary::of(this), ratio, verdict }
    }

    /// Cells of a table: the former one, this one, their ratio, the verdict.
    pub(super) fn cells(&self, unit: &str) -> String {
        let [former, this] = [&self.former, &self.this].map(|side| side.words(significant, unit));
        let ratio = self.ratio.as_ref().map(|ratio| ratio.words(|number| format!("{number:.2}"), ""));
        let verdict = match self.verdict {
            Verdict::Worse => "**worse**",
            Verdict::NotWorse => "not worse",
            Verdict::Better => "not worse: better",
            Verdict::NotKnown => "not known: fewer than 3 rounds",
        };
        format!("{former} | {this} | {} | {verdict}", ratio.unwrap_or_else(|| "-".into()))
    }
}

/// The program that `--former` names; an error if it does not even tell its version.
pub(super) fn program(path: &Path) -> Result<PathBuf> {
    let program = path.canonicalize().with_context(|| format!("looking for --former {}", path.display()))?;
    told(&program).with_context(|| {
        format!("`{} --version` says nothing: --former takes a clearway that `make build` has made of another commit", program.display())
    })?;
    Ok(program)
}

fn told(program: &Path) -> Option<String> {
    version(program.to_str()?, "--version")
}

/// The head of a table of comparisons, with these columns in front.
pub(super) fn head(former: &Path, columns: &str) -> String {
    let version = told(former).unwrap_or_default();
    format!(
        "Former is `{version}`, {}, in the same rounds. Of several rounds: median (min to max); the ratio is that of each \
         round. Worse is what was worse in nine of ten pairs of a round of the one and a round of the other, and by 2 % at \
         least.\n\n| {columns} | former | this | this/former | verdict |\n|{}",
        former.display(),
        "---|".repeat(columns.matches('|').count() + 5) + "\n",
    )
}

/// A line of that table.
pub(super) fn line(text: &mut String, columns: &str, compared: &Result<Comparison, String>, unit: &str) {
    let cells = match compared {
        Ok(comparison) => comparison.cells(unit),
        Err(trouble) => {
            format!("skipped: {} | - | - | not known", trouble.replace('\n', " ").replace('|', "\\|"))
        }
    };
    let _ = writeln!(text, "| {columns} | {cells} |");
}

#[cfg(test)]
mod tests {
    use super::{Better, Comparison, Verdict};

    fn verdict(former: &[f64], this: &[f64]) -> Verdict {
        Comparison::of(former, this, Better::Lower).verdict
    }

    #[test]
    fn what_lies_in_the_spread_of_the_rounds_is_not_worse() {
        let former = [30.0, 31.0, 29.0, 33.0, 30.5, 30.0];
        assert_eq!(verdict(&former, &[31.0, 30.0, 34.0, 30.0, 29.5, 31.0]), Verdict::NotWorse);
        assert_eq!(verdict(&former, &[34.0, 35.0, 32.0, 36.0, 34.0, 35.0]), Verdict::Worse);
        assert_eq!(verdict(&former, &[28.0, 27.0, 28.5, 28.0, 29.5, 27.0]), Verdict::Better);
        assert_eq!(verdict(&former[..2], &[40.0, 40.0]), Verdict::NotKnown);
        assert_eq!(verdict(&[2144.0; 6], &[2148.0; 6]), Verdict::NotWorse, "0.2 %");
        assert_eq!(verdict(&[0.0; 3], &[0.0; 3]), Verdict::NotWorse);
        assert_eq!(verdict(&[0.0; 3], &[1.0; 3]), Verdict::Worse);
        assert_eq!(Comparison::of(&[9.0; 3], &[8.0; 3], Better::Higher).verdict, Verdict::Worse);
    }

    #[test]
    fn a_line_says_both_their_ratio_and_the_verdict() {
        let compared = Comparison::of(&[10.0, 20.0, 10.0], &[10.0, 10.0, 20.0], Better::Lower);
        let words = "10.0 ms (10.0 to 20.0) | 10.0 ms (10.0 to 20.0) | 1.00 (0.50 to 2.00) | not worse";
        assert_eq!(compared.cells("ms"), words);
        let mut text = String::new();
        super::line(&mut text, "`plug`", &Err("no\nsuch | word".into()), "ms");
        assert_eq!(text, "| `plug` | skipped: no such \\| word | - | - | not known |\n");
    }
}
