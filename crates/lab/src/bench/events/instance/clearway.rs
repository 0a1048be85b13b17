//! Clearway.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Answer, Instance};
use crate::balancer::{Balancer, Kind};
use crate::bench::rig::{NAMED, Rig};

/// Long enough for a slow machine.
const SOON: Duration = Duration::from_secs(20);

/// What it says once it serves.
const SERVES: &str = " serves, worker ";

/// The one that serves, and those from which it took over.
#[derive(Debug)]
pub(super) struct Clearway {
    serving: Balancer,
    former: Vec<Balancer>,
}

impl Clearway {
    pub(super) fn launch(rig: &Rig) -> Result<Self> {
        Ok(Self { serving: rig.launch_clearway(&[], &[NAMED])?, former: Vec::new() })
    }
}

impl Instance for Clearway {
    fn reload(&mut self, rig: &Rig) -> Result<Answer> {
        Ok(match rig.ask_clearway(&["reload"])? {
            Ok(_) => Answer::Taken,
            Err(words) => Answer::Refused(words),
        })
    }

    fn worker(&self) -> Result<u32> {
        self.serving.haproxy_processes().last().copied().context("Clearway has no HAProxy")
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(!self.serving.is_running()?)
    }

    fn replace(&mut self, rig: &Rig) -> Result<()> {
        let next = rig.launch_clearway(&[], &[NAMED])?;
        next.wait_for_log(0, SERVES, SOON)?;
        self.former.push(std::mem::replace(&mut self.serving, next));
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        // A former one within its probation would serve again.
        self.former.drain(..).try_for_each(Rig::assert_relieved)?;
        self.serving.drain()?;
        self.serving.wait_exit(SOON).map(|_| ())
    }
}

/// Starts a holder, and waits until balancers find it.
pub(in crate::bench::events) fn holder(rig: &Rig) -> Result<Balancer> {
    let words = [rig.clearway().display().to_string(), "hold".to_owned()];
    let directory = rig.run_directory().display().to_string();
    let variables = [NAMED, ("CLEARWAY_RUN_DIRECTORY", directory.as_str()), ("CLEARWAY_LOG", "json,debug")];
    let holder = Balancer::start_words(&rig.lab.balancer, Kind::Clearway, &words, &variables)?;
    holder.wait_for_log(0, "holding for the instance", SOON)?;
    Ok(holder)
}

/// Waits until it has the sockets.
pub(in crate::bench::events) fn wait_until_it_holds(holder: &Balancer) -> Result<()> {
    holder.wait_for_log(0, "keeping ", SOON).map(|_| ())
}
