//! What has to be so of transparency, at every moment and at rest.

use clearway_core::path::CanaryVerdict;

use super::*;

/// The most repairs that one balancer makes within a minute because another process removes rules.
const MOST_REPAIRS: usize = 32;
/// The most looks at the plumbing within a minute.
const MOST_LOOKS: usize = 140;
/// The most rounds of the canary within a minute.
const MOST_ROUNDS: usize = 60;
/// What is missing is back by then, even if looks fail.
const BACK_WITHIN: Duration = Duration::from_mins(1);

impl World {
    pub fn check_paths(&self) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if self.network.must_reject && !self.network.rules.reject {
            return Err("what fails closed is open, and no stop was planned".to_owned());
        }
        if let Some(since) = self.network.incomplete_since
            && self.now - since > BACK_WITHIN
        {
            return Err(format!("rules are missing since {since:?}: {:?}", self.network));
        }
        self.living.iter().try_for_each(|id| self.check_path(*id))
    }

    fn check_path(&self, id: Id) -> Result<(), String> {
        let one = &self.balancers[id];
        let (path, table) = (&one.path, self.network.tables.get(&id));
        let needs_it = |generation| {
            path.files.get(generation).is_some_and(|file| file.transparent || self.network.closed)
        };
        if table.is_none() && one.processes.keys().any(needs_it) {
            return Err(format!("a generation of balancer {id} needs the plumbing, which is not there"));
        }
        if one.released && table.is_some_and(|table| table.intercepts) {
            return Err(format!("balancer {id} intercepts connections that it does not accept"));
        }
        if self.network.lacks(id) && !path.will_look(self.now - one.begun) {
            return Err(format!("rules of balancer {id} are missing, and it will not look"));
        }
        let broken = |(server, _)| path.verdicts.get(&server) == Some(&CanaryVerdict::Broken);
        if self.canary == CanaryMode::Ready && path.machine.is_ready() && path.machine.servers().any(broken) {
            return Err(format!("balancer {id} is ready, and a server does not find the way to clients"));
        }
        let counts = path.asking.iter().filter(|asking| path.machine.awaits(asking.round)).count();
        if counts > 1 {
            return Err(format!("{counts} rounds of balancer {id} count"));
        }
        let idle = |asking: &&Asking| !asking.given_up && !path.machine.awaits(asking.round);
        if let Some(asking) = path.asking.iter().find(idle) {
            return Err(format!("{:?} of balancer {id} goes on for nothing", asking.round));
        }
        for (what, times, most) in [
            ("repairs", &path.repairs, MOST_REPAIRS),
            ("looks", &path.looks, MOST_LOOKS),
            ("rounds", &path.rounds, MOST_ROUNDS),
        ] {
            if times.len() > most {
                return Err(format!("{} {what} of balancer {id} within a minute", times.len()));
            }
        }
        Ok(())
    }

    /// Nothing has happened for a long time.
    pub fn check_paths_at_rest(&self) -> Result<(), String> {
        if self.network.incomplete_since.is_some() {
            return Err(format!("rules are missing at rest: {:?}", self.network));
        }
        if self.network.tables.is_empty() && self.network.rules.divert {
            // Of a dead one; inert.
            return Ok(());
        }
        for id in &self.living {
            let (one, path) = (&self.balancers[*id], &self.balancers[*id].path);
            let recent =
                |times: &VecDeque<Duration>| times.iter().any(|at| self.now - *at < Duration::from_mins(1));
            if recent(&path.repairs) {
                return Err(format!("balancer {id} repairs at rest"));
            }
            let asking = path.machine.asking(self.now - one.begun).is_some();
            let may_ask = path.asking.iter().any(|asking| path.machine.awaits(asking.round))
                || path.machine.due().is_some();
            if asking && !may_ask {
                return Err(format!("balancer {id} waits for servers that it does not ask"));
            }
        }
        Ok(())
    }

    /// What the world can do to paths by chance.
    pub fn something_happens_to_paths(&mut self) {
        match self.path_random.u8(0..12) {
            0 | 1 => self.file.transparent = !self.file.transparent,
            2 => self.at(Duration::ZERO, Happening::OnPath(OnPath::Flush)),
            3 => {
                self.network.fight_until = self.now + Duration::from_secs(self.path_random.u64(1..120));
                self.at(Duration::ZERO, Happening::OnPath(OnPath::Flush));
            }
            4..=7 => {
                let number = self.path_random.u16(1..9);
                let servers = if self.path_random.bool() { &mut self.file.servers } else { &mut self.moved };
                if !servers.remove(&number) {
                    servers.insert(number);
                }
            }
            _ => {}
        }
    }
}
