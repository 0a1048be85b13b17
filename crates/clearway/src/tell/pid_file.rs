//! The pid file: `-p FILE` of HAProxy's command line, or `pidfile FILE` of its files. Clearway writes its own pid there, because
//! signals go to Clearway: `kill -USR2 $(cat FILE)` reloads, `kill -USR1` drains.
//!
//! It is written when a generation serves, as HAProxy does when it has bound its sockets, and again whenever one serves and the
//! file is not ours any more; removed at the end if it still is. In a takeover the newcomer puts its own in its place, and the
//! predecessor, which finds another file there, leaves that alone. A file that is there is replaced by a whole one; where its
//! directory cannot be written, or it is mounted, it is written over.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::Action;

use crate::ground::notice::tell;
use crate::ground::own_file::{self, OwnFile};
use crate::ground::places;
use crate::tell::notices::TellNotice;

/// Where the pid is to be written.
#[derive(Clone, Debug)]
pub struct PidFilePlace {
    path: PathBuf,
    /// Why it cannot be written there.
    trouble: Option<Failure>,
}

impl PidFilePlace {
    /// Looks at the file and its directory: blocks. A relative path is relative to `directory`, or to our own.
    pub fn look(directory: Option<&Path>, file: &Path) -> Self {
        let path = directory.unwrap_or(Path::new("")).join(file);
        let path = std::path::absolute(&path).unwrap_or(path);
        let trouble = places::no_file(&path).map(|place| {
            let message = format!("the pid file {} cannot be written: {}", path.display(), place.saw);
            Failure::new(ExitCode::ConfigurationRefused, message)
                .hint(place.remedy)
                .hint("or leave `pidfile` and `-p` out")
        });
        Self { path, trouble }
    }
}

/// The pid file of this process.
#[derive(Debug, Default)]
pub struct PidFile {
    /// Where each generation that is under way wants it.
    wanted: HashMap<Generation, PathBuf>,
    /// Where it is.
    written: Option<OwnFile>,
    /// A predecessor serves, which may have written the file.
    succeeds: bool,
}

impl PidFile {
    /// A predecessor serves.
    pub fn succeed(&mut self) {
        self.succeeds = true;
    }

    /// A generation wants it there. A file that cannot be written is a reason to refuse one, unless it has been written.
    pub fn prepare(&mut self, generation: Generation, place: Option<&PidFilePlace>) -> Result<(), Failure> {
        let Some(PidFilePlace { path, trouble }) = place else { return Ok(()) };
        let is_known = self.written.as_ref().is_some_and(|written| written.path() == path);
        if let Some(failure) = trouble.as_ref().filter(|_| !is_known) {
            return Err(failure.clone());
        }
        self.wanted.insert(generation, path.clone());
        Ok(())
    }

    /// What is about to be carried out.
    pub fn hear(&mut self, action: &Action) {
        match action {
            Action::Commit(generation) => {
                let wanted = self.wanted.remove(generation);
                self.wanted.clear();
                self.put(wanted);
            }
            Action::TakeBack => {
                let path = self.written.as_ref().map(|written| written.path().to_owned());
                self.put(path);
            }
            Action::Exit(_) => self.put(None),
            _ => {}
        }
    }

    /// From now on it is there, or nowhere.
    fn put(&mut self, path: Option<PathBuf>) {
        if let Some(written) = &self.written {
            if path.as_deref() != Some(written.path()) {
                remove(written);
            } else if is_ours(written) {
                return;
            }
        }
        self.written = path.and_then(|path| self.write(&path));
        self.succeeds = false;
    }

    fn write(&self, path: &Path) -> Option<OwnFile> {
        let there = std::fs::symlink_metadata(path).ok();
        let is_device = |file: &Metadata| {
            let kind = file.file_type();
            kind.is_char_device() || kind.is_block_device()
        };
        if there.as_ref().is_some_and(is_device) {
            tell(&TellNotice::PidFileIsDevice { path: path.display().to_string() });
            return None;
        }
        self.say_what_is_replaced(path, there.as_ref());
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

    fn say_what_is_replaced(&self, path: &Path, there: Option<&Metadata>) {
        if there.is_some_and(Metadata::is_symlink) && !path.exists() {
            let target = std::fs::read_link(path).unwrap_or_default().display().to_string();
            let path = path.display().to_string();
            return tell(&TellNotice::PidFileWasLink { path, target });
        }
        let is_small = there.is_some_and(|file| file.is_file() && file.len() < 100);
        let named = is_small.then(|| std::fs::read_to_string(path).ok()).flatten();
        let named = named.and_then(|text| text.trim().parse::<u32>().ok());
        let lives = |pid: &u32| *pid != std::process::id() && Path::new(&format!("/proc/{pid}")).exists();
        if let Some(pid) = named.filter(lives).filter(|_| !self.succeeds && self.written.is_none()) {
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
