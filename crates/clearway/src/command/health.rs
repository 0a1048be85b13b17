//! `clearway health`: for HEALTHCHECK and probes.

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use hyper::{Method, StatusCode};

use crate::front::client::{self, Wait};
use crate::front::find::{self, Target};

/// Whether all is well in this container, which is all that a probe wants to know: a generation serves, or sessions finish
/// as planned after a takeover. Another container of the same name answers for itself.
pub async fn health(target: Target) -> Result<ExitCode, Failure> {
    let found = find::find_any(&target).await?;
    let (is_well, says) = if found.is_here() {
        let (status, body) = client::request(found.stream, Method::GET, "/health", Wait::Briefly).await?;
        (status == StatusCode::OK, String::from_utf8_lossy(&body).trim().to_owned())
    } else {
        (false, format!("not serving here: {} belongs to another container", found.name))
    };
    if target.json {
        let answer = if says == "serving" {
            serde_json::json!({ "serving": true, "healthy": true })
        } else {
            serde_json::json!({ "serving": false, "healthy": is_well, "reason": says })
        };
        crate::say!("{answer}");
    } else {
        crate::say!("{says}");
    }
    Ok(if is_well { ExitCode::Done } else { ExitCode::NotServing })
}
