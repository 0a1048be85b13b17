//! What a holder says of itself.

use clearway_core::count::Count;
use serde::{Deserialize, Serialize};

/// Answer of a holder to `GET /status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Clearway's version.
    pub version: String,
    /// The holder's process.
    pub pid: u32,
    /// For which instance.
    pub instance: String,
    /// `holding`.
    pub state: String,
    /// Whether a balancer serves from what is held.
    pub balancer_serves: bool,
    /// How many balancers have begun to start from it since one served last, and have not served yet or have ended before.
    pub failed_starts: u32,
    /// The listening sockets.
    pub sockets: Vec<String>,
    /// For how long they are held if no balancer comes; unset while one serves, or if there are none.
    pub seconds_left: Option<u64>,
}

impl Holding {
    /// Whether a balancer serves, in one line.
    pub fn balancer(&self) -> String {
        match (self.balancer_serves, self.seconds_left) {
            (true, _) => "a balancer serves from the listening sockets that are held".to_owned(),
            (false, Some(seconds)) => {
                format!("NO BALANCER serves: clients wait, and are refused in {seconds} s if none comes")
            }
            (false, None) => "no balancer has come yet, or the hold is over: nothing is held".to_owned(),
        }
    }

    /// The starts that have failed, in one line, if there are any.
    pub fn failures(&self) -> Option<String> {
        let failed = Count(self.failed_starts, "start");
        (self.failed_starts > 0)
            .then(|| format!("{failed} of balancers in a row ended before the balancer served"))
    }
}

/// For people.
impl std::fmt::Display for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, pid, instance, sockets, .. } = self;
        writeln!(f, "holding (clearway {version}, pid {pid}, instance {instance})")?;
        writeln!(f, "{}", self.balancer())?;
        if let Some(failures) = self.failures() {
            writeln!(f, "{failures}")?;
        }
        let held = if sockets.is_empty() { "nothing".to_owned() } else { sockets.join(", ") };
        writeln!(f, "held: {held}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_says_what_is_true() {
        let mut holding = Holding {
            version: "0.1.0".to_owned(),
            pid: 1,
            instance: "web".to_owned(),
            state: "holding".to_owned(),
            balancer_serves: true,
            failed_starts: 0,
            sockets: vec!["0.0.0.0:80".to_owned()],
            seconds_left: None,
        };
        assert_eq!(
            holding.to_string(),
            "holding (clearway 0.1.0, pid 1, instance web)\na balancer serves from the listening sockets that are \
             held\nheld: 0.0.0.0:80\n"
        );
        holding.balancer_serves = false;
        holding.seconds_left = Some(290);
        holding.failed_starts = 2;
        let words = holding.to_string();
        assert!(words.contains("NO BALANCER serves: clients wait, and are refused in 290 s"), "{words}");
        assert!(words.contains("2 starts of balancers in a row ended before the balancer served"), "{words}");
    }
}
