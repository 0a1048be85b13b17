//! What several rooms do for a generation that is about to start.

use std::sync::Arc;

use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, PlumbingDemand, Strictness};

use crate::cutover::PreparedFor;
use crate::fleet::draft::Draft;
use crate::fleet::launch::Surroundings;
use crate::shell::Shell;

impl Shell {
    /// Each room does its part for a generation about whose files everything is known.
    pub(super) fn prepare(&mut self, draft: Draft) -> Result<Event, Failure> {
        let needs = self.fleet.examine(&draft, self.path.intercepts())?;
        let configuration = Arc::clone(draft.configuration());
        self.tell.prepare(draft.generation(), draft.answers().pid_file.as_ref())?;
        if self.fleet.is_tried(draft.generation()) {
            let notices = self.path.not_intercepted(&configuration);
            self.fleet.would(notices.into_iter().map(|notice| notice.text));
            self.fleet.compare_for_trial(&configuration, needs, self.path.is_plumbed());
            let selection = self.custody.select(&configuration, draft.moved());
            let copy = self.cutover.private_ports(draft.generation(), &configuration, PreparedFor::Trial)?;
            // Nothing is made for it, so nothing has to go.
            return Ok(self.fleet.prepared(draft, PlumbingDemand::NotNeeded, selection, copy));
        }
        self.path.say_what_is_not_intercepted(&configuration);
        let selection = self.custody.select(&configuration, draft.moved());
        let purpose =
            if self.fleet.serves() { PreparedFor::ServingBeside } else { PreparedFor::ServingAlone };
        let copy = self.cutover.private_ports(draft.generation(), &configuration, purpose)?;
        // Last: the core does not know of plumbing that was made for what failed here, and would not have it removed.
        if needs == PlumbingDemand::Needed {
            self.path.plumb(&draft.answers().servers)?;
        }
        Ok(self.fleet.prepared(draft, needs, selection, copy))
    }

    pub(super) fn launch(&mut self, generation: Generation, strictness: Strictness) -> Event {
        let (sockets, has_predecessor) = (self.custody.sockets(), self.peers.has_predecessor());
        if !self.fleet.is_tried(generation) {
            self.cutover.launch(has_predecessor);
        }
        let publics = self.cutover.publics(generation);
        let around = Surroundings { sockets, has_predecessor, publics };
        self.fleet.launch(generation, strictness, around)
    }
}
