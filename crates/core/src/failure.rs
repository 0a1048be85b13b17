//! Why something failed, for people and for scripts: the exit code, the message, the hints.

use crate::exit::ExitCode;
use crate::notice::parts;

/// Why a generation, or a subcommand, failed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    /// What Clearway exits with if this was its first generation.
    pub code: ExitCode,
    /// What was being done, on what, and why it failed.
    pub message: String,
    /// HAProxy's own words, line by line.
    pub words: Vec<String>,
    /// The lines of the files that these words name, as they were read: `haproxy.cfg:5: bind :80 nonsense`. Not for the log.
    #[serde(skip)]
    pub lines: Vec<String>,
    /// The command or flag that mends it, where one is known.
    pub hints: Vec<String>,
    /// Set if HAProxy closed its private socket: its end, which tells more, is to be expected.
    #[serde(skip)]
    pub closed: bool,
    /// Set if HAProxy lacked only the descriptors that it would reserve for Clearway: it is started once more without
    /// them.
    #[serde(skip)]
    pub lacks_only_ours: bool,
}

parts! {
    Failure as failure {
        error: String = failure.message.clone(),
        exit_code: ExitCode = failure.code,
        hints: Vec<String> = failure.hints.clone(),
    }
}

impl Failure {
    /// A failure with nothing but a message.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            words: Vec::new(),
            lines: Vec::new(),
            hints: Vec::new(),
            closed: false,
            lacks_only_ours: false,
        }
    }

    /// The same with a line that helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
