//! The files of a configuration cut into their sections, as bytes: what is the same in both files is never looked into.
//!
//! Cuts as HAProxy does where that needs no environment: the first word of a line is a section's keyword. A file in which it
//! could be one only once quotes or variables are resolved, or that ends without a newline, is not understood.

use std::path::Path;

use super::plan::ReloadReason;
use crate::configuration::{Configuration, SourceFile, is_section};

/// A section, from its heading to the next one's.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionPiece<'a> {
    /// The name of the file.
    pub(super) file: &'a Path,
    /// The line of its heading, from 1.
    pub(super) line: usize,
    /// All of it, the heading included.
    pub(super) bytes: &'a [u8],
    /// `backend`; empty for what stands before the first section.
    pub(super) keyword: &'a str,
    /// Empty if it has none.
    pub(super) name: &'a str,
    /// The name behind `from`.
    pub(super) from: Option<&'a str>,
    /// Whether it may depend on a condition: there is a line that begins with a dot in it, or a block is open where it begins.
    pub(super) conditional: bool,
}

impl<'a> SectionPiece<'a> {
    /// Its lines below the heading, each with its number.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let skipped = usize::from(!self.keyword.is_empty());
        (self.line..).zip(self.bytes.split(|byte| *byte == b'\n')).skip(skipped)
    }

    /// `backend web`
    pub(super) fn title(&self) -> String {
        let blank = if self.name.is_empty() { "" } else { " " };
        let keyword =
            if self.keyword.is_empty() { "what stands before the first section" } else { self.keyword };
        format!("{keyword}{blank}{}", self.name)
    }

    /// Why it needs a reload, at a line of it.
    pub(super) fn reason(&self, line: usize, what: impl Into<String>) -> ReloadReason {
        ReloadReason::at(format_args!("{}:{line}", self.file.display()), what)
    }

    /// Whether both begin alike.
    pub(super) fn same_heading(&self, other: &Self) -> bool {
        (self.keyword, self.name, self.from) == (other.keyword, other.name, other.from)
    }
}

/// The sections of all files in their order.
pub(super) fn pieces(configuration: &Configuration) -> Result<Vec<SectionPiece<'_>>, ReloadReason> {
    let mut pieces = Vec::new();
    for (index, file) in configuration.files.iter().enumerate() {
        let first = pieces.len();
        cut(file, &mut pieces)?;
        let goes_on = |piece: &SectionPiece<'_>| piece.keyword.is_empty() && !is_blank(piece.bytes);
        if let Some(piece) = pieces.get(first).filter(|piece| index > 0 && goes_on(piece)) {
            return Err(piece.reason(1, "the last section of the file before goes on here"));
        }
    }
    Ok(pieces)
}

/// Whether there are but comments.
fn is_blank(bytes: &[u8]) -> bool {
    bytes
        .split(|byte| *byte == b'\n')
        .all(|line| matches!(line.trim_ascii_start().first(), None | Some(b'#')))
}

fn cut<'a>(file: &'a SourceFile, pieces: &mut Vec<SectionPiece<'a>>) -> Result<(), ReloadReason> {
    let mut open = SectionPiece {
        file: &file.name,
        line: 1,
        bytes: &[],
        keyword: "",
        name: "",
        from: None,
        conditional: false,
    };
    let unclear = |line: usize, what: &str| open.reason(line, what);
    if file.bytes.last().is_some_and(|byte| *byte != b'\n') {
        let lines = file.bytes.split(|byte| *byte == b'\n').count();
        return Err(unclear(lines, "the last line has no end, so the file may be cut off"));
    }
    let (mut depth, mut begin, mut at) = (0usize, 0usize, 0usize);
    for (index, line) in file.bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let start = at;
        at += line.len();
        let word = first_word(line);
        match word.first() {
            None | Some(b'#') => continue,
            Some(b'.') => {
                open.conditional = true;
                depth = match word {
                    b".if" => depth + 1,
                    b".endif" => depth.saturating_sub(1),
                    _ => depth,
                };
                continue;
            }
            Some(_) => {}
        }
        if word.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\\' | b'#')) {
            let what = "the first word of this line is quoted, and is not looked into";
            return Err(SectionPiece { file: &file.name, ..open }.reason(index + 1, what));
        }
        if word.len() > LONGEST || !std::str::from_utf8(word).is_ok_and(is_section) {
            continue;
        }
        open.bytes = file.bytes.get(begin..start).unwrap_or_default();
        pieces.push(open);
        begin = start;
        open = heading(file, index + 1, line, depth > 0)?;
    }
    open.bytes = file.bytes.get(begin..).unwrap_or_default();
    pieces.push(open);
    Ok(())
}

/// Of the keywords of sections.
const LONGEST: usize = 16;

/// The word that a line begins with, as it is written.
pub(super) fn first_word(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| byte.is_ascii_whitespace() || *byte == 0).unwrap_or(line.len());
    line.get(..end).unwrap_or(line)
}

fn heading<'a>(
    file: &'a SourceFile,
    number: usize,
    line: &'a [u8],
    conditional: bool,
) -> Result<SectionPiece<'a>, ReloadReason> {
    let empty = SectionPiece {
        file: &file.name,
        line: number,
        bytes: &[],
        keyword: "",
        name: "",
        from: None,
        conditional,
    };
    let text = line.split(|byte| *byte == b'#').next().unwrap_or_default();
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) || matches!(byte, b'\t' | b'\n' | b'\r');
    let plain = text.iter().all(|byte| plain(byte) && !matches!(byte, b'"' | b'\'' | b'\\' | b'$'));
    let Some(text) = std::str::from_utf8(text).ok().filter(|_| plain) else {
        return Err(empty.reason(number, "the heading of a section is quoted, and is not looked into"));
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let piece = |name, from| {
        Ok(SectionPiece { keyword: words.first().copied().unwrap_or_default(), name, from, ..empty })
    };
    match words.get(1..).unwrap_or_default() {
        [] => piece("", None),
        ["from", base] => piece("", Some(*base)),
        [name] => piece(*name, None),
        [name, "from", base] => piece(*name, Some(*base)),
        _ => Err(empty.reason(number, "the heading of this section has more words than are understood")),
    }
}
