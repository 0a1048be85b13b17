//! A rollback: what served before serves again, from the copy in memory, until a reload is asked for or a watched file changes.
//!
//! ```text
//!   what commits                          before        what serves
//!                                         -             A
//!   a reload, B is on the disk            A             B
//!   a reload, the disk is unchanged       A             B
//!   a crash of B, and its restart         A             B
//!   a rollback                            -             A    RolledBack, until what is on the disk is read again
//! ```
//!
//! - *Before* is what served last with other files than what serves. Only what is read from the disk puts something there; after
//!   a rollback, or after a crash that went back ([`super::Supervisor::crashed`]), nothing is before: what was left is not
//!   trusted, and a second rollback must not bring it back.
//! - A generation that has the same files as one that is remembered stands for that one from its commit on
//!   ([`super::Event::SameFiles`]).
//! - A rollback is an attempt like any other: it waits for one that is under way, is proved and settles, and if it fails nothing
//!   has changed. Requests that wait are dealt with in their order.
//! - A crash of what was rolled back to is followed by a start of the same, even if it dies young.

use std::time::Duration;

use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::names::Generation;

use super::action::Action;
use super::event::Source;
use super::machine::Supervisor;
use super::outcome::{Cause, RolledBack};
use super::report::Report;

/// A commit: what serves from now on, and what served until now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Succession {
    pub(super) generation: Generation,
    pub(super) configuration: Generation,
    /// The configuration that served.
    pub(super) gave_way: Option<Generation>,
    pub(super) source: Source,
    /// A former generation with the same files.
    pub(super) same_as: Option<Generation>,
    pub(super) cause: Cause,
}

impl Supervisor {
    /// The files on the disk are those that were read for a former generation.
    pub(super) fn same_files(&mut self, generation: Generation, former: Generation) {
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.generation == generation)
            && attempt.source == Source::Disk
        {
            attempt.same_as = Some(former);
        }
    }

    /// What a rollback would take from now on.
    pub(super) fn succeeds(&mut self, commit: Succession, now: Duration, todo: &mut Vec<Action>) {
        let Succession { generation, configuration, gave_way, source, same_as, cause } = commit;
        let newest = |known: Generation| if Some(known) == same_as { configuration } else { known };
        (self.good, self.before) = (self.good.map(newest), self.before.map(newest));
        let other = gave_way.map(newest).filter(|former| *former != configuration);
        if other.is_some() {
            self.before = other.filter(|_| source == Source::Disk);
        }
        match other {
            Some(from) if cause == Cause::Rollback => {
                self.rolled_back = Some(RolledBack { to: configuration, from, since: now });
                // What was rolled back is not started again after a crash.
                self.good = Some(configuration);
                todo.push(Action::Report(Report::RolledBack { generation, back_to: configuration, from }));
            }
            None if source != Source::Disk => {}
            _ => self.rolled_back = None,
        }
    }

    /// Why there is no rollback.
    pub(super) fn nothing_before(&self) -> Failure {
        let (message, hint) = match self.rolled_back {
            Some(RolledBack { to, from, .. }) => (
                format!(
                    "nothing to roll back to: a rollback has brought back what generation {to} was started from already, in \
                     place of that of generation {from}"
                ),
                "`clearway reload` takes what is on disk, `clearway diff` shows it",
            ),
            None if self.served.is_none() => (
                "nothing to roll back to: no generation has served yet".to_owned(),
                "the log says how far it is",
            ),
            None => (
                "nothing to roll back to: nothing is known here that served before with other files"
                    .to_owned(),
                "what served in another container or process, before this one began, is not known here: put the former files \
                 back, and `clearway reload`",
            ),
        };
        Failure::new(ExitCode::NothingBefore, message).hint(hint)
    }
}
