//! What documents name in the code is there: source files, modules, items and tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{documents, files, read};

/// What stands for any name in a rule of the house.
const MADE_UP: [&str; 2] = ["foo/tests.rs", "foo.rs"];

/// What stands between back-ticks, outside of blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let mut is_block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

fn sources() -> Vec<PathBuf> {
    files(&["crates", "tests"], &["rs"])
}

/// Whether a file is meant by a path from the root of the repository or from any directory below it.
fn is_named(file: &Path, by: &str) -> bool {
    file.ends_with(by)
}

#[test]
fn every_source_file_that_a_document_names_is_there() {
    let sources = sources();
    let mut named = 0;
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        let paths = quoted(&text)
            .into_iter()
            .filter(|word| Path::new(word).extension().is_some_and(|end| end == "rs"));
        for path in paths.filter(|path| !MADE_UP.contains(path)) {
            let is_there = sources.iter().any(|file| is_named(file, path));
            assert!(is_there, "{}: no source file is called {path}", page.display());
            named += 1;
        }
    }
    assert!(named > 20, "only {named} source files are named");
}

#[test]
fn every_test_that_security_names_is_there() {
    let text = read("SECURITY.md");
    let promises = text.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let tests = promises.filter_map(|line| line.rsplit('|').nth(1)).flat_map(quoted);
    let mut named = BTreeSet::new();
    for test in tests {
        let path: Vec<&str> = test.split("::").collect();
        let is_test = |file: &PathBuf, module: &[&str], name: Option<&str>| {
            let module = format!("tests/end_to_end/{}.rs", module.join("/"));
            let has = |name: &str| fs::read_to_string(file).unwrap().contains(&format!("fn {name}("));
            is_named(file, &module) && name.is_none_or(has)
        };
        let (name, module) = path.split_last().unwrap();
        let is_there =
            sources().iter().any(|file| is_test(file, &path, None) || is_test(file, module, Some(name)));
        assert!(is_there, "SECURITY.md: no end-to-end test is called {test}");
        named.insert(test);
    }
    assert!(named.len() > 8, "only these tests are named: {named:?}");
}
