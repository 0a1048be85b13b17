//! inotify: the kernel tells that something may have changed in a directory.
//!
//! A directory that others write to as well wakes us up, but only names that matter count as a hint. When the
//! kernel has dropped events, that is a hint, too.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::debug;
use crate::fleet::watch::paths::Interests;

/// How many events are read before other work of the loop gets its turn.
const AT_ONCE: usize = 1000;

/// The watches that there are.
#[derive(Debug, Default)]
pub struct Inotify {
    instance: Option<AsyncFd<Arc<OwnedFd>>>,
    /// What counts, by the number of the watch.
    watches: BTreeMap<i32, Counts>,
    incomplete: bool,
}

/// Which names in a directory count.
#[derive(Debug, Default)]
struct Counts {
    every_name: bool,
    /// Digests of names: there may be thousands.
    names: BTreeSet<u64>,
}

/// Why there are no hints for some directory.
#[derive(Debug, thiserror::Error)]
pub enum NoHints {
    /// The user has too many inotify instances.
    #[error(
        "all inotify instances of this user are taken (raise the sysctl `fs.inotify.max_user_instances`)"
    )]
    Instances,
    /// The user watches too many directories.
    #[error("this user may watch no more directories (raise the sysctl `fs.inotify.max_user_watches`)")]
    Watches,
    /// A directory may not be read.
    #[error("`{directory}`: {source}")]
    Directory {
        /// Which.
        directory: String,
        /// What the kernel said.
        source: Errno,
    },
    /// Anything else.
    #[error("inotify: {0}")]
    Other(std::io::Error),
}

impl Inotify {
    /// Whether there are hints for everything that was asked for.
    pub fn is_complete(&self) -> bool {
        !self.incomplete
    }

    /// Where to [`arm`] them.
    pub fn descriptor(&mut self) -> Result<Arc<OwnedFd>, NoHints> {
        let instance = match self.instance.take() {
            Some(instance) => Ok(instance),
            None => open(),
        };
        self.incomplete = instance.is_err();
        let instance = self.instance.insert(instance?);
        Ok(Arc::clone(instance.get_ref()))
    }

    /// From now on these count, and nothing else any more.
    pub fn take(&mut self, armed: Armed) -> Result<(), NoHints> {
        let Armed { watches, outcome } = armed;
        for former in self.watches.keys().filter(|number| !watches.contains_key(number)) {
            if let Some(instance) = &self.instance {
                // The kernel may have removed it together with its directory.
                let _ = inotify::remove_watch(instance.get_ref(), *former);
            }
        }
        self.watches = watches;
        self.incomplete = outcome.is_err();
        outcome
    }

    /// Waits for events. True if one of them matters. May be dropped at any time.
    pub async fn next(&mut self) -> bool {
        let Self { instance: Some(instance), watches, .. } = self else {
            return std::future::pending().await;
        };
        let Ok(mut ready) = instance.readable().await else { return std::future::pending().await };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(instance.get_ref(), &mut buffer);
        let mut matters = false;
        for _ in 0..AT_ONCE {
            match reader.next() {
                Ok(event) => matters |= counts(watches, &event),
                Err(Errno::INTR) => {}
                Err(error) => {
                    if error != Errno::WOULDBLOCK {
                        debug!("inotify: {error}");
                    }
                    ready.clear_ready();
                    return matters;
                }
            }
        }
        // What is left in the buffer is forgotten, and looked for.
        true
    }
}

/// What was armed. Until it is taken, events wait in the kernel.
#[derive(Debug)]
pub struct Armed {
    watches: BTreeMap<i32, Counts>,
    outcome: Result<(), NoHints>,
}

/// Asks for hints at this. Where something cannot be watched, the rest is. Follows paths, so it may hang.
pub fn arm(inotify: &OwnedFd, interests: &Interests) -> Armed {
    let mut arming = Arming { inotify, watches: BTreeMap::new(), outcome: Ok(()) };
    for (directory, names) in &interests.names {
        if let Some(counts) = arming.add(directory, inside()) {
            counts.names.extend(names.iter().map(|name| digest(name)));
        }
    }
    for directory in &interests.whole {
        if let Some(counts) = arming.add(directory, inside()) {
            counts.every_name = true;
        }
    }
    for file in &interests.mounted {
        arming.add(file, WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | itself());
    }
    for directory in &interests.on_the_way {
        // It is hardly ever moved: where it may not be read, that is not worth polling.
        arming.add_if_allowed(directory, itself());
    }
    let Arming { watches, outcome, .. } = arming;
    Armed { watches, outcome }
}

/// The watches as they are made.
struct Arming<'a> {
    inotify: &'a OwnedFd,
    watches: BTreeMap<i32, Counts>,
    outcome: Result<(), NoHints>,
}

impl Arming<'_> {
    fn add(&mut self, path: &Path, flags: WatchFlags) -> Option<&mut Counts> {
        match self.try_add(path, flags) {
            Ok(number) => Some(self.watches.entry(number).or_default()),
            // Gone since it was found: that is hinted at from above, or seen by the look that follows.
            Err(Errno::NOENT) => None,
            Err(error) => {
                if self.outcome.is_ok() {
                    self.outcome = Err(no_hints(path, error));
                }
                None
            }
        }
    }

    fn add_if_allowed(&mut self, path: &Path, flags: WatchFlags) {
        match self.try_add(path, flags) {
            Ok(number) => {
                self.watches.entry(number).or_default();
            }
            Err(error @ Errno::NOSPC) if self.outcome.is_ok() => self.outcome = Err(no_hints(path, error)),
            Err(_) => {}
        }
    }

    /// Two paths may lead to one directory, so flags are added to those that it has.
    fn try_add(&self, path: &Path, flags: WatchFlags) -> Result<i32, Errno> {
        inotify::add_watch(self.inotify, path, flags | WatchFlags::MASK_ADD)
    }
}

/// What happens to a directory or a file itself.
fn itself() -> WatchFlags {
    WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF
}

/// What happens in a directory. Not `MODIFY`: what writes also closes, and then the file is complete.
fn inside() -> WatchFlags {
    let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
    names | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | WatchFlags::EXCL_UNLINK | itself()
}

fn open() -> Result<AsyncFd<Arc<OwnedFd>>, NoHints> {
    let inotify =
        inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| match error {
            Errno::MFILE => NoHints::Instances,
            other => NoHints::Other(other.into()),
        })?;
    // SAFETY: an `OwnedFd` is open and the same until it is dropped, and the `AsyncFd` owns a part of it.
    unsafe { AsyncFd::register_with_interest(Arc::new(inotify), Interest::READABLE) }
        .map_err(|error| NoHints::Other(error.into()))
}

fn no_hints(path: &Path, error: Errno) -> NoHints {
    match error {
        Errno::NOSPC => NoHints::Watches,
        source => NoHints::Directory { directory: path.display().to_string(), source },
    }
}

/// Whether an event may mean that some file has changed.
fn counts(watches: &BTreeMap<i32, Counts>, event: &Event<'_>) -> bool {
    if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
        debug!("the kernel has dropped events (`fs.inotify.max_queued_events`): every file is looked at");
        return true;
    }
    if event.events().contains(ReadFlags::IGNORED) {
        // A watch is gone, by our own hand or after its last event.
        return false;
    }
    let Some(counts) = watches.get(&event.wd()) else { return false };
    match event.file_name() {
        Some(name) => counts.every_name || counts.names.contains(&digest(OsStr::from_bytes(name.to_bytes()))),
        None => true,
    }
}

fn digest(name: &OsStr) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
