//! HAProxy's standard error: passed on, as [`voice`](crate::tell::voice) says, and the last lines remembered for reports, all of them.
//!
//! Standard output is not touched at all: `log stdout` writes straight to the container's (docs/decisions/0034).

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::pipe::PipeFlags;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::tell::output;
use crate::tell::voice::Voice;

/// How many lines are remembered, and how long each may be: a report is for a person to read.
const LINES: usize = 100;
const LINE_LENGTH: usize = 2_000;

/// After the end of HAProxy's master: how long its worker, or a program that HAProxy has started, may hold the pipe
/// open. Only a report and a leave wait for it.
pub const REST: Duration = Duration::from_millis(500);

/// What one generation said last, and the task that listens.
#[derive(Debug)]
pub struct StandardError {
    lines: Arc<Mutex<LastLines>>,
    task: JoinHandle<()>,
    heard: watch::Receiver<()>,
    /// What it calls files that have another name for people.
    names: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct LastLines {
    complete: VecDeque<String>,
    partial: Vec<u8>,
}

impl StandardError {
    /// Listens until the last process that has the pipe is gone, whose end for the child comes with it. `names`: its names
    /// of files, and what they are to be called in reports.
    ///
    /// Made before there is a process, so that nothing can fail when there is one.
    pub fn listen(voice: Voice, names: Vec<(String, String)>) -> std::io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let pipe = Receiver::from_owned_fd(ours)?;
        let lines = Arc::new(Mutex::new(LastLines::default()));
        let (say, heard) = watch::channel(());
        let task = tokio::spawn(pass_on(pipe, voice, Arc::clone(&lines), say));
        Ok((Self { lines, task, heard, names }, theirs))
    }

    /// Changes whenever something is said from now on.
    pub fn heard(&self) -> watch::Receiver<()> {
        let mut heard = self.heard.clone();
        heard.mark_unchanged();
        heard
    }

    /// Everything that was said by the end; another process that has the pipe is not waited for long.
    pub async fn all(self) -> Vec<String> {
        let Self { lines, task, names, .. } = self;
        let _ = tokio::time::timeout(REST, task).await;
        lines.lock().unwrap_or_else(PoisonError::into_inner).finish();
        complete(&lines, &names)
    }

    /// The lines that were said so far.
    pub fn so_far(&self) -> Vec<String> {
        complete(&self.lines, &self.names)
    }
}

fn complete(lines: &Mutex<LastLines>, names: &[(String, String)]) -> Vec<String> {
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.complete.iter().map(|line| renamed(line, names)).collect()
}

/// The line with other names of files.
fn renamed(line: &str, names: &[(String, String)]) -> String {
    let mut line = line.to_owned();
    for (from, to) in names {
        let mut parts = line.split(&**from);
        let mut renamed = parts.next().unwrap_or_default().to_owned();
        for rest in parts {
            // `/proc/self/fd/25` is not the beginning of `/proc/self/fd/252`.
            renamed += if rest.starts_with(|c: char| c.is_ascii_digit()) { from } else { to };
            renamed += rest;
        }
        line = renamed;
    }
    line
}

async fn pass_on(pipe: Receiver, mut voice: Voice, lines: Arc<Mutex<LastLines>>, heard: watch::Sender<()>) {
    follow(pipe, &mut voice, |bytes| {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        heard.send_replace(());
    })
    .await;
}

/// Passes on what comes through a pipe until its last writer is gone; `also` hears it, too.
pub async fn follow(mut pipe: Receiver, voice: &mut Voice, mut also: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 8192];
    loop {
        match pipe.read(&mut buffer).await {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(length) => {
                let bytes = &buffer[..length];
                pass(&voice.hear(bytes));
                also(bytes);
            }
        }
    }
    pass(&voice.end());
}

fn pass(bytes: &[u8]) {
    if !bytes.is_empty() {
        output::to_stderr(bytes);
    }
}

impl LastLines {
    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.finish(),
                _ if self.partial.len() < LINE_LENGTH => self.partial.push(*byte),
                _ => {}
            }
        }
    }

    fn finish(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).trim_end().to_owned();
        if !line.is_empty() {
            self.complete.push_back(line);
        }
        if self.complete.len() > LINES {
            self.complete.pop_front();
        }
    }
}

#[cfg(any(test, feature = "fuzz"))]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
