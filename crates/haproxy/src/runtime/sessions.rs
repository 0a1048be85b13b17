//! The answer to `show sess`: a line for each session.
//!
//! ```text
//! 0x5608c66b83a0: proto=tcpv4 src=127.0.0.1:42320 fe=f0 be=f0 srv=s ts=00 epoch=0 age=1m4s calls=2 rate=2 cpu=0 ...
//! ```
//!
//! Fields come and go with versions; a word without `=` or one that is not known is passed over.

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionLine {
    /// What `shutdown session` takes.
    pub id: String,
    /// The protocol of the client's side, such as `tcpv4`.
    pub protocol: String,
    /// The client.
    pub source: String,
    /// The `frontend` or `listen` that it came to.
    pub frontend: String,
    /// Where it went on to; `<NONE>` if nowhere yet.
    pub backend: String,
    /// The server, likewise `<none>`.
    pub server: String,
    /// How old it is, in HAProxy's words (`1h2m`).
    pub age: String,
}

/// The frontend of the runtime API and of the master CLI: the question itself is a session of it.
const OWN: &str = "GLOBAL";

/// Reads the answer, but for the sessions of the runtime API itself.
pub fn parse(text: &str) -> Vec<SessionLine> {
    text.lines().filter_map(read).filter(|session| session.frontend != OWN).collect()
}

fn read(line: &str) -> Option<SessionLine> {
    let (id, fields) = line.split_once(": ")?;
    if !id.starts_with("0x") {
        return None;
    }
    let mut session = SessionLine { id: id.to_owned(), ..SessionLine::default() };
    for (key, value) in fields.split_whitespace().filter_map(|word| word.split_once('=')) {
        let place = match key {
            "proto" => &mut session.protocol,
            "src" => &mut session.source,
            "fe" => &mut session.frontend,
            "be" => &mut session.backend,
            "srv" => &mut session.server,
            "age" => &mut session.age,
            _ => continue,
        };
        // The first one counts: what follows belongs to details.
        if place.is_empty() {
            value.clone_into(place);
        }
    }
    Some(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HAProxy 2.6.12, over the master CLI, while the worker drains.
    const ANSWER: &str = "\
0x5608c66b83a0: proto=tcpv4 src=127.0.0.1:42320 fe=f0 be=f0 srv=s ts=00 epoch=0 age=1m4s calls=2 rate=2 cpu=0 lat=0 \
rq[f=808000h,i=0,an=00h,rx=59m59s,wx=,ax=] rp[f=80008000h,i=0,an=00h,rx=59m59s,wx=,ax=] scf=[8,0h,fd=14] \
scb=[8,1h,fd=15] exp=4s rc=0 c_exp=
0x7f805c039ce0: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0x1 age=0s calls=1 rate=1 cpu=0 \
lat=0 rq[f=c08002h,i=0,an=00h,rx=10s,wx=,ax=] rp[f=80008002h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=6] scb=[8,1h,fd=-1] \
exp=10s rc=0 c_exp=
";

    #[test]
    fn what_is_read_is_what_people_ask_for() {
        let session = SessionLine {
            id: "0x5608c66b83a0".to_owned(),
            protocol: "tcpv4".to_owned(),
            source: "127.0.0.1:42320".to_owned(),
            frontend: "f0".to_owned(),
            backend: "f0".to_owned(),
            server: "s".to_owned(),
            age: "1m4s".to_owned(),
        };
        assert_eq!(parse(ANSWER), [session], "the question itself is not listed");
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        assert_eq!(parse(""), []);
        assert_eq!(parse("Unknown command\n"), []);
        assert_eq!(parse("0x1"), []);
        let odd = parse("0x1: proto=quic6 new-word src=[::1]:9 fe=a\n");
        assert_eq!(odd.len(), 1);
        assert_eq!((odd[0].source.as_str(), odd[0].age.as_str()), ("[::1]:9", ""));
    }
}
