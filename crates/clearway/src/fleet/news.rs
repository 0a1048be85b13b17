//! What the threads and tasks of the fleet tell the loop, and what of that is for other rooms.

use std::path::PathBuf;

use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Asker, Event, Proof, Source};
use tracing::info;

use crate::custody::backlog;
use crate::custody::sockets::Sockets;
use crate::fleet::asking::Draft;
use crate::fleet::configurations::StartedFrom;
use crate::fleet::reading::Chosen;
use crate::fleet::sidecars::Declared;
use crate::fleet::state::{ServersHeard, StateAnswer};
use crate::fleet::{Fleet, watch};
use crate::ground::steps;
use crate::tell::said::Subject;

/// What has happened to generations, their files and their programs.
#[derive(Debug)]
pub enum News {
    /// Something for the core.
    Event(Event),
    /// The files were read for a generation, or not.
    Read {
        /// Which.
        generation: Generation,
        /// From where it is to be started.
        source: Source,
        /// What they say.
        read: Result<StartedFrom, Failure>,
    },
    /// What those name was looked at, as far as it answers.
    Followed(Box<Chosen>),
    /// HAProxy was asked what must be known before it is started.
    Asked {
        /// For which generation.
        generation: Generation,
        /// The same, with what it has answered.
        draft: Result<Box<Draft>, Failure>,
    },
    /// The worker of a generation has said its number.
    Answered {
        /// Which.
        generation: Generation,
        /// The number.
        worker: u32,
    },
    /// A generation has proved itself; its sockets go into custody if the core commits it.
    Proved {
        /// Which.
        generation: Generation,
        /// For the core.
        proof: Proof,
        /// What it uses.
        sockets: Sockets,
        /// For the log, each line once.
        notices: Vec<String>,
    },
    /// A generation's own master has replaced its worker.
    Replaced {
        /// Which generation.
        generation: Generation,
        /// The new worker.
        worker: u32,
    },
    /// A generation that is to be cut has said how many sessions it has, if it has.
    Cut {
        /// Which.
        generation: Generation,
        /// How many.
        sessions: Option<u64>,
    },
    /// What there is to know of the programs of a generation that serves.
    Programs {
        /// Which generation.
        generation: Generation,
        /// Its sections, and the environment for them.
        declared: Declared,
    },
    /// The state of a generation's servers, if it said so.
    State(StateAnswer),
    /// It is time to ask for that.
    StateDue,
    /// Watched files have changed.
    Changed(Vec<PathBuf>),
}

/// What comes of news.
#[derive(Debug)]
pub enum Consequence {
    /// An event for the core.
    Event(Event),
    /// A generation can be prepared, as soon as other rooms have done their part.
    Asked(Box<Draft>),
    /// A generation is cut, which has so many sessions if it has said so.
    Cut {
        /// Which.
        generation: Generation,
        /// How many.
        sessions: Option<u64>,
    },
    /// Something is known of the servers, or they did not answer.
    Servers(ServersHeard),
    /// The state of the servers is to be asked for.
    StateDue,
}

impl Fleet {
    /// What has happened. Never ends; may be dropped at any time, and called again.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            Some(news) = self.heard.recv() => news,
            changed = self.watch.changed() => News::Changed(changed),
            () = self.servers.due() => News::StateDue,
        }
    }

    /// Does what is to be done about it. `sockets`: those in custody.
    pub fn hear(&mut self, news: News, sockets: &Sockets) -> Consequence {
        steps::at("hears", &news);
        Consequence::Event(match news {
            News::Event(event) => event,
            News::Read { generation, source, read } => self.take_read(generation, source, read, sockets),
            News::Followed(chosen) => self.followed(*chosen),
            News::Asked { generation, draft } => return self.asked(generation, draft),
            News::Answered { generation, worker } => {
                self.answered(generation, worker);
                Event::TimePassed
            }
            News::Proved { generation, proof, sockets, notices } => {
                self.proved_itself(generation, sockets, notices);
                Event::Proved { generation, proof }
            }
            News::Replaced { generation, worker } => self.replaced(generation, worker),
            News::Cut { generation, sessions } => {
                self.cut(generation, sessions);
                return Consequence::Cut { generation, sessions };
            }
            News::Programs { generation, declared } => self.programs_known(generation, declared),
            News::State(answer) => return self.hear_state(answer),
            News::StateDue => return Consequence::StateDue,
            News::Changed(files) => {
                info!("changed: {}", watch::listed(&files));
                Event::ReloadAsked(Asker::Watch)
            }
        })
    }

    fn answered(&mut self, generation: Generation, worker: u32) {
        let Some(running) = self.roster.get_mut(generation) else { return };
        running.know_worker(worker);
        if let Some(master) = running.to_be_watched() {
            tokio::spawn(master.watch(self.news.clone()));
        }
    }

    fn replaced(&mut self, generation: Generation, worker: u32) -> Event {
        let Some(running) = self.roster.get_mut(generation) else { return Event::TimePassed };
        running.know_worker(worker);
        Event::Replaced { generation, worker }
    }

    fn proved_itself(&mut self, generation: Generation, sockets: Sockets, notices: Vec<String>) {
        let is_tried = self.is_tried(generation);
        if is_tried {
            self.would(backlog::changes(&sockets));
        }
        let Some(running) = self.roster.get_mut(generation) else { return };
        if is_tried {
            running.settle();
        } else {
            running.prove(sockets);
            self.said.found(Subject::BoundTwice, notices);
        }
    }
}
