//! The sections `program` (2.0 to 3.2): processes that HAProxy's master would start.
//!
//! Where such sections are kept from HAProxy ([`crate::derived::Sections::WithoutPrograms`]), it checks them no more; so
//! what it would refuse is refused here ([`ProgramSections::that_count`]), in its words (`src/mworker-prog.c`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::global::TOLERANT;
use super::guards::Guard;
use super::span::{Section, Span};
use crate::version::Version;

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSection {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub span: Span,
    /// The words of `command`; the first is looked for in `PATH` unless it has a slash.
    pub command: Vec<String>,
    /// `user NAME`
    pub user: Option<(String, Span)>,
    /// `group NAME`
    pub group: Option<(String, Span)>,
    /// Unless it says `no option start-on-reload`.
    pub starts_on_reload: bool,
}

/// Why HAProxy would refuse a section. Displays as HAProxy says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing [{span}]: {what}")]
pub struct RefusedProgram {
    /// The line.
    pub span: Span,
    /// What is wrong with it.
    pub what: String,
}

/// All sections `program` of a configuration, with their lines, those in `.if` blocks too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramSections {
    sections: Vec<ProgramLines>,
    /// `master-worker no-exit-on-failure` in `global`.
    tolerant: Vec<Arc<[Guard]>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProgramLines {
    section: Arc<Section>,
    guards: Arc<[Guard]>,
    /// What stands in it: where, which words, under which conditions.
    content: Vec<(Span, Vec<String>, Arc<[Guard]>)>,
}

impl ProgramSections {
    /// Whether HAProxy of this version knows such sections.
    pub fn known_to(version: Version) -> bool {
        version < Version::release(3, 3, 0)
    }

    /// Whether there are none, whatever their conditions say.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Whether one is to run as another user or group.
    pub fn changes_user(&self) -> bool {
        let mut lines = self.sections.iter().flat_map(|section| &section.content);
        lines.any(|(_, words, _)| matches!(words.first().map(String::as_str), Some("user" | "group")))
    }

    pub(super) fn section(&mut self, section: &Arc<Section>, guards: Arc<[Guard]>) {
        if section.keyword == "program" {
            self.sections.push(ProgramLines { section: Arc::clone(section), guards, content: Vec::new() });
        }
    }

    pub(super) fn line(&mut self, span: &Span, section: &Section, words: &[String], guards: Arc<[Guard]>) {
        match (section.keyword.as_str(), words) {
            ("program", _) => {
                if let Some(last) = self.sections.last_mut() {
                    last.content.push((span.clone(), words.to_vec(), guards));
                }
            }
            ("global", [keyword, option, ..]) if keyword == "master-worker" && option == TOLERANT => {
                self.tolerant.push(guards);
            }
            _ => {}
        }
    }

    /// Whether the death of a program is no reason for HAProxy's master to end everything.
    pub fn may_die(&self, counts: &mut dyn FnMut(&[Guard]) -> bool) -> bool {
        self.tolerant.iter().any(|guards| counts(guards))
    }

    /// The sections that count under their conditions, in the order of the files.
    pub fn that_count(
        &self,
        counts: &mut dyn FnMut(&[Guard]) -> bool,
    ) -> Result<Vec<ProgramSection>, RefusedProgram> {
        let mut names = BTreeSet::new();
        let mut programs = Vec::new();
        for one in &self.sections {
            if !counts(&one.guards) {
                continue;
            }
            let program = one.read(counts)?;
            if !names.insert(program.name.clone()) {
                let what = format!("'{}' program section already exists in the configuration.", program.name);
                return Err(RefusedProgram { span: program.span, what });
            }
            programs.push(program);
        }
        Ok(programs)
    }
}

impl ProgramLines {
    fn read(&self, counts: &mut dyn FnMut(&[Guard]) -> bool) -> Result<ProgramSection, RefusedProgram> {
        let Section { name, span, .. } = &*self.section;
        let refused = |span: &Span, what: String| RefusedProgram { span: span.clone(), what };
        if name.is_empty() {
            return Err(refused(span, "'program' expects an <id> argument".to_owned()));
        }
        let mut program = ProgramSection {
            name: name.clone(),
            span: span.clone(),
            command: Vec::new(),
            user: None,
            group: None,
            starts_on_reload: true,
        };
        for (at, words, _) in self.content.iter().filter(|(.., guards)| counts(guards)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["command", command @ ..] if command.iter().any(|word| !word.is_empty()) => {
                    program.command = command.iter().map(|word| (*word).to_owned()).collect();
                }
                ["command", ..] => {
                    let what = "'command' expects a command with optional arguments separated in words.";
                    return Err(refused(at, what.to_owned()));
                }
                ["option", "start-on-reload"] => program.starts_on_reload = true,
                ["no", "option", "start-on-reload"] => program.starts_on_reload = false,
                ["user", name] => program.user = Some(((*name).to_owned(), at.clone())),
                ["group", name] => program.group = Some(((*name).to_owned(), at.clone())),
                [keyword @ ("user" | "group")] => {
                    return Err(refused(at, format!("'{keyword}' expects a {keyword} name.")));
                }
                [keyword @ ("user" | "group" | "option"), _, rest @ ..] if !rest.is_empty() => {
                    return Err(refused(
                        at,
                        format!("'{keyword}' cannot handle unexpected argument '{}'.", rest[0]),
                    ));
                }
                ["option", name] | ["no", "option", name, ..] => {
                    return Err(refused(at, format!("unknown option '{name}'.")));
                }
                [keyword, ..] => {
                    return Err(refused(at, format!("unknown keyword '{keyword}' in 'program' section")));
                }
                [] => {}
            }
        }
        if program.command.is_empty() {
            return Err(refused(span, format!("The program section '{name}' lacks a command to launch.")));
        }
        Ok(program)
    }
}

#[cfg(test)]
mod tests;
