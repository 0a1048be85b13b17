//! Listening TCP sockets: which process has a port, and how to listen on an address that this host does not have.
//!
//! [`holders`] names the processes behind "address in use", [`strangers`] finds other processes that share a port by
//! `SO_REUSEPORT`, of which the kernel tells neither side. [`bind_foreign`] makes the socket for an address that comes
//! later (a VIP of keepalived) without the sysctl `ip_nonlocal_bind`. [`reserve`] keeps a free port until HAProxy has
//! it. Nothing here accepts connections.

mod foreign;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod hairpins;
mod holders;
mod nearby;
mod reserve;
mod strangers;
mod table;

pub(crate) use foreign::covers;
pub use foreign::{bind_foreign, is_local};
pub use hairpins::to_themselves;
pub use holders::{Holder, HolderProcess, holders};
pub(crate) use nearby::Nearby;
pub use reserve::{Reserved, reserve};
pub use strangers::{Managed, Stranger, strangers};
pub(crate) use table::{HIDDEN, TcpSocket, TcpState, rows};
pub use table::{SockDiagError, listening};

#[cfg(test)]
mod tests;
