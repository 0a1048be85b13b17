//! `GET /v1/servers`: each server, as HAProxy, the files and the canary have it.

use std::collections::HashMap;

use clearway_haproxy::configuration::Configuration;
use clearway_haproxy::runtime::state::{self, ServerState};
use tokio::sync::oneshot;

use crate::front::api::{ServerList, ServerStatus};
use crate::front::view::View;
use crate::ground::aside;
use crate::path::canary::SeenByCanary;

/// How many servers are listed.
const MOST: usize = 10_000;

impl View<'_> {
    /// Lists the servers of the generation that serves, on a thread of its own: HAProxy is asked, for 2 s at most. What was
    /// known before counts if it does not answer.
    pub fn list_servers(&self, sender: oneshot::Sender<ServerList>) {
        let question = self.fleet.question();
        let seen = self.path.seen_by_canary();
        aside::spawn("listing the servers", move || {
            let asked = question.asked();
            let age_seconds = match (&asked, &question.known) {
                (None, Some(known)) => Some(known.taken.elapsed().as_secs()),
                _ => None,
            };
            let seen: HashMap<&str, &SeenByCanary> =
                seen.iter().map(|one| (one.address.as_str(), one)).collect();
            let files = question.serving().map(|(_, files)| files);
            let known = asked.as_ref().or(question.known.as_ref());
            let rows = known.into_iter().flat_map(|known| known.servers.servers());
            let servers = rows.take(MOST).map(|(row, _)| server(&row, files, &seen)).collect();
            let count = known.map_or(0, |known| known.servers.count());
            let _ = sender.send(ServerList { servers, left_out: count.saturating_sub(MOST), age_seconds });
        });
    }
}

fn server(
    row: &ServerState<'_>,
    files: Option<&Configuration>,
    seen: &HashMap<&str, &SeenByCanary>,
) -> ServerStatus {
    let line = files.and_then(|files| files.servers.find(row.proxy, row.name));
    let address = row.endpoint().map(|address| address.to_string());
    let transparent = files.is_some_and(|files| files.servers.is_transparent(row.proxy, row.name));
    let canary = address.as_deref().filter(|_| transparent).and_then(|address| seen.get(address));
    ServerStatus {
        backend: row.proxy.to_owned(),
        name: row.name.to_owned(),
        health: health(row).to_owned(),
        admin: row.admin().word().to_owned(),
        checked: row.checked(),
        weight: row.weight,
        transparent,
        canary: canary.map(|one| (*one).clone()),
        line: line.map(|line| line.span.to_string()),
        address,
    }
}

fn health(row: &ServerState<'_>) -> &'static str {
    match row.operation {
        state::STOPPED => "down",
        state::RUNNING => "up",
        state::STOPPING => "stopping",
        _ => "starting",
    }
}
