//! Commands that the client has for a real master, a worker, or the shell: what they are told.

use std::ops::Range;

use super::{
    AccessLevel, Dialogue, DialogueStep, DialogueTarget, Modes, OwnCommand, PendingPayload, ProcessTable,
    Severity, command, find,
};

/// What HAProxy's commands say; those of the conversation itself have an exclamation mark.
const DENIED: &str = "Permission denied";

impl Dialogue {
    /// `@@1`: everything that has come is for the worker.
    pub(super) fn converse(
        &mut self,
        text: &[u8],
        words: &[Range<usize>],
        table: &ProcessTable,
    ) -> DialogueStep {
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
    pub(super) fn ask(&mut self, target: DialogueTarget, text: &[u8], table: &ProcessTable) -> DialogueStep {
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
