//! The servers behind the balancer: each says which address it saw.
//!
//! In [`Mode::Line`] a connection is greeted with `<address seen> <server name>` and then every line comes back
//! until the client closes, so that a long session can be held and checked. Two lines are special:
//! `bulk <n>` is answered with that many bytes (throughput), `reset` with a reset.
//! In [`Mode::Http`] every request gets a 200 with the same greeting as its body, keep-alive included.

mod serve;

use std::io::Read;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use serve::serve;

use crate::cli::this_program;
use crate::namespace::Namespace;
use crate::process::Process;

/// What a server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// A greeting line, then an echo of lines.
    Line,
    /// HTTP/1.1 with the greeting as body.
    Http,
    /// Accept and reset at once: for the tests of the load generator.
    Reset,
    /// Accept and close at once: likewise.
    Mute,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Http => "http",
            Self::Reset => "reset",
            Self::Mute => "mute",
        }
    }
}

/// A server as a process inside a namespace; it ends when the value is dropped.
#[derive(Debug)]
pub struct Server {
    /// The process, for tests that want to kill or stop it.
    pub process: Process,
}

impl Server {
    /// Starts `clearway-lab server` and returns once it listens.
    pub fn start(host: &Namespace, name: &str, listen: &[SocketAddr], mode: Mode) -> Result<Self> {
        let mut command = host.command(this_program()?);
        command.args(["server", "--name", name, "--mode", mode.word()]);
        for address in listen {
            command.args(["--listen", &address.to_string()]);
        }
        command.stdout(Stdio::piped());
        let mut process = host.spawn(command)?;
        wait_for_ready(&mut process).with_context(|| format!("starting server {name} on {listen:?}"))?;
        Ok(Self { process })
    }
}

fn wait_for_ready(process: &mut Process) -> Result<()> {
    let Some(mut stdout) = process.take_stdout() else { bail!("the standard output was not piped") };
    let timeout = Duration::from_secs(10) * crate::wait::patience();
    let timeout = Timespec::try_from(timeout).context("a timeout")?;
    let waiting = poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&timeout)).context("polling")?;
    ensure!(waiting == 1, "it did not say `ready` in time");
    let mut word = [0; 16];
    let read = stdout.read(&mut word).context("reading its output")?;
    ensure!(word.get(..read).is_some_and(|said| said.starts_with(b"ready")), "it ended without `ready`");
    Ok(())
}
