//! HAProxy as scripts ran it.

use anyhow::Result;
use rustix::process::Signal;

use super::{Answer, Instance};
use crate::bench::daemon::{Daemon, end};
use crate::bench::rig::Rig;
use crate::process::is_alive;

#[derive(Debug)]
pub(super) struct Script(Daemon);

impl Script {
    pub(super) fn launch(rig: &Rig) -> Result<Self> {
        Ok(Self(Daemon::start(rig)?))
    }
}

impl Instance for Script {
    fn reload(&mut self, rig: &Rig) -> Result<Answer> {
        Ok(match self.0.reload_behind_dropped_syns(rig) {
            Ok(()) => Answer::Taken,
            Err(error) => Answer::Refused(format!("{error:#}")),
        })
    }

    fn worker(&self) -> Result<u32> {
        Ok(self.0.pid())
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(!is_alive(self.0.pid()))
    }

    fn replace(&mut self, rig: &Rig) -> Result<()> {
        self.0.restart(rig, Signal::USR1)
    }

    fn stop(&mut self) -> Result<()> {
        end("HAProxy", self.0.pid(), Signal::USR1)
    }
}
