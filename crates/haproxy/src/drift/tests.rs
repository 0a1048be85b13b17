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
    assert_eq!((drift().files, drift().to_string()), (Files::Same, "the files are those that run".into()));

    write("a.cfg", "a");
    assert_eq!(drift().files, Files::Same, "the same content is no change");
    write("a.cfg", "A");
    write("c.cfg", "c");
    std::fs::remove_file(folder.path().join("b.cfg")).unwrap();
    assert_eq!(drift().to_string(), "not yet loaded: ./a.cfg has changed, ./c.cfg is new, ./b.cfg is gone");

    std::fs::remove_file(folder.path().join("a.cfg")).unwrap();
    std::fs::remove_file(folder.path().join("c.cfg")).unwrap();
    assert!(drift().to_string().contains("has no file `*.cfg`"), "{}", drift());
}

#[test]
fn a_replaced_mount_is_seen_by_its_mark_or_its_other_name() {
    let mount = |source: &str, deleted| FileMount { point: "/h.cfg".into(), source: source.into(), deleted };
    let imprint = Imprint { files: BTreeMap::new(), mounts: vec![mount("/etc/h.cfg", false)] };
    assert_eq!(imprint.replaced(&[mount("/etc/h.cfg", false)]), []);
    assert_eq!(imprint.replaced(&[mount("/etc/h.cfg", true)]).len(), 1);
    assert_eq!(imprint.replaced(&[mount("/etc/h.cfg~", false)]).len(), 1);
    let drift = Drift { files: Files::Same, replaced: vec![mount("/etc/h.cfg", true)] };
    assert!(drift.to_string().starts_with("`/h.cfg` was replaced on the host"), "{drift}");
    assert!(drift.replaced[0].replaced().contains("--volume=DIRECTORY:/:ro"));
    let elsewhere = FileMount { point: Path::new("/other").into(), ..mount("/x", false) };
    assert_eq!(imprint.replaced(&[elsewhere]), []);
}
