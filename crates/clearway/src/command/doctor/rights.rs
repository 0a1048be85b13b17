//! Which capabilities there are, and which of them what is looked at needs.

use clearway_core::failure::Failure;
use clearway_core::intercept::Interception;
use clearway_haproxy::configuration::{Configuration, Endpoint};
use clearway_kernel::capabilities::{self, Capability};

use crate::command::doctor::finding::{Finding, FindingKind};
use crate::path::obstacles::ObstacleSeverity;

/// The capabilities that are needed. Where no file is known, any may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs(Vec<Capability>);

/// All that anything may need, and for what.
const WANTED: [(Capability, &str); 7] = [
    (
        Capability::NetAdmin,
        "only it can make the nftables table and the policy rules for transparent proxying",
    ),
    (Capability::NetRaw, "only with it HAProxy can use the addresses of its clients"),
    (Capability::NetBindService, "without it HAProxy cannot listen on ports below 1024"),
    (Capability::SetUid, "without it HAProxy cannot become the `user` of its configuration"),
    (Capability::SetGid, "without it HAProxy cannot become the `group` of its configuration"),
    (Capability::Kill, "without it a HAProxy under another user cannot be told to drain"),
    (Capability::SysChroot, "without it `chroot` in the configuration fails"),
];

impl Needs {
    /// Of these files, if they can be read, and of the settings.
    pub fn of(read: Option<&Result<Configuration, Failure>>, interception: &Interception) -> Self {
        let Some(Ok(read)) = read else { return Self(WANTED.map(|(capability, _)| capability).to_vec()) };
        let global = &read.global;
        let user = global.changes_user() || read.programs.changes_user();
        // HAProxy gives up the groups that it has beside, too.
        let group = user || global.group.is_some() || global.gid.is_some();
        let transparency = read.is_transparent() || !interception.is_empty();
        let needs = |capability: &Capability| match capability {
            Capability::NetAdmin | Capability::NetRaw => transparency,
            Capability::NetBindService => has_low_ports(read),
            Capability::SetUid | Capability::Kill => user,
            Capability::SetGid => group,
            Capability::SysChroot => global.chroot.is_some(),
            _ => true,
        };
        Self(WANTED.into_iter().map(|(capability, _)| capability).filter(needs).collect())
    }

    /// A problem only where what it is about is needed.
    pub fn judge(&self, capability: Capability, mut finding: Finding) -> Finding {
        if !self.0.contains(&capability) && finding.severity == ObstacleSeverity::Problem {
            finding.severity = ObstacleSeverity::Note;
            finding.matters = finding.matters.map(|matters| format!("{matters}; these files do without"));
        }
        finding
    }
}

/// Whether a line listens at a port for which the kernel wants a right.
fn has_low_ports(configuration: &Configuration) -> bool {
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse::<u16>().ok())
        .unwrap_or(1024);
    let binds = configuration.binds.iter().flat_map(|bind| &bind.endpoints);
    let stats = configuration.stats_sockets.iter().flat_map(|socket| &socket.endpoints);
    binds.chain(stats).any(|endpoint| match endpoint {
        Endpoint::Ip { ports, .. } | Endpoint::Host { ports, .. } => *ports.start() < first_free,
        _ => false,
    })
}

/// Each capability that anything may need.
pub fn found(needs: &Needs) -> Vec<Finding> {
    let Ok(held) = capabilities::effective() else {
        return vec![Finding::note(FindingKind::Capability, "this process's capabilities could not be read")];
    };
    let one = |(capability, matters): (Capability, &str)| {
        let name = capability.name();
        if held.has(capability) {
            return Finding::good(FindingKind::Capability, format!("capability {name}")).about(name);
        }
        let (saw, remedy) =
            (format!("capability {name} is missing"), format!("--cap-add={name} with `docker run`"));
        needs.judge(capability, Finding::problem(FindingKind::Capability, saw, matters, remedy).about(name))
    };
    WANTED.into_iter().map(one).collect()
}
