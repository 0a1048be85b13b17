use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::*;

const EVIL: &str = "</pre><script>alert(1)</script>\" onload='x' {{nonce}} &amp;";

/// What a page is made of.
struct Shown {
    status: Status,
    past: Reloads,
    servers: ServerList,
    sockets: SocketList,
}

impl Shown {
    fn page(&self) -> String {
        let Self { status, past, servers, sockets } = self;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_041_801);
        PageContent { status, past, servers, sockets, now }.render("NONCE")
    }
}

fn entry(id: u64, event: &str, result: &str, more: &Value) -> Value {
    let mut entry = json!({
        "id": id, "at": "2026-11-30T12:24:58.123456Z", "event": event, "result": result, "generation": id, "seconds": 0.4,
        "by": ["SIGHUP"], "steps": {"prepare": 0.1, "prove": 0.3},
    });
    for (name, value) in more.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry
}

fn failure() -> Value {
    json!({
        "code": 65, "message": format!("HAProxy did not start: {EVIL}"),
        "words": {"number": 3, "first": ["[ALERT] (7) : config : parsing [h.cfg:5] : unknown keyword", EVIL]},
        "lines": {"number": 1, "first": [format!("h.cfg:5: {EVIL}")]},
        "hints": {"number": 1, "first": [EVIL]},
    })
}

/// With something in every place, and what is evil wherever it comes from elsewhere.
fn full() -> Shown {
    let moved = json!([{"by": "handoff", "addresses": {"number": 30, "first": [EVIL]}}]);
    let sockets = json!({"moved": moved, "new": {"number": 1, "first": [EVIL]}});
    let reloads = [
        entry(1, "start", "took", &json!({"by": []})),
        entry(
            2,
            "reload",
            "took",
            &json!({"sockets": sockets, "carried": {"set": {"number": 1, "first": [EVIL]}}}),
        ),
        entry(3, "reload", "refused", &json!({"failure": failure(), "ended": EVIL, "by": [EVIL]})),
        entry(
            4,
            "crash",
            "crashed",
            &json!({"generation": 2, "seconds": null, "steps": null, "ended": EVIL}),
        ),
        entry(5, "restart", "took", &json!({})),
        entry(6, "takeover", "superseded", &json!({"generation": null})),
        entry(7, "takeover", "undone", &json!({"generation": null})),
        entry(8, "reload", "failed", &json!({"failure": failure()})),
    ];
    let status = json!({
        "version": "0.1.0", "pid": 7, "instance": "web", "state": "serving", "haproxy": EVIL, "crashes_in_a_row": 0,
        "generations": [
            {"generation": 2, "state": "draining", "master": 8, "worker": 9, "seconds": 70, "sessions": 3, "memory": 4_000_000},
            {"generation": 5, "state": "serving", "master": 18, "worker": 19, "seconds": 7, "sessions": null, "memory": null},
            {"generation": 9, "state": "starting", "master": 28, "worker": null, "seconds": null, "sessions": null, "memory": null},
        ],
        "programs": [{"name": EVIL, "state": "running", "pid": 3, "seconds": 7}],
        "last_attempt": {"generation": 8, "failure": {"code": 65, "message": EVIL, "words": [], "hints": []}, "seconds_ago": 3,
                         "moved": [{"address": "0.0.0.0:80", "by": "nothing"}]},
        "custody": ["0.0.0.0:80"], "plumbing": null, "strangers": [EVIL], "configuration": {"same": false, "words": EVIL},
    });
    let seen = |verdict: &str| json!({"address": EVIL, "verdict": verdict, "words": EVIL, "hints": [EVIL]});
    let server = |name: &str, health: &str, canary: Value| {
        json!({"backend": "b", "name": name, "address": EVIL, "health": health, "admin": "ready", "checked": true, "weight": 1,
               "transparent": true, "canary": canary, "line": EVIL})
    };
    let servers = [
        server("fine", "up", seen("works")),
        server(EVIL, "up", seen("broken")),
        server("gone", "down", Value::Null),
        server("odd", EVIL, seen("unknown")),
    ];
    let sockets = [
        json!({"address": "0.0.0.0:80", "inode": 7, "waiting": 1, "limit": 128}),
        json!({"address": EVIL, "inode": 8, "waiting": null, "limit": null}),
    ];
    Shown {
        status: serde_json::from_value(status).unwrap(),
        past: serde_json::from_value(json!({"reloads": reloads})).unwrap(),
        servers: serde_json::from_value(json!({"servers": servers, "left_out": 3, "age_seconds": 9}))
            .unwrap(),
        sockets: serde_json::from_value(json!({"sockets": sockets, "redirected": [EVIL]})).unwrap(),
    }
}

/// Before anything has happened.
fn empty() -> Shown {
    let status = json!({
        "version": "0.1.0", "pid": 7, "instance": null, "state": "starting", "haproxy": null, "crashes_in_a_row": 0,
        "generations": [], "last_attempt": null, "custody": [], "plumbing": null,
    });
    Shown {
        status: serde_json::from_value(status).unwrap(),
        past: serde_json::from_value(json!({"reloads": []})).unwrap(),
        servers: serde_json::from_value(json!({"servers": [], "left_out": 0, "age_seconds": null})).unwrap(),
        sockets: serde_json::from_value(json!({"sockets": [], "redirected": []})).unwrap(),
    }
}

/// The values of an attribute.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn what_is_served_from_the_binary_is_below_60_kb_and_names_no_other_host() {
    assert!(TEMPLATE.len() < 60_000, "{} bytes", TEMPLATE.len());
    for page in [full().page(), empty().page()] {
        for scheme in ["http:", "https:", "//", "@import", "url("] {
            let found = page.matches(scheme).count();
            let allowed = match scheme {
                // Comments of the script, and the pattern of the same page.
                "//" => page.matches("\n// ").count() + page.matches("  // ").count(),
                "url(" => page.matches("url(#hatch)").count(),
                _ => 0,
            };
            assert_eq!(found, allowed, "{scheme}");
        }
        assert!(!page.contains("style=") && !page.contains("onclick"), "a policy with a nonce forbids these");
    }
    let text = full().page();
    assert!(text.len() < 60_000, "{} bytes with a state", text.len());
}

#[test]
fn nothing_that_comes_from_elsewhere_is_markup() {
    let page = full().page();
    assert_eq!(page.matches("<script").count(), 1, "only its own script");
    assert!(!page.contains("alert(1)</script>") && !page.contains("onload='"), "it is not escaped");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("{{nonce}}"), "what is filled in is not looked at again");
    assert_eq!(page.matches("NONCE").count(), 2, "the nonce is known to its own script and style only");
    assert!(page.matches(" onload=&#39;x&#39;").count() > 15, "something of it is not shown");
}

#[test]
fn every_element_that_has_a_name_by_another_finds_it_and_no_id_is_twice() {
    for page in [full().page(), empty().page()] {
        let ids = values(&page, "id");
        let unique: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{ids:?}");
        for label in values(&page, "aria-labelledby") {
            assert!(unique.contains(label), "nothing has the id {label}");
        }
        for link in values(&page, "href").into_iter().filter_map(|link| link.strip_prefix('#')) {
            assert!(unique.contains(link), "a link leads to {link}, which is not there");
        }
        assert_eq!(page.matches("<section ").count(), page.matches("-heading\">").count() / 2);
        assert_eq!(page.matches("<th>").count(), 0, "each heading says of what");
        assert_eq!(
            page.matches("role=\"region\" tabindex=\"0\"").count(),
            values(&page, "role").iter().filter(|role| **role == "region").count()
        );
        for element in ["<main", "<header", "<footer", "<h1", "role=\"status\"", "lang=\"en\""] {
            assert_eq!(page.matches(element).count(), 1, "{element}");
        }
    }
}

#[test]
fn the_elements_that_are_opened_are_closed_in_order() {
    for page in [full().page(), empty().page()] {
        let mut open: Vec<&str> = Vec::new();
        let body = page.split_once("<script").unwrap().0.split_once("<body>").unwrap().1;
        for piece in body.split('<').skip(1) {
            let name = piece.split(|c: char| c.is_whitespace() || c == '>').next().unwrap();
            let tag = piece.split('>').next().unwrap();
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "in {piece}");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn a_person_finds_why_the_last_reload_failed() {
    let page = full().page();
    let (_, section) = page.split_once("<section id=\"failure\"").unwrap();
    let section = section.split("</section>").next().unwrap();
    for words in [
        "Why",
        "exit code 65",
        "The line of the file, as HAProxy read it",
        "h.cfg:5: ",
        "HAProxy&#39;s words",
        "class=\"alert\"",
        "... and 1 more, which are in the log",
        "What mends it",
        "What it cost",
        "went on serving",
    ] {
        assert!(section.contains(words), "{words} is not in {section}");
    }
    assert!(page.contains("<title>serving, the last reload failed: Clearway web</title>"));
    assert!(empty().page().contains("No start, reload or restart has failed"));
}

#[test]
fn a_failure_that_is_over_is_no_alarm() {
    let mut shown = full();
    shown.status.last_attempt.as_mut().unwrap().failure = None;
    let later = entry(9, "reload", "took", &json!({"at": "2026-11-30T12:25:58Z"}));
    shown.past.reloads.push(serde_json::from_value(later).unwrap());
    let page = shown.page();
    assert!(page.contains("It is over: ") && page.contains("reload took"), "{page}");
    assert!(page.contains("<section id=\"failure\" class=\"\""), "{page}");
    assert!(page.contains("<title>serving: Clearway web</title>"));
}

#[test]
fn what_is_wrong_with_a_server_comes_first_and_has_a_word() {
    let page = full().page();
    let place = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words} is not there"));
    assert!(place("b/gone") < place("b/fine"));
    assert!(place("HAProxy does not answer now; this is as known 9 s ago.") < place("b/gone"));
    for words in
        ["broken", "not asked yet", "And 3 more: ", "clients may have been reset", "the kernel does not tell"]
    {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn a_long_past_and_many_servers_leave_a_page_of_bounded_size() {
    let mut shown = full();
    let long = "x".repeat(2048);
    let words = json!({"number": 99, "first": [long]});
    let failure =
        json!({"code": 65, "message": "x".repeat(1024), "words": words, "lines": words, "hints": words});
    let entries = (1..101).map(|id| {
        serde_json::from_value(entry(id, "reload", "refused", &json!({"failure": failure}))).unwrap()
    });
    shown.past.reloads = entries.collect();
    shown.servers.servers = std::iter::repeat_n(shown.servers.servers[0].clone(), 1000).collect();
    shown.sockets.sockets = std::iter::repeat_n(shown.sockets.sockets[0].clone(), 1000).collect();
    let page = shown.page();
    assert!(page.len() < 400_000, "{} bytes", page.len());
    for words in ["And 75 more: ", "And 903 more: ", "And 900 more: "] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn the_policy_forbids_all_that_is_not_asked_for() {
    let policy = policy("abc");
    assert!(policy.starts_with(
        "default-src 'none'; script-src 'nonce-abc'; style-src 'nonce-abc'; connect-src 'self'"
    ));
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
}
