//! The options that fight with supervision, and the one line that explains what becomes of each.

use std::ffi::OsString;
use std::fmt;

/// An option that is not passed on. Its `Display` is one line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// `-D`: beats `-db`. A HAProxy with `-W -db -D` leaves its parent (measured with 2.6.12, 3.0.11, 3.2.26),
    /// unlike `daemon` in the file, which `-db` beats.
    Daemon,
    /// `-W`
    MasterWorker,
    /// `-Ws`
    MasterWorkerNotify,
    /// `-db`
    Foreground,
    /// `-q`: HAProxy would not say why it refuses a configuration (measured with 2.6.12 and 3.4.7).
    Quiet,
    /// `-sf PIDS`
    Finish(Vec<OsString>),
    /// `-st PIDS`
    Terminate(Vec<OsString>),
    /// `-x SOCKET`
    SocketsFrom(OsString),
}

impl fmt::Display for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("`-D` is left out: Clearway supervises HAProxy in the foreground"),
            Self::MasterWorker => {
                f.write_str("`-W` is given anyway: each generation is one master and one worker")
            }
            Self::MasterWorkerNotify => {
                f.write_str("`-Ws` is left out: Clearway itself tells the service manager when it is ready")
            }
            Self::Foreground => {
                f.write_str("`-db` is given anyway: Clearway supervises HAProxy in the foreground")
            }
            Self::Quiet => {
                f.write_str("`-q` is left out: HAProxy would not say why it refuses a configuration")
            }
            Self::Finish(pids) => write!(
                f,
                "`-sf{}` is left out: Clearway tells the former generation to finish once the next one serves",
                list(pids)
            ),
            Self::Terminate(pids) => write!(
                f,
                "`-st{}` is left out: Clearway ends the former generation once the next one serves",
                list(pids)
            ),
            Self::SocketsFrom(socket) => write!(
                f,
                "`-x {}` is left out: Clearway holds the listening sockets and hands them over",
                socket.display()
            ),
        }
    }
}

fn list(words: &[OsString]) -> String {
    words.iter().flat_map(|word| [" ".into(), word.to_string_lossy()]).collect()
}
