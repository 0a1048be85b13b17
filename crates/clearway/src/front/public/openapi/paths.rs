//! Each path for the description. Words of enumerations are texts there: a later version may have more of them, and a client
//! that was made from the description must not fail at one.

#![allow(dead_code, reason = "only what the macros make of these functions is used")]

use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, RefOr, Required, Response, Schema, Type};
use utoipa::{Modify, OpenApi as _};

use crate::front::api;

/// The page for people
#[utoipa::path(get, path = "/", responses((status = 200, description = "HTML", body = String, content_type = "text/html")))]
fn page() {}

/// Whether Clearway is alive
///
/// It needs no token.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "its event loop answers", body = String)))]
fn alive() {}

/// Whether new clients should be sent here
///
/// With `CLEARWAY_CANARY=ready` also whether servers find the way back to clients. It needs no token.
#[utoipa::path(get, path = "/readyz", responses((status = 200, description = "they should", body = String)))]
fn ready() {}

/// The metrics
///
/// As OpenMetrics if the header `Accept` asks for that.
#[utoipa::path(get, path = "/metrics", params(
    ("haproxy" = Option<String>, Query, description = "`1`: also what all generations of HAProxy have counted")
), responses((status = 200, description = "in Prometheus' text format", content(
    (String = "text/plain"), (String = "application/openmetrics-text")
))))]
fn metrics() {}

/// This description
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
fn openapi() {}

/// How this Clearway is
#[utoipa::path(get, path = "/v1/status", responses((status = 200, description = "as `clearway status --json`", body = api::Status)))]
fn status() {}

/// The generations
#[utoipa::path(get, path = "/v1/generations", responses((status = 200, description = "those that have a process", body = api::GenerationList)))]
fn generations() {}

/// The listening sockets, and how many clients wait there
#[utoipa::path(get, path = "/v1/sockets", responses((status = 200, description = "what is in custody", body = api::SocketList)))]
fn sockets() {}

/// The servers: HAProxy's health, the canary's verdict, the line of the file
#[utoipa::path(get, path = "/v1/servers", responses((status = 200, description = "those of the generation that serves", body = api::ServerList)))]
fn servers() {}

/// What has happened: starts, reloads, crashes, takeovers
#[utoipa::path(get, path = "/v1/reloads", responses((status = 200, description = "as `clearway history --json`", body = api::Reloads)))]
fn reloads() {}

/// What happens, as it happens
///
/// A stream that ends with Clearway: docs/reference/events.md.
#[utoipa::path(get, path = "/v1/events", params(
    ("from" = Option<String>, Query, description = "begin after the event with this id; `0`: with all that are kept; unset: from now on"),
    ("Last-Event-ID" = Option<String>, Header, description = "the same, and counts if both are there")
), responses(
    (status = 200, description = "server-sent events, each with an object", content_type = "text/event-stream", body = String),
    (status = 400, description = "no id, or that of an event that has not happened", content_type = "text/plain", body = String)
))]
fn events() {}

/// What a generation was started from
///
/// Files may hold passwords: over TCP only with a token.
#[utoipa::path(get, path = "/v1/config", params(
    ("generation" = Option<u32>, Query, description = "of this one; unset: of the one that serves")
), responses(
    (status = 200, description = "its files, as they were read", body = api::ConfigurationFiles),
    (status = 404, description = "it is not known of this generation", body = api::Refused),
    (status = 409, description = "no generation has served yet", body = api::Refused)
))]
fn configuration() {}

/// The files on disk beside those that run
///
/// Files may hold passwords: over TCP only with a token.
#[utoipa::path(get, path = "/v1/config/diff", params(
    ("generation" = Option<u32>, Query, description = "beside those of this one; unset: of the one that serves")
), responses(
    (status = 200, description = "as `clearway diff --json`", body = api::ConfigurationDiff),
    (status = 404, description = "it is not known of this generation", body = api::Refused),
    (status = 409, description = "no generation has served yet, or files cannot be read", body = api::Refused)
))]
fn difference() {}

/// Reload, and wait for what comes of it
#[utoipa::path(
    post,
    path = "/v1/reload",
    params(("dry-run" = Option<bool>, Query, description = "tell what it would come to, and change nothing")),
    responses(
        (status = 200, description = "it took, or would take", body = api::Reloaded),
        (status = 409, description = "it failed; the generation that served is still serving", body = api::Reloaded)
    )
)]
fn reload() {}

/// Have what is on disk: at run time if it can be, else by a reload
#[utoipa::path(
    post,
    path = "/v1/apply",
    params(("dry-run" = Option<bool>, Query, description = "tell what it would do, with each command for HAProxy, and change nothing")),
    responses(
        (status = 200, description = "it is done; with `dry-run`: what would be", content(
            (api::Reloaded = "application/json"), (api::PlannedChange = "application/json")
        )),
        (status = 409, description = "it did not take, and what served before is still serving; or there is nothing to be planned for", body = api::Reloaded)
    )
)]
fn apply() {}

/// Bring back what served before, from the copy in memory
///
/// Until a reload is asked for.
#[utoipa::path(
    post,
    path = "/v1/rollback",
    responses(
        (status = 200, description = "it serves again", body = api::Reloaded),
        (status = 409, description = "it does not; what serves goes on", body = api::Reloaded)
    )
)]
fn rollback() {}

/// Stop: accept nothing more, let the sessions finish, end
#[utoipa::path(
    post,
    path = "/v1/drain",
    params(
        ("until" = Option<String>, Query, description = "`ended`: wait for the end, and tell the exit code"),
        ("release" = Option<bool>, Query, description = "a holder closes the listening sockets at once")
    ),
    responses(
        (status = 202, description = "it stops"),
        (status = 200, description = "with `until=ended`: it has ended", body = api::Ended)
    )
)]
fn drain() {}

/// Ask the transparent servers now whether they find the way to clients
///
/// `GET /v1/servers` has what they say.
#[utoipa::path(
    post,
    path = "/v1/canary",
    responses(
        (status = 202, description = "they are asked", body = api::CanaryWish),
        (status = 409, description = "there is nothing to ask", body = api::CanaryWish)
    )
)]
fn canary() {}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Clearway",
        description = "Monitor and drive a running Clearway (CLEARWAY_ADMIN). Security and examples: docs/reference/api.md. Fields \
                       are only ever added; a client ignores those, and words of enumerations, that it does not know."
    ),
    paths(
        page, alive, ready, metrics, openapi, status, generations, sockets, servers, reloads, events,
        configuration, difference, reload, apply, rollback, drain, canary
    ),
    modifiers(&Common)
)]
struct Described;

/// What every path has.
struct Common;

impl Modify for Common {
    fn modify(&self, openapi: &mut OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "over TCP where CLEARWAY_ADMIN_TOKEN_FILE is set; not for `/healthz` and `/readyz`",
        ));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(bearer.build()));
        let basic = HttpBuilder::new()
            .scheme(HttpAuthScheme::Basic)
            .description(Some("for browsers: any name, the token as the password"));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("browser", SecurityScheme::Http(basic.build()));
        openapi.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("token", Vec::<String>::new()),
            SecurityRequirement::new("browser", Vec::<String>::new()),
        ]);
        for (path, item) in &mut openapi.paths.paths {
            if let Some(operation) = item.get.as_mut().filter(|_| path.starts_with("/v1/config")) {
                refuse(operation, "400", "a field is not known, or has a wrong value");
                refuse(operation, "403", "it was asked over TCP, without a token");
            }
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                refuse(operation, "401", "the token is missing or wrong");
                refuse(operation, "421", "the `Host` is not one of this API");
                refuse(operation, "503", "not now; the reason");
            }
            if let Some(operation) = &mut item.post {
                refuse(operation, "400", "a field is not known, has a wrong value, or there is a body");
                refuse(operation, "403", "the header `X-Clearway` is missing");
                let header = Parameter::builder()
                    .name("X-Clearway")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::True)
                    .description(Some("anything, such as `1`: what no form can send"))
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
                operation.parameters.get_or_insert_default().push(RefOr::T(header.build()));
            }
        }
    }
}

/// A sentence in plain text.
fn refuse(operation: &mut Operation, status: &str, when: &str) {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let text = Content::builder().schema(Some(RefOr::T(Schema::Object(text))));
    let response = Response::builder().description(when).content("text/plain", text.build());
    operation.responses.responses.insert(status.to_owned(), RefOr::T(response.build()));
}

/// As it is written.
pub fn description() -> String {
    Described::openapi().to_pretty_json().unwrap() + "\n"
}
