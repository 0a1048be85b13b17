//! Balancers that start from what is held, until they serve or end.

use std::collections::BTreeSet;

use super::balancer_id::BalancerId;

/// Those that start, and how many in a row have ended before they served.
#[derive(Debug, Default)]
pub(super) struct Starts {
    starting: BTreeSet<BalancerId>,
    failed: u32,
}

impl Starts {
    /// How many have ended before they served since one has.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    /// One begins.
    pub(super) fn begins(&mut self, balancer: BalancerId) {
        self.starting.insert(balancer);
    }

    /// One serves. Says whether it had begun from what is held, and has not served before.
    pub(super) fn serves(&mut self, balancer: BalancerId) -> bool {
        let began = self.starting.remove(&balancer);
        if began {
            self.failed = 0;
        }
        began
    }

    /// One is gone. If it had not served: how many such there were in a row, where that is to be said. It may be started
    /// again every second.
    pub(super) fn gone(&mut self, balancer: BalancerId) -> Option<u32> {
        if !self.starting.remove(&balancer) {
            return None;
        }
        self.failed = self.failed.saturating_add(1);
        self.failed.is_power_of_two().then_some(self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_end_before_they_serve_are_counted_until_one_serves() {
        let mut starts = Starts::default();
        let said = (1..4).map(|number| {
            starts.begins(BalancerId(number));
            starts.gone(BalancerId(number))
        });
        assert_eq!(said.collect::<Vec<_>>(), [Some(1), Some(2), None]);
        assert_eq!(starts.failed(), 3);
        starts.begins(BalancerId(4));
        assert!(starts.serves(BalancerId(4)) && !starts.serves(BalancerId(4)));
        assert_eq!(starts.failed(), 0);
        assert_eq!(starts.gone(BalancerId(4)), None, "it had served");
    }
}
