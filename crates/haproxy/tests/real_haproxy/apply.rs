//! Plans of `change` applied to a HAProxy that runs, and its answers compared with those of one that was started with the new file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use clearway_haproxy::change::transaction::{self, Dialled};
use clearway_haproxy::change::{Capabilities, ChangeComparison, ChangeVerdict, comparison};
use clearway_haproxy::configuration::{Configuration, SourceFile};
use clearway_haproxy::runtime::state::ServersState;
use clearway_haproxy::runtime::{Channel, CliCommand};
use clearway_haproxy::sockpair;
use libtest_mimic::Failed;

use crate::apply_cases::{CASES, HEAD};
use crate::binary::Binary;
use crate::process::{LIMIT, Running, Start};
use crate::{Verdict, check};

fn ask(running: &Running, command: &str) -> Result<String, Failed> {
    let connection = sockpair::dial(&running.stats)?;
    Ok(CliCommand::new(command)?.ask(&connection, Channel::Worker, LIMIT)?.text)
}

fn scan(text: &str) -> Configuration {
    let source = SourceFile { name: "h.cfg".into(), path: "h.cfg".into(), bytes: text.into() };
    Configuration::scan(vec![source], &|_| None)
}

/// A table with a heading that begins with `# `, by the two columns that name a server, without those that do not matter.
fn table(text: &str, separator: char, without: &[&str]) -> BTreeMap<String, String> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("# "));
    let heading: Vec<&str> =
        lines.next().unwrap_or_default().trim_start_matches("# ").split(separator).collect();
    let row = |line: &str| {
        let mut fields: BTreeMap<&str, &str> = heading.iter().copied().zip(line.split(separator)).collect();
        let at =
            |names: [&str; 2]| names.iter().find_map(|name| fields.get(name)).copied().unwrap_or_default();
        let key = format!("{}/{}", at(["be_name", "pxname"]), at(["srv_name", "svname"]));
        what_means_nothing(&mut fields);
        let kept = fields.iter().filter(|(name, _)| !without.contains(name));
        (key, kept.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    };
    lines.filter(|line| !line.is_empty() && !line.contains("/sock-")).map(row).collect()
}

/// Takes out what a check or an agent that is not made would find, and that one is being made at this moment.
fn what_means_nothing(fields: &mut BTreeMap<&str, &str>) {
    // What is worked out from the weight is, of a server in maintenance, worked out when it leaves that.
    if fields.get("status").is_some_and(|status| *status == "MAINT") {
        fields.remove("weight");
    }
    let bits =
        |fields: &BTreeMap<&str, &str>, name| fields.get(name).and_then(|word| word.parse::<u8>().ok());
    for (state, of_check) in [("srv_check_state", true), ("srv_agent_state", false)] {
        // `fullconn`, worked out from the frontends: counts for servers with `minconn` alone, and then it is a reload.
        if fields.get("svname").is_some_and(|name| *name == "BACKEND") {
            fields.remove("slim");
        }
        // CONFIGURED, ENABLED, PAUSED
        match bits(fields, state).map(|bits| bits & 0x0e) {
            Some(6) => _ = fields.insert(state, "made"),
            Some(0 | 14) if of_check => {
                for name in ["srv_check_health", "srv_check_result", "srv_check_status"] {
                    fields.remove(name);
                }
            }
            Some(0) => {
                for name in ["srv_agent_addr", "srv_agent_port"] {
                    fields.remove(name);
                }
            }
            _ => {}
        }
    }
}

/// Numbers, times, whether a check is being made at this moment, and what the weight was at the start: differences that cannot matter.
const NOT_STATE: [&str; 7] = [
    "srv_check_result",
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
        // An agent that does not answer is known to after two of its intervals.
        let pending = pending || begin.elapsed() < Duration::from_millis(1500);
        std::thread::sleep(Duration::from_millis(if pending { 50 } else { 400 }));
        if (!pending && picture(running)? == now) || begin.elapsed() > Duration::from_secs(15) {
            return Ok(now);
        }
    }
}

/// Both files: every backend of the table before and after its change, and two limits.
fn files(binary: &Binary, servers: &[TcpListener]) -> Result<(String, String), Failed> {
    let mut texts = [(200, 100), (150, 60)]
        .map(|(all, one)| HEAD.replace("{all}", &format!("{all}")).replace("{one}", &format!("{one}")));
    for (index, pair) in CASES.iter().enumerate() {
        let since = (binary.version.major, binary.version.minor) >= pair.since;
        for (text, lines) in texts.iter_mut().zip([pair.old, if since { pair.new } else { pair.old }]) {
            let _ = write!(text, "backend b{index}\n{lines}");
        }
    }
    for (index, server) in servers.iter().enumerate() {
        let address = server.local_addr()?;
        texts = texts.map(|text| {
            let text = text.replace(&format!("@{}", index + 1), &address.to_string());
            text.replace(&format!("%{}", index + 1), &address.port().to_string())
        });
    }
    let [old, new] = texts;
    Ok((old, new))
}

/// The plan for all of the table at once; each of what an older HAProxy cannot do is a reload.
fn planned(binary: &Binary, old: &str, new: &str, can: &Capabilities) -> Result<ChangeComparison, Failed> {
    for pair in CASES.iter().filter(|pair| (binary.version.major, binary.version.minor) < pair.since) {
        let [was, is] = [pair.old, pair.new]
            .map(|lines| scan(&format!("{HEAD}backend b0\n{lines}").replace('@', "127.0.0.1:8")));
        let verdict = comparison(&was, &is, can).verdict;
        check(matches!(verdict, ChangeVerdict::Reload(_)), format!("{}: {verdict:?}", pair.name))?;
    }
    Ok(comparison(&scan(old), &scan(new), can))
}

/// Every change of the table, made at run time and by a start.
pub(crate) fn applied_is_as_started(binary: &Binary) -> Result<Verdict, Failed> {
    let servers = (0..4).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    for server in servers.iter().take(3) {
        let server = server.try_clone()?;
        // Ends with the process of the tests.
        std::thread::spawn(move || while server.accept().is_ok() {});
    }
    let (old, new) = files(binary, &servers)?;
    let bind = |text: &str, name: &str| {
        text.replace(
            "{bind}",
            &format!("abns@clearway-apply-{}-{}-{name}", std::process::id(), binary.version),
        )
    };
    let running = Start { text: &bind(&old, "old"), ..Start::default() }.run(binary)?;
    running.info()?;
    let can = Capabilities::new(binary.version, &ask(&running, "help")?);
    let ChangeComparison { verdict, expected, .. } =
        planned(binary, &bind(&old, "old"), &bind(&new, "old"), &can)?;
    let ChangeVerdict::RunTime(plan) = verdict else { return Err(format!("{verdict:?}").into()) };
    let excerpt = &plan.excerpt;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), excerpt.as_deref().unwrap_or_default())?;
    let output = binary.process().arg("-c").arg("-f").arg(file.path()).output()?;
    check(output.status.success(), format!("{}\n{excerpt:?}", String::from_utf8_lossy(&output.stderr)))?;

    settled(&running)?;
    let told = || -> Result<Vec<String>, Failed> {
        expected.questions().iter().map(|question| ask(&running, question)).collect()
    };
    let answers = told()?;
    let wrong = expected.before(answers.iter().filter_map(|answer| ServersState::of(answer)));
    check(wrong.is_empty(), format!("before: {wrong:?}"))?;
    transaction::carry_out(&plan, &mut Dialled(|| sockpair::dial(&running.stats)), 2 * LIMIT, &mut |_| {})?;
    let answers = told()?;
    let wrong = expected.after(answers.iter().filter_map(|answer| ServersState::of(answer)));
    check(wrong.is_empty(), format!("after: {wrong:?}"))?;
    let applied = settled(&running)?;

    let fresh = Start { text: &bind(&new, "new"), ..Start::default() }.run(binary)?;
    fresh.info()?;
    let started = settled(&fresh)?;
    let keys: BTreeSet<&String> = applied.keys().chain(started.keys()).collect();
    let different = keys.into_iter().filter(|key| applied.get(*key) != started.get(*key));
    let said: Vec<String> = different
        .map(|key| format!("{key}\n   applied {:?}\n   started {:?}", applied.get(key), started.get(key)))
        .collect();
    check(said.is_empty(), said.join("\n"))?;
    Ok(Verdict::Passed)
}
