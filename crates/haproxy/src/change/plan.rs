//! A plan as data: steps, each with its commands, what HAProxy is to answer, and the reason.
//!
//! It is shown by `clearway plan`, counted for logs and history ([`PlanTally`]), and carried out by `change::transaction`.

use std::fmt;
use std::time::Duration;

/// What a change of the files comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeVerdict {
    /// Nothing that HAProxy would notice has changed.
    Same,
    /// It can be made at run time.
    RunTime(Plan),
    /// It needs a new process, for these reasons; one at least.
    Reload(Vec<ReloadReason>),
}

/// Why a change needs a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReason {
    /// Where it stands: `haproxy.cfg:12`, a path, or the name of a section; empty if nowhere.
    pub place: String,
    /// In words: `the bind line has changed`.
    pub what: String,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One after the other; the first that fails is the last that is tried.
    pub steps: Vec<PlanStep>,
    /// A configuration that HAProxy must accept before the first command, if any of the steps needs that: the sections of
    /// changed servers, without what does not concern them.
    pub excerpt: Option<String>,
}

/// One thing that is brought from its former to its new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// What kind of thing.
    pub kind: StepKind,
    /// Which: `BACKEND/SERVER`, a path, `frontend NAME`, `global`.
    pub object: String,
    /// What is different, in words: `address 10.0.0.1:80 instead of 10.0.0.2:80`.
    pub why: String,
    /// In this order.
    pub orders: Vec<PlanOrder>,
}

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// A server that is not there yet.
    ServerAdded,
    /// One that the file does not have any more.
    ServerRemoved,
    /// One that the file describes otherwise.
    ServerChanged,
    /// A certificate with its key.
    Certificate,
    /// A file of authorities (`ca-file`).
    CaFile,
    /// A revocation list (`crl-file`).
    CrlFile,
    /// A map.
    Map,
    /// A file of patterns (`acl ... -f`).
    AclFile,
    /// `maxconn` and the like of a frontend, or of all.
    Limit,
}

/// One command. Its `Debug` says how long the payload is and not what it says: that may be a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct PlanOrder {
    /// For the runtime API, in one line without its end. `{version}` stands for what the last [`Expect::Version`] of the
    /// same step was answered.
    pub command: String,
    /// Lines behind `<<`, none of them empty; each ends with a newline.
    pub payload: Option<String>,
    /// What the answer must be.
    pub expect: Expect,
}

/// What HAProxy answers if it has done what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing at all.
    Silence,
    /// A line that contains one of these.
    Words(&'static [&'static str]),
    /// `New version created: N`
    Version,
    /// As the others, and the command is given again until this comes or the time is over: a server has sessions yet.
    Eventually {
        /// One of these is the answer when it is done.
        done: &'static [&'static str],
        /// One of these means: not yet. Anything else is a refusal.
        not_yet: &'static [&'static str],
        /// How long at most.
        within: Duration,
    },
}

/// How many things of each kind a plan changes: `3 servers added, 1 certificate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanTally(pub Vec<(StepKind, usize)>);

impl ReloadReason {
    /// At a place, in words.
    pub fn at(place: impl fmt::Display, what: impl Into<String>) -> Self {
        Self { place: place.to_string(), what: what.into() }
    }

    /// At no place of the files.
    pub fn anywhere(what: impl Into<String>) -> Self {
        Self { place: String::new(), what: what.into() }
    }
}

impl PlanOrder {
    /// A command without a payload.
    pub fn new(command: String, expect: Expect) -> Self {
        Self { command, payload: None, expect }
    }

    /// With this payload.
    #[must_use]
    pub fn with_payload(self, payload: String) -> Self {
        Self { payload: Some(payload), ..self }
    }
}

impl fmt::Debug for PlanOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.payload.as_ref().map_or(0, String::len);
        write!(f, "PlanOrder({:?}, {bytes} bytes, {:?})", self.command, self.expect)
    }
}

impl Plan {
    /// Counts its steps, in the order of [`StepKind`].
    pub fn tally(&self) -> PlanTally {
        let mut kinds: Vec<StepKind> = self.steps.iter().map(|step| step.kind).collect();
        kinds.sort_unstable();
        let mut counted: Vec<(StepKind, usize)> = Vec::new();
        for kind in kinds {
            match counted.last_mut() {
                Some((last, count)) if *last == kind => *count += 1,
                _ => counted.push((kind, 1)),
            }
        }
        PlanTally(counted)
    }

    /// How many commands it has.
    pub fn commands(&self) -> usize {
        self.steps.iter().map(|step| step.orders.len()).sum()
    }
}

impl StepKind {
    /// One of them, and several.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ServerAdded => ("server added", "servers added"),
            Self::ServerRemoved => ("server removed", "servers removed"),
            Self::ServerChanged => ("server changed", "servers changed"),
            Self::Certificate => ("certificate", "certificates"),
            Self::CaFile => ("CA file", "CA files"),
            Self::CrlFile => ("CRL file", "CRL files"),
            Self::Map => ("map", "maps"),
            Self::AclFile => ("ACL file", "ACL files"),
            Self::Limit => ("limit", "limits"),
        }
    }
}

impl fmt::Display for PlanTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count)) in self.0.iter().enumerate() {
            let (one, several) = kind.words();
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {}", if *count == 1 { one } else { several })?;
        }
        Ok(())
    }
}

impl fmt::Display for ReloadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.place, self.what)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_counted_by_kind() {
        let step = |kind| PlanStep { kind, object: String::new(), why: String::new(), orders: Vec::new() };
        let kinds = [StepKind::Map, StepKind::ServerAdded, StepKind::ServerAdded];
        let plan = Plan { steps: kinds.map(step).into(), excerpt: None };
        assert_eq!(plan.tally().to_string(), "2 servers added, 1 map");
    }
}
