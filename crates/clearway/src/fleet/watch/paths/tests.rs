use super::*;
use std::os::unix::fs::symlink;

/// Interests in one path of a folder, names relative to the folder.
fn interests(folder: &Path, path: &str, mounts: &[FileMount]) -> (Vec<String>, Interests) {
    let path = folder.join(path);
    let interests = Interests::of([path.as_path()].into_iter(), mounts);
    let names = interests.names.iter().flat_map(|(directory, names)| {
        let below = directory.strip_prefix(folder).unwrap().to_path_buf();
        names.iter().map(move |name| below.join(name).display().to_string())
    });
    (names.collect(), interests)
}

#[test]
fn a_file_is_a_name_in_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::write(root.join("a/b/file"), "").unwrap();
    let (names, interests) = interests(&root, "a/b/file", &[]);
    assert_eq!(names, ["a/b/file"]);
    assert!(
        interests.on_the_way.contains(&root.join("a")) && interests.on_the_way.contains(&root.join("a/b"))
    );
    assert!(interests.whole.is_empty() && interests.mounted.is_empty());
    assert_eq!(super::Interests::of([Path::new("/")].into_iter(), &[]).names.len(), 0);
}

#[test]
fn every_link_on_the_way_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    // As Kubernetes mounts a ConfigMap, and as certbot names a certificate.
    std::fs::create_dir_all(root.join("..2026_01")).unwrap();
    std::fs::create_dir_all(root.join("live")).unwrap();
    std::fs::create_dir_all(root.join("archive")).unwrap();
    std::fs::write(root.join("..2026_01/h.cfg"), "").unwrap();
    std::fs::write(root.join("archive/cert1.pem"), "").unwrap();
    symlink("..2026_01", root.join("..data")).unwrap();
    symlink("..data/h.cfg", root.join("h.cfg")).unwrap();
    symlink("../archive/cert1.pem", root.join("live/cert.pem")).unwrap();
    symlink(root.join("live"), root.join("absolute")).unwrap();
    assert_eq!(interests(&root, "h.cfg", &[]).0, ["..data", "h.cfg", "..2026_01/h.cfg"]);
    assert_eq!(
        interests(&root, "absolute/cert.pem", &[]).0,
        ["absolute", "archive/cert1.pem", "live/cert.pem"]
    );
}

#[test]
fn what_is_not_there_is_waited_for_where_it_would_appear() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    symlink("nowhere/x", root.join("dangling")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    std::fs::write(root.join("file"), "").unwrap();
    assert_eq!(interests(&root, "a/b/file", &[]).0, ["a"]);
    assert_eq!(interests(&root, "dangling", &[]).0, ["dangling", "nowhere"]);
    assert_eq!(interests(&root, "loop", &[]).0, ["loop"]);
    assert_eq!(interests(&root, "file/below", &[]).0, ["file"]);
    assert_eq!(interests(&root, "./a/../file", &[]).0, ["a"], "as the kernel: `a` is not there");
}

#[test]
fn directories_and_mounted_files_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("certs")).unwrap();
    std::fs::write(root.join("h.cfg"), "").unwrap();
    symlink("h.cfg", root.join("link")).unwrap();
    assert_eq!(interests(&root, "certs", &[]).1.whole, BTreeSet::from([root.join("certs")]));
    let mount = FileMount { id: 1, point: root.join("h.cfg"), source: "/x".into(), deleted: false };
    assert_eq!(interests(&root, "link", &[mount]).1.mounted, BTreeSet::from([root.join("h.cfg")]));
}
