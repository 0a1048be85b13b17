//! Which block, which mark, and which table was first: read from the kernel, decided here.

use clearway_core::names::{InstanceName, Mark};

use super::{PlumbingError, PlumbingNotice};
use crate::netlink::NetlinkClient;
use crate::nft::{self, Listed, TableName};
use crate::routing::{self, Block, Family, PolicyRule};

/// The bits that Clearway takes by itself, in this order: 29 and 30 are free of Kubernetes, Docker,
/// Tailscale, AWS and Istio, the others at least of Tailscale (16 to 23) and Kubernetes (13 to 15).
const BITS: [u8; 8] = [29, 30, 28, 27, 26, 25, 24, 31];

/// The tables of plumbing of living processes.
pub(super) fn living(client: &mut NetlinkClient) -> Result<Vec<Listed>, PlumbingError> {
    let tables = nft::list(client)?.into_iter();
    Ok(tables.filter(|table| table.name.block().is_some() && nft::is_alive(table)).collect())
}

/// Rules of both families; those of a family that is missing are none.
pub(super) fn all_rules(client: &mut NetlinkClient) -> Result<Vec<PolicyRule>, PlumbingError> {
    let mut rules = Vec::new();
    for family in Family::ALL {
        match routing::rules(client, family) {
            Ok(of_family) => rules.extend(of_family),
            Err(error) if error.is_without_family() && family == Family::V6 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rules)
}

/// The block of a living sibling, else the first that is free: no living table names it, no foreign rule
/// stands at its preferences or looks into its table, no foreign route is in there.
pub(super) fn block(
    instance: Option<&InstanceName>,
    living: &[Listed],
    rules: &[PolicyRule],
    client: &mut NetlinkClient,
) -> Result<Block, PlumbingError> {
    if let Some(block) = sibling(instance, living).and_then(|sibling| sibling.name.block()) {
        return Ok(block);
    }
    for block in Block::all().filter(|block| is_free(*block, living, rules)) {
        if !has_foreign_routes(client, block)? {
            return Ok(block);
        }
    }
    Err(PlumbingError::NoFreeBlock)
}

/// The oldest living table of the instance.
fn sibling<'a>(instance: Option<&InstanceName>, living: &'a [Listed]) -> Option<&'a Listed> {
    let instance = instance?;
    living
        .iter()
        .filter(|table| table.name.instance.as_ref() == Some(instance))
        .min_by_key(|table| age(table))
}

pub(super) fn is_free(block: Block, living: &[Listed], rules: &[PolicyRule]) -> bool {
    let named = living.iter().any(|table| table.name.block() == Some(block));
    let foreign = rules.iter().any(|rule| rule.block().is_none() && rule.occupies(block));
    !named && !foreign
}

fn has_foreign_routes(client: &mut NetlinkClient, block: Block) -> Result<bool, PlumbingError> {
    for family in Family::ALL {
        match routing::routes_in(client, family, block.table()) {
            Ok(routes) if routes.iter().any(|route| route.block().is_none()) => return Ok(true),
            Err(error) if !error.is_without_family() => return Err(error.into()),
            _ => {}
        }
    }
    Ok(false)
}

/// The mark in the rules of a living sibling.
pub(super) fn mark_of_sibling(
    instance: Option<&InstanceName>,
    living: &[Listed],
    rules: &[PolicyRule],
) -> Option<Mark> {
    let block = sibling(instance, living)?.name.block()?;
    let [_, jump, look_up, ..] = block.preferences();
    rules.iter().filter(|rule| [jump, look_up].contains(&rule.preference)).find_map(|rule| bit(block, rule))
}

/// The mark of replies in the rules of a block, whichever Clearway of the instance made them.
pub(super) fn replies_of_block(block: Block, rules: &[PolicyRule]) -> Option<Mark> {
    let [replies, ..] = block.preferences();
    rules.iter().filter(|rule| rule.preference == replies).find_map(|rule| bit(block, rule))
}

/// The one bit that one of our rules matches.
fn bit(block: Block, rule: &PolicyRule) -> Option<Mark> {
    let (value, mask) = rule.fwmark.filter(|_| rule.block() == Some(block))?;
    let bit = u8::try_from(value.trailing_zeros()).ok().and_then(Mark::bit)?;
    (bit.value() == value && mask == value).then_some(bit)
}

/// What a bit is wanted for. All Clearways may use one bit for the same purpose: their rules have the same effect. One
/// bit for both purposes would send what one Clearway diverts through another one's rules for replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkPurpose {
    Diverted,
    Replies,
}

/// The rules that a bit must not appear in: those of others, and of living Clearways for the other purpose.
pub(super) fn rivals(purpose: MarkPurpose, living: &[Listed], rules: &[PolicyRule]) -> Vec<PolicyRule> {
    let is_rival = |rule: &&PolicyRule| match rule.block() {
        None => true,
        Some(block) => {
            let [replies, ..] = block.preferences();
            let lives = living.iter().any(|table| table.name.block() == Some(block));
            lives && (rule.preference == replies) == (purpose == MarkPurpose::Diverted)
        }
    };
    rules.iter().filter(is_rival).cloned().collect()
}

/// The mark to use, and a notice if it is not the usual one.
pub(super) fn mark(
    asked: Option<Mark>,
    sibling: Option<Mark>,
    rivals: &[PolicyRule],
) -> Result<(Mark, Option<PlumbingNotice>), PlumbingError> {
    let user = |mark: Mark| rivals.iter().find(|rule| rule.uses(mark));
    match (asked, sibling) {
        (Some(mark), Some(theirs)) if mark != theirs => Err(PlumbingError::MarkDiffers { mark, theirs }),
        (_, Some(theirs)) => Ok((theirs, None)),
        (Some(mark), None) => match user(mark) {
            Some(rule) => Err(PlumbingError::MarkTaken { mark, rule: rule.to_string() }),
            None => Ok((mark, None)),
        },
        (None, None) => {
            let to = free(rivals, None).ok_or(PlumbingError::NoFreeMark)?;
            let moved = user(Mark::DEFAULT)
                .map(|rule| PlumbingNotice::MarkMoved { to, because_of: rule.to_string() });
            Ok((to, moved))
        }
    }
}

/// The first bit that no rival uses.
pub(super) fn free(rivals: &[PolicyRule], except: Option<Mark>) -> Option<Mark> {
    let mut bits = BITS.into_iter().filter_map(Mark::bit).filter(|mark| Some(*mark) != except);
    bits.find(|mark| !rivals.iter().any(|rule| rule.uses(*mark)))
}

/// Whether another table was first at what `own` has claimed: the same block without being a sibling, or
/// another block for the same instance.
pub(super) fn is_beaten(own: &TableName, living: &[Listed]) -> bool {
    let Some(mine) = living.iter().find(|table| table.name == *own) else {
        return true;
    };
    living.iter().filter(|table| table.name != *own).any(|table| {
        let same_block = table.name.block() == own.block();
        same_block != table.name.is_sibling_of(own) && age(table) < age(mine)
    })
}

/// The kernel counts tables up as they are made; nonces decide on kernels that do not tell (before 4.16).
fn age(table: &Listed) -> (Option<u64>, u32) {
    (table.handle, table.name.nonce)
}
