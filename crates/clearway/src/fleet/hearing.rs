//! What the loop hears of the fleet, and what is done about it.

use clearway_core::names::Generation;
use clearway_core::supervisor::{Asker, Event};

use crate::custody::backlog;
use crate::custody::sockets::Sockets;
use crate::fleet::Fleet;
use crate::fleet::news::{Consequence, News};
use crate::fleet::notices::FleetNotice;
use crate::ground::notice::tell;
use crate::ground::steps;
use crate::tell::said::Subject;

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
            News::Read { generation, source, read } => {
                return self.take_read(generation, source, read, sockets);
            }
            News::Followed(chosen) => return self.followed(*chosen),
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
            News::Saved { generation, unsaved } => {
                self.saved(generation, unsaved);
                Event::TimePassed
            }
            News::Counted(generation) => {
                self.counted(generation);
                Event::TimePassed
            }
            News::Programs { generation, declared } => self.programs_known(generation, declared),
            News::Executed(pid) => self.sidecars.executed(pid).unwrap_or(Event::TimePassed),
            News::State(answer) => return self.hear_state(answer),
            News::SessionsEnded(ended) => {
                self.sessions_ended(ended);
                Event::TimePassed
            }
            News::StateDue => return Consequence::StateDue,
            News::Changed(files) => {
                let files = files.iter().map(|file| file.display().to_string()).collect();
                tell(&FleetNotice::Changed { files });
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
            self.count_from_here(generation);
        }
    }
}
