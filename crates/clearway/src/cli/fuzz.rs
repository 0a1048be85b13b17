//! Any words as Clearway's own command line, or as that of the image.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::{parse, separated};
use crate::cli::invocation::invocation;

/// One word a line.
pub(crate) fn own_command_line(data: &[u8]) {
    let words: Vec<OsString> =
        data.split(|byte| *byte == b'\n').map(|word| OsString::from_vec(word.to_vec())).collect();
    let separated = separated(words.clone());
    assert!(separated.len() <= words.len() + 1);
    let kept = separated.iter().filter(|word| *word != "--").eq(words.iter().filter(|word| *word != "--"));
    assert!(kept, "{separated:?}");
    let _ = parse(words.clone(), |_| None);
    let _ = invocation(words);
}
