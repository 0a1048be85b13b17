//! The conversation with one client: a machine that is given bytes, and says what is to be done.
//!
//! It holds one command at most: what does not fit is answered with the help, as HAProxy does, and nothing is to be read while a
//! command is under way. The payload of a command is passed on as it comes.

mod forward;
mod step;

use std::fmt::Write;
use std::ops::Range;

use super::processes::ProcessTable;
use super::{AccessLevel, Dialect, command};

pub use step::{DialogueStep, DialogueTarget, OwnCommand};

/// How long a command may be: HAProxy's buffer (`tune.bufsize`) without what is kept free of it (`tune.maxrewrite`).
const LONGEST_COMMAND: usize = (16 << 10) - (1 << 10);

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

    /// Whether a real master has only the beginning of a line of a payload. A worker from 3.2 on (3.2.26, 3.4.7) never stops
    /// looking for the end of such a line, with all of a processor, also when its client is gone.
    pub fn is_within_a_line(&self) -> bool {
        self.payload.as_ref().is_some_and(|payload| !payload.at_line)
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
}

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
