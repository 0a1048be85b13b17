//! The lines of a `crt-list`: `CERTIFICATE [OPTIONS] FILTER...`, with blanks and brackets between the words and
//! no quotes (`crtlist_parse_line`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bases::Bases;
use super::found::{Collected, Need, ReferenceKind};
use super::lines;
use crate::configuration::span::Span;

/// Every file that a list names.
pub(super) fn entries(list: &Path, bytes: &[u8], bases: &Bases, found: &mut Collected) {
    let file: Arc<PathBuf> = Arc::new(list.to_path_buf());
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let span = Span { file: Arc::clone(&file), line: index + 1 };
        let line = String::from_utf8_lossy(line);
        let certificate = line.split([' ', '\t', '\r', '[', ']']).find(|word| !word.is_empty());
        let Some(certificate) = certificate.filter(|word| !word.starts_with('#')) else { continue };
        if let Some(path) = bases.certificate(certificate) {
            found.put(path, &span, ReferenceKind::Certificate, Need::Required);
        }
        let options = line.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        if let Some((options, _)) = options {
            let words: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
            lines::certificate_options(&span, &words, bases, found);
        }
    }
}
