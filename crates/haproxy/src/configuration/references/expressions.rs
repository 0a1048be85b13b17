//! Files inside expressions: `map(FILE)` and its kin anywhere in a word, `-f FILE` behind the criterion of an
//! ACL, named or in braces.

use std::path::PathBuf;

use super::bases::{Bases, LONGEST};
use super::found::{Collected, Need, ReferenceKind};
use crate::configuration::span::Span;

/// Every file that the expressions of a line name. Each word is looked at once, however many there are.
pub(super) fn files(span: &Span, words: &[String], bases: &Bases, found: &mut Collected) {
    for word in words {
        maps(span, word, bases, found);
    }
    // `acl NAME CRITERION FLAGS`
    let mut at =
        if words.first().is_some_and(|word| word == "acl") { flags(span, words, 3, bases, found) } else { 0 };
    while let Some(word) = words.get(at) {
        // `{ CRITERION FLAGS`
        at = if matches!(word.as_str(), "{" | "!{") {
            flags(span, words, at + 2, bases, found)
        } else {
            at + 1
        };
    }
}

/// The flags of an ACL from a word on: `-i -m beg -f FILE -f FILE -- ...`. Tells where they end.
fn flags(span: &Span, words: &[String], from: usize, bases: &Bases, found: &mut Collected) -> usize {
    let mut at = from;
    while let Some(flag) = words.get(at) {
        match flag.as_str() {
            "-f" => {
                add(span, words.get(at + 1).map_or("", String::as_str), bases, found);
                at += 2;
            }
            "-m" | "-u" => at += 2,
            "-i" | "-n" | "-M" => at += 1,
            _ => break,
        }
    }
    at
}

/// `map(FILE...)`, `map_beg_int(FILE...)`, `jwt_verify(ALGORITHM,FILE)` in a word.
fn maps(span: &Span, word: &str, bases: &Bases, found: &mut Collected) {
    let mut rest = word;
    let mut before = None;
    // Each round goes on behind a parenthesis, so a word is looked at once, however long it is.
    while let Some((name, after)) = rest.split_once('(') {
        let start = name.rfind(|c: char| !is_name(c)).map_or(0, |at| at + 1);
        let whole = start > 0 || before.is_none_or(|c| !is_name(c));
        let name = name.get(start..).filter(|_| whole).unwrap_or_default();
        if name == "map" || name.starts_with("map_") {
            add(span, argument(after), bases, found);
        } else if name == "jwt_verify" {
            // The key may as well be a variable or a secret: such a file does not exist.
            let second = after
                .split('(')
                .next()
                .and_then(|text| text.split_once(','))
                .map_or("", |(_, second)| argument(second));
            if second.contains(['/', '.']) {
                found.put(bases.plain(second), span, ReferenceKind::Other, Need::Optional);
            }
        }
        before = Some('(');
        rest = after;
    }
}

/// Part of the name of a converter or an action (`set-map` is one that reads no file).
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The first argument, without the quotes around it. Without quotes it ends at a parenthesis of either kind, so
/// that a word full of them takes no time.
fn argument(text: &str) -> &str {
    let text = beginning(text);
    for quote in ['"', '\''] {
        if let Some((quoted, _)) = text.strip_prefix(quote).and_then(|text| text.split_once(quote)) {
            return quoted;
        }
    }
    text.split([',', ')', '(']).next().unwrap_or_default()
}

/// No further than a path can reach: a word may be long and have many parentheses.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST + 2)).unwrap_or(text)
}

fn add(span: &Span, name: &str, bases: &Bases, found: &mut Collected) {
    if let Some((path, need)) = pattern_file(name, bases) {
        found.put(path, span, ReferenceKind::Patterns, need);
    }
}

/// `file@FILE`, `opt@FILE`, `virt@NAME`, `FILE`: the prefixes count since 3.0; no file is expected to have such a name.
fn pattern_file(name: &str, bases: &Bases) -> Option<(PathBuf, Need)> {
    let (name, need) = match name.split_once('@') {
        Some(("virt", _)) => return None,
        Some(("opt", name)) => (name, Need::Optional),
        Some(("file", name)) => (name, Need::Required),
        _ => (name, Need::Required),
    };
    (!name.is_empty()).then(|| (bases.plain(name), need))
}
