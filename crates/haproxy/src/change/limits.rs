//! `maxconn` of a frontend, and of all of HAProxy.
//!
//! From one number to another. `rate-limit sessions` of a frontend and levels of logs have no command; a frontend is never disabled
//! at run time, as that would end listening at a socket that others share.

use super::lines::difference;
use super::plan::{Expect, PlanOrder, PlanStep, ReloadReason, StepKind};
use super::sections::SectionPiece;
use super::side::{Side, SideLine};
use super::words::{number, speakable};

/// More connections than any HAProxy takes.
const MOST: u32 = 1_000_000_000;

/// A section whose limit has changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLimit {
    was: u32,
    is: u32,
    /// Where the new file says it.
    line: usize,
}

/// What is different between two sections beside their servers: nothing, a limit alone, or something else.
pub(super) fn beside_servers(
    (was, old): (&SectionPiece<'_>, &[SideLine]),
    (is, new): (&SectionPiece<'_>, &[SideLine]),
) -> Result<Option<NewLimit>, ReloadReason> {
    let all = |lines| -> Vec<&SideLine> { Iterator::collect(<[SideLine]>::iter(lines)) };
    let Some(reason) = difference((was, &all(old)), (is, &all(new))) else { return Ok(None) };
    let limit = |line: &&SideLine| line.word(0) == "maxconn";
    let rest = |lines| -> Vec<&SideLine> { <[SideLine]>::iter(lines).filter(|line| !limit(line)).collect() };
    if let Some(reason) = difference((was, &rest(old)), (is, &rest(new))) {
        return Err(reason);
    }
    let only = |lines| -> Option<(u32, usize)> {
        let mut limits = <[SideLine]>::iter(lines).filter(limit);
        let line = limits.next().filter(|line| line.words.len() == 2)?;
        let value = number(line.word(1), MOST).filter(|value| *value > 0)?;
        limits.next().is_none().then_some((value, line.number))
    };
    match (only(old), only(new)) {
        (Some((was, _)), Some((is, line))) => Ok((was != is).then_some(NewLimit { was, is, line })),
        _ => Err(reason),
    }
}

impl NewLimit {
    /// Of a `frontend` or `listen`. `derives`: whether some limit of a server is worked out from it.
    pub(super) fn of_frontend(
        self,
        piece: &SectionPiece<'_>,
        derives: bool,
    ) -> Result<PlanStep, ReloadReason> {
        if derives {
            let what =
                "`maxconn` has changed, and limits of servers (`minconn`, `fullconn`) are worked out from it";
            return Err(piece.reason(self.line, what));
        }
        if !speakable(piece.name) {
            return Err(piece.reason(self.line, "the name of this section cannot be said at the runtime API"));
        }
        let command = format!("set maxconn frontend {} {}", piece.name, self.is);
        Ok(self.step(format!("frontend {}", piece.name), command))
    }

    /// Of `global`: down only, and where no frontend takes its own limit from it.
    pub(super) fn of_all(self, piece: &SectionPiece<'_>, new: &Side<'_>) -> Result<PlanStep, ReloadReason> {
        if self.is > self.was {
            let what = "the global `maxconn` has been raised, and HAProxy has room for the former one only";
            return Err(piece.reason(self.line, what));
        }
        for (index, one) in new.pieces.iter().enumerate() {
            if !matches!(one.keyword, "frontend" | "listen") {
                continue;
            }
            let mut says = new.lines(index)?.iter().any(|line| line.word(0) == "maxconn");
            for base in new.lineage(index)? {
                says |= new.lines(base)?.iter().any(|line| line.word(0) == "maxconn");
            }
            if !says || one.conditional {
                let what =
                    format!("the global `maxconn` has changed, and `{}` takes its own from it", one.title());
                return Err(piece.reason(self.line, what));
            }
        }
        Ok(self.step("global".to_owned(), format!("set maxconn global {}", self.is)))
    }

    fn step(self, object: String, command: String) -> PlanStep {
        let order = PlanOrder::new(command, Expect::Silence);
        let why = format!("at most {} connections instead of {}", self.is, self.was);
        PlanStep { kind: StepKind::Limit, object, why, orders: vec![order] }
    }
}
