//! Any bytes as the file of a `crt-list`.

use std::path::Path;

use super::found::{Collected, MOST_BYTES};
use super::{Bases, ReferenceKind, lists};
use crate::configuration::Configuration;

/// Reads the list with the bases of each line of the configuration that names one, or with none.
pub(in crate::configuration) fn certificate_list(configuration: &Configuration, bytes: &[u8]) {
    let mut all = Collected::default();
    lists::entries(Path::new("list"), bytes, &Bases::default(), &mut all);
    for reference in &configuration.references {
        let _ = reference.companions().count();
        if let ReferenceKind::CertificateList(bases) = &reference.kind {
            lists::entries(&reference.path, bytes, bases, &mut all);
        }
    }
    let bytes: usize = all.into_references().iter().map(|one| one.path.as_os_str().len()).sum();
    assert!(bytes <= 2 * MOST_BYTES);
}
