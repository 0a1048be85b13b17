//! A plain HAProxy with a stats socket, as long as it is needed.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use clearway_haproxy::change::transaction::{Dialled, Wire};
use libtest_mimic::Failed;

use super::binary::Binary;

/// How long a HAProxy may take for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// What all have in common.
pub(crate) struct Ground {
    /// The program.
    pub(crate) binary: Binary,
    /// Where the configuration and the files are that it names.
    pub(crate) files: PathBuf,
    /// What the variables of the configuration are.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// One that runs. Dropped, it is killed.
pub(crate) struct Living {
    child: Child,
    place: PathBuf,
}

impl Ground {
    /// Starts one from `haproxy.cfg`, with its sockets in a directory of its own. `None` if it refuses that.
    pub(crate) fn start(&self, place: &Path) -> Result<Option<Living>, Failed> {
        fs::create_dir_all(place)?;
        let stats = place.join("stats");
        let overlay = format!("global\n    stats socket {} level admin\n", stats.display());
        fs::write(place.join("overlay.cfg"), overlay)?;
        let words = File::create(place.join("words"))?;
        let mut process = self.binary.process();
        process.arg("-db").arg("-f").arg(self.files.join("haproxy.cfg"));
        process.arg("-f").arg(place.join("overlay.cfg")).env("PLACE", place);
        process.envs(self.variables.iter().map(|(name, value)| (name, value)));
        process.stdin(Stdio::null()).stdout(words.try_clone()?).stderr(words);
        let mut living = Living { child: process.spawn()?, place: place.to_path_buf() };
        let until = Instant::now() + LIMIT;
        while UnixStream::connect(&stats).is_err() {
            if living.child.try_wait()?.is_some() {
                return Ok(None);
            }
            if Instant::now() > until {
                return Err(format!("it does not answer: {}", living.words()).into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Some(living))
    }
}

impl Living {
    /// A way to its stats socket.
    pub(crate) fn wire(&self) -> impl Wire {
        let stats = self.place.join("stats");
        Dialled(move || UnixStream::connect(&stats))
    }

    pub(crate) fn ask(&self, command: &str) -> Result<String, Failed> {
        let answers = self.wire().ask(&[command], LIMIT).map_err(Failed::from)?;
        Ok(answers.into_iter().next().unwrap_or_default())
    }

    /// What it has written.
    pub(crate) fn words(&self) -> String {
        fs::read_to_string(self.place.join("words")).unwrap_or_default()
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.place);
    }
}
