//! Plans of `change` applied to a HAProxy that runs, and its answers compared with those of one that was started with the new file.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use clearway_haproxy::change::{
    Capabilities, Comparison, Expect, Order, Plan, Verdict as Change, comparison,
};
use clearway_haproxy::configuration::{Configuration, SourceFile};
use clearway_haproxy::runtime::state::ServersState;
use clearway_haproxy::runtime::{Channel, CliCommand};
use clearway_haproxy::sockpair;
use libtest_mimic::Failed;

use crate::apply_cases::{CASES, Pair};
use crate::process::{Binary, LIMIT, Running, Start};
use crate::{Verdict, check};

fn ask(running: &Running, command: &str) -> Result<String, Failed> {
    let connection = sockpair::dial(&running.stats)?;
    Ok(CliCommand::new(command)?.ask(&connection, Channel::Worker, LIMIT)?.text)
}

fn scan(text: &str) -> Configuration {
    let source = SourceFile { name: "h.cfg".into(), path: "h.cfg".into(), bytes: text.into() };
    Configuration::scan(vec![source], &|_| None)
}

/// Gives a command, and says whether it was done.
fn give(running: &Running, order: &Order) -> Result<(), Failed> {
    let begin = Instant::now();
    loop {
        let answer = ask(running, &order.command)?;
        let said = answer.trim();
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let done = match &order.expect {
            Expect::Silence => said.is_empty(),
            Expect::Words(words) => has(words),
            Expect::SilenceOr(words) => said.is_empty() || has(words),
            Expect::Version => false,
            Expect::Eventually { done, not_yet, within } => {
                if has(not_yet) && begin.elapsed() < *within {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
                has(done)
            }
        };
        return check(done, format!("`{}` was answered `{said}`", order.command));
    }
}

/// A table with a heading that begins with `# `, by the two columns that name a server, without those that do not matter.
fn table(text: &str, separator: char, without: &[&str]) -> BTreeMap<String, String> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("# "));
    let heading: Vec<&str> =
        lines.next().unwrap_or_default().trim_start_matches("# ").split(separator).collect();
    let row = |line: &str| {
        let fields: BTreeMap<&str, &str> = heading.iter().copied().zip(line.split(separator)).collect();
        let at =
            |names: [&str; 2]| names.iter().find_map(|name| fields.get(name)).copied().unwrap_or_default();
        let key = format!("{}/{}", at(["be_name", "pxname"]), at(["srv_name", "svname"]));
        let kept = fields.iter().filter(|(name, _)| !without.contains(name));
        (key, kept.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    };
    lines.filter(|line| !line.is_empty() && !line.contains("/sock-")).map(row).collect()
}

/// Numbers, times, and what the weight was at the start: differences that cannot matter.
const NOT_STATE: [&str; 6] = [
    "be_id",
    "srv_id",
    "srv_f_forced_id",
    "srv_time_since_last_change",
    "srv_iweight",
    // 4 of it: that the file said it.
    "srv_admin_state",
];

/// What is configuration in the statistics.
const STATISTICS: [&str; 22] = [
    "pxname",
    "svname",
    "slim",
    "qlimit",
    "weight",
    "act",
    "bck",
    "status",
    "type",
    "mode",
    "algo",
    "cookie",
    "check_status",
    "check_rise",
    "check_fall",
    "check_health",
    "agent_rise",
    "agent_fall",
    "agent_health",
    "addr",
    "tracked",
    "throttle",
];

/// All that HAProxy says of its servers and limits.
fn picture(running: &Running) -> Result<BTreeMap<String, String>, Failed> {
    let mut all = BTreeMap::new();
    let mut take = |what: &str, rows: BTreeMap<String, String>| {
        all.extend(rows.into_iter().map(|(key, row)| (format!("{what} {key}"), row)));
    };
    let state = ask(running, "show servers state")?;
    take("state", table(&state, ' ', &NOT_STATE));
    let admin = ServersState::of(&state).into_iter().flat_map(ServersState::rows);
    take(
        "admin",
        admin.map(|row| (format!("{}/{}", row.proxy, row.name), format!("{:?}", row.admin()))).collect(),
    );
    let statistics = ask(running, "show stat")?;
    let columns: Vec<&str> =
        statistics.lines().next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let others: Vec<&str> = columns.into_iter().filter(|column| !STATISTICS.contains(column)).collect();
    take("stat", table(&statistics, ',', &others));
    let connections = ask(running, "show servers conn")?;
    let kept = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let name = words.first()?.to_string();
        // Name, numbers, address, port, `-`, purge_delay.
        Some((name, words.get(2..6)?.join(" ")))
    };
    take("conn", connections.lines().skip(1).filter_map(kept).collect());
    let info = ask(running, "show info")?;
    let maxconn = info.lines().filter(|line| line.starts_with("Maxconn:"));
    take("info", maxconn.map(|line| ("maxconn".to_owned(), line.to_owned())).collect());
    Ok(all)
}

/// Waits until all checks have been made.
fn settled(running: &Running) -> Result<BTreeMap<String, String>, Failed> {
    let begin = Instant::now();
    loop {
        let now = picture(running)?;
        let pending =
            now.values().any(|row| row.contains("check_status=INI") || row.contains("check_status=* "));
        std::thread::sleep(Duration::from_millis(if pending { 50 } else { 400 }));
        if (!pending && picture(running)? == now) || begin.elapsed() > Duration::from_secs(5) {
            return Ok(now);
        }
    }
}

/// Every pair of files.
pub(crate) fn applied_is_as_started(binary: &Binary) -> Result<Verdict, Failed> {
    let servers = (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let mut failed = Vec::new();
    for pair in &CASES {
        if let Err(error) = one(binary, pair, &servers) {
            failed.push(format!("{}: {}", pair.name, error.message().unwrap_or_default()));
        }
    }
    check(failed.is_empty(), failed.join("\n"))?;
    Ok(Verdict::Passed)
}

fn one(binary: &Binary, pair: &Pair, servers: &[TcpListener]) -> Result<(), Failed> {
    let write = |text: &str| -> Result<String, Failed> {
        let mut text = format!("{}{text}", pair.head);
        for (index, server) in servers.iter().enumerate() {
            text = text.replace(&format!("@{}", index + 1), &server.local_addr()?.to_string());
            text = text.replace(&format!("%{}", index + 1), &server.local_addr()?.port().to_string());
        }
        Ok(text)
    };
    let (old, new) = (write(pair.old)?, write(pair.new)?);
    let running = Start { text: &old, ..Start::default() }.run(binary)?;
    running.info()?;
    let can = Capabilities::new(binary.version, &ask(&running, "help")?);
    let since = (binary.version.major, binary.version.minor) >= pair.since;
    let Comparison { verdict, expected, .. } = comparison(&scan(&old), &scan(&new), &can);
    let Plan { steps, excerpt } = match verdict {
        Change::RunTime(plan) if since => plan,
        Change::Reload(_) if !since => return Ok(()),
        other => return Err(format!("{other:?}").into()),
    };
    if let Some(excerpt) = excerpt {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), &excerpt)?;
        let output = binary.process().arg("-c").arg("-f").arg(file.path()).output()?;
        check(output.status.success(), format!("{}\n{excerpt}", String::from_utf8_lossy(&output.stderr)))?;
    }
    settled(&running)?;
    let told = |running: &Running| -> Result<Vec<String>, Failed> {
        expected.questions().iter().map(|question| ask(running, question)).collect()
    };
    let answers = told(&running)?;
    let wrong = expected.before(answers.iter().filter_map(|answer| ServersState::of(answer)));
    check(wrong.is_empty(), format!("before: {wrong:?}"))?;
    for order in steps.iter().flat_map(|step| &step.orders) {
        give(&running, order)?;
    }
    let answers = told(&running)?;
    let wrong = expected.after(answers.iter().filter_map(|answer| ServersState::of(answer)));
    check(wrong.is_empty(), format!("after: {wrong:?}"))?;
    let applied = settled(&running)?;
    drop(running);
    let fresh = Start { text: &new, ..Start::default() }.run(binary)?;
    fresh.info()?;
    let started = settled(&fresh)?;
    let mut differences = Vec::new();
    for key in applied.keys().chain(started.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (was, is) = (applied.get(key), started.get(key));
        if was != is {
            differences.push(format!("{key}\n   applied {was:?}\n   started {is:?}"));
        }
    }
    check(differences.is_empty(), differences.join("\n"))
}
