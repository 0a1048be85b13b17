//! What of the sockets in custody a generation is offered, and what is made for it.

use std::collections::HashSet;

use clearway_haproxy::configuration::Configuration;
use clearway_kernel::paths::MovedPath;

use crate::custody::held::Held;
use crate::custody::sockets::Sockets;
use crate::custody::{devices, foreign, paths};

/// What a generation is offered of what is held.
#[derive(Debug, Default)]
pub struct Selection {
    /// Sockets that it is not offered, by inode: they hear nothing any more, or no client reaches them.
    left_out: HashSet<u64>,
    /// Sockets made for addresses that this host does not have.
    made: Vec<Held>,
}

impl Selection {
    /// What this configuration is offered; what is left out or made is logged.
    pub fn among(sockets: &Sockets, configuration: &Configuration, moved: &[MovedPath]) -> Self {
        let mut left_out = devices::left_out(sockets, configuration);
        left_out.extend(paths::left_out(sockets, moved, configuration));
        let mut selection = Self { left_out, made: Vec::new() };
        selection.made = foreign::make(configuration, selection.of(sockets));
        selection
    }

    /// What is offered of these, and what was made.
    pub fn of<'a>(&'a self, sockets: &'a Sockets) -> impl DoubleEndedIterator<Item = &'a Held> {
        let held = sockets.all().iter().filter(|held| !self.left_out.contains(&held.inode()));
        held.chain(&self.made)
    }
}
