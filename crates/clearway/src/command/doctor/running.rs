//! What the Clearways say that run here: every one that may be meant is asked. One that is not asked, or does not answer, is
//! a finding, since what it knows is missing from the report.

use clearway_core::failure::Failure;
use clearway_core::settings::Settings;
use clearway_core::strategy::Strategy;
use clearway_kernel::plumbing::Description;

use crate::command::doctor::finding::{Finding, FindingKind};
use crate::command::doctor::{master_cli, transparent};
use crate::command::subject::Setup;
use crate::front::api::Status;
use crate::front::find::Target;
use crate::front::{client, find};

/// Those that were found, and what they answered.
#[derive(Debug)]
pub struct Running {
    asked: Vec<(String, Result<Status, Failure>)>,
    /// What their master CLIs say.
    master_clis: Vec<Finding>,
    /// The process of the only one there is, if it may have our files.
    with_our_files: Option<i32>,
    /// The names of those that were not asked.
    elsewhere: Option<String>,
}

impl Running {
    /// Asks all that the settings may mean.
    pub async fn ask(target: &Target) -> Self {
        let find::Seen { meant, elsewhere, .. } = find::seen(target).await;
        let with_our_files = match &*meant {
            [one] => one.pid.filter(|_| one.may_have_our_files()),
            _ => None,
        };
        let (mut asked, mut master_clis) = (Vec::new(), Vec::new());
        for one in meant {
            let has_our_files = one.may_have_our_files();
            let answer = client::status(one.stream).await.map(|(status, _)| status);
            if let Ok(status) = answer.as_ref()
                && has_our_files
            {
                master_clis.extend(master_cli::found(status).await);
            }
            asked.push((one.name, answer));
        }
        let elsewhere = (!elsewhere.is_empty()).then(|| find::names(&elsewhere));
        Self { asked, master_clis, with_our_files, elsewhere }
    }

    fn answers(&self) -> impl Iterator<Item = (&str, &Status)> {
        self.asked.iter().filter_map(|(name, answer)| Some((&**name, answer.as_ref().ok()?)))
    }

    /// The files of the only one there is, if it says which.
    pub fn subject(&self, settings: &Settings) -> Option<Setup> {
        let (_, status) = self.answers().next()?;
        Setup::of_running(status.started.as_ref()?, self.with_our_files?, settings)
    }

    /// The strategy that is in use, if it is one.
    pub fn strategy(&self) -> Option<Strategy> {
        let mut used = self.answers().map(|(_, status)| status.strategy);
        let first = used.next()?;
        used.all(|other| other == first).then_some(first)
    }

    /// What one of them has in the kernel; siblings share the mark.
    pub fn plumbing(&self) -> Option<&Description> {
        self.answers().find_map(|(_, status)| status.plumbing.as_ref())
    }

    /// Which there are, and what they have seen. Where there are several, each finding names its own.
    pub fn findings(self) -> Vec<Finding> {
        let names: Vec<&str> = self.asked.iter().map(|(name, _)| &**name).collect();
        let mut findings = vec![if names.is_empty() {
            Finding::note(FindingKind::Running, "no Clearway runs here")
        } else {
            Finding::good(FindingKind::Running, format!("running: {}", names.join(", ")))
        }];
        findings.extend(self.elsewhere.iter().map(|names| {
            let saw = format!("in another network namespace, and not asked: {names}");
            Finding::note(FindingKind::Running, saw)
        }));
        let several = names.len() > 1;
        for (name, answer) in &self.asked {
            let with_its_name = |finding: Finding| {
                let saw = if several { format!("{name}: {}", finding.saw) } else { finding.saw };
                Finding { saw, ..finding }
            };
            match answer {
                Ok(status) => {
                    findings.extend(network(status).map(with_its_name));
                    findings.extend(transparent::of_a_running_one(status).into_iter().map(with_its_name));
                }
                Err(failure) => findings.push(with_its_name(Finding::problem(
                    FindingKind::Running,
                    failure.message.clone(),
                    "what it knows of its servers and of what is in their way is missing from this report",
                    failure.hints.join("; "),
                ))),
            }
        }
        findings.extend(self.master_clis);
        findings
    }
}

/// Whether clients can still come to one that serves.
fn network(status: &Status) -> Option<Finding> {
    status.network_gone.then(|| {
        Finding::problem(
            FindingKind::Network,
            "the network that Clearway began in is gone: no interface but `lo` is left",
            "HAProxy still serves, and no client can come any more",
            "restart this container, too: the one that owns the network was probably restarted",
        )
    })
}
