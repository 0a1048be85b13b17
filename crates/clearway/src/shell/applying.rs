//! What several rooms do for a change at run time.

use clearway_core::names::Generation;
use clearway_core::supervisor::{ApplyOutcome, Event};

use crate::path::servers::NamedServers;
use crate::shell::Shell;

impl Shell {
    /// Servers that are added may be reached before HAProxy is asked for them: what they need in the kernel comes first.
    pub(super) fn apply_at_run_time(&mut self, generation: Generation) -> Option<Event> {
        if self.path.is_plumbed()
            && let Some(configuration) = self.fleet.read_for(generation)
            && let Err(failure) = self.path.plumb(&NamedServers::of(&configuration))
        {
            let outcome = ApplyOutcome::Broken { steps_done: 0, why: failure.message };
            return Some(Event::Applied { generation, outcome });
        }
        self.fleet.changes(self.apply.touches(generation));
        self.apply.carry_out(generation, self.fleet.to_change())
    }

    /// The generation that serves has another configuration, and the same sockets.
    pub(super) fn adopt(&mut self, generation: Generation, serving: Generation) {
        self.apply.give_up(generation);
        let Some(configuration) = self.fleet.adopt(generation, serving) else { return };
        self.custody.adopt(&configuration);
        self.path.commit(Some(&configuration));
    }
}
