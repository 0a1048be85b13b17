//! A configuration with the servers that are added or changed, and what they are read with: HAProxy must accept it before the first
//! command.
//!
//! Lines stand in it as in the file, so HAProxy reads them as it will at the next start. Sections have no frontends, and of
//! `global` only what decides how others are read.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::proxy::Proxy;
use super::sections::first_word;
use super::side::Side;

/// Of `global`.
const GLOBAL: [&str; 12] = [
    "setenv",
    "presetenv",
    "unsetenv",
    "resetenv",
    "ca-base",
    "crt-base",
    "default-path",
    "ssl-server-verify",
    "ssl-default-server-options",
    "ssl-default-server-ciphers",
    "ssl-default-server-ciphersuites",
    "expose-experimental-directives",
];

/// Of a section and those that it inherits, beside the options that say how servers are checked.
const SECTION: [&str; 8] =
    ["mode", "balance", "hash-type", "default-server", "cookie", "http-check", "tcp-check", "source"];

/// Without a socket it would be a configuration that has nothing to do, which HAProxy calls by another exit code.
const LISTENS: &str = "listen clearway-excerpt\n mode tcp\n bind abns@clearway-excerpt\n";

/// Collects sections.
#[derive(Debug, Default)]
pub(super) struct CheckedExcerpt(String);

impl CheckedExcerpt {
    /// Takes over the servers of a section that stand at these lines.
    pub(super) fn take(&mut self, proxy: &Proxy<'_>, inherited: &[&[u8]], lines: &[usize]) {
        let wanted: HashSet<usize> = lines.iter().copied().collect();
        let _ = writeln!(self.0, "backend {}", proxy.piece.name);
        for line in inherited {
            self.push(line);
        }
        for (number, line) in proxy.piece.lines() {
            let server = matches!(first_word(line), b"server" | b"server-template");
            if if server { wanted.contains(&number) } else { belongs(line) } {
                self.push(line);
            }
        }
    }

    fn push(&mut self, line: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(line));
        self.0.push('\n');
    }

    /// The whole; none if no line needs to be looked at.
    pub(super) fn finish(self, side: &Side<'_>) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut text = "global\n".to_owned();
        for piece in side.pieces.iter().filter(|piece| piece.keyword == "global" && !piece.conditional) {
            for (_, line) in piece.lines() {
                if GLOBAL.iter().any(|keyword| keyword.as_bytes() == first_word(line)) {
                    text.push_str(&String::from_utf8_lossy(line));
                    text.push('\n');
                }
            }
        }
        Some(text + LISTENS + &self.0)
    }
}

/// Whether servers are read with a line.
pub(super) fn belongs(line: &[u8]) -> bool {
    let word = first_word(line);
    let option = || {
        let rest = line.trim_ascii_start().get(b"option".len()..).unwrap_or_default();
        let name = first_word(rest);
        name.ends_with(b"chk") || name.ends_with(b"-check")
    };
    SECTION.iter().any(|keyword| keyword.as_bytes() == word) || (word == b"option" && option())
}
