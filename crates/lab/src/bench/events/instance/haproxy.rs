//! `haproxy -W`, as a container without Clearway has it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Answer, Instance};
use crate::balancer::{Balancer, Kind};
use crate::bench::rig::Rig;

/// Long enough for a slow machine.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct MasterWorker(Balancer);

impl MasterWorker {
    pub(super) fn launch(rig: &Rig) -> Result<Self> {
        let (host, config) = (&rig.lab.balancer, rig.config());
        Ok(Self(Balancer::start(host, Kind::PlainMasterWorker, &config, &[], &[])?))
    }
}

impl Instance for MasterWorker {
    fn reload(&mut self, _: &Rig) -> Result<Answer> {
        self.0.reload().map(|()| Answer::None)
    }

    fn worker(&self) -> Result<u32> {
        self.0.haproxy_processes().last().copied().context("the master has no worker")
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(!self.0.is_running()?)
    }

    fn replace(&mut self, rig: &Rig) -> Result<()> {
        self.stop()?;
        *self = Self::launch(rig)?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.0.drain()?;
        self.0.wait_exit(SOON).map(|_| ())
    }
}
