//! The number (`id`) of a server that is added.
//!
//! Where numbers count, it is the one that a fresh start would give, and the change is a reload unless all others keep theirs.
//! Elsewhere it is made from the name: which numbers are free in the HAProxy that runs is not known here, as earlier changes
//! have left gaps. Without a number, HAProxy puts all added servers into the same place of a hash (haproxy #3413).

use std::collections::{HashMap, HashSet};

use super::plan::ReloadReason;
use super::proxy::Proxy;

/// Numbers made from names begin here: above those of any file, and below 2^20, from which on HAProxy's hashing takes two
/// numbers for one (`puid * SRV_EWGHT_RANGE`, in 32 bits).
const FIRST: u32 = 1 << 19;

/// As a fresh start numbers the servers of a section, by name (`check_config_validity`): its own `id`, else the first free number
/// from its place on.
pub(super) fn fresh(proxy: &Proxy<'_>) -> Result<HashMap<String, u32>, ReloadReason> {
    let mut numbers = HashMap::new();
    let mut used = HashSet::new();
    for server in &proxy.body.servers {
        let says = server.bytes.windows(3).any(|window| window == b"id ");
        let Some(number) = (if says { own(proxy, server)? } else { None }) else { continue };
        used.insert(number);
        numbers.insert(server.name.to_string(), number);
    }
    let mut next = 1u32;
    for server in &proxy.body.servers {
        if !numbers.contains_key(&*server.name) {
            while used.contains(&next) {
                next = next.saturating_add(1);
            }
            used.insert(next);
            numbers.insert(server.name.to_string(), next);
        }
        next = next.saturating_add(1);
    }
    Ok(numbers)
}

fn own(proxy: &Proxy<'_>, server: &super::body::ServerEntry<'_>) -> Result<Option<u32>, ReloadReason> {
    let settled = proxy.settle(server)?;
    let options = settled.options();
    let id =
        options.ok().and_then(|options| options.get("id").and_then(|id| id.first().copied()).map(str::parse));
    match id {
        None => Ok(None),
        Some(Ok(number)) if !server.template => Ok(Some(number)),
        Some(_) => Err(proxy.piece.reason(server.line, "its `id` is not understood")),
    }
}

/// From a name, and from it on the next that is not among those of the same plan.
pub(super) fn made(name: &str, taken: &mut HashSet<u32>) -> u32 {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut number = FIRST + (hash ^ (hash >> 19)) % FIRST;
    while !taken.insert(number) {
        number = if number + 1 < 2 * FIRST { number + 1 } else { FIRST };
        if taken.len() >= FIRST as usize {
            break;
        }
    }
    number
}
