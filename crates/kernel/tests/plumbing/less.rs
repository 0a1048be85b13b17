//! With less than a new kernel offers, and without rights.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clearway_core::hints::Hints;
use clearway_kernel::nft::NftLimits;
use clearway_kernel::plumbing::{Plumbing, PlumbingNeeds, PlumbingNotice, sweep};
use clearway_kernel::token::Token;
use clearway_lab::inside::{helper, run, same, state};

use super::{Holder, private, tables, usual};

pub fn try_install() -> Result<()> {
    let installed = Plumbing::install(None, None, &PlumbingNeeds::default());
    installed.map(drop).map_err(|error| anyhow::anyhow!("{error}: {}", error.hints().concat()))
}

pub fn without_net_admin_the_error_says_so() -> Result<()> {
    let wrapper = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let output = helper("try", &wrapper)?.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && told.contains("--cap-add NET_ADMIN"), "{told}");
    Ok(())
}

pub fn without_owner_tables_a_socket_is_the_sign_of_life() -> Result<()> {
    let before = state()?;
    let limits = NftLimits { owner: false, ..NftLimits::default() };
    let (mut plumbing, notices) = Plumbing::install_within(None, None, &PlumbingNeeds::default(), limits)?;
    ensure!(notices == [PlumbingNotice::NoOwner] && !plumbing.describe().owner, "{notices:?}");
    ensure!(sweep()?.removed.is_empty(), "a living one was swept");
    let holder = Holder::start("hold_plain")?;
    ensure!(holder.described["preferences"][0] == 906, "{}", holder.described);
    let table = holder.table()?.to_owned();
    holder.kill()?;
    ensure!(tables()? == 2, "a plain table stays");
    let swept = sweep()?;
    ensure!(swept.removed.len() == 9 && swept.removed.contains(&format!("table inet {table}")), "{swept}");
    plumbing.remove()?;
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")
}

pub fn without_wildcard_the_guard_is_left_out() -> Result<()> {
    let limits = NftLimits { wildcard: false, ..NftLimits::default() };
    let (plumbing, notices) =
        usual(Plumbing::install_within(None, None, &PlumbingNeeds::default(), limits)?)?;
    ensure!(
        notices == [PlumbingNotice::NoWildcardGuard] && !plumbing.describe().wildcard_guard,
        "{notices:?}"
    );
    ensure!(!run("nft list ruleset")?.contains("wildcard"));
    Ok(())
}

pub fn without_ipv6_on_lo_ipv4_works() -> Result<()> {
    // The test's own namespace: Clearway itself writes no sysctl.
    std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")?;
    let before = state()?;
    let (mut plumbing, notices) = private()?;
    ensure!(matches!(&notices[..], [PlumbingNotice::NoFamily { .. }]), "{notices:?}");
    ensure!(plumbing.describe().families.len() == 1);
    ensure!(!run("ip -6 rule")?.contains("proto 179"));
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")
}

pub fn lo_down_is_told_and_rolled_back() -> Result<()> {
    run("ip link set lo down")?;
    let before = state()?;
    let Err(error) = Plumbing::install(None, None, &PlumbingNeeds::default()) else {
        bail!("a route on an interface that is down")
    };
    ensure!(error.hints().concat().contains("ip link set lo up"), "{error}");
    same(&before, &state()?, "after the failure")
}

pub fn a_plain_table_that_others_flushed_is_put_back() -> Result<()> {
    let limits = NftLimits { owner: false, ..NftLimits::default() };
    let (mut plumbing, _) = Plumbing::install_within(None, None, &PlumbingNeeds::default(), limits)?;
    let whole = state()?;
    let table = format!("table inet {}", plumbing.describe().table);
    ensure!(plumbing.repair()?.is_empty(), "nothing was missing");
    same(&whole, &state()?, "after a repair of what is whole")?;
    // What `systemctl reload nftables` begins with.
    run("nft flush ruleset")?;
    ensure!(plumbing.repair()?.put_back == [table.as_str()], "the table is not named");
    same(&whole, &state()?, "after the repair")?;
    // Or only its rules.
    run(&format!("nft flush {table}"))?;
    plumbing.repair()?;
    same(&whole, &state()?, "after the second repair")
}

pub fn a_lock_that_is_never_released_delays_but_does_not_stop() -> Result<()> {
    let held = Token::claim("clearway_lock")?;
    ensure!(held.is_some());
    let begun = Instant::now();
    let (_plumbing, notices) = private()?;
    ensure!(notices == [PlumbingNotice::Unlocked], "{notices:?}");
    ensure!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    Ok(())
}
