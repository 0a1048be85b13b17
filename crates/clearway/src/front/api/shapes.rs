//! Types of other crates, as the description of the API has them.

#![allow(dead_code, reason = "only what the macro makes of them is used")]

/// One listening socket that the former generation had, and what was done for its clients.
#[derive(utoipa::ToSchema)]
pub struct MovedSocket {
    /// Where it listens.
    address: String,
    /// What was done: `handoff`, `reuseport`, `syn-drop`, `plug`, `tableflip`, `nothing`.
    by: String,
}

/// What came of carrying the state of servers over.
#[derive(utoipa::ToSchema)]
pub struct CarriedState {
    /// What was set, a server after the other: `web/s1: down`.
    set: Vec<String>,
    /// What was not, each with its reason.
    left: Vec<String>,
    /// Set if nothing could be asked any more: how old the state is that was used, in seconds.
    age_seconds: Option<u64>,
}
