//! The grammar: which configurations there are, and which edits of them.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;

use super::model::{Backend, Defaults, Frontend, Model, Server, Template};

/// Options of servers in the file, of each kind one at most.
const OPTIONS: &[&[&str]] = &[
    &["weight 1", "weight 7", "weight 100", "weight 256"],
    &["maxconn 10", "maxconn 200"],
    &["disabled"],
    &["check inter 200ms", "check inter 300ms rise 1 fall 3"],
    &["maxqueue 7"],
    &["send-proxy", "send-proxy-v2"],
    &["on-marked-down shutdown-sessions"],
    &["pool-low-conn 3"],
    &["tos 16"],
    &["source 127.0.0.9"],
    &["observe layer4"],
    &["error-limit 20"],
    &["max-reuse 9"],
    &["pool-max-conn 20"],
    &["pool-purge-delay 9s"],
    &["backup"],
    &["cookie c1", "cookie c2"],
    &["agent-check agent-port 9 agent-inter 1h"],
    &["minconn 3 maxconn 20"],
    &["slowstart 1s"],
];

/// Lines of a section that change what its servers are.
const LINES: &[&[&str]] = &[
    &["balance roundrobin", "balance leastconn", "balance random", "balance static-rr", "balance source"],
    &["hash-type consistent"],
    &["fullconn 500"],
    &["option httpchk GET /", "option tcp-check"],
    &["timeout queue 3s"],
    &["retries 4"],
];

/// Which certificates there are to choose from.
pub(crate) const POOL: usize = 4;

const FILTERS: [&str; 3] = ["", "a.example", "*.b.example !c.b.example"];

/// One edit. Numbers choose, modulo how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    AddServer(usize, usize, Server),
    RemoveServer(usize, usize),
    Rename(usize, usize, u16),
    Address(usize, usize, u8),
    Port(usize, usize),
    Options(usize, usize, Vec<&'static str>),
    DefaultServer(usize, Vec<&'static str>),
    Template(usize, Option<Template>),
    Lines(usize, Vec<&'static str>),
    Move(usize, usize),
    Comment(usize),
    FrontendMaxconn(Option<u32>),
    Maxconn(u32),
    Map(Vec<(String, String)>),
    Patterns(Vec<String>),
    Site(usize),
    List(Vec<(usize, &'static str)>),
    BindOptions(&'static str),
    FinalNewline,
}

/// A configuration, and what is done to it, one step after the other.
pub(crate) fn story(edits: usize) -> impl Strategy<Value = (Model, Vec<Vec<Edit>>)> {
    let step = proptest::collection::vec(edit(), 1..4);
    (model(), proptest::collection::vec(step, edits))
}

/// Of some kinds one each.
fn some_of(kinds: &'static [&'static [&'static str]], often: f64) -> BoxedStrategy<Vec<&'static str>> {
    let each: Vec<_> =
        kinds.iter().map(|kind| proptest::option::weighted(often, select(*kind)).boxed()).collect();
    each.prop_map(|chosen| chosen.into_iter().flatten().collect()).boxed()
}

fn options() -> BoxedStrategy<Vec<&'static str>> {
    Union::new_weighted(vec![
        (3, some_of(OPTIONS.get(..5).unwrap_or_default(), 0.2)),
        (1, some_of(OPTIONS, 0.1)),
    ])
    .prop_filter("two limits of connections", |options| {
        options.iter().filter(|option| option.contains("maxconn")).count() < 2
    })
    .boxed()
}

fn server() -> impl Strategy<Value = Server> {
    (0_u16..30, 1_u8..20, select(vec!["ALIVE", "ALIVE_TOO"]), options())
        .prop_map(|(number, host, port, options)| Server { name: format!("s{number}"), host, port, options })
}

fn template() -> impl Strategy<Value = Option<Template>> {
    proptest::option::weighted(
        0.3,
        (1_usize..6, options()).prop_map(|(count, options)| Template { count, options }),
    )
}

fn defaults() -> impl Strategy<Value = Defaults> {
    let server = some_of(OPTIONS.get(..12).unwrap_or_default(), 0.1);
    (some_of(LINES, 0.1), server).prop_map(|(lines, default_server)| Defaults { lines, default_server })
}

fn backend() -> impl Strategy<Value = Backend> {
    let from = proptest::option::weighted(0.3, Just("named"));
    let servers = proptest::collection::vec(server(), 0..6);
    (from, some_of(LINES, 0.15), some_of(OPTIONS.get(..12).unwrap_or_default(), 0.1), servers, template())
        .prop_map(|(from, lines, default_server, servers, template)| Backend {
            name: String::new(),
            from,
            lines,
            default_server,
            servers,
            template,
            comment: false,
        })
}

fn entries() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec(("/[a-z]{1,8}", "[a-z0-9]{1,8}( [a-z]{1,5})?"), 0..40)
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("/[a-z]{1,8}", 0..40)
}

fn list() -> impl Strategy<Value = Vec<(usize, &'static str)>> {
    let all = proptest::sample::subsequence((0..POOL).collect::<Vec<_>>(), 1..=POOL);
    (all, proptest::collection::vec(select(FILTERS.to_vec()), POOL))
        .prop_map(|(chosen, filters)| chosen.into_iter().zip(filters).collect())
}

fn model() -> impl Strategy<Value = Model> {
    let files = (entries(), patterns(), 0..POOL, list());
    let frontend =
        (proptest::option::of(100_u32..5000), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.3))
            .prop_map(|(maxconn, map, acl, tls)| Frontend { maxconn, map, acl, bind_options: "", tls });
    (1000_u32..3000, defaults(), defaults(), proptest::collection::vec(backend(), 1..4), frontend, files)
        .prop_map(|(maxconn, plain, named, mut backends, frontend, (map, patterns, site, list))| {
            for (number, backend) in backends.iter_mut().enumerate() {
                backend.name = format!("b{number}");
                unique(&mut backend.servers);
            }
            let final_newline = true;
            Model { maxconn, plain, named, backends, frontend, map, patterns, site, list, final_newline }
        })
}

/// Of servers with one name the first.
fn unique(servers: &mut Vec<Server>) {
    let mut names = std::collections::BTreeSet::new();
    servers.retain(|server| names.insert(server.name.clone()));
}

fn edit() -> BoxedStrategy<Edit> {
    let n = || 0_usize..100;
    let weighted: Vec<(u32, BoxedStrategy<Edit>)> = vec![
        (6, (n(), n(), server()).prop_map(|(b, at, server)| Edit::AddServer(b, at, server)).boxed()),
        (4, (n(), n()).prop_map(|(b, s)| Edit::RemoveServer(b, s)).boxed()),
        (2, (n(), n(), 30_u16..60).prop_map(|(b, s, to)| Edit::Rename(b, s, to)).boxed()),
        (4, (n(), n(), 1_u8..20).prop_map(|(b, s, host)| Edit::Address(b, s, host)).boxed()),
        (2, (n(), n()).prop_map(|(b, s)| Edit::Port(b, s)).boxed()),
        (5, (n(), n(), options()).prop_map(|(b, s, options)| Edit::Options(b, s, options)).boxed()),
        (1, (n(), some_of(OPTIONS, 0.1)).prop_map(|(b, options)| Edit::DefaultServer(b, options)).boxed()),
        (2, (n(), template()).prop_map(|(b, template)| Edit::Template(b, template)).boxed()),
        (1, (n(), some_of(LINES, 0.2)).prop_map(|(b, lines)| Edit::Lines(b, lines)).boxed()),
        (1, (n(), n()).prop_map(|(b, s)| Edit::Move(b, s)).boxed()),
        (1, n().prop_map(Edit::Comment).boxed()),
        (2, proptest::option::of(100_u32..5000).prop_map(Edit::FrontendMaxconn).boxed()),
        (1, (500_u32..3000).prop_map(Edit::Maxconn).boxed()),
        (3, entries().prop_map(Edit::Map).boxed()),
        (3, patterns().prop_map(Edit::Patterns).boxed()),
        (2, (0..POOL).prop_map(Edit::Site).boxed()),
        (2, list().prop_map(Edit::List).boxed()),
        (1, select(vec!["", "maxconn 50", "name x"]).prop_map(Edit::BindOptions).boxed()),
        (1, Just(Edit::FinalNewline).boxed()),
    ];
    Union::new_weighted(weighted).boxed()
}

impl Edit {
    /// Does it.
    pub(crate) fn to(&self, model: &mut Model) {
        match self.clone() {
            Self::FrontendMaxconn(maxconn) => model.frontend.maxconn = maxconn,
            Self::Maxconn(maxconn) => model.maxconn = maxconn,
            Self::Map(map) => model.map = map,
            Self::Patterns(patterns) => model.patterns = patterns,
            Self::Site(site) => model.site = site,
            Self::List(list) => model.list = list,
            Self::BindOptions(options) => model.frontend.bind_options = options,
            Self::FinalNewline => model.final_newline = !model.final_newline,
            Self::AddServer(b, ..)
            | Self::RemoveServer(b, _)
            | Self::Rename(b, ..)
            | Self::Address(b, ..)
            | Self::Port(b, _)
            | Self::Options(b, ..)
            | Self::DefaultServer(b, _)
            | Self::Template(b, _)
            | Self::Lines(b, _)
            | Self::Move(b, _)
            | Self::Comment(b) => {
                let backends = model.backends.len();
                if let Some(backend) = model.backends.get_mut(b % backends) {
                    self.to_backend(backend);
                }
            }
        }
    }

    fn to_backend(&self, backend: &mut Backend) {
        let servers = &mut backend.servers;
        let count = servers.len().max(1);
        match self.clone() {
            Self::AddServer(_, at, server) => {
                // At the end as a rule, as people do it.
                let at = if at % 4 == 0 { at % (servers.len() + 1) } else { servers.len() };
                servers.insert(at, server);
                unique(servers);
            }
            Self::RemoveServer(_, s) if !servers.is_empty() => drop(servers.remove(s % count)),
            Self::Rename(_, s, to) => {
                if let Some(server) = servers.get_mut(s % count) {
                    server.name = format!("s{to}");
                }
                unique(servers);
            }
            Self::Address(_, s, host) => {
                if let Some(server) = servers.get_mut(s % count) {
                    server.host = host;
                }
            }
            Self::Port(_, s) => {
                if let Some(server) = servers.get_mut(s % count) {
                    server.port = if server.port == "ALIVE" { "ALIVE_TOO" } else { "ALIVE" };
                }
            }
            Self::Options(_, s, options) => {
                if let Some(server) = servers.get_mut(s % count) {
                    server.options = options;
                }
            }
            Self::DefaultServer(_, options) => backend.default_server = options,
            Self::Template(_, template) => backend.template = template,
            Self::Lines(_, lines) => backend.lines = lines,
            Self::Move(_, s) if !servers.is_empty() => {
                let server = servers.remove(s % count);
                servers.push(server);
            }
            Self::Comment(_) => backend.comment = !backend.comment,
            _ => {}
        }
    }
}
