//! Modules import in one direction: the rooms of the binary in the order of decision 0019, and no two files each other.

use std::collections::{BTreeMap, BTreeSet};

use super::read;
use super::source::{Crate, ModulePath, written};

const CRATES: [&str; 4] = ["core", "haproxy", "kernel", "clearway"];

/// The modules of the table in decision 0019, in its order.
fn rooms() -> Vec<String> {
    let text = read("docs/decisions/0019-rooms.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(name, _)| name.to_owned()).collect()
}

/// What each module of a crate imports from.
fn graph(name: &str) -> BTreeMap<ModulePath, BTreeSet<ModulePath>> {
    let source = Crate::read(name);
    source.modules.keys().map(|path| (path.clone(), source.imports(path))).collect()
}

#[test]
fn no_room_imports_from_one_above_it() {
    let rooms = rooms();
    let place = |path: &ModulePath| rooms.iter().position(|room| Some(room) == path.first());
    let graph = graph("clearway");
    let unknown: Vec<_> = graph.keys().filter(|path| !path.is_empty() && place(path).is_none()).collect();
    assert!(unknown.is_empty(), "decision 0019 has no place for {unknown:?}");
    let mut upward = BTreeSet::new();
    for (from, imports) in graph.iter().filter(|(from, _)| !from.is_empty()) {
        for to in imports.iter().filter(|to| place(to) > place(from) || to.is_empty()) {
            upward.insert((written(from), written(to)));
        }
    }
    assert!(upward.is_empty(), "these import from a room above them: {upward:#?}");
}

/// The modules that one can come back to itself from, by imports.
fn in_circles(graph: &BTreeMap<ModulePath, BTreeSet<ModulePath>>) -> Vec<Vec<&ModulePath>> {
    let reach = |from: &ModulePath| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(one) = open.pop() {
            for next in &graph[one] {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> =
        graph.keys().map(|from| (from, reach(from))).collect();
    let mut circles: BTreeSet<Vec<&ModulePath>> = BTreeSet::new();
    for (from, to) in reached.iter().filter(|(from, to)| to.contains(*from)) {
        circles.insert(to.iter().copied().filter(|other| reached[other].contains(from)).collect());
    }
    circles.into_iter().collect()
}

#[test]
fn no_files_import_each_other() {
    let mut said = Vec::new();
    for name in CRATES {
        let graph = graph(name);
        for circle in in_circles(&graph) {
            let inside = |from: &&ModulePath| {
                let to = graph[*from].iter().filter(|to| circle.contains(to)).map(written);
                format!("  {} -> {}", written(from), to.collect::<Vec<_>>().join(", "))
            };
            said.push(format!("{name}:\n{}", circle.iter().map(inside).collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(said.is_empty(), "files that import each other:\n{}", said.join("\n"));
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let files = [
        ("", "mod one; mod two; mod four;"),
        (
            "one",
            "mod inner; pub use inner::{Passed, Own}; use super::two; fn f() { two::deep::g(); Own::new() }",
        ),
        (
            "one::inner",
            "use crate::{two::{self, Two, deep::Deep as D}, four::Alias}; pub struct Passed; // crate::four::No",
        ),
        ("two", "pub mod deep; const A: &str = \"crate::one::No\"; fn f() -> char { '\"' }"),
        ("two::deep", "use super::Two; fn f(d: &'static str) { std::one::f(crate::shout!()) }"),
        ("four", "pub use crate::one::Passed as Alias; macro_rules! shout { () => {} }"),
    ];
    let module = |path: &str| path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let source = Crate::of(files.iter().map(|(path, text)| (module(path), (*text).to_owned())));
    let imports =
        |path: &str| source.imports(&module(path)).iter().map(written).collect::<Vec<_>>().join(" ");
    assert_eq!(imports(""), "");
    assert_eq!(
        imports("one"),
        "one::inner two::deep",
        "what it only passes on does not count, what it uses does"
    );
    assert_eq!(imports("one::inner"), "two two::deep", "an alias leads to where the type is, here itself");
    assert_eq!(imports("two"), "", "nor comments, nor what is in quotes");
    assert_eq!(imports("two::deep"), "four two", "a macro is where it is declared");
    assert_eq!(imports("four"), "one::inner");
    let graph = source.modules.keys().map(|path| (path.clone(), source.imports(path))).collect();
    let circles = in_circles(&graph);
    assert_eq!(circles, [["four", "one::inner", "two::deep"].map(module).each_ref()]);
}
