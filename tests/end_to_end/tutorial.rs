//! The tutorial is run as it stands, and says what happens.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::stage::CannotRun;

crate::tests![its_commands_do_what_it_says];

/// What stands before the answer to a command, and after it.
const ASKED: &str = "@@ asked";
const ANSWERED: &str = "@@ answered";

/// A command of a `console` block, and what it answers.
struct Exchange<'a> {
    command: &'a str,
    answer: Vec<&'a str>,
}

/// The fenced blocks: their language and their text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

fn exchanges(text: &str) -> Vec<Exchange<'_>> {
    let mut all: Vec<Exchange<'_>> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("# "), all.last_mut()) {
            (Some(command), _) => all.push(Exchange { command, answer: Vec::new() }),
            (None, Some(last)) => last.answer.push(line),
            (None, None) => {}
        }
    }
    all
}

/// The same for each run: numbers, the version of HAProxy and what is drawn by lot are left out.
fn timeless(line: &str) -> String {
    let line = line.split_once(", HAProxy ").map_or(line, |(before, _)| before);
    let line = line.split_once("table inet clearway_").map_or(line, |(before, _)| before);
    let mut text = String::new();
    for character in line.chars() {
        match character {
            '0'..='9' if text.ends_with('0') => {}
            '0'..='9' => text.push('0'),
            _ => text.push(character),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The page as a script of the shell, without its first block, which builds and raises the hosts; and its exchanges.
fn script<'a>(blocks: &[(&str, &'a str)]) -> (String, Vec<Exchange<'a>>) {
    let (mut script, mut said) = (String::new(), Vec::new());
    for (language, text) in &blocks[1..] {
        if *language != "console" {
            script += text;
            script.push('\n');
            continue;
        }
        for exchange in exchanges(text) {
            let _ = write!(script, "echo '{ASKED}'\n{{ {}\n}} 2>&1\necho '{ANSWERED}'\n", exchange.command);
            said.push(exchange);
        }
    }
    (script, said)
}

fn its_commands_do_what_it_says() -> Result<()> {
    if Path::new("/run/netns/cd-balancer").exists() {
        return Err(CannotRun("another one plays the three hosts just now".to_owned()).into());
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let page = std::fs::read_to_string(top.join("docs/tutorial/first-steps.md"))?;
    let blocks = blocks(&page);
    ensure!(blocks.len() > 8 && blocks[0].1.contains("three-hosts.sh\" up"), "the page has other blocks");
    let (script, exchanges) = script(&blocks);
    let place = tempfile::tempdir()?;
    let clearway = clearway_lab::balancer::clearway_program()?;
    std::os::unix::fs::symlink(&clearway, place.path().join("clearway")).context("naming the binary")?;
    let prelude = "trap '\"$top/scripts/three-hosts.sh\" down' EXIT\n\"$top/scripts/three-hosts.sh\" up\n";
    let file = place.path().join("script");
    std::fs::write(&file, prelude.to_owned() + &script)?;
    let output = Command::new("bash")
        .arg(&file)
        .current_dir(place.path())
        .env("top", &top)
        .env("LAB_PROGRAM", env!("CARGO_BIN_EXE_clearway-lab"))
        .env("PATH", format!("{}:{}", place.path().display(), std::env::var("PATH")?))
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let all = || format!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<&str> = said
        .split(ASKED)
        .skip(1)
        .map(|part| part.split_once(ANSWERED).map_or(part, |(answer, _)| answer))
        .collect();
    ensure!(answers.len() == exchanges.len(), "{} of {} commands: {}", answers.len(), exchanges.len(), all());
    for (exchange, answer) in exchanges.iter().zip(answers) {
        let answered: Vec<String> = answer.lines().map(timeless).collect();
        for line in &exchange.answer {
            ensure!(
                answered.contains(&timeless(line)),
                "`{}` does not answer `{line}`: {}",
                exchange.command,
                all()
            );
        }
    }
    Ok(())
}
