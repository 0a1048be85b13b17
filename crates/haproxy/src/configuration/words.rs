//! One line of a configuration cut into words, as HAProxy's `parse_line` cuts it.
//!
//! Outside quotes a blank ends a word, `#` ends the line, and a backslash takes away the meaning of a blank,
//! `\`, `#`, `'` and `"`, or writes `\n`, `\r`, `\t`, `\xHH`. Single quotes keep everything. Double quotes keep
//! everything but backslash and `$`: `"$NAME"`, `"${NAME}"`, `"${NAME-default}"` (3.x), `"${NAME[*]}"` (one word
//! per word of the value). Where HAProxy would refuse the line, the words read so far come back.

use std::ops::Range;

use super::environment::Variables;

/// What one line and one expansion may grow to; HAProxy's own buffer is far smaller.
const LONGEST: usize = 1 << 20;

/// Cuts a line into words. Bytes that are no UTF-8 are replaced: names and addresses have none.
pub(super) fn words(line: &[u8], environment: &Variables<'_>) -> Vec<String> {
    environment.line();
    let reader = Reader::read(line, environment);
    reader.words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The words of a line that HAProxy takes as it stands; none if it would refuse it: a quote that is left open, a wrong
/// escape, a variable that is not closed, bytes that are no UTF-8.
pub(crate) fn whole(line: &[u8], environment: &Variables<'_>) -> Option<Vec<String>> {
    environment.line();
    let mut reader = Reader::start(line, environment);
    reader.run()?;
    if reader.quote.is_some() {
        return None;
    }
    reader.end_word();
    reader.words.into_iter().map(|word| String::from_utf8(word).ok()).collect()
}

/// Where the words of a line stand in its bytes, quotes and variables and all. Does not depend on the values of
/// variables, but for `"${NAME[*]}"`, which may be any number of words.
pub(crate) fn places(line: &[u8]) -> Vec<Range<usize>> {
    Reader::read(line, &Variables::new(&|_| None)).places
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    environment: &'a Variables<'a>,
    quote: Option<u8>,
    /// The word begun, which may be empty (`""` is a word).
    word: Option<Vec<u8>>,
    words: Vec<Vec<u8>>,
    /// Where the word begun begins.
    start: usize,
    places: Vec<Range<usize>>,
    length: usize,
}

impl<'a> Reader<'a> {
    fn start(input: &'a [u8], environment: &'a Variables<'a>) -> Self {
        let (words, places) = (Vec::new(), Vec::new());
        Self { input, at: 0, environment, quote: None, word: None, words, start: 0, places, length: 0 }
    }

    fn read(input: &'a [u8], environment: &'a Variables<'a>) -> Self {
        let mut reader = Self::start(input, environment);
        // None: HAProxy refuses the line here.
        let _ = reader.run();
        reader.end_word();
        reader
    }

    fn run(&mut self) -> Option<()> {
        while let Some(byte) = self.peek(0) {
            if self.word.is_none() {
                self.start = self.at;
            }
            match (byte, self.quote) {
                (0 | b'\n' | b'\r', _) | (b'#', None) => break,
                (b'"' | b'\'', Some(open)) if open == byte => {
                    self.quote = None;
                    self.at += 1;
                }
                (b'"' | b'\'', None) => {
                    self.quote = Some(byte);
                    self.word.get_or_insert_default();
                    self.at += 1;
                }
                (b'\\', None | Some(b'"')) => self.escape()?,
                (b'$', Some(b'"')) => self.variable()?,
                (b' ' | b'\t' | 0x0b | 0x0c, None) => {
                    self.end_word();
                    self.at += 1;
                }
                _ => {
                    self.push(byte)?;
                    self.at += 1;
                }
            }
        }
        Some(())
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.input.get(self.at + ahead).copied()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        self.length += 1;
        self.word.get_or_insert_default().push(byte);
        (self.length < LONGEST).then_some(())
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.words.push(word);
            self.places.push(self.start..self.at);
        }
    }

    fn escape(&mut self) -> Option<()> {
        let (byte, taken) = match self.peek(1) {
            Some(byte @ (b' ' | b'\\' | b'#' | b'\'' | b'"')) => (byte, 2),
            Some(b'$') if self.quote.is_some() => (b'$', 2),
            Some(b't') => (b'\t', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b'x') => {
                let high = char::from(self.peek(2)?).to_digit(16)?;
                let low = char::from(self.peek(3)?).to_digit(16)?;
                (u8::try_from(high * 16 + low).ok()?, 4)
            }
            _ => (b'\\', 1),
        };
        self.at += taken;
        self.push(byte)
    }

    fn variable(&mut self) -> Option<()> {
        self.at += 1;
        let brace = self.peek(0) == Some(b'{');
        self.at += usize::from(brace);
        let rest = self.input.get(self.at..)?;
        let dot = usize::from(rest.first() == Some(&b'.'));
        let end = rest.get(dot..)?.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_');
        let end = end.map_or(rest.len(), |end| end + dot);
        let name = std::str::from_utf8(rest.get(..end)?).ok()?;
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.at += end;
        let each_word = brace && self.input.get(self.at..)?.starts_with(b"[*]");
        self.at += if each_word { 3 } else { 0 };
        let mut value = self.environment.take(name).map(String::into_bytes);
        if brace {
            let rest = self.input.get(self.at..)?;
            let close = rest.iter().position(|b| *b == b'}')?;
            let between = rest.get(..close)?;
            match between.split_first() {
                None => {}
                Some((b'-', default)) => value = value.or_else(|| Some(default.to_vec())),
                Some(_) => return None,
            }
            self.at += close + 1;
        }
        if each_word && self.word.as_ref().is_some_and(Vec::is_empty) {
            // `"${NAME[*]}"` without a value is no word at all.
            self.word = None;
        }
        for byte in value.unwrap_or_default() {
            if each_word && byte.is_ascii_whitespace() {
                self.end_word();
            } else {
                self.push(byte)?;
            }
        }
        Some(())
    }
}
