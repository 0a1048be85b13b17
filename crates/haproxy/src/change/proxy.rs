//! What a `backend` or `listen` says, with what it inherits: the words that its servers begin with, how it balances, and
//! whether servers can come and go in it at run time.

use super::body::{Body, ServerEntry};
use super::capabilities::Capabilities;
use super::options::{Options, fold};
use super::plan::ReloadReason;
use super::sections::SectionPiece;
use super::side::{Side, SideLine, SideReader};

/// A section of one side.
pub(super) struct Proxy<'a> {
    pub(super) piece: SectionPiece<'a>,
    pub(super) reader: SideReader<'a>,
    pub(super) body: Body<'a>,
    /// The lines of the sections `defaults` that it inherits, the nearest one last.
    inherited: Vec<SideLine>,
}

/// What the place of a server in the file means for which clients it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Balance {
    /// Nothing: only weights and connections count.
    Alike,
    /// Its number (`id`) counts: `first`, and consistent hashing.
    ByNumber,
    /// All of them together make the map, and HAProxy adds none to it at run time; or it is not known.
    Fixed,
}

/// A server line with all that it inherits.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) line: usize,
    /// With its variables resolved.
    pub(super) address: String,
    /// Those of `default-server` first.
    words: Vec<String>,
}

impl Settled {
    pub(super) fn options(&self) -> Result<Options<'_>, &str> {
        fold(self.words.iter().map(String::as_str))
    }
}

impl<'a> Proxy<'a> {
    /// The section at this place.
    pub(super) fn of(
        side: &'a Side<'a>,
        index: usize,
        piece: SectionPiece<'a>,
    ) -> Result<Self, ReloadReason> {
        let reader = side.reader(index);
        let body = Body::read(&piece, &reader)?;
        let mut inherited = Vec::new();
        for base in side.lineage(index)?.into_iter().rev() {
            inherited.extend(side.lines(base)?);
        }
        Ok(Self { piece, reader, body, inherited })
    }

    /// Its lines and those that it inherits, but for those of servers. What stands later counts more.
    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &SideLine> {
        self.inherited.iter().chain(&self.body.others)
    }

    /// The last line with this keyword.
    pub(super) fn last(&self, keyword: &str) -> Option<&SideLine> {
        self.lines().rfind(|line| line.word(0) == keyword)
    }

    fn has(&self, words: &[&str]) -> bool {
        self.lines().any(|line| words.iter().enumerate().all(|(at, word)| line.word(at) == *word))
    }

    /// The words of `balance`; none if it is left to HAProxy.
    pub(super) fn algorithm(&self) -> &str {
        self.last("balance").map_or("", |line| line.word(1))
    }

    pub(super) fn balance(&self) -> Balance {
        let name = self.algorithm();
        let hashed = ["source", "uri", "url_param", "hash", "rdp-cookie"].contains(&name)
            || name.starts_with("hdr(")
            || name.starts_with("rdp-cookie(");
        match name {
            // Unsaid it is `roundrobin`, and `random` from 3.3 on.
            "" | "roundrobin" | "leastconn" | "random" => Balance::Alike,
            name if name.starts_with("random(") => Balance::Alike,
            "first" => Balance::ByNumber,
            _ if hashed && self.last("hash-type").is_some_and(|line| line.word(1) == "consistent") => {
                Balance::ByNumber
            }
            _ => Balance::Fixed,
        }
    }

    /// Whether the number of a server means something beside how clients are balanced: tables keep it.
    pub(super) fn sticks(&self) -> bool {
        self.lines().any(|line| line.word(0) == "stick")
    }

    /// What a word of some server, or of what it inherits, is about; by its bytes, so it may be said too often.
    pub(super) fn mentions(&self, word: &str) -> bool {
        if word.is_empty() {
            return false;
        }
        let has = |bytes: &[u8]| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        let inherited = self.lines().filter(|line| line.word(0) == "default-server");
        inherited.flat_map(|line| &line.words).any(|one| one == word)
            || self.body.servers.iter().any(|server| has(server.bytes))
    }

    /// Why no server can be added to it at run time, equal to one that the file makes.
    pub(super) fn refuses_servers(&self, can: &Capabilities) -> Option<String> {
        if self.balance() == Balance::Fixed {
            let name = self.algorithm();
            return Some(format!(
                "HAProxy adds no server at run time where `balance {name}` is made from all of them"
            ));
        }
        if self.last("mode").is_some_and(|mode| !matches!(mode.word(1), "tcp" | "http")) {
            return Some("servers are added at run time in modes `tcp` and `http` only".to_owned());
        }
        let hindrances: [(&[&str], &str); 5] = [
            (&["dynamic-cookie-key"], "`dynamic-cookie-key`"),
            (&["option", "external-check"], "`option external-check`"),
            (&["email-alert"], "`email-alert`"),
            (&["dispatch"], "`dispatch`"),
            (&["use-fcgi-app"], "`use-fcgi-app`"),
        ];
        if let Some((_, what)) = hindrances.iter().find(|(words, _)| self.has(words)) {
            return Some(format!("a server that is added at run time does not follow {what}"));
        }
        if !can.offers("add server") {
            return Some("this HAProxy adds no servers at run time".to_owned());
        }
        None
    }

    /// Whether a file of the user's says how its servers begin.
    pub(super) fn has_state_file(&self) -> bool {
        self.last("load-server-state-from-file").is_some_and(|line| line.word(1) != "none")
    }

    /// A server with all that it inherits.
    pub(super) fn settle(&self, server: &ServerEntry<'_>) -> Result<Settled, ReloadReason> {
        let line = self.reader.line(&self.piece, server.line, server.bytes)?;
        let own = line.map(|line| line.words).unwrap_or_default();
        let at = if server.template { 3 } else { 2 };
        let address = own.get(at).map_or("", String::as_str);
        let defaults = |lines: &[SideLine], count: usize| -> Vec<String> {
            let found = lines.iter().filter(|line| line.word(0) == "default-server").take(count);
            found.flat_map(|line| line.words.iter().skip(1)).cloned().collect()
        };
        let mut words = defaults(&self.inherited, usize::MAX);
        words.extend(defaults(&self.body.others, server.above));
        let address = self.reader.expand(address);
        words.extend(own.into_iter().skip(at + 1));
        Ok(Settled { line: server.line, address, words })
    }
}
