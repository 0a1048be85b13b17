//! Reading the configuration for a generation, beside the loop: its files may be on a machine that does not answer,
//! and signals, crashes and requests for the status must not wait for that.
//!
//! ```text
//!   core            fleet, in the loop              threads
//!    |- Prepare ----> read ------------------------> the files, READING at most (COPY_AFTER after a crash)
//!    |               Configurations::choose <------- News::Read
//!    |                what is on disk, or a copy
//!    |               Watch::follow, paths::look ---> a look at the files that it names, and at those of the Unix
//!    |                                               sockets in custody, FOLLOWING at most
//!    |               ask <-------------------------- News::Followed
//!    |               Consequence::Asked <----------------- News::Asked (module `asking`); the shell goes on with it
//!    |<--- Prepared
//! ```
//!
//! A plan (`crate::fleet::changing`) begins like that, and ends after the looks with [`Consequence::Plan`].
//!
//! One reading at a time: while one hangs, no other is begun.

use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, Source};
use clearway_kernel::paths::MovedPath;
use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};

use crate::custody::paths;
use crate::custody::sockets::Sockets;
use crate::fleet::chosen::{Chosen, StartedFrom};
use crate::fleet::named::{self, NamedFiles};
use crate::fleet::{Consequence, Fleet, News};

/// How long the files may take: they have 64 MiB at most, and HAProxy reads them again.
const READING: Duration = Duration::from_secs(5);

/// The same after a crash or for a rollback, where there is a copy.
const COPY_AFTER: Duration = Duration::from_secs(1);

/// How long what the configuration names may take to be looked at. HAProxy is started all the same then; a change that
/// comes before the look is over is not noticed.
const FOLLOWING: Duration = Duration::from_secs(2);

/// Looks under way at what a choice names.
struct Looks {
    followed: Option<oneshot::Receiver<()>>,
    moved: Option<oneshot::Receiver<Vec<MovedPath>>>,
    named: Option<oneshot::Receiver<NamedFiles>>,
}

impl Looks {
    fn are_none(&self) -> bool {
        self.followed.is_none() && self.moved.is_none() && self.named.is_none()
    }

    /// Adds to the choice what they have seen, as far as they answer.
    async fn wait(self, mut chosen: Chosen) -> Chosen {
        let until = (Instant::now() + FOLLOWING).into();
        if let Some(followed) = self.followed {
            let _ = timeout_at(until, followed).await;
        }
        if let Some(looked) = self.moved
            && let Ok(Ok(moved)) = timeout_at(until, looked).await
        {
            chosen.has_moved(moved);
        }
        if let Some(looked) = self.named
            && let Ok(Ok(named)) = timeout_at(until, looked).await
        {
            chosen.names(named);
        }
        chosen
    }
}

impl Fleet {
    /// Begins to read the files for a generation that is to be started: [`News::Read`] follows. What was read for a plan under this
    /// number is no plan any more.
    pub fn read(&mut self, generation: Generation, source: Source) {
        self.preparing.end_plan(generation);
        self.preparing.begin(generation);
        self.begin_to_read(generation, source);
    }

    pub(super) fn begin_to_read(&mut self, generation: Generation, source: Source) {
        let (sender, receiver) = oneshot::channel();
        let invocation = self.invocation.clone();
        let hangs = self.preparing.reading.is_busy();
        self.preparing.reading.spawn(
            "reading the configuration",
            move || StartedFrom::read(&invocation),
            |read| {
                // It may not be waited for any more.
                let _ = sender.send(read);
            },
        );
        let limit = match source {
            Source::Disk => READING,
            Source::Served(_) => COPY_AFTER,
        };
        let news = self.news.clone();
        tokio::spawn(async move {
            let read = match timeout(limit, receiver).await {
                Ok(Ok(read)) => read,
                Ok(Err(_)) if hangs => Err(no_answer("since it was last tried")),
                Ok(Err(_)) => {
                    let message = "reading the configuration: no thread can be started";
                    Err(Failure::new(ExitCode::Internal, message))
                }
                Err(_) => Err(no_answer(&format!("within {} s", limit.as_secs()))),
            };
            let _ = news.send(News::Read { generation, source, read });
        });
    }

    /// The files were read, or not. What they name is looked at before HAProxy reads it. `sockets`: those in custody.
    pub(super) fn take_read(
        &mut self,
        generation: Generation,
        source: Source,
        read: Result<StartedFrom, Failure>,
        sockets: &Sockets,
    ) -> Consequence {
        if !self.preparing.is_under_way(generation) {
            return Consequence::Event(Event::TimePassed);
        }
        let chosen = match self.configurations.choose(generation, source, read) {
            Ok(chosen) => chosen,
            Err(failure) => return Consequence::Event(Event::Failed { generation, failure }),
        };
        if source == Source::Disk
            && let Some(former) = self.configurations.same_files(generation)
        {
            let _ = self.news.send(News::Event(Event::SameFiles { generation, former }));
        }
        let configuration = chosen.configuration();
        let looks = Looks {
            // While a copy runs, the files stay as they were seen: that they differ is known, and a reload was not asked
            // for. What is tried changes nothing: the change is still to come.
            followed: if chosen.is_at_its_paths() && !self.preparing.is_tried(generation) {
                self.watch.follow(configuration, &self.invocation)
            } else {
                None
            },
            moved: paths::look(&self.preparing.looking, sockets),
            named: named::look(&self.preparing.naming, configuration, self.configurations.named()),
        };
        if looks.are_none() {
            return self.followed(chosen);
        }
        let news = self.news.clone();
        tokio::spawn(async move {
            let chosen = looks.wait(chosen).await;
            let _ = news.send(News::Followed(Box::new(chosen)));
        });
        Consequence::Event(Event::TimePassed)
    }

    /// What is to be read was looked at, as far as it answers.
    pub(super) fn followed(&mut self, chosen: Chosen) -> Consequence {
        let (generation, lines) = (chosen.generation(), chosen.replaced());
        self.configurations.names(generation, chosen.named().cloned());
        if self.preparing.is_planned(generation) {
            return self.read_for_plan(chosen, lines);
        }
        if self.preparing.is_tried(generation) {
            self.would(lines.into_iter().map(|line| format!("nothing new would be read: {line}")));
        } else {
            self.configurations.not_read(generation, lines);
        }
        Consequence::Event(self.ask(chosen))
    }
}

fn no_answer(since: &str) -> Failure {
    let message = format!("reading the configuration: its files do not answer {since}");
    Failure::new(ExitCode::ConfigurationUnreadable, message).hint("are they on another machine (NFS, SMB)?")
}
