//! Any text as the value of each setting, and as a variable.

use super::{Settings, TABLE, strays};
use crate::intercept::{self, Interception};
use crate::names::InstanceName;
use crate::strategy::Strategy;

/// The value of a setting, or a variable with its value and `=` between.
pub(crate) fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut settings = Settings::default();
    for row in TABLE {
        let before = settings.clone();
        match settings.set(row.key, &text, row.variable) {
            Ok(()) => what_was_given_is_taken_again(&settings, &text),
            Err(error) => {
                assert_eq!(settings, before, "{error}");
                assert!(!error.problem.is_empty() && error.to_string().contains(row.variable));
            }
        }
    }
    what_is_shown_is_read_as_the_same(text.trim());
    let (name, value) = text.split_once('=').unwrap_or((&text, ""));
    assert!(strays([(name, value)]).iter().all(|stray| stray.to_string().contains(name)));
}

/// A Clearway that looks at the same files reads the settings of the running one.
fn what_was_given_is_taken_again(settings: &Settings, text: &str) {
    let Some((key, given)) = settings.given.last() else { return };
    let mut again = Settings::default();
    assert_eq!(again.set(*key, given, "again"), Ok(()), "{text:?}");
    assert_eq!(again.given.last().map(|(_, given)| given), Some(given));
}

fn what_is_shown_is_read_as_the_same(text: &str) {
    if let Ok(rules) = intercept::rules(text) {
        let shown = rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        assert_eq!(intercept::rules(&shown).as_ref(), Ok(&rules), "{shown}");
        let _ = Interception { rules, ..Interception::default() }.is_empty();
    }
    if let Ok(strategy) = text.parse::<Strategy>() {
        assert_eq!(strategy.to_string().parse(), Ok(strategy));
    }
    if let Ok(name) = text.parse::<InstanceName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(addresses) = text.parse::<super::ProbeAddresses>() {
        assert_eq!(addresses.to_string().parse(), Ok(addresses));
    }
}
