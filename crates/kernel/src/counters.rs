//! What the kernel counts for the network namespace of this process: `/proc/net/snmp` and `/proc/net/netstat`.
//!
//! Both files are pairs of lines: the names, and below them the values, with the same word in front. Which names there are
//! depends on the kernel; what is missing or is no number is left out. Reading adds the counters of all CPUs: 0.1 ms with two
//! of them, more than a millisecond with hundreds, so it belongs on a thread.

use std::fs;
use std::io;

use clearway_core::cost::NetworkCounters;

const FILES: [&str; 2] = ["/proc/net/snmp", "/proc/net/netstat"];

/// Reads them. Unset where a file cannot be read: some containers hide them.
pub fn network() -> NetworkCounters {
    parse(&FILES.map(|path| read(path).unwrap_or_default()).concat())
}

/// A file that is not text is none.
fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path)
}

fn parse(text: &str) -> NetworkCounters {
    NetworkCounters::of(|line, name| value(text, line, name))
}

/// The value below a name, in the first pair of lines with this word in front that has both.
fn value(text: &str, line: &str, name: &str) -> Option<u64> {
    let mut rows = text.lines().filter_map(|row| row.strip_prefix(line)?.strip_prefix(':'));
    while let (Some(names), Some(values)) = (rows.next(), rows.next()) {
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        if let Some((_, value)) = pairs.find(|(known, _)| *known == name) {
            return value.parse().ok();
        }
    }
    None
}

#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
