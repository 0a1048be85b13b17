//! HAProxy's generations: their configurations, processes, words and ends.

pub mod asking;
pub mod carry;
pub mod child;
pub mod deaf;
pub mod ends;
pub mod executable;
mod files;
pub mod hand_over;
pub mod launch;
pub mod master;
pub mod memory;
pub mod named;
mod news;
pub mod open_files;
pub mod prepare;
pub mod prove;
pub mod questions;
pub mod reading;
pub mod reaper;
pub mod sidecars;
pub mod stand_in;
pub mod standard_error;
pub mod state;
pub mod trial;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_core::settings::Settings;
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::drift::Imprint;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::ground::aside;
use child::Descriptors;
use executable::Executable;
use launch::{Running, Serving};
use memory::Memory;
use named::NamedFiles;
pub use news::News;
use prepare::Prepared;
use reading::Known;
use sidecars::Sidecars;
use stand_in::StandIn;
use state::State;
use trial::Trial;
use watch::Watch;

/// HAProxy's generations: their configurations, processes, words and ends.
#[derive(Debug)]
pub struct Fleet {
    /// Where its threads and tasks say what has happened.
    pub news: UnboundedSender<News>,
    heard: UnboundedReceiver<News>,
    pub executable: Executable,
    pub descriptors: Descriptors,
    pub invocation: Invocation,
    /// For which generation the files are read and looked at.
    pub preparing: Option<Generation>,
    pub reading: aside::Single,
    /// The same for the paths of Unix sockets.
    pub looking: aside::Single,
    /// For which of them HAProxy is asked questions.
    pub asking: aside::Single,
    /// The same for the status.
    pub comparing: aside::Single,
    /// What is only tried.
    pub trial: Option<Trial>,
    pub prepared: BTreeMap<Generation, Prepared>,
    /// What generations were started from that serve, or that served before.
    pub configurations: BTreeMap<Generation, Known>,
    pub running: BTreeMap<Generation, Running>,
    /// The programs of `program` sections.
    pub sidecars: Sidecars,
    /// The memory limit, and whether somebody was killed for it.
    pub memory: Memory,
    /// What the serving generation was started from.
    pub imprint: Option<Arc<Imprint>>,
    /// What its files name, as that was seen then.
    pub named: Option<Arc<NamedFiles>>,
    /// The same for the files that a configuration names.
    pub naming: aside::Single,
    /// What the last generation has not read of what is on the host, each with what mends it.
    pub not_read: Vec<String>,
    /// Who was committed last, dead or alive.
    pub committed: Option<Generation>,
    /// Who serves.
    pub serving: Option<Serving>,
    /// What a generation is told of as its predecessor.
    pub stand_in: StandIn,
    /// The files of the last generation that was prepared.
    pub watch: Watch,
    /// What is known of the servers of the generation that serves, or served last.
    pub state: State,
}

impl Fleet {
    /// Nothing has been done yet.
    pub fn new(settings: &Settings, invocation: Invocation, descriptors: Descriptors) -> Self {
        let (news, heard) = mpsc::unbounded_channel();
        Self {
            news,
            heard,
            executable: Executable::new(invocation.program.clone()),
            descriptors,
            preparing: None,
            reading: aside::Single::default(),
            looking: aside::Single::default(),
            asking: aside::Single::default(),
            comparing: aside::Single::default(),
            trial: None,
            prepared: BTreeMap::new(),
            configurations: BTreeMap::new(),
            running: BTreeMap::new(),
            sidecars: Sidecars::new(settings.log, &invocation, descriptors),
            memory: Memory::watch(),
            imprint: None,
            named: None,
            naming: aside::Single::default(),
            not_read: Vec::new(),
            committed: None,
            serving: None,
            stand_in: StandIn::default(),
            watch: Watch::new(settings.watch, settings.watch_quiet),
            state: State::default(),
            invocation,
        }
    }

    /// What has happened. Never ends; may be dropped at any time, and called again.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            Some(news) = self.heard.recv() => news,
            changed = self.watch.changed() => News::Changed(changed),
            () = self.state.due() => News::StateDue,
        }
    }
}
