//! From a cold start: removing what dead processes left behind, and listing what there is.
//!
//! See [`super`] for why this cannot harm an instance that is just installing. Only rules and routes that carry the tag
//! *and* lie in a block are considered, and only tables with a name of our form.

use std::fmt;

use super::{Closing, PlumbingError, RemoveErrors};
use crate::netlink::{NetlinkClient, Protocol};
use crate::nft::{self, Listed, NftError};
use crate::routing::{self, Block, Family, Removal, RoutingError, Tagged};
use crate::token::{self, Token};

/// What a sweep has removed, as `ip` and `nft` show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// One line per object.
    pub removed: Vec<String>,
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.removed.is_empty() {
            return f.write_str("nothing was left behind");
        }
        f.write_str(&self.removed.join("\n"))
    }
}

/// Removes all our rules and routes in blocks without a living table, and every plain table of a dead process, those of
/// [`crate::flip`] and [`crate::gate`] too.
///
/// Needs `NET_ADMIN` unless nothing is left behind.
pub fn sweep() -> Result<Swept, RemoveErrors> {
    sweep_but(Closing::Goes)
}

/// The same, but the rules that reject what is not intercepted may stay.
pub fn sweep_but(closing: Closing) -> Result<Swept, RemoveErrors> {
    let _lock = token::lock();
    let mut errors = RemoveErrors::default();
    let mut removed = Vec::new();
    let Some(mut route) = errors.note(open_route()) else {
        return Err(errors);
    };
    // Objects before tables: an object that is seen here has its table, if it lives, in the list below.
    let mut tagged = Vec::new();
    for family in Family::ALL {
        let of_family = errors.note(routing::tagged(&mut route, family));
        tagged.push(of_family.unwrap_or_default());
    }
    let (mut client, tables) = match tables() {
        Ok(found) => found,
        // Without any tagged object no Clearway has died here, and there is no right to look further.
        Err(NftError::Denied(_)) if is_empty(&tagged) => return finish(errors, removed),
        Err(error) => {
            errors.errors.push(error.into());
            return Err(errors);
        }
    };
    let living: Vec<Block> =
        tables.iter().filter(|table| nft::is_alive(table)).filter_map(|table| table.name.block()).collect();
    let mut removal = Removal::default();
    for of_family in tagged {
        removal.remove(&mut route, of_family.but(closing), |block| !living.contains(&block));
    }
    removed.extend(removal.removed);
    errors.errors.extend(removal.errors.into_iter().map(PlumbingError::from));
    for table in tables.iter().filter(|table| !table.owner) {
        // The dead process's name is held while its table is removed: no new process can take it.
        let Ok(Some(_token)) = Token::claim(&table.name.to_string()) else { continue };
        if let Some(client) = &mut client
            && errors.note(nft::delete(client, &table.name)).is_some()
        {
            removed.push(format!("table inet {}", table.name));
        }
    }
    finish(errors, removed)
}

fn finish(mut errors: RemoveErrors, removed: Vec<String>) -> Result<Swept, RemoveErrors> {
    if errors.errors.is_empty() {
        return Ok(Swept { removed });
    }
    errors.removed = removed;
    Err(errors)
}

fn is_empty(tagged: &[Tagged]) -> bool {
    tagged.iter().all(Tagged::is_empty)
}

fn open_route() -> Result<NetlinkClient, PlumbingError> {
    Ok(NetlinkClient::open(Protocol::Route).map_err(RoutingError::Netlink)?)
}

/// Our tables; on a kernel without nftables there are none.
fn tables() -> Result<(Option<NetlinkClient>, Vec<Listed>), NftError> {
    let listed = nft::open().and_then(|mut client| {
        let tables = nft::list(&mut client)?;
        Ok((Some(client), tables))
    });
    match listed {
        Err(NftError::NoNfTables(_)) => Ok((None, Vec::new())),
        outcome => outcome,
    }
}

/// All rules, routes and tables of Clearways, of living and dead processes, as `ip` and `nft` show them.
///
/// Tables are left out without `NET_ADMIN`.
pub fn residue() -> Result<Vec<String>, PlumbingError> {
    let mut route = open_route()?;
    let mut lines = Vec::new();
    for family in Family::ALL {
        let tagged = routing::tagged(&mut route, family)?;
        lines.extend(tagged.rules.iter().map(|rule| format!("{family} rule {rule}")));
        lines.extend(tagged.routes.iter().map(|route| format!("{family} route {route}")));
    }
    match tables() {
        Ok((_, tables)) => lines.extend(tables.iter().map(|table| format!("table inet {}", table.name))),
        Err(NftError::Denied(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(lines)
}

/// Whether a process lives that has any of that. Needs `NET_ADMIN`.
pub fn any_process_lives() -> Result<bool, PlumbingError> {
    let (_, tables) = tables()?;
    Ok(tables.iter().any(nft::is_alive))
}

/// The rules that reject connections that are not intercepted, those of dead processes too.
pub fn closed() -> Result<Vec<String>, PlumbingError> {
    let mut route = open_route()?;
    let mut lines = Vec::new();
    for family in Family::ALL {
        let tagged = routing::tagged(&mut route, family)?;
        let closed = tagged.rules.iter().filter(|rule| rule.closes());
        lines.extend(closed.map(|rule| format!("{family} rule {rule}")));
    }
    Ok(lines)
}
