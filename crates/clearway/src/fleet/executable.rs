//! The HAProxy on disk: where it is, which version it is, and short questions to it.
//!
//! The version is asked for again only when the file has changed: a reload picks a new HAProxy up, and
//! pays for `haproxy -v` (6 to 9 ms) only then. Clones know what one of them has found out; of two that ask at the same
//! time one waits for the other.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_haproxy::version::Version;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::fleet::child::{Rights, confine};
use crate::fleet::files::Stamp;

mod accepts;

pub use accepts::{Acceptance, CHECKING};

/// How long a question to HAProxy may take. `-v` and `-cc` read no configuration.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// More than `haproxy -v` ever says.
const LONGEST_ANSWER: usize = 64 << 10;

/// The program that is started, and what is known about it.
#[derive(Clone, Debug)]
pub struct Executable {
    name: OsString,
    known: Arc<Mutex<Option<KnownVersion>>>,
    /// Held while it is asked.
    asking: Arc<Mutex<()>>,
}

/// What the file said the last time.
#[derive(Clone, Debug)]
struct KnownVersion {
    stamp: Stamp,
    version: Version,
    /// As it writes it itself.
    text: String,
}

impl Executable {
    /// The program as the user named it: a name on `PATH`, or a path.
    pub fn new(name: OsString) -> Self {
        Self { name, known: Arc::default(), asking: Arc::default() }
    }

    /// The program as it is given to exec.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The version that was found last.
    pub fn known_version(&self) -> Option<Version> {
        self.known().map(|known| known.version)
    }

    /// The same as HAProxy writes it itself: `2.6.12-1+deb12u4`.
    pub fn known_text(&self) -> Option<String> {
        self.known().map(|known| known.text)
    }

    fn known(&self) -> Option<KnownVersion> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The version of the file that is on disk now. Blocks, for [`PATIENCE`] at most if the file itself answers, and as long
    /// for a clone that asks already.
    pub fn version(&self) -> Result<Version, Failure> {
        let path = self.find()?;
        let stamp = std::fs::metadata(&path)
            .map(|file| Stamp::of(&file))
            .map_err(|error| missing(&format!("looking at `{}`: {error}", path.display())))?;
        let _asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        match self.known() {
            Some(known) if known.stamp == stamp => Ok(known.version),
            _ => {
                let (version, text) = ask_version(&path)?;
                let known = KnownVersion { stamp, version, text };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                Ok(version)
            }
        }
    }

    /// Whether a condition of the configuration holds, by `haproxy -cc` (2.5 and later); unset if HAProxy
    /// does not understand it, or does not answer until `deadline`. Blocks.
    pub fn holds(&self, condition: &str, deadline: Instant) -> Option<bool> {
        let (status, _) = ask(Path::new(&self.name), &["-cc", condition], deadline).ok()?;
        match status.code() {
            Some(0) => Some(true),
            Some(1) => Some(false),
            _ => None,
        }
    }

    /// The file, found as exec will find it.
    pub fn find(&self) -> Result<PathBuf, Failure> {
        let executable = |path: &PathBuf| {
            std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        if self.name.as_encoded_bytes().contains(&b'/') {
            let path = PathBuf::from(&self.name);
            return if executable(&path) {
                Ok(path)
            } else {
                Err(missing(&format!("`{}` is not there or cannot be executed", path.display())))
            };
        }
        let search = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&search)
            .map(|directory| directory.join(&self.name))
            .find(executable)
            .ok_or_else(|| {
                missing(&format!("`{}` is not on PATH ({})", self.name.display(), search.display()))
            })
    }
}

fn missing(problem: &str) -> Failure {
    Failure::new(ExitCode::NoHaproxy, format!("looking for HAProxy: {problem}")).hint(
        "install the package `haproxy`: `apt-get install haproxy` (Debian, Ubuntu), `apk add haproxy` (Alpine), \
         `dnf install haproxy` (Fedora, RHEL)",
    )
}

/// It is there and could not be asked.
fn unanswered(path: &Path, error: &io::Error) -> Failure {
    let problem = format!("asking `{} -v`: {error}", path.display());
    if error.kind() != io::ErrorKind::TimedOut {
        return missing(&problem);
    }
    let message = format!("looking for HAProxy: {problem} after {} s", PATIENCE.as_secs());
    Failure::new(ExitCode::NoHaproxy, message)
        .hint("HAProxy answers within milliseconds: is this host starved of processor time, or is it another program?")
}

fn ask_version(path: &Path) -> Result<(Version, String), Failure> {
    let (status, answer) =
        ask(path, &["-v"], Instant::now() + PATIENCE).map_err(|error| unanswered(path, &error))?;
    if answer.is_empty() {
        return Err(missing(&format!("`{} -v` said nothing ({status})", path.display())));
    }
    let version =
        Version::parse(&answer).map_err(|error| missing(&format!("`{}`: {error}", path.display())))?;
    if version.supported() {
        let text = answer.split_whitespace().nth(2).unwrap_or_default();
        Ok((version, text.to_owned()))
    } else {
        let message = format!("`{}` is HAProxy {version}; Clearway needs 2.4 or later", path.display());
        Err(Failure::new(ExitCode::NoHaproxy, message).hint(
            "install a newer package `haproxy`: Debian 12 has 2.6, Debian 13 has 3.0, Ubuntu 22.04 has 2.4",
        ))
    }
}

/// Runs HAProxy for an answer on its standard output. Blocks, until `deadline` at most. May be called on any thread: the
/// reaper leaves the children of other threads alone, and what is asked ends with the thread that asks.
fn ask(program: &Path, arguments: &[&str], deadline: Instant) -> io::Result<(ExitStatus, String)> {
    let mut child = start(program, arguments)?;
    let output = child.stdout.take();
    hear_out(child, output, deadline)
}

/// Reads what it says until it has ended, and ends it if that takes too long.
fn hear_out(
    mut child: Child,
    output: Option<impl Read + AsFd>,
    deadline: Instant,
) -> io::Result<(ExitStatus, String)> {
    let answer =
        read_until(output, deadline).and_then(|answer| wait_until(&child, deadline).map(|()| answer));
    if answer.is_err() {
        kill(&child);
    }
    let status = child.wait()?;
    answer.map(|bytes| (status, String::from_utf8_lossy(&bytes).into_owned()))
}

/// Without any right, if the file can be executed so.
fn start(program: &Path, arguments: &[&str]) -> io::Result<Child> {
    let with = |rights| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        confine(&mut command, rights, None);
        command.spawn()
    };
    match with(Rights::NONE) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => with(Rights::TO_EXECUTE),
        outcome => outcome,
    }
}

/// It and what it has started, if it is a script: that is in its process group. It is still ours and not reaped, so the
/// number is right.
fn kill(child: &Child) {
    if let Some(pid) = pid(child) {
        // An error means that there is none.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// It may have closed its standard output and go on.
fn wait_until(child: &Child, deadline: Instant) -> io::Result<()> {
    let Some(pid) = pid(child) else { return Ok(()) };
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    readable_until(&handle, deadline)
}

/// Waits until there is something to read, or the end.
fn readable_until(what: &impl AsFd, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = rustix::event::Timespec::try_from(left).map_err(io::Error::other)?;
        match rustix::event::poll(&mut [PollFd::new(what, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            outcome => return outcome.map(|_| ()).map_err(Into::into),
        }
    }
}

fn read_until(output: Option<impl Read + AsFd>, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let Some(mut output) = output else { return Ok(answer) };
    let mut buffer = [0; 4096];
    loop {
        readable_until(&output, deadline)?;
        match output.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(0) => return Ok(answer),
            Ok(length) if answer.len() < LONGEST_ANSWER => answer.extend_from_slice(&buffer[..length]),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
