//! A conversation of the holder, by number.

/// A conversation with a balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BalancerId(pub u64);
