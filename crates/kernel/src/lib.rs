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
//! | [`nft`] | the way to change nftables, and the table that marks packets for transparent sockets |
//! | [`gate`] | stopping new clients for a moment: dropped, or held and let go |
//! | [`flip`] | the table that sends new clients of a public port to one of several private ones |
//! | [`others`] | what the packet filter of others does to transparent connections |
//! | [`routing`] | the rules and routes that deliver marked packets locally |
//! | [`listeners`] | who listens on a port; listening on an address that is not here |
//! | [`steering`] | which of the sockets of one address get the new clients |
//! | [`queues`] | who waits at a listening socket, and when nobody does any more |
//! | [`paths`] | whether the path of a Unix socket still leads to it |
//! | [`canary`] | whether the way that clients take works: connections that prove it |
//! | [`transparency`] | may this process make transparent sockets |
//! | [`capabilities`] | what this process may do |
//! | [`memory`] | the memory limit, and whom the kernel kills first |
//! | [`interfaces`] | whose network namespace this is |
//! | [`netlink`] | the client underneath |
//! | [`token`] | abstract sockets as signs of life and as a lock |

#![forbid(unsafe_code)]

mod bpf;
pub mod canary;
pub mod capabilities;
pub mod flip;
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
