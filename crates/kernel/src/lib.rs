//! What Clearway puts into the kernel, and what it asks of it.
//!
//! Every object that is made here has `apply` and `remove` side by side in one file, both idempotent;
//! [`plumbing`] puts them together in the one order that is safe. All calls are synchronous and bounded
//! (they wait at most two seconds for a netlink answer), so that they may run on a current-thread event
//! loop. Nothing here starts a program, writes a sysctl or loads a module, and nothing that the kernel
//! answers makes it panic. It decides nothing about reloads or HAProxy.
//!
//! | module | owns |
//! |---|---|
//! | [`plumbing`] | the nftables table, the rules and the routes together: install, repair, remove, sweep |
//! | [`nft`] | the way to change nftables, and the table that marks packets for transparent sockets |
//! | [`gate`] | stopping new clients for a moment: dropped, or held and let go |
//! | [`flip`] | the table that sends new clients of a public port to one of several private ones |
//! | [`others`] | what the packet filter rules of other programs do to transparent connections |
//! | [`routing`] | the rules and routes that deliver marked packets locally |
//! | [`listeners`] | which processes listen on a port; listening on an address that this host does not have |
//! | [`steering`] | which of the sockets of one address get the new clients |
//! | [`queues`] | connections that wait at a listening socket, and when none does any more |
//! | [`counters`] | what the kernel counts for the whole network namespace |
//! | [`paths`] | whether the path of a Unix socket still leads to it |
//! | [`canary`] | whether the return path to clients works: connections that prove it |
//! | [`transparency`] | whether this process may make transparent sockets |
//! | [`capabilities`] | what this process may do |
//! | [`memory`] | the memory limit, and which process the kernel kills first |
//! | [`interfaces`] | the interfaces of this network namespace |
//! | [`netlink`] | the client underneath |
//! | [`token`] | abstract sockets as signs of life and as a lock |

#![forbid(unsafe_code)]

mod bpf;
pub mod canary;
pub mod capabilities;
pub mod counters;
pub mod flip;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod gate;
pub mod interfaces;
pub mod listeners;
pub mod memory;
mod modules;
pub mod netlink;
pub mod nft;
pub mod others;
pub mod paths;
pub mod plumbing;
pub mod queues;
pub mod routing;
pub mod steering;
pub mod token;
pub mod transparency;
