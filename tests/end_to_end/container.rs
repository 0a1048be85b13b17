//! The container image under the real engine, in the network of the machine and in one of its own.
//!
//! Clients and servers are in namespaces of the lab that are wired to the machine. What these tests may change of
//! it for a while: two interfaces with their routes, the containers, and what Clearway itself puts into the
//! kernel. Each reads back that everything is as it was before.

mod bad_input;
mod bridge;
mod capabilities;
mod death;
mod deploy;
mod documented;
mod drop_in;
mod engine;
mod gateway;
mod holder;
mod image;
mod memory;
mod official;
mod published;
mod rig;
mod stop;
mod takeover;
mod topologies;

/// The tests of all parts.
pub const TESTS: [&[crate::Test]; 15] = [
    documented::TESTS,
    capabilities::TESTS,
    drop_in::TESTS,
    official::TESTS,
    death::TESTS,
    takeover::TESTS,
    holder::TESTS,
    deploy::TESTS,
    published::TESTS,
    gateway::TESTS,
    bad_input::TESTS,
    memory::TESTS,
    stop::TESTS,
    topologies::TESTS,
    image::TESTS,
];
