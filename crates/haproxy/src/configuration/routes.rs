//! Where frontends send their clients: `default_backend` and `use_backend`.

use std::collections::{HashMap, HashSet};

/// Where a frontend sends its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// `default_backend`, by the name of the frontend or listen.
    pub(super) default: HashMap<String, String>,
    /// Those with a `use_backend`.
    pub(super) chosen: HashSet<String>,
}

impl Routes {
    /// A line of a section.
    pub(super) fn line(&mut self, section: &str, words: &[String]) {
        match (words.first().map(String::as_str), words.get(1)) {
            (Some("default_backend"), Some(backend)) => {
                self.default.insert(section.to_owned(), backend.clone());
            }
            (Some("use_backend"), _) => {
                self.chosen.insert(section.to_owned());
            }
            _ => {}
        }
    }
}
