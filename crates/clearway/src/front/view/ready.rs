//! `GET /readyz`: whether new clients should be sent here, and why not.

use clearway_core::count::Count;
use clearway_core::path::CanaryVerdict;
use clearway_core::supervisor::Phase;
use tokio::sync::oneshot;

use crate::front::api::Readiness;
use crate::front::view::View;
use crate::ground::aside;
use crate::path::notices;

fn not_ready(reason: impl Into<String>) -> Readiness {
    Readiness { is_ready: false, reason: reason.into() }
}

impl View<'_> {
    /// Tells a load balancer. Where a generation serves, the network is looked at on a thread of its own.
    pub fn answer_ready(&self, sender: oneshot::Sender<Readiness>) {
        if let Some(reason) = self.why_not_ready() {
            return drop(sender.send(not_ready(reason)));
        }
        let (interfaces, remembered) = (self.path.interfaces(), self.path.interfaces());
        tokio::spawn(async move {
            let looked =
                aside::outcome_of("looking at the network for a probe", move || interfaces.are_gone()).await;
            let is_gone = looked.unwrap_or_else(|| remembered.were_gone());
            let ready = Readiness { is_ready: true, reason: "serving".to_owned() };
            sender.send(if is_gone { not_ready(notices::GONE) } else { ready })
        });
    }

    fn why_not_ready(&self) -> Option<String> {
        if !self.core.is_ready() {
            let reason = match self.core.status(self.now).state {
                Phase::Starting => "starting: HAProxy has not served yet",
                Phase::Restarting => "restarting: HAProxy has ended and is being started again",
                Phase::Superseded => "superseded: another Clearway serves",
                Phase::Stopping => "stopping: a stop was requested",
                Phase::Serving | Phase::Reloading | Phase::Unknown => {
                    "new clients are not to be sent here any more"
                }
            };
            return Some(reason.to_owned());
        }
        (!self.path.is_ready()).then(|| {
            let verdicts: Vec<CanaryVerdict> = self.path.verdicts().map(|(_, verdict)| verdict).collect();
            let broken = verdicts.iter().filter(|verdict| **verdict == CanaryVerdict::Broken).count();
            match broken {
                0 => "serving, but the canary has not heard from the transparent servers yet".to_owned(),
                broken => format!(
                    "serving, but the canary says that {broken} of {} do not find the way back to clients",
                    Count(verdicts.len(), "transparent server")
                ),
            }
        })
    }
}
