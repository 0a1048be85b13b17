//! What is compared, and how each does what happens to it.

use std::path::Path;

use anyhow::{Context, Result};

use super::event::Event;
use crate::bench::daemon;

/// Where Debian and Ubuntu put what `scripts/setup.sh events` installs.
pub(super) const NGINX: &str = "/usr/sbin/nginx";
pub(super) const CADDY: &str = "/usr/bin/caddy";

/// One of those that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// `clearway haproxy -f FILE`.
    Clearway,
    /// The same, and servers see the client (`usesrc clientip`), for which it needs rules in the kernel.
    Transparent,
    /// `haproxy -W`.
    MasterWorker,
    /// `haproxy -D`, and what scripts did since 2016: SYNs dropped, a second, `-sf`.
    Script,
    /// nginx, a reverse proxy for HTTP.
    Nginx,
    /// Caddy, likewise.
    Caddy,
}

/// How a peer does what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// So.
    Does(&'static str),
    /// It has no such thing, for this reason.
    Lacks(&'static str),
}

impl Peer {
    /// All, in the order of the tables.
    pub(super) const ALL: [Self; 6] =
        [Self::Clearway, Self::Transparent, Self::MasterWorker, Self::Script, Self::Nginx, Self::Caddy];

    /// For the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Clearway => "clearway",
            Self::Transparent => "clearway-usesrc",
            Self::MasterWorker => "haproxy-w",
            Self::Script => "script",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        }
    }

    /// The peer of that name.
    pub(super) fn named(name: &str) -> Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|peer| peer.name() == name);
        found.with_context(|| format!("no peer `{name}`: there are {}", names()))
    }

    /// For tables.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Clearway => "Clearway",
            Self::Transparent => "Clearway, `usesrc`",
            Self::MasterWorker => "`haproxy -W`",
            Self::Script => "the script of 2016",
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
        }
    }

    /// How it is set up, and by whose advice.
    pub(super) fn configured(self) -> &'static str {
        match self {
            Self::Clearway => {
                "`clearway haproxy -f haproxy.cfg` with an instance name, everything else as it is by default (strategy \
                 `handoff`)"
            }
            Self::Transparent => {
                "the same, and the file says `source 0.0.0.0 usesrc clientip`: it keeps an nftables table, rules and routes \
                 while it runs. Every answer is checked to carry the client's own address"
            }
            Self::MasterWorker => {
                "`haproxy -W -db -f haproxy.cfg`, as in the official image; sockets pass to the next worker by themselves \
                 (management guide, 4). Stopped with SIGUSR1, the image's stop signal"
            }
            Self::Script => {
                "`haproxy -D -p FILE` without a `stats socket`; a reload is `iptables -I INPUT -p tcp --dport 80 --syn -j DROP`, \
                 a second of sleep, `haproxy -sf`, and the rule deleted, as images did it since 2016. Stopped with SIGUSR1"
            }
            Self::Nginx => {
                "one worker per processor, `proxy_http_version 1.1` and `keepalive` to the servers as the manual of \
                 `ngx_http_upstream_module` recommends; a daemon, as Debian's unit has it. Stopped with SIGQUIT, the \
                 image's stop signal"
            }
            Self::Caddy => {
                "`caddy run` with a `Caddyfile`, `reverse_proxy`, `auto_https off`; reloads by `caddy reload`, as its manual \
                 recommends. Stopped with SIGTERM, as Debian's unit does"
            }
        }
    }

    /// How it does it.
    pub(super) fn way(self, event: Event) -> Way {
        use Way::{Does, Lacks};
        match (self, event) {
            (Self::Clearway | Self::Transparent, event) => clearway(event),
            (_, Event::Held) => Lacks("has no holder: without its processes its sockets are closed"),
            (Self::MasterWorker, Event::Reload | Event::Broken) => Does("SIGUSR2 to the master"),
            (Self::MasterWorker, Event::Upgrade) => {
                Lacks("as a reload: its master executes the program that is on the disk")
            }
            (Self::Script, Event::Reload | Event::Broken) => Does("SYNs dropped, 1 s, `-sf`"),
            (Self::Script, Event::Upgrade) => {
                Lacks("as a reload, which starts the program that is on the disk")
            }
            (Self::MasterWorker, Event::Crash) => Does("the master ends with it; started by hand"),
            (Self::Nginx, Event::Reload | Event::Broken) => Does("`nginx -s reload`"),
            (Self::Nginx, Event::Crash) => Does("the master starts another worker; the other ones go on"),
            (Self::Nginx, Event::Upgrade) => Does("SIGUSR2; SIGWINCH and SIGQUIT to the old master"),
            (Self::Caddy, Event::Reload | Event::Broken) => Does("`caddy reload`"),
            (Self::Caddy, Event::Upgrade) => Lacks("is stopped and started, as for a new image"),
            (Self::Script | Self::Caddy, Event::Crash) => Does("nothing is left; started by hand"),
            (_, Event::Kill) => Does("started by hand"),
            (Self::MasterWorker | Self::Script, Event::Image) => Does("SIGUSR1; started when it has ended"),
            (Self::Nginx, Event::Image) => Does("SIGQUIT; started when it has ended"),
            (Self::Caddy, Event::Image) => Does("SIGTERM; started when it has ended"),
            (Self::MasterWorker | Self::Script, Event::Stop) => Does("SIGUSR1"),
            (Self::Nginx, Event::Stop) => Does("SIGQUIT"),
            (Self::Caddy, Event::Stop) => Does("SIGTERM"),
        }
    }

    /// Whether another process takes the place of a worker that has crashed, without any help.
    pub(super) fn mends_itself(self) -> bool {
        matches!(self, Self::Clearway | Self::Transparent | Self::Nginx)
    }

    /// Why this machine cannot have it, if so.
    pub(super) fn missing(self) -> Result<Option<String>> {
        let program = match self {
            Self::Nginx => NGINX,
            Self::Caddy => CADDY,
            Self::Script => return daemon::missing(),
            Self::Clearway | Self::Transparent | Self::MasterWorker => return Ok(None),
        };
        let is_there = Path::new(program).exists();
        Ok((!is_there).then(|| format!("no {program} (`scripts/setup.sh events` installs it)")))
    }
}

fn clearway(event: Event) -> Way {
    match event {
        Event::Reload | Event::Broken => Way::Does("`clearway reload`"),
        Event::Crash => Way::Does("it starts another HAProxy"),
        Event::Kill => Way::Does("started by hand"),
        Event::Held => Way::Does("started by hand; `clearway hold` has the sockets"),
        Event::Image => Way::Does("a second one of the same instance takes over"),
        Event::Upgrade => Way::Lacks("as a new image: the new program is started beside the old one"),
        Event::Stop => Way::Does("SIGTERM"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Peer, Way};

    #[test]
    fn every_peer_has_a_name_of_its_own() {
        for peer in Peer::ALL {
            assert_eq!(Peer::named(peer.name()).ok(), Some(peer));
        }
        assert!(Peer::named("haproxy").is_err());
    }

    #[test]
    fn all_have_what_every_program_has() {
        let common = [Event::Reload, Event::Broken, Event::Crash, Event::Kill, Event::Image, Event::Stop];
        for (peer, event) in Peer::ALL.into_iter().flat_map(|peer| common.map(|event| (peer, event))) {
            assert!(matches!(peer.way(event), Way::Does(_)), "{peer:?} {event:?}");
        }
        assert!(matches!(Peer::Nginx.way(Event::Held), Way::Lacks(_)));
    }
}
