use std::ffi::OsString;

use clearway_haproxy::command_line::Invocation;
use clearway_haproxy::configuration::Configuration;

use super::*;
use crate::fleet::files::FileSet;
use crate::fleet::files::scan::LARGE;

struct Files {
    folder: tempfile::TempDir,
    invocation: Invocation,
}

impl Files {
    fn new(arguments: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("haproxy -C {} {arguments}", folder.path().display());
        Self { folder, invocation: Invocation::parse(line.split(' ').map(OsString::from)).unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    fn follow(&self) -> (FileSet, Sighting) {
        let configuration = Configuration::read(&self.invocation, &|_| None).unwrap();
        let set = FileSet::of(&configuration, &self.invocation);
        let seen = set.look(&Sighting::default()).with(&configuration.files);
        (set, seen)
    }

    fn names(&self, paths: &[PathBuf]) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(self.folder.path()).unwrap().display().to_string();
        paths.iter().map(name).collect()
    }
}

#[test]
fn only_another_content_is_a_change() {
    let files = Files::new("-f h.cfg");
    files.write("h.cfg", "global\n lua-load a.lua\nfrontend f\n acl a src -f opt@later.lst\n");
    files.write("a.lua", "1");
    let (set, seen) = files.follow();
    let changed = |seen: &Sighting| files.names(&set.difference(seen, &set.look(seen)).changed);
    assert!(changed(&seen).is_empty());
    files.write("a.lua", "1");
    std::fs::rename(files.at("h.cfg"), files.at("x")).unwrap();
    std::fs::copy(files.at("x"), files.at("h.cfg")).unwrap();
    assert!(changed(&seen).is_empty(), "the same, written anew");
    files.write("a.lua", "2");
    files.write("later.lst", "");
    assert_eq!(changed(&seen), ["a.lua", "later.lst"]);
    let seen = set.look(&seen);
    assert!(changed(&seen).is_empty(), "asked for once");
    files.write("h.cfg", "global\n");
    assert_eq!(changed(&seen), ["h.cfg"]);
}

#[test]
fn a_large_file_is_not_read_but_told_apart() {
    let files = Files::new("-f h.cfg");
    files.write("h.cfg", "frontend f\n use_backend %[src,map(large.map)]\n");
    let write = || files.write("large.map", &"x".repeat(usize::try_from(LARGE).unwrap() + 1));
    write();
    let (set, seen) = files.follow();
    assert!(seen.files[&files.at("large.map")].digest.is_none());
    assert!(set.difference(&seen, &set.look(&seen)).changed.is_empty());
    std::fs::remove_file(files.at("large.map")).unwrap();
    write();
    assert_eq!(set.difference(&seen, &set.look(&seen)).changed.len(), 1);
}

#[test]
fn directories_are_what_counts_in_them() {
    let files = Files::new("-f conf.d");
    std::fs::create_dir(files.at("conf.d")).unwrap();
    std::fs::create_dir(files.at("certs")).unwrap();
    files.write("conf.d/a.cfg", "frontend f\n bind :1 ssl crt certs crt one.crt\n");
    files.write("certs/x.pem", "");
    files.write("one.crt", "");
    let (set, seen) = files.follow();
    for ignored in ["conf.d/notes", "conf.d/.b.cfg", "certs/.hidden", "other"] {
        files.write(ignored, "");
    }
    assert!(set.difference(&seen, &set.look(&seen)).changed.is_empty());
    for counts in ["conf.d/b.cfg", "certs/y.pem", "one.crt.ocsp", "one.key"] {
        files.write(counts, "");
    }
    std::fs::remove_file(files.at("certs/x.pem")).unwrap();
    let changed = set.difference(&seen, &set.look(&seen)).changed;
    assert_eq!(
        files.names(&changed),
        ["certs/y.pem", "conf.d/b.cfg", "one.crt.ocsp", "one.key", "certs/x.pem"]
    );
}

#[test]
fn what_must_be_there_is_waited_for() {
    let files = Files::new("-f h.cfg");
    files.write("h.cfg", "global\n lua-load a.lua\n");
    files.write("a.lua", "1");
    let (set, seen) = files.follow();
    std::fs::remove_file(files.at("a.lua")).unwrap();
    let now = set.look(&seen);
    let difference = set.difference(&seen, &now);
    assert!(difference.changed.is_empty());
    assert_eq!(files.names(&difference.missing), ["a.lua"]);
    let seen = now.keeping(&seen, &difference.missing);

    files.write("a.lua", "1");
    let now = set.look(&seen);
    let difference = set.difference(&seen, &now);
    assert!(difference.changed.is_empty(), "back as it was");
    assert_eq!(files.names(&difference.back), ["a.lua"]);
    files.write("a.lua", "2");
    assert_eq!(files.names(&set.difference(&seen, &set.look(&seen)).changed), ["a.lua"]);
}

#[test]
fn a_directory_that_is_away_is_waited_for() {
    let files = Files::new("-f conf.d");
    std::fs::create_dir(files.at("conf.d")).unwrap();
    files.write("conf.d/a.cfg", "global\n");
    let (set, seen) = files.follow();
    std::fs::rename(files.at("conf.d"), files.at("away")).unwrap();
    let difference = set.difference(&seen, &set.look(&seen));
    assert!(difference.changed.is_empty());
    assert_eq!(files.names(&difference.missing), ["conf.d/a.cfg"]);
}

#[test]
fn what_was_read_for_a_generation_counts_and_not_what_is_there_by_now() {
    let files = Files::new("-f h.cfg");
    files.write("h.cfg", "global\n");
    let configuration = Configuration::read(&files.invocation, &|_| None).unwrap();
    files.write("h.cfg", "global \n");
    let set = FileSet::of(&configuration, &files.invocation);
    let seen = set.look(&Sighting::default()).with(&configuration.files);
    assert_eq!(files.names(&set.difference(&seen, &set.look(&seen)).changed), ["h.cfg"]);
}

#[test]
fn special_files_are_not_opened() {
    let files = Files::new("-f h.cfg");
    files.write("h.cfg", "global\n lua-load pipe\n lua-load /dev/zero\n");
    rustix::fs::mkfifoat(rustix::fs::CWD, files.at("pipe"), 0o600.into()).unwrap();
    let (set, seen) = files.follow();
    assert_eq!(seen.files.len(), 1);
    assert!(set.difference(&seen, &set.look(&seen)).changed.is_empty());
}
