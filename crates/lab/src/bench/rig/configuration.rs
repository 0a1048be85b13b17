//! The configuration that is served: two frontends, one for each family, and one that says which version it is.

use crate::server::Mode;
use crate::topology::BACK;

/// Whether the servers shall see the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Transparency {
    On,
    Off,
    /// HAProxy does all that it does for transparency, but as an address of the balancer: answers find their way
    /// without any plumbing.
    OwnAddress,
}

/// The file, for servers that speak so, in front of this port.
pub(super) fn configuration(speech: Mode, transparency: Transparency, port: u16, version: u32) -> String {
    let source = |family| match (transparency, family) {
        (Transparency::Off, _) => String::new(),
        (Transparency::On, 4) => " source 0.0.0.0 usesrc clientip\n".to_owned(),
        (Transparency::On, _) => " source ipv6@ usesrc clientip\n".to_owned(),
        (Transparency::OwnAddress, 4) => format!(" source 0.0.0.0 usesrc {}\n", BACK[0]),
        (Transparency::OwnAddress, _) => format!(" source ipv6@ usesrc [{}]\n", BACK[1]),
    };
    let mode = if speech == Mode::Http { "http" } else { "tcp" };
    format!(
        "global\n maxconn 4000\n\
         defaults\n mode {mode}\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n\
         frontend f4\n bind :{port}\n default_backend b4\n\
         frontend f6\n bind :::{port} v6only\n default_backend b6\n\
         backend b4\n{} server s1 10.2.0.2:80\n server s2 10.2.0.3:80\n\
         backend b6\n{} server s1 [fd02::2]:80\n server s2 [fd02::3]:80\n\
         frontend version\n mode http\n bind :81\n\
         http-request return status 200 content-type text/plain string v{version}\n",
        source(4),
        source(6),
    )
}
