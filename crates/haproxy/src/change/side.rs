//! One of the two configurations that are compared: its sections, and its lines as words with their variables resolved.

use super::plan::ReloadReason;
use super::sections::{SectionPiece, pieces};
use crate::configuration::Configuration;
use crate::configuration::environment::Variables;
use crate::configuration::words::whole;

/// The environment at start.
type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A configuration, cut.
pub(super) struct Side<'a> {
    lookup: Box<Lookup<'a>>,
    pub(super) pieces: Vec<SectionPiece<'a>>,
}

/// One line as HAProxy reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SideLine {
    /// From 1, in its file.
    pub(super) number: usize,
    /// One at least.
    pub(super) words: Vec<String>,
}

impl SideLine {
    /// The word at a place; empty if there is none.
    pub(super) fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
}

impl<'a> Side<'a> {
    pub(super) fn of(configuration: &'a Configuration) -> Result<Self, ReloadReason> {
        let variables = &configuration.variables;
        let lookup = Box::new(move |name: &str| variables.get(name).cloned().flatten());
        Ok(Self { lookup, pieces: pieces(configuration)? })
    }

    /// What reads the lines of a section: in the environment that the sections before it have left.
    pub(super) fn reader(&self, index: usize) -> SideReader<'_> {
        let mut environment = Variables::new(&*self.lookup);
        let mut certain = true;
        for piece in self.pieces.iter().take(index).filter(|piece| piece.keyword == "global") {
            environment.file(piece.bytes.len());
            for (_, line) in piece.lines() {
                let words = whole(line, &environment).unwrap_or_default();
                let changes = environment.apply(&words, piece.conditional);
                certain &= !(changes && piece.conditional);
            }
        }
        if let Some(piece) = self.pieces.get(index) {
            environment.file(piece.bytes.len());
        }
        SideReader { environment, certain }
    }

    /// The sections `defaults` that one inherits from, the last of them first.
    pub(super) fn lineage(&self, index: usize) -> Result<Vec<usize>, ReloadReason> {
        let mut found = Vec::new();
        let mut at = index;
        while let Some(piece) = self.pieces.get(at) {
            let before = self.pieces.get(..at).unwrap_or_default();
            let base = match piece.from {
                Some(name) => before.iter().rposition(|one| one.keyword == "defaults" && one.name == name),
                None if piece.keyword == "defaults" => break,
                None => before.iter().rposition(|one| one.keyword == "defaults"),
            };
            let Some(base) = base else {
                match piece.from {
                    Some(name) => {
                        return Err(
                            piece.reason(piece.line, format!("there is no `defaults {name}` above it"))
                        );
                    }
                    None => break,
                }
            };
            if let Some(one) = self.pieces.get(base).filter(|one| one.conditional) {
                return Err(one.reason(one.line, "it depends on a condition, and other sections inherit it"));
            }
            found.push(base);
            at = base;
        }
        Ok(found)
    }

    /// The lines of a section below its heading, without empty ones.
    pub(super) fn lines(&self, index: usize) -> Result<Vec<SideLine>, ReloadReason> {
        let Some(piece) = self.pieces.get(index) else { return Ok(Vec::new()) };
        let reader = self.reader(index);
        let mut lines = Vec::new();
        for (number, bytes) in piece.lines() {
            lines.extend(reader.line(piece, number, bytes)?);
        }
        Ok(lines)
    }
}

/// Cuts lines into words.
pub(super) struct SideReader<'a> {
    environment: Variables<'a>,
    /// Whether the values of all variables are known: no condition decides about one.
    certain: bool,
}

impl SideReader<'_> {
    /// None if the line is empty or a comment.
    pub(super) fn line(
        &self,
        piece: &SectionPiece<'_>,
        number: usize,
        bytes: &[u8],
    ) -> Result<Option<SideLine>, ReloadReason> {
        if bytes.contains(&b'$') && !self.knows(bytes) {
            return Err(piece.reason(number, "it uses a variable whose value is not known here"));
        }
        if bytes.contains(&0) {
            return Err(piece.reason(number, "it has a byte that is zero"));
        }
        let refused =
            || piece.reason(number, "it is not a line that HAProxy takes: a quote or an escape is wrong");
        let words = whole(bytes, &self.environment).ok_or_else(refused)?;
        Ok((!words.is_empty()).then_some(SideLine { number, words }))
    }

    /// HAProxy sets some variables itself, and `${.LINE}` and its kin are none.
    fn knows(&self, bytes: &[u8]) -> bool {
        let has = |words: &[u8]| bytes.windows(words.len()).any(|window| window == words);
        self.certain && !has(b"HAPROXY_") && !has(b"{.") && !has(b"$.")
    }

    /// An address with its variables resolved.
    pub(super) fn expand(&self, address: &str) -> String {
        self.environment.expand(address)
    }
}
