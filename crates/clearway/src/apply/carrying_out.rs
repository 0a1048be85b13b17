//! From a plan to a HAProxy that is changed, and was asked afterwards. Blocks, on a thread.

use std::time::Duration;

use clearway_core::supervisor::ApplyOutcome;
use clearway_haproxy::change::transaction::{self, Wire};
use clearway_haproxy::change::{ChangeVerdict, ReloadReason};

use crate::apply::asked::{self, Moment, Revocable};
use crate::apply::files;
use crate::apply::given_up::GivenUp;
use crate::apply::planning::PlannedHere;
use crate::fleet::to_plan::ServingToChange;
use crate::ground::steps;

/// How long all commands may take: less than the core waits.
const WITHIN: Duration = Duration::from_secs(45);

/// Carries the plan out at this generation, and looks at what it has come to.
pub fn carry_out(planned: &PlannedHere, serving: &ServingToChange, given_up: &GivenUp) -> ApplyOutcome {
    try_to(planned, &mut Revocable(asked::wire(&serving.stats), given_up))
}

fn try_to(planned: &PlannedHere, wire: &mut impl Wire) -> ApplyOutcome {
    let broken = |steps_done, why| ApplyOutcome::Broken { steps_done, why };
    let ChangeVerdict::RunTime(plan) = &planned.verdict else {
        return broken(0, "there is no plan to be carried out".to_owned());
    };
    let checked = |wire: &mut _, moment| match asked::unexpected(wire, &planned.expected, moment) {
        Ok(reasons) if reasons.is_empty() => None,
        Ok(reasons) => Some(listed(&reasons)),
        Err(error) => Some(format!("asking HAProxy for its servers: {error}")),
    };
    if let Some(why) = checked(wire, Moment::Before) {
        return broken(0, why);
    }
    let mut before = |order: &clearway_haproxy::change::PlanOrder| steps::at("applies", &order.command);
    if let Err(error) = transaction::carry_out(plan, wire, WITHIN, &mut before) {
        return broken(error.steps_done, error.to_string());
    }
    steps::at("applies", &"checks");
    let unmet = checked(wire, Moment::After).or_else(|| files::unmet(wire, &planned.checks));
    match unmet {
        Some(why) => broken(plan.steps.len(), why),
        None => ApplyOutcome::Done { commands: plan.commands() },
    }
}

fn listed(reasons: &[ReloadReason]) -> String {
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
