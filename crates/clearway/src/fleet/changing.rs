//! The generation that serves, lent to the room `apply`, which changes it at run time; and what it has afterwards.
//!
//! ```text
//!   core              fleet                                        apply
//!    |- Plan(n) ----> begin_plan: the files are read (reading) ---> Consequence::Plan: compared, planned
//!    |- Apply(n) ---> to_change: our end of its private socket ---> carried out
//!    |- Adopt(n) ---> adopt: n is what it was started from, for a crash, a rollback, `diff`, `status`
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_core::supervisor::Source;
use clearway_haproxy::configuration::Configuration;

use crate::fleet::chosen::Chosen;
use crate::fleet::to_plan::{ReadQuestion, ServingToChange, ToPlan};
use crate::fleet::{Consequence, Fleet};

impl Fleet {
    /// Begins to read what is on disk for a plan: [`Consequence::Plan`] follows, or that it cannot be read.
    pub fn begin_plan(&mut self, generation: Generation) {
        self.preparing.begin_plan(generation);
        self.begin_to_read(generation, Source::Disk);
    }

    /// It was read, and what it names was looked at. `not_read`: what was replaced where this container cannot see it.
    pub(super) fn read_for_plan(&mut self, chosen: Chosen, not_read: Vec<String>) -> Consequence {
        let generation = chosen.generation();
        let (_, new) = chosen.into_parts();
        self.preparing.read_for_plan(generation, not_read);
        Consequence::Plan(Box::new(ToPlan { generation, serving: self.to_change(), new }))
    }

    /// The generation that serves, to be asked or changed.
    pub fn to_change(&self) -> Option<ServingToChange> {
        let generation = self.roster.serving()?;
        let (_, from) = self.configurations.of(None)?;
        Some(ServingToChange {
            generation,
            stats: self.roster.get(generation)?.stats()?,
            from: from.clone(),
            executable: self.executable.clone(),
            invocation: self.invocation.clone(),
        })
    }

    /// These servers, each as `BACKEND/SERVER`, are changed at run time from now on. Until that is known to have come to an end their
    /// state is nothing that a next generation is given: it may be half of a change.
    pub fn changes(&mut self, servers: HashSet<String>) {
        self.servers.changes(servers);
    }

    /// What was read under this number.
    pub fn read_for(&self, generation: Generation) -> Option<Arc<Configuration>> {
        self.configurations.read(generation).map(|from| Arc::clone(&from.configuration))
    }

    /// What would be read for a plan.
    pub fn read_question(&self) -> ReadQuestion {
        ReadQuestion {
            before: self.configurations.named().cloned(),
            invocation: self.invocation.clone(),
            comparing: self.configurations.comparing(),
            planning: self.configurations.planning(),
        }
    }

    /// The generation that serves has what was read under this number from now on. Gives that.
    pub fn adopt(&mut self, generation: Generation, serving: Generation) -> Option<Arc<Configuration>> {
        let not_read = self.preparing.end_plan(generation).unwrap_or_default();
        let configuration = self.configurations.commit(generation)?;
        self.configurations.not_read(generation, not_read);
        let imprint = self.configurations.read(generation).map(|from| Arc::clone(&from.imprint));
        if let (Some(running), Some(imprint)) = (self.roster.get_mut(serving), imprint) {
            running.adopt(imprint);
        }
        self.servers.adopts(serving, &configuration);
        self.marked_down.adopts(serving, &configuration);
        Some(configuration)
    }
}
