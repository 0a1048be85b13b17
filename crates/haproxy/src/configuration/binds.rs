//! The lines that make HAProxy listen: `bind` and `stats socket`.

use std::sync::Arc;

use super::address::Endpoint;
use super::backlog::Backlog;
use super::guards::Guard;
use super::span::{Section, Span};

/// A `bind` line (or `dgram-bind`, in `log-forward`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it stands.
    pub span: Span,
    /// The section it stands in.
    pub section: Arc<Section>,
    /// The addresses, as many as the line names.
    pub endpoints: Vec<Endpoint>,
    /// `transparent`: the address may be one that the host does not have.
    pub transparent: bool,
    /// `v6only` and `v4v6`; without either the kernel's `bindv6only` decides.
    pub v6: V6,
    /// `interface X`.
    pub interface: Option<String>,
    /// `namespace X`: the socket is made in a named network namespace.
    pub namespace: Option<String>,
    /// How many clients may wait.
    pub backlog: Backlog,
    /// The conditions under which the line counts.
    pub guards: Arc<[Guard]>,
}

/// What a `bind` line says about IPv4 on an IPv6 socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum V6 {
    /// Nothing. A socket on a specific IPv6 address is then never inherited (docs/facts A.6).
    #[default]
    Unsaid,
    /// `v6only`
    Only,
    /// `v4v6`
    Both,
}

/// A `stats socket` in `global`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsSocket {
    /// Where it stands.
    pub span: Span,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// `expose-fd listeners`: a process that can connect can also take the listening sockets.
    pub exposes_listeners: bool,
    /// The conditions under which the line counts.
    pub guards: Arc<[Guard]>,
}
