//! What generations were started from, for the clients that may see it: files hold secrets (passwords of `userlist` sections).
//!
//! The file of a path says which users may connect, and a token is a secret itself: clients that come so may see files. Over
//! loopback without a token any process of this network namespace may ask, so that a client there is refused. The guard notes in
//! each request which of both it is ([`FileAccess`]); where nothing is noted, nothing is told.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tokio::sync::oneshot;

use super::not_done::NotDone;
use crate::front::answers::query::{BadQuery, QueryFields};
use crate::front::configuration;
use crate::front::request::{ConfigurationAnswer, Request, Wishes};

/// What is said to a client that may not see files.
const REFUSED: &str = "configuration files may hold passwords: over TCP they are told only to clients that show a token; set \
                       CLEARWAY_ADMIN_TOKEN_FILE, or ask at a path of CLEARWAY_ADMIN\n";

/// Whether the client of a request may see files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileAccess {
    /// It came over a path, or with the token.
    Granted,
    /// It came over TCP, without a token.
    Refused,
}

/// The client of this request may see files.
pub(super) struct MaySeeFiles;

impl<S: Sync> FromRequestParts<S> for MaySeeFiles {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match head.extensions.get() {
            Some(FileAccess::Granted) => Ok(Self),
            Some(FileAccess::Refused) | None => Err((StatusCode::FORBIDDEN, REFUSED)),
        }
    }
}

/// The files of a generation.
pub(super) async fn configuration(
    _: MaySeeFiles,
    State(requests): State<Wishes>,
    uri: Uri,
) -> Result<Response, NotDone> {
    told(&requests, &uri, Request::Configuration).await
}

/// What is different on disk.
pub(super) async fn difference(
    _: MaySeeFiles,
    State(requests): State<Wishes>,
    uri: Uri,
) -> Result<Response, NotDone> {
    told(&requests, &uri, Request::Difference).await
}

async fn told(
    requests: &Wishes,
    uri: &Uri,
    make: impl FnOnce(Option<u32>, oneshot::Sender<ConfigurationAnswer>) -> Request,
) -> Result<Response, NotDone> {
    let fields = QueryFields::of(uri, &["generation"])?;
    let generation = fields.get("generation").map(str::parse).transpose();
    let generation = generation.map_err(|_| BadQuery::of("`generation` is the number of a generation"))?;
    Ok(configuration::told(requests, generation, make).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of a refusal; nothing: the client may see files.
    fn refusal(access: Option<FileAccess>) -> Option<(StatusCode, &'static str)> {
        let (mut head, ()) = axum::http::Request::new(()).into_parts();
        access.map(|access| head.extensions.insert(access));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(MaySeeFiles::from_request_parts(&mut head, &())).err()
    }

    #[test]
    fn a_request_of_which_nothing_is_noted_is_refused_with_the_reason() {
        assert_eq!(refusal(Some(FileAccess::Granted)), None);
        for access in [Some(FileAccess::Refused), None] {
            let (status, why) = refusal(access).unwrap();
            assert!(status == StatusCode::FORBIDDEN && why.contains("passwords"), "{status}: {why}");
            assert!(why.contains("CLEARWAY_ADMIN_TOKEN_FILE") && why.ends_with('\n'), "{why}");
        }
    }
}
