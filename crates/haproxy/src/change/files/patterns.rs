//! Maps and patterns: a new version is made, filled, and taken.

use super::super::plan::{Expect, PlanOrder, PlanStep, StepKind};
use super::super::words::speakable;
use super::check::{FileAnswer, FileCheck};

/// What an entry may be without doubt about how HAProxy reads it, from a file and over the runtime API.
const UNUSUAL: &str =
    "it has a line that the runtime API may read otherwise than HAProxy reads it from a file";

/// A map: each line is a key, blanks and a value.
pub(super) fn map(name: &str, text: &str, longest: usize) -> Result<(PlanStep, FileCheck), &'static str> {
    let mut lines = Vec::new();
    for line in entries(text) {
        let (key, value) = line.split_once([' ', '\t']).ok_or("a key has no value")?;
        let value = value.trim_start_matches([' ', '\t']);
        let fine = key.chars().all(|c| c.is_ascii_graphic()) && value.chars().all(|c| !c.is_control());
        if !fine || value.is_empty() || value.ends_with(' ') || line.len() >= longest {
            return Err(UNUSUAL);
        }
        lines.push(format!("{key} {value}"));
    }
    let mut filled = Vec::new();
    let mut payload = String::new();
    let mut fill = |payload: &mut String| {
        let payload = std::mem::take(payload);
        if !payload.is_empty() {
            let command = format!("add map @{{version}} {name}");
            filled.push(PlanOrder::new(command, Expect::Silence).with_payload(payload));
        }
    };
    for line in &lines {
        if payload.len() + line.len() + 1 > longest {
            fill(&mut payload);
        }
        payload.push_str(line);
        payload.push('\n');
    }
    fill(&mut payload);
    Ok(versioned(StepKind::Map, "map", name, filled, lines))
}

/// Patterns: each line is one.
pub(super) fn acl(name: &str, text: &str) -> Result<(PlanStep, FileCheck), &'static str> {
    let lines: Vec<String> = entries(text).map(str::to_owned).collect();
    if lines.iter().any(|line| !is_plain(line)) {
        return Err(UNUSUAL);
    }
    let add = |line: &String| PlanOrder::new(format!("add acl @{{version}} {name} {line}"), Expect::Silence);
    let filled = lines.iter().map(add).collect();
    Ok(versioned(StepKind::AclFile, "acl", name, filled, lines))
}

/// Lines without blanks before them, comments and empty ones.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let lines = lines.map(|line| line.trim_start_matches([' ', '\t']));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn versioned(
    kind: StepKind,
    word: &str,
    name: &str,
    filled: Vec<PlanOrder>,
    lines: Vec<String>,
) -> (PlanStep, FileCheck) {
    let prepare = PlanOrder::new(format!("prepare {word} {name}"), Expect::Version);
    let commit = PlanOrder::new(format!("commit {word} @{{version}} {name}"), Expect::Silence);
    let orders = [prepare].into_iter().chain(filled).chain([commit]).collect();
    let count = lines.len();
    let why = format!("another content, with {count} {}", if count == 1 { "entry" } else { "entries" });
    let step = PlanStep { kind, object: name.to_owned(), why, orders };
    (step, FileCheck { command: format!("show {word} {name}"), answer: FileAnswer::Entries(lines) })
}

/// Whether the runtime API takes it for one word, as it is; `@` begins the number of a version.
pub(super) fn is_plain(word: &str) -> bool {
    speakable(word) && !word.contains('@')
}
