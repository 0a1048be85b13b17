//! What a request must have before a handler sees it.
//!
//! | over | must have | else |
//! |---|---|---|
//! | TCP, where there is a token | `Authorization: Bearer TOKEN`, or `Basic` with the token as the password, as a browser asks a person for it; but for `/healthz` and `/readyz` | 401 |
//! | TCP, without the right token | a `Host` that is an IP address or `localhost` (of loopback where that is listened at): a page in a browser that has its own name lead here cannot ask | 421 |
//! | any | of a `POST`, a header `X-Clearway`, which no form can send and no page of another origin may | 403 |
//! | any | of a `POST`, no body: what it says would have no effect | 400 |
//! | TCP, without a token | another path than those of files, which [`super::files`] refuses | 403 |
//!
//! There are no CORS headers, so no page of another origin reads an answer. No answer is kept in caches.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clearway_core::settings::AdminAddress;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::front::public::basic;
use crate::front::public::files::FileAccess;
use crate::front::public::token::TokenFile;

/// The header of a `POST`.
const OURS: &str = "x-clearway";

/// How many questions the loop is asked at the same time, at most; more wait.
const QUESTIONS: usize = 8;

/// How long the answer to a `GET` may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What clients of one address must show.
#[derive(Clone, Debug)]
pub struct ApiGuard {
    /// Unset: over a path.
    at: Option<IpAddr>,
    token: Option<Arc<TokenFile>>,
    questions: Arc<Semaphore>,
}

/// A request that no handler sees: a sentence, and what it is about.
type NotAdmitted = (StatusCode, &'static str);

impl ApiGuard {
    /// At this address.
    pub fn at(address: &AdminAddress, token: Option<Arc<TokenFile>>) -> Self {
        let at = match address {
            AdminAddress::Unix(_) => None,
            AdminAddress::Tcp(address) => Some(address.ip().to_canonical()),
        };
        Self { at, token: token.filter(|_| at.is_some()), questions: Arc::new(Semaphore::new(QUESTIONS)) }
    }

    /// Lets it pass, and says whether its client may see files.
    async fn admit(&self, head: &Parts, has_body: bool) -> Result<FileAccess, NotAdmitted> {
        let is_known = match &self.token {
            None => false,
            Some(token) => match shown(&head.headers) {
                Some(shown) if token.admits(&shown).await => true,
                None if is_probe(&head.uri) => false,
                _ => return Err((StatusCode::UNAUTHORIZED, "it wants `Authorization: Bearer TOKEN`\n")),
            },
        };
        if let Some(at) = self.at.filter(|_| !is_known) {
            look_at_host(at, head)?;
        }
        if head.method == Method::POST {
            if !head.headers.contains_key(OURS) {
                return Err((StatusCode::FORBIDDEN, "a POST wants the header `X-Clearway: 1`\n"));
            }
            if has_body {
                return Err((
                    StatusCode::BAD_REQUEST,
                    "a POST has no body here: what it wants stands behind `?`\n",
                ));
            }
        }
        let is_trusted = is_known || self.at.is_none();
        Ok(if is_trusted { FileAccess::Granted } else { FileAccess::Refused })
    }
}

/// The token that a client shows.
fn shown(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let behind = |scheme: &str| {
        let (found, rest) = value.split_at_checked(scheme.len())?;
        found.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    };
    let bearer = behind("Bearer ").map(|token| token.trim_ascii().into());
    bearer.or_else(|| basic::password(behind("Basic ")?).map(Cow::Owned))
}

/// Engines and load balancers ask here, which have no token. The answer is one sentence.
fn is_probe(uri: &Uri) -> bool {
    matches!(uri.path(), "/healthz" | "/readyz")
}

fn look_at_host(at: IpAddr, head: &Parts) -> Result<(), NotAdmitted> {
    let mut named = head.headers.get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok()).map(without_port);
    let is_one = named.next().is_none();
    let ours = |host: &str| is_ours(at, host);
    // A whole address in the first line counts before the header.
    if is_one && host.is_some_and(ours) && head.uri.host().is_none_or(ours) {
        return Ok(());
    }
    Err((
        StatusCode::MISDIRECTED_REQUEST,
        "its `Host` is not one of this API: over loopback `localhost` or a loopback address, else an IP address; with the token any\n",
    ))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

fn is_ours(at: IpAddr, host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => !at.is_loopback() || ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Lets a request pass to its handler, and adds what every answer has.
pub async fn guard(State(guard): State<ApiGuard>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let mut answer = match guard.admit(&head, !body.is_end_stream()).await {
        Err(refusal) => refusal.into_response(),
        Ok(access) => {
            head.extensions.insert(access);
            answered(&guard, Request::from_parts(head, body), next).await
        }
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if answer.status() == StatusCode::UNAUTHORIZED {
        for scheme in
            ["Basic realm=\"Clearway: any name, the token as the password\", charset=\"UTF-8\"", "Bearer"]
        {
            answer.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
    }
    answer
}

/// What is to be done may take as long as it takes; a question may not, and has to wait for others.
async fn answered(guard: &ApiGuard, request: Request, next: Next) -> Response {
    if !request.method().is_safe() {
        return next.run(request).await;
    }
    let asked = async {
        let _turn = guard.questions.acquire().await;
        next.run(request).await
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        (StatusCode::SERVICE_UNAVAILABLE, "Clearway did not answer in time\n").into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token-of-this-test-0123";

    fn guard_at(text: &str, token: bool) -> ApiGuard {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, TOKEN).unwrap();
        let token = token.then(|| Arc::new(TokenFile::read(&path).unwrap()));
        let mut settings = clearway_core::settings::Settings::default();
        settings.set(clearway_core::settings::SettingKey::Admin, text, "--admin").unwrap();
        ApiGuard::at(&settings.admin[0], token)
    }

    /// The status of a refusal; 200: a handler sees the request.
    fn asked(guard: &ApiGuard, method: &str, uri: &str, headers: &[(&str, &str)], body: &'static str) -> u16 {
        admitted(guard, method, uri, headers, body).map_or_else(|(status, _)| status.as_u16(), |_| 200)
    }

    fn admitted(
        guard: &ApiGuard,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> Result<FileAccess, NotAdmitted> {
        let mut request = axum::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (head, ()) = request.body(()).unwrap().into_parts();
        runtime.block_on(guard.admit(&head, !body.is_empty()))
    }

    #[test]
    fn files_are_for_clients_of_a_path_and_for_those_with_the_token() {
        let access = |guard: &ApiGuard, uri: &str, headers: &[(&str, &str)]| {
            admitted(guard, "GET", uri, headers, "").ok()
        };
        let bearer = format!("Bearer {TOKEN}");
        let (host, token) = (("host", "localhost"), ("authorization", &*bearer));
        let (path, loopback) = (guard_at("/x", false), guard_at("127.0.0.1:9100", false));
        let with_token = guard_at("127.0.0.1:9100", true);
        assert_eq!(access(&path, "/v1/config", &[]), Some(FileAccess::Granted));
        assert_eq!(access(&loopback, "/v1/config", &[host]), Some(FileAccess::Refused));
        assert_eq!(
            access(&loopback, "/v1/config", &[host, token]),
            Some(FileAccess::Refused),
            "there is no token"
        );
        assert_eq!(access(&with_token, "/v1/config", &[host, token]), Some(FileAccess::Granted));
        assert_eq!(access(&with_token, "/v1/config", &[host]), None);
        assert_eq!(access(&with_token, "/healthz", &[host]), Some(FileAccess::Refused));
    }

    #[test]
    fn a_foreign_host_is_turned_away_over_tcp() {
        let loopback = guard_at("127.0.0.1:9100", false);
        for (host, status) in [
            ("127.0.0.1:9100", 200),
            ("127.0.0.1", 200),
            ("localhost:9100", 200),
            ("LOCALHOST", 200),
            ("[::1]:9100", 200),
            ("10.0.0.1:9100", 421),
            ("evil.example:9100", 421),
            ("localhost.evil.example", 421),
            ("evil.example:127.0.0.1", 421),
            ("127.0.0.1.evil.example", 421),
            ("", 421),
        ] {
            assert_eq!(asked(&loopback, "GET", "/v1/status", &[("host", host)], ""), status, "{host}");
        }
        assert_eq!(asked(&loopback, "GET", "/v1/status", &[], ""), 421, "none at all");
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(asked(&loopback, "GET", "/v1/status", &twice, ""), 421);
        let whole = asked(&loopback, "GET", "http://evil.example/v1/status", &[("host", "localhost")], "");
        assert_eq!(whole, 421);
        assert_eq!(asked(&guard_at("/x", false), "GET", "/v1/status", &[("host", "x")], ""), 200);
    }

    #[test]
    fn without_the_token_only_probes_are_answered() {
        let guard = guard_at("0.0.0.0:9100", true);
        let bearer = format!("Bearer {TOKEN}");
        let (wrong, longer) = (format!("Bearer {}X", &TOKEN[1..]), format!("{bearer}0"));
        for (headers, status) in [
            (vec![("authorization", &*bearer)], 200),
            (vec![("authorization", &*bearer.replace("Bearer", "bearer"))], 200),
            (vec![("authorization", &*bearer), ("host", "balancer.example:9100")], 200),
            (vec![("host", "10.0.0.1:9100")], 401),
            (vec![("authorization", &*wrong)], 401),
            (vec![("authorization", &*longer)], 401),
            (vec![("authorization", TOKEN)], 401),
            (vec![("authorization", "Basic eDp5")], 401),
            (vec![("authorization", "Basic bWU6YS10b2tlbi1vZi10aGlzLXRlc3QtMDEyMw==")], 200),
            (vec![("authorization", "basic OmEtdG9rZW4tb2YtdGhpcy10ZXN0LTAxMjM=")], 200),
            (vec![("authorization", "Basic YS10b2tlbi1vZi10aGlzLXRlc3QtMDEyMw==")], 401),
            (vec![("authorization", "Basic ????")], 401),
            (vec![("authorization", "Bearer ")], 401),
            (vec![("authorization", "")], 401),
        ] {
            assert_eq!(asked(&guard, "GET", "/v1/status", &headers, ""), status, "{headers:?}");
        }
        let ip = [("host", "10.0.0.1:9100")];
        assert_eq!(asked(&guard, "GET", "/healthz", &ip, ""), 200);
        assert_eq!(asked(&guard, "GET", "/readyz?x=1", &ip, ""), 200);
        assert_eq!(asked(&guard, "GET", "/healthz", &[("host", "evil.example")], ""), 421);
        assert_eq!(asked(&guard, "GET", "/healthz/../v1/status", &ip, ""), 401);
        assert_eq!(asked(&guard, "GET", "/healthz", &[("authorization", &*wrong), ip[0]], ""), 401);
    }

    #[test]
    fn a_post_has_what_a_form_cannot_send() {
        let guard = guard_at("/x", false);
        assert_eq!(asked(&guard, "POST", "/v1/reload", &[], ""), 403);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(asked(&guard, "POST", "/v1/reload", &form, "dry-run=1"), 403);
        assert_eq!(asked(&guard, "POST", "/v1/reload", &[("x-clearway", "1")], ""), 200);
        assert_eq!(asked(&guard, "POST", "/v1/reload", &[("X-Clearway", "")], ""), 200);
        assert_eq!(asked(&guard, "POST", "/v1/reload", &[("x-clearway", "1")], "{}"), 400);
    }
}
