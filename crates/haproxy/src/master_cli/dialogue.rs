//! The conversation with one client: a machine that is given bytes, and says what is to be done.
//!
//! It holds one command at most: what does not fit is answered with the help, as HAProxy does, and nothing is to be read while a
//! command is under way. The payload of a command is passed on as it comes.

use std::fmt::Write;
use std::ops::Range;

use super::processes::ProcessTable;
use super::{AccessLevel, Dialect, command};

/// How long a command may be: HAProxy's buffer (`tune.bufsize`) without what is kept free of it (`tune.maxrewrite`).
const LONGEST_COMMAND: usize = (16 << 10) - (1 << 10);

/// What a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogueTarget {
    /// The master.
    Master,
    /// The worker with this process id.
    Worker(u32),
}

/// A command of the master that the shell carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnCommand {
    /// `show proc [debug]`
    ShowProcesses {
        /// Whether it says `debug`.
        debug: bool,
    },
    /// `show startup-logs`
    ShowStartupLogs,
    /// `reload`, `hard-reload`: the connection ends with the answer.
    Reload,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogueStep {
    /// Read more.
    More,
    /// Write this; it may be nothing.
    Say(String),
    /// Write this, and close the connection.
    End(String),
    /// Carry this out, write the answer and an empty line, then the prompt.
    Own(OwnCommand),
    /// Connect to the master that has this worker, or to that of the serving generation, and write this; unless a payload
    /// follows, pass on all that it answers, then the prompt.
    Ask {
        /// Which.
        target: DialogueTarget,
        /// What a real master is told.
        bytes: Vec<u8>,
        /// Whether [`DialogueStep::Payload`] follows.
        payload: bool,
    },
    /// Write this to the same connection, then the prompt; after the last one, pass on what it answers.
    Payload {
        /// A line, or a part of a long one.
        bytes: Vec<u8>,
        /// Whether it is the last one.
        is_last: bool,
    },
    /// Connect, write this, and pass on what both sides say until the worker's ends.
    Speak {
        /// The worker.
        worker: u32,
        /// What a real master is told.
        bytes: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Severity {
    #[default]
    None,
    String,
    Number,
}

/// What is turned on for every command.
#[derive(Clone, Copy, Debug, Default)]
struct Modes {
    experimental: bool,
    expert: bool,
    debug: bool,
    severity: Severity,
}

/// Lines that belong to the command before them.
#[derive(Clone, Debug)]
struct PendingPayload {
    /// The line that ends it.
    pattern: Vec<u8>,
    /// Whether the next bytes begin a line.
    at_line: bool,
    /// Set where the lines are for nothing: what follows them.
    own: Option<OwnCommand>,
}

/// The conversation with one client.
#[derive(Debug)]
pub struct Dialogue {
    dialect: Dialect,
    level: AccessLevel,
    modes: Modes,
    prompts: bool,
    timed: bool,
    target: DialogueTarget,
    input: Vec<u8>,
    payload: Option<PendingPayload>,
}

impl Dialogue {
    /// It has just begun.
    pub fn new(dialect: Dialect, level: AccessLevel) -> Self {
        Self {
            dialect,
            level,
            modes: Modes::default(),
            prompts: false,
            timed: false,
            target: DialogueTarget::Master,
            input: Vec::new(),
            payload: None,
        }
    }

    /// The client has written this.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// What is to be done next.
    pub fn step(&mut self, table: &ProcessTable) -> DialogueStep {
        if let Some(payload) = self.payload.take() {
            return self.payload_line(payload, table);
        }
        // All of its line is for the worker. (From 3.2 on HAProxy waits for a line in any case, and a client that writes
        // `reload;quit` without an end, as the data plane API does, for an answer.)
        let needs_line = self.dialect.has_conversations()
            && self.input.trim_ascii_start().starts_with(b"@@")
            && !self.input.contains(&b'\n');
        let end = command::end(&self.input).filter(|_| !needs_line);
        let Some(end) = end else {
            if self.input.len() < LONGEST_COMMAND {
                return DialogueStep::More;
            }
            self.input.clear();
            return self.obey(b"help", table);
        };
        let rest = self.input.split_off(end + 1);
        let mut text = std::mem::replace(&mut self.input, rest);
        text.truncate(end);
        self.obey(&text, table)
    }

    /// What is written when a command is done, if the client wants to see it.
    pub fn prompt(&self, table: &ProcessTable) -> String {
        if !self.prompts {
            return String::new();
        }
        if self.payload.is_some() {
            return "+ ".to_owned();
        }
        let mut text = String::new();
        if self.timed {
            text.push_str(&self.time(table));
        }
        // Writing to a String cannot fail.
        let _ = match self.target {
            DialogueTarget::Master if table.master.failed > 0 => write!(text, "master[ReloadFailed]"),
            DialogueTarget::Master => write!(text, "master"),
            DialogueTarget::Worker(pid) => write!(text, "{pid}"),
        };
        let Modes { experimental, expert, debug, .. } = self.modes;
        if experimental || expert || debug {
            let flags = [(experimental, 'x'), (expert, 'e'), (debug, 'd')];
            let flags: String = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).collect();
            let _ = write!(text, "({flags})");
        }
        text + "> "
    }

    fn time(&self, table: &ProcessTable) -> String {
        let uptime = match self.target {
            DialogueTarget::Master => Some(table.master.uptime),
            DialogueTarget::Worker(pid) => {
                table.workers.iter().find(|worker| worker.pid == pid).map(|worker| worker.uptime)
            }
        };
        uptime.map_or("[gone] ".to_owned(), |uptime| {
            let up = uptime.as_secs();
            format!("[{}:{:02}:{:02}:{:02}] ", up / 86_400, up / 3_600 % 24, up / 60 % 60, up % 60)
        })
    }

    fn payload_line(&mut self, mut payload: PendingPayload, table: &ProcessTable) -> DialogueStep {
        let end = self.input.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        if end.is_none() && self.input.len() < LONGEST_COMMAND {
            self.payload = Some(payload);
            return DialogueStep::More;
        }
        let rest = self.input.split_off(end.unwrap_or(self.input.len()));
        let bytes = std::mem::replace(&mut self.input, rest);
        let is_last = payload.at_line && bytes.strip_suffix(b"\n") == Some(&payload.pattern);
        payload.at_line = end.is_some();
        let own = payload.own;
        self.payload = Some(payload).filter(|_| !is_last);
        match own {
            Some(own) if is_last => DialogueStep::Own(own),
            Some(_) => DialogueStep::Say(self.prompt(table)),
            None => DialogueStep::Payload { bytes, is_last },
        }
    }

    fn obey(&mut self, text: &[u8], table: &ProcessTable) -> DialogueStep {
        let words = command::words(text);
        let word = |at: usize| words.get(at).map_or(&b""[..], |word: &Range<usize>| &text[word.clone()]);
        if word(0).starts_with(b"@@") && self.dialect.has_conversations() {
            return self.converse(text, &words, table);
        }
        match (word(0), word(1)) {
            ([b'@', ..], _) => return self.address(text, &words, table),
            (b"prompt", _) => return self.set_prompt(text, &words, table),
            (b"quit", _) => return DialogueStep::End(self.prompt(table)),
            (b"operator", _) => return self.lower(AccessLevel::Operator, table),
            (b"user", _) => return self.lower(AccessLevel::User, table),
            (b"expert-mode" | b"experimental-mode" | b"mcli-debug-mode", _)
                if self.level < AccessLevel::Admin =>
            {
                return self.denied(table);
            }
            (b"expert-mode", on) => self.modes.expert = on == b"on",
            (b"experimental-mode", on) => self.modes.experimental = on == b"on",
            (b"mcli-debug-mode", on) => self.modes.debug = on == b"on",
            (b"set", b"severity-output") if self.dialect.has_severity() => {
                self.modes.severity = match word(2) {
                    b"none" => Severity::None,
                    b"string" => Severity::String,
                    b"number" => Severity::Number,
                    _ => {
                        let words = "one of 'none', 'number', 'string' is a required argument\n";
                        return self.error(words.to_owned(), table);
                    }
                }
            }
            _ => return self.ask(self.target, text, table),
        }
        DialogueStep::Say(self.prompt(table))
    }

    fn set_prompt(&mut self, text: &[u8], words: &[Range<usize>], table: &ProcessTable) -> DialogueStep {
        let (mut wanted, mut timed) = (None, false);
        if self.dialect.has_prompt_modes() {
            for word in words.iter().skip(1) {
                match &text[word.clone()] {
                    b"i" => wanted = Some(false),
                    b"p" => wanted = Some(true),
                    b"timed" => timed = true,
                    _ => return self.error(PROMPT_USAGE.to_owned(), table),
                }
            }
        }
        self.timed ^= timed;
        self.prompts = wanted.unwrap_or(timed || !self.prompts);
        DialogueStep::Say(self.prompt(table))
    }

    fn lower(&mut self, level: AccessLevel, table: &ProcessTable) -> DialogueStep {
        if self.level < level {
            return self.denied(table);
        }
        self.level = level;
        DialogueStep::Say(self.prompt(table))
    }

    fn denied(&mut self, table: &ProcessTable) -> DialogueStep {
        self.error("Permission denied!\n".to_owned(), table)
    }

    /// What the client cannot have; what it has written behind it is not looked at.
    fn error(&mut self, words: String, table: &ProcessTable) -> DialogueStep {
        if self.dialect.ends_at_errors() {
            return DialogueStep::End(words);
        }
        self.input.clear();
        DialogueStep::Say(words + &self.prompt(table))
    }

    /// A command that begins with `@`.
    fn address(&mut self, text: &[u8], words: &[Range<usize>], table: &ProcessTable) -> DialogueStep {
        let Some(first) = words.first() else { return DialogueStep::More };
        let prefix = &text[first.clone()];
        let Some(target) = find(&prefix[1..], table) else { return self.not_found(prefix, table) };
        match words.get(1) {
            None => {
                self.target = target;
                DialogueStep::Say(self.prompt(table))
            }
            Some(second) => self.ask(target, &text[second.start..], table),
        }
    }

    fn not_found(&mut self, prefix: &[u8], table: &ProcessTable) -> DialogueStep {
        let prefix = String::from_utf8_lossy(prefix);
        self.error(format!("Can't find the target PID matching the prefix '{prefix}'\n"), table)
    }

    /// `@@1`: everything that has come is for the worker.
    fn converse(&mut self, text: &[u8], words: &[Range<usize>], table: &ProcessTable) -> DialogueStep {
        let Some(first) = words.first() else { return DialogueStep::More };
        let prefix = &text[first.clone()];
        // HAProxy's master does not speak so with itself.
        let Some(DialogueTarget::Worker(worker)) = find(&prefix[2..], table) else {
            return self.not_found(prefix, table);
        };
        let mut bytes = self.level_line();
        bytes.extend_from_slice(format!("@@!{worker} ").as_bytes());
        if let Some(second) = words.get(1) {
            bytes.extend_from_slice(&text[second.start..]);
        } else {
            bytes.extend_from_slice(if self.prompts { b"prompt p" } else { b"prompt i" });
            bytes.extend_from_slice(if self.timed { b" timed" } else { b"" });
        }
        bytes.push(b'\n');
        bytes.append(&mut self.input);
        DialogueStep::Speak { worker, bytes }
    }

    /// A command for a master or a worker.
    fn ask(&mut self, target: DialogueTarget, text: &[u8], table: &ProcessTable) -> DialogueStep {
        let own = match target {
            DialogueTarget::Master => self.own(text),
            DialogueTarget::Worker(_) => None,
        };
        let own = match own {
            Some(Err(words)) => return DialogueStep::Say(format!("{words}\n\n{}", self.prompt(table))),
            Some(Ok(own)) => Some(own),
            None => None,
        };
        let pattern = self.payload_pattern(text);
        let payload = pattern.is_some();
        self.payload = pattern.map(|pattern| PendingPayload { pattern, at_line: true, own });
        match own {
            Some(own) if !payload => DialogueStep::Own(own),
            Some(_) => DialogueStep::Say(self.prompt(table)),
            None => DialogueStep::Ask { target, bytes: self.for_a_master(target, text), payload },
        }
    }

    /// What ends the payload of a command, if it has one.
    fn payload_pattern(&self, text: &[u8]) -> Option<Vec<u8>> {
        let last = command::words(text).pop()?;
        let pattern = text[last].strip_prefix(b"<<")?;
        (pattern.len() <= self.dialect.longest_pattern()).then(|| pattern.to_vec())
    }

    /// A command that the shell carries out, or why not.
    fn own(&self, text: &[u8]) -> Option<Result<OwnCommand, &'static str>> {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let words: Vec<&[u8]> = command::words(text).into_iter().map(|word| &text[word]).collect();
        let may_operate = self.level >= AccessLevel::Operator;
        let is_strict = self.dialect.has_show_proc_debug();
        Some(match words.as_slice() {
            [b"reload" | b"hard-reload", ..] if may_operate => Ok(OwnCommand::Reload),
            [b"reload" | b"hard-reload", ..] => Err(DENIED),
            [b"show", b"startup-logs", ..] => Ok(OwnCommand::ShowStartupLogs),
            [b"show", b"proc", ..] if is_strict && !may_operate => Err(DENIED),
            [b"show", b"proc", b"debug", ..] => Ok(OwnCommand::ShowProcesses { debug: true }),
            [b"show", b"proc", other, ..] if is_strict && !other.starts_with(b"<<") => {
                Err("'show proc' only supports 'debug' as argument")
            }
            [b"show", b"proc", ..] => Ok(OwnCommand::ShowProcesses { debug: false }),
            _ => return None,
        })
    }

    /// The lines for a real master, with which it does the same for this one command.
    fn for_a_master(&self, target: DialogueTarget, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let is_empty = command::words(text).is_empty();
        if !is_empty {
            let Modes { experimental, expert, debug, severity } = self.modes;
            let modes = [
                (debug && target == DialogueTarget::Master, "mcli-debug-mode on\n"),
                (experimental, "experimental-mode on\n"),
                (expert, "expert-mode on\n"),
                (severity == Severity::String, "set severity-output string\n"),
                (severity == Severity::Number, "set severity-output number\n"),
            ];
            let modes = modes.into_iter().filter(|(set, _)| *set);
            modes.for_each(|(_, line)| bytes.extend_from_slice(line.as_bytes()));
            bytes.append(&mut self.level_line());
        }
        let prefix = match target {
            DialogueTarget::Master if is_empty => String::new(),
            // Alone, a prefix is for what follows.
            DialogueTarget::Worker(pid) if is_empty => format!("@!{pid}\n"),
            DialogueTarget::Master => "@master ".to_owned(),
            DialogueTarget::Worker(pid) => format!("@!{pid} "),
        };
        bytes.extend_from_slice(prefix.as_bytes());
        bytes.extend_from_slice(text);
        bytes.push(b'\n');
        bytes
    }

    fn level_line(&self) -> Vec<u8> {
        match self.level {
            AccessLevel::Admin => Vec::new(),
            AccessLevel::Operator => b"operator\n".to_vec(),
            AccessLevel::User => b"user\n".to_vec(),
        }
    }
}

/// What HAProxy's commands say; those of the conversation itself have an exclamation mark.
const DENIED: &str = "Permission denied";

const PROMPT_USAGE: &str = "\
Usage: prompt [help | i | p | timed]*
Changes the default prompt and interactive mode. Available options:
  help    display this help
  i       set to interactive mode only (no prompt, multi-command)
  p       set to prompt+interactive mode (prompt + multi-command)
  timed   toggle displaying the current date in the prompt
Without any argument, toggles between i<->p.
";

/// What is meant by the characters behind `@`.
fn find(prefix: &[u8], table: &ProcessTable) -> Option<DialogueTarget> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
    match prefix {
        b"" | b"master" => Some(DialogueTarget::Master),
        [b'!', pid @ ..] => {
            let pid = number(pid)?;
            table.workers.iter().any(|worker| worker.pid == pid).then_some(DialogueTarget::Worker(pid))
        }
        relative => match number(relative)? {
            0 => Some(DialogueTarget::Master),
            1 => table.current().map(DialogueTarget::Worker),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests;
