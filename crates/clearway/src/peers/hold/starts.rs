//! Balancers that start from what is held, until they serve or end: what is said of them is what has happened.

use std::collections::BTreeSet;

use clearway_core::count::Count;
use tracing::{info, warn};

use crate::peers::hold::News;
use crate::peers::hold::store::Balancer;

/// Those that start, and how many in a row have ended before they served.
#[derive(Debug, Default)]
pub struct Starts {
    starting: BTreeSet<Balancer>,
    failed: u32,
}

impl Starts {
    /// How many have ended before they served since one has.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// One begins, serves, or is gone; so many sockets are held for it.
    pub fn hear(&mut self, news: &News, held: usize) {
        match news {
            News::Hello(balancer, _) => {
                self.starting.insert(*balancer);
            }
            News::Keep(balancer, sockets) => {
                if self.starting.remove(balancer) {
                    self.failed = 0;
                    info!("a balancer serves from {}", Count(sockets.len(), "listening socket"));
                }
            }
            News::Gone(balancer) if self.starting.remove(balancer) => {
                self.failed = self.failed.saturating_add(1);
                // It may be started again every second.
                if self.failed.is_power_of_two() {
                    let times =
                        if self.failed > 1 { format!(" ({} in a row)", self.failed) } else { String::new() };
                    warn!(
                        "a balancer has ended before it served{times}, and what is held stays held: {}",
                        Count(held, "listening socket")
                    );
                }
            }
            // One whose start has failed lets go as well.
            News::State(..) | News::Release(..) | News::Gone(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starting(starts: &mut Starts, number: u64) {
        starts.starting.insert(Balancer(number));
    }

    #[test]
    fn those_that_end_before_they_serve_are_counted_until_one_serves() {
        let mut starts = Starts::default();
        for number in 1..4 {
            starting(&mut starts, number);
            starts.hear(&News::Gone(Balancer(number)), 2);
        }
        assert_eq!(starts.failed(), 3);
        starting(&mut starts, 4);
        starts.hear(&News::Keep(Balancer(4), Vec::new()), 2);
        assert_eq!(starts.failed(), 0);
        starts.hear(&News::Gone(Balancer(4)), 2);
        assert_eq!(starts.failed(), 0, "it had served");
    }

    /// Whatever it says before: one whose start fails lets go of the sockets like one that stops.
    #[test]
    fn one_that_lets_go_before_it_serves_has_not_served() {
        let mut starts = Starts::default();
        starting(&mut starts, 1);
        starts.hear(&News::Release(Balancer(1), false), 2);
        starts.hear(&News::Gone(Balancer(1)), 2);
        assert_eq!(starts.failed(), 1);
    }
}
