//! Any bytes as the answer to whatever HAProxy is asked over its runtime API.

use std::io::Write;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::batch::{ask_all, fit, is_one_command, split};
use super::{Channel, CliCommand, CliResponse, text};

/// Never reached: the other end has said everything before it is heard.
const LIMIT: Duration = Duration::from_secs(5);

/// An answer.
pub(crate) fn runtime_api(data: &[u8]) {
    for channel in [Channel::Worker, Channel::Master] {
        if let Some((connection, _theirs)) = answering(data) {
            match CliCommand::show_info().ask(&connection, channel, LIMIT) {
                Ok(response) => assert!(!data.is_empty() && response.text.len() <= 3 * data.len()),
                Err(error) => drop(error.to_string()),
            }
        }
    }
    let answer = text(data.to_vec());
    line_by_line(data);
    several_answers(data);
    as_an_answer(&answer);
    let commands: Vec<&str> = answer.lines().collect();
    let fitting = fit(&commands);
    assert!(fitting <= commands.len() && (fitting > 0 || commands.is_empty()));
}

/// A connection whose other end (the second one, which is still to hear what it is asked) has said this and nothing more.
fn answering(data: &[u8]) -> Option<(UnixStream, UnixStream)> {
    let (ours, mut theirs) = UnixStream::pair().ok()?;
    theirs.write_all(data).ok()?;
    theirs.shutdown(Shutdown::Write).ok()?;
    Some((ours, theirs))
}

/// All lines come, in their order.
fn line_by_line(data: &[u8]) {
    let Some((connection, _theirs)) = answering(data) else { return };
    let mut lines = Vec::new();
    let ended = CliCommand::show_table("t").ask_by_line(&connection, Channel::Worker, LIMIT, |line| {
        lines.push(line.to_owned());
        ControlFlow::Continue(())
    });
    let wanted = data.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let wanted: Vec<String> =
        wanted.map(|line| String::from_utf8_lossy(line).trim_end_matches('\n').to_owned()).collect();
    assert_eq!(lines, wanted);
    let is_whole = data == b"\n" || data.ends_with(b"\n\n");
    assert_eq!(ended.is_ok(), is_whole);
}

fn several_answers(data: &[u8]) {
    let answers = split(&String::from_utf8_lossy(data));
    let Some((connection, _theirs)) = answering(data) else { return };
    match ask_all(&connection, &["a", "b c\\;d"], LIMIT) {
        Ok(got) => assert_eq!(got, answers),
        Err(_) => assert_ne!(answers.len(), 2),
    }
}

fn as_an_answer(answer: &str) {
    let response = CliResponse { command: CliCommand::show_info(), text: answer.to_owned() };
    let _ = (response.done(), response.is_no_such_session(), response.refusal().to_string());
    if let Ok(info) = response.info() {
        assert!(info.get("Pid").is_some());
    }
    if let Ok(processes) = response.processes() {
        assert!(processes.workers().count() < processes.all.len());
    }
    for session in response.sessions() {
        if let Ok(command) = CliCommand::shutdown_session(&session.id) {
            assert!(is_one_command(&command.to_string()));
        }
    }
    if let Ok(statistics) = response.statistics() {
        assert!(statistics.starts_with('#') && statistics.ends_with('\n'));
    }
}
