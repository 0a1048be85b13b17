//! What intercepting puts into a kernel, and what outlives the process that did it, as `ip` and `nft` see it.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clearway_core::intercept::Interception;
use clearway_core::names::Mark;
use clearway_core::settings::{SettingKey, Settings};
use clearway_kernel::plumbing::{Closing, Plumbing, PlumbingNeeds, closed, residue, sweep, sweep_but};
use clearway_lab::inside::{self, Named, helper, run, same, state};
use clearway_lab::kernel::as_nft_now;
use serde_json::Value;

const TESTS: &[Named] = &[
    ("an_open_one_is_a_chain_and_no_rules", an_open_one_is_a_chain_and_no_rules),
    ("a_closed_one_takes_what_has_no_socket", a_closed_one_takes_what_has_no_socket),
    ("every_field_is_read_back_by_nft", every_field_is_read_back_by_nft),
    ("closed_rules_are_read_back_by_ip", closed_rules_are_read_back_by_ip),
    ("closing_twice_and_repairing_changes_nothing", closing_twice_and_repairing_changes_nothing),
    ("what_says_less_is_no_obstacle_to_what_says_more", what_says_less_is_no_obstacle_to_what_says_more),
    ("a_killed_one_stays_closed_until_a_sweep", a_killed_one_stays_closed_until_a_sweep),
    ("the_next_one_removes_nothing_that_it_wants", the_next_one_removes_nothing_that_it_wants),
    ("a_removal_may_leave_it_closed", a_removal_may_leave_it_closed),
    ("siblings_close_together", siblings_close_together),
    ("it_may_stop_intercepting", it_may_stop_intercepting),
];

const HELPERS: &[Named] = &[("hold", hold)];

/// What the helper closes.
const HELD: &str = "10.2.0.0/16 port 80 from lan0 to 8080; any port any to 8081";

fn main() -> ExitCode {
    inside::main(TESTS, HELPERS)
}

fn hold() -> Result<()> {
    let _plumbing = install(&closing(HELD)?)?;
    println!("there");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn interception(rules: &str, fail: &str) -> Result<Interception> {
    let mut settings = Settings::default();
    settings.set(SettingKey::Intercept, rules, "rules")?;
    settings.set(SettingKey::InterceptFail, fail, "fail")?;
    Ok(settings.interception)
}

fn closing(rules: &str) -> Result<PlumbingNeeds> {
    Ok(PlumbingNeeds { interception: interception(rules, "closed")?, ..PlumbingNeeds::default() })
}

fn install(needs: &PlumbingNeeds) -> Result<Plumbing> {
    Ok(Plumbing::install(None, None, needs)?.0)
}

/// A chain of our table as `nft` lists it, without its frame.
fn chain(name: &str) -> Result<Vec<String>> {
    let ruleset = run("nft list ruleset")?;
    let inside =
        ruleset.lines().map(str::trim).skip_while(|line| *line != format!("chain {name} {{")).skip(1);
    Ok(inside.take_while(|line| *line != "}").map(str::to_owned).collect())
}

/// Our rules of a family, as `ip` prints them.
fn rules(family: &str) -> Result<BTreeSet<String>> {
    let all = run(&format!("ip {family} rule"))?;
    let ours = all.lines().filter(|line| line.contains("proto 179"));
    Ok(ours.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

fn prohibiting(family: &str) -> Result<Vec<String>> {
    Ok(rules(family)?.into_iter().filter(|line| line.contains("prohibit")).collect())
}

fn an_open_one_is_a_chain_and_no_rules() -> Result<()> {
    let before = state()?;
    let needs = PlumbingNeeds {
        interception: interception("10.2.0.0/16,fd02::/63 port 80,8000-8099 from lan0 to 8080", "open")?,
        ..PlumbingNeeds::default()
    };
    let mut plumbing = install(&needs)?;
    let prerouting = chain("prerouting")?;
    let expected = [
        "type filter hook prerouting priority mangle; policy accept;",
        "iif \"lo\" return",
        "tcp flags syn / fin,syn,rst,ack jump intercept",
        "meta l4proto tcp socket transparent 1 goto divert",
        "meta l4proto icmp socket transparent 1 goto divert",
        "meta l4proto ipv6-icmp socket transparent 1 goto divert",
    ];
    let prerouting: Vec<String> = prerouting.iter().map(|line| as_nft_now(line)).collect();
    ensure!(prerouting == expected, "{prerouting:#?}");
    let goes_on =
        |family: &str| format!("tproxy {family} to :8080 meta mark set meta mark | 0x20000000 accept");
    let [four, six] = ["ip", "ip6"].map(goes_on);
    let expected = [
        "fib daddr type local return".to_owned(),
        format!("iifname \"lan0\" ip daddr 10.2.0.0/16 tcp dport 80 {four}"),
        format!("iifname \"lan0\" ip daddr 10.2.0.0/16 tcp dport 8000-8099 {four}"),
        format!("iifname \"lan0\" ip6 daddr fd02::/63 tcp dport 80 {six}"),
        format!("iifname \"lan0\" ip6 daddr fd02::/63 tcp dport 8000-8099 {six}"),
    ];
    let intercept = chain("intercept")?;
    ensure!(intercept == expected, "{intercept:#?}");
    ensure!(chain("divert")?[0] == "socket wildcard 1 return", "{:?}", chain("divert")?);
    ensure!(closed()?.is_empty() && residue()?.len() == 9, "{:?}", residue()?);
    let described = plumbing.describe();
    ensure!(described.intercepts.len() == 1 && described.fail.is_some(), "{described:?}");
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")
}

fn a_closed_one_takes_what_has_no_socket() -> Result<()> {
    let plumbing = install(&closing(
        "192.0.2.1,fd00::/9 port 80 to 8080; any port any to 1; 0.0.0.0/0,::/0 port 1-2 to 3",
    )?)?;
    let prerouting = chain("prerouting")?;
    ensure!(
        prerouting.last().is_some_and(|rule| rule == "meta l4proto tcp jump intercept"),
        "{prerouting:#?}"
    );
    ensure!(chain("divert")?[0] == "socket wildcard 1 goto intercept", "{:?}", chain("divert")?);
    let all = chain("intercept")?;
    ensure!(all[0] == "fib daddr type local return" && all.len() == 6, "{all:#?}");
    // What is listed can be read again: people keep their rules in a file.
    let listed = run("nft list ruleset")?.replace("flags owner", "");
    drop(plumbing);
    sweep()?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), listed)?;
    run(&format!("nft -f {}", file.path().display()))?;
    Ok(())
}

fn every_field_is_read_back_by_nft() -> Result<()> {
    let needs = PlumbingNeeds {
        interception: interception("10.2.0.0/15 port 80-90 from lan0 to 443", "open")?,
        ..PlumbingNeeds::default()
    };
    let _plumbing = install(&needs)?;
    let ruleset: Value = serde_json::from_str(&run("nft -j list ruleset")?)?;
    let all = ruleset["nftables"].as_array().context("no list")?;
    let rule = all.iter().filter(|one| one["rule"]["chain"] == "intercept").nth(1).context("no rule")?;
    let text = rule["rule"]["expr"].to_string();
    for part in [
        r#""right":"lan0""#,
        r#"{"prefix":{"addr":"10.2.0.0","len":15}}"#,
        r#"{"range":[80,90]}"#,
        r#"{"tproxy":{"family":"ip","port":443}}"#,
        r#"{"|":[{"meta":{"key":"mark"}},536870912]}"#,
        r#"{"accept":null}"#,
    ] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    Ok(())
}

fn closed_rules_are_read_back_by_ip() -> Result<()> {
    let _plumbing = install(&closing(
        "10.2.0.0/16,fd02::/64 port 80,8000-8099 from lan0 to 8080; 192.0.2.1 port any to 1",
    )?)?;
    let four: Value = serde_json::from_str(&run("ip -4 -j rule")?)?;
    let four: Vec<&Value> = four
        .as_array()
        .context("no list")?
        .iter()
        .filter(|rule| rule["protocol"] == "179" && rule["action"] == "prohibit")
        .collect();
    ensure!(four.len() == 3, "{four:#?}");
    ensure!(four.iter().all(|rule| rule["priority"] == 902 && rule["ipproto"] == "tcp"), "{four:#?}");
    let expected = [
        "901: from all iif lo goto 903 proto 179",
        "902: from all to 10.2.0.0/16 fwmark 0/0x20000000 iif lan0 [detached] ipproto tcp dport 80 prohibit proto 179",
        "902: from all to 10.2.0.0/16 fwmark 0/0x20000000 iif lan0 [detached] ipproto tcp dport 8000-8099 prohibit proto 179",
        "902: from all to 192.0.2.1 fwmark 0/0x20000000 ipproto tcp prohibit proto 179",
    ];
    let told = rules("-4")?;
    for line in expected {
        ensure!(told.contains(line), "`{line}` is missing in {told:#?}");
    }
    ensure!(prohibiting("-6")?.len() == 2 && rules("-6")?.contains(expected[0]), "{:#?}", rules("-6")?);
    // In our own words, too, but for what `ip` knows of interfaces.
    let ours = closed()?;
    ensure!(ours.len() == 5, "{ours:#?}");
    ensure!(ours.contains(&format!("IPv4 rule {}", expected[1].replace(" [detached]", ""))), "{ours:#?}");
    Ok(())
}

fn closing_twice_and_repairing_changes_nothing() -> Result<()> {
    let before = state()?;
    let mut plumbing = install(&closing(HELD)?)?;
    let whole = state()?;
    ensure!(plumbing.repair()?.is_empty(), "something was repaired");
    let needs = plumbing.needs().clone();
    ensure!(plumbing.follow(&needs)?.is_empty(), "something has changed");
    same(&whole, &state()?, "after a repair")?;
    let sorted = [rules("-4")?, rules("-6")?];
    for meddling in [
        "ip rule del pref 901",
        "ip rule del pref 902",
        "ip -6 rule del pref 902 prohibit",
        "ip rule flush protocol 179",
    ] {
        run(meddling)?;
        ensure!(!plumbing.repair()?.put_back.is_empty(), "`{meddling}` was not noticed");
        ensure!(sorted == [rules("-4")?, rules("-6")?], "after `{meddling}`: {:#?}", rules("-4")?);
    }
    plumbing.remove()?;
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")
}

/// The kernel compares only what it is told, when it makes a rule and when it removes one.
fn what_says_less_is_no_obstacle_to_what_says_more() -> Result<()> {
    let before = state()?;
    let sets = [
        "10.0.0.0/8,fd00::/8 port 80 to 1; 10.0.0.0/8 port any to 1; any port 80 to 1; any port any from lan0 to 1",
        "10.0.0.0/8 port any to 1",
        "10.0.0.0/8 port 80,90,100-110 to 1; any port 90 to 1; fd00::/8 port 90 to 2",
        "any port any to 1; 0.0.0.0/0 port any to 2; 10.0.0.0/8 port 80,90 from lan0 to 1",
        "any port 80 from lan0 to 1",
        "10.0.0.0/8 port 80 from lan0 to 1; 10.0.0.0/8 port any from lan0 to 1; 10.0.0.0/8 port 80 to 1; 10.0.0.0/8 port any to 1",
    ];
    let mut plumbing = install(&closing(sets[0])?)?;
    for rules_now in sets.iter().chain(sets.iter().rev()) {
        plumbing.follow(&closing(rules_now)?)?;
        let now = [rules("-4")?, rules("-6")?];
        let made_anew = {
            let mut alone = Plumbing::install(None, None, &closing(rules_now)?)?.0;
            let of_block = |family: &str| -> Result<BTreeSet<String>> {
                let all = rules(family)?.into_iter().filter(|line| line.as_str() >= "905");
                Ok(all
                    .map(|line| line.replace("906:", "901:").replace("907:", "902:").replace("908", "903"))
                    .collect())
            };
            let both = [of_block("-4")?, of_block("-6")?];
            alone.remove()?;
            both
        };
        let table = |rules: &BTreeSet<String>| -> BTreeSet<String> {
            rules.iter().map(|line| line.replace("3253338113", "3253338112")).collect()
        };
        ensure!(
            now.each_ref().map(table) == made_anew.each_ref().map(table),
            "{rules_now}: {now:#?} {made_anew:#?}"
        );
    }
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")?;
    for rules_now in sets {
        install(&closing(rules_now)?)?.remove()?;
        same(&before, &state()?, rules_now)?;
    }
    Ok(())
}

/// Starts a process that closes, and kills it.
fn killed() -> Result<()> {
    let mut child = helper("hold", &[])?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut word = [0; 5];
    child.stdout.take().context("no output")?.read_exact(&mut word)?;
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn a_killed_one_stays_closed_until_a_sweep() -> Result<()> {
    let before = state()?;
    killed()?;
    // One, and both halves of everything in both families.
    ensure!(closed()?.len() == 5, "{:?}", closed()?);
    let swept = sweep_but(Closing::Stays)?;
    ensure!(swept.removed.iter().all(|line| !line.contains("prohibit")), "{swept}");
    ensure!(closed()?.len() == 5, "{:?}", closed()?);
    let left = [rules("-4")?, rules("-6")?];
    for family in &left {
        let needed = ["901: from all iif lo goto 903 proto 179", "903: from all nop proto 179"];
        ensure!(needed.iter().all(|line| family.contains(*line)), "{family:#?}");
        ensure!(family.iter().all(|line| !line.contains("lookup")), "{family:#?}");
    }
    ensure!(sweep_but(Closing::Stays)?.removed.is_empty(), "a second time there was something left");
    sweep()?;
    same(&before, &state()?, "after the sweep")
}

/// Watched by a listener for changes of rules: what both want is never removed.
fn the_next_one_removes_nothing_that_it_wants() -> Result<()> {
    let before = state()?;
    killed()?;
    sweep_but(Closing::Stays)?;
    let mut monitor = Command::new("ip").args(["monitor", "rule"]).stdout(Stdio::piped()).spawn()?;
    // It has begun when it reports a rule of ours.
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(monitor.stdout.take().context("no output")?));
    let mut heard = |until: &str| -> Result<Vec<String>> {
        let mut all = Vec::new();
        for line in lines.by_ref() {
            let line = line?;
            if line.contains(until) {
                break;
            }
            all.push(line);
        }
        Ok(all)
    };
    let knocking = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while knocking.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = run("ip rule add pref 5000 from 192.0.2.1 lookup main");
                let _ = run("ip rule del pref 5000");
            }
        });
        let begun = heard("5000:");
        knocking.store(false, std::sync::atomic::Ordering::Relaxed);
        begun
    })?;
    let mut plumbing = install(&closing(&format!("{HELD}; 192.0.2.0/24 port 25 to 2525"))?)?;
    run("ip rule add pref 6000 from 192.0.2.1 lookup main")?;
    let happened = heard("6000:")?;
    run("ip rule del pref 6000")?;
    monitor.kill()?;
    monitor.wait()?;
    let gone: Vec<&String> =
        happened.iter().filter(|line| line.contains("Deleted") && !line.contains("5000:")).collect();
    ensure!(gone.is_empty(), "{gone:#?}");
    ensure!(happened.iter().any(|line| line.contains("192.0.2.0/24")), "nothing was heard: {happened:#?}");
    // What it does not want has gone.
    plumbing.remove()?;
    killed()?;
    let mut plumbing = install(&closing("10.2.0.0/16 port 80 to 8080")?)?;
    ensure!(closed()?.len() == 1, "{:?}", closed()?);
    plumbing.remove()?;
    // The table of the one that was killed, where it has no owner.
    sweep()?;
    same(&before, &state()?, "after the removal")
}

fn a_removal_may_leave_it_closed() -> Result<()> {
    let before = state()?;
    let mut plumbing = install(&closing(HELD)?)?;
    let all = closed()?;
    plumbing.remove_but(Closing::Stays)?;
    ensure!(closed()? == all && run("nft list tables")?.is_empty(), "{:?}", closed()?);
    let left = state()?;
    plumbing.remove_but(Closing::Stays)?;
    same(&left, &state()?, "after the second time")?;
    // With another mark the next one lies in the same block, and its own packets pass.
    let needs = closing(HELD)?;
    let (mut next, _) = Plumbing::install(None, Mark::bit(30), &needs)?;
    ensure!(prohibiting("-4")?.iter().all(|line| line.contains("0/0x40000000")), "{:?}", prohibiting("-4")?);
    next.remove()?;
    same(&before, &state()?, "after the removal")
}

fn siblings_close_together() -> Result<()> {
    let before = state()?;
    let name = "edge".parse()?;
    let (mut old, _) = Plumbing::install(Some(&name), None, &closing("10.2.0.0/16 port 80 to 8080")?)?;
    let (mut new, _) = Plumbing::install(Some(&name), None, &closing("10.2.0.0/16 port any to 8080")?)?;
    ensure!(closed()?.len() == 2, "{:?}", closed()?);
    ensure!(new.repair()?.is_empty(), "the rules of a living sibling were removed");
    old.remove()?;
    ensure!(closed()?.len() == 2, "the one that left first has opened it: {:?}", closed()?);
    let repaired = new.repair()?;
    ensure!(repaired.put_back.is_empty() && repaired.removed.len() == 1, "{repaired:?}");
    ensure!(
        prohibiting("-4")?
            == ["902: from all to 10.2.0.0/16 fwmark 0/0x20000000 ipproto tcp prohibit proto 179"],
        "{:?}",
        prohibiting("-4")?
    );
    new.remove()?;
    same(&before, &state()?, "after both have gone")
}

fn it_may_stop_intercepting() -> Result<()> {
    let before = state()?;
    let mut plumbing = install(&closing("10.2.0.0/16 port 80 to 8080")?)?;
    plumbing.stop_intercepting()?;
    ensure!(chain("intercept")?.is_empty() && !chain("divert")?.is_empty(), "{}", run("nft list ruleset")?);
    ensure!(!run("nft list ruleset")?.contains("jump intercept"), "{}", run("nft list ruleset")?);
    ensure!(closed()?.len() == 1 && plumbing.describe().intercepts.is_empty(), "it is open");
    plumbing.stop_intercepting()?;
    ensure!(plumbing.repair()?.is_empty() && chain("intercept")?.is_empty(), "it intercepts again");
    plumbing.remove()?;
    same(&before, &state()?, "after the removal")
}
