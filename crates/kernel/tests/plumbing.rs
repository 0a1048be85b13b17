//! What installing, removing, dying and sweeping do to a kernel, as `ip` and `nft` see it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clearway_core::names::{InstanceName, Mark};
use clearway_kernel::nft::NftLimits;
use clearway_kernel::plumbing::{Plumbing, PlumbingError, PlumbingNeeds, PlumbingNotice, residue, sweep};
use clearway_lab::inside::{self, Named, helper, run, same, state};
use clearway_lab::kernel::has_owner_tables;
use serde_json::Value;

#[path = "plumbing/foreign.rs"]
mod foreign;
#[path = "plumbing/less.rs"]
mod less;

use foreign::{
    a_foreign_rule_with_the_bit_moves_the_mark, foreign_rules_and_routes_move_the_block,
    foreign_things_with_our_tag_are_not_ours, repair_puts_back_what_others_flushed,
    residue_in_a_block_is_replaced,
};
use less::{
    a_lock_that_is_never_released_delays_but_does_not_stop, a_plain_table_that_others_flushed_is_put_back,
    lo_down_is_told_and_rolled_back, try_install, without_ipv6_on_lo_ipv4_works,
    without_net_admin_the_error_says_so, without_owner_tables_a_socket_is_the_sign_of_life,
    without_wildcard_the_guard_is_left_out,
};

const TESTS: &[Named] = &[
    ("install_makes_what_the_documentation_shows", install_makes_what_the_documentation_shows),
    ("remove_leaves_nothing_and_may_be_called_twice", remove_leaves_nothing_and_may_be_called_twice),
    (
        "a_killed_process_leaves_no_table_and_a_sweep_the_rest",
        a_killed_process_leaves_no_table_and_a_sweep_the_rest,
    ),
    ("a_sweep_leaves_the_living_alone", a_sweep_leaves_the_living_alone),
    ("two_private_instances_have_two_blocks", two_private_instances_have_two_blocks),
    ("siblings_share_a_block_until_the_last_one_goes", siblings_share_a_block_until_the_last_one_goes),
    ("residue_in_a_block_is_replaced", residue_in_a_block_is_replaced),
    ("a_foreign_rule_with_the_bit_moves_the_mark", a_foreign_rule_with_the_bit_moves_the_mark),
    ("foreign_rules_and_routes_move_the_block", foreign_rules_and_routes_move_the_block),
    ("foreign_things_with_our_tag_are_not_ours", foreign_things_with_our_tag_are_not_ours),
    ("without_net_admin_the_error_says_so", without_net_admin_the_error_says_so),
    ("the_netlink_socket_is_not_inherited", the_netlink_socket_is_not_inherited),
    ("without_owner_tables_a_socket_is_the_sign_of_life", without_owner_tables_a_socket_is_the_sign_of_life),
    ("without_wildcard_the_guard_is_left_out", without_wildcard_the_guard_is_left_out),
    ("without_ipv6_on_lo_ipv4_works", without_ipv6_on_lo_ipv4_works),
    ("lo_down_is_told_and_rolled_back", lo_down_is_told_and_rolled_back),
    ("repair_puts_back_what_others_flushed", repair_puts_back_what_others_flushed),
    ("a_plain_table_that_others_flushed_is_put_back", a_plain_table_that_others_flushed_is_put_back),
    (
        "a_lock_that_is_never_released_delays_but_does_not_stop",
        a_lock_that_is_never_released_delays_but_does_not_stop,
    ),
    ("many_at_once_get_blocks_of_their_own", many_at_once_get_blocks_of_their_own),
];

const HELPERS: &[Named] = &[("hold", hold), ("hold_plain", hold_plain), ("try", try_install)];

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

/// Installs, says what, and lives until it is killed or its standard input ends.
fn hold() -> Result<()> {
    hold_with(NftLimits::default())
}

fn hold_plain() -> Result<()> {
    hold_with(NftLimits { owner: false, ..NftLimits::default() })
}

fn hold_with(limits: NftLimits) -> Result<()> {
    let (plumbing, _) = Plumbing::install_within(None, None, &PlumbingNeeds::default(), limits)?;
    println!("{}", serde_json::to_string(&plumbing.describe())?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A process that holds plumbing; killed by its own handle.
struct Holder {
    child: Child,
    described: Value,
}

impl Holder {
    fn start(name: &str) -> Result<Self> {
        let mut child = helper(name, &[])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let described = serde_json::from_str(&line).with_context(|| format!("`{line}` is no description"))?;
        Ok(Self { child, described })
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn table(&self) -> Result<&str> {
        self.described["table"].as_str().context("no table")
    }
}

fn named(text: &str) -> Result<InstanceName> {
    Ok(text.parse()?)
}

fn private() -> Result<(Plumbing, Vec<PlumbingNotice>)> {
    usual(Plumbing::install(None, None, &PlumbingNeeds::default())?)
}

/// Takes the notice of a missing owner out, which must be there exactly where the kernel has no owner tables.
fn usual(
    (plumbing, mut notices): (Plumbing, Vec<PlumbingNotice>),
) -> Result<(Plumbing, Vec<PlumbingNotice>)> {
    ensure!(notices.contains(&PlumbingNotice::NoOwner) != has_owner_tables(), "{notices:?}");
    notices.retain(|notice| *notice != PlumbingNotice::NoOwner);
    Ok((plumbing, notices))
}

/// How many tables a process leaves behind that was killed: documented for kernels before 5.12.
fn left_behind() -> usize {
    usize::from(!has_owner_tables())
}

fn tables() -> Result<usize> {
    let json: Value = serde_json::from_str(&run("nft -j list tables")?)?;
    let all = json["nftables"].as_array().context("no list")?;
    Ok(all.iter().filter(|object| object.get("table").is_some()).count())
}

fn install_makes_what_the_documentation_shows() -> Result<()> {
    let (plumbing, notices) =
        usual(Plumbing::install(Some(&named("edge")?), None, &PlumbingNeeds::default())?)?;
    ensure!(notices.is_empty(), "{notices:?}");
    let described = plumbing.describe();
    ensure!(described.owner == has_owner_tables(), "{described:?}");
    ensure!(described.wildcard_guard && described.families.len() == 2, "{described:?}");
    ensure!(described.table.starts_with("clearway_edge_0_"), "{described:?}");
    let ruleset = run("nft list ruleset")?;
    let wanted = format!(
        "table inet {} {{ # progname plumbing
\tflags owner

\tchain prerouting {{
\t\ttype filter hook prerouting priority mangle; policy accept;
\t\tiif \"lo\" return
\t\tmeta l4proto tcp socket transparent 1 goto divert
\t\tmeta l4proto icmp socket transparent 1 goto divert
\t\tmeta l4proto ipv6-icmp socket transparent 1 goto divert
\t}}

\tchain divert {{
\t\tsocket wildcard 1 return
\t\tmeta mark set meta mark | 0x20000000 accept
\t}}

\tchain forward {{
\t\ttype filter hook forward priority raw; policy accept;
\t\tmeta mark & 0x20000000 == 0x20000000 drop
\t}}
}}
",
        described.table
    );
    let without_owner_comment = |text: &str| -> String {
        text.lines().map(|line| line.split(" # progname").next().unwrap_or(line).to_owned() + "\n").collect()
    };
    let wanted = if has_owner_tables() { wanted } else { wanted.replace("\tflags owner\n\n", "") };
    same(&without_owner_comment(&wanted), &without_owner_comment(&ruleset), "the ruleset")?;
    for family in ["-4", "-6"] {
        // iproute2 6.1 lists all rules whatever protocol is asked for.
        let mut rules: Value = serde_json::from_str(&run(&format!("ip {family} -j rule"))?)?;
        rules.as_array_mut().context("no list")?.retain(|rule| rule["protocol"] == "179");
        let wanted = serde_json::json!([
            {"priority": 901, "src": "all", "fwmark": "0x20000000", "fwmask": "0x20000000", "iif": "lo",
             "goto": 903, "protocol": "179"},
            {"priority": 902, "src": "all", "fwmark": "0x20000000", "fwmask": "0x20000000",
             "table": "3253338112", "protocol": "179"},
            {"priority": 903, "src": "all", "nop": null, "protocol": "179"},
        ]);
        ensure!(rules == wanted, "{rules:#}");
        let routes: Value =
            serde_json::from_str(&run(&format!("ip {family} -j route show table 3253338112"))?)?;
        let route = &routes[0];
        ensure!(route["type"] == "local" && route["dst"] == "default" && route["dev"] == "lo", "{routes:#}");
        ensure!(
            route["protocol"] == "179" && routes.as_array().is_some_and(|all| all.len() == 1),
            "{routes:#}"
        );
    }
    Ok(())
}

fn remove_leaves_nothing_and_may_be_called_twice() -> Result<()> {
    let before = state()?;
    let (mut plumbing, _) = private()?;
    ensure!(residue()?.len() == 9, "{:?}", residue()?);
    plumbing.remove()?;
    same(&before, &state()?, "after the first removal")?;
    plumbing.remove()?;
    same(&before, &state()?, "after the second removal")?;
    ensure!(residue()?.is_empty());
    // A dropped one is no less gone, table-wise.
    drop(private()?);
    ensure!(tables()? == left_behind());
    sweep()?;
    same(&before, &state()?, "after a drop and a sweep")
}

fn a_killed_process_leaves_no_table_and_a_sweep_the_rest() -> Result<()> {
    run("ip rule add pref 100 fwmark 0x1 lookup 100")?;
    run("ip route add local default dev lo table 100")?;
    run("nft add table inet foreign")?;
    let before = state()?;
    let holder = Holder::start("hold")?;
    ensure!(tables()? == 2);
    holder.kill()?;
    ensure!(tables()? == 1 + left_behind(), "the table outlived its process");
    ensure!(residue()?.len() == 8 + left_behind(), "{:?}", residue()?);
    let swept = sweep()?;
    ensure!(swept.removed.len() == 8 + left_behind(), "{swept}");
    same(&before, &state()?, "after the sweep")?;
    ensure!(sweep()?.removed.is_empty());
    Ok(())
}

fn a_sweep_leaves_the_living_alone() -> Result<()> {
    let dead = Holder::start("hold")?;
    let living = Holder::start("hold")?;
    dead.kill()?;
    let swept = sweep()?;
    ensure!(swept.removed.len() == 8 + left_behind(), "{swept}");
    ensure!(swept.removed.iter().all(|line| !line.contains("rule 905")), "{swept}");
    let after = state()?;
    ensure!(after.contains(living.table()?) && after.contains("907:"), "{after}");
    ensure!(sweep()?.removed.is_empty());
    same(&after, &state()?, "after another sweep")?;
    living.kill()
}

fn two_private_instances_have_two_blocks() -> Result<()> {
    let before = state()?;
    let (mut first, _) = private()?;
    let alone = state()?;
    let (mut second, _) = private()?;
    let (one, two) = (first.describe(), second.describe());
    ensure!(one.preferences == [901, 902, 903] && two.preferences == [906, 907, 908], "{one:?} {two:?}");
    ensure!(one.route_table != two.route_table && one.mark == two.mark);
    second.remove()?;
    same(&alone, &state()?, "after the second has gone")?;
    first.remove()?;
    same(&before, &state()?, "after both have gone")
}

fn siblings_share_a_block_until_the_last_one_goes() -> Result<()> {
    let before = state()?;
    let name = named("edge")?;
    let bit = Mark::bit(27);
    let (mut old, _) = Plumbing::install(Some(&name), bit, &PlumbingNeeds::default())?;
    let (mut new, _) = Plumbing::install(Some(&name), None, &PlumbingNeeds::default())?;
    ensure!(
        old.describe().preferences == new.describe().preferences
            && new.describe().mark == old.describe().mark
    );
    ensure!(matches!(
        Plumbing::install(Some(&name), Mark::bit(26), &PlumbingNeeds::default()),
        Err(PlumbingError::MarkDiffers { .. })
    ));
    ensure!(residue()?.len() == 8 + 2, "{:?}", residue()?);
    old.remove()?;
    ensure!(residue()?.len() == 8 + 1, "{:?}", residue()?);
    ensure!(new.repair()?.is_empty(), "the old one took something along");
    new.remove()?;
    same(&before, &state()?, "after both have gone")
}

fn the_netlink_socket_is_not_inherited() -> Result<()> {
    let (plumbing, _) = private()?;
    let mut child = Command::new("sleep").arg("60").spawn()?;
    // `spawn` returns from vfork before the kernel has closed what is close-on-exec: an instant later.
    let deadline = Instant::now() + Duration::from_secs(5);
    while sockets_of(child.id())? > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    let inherited = sockets_of(child.id());
    drop(plumbing);
    let left = tables();
    child.kill()?;
    child.wait()?;
    ensure!(inherited? == 0, "a child has our socket");
    ensure!(left? == left_behind(), "a child keeps the table alive");
    Ok(())
}

fn sockets_of(pid: u32) -> Result<usize> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    let targets = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

fn many_at_once_get_blocks_of_their_own() -> Result<()> {
    let before = state()?;
    let threads: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(|| Plumbing::install(None, None, &PlumbingNeeds::default())))
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        let Ok(installed) = thread.join() else { bail!("a thread panicked") };
        all.push(installed?.0);
    }
    let mut tables: Vec<u32> = all.iter().map(|plumbing| plumbing.describe().route_table.0).collect();
    tables.sort_unstable();
    tables.dedup();
    ensure!(tables.len() == all.len(), "{tables:?}");
    for mut plumbing in all {
        plumbing.remove()?;
    }
    same(&before, &state()?, "after all have gone")
}
