//! What is compared: the ways to reload, and what tells how much of a figure is the machine's.

use anyhow::{Context, Result};

/// One way to reload, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `haproxy -W`, never reloaded: the idle control.
    IdleHaproxy,
    /// Clearway, never reloaded: the same with it.
    IdleClearway,
    /// Clearway, never reloaded, while another HAProxy is started at other ports whenever the others are reloaded, and ended
    /// again: what the start of a program costs all others on this machine.
    StartBeside,
    /// Clearway with this strategy, and `clearway reload`.
    Clearway(&'static str),
    /// `haproxy -D`, and another one with `-sf`: nothing but `SO_REUSEPORT` between the two.
    Sf,
    /// `haproxy -W` and SIGUSR2: the master hands the sockets to its next worker.
    MasterWorker,
    /// SYNs to the port dropped by iptables, a second of sleep, `-sf`, the rule deleted: as images did since 2016.
    Original,
    /// Stopped, then started: it must lose, or the others' zeros say nothing.
    StopStart,
}

/// Clearway's own default, which is asked for by saying nothing.
const DEFAULT: &str = "handoff";

impl Side {
    /// All, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::IdleHaproxy,
        Self::IdleClearway,
        Self::StartBeside,
        Self::Clearway(DEFAULT),
        Self::Clearway("reuseport"),
        Self::Clearway("plug"),
        Self::Clearway("tableflip"),
        Self::Clearway("syn-drop"),
        Self::Clearway("auto"),
        Self::MasterWorker,
        Self::Sf,
        Self::Original,
        Self::StopStart,
    ];

    /// For the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdleHaproxy => "idle-haproxy",
            Self::IdleClearway => "idle-clearway",
            Self::StartBeside => "start-beside",
            Self::Clearway(strategy) => strategy,
            Self::Sf => "haproxy-sf",
            Self::MasterWorker => "haproxy-w",
            Self::Original => "original",
            Self::StopStart => "stop-start",
        }
    }

    /// The side of that name.
    pub(super) fn named(name: &str) -> Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|side| side.name() == name);
        found.with_context(|| format!("no side `{name}`: there are {}", names()))
    }

    /// For the table.
    pub(super) fn words(self) -> String {
        match self {
            Self::IdleHaproxy => "idle control: `haproxy -W`, no reload".into(),
            Self::IdleClearway => "idle control: Clearway, no reload".into(),
            Self::StartBeside => "control: Clearway, no reload; a HAProxy started at other ports".into(),
            Self::Clearway(strategy) => format!("Clearway, `{strategy}`"),
            Self::Sf => "`haproxy -sf`".into(),
            Self::MasterWorker => "`haproxy -W`, SIGUSR2".into(),
            Self::Original => "the original: SYNs dropped, 1 s, `-sf`".into(),
            Self::StopStart => "stopped and started (shows that losses are seen)".into(),
        }
    }

    /// Whether it is never reloaded.
    pub(super) fn is_idle(self) -> bool {
        matches!(self, Self::IdleHaproxy | Self::IdleClearway)
    }

    /// What Clearway is started with before HAProxy's command line; none: it is no Clearway.
    pub(super) fn flags(self) -> Option<Vec<&'static str>> {
        match self {
            Self::Clearway(DEFAULT) | Self::IdleClearway | Self::StartBeside => Some(Vec::new()),
            Self::Clearway(strategy) => Some(vec!["run", "--strategy", strategy]),
            _ => None,
        }
    }

    /// Whether a machine without it is none to measure on: everything else may be missing.
    pub(super) fn is_needed(self) -> bool {
        !matches!(self, Self::Clearway(strategy) if strategy != DEFAULT) && self != Self::Original
    }
}

#[cfg(test)]
mod tests {
    use super::Side;

    #[test]
    fn every_side_has_a_name_of_its_own() {
        for side in Side::ALL {
            assert_eq!(Side::named(side.name()).ok(), Some(side));
        }
        let error = Side::named("syn_drop").map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("syn-drop, auto, haproxy-w")));
    }

    #[test]
    fn only_what_is_not_the_default_is_asked_for() {
        assert_eq!(Side::Clearway("handoff").flags(), Some(vec![]));
        assert_eq!(Side::Clearway("plug").flags(), Some(vec!["run", "--strategy", "plug"]));
        assert_eq!(Side::MasterWorker.flags(), None);
    }
}
