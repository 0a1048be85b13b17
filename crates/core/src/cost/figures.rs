//! The figures, as they are told.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::counters::NetworkCounters;
use crate::count::Count;
use crate::notice::data;
use crate::strategy::Means;

/// What a window cost, and the time around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// The time before, to compare the namespace-wide counters with; unset: Clearway has not looked at them then.
    pub before: Option<CostBefore>,
    /// From the beginning of the attempt, or the end of the generation that served, until a generation served.
    pub window: CostFigures,
    /// The second after that; unset: it is not over.
    pub after: Option<CostFigures>,
    /// The gate that was closed meanwhile; unset: none was, or it is not open yet.
    pub gate: Option<CostGate>,
}

/// A gate that kept new clients away until the former sockets were closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostGate {
    /// What it did to their SYNs: `plug` or `syn-drop`.
    pub by: Means,
    /// For how long it was closed.
    #[serde(serialize_with = "to_seconds", deserialize_with = "from_seconds")]
    pub seconds: Duration,
    /// How many SYNs it held, one that was sent again counted again; unset: it drops them.
    #[serde(default)]
    pub held: Option<u64>,
    /// How many SYNs it dropped, likewise; unset: it holds them, or the kernel has not counted them.
    #[serde(default)]
    pub dropped: Option<u64>,
}

impl fmt::Display for CostGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, seconds, held, dropped } = self;
        let time = milliseconds(*seconds);
        match (held, dropped) {
            (Some(held), _) => write!(f, "{} held for {time} ms at most ({by})", Count(*held, "SYN")),
            (None, Some(dropped)) => write!(f, "{} dropped in {time} ms ({by})", Count(*dropped, "SYN")),
            (None, None) => write!(f, "SYNs dropped for {time} ms ({by}), not counted"),
        }
    }
}

/// What the kernel counted in the time before a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CostBefore {
    /// How long that time was.
    #[serde(serialize_with = "to_seconds", deserialize_with = "from_seconds")]
    pub seconds: Duration,
    /// What was counted in the network namespace.
    pub network: NetworkCounters,
}

/// What was measured for some time. Unset: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CostFigures {
    /// How long that time was.
    #[serde(serialize_with = "to_seconds", deserialize_with = "from_seconds")]
    pub seconds: Duration,
    /// Connections refused at addresses of ours. 0 or unknown: no socket is left that would count it.
    pub refused: Option<u64>,
    /// Clients that were seen in the queue of a listening socket of ours at the last look before it was closed, which
    /// resets them.
    pub reset: Option<u64>,
    /// Packets of new connections that listening sockets of ours dropped; a client sends them again.
    pub dropped: Option<u64>,
    /// For how long one client was seen in a queue, the one for which that was longest; 0: none was seen twice.
    #[serde(rename = "waited_seconds", serialize_with = "to_seconds", deserialize_with = "or_null")]
    pub waited: Option<Duration>,
    /// No client waited for longer.
    #[serde(rename = "waited_at_most_seconds", serialize_with = "to_seconds", deserialize_with = "or_null")]
    pub waited_at_most: Option<Duration>,
    /// What was counted in the whole network namespace.
    pub network: NetworkCounters,
}

impl CostFigures {
    /// What was measured at our own sockets, and the namespace-wide resets beside it; `more`: what these are compared with.
    fn write(&self, f: &mut fmt::Formatter<'_>, more: Option<CostBefore>) -> fmt::Result {
        for (number, what) in [(self.refused, "refused"), (self.reset, "reset"), (self.dropped, "dropped")] {
            match number {
                Some(number) => write!(f, "{number} {what}")?,
                None => write!(f, "{what} unknown")?,
            }
            f.write_str(if what == "dropped" { "" } else { ", " })?;
        }
        if let Some(resets) = self.network.resets_sent {
            write!(f, " (resets sent namespace-wide: {resets}")?;
            if let Some(CostBefore { seconds, network: NetworkCounters { resets_sent: Some(resets), .. } }) =
                more
            {
                write!(f, ", before {resets} in {:.1} s", seconds.as_secs_f64())?;
            }
            f.write_str(")")?;
        }
        write!(f, ", longest wait in queue {}", self.wait())
    }

    /// The longest wait of a client in a queue: `under 12 ms`, `3 to 15 ms`, `unknown`.
    pub fn wait(&self) -> String {
        match (self.waited.map(milliseconds), self.waited_at_most.map(milliseconds)) {
            (None, _) => "unknown".to_owned(),
            (Some(0), Some(most)) => format!("under {} ms", most.saturating_add(1)),
            (Some(least), Some(most)) if least < most => format!("{least} to {most} ms"),
            (Some(least), None) => format!("{least} ms or more"),
            (Some(least), Some(_)) => format!("{least} ms"),
        }
    }
}

impl fmt::Display for CostFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, None)
    }
}

/// In one line.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.window.write(f, self.before)?;
        match &self.after {
            Some(after) => write!(f, "; in the {:.1} s after: {after}", after.seconds.as_secs_f64()),
            None => Ok(()),
        }?;
        self.gate.map_or(Ok(()), |gate| write!(f, "; {gate}"))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time, or none.
fn to_seconds<T: Copy + Into<Option<Duration>>, S: Serializer>(
    time: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let time: Option<Duration> = (*time).into();
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

/// One of a later version may be anything.
fn from_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    Ok(Duration::try_from_secs_f64(f64::deserialize(from)?).unwrap_or_default())
}

fn or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

data! {
    Cost: "object" as |cost| serde_json::to_value(cost).unwrap_or_default(),
}
