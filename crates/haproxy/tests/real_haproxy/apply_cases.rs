//! Backends before and after a change. `@1` to `@3` are addresses at which something listens, `%1` to `%3` their ports; at `%4` nothing answers.

/// What runs, and what is to run.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    /// Before it, it is a reload.
    pub(crate) since: (u16, u16),
    pub(crate) old: &'static str,
    pub(crate) new: &'static str,
}

/// What stands before the backends: two limits and an address are to be written in.
pub(crate) const HEAD: &str = "global\n maxconn {all}\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n \
                               timeout connect 1s\n default-server inter 200ms weight 10 maxconn 30 maxqueue 7\nfrontend f\n \
                               bind {bind}\n maxconn {one}\n default_backend b0\n";

const fn pair(name: &'static str, old: &'static str, new: &'static str) -> Pair {
    Pair { name, since: (2, 6), old, new }
}

const fn since(major: u16, minor: u16, pair: Pair) -> Pair {
    Pair { since: (major, minor), ..pair }
}

pub(crate) const CASES: [Pair; 25] = [
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
        " server s1 @1\n server s2 @2 agent-check agent-port %4 agent-inter 300ms\n",
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
];
