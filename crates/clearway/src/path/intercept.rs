//! What the configuration must have for what is intercepted, and this host: a listener that takes it, and forwarding for
//! what it does not take.
//!
//! Looks and tells; changes nothing. What is intercepted, and how, is in [`clearway_core::intercept`].

use std::fmt;

use clearway_core::hints::Remark;
use clearway_core::intercept::{Fail, InterceptRule, Interception};
use clearway_haproxy::configuration::{Bind, Configuration, Endpoint, V6};
use clearway_kernel::transparency::Family;

use crate::path::Path;
use crate::path::notices::PathNotice;
use crate::tell::said::Subject;

/// What is intercepted, for the log.
pub fn described(interception: &Interception) -> PathNotice {
    let rules = interception.rules.iter().map(InterceptRule::to_string).collect();
    PathNotice::Intercepts { rules, fails: interception.fail.to_string() }
}

/// A rule whose connections no listener takes.
#[derive(Debug)]
pub struct Untaken<'a> {
    rule: &'a InterceptRule,
    family: Family,
    fail: Fail,
}

impl fmt::Display for Untaken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, family, fail } = self;
        let become_of_them = match fail {
            Fail::Open => "go on to where they were going",
            Fail::Closed => "are rejected",
        };
        write!(
            f,
            "no `bind` with `transparent` takes {family} connections on port {} of every address, so that those of \
             `CLEARWAY_INTERCEPT`, `{rule}`, {become_of_them}",
            rule.to
        )
    }
}

impl Untaken<'_> {
    /// The line that is missing.
    pub fn remedy(&self) -> String {
        match self.family {
            Family::V4 => format!("`bind :{} transparent` in a `frontend` or `listen`", self.rule.to),
            Family::V6 => {
                format!("`bind :::{} v6only transparent` in a `frontend` or `listen`", self.rule.to)
            }
        }
    }
}

/// The rules for which there is no listener, by family. A rule for any destination wants one of either.
pub fn untaken<'a>(configuration: &Configuration, interception: &'a Interception) -> Vec<Untaken<'a>> {
    let fail = interception.fail;
    let mut found = Vec::new();
    for rule in &interception.rules {
        let taken =
            Family::ALL.map(|family| configuration.binds.iter().any(|bind| takes(bind, rule.to, family)));
        if rule.destinations.is_empty() {
            found.extend((taken == [false, false]).then_some(Untaken { rule, family: Family::V4, fail }));
            continue;
        }
        let named = families(rule);
        let missing =
            Family::ALL.into_iter().zip(taken).filter(|(family, taken)| named.contains(family) && !taken);
        found.extend(missing.map(|(family, _)| Untaken { rule, family, fail }));
    }
    found
}

/// Whether a line makes a transparent listener on this port of every address. Without `v6only` and `v4v6` one for IPv6
/// takes both, unless the kernel was told otherwise (`bindv6only`).
fn takes(bind: &Bind, port: u16, family: Family) -> bool {
    let on_port = |endpoint: &Endpoint| match endpoint {
        Endpoint::Ip { address, ports, .. } if endpoint.is_stream() => {
            let both = address.is_ipv6() && bind.v6 != V6::Only;
            let of_family = address.is_ipv4() == (family == Family::V4) || both;
            of_family && address.is_unspecified() && ports.contains(&port)
        }
        // Inherited, or a name: only HAProxy knows.
        Endpoint::Inherited(_) => true,
        Endpoint::Host { ports, .. } => ports.contains(&port),
        _ => false,
    };
    (bind.transparent || bind.endpoints.iter().any(|one| matches!(one, Endpoint::Inherited(_))))
        && bind.endpoints.iter().any(on_port)
}

/// The families of a rule's destinations.
fn families(rule: &InterceptRule) -> Vec<Family> {
    let of = |family| {
        let is = |v4: bool| v4 == (family == Family::V4);
        rule.destinations.is_empty() || rule.destinations.iter().any(|one| is(one.address().is_ipv4()))
    };
    Family::ALL.into_iter().filter(|family| of(*family)).collect()
}

/// Whether every client is answered with a SYN cookie, whose acknowledgement only what fails closed can tell from what
/// is under way past us (`nft::interception` in the kernel crate).
pub fn loses_all(interception: &Interception) -> bool {
    let cookies = || std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies");
    !interception.is_empty() && !interception.is_closed() && cookies().is_ok_and(|value| value.trim() == "2")
}

/// What to say then, and what mends it.
pub const COOKIES: [&str; 2] = [
    "net.ipv4.tcp_syncookies is 2: every client that is intercepted and fails open is lost",
    "`sysctl -w net.ipv4.tcp_syncookies=1`, or `CLEARWAY_INTERCEPT_FAIL=closed`",
];

/// The sysctls that are 0, of the families that are intercepted: this host forwards nothing of those.
pub fn not_forwarded(interception: &Interception) -> Vec<&'static str> {
    let is_off = |name: &&str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "0")
    };
    let sysctl = |family| match family {
        Family::V4 => "net.ipv4.ip_forward",
        Family::V6 => "net.ipv6.conf.all.forwarding",
    };
    let wanted = |family: &Family| interception.rules.iter().any(|rule| families(rule).contains(family));
    Family::ALL.into_iter().filter(wanted).map(sysctl).filter(is_off).collect()
}

impl Path {
    /// Whether connections to addresses of others are to be intercepted.
    pub fn intercepts(&self) -> bool {
        !self.interception.is_empty()
    }

    /// What would not be intercepted with this configuration, or lost.
    pub fn not_intercepted(&self, configuration: &Configuration) -> Vec<Remark> {
        let untaken = untaken(configuration, &self.interception);
        let untaken =
            untaken.iter().map(|rule| Remark { text: rule.to_string(), hints: vec![rule.remedy()] });
        let cookies = loses_all(&self.interception).then(|| {
            let [text, hint] = COOKIES.map(str::to_owned);
            Remark { text, hints: vec![hint] }
        });
        untaken.chain(cookies).collect()
    }

    /// The same, said in the log.
    pub fn say_what_is_not_intercepted(&mut self, configuration: &Configuration) {
        let notices = self.not_intercepted(configuration);
        self.said.found(Subject::Interception, notices);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clearway_core::settings::{SettingKey, Settings};
    use clearway_haproxy::configuration::SourceFile;

    use super::*;

    fn found(file: &str, rules: &str) -> Vec<String> {
        let name = PathBuf::from("t.cfg");
        let file = SourceFile { name: name.clone(), path: name, bytes: file.as_bytes().to_vec() };
        let configuration = Configuration::scan(vec![file], &|_| None);
        let mut settings = Settings::default();
        settings.set(SettingKey::Intercept, rules, "--intercept").unwrap();
        let all = untaken(&configuration, &settings.interception);
        all.iter().map(|one| format!("{one}: {}", one.remedy())).collect()
    }

    #[test]
    fn a_rule_without_a_transparent_listener_is_named() {
        let four = "10.0.0.0/8 port 80 to 8080";
        let both = "10.0.0.0/8,fd00::/8 port 80 to 8080";
        for (file, rules, families) in [
            ("listen l\n bind :8080 transparent\n", four, ""),
            ("listen l\n bind :8000-8100 transparent\n", four, ""),
            ("listen l\n bind :8080\n", four, "4"),
            ("listen l\n bind :8081 transparent\n", four, "4"),
            ("listen l\n bind 10.1.0.1:8080 transparent\n", four, "4"),
            ("listen l\n bind :8080 transparent\n", both, "6"),
            ("listen l\n bind :::8080 v6only transparent\n", both, "4"),
            ("listen l\n bind :::8080 v4v6 transparent\n", both, ""),
            ("listen l\n bind :8080 transparent\n", "any port 80 to 8080", ""),
            ("listen l\n bind :8080\n", "any port 80 to 8080", "4"),
            ("listen l\n bind fd@7\n", four, ""),
        ] {
            let named: String = found(file, rules)
                .iter()
                .map(|line| if line.contains("IPv4 connections") { '4' } else { '6' })
                .collect();
            assert_eq!(named, families, "{file} {rules}");
        }
        let line = found("", "fd00::/8 port 80 to 8080").concat();
        assert!(line.contains("`bind :::8080 v6only transparent`") && line.contains("go on"), "{line}");
    }
}
