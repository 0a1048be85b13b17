//! Any bytes as what HAProxy writes on standard error, and as its version.

use std::path::{Path, PathBuf};

use super::Complaint;
use crate::configuration::{Configuration, SourceFile};
use crate::line::Line;
use crate::version::Version;

/// Standard error, or standard output of `haproxy -v`.
pub(crate) fn standard_error(data: &[u8]) {
    let complaint = Complaint::read(data);
    let essence = complaint.essence();
    assert!(essence.len() <= complaint.lines.len());
    assert_eq!(complaint.headline().is_some(), !complaint.lines.is_empty());
    let text = String::from_utf8_lossy(data);
    let configuration = Configuration::of_text(Path::new("a.cfg"), &text);
    the_lines_that_are_cited_are_few(&complaint, data);
    for is_root in [true, false] {
        let files = [None, Some(&configuration)];
        for files in files {
            let remedies: Vec<_> = complaint.remedies(files, is_root).collect();
            assert!(remedies.iter().all(|remedy| !remedy.is_empty()));
        }
    }
    for line in text.lines() {
        let Line { level, text, .. } = Line::of(line);
        assert!(line.ends_with(text) && (level.is_some() || line == text), "{line:?}");
        let _ = Line::of(line).is_routine();
    }
    as_a_version(&text);
}

/// The same text as the files that it is about.
fn the_lines_that_are_cited_are_few(complaint: &Complaint, data: &[u8]) {
    let name = PathBuf::from("h.cfg");
    let files = vec![SourceFile { name: name.clone(), path: name, bytes: data.to_vec() }];
    let cited = complaint.cited(&Configuration { files, ..Configuration::default() });
    assert!(cited.len() <= 5 && cited.iter().all(|line| line.chars().count() < 300), "{cited:?}");
}

/// What is shown of a release is read as the same.
fn as_a_version(text: &str) {
    match Version::parse(text) {
        Ok(version) => {
            let read = Version::from_text(&version.to_string());
            let shown = if version.dev.is_some() { Version { patch: 0, ..version } } else { version };
            assert_eq!(read, Some(shown));
            let _ = (version.supported(), version.has_setcap(), version.user_with_transparency());
        }
        Err(unknown) => assert!(unknown.beginning.chars().count() <= 120),
    }
}
