//! Everything before a process exists, but for reading the files ([`crate::fleet::reading`]), what HAProxy is asked about them
//! ([`crate::fleet::asking`]), and what other rooms have for it: the plumbing, the sockets that it is offered, private ports.
//!
//! Nothing here disturbs the generation that serves. Every refusal names what is missing and the flag
//! that adds it; in particular a transparent configuration never starts where its connections would fail.

use std::sync::Arc;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::supervisor::{Event, PlumbingDemand};
use clearway_haproxy::configuration::{Configuration, GlobalSetting, ProgramSections, UsesrcLine};
use clearway_haproxy::derived::{self, Sections};
use clearway_haproxy::drift::Imprint;
use clearway_haproxy::master_cli::address;
use clearway_haproxy::overlay::{Lua, Overlay, RateLimit, WorkerCapability as Kept};
use clearway_haproxy::version::Version;
use clearway_kernel::capabilities::{self, Capability};

use crate::custody::selection::Selection;
use crate::fleet::Fleet;
use crate::fleet::child::Rights;
use crate::fleet::chosen::ReadFrom;
use crate::fleet::deaf::Hears;
use crate::fleet::draft::{Answers, Draft};
use crate::fleet::launch::Prepared;
use crate::fleet::notices::FleetNotice;
use crate::fleet::trial::can_be_tried;
use crate::ground::failure;
use crate::ground::notice::tell;
use crate::tell::said::Subject;

impl Fleet {
    /// Whether the generation can be started here, as far as memory and rights are concerned, and whether it needs the
    /// plumbing. `intercepts`: whether connections to other addresses are to be taken.
    pub fn examine(&mut self, draft: &Draft, intercepts: bool) -> Result<PlumbingDemand, Failure> {
        self.check_memory(draft.imprint())?;
        let configuration = draft.configuration();
        if self.is_tried(draft.generation()) {
            can_be_tried(configuration)?;
        } else {
            self.said.found(Subject::Fighting, configuration.fighting.iter().map(ToString::to_string));
            self.said.found(Subject::Mismatches, configuration.mismatches().iter().map(ToString::to_string));
        }
        let held =
            capabilities::effective().map_err(|error| Failure::new(ExitCode::Internal, error.to_string()))?;
        let Answers { other_user, transparent, .. } = draft.answers();
        if let Some(user) = other_user {
            check_signals(user, held)?;
        }
        if let Some(UsesrcLine { text, span, .. }) = transparent {
            check_rights(held, || {
                format!("`{text}` ({span}) makes HAProxy use the addresses of its clients")
            })?;
        }
        if intercepts {
            check_rights(held, || {
                "`CLEARWAY_INTERCEPT` takes connections to addresses of others".to_owned()
            })?;
        }
        Ok(if transparent.is_some() || intercepts {
            PlumbingDemand::Needed
        } else {
            PlumbingDemand::NotNeeded
        })
    }

    /// The same files need what they needed before. Others may need less: what is too tight for them is only said.
    fn check_memory(&self, imprint: &Imprint) -> Result<(), Failure> {
        let Some(needed) = self.roster.needed() else { return Ok(()) };
        match self.memory.room_for(needed) {
            Err(failure) if self.roster.has_one_from(imprint) => Err(failure),
            Err(failure) => {
                tell(&FleetNotice::MemoryShort { error: failure.message });
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Everything is there: it is launched next. `plumbing`: whether it has the plumbing for it. `copy`: what it is to read
    /// instead of the files, if it has private ports.
    pub fn prepared(
        &mut self,
        draft: Draft,
        plumbing: PlumbingDemand,
        selection: Selection,
        copy: Option<Arc<Configuration>>,
    ) -> Event {
        let generation = draft.generation();
        let (chosen, Answers { version, most_reloads, programs, stats_file, .. }) = draft.into_parts();
        let (mut files, from) = chosen.into_parts();
        let mut configuration = from.configuration;
        if let Some(copy) = copy {
            files = ReadFrom::Copies(Arc::clone(&copy));
            configuration = copy;
        }
        let read = what_is_read(&files, &configuration, version);
        let rights = Rights::for_files(read.files.iter().map(|file| &*file.bytes));
        if !Arc::ptr_eq(&read, &configuration) {
            files = ReadFrom::Copies(read);
        }
        let hears = if self.is_tried(generation) { Hears::Nothing } else { Hears::Clients };
        if hears == Hears::Clients {
            self.sidecars.prepare(generation, programs);
        }
        let carries = hears == Hears::Clients && self.has_something_to_carry(&configuration);
        let master_cli = address::listed(&self.invocation().master_cli);
        let master_cli = master_cli.as_deref();
        let mut overlay = Overlay::new(self.descriptors.stats, &configuration, version, &kept(), master_cli);
        overlay.rate_limit = RateLimit::beside(&configuration).filter(|_| carries);
        overlay.lua = Lua::of(&configuration, self.descriptors.lua, master_cli);
        let imprint = from.imprint;
        let prepared = Prepared {
            files,
            configuration,
            imprint,
            overlay,
            selection,
            rights,
            carries,
            hears,
            stats_file,
        };
        self.preparing.done(generation, prepared);
        Event::Prepared { generation, plumbing, most_reloads }
    }
}

/// The rights that Clearway can pass on to a worker that changes its user.
fn kept() -> Vec<Kept> {
    let kept = [(Capability::NetRaw, Kept::NetRaw), (Capability::NetBindService, Kept::NetBindService)];
    kept.into_iter().filter(|(have, _)| capabilities::has(*have)).map(|(_, keep)| keep).collect()
}

/// What HAProxy is to read: the files as they are, unless it reads copies anyway, or must not see something of them.
fn what_is_read(
    files: &ReadFrom,
    configuration: &Arc<Configuration>,
    version: Version,
) -> Arc<Configuration> {
    let has_programs = !configuration.programs.is_empty() && ProgramSections::known_to(version);
    let is_copied =
        matches!(files, ReadFrom::Copies(_)) || has_programs || !derived::asked(configuration).is_empty();
    if !is_copied {
        return Arc::clone(configuration);
    }
    let sections = if has_programs { Sections::WithoutPrograms } else { Sections::All };
    let mut copy = (**configuration).clone();
    copy.files = derived::beside(configuration, sections);
    Arc::new(copy)
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
