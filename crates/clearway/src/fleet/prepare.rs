//! Everything before a process exists, but for reading the files ([`crate::fleet::reading`]) and what HAProxy is asked about
//! them ([`crate::fleet::asking`]): rights are checked, the plumbing is set up, and it is looked which sockets a generation is offered.
//!
//! Nothing here disturbs the generation that serves. Every refusal names what is missing and the flag
//! that adds it; in particular a transparent configuration never starts where its connections would fail.

use std::ffi::OsString;
use std::sync::Arc;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::strategy::Strategy;
use clearway_core::supervisor::Plumbing as Needs;
use clearway_haproxy::configuration::{Configuration, GlobalSetting, ProgramSections, UsesrcLine};
use clearway_haproxy::derived::{self, Sections};
use clearway_haproxy::drift::Imprint;
use clearway_haproxy::overlay::{Lua, Overlay, RateLimit, WorkerCapability as Kept};
use clearway_haproxy::version::Version;
use clearway_kernel::capabilities::{self, Capability};
use tracing::warn;

use crate::custody::selection::Selection;
use crate::cutover::redirection::{self, Private};
use crate::fleet::asking::Answers;
use crate::fleet::child::Rights;
use crate::fleet::named::NamedFiles;
use crate::fleet::reading::{Chosen, Files, Known};
use crate::fleet::trial::can_be_tried;
use crate::ground::failure;
use crate::shell::Shell;
use crate::tell::said::Subject;

/// A generation that could be launched.
#[derive(Debug)]
pub struct Prepared {
    /// What it will read.
    pub files: Files,
    /// What that says.
    pub configuration: Arc<Configuration>,
    /// What tells later whether the files have changed.
    pub imprint: Arc<Imprint>,
    /// The same for what they name.
    pub named: Option<Arc<NamedFiles>>,
    /// The overlay's text.
    pub overlay: Overlay,
    /// What it is offered of the sockets in custody.
    pub selection: Selection,
    /// Whether it needs the plumbing.
    pub needs: Needs,
    /// How many reloads an old generation may outlive while it serves, if its configuration says so.
    pub most_reloads: Option<u32>,
    /// The rights that it may keep.
    pub rights: Rights,
    /// Whether it is to have the state of the servers of the one before.
    pub carries: bool,
    /// Its private ports, if it is to have some.
    pub private: Option<Private>,
    /// Whether it takes anything from clients.
    pub hears: Hears,
}

/// Whether a generation takes anything from clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// As every HAProxy does.
    Clients,
    /// It is only tried ([`crate::fleet::deaf`]).
    Nothing,
}

impl Shell {
    /// Prepares a generation whose configuration is known, or says why there will be none.
    pub fn prepare(&mut self, chosen: Chosen, answers: Answers) -> Result<Prepared, Failure> {
        let Chosen { generation, mut files, known, moved, named, .. } = chosen;
        let Known { mut configuration, imprint } = known;
        let Answers { executable, version, transparent, other_user, most_reloads, programs } = answers;
        self.fleet.executable = executable;
        self.check_memory(&imprint)?;
        let is_tried = self.is_tried(generation);
        if is_tried {
            can_be_tried(&configuration)?;
        } else {
            self.tell.said.found(Subject::Fighting, configuration.fighting.iter().map(ToString::to_string));
            self.tell
                .said
                .found(Subject::Mismatches, configuration.mismatches().iter().map(ToString::to_string));
        }
        let held = capabilities::effective().map_err(|error| internal(&error))?;
        if let Some(user) = &other_user {
            check_signals(user, held)?;
        }
        if let Some(line) = &transparent {
            check_rights(held, || {
                let UsesrcLine { text, span, .. } = line;
                format!("`{text}` ({span}) makes HAProxy use the addresses of its clients")
            })?;
        }
        let intercepts = self.path.intercepts();
        if intercepts {
            check_rights(held, || {
                "`CLEARWAY_INTERCEPT` takes connections to addresses of others".to_owned()
            })?;
            if is_tried {
                let notices = self.path.not_intercepted(&configuration);
                self.would(notices.into_iter().map(|notice| notice.text));
            } else {
                self.path.say_what_is_not_intercepted(&configuration);
            }
        }
        let mut needs = if transparent.is_some() || intercepts { Needs::Needed } else { Needs::NotNeeded };
        if is_tried {
            self.compare_for_trial(&configuration, needs);
            // Nothing is made for it, so nothing has to go.
            needs = Needs::NotNeeded;
        } else if needs == Needs::Needed {
            self.path.plumb(&configuration)?;
        }
        let selection = self.custody.select(&configuration, &moved);
        let private = self.private_ports(&configuration, is_tried)?;
        if let Some(private) = &private {
            configuration = Arc::clone(&private.configuration);
            files = Files::Copies(Arc::clone(&configuration));
        }
        let read = what_is_read(&files, &configuration, version);
        let rights = Rights::for_files(read.files.iter().map(|file| &*file.bytes));
        if !Arc::ptr_eq(&read, &configuration) {
            files = Files::Copies(read);
        }
        if !is_tried {
            self.fleet.sidecars.prepare(generation, programs);
        }
        let kept = [(Capability::NetRaw, Kept::NetRaw), (Capability::NetBindService, Kept::NetBindService)];
        let kept: Vec<Kept> =
            kept.into_iter().filter(|(have, _)| held.has(*have)).map(|(_, keep)| keep).collect();
        let mut overlay = Overlay::new(self.fleet.descriptors.stats, &configuration, version, &kept);
        let carries = !is_tried && self.has_something_to_carry() && !configuration.stated.is_empty();
        overlay.rate_limit = RateLimit::beside(&configuration).filter(|_| carries);
        overlay.lua = Lua::of(&configuration, self.fleet.descriptors.lua);
        Ok(Prepared {
            files,
            configuration,
            imprint,
            named,
            overlay,
            selection,
            needs,
            most_reloads,
            rights,
            carries,
            private,
            hears: if is_tried { Hears::Nothing } else { Hears::Clients },
        })
    }

    /// The same files need what they needed before. Others may need less: what is too tight for them is only said.
    pub fn check_memory(&self, imprint: &Imprint) -> Result<(), Failure> {
        // What it had when it was new: by now it may have a million connections.
        let Some(needed) = self.fleet.running.values().filter_map(|running| running.needed).max() else {
            return Ok(());
        };
        match self.fleet.memory.room_for(needed) {
            Err(failure) if self.fleet.running.values().any(|running| running.imprint.is_same(imprint)) => {
                Err(failure)
            }
            Err(failure) => {
                warn!("memory is short; the same files as before would be {}", failure.message);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// A copy with private ports, where the strategy wants one.
    pub fn private_ports(
        &mut self,
        configuration: &Configuration,
        is_tried: bool,
    ) -> Result<Option<Private>, Failure> {
        if self.settings.strategy != Strategy::TableFlip {
            return Ok(None);
        }
        if is_tried {
            return redirection::copy_beside(configuration).map(Some);
        }
        let serves = self.fleet.serving.is_some();
        self.cutover.redirection.prepare(self.settings.instance.as_ref(), configuration, serves).map(Some)
    }
}

/// What HAProxy is to read: the files as they are, unless it reads copies anyway, or must not see something of them.
fn what_is_read(files: &Files, configuration: &Arc<Configuration>, version: Version) -> Arc<Configuration> {
    let has_programs = !configuration.programs.is_empty() && ProgramSections::known_to(version);
    let is_copied =
        matches!(files, Files::Copies(_)) || has_programs || derived::asks_for_its_files(configuration);
    if !is_copied {
        return Arc::clone(configuration);
    }
    let sections = if has_programs { Sections::WithoutPrograms } else { Sections::All };
    let files = derived::beside(configuration, sections);
    Arc::new(Configuration { files, ..(**configuration).clone() })
}

/// Without KILL a worker of another user cannot be told to drain: it would go on accepting clients, with the
/// old configuration, beside its successor, and a stop would end in a cut.
fn check_signals(user: &GlobalSetting, held: capabilities::Set) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() || held.has(Capability::Kill) {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::Rights,
        format!(
            "HAProxy becomes the user `{}` ({}), and without KILL it cannot be told to drain at a reload or \
             a stop",
            user.value, user.span
        ),
    )
    .hint("add `--cap-add=KILL` to `docker run`, or leave `user` and `uid` out"))
}

/// Transparent without the rights would mean: starts, and every connection fails (docs/facts C). `why`: what needs them.
fn check_rights(held: capabilities::Set, why: impl Fn() -> String) -> Result<(), Failure> {
    let missing = held.missing(&[Capability::NetAdmin, Capability::NetRaw]);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|capability| capability.name()).collect();
    let flags: Vec<String> = names.iter().map(|name| format!("--cap-add={name}")).collect();
    Err(Failure::new(
        ExitCode::Rights,
        format!("{}, and for that Clearway lacks {}", why(), names.join(" and ")),
    )
    .hint(failure::rights_remedy(&flags.join(" "))))
}

fn internal(error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitCode::Internal, error.to_string())
}

/// The words of a command line, for a log line.
pub fn shown(arguments: &[OsString]) -> String {
    arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
