//! The plumbing of this process: how it is put into the kernel, changed and looked at, and taken out again.
//!
//! When that happens is decided in [`clearway_core::path`]; what it consists of is in [`clearway_kernel::plumbing`].

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::intercept::{Closing, Interception};
use clearway_core::path::{PathEvent, PathMachine, ServerNeeds};
use clearway_kernel::interfaces;
use clearway_kernel::plumbing::{Description, Plumbing, PlumbingError, PlumbingNeeds};

use crate::ground::failure;
use crate::ground::notice::tell;
use crate::path::notices::PathNotice;
use crate::path::servers::NamedServers;
use crate::path::{Path, Shortfall, intercept};
use crate::tell::said::Subject;

impl Path {
    /// Whether there is plumbing in the kernel.
    pub fn is_plumbed(&self) -> bool {
        self.plumbing.is_some()
    }

    /// What is in the kernel.
    pub fn describe(&self) -> Option<Description> {
        self.plumbing.as_ref().map(Plumbing::describe)
    }

    /// Before a generation with these servers starts that needs the plumbing: it is put into the kernel, or looked at and
    /// extended.
    pub fn plumb(&mut self, servers: &NamedServers) -> Result<(), Failure> {
        let is_new = !self.is_plumbed();
        let Shortfall { failed, without } = self.take(PathEvent::Needed(servers.needs.clone()));
        if let Some(error) = failed {
            return Err(failure::plumbing(&error));
        }
        self.said.found(Subject::Conntrack, without.map(|error| without_conntrack(&error)));
        if is_new {
            let warning = servers.may_be_elsewhere.then(no_way_back).flatten();
            self.said.found(Subject::WayBack, warning);
        }
        Ok(())
    }

    /// HAProxy was asked for the state of its servers; `fresh`: for the first time.
    pub fn look_after_the_plumbing(&mut self, fresh: bool) {
        self.look_after(PathEvent::Told { fresh });
    }

    /// None of our sockets listens any more, or another Clearway has them.
    pub fn release(&mut self) {
        self.take(PathEvent::ReleaseCustody);
    }

    /// No generation needs it any more.
    pub fn unplumb(&mut self) {
        self.take(PathEvent::Unplumb);
    }

    /// Clearway ends: says whether something of the plumbing is left in the kernel that should not be.
    pub fn leave(&mut self, code: ExitCode) -> bool {
        self.take(PathEvent::Leave(code));
        self.residue
    }

    pub(super) fn look_after(&mut self, event: PathEvent) {
        if let Some(error) = self.take(event).failed {
            self.watch.say_failed(error.to_string());
        }
    }

    fn with_interception(&self, ServerNeeds { loopback, own }: ServerNeeds) -> PlumbingNeeds {
        PlumbingNeeds { loopback, own, interception: self.interception.clone() }
    }

    /// Puts it into the kernel, without what this kernel cannot do: servers on other addresses of this host need conntrack,
    /// and the others work without.
    pub(super) fn install(&mut self, needs: ServerNeeds, shortfall: &mut Shortfall) -> Option<PathEvent> {
        let install = |needs: &PlumbingNeeds| Plumbing::install(self.instance.as_ref(), self.mark, needs);
        let needs = self.with_interception(needs);
        let (plumbing, notices) = shortfall.perhaps_without(needs, install)?;
        for notice in notices {
            tell(&PathNotice::Without { detail: notice.to_string() });
        }
        tell(&installed(plumbing.describe()));
        if !self.interception.is_empty() {
            tell(&intercept::described(&self.interception));
        }
        let event = PathEvent::Installed(needs_of(&plumbing));
        self.plumbing = Some(plumbing);
        Some(event)
    }

    /// Changes it, without what this kernel cannot do.
    pub(super) fn follow(&mut self, needs: ServerNeeds, shortfall: &mut Shortfall) -> Option<PathEvent> {
        let needs = self.with_interception(needs);
        let plumbing = self.plumbing.as_mut()?;
        let changes = shortfall.perhaps_without(needs, |needs| plumbing.follow(needs))?;
        let event = PathEvent::Followed { needs: needs_of(plumbing), changed: !changes.is_empty() };
        if !changes.is_empty() {
            tell(&PathNotice::Followed { changes });
        }
        Some(event)
    }

    /// Puts back what others have removed of it.
    pub(super) fn look(&mut self, shortfall: &mut Shortfall) -> Option<PathEvent> {
        match self.plumbing.as_mut()?.repair() {
            Ok(repaired) => {
                let event = PathEvent::Looked { repaired: !repaired.put_back.is_empty() };
                self.watch.say_repaired(repaired);
                Some(event)
            }
            Err(error) => {
                shortfall.failed.get_or_insert(error);
                Some(PathEvent::LookFailed)
            }
        }
    }

    pub(super) fn stop_intercepting(&mut self) {
        if let Some(Err(error)) = self.plumbing.as_mut().map(Plumbing::stop_intercepting) {
            tell(&PathNotice::StillIntercepts { error: error.to_string() });
        }
    }

    pub(super) fn remove(&mut self, closing: Closing) {
        let Some(mut plumbing) = self.plumbing.take() else { return };
        match plumbing.remove_but(closing) {
            Ok(()) if closing == Closing::Stays => tell(&PathNotice::Closed),
            Ok(()) => tell(&PathNotice::Removed),
            Err(errors) => {
                self.residue = true;
                let Failure { message: error, hints, .. } = failure::left_behind(&errors);
                tell(&PathNotice::Left { error, hints });
            }
        }
    }
}

impl Shortfall {
    /// Tries it with all that is needed, then without conntrack if that is what cannot be had.
    fn perhaps_without<T>(
        &mut self,
        mut needs: PlumbingNeeds,
        mut attempt: impl FnMut(&PlumbingNeeds) -> Result<T, PlumbingError>,
    ) -> Option<T> {
        let mut result = attempt(&needs);
        if result.as_ref().is_err_and(PlumbingError::is_without_conntrack) {
            needs.own = false;
            self.without = std::mem::replace(&mut result, attempt(&needs)).err();
        }
        result.map_err(|error| self.failed.get_or_insert(error)).ok()
    }
}

fn installed(Description { table, mark, route_table, .. }: Description) -> PathNotice {
    PathNotice::Installed { table, mark: mark.to_string(), route_table: route_table.to_string() }
}

fn needs_of(plumbing: &Plumbing) -> ServerNeeds {
    let PlumbingNeeds { loopback, own, .. } = plumbing.needs().clone();
    ServerNeeds { loopback, own }
}

/// Removes what a dead predecessor has left in the kernel; what a living one uses stays.
pub fn sweep(interception: &Interception) {
    let outcome = clearway_kernel::plumbing::sweep_but(PathMachine::at_start(interception));
    if let Some(notice) = PathNotice::of_a_sweep(outcome) {
        tell(&notice);
    }
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
