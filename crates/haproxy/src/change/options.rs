//! The options of one server: those of its `default-server` lines and its own, the last of each alone.
//!
//! The table says how many values an option has, and from which HAProxy on `add server` takes it (`dynamic_ok` in the keyword
//! lists of `src/server.c`, `src/check.c` and `src/cfgparse-ssl.c`, v2.6.0 to v3.4.0). One that is not in it is not understood.

use std::collections::BTreeMap;

/// Whether a server with an option can be added at run time, equal to one of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addable {
    Always,
    /// From this version on.
    Since(u16, u16),
    /// HAProxy refuses it, or what comes of it is another server.
    Never,
}

use Addable::{Always, Never, Since};

/// An option, its values, and whether it can be added.
const TABLE: [(&str, usize, Addable); 93] = [
    ("addr", 1, Always),
    ("agent-addr", 1, Always),
    ("agent-check", 0, Always),
    ("agent-inter", 1, Always),
    ("agent-port", 1, Always),
    ("agent-send", 1, Always),
    ("allow-0rtt", 0, Never),
    ("alpn", 1, Always),
    ("backup", 0, Always),
    ("ca-file", 1, Always),
    ("cc", 1, Never),
    ("check", 0, Always),
    ("check-alpn", 1, Always),
    ("check-pool-conn-name", 1, Never),
    ("check-proto", 1, Always),
    ("check-reuse-pool", 0, Never),
    ("check-send-proxy", 0, Always),
    ("check-sni", 1, Always),
    ("check-ssl", 0, Always),
    ("check-via-socks4", 0, Never),
    ("ciphers", 1, Always),
    ("ciphersuites", 1, Always),
    ("client-sigalgs", 1, Always),
    ("cookie", 1, Since(3, 0)),
    ("crl-file", 1, Always),
    ("crt", 1, Always),
    ("curves", 1, Always),
    ("disabled", 0, Always),
    ("downinter", 1, Always),
    ("error-limit", 1, Since(3, 0)),
    ("fall", 1, Always),
    ("fastinter", 1, Always),
    ("force-sslv3", 0, Always),
    ("force-tlsv10", 0, Always),
    ("force-tlsv11", 0, Always),
    ("force-tlsv12", 0, Always),
    ("force-tlsv13", 0, Always),
    ("guid", 1, Never),
    ("hash-key", 1, Never),
    ("healthcheck", 1, Never),
    ("id", 1, Always),
    ("idle-ping", 1, Never),
    ("init-addr", 1, Never),
    ("init-state", 1, Since(3, 1)),
    ("inter", 1, Always),
    ("ktls", 1, Never),
    ("log-bufsize", 1, Never),
    ("log-proto", 1, Never),
    ("max-reuse", 1, Never),
    ("maxconn", 1, Always),
    ("maxqueue", 1, Always),
    ("minconn", 1, Never),
    ("namespace", 1, Never),
    ("no-renegotiate", 0, Never),
    ("no-sni-auto", 0, Always),
    ("no-ssl-reuse", 0, Always),
    ("no-sslv3", 0, Always),
    ("no-tls-tickets", 0, Always),
    ("no-tlsv10", 0, Always),
    ("no-tlsv11", 0, Always),
    ("no-tlsv12", 0, Always),
    ("no-tlsv13", 0, Always),
    ("non-stick", 0, Never),
    ("npn", 1, Always),
    ("observe", 1, Since(3, 0)),
    ("on-error", 1, Since(3, 0)),
    ("on-marked-down", 1, Always),
    ("on-marked-up", 1, Always),
    ("pool-conn-name", 1, Never),
    ("pool-low-conn", 1, Always),
    ("pool-max-conn", 1, Never),
    ("pool-purge-delay", 1, Never),
    ("port", 1, Always),
    ("proto", 1, Always),
    ("redir", 1, Never),
    ("resolve-net", 1, Never),
    ("resolve-opts", 1, Never),
    ("resolve-prefer", 1, Never),
    ("resolvers", 1, Never),
    ("rise", 1, Always),
    ("send-proxy", 0, Always),
    ("send-proxy-v2", 0, Always),
    ("slowstart", 1, Never),
    ("sni", 1, Always),
    ("socks4", 1, Never),
    ("ssl", 0, Always),
    ("ssl-max-ver", 1, Always),
    ("ssl-min-ver", 1, Always),
    ("tfo", 0, Always),
    ("track", 1, Never),
    ("verify", 1, Always),
    ("verifyhost", 1, Always),
    ("weight", 1, Always),
];

/// Words that take back what another has said, so that it is as if neither had been said.
const TAKEN_BACK: [(&str, &str); 6] = [
    ("no-check", "check"),
    ("no-agent-check", "agent-check"),
    ("no-backup", "backup"),
    ("enabled", "disabled"),
    ("no-ssl", "ssl"),
    ("no-tfo", "tfo"),
];

/// Options with their values, in the order of their names.
pub(super) type Options<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// Whether `add server` makes of an option what the file would.
pub(super) fn addable(option: &str) -> Addable {
    entry(option).map_or(Never, |(_, addable)| addable)
}

fn entry(option: &str) -> Option<(usize, Addable)> {
    let at = TABLE.binary_search_by(|(name, ..)| (*name).cmp(option)).ok()?;
    TABLE.get(at).map(|(_, values, addable)| (*values, *addable))
}

/// Reads them one after the other; the later one counts. The error is the word that is not understood.
pub(super) fn fold<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Options<'a>, &'a str> {
    let mut options = Options::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if let Some((_, other)) = TAKEN_BACK.iter().find(|(name, _)| *name == word) {
            options.remove(other);
        } else if word == "source" {
            let mut values: Vec<&str> = words.next().into_iter().collect();
            while let Some(more) = words.next_if(|word| matches!(*word, "usesrc" | "interface")) {
                values.extend([Some(more), words.next()].into_iter().flatten());
            }
            options.insert(word, values);
        } else {
            let (count, _) = entry(word).ok_or(word)?;
            let values: Vec<&str> = words.by_ref().take(count).collect();
            if values.len() < count {
                return Err(word);
            }
            options.insert(word, values);
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn the_last_word_counts() {
        let words = "weight 10 check inter 1s source 1.2.3.4 usesrc clientip no-check weight 5 ssl";
        let options = fold(words.split(' ')).unwrap();
        let said: Vec<_> =
            options.iter().map(|(name, values)| format!("{name} {}", values.join(" "))).collect();
        assert_eq!(said, ["inter 1s", "source 1.2.3.4 usesrc clientip", "ssl ", "weight 5"]);
        assert_eq!(fold(["check", "frobnicate"]), Err("frobnicate"));
        assert_eq!(fold(["weight"]), Err("weight"));
    }
}
