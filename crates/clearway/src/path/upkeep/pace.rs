//! How long to wait until the next look: a moment, unless somebody removes again what was put back, again and again.
//!
//! Pure. Whoever removes our rules once, or once in a few seconds, does so in one go: after [`SOON`] it is over. Against
//! somebody who does nothing else, nobody wins: then the pauses grow to [`LONGEST`], which settles at some 25 repairs a
//! minute. Looks that find nothing (another Clearway of this instance changes its rules) are cheap, and stay within a
//! second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long others have to finish what they do. Short: whoever connects meanwhile waits a second longer, until the
/// kernel sends the SYN again.
const SOON: Duration = Duration::from_millis(10);
/// Half of the first pause that is longer.
const LONGER: Duration = Duration::from_millis(100);
/// The pause where many looks find nothing.
const OFTEN: Duration = Duration::from_millis(800);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(15);

/// What counts as "again and again": more than so many repairs within [`WINDOW`].
const FREE: usize = 20;
/// So many looks within [`WINDOW`] are many.
const MANY: usize = 60;
const WINDOW: Duration = Duration::from_mins(1);

/// What has happened within the last minute.
#[derive(Debug, Default)]
pub struct Pace {
    repairs: VecDeque<Instant>,
    looks: VecDeque<Instant>,
}

impl Pace {
    /// A look is over, and had to put something back or not.
    pub fn looked(&mut self, now: Instant, repaired: bool) {
        remember(&mut self.looks, now);
        if repaired {
            remember(&mut self.repairs, now);
        }
    }

    /// How long to wait from a hint to the look.
    pub fn pause(&self, now: Instant) -> Duration {
        match recent(&self.repairs, now).checked_sub(FREE) {
            Some(over) => {
                // 0.2 s, 0.4 s, 0.8 s, ...
                let doublings = u32::try_from(over).unwrap_or(u32::MAX).saturating_add(1);
                LONGER.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST)
            }
            None if recent(&self.looks, now) >= MANY => OFTEN,
            None => SOON,
        }
    }

    /// Whether somebody removes again and again.
    pub fn is_fight(&self, now: Instant) -> bool {
        recent(&self.repairs, now) >= FREE
    }
}

fn remember(times: &mut VecDeque<Instant>, now: Instant) {
    if times.len() >= MANY {
        times.pop_front();
    }
    times.push_back(now);
}

fn recent(times: &VecDeque<Instant>, now: Instant) -> usize {
    times.iter().filter(|at| now.saturating_duration_since(**at) < WINDOW).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody removes at once what was put back; how many repairs there are in each of these minutes.
    fn fight(minutes: u32) -> Vec<usize> {
        let (begun, mut pace) = (Instant::now(), Pace::default());
        let (mut now, mut repairs) = (begun, vec![0; minutes as usize]);
        loop {
            now += pace.pause(now);
            let minute = usize::try_from((now - begun).as_secs() / 60).unwrap();
            let Some(count) = repairs.get_mut(minute) else { return repairs };
            *count += 1;
            pace.looked(now, true);
        }
    }

    #[test]
    fn a_fight_is_fought_ever_more_seldom() {
        for (minute, repairs) in fight(10).into_iter().enumerate() {
            assert!((5..=32).contains(&repairs), "{repairs} repairs in minute {minute}");
        }
    }

    #[test]
    fn whoever_comes_now_and_then_is_answered_at_once() {
        let (mut now, mut pace) = (Instant::now(), Pace::default());
        for _ in 0..1000 {
            now += Duration::from_secs(5);
            assert_eq!(pace.pause(now), SOON);
            pace.looked(now, true);
        }
        assert!(!pace.is_fight(now));
    }

    #[test]
    fn after_a_fight_there_is_peace() {
        let (mut now, mut pace) = (Instant::now(), Pace::default());
        while pace.pause(now) < LONGEST {
            now += pace.pause(now);
            pace.looked(now, true);
        }
        assert!(pace.is_fight(now));
        now += WINDOW;
        assert!(!pace.is_fight(now));
        assert_eq!(pace.pause(now), SOON);
    }

    #[test]
    fn looks_that_find_nothing_stay_within_a_second() {
        let (mut now, mut pace) = (Instant::now(), Pace::default());
        let begun = now;
        for _ in 0..1000 {
            let pause = pace.pause(now);
            assert!(pause < Duration::from_secs(1), "{pause:?}");
            now += pause;
            pace.looked(now, false);
        }
        assert!(now - begun > Duration::from_secs(700), "no more than some 80 a minute");
    }
}
