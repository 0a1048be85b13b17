//! The files that were found, each once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::bases::{Bases, LONGEST};
use crate::configuration::span::Span;

/// More than any real file names; a hostile one may name millions.
pub const MOST: usize = 100_000;

/// What all paths together may have; a hostile file may put a long base before millions of short names.
pub(super) const MOST_BYTES: usize = 16 << 20;

/// A file that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it is, from the directory in which HAProxy is started, if the path is relative.
    pub path: PathBuf,
    /// The line that names it first.
    pub span: Span,
    /// What it is for.
    pub kind: ReferenceKind,
    /// Whether HAProxy starts without it.
    pub need: Need,
}

/// What a file is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// A certificate with its key, or a directory of them. What may lie beside it belongs to it
    /// ([`Reference::companions`]).
    Certificate,
    /// Certificates of authorities or a list of revoked ones; a file or a directory.
    Authority,
    /// The file of a `crt-list`: its lines name more files.
    CertificateList(Arc<Bases>),
    /// A map or the patterns of an ACL.
    Patterns,
    /// An answer for clients: `errorfile`, `file`, `lf-file`.
    Page,
    /// A Lua program.
    Script,
    /// Anything else that is read at the start.
    Other,
}

/// Whether a file must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// HAProxy does not start without it.
    Required,
    /// It is read if it is there.
    Optional,
}

impl Reference {
    /// The files that HAProxy reads as well if they lie beside a certificate (`ssl-load-extra-files`).
    pub fn companions(&self) -> impl Iterator<Item = PathBuf> + '_ {
        const ENDS: [&str; 7] = [".key", ".ocsp", ".issuer", ".sctl", ".rsa", ".ecdsa", ".dsa"];
        let certificate = self.kind == ReferenceKind::Certificate;
        let behind = ENDS.iter().map(|end| {
            let mut name = self.path.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        });
        // `ssl-load-extra-del-ext`
        let instead = self.path.extension().is_some_and(|end| end == "crt");
        let instead = instead.then(|| self.path.with_extension("key"));
        behind.chain(instead).filter(move |_| certificate)
    }
}

/// References by their paths, each once. What is required somewhere is required.
#[derive(Default)]
pub(in crate::configuration) struct Collected {
    /// By the bytes of the path, which are compared at once; components are not.
    by_path: BTreeMap<OsString, Reference>,
    bytes: usize,
}

impl Collected {
    pub(super) fn add(&mut self, reference: Reference) {
        let length = reference.path.as_os_str().len();
        if let Some(known) = self.by_path.get_mut(reference.path.as_os_str()) {
            if reference.need == Need::Required {
                known.need = Need::Required;
            }
        } else if length <= LONGEST && self.by_path.len() < MOST && self.bytes < MOST_BYTES {
            self.bytes += length;
            self.by_path.insert(reference.path.clone().into_os_string(), reference);
        }
    }

    pub(super) fn put(&mut self, path: PathBuf, span: &Span, kind: ReferenceKind, need: Need) {
        self.add(Reference { path, span: span.clone(), kind, need });
    }

    pub(in crate::configuration) fn into_references(self) -> Vec<Reference> {
        self.by_path.into_values().collect()
    }
}
