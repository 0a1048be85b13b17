//! The pid file: `-p FILE` of HAProxy's command line, or `pidfile FILE` of its files. Clearway writes its own pid there, because
//! signals go to Clearway: `kill -USR2 $(cat FILE)` reloads, `kill -USR1` drains.
//!
//! It is written when a generation serves, as HAProxy does when it has bound its sockets, and again whenever one serves and the
//! file is not ours any more; removed at the end if it still is. In a takeover the newcomer puts its own in its place, and the
//! predecessor, which finds another file there, leaves that alone. A file that is there is replaced by a whole one; where its
//! directory cannot be written, or it is mounted, it is written over.
//!
//! A thread does it: the directory may be on a machine that does not answer.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::Action;

use crate::ground::aside::Queue;
use crate::ground::notice::tell;
use crate::ground::own_file::{self, OwnFile};
use crate::ground::places;
use crate::tell::notices::TellNotice;

/// How long a commit waits for the file, so that what is told of it finds that: longer only where the directory hangs.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What names the pid file, apart from the configuration.
#[derive(Clone, Debug, Default)]
pub struct PidFileNames {
    /// The one of the command line, which counts before that of the files.
    pub named: Option<PathBuf>,
    /// What relative paths are relative to; unset: our own directory.
    pub directory: Option<PathBuf>,
    /// The one that was found to be fine. It is not looked at again: its directory may hang by now, and what serves must not
    /// depend on that.
    pub fine: Option<PathBuf>,
}

impl PidFileNames {
    /// A path as HAProxy means it, which is started in this directory.
    pub fn path(&self, file: &Path) -> PathBuf {
        let path = self.directory.as_deref().unwrap_or(Path::new("")).join(file);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Looks at the file and its directory: blocks. `configured`: the one of the configuration.
    pub fn look(&self, configured: Option<&Path>) -> Option<PidFilePlace> {
        let path = self.path(self.named.as_deref().or(configured)?);
        if self.fine.as_ref() == Some(&path) {
            return Some(PidFilePlace { path, trouble: None });
        }
        let trouble = places::no_file(&path).map(|place| {
            let message = format!("the pid file {} cannot be written: {}", path.display(), place.saw);
            Failure::new(ExitCode::ConfigurationRefused, message)
                .hint(place.remedy)
                .hint("or leave `pidfile` and `-p` out")
        });
        Some(PidFilePlace { path, trouble })
    }
}

/// Where the pid is to be written.
#[derive(Clone, Debug)]
pub struct PidFilePlace {
    path: PathBuf,
    /// Why it cannot be written there.
    trouble: Option<Failure>,
}

impl PidFilePlace {
    /// The path, if the pid can be written there.
    pub fn fine(&self) -> Option<&Path> {
        self.trouble.is_none().then_some(&self.path)
    }
}

/// The pid file of this process.
#[derive(Debug, Default)]
pub struct PidFile {
    /// Where each generation that is under way wants it.
    wanted: HashMap<Generation, PathBuf>,
    /// Where it is to be.
    place: Option<PathBuf>,
    /// A predecessor serves, which may have written the file.
    succeeds: bool,
    /// What writes it, once it was wanted.
    queue: Option<Queue<Put>>,
}

impl PidFile {
    /// A predecessor serves.
    pub fn succeed(&mut self) {
        self.succeeds = true;
    }

    /// A generation wants it there. A file that cannot be written is a reason to refuse one.
    pub fn prepare(&mut self, generation: Generation, place: Option<&PidFilePlace>) -> Result<(), Failure> {
        let Some(PidFilePlace { path, trouble }) = place else { return Ok(()) };
        if let Some(failure) = trouble {
            return Err(failure.clone());
        }
        self.wanted.insert(generation, path.clone());
        Ok(())
    }

    /// What is about to be carried out.
    pub fn hear(&mut self, action: &Action) {
        match action {
            Action::Commit(generation) => {
                self.place = self.wanted.remove(generation);
                self.wanted.clear();
                self.put();
            }
            Action::TakeBack => self.put(),
            Action::Exit(_) => {
                self.place = None;
                self.put();
                // Waits for it.
                self.queue = None;
            }
            _ => {}
        }
    }

    /// Has it written, or removed.
    fn put(&mut self) {
        if self.queue.is_none() && self.place.is_some() {
            let mut writer = Writer::default();
            self.queue = Queue::begin("writing the pid file", move |put: Put| {
                writer.put(put.place, put.succeeds);
            });
        }
        let Some(queue) = &self.queue else { return };
        let (done, is_done) = channel();
        let succeeds = std::mem::take(&mut self.succeeds);
        let place = self.place.clone();
        queue.put(Put { place, succeeds, _done: done });
        let _ = is_done.recv_timeout(AT_ONCE);
    }
}

/// Where it is to be from now on.
#[derive(Debug)]
struct Put {
    place: Option<PathBuf>,
    succeeds: bool,
    /// Closed when it is done.
    _done: Sender<()>,
}

/// The thread's own.
#[derive(Debug, Default)]
struct Writer {
    /// Where the file is.
    written: Option<OwnFile>,
}

impl Writer {
    /// From now on the file is there, or nowhere.
    fn put(&mut self, place: Option<PathBuf>, succeeds: bool) {
        if let Some(written) = &self.written {
            if place.as_deref() != Some(written.path()) {
                remove(written);
            } else if is_ours(written) {
                return;
            }
        }
        self.written = place.and_then(|path| self.write(&path, succeeds));
    }

    fn write(&self, path: &Path, succeeds: bool) -> Option<OwnFile> {
        let there = std::fs::symlink_metadata(path).ok();
        let is_device = |file: &Metadata| {
            let kind = file.file_type();
            kind.is_char_device() || kind.is_block_device()
        };
        if there.as_ref().is_some_and(is_device) {
            tell(&TellNotice::PidFileIsDevice { path: path.display().to_string() });
            return None;
        }
        self.say_what_is_replaced(path, there.as_ref(), succeeds);
        let file = own_file::replace(path, content().as_bytes(), None).or_else(|_| overwrite(path));
        match file.and_then(|()| OwnFile::at(path.to_owned())) {
            Ok(file) => Some(file),
            Err(error) => {
                let path = path.display().to_string();
                tell(&TellNotice::PidFileFailed { path, error: error.to_string() });
                None
            }
        }
    }

    fn say_what_is_replaced(&self, path: &Path, there: Option<&Metadata>, succeeds: bool) {
        if there.is_some_and(Metadata::is_symlink) && !path.exists() {
            let target = std::fs::read_link(path).unwrap_or_default().display().to_string();
            let path = path.display().to_string();
            return tell(&TellNotice::PidFileWasLink { path, target });
        }
        let is_small = there.is_some_and(|file| file.is_file() && file.len() < 100);
        let named = is_small.then(|| std::fs::read_to_string(path).ok()).flatten();
        let named = named.and_then(|text| text.trim().parse::<u32>().ok());
        let lives = |pid: &u32| *pid != std::process::id() && Path::new(&format!("/proc/{pid}")).exists();
        if let Some(pid) = named.filter(lives).filter(|_| !succeeds && self.written.is_none()) {
            let path = path.display().to_string();
            let hints = vec!["is it another balancer? Give each a pid file of its own".to_owned()];
            tell(&TellNotice::PidFileOfAnother { path, pid, hints });
        }
    }
}

/// Whether it is the file that this process has written, with what was written.
fn is_ours(written: &OwnFile) -> bool {
    written.is_there() && std::fs::read(written.path()).is_ok_and(|text| text == content().as_bytes())
}

fn remove(written: &OwnFile) {
    // A file that is mounted cannot be removed.
    if is_ours(written) && written.remove().is_err() {
        let _ = std::fs::write(written.path(), "");
    }
}

fn content() -> String {
    format!("{}\n", std::process::id())
}

/// The file as it is, with another content.
fn overwrite(path: &Path) -> io::Result<()> {
    std::fs::write(path, content())
}

#[cfg(test)]
mod tests;
