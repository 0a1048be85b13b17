//! Several commands in one line, for a worker: HAProxy answers each in its turn.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::exchange::exchange;
use super::{Channel, CliCommand, RuntimeError};
use crate::deadline::Deadline;

/// The longest line of commands. HAProxy takes one that fits into a buffer (`tune.bufsize`, 16 KiB if unsaid) but for
/// what it keeps free of it (`tune.maxrewrite`, 1 KiB).
const LONGEST_LINE: usize = 4 << 10;

/// Gives commands line after line, as many in each as fit, and answers with what was said to each. `ask` gives those of one line,
/// in what is left of the limit for all.
pub fn in_lines<E>(
    commands: &[&str],
    limit: Duration,
    mut ask: impl FnMut(&[&str], Duration) -> Result<Vec<String>, E>,
) -> Result<Vec<String>, E> {
    let until = Instant::now().checked_add(limit);
    let mut answers = Vec::new();
    let mut open = commands;
    while !open.is_empty() {
        let (some, rest) = open.split_at(fit(open));
        let left = until.map_or(limit, |until| until.saturating_duration_since(Instant::now()));
        answers.extend(ask(some, left)?);
        open = rest;
    }
    Ok(answers)
}

/// How many of these commands go into one line; one at least.
pub(super) fn fit(commands: &[&str]) -> usize {
    let mut length = 0;
    let fitting = commands.iter().take_while(|command| {
        length += command.len() + 1;
        length < LONGEST_LINE
    });
    fitting.count().max(1).min(commands.len())
}

/// Gives a worker several commands in one line, and reads the answer to each: empty lines end them. Fails if there are
/// not as many answers as commands. The connection is of no use afterwards.
pub fn ask_all(
    connection: &UnixStream,
    commands: &[&str],
    limit: Duration,
) -> Result<Vec<String>, RuntimeError> {
    let line = CliCommand(commands.join(";"));
    let named = CliCommand(commands.first().copied().unwrap_or_default().to_owned());
    if let Some(wrong) = commands.iter().find(|one| !is_one_command(one)) {
        return Err(RuntimeError::NotOneCommand((*wrong).to_owned()));
    }
    let answered =
        exchange(connection, format!("{line}\n").as_bytes(), Channel::Worker, Deadline::after(limit));
    let answer = answered.map_err(|errno| named.unanswered(errno, limit))?;
    let answers = split(&String::from_utf8_lossy(&answer));
    if answers.len() == commands.len() {
        return Ok(answers);
    }
    let answer = format!("{} answers to {} commands", answers.len(), commands.len());
    Err(RuntimeError::Refused { command: named, answer })
}

/// Gives a worker one command, with a payload behind `<<` if there is one: lines that each end with a newline, none of them empty.
/// The connection is of no use afterwards.
pub fn ask_one(
    connection: &UnixStream,
    command: &str,
    payload: Option<&str>,
    limit: Duration,
) -> Result<String, RuntimeError> {
    let wrong = payload.is_some_and(|payload| !payload.ends_with('\n') || payload.lines().any(str::is_empty));
    if wrong || !is_one_command(command) {
        return Err(RuntimeError::NotOneCommand(command.to_owned()));
    }
    let line = payload.map_or_else(|| format!("{command}\n"), |payload| format!("{command} <<\n{payload}\n"));
    let answered = exchange(connection, line.as_bytes(), Channel::Worker, Deadline::after(limit));
    let answer = answered.map_err(|errno| CliCommand(command.to_owned()).unanswered(errno, limit))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whether a worker takes it for one command: a semicolon ends one, unless a backslash stands before it.
pub(crate) fn is_one_command(text: &str) -> bool {
    let mut escaped = false;
    let ends = |c: char| {
        let ends = matches!(c, '\n' | '\r' | '\0') || (c == ';' && !escaped);
        escaped = c == '\\' && !escaped;
        ends
    };
    !text.is_empty() && !text.chars().any(ends) && !escaped
}

/// The answers to several commands: each is lines without an empty one, then an empty one.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut answers = Vec::new();
    let mut answer = String::new();
    for line in text.lines() {
        if line.is_empty() {
            answers.push(std::mem::take(&mut answer));
        } else {
            answer.push_str(line);
            answer.push('\n');
        }
    }
    if !answer.is_empty() {
        answers.push(answer);
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_several_commands_are_told_apart() {
        assert_eq!(split("\n"), [""]);
        assert_eq!(split("\nNo such server.\n\n\n"), ["", "No such server.\n", ""]);
        assert_eq!(
            split("no need to change the addr\n by x\n\n\n"),
            ["no need to change the addr\n by x\n", ""]
        );
        assert!(split("").is_empty());
        let long = "x".repeat(3000);
        assert_eq!(fit(&[&long, &long]), 1);
        assert_eq!(fit(&["a", "b"]), 2);
        assert_eq!(fit(&[&"x".repeat(9000), "b"]), 1);
    }

    #[test]
    fn an_escaped_semicolon_ends_no_command() {
        for one in ["set table t key a", r"set table t key a\;b", r"a\\b"] {
            assert!(is_one_command(one), "{one}");
        }
        for several in ["a;b", r"a\\;b", "a\nb", "", "a\\"] {
            assert!(!is_one_command(several), "{several}");
        }
    }
}
