//! `GET /v1/sockets`: what is in custody, and how many clients wait there.

use std::collections::HashMap;

use clearway_kernel::queues::{self, AcceptQueue};
use tokio::sync::oneshot;

use crate::debug;
use crate::front::api::{SocketInCustody, SocketList};
use crate::front::view::View;
use crate::ground::aside;

impl View<'_> {
    /// Lists the sockets. The kernel is asked on a thread of its own: it walks through all sockets that listen.
    pub fn list_sockets(&self, sender: oneshot::Sender<SocketList>) {
        let held = self.custody.sockets();
        let inodes = held.inodes();
        // Plain data: a thread keeps no socket open.
        let one = |held: &crate::custody::held::Held| SocketInCustody {
            address: held.identity.to_string(),
            inode: held.inode(),
            waiting: None,
            limit: None,
        };
        let mut sockets: Vec<SocketInCustody> = held.all().iter().map(one).collect();
        sockets.sort_by(|one, other| one.address.cmp(&other.address));
        let redirected = self.cutover.redirected();
        aside::spawn("looking at the queues of the listening sockets", move || {
            let queues = queues::queues(&inodes).unwrap_or_else(|error| {
                debug!("looking at the queues: {error}");
                Vec::new()
            });
            let queues: HashMap<u64, AcceptQueue> = queues.into_iter().map(|one| (one.inode, one)).collect();
            for socket in &mut sockets {
                let queue = queues.get(&socket.inode);
                (socket.waiting, socket.limit) = (queue.map(|one| one.waiting), queue.map(|one| one.limit));
            }
            let _ = sender.send(SocketList { sockets, redirected });
        });
    }
}
