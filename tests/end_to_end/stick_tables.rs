//! Stick tables without `peers` pass to the next generation where `CLEARWAY_CARRY` says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clearway_lab::balancer::Balancer;
use clearway_lab::process::children;
use clearway_lab::session::Session;
use clearway_lab::wait::eventually_because;
use rustix::process::Signal;

use crate::parity::{ask, with_socket};
use crate::stage::{SOON, Stage, assert_code, complained, said, signal};
use crate::transaction::only_the_newest_listens;

crate::tests![
    counters_pass_and_sessions_and_rates_begin_anew,
    without_the_setting_nothing_passes,
    no_more_entries_pass_than_the_setting_says,
    what_the_new_file_has_otherwise_is_named,
    after_a_crash_there_is_nothing_to_copy_from,
    a_former_haproxy_that_hangs_costs_no_reload,
];

const TABLES: (&str, &str) = ("CLEARWAY_CARRY", "servers,tables");

const COUNTERS: &str =
    "gpc0,gpt0,server_id,conn_cnt,http_req_cnt,http_req_rate(1h),bytes_in_cnt,bytes_out_cnt,conn_cur";

/// A table of each type of keys, and one that clients are counted in.
fn tables(stage: &Stage) -> String {
    let mut text = stage
        .plain()
        .replace("listen f0\n", "listen f0\n    tcp-request connection track-sc0 src table clients\n");
    let types =
        [("text", "string len 40"), ("v4", "ip"), ("v6", "ipv6"), ("number", "integer"), ("clients", "ip")];
    for (name, keys) in types {
        let _ =
            writeln!(text, "backend {name}\n    stick-table type {keys} size 1k expire 1h store {COUNTERS}");
    }
    text + "backend bytes\n    stick-table type binary len 8 size 1k expire 1h store gpc0\n"
}

/// Reloads, and waits until the former HAProxy answers no question any more.
fn reload(stage: &Stage, balancer: &Balancer) -> Result<String> {
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    only_the_newest_listens(stage, balancer)?;
    Ok(said(&output))
}

/// The entries of a table, each with its data; what differs by itself is left out.
fn entries(socket: &Path, table: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let answer = ask(socket, &format!("show table {table}"))?;
    let lines = answer.lines().filter_map(|line| line.strip_prefix("0x")?.split_once(" key="));
    let entry = |(_, line): (&str, &str)| {
        let (key, data) = line.split_once(" use=").unwrap_or((line, ""));
        let words =
            data.split(' ').skip(1).filter(|word| !word.starts_with("exp=") && !word.starts_with("shard="));
        (key.to_owned(), words.map(str::to_owned).collect())
    };
    Ok(lines.map(entry).collect())
}

fn value(socket: &Path, table: &str, key: &str, name: &str) -> Result<String> {
    let entries = entries(socket, table)?;
    let data = entries.get(key).with_context(|| format!("{key} in {entries:?}"))?;
    let value = data.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.map(str::to_owned).with_context(|| format!("{name} in {data:?}"))
}

fn set(socket: &Path, table: &str, key: &str, data: &str) -> Result<()> {
    let answer = ask(socket, &format!("set table {table} key {key} {data}"))?;
    ensure!(answer.trim().is_empty(), "{table} {key}: {answer}");
    Ok(())
}

fn counters_pass_and_sessions_and_rates_begin_anew() -> Result<()> {
    let stage = Stage::new("tbset")?;
    let socket = with_socket(&stage, &tables(&stage))?;
    let mut balancer = stage.start_with(&[], &[TABLES])?;
    let data = "data.gpc0 7 data.gpt0 8 data.server_id 1 data.conn_cnt 3 data.http_req_cnt 9 data.bytes_in_cnt 99999999999";
    let keys = [
        (
            "text",
            vec![
                "plain",
                r"with\ blank",
                r"semi\;colon",
                r#""quoted""#,
                "it's",
                r"back\\slash",
                "a=b",
                "ä",
                "key",
            ],
        ),
        ("v4", vec!["192.0.2.1", "192.0.2.2"]),
        ("v6", vec!["2001:db8::1", "::1"]),
        ("number", vec!["0", "4294967295"]),
    ];
    for (table, keys) in &keys {
        for key in keys {
            set(&socket, table, key, data)?;
        }
        // Its presence is all that counts for some.
        let empty = if *table == "number" { "7" } else { keys[0] };
        set(&socket, table, empty, "")?;
    }
    let session = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    let client = eventually_because(SOON, "the session to be counted", || {
        let all = entries(&socket, "clients")?;
        let (key, data) = all.first_key_value().context("no entry")?;
        ensure!(data.contains(&"conn_cur=1".to_owned()), "{data:?}");
        Ok(key.clone())
    })?;
    let connections: u64 = value(&socket, "clients", &client, "conn_cnt")?.parse()?;
    let before: Vec<_> = keys.iter().map(|(table, _)| entries(&socket, table)).collect::<Result<_>>()?;
    for round in 0..2 {
        let answer = reload(&stage, &balancer)?;
        for table in
            ["clients: 1 entry", "number: 3 entries", "v6: 2 entries", "v4: 2 entries", "text: 9 entries"]
        {
            ensure!(answer.contains(&format!("table {table}")), "{table} is missing: {answer}");
        }
        let after: Vec<_> = keys.iter().map(|(table, _)| entries(&socket, table)).collect::<Result<_>>()?;
        ensure!(before == after, "before and after reload {round}:\n{before:#?}\n{after:#?}");
        ensure!(
            value(&socket, "clients", &client, "conn_cur")? == "0",
            "a session of the former one is counted"
        );
        let counted: u64 = value(&socket, "clients", &client, "conn_cnt")?.parse()?;
        ensure!(counted == connections, "{connections} connections were counted, {counted} are now");
    }
    let status = said(&stage.clearway(&["status"])?);
    ensure!(status.contains("table text: 9 entries"), "{status}");
    let more = Session::open(&stage.hosts.client, stage.fronts()[0], None)?;
    eventually_because(SOON, "the new session to be counted, and only that", || {
        let [now, all] = ["conn_cur", "conn_cnt"].map(|name| value(&socket, "clients", &client, name));
        let (now, all) = (now?, all?.parse::<u64>()?);
        ensure!(now == "1" && all == connections + 1, "{now} of {all}, {connections} before");
        Ok(())
    })?;
    session.close();
    more.close();
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn without_the_setting_nothing_passes() -> Result<()> {
    let stage = Stage::new("tbnone")?;
    let socket = with_socket(&stage, &tables(&stage))?;
    let mut balancer = stage.start()?;
    set(&socket, "v4", "192.0.2.1", "data.gpc0 7")?;
    let answer = reload(&stage, &balancer)?;
    ensure!(!answer.contains("table"), "{answer}");
    ensure!(entries(&socket, "v4")?.is_empty(), "it was carried over");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn no_more_entries_pass_than_the_setting_says() -> Result<()> {
    let stage = Stage::new("tbmany")?;
    let table = "backend number\n    stick-table type integer size 1k store gpc0\n";
    let socket = with_socket(&stage, &(stage.plain() + table))?;
    let mut balancer = stage.start_with(&[], &[("CLEARWAY_CARRY", "tables=500")])?;
    let many: Vec<String> =
        (0..800).map(|number| format!("set table number key {number} data.gpc0 {}", number + 1)).collect();
    for some in many.chunks(100) {
        ensure!(ask(&socket, &some.join(";"))?.trim().is_empty(), "it was not set");
    }
    let answer = reload(&stage, &balancer)?;
    ensure!(answer.contains("table number: 500 entries"), "{answer}");
    ensure!(answer.contains("table number: 300 entries: CLEARWAY_CARRY has `tables=500`"), "{answer}");
    let all = entries(&socket, "number")?;
    ensure!(all.len() == 500, "{} entries", all.len());
    let wrong = all.iter().find(|(key, data)| {
        let expected = key.parse::<u32>().map_or(0, |key| key + 1);
        !data.contains(&format!("gpc0={expected}"))
    });
    ensure!(wrong.is_none(), "{wrong:?}");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn what_the_new_file_has_otherwise_is_named() -> Result<()> {
    let stage = Stage::new("tbfile")?;
    let table = |name: &str, rest: &str| format!("backend {name}\n    stick-table {rest}\n");
    let servers = |order: [&str; 2]| {
        let line = |(number, name)| format!("    server {name} 192.0.2.{number}:80\n");
        format!("backend s\n{}", (1..).zip(order).map(line).collect::<String>())
    };
    let peers = "peers mates\n    peer me 127.0.0.1:10000\n";
    let tables = |of: &[(&str, &str)]| of.iter().map(|(name, rest)| table(name, rest)).collect::<String>();
    let before = tables(&[
        ("gone", "type ip size 1k store gpc0"),
        ("type", "type ip size 1k store gpc0"),
        ("length", "type string len 20 size 1k store gpc0"),
        ("small", "type integer size 1k nopurge store gpc0"),
        ("data", "type integer size 1k store gpc0,gpc1"),
        ("renumbered", "type integer size 1k store gpc0,server_id"),
        ("array", "type integer size 1k store gpt0,gpc(2)"),
        ("bytes", "type binary len 4 size 1k store gpc0"),
        ("shared", "type integer size 1k store gpc0 peers mates"),
    ]);
    let after = tables(&[
        ("type", "type ipv6 size 1k store gpc0"),
        ("length", "type string len 10 size 1k store gpc0"),
        ("small", "type integer size 100 nopurge store gpc0"),
        ("data", "type integer size 1k store gpc0"),
        ("renumbered", "type integer size 1k store gpc0,server_id"),
        ("array", "type integer size 1k store gpt0,gpc(2)"),
        ("bytes", "type binary len 4 size 1k store gpc0"),
        ("shared", "type integer size 1k store gpc0 peers mates"),
    ]);
    // A rule, because binary keys can only be made by clients.
    let plain = stage
        .plain()
        .replace("listen f0\n", "listen f0\n    tcp-request connection track-sc0 src,sha1 table bytes\n");
    let array = ask_version_has_arrays(&stage)?;
    let write = |tables: &str, order| {
        let tables = if array { tables.to_owned() } else { tables.replace("gpt0,gpc(2)", "gpt0") };
        with_socket(&stage, &(plain.clone() + peers + &tables + &servers(order)))
    };
    let socket = write(&before, ["a", "b"])?;
    let mut balancer = stage.start_with(&["-L", "me"], &[TABLES])?;
    for (name, key) in [("gone", "192.0.2.1"), ("type", "192.0.2.1"), ("length", "text")] {
        set(&socket, name, key, "data.gpc0 1")?;
    }
    for number in 0..200 {
        set(&socket, "small", &number.to_string(), "data.gpc0 1")?;
    }
    set(&socket, "data", "1", "data.gpc0 1 data.gpc1 2")?;
    set(&socket, "renumbered", "1", "data.gpc0 1 data.server_id 1")?;
    set(&socket, "array", "1", "data.gpt0 5")?;
    set(&socket, "shared", "1", "data.gpc0 1")?;
    write(&after, ["b", "a"])?;
    let answer = reload(&stage, &balancer)?;
    let log = balancer.raw_stderr()?;
    let all = answer + &log;
    for left in [
        "table gone: 1 entry: it is not in the new file",
        "table type: 1 entry: its keys are `ipv6` now, and were `ip`",
        "table length: 1 entry: the longest key is another one now",
        "table small: 100 entries: the table has no more room",
        "table data: gpc1: HAProxy does not take it there",
        "table renumbered: server_id: servers have other numbers now",
    ] {
        ensure!(all.contains(left), "`{left}` is missing: {all}");
    }
    ensure!(all.contains("HAProxy takes no keys of the type `binary`"), "{all}");
    ensure!(!all.contains("table shared"), "{all}");
    ensure!(!array || all.contains("table array: gpc0: HAProxy does not take it there"), "{all}");
    for (name, data) in [("data", "gpc0=1"), ("renumbered", "gpc0=1"), ("array", "gpt0=5")] {
        let entry = entries(&socket, name)?;
        ensure!(entry.get("1").is_some_and(|words| words.contains(&data.to_owned())), "{name}: {entry:?}");
    }
    ensure!(value(&socket, "renumbered", "1", "server_id")? == "0", "it sticks to another server");
    ensure!(entries(&socket, "small")?.len() == 100, "as many as there is room for");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

/// `gpc(N)` came with HAProxy 2.5.
fn ask_version_has_arrays(stage: &Stage) -> Result<bool> {
    Ok(stage.clearway(&["-cc", "version_atleast(2.5)"])?.status.code() == Some(0))
}

fn after_a_crash_there_is_nothing_to_copy_from() -> Result<()> {
    let stage = Stage::new("tbcrash")?;
    let socket = with_socket(&stage, &tables(&stage))?;
    let mut balancer = stage.start_with(&[], &[TABLES, ("CLEARWAY_LOG", "json,debug")])?;
    set(&socket, "v4", "192.0.2.1", "data.gpc0 7")?;
    balancer.wait_for_log(0, "servers is known", SOON)?;
    let from = balancer.log_position()?;
    balancer.kill_descendant(*balancer.haproxy_processes().last().context("a worker")?)?;
    balancer.wait_for_event(from, "generation.serving", &[], SOON)?;
    balancer.wait_for_log(from, "stick tables: the HAProxy that had them has ended", SOON)?;
    ensure!(entries(&socket, "v4")?.is_empty(), "where from?");
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}

fn a_former_haproxy_that_hangs_costs_no_reload() -> Result<()> {
    let stage = Stage::new("tbhang")?;
    let socket = with_socket(&stage, &tables(&stage))?;
    let mut balancer = stage.start_with(&[], &[TABLES])?;
    set(&socket, "v4", "192.0.2.1", "data.gpc0 7")?;
    let [master] = children(balancer.pid())[..] else { anyhow::bail!("one generation") };
    let hanging = children(master).first().copied().context("a worker")?;
    signal(hanging, Signal::STOP)?;
    let output = stage.clearway(&["reload"])?;
    assert_code(output.status, 0).with_context(|| complained(&output))?;
    let answer = said(&output);
    ensure!(answer.contains("stick tables: the former HAProxy does not answer"), "{answer}");
    signal(hanging, Signal::CONT)?;
    assert_code(balancer.stop(Signal::TERM, SOON)?, 0)?;
    stage.assert_clean()
}
