//! The documents name what is there: modules, facts, decisions, each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod impls;
mod imports;
mod names;
mod source;
mod targets;
mod tokens;
mod types;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the files of a directory.
fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// All files below these directories with these endings.
fn files(directories: &[&str], endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = directories.iter().map(|directory| root().join(directory)).collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|is| endings.iter().any(|ending| is == *ending)) {
                found.push(path);
            }
        }
    }
    found
}

/// What a text has in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of the modules whose files stand in this directory.
fn modules(directory: &str) -> BTreeSet<String> {
    let modules = names(directory).into_iter().filter_map(|name| name.strip_suffix(".rs").map(str::to_owned));
    modules.filter(|name| !["lib", "main", "tests", "fuzz"].contains(&name.as_str())).collect()
}

#[test]
fn the_map_of_the_house_names_every_module() {
    let text = read("docs/architecture.md");
    let row = |name: &str, column: usize| {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        quoted(row.split('|').nth(column).unwrap()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    for owner in ["core", "haproxy", "kernel", "clearway"] {
        let name = format!("crates/{owner}");
        assert_eq!(row(&name, 2), modules(&format!("{name}/src")), "docs/architecture.md, the row of {name}");
    }
    for room in modules("crates/clearway/src") {
        let directory = format!("crates/clearway/src/{room}");
        let there = if root().join(&directory).is_dir() { modules(&directory) } else { BTreeSet::new() };
        assert_eq!(row(&room, 3), there, "docs/architecture.md, the row of {room}");
    }
}

#[test]
fn the_map_of_the_house_names_nothing_that_is_not_there() {
    let mut words = BTreeSet::new();
    for path in files(&["crates"], &["rs"]) {
        words.extend(path.file_stem().map(|stem| stem.to_str().unwrap().to_owned()));
        let text = fs::read_to_string(path).unwrap();
        words.extend(text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
    }
    words.extend(["core", "kernel", "haproxy"].map(str::to_owned));
    let text = read("docs/architecture.md");
    let named: Vec<_> = quoted(&text).filter(|name| name.contains("::") && !name.contains(' ')).collect();
    assert!(named.len() > 50, "only {} names were found", named.len());
    for name in named {
        for part in name.split("::") {
            assert!(words.contains(part), "docs/architecture.md names `{name}`, and there is no {part}");
        }
    }
}

#[test]
fn each_way_through_the_house_has_ten_steps_at_most() {
    let text = read("docs/architecture.md");
    let ways: Vec<_> = text.split("\n## ").filter(|chapter| chapter.starts_with("The way of ")).collect();
    assert_eq!(ways.len(), 5);
    for way in ways {
        let steps = way.lines().filter(|line| line.starts_with("| ")).count() - 1;
        assert!((5..=10).contains(&steps), "{steps} steps: {}", way.lines().next().unwrap_or_default());
    }
}

#[test]
fn every_fact_that_is_referred_to_is_there() {
    let facts = [read("docs/facts/haproxy.md"), read("docs/facts/kernel.md")].concat();
    let mut referred = 0;
    for path in files(&["crates", "tests", "docs"], &["rs", "md"]) {
        if path.ends_with("lab/src/documents.rs") || path.ends_with("facts/README.md") {
            continue;
        }
        // A comment may go on in the next line.
        let text = fs::read_to_string(&path).unwrap();
        let words: Vec<&str> =
            text.split_whitespace().filter(|word| !["//", "///", "//!"].contains(word)).collect();
        for pair in words.windows(2).filter(|pair| pair[0].trim_start_matches(['(', '`']) == "docs/facts") {
            let name = pair[1].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let row = format!("</a>{name} |");
            assert!(facts.contains(&row), "{}: docs/facts has no {name}", path.display());
            referred += 1;
        }
    }
    assert!(referred > 20, "only {referred} references were found");
}

#[test]
fn no_comment_refers_to_what_is_not_in_the_repository() {
    for path in files(&["crates", "tests", "docs"], &["rs", "md"]) {
        if path.ends_with("lab/src/documents.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap().to_lowercase().replace("acknowledge", "");
        assert!(!text.contains("knowledge"), "{} refers to a knowledge base", path.display());
    }
}

/// A process, a socket, a connection is "it" or has its name.
#[test]
fn no_process_is_spoken_of_as_a_person() {
    for path in files(&["crates", "tests", "docs", "deploy", "scripts"], &["rs", "md", "sh", "service"]) {
        if path.ends_with("lab/src/documents.rs") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let mut line = line.to_lowercase();
            // The user of that name.
            for user in ["user nobody", "(nobody)", "`nobody`", "\"nobody\""] {
                line = line.replace(user, "");
            }
            for word in line.split(|c: char| !c.is_alphanumeric()) {
                let is_a_person = ["whoever", "whom", "nobody", "somebody"].contains(&word);
                assert!(!is_a_person, "{}: `{word}` in `{line}`", path.display());
            }
        }
    }
}

#[test]
fn the_index_lists_every_decision() {
    let index = read("docs/decisions/README.md");
    let rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| [")).collect();
    let wanted: Vec<String> = names("docs/decisions")
        .iter()
        .filter(|name| *name != "README.md")
        .map(|name| {
            let text = read(&format!("docs/decisions/{name}"));
            let title = text.lines().next().and_then(|line| line.split_once(": ")).unwrap().1;
            format!("| [{}]({name}) | {title} |", name.split('-').next().unwrap())
        })
        .collect();
    assert_eq!(rows, wanted, "run scripts/decisions.sh");
}

/// The documents for users, and the other ones at the top.
fn documents() -> Vec<PathBuf> {
    let top = ["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    top.into_iter().chain(files(&["docs"], &["md"])).collect()
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Where the links of a page lead, without those to other hosts.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target);
    targets.filter(|target| !target.contains("://") && !target.contains(char::is_whitespace)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (path, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: nothing is at {link}", page.display());
            if !part.is_empty() {
                let there = fs::read_to_string(&target).unwrap();
                let headings = there.lines().filter(|line| line.starts_with('#')).map(anchor);
                let found = headings.into_iter().any(|heading| heading == part)
                    || there.contains(&format!("<a id=\"{part}\">"));
                assert!(found, "{}: {path} has no heading {part}", page.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 100, "only {followed} links were found");
}

#[test]
fn every_page_is_in_the_index() {
    let index = read("docs/README.md");
    let listed: BTreeSet<PathBuf> = links(&index).iter().map(|link| root().join("docs").join(link)).collect();
    for page in files(&["docs"], &["md"]) {
        let own = page.strip_prefix(root().join("docs")).unwrap();
        let has_an_index_of_its_own = own.starts_with("decisions") || own.starts_with("facts");
        if own != Path::new("README.md") && !has_an_index_of_its_own {
            assert!(
                listed.contains(&root().join("docs").join(own)),
                "docs/README.md lacks {}",
                own.display()
            );
        }
    }
}

#[test]
fn what_is_to_be_short_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "README.md has {lines} lines");
    let glossary = read("docs/glossary.md");
    let words = glossary.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| word")).count();
    assert!((20..=40).contains(&words), "docs/glossary.md explains {words} words");
}
