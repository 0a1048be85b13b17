//! Lines that both configurations must have: which of them is the first that differs, in words.

use super::plan::ReloadReason;
use super::sections::SectionPiece;
use super::side::SideLine;

/// The first difference between the lines of two sections; none if they say the same.
pub(super) fn difference(
    (was, old): (&SectionPiece<'_>, &[&SideLine]),
    (is, new): (&SectionPiece<'_>, &[&SideLine]),
) -> Option<ReloadReason> {
    let same = |pair: &(&&SideLine, &&SideLine)| pair.0.words == pair.1.words;
    let equal = old.iter().zip(new).take_while(same).count();
    let (former, now) = (old.get(equal), new.get(equal));
    if former.is_none() && now.is_none() {
        return None;
    }
    let sorted = |lines: &[&SideLine]| {
        let mut words: Vec<Vec<String>> = lines.iter().map(|line| line.words.clone()).collect();
        words.sort_unstable();
        words
    };
    let next = |lines: &[&SideLine]| lines.get(equal + 1).map(|line| line.words.clone());
    let is_at = |line: &SideLine, what: String| Some(is.reason(line.number, what));
    match (former, now) {
        (Some(_), Some(now)) if old.len() == new.len() && sorted(old) == sorted(new) => {
            is_at(now, "lines stand in another order from here on".to_owned())
        }
        (Some(former), Some(now)) if next(new).as_ref() == Some(&former.words) => {
            is_at(now, format!("the {} line is new", name(now)))
        }
        (Some(former), Some(now)) if next(old).as_ref() == Some(&now.words) => Some(gone(was, former)),
        (Some(former), Some(now)) if former.word(0) == now.word(0) => {
            is_at(now, format!("the {} line has changed", name(now)))
        }
        (_, Some(now)) => is_at(now, format!("the {} line is new", name(now))),
        (Some(former), None) => Some(gone(was, former)),
        (None, None) => None,
    }
}

fn gone(was: &SectionPiece<'_>, line: &SideLine) -> ReloadReason {
    was.reason(line.number, format!("the {} line, which the former file has here, is gone", name(line)))
}

/// A line by its first word, shortened.
fn name(line: &SideLine) -> String {
    let word: String = line.word(0).chars().take(40).collect();
    format!("`{}`", word.escape_debug())
}
