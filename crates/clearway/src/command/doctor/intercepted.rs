//! What is intercepted on its way through this host, what takes it, and whether the rest gets through.

use clearway_core::intercept::Interception;
use clearway_haproxy::configuration::Configuration;

use crate::command::doctor::finding::{Finding, FindingKind};
use crate::path::intercept;

/// What the settings say, and what this host lacks for it.
pub fn host(interception: &Interception) -> Vec<Finding> {
    if interception.is_empty() {
        return Vec::new();
    }
    let mut findings =
        vec![Finding::good(FindingKind::Interception, intercept::described(interception).to_string())];
    findings.extend(intercept::not_forwarded(interception).into_iter().map(|sysctl| Finding {
        matters: Some(
            "what is not intercepted is not forwarded, and without Clearway nothing is (`open`)".to_owned(),
        ),
        remedy: Some(format!("`sysctl -w {sysctl}=1`, if this host is the gateway")),
        ..Finding::note(FindingKind::Sysctl, format!("{sysctl} is 0")).about(sysctl)
    }));
    if intercept::loses_all(interception) {
        let [saw, remedy] = intercept::COOKIES;
        let matters = "the acknowledgement of a SYN cookie belongs to no socket, and is forwarded";
        findings.push(Finding::problem(FindingKind::Interception, saw, matters, remedy));
    }
    findings
}

/// Rules that lead nowhere.
pub fn listeners(configuration: &Configuration, interception: &Interception) -> Vec<Finding> {
    let untaken = intercept::untaken(configuration, interception);
    let problem = |rule: &intercept::Untaken<'_>| {
        let matters = "these clients do not reach HAProxy";
        Finding::problem(FindingKind::Interception, rule.to_string(), matters, rule.remedy())
    };
    untaken.iter().map(problem).collect()
}
