//! The files that a configuration names and that a reload reads anew: certificates and what lies beside them,
//! authorities, lists of certificates, maps, patterns, error pages, Lua.
//!
//! Like the rest of the scanner it steps over what it does not understand. A file too many does no harm (one
//! that does not exist is waited for in vain), so a keyword counts wherever it stands on its line, and lines
//! inside `.if` blocks count without asking. Not among them, because HAProxy writes them itself or no reload
//! reads them: `server-state-file`, `stats-file`, `pidfile`, sockets, logs, `account-key`, external checks. What
//! a Lua script or the file of a filter reads in its turn is not known here.

use super::content::Configuration;
use super::sources;

mod bases;
mod expressions;
pub(super) mod found;
#[cfg(any(test, feature = "fuzz"))]
pub(super) mod fuzz;
pub(super) mod lines;
mod lists;

pub use bases::Bases;
pub use found::{MOST, Need, Reference, ReferenceKind};

use found::Collected;

impl Configuration {
    /// The files that the configuration names, and those that its `crt-list` files name: these are read for
    /// that. A list that cannot be read names nothing.
    pub fn all_references(&self) -> Vec<Reference> {
        let mut all = Collected::default();
        for reference in &self.references {
            all.add(reference.clone());
            if let ReferenceKind::CertificateList(bases) = &reference.kind
                && let Ok(bytes) = sources::read_aside(&reference.path)
            {
                lists::entries(&reference.path, &bytes, bases, &mut all);
            }
        }
        all.into_references()
    }
}

#[cfg(test)]
mod tests;
