//! Starting a generation and letting it prove itself.
//!
//! ```text
//!   Clearway                                  HAProxy (one generation)
//!      | fork, exec: -W -db ... -S sockpair@M -x sockpair@N -f /proc/self/fd/O
//!      |                                         |
//!      |   N  <---------- _getsocks ------------ |   before it binds, if custody has anything
//!      |   N  ----------- sockets -------------> |
//!      |                                         |   binds what is new, forks its worker
//!      |   S  ---------- show info ------------> |   waits in the socket until the worker polls:
//!      |   S  <------- the worker's pid -------- |   the answer is the proof that it accepts
//!      |   S  ---------- _getsocks ------------> |
//!      |   S  <---------- sockets -------------- |   whose inodes tell what was adopted
//!      v                                         v
//! ```
//!
//! | descriptor in the child | what |
//! |---|---|
//! | S | HAProxy's end of the private stats socket: a socket pair, so that there is no name to connect to |
//! | O | the overlay, a sealed memfd: nothing has to be written, a read-only root will do |
//! | M | HAProxy's end of the master CLI, which answers while a generation drains |
//! | N | HAProxy's end of the pair over which it asks for its listening sockets, if there are any |
//! | P | a memfd that HAProxy writes its pid into, if its files have a `pidfile`, which is Clearway's |
//! | L | the script that tells Lua code the names of the user's files, if that loads some |
//!
//! The two conversations block, so each has a thread of its own that lives as long as the proof; if
//! HAProxy dies, both see the end of their connection. Neither thread ever forks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::drift::Imprint;
use clearway_haproxy::overlay::Overlay;

use crate::custody::selection::Selection;
use crate::custody::sockets::Sockets;
use crate::fleet::child::Rights;
use crate::fleet::chosen::ReadFrom;
use crate::fleet::deaf::Hears;

mod inherited;
pub(super) mod memory_files;
mod prepare;
mod start;

pub use inherited::cannot;

/// A generation that can be launched.
#[derive(Debug)]
pub struct Prepared {
    files: ReadFrom,
    /// What those say.
    configuration: Arc<Configuration>,
    /// What tells later whether the files on disk are still those that were read for it.
    imprint: Arc<Imprint>,
    overlay: Overlay,
    /// What it is offered of the sockets in custody.
    selection: Selection,
    rights: Rights,
    /// Whether it is to have the state of the servers of the one before.
    carries: bool,
    hears: Hears,
    /// Where it reads its counters.
    stats_file: Option<PathBuf>,
}

/// What other rooms have for a launch.
#[derive(Debug)]
pub struct Surroundings {
    /// What is in custody.
    pub sockets: Arc<Sockets>,
    /// Whether a predecessor serves, and drains when this generation is committed.
    pub has_predecessor: bool,
    /// The public address for each private one.
    pub publics: HashMap<SocketAddr, SocketAddr>,
}
