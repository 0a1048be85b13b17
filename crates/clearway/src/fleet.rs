//! HAProxy's generations: their configurations, processes, words and ends.
//!
//! ```text
//!   Prepare   reading        the files are read (chosen), and what they name is looked at (named)
//!             asking         HAProxy is asked what must be known before it is started (draft)
//!             launch::prepare   an overlay and rights, with what other rooms have for it
//!   Launch    launch::start  a process (child), which gets sockets (hand_over) and shows which it uses (prove)
//!   Carry     carrying       it has the state of the servers before it accepts (carry)
//!   Plan, Adopt  changing    what is on disk is read, and is what the one that serves has (room `apply`)
//!   Commit                   it serves (roster, configurations); servers, programs: what it is asked for then
//!   Drain     old_sessions   its sessions with servers that go down are ended
//!             ends           it finishes its sessions, and is reaped
//!   Try       trying         the same up to its proof, and no further (trial, deaf)
//! ```
//!
//! [`Fleet`] knows no other room: what it needs of one it is given as an argument. What its threads find out comes back as
//! [`News`] (hearing), and what of that is for other rooms as [`Consequence`].

mod asking;
mod carry;
mod carrying;
pub mod changing;
pub mod child;
pub mod chosen;
pub mod configurations;
mod deaf;
pub mod difference;
pub mod draft;
mod ends;
pub mod executable;
pub mod files;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod hand_over;
mod hearing;
pub mod joined;
mod last_samples;
pub mod launch;
mod marked_down;
mod master;
mod memory;
mod named;
mod news;
pub mod notices;
mod old_sessions;
pub mod open_files;
mod preparing;
mod programs;
mod prove;
pub mod questions;
mod reading;
mod reaper;
mod roster;
mod running;
mod saving;
mod servers;
mod sidecars;
pub mod stand_in;
mod standard_error;
pub mod state;
mod statistics;
pub mod to_plan;
mod trial;
mod trying;
mod watch;
pub mod worker_cli;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_core::settings::Settings;
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::version::Version;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::custody::sockets::Sockets;
use crate::tell::said::Said;
use child::Descriptors;
use chosen::StartedFrom;
use configurations::{Configurations, DriftQuestion};
use difference::DifferenceQuestion;
use executable::Executable;
use joined::Joined;
use marked_down::MarkedDown;
use memory::Memory;
pub use news::{Consequence, News};
use preparing::Preparing;
use roster::Roster;
use running::RunningGeneration;
use sidecars::Sidecars;
use stand_in::StandIn;
use state::StateOfServers;
use statistics::Statistics;
use watch::Watch;

/// HAProxy's generations.
#[derive(Debug)]
pub struct Fleet {
    settings: Settings,
    invocation: Invocation,
    executable: Executable,
    /// The numbers that descriptors have in a child.
    descriptors: Descriptors,
    /// What a generation is told of as its predecessor.
    stand_in: StandIn,
    /// The memory limit, and whether a process was killed for it.
    memory: Memory,
    /// What is being prepared.
    preparing: Preparing,
    /// What has a process.
    roster: Roster,
    /// What generations were started from.
    configurations: Configurations,
    /// The files of the last generation that was prepared.
    watch: Watch,
    /// What is known of the servers of the generation that serves, or served last.
    servers: StateOfServers,
    /// The saving of counters.
    statistics: Statistics,
    /// What all generations have counted.
    joined: Joined,
    /// The servers whose sessions end in old generations.
    marked_down: MarkedDown,
    /// The programs of `program` sections.
    sidecars: Sidecars,
    said: Said,
    /// Where threads and tasks say what has happened.
    news: UnboundedSender<News>,
    heard: UnboundedReceiver<News>,
}

/// What other rooms are to know of a generation that serves from now on.
#[derive(Debug)]
pub struct Committed {
    /// What it uses.
    pub sockets: Option<Arc<Sockets>>,
    /// What it was started from, as it was read.
    pub configuration: Option<Arc<Configuration>>,
}

impl Fleet {
    /// Nothing has been done yet.
    pub fn new(settings: &Settings, invocation: Invocation, descriptors: Descriptors) -> Self {
        let (news, heard) = mpsc::unbounded_channel();
        Self {
            settings: settings.clone(),
            executable: Executable::new(invocation.program.clone()),
            descriptors,
            stand_in: StandIn::default(),
            memory: Memory::watch(),
            preparing: Preparing::default(),
            roster: Roster::default(),
            configurations: Configurations::default(),
            watch: Watch::new(settings.watch, settings.watch_quiet),
            servers: StateOfServers::default(),
            statistics: Statistics::default(),
            joined: Joined::default(),
            marked_down: MarkedDown::default(),
            sidecars: Sidecars::new(news.clone(), settings.log, &invocation, descriptors),
            invocation,
            said: Said::default(),
            news,
            heard,
        }
    }

    /// The generation serves from now on.
    pub fn commit(&mut self, generation: Generation) -> Option<Committed> {
        let running = self.roster.get(generation)?;
        let heard = running.heard();
        let configuration = self.configurations.commit(generation);
        if let Some(configuration) = &configuration {
            self.servers.serves(generation, configuration, heard);
            self.marked_down.serves(generation, configuration);
        }
        let sockets = self.roster.commit(generation);
        Some(Committed { sockets, configuration })
    }

    /// The generation will never serve.
    pub fn abandon(&mut self, generation: Generation) {
        self.preparing.abandon(generation);
        self.configurations.forget(generation);
        self.sidecars.forget(generation);
        if let Some(running) = self.roster.get_mut(generation) {
            running.give_up();
        }
    }

    /// No other configurations than those of these generations will be wanted.
    pub fn remember_only(&mut self, wanted: &[Generation]) {
        self.configurations.keep_only(wanted);
    }

    /// How HAProxy was called.
    pub fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// The version of HAProxy that was found last.
    pub fn version(&self) -> Option<Version> {
        self.executable.known_version()
    }

    /// The same as HAProxy writes it itself.
    pub fn version_text(&self) -> String {
        self.executable.known_text().unwrap_or_default()
    }

    /// What a generation has said so far.
    pub fn said_by(&self, generation: Generation) -> Vec<String> {
        self.roster.get(generation).map(RunningGeneration::said).unwrap_or_default()
    }

    /// The worker of a generation, and our end of its master's CLI.
    pub fn master_cli(&self, generation: Generation) -> Option<(u32, OwnedFd)> {
        self.roster.get(generation)?.master_cli()
    }

    /// The question whether the files on disk are still those that serve. Unset as long as none has served.
    pub fn drift_question(&self) -> Option<DriftQuestion> {
        self.configurations.drift_question(&self.invocation)
    }

    /// What a generation was started from, if that is remembered: the one that was committed last if none is named.
    pub fn started_from(&self, number: Option<u32>) -> Option<(Generation, &StartedFrom)> {
        self.configurations.of(number)
    }

    /// The question what is different on disk, likewise.
    pub fn difference_question(&self, number: Option<u32>) -> Option<DifferenceQuestion> {
        self.configurations.difference_question(number, &self.invocation)
    }

    /// The generations of which it is remembered what they were started from.
    pub fn remembered(&self) -> BTreeSet<Generation> {
        self.configurations.remembered()
    }

    /// What the last generation has not read of what is on the host, each with what mends it.
    pub fn not_read(&self) -> &[String] {
        self.configurations.what_was_not_read()
    }

    /// Whether a generation serves.
    pub fn serves(&self) -> bool {
        self.roster.serves().is_some()
    }

    /// How many generations have a process.
    pub fn count(&self) -> usize {
        self.roster.count()
    }

    /// The processes of all generations.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.roster.iter().flat_map(|(_, running)| running.processes())
    }

    /// What a generation has proved to use that is not committed yet.
    pub fn proved_by(&self, generation: Generation) -> Option<&Arc<Sockets>> {
        self.roster.get(generation)?.proved()
    }

    /// The same of all generations.
    pub fn proved(&self) -> impl Iterator<Item = &Sockets> {
        self.roster.iter().filter_map(|(_, running)| running.proved().map(|sockets| &**sockets))
    }
}
