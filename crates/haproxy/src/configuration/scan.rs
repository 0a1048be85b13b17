//! The walk through the lines: which section, which keyword, what to keep.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::address::{Endpoint, Transport};
use super::backlog::{Backlog, BacklogFinder, BindLimits};
use super::binds::{Bind, StatsSocket, V6};
use super::content::Configuration;
use super::environment::Variables;
use super::global::{Fighting, GlobalSetting};
use super::guards::Blocks;
use super::logs::LogTarget;
use super::references::lines::ReferenceFinder;
use super::servers::{ServerFinder, UsesrcLine};
use super::span::{Section, Span};
use super::stated::StatedFinder;
use super::words::words;

/// The keywords that begin a section in some HAProxy from 2.4 to 3.5 (`REGISTER_CONFIG_SECTION`).
const SECTIONS: [&str; 24] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "spoe-agent",
    "spoe-group",
    "spoe-message",
    "traces",
    "userlist",
];

/// Whether a word begins a section.
pub(crate) fn is_section(word: &str) -> bool {
    SECTIONS.contains(&word)
}

/// Reads file after file; a section goes on in the next file until another begins.
pub(super) struct Scanner<'a> {
    environment: Variables<'a>,
    blocks: Blocks,
    section: Option<Arc<Section>>,
    references: ReferenceFinder,
    backlogs: BacklogFinder,
    servers: ServerFinder,
    stated: StatedFinder,
    found: Configuration,
}

impl<'a> Scanner<'a> {
    /// `start`: where HAProxy is started, if it is not where we are.
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>, start: Option<&Path>) -> Self {
        Self {
            environment: Variables::new(lookup),
            blocks: Blocks::default(),
            section: None,
            references: ReferenceFinder::new(start),
            backlogs: BacklogFinder::default(),
            servers: ServerFinder::default(),
            stated: StatedFinder::default(),
            found: Configuration::default(),
        }
    }

    pub(super) fn file(&mut self, name: &Path, bytes: &[u8]) {
        let file: Arc<PathBuf> = Arc::new(name.to_path_buf());
        self.references.file(name);
        self.environment.file(bytes.len());
        for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
            self.line(Span { file: Arc::clone(&file), line: index + 1 }, line);
        }
        self.blocks.end_of_file();
    }

    pub(super) fn finish(self) -> Configuration {
        let ((environment, variables), references) =
            (self.environment.into_changes(), self.references.into_references());
        let mut found = self.found;
        for (bind, backlog) in found.binds.iter_mut().zip(self.backlogs.into_backlogs()) {
            bind.backlog = backlog;
        }
        let (servers, stated) = (self.servers.into_servers(), self.stated.into_servers());
        Configuration { servers, stated, references, environment, variables, ..found }
    }

    fn line(&mut self, span: Span, line: &[u8]) {
        let words = words(line, &self.environment);
        let Some(keyword) = words.first() else { return };
        if self.blocks.take(&words) {
            return;
        }
        if is_section(keyword) {
            let name = words.get(1).cloned().unwrap_or_default();
            let section = Arc::new(Section { keyword: keyword.clone(), name, span });
            self.found.sections.push(Arc::clone(&section));
            self.found.programs.section(&section, self.blocks.current());
            self.servers.section(&section, &words);
            self.stated.section(&words, self.blocks.current());
            self.section = Some(section);
            self.references.section();
            self.backlogs.section(&words, self.blocks.current());
            return;
        }
        let Some(section) = self.section.clone() else { return };
        self.stated.line(&words, &self.blocks.current());
        self.found.tables.line(&section, &words);
        self.references.line(&span, &section.keyword, &words);
        self.backlogs.line(&words, &self.blocks.current());
        self.found.programs.line(&span, &section, &words, self.blocks.current());
        match (section.keyword.as_str(), keyword.as_str()) {
            (_, "log") => {
                let target = self.environment.expand(word(&words, 1));
                self.found.log_targets.extend(LogTarget::new(span, &target, self.blocks.current()));
            }
            ("global", _) => self.global(span, &words),
            (_, "bind") => self.bind(span, section, &words, Transport::Tcp),
            (_, "dgram-bind") => self.bind(span, section, &words, Transport::Udp),
            (_, "default_backend" | "use_backend") => self.found.routes.line(&section.name, &words),
            (_, "source" | "server" | "server-template" | "default-server") => {
                self.source(span, section, line, &words);
            }
            _ => {}
        }
    }

    fn global(&mut self, span: Span, words: &[String]) {
        let guards = self.blocks.current();
        if self.environment.apply(words, !guards.is_empty()) {
            return;
        }
        let word = |index: usize| words.get(index).map_or("", String::as_str);
        let (keyword, value) = (word(0), words.get(1..).unwrap_or_default().join(" "));
        self.found.fighting.extend(Fighting::new(keyword, &span, &value, &guards));
        match (keyword, word(1)) {
            ("stats", "socket") => {
                let endpoints = Endpoint::list(&self.environment.expand(word(2)), Transport::Tcp);
                let exposes_listeners = words.windows(2).any(|pair| pair == ["expose-fd", "listeners"]);
                self.found.stats_sockets.push(StatsSocket { span, endpoints, exposes_listeners, guards });
            }
            ("stats", "maxconn") => {
                let value = word(2).to_owned();
                self.found.global.stats_maxconn = Some(GlobalSetting { span, value, guards });
            }
            ("pidfile", file) => {
                let value = self.environment.expand(file);
                self.found.global.pid_files.push(GlobalSetting { span, value, guards });
            }
            ("stats-file", file) => {
                let value = self.environment.expand(file);
                self.found.global.stats_files.push(GlobalSetting { span, value, guards });
            }
            _ => {
                if let Some(slot) = self.found.global.slot(keyword) {
                    *slot = Some(GlobalSetting { span, value, guards });
                }
            }
        }
    }

    fn bind(&mut self, span: Span, section: Arc<Section>, words: &[String], usual: Transport) {
        let address = words.get(1).map_or("", String::as_str);
        let mut bind = Bind {
            span,
            section,
            endpoints: Endpoint::list(&self.environment.expand(address), usual),
            transparent: false,
            v6: V6::Unsaid,
            interface: None,
            namespace: None,
            backlog: Backlog::Unknown,
            guards: self.blocks.current(),
        };
        let mut limits = BindLimits::default();
        let mut options = words.iter().skip(2);
        while let Some(option) = options.next() {
            match option.as_str() {
                "transparent" => bind.transparent = true,
                "v6only" => bind.v6 = V6::Only,
                "v4v6" => bind.v6 = V6::Both,
                "interface" => bind.interface = options.next().cloned(),
                "namespace" => bind.namespace = options.next().cloned(),
                word @ ("backlog" | "maxconn") => {
                    limits.take(word, options.next().map_or("", String::as_str));
                }
                // Its value may be any word.
                "name" => {
                    options.next();
                }
                _ => {}
            }
        }
        self.backlogs.bind(limits);
        self.found.binds.push(bind);
    }

    /// `source ADDRESS [interface X] [usesrc WHAT]`, alone or among the options of a server; and the server.
    fn source(&mut self, span: Span, section: Arc<Section>, line: &[u8], words: &[String]) {
        // A server's name and address come first and may be any word.
        let options = match words.first().map(String::as_str) {
            Some("server") => 3,
            Some("server-template") => 4,
            Some("default-server") => 1,
            _ => 0,
        };
        let options = words.get(options..).unwrap_or_default();
        let after = options.iter().position(|word| word == "source").and_then(|at| options.get(at + 1..));
        let uses = after.and_then(|after| after.iter().position(|word| word == "usesrc"));
        let said = after.map(|_| uses.is_some());
        let guards = self.blocks.current();
        match (words.first().map(String::as_str), said) {
            (Some("source"), Some(said)) => self.servers.source(said, !guards.is_empty()),
            (Some("default-server"), Some(said)) => self.servers.default_server(said, !guards.is_empty()),
            (Some("server"), own) => {
                self.servers.server(&span, words, &self.environment.expand(word(words, 2)), own);
            }
            (Some("server-template"), own) => {
                self.servers.server(&span, words, &self.environment.expand(word(words, 3)), own);
            }
            _ => {}
        }
        let (Some(after), Some(uses)) = (after, uses) else { return };
        self.found.transparent.push(UsesrcLine {
            span,
            section,
            text: String::from_utf8_lossy(line).trim().to_owned(),
            source: after.first().filter(|_| uses > 0).cloned().unwrap_or_default(),
            uses: after.get(uses + 1).cloned().unwrap_or_default(),
            guards,
        });
    }
}

fn word(words: &[String], index: usize) -> &str {
    words.get(index).map_or("", String::as_str)
}
