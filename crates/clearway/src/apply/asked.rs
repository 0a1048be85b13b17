//! What the HAProxy that serves is asked over its private socket, and what its program is asked about files.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clearway_haproxy::change::transaction::{Dialled, Wire};
use clearway_haproxy::change::{Capabilities, Expected, ReloadReason};
use clearway_haproxy::runtime::state::ServersState;
use clearway_haproxy::runtime::{Channel, CliCommand};
use clearway_haproxy::sockpair::{self, SockpairError};

use crate::apply::given_up::GivenUp;

/// How long an answer may take.
pub const ANSWERING: Duration = Duration::from_secs(5);

/// A wire to it, over connections that are made for each line.
pub fn wire(stats: &OwnedFd) -> impl Wire {
    Dialled(move || -> Result<UnixStream, SockpairError> { sockpair::dial(stats) })
}

/// One that gives no more commands from the moment on at which the attempt is given up.
pub struct Revocable<'a, W>(pub W, pub &'a GivenUp);

impl<W> Revocable<'_, W> {
    fn check(&self) -> Result<(), String> {
        if self.1.is_set() { Err("it was given up".to_owned()) } else { Ok(()) }
    }
}

impl<W: Wire> Wire for Revocable<'_, W> {
    fn ask(&mut self, commands: &[&str], within: Duration) -> Result<Vec<String>, String> {
        self.check()?;
        self.0.ask(commands, within)
    }

    fn give(&mut self, command: &str, payload: &str, within: Duration) -> Result<String, String> {
        self.check()?;
        self.0.give(command, payload, within)
    }
}

/// What it can change at run time. Blocks.
pub fn capabilities(stats: &OwnedFd) -> Result<Capabilities, String> {
    let connection = sockpair::dial(stats).map_err(|error| error.to_string())?;
    let info = CliCommand::show_info().ask(&connection, Channel::Worker, ANSWERING);
    let info = info.and_then(|answer| answer.info()).map_err(|error| error.to_string())?;
    let version = info.version.ok_or("HAProxy does not say its version")?;
    let help = wire(stats).ask(&["help"], ANSWERING)?;
    Ok(Capabilities::new(version, &help.concat()))
}

/// Which moment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The one before the first command.
    Before,
    /// The one after the last.
    After,
}

/// What is not as it should be of the servers. Blocks. Fails if HAProxy does not answer.
pub fn unexpected(
    wire: &mut impl Wire,
    expected: &Expected,
    moment: Moment,
) -> Result<Vec<ReloadReason>, String> {
    let questions = expected.questions();
    let mut answers = Vec::new();
    for question in &questions {
        answers.extend(wire.ask(&[question.as_str()], ANSWERING)?);
    }
    let states = answers.iter().map(|answer| ServersState::of(answer).ok_or_else(|| first_line(answer)));
    let states: Vec<_> = states.collect::<Result<_, _>>()?;
    Ok(match moment {
        Moment::Before => expected.before(states),
        Moment::After => expected.after(states),
    })
}

fn first_line(answer: &str) -> String {
    format!("HAProxy said `{}`", answer.lines().next().unwrap_or_default())
}
