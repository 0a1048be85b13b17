//! Servers, listening sockets and programs, as they are now.

use clearway_core::count::Count;
use clearway_core::strategy::Means;
use clearway_kernel::canary::CanaryVerdict;

use super::html::Html;
use super::parts::{self, ResultMark};
use crate::front::api::{ProgramStatus, ServerList, ServerStatus, SocketInCustody, SocketList, Status};
use crate::path::canary::SeenByCanary;

/// How many rows are shown.
const SHOWN: usize = 100;

/// The servers: those first with which something is wrong.
pub fn servers(list: &ServerList) -> Html {
    let mut all: Vec<&ServerStatus> = list.servers.iter().collect();
    all.sort_by_key(|server| !is_wrong(server));
    let age = list.age_seconds.map(|age| {
        let words = format!("HAProxy does not answer now; this is as known {} ago.", parts::roughly(age));
        Html::tag("p", &[("class", "warn")], words)
    });
    let inside = if all.is_empty() {
        Html::tag("p", &[("class", "faint")], "None that is known.")
    } else {
        let rows = all.iter().take(SHOWN).map(|server| server_row(server)).collect::<Html>();
        let headings = ["Server", "Address", "HAProxy's health", "Canary", "~Line"];
        let more = parts::and_more(all.len() + list.left_out, SHOWN.min(all.len()), "v1/servers");
        parts::table("Servers", &headings, Html::of("tbody", rows)).then(more)
    };
    parts::section("servers", "", "Servers", Html::from(age).then(inside))
}

fn is_wrong(server: &ServerStatus) -> bool {
    let is_broken = server.canary.as_ref().is_some_and(|seen| seen.verdict == CanaryVerdict::Broken);
    is_broken || server.health != "up" || server.admin != "ready"
}

fn server_row(server: &ServerStatus) -> Html {
    let ServerStatus { backend, name, address, canary, line, .. } = server;
    let row = parts::row_heading(Html::tag("span", &[("class", "name")], format!("{backend}/{name}")))
        .then(parts::cell("name", address.as_deref().unwrap_or("not resolved")))
        .then(parts::cell("", health(server)))
        .then(parts::cell("", verdict(server, canary.as_ref())))
        .then(parts::cell("wide name", line.as_deref().unwrap_or("")));
    Html::of("tr", row)
}

fn health(server: &ServerStatus) -> Html {
    let mark = match server.health.as_str() {
        "up" => ResultMark::TOOK,
        "down" => ResultMark::REFUSED,
        _ => ResultMark::LOOK,
    };
    let admin = (server.admin != "ready").then(|| Html::from(" ").then(ResultMark::LOOK.with(&server.admin)));
    let unchecked = (server.checked != Some(true)).then_some(" (not checked)");
    mark.with(&server.health)
        .then(unchecked.map(|words| Html::tag("span", &[("class", "faint")], words)))
        .then(admin)
}

fn verdict(server: &ServerStatus, seen: Option<&SeenByCanary>) -> Html {
    let Some(SeenByCanary { verdict, words, hints, .. }) = seen else {
        let words = if server.transparent { "not asked yet" } else { "sees the balancer's address" };
        return Html::tag("span", &[("class", "faint")], words);
    };
    let mark = match verdict {
        CanaryVerdict::Works => ResultMark::TOOK,
        CanaryVerdict::Broken => ResultMark::REFUSED,
        CanaryVerdict::Down | CanaryVerdict::Unknown => ResultMark::LOOK,
    };
    let word = mark.with(&verdict.to_string());
    if *verdict == CanaryVerdict::Works {
        return word;
    }
    word.then(" ").then(words).then(parts::list(hints))
}

/// The listening sockets, with how many clients wait, and how their clients came to the generation that serves.
pub fn sockets(list: &SocketList, status: &Status) -> Html {
    let inside = if list.sockets.is_empty() {
        Html::tag("p", &[("class", "faint")], "Clearway holds none.")
    } else {
        let rows = list.sockets.iter().take(SHOWN).map(|socket| socket_row(socket, status)).collect::<Html>();
        let headings = ["Address", "Clients that wait", "Last attempt", "~Inode"];
        let more = parts::and_more(list.sockets.len(), SHOWN, "v1/sockets");
        parts::table("Listening sockets", &headings, Html::of("tbody", rows)).then(more)
    };
    let redirected = (!list.redirected.is_empty())
        .then(|| Html::of("h3", "Redirected to private ports").then(parts::list(&list.redirected)));
    parts::section("sockets", "", "Listening sockets", inside.then(redirected))
}

fn socket_row(socket: &SocketInCustody, status: &Status) -> Html {
    let SocketInCustody { address, inode, waiting, limit } = socket;
    let waiting = match (waiting, limit) {
        (Some(waiting), Some(limit)) => format!("{waiting} of at most {limit}"),
        (Some(waiting), None) => waiting.to_string(),
        (None, _) => "the kernel does not tell".to_owned(),
    };
    let moved = status.last_attempt.iter().flat_map(|last| &last.moved).find(|one| one.address == *address);
    let moved = match moved.map(|moved| moved.by) {
        Some(Means::Nothing) => ResultMark::LOOK.with("clients may have been reset"),
        Some(by) => format!("moved by {by}").into(),
        None => "".into(),
    };
    let row = parts::row_heading(Html::tag("span", &[("class", "name")], address))
        .then(parts::cell("", waiting))
        .then(parts::cell("", moved))
        .then(parts::cell("wide number", inode.to_string()));
    Html::of("tr", row)
}

/// The programs, if there are any.
pub fn programs(status: &Status) -> Option<Html> {
    let row = |ProgramStatus { name, state, pid, seconds }: &ProgramStatus| {
        let mark = if state == "running" { ResultMark::TOOK } else { ResultMark::LOOK };
        let row = parts::row_heading(name)
            .then(parts::cell("", mark.with(state)))
            .then(parts::cell("", seconds.map(parts::roughly).unwrap_or_default()))
            .then(parts::cell("number", pid.map(|pid| pid.to_string()).unwrap_or_default()));
        Html::of("tr", row)
    };
    let rows = status.programs.iter().take(SHOWN).map(row).collect::<Html>();
    let table = parts::table("Programs", &["Program", "State", "For", "Process"], Html::of("tbody", rows));
    let number = status.programs.len();
    let heading = Count(number, "program").to_string();
    (number > 0).then(|| parts::section("programs", "", &heading, table))
}
