//! What Clearway puts into the kernel, and what it asks of it.
//!
//! Every object that is made here has `apply` and `remove` side by side in one file, both idempotent;
//! [`plumbing`] puts them together in the one order that is safe. All calls are synchronous and bounded
//! (a netlink answer is waited for two seconds at most), so that they may run on a current-thread event
//! loop. Nothing here starts a program, writes a sysctl or loads a module, and nothing that the kernel
//! answers makes it panic. It decides nothing about reloads or HAProxy.
//!
//! | module | owns |
//! |---|---|
//! | [`plumbing`] | the nftables table, the rules and the routes together: install, repair, remove, sweep |
//! | [`nft`] | the table that marks packets for transparent sockets |
//! | [`routing`] | the rules and routes that deliver marked packets locally |
//! | [`listeners`] | who listens on a port; listening on an address that is not here |
//! | [`transparency`] | may this process make transparent sockets |
//! | [`capabilities`] | what this process may do |
//! | [`netlink`] | the client underneath |
//! | [`token`] | abstract sockets as signs of life and as a lock |

#![forbid(unsafe_code)]

pub mod capabilities;
pub mod listeners;
pub mod netlink;
pub mod nft;
pub mod plumbing;
pub mod routing;
pub mod token;
pub mod transparency;
