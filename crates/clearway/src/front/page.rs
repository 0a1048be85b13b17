//! `GET /`: one page on which a person sees what has happened, why, and what it cost.
//!
//! Owns the way from what `/v1/status`, `/v1/reloads` and `/v1/servers` answer to HTML. The server renders the present state, so the page
//! is whole without JavaScript; its script only asks for the page again when something happens, and changes what is
//! different. Nothing comes from elsewhere, which a Content-Security-Policy with a nonce holds, and every text is escaped
//! ([`html`]): names come from the user's file, sentences from HAProxy. Decides nothing, and changes nothing: it has no button.

use std::time::SystemTime;

use clearway_core::supervisor::Phase;

use crate::front::api::{Reloads, ServerList, SocketList, Status};
use html::Html;

mod cost;
mod failure;
mod generations;
mod history;
mod html;
mod now;
mod parts;
mod tables;
mod timeline;

/// The page without what is known only when it is asked for.
const TEMPLATE: &str = include_str!("page/index.html");

/// What is not known if there is no name.
const PRIVATE: &str = "private instance";

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub struct PageContent<'a> {
    /// How this Clearway is.
    pub status: &'a Status,
    /// What has happened.
    pub past: &'a Reloads,
    /// The servers.
    pub servers: &'a ServerList,
    /// The listening sockets.
    pub sockets: &'a SocketList,
    /// The time of day.
    pub now: SystemTime,
}

impl PageContent<'_> {
    /// The page. `nonce`: what its script and its style are known by, new each time.
    pub fn render(&self, nonce: &str) -> String {
        let now = humantime::format_rfc3339_seconds(self.now).to_string();
        fill(TEMPLATE, |name| match name {
            "nonce" => nonce.into(),
            "now" => parts::time_of_day(&now).into(),
            "title" => self.title().into(),
            "head" => self.head(),
            "main" => self.main(),
            "foot" => foot(),
            _ => Html::default(),
        })
    }

    /// In the browser's tab: what is wrong comes first.
    fn title(&self) -> String {
        let instance = self.status.instance.as_deref().unwrap_or(PRIVATE);
        let failed = self.status.last_attempt.as_ref().is_some_and(|last| last.failure.is_some());
        let wrong =
            if failed && self.status.state == Phase::Serving { ", the last reload failed" } else { "" };
        format!("{}{wrong}: Clearway {instance}", self.status.state)
    }

    fn head(&self) -> Html {
        let Status { version, pid, instance, haproxy, strategy, .. } = self.status;
        let instance = instance.as_deref().unwrap_or(PRIVATE);
        let haproxy = haproxy.as_deref().unwrap_or("of an unknown version");
        let facts = format!("Clearway {version}, pid {pid}, HAProxy {haproxy}, strategy {strategy}");
        Html::of("h1", format!("Clearway {instance}")).then(Html::tag(
            "p",
            &[("class", "small faint")],
            facts,
        ))
    }

    fn main(&self) -> Html {
        let Self { status, past, servers, sockets, now } = self;
        now::section(status, past)
            .then(failure::section(status, past, *now))
            .then(generations::section(status, past, *now))
            .then(history::section(past, *now))
            .then(tables::servers(servers))
            .then(tables::sockets(sockets, status))
            .then(tables::programs(status))
    }
}

/// Where the same is for programs.
fn foot() -> Html {
    let links = [("v1/status", "status"), ("v1/reloads", "reloads"), ("metrics", "metrics")];
    let links = links.map(|(to, name)| Html::tag("a", &[("href", to)], name).then(" "));
    Html::of("p", Html::from("The same for programs: ").then(links.into_iter().collect::<Html>()))
}

/// The template with its blanks filled in. What is filled in is not looked at again.
fn fill(template: &'static str, mut part: impl FnMut(&str) -> Html) -> String {
    let mut pieces = template.split("{{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        filled += &part(name).into_string();
        filled += rest;
    }
    filled
}

/// What the browser is told beside the page: nothing is loaded from elsewhere, nothing is kept, nothing frames it.
pub fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests;
