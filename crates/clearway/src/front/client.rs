//! The client of the admin socket, for the subcommands.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use crate::front::api;

/// The longest answer that is read. A status of 50 generations with thousands of sockets has some hundred KiB, what HAProxy counts of ten
/// thousand servers 26 MiB.
const LONGEST_ANSWER: usize = 64 << 20;

/// How long a Clearway may take for anything but a reload: it answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// As long as Clearway may take to answer from memory.
    Briefly,
    /// As long as it takes: a reload.
    AsLongAsItTakes,
}

/// How the Clearway at the other end is, with the answer as it came.
pub async fn status(stream: UnixStream) -> Result<(api::Status, Vec<u8>), Failure> {
    let (status, body) = request(stream, Method::GET, "/status", Wait::Briefly).await?;
    if status == StatusCode::OK {
        Ok((understand(&body)?, body))
    } else {
        Err(refused("/status", status, &body))
    }
}

/// Reads an answer of a running Clearway, which may be of another version.
pub fn understand<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        // The error may quote the answer.
        let cut = |text: &str| text.chars().take(200).collect::<String>();
        let (why, beginning) = (cut(&error.to_string()), cut(&String::from_utf8_lossy(body)));
        let message = format!("the answer of Clearway is not understood ({why}): {beginning}");
        Failure::new(ExitCode::NoInstance, message)
    })
}

/// A request that the Clearway at the other end does not know.
pub fn too_early(name: &str, path: &str) -> Failure {
    let message = format!("{name} is a Clearway of an earlier version, which does not know `{path}`");
    Failure::new(ExitCode::NoInstance, message)
        .hint("this is done by the version that runs: start a newer one")
}

/// An answer that is none: Clearway says that it cannot.
pub fn refused(path: &str, status: StatusCode, body: &[u8]) -> Failure {
    let why = String::from_utf8_lossy(body).trim().chars().take(200).collect::<String>();
    let why = if why.is_empty() { why } else { format!(": {why}") };
    Failure::new(ExitCode::NoInstance, format!("Clearway refused to answer `{path}` ({status}){why}"))
        .hint("its log says why; try again")
}

/// Sends one request and waits for its answer.
pub async fn request(
    stream: UnixStream,
    method: Method,
    path: &str,
    wait: Wait,
) -> Result<(StatusCode, Vec<u8>), Failure> {
    if wait == Wait::AsLongAsItTakes {
        return exchange(stream, method, path).await;
    }
    tokio::time::timeout(PATIENCE, exchange(stream, method, path)).await.unwrap_or_else(|_| {
        let message = format!("Clearway did not answer `{path}` within {} s", PATIENCE.as_secs());
        Err(Failure::new(ExitCode::NoInstance, message)
            .hint("is it stopped (SIGSTOP), or starved of processor time?"))
    })
}

/// Reads an answer to its end.
pub async fn whole(body: Incoming) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(http_body_util::Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes().to_vec())
}

async fn exchange(stream: UnixStream, method: Method, path: &str) -> Result<(StatusCode, Vec<u8>), Failure> {
    let (status, body) = open(stream, method, path).await?;
    Ok((status, whole(body).await.map_err(|error| ended(path, &*error))?))
}

fn ended(path: &str, error: &dyn std::error::Error) -> Failure {
    let message = format!("Clearway has ended before it answered `{path}` ({error})");
    Failure::new(ExitCode::NoInstance, message).hint("its log says how far it came")
}

/// Sends one request and waits for the beginning of its answer; the rest may be read as it comes.
pub async fn open(stream: UnixStream, method: Method, path: &str) -> Result<(StatusCode, Incoming), Failure> {
    let broken = |error: &dyn std::fmt::Display| {
        Failure::new(ExitCode::NoInstance, format!("Clearway did not answer `{path}`: {error}"))
    };
    stream.set_nonblocking(true).map_err(|error| broken(&error))?;
    let stream = tokio::net::UnixStream::from_std(stream).map_err(|error| broken(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // Over when either end is gone, which are the process or Clearway.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "clearway")
        .body(Empty::<Bytes>::new())
        .map_err(|error| broken(&error))?;
    let response = sender.send_request(request).await.map_err(|error| ended(path, &error))?;
    Ok((response.status(), response.into_body()))
}
