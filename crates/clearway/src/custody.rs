//! Custody of the listening sockets: which are held, in which order, and which queue each one has.

pub mod backlog;
pub mod devices;
pub mod held;
pub mod here;
pub mod paths;
