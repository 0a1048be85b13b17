//! What it costs that stick tables pass to the next generation: reloads with fifty thousand entries, with and without.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::carry::ask;
use super::large::File;
use super::rig;
use crate::balancer::{Balancer, Kind};
use crate::bench::rig::{Rig, Transparency};
use crate::bench::row::{About, Better, Goal, Row, Side};
use crate::bench::statistics::Summary;

/// How many entries there are.
const ENTRIES: usize = 50_000;

/// How many of them are set at once.
const AT_ONCE: usize = 50;

/// From the beginning of an attempt to its commit, as Clearway says: it accepts one client before it has the entries.
#[derive(Debug)]
pub(super) struct Tables {
    rig: Option<Rig>,
    reloads: usize,
}

impl Tables {
    pub(super) fn new(quick: bool) -> Self {
        Self { rig: None, reloads: if quick { 2 } else { 3 } }
    }
}

impl Row for Tables {
    fn about(&self) -> About {
        About {
            name: "reload-tables",
            what: "Reload with a stick table of 50,000 entries, until the new HAProxy serves",
            unit: "ms",
            better: Better::Lower,
            sides: ["clearway", "clearway, CLEARWAY_CARRY=servers,tables"],
            goal: Goal::None,
        }
    }

    fn measure(&mut self, side: Side, clearway: &Path) -> Result<f64> {
        let rig = rig(&mut self.rig, clearway, || File::Small.raise())?;
        let socket = rig.folder().join("api");
        let table = "backend counts\n stick-table type string len 32 size 100k expire 1h \
                     store gpc0,gpt0,server_id,conn_cnt,http_req_cnt,bytes_in_cnt,conn_cur\n";
        rig.add_more(&format!("global\n stats socket {} level admin\n{table}", socket.display()));
        let carry = if side == Side::A { "servers" } else { "servers,tables" };
        let variables = [("CLEARWAY_CARRY", carry), ("CLEARWAY_LOG", "json")];
        let mut balancer = rig.start_with(Kind::Clearway, Transparency::Off, &variables)?;
        let mut took = Vec::new();
        for reload in 0..self.reloads {
            if reload == 0 || side == Side::A {
                fill(&socket)?;
            }
            Rig::rest(&balancer)?;
            rig.reload(&mut balancer)?;
            Rig::rest(&balancer)?;
            took.push(last_took(&balancer)?);
            let wanted = if side == Side::A { 0 } else { ENTRIES };
            let heading = ask(&socket, "show table")?;
            ensure!(heading.contains(&format!("used:{wanted}\n")), "{wanted} entries are wanted: {heading}");
        }
        Rig::stop(balancer)?;
        Ok(Summary::of(&took).median)
    }
}

fn fill(socket: &Path) -> Result<()> {
    let entry = |number: usize| {
        format!(
            "set table counts key client-{number}.example data.gpc0 1 data.gpt0 2 data.server_id 1 data.conn_cnt {number} \
             data.http_req_cnt {number} data.bytes_in_cnt {number}000"
        )
    };
    for first in (0..ENTRIES).step_by(AT_ONCE) {
        let some: Vec<String> = (first..first + AT_ONCE).map(entry).collect();
        let answer = ask(socket, &some.join(";"))?;
        ensure!(answer.trim().is_empty(), "an entry was not set: {answer}");
    }
    Ok(())
}

/// How many milliseconds the last attempt took.
fn last_took(balancer: &Balancer) -> Result<f64> {
    let events = balancer.events("generation.serving", &[])?;
    let took = events.last().and_then(|event| event.get("took")?.as_f64());
    Ok(took.context("no attempt has said how long it took")? * 1e3)
}
