//! Reading the configuration for a generation, beside the loop: its files may be on a machine that does not answer,
//! and signals, crashes and whoever asks for the state must not wait for that.
//!
//! ```text
//!   core            shell, in the loop              threads
//!    |- Prepare ----> read ------------------------> the files, READING at most (COPY_AFTER after a crash)
//!    |               choose <----------------------- News::Read
//!    |                what is on disk, or a copy
//!    |               Watch::follow, paths::look ---> a look at the files that it names, and at those of the Unix
//!    |                                               sockets in custody, FOLLOWING at most
//!    |               ask <-------------------------- News::Followed
//!    |               prepare_generation <----------- News::Asked  (module `asking`)
//!    |<--- Prepared
//! ```
//!
//! One reading at a time: while one hangs, no other is begun.

use std::ffi::OsString;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Event, Source};
use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::{self, Drift, FileMount, Imprint};
use clearway_kernel::paths::MovedPath;
use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};
use tracing::warn;

use crate::custody::paths;
use crate::fleet::News;
use crate::fleet::named::{self, NamedFiles};
use crate::ground::aside::Single;
use crate::ground::failure;
use crate::shell::Shell;

/// How long the files may take: they have 64 MiB at most, and HAProxy reads them again.
const READING: Duration = Duration::from_secs(5);

/// The same after a crash, when nobody serves and there is a copy.
const COPY_AFTER: Duration = Duration::from_secs(1);

/// How long what the configuration names may take to be looked at. HAProxy is started all the same then; a change that
/// comes before the look is over is not noticed.
const FOLLOWING: Duration = Duration::from_secs(2);

/// How long they may take to be compared for a status.
const COMPARING: Duration = Duration::from_secs(1);

/// How often it is looked whether somebody else still compares.
const PACE: Duration = Duration::from_millis(5);

/// A configuration, and what tells later whether its files have changed.
#[derive(Clone, Debug)]
pub struct Known {
    /// What the files say.
    pub configuration: Arc<Configuration>,
    /// What tells it from others.
    pub imprint: Arc<Imprint>,
}

impl Known {
    fn read(invocation: &Invocation) -> Result<Self, Failure> {
        let configuration = read_configuration(invocation)?;
        let imprint = Arc::new(Imprint::of(&configuration.files));
        Ok(Self { configuration: Arc::new(configuration), imprint })
    }
}

/// Which files HAProxy reads.
#[derive(Debug)]
pub enum Files {
    /// Those that the user named.
    AsNamed,
    /// Copies of what they said when they were read before.
    Copies(Arc<Configuration>),
}

/// What a generation will be started from.
#[derive(Debug)]
pub struct Chosen {
    /// Which generation.
    pub generation: Generation,
    /// What it will read.
    pub files: Files,
    /// What that says.
    pub known: Known,
    /// The sockets in custody whose path leads elsewhere.
    pub moved: Vec<MovedPath>,
    /// Of the files themselves, those that were replaced on the host, where this container cannot see it.
    pub replaced: Vec<FileMount>,
    /// The files that it names, as they were seen; unset if they do not answer.
    pub named: Option<Arc<NamedFiles>>,
}

impl Chosen {
    fn new(generation: Generation, files: Files, known: Known, replaced: Vec<FileMount>) -> Self {
        Self { generation, files, known, moved: Vec::new(), replaced, named: None }
    }
}

impl Shell {
    /// Begins to read the files for a generation: [`News::Read`] follows.
    pub fn read(&mut self, generation: Generation, source: Source) {
        self.fleet.preparing = Some(generation);
        let (sender, receiver) = oneshot::channel();
        let invocation = self.fleet.invocation.clone();
        let hangs = self.fleet.reading.is_busy();
        self.fleet.reading.spawn(
            "reading the configuration",
            move || Known::read(&invocation),
            |read| {
                // It may not be waited for any more.
                let _ = sender.send(read);
            },
        );
        let limit = match source {
            Source::Disk => READING,
            Source::Served(_) => COPY_AFTER,
        };
        let news = self.fleet.news.clone();
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

    /// The files were read, or not. What they name is looked at before HAProxy reads it.
    pub fn take_read(
        &mut self,
        generation: Generation,
        source: Source,
        read: Result<Known, Failure>,
    ) -> Event {
        if self.fleet.preparing != Some(generation) {
            return Event::TimePassed;
        }
        let mut chosen = match self.choose(generation, source, read) {
            Ok(chosen) => chosen,
            Err(failure) => return Event::Failed { generation, failure },
        };
        // While a copy runs, the files stay as they were seen: that they differ is known, and nobody asked for them.
        let followed = match chosen.files {
            // What is tried changes nothing: the change is still to come.
            Files::AsNamed if self.is_tried(generation) => None,
            Files::AsNamed => self.fleet.watch.follow(&chosen.known.configuration, &self.fleet.invocation),
            Files::Copies(_) => None,
        };
        let looked = paths::look(&self.fleet.looking, &self.custody.sockets());
        let named = named::look(&self.fleet.naming, &chosen.known.configuration, self.fleet.named.as_ref());
        if followed.is_none() && looked.is_none() && named.is_none() {
            return self.followed(chosen);
        }
        let news = self.fleet.news.clone();
        let until = Instant::now() + FOLLOWING;
        tokio::spawn(async move {
            if let Some(followed) = followed {
                let _ = timeout_at(until.into(), followed).await;
            }
            if let Some(looked) = looked
                && let Ok(Ok(moved)) = timeout_at(until.into(), looked).await
            {
                chosen.moved = moved;
            }
            if let Some(named) = named
                && let Ok(Ok(named)) = timeout_at(until.into(), named).await
            {
                chosen.named = Some(Arc::new(named));
            }
            let _ = news.send(News::Followed(Box::new(chosen)));
        });
        Event::TimePassed
    }

    /// What is to be read was looked at, as far as it answers. What was replaced where this container cannot see it is said,
    /// each time: nothing new is read of it.
    pub fn followed(&mut self, chosen: Chosen) -> Event {
        let named = chosen.named.iter().flat_map(|named| &named.replaced);
        let mut replaced: Vec<&FileMount> = chosen.replaced.iter().chain(named).collect();
        replaced.dedup_by_key(|mount| mount.id);
        let lines = replaced.into_iter().map(FileMount::replaced).collect::<Vec<_>>();
        if self.is_tried(chosen.generation) {
            self.would(lines.into_iter().map(|line| format!("nothing new would be read: {line}")));
            return self.ask(chosen);
        }
        self.fleet.not_read = lines;
        for line in &self.fleet.not_read {
            warn!("generation {} is started without the new file: {line}", chosen.generation);
        }
        self.ask(chosen)
    }

    /// The configuration, and where HAProxy is to read it. What it says now is remembered for the day when the
    /// files say something else and HAProxy dies.
    pub fn choose(
        &mut self,
        generation: Generation,
        source: Source,
        read: Result<Known, Failure>,
    ) -> Result<Chosen, Failure> {
        let Source::Served(former) = source else {
            let mut known = read?;
            let none = Arc::default();
            let former = self.fleet.imprint.as_ref().unwrap_or(&none);
            let replaced = known.imprint.replaced_since(former);
            known.imprint = Arc::new(Imprint::clone(&known.imprint).following(former));
            self.fleet.configurations.insert(generation, known.clone());
            return Ok(Chosen::new(generation, Files::AsNamed, known, replaced));
        };
        let Some(served) = self.fleet.configurations.get(&former).cloned() else {
            let message = format!("the configuration of generation {former} is forgotten");
            return Err(Failure::new(ExitCode::Internal, message));
        };
        match read {
            Ok(now) if now.configuration.files == served.configuration.files => {
                return Ok(Chosen::new(generation, Files::AsNamed, served, Vec::new()));
            }
            Ok(_) => warn!(
                "the configuration on disk is not the one that served: generation {generation} is started from \
                 a copy of that of generation {former}; reload to take what is on disk"
            ),
            Err(failure) => warn!(
                "the configuration on disk cannot be read ({}): generation {generation} is started from a copy \
                 of that of generation {former}",
                failure.message
            ),
        }
        let files = Files::Copies(Arc::clone(&served.configuration));
        Ok(Chosen::new(generation, files, served, Vec::new()))
    }
}

/// Reads the files with the environment that HAProxy will have.
pub fn read_configuration(invocation: &Invocation) -> Result<Configuration, Failure> {
    read_with(invocation, |name| std::env::var_os(name))
}

/// The same with the environment of another process: what `check` and `doctor` look at.
pub fn read_with(
    invocation: &Invocation,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Configuration, Failure> {
    let lookup = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    Configuration::read(invocation, &lookup).map_err(|error| failure::unreadable(&error))
}

fn no_answer(since: &str) -> Failure {
    let message = format!("reading the configuration: its files do not answer {since}");
    Failure::new(ExitCode::ConfigurationUnreadable, message).hint("are they on another machine (NFS, SMB)?")
}

/// Whether the files still say what they said, on a thread that may hang; not to be called in the loop.
pub fn compare(
    comparing: &Single,
    known: &Arc<Imprint>,
    named: Option<&Arc<NamedFiles>>,
    invocation: &Invocation,
) -> Drift {
    let until = Instant::now() + COMPARING;
    loop {
        let (sender, receiver) = mpsc::channel();
        let (known, named, invocation) = (Arc::clone(known), named.cloned(), invocation.clone());
        let what = "comparing the configuration with what is on disk";
        let begun = comparing.spawn(
            what,
            move || {
                let mut drift = known.drift(&invocation);
                if let Some(named) = named {
                    named.compare(&mut drift);
                }
                drift
            },
            move |drift| {
                // It may not be waited for any more.
                let _ = sender.send(drift);
            },
        );
        let left = until.saturating_duration_since(Instant::now());
        if begun && let Ok(drift) = receiver.recv_timeout(left) {
            return drift;
        }
        if left.is_zero() || begun {
            let files = drift::FilesOnDisk::Unreadable("its files do not answer".to_owned());
            return Drift { files, named: Vec::new(), replaced: Vec::new() };
        }
        // Somebody else compares.
        std::thread::sleep(PACE);
    }
}
