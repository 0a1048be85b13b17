//! The lines of a `backend` or `listen`: its servers, by name and as bytes, and all the others as words.
//!
//! Of ten thousand servers only those whose line differs are cut into words.

use std::borrow::Cow;
use std::collections::HashMap;

use super::plan::ReloadReason;
use super::sections::{SectionPiece, first_word};
use super::side::{SideLine, SideReader};

/// More servers than any real template makes.
const MOST: u32 = 100_000;

/// More servers than any real section has.
const MOST_SERVERS: usize = 200_000;

/// A server of a section; a `server-template` makes several.
#[derive(Clone, Debug)]
pub(super) struct ServerEntry<'a> {
    pub(super) name: Cow<'a, str>,
    /// The line as it is written.
    pub(super) bytes: &'a [u8],
    /// From 1, in its file.
    pub(super) line: usize,
    /// How many `default-server` lines of the section stand above it.
    pub(super) above: usize,
    /// Whether a template makes it.
    pub(super) template: bool,
}

/// What a section says.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) servers: Vec<ServerEntry<'a>>,
    /// The place of each in the list.
    pub(super) places: HashMap<Cow<'a, str>, usize>,
    /// All lines but those of servers.
    pub(super) others: Vec<SideLine>,
}

impl<'a> Body<'a> {
    pub(super) fn read(piece: &SectionPiece<'a>, reader: &SideReader<'_>) -> Result<Self, ReloadReason> {
        let mut body = Self::default();
        let mut above = 0;
        for (number, bytes) in piece.lines() {
            match first_word(bytes) {
                b"server" => {
                    let name = match plain_name(bytes) {
                        Some(name) => Cow::Borrowed(name),
                        None => Cow::Owned(written_name(piece, reader, number, bytes)?),
                    };
                    let server = ServerEntry { name, bytes, line: number, above, template: false };
                    body.push(piece, server)?;
                }
                b"server-template" => {
                    let Some(line) = reader.line(piece, number, bytes)? else { continue };
                    for name in names(&line).ok_or_else(|| piece.reason(number, TEMPLATE))? {
                        let name = Cow::Owned(name);
                        body.push(piece, ServerEntry { name, bytes, line: number, above, template: true })?;
                    }
                }
                _ => {
                    let Some(line) = reader.line(piece, number, bytes)? else { continue };
                    above += usize::from(line.word(0) == "default-server");
                    body.others.push(line);
                }
            }
        }
        Ok(body)
    }

    fn push(&mut self, piece: &SectionPiece<'_>, server: ServerEntry<'a>) -> Result<(), ReloadReason> {
        let (place, line) = (self.servers.len(), server.line);
        if place >= MOST_SERVERS {
            return Err(piece.reason(line, "there are more servers than are looked at"));
        }
        if self.places.insert(server.name.clone(), place).is_some() {
            return Err(piece.reason(line, format!("there are two servers `{}`", server.name)));
        }
        self.servers.push(server);
        Ok(())
    }

    pub(super) fn find(&self, name: &str) -> Option<&ServerEntry<'a>> {
        self.places.get(name).and_then(|place| self.servers.get(*place))
    }
}

const TEMPLATE: &str = "how many servers this template makes is not understood";

/// The second word of a line, if it is written without quotes, escapes and variables.
fn plain_name(line: &[u8]) -> Option<&str> {
    let rest = line.trim_ascii_start().get(b"server".len()..)?;
    let name = first_word(rest);
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'#' | b'$');
    std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.as_bytes().iter().all(plain))
}

fn written_name(
    piece: &SectionPiece<'_>,
    reader: &SideReader<'_>,
    number: usize,
    bytes: &[u8],
) -> Result<String, ReloadReason> {
    let line = reader.line(piece, number, bytes)?;
    let name = line.as_ref().map_or("", |line| line.word(1));
    if name.is_empty() { Err(piece.reason(number, "a server without a name")) } else { Ok(name.to_owned()) }
}

/// `server-template PREFIX NUMBER|FIRST-LAST ADDRESS ...`
fn names(line: &SideLine) -> Option<Vec<String>> {
    let (prefix, range) = (line.word(1), line.word(2));
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?),
        None => (1, range.parse::<u32>().ok()?),
    };
    let few = first <= last && last - first < MOST && !prefix.is_empty();
    few.then(|| (first..=last).map(|number| format!("{prefix}{number}")).collect())
}
