//! Any bytes as what a client of the admin socket writes, and as the table in which the subcommands look for one.

use std::future::{IntoFuture, pending};
use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use crate::front::api::{EndOf, Ended, Reloads};
use crate::front::request::{Health, Request, Wishes};
use crate::front::{admin, find};

/// How much may be on its way; more than any input has.
const ROOM: usize = 1 << 20;

/// Never reached: an answer needs nothing but this thread.
const LIMIT: Duration = Duration::from_secs(5);

/// How often everything else has its turn before the client goes.
const TURNS: usize = 64;

/// The bytes of one connection.
pub(crate) fn admin_requests(data: &[u8]) {
    let is_changed = changes_something(data, admin::router);
    // Such as a page of a browser, or a proxy that looks ahead, may send.
    let has_post = data.windows(4).any(|word| word == b"POST");
    assert!(has_post || !is_changed, "{:?}", String::from_utf8_lossy(data));
    for line in String::from_utf8_lossy(data).lines() {
        let _ = crate::tell::metrics::text::MetricsFormat::accepted(line);
    }
}

/// Gives the bytes to what serves these paths, and tells whether the loop is asked for a change.
pub(in crate::front) fn changes_something(data: &[u8], router: impl FnOnce(Wishes) -> Router) -> bool {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return false };
    let (is_changed, answer) = runtime.block_on(converse(data, router));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
    is_changed
}

/// Whether it is more than a question.
fn changes(request: &Request) -> bool {
    let is_question = matches!(
        request,
        Request::Status(_)
            | Request::Reloads(_)
            | Request::Alive(_)
            | Request::Health(_)
            | Request::Ready(_)
            | Request::Sockets(_)
            | Request::Servers(_)
            | Request::Metrics(..)
            | Request::Sessions(..)
            | Request::Processes(_)
            | Request::StartupLogs(_)
    );
    !is_question
}

/// A listener at which one client arrives.
struct OneClient(Option<DuplexStream>);

impl Listener for OneClient {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(client) => (client, ()),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes of it: whether the loop is asked for a change, and what the client gets.
async fn converse(data: &[u8], router: impl FnOnce(Wishes) -> Router) -> (bool, Vec<u8>) {
    let (wishes, mut requests) = mpsc::channel(64);
    let (client, server) = duplex(ROOM);
    let serving = axum::serve(OneClient(Some(server)), router(wishes));
    let serving = tokio::spawn(serving.into_future());
    let talk = async {
        let (mut from, mut to) = split(client);
        let _ = to.write_all(data).await;
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let _ = to.shutdown().await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(LIMIT, from.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection does not end");
        answer
    };
    tokio::pin!(talk);
    let mut is_changed = false;
    let answer = loop {
        tokio::select! {
            answer = &mut talk => break answer,
            Some(request) = requests.recv() => {
                is_changed |= changes(&request);
                answer_to(request);
            }
        }
    };
    serving.abort();
    (is_changed, answer)
}

/// Gives an answer where one is easily made. The others hear that this Clearway ends.
fn answer_to(request: Request) {
    let refused = EndOf::Refused { message: "no".to_owned(), hint: "wait".to_owned() };
    match request {
        Request::Alive(answer) => drop(answer.send(())),
        Request::Health(answer) => drop(answer.send(Health::Serving)),
        Request::Reloads(answer) => drop(answer.send(Reloads { reloads: Vec::new(), forgotten: 1 })),
        Request::Ended(answer) => drop(answer.send(Ended { code: 0 })),
        Request::Sessions(_, answer) => drop(answer.send(Err(refused))),
        Request::End(_, answer) => drop(answer.send(refused)),
        _ => {}
    }
}

/// Names of sockets in `/proc/net/unix`.
pub(crate) fn unix_sockets(table: &str) {
    for name in find::abstract_names(table) {
        assert!(table.contains(&name) && crate::peers::names::is_our_name(&name));
    }
}
