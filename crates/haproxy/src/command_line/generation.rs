//! The argument vector of one generation.
//!
//! `haproxy -W -db <passed on> -sf PID -S sockpair@M -x sockpair@N -f <overlay>`; where the user wrote `--`, the
//! overlay follows the files behind it. The overlay is the last file in any case, so that it has the last
//! word in `global`.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::Invocation;

/// The number of a descriptor as the child sees it.
///
/// A number and not an `OwnedFd`, because it stands in HAProxy's arguments and means something only in the
/// other process. The child keeps such numbers in master *and* worker (measured with 2.6.12, 3.0.11, 3.2.26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildFd(pub u16);

impl ChildFd {
    /// The address that HAProxy takes for our end of a socket pair: `sockpair@N`.
    pub fn sockpair(self) -> String {
        format!("sockpair@{}", self.0)
    }

    /// The path under which the child can open a descriptor a second time: `/proc/self/fd/N`.
    pub fn path(self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0))
    }
}

impl fmt::Display for ChildFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What Clearway gives to one generation beside the user's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationFiles {
    /// The overlay: a path, or [`ChildFd::path`] of a memfd.
    pub overlay: PathBuf,
    /// HAProxy's end of the pair for the master CLI (`-S`), over which a draining worker still answers.
    pub master_cli: Option<ChildFd>,
    /// HAProxy's end of the pair over which it asks for its listening sockets (`-x`). With `-W`, an answer
    /// that fails or is missing for one second is only a line on stderr: HAProxy then binds for itself
    /// (measured with 2.6.12, 3.0.11, 3.2.26), so prove the adoption ([`crate::inventory::adoption`]).
    pub sockets_from: Option<ChildFd>,
    /// The pid that HAProxy is told of as its predecessor (`-sf`), and that it sends `SIGUSR1`: with one it waits for
    /// its local peer to teach it the stick tables, without one it does not (`nb_oldpids` in `peers.c`, 2.4 to 3.5).
    pub told: Option<u32>,
    /// Where it writes its pid instead of the `pidfile` that its files name: that one is Clearway's.
    pub pid_file: Option<ChildFd>,
    /// Files to be read instead of those that the user named, in their order: copies of what they said before.
    pub copies: Option<Vec<PathBuf>>,
}

impl Invocation {
    /// The arguments (without the program) with which one generation is started.
    pub fn supervised_arguments(&self, files: &GenerationFiles) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-W".into(), "-db".into()];
        match &files.copies {
            None => arguments.extend(self.passed.iter().cloned()),
            Some(copies) => {
                arguments.extend(self.passed_without_files());
                arguments.extend(copies.iter().flat_map(|copy| ["-f".into(), copy.clone().into_os_string()]));
            }
        }
        if let Some(pid) = files.told {
            arguments.extend(["-sf".into(), pid.to_string().into()]);
        }
        if let Some(fd) = files.pid_file {
            arguments.extend(["-p".into(), fd.path().into_os_string()]);
        }
        if let Some(fd) = files.master_cli {
            arguments.extend(["-S".into(), fd.sockpair().into()]);
        }
        if let Some(fd) = files.sockets_from {
            arguments.extend(["-x".into(), fd.sockpair().into()]);
        }
        if let Some(after) = self.after_dashes.as_ref().filter(|_| files.copies.is_none()) {
            arguments.push("--".into());
            arguments.extend(after.iter().cloned());
        } else {
            arguments.push("-f".into());
        }
        arguments.push(files.overlay.clone().into_os_string());
        arguments
    }

    /// What is passed on, but for `-f` and its values.
    fn passed_without_files(&self) -> Vec<OsString> {
        let mut words = self.passed.iter();
        let mut kept = Vec::new();
        while let Some(word) = words.next() {
            match word.as_bytes() {
                [b'-', b'f', ..] => {
                    words.next();
                }
                [b'-', b'C' | b'L' | b'n' | b'm' | b'N', ..] => {
                    kept.push(word.clone());
                    kept.extend(words.next().cloned());
                }
                _ => kept.push(word.clone()),
            }
        }
        kept
    }
}
