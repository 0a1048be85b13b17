//! What is left in the kernel of the balancer's host: read with the kernel's own tools, and compared with what there
//! was before the peer was started.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::kernel::{processes_in, ss};
use crate::namespace::Namespace;

/// What there is at one moment, by kind; each thing by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    kinds: [Vec<String>; 5],
}

/// The kinds, one and several, in their order.
const KINDS: [(&str, &str); 5] = [
    ("nft table", "nft tables"),
    ("rule", "rules"),
    ("route", "routes"),
    ("listening socket", "listening sockets"),
    ("process", "processes"),
];

impl Kernel {
    /// Reads it now.
    pub(super) fn read(host: &Namespace) -> Result<Self> {
        let json = |command: &str| -> Result<Value> {
            let said = host.run(command)?;
            // `nft -j` and `ip -j` say nothing at all where there is nothing.
            let said = if said.trim().is_empty() { "[]" } else { said.trim() };
            serde_json::from_str(said).with_context(|| format!("understanding what `{command}` says"))
        };
        let both = |words: &str| -> Result<Vec<String>> {
            let mut all = Vec::new();
            for family in ["-4", "-6"] {
                all.extend(entries(&json(&format!("ip -j {family} {words}"))?, family));
            }
            Ok(all)
        };
        let listening = [ss(host, &["-tuln"])?, ss(host, &["-xl"])?].concat();
        let processes = processes_in(host)?;
        let mut all = Self {
            kinds: [
                tables(&json("nft -j list tables")?),
                both("rule show")?,
                both("route show table all")?,
                listening.iter().map(|line| address(line)).collect(),
                // A process that ends just now has no command line any more.
                processes
                    .iter()
                    .filter(|(_, line)| !line.is_empty())
                    .map(|(_, line)| program(line))
                    .collect(),
            ],
        };
        // In an order of their own, so that two rounds are seen to be alike.
        all.kinds.iter_mut().for_each(|kind| kind.sort());
        Ok(all)
    }

    /// What is more than before.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut more = self.clone();
        for (kind, before) in more.kinds.iter_mut().zip(&before.kinds) {
            for name in before {
                if let Some(place) = kind.iter().position(|other| other == name) {
                    kind.remove(place);
                }
            }
        }
        more
    }

    /// For a cell of a table: `1 nft table (ip filter), 2 rules`.
    pub fn words(&self) -> String {
        let kinds = self.kinds.iter().zip(KINDS).enumerate().filter(|(_, (all, _))| !all.is_empty());
        let words = kinds.map(|(place, (all, (one, several)))| {
            let number = format!("{} {}", all.len(), if all.len() == 1 { one } else { several });
            // Rules and routes are too long to be named.
            if place == 1 || place == 2 { number } else { format!("{number} ({})", all.join(", ")) }
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { "nothing".into() } else { words.join(", ") }
    }
}

/// `{"nftables": [{"metainfo": ...}, {"table": {"family": "ip", "name": "filter", ...}}]}`.
fn tables(said: &Value) -> Vec<String> {
    let all = said["nftables"].as_array().into_iter().flatten();
    let tables = all.filter_map(|entry| {
        let table = &entry["table"];
        Some(format!("{} {}", table["family"].as_str()?, table["name"].as_str()?))
    });
    tables.collect()
}

/// A list of objects, each as one line.
fn entries(said: &Value, family: &str) -> Vec<String> {
    said.as_array().into_iter().flatten().map(|entry| format!("{family} {entry}")).collect()
}

/// Where a socket listens, in a line of `ss -H`: the name behind the sizes of its two queues, of a path the last part.
fn address(line: &str) -> String {
    let mut words = line.split_whitespace();
    let name = words.by_ref().skip_while(|word| word.parse::<u64>().is_err()).nth(2);
    let name = name.unwrap_or(line);
    if name.starts_with('/') { program(name) } else { name.to_owned() }
}

/// The name of the program of a command line.
fn program(line: &str) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    let name = Path::new(first.trim_end_matches(':')).file_name();
    name.map_or_else(|| first.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(kinds: [&[&str]; 5]) -> Kernel {
        Kernel { kinds: kinds.map(|names| names.iter().map(|name| (*name).to_owned()).collect()) }
    }

    #[test]
    fn what_was_there_before_is_not_left() {
        let before = kernel([&[], &["-4 a", "-4 b"], &["-4 r", "-4 r"], &[], &["server"]]);
        let after =
            kernel([&["ip filter"], &["-4 a", "-4 b", "-4 b"], &["-4 r"], &["*:80", "@x"], &["server"]]);
        let left = after.since(&before);
        assert_eq!(left.words(), "1 nft table (ip filter), 1 rule, 2 listening sockets (*:80, @x)");
        assert_eq!(before.since(&before).words(), "nothing");
    }

    #[test]
    fn what_the_tools_say_is_understood() {
        let said = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
            {"table": {"family": "ip", "name": "filter", "handle": 1}}]}"#;
        assert_eq!(tables(&serde_json::from_str(said).unwrap()), ["ip filter"]);
        let said =
            r#"[{"priority":0,"src":"all","table":"local"},{"priority":32766,"src":"all","table":"main"}]"#;
        assert_eq!(entries(&serde_json::from_str(said).unwrap(), "-4").len(), 2);
        assert_eq!(address("tcp   LISTEN 0      4096         0.0.0.0:80        0.0.0.0:*"), "0.0.0.0:80");
        assert_eq!(address("LISTEN 0      511        10.1.0.1:80        0.0.0.0:*"), "10.1.0.1:80");
        assert_eq!(address("u_str LISTEN 0      4096  @clearway/bench 1234  * 0"), "@clearway/bench");
        assert_eq!(address("u_str LISTEN 0 4096 /tmp/.tmpx/run/bench.sock 1 * 0"), "bench.sock");
        assert_eq!(program("nginx: master process /usr/sbin/nginx -c x"), "nginx");
        assert_eq!(program("/usr/sbin/haproxy -W -f x"), "haproxy");
    }
}
