//! Foreign rules, routes and residue in the way.

use anyhow::{Result, bail, ensure};
use clearway_core::names::Mark;
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds, PlumbingNotice, residue, sweep};
use clearway_lab::inside::{run, same, state};

use super::{left_behind, private, tables};

pub fn residue_in_a_block_is_replaced() -> Result<()> {
    let before = state()?;
    run("ip rule add pref 902 fwmark 0x4/0x4 lookup 3253338112 protocol 179")?;
    run("ip route add local 10.0.0.0/8 dev lo table 3253338112 proto 179")?;
    run("ip -6 rule add pref 903 nop protocol 179")?;
    let (mut plumbing, _) = private()?;
    ensure!(plumbing.describe().preferences[0] == 901);
    ensure!(residue()?.len() == 9, "{:?}", residue()?);
    plumbing.remove()?;
    same(&before, &state()?, "residue went along")
}

pub fn a_foreign_rule_with_the_bit_moves_the_mark() -> Result<()> {
    run("ip rule add pref 100 fwmark 0x20000000/0x20000000 lookup 100")?;
    run("ip -6 rule add pref 101 fwmark 0x40000000/0xc0000000 lookup 100")?;
    run("ip rule add pref 32764 not fwmark 0xca6c lookup 51820")?;
    let (plumbing, notices) = private()?;
    ensure!(plumbing.describe().mark.value() == 0x1000_0000, "{:?}", plumbing.describe());
    ensure!(matches!(&notices[..], [PlumbingNotice::MarkMoved { .. }]), "{notices:?}");
    let ruleset = run("nft list ruleset")?;
    ensure!(ruleset.contains("meta mark | 0x10000000"), "{ruleset}");
    let Err(error) = Plumbing::install(None, Some(Mark::DEFAULT), &PlumbingNeeds::default()) else {
        bail!("the mark was taken")
    };
    ensure!(error.to_string().contains("100: from all fwmark 0x20000000/0x20000000 lookup 100"), "{error}");
    ensure!(tables()? == 1, "the refused one left something");
    Ok(())
}

pub fn foreign_rules_and_routes_move_the_block() -> Result<()> {
    run("ip rule add pref 903 from 192.0.2.1 lookup main")?;
    run("ip -6 route add blackhole default table 3253338113")?;
    run("ip rule add pref 5000 from 192.0.2.2 lookup 3253338114")?;
    let before = state()?;
    let (mut plumbing, _) = private()?;
    ensure!(plumbing.describe().preferences == [916, 917, 918], "{:?}", plumbing.describe());
    plumbing.remove()?;
    same(&before, &state()?, "foreign things stay")
}

pub fn foreign_things_with_our_tag_are_not_ours() -> Result<()> {
    run("ip rule add pref 2000 from 192.0.2.1 lookup main protocol 179")?;
    run("ip route add blackhole 192.0.2.0/24 proto 179")?;
    run("ip rule add pref 902 fwmark 0x20000000/0x20000000 lookup 3253338112 protocol 3")?;
    let before = state()?;
    let swept = sweep()?;
    ensure!(swept.removed.is_empty() && residue()?.is_empty(), "{swept}");
    let (mut plumbing, _) = Plumbing::install(None, Mark::bit(30), &PlumbingNeeds::default())?;
    ensure!(plumbing.describe().preferences[0] == 906);
    plumbing.remove()?;
    same(&before, &state()?, "foreign things stay")
}

pub fn repair_puts_back_what_others_flushed() -> Result<()> {
    let (mut plumbing, _) = private()?;
    let whole = state()?;
    run("ip rule flush protocol 179")?;
    // Takes the IPv6 route along; the IPv4 one survives (measured on 6.18).
    run("ip link set lo down")?;
    run("ip link set lo up")?;
    run("nft flush ruleset")?;
    let made = plumbing.repair()?.put_back;
    ensure!(made.len() == 4 + left_behind(), "{made:?}");
    same(&whole, &state()?, "after the repair")
}
