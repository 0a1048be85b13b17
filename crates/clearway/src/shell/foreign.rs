//! A first start beside a balancer that is not ours, as when Clearway comes into the place of a script.
//!
//! Both listen on the same addresses by `SO_REUSEPORT`, and the kernel would share new clients out among them; those
//! that wait in the sockets of the other one when it is stopped would be reset. So as soon as ours serves, new clients
//! are steered to it ([`clearway_kernel::steering`]): the other one may be stopped at any time, and if we go first, it has
//! its clients again. It needs no capability and touches nothing of the other one.
//!
//! That is possible where nobody's sockets are held yet: who listened before HAProxy did is known then.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::sleep;
use std::time::Duration;

use clearway_kernel::listeners;
use clearway_kernel::queues;
use clearway_kernel::steering::{self, Group, Present};
use tracing::{debug, info, warn};

use super::custody::{Custody, Held};
use super::switch::Epoch;

/// How often it is looked whether the others have gone: the kernel may share out evenly again then.
const PACE: Duration = Duration::from_secs(1);

/// Sockets of others that get no new clients any more, by inode.
#[derive(Clone, Debug, Default)]
pub struct PassedBy(Arc<OnceLock<HashSet<u64>>>);

impl PassedBy {
    /// Whether a socket is one.
    pub fn has(&self, inode: u64) -> bool {
        self.0.get().is_some_and(|inodes| inodes.contains(&inode))
    }
}

/// Who listens before HAProxy does, if it may matter: looked at when it is started with nothing from us.
pub fn present() -> Option<Present> {
    Present::now().inspect_err(|error| debug!("looking who listens already: {error}")).ok()
}

/// Sends new clients to the sockets in custody, where others that were there before share their addresses. `then` is done
/// when that is so. Blocks until the others are gone.
pub fn pass_by(before: &Present, custody: &Weak<Custody>, passed: &PassedBy, then: impl FnOnce()) {
    let epoch = Epoch::current();
    let groups = custody.upgrade().map(|custody| steer(before, &custody)).unwrap_or_default();
    let others: HashSet<u64> =
        groups.iter().flat_map(Group::leaving).map(|listener| listener.inode).collect();
    let _ = passed.0.set(others.clone());
    then();
    while !groups.is_empty() && custody.strong_count() > 0 && epoch.is_current() {
        match queues::queues(&others) {
            Ok(open) if open.is_empty() => {
                let Some(custody) = custody.upgrade() else { return };
                at_each(&groups, &custody, Group::release);
                info!("who listened beside us is gone");
                return;
            }
            Ok(_) => sleep(PACE),
            Err(error) => return debug!("{error}"),
        }
    }
}

fn steer(before: &Present, custody: &Custody) -> Vec<Group> {
    let fresh: Vec<BorrowedFd<'_>> = custody.sockets().iter().map(Held::descriptor).collect();
    let outcomes = before.beside(&fresh).unwrap_or_else(|error: listeners::Error| {
        debug!("looking who listens beside us: {error}");
        Vec::new()
    });
    let mut groups = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(group) => groups.push(group),
            Err(cannot) => info!("new connections are shared with others: {cannot}"),
        }
    }
    let groups = at_each(&groups, custody, Group::steer);
    if !groups.is_empty() {
        let addresses: Vec<String> = groups.iter().map(|group| group.address().to_string()).collect();
        info!(
            "new connections to {} come here, and none any more to who listened there before",
            addresses.join(", ")
        );
    }
    groups
}

/// Does something to each group by way of a socket of ours; tells where it was done.
fn at_each(
    groups: &[Group],
    custody: &Custody,
    what: fn(&Group, BorrowedFd<'_>) -> Result<(), steering::Error>,
) -> Vec<Group> {
    let done = groups.iter().filter(|group| {
        let via = custody.sockets().iter().find(|held| group.has(held.identity.inode.0));
        via.is_some_and(|held| what(group, held.descriptor()).inspect_err(|error| warn!("{error}")).is_ok())
    });
    done.cloned().collect()
}
