//! The sockets of a test as the kernel shows them: `ss`, with inodes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use clearway_lab::kernel::ss;
use clearway_lab::namespace::Namespace;

use super::pieces::{Piece, Where};
use crate::stage::Stage;

/// What listens where, by inode.
#[derive(Debug, PartialEq, Eq)]
pub struct Sockets(BTreeMap<String, u64>);

impl Sockets {
    /// The sockets of some pieces: exactly one for each address.
    pub fn of(stage: &Stage, pieces: &[Piece]) -> Result<Self> {
        let mut found = BTreeMap::new();
        for (address, inodes) in all(stage, pieces)? {
            let [inode] = inodes[..] else { bail!("{address} has {inodes:?}") };
            found.insert(address, inode);
        }
        Ok(Self(found))
    }

    /// That they are the same sockets as these.
    pub fn assert_same(&self, others: &Self) -> Result<()> {
        ensure!(self == others, "{self:?} have become {others:?}");
        Ok(())
    }

    /// That none is one of these, though the addresses are.
    pub fn assert_others(&self, others: &Self) -> Result<()> {
        ensure!(self.0.keys().eq(others.0.keys()), "{self:?} have become {others:?}");
        ensure!(
            self.0.values().all(|inode| !others.0.values().any(|other| inode == other)),
            "{self:?}: the same"
        );
        Ok(())
    }

    /// That no process listens there any more.
    pub fn assert_gone(stage: &Stage, pieces: &[Piece]) -> Result<()> {
        let left = all(stage, pieces)?;
        ensure!(left.iter().all(|(_, inodes)| inodes.is_empty()), "left: {left:?}");
        Ok(())
    }
}

fn all(stage: &Stage, pieces: &[Piece]) -> Result<Vec<(String, Vec<u64>)>> {
    let here = listening(&stage.hosts.balancer)?;
    let there = listening(&stage.hosts.server)?;
    let sockets = pieces.iter().flat_map(|piece| piece.sockets.iter().map(|socket| (piece.place, socket)));
    let inodes = |(place, socket): (Where, &String)| {
        let list = if place == Where::Here { &here } else { &there };
        let inodes = list.iter().filter(|(address, _)| address == socket).map(|(_, inode)| *inode);
        (socket.clone(), inodes.collect())
    };
    Ok(sockets.map(inodes).collect())
}

/// Everything: `tcp 10.1.0.1:80`, `mptcp ...`, `udp 10.1.0.1%eth0:514`, `unix /run/a.sock`, `abstract name`.
fn listening(host: &Namespace) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for (kind, words) in [("tcp", "-tlne"), ("mptcp", "-Mlne"), ("udp", "-ulne")] {
        // A kernel without MPTCP has nothing to show of it.
        for line in ss(host, &[words]).unwrap_or_default() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let inode = words.iter().find_map(|word| word.strip_prefix("ino:"));
            let address = words.get(3).with_context(|| line.clone())?;
            found.push((format!("{kind} {address}"), inode.unwrap_or("0").parse()?));
        }
    }
    for line in ss(host, &["-xl"])? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, inode) = (words.get(4).with_context(|| line.clone())?, words.get(5).unwrap_or(&"0"));
        let name = match name.strip_prefix('@') {
            Some(name) => format!("abstract {}", name.trim_end_matches('@')),
            None => format!("unix {}", without_temporary_suffix(name)),
        };
        found.push((name, inode.parse()?));
    }
    Ok(found)
}

/// HAProxy binds `/a.sock.123.tmp` and renames it; the kernel goes on telling the first name.
fn without_temporary_suffix(path: &str) -> &str {
    let stem = path.strip_suffix(".tmp").and_then(|stem| stem.rsplit_once('.'));
    stem.filter(|(_, number)| number.parse::<u32>().is_ok()).map_or(path, |(name, _)| name)
}
