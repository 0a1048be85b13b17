//! What HAProxy answers about what it was configured with, without what cannot matter: the list of differences in
//! docs/reference/apply.md.

use std::collections::BTreeMap;

use libtest_mimic::Failed;

use super::living::Living;

/// Columns of `show servers state` that are compared. Not: ids, times, results of checks and what hangs on them.
const STATE: [&str; 13] = [
    "srv_addr",
    "srv_op_state",
    "srv_admin_state",
    "srv_uweight",
    "srv_check_state",
    "srv_agent_state",
    "srv_fqdn",
    "srv_port",
    "srv_use_ssl",
    "srv_check_port",
    "srv_check_addr",
    "srv_agent_addr",
    "srv_agent_port",
];

/// Columns of `show servers conn`.
const CONN: [&str; 4] = ["addr", "port", "purge_delay", "idle_lim"];

/// Columns of `show stat` that come from the configuration.
const STAT: [&str; 17] = [
    "qlimit",
    "slim",
    "weight",
    "act",
    "bck",
    "type",
    "tracked",
    "rate_lim",
    "check_rise",
    "check_fall",
    "agent_rise",
    "agent_fall",
    "addr",
    "cookie",
    "mode",
    "algo",
    "status",
];

/// What was answered, by what it is about. Two of the same configuration are equal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers(BTreeMap<String, String>);

impl Answers {
    /// Asks for everything.
    pub(crate) fn of(living: &Living, files: &[String]) -> Result<Self, Failed> {
        let mut all = BTreeMap::new();
        let state = living.ask("show servers state")?;
        rows(
            &mut all,
            "state",
            &state,
            |line| line.strip_prefix("# ").map(blanks),
            blanks,
            ["be_name", "srv_name"],
            &STATE,
        );
        let conn = living.ask("show servers conn")?;
        rows(
            &mut all,
            "conn",
            &conn,
            |line| line.strip_prefix("# ").map(blanks),
            blanks,
            ["bkname/svname", ""],
            &CONN,
        );
        let stat = living.ask("show stat")?;
        rows(
            &mut all,
            "stat",
            &stat,
            |line| line.strip_prefix("# ").map(commas),
            commas,
            ["pxname", "svname"],
            &STAT,
        );
        all.insert("backends".to_owned(), living.ask("show backend")?);
        for command in files {
            let answer = living.ask(command)?;
            all.insert(command.clone(), answer.lines().map(without_pointer).collect::<Vec<_>>().join("\n"));
        }
        Ok(Self(all))
    }

    /// What is different, one line each.
    pub(crate) fn difference(&self, fresh: &Self) -> Vec<String> {
        let keys: std::collections::BTreeSet<&String> = self.0.keys().chain(fresh.0.keys()).collect();
        let different = keys.into_iter().filter(|key| self.0.get(*key) != fresh.0.get(*key));
        different
            .map(|key| format!("{key}: applied {:?}, fresh {:?}", self.0.get(key), fresh.0.get(key)))
            .collect()
    }
}

/// The columns of a table that are named, by the columns that name a row.
fn rows<'a>(
    all: &mut BTreeMap<String, String>,
    what: &str,
    text: &'a str,
    header: impl Fn(&'a str) -> Option<Vec<&'a str>>,
    cut: impl Fn(&'a str) -> Vec<&'a str>,
    names: [&str; 2],
    columns: &[&str],
) {
    let Some(heads) = text.lines().find_map(header) else { return };
    let place = |name: &str| heads.iter().position(|head| *head == name);
    let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains([' ', ',']));
    for line in lines {
        let words = cut(line);
        let word = |name: &str| place(name).and_then(|at| words.get(at)).copied().unwrap_or("");
        for column in columns {
            // The weight of a server that gets no client is brought up to date when it gets some; `srv_uweight` says it.
            if *column == "weight" && word("status").starts_with("MAINT") {
                continue;
            }
            let key = format!("{what} {}/{} {column}", word(names[0]), word(names[1]));
            all.insert(key, meant(column, word(column)));
        }
    }
}

/// Without the bits that cannot matter: `CMAINT` (0x04), beside `FMAINT`, says why it is in maintenance, and a state file of a later
/// process alone reads it; a check that is under way (0x01), and one that is paused (0x08) where there is none (0x02).
fn meant(column: &str, value: &str) -> String {
    let Ok(number) = value.parse::<u32>() else {
        // `UP 1/3`: how many of its checks were good so far.
        let shown = if column == "status" { value.split(' ').next() } else { None };
        return shown.unwrap_or(value).to_owned();
    };
    let meant = match column {
        "srv_admin_state" => number & !0x04,
        "srv_check_state" | "srv_agent_state" if number & 0x02 == 0 => number & !0x09,
        "srv_check_state" | "srv_agent_state" => number & !0x01,
        _ => number,
    };
    meant.to_string()
}

fn blanks(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn commas(line: &str) -> Vec<&str> {
    line.split(',').collect()
}

/// Entries of maps and ACLs begin with where they are in memory.
fn without_pointer(line: &str) -> &str {
    match line.split_once(' ') {
        Some((pointer, rest)) if pointer.starts_with("0x") => rest,
        _ => line,
    }
}
