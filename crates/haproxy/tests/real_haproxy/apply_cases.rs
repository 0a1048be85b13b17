//! Pairs of files. `@1` to `@3` are addresses at which something listens, `%1` to `%3` their ports.

/// What runs, and what is to run.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    /// Before it, it is a reload.
    pub(crate) since: (u16, u16),
    /// What both begin with.
    pub(crate) head: &'static str,
    pub(crate) old: &'static str,
    pub(crate) new: &'static str,
}

const HTTP: &str = "global\n maxconn 200\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 1s\n \
                    default-server inter 200ms weight 10 maxconn 30 maxqueue 7\nfrontend f\n bind abns@clearway-apply-test\n \
                    maxconn 100\n default_backend b\nbackend b\n";

const fn pair(name: &'static str, old: &'static str, new: &'static str) -> Pair {
    Pair { name, since: (2, 6), head: HTTP, old, new }
}

const fn since(major: u16, minor: u16, pair: Pair) -> Pair {
    Pair { since: (major, minor), ..pair }
}

pub(crate) const CASES: [Pair; 27] = [
    pair("added", " server s1 @1\n", " server s1 @1\n server s2 @2\n"),
    pair(
        "added with a check",
        " server s1 @1 check\n",
        " server s1 @1 check\n server s2 @2 check weight 3 rise 4 fall 5\n",
    ),
    pair(
        "added, and what it is checked by is dead",
        " server s1 @1 check\n",
        " server s1 @1 check\n server s2 127.0.0.1:1 check\n",
    ),
    pair("added to none", "", " server s1 @1 check\n"),
    pair("added and disabled", " server s1 @1\n", " server s1 @1\n server s2 @2 check disabled\n"),
    pair(
        "added with weight 0",
        " server s1 @1\n",
        " server s1 @1\n server s2 @2 weight 0\n server s3 @3 weight 256\n",
    ),
    pair(
        "added in the middle",
        " server s1 @1\n server s3 @3\n",
        " server s1 @1\n server s2 @2\n server s3 @3\n",
    ),
    pair(
        "added with `http-check`",
        " option httpchk GET /\n server s1 @1\n",
        " option httpchk GET /\n server s1 @1\n server s2 127.0.0.1:1 check\n",
    ),
    pair(
        "added with a port for checks",
        " server s1 @1\n",
        " server s1 @1\n server s2 127.0.0.9:80 check addr 127.0.0.1 port %2\n",
    ),
    pair("added with `backup`", " server s1 @1\n", " server s1 @1\n server s2 @2 backup check\n"),
    pair(
        "added with TLS",
        " server s1 @1\n",
        " server s1 @1\n server s2 @2 ssl verify none sni str(a) check\n",
    ),
    pair(
        "added with the proxy protocol",
        " server s1 @1\n",
        " server s1 @1\n server s2 @2 send-proxy-v2 check on-marked-down shutdown-sessions\n",
    ),
    pair(
        "added with an agent",
        " server s1 @1\n",
        " server s1 @1\n server s2 @2 agent-check agent-port %3 agent-inter 60s\n",
    ),
    pair(
        "added to a consistent hash",
        " balance source\n hash-type consistent\n server s1 @1\n",
        " balance source\n hash-type consistent\n server s1 @1\n server s2 @2\n",
    ),
    pair(
        "added to `first`",
        " balance first\n server s1 @1\n",
        " balance first\n server s1 @1\n server s2 @2\n",
    ),
    pair(
        "added to `leastconn`",
        " balance leastconn\n server s1 @1 check\n",
        " balance leastconn\n server s1 @1 check\n server s2 @2 check\n",
    ),
    since(
        3,
        0,
        pair(
            "added with a cookie",
            " cookie S insert\n server s1 @1 cookie a\n",
            " cookie S insert\n server s1 @1 cookie a\n server s2 @2 cookie b\n",
        ),
    ),
    since(
        3,
        1,
        pair(
            "added with a state to begin with",
            " server s1 @1\n",
            " server s1 @1\n server s2 @2 check init-state down\n server s3 @3 check init-state fully-up\n",
        ),
    ),
    pair("removed", " server s1 @1\n server s2 @2 check\n server s3 @3\n", " server s1 @1\n server s3 @3\n"),
    pair("renamed", " server s1 @1 check\n", " server new @1 check\n"),
    pair("a template grows", " server-template s 2 @1 check\n", " server-template s 4 @1 check\n"),
    pair("a template shrinks", " server-template s 3 @1 check\n", " server-template s 1 @1 check\n"),
    pair(
        "moved, heavier, with other limits",
        " server s1 @1 check\n server s2 127.0.0.1:1 check\n",
        " server s1 @2 check weight 5 maxconn 9\n server s2 @3 check\n",
    ),
    pair(
        "disabled, and not any more",
        " server s1 @1 check\n server s2 @2 check disabled\n",
        " server s1 @1 check disabled\n server s2 @3 check\n",
    ),
    pair(
        "checked elsewhere",
        " server s1 127.0.0.9:80 check addr 127.0.0.1 port %1\n",
        " server s1 127.0.0.9:80 check addr 127.0.0.1 port %2\n",
    ),
    Pair {
        name: "limits of a frontend",
        since: (2, 6),
        head: "defaults\n timeout client 5s\n",
        old: "frontend f\n bind abns@clearway-apply-test\n maxconn 90\n",
        new: "frontend f\n bind abns@clearway-apply-test\n maxconn 60\n",
    },
    Pair {
        name: "the limit of all",
        since: (2, 6),
        head: "defaults\n timeout client 5s\nfrontend f\n bind abns@clearway-apply-test\n maxconn 50\n",
        old: "global\n maxconn 90\n",
        new: "global\n maxconn 60\n",
    },
];
