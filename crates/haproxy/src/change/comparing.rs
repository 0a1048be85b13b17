//! The comparison itself: which sections differ, and what becomes of each.

use std::cell::OnceCell;

use crate::configuration::Configuration;

use super::capabilities::Capabilities;
use super::compared::ChangeComparison;
use super::excerpt::{CheckedExcerpt, belongs};
use super::expected::Expected;
use super::limits::beside_servers;
use super::lines::difference;
use super::mentions::{Mentions, has};
use super::pair::Pair;
use super::plan::{ChangeVerdict, Plan, PlanStep, ReloadReason};
use super::proxy::Proxy;
use super::sections::SectionPiece;
use super::servers::ServerChanges;
use super::side::Side;

/// More reasons than a person reads.
const MOST_REASONS: usize = 10;

/// Both configurations, and what has been found so far.
pub(super) struct Comparing<'a> {
    old: &'a Side<'a>,
    new: &'a Side<'a>,
    files: (&'a Configuration, &'a Configuration),
    can: &'a Capabilities,
    mentions: OnceCell<Mentions>,
    reasons: Vec<ReloadReason>,
    added: Vec<PlanStep>,
    changed: Vec<PlanStep>,
    removed: Vec<PlanStep>,
    expected: Expected,
    excerpt: CheckedExcerpt,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(
        sides: (&'a Side<'a>, &'a Side<'a>),
        files: (&'a Configuration, &'a Configuration),
        can: &'a Capabilities,
    ) -> Self {
        Self {
            old: sides.0,
            new: sides.1,
            files,
            can,
            mentions: OnceCell::new(),
            reasons: Vec::new(),
            added: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            expected: Expected::default(),
            excerpt: CheckedExcerpt::default(),
        }
    }

    pub(super) fn run(mut self) -> ChangeComparison {
        self.sections();
        if !self.reasons.is_empty() {
            self.reasons.truncate(MOST_REASONS);
            return ChangeComparison::of(ChangeVerdict::Reload(self.reasons));
        }
        let mut steps = self.added;
        steps.append(&mut self.changed);
        steps.append(&mut self.removed);
        if steps.is_empty() {
            return ChangeComparison::of(ChangeVerdict::Same);
        }
        let excerpt = self.excerpt.finish(self.new);
        let verdict = ChangeVerdict::RunTime(Plan { steps, excerpt });
        ChangeComparison { verdict, expected: self.expected, checks: Vec::new() }
    }

    /// Pairs of sections: those at the beginning and at the end that are the same are not looked at.
    fn sections(&mut self) {
        let (old, new) = (&self.old.pieces, &self.new.pieces);
        let same = |pair: &(&SectionPiece<'_>, &SectionPiece<'_>)| {
            pair.0.bytes == pair.1.bytes && pair.0.file == pair.1.file
        };
        let first = old.iter().zip(new).take_while(same).count();
        let rest = |pieces: &[SectionPiece<'a>]| pieces.get(first..).unwrap_or_default().to_vec();
        let (old, new) = (rest(old), rest(new));
        let last = old.iter().rev().zip(new.iter().rev()).take_while(same).count();
        let middle = |pieces: &[SectionPiece<'a>]| {
            pieces.get(..pieces.len().saturating_sub(last)).unwrap_or_default().to_vec()
        };
        let (old, new) = (middle(&old), middle(&new));
        let fits = |pair: (&SectionPiece<'_>, &SectionPiece<'_>)| {
            pair.0.same_heading(pair.1) && pair.0.file == pair.1.file
        };
        if old.len() != new.len() || !old.iter().zip(&new).all(fits) {
            self.reasons.push(other_sections(&old, &new));
            return;
        }
        for (at, (was, is)) in old.iter().zip(&new).enumerate() {
            if was.bytes == is.bytes {
                continue;
            }
            if let Err(reason) = self.section(first + at, was, is) {
                self.reasons.push(reason);
            }
            if self.reasons.len() >= MOST_REASONS {
                return;
            }
        }
    }

    /// Both stand at the same place among the sections of their sides.
    fn section(
        &mut self,
        index: usize,
        was: &SectionPiece<'a>,
        is: &SectionPiece<'a>,
    ) -> Result<(), ReloadReason> {
        let proxy = matches!(is.keyword, "backend" | "listen");
        if proxy && !was.conditional && !is.conditional {
            return self.proxy(index, was, is);
        }
        let (old, new) = (self.old.lines(index)?, self.new.lines(index)?);
        let all = |lines| -> Vec<_> { <[super::side::SideLine]>::iter(lines).collect() };
        let Some(reason) = difference((was, &all(&old)), (is, &all(&new))) else { return Ok(()) };
        if was.conditional || is.conditional {
            let what =
                format!("{}, and conditions (`.if`) decide about lines of `{}`", reason.what, is.title());
            return Err(ReloadReason { what, ..reason });
        }
        let limit = match is.keyword {
            "frontend" | "global" => beside_servers((was, &old), (is, &new))?,
            _ => {
                return Err(ReloadReason {
                    what: format!("{} (in `{}`)", reason.what, is.title()),
                    ..reason
                });
            }
        };
        let Some(limit) = limit else { return Ok(()) };
        let step = match is.keyword {
            "frontend" => limit.of_frontend(is, self.derives())?,
            _ => limit.of_all(is, self.new)?,
        };
        self.changed.push(step);
        Ok(())
    }

    fn proxy(
        &mut self,
        index: usize,
        was: &SectionPiece<'a>,
        is: &SectionPiece<'a>,
    ) -> Result<(), ReloadReason> {
        let (old, new) = (Proxy::of(self.old, index, *was)?, Proxy::of(self.new, index, *is)?);
        if let Some(limit) = beside_servers((was, &old.body.others), (is, &new.body.others))? {
            if is.keyword != "listen" {
                return Err(
                    is.reason(is.line, "a `maxconn` line, which has no effect in a backend, has changed")
                );
            }
            self.changed.push(limit.of_frontend(is, self.derives())?);
        }
        let files = self.files;
        let cell = &self.mentions;
        let mentions = || cell.get_or_init(|| Mentions::of(files));
        let pair = Pair { old: &old, new: &new, can: self.can, mentions: &mentions };
        let ServerChanges { added, changed, removed, expected, unproved, reasons } = pair.compare();
        self.reasons.extend(reasons);
        if !(added.is_empty() && changed.is_empty() && removed.is_empty()) {
            self.expected.backends.push(expected);
        }
        self.added.extend(added);
        self.changed.extend(changed);
        self.removed.extend(removed);
        if !unproved.is_empty() {
            let mut inherited = Vec::new();
            for base in self.new.lineage(index)?.into_iter().rev() {
                let lines = self.new.pieces.get(base).into_iter().flat_map(SectionPiece::lines);
                inherited.extend(lines.map(|(_, line)| line).filter(|line| belongs(line)));
            }
            self.excerpt.take(&new, &inherited, &unproved);
        }
        Ok(())
    }

    /// Whether limits of servers are worked out from those of frontends.
    fn derives(&self) -> bool {
        self.files.1.files.iter().any(|file| has(&file.bytes, b"minconn") || has(&file.bytes, b"fullconn"))
    }
}

/// Which section is new, gone or elsewhere.
fn other_sections(old: &[SectionPiece<'_>], new: &[SectionPiece<'_>]) -> ReloadReason {
    let among = |piece: &SectionPiece<'_>, others: &[SectionPiece<'_>]| {
        others.iter().any(|other| other.same_heading(piece))
    };
    if let Some(piece) = new.iter().find(|piece| !among(piece, old)) {
        return piece.reason(piece.line, format!("the section `{}` is new", piece.title()));
    }
    if let Some(piece) = old.iter().find(|piece| !among(piece, new)) {
        let what = format!("the section `{}`, which the former file has here, is gone", piece.title());
        return piece.reason(piece.line, what);
    }
    match old.iter().zip(new).find(|(was, is)| !was.same_heading(is) || was.file != is.file) {
        Some((_, piece)) => piece.reason(piece.line, "sections stand in another order from here on"),
        None => ReloadReason::anywhere("there are more or fewer sections of one name"),
    }
}
