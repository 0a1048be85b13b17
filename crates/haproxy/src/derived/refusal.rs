//! What makes a copy mean something else than the file itself.

use crate::configuration::words::places;
use crate::configuration::{Configuration, Span};
use std::sync::Arc;

/// The lines mean something else in a file in another place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDerivable {
    /// `default-path config` and `default-path parent` look for files from where the configuration stands.
    #[error(
        "copying the configuration: {span}: `default-path {policy}` looks for files beside the configuration, \
         and a copy is elsewhere"
    )]
    DefaultPath {
        /// The line.
        span: Span,
        /// `config` or `parent`.
        policy: &'static str,
    },
    /// `HAPROXY_CFGFILES` names the files that HAProxy reads.
    #[error("copying the configuration: {span}: `HAPROXY_CFGFILES` would name the copies")]
    FileNames {
        /// The line.
        span: Span,
    },
}

impl NotDerivable {
    /// What mends it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::DefaultPath { .. } => "use `default-path origin DIRECTORY`, or another way to reload",
            Self::FileNames { .. } => "write the path, or use another way to reload",
        }
    }
}

/// Finds the first such line, whether a block that it stands in counts or not.
pub(super) fn look(configuration: &Configuration) -> Result<(), NotDerivable> {
    for file in &configuration.files {
        let name = Arc::new(file.name.clone());
        for (index, line) in file.bytes.split(|byte| *byte == b'\n').enumerate() {
            let span = || Span { file: Arc::clone(&name), line: index + 1 };
            let places = places(line);
            let Some(end) = places.last().map(|place| place.end) else { continue };
            let word = |index: usize| places.get(index).and_then(|place| line.get(place.clone())).map(bare);
            if word(0).as_deref() == Some(b"default-path") {
                for policy in ["config", "parent"] {
                    if word(1).as_deref() == Some(policy.as_bytes()) {
                        return Err(NotDerivable::DefaultPath { span: span(), policy });
                    }
                }
            }
            // Not in a comment.
            let said = line.get(..end).unwrap_or_default();
            if contains(said, b"HAPROXY_CFGFILES") {
                return Err(NotDerivable::FileNames { span: span() });
            }
        }
    }
    Ok(())
}

/// Whether some `.if` block sets or unsets a variable: which value it has is known only to HAProxy.
pub(super) fn guesses_variables(configuration: &Configuration) -> bool {
    const WORDS: [&[u8]; 4] = [b"setenv", b"presetenv", b"unsetenv", b"resetenv"];
    configuration.files.iter().any(|file| {
        let mut depth = 0_usize;
        file.bytes.split(|byte| *byte == b'\n').any(|line| {
            let first = places(line).first().and_then(|place| line.get(place.clone())).map(bare);
            match first.as_deref() {
                Some(b".if") => depth += 1,
                Some(b".endif") => depth = depth.saturating_sub(1),
                Some(word) => return depth > 0 && WORDS.contains(&word),
                None => {}
            }
            false
        })
    })
}

/// Without quotes and backslashes.
fn bare(word: &[u8]) -> Vec<u8> {
    word.iter().copied().filter(|byte| !matches!(byte, b'"' | b'\'' | b'\\')).collect()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
