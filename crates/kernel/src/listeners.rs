//! Listening TCP sockets: who has a port, and how to listen where this host has no address.
//!
//! [`holders`] answers "address in use" with a name. [`bind_foreign`] makes the socket for an address that
//! comes later (a VIP of keepalived) without the sysctl `ip_nonlocal_bind`. Nothing here accepts.

mod foreign;
mod holders;

pub use foreign::{bind_foreign, is_local};
pub use holders::{Error, Holder, Process, holders};

#[cfg(test)]
mod tests;
