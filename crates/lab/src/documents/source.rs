//! The shipped source of a crate as modules, and what each of them refers to. It reads Rust as far as this house writes it:
//! no glob imports, one file a module, tests below `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::tokens::{paths, tokens, used};
use super::{files, root};

/// The path of a module below its crate: `["peers", "wire"]`; empty for `lib.rs` and `main.rs`.
pub type ModulePath = Vec<String>;

/// A file of shipped code.
#[derive(Debug, Default)]
pub struct Module {
    /// Its words and signs, without comments and what is in quotes.
    pub tokens: Vec<String>,
    /// Names that `use` brings in, and what they stand for; those of other crates stand for nothing.
    uses: BTreeMap<String, Option<Vec<String>>>,
    /// Those of them that are passed on with `pub use` from a child.
    passed_on: BTreeSet<String>,
}

/// A crate.
#[derive(Debug, Default)]
pub struct Crate {
    pub modules: BTreeMap<ModulePath, Module>,
    /// Macros, which belong to the crate whatever file declares them.
    macros: BTreeMap<String, ModulePath>,
}

/// A path as Rust writes it.
pub fn written(path: &ModulePath) -> String {
    if path.is_empty() { "the crate".to_owned() } else { path.join("::") }
}

/// Whether this is shipped code: no test, nothing beside one, and nothing for a fuzz target.
pub fn is_shipped(path: &Path) -> bool {
    let path = path.strip_prefix(root().join("crates")).unwrap();
    let others = ["tests", "tests.rs", "fuzz.rs", "examples", "target"];
    !path.iter().any(|part| others.iter().any(|other| part == *other))
}

/// What of a file is shipped.
pub fn shipped_part(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

impl Crate {
    /// Reads `crates/NAME/src`.
    pub fn read(name: &str) -> Self {
        let folder = root().join("crates").join(name).join("src");
        let sources = files(&[&format!("crates/{name}/src")], &["rs"]).into_iter().map(|file| {
            let path = file.strip_prefix(&folder).unwrap().with_extension("");
            let path: ModulePath = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            (is_shipped(&file), path, fs::read_to_string(&file).unwrap())
        });
        let sources = sources.filter(|(is_shipped, ..)| *is_shipped).map(|(_, path, text)| (path, text));
        let mut sources: BTreeMap<ModulePath, String> = sources.collect();
        // Beside a library, the program is its caller.
        let main = sources.remove(["main".to_owned()].as_slice());
        let root = sources.remove(["lib".to_owned()].as_slice()).or(main);
        sources.extend(root.map(|text| (Vec::new(), text)));
        Self::of(sources.into_iter())
    }

    /// The same of texts.
    pub fn of(sources: impl Iterator<Item = (ModulePath, String)>) -> Self {
        let mut found = Self::default();
        for (path, text) in sources {
            let module = Module { tokens: tokens(shipped_part(&text)), ..Module::default() };
            for at in 1..module.tokens.len() {
                if module.tokens[at - 1] == "macro_rules" {
                    found.macros.insert(module.tokens[at + 1].clone(), path.clone());
                }
            }
            found.modules.insert(path, module);
        }
        let paths: Vec<ModulePath> = found.modules.keys().cloned().collect();
        for path in paths {
            found.read_uses(&path);
        }
        found
    }

    /// Takes the `use` items out of the tokens of a module.
    fn read_uses(&mut self, path: &ModulePath) {
        let tokens = std::mem::take(&mut self.modules.get_mut(path).unwrap().tokens);
        let (mut kept, mut uses, mut passed_on) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] != "use" {
                kept.push(tokens[at].clone());
                at += 1;
                continue;
            }
            let end = at + tokens[at..].iter().position(|token| token == ";").unwrap();
            let is_public = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
            for (name, full) in used(&tokens[at + 1..end]) {
                let absolute = self.absolute(path, &full);
                let is_of_a_child = absolute.as_ref().is_some_and(|full| {
                    full.len() > path.len() + 1
                        && full.starts_with(path)
                        && self.is_module(&full[..=path.len()])
                });
                if is_public && is_of_a_child {
                    passed_on.insert(name.clone());
                }
                uses.insert(name, absolute);
            }
            at = end;
        }
        let module = self.modules.get_mut(path).unwrap();
        (module.tokens, module.uses, module.passed_on) = (kept, uses, passed_on);
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.modules.contains_key(path)
    }

    /// A path from the crate's root, if it leads into this crate.
    fn absolute(&self, of: &ModulePath, path: &[String]) -> Option<Vec<String>> {
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => of.clone(),
            child => {
                let mut full = of.clone();
                full.push(child.to_owned());
                return self.is_module(&full).then(|| [&of[..], path].concat());
            }
        };
        let ups = path.iter().filter(|word| *word == "super").count();
        base.truncate(of.len().saturating_sub(ups));
        if path[0] == "crate" {
            base.clear();
        }
        base.extend(path.iter().filter(|word| !["crate", "self", "super"].contains(&word.as_str())).cloned());
        Some(base)
    }

    /// Which module declares what a path names; nothing where it names a module itself.
    fn declares(&self, path: &[String]) -> Option<ModulePath> {
        let length = (0..=path.len()).rev().find(|length| self.is_module(&path[..*length]))?;
        let (module, name) = (&path[..length], path.get(length)?);
        if module.is_empty()
            && let Some(place) = self.macros.get(name)
        {
            return Some(place.clone());
        }
        match self.modules[module].uses.get(name) {
            Some(Some(further)) => {
                let rest = path.get(length + 1..).unwrap_or_default();
                self.declares(&[further, rest].concat()).or_else(|| self.declares(further))
            }
            Some(None) => None,
            None => Some(module.to_vec()),
        }
    }

    /// Which module declares what a path in another one names.
    pub fn home(&self, of: &ModulePath, path: &[String]) -> Option<ModulePath> {
        self.declares(&self.full(of, path)?)
    }

    /// A path from the crate's root, as a module with its `use` items means it.
    fn full(&self, of: &ModulePath, path: &[String]) -> Option<Vec<String>> {
        match self.modules[of].uses.get(&path[0]) {
            Some(stands_for) => stands_for.as_ref().map(|begin| [begin, &path[1..]].concat()),
            None if path.len() == 1 => Some([&of[..], path].concat()),
            None => self.absolute(of, path),
        }
    }

    /// The modules of which one uses something. What a parent only passes on of its children is no use of it.
    pub fn imports(&self, of: &ModulePath) -> BTreeSet<ModulePath> {
        let module = &self.modules[of];
        let mut found = BTreeSet::new();
        for (name, path) in &module.uses {
            if !module.passed_on.contains(name) || module.tokens.contains(name) {
                found.extend(path.as_ref().and_then(|path| self.declares(path)));
            }
        }
        for path in paths(&module.tokens) {
            found.extend(self.home(of, &path));
        }
        found.remove(of);
        found
    }
}
