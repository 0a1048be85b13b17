//! The plumbing of this process: put into the kernel before the first transparent generation starts, looked after while
//! it is there, and taken out again.
//!
//! What it consists of, and how it is made and removed, is in [`clearway_kernel::plumbing`].

use clearway_core::exit::ExitCode;
use clearway_core::intercept::Interception;
use clearway_haproxy::configuration::Configuration;
use clearway_kernel::interfaces;
use clearway_kernel::plumbing::{Closing, Description, Plumbing, PlumbingError, PlumbingNeeds};
use tracing::{info, warn};

use crate::ground::failure;
use crate::path::{Path, intercept, servers};
use crate::tell::log;
use crate::tell::said::Subject;

use clearway_core::failure::Failure;

impl Path {
    /// Whether there is plumbing in the kernel.
    pub fn is_plumbed(&self) -> bool {
        self.plumbing.is_some()
    }

    /// What is in the kernel.
    pub fn describe(&self) -> Option<Description> {
        self.plumbing.as_ref().map(Plumbing::describe)
    }

    /// Before a generation starts that needs the plumbing: it is put into the kernel, or looked at and extended.
    pub fn plumb(&mut self, configuration: &Configuration) -> Result<(), Failure> {
        let interception = self.interception.clone();
        let needs = PlumbingNeeds { interception, ..servers::needs(servers::in_the_files(configuration)) };
        let (missing, installed) = match &mut self.plumbing {
            Some(plumbing) => {
                // It may be that a removal could not be heard.
                self.upkeep.hear(plumbing);
                self.upkeep.looked(&plumbing.repair().map_err(|error| failure::plumbing(&error))?);
                // What serves now needs what it needs.
                let needs = servers::union(needs, plumbing.needs());
                let followed = servers::follow(plumbing, &needs);
                (followed.map_err(|error| failure::plumbing(&error))?.1, false)
            }
            None => (self.install(needs)?, true),
        };
        self.said.found(Subject::Conntrack, missing.map(|error| without_conntrack(&error)));
        if installed {
            let warning = servers::may_be_elsewhere(configuration).then(no_way_back).flatten();
            self.said.found(Subject::WayBack, warning);
        }
        Ok(())
    }

    /// Puts it into the kernel, and says what it had to leave out.
    fn install(&mut self, needs: PlumbingNeeds) -> Result<Option<PlumbingError>, Failure> {
        let install = |needs: &PlumbingNeeds| Plumbing::install(self.instance.as_ref(), self.mark, needs);
        let (installed, missing) = match install(&needs) {
            Err(error) if error.is_without_conntrack() => {
                (install(&PlumbingNeeds { own: false, ..needs }), Some(error))
            }
            installed => (installed, None),
        };
        let (plumbing, notices) = installed.map_err(|error| failure::plumbing(&error))?;
        for notice in notices {
            warn!("{notice}");
        }
        let Description { table, mark, route_table, .. } = plumbing.describe();
        info!(
            "transparent plumbing is in the kernel: table inet {table}, mark {mark}, route table {route_table}"
        );
        if !self.interception.is_empty() {
            info!("{}", intercept::described(&self.interception));
        }
        if self.interception.is_closed() {
            // The rest of it: ours is in place.
            log::swept(&clearway_kernel::plumbing::sweep());
        }
        self.upkeep.hear(&plumbing);
        self.plumbing = Some(plumbing);
        Ok(missing)
    }

    /// Puts back what others have removed of the plumbing, if they have.
    pub fn look_after_the_plumbing(&mut self) {
        let Some(plumbing) = &mut self.plumbing else { return self.upkeep.end() };
        self.upkeep.hear(plumbing);
        match plumbing.repair() {
            Ok(repaired) => {
                self.upkeep.looked(&repaired);
                if !repaired.put_back.is_empty() {
                    self.canary.again();
                }
            }
            Err(error) => self.upkeep.failed(error.to_string()),
        }
    }

    /// None of our sockets listens any more, or another Clearway has them.
    pub fn stop_intercepting(&mut self) {
        if let Some(Err(error)) = self.plumbing.as_mut().map(Plumbing::stop_intercepting) {
            warn!("new connections may still be intercepted: {error}");
        }
    }

    /// No generation needs it any more. What is closed opens only if it is known why we leave.
    pub fn unplumb(&mut self) {
        if !self.interception.is_closed() {
            self.remove(Closing::Goes);
        }
    }

    /// Clearway ends: says whether something of the plumbing is left in the kernel that should not be.
    pub fn leave(&mut self, code: ExitCode) -> bool {
        self.remove(if code == ExitCode::Done { Closing::Goes } else { Closing::Stays });
        self.residue
    }

    fn remove(&mut self, closing: Closing) {
        // Before anything goes: what we remove ourselves is not to be put back.
        self.upkeep.end();
        let Some(mut plumbing) = self.plumbing.take() else { return };
        match plumbing.remove_but(closing) {
            Ok(()) if closing == Closing::Stays => warn!(
                "the transparent plumbing is out of the kernel, but for the rules that reject what was intercepted: \
                 until the next start, or `clearway cleanup`"
            ),
            Ok(()) => info!("the transparent plumbing is out of the kernel"),
            Err(errors) => {
                self.residue = true;
                log::failure(&failure::left_behind(&errors));
            }
        }
    }
}

/// Removes what a dead predecessor has left in the kernel; what a living one uses stays. Where we are going to reject what
/// we do not intercept, no connection is to slip by before we do: then the rest goes once the plumbing is there.
pub fn sweep(interception: &Interception) {
    let closing = if interception.is_closed() { Closing::Stays } else { Closing::Goes };
    log::swept(&clearway_kernel::plumbing::sweep_but(closing));
}

/// The other servers work without.
fn without_conntrack(error: &PlumbingError) -> String {
    format!("transparent connections to servers at addresses of this host will fail: {error}")
}

/// A warning where the servers' answers will hardly come back: in a container's own network.
fn no_way_back() -> Option<String> {
    let interfaces = interfaces::in_use();
    if interfaces::is_the_hosts() || interfaces.len() > 1 {
        return None;
    }
    let only = interfaces.first().map_or("none", String::as_str);
    Some(format!(
        "this is not the host's network: it has a single interface ({only}). Transparent connections time out \
         unless the servers' default gateway is this container; with `--network=host` it can be the host"
    ))
}
