//! Any bytes as what a client of the master CLI writes.

use std::time::Duration;

use super::{AccessLevel, Dialect, Dialogue, DialogueStep, MasterView, ProcessTable, ProgramRow, WorkerRow};
use crate::version::Version;

const LEVELS: [AccessLevel; 3] = [AccessLevel::Admin, AccessLevel::Operator, AccessLevel::User];
const VERSIONS: [(u16, u16); 6] = [(2, 6), (2, 9), (3, 0), (3, 1), (3, 2), (3, 4)];

/// The first byte says which HAProxy this is and what the client may do; the others are written.
pub(crate) fn master_cli(data: &[u8]) {
    let Some((choice, written)) = data.split_first() else { return };
    let choice = usize::from(*choice);
    let level = LEVELS[choice % LEVELS.len()];
    let (major, minor) = VERSIONS[choice / LEVELS.len() % VERSIONS.len()];
    let dialect = Dialect::of(Some(Version::release(major, minor, 0)));
    let table = table();
    let whole = talk(Dialogue::new(dialect, level), &table, [written]);
    for step in &whole {
        keeps_its_level(step, level);
    }
    let bytewise = talk(Dialogue::new(dialect, level), &table, written.chunks(1));
    // Else what follows an error is not looked at, as far as it has come.
    if dialect.ends_at_errors() {
        assert_eq!(whole, bytewise, "it depends on how the bytes arrive");
    }
}

fn table() -> ProcessTable {
    let uptime = Duration::from_secs(90_061);
    let worker = |pid, leaves| WorkerRow { pid, uptime, reloads: 3, leaves, version: "3.0.11".to_owned() };
    ProcessTable {
        master: MasterView { pid: 7, uptime, reloads: 5, failed: 1 },
        version: "3.0.11".to_owned(),
        workers: vec![worker(12, false), worker(11, true)],
        programs: vec![ProgramRow { pid: 9, name: "p".to_owned(), uptime, leaves: false }],
    }
}

/// What is to be done when these have come, one after the other.
fn talk<'a>(
    mut dialogue: Dialogue,
    table: &ProcessTable,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<DialogueStep> {
    let (mut steps, mut heard) = (Vec::new(), 0);
    for piece in pieces {
        dialogue.hear(piece);
        heard += piece.len();
        loop {
            assert!(steps.len() <= heard, "a step takes a byte at least: {steps:?}");
            match dialogue.step(table) {
                DialogueStep::More => break,
                step @ (DialogueStep::End(_) | DialogueStep::Speak { .. }) => {
                    steps.push(step);
                    return steps;
                }
                step => steps.push(step),
            }
        }
        let prompt = dialogue.prompt(table);
        assert!(prompt.is_empty() || prompt.ends_with("> ") || prompt == "+ ", "{prompt:?}");
    }
    let _ = dialogue.is_within_a_line();
    steps
}

/// A real master hears first what the client may do, unless there is no command.
fn keeps_its_level(step: &DialogueStep, level: AccessLevel) {
    let (DialogueStep::Ask { bytes, .. } | DialogueStep::Speak { bytes, .. }) = step else { return };
    let text = String::from_utf8_lossy(bytes);
    let is_lowered =
        text.lines().any(|line| line == "user" || line == "operator" && level == AccessLevel::Operator);
    let command = text.trim_start_matches("@master").trim_start_matches("@!");
    let is_empty =
        command.trim_start_matches(|c: char| c.is_ascii_digit()).trim_matches([' ', '\t', '\n']).is_empty();
    assert!(level == AccessLevel::Admin || is_lowered || is_empty, "{text:?}");
}
