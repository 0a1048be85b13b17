//! One command of a line: where it ends, and its words.

use std::ops::Range;

/// How many words HAProxy looks at.
const MOST_WORDS: usize = 64;

/// Where the command ends that begins here: before a newline or a `;`, if that is not escaped.
pub fn end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b';' | b'\n' => return Some(at),
            _ => at += 1,
        }
    }
}

/// Its words: separated by blanks that are not escaped.
pub fn words(bytes: &[u8]) -> Vec<Range<usize>> {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let (mut words, mut at) = (Vec::new(), 0);
    while words.len() < MOST_WORDS {
        at += bytes.iter().skip(at).take_while(|byte| is_blank(byte)).count();
        let begin = at;
        while let Some(byte) = bytes.get(at).filter(|byte| !is_blank(byte)) {
            at = bytes.len().min(at + if *byte == b'\\' { 2 } else { 1 });
        }
        if begin == at {
            break;
        }
        words.push(begin..at);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text.as_bytes()).into_iter().map(|word| &text[word]).collect()
    }

    #[test]
    fn a_command_ends_at_a_newline_or_semicolon_that_is_not_escaped() {
        assert_eq!(end(b"show proc\nx"), Some(9));
        assert_eq!(end(b"a\\;b;c"), Some(4));
        assert_eq!(end(b"a\\\nb"), None);
        assert_eq!(end(b"a\\"), None);
        assert_eq!(end(b"\n"), Some(0));
    }

    #[test]
    fn blanks_separate_words_unless_they_are_escaped() {
        assert_eq!(split(" \t show  stat\t"), ["show", "stat"]);
        assert_eq!(split("add map a\\ b c\\"), ["add", "map", "a\\ b", "c\\"]);
        assert_eq!(split(""), [""; 0]);
        assert_eq!(split(&"x ".repeat(100)).len(), MOST_WORDS);
    }
}
