//! The counters of the generation that serves, written into its `stats-file` for the next one, which reads them when it starts.
//!
//! ```text
//!   a reload, a takeover, a stop --> a thread: dump stats-file --> FILE.clearway-PID, renamed to FILE
//!                                                                     '--> the next HAProxy reads FILE
//! ```
//!
//! Whatever becomes of it, what waits for it goes on [`SAVING`] later. After a crash nothing can be asked: the last dump counts.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clearway_core::hints::Remark;
use clearway_core::names::Generation;

use crate::debug;
use crate::fleet::worker_cli::WorkerCli;
use crate::ground::aside::Single;
use crate::ground::{own_file, places};

/// How long HAProxy may take to say them.
const DUMPING: Duration = Duration::from_secs(2);

/// The same, and to write them: the file may be on a machine that does not answer.
pub const SAVING: Duration = Duration::from_secs(3);

/// What can be saved at this moment.
#[derive(Debug)]
pub struct Counters {
    saving: Single,
    worker: WorkerCli,
}

impl Counters {
    /// Those of a worker.
    pub fn of(worker: WorkerCli, statistics: &Statistics) -> Self {
        Self { saving: statistics.saving.clone(), worker }
    }

    /// Asks for them and writes them; what is wrong, if something is. Blocks, for [`SAVING`] at most.
    pub fn save(self, file: &Path) -> Option<Remark> {
        let (sender, outcome) = channel();
        let (worker, to) = (self.worker, file.to_owned());
        let work = move || save(&worker, &to);
        let begun = self.saving.spawn("writing HAProxy's counters", work, move |saved| {
            // It may not be waited for any more.
            let _ = sender.send(saved);
        });
        match outcome.recv_timeout(SAVING) {
            Ok(saved) => saved.err(),
            Err(RecvTimeoutError::Timeout) => {
                Some(in_vain(file, &format!("no answer within {} s", SAVING.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) if begun => Some(in_vain(file, "the thread has ended")),
            Err(RecvTimeoutError::Disconnected) => Some(in_vain(file, "the last time is not over yet")),
        }
    }
}

fn in_vain(file: &Path, why: &str) -> Remark {
    format!("writing HAProxy's counters into its `stats-file` {}: {why}; the next HAProxy begins with what is there", file.display())
        .into()
}

fn save(worker: &WorkerCli, file: &Path) -> Result<(), Remark> {
    let text = worker.statistics(DUMPING).map_err(|error| in_vain(file, &error.to_string()))?;
    write(file, &text).map_err(|error| {
        let place = places::no_file(file);
        let why = place.as_ref().map_or_else(|| error.to_string(), |place| place.saw.clone());
        let remedy = place.map_or_else(|| "name a file that can be written".to_owned(), |place| place.remedy);
        Remark { hints: vec![remedy], ..in_vain(file, &why) }
    })?;
    debug!("HAProxy's counters are in {}", file.display());
    Ok(())
}

/// A whole file in its place; where its directory cannot be written, or it is mounted, the same file with other content.
fn write(file: &Path, text: &str) -> io::Result<()> {
    // Not the link, if it is one.
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let former = std::fs::metadata(&file).ok();
    if former.as_ref().is_some_and(|former: &Metadata| !former.is_file()) {
        return Err(io::Error::other("it is no regular file"));
    }
    own_file::replace(&file, text.as_bytes(), former.as_ref()).or_else(|error| match former {
        Some(_) => std::fs::write(&file, text),
        None => Err(error),
    })
}

/// The saving, of which there is one at a time.
#[derive(Debug, Default)]
pub struct Statistics {
    saving: Single,
    /// What a stop waits for.
    pub last: LastCounters,
}

/// The counters of the generation that a stop finds serving.
#[derive(Debug, Default)]
pub enum LastCounters {
    /// There is nothing to save.
    #[default]
    Nothing,
    /// They are saved before it is told to drain.
    Due(Generation, Counters, PathBuf),
    /// They are being saved.
    UnderWay(Generation),
}

#[cfg(test)]
mod tests;
