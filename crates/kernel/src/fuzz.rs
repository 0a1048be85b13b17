//! Everything of this crate that reads what the kernel or another program wrote, to be given any bytes: by the fuzz targets
//! (`fuzz/`), and by the tests with each input of the corpus (docs/decisions/0046-fuzzing.md).

/// The name of a fuzz target, and what it calls.
pub type Parser = (&'static str, fn(&[u8]));

/// Those of this crate.
pub const PARSERS: [Parser; 2] = [("netlink", netlink), ("proc", proc)];

/// A datagram of the kernel.
fn netlink(data: &[u8]) {
    let mut replies = crate::netlink::fuzz::datagram(data);
    // One that is no datagram may be a message.
    if let Some((kind, payload)) = data.split_first_chunk() {
        replies.push(crate::netlink::Reply { kind: u16::from_ne_bytes(*kind), payload: payload.to_vec() });
    }
    for reply in &replies {
        crate::listeners::fuzz::socket(reply);
        crate::nft::fuzz::table(reply);
        crate::paths::fuzz::path(reply);
        crate::queues::limits::fuzz::limit(reply);
        crate::routing::fuzz::rule_and_route(reply);
    }
    crate::others::fuzz::ruleset(&replies);
    crate::gate::fuzz::packets(data);
    crate::routing::removals::fuzz::deletion(data);
}

/// A file below `/proc`, or a name that comes from the kernel.
fn proc(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    crate::counters::fuzz::counted(&text);
    crate::interfaces::fuzz::tables(&text);
    crate::memory::fuzz::memberships(&text);
    text.lines().for_each(crate::nft::fuzz::name);
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[test]
fn every_input_of_the_corpus_is_taken_whole_and_cut_off() {
    replay::replay(&PARSERS);
}
