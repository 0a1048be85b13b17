//! Any bytes as what a client of the API writes, over TCP and without a token.

use std::net::{Ipv4Addr, SocketAddr};

use axum::middleware;
use clearway_core::settings::AdminAddress;

use super::guard::{self, ApiGuard};
use super::routes;
use crate::front::fuzz::changes_something;

/// The bytes of one connection.
pub(crate) fn api_requests(data: &[u8]) {
    let address = AdminAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9100)));
    let layer = middleware::from_fn_with_state(ApiGuard::at(&address, None), guard::guard);
    let is_changed = changes_something(data, |wishes| routes::router(wishes).layer(layer));
    let text = String::from_utf8_lossy(data).to_ascii_lowercase();
    // What no page in a browser can send, from whatever host it came.
    let is_ours = text.contains("post") && text.contains("x-clearway");
    let is_here = ["localhost", "127.", "::"].iter().any(|host| text.contains(host));
    assert!(!is_changed || is_ours && is_here, "{text:?}");
}
