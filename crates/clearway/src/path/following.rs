//! What HAProxy tells of its servers becomes an event for the core.

use clearway_core::path::{Generations, PathEvent};

use crate::path::Path;
use crate::path::obstacles::Obstacle;
use crate::path::servers::ToldServers;
use crate::tell::said::Subject;

impl Path {
    /// Whether something transparent serves: then it is of use to hear of its servers.
    pub fn follows_servers(&self) -> bool {
        self.machine.follows_servers()
    }

    /// Where the transparent servers are now. `fresh`: the generation has just begun.
    pub fn hear_of_servers(&mut self, told: ToldServers, fresh: bool, generations: Generations) {
        self.said.found(Subject::OwnClients, self.followed.note_clients(&told));
        let ToldServers { servers, needs, .. } = told;
        // No client is sent to one in maintenance, so its way does not matter.
        let used = servers.into_iter().filter(|(_, maintenance)| !maintenance);
        let servers = used.map(|(server, _)| (server.address, server.line)).collect();
        let failed = self.take(PathEvent::Servers { servers, needs, generations, fresh }).failed;
        let line = failed.map(|error| format!("the plumbing cannot follow the servers: {error}"));
        self.said.found(Subject::Following, line);
        self.canary.forget(&self.machine);
    }

    /// For the status: what cannot work and what is in the way, by the files, by what was seen and by the canary.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        self.followed.obstacles().chain(self.canary.obstacles().iter().cloned()).collect()
    }
}
