//! HAProxy's command line, as the user gave it.
//!
//! Owns the reading of arguments the way HAProxy 2.4 to 3.5 read them (`src/haproxy.c`, `haproxy_init_args`):
//! mostly the first letter counts (`-file x` is `-f x`), `-sf` and `-st` swallow every word up to the next
//! dash, and after `--` there are only files. What fights with supervision is taken out and named
//! ([`Handled`]); everything else is passed on untouched, also flags that no HAProxy knows today: HAProxy is
//! the judge. The argument vector of one generation is built in [`Invocation::supervised_arguments`].
//!
//! Does not look at the files ([`crate::configuration`]) and starts nothing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod generation;
mod handled;

pub use generation::{ChildFd, GenerationFiles};
pub use handled::Handled;

/// What the arguments are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvocationPurpose {
    /// HAProxy is to serve: supervise it.
    Supervise,
    /// HAProxy is only asked for something (`-c`, `-cc`, `-v`, `-vv`, `-h`, `-dC`, `-dK`, `-dMhelp`), or no
    /// configuration is named, upon which it prints its usage: execute it in place with
    /// [`Invocation::arguments`]. (`-dK` without `-c` goes on to serve, in the foreground as in plain HAProxy.)
    AskOnly,
}

/// Why a command line cannot be HAProxy's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// An option that takes a value stands at the end.
    #[error("reading HAProxy's arguments: `{option}` needs a value ({what})")]
    ValueMissing {
        /// The option as given.
        option: String,
        /// What kind of value it takes.
        what: &'static str,
    },
    /// A word that belongs to no option. HAProxy only prints its usage then.
    #[error(
        "reading HAProxy's arguments: `{word}` belongs to no option; name a configuration with `-f {word}` or \
         after `--`"
    )]
    StrayWord {
        /// The word as given.
        word: String,
    },
}

/// A command line of HAProxy, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The program as the user named it, `haproxy` where the arguments begin with an option.
    pub program: OsString,
    /// All arguments after the program exactly as given: what [`InvocationPurpose::AskOnly`] executes.
    pub arguments: Vec<OsString>,
    /// What is passed on to every generation, in order, `-f` and its values included; ends before `--`.
    pub passed: Vec<OsString>,
    /// The files after `--`, if it was used.
    pub after_dashes: Option<Vec<OsString>>,
    /// All files and directories of the configuration in the order in which HAProxy reads them, as given:
    /// relative ones are relative to [`Self::working_directory`].
    pub configuration: Vec<PathBuf>,
    /// `-C`: HAProxy changes there before it opens any file (measured with 2.6.12, 3.0.11, 3.2.26).
    pub working_directory: Option<PathBuf>,
    /// `-L`: the name of the local peer, which is the hostname otherwise.
    pub local_peer: Option<OsString>,
    /// `-N`: the `maxconn` of frontends that have none, unless it is 0.
    pub frontend_maxconn: Option<u32>,
    /// `-p`: where Clearway writes its own pid, as given.
    pub pid_file: Option<PathBuf>,
    /// `-S`, each: where Clearway answers as HAProxy's master does ([`crate::master_cli`]).
    pub master_cli: Vec<OsString>,
    /// The options that were taken out or are given anyway, in order, for one log line each.
    pub handled: Vec<Handled>,
    /// What to do with it all.
    pub purpose: InvocationPurpose,
}

impl Invocation {
    /// Reads arguments, with the program first or not (a first word without a dash is the program).
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, CommandLineError> {
        let mut words: Vec<OsString> = words.into_iter().collect();
        let named = words.first().is_some_and(|word| !is_option(word) && !word.is_empty());
        let program = if named { words.remove(0) } else { OsString::from("haproxy") };
        let mut invocation = Self {
            program,
            arguments: words.clone(),
            passed: Vec::new(),
            after_dashes: None,
            configuration: Vec::new(),
            working_directory: None,
            local_peer: None,
            frontend_maxconn: None,
            pid_file: None,
            master_cli: Vec::new(),
            handled: Vec::new(),
            purpose: InvocationPurpose::Supervise,
        };
        let mut rest = RemainingWords { words: words.into_iter().peekable() };
        while let Some(word) = rest.words.next() {
            if !invocation.take(word, &mut rest)? {
                break;
            }
        }
        if invocation.configuration.is_empty() {
            invocation.purpose = InvocationPurpose::AskOnly;
        }
        Ok(invocation)
    }

    /// Whether HAProxy by itself would be a master with a worker: `-W` or `-Ws`.
    pub fn asks_for_a_master(&self) -> bool {
        let is_one =
            |handled: &Handled| matches!(handled, Handled::MasterWorker | Handled::MasterWorkerNotify);
        self.handled.iter().any(is_one)
    }

    /// Takes one option with its values. False: HAProxy would not read on.
    fn take(&mut self, option: OsString, rest: &mut RemainingWords) -> Result<bool, CommandLineError> {
        let flag = option.as_bytes().get(1..).unwrap_or_default().to_vec();
        if !is_option(&option) {
            return Err(CommandLineError::StrayWord { word: option.to_string_lossy().into_owned() });
        }
        match flag.as_slice() {
            b"-" => {
                let files: Vec<OsString> = rest.words.by_ref().collect();
                self.configuration.extend(files.iter().map(PathBuf::from));
                self.after_dashes = Some(files);
                return Ok(false);
            }
            // It answers at once and looks at nothing behind it.
            [b'v' | b'h', ..] => {
                self.purpose = InvocationPurpose::AskOnly;
                return Ok(false);
            }
            [b'c', b'c', ..] => {
                self.purpose = InvocationPurpose::AskOnly;
                rest.value(&option, "a condition")?;
            }
            [b'c', ..] | [b'd', b'C' | b'K', ..] | b"dMhelp" => self.purpose = InvocationPurpose::AskOnly,
            [b'd', b'b', ..] => self.handled.push(Handled::Foreground),
            [b'd', b't', ..] => self.pass_with_words(option, rest, 1),
            [b'q', ..] => self.handled.push(Handled::Quiet),
            [b'd' | b'V' | b'4', ..] => self.passed.push(option),
            [b'D', ..] => self.handled.push(Handled::Daemon),
            [b'W', b's', ..] => self.handled.push(Handled::MasterWorkerNotify),
            [b'W', ..] => self.handled.push(Handled::MasterWorker),
            [b'x', ..] => self.handled.push(Handled::SocketsFrom(rest.value(&option, "a socket")?)),
            [b'S', ..] => self.master_cli.push(rest.value(&option, "an address")?),
            [b's', b'f', ..] => self.handled.push(Handled::Finish(rest.plain_words(usize::MAX))),
            [b's', b't', ..] => self.handled.push(Handled::Terminate(rest.plain_words(usize::MAX))),
            [b'p', ..] => self.pid_file = Some(rest.value(&option, "a file for the pid")?.into()),
            [letter @ (b'f' | b'C' | b'L' | b'n' | b'm' | b'N'), ..] => {
                let mut value = rest.value(&option, meaning(*letter))?;
                match letter {
                    b'f' => self.configuration.push(PathBuf::from(&value)),
                    // A master (up to 3.0) executes itself anew when it has forked its worker, with the same words, and
                    // is in that directory already: it does not find a relative one, and ends.
                    b'C' => {
                        if let Ok(absolute) = std::path::absolute(&value) {
                            value = absolute.into_os_string();
                        }
                        self.working_directory = Some(PathBuf::from(&value));
                    }
                    b'L' => self.local_peer = Some(value.clone()),
                    b'N' => self.frontend_maxconn = value.to_str().and_then(|number| number.parse().ok()),
                    _ => {}
                }
                self.passed.extend([option, value]);
            }
            // Unknown to every HAProxy so far: a newer one may take it, with or without values.
            _ => self.pass_with_words(option, rest, usize::MAX),
        }
        Ok(true)
    }

    fn pass_with_words(&mut self, option: OsString, rest: &mut RemainingWords, at_most: usize) {
        self.passed.push(option);
        self.passed.extend(rest.plain_words(at_most));
    }
}

/// The arguments that were not read yet.
struct RemainingWords {
    words: std::iter::Peekable<std::vec::IntoIter<OsString>>,
}

impl RemainingWords {
    /// The value of an option: the next word, even if it begins with a dash.
    fn value(&mut self, option: &OsStr, what: &'static str) -> Result<OsString, CommandLineError> {
        self.words.next().ok_or_else(|| CommandLineError::ValueMissing {
            option: option.to_string_lossy().into_owned(),
            what,
        })
    }

    /// The words up to the next one that begins with a dash.
    fn plain_words(&mut self, at_most: usize) -> Vec<OsString> {
        let mut found = Vec::new();
        while found.len() < at_most
            && let Some(word) = self.words.next_if(|word| !is_option(word))
        {
            found.push(word);
        }
        found
    }
}

fn is_option(word: &OsStr) -> bool {
    word.as_bytes().first() == Some(&b'-')
}

fn meaning(letter: u8) -> &'static str {
    match letter {
        b'f' => "a configuration file or directory",
        b'C' => "a directory",
        b'L' => "the name of the local peer",
        b'm' => "megabytes",
        _ => "a number of connections",
    }
}

#[cfg(test)]
mod tests;
