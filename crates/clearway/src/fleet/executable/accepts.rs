//! Whether HAProxy accepts a configuration that is nowhere on disk (`haproxy -c`).

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::complaint::Complaint;

use super::{Executable, hear_out};
use crate::fleet::child::{Rights, confine};
use crate::fleet::launch::memory_files::memory_file;

/// How long that may take.
pub const CHECKING: Duration = Duration::from_secs(15);

/// Where a child finds its standard input.
const STANDARD_INPUT: &str = "/proc/self/fd/0";

/// What it has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It accepts it.
    Accepted,
    /// It does not, for this reason: the line of its words that tells most.
    Refused(String),
    /// It could not be asked, or did not answer.
    Unknown(String),
}

impl Executable {
    /// Asks, until `deadline` at most. Blocks; on any thread. It has no rights but those to read files, and is where the
    /// generations are, for paths that are relative.
    pub fn accepts(&self, text: &str, invocation: &Invocation, deadline: Instant) -> Acceptance {
        let asked = self.check(text, invocation).and_then(|mut child| {
            let output = child.stderr.take();
            hear_out(child, output, deadline)
        });
        match asked {
            Ok((status, _)) if status.success() => Acceptance::Accepted,
            Ok((status, said)) => {
                let complaint = Complaint::read(said.as_bytes());
                let line = complaint.headline().map(without_its_head);
                Acceptance::Refused(line.unwrap_or_else(|| format!("`haproxy -c` ended with {status}")))
            }
            Err(error) => Acceptance::Unknown(format!("`haproxy -c`: {error}")),
        }
    }

    fn check(&self, text: &str, invocation: &Invocation) -> io::Result<Child> {
        let file = memory_file("clearway-excerpt", text.as_bytes())?;
        let mut command = Command::new(&self.name);
        if let Some(directory) = &invocation.working_directory {
            command.arg("-C").arg(directory);
        }
        command.args(["-c", "-f", STANDARD_INPUT]);
        command.stdin(file).stdout(Stdio::null()).stderr(Stdio::piped());
        confine(&mut command, Rights::TO_EXECUTE, None);
        command.spawn()
    }
}

/// Without level, process and the name of our file: `[ALERT] (12) : config : parsing [/proc/self/fd/0:7] : unknown keyword`.
fn without_its_head(line: &str) -> String {
    let line = line.split_once("] : ").or_else(|| line.split_once(") : ")).map_or(line, |(_, rest)| rest);
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_is_told() {
        let line =
            "[ALERT]    (12) : config : parsing [/proc/self/fd/0:7] : 'server b/s' : unknown keyword 'x'.";
        assert_eq!(without_its_head(line), "'server b/s' : unknown keyword 'x'.");
        assert_eq!(without_its_head("[ALERT] (1) : config : no such file"), "config : no such file");
        assert_eq!(without_its_head("what?"), "what?");
    }
}
