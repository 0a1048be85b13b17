//! The fuzz targets are named the same everywhere: by the crates, the programs around them, and the corpus.

use std::collections::BTreeSet;

use super::{names, read, root};

/// What stands in quotes behind this, in each of the lines.
fn quoted_behind(text: &str, begin: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix(begin)?.split('"').next());
    lines.map(str::to_owned).collect()
}

#[test]
fn each_fuzz_target_has_a_parser_a_program_and_a_corpus() {
    let crates = ["core", "haproxy", "kernel", "clearway"].map(|name| format!("crates/{name}/src/fuzz.rs"));
    let parsers: BTreeSet<String> = crates.iter().flat_map(|path| listed(&read(path))).collect();
    assert!(parsers.len() > 10, "{parsers:?}");
    assert_eq!(quoted_behind(&read("fuzz/Cargo.toml"), "path = \"fuzz_targets/"), file_names(&parsers));
    assert_eq!(names("fuzz/fuzz_targets"), file_names(&parsers));
    assert_eq!(names("fuzz/corpus"), parsers);
    for name in &parsers {
        let text = read(&format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(text.contains(&format!("target!({name});")), "fuzz/fuzz_targets/{name}.rs");
    }
}

/// The names in the list `PARSERS` of a crate.
fn listed(text: &str) -> BTreeSet<String> {
    let list = text.split("PARSERS: [").nth(1).and_then(|rest| rest.split("];").next()).unwrap();
    list.split("(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

fn file_names(parsers: &BTreeSet<String>) -> BTreeSet<String> {
    parsers.iter().map(|name| format!("{name}.rs")).collect()
}

#[test]
fn the_corpus_stays_small() {
    let of_target = |target: &String| {
        let directory = format!("fuzz/corpus/{target}");
        let inputs = names(&directory);
        inputs.iter().map(|name| root().join(&directory).join(name).metadata().unwrap().len()).sum::<u64>()
    };
    let size: u64 = names("fuzz/corpus").iter().map(of_target).sum();
    assert!(size < 1 << 20, "fuzz/corpus has {size} bytes");
}
