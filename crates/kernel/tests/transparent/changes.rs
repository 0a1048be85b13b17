//! Needs that change, processes that die, rules that are removed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use clearway_core::names::InstanceName;
use clearway_kernel::nft::NftLimits;
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds, residue, sweep};
use clearway_lab::inside::{helper, run, same, state};
use clearway_lab::session::State;

use super::rig::{ask, ask_from, astray, direct_clients_are_served, nft, open, seen, serve, stage};
use super::{LOOPBACK, OWN, install, needs};

pub fn needs_change_while_connections_are_open() -> Result<()> {
    let stage = stage()?;
    let host = &stage.client;
    let remote = serve(host, &["10.1.0.2:84"])?;
    let before = state()?;
    let mut plumbing = install(&PlumbingNeeds::default())?;
    let bare = state()?;
    let mut to_remote = open("10.1.0.2:84", "198.51.100.7")?;
    ensure!(to_remote.peer_seen() == "198.51.100.7" && to_remote.beat() == State::Alive);

    let changed = plumbing.follow(&needs(&LOOPBACK, false)?)?;
    ensure!(changed.len() == 3 && changed[0].contains("904: from 127.0.0.1"), "{changed:?}");
    let mut to_loopback = open("127.0.0.1:81", "10.1.0.2")?;
    ensure!(to_loopback.peer_seen() == "10.1.0.2" && to_loopback.beat() == State::Alive);

    let changed = plumbing.follow(&needs(&LOOPBACK, true)?)?;
    ensure!(changed.len() == 3, "{changed:?}");
    ensure!(plumbing.follow(&needs(&LOOPBACK, true)?)?.is_empty(), "not idempotent");
    ensure!(plumbing.repair()?.is_empty(), "not idempotent");
    seen(&OWN)?;
    let mut to_own = open("10.1.0.1:82", "10.1.0.2")?;
    ensure!(to_own.peer_seen() == "10.1.0.2" && to_own.beat() == State::Alive);
    for connection in [&mut to_remote, &mut to_loopback] {
        ensure!(connection.beat() == State::Alive, "conntrack has hurt an open connection");
    }

    let changed = plumbing.follow(&needs(&["127.0.0.1:81"], true)?)?;
    ensure!(changed.len() == 2 && changed.iter().all(|line| line.starts_with("removed ")), "{changed:?}");
    for connection in [&mut to_remote, &mut to_loopback, &mut to_own] {
        ensure!(connection.beat() == State::Alive, "a connection to a server that is still needed");
    }
    let changed = plumbing.follow(&needs(&["127.0.0.1:81"], false)?)?;
    ensure!(changed.len() == 3, "{changed:?}");
    ensure!(plumbing.describe().reply_mark.is_none() && !plumbing.describe().own);
    for connection in [&mut to_remote, &mut to_loopback] {
        ensure!(connection.beat() == State::Alive, "a connection that needs no conntrack");
    }
    direct_clients_are_served(host)?;
    plumbing.follow(&PlumbingNeeds::default())?;
    same(&bare, &state()?, "after all needs have gone")?;
    ensure!(to_remote.peer_seen() == "198.51.100.7" && to_remote.beat() == State::Alive);
    drop(remote);
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")
}

pub fn a_change_that_fails_changes_nothing() -> Result<()> {
    let mut plumbing = install(&needs(&["127.0.0.1:81"], false)?)?;
    // Every bit but ours.
    run("ip rule add pref 100 fwmark 0x1/0xdfffffff lookup 100")?;
    let whole = state()?;
    let Err(error) = plumbing.follow(&needs(&["[::1]:81"], true)?) else { bail!("there was no bit") };
    ensure!(error.to_string().contains("every bit") && !error.is_without_conntrack(), "{error}");
    same(&whole, &state()?, "after the failure")?;
    ensure!(plumbing.describe().loopback.len() == 1, "{:?}", plumbing.describe());
    let Err(error) = plumbing.follow(&needs(&["10.1.0.1:81"], false)?) else { bail!("no loopback server") };
    ensure!(error.to_string().contains("10.1.0.1:81"), "{error}");
    same(&whole, &state()?, "after the second failure")?;
    ensure!(plumbing.repair()?.is_empty());
    Ok(())
}

pub fn two_of_one_instance_have_the_union_of_their_needs() -> Result<()> {
    let _stage = stage()?;
    let before = state()?;
    let edge: InstanceName = "edge".parse()?;
    let (mut old, _) = Plumbing::install(Some(&edge), None, &needs(&["127.0.0.1:81"], true)?)?;
    let (mut new, _) = Plumbing::install(Some(&edge), None, &needs(&["[::1]:81"], false)?)?;
    let union = ["127.0.0.1:81", "[::1]:81"];
    seen(&union)?;
    seen(&OWN)?;
    // Neither takes anything from the other, whatever it needs no longer.
    ensure!(new.repair()?.is_empty() && old.repair()?.is_empty(), "a repair of what is whole");
    new.follow(&PlumbingNeeds::default())?;
    new.follow(&needs(&["[::1]:81"], false)?)?;
    seen(&union)?;
    seen(&OWN)?;
    old.follow(&needs(&[], true)?)?;
    seen(&union)?;
    // The second bit is shared.
    new.follow(&needs(&["[::1]:81"], true)?)?;
    ensure!(new.describe().reply_mark == old.describe().reply_mark, "two second marks");
    new.follow(&needs(&["[::1]:81"], false)?)?;
    seen(&OWN)?;
    old.remove()?;
    seen(&["[::1]:81"])?;
    ensure!(
        residue()?.iter().any(|line| line.contains("904: from 127.0.0.1")),
        "the last one to leave trims"
    );
    let repaired = new.repair()?;
    ensure!(repaired.removed.len() == 3 && repaired.put_back.is_empty(), "{repaired:?}");
    seen(&["[::1]:81"])?;
    astray(&["127.0.0.1:81"])?;
    ensure!(new.repair()?.is_empty(), "not idempotent");
    new.remove()?;
    same(&before, &state()?, "after both have gone")
}

pub fn a_killed_process_does_not_hurt_local_clients() -> Result<()> {
    let stage = stage()?;
    let host = &stage.client;
    // Another program redirects clients to a loopback address.
    std::fs::write("/proc/sys/net/ipv4/conf/eth1/route_localnet", "1")?;
    nft("table ip to_loopback {
  chain prerouting { type nat hook prerouting priority dstnat
    tcp dport 8081 dnat to 127.0.0.1:81
  }
}
")?;
    let before = state()?;
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "10.1.0.2", "the redirection does not work");
    let mut holder = helper("hold", &[])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    BufReader::new(holder.stdout.take().context("no output")?).read_line(&mut String::new())?;
    seen(&LOOPBACK)?;
    seen(&OWN)?;
    direct_clients_are_served(host)?;
    // Documented: a client that is redirected to a server that is to be reached transparently.
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "silence", "better than documented");
    holder.kill()?;
    holder.wait()?;
    ensure!(residue()?.iter().any(|line| line.contains("904: from ::1")), "{:?}", residue()?);
    direct_clients_are_served(host)?;
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "silence", "better than documented");
    // A plain table (Linux before 5.12) goes on marking until the sweep.
    if residue()?.iter().all(|line| !line.starts_with("table")) {
        astray(&OWN)?;
    }
    sweep()?;
    same(&before, &state()?, "after the sweep")?;
    ensure!(ask_from(host, "10.1.0.1:8081", None)? == "10.1.0.2", "the sweep has not helped");
    direct_clients_are_served(host)
}

pub fn repair_puts_back_every_rule() -> Result<()> {
    let _stage = stage()?;
    let mut plumbing = install(&needs(&LOOPBACK, true)?)?;
    let whole = state()?;
    let mut connections = [open("127.0.0.1:81", "10.1.0.2")?, open("10.1.0.1:82", "10.1.0.2")?];
    run("ip rule flush protocol 179")?;
    run("ip -6 rule flush protocol 179")?;
    ensure!(ask("127.0.0.1:81", Some("10.1.0.2"))? == "silence", "nothing was flushed");
    let made = plumbing.repair()?.put_back;
    ensure!(made.len() == 8 + LOOPBACK.len(), "{made:?}");
    same(&whole, &state()?, "after the repair")?;
    for connection in &mut connections {
        ensure!(connection.beat() == State::Alive, "a connection did not survive");
    }
    Ok(())
}

pub fn a_plain_table_gets_its_output_chain_back() -> Result<()> {
    let _stage = stage()?;
    let limits = NftLimits { owner: false, ..NftLimits::default() };
    let (mut plumbing, _) = Plumbing::install_within(None, None, &needs(&[], true)?, limits)?;
    let whole = state()?;
    run("nft flush ruleset")?;
    astray(&["10.1.0.1:82"])?;
    plumbing.repair()?;
    same(&whole, &state()?, "after the repair")?;
    seen(&OWN)?;
    run("nft flush ruleset")?;
    plumbing.follow(&PlumbingNeeds::default())?;
    ensure!(!run("nft list ruleset")?.contains("output"));
    Ok(())
}
