//! The one route of a block: `local default dev lo table T proto 179`, and what stands in tables.
//!
//! Reading is lenient (see [`super::rule`]); making and removing is for ours only.

use std::fmt;

use clearway_core::names::TableId;
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL, NlasIterator, parse_u32};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteScope, RouteType,
};
use rustix::io::Errno;

use super::terms::{Effect, TAG, address_family};
use super::{Block, Family, RoutingError};
use crate::interfaces::LOOPBACK;
use crate::netlink::{NetlinkClient, NetlinkError, Reply};

/// `sizeof(struct rtmsg)`.
const HEADER: usize = 12;
/// Attributes of `linux/rtnetlink.h` that are read by number, so that no odd foreign route can disturb.
const DESTINATION: u16 = 1;
const OUTPUT: u16 = 4;
const PRIORITY: u16 = 6;
const TABLE: u16 = 15;

/// A route, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// In which family.
    pub family: Family,
    /// In which table.
    pub table: u32,
    header: RouteHeader,
    destination: Option<Vec<u8>>,
    output: Option<u32>,
    metric: Option<u32>,
}

impl Route {
    /// The route of a block.
    pub(super) fn wanted(block: Block, family: Family) -> Self {
        let header = RouteHeader {
            address_family: address_family(family),
            protocol: TAG.into(),
            kind: RouteType::Local,
            // IPv4 wants `host` for a local route; IPv6 knows no scopes and shows `global`.
            scope: match family {
                Family::V4 => RouteScope::Host,
                Family::V6 => RouteScope::Universe,
            },
            ..RouteHeader::default()
        };
        Self {
            family,
            table: block.table().0,
            header,
            destination: None,
            output: Some(LOOPBACK),
            metric: None,
        }
    }

    /// Its origin (`proto`).
    pub fn protocol(&self) -> u8 {
        self.header.protocol.into()
    }

    /// The block of one of our routes; `None` for foreign ones, tagged 179 or not.
    pub fn block(&self) -> Option<Block> {
        (self.protocol() == TAG).then(|| Block::of_table(self.table)).flatten()
    }

    /// Whether it is the route of its block, whatever the kernel has added to it.
    pub(super) fn is_wanted(&self) -> bool {
        self.header.kind == RouteType::Local && self.destination.is_none() && self.output == Some(LOOPBACK)
    }

    /// Makes the route; `EEXIST` means that it is there.
    pub(super) fn apply(&self, client: &mut NetlinkClient) -> Result<Effect, RoutingError> {
        let what = format!("making the {} route `{self}`", self.family);
        let message = RouteNetlinkMessage::NewRoute(self.message());
        Effect::of(client.request(&what, message, NLM_F_CREATE | NLM_F_EXCL), &[Errno::EXIST], self.family)
    }

    /// Removes the route; `ESRCH` means that it is not there.
    pub(super) fn remove(&self, client: &mut NetlinkClient) -> Result<Effect, RoutingError> {
        let what = format!("removing the {} route `{self}`", self.family);
        let message = RouteNetlinkMessage::DelRoute(self.message());
        Effect::of(client.request(&what, message, 0), &[Errno::SRCH, Errno::NOENT], self.family)
    }

    pub(super) fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = self.header.clone();
        // The number does not fit into the header's byte: `RT_TABLE_UNSPEC` there, the attribute counts.
        message.header.table = RouteHeader::RT_TABLE_UNSPEC;
        message.header.flags = RouteFlags::empty();
        message.attributes.push(RouteAttribute::Table(self.table));
        message.attributes.extend(self.output.map(RouteAttribute::Oif));
        message.attributes.extend(self.metric.map(RouteAttribute::Priority));
        let destination = self.destination.clone().map(|bytes| DefaultNla::new(DESTINATION, bytes));
        message.attributes.extend(destination.map(RouteAttribute::Other));
        message
    }
}

/// As `ip route show table all` shows it, for a default route.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.header.kind == RouteType::Local { "local " } else { "" };
        let length = self.header.destination_prefix_length;
        match (&self.destination, length) {
            (None, _) | (_, 0) => write!(f, "{kind}default")?,
            (Some(_), length) => write!(f, "{kind}a /{length}")?,
        }
        match self.output {
            Some(LOOPBACK) => write!(f, " dev lo")?,
            Some(index) => write!(f, " dev #{index}")?,
            None => {}
        }
        write!(f, " table {} proto {}", self.table, self.protocol())
    }
}

/// The routes of one table; none if there is no such table.
pub fn routes_in(
    client: &mut NetlinkClient,
    family: Family,
    table: TableId,
) -> Result<Vec<Route>, RoutingError> {
    let mut request = RouteMessage::default();
    request.attributes.push(RouteAttribute::Table(table.0));
    let what = format!("listing {family} routes of table {table}");
    let routes = match dump(client, family, &what, request) {
        Err(error) if error.errno() == Some(Errno::NOENT) => Vec::new(),
        outcome => outcome.map_err(|error| RoutingError::from_netlink(family, error))?,
    };
    Ok(routes.into_iter().filter(|route| route.table == table.0).collect())
}

/// The routes that carry our [`TAG`], of all tables.
pub fn routes_tagged(client: &mut NetlinkClient, family: Family) -> Result<Vec<Route>, RoutingError> {
    let mut request = RouteMessage::default();
    request.header.protocol = TAG.into();
    let routes = dump(client, family, &format!("listing {family} routes of protocol {TAG}"), request)
        .map_err(|error| RoutingError::from_netlink(family, error))?;
    Ok(routes.into_iter().filter(|route| route.protocol() == TAG).collect())
}

/// With strict checking (Linux 4.20) the kernel filters, without it the callers do.
fn dump(
    client: &mut NetlinkClient,
    family: Family,
    what: &str,
    mut request: RouteMessage,
) -> Result<Vec<Route>, NetlinkError> {
    request.header.address_family = address_family(family);
    let replies = client.dump(what, &RouteNetlinkMessage::GetRoute(request))?;
    Ok(replies.iter().filter_map(|reply| decode(reply, family)).collect())
}

/// `None` for what is no route of this family: a kernel without IPv6 answers with those of others.
pub(super) fn decode(reply: &Reply, family: Family) -> Option<Route> {
    let header = RouteHeader::parse(&reply.payload).ok()?;
    if header.address_family != address_family(family) {
        return None;
    }
    let table = u32::from(header.table);
    let mut route = Route { family, table, header, destination: None, output: None, metric: None };
    for nla in NlasIterator::new(reply.payload.get(HEADER..)?).flatten() {
        let number = || parse_u32(nla.value()).ok();
        match nla.kind() {
            DESTINATION => route.destination = Some(nla.value().to_vec()),
            OUTPUT => route.output = number(),
            PRIORITY => route.metric = number(),
            TABLE => route.table = number().unwrap_or(route.table),
            _ => {}
        }
    }
    Some(route)
}
