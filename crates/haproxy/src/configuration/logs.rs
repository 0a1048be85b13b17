//! Where `log` lines send to, as far as it is a file of this host.

use std::path::PathBuf;
use std::sync::Arc;

use super::address::{Endpoint, Transport};
use super::guards::Guard;
use super::span::Span;

/// A `log` line, of `global` or of a proxy, that sends to a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Where it stands.
    pub span: Span,
    /// The path of the socket. HAProxy looks for it when it sends, that is, below its `chroot` once it has changed there.
    pub path: PathBuf,
    /// The conditions under which the line counts.
    pub guards: Arc<[Guard]>,
}

impl LogTarget {
    /// The line with this target; nothing for `global`, `stdout`, an address, a ring and the like.
    pub(super) fn new(span: Span, target: &str, guards: Arc<[Guard]>) -> Option<Self> {
        let path =
            Endpoint::list(target, Transport::Udp).into_iter().find_map(|endpoint| match endpoint {
                Endpoint::Unix(path) => Some(path),
                _ => None,
            })?;
        Some(Self { span, path, guards })
    }
}
