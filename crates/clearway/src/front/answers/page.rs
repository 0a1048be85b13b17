//! The page for people: `GET /`.

use std::time::SystemTime;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::front::answers::{NotServed, ask};
use crate::front::page::{PageContent, policy};
use crate::front::request::{Request, Wishes};
use crate::ground::aside;

/// The page as it is now. It is rendered beside the loop: there may be much to tell.
pub async fn page(State(requests): State<Wishes>) -> Result<Response, NotServed> {
    let (status, past, servers, sockets) = tokio::try_join!(
        ask(&requests, Request::Status),
        ask(&requests, Request::Reloads),
        ask(&requests, Request::Servers),
        ask(&requests, Request::Sockets),
    )?;
    let nonce = nonce();
    let policy = policy(&nonce);
    let rendered = aside::outcome_of("rendering the page", move || {
        let (status, past, servers, sockets) = (&*status, &past, &servers, &sockets);
        PageContent { status, past, servers, sockets, now: SystemTime::now() }.render(&nonce)
    });
    let Some(rendered) = rendered.await else { return Err(super::no_thread()) };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
    ];
    Ok((headers, rendered).into_response())
}

/// What no other page can guess: 16 random bytes. Where the kernel has none yet, no script and no style may run.
fn nonce() -> String {
    let mut bytes = [0; 16];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(16) => format!("{:032x}", u128::from_ne_bytes(bytes)),
        _ => String::new(),
    }
}
