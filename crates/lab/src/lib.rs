//! The laboratory: hosts as network namespaces, servers that say which address they saw, an open-loop load generator,
//! one benchmark harness and the demo. Never shipped.
//!
//! | module | what it owns |
//! |---|---|
//! | [`wait`] | waiting for a condition with a deadline; nothing in the lab sleeps and hopes |
//! | [`namespace`], [`topology`] | hosts; everything started in one dies with it |
//! | [`inside`] | tests that run in a process on a host |
//! | [`server`], [`load`], [`session`], [`keep_alive`] | the two ends of the traffic |
//! | [`sockets`] | single sockets: listening, waiting, connected |
//! | [`balancer`], [`process`] | the process under test, seen from outside |
//! | [`names`] | a DNS server with a table that changes |
//! | [`container`] | the same in a container of a real engine |
//! | [`kernel`] | what the kernel holds, read back with the kernel's own tools |
//! | [`mod@bench`], [`demo`] | what people run |
//!
//! Rules: nothing outside the namespaces that the lab made itself is touched, but for the two interfaces that
//! [`topology::Topology::wired_to_host`] adds to the machine and takes away; every wait, rate and count is
//! bounded; no port of the host is used that is not free.

pub mod balancer;
pub mod bench;
pub mod cli;
pub mod container;
pub mod demo;
#[cfg(test)]
mod documents;
pub mod inside;
pub mod keep_alive;
pub mod kernel;
pub mod load;
pub mod log;
pub mod names;
pub mod namespace;
pub mod process;
pub mod server;
pub mod session;
pub mod sockets;
pub mod topology;
pub mod wait;
