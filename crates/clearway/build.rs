//! The version that `clearway --version` shows, in `CLEARWAY_VERSION`: with the commit that a release is made of, and its
//! date. Nothing of the clock or of the machine, so that the same sources give the same binary.
//!
//! Commit and date are those of git, or what `git archive` has written into `commit.txt`; without both there is the version
//! alone. `SOURCE_DATE_EPOCH` (seconds, as in reproducible-builds.org) replaces the date. A build for tests has the version
//! alone too: it would be built again after each commit.

use std::env::var;
use std::process::Command;

const SECONDS_OF_A_DAY: i64 = 24 * 60 * 60;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=commit.txt");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let version = var("CARGO_PKG_VERSION").unwrap_or_default();
    let made_of = if var("PROFILE").is_ok_and(|profile| profile == "release") { made_of() } else { None };
    let made_of = made_of.map(|words| format!(" ({words})")).unwrap_or_default();
    println!("cargo::rustc-env=CLEARWAY_VERSION={version}{made_of}");
}

/// The commit, the date, or both.
fn made_of() -> Option<String> {
    let (commit, seconds) = from_git().or_else(from_the_archive).unzip();
    let seconds = var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()).or(seconds);
    let words: Vec<String> = commit.into_iter().chain(seconds.map(date)).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The commit and its seconds since 1970, if these sources are a checkout and not a copy within another one.
fn from_git() -> Option<(String, i64)> {
    let here = std::fs::canonicalize("../..").ok()?;
    if std::fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()? != here {
        return None;
    }
    // Written at each commit and each checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if std::path::Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    read(&git(&["show", "--no-patch", "--format=%H %ct", "HEAD"])?)
}

/// The same, where `git archive` made these sources.
fn from_the_archive() -> Option<(String, i64)> {
    read(&std::fs::read_to_string("commit.txt").ok()?)
}

/// `HASH SECONDS`, with as much of the hash as people need: how much git itself shortens it depends on the clone.
fn read(line: &str) -> Option<(String, i64)> {
    let (hash, seconds) = line.trim().split_once(' ')?;
    Some((hash.get(..12)?.to_owned(), seconds.parse().ok()?))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The day in UTC as `2026-11-30`.
fn date(seconds: i64) -> String {
    let mut days = seconds.div_euclid(SECONDS_OF_A_DAY);
    let mut year = 1970;
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let february = length(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// The days of a year.
fn length(year: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if is_leap { 366 } else { 365 }
}
