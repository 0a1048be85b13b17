//! A server that the old file does not have: with every option spelled out, as `add server` inherits none.
//!
//! It is added in maintenance, its checks are enabled, and then it is let go, so that it begins as one of a fresh start: up at once,
//! with its first check to come, or as its `init-state` says.

use std::collections::{HashMap, HashSet};

use super::expected::ExpectedServer;
use super::options::{Addable, Options, addable};
use super::pair::{Pair, expected};
use super::plan::{PlanOrder, PlanStep, ReloadReason, StepKind};
use super::proxy::Settled;
use super::words::{literal, speakable};
use super::{numbers, orders};

/// More words than HAProxy takes in one command (`MAX_CLI_ARGS`), but for some to spare.
const MOST_WORDS: usize = 60;

/// What 2.6 to 2.9 leave at zero in a server that is added (haproxy commit 8a31783b6, in 3.0): no idle connection is kept, and none
/// reused. These are the values of a file.
const UNSET_BEFORE_3_0: [(&str, &str); 4] =
    [("pool-max-conn", "-1"), ("pool-purge-delay", "5s"), ("on-error", "fail-check"), ("error-limit", "10")];

/// Options that name a file: HAProxy reads none at run time, so it must have it already.
const FILES: [&str; 3] = ["ca-file", "crl-file", "crt"];

/// What looks at a request is resolved at run time for these alone.
const SNI: [&str; 4] = ["req.hdr(host)", "hdr(host)", "ssl_fc_sni", "str("];

/// The step, and what the server is afterwards.
pub(super) fn step(
    pair: &Pair<'_, '_>,
    name: &str,
    settled: &Settled,
    numbers: Option<&HashMap<String, u32>>,
    taken: &mut HashSet<u32>,
) -> Result<(PlanStep, ExpectedServer), ReloadReason> {
    let built = build(pair, name, settled, numbers, taken);
    let refused = |what| pair.new.piece.reason(settled.line, format!("the server `{name}` is new: {what}"));
    Ok((built.map_err(refused)?, expected(name, settled)))
}

fn build(
    pair: &Pair<'_, '_>,
    name: &str,
    settled: &Settled,
    numbers: Option<&HashMap<String, u32>>,
    taken: &mut HashSet<u32>,
) -> Result<PlanStep, String> {
    let object = pair.object(name)?;
    if let Some(why) = pair.new.refuses_servers(pair.can) {
        return Err(why);
    }
    let address = literal(&settled.address)
        .ok_or_else(|| format!("`{}` is not an IP address with a port", settled.address))?;
    let mut options =
        settled.options().map_err(|word| format!("what `{word}` means for it is not understood"))?;
    allowed(pair, &options)?;
    let id = match (options.remove("id"), numbers.and_then(|numbers| numbers.get(name))) {
        (Some(id), _) => id.first().copied().unwrap_or_default().to_owned(),
        (None, Some(number)) => number.to_string(),
        (None, None) => numbers::made(name, taken).to_string(),
    };
    complete(pair, &mut options);
    let mut words = vec![address.to_string(), "id".to_owned(), id];
    for (option, values) in &options {
        words.push((*option).to_owned());
        words.extend(values.iter().map(|value| (*value).to_owned()));
    }
    if words.len() > MOST_WORDS {
        return Err("it has more options than fit into one command".to_owned());
    }
    if let Some(word) = words.iter().find(|word| !speakable(word)) {
        return Err(format!("`{}` cannot be said at the runtime API", word.escape_debug()));
    }
    let mut list = vec![orders::add(&object, &words.join(" "))];
    list.extend(begin(&object, &options));
    let why = format!("it is new, with the address {address}");
    Ok(PlanStep { kind: StepKind::ServerAdded, object, why, orders: list })
}

/// What brings one that was added into the state in which a fresh start would have it.
fn begin(object: &str, options: &Options<'_>) -> Vec<PlanOrder> {
    let mut list = Vec::new();
    if options.contains_key("check") {
        list.push(orders::enable("health", object));
    }
    if options.contains_key("agent-check") {
        list.push(orders::enable("agent", object));
        // It begins with an agent that has said no; one of a file, with one that has said yes.
        list.push(orders::set(object, "agent up"));
    }
    if !options.contains_key("disabled") {
        list.push(orders::set(object, "state ready"));
    }
    list
}

/// What makes one that is added differ from one of a file.
fn allowed(pair: &Pair<'_, '_>, options: &Options<'_>) -> Result<(), String> {
    for (option, values) in options {
        let fine = match addable(option) {
            Addable::Always => true,
            Addable::Since(major, minor) => pair.can.since(major, minor),
            Addable::Never => false,
        };
        if !fine {
            return Err(format!("`{option}` cannot be given to a server at run time"));
        }
        let value = values.first().copied().unwrap_or_default();
        if FILES.contains(option) && !pair.old.mentions(value) {
            return Err(format!("HAProxy has not read the file `{value}` yet"));
        }
        if *option == "sni" && !SNI.iter().any(|known| value.starts_with(known)) {
            return Err(format!("whether `sni {value}` can be given to a server at run time is not known"));
        }
    }
    let h2 =
        |option| options.get(option).is_some_and(|values| values.iter().any(|value| value.contains("h2")));
    if !pair.can.since(3, 0) && (h2("proto") || h2("alpn") || options.contains_key("proto")) {
        return Err(
            "before 3.0 a server that is added at run time limits the requests of an HTTP/2 connection"
                .to_owned(),
        );
    }
    Ok(())
}

/// What a file gives to a server without a word, and the runtime API does not.
fn complete(pair: &Pair<'_, '_>, options: &mut Options<'_>) {
    let has = |options: &Options<'_>, option| options.contains_key(option);
    // With an address or a port of its own, a check is plain unless said otherwise (`init_srv_check`).
    if has(options, "check") && !has(options, "addr") && !has(options, "port") {
        if has(options, "ssl") {
            options.insert("check-ssl", Vec::new());
        }
        if has(options, "send-proxy") || has(options, "send-proxy-v2") {
            options.insert("check-send-proxy", Vec::new());
        }
    }
    if !pair.can.since(3, 0) {
        for (option, value) in UNSET_BEFORE_3_0 {
            options.entry(option).or_insert_with(|| vec![value]);
        }
    }
}
