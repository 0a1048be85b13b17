//! The addresses that a new generation listens on, beside those of the sockets in custody.

use std::collections::HashSet;

/// Three kinds of addresses, each in the order in which they were given. There may be thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Bound by it, and by none before.
    pub new: Vec<String>,
    /// In custody, and not bound by it.
    pub gone: Vec<String>,
    /// Bound a second time beside the socket in custody, because HAProxy was not given that one or did not recognise it
    /// (docs/facts A.3, A.6).
    pub twice: Vec<String>,
}

impl Bound {
    /// From what it has made itself, and what it does not use of custody.
    pub fn of(fresh: &[String], unclaimed: &[String]) -> Self {
        let (known, before): (HashSet<_>, HashSet<_>) = (fresh.iter().collect(), unclaimed.iter().collect());
        let (twice, gone) = unclaimed.iter().cloned().partition(|address| known.contains(address));
        let new = fresh.iter().filter(|address| !before.contains(address)).cloned().collect();
        Self { new, gone, twice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_of_one_kind() {
        let list = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let bound = Bound::of(&list(&["b", "c"]), &list(&["a", "b"]));
        assert_eq!(bound, Bound { new: list(&["c"]), gone: list(&["a"]), twice: list(&["b"]) });
    }
}
