//! A type name means one thing in the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::source::{is_shipped, shipped_part};
use super::{files, root};

/// Each room of the binary has its own; it is written with the name of the room.
const PER_ROOM: [&str; 1] = ["News"];

/// The types that a file declares: `struct`, `enum`, `union`, and `type` outside of an `impl` or `trait`.
fn declared(text: &str) -> Vec<String> {
    shipped_part(text).lines().filter_map(declaration).collect()
}

fn declaration(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    let keyword = words.next()?;
    let is_nested = line.starts_with(' ');
    if !["struct", "enum", "union"].contains(&keyword) && (keyword != "type" || is_nested) {
        return None;
    }
    let name: String = words.next()?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    Some(name).filter(|name| name.starts_with(char::is_uppercase))
}

#[test]
fn a_type_name_means_one_thing_in_the_workspace() {
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let sources = ["crates/core/src", "crates/haproxy/src", "crates/kernel/src", "crates/clearway/src"];
    for path in files(&sources, &["rs"]).into_iter().filter(|path| is_shipped(path)) {
        for name in declared(&fs::read_to_string(&path).unwrap()) {
            places.entry(name).or_default().push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    assert!(places.len() > 400, "only {} types were found", places.len());
    places.retain(|name, paths| paths.len() > 1 && !PER_ROOM.contains(&name.as_str()));
    assert!(places.is_empty(), "types of one name, give one of them another: {places:#?}");
}

#[test]
fn a_declaration_is_known_by_its_keyword() {
    let names = |text: &str| declared(text).join(" ");
    assert_eq!(names("pub(crate) struct One<T>(T);\n    enum Two {\ntype Three = u8;\n"), "One Two Three");
    assert_eq!(
        names("    type Err = NotOurs;\nstruct Real;\n#[cfg(test)]\nmod tests {\nstruct Test;"),
        "Real"
    );
    assert_eq!(names("/// struct Other\nfn structure() {}\npub trait Hints {}\n"), "");
}
