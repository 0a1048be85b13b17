//! How commands reach HAProxy: a connection to its stats socket for each line, as a worker closes it after one.

use std::fmt::Display;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::runtime::batch;

/// What carries commands to a HAProxy and its answers back. Errors are for people.
pub trait Wire {
    /// Gives commands in as few lines as they fit into, and reads the answer to each.
    fn ask(&mut self, commands: &[&str], within: Duration) -> Result<Vec<String>, String>;

    /// Gives one with a payload, whose lines are none of them empty and end with a newline.
    fn give(&mut self, command: &str, payload: &str, within: Duration) -> Result<String, String>;
}

/// Over connections that this makes, one for each line.
#[derive(Debug)]
pub struct Dialled<F>(pub F);

impl<E: Display, F: FnMut() -> Result<UnixStream, E>> Wire for Dialled<F> {
    fn ask(&mut self, commands: &[&str], within: Duration) -> Result<Vec<String>, String> {
        batch::in_lines(commands, within, |some, left| {
            let connection = (self.0)().map_err(|error| error.to_string())?;
            // The answer to one alone may have empty lines.
            let said = match some {
                [one] => batch::ask_one(&connection, one, None, left).map(|answer| vec![answer]),
                _ => batch::ask_all(&connection, some, left),
            };
            said.map_err(|error| error.to_string())
        })
    }

    fn give(&mut self, command: &str, payload: &str, within: Duration) -> Result<String, String> {
        let connection = (self.0)().map_err(|error| error.to_string())?;
        batch::ask_one(&connection, command, Some(payload), within).map_err(|error| error.to_string())
    }
}
