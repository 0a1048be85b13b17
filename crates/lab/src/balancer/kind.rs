//! Which balancers there are: their programs, words and signals.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::Signal;

/// Which balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Kind {
    /// `clearway haproxy -f FILE`.
    Clearway,
    /// `haproxy -W -db -f FILE`: what a container without Clearway runs.
    PlainMasterWorker,
}

impl Kind {
    /// What reloads it.
    pub fn reload_signal(self) -> Signal {
        match self {
            Self::Clearway => Signal::HUP,
            Self::PlainMasterWorker => Signal::USR2,
        }
    }

    /// What lets it drain and end: a plain master takes SIGTERM for "at once".
    pub fn drain_signal(self) -> Signal {
        match self {
            Self::Clearway => Signal::TERM,
            Self::PlainMasterWorker => Signal::USR1,
        }
    }

    /// The command line before `-f`.
    pub(super) fn words(self) -> Result<Vec<String>> {
        Ok(match self {
            Self::Clearway => vec![path_text(&clearway_program()?)?, "haproxy".into()],
            Self::PlainMasterWorker => vec![haproxy_program(), "-W".into(), "-db".into()],
        })
    }
}

/// The binary under test: `$CLEARWAY_BIN`, else the release build of this tree.
pub fn clearway_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CLEARWAY_BIN") {
        return Ok(path.into());
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/clearway");
    built.canonicalize().with_context(|| {
        format!("no {}: `cargo build --release -p clearway`, or set CLEARWAY_BIN", built.display())
    })
}

/// HAProxy: `$HAPROXY_BIN`, else where Debian puts it.
pub fn haproxy_program() -> String {
    std::env::var("HAPROXY_BIN").unwrap_or_else(|_| "/usr/sbin/haproxy".into())
}

pub(super) fn path_text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
