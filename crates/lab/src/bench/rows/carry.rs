//! What it costs that the state of servers passes to the next generation: reloads with ten thousand servers, some of
//! them in maintenance, with and without.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::large::File;
use super::rig;
use crate::balancer::Kind;
use crate::bench::rig::{Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side};
use crate::bench::statistics::Summary;

/// How many of the servers an operator has put into maintenance.
const MAINTAINED: usize = 100;

/// From the signal to the first answer of the new configuration.
#[derive(Debug)]
pub(super) struct Carry {
    rig: Option<Rig>,
    reloads: usize,
}

impl Carry {
    pub(super) fn new(quick: bool) -> Self {
        Self { rig: None, reloads: if quick { 2 } else { 3 } }
    }
}

impl Row for Carry {
    fn about(&self) -> About {
        About {
            name: "reload-carry",
            what: "Reload with 10,000 servers, 100 of them in maintenance",
            unit: "ms",
            better: Better::Lower,
            sides: ["clearway, CLEARWAY_CARRY=off", "clearway"],
            goal: Goal::Ratio(1.1),
        }
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let rig = rig(&mut self.rig, clearway, || File::Servers.raise())?;
        let socket = rig.folder().join("api");
        rig.add_more(&format!("global\n stats socket {} level admin\n", socket.display()));
        let carry = if side == Side::A { "off" } else { "servers" };
        let mut balancer = rig.start_with(Kind::Clearway, Transparency::Off, &[("CLEARWAY_CARRY", carry)])?;
        maintain(&socket)?;
        let mut took = Vec::new();
        for _ in 0..self.reloads {
            Rig::rest(&balancer)?;
            took.push(rig.reload(&mut balancer)?.as_secs_f64() * 1e3);
        }
        Rig::rest(&balancer)?;
        let wanted = if side == Side::A { 0 } else { MAINTAINED };
        let found = ask(&socket, "show servers state many")?
            .lines()
            .filter(|line| line.split_whitespace().nth(6) == Some("1"))
            .count();
        ensure!(found == wanted, "{found} servers are in maintenance after the reloads, not {wanted}");
        Rig::stop(balancer)?;
        Ok(Summary::of(&took).median)
    }
}

fn maintain(socket: &Path) -> Result<()> {
    let commands: Vec<String> =
        (0..MAINTAINED).map(|number| format!("set server many/s{} state maint", number * 90)).collect();
    ask(socket, &commands.join("; ")).map(|_| ())
}

/// What HAProxy answers over its own socket.
pub(super) fn ask(socket: &Path, command: &str) -> Result<String> {
    let mut stream = UnixStream::connect(socket).context("connecting to HAProxy's socket")?;
    writeln!(stream, "{command}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
