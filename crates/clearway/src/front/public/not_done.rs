//! Why a request is not answered as it is asked.

use axum::response::{IntoResponse, Response};

use crate::front::answers::NotServed;
use crate::front::answers::query::BadQuery;

/// Why something is not done.
#[derive(Debug)]
pub(super) enum NotDone {
    /// It cannot be understood.
    Query(BadQuery),
    /// Clearway is ending.
    Ending(NotServed),
}

impl From<BadQuery> for NotDone {
    fn from(bad: BadQuery) -> Self {
        Self::Query(bad)
    }
}

impl From<NotServed> for NotDone {
    fn from(ending: NotServed) -> Self {
        Self::Ending(ending)
    }
}

impl IntoResponse for NotDone {
    fn into_response(self) -> Response {
        match self {
            Self::Query(bad) => bad.into_response(),
            Self::Ending(ending) => ending.into_response(),
        }
    }
}
