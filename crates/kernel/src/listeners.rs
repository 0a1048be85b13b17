//! Listening TCP sockets: who has a port, and how to listen where this host has no address.
//!
//! [`holders`] answers "address in use" with a name, [`strangers`] finds who shares a port by `SO_REUSEPORT`
//! without anybody having been told. [`bind_foreign`] makes the socket for an address that
//! comes later (a VIP of keepalived) without the sysctl `ip_nonlocal_bind`. [`reserve`] keeps a free port until
//! HAProxy has it. Nothing here accepts.

mod foreign;
mod hairpins;
mod holders;
mod nearby;
mod reserve;
mod strangers;
mod table;

pub(crate) use foreign::covers;
pub use foreign::{bind_foreign, is_local};
pub use hairpins::to_themselves;
pub use holders::{Holder, HolderProcess, SockDiagError, holders};
pub(crate) use nearby::Nearby;
pub use reserve::{Reserved, reserve};
pub use strangers::{Managed, Stranger, strangers};
pub use table::listening;
pub(crate) use table::{TcpSocket, TcpState, rows};

#[cfg(test)]
mod tests;
