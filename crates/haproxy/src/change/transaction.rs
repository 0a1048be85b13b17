//! Carries a plan out: one step after the other, each answer read and understood, until the first that is not as expected.
//!
//! ```text
//!   step      [a; b; c]        commands without payload go in one line, HAProxy answers each
//!             d <<  payload    one with payload, or whose answer the next one needs, goes alone
//!             e ... e          one that waits is given again until it is done or its time is over
//! ```
//!
//! A step that breaks off is the last: a reload follows, and puts right what was done by then. What was prepared in it and
//! not taken (a version of a map, a new certificate) is given back. Payloads are in no error: they may be private keys.

use std::time::{Duration, Instant};

use super::plan::{Expect, Plan, PlanOrder, PlanStep};

mod wire;

pub use wire::{Dialled, Wire};

/// How long it pauses before a command is given again whose answer was "not yet".
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Where a transaction ended before its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: `{command}`: {why}")]
pub struct BrokenOff {
    /// How many steps are whole.
    pub steps_done: usize,
    /// What the step was about.
    pub object: String,
    /// The command, without its payload.
    pub command: String,
    /// HAProxy's words, or why there are none.
    pub why: String,
}

/// One carrying out.
struct CarryingOut<'a, W> {
    wire: &'a mut W,
    /// When all must be done.
    until: Instant,
    /// Called before each command.
    before: &'a mut dyn FnMut(&PlanOrder),
}

/// Why an order was in vain, beside its place in the step.
struct Vain {
    order: usize,
    why: String,
}

/// Carries out all steps within a time, and calls `before` ahead of each command.
pub fn carry_out(
    plan: &Plan,
    wire: &mut impl Wire,
    within: Duration,
    before: &mut dyn FnMut(&PlanOrder),
) -> Result<(), BrokenOff> {
    let mut transaction = CarryingOut { wire, until: Instant::now() + within, before };
    for (steps_done, step) in plan.steps.iter().enumerate() {
        transaction.step(step).map_err(|vain| BrokenOff {
            steps_done,
            object: step.object.clone(),
            command: step.orders.get(vain.order).map(|order| order.command.clone()).unwrap_or_default(),
            why: vain.why,
        })?;
    }
    Ok(())
}

impl<W: Wire> CarryingOut<'_, W> {
    fn step(&mut self, step: &PlanStep) -> Result<(), Vain> {
        let (mut at, mut version) = (0, None);
        while let Some(order) = step.orders.get(at) {
            let rest = step.orders.get(at..).unwrap_or_default();
            let together = rest.iter().take_while(|order| goes_together(order)).count();
            let outcome = if together > 1 {
                self.several(rest.get(..together).unwrap_or_default(), at, version.as_deref())
            } else {
                self.one(order, &mut version).map_err(|why| Vain { order: at, why })
            };
            if let Err(vain) = outcome {
                self.give_back(step.orders.get(..=vain.order).unwrap_or_default(), version.as_deref());
                return Err(vain);
            }
            at += together.max(1);
        }
        Ok(())
    }

    /// Those that go in one line. All are given, also where the first is refused.
    fn several(&mut self, orders: &[PlanOrder], first: usize, version: Option<&str>) -> Result<(), Vain> {
        for order in orders {
            (self.before)(order);
        }
        let commands: Vec<String> = orders.iter().map(|order| order.with(version)).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let vain = |order: usize, why: String| Vain { order: first + order, why };
        let answers = self.wire.ask(&commands, self.left()).map_err(|error| vain(0, error))?;
        if answers.len() != orders.len() {
            return Err(vain(0, format!("{} answers to {} commands", answers.len(), orders.len())));
        }
        for (index, (order, answer)) in orders.iter().zip(&answers).enumerate() {
            order.expect.is_met(answer).map_err(|why| vain(index, why))?;
        }
        Ok(())
    }

    fn one(&mut self, order: &PlanOrder, version: &mut Option<String>) -> Result<(), String> {
        let command = order.with(version.as_deref());
        (self.before)(order);
        match &order.expect {
            Expect::Eventually { done, not_yet, within } => {
                self.again_and_again(&command, done, not_yet, (*within).min(self.left()))
            }
            Expect::Version => {
                let answer = self.say(&command, order.payload.as_deref())?;
                *version = Some(version_in(&answer).ok_or_else(|| first_line(&answer))?);
                Ok(())
            }
            expect => expect.is_met(&self.say(&command, order.payload.as_deref())?),
        }
    }

    fn again_and_again(
        &mut self,
        command: &str,
        done: &[&str],
        not_yet: &[&str],
        within: Duration,
    ) -> Result<(), String> {
        let until = Instant::now() + within;
        loop {
            let answer = self.say(command, None)?;
            if has_one_of(&answer, done) {
                return Ok(());
            }
            if !has_one_of(&answer, not_yet) || Instant::now() >= until {
                return Err(first_line(&answer));
            }
            std::thread::sleep(AGAIN_AFTER);
        }
    }

    fn say(&mut self, command: &str, payload: Option<&str>) -> Result<String, String> {
        let left = self.left();
        match payload {
            Some(payload) => self.wire.give(command, payload, left),
            None => self.wire.ask(&[command], left).map(|answers| answers.into_iter().collect()),
        }
    }

    /// What was prepared by these and will not be taken, as far as HAProxy answers.
    fn give_back(&mut self, orders: &[PlanOrder], version: Option<&str>) {
        let left = self.left().min(Duration::from_secs(1));
        for command in orders.iter().filter_map(|order| undone_by(&order.command, version)) {
            let _ = self.wire.ask(&[&command], left);
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// The command that takes back what this one has prepared.
fn undone_by(command: &str, version: Option<&str>) -> Option<String> {
    let words: Vec<&str> = command.split(' ').collect();
    match (words.as_slice(), version) {
        (["prepare", kind, file], Some(version)) => Some(format!("clear {kind} @{version} {file}")),
        (["set", "ssl", kind @ ("cert" | "ca-file" | "crl-file"), file], _) => {
            Some(format!("abort ssl {kind} {file}"))
        }
        _ => None,
    }
}

fn goes_together(order: &PlanOrder) -> bool {
    let alone = matches!(order.expect, Expect::Version | Expect::Eventually { .. });
    !alone && order.payload.is_none()
}

impl PlanOrder {
    /// The command, with the version that HAProxy has given.
    fn with(&self, version: Option<&str>) -> String {
        version.map_or_else(|| self.command.clone(), |version| self.command.replace("{version}", version))
    }
}

impl Expect {
    /// Fails with HAProxy's words.
    fn is_met(&self, answer: &str) -> Result<(), String> {
        let met = match self {
            Self::Silence => answer.trim().is_empty(),
            Self::Words(words) => has_one_of(answer, words),
            Self::Version => version_in(answer).is_some(),
            Self::Eventually { done, .. } => has_one_of(answer, done),
        };
        if met { Ok(()) } else { Err(first_line(answer)) }
    }
}

fn has_one_of(answer: &str, words: &[&str]) -> bool {
    words.iter().any(|word| answer.contains(word))
}

/// `New version created: 3`
fn version_in(answer: &str) -> Option<String> {
    let number = answer.split("New version created:").nth(1)?.split_whitespace().next()?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.to_owned())
}

fn first_line(answer: &str) -> String {
    let line = answer.lines().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(|| "HAProxy said nothing".to_owned(), |line| format!("HAProxy said `{line}`"))
}

#[cfg(test)]
mod tests;
