//! The processes for the master CLI.

use std::time::Duration;

use clearway_core::programs::ProgramView;
use clearway_core::supervisor::{GenerationView, LifePhase};
use clearway_haproxy::master_cli::{Dialect, ProcessTable, ProgramRow, WorkerRow};

use crate::front::master_cli::reach::{Reachable, ReachableMaster};
use crate::front::master_cli::record::MasterCliPast;
use crate::front::view::View;

impl View<'_> {
    /// Which processes there are, that of the serving generation first, and the way to each.
    pub fn reachable(&self, record: &MasterCliPast) -> Box<Reachable> {
        let status = self.core.status(self.now);
        let mut generations = status.generations;
        generations.retain(|one| matches!(one.state, LifePhase::Serving | LifePhase::Draining));
        generations.sort_by_key(|one| (one.state != LifePhase::Serving, std::cmp::Reverse(one.generation)));
        let (workers, masters) =
            generations.iter().filter_map(|generation| self.reach(generation, record)).unzip();
        let version = self.fleet.version_text();
        let programs = status.programs.iter().filter_map(program).collect();
        Box::new(Reachable {
            table: ProcessTable { master: record.master(), version, workers, programs },
            dialect: Dialect::of(self.fleet.version()),
            masters,
        })
    }

    fn reach(&self, view: &GenerationView, record: &MasterCliPast) -> Option<(WorkerRow, ReachableMaster)> {
        let birth = record.birth(view.generation)?;
        let (worker, socket) = self.fleet.master_cli(view.generation)?;
        let row = WorkerRow {
            pid: worker,
            uptime: birth.uptime(),
            reloads: record.reloads_since(birth),
            leaves: view.state == LifePhase::Draining,
            version: birth.version.clone(),
        };
        Some((row, ReachableMaster { worker, socket, lane: birth.lane.clone() }))
    }
}

fn program(view: &ProgramView) -> Option<ProgramRow> {
    Some(ProgramRow {
        pid: view.pid?,
        name: view.name.clone(),
        uptime: Duration::from_secs(view.seconds.unwrap_or_default()),
        leaves: view.state == "leaving",
    })
}
