//! `GET /v1/events`: the events of the log as server-sent events, as they happen.
//!
//! ```text
//!   a notice of any room -> tell::events (the last ones, numbered)
//!                               ^ what comes after N?
//!   a client -> events (here) -> Request::Follow -> Followers::admit -> Follower -> EventStream -> its connection
//! ```
//!
//! A client says after which event it wants to begin: with `?from=ID`, or with the header `Last-Event-ID`, with which browsers come
//! back. That counts if both are there, because they come back to the same address.

pub mod followers;
mod stream;

use axum::body::Body;
use axum::extract::{self, ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::front::answers::ask;
use crate::front::answers::query::QueryFields;
use crate::front::clients::Caller;
use crate::front::request::{Request, Wishes};
use crate::tell::events::LastHad;
use stream::EventStream;

/// The header with which a client comes back.
const LAST_EVENT_ID: &str = "last-event-id";

/// How the answer is to be treated: passed on as it comes, and not kept.
const HEADERS: [(header::HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "text/event-stream"),
    (header::CACHE_CONTROL, "no-store"),
    (header::HeaderName::from_static("x-accel-buffering"), "no"),
];

/// Answers with the events after the one that the client names, and those that happen from now on, until Clearway ends.
pub async fn events(State(requests): State<Wishes>, request: extract::Request) -> Response {
    let caller = request.extensions().get::<ConnectInfo<Caller>>();
    let pid = caller.and_then(|ConnectInfo(caller)| caller.pid);
    let had = match last_had(request.headers(), request.uri()) {
        Ok(had) => had,
        Err(wrong) => return refused(StatusCode::BAD_REQUEST, &wrong),
    };
    match ask(&requests, |sender| Request::Follow { had, pid, sender }).await {
        Ok(Ok(follower)) => (HEADERS, Body::new(EventStream::of(follower))).into_response(),
        Ok(Err(why)) => refused(why.status(), &why.to_string()),
        Err(ending) => ending.into_response(),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

/// The event that the client says it has had last, if it says so.
fn last_had(headers: &HeaderMap, uri: &Uri) -> Result<Option<LastHad>, String> {
    if let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) {
        let text = value.to_str().map_err(|_| "the header Last-Event-ID is no text".to_owned())?;
        return text.trim().parse().map(Some).map_err(|wrong| format!("the header Last-Event-ID: {wrong}"));
    }
    let fields = QueryFields::of(uri, &["from"]).map_err(|bad| bad.to_string())?;
    fields.get("from").map(str::parse).transpose().map_err(|wrong| format!("`from`: {wrong}"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(header: Option<&[u8]>, uri: &'static str) -> Result<Option<LastHad>, String> {
        let value = header.map(|bytes| HeaderValue::from_bytes(bytes).unwrap());
        let headers = value.map(|value| (LAST_EVENT_ID.parse().unwrap(), value)).into_iter().collect();
        last_had(&headers, &Uri::from_static(uri))
    }

    fn number(number: u64) -> LastHad {
        LastHad { epoch: None, number }
    }

    #[test]
    fn a_client_says_where_it_begins_and_a_browser_that_comes_back_wins() {
        assert_eq!(read(None, "/v1/events"), Ok(None));
        assert_eq!(read(None, "/v1/events?from=3"), Ok(Some(number(3))));
        assert!(
            read(None, "/v1/events?form=3").unwrap_err().contains("`form`"),
            "another beginning than was meant"
        );
        assert_eq!(read(Some(b"9"), "/v1/events?from=3"), Ok(Some(number(9))));
        assert_eq!(read(Some(b""), "/v1/events?from=3"), Ok(Some(number(3))), "it has had none");
    }

    #[test]
    fn what_is_no_id_is_refused_wherever_it_stands() {
        for uri in ["/?from=", "/?from=abc", "/?from=-1", "/?from=%31", "/?from=99999999999999999999"] {
            assert!(read(None, uri).unwrap_err().starts_with("`from`: "), "{uri}");
        }
        for header in [&b"abc"[..], b"\xff\xfe", b"-1"] {
            assert!(read(Some(header), "/?from=3").unwrap_err().contains("Last-Event-ID"));
        }
    }
}
