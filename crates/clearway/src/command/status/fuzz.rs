//! What is said of any status.

use super::{findings, words};
use crate::front::api::Status;

pub(crate) fn in_words(status: &Status) -> String {
    [words::in_words(status), findings::told(status, false).0, findings::told(status, true).0].concat()
}
