//! How a Clearway was started.

use std::collections::BTreeMap;

use clearway_core::settings::{SettingKey, Settings, TABLE};
use clearway_haproxy::command_line::Invocation;
use serde::{Deserialize, Serialize};

/// How a Clearway was started, for those that look at the same files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Started {
    /// HAProxy's program and arguments.
    pub haproxy: Vec<String>,
    /// The working directory: relative paths begin there.
    pub directory: String,
    /// The settings that were given, by their variables, whether they were given so or by flags.
    pub settings: BTreeMap<String, String>,
}

impl Started {
    /// What is to be known of this process.
    pub fn of(settings: &Settings, invocation: &Invocation) -> Option<Self> {
        let words = std::iter::once(&invocation.program).chain(&invocation.arguments);
        let row = |key: &SettingKey| TABLE.iter().find(|row| row.key == *key);
        let given = settings
            .given
            .iter()
            .filter_map(|(key, text)| Some((row(key)?.variable.to_owned(), text.clone())));
        Some(Self {
            haproxy: words.map(|word| word.to_str().map(str::to_owned)).collect::<Option<_>>()?,
            directory: std::env::current_dir().ok()?.into_os_string().into_string().ok()?,
            settings: given.collect(),
        })
    }
}
