//! What is to be done for the clients of which socket: the strategy beside what the kernel allows. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use clearway_core::strategy::{Means, Moved, Strategy};
use clearway_kernel::queues::Listener;
use clearway_kernel::steering::{NotSteerable, Reason, ReuseportGroup};

use crate::cutover::notices::CutoverNotice;
use crate::cutover::redirection::WayChange;
use crate::debug;
use crate::ground::notice::tell;

/// What is to be done.
#[derive(Debug, Default)]
pub struct MovePlan {
    /// Sockets whose new clients are steered.
    pub groups: Vec<ReuseportGroup>,
    /// Sockets that are made deaf to SYNs.
    pub sealed: Vec<Listener>,
    /// Sockets whose SYNs are stopped before they arrive.
    pub gated: Vec<Listener>,
    /// Sockets that need nothing: the kernel prefers the new one already.
    easy: Vec<Listener>,
    /// No new socket serves the address of these.
    last: Vec<Listener>,
    /// All of them: their clients are waited for.
    pub leaving: Vec<Listener>,
}

impl MovePlan {
    /// The best for each socket, as far as the strategy goes. `crowded`: where others listened as well, so that the
    /// order within the kernel's group is not known.
    pub fn of(
        outcomes: Vec<Result<ReuseportGroup, NotSteerable>>,
        strategy: Strategy,
        crowded: &HashSet<SocketAddr>,
    ) -> Self {
        let mut plan = Self::default();
        let gate_all = matches!(strategy, Strategy::SynDrop | Strategy::Plug);
        let gate_rest = gate_all || strategy == Strategy::Auto;
        for outcome in outcomes {
            match outcome {
                Ok(group) if gate_all => {
                    plan.gated.extend(group.leaving().iter().copied());
                    // Handshakes with SYN cookies end with a packet that no gate stops.
                    if !crowded.contains(&group.address()) {
                        plan.groups.push(group);
                    }
                }
                // What had listened there besides may have gone, and the last of the new ones be among the old.
                Ok(group) if crowded.contains(&group.address()) => {
                    tell(&CutoverNotice::Crowded { address: group.address() });
                    plan.rest(gate_rest).extend(group.leaving().iter().copied());
                }
                Ok(group) => {
                    plan.leaving.extend(group.leaving().iter().copied());
                    plan.groups.push(group);
                }
                Err(cannot) => plan.without_a_group(cannot, gate_all, gate_rest),
            }
        }
        let rest = [&plan.gated, &plan.sealed, &plan.easy, &plan.last];
        plan.leaving.extend(rest.into_iter().flatten().copied().collect::<Vec<_>>());
        plan
    }

    fn without_a_group(&mut self, cannot: NotSteerable, gate_all: bool, gate_rest: bool) {
        match cannot.reason {
            Reason::Narrower if !gate_all => {
                debug!("{cannot}");
                self.easy.extend(cannot.leaving);
            }
            // No socket comes after it: a client that connects now tries again, and is refused then.
            Reason::Unserved => {
                debug!("{cannot}");
                self.last.extend(cannot.leaving.iter().copied());
                self.sealed.extend(cannot.leaving);
            }
            Reason::NotListening => tell(&CutoverNotice::NotSteered { why: cannot.to_string() }),
            _ => {
                if !gate_all {
                    tell(&CutoverNotice::NotSteered { why: cannot.to_string() });
                }
                self.rest(gate_rest).extend(cannot.leaving);
            }
        }
    }

    /// Where it is put what cannot be steered: the new sockets get no client as long as the old one is open, so a client
    /// that comes now waits, or comes again.
    fn rest(&mut self, gate: bool) -> &mut Vec<Listener> {
        if gate { &mut self.gated } else { &mut self.sealed }
    }

    /// The addresses that clients call and whose clients are redirected to private ports from now on.
    pub fn redirected(&self, ways: &WayChange) -> Vec<Moved> {
        let publics: BTreeSet<_> = self.last.iter().filter_map(|one| ways.public_of(one.address)).collect();
        publics.iter().map(|address| Moved { address: address.to_string(), by: Means::TableFlip }).collect()
    }

    /// What has been done, a line for each address, for the report.
    pub fn moved(
        &self,
        steered: &[ReuseportGroup],
        sealed: &[Listener],
        gated: Option<(&[Listener], Means)>,
        name: &dyn Fn(&Listener) -> String,
    ) -> Vec<Moved> {
        let each = |listeners: &[Listener], by: Means| -> Vec<(u64, Means)> {
            listeners.iter().map(|listener| (listener.inode, by)).collect()
        };
        // What comes later counts.
        let mut means: HashMap<u64, Means> = each(sealed, Means::SynDrop).into_iter().collect();
        means.extend(each(&self.easy, Means::Reuseport));
        means.extend(steered.iter().flat_map(|group| each(group.leaving(), Means::Reuseport)));
        means.extend(gated.map(|(gated, by)| each(gated, by)).into_iter().flatten());
        let last: HashSet<u64> = self.last.iter().map(|listener| listener.inode).collect();
        let mut said = HashSet::new();
        self.leaving
            .iter()
            .filter(|listener| !last.contains(&listener.inode))
            .map(|listener| (name(listener), means.get(&listener.inode).copied().unwrap_or(Means::Nothing)))
            .filter(|line| said.insert(line.clone()))
            .map(|(address, by)| Moved { address, by })
            .collect()
    }
}

#[cfg(test)]
mod tests;
