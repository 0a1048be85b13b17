//! Any text as `/etc/passwd`.

use crate::ground::accounts;

/// Each name is looked for.
pub(crate) fn users(text: &str) {
    for name in text.split([':', '\n']).take(8) {
        let number = accounts::find(text, name);
        assert!(number.is_none_or(|number| text.contains(&number.to_string())
            || text.contains('+')
            || text.contains('0')));
    }
}
