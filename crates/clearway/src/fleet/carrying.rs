//! When the state of the servers is carried over, and to which generation.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_core::settings::CarrySetting;
use clearway_core::supervisor::{Carried, Event};
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::overlay::RateLimit;

use crate::fleet::running::RunningGeneration;
use crate::fleet::{Fleet, carry};

impl Fleet {
    /// Whether a generation that is about to start with these files is to have something of one before.
    pub(super) fn has_something_to_carry(&self, new: &Configuration) -> bool {
        let known = self.servers.known().is_some_and(|known| known.servers.servers().next().is_some());
        let CarrySetting { servers, tables } = self.settings.carry;
        let servers = servers && !new.stated.is_empty();
        let tables = tables.is_some() && new.tables.has_unshared();
        (servers || tables) && (known || self.roster.serves().is_some())
    }

    /// Begins to carry the state over to a generation that has just been started. `stats`: our end of its private stats
    /// socket.
    pub(super) fn begin_to_carry(
        &self,
        generation: Generation,
        stats: &OwnedFd,
        configuration: &Arc<Configuration>,
        rate_limit: Option<RateLimit>,
    ) -> Option<carry::Go> {
        let carry = carry::Carry {
            generation,
            private: carry::PrivateSocket::of(stats.try_clone().ok()?, carry::QUESTIONS),
            configuration: Arc::clone(configuration),
            what: self.settings.carry,
            rate_limit,
            ready: self.settings.ready_timeout,
            news: self.news.clone(),
        };
        carry.begin(self.question())
    }

    /// Carries the state over, if there is any: [`Event::Carried`] follows.
    pub fn carry(&mut self, generation: Generation) -> Option<Event> {
        let begun = self.roster.get_mut(generation).is_some_and(RunningGeneration::go_on_carrying);
        (!begun).then(|| Event::Carried { generation, carried: Carried::default() })
    }
}
