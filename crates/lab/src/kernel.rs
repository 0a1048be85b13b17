//! What the kernel holds in a namespace, read back with the kernel's own tools: `nft`, `ip`, `ss`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};

use crate::namespace::Namespace;
use crate::process;

/// What is read, in the order in which differences are reported.
const COMMANDS: [&str; 5] =
    ["nft list ruleset", "ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all"];

/// Packet filter, rules and routes of a namespace at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    outputs: Vec<(&'static str, String)>,
}

impl Snapshot {
    /// Reads everything now.
    pub fn take(host: &Namespace) -> Result<Self> {
        let outputs = COMMANDS.into_iter().map(|command| Ok((command, normalise(&host.run(command)?))));
        Ok(Self { outputs: outputs.collect::<Result<_>>()? })
    }

    /// The lines that only one of both has: `- ` for those that are gone in `later`, `+ ` for new ones. Empty
    /// when nothing differs.
    pub fn diff(&self, later: &Self) -> Vec<String> {
        let pairs = self.outputs.iter().zip(&later.outputs);
        pairs
            .flat_map(|((command, before), (_, after))| {
                differing_lines(before, after).into_iter().map(move |line| format!("{command}: {line}"))
            })
            .collect()
    }

    /// The output of one of the commands, such as `ip rule`.
    pub fn output(&self, command: &str) -> &str {
        self.outputs.iter().find(|(name, _)| *name == command).map_or("", |(_, output)| output)
    }
}

/// All of it, as the commands print it.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outputs.iter().try_for_each(|(_, output)| writeln!(f, "{output}"))
    }
}

/// Takes out what changes by itself: the time that is left of a route or a set element, and counters.
fn normalise(output: &str) -> String {
    let mut lines = Vec::new();
    for line in output.lines() {
        let mut words = line.split(' ').peekable();
        let mut kept = Vec::new();
        while let Some(word) = words.next() {
            kept.push(word);
            let counts = word == "packets" || word == "bytes";
            let is_number = words.peek().is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit()));
            if (word == "expires" || counts) && is_number {
                let next = words.next().unwrap_or_default();
                kept.push(if next.ends_with(',') { "N," } else { "N" });
            }
        }
        lines.push(kept.join(" ").trim_end().to_owned());
    }
    lines.join("\n")
}

/// Compares as multisets: the order of routes means nothing.
fn differing_lines(before: &str, after: &str) -> Vec<String> {
    let mut surplus: BTreeMap<&str, i64> = BTreeMap::new();
    for line in after.lines() {
        *surplus.entry(line).or_default() += 1;
    }
    for line in before.lines() {
        *surplus.entry(line).or_default() -= 1;
    }
    let changed = surplus.into_iter().filter(|(_, count)| *count != 0);
    changed.map(|(line, count)| format!("{} {}", if count < 0 { '-' } else { '+' }, line.trim())).collect()
}

/// Whether this kernel knows tables that it removes with their owner (Linux 5.12).
pub fn has_owner_tables() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-', '+']).map_while(|word| word.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(12))
}

/// A listing of nft 1.0 as nft 1.1 writes it.
pub fn as_nft_now(listing: &str) -> String {
    listing.replace("tcp flags & (fin | syn | rst | ack) == syn", "tcp flags syn / fin,syn,rst,ack")
}

/// The processes inside a namespace: pid and command line.
pub fn processes_in(host: &Namespace) -> Result<Vec<(u32, String)>> {
    let pids = process::in_namespace(host.inode()?);
    Ok(pids.into_iter().map(|pid| (pid, process::command_line(pid).join(" "))).collect())
}

/// The lines that `ss` prints for these words, without its heading.
pub fn ss(host: &Namespace, words: &[&str]) -> Result<Vec<String>> {
    let mut all = vec!["-H"];
    all.extend_from_slice(words);
    Ok(host.output("ss", &all)?.lines().map(str::to_owned).collect())
}

/// Listening TCP sockets: local address with port, and how many connections wait in the backlog.
pub fn listeners(host: &Namespace) -> Result<Vec<(String, u32)>> {
    ss(host, &["-tln"])?
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let waiting = words.get(1).and_then(|word| word.parse().ok());
            words.get(3).zip(waiting).map(|(address, waiting)| ((*address).to_owned(), waiting))
        })
        .collect::<Option<_>>()
        .context("making sense of what `ss -tln` prints")
}

/// Established TCP connections that a filter of `ss` lets through, such as `sport = :80`.
pub fn established(host: &Namespace, filter: &str) -> Result<Vec<String>> {
    ss(host, &["-tn", "state", "established", filter])
}

/// The kernel's own counters (`nstat`), absolute, those that are not zero.
pub fn counters(host: &Namespace) -> Result<BTreeMap<String, u64>> {
    let output = host.output("nstat", &["-a", "-s"])?;
    let pairs = output.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    });
    Ok(pairs.collect())
}
