use super::*;
use std::ffi::OsString;
use std::path::Path;

fn invocation(line: &str) -> Invocation {
    Invocation::parse(line.split_whitespace().map(OsString::from)).unwrap()
}

#[test]
fn tells_what_is_different_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.cfg", "a");
    write("b.cfg", "b");
    let invocation = invocation(&format!("haproxy -C {} -f .", folder.path().display()));
    let imprint = Imprint::of(&Configuration::sources(&invocation).unwrap());
    let drift = || imprint.drift(&invocation);
    assert_eq!(
        (drift().files, drift().to_string()),
        (FilesOnDisk::Same, "the files are those that run".into())
    );

    write("a.cfg", "a");
    assert_eq!(drift().files, FilesOnDisk::Same, "the same content is no change");
    write("a.cfg", "A");
    write("c.cfg", "c");
    std::fs::remove_file(folder.path().join("b.cfg")).unwrap();
    assert_eq!(drift().to_string(), "not yet loaded: ./a.cfg has changed, ./c.cfg is new, ./b.cfg is gone");

    std::fs::remove_file(folder.path().join("a.cfg")).unwrap();
    std::fs::remove_file(folder.path().join("c.cfg")).unwrap();
    assert!(drift().to_string().contains("has no file `*.cfg`"), "{}", drift());
}

fn mount(source: &str, deleted: bool) -> FileMount {
    FileMount { id: 7, point: "/h.cfg".into(), source: source.into(), deleted }
}

fn imprint(mount: FileMount) -> Imprint {
    Imprint { files: BTreeMap::new(), mounts: Mounts::from([mount]) }
}

#[test]
fn a_replaced_mount_is_seen_by_its_mark_or_its_other_name() {
    let before = imprint(mount("/etc/h.cfg", false));
    let now = |mount| imprint(mount).replaced_since(&before);
    assert_eq!(now(mount("/etc/h.cfg", false)), []);
    assert_eq!(now(mount("/etc/h.cfg", true)).len(), 1);
    assert_eq!(now(mount("/etc/h.cfg~", false)).len(), 1);
    let replaced = vec![mount("/etc/h.cfg", true)];
    let drift = Drift { files: FilesOnDisk::Same, named: Vec::new(), replaced };
    assert!(drift.to_string().starts_with("`/h.cfg` was replaced on the host"), "{drift}");
    assert!(drift.replaced[0].replaced().contains("--volume=DIRECTORY:/:ro"));
    assert_eq!(now(FileMount { point: Path::new("/other").into(), ..mount("/x", false) }), []);
    assert_eq!(now(FileMount { id: 8, ..mount("/x", false) }), [], "mounted anew");
}

#[test]
fn a_reload_that_reads_the_former_file_does_not_make_it_the_right_one() {
    let first = imprint(mount("/etc/h.cfg", false));
    let second = imprint(mount("/etc/h.cfg~", false)).following(&first);
    assert_eq!(imprint(mount("/etc/h.cfg~", false)).replaced_since(&second).len(), 1);
    assert_eq!(imprint(mount("/etc/h.cfg", false)).replaced_since(&second), [], "renamed back");
}

#[test]
fn a_file_that_the_configuration_names_is_not_one_that_runs_if_it_has_changed() {
    let named = (0..7).map(|number| FileDifference::Changed(format!("{number}.pem").into())).collect();
    let drift = Drift { files: FilesOnDisk::Same, named, replaced: Vec::new() };
    assert!(!drift.is_none());
    let line = drift.to_string();
    assert!(
        line.starts_with("not yet loaded: 0.pem has changed, 1.pem") && line.ends_with("and 2 more"),
        "{line}"
    );
    let drift = Drift {
        files: FilesOnDisk::Unreadable("it is not there".into()),
        named: Vec::new(),
        replaced: Vec::new(),
    };
    assert_eq!(drift.to_string(), "it is not there");
}
