use super::*;

fn listen(path: &Path) -> (UnixListener, (u64, PathBuf)) {
    let socket = UnixListener::bind(path).unwrap();
    let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
    (socket, (inode, path.to_path_buf()))
}

fn found(sockets: &[(u64, PathBuf)]) -> Vec<PathTarget> {
    moved(sockets)
        .into_iter()
        .map(|one| {
            assert_eq!(one.obstacle, None);
            one.found
        })
        .collect()
}

#[test]
fn a_path_leads_to_its_socket_until_it_is_removed_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let (_socket, known) = listen(&path);
    let known = [known];
    assert_eq!(found(&known), []);

    // Renamed, as HAProxy does it: still the same file.
    let elsewhere = folder.path().join("b.sock");
    std::fs::rename(&path, &elsewhere).unwrap();
    assert_eq!(found(&[(known[0].0, elsewhere.clone())]), []);
    assert_eq!(found(&known), [PathTarget::Nothing]);

    let (other, _) = listen(&path);
    assert_eq!(found(&known), [PathTarget::AnotherSocket]);
    // Dead or alive.
    drop(other);
    assert_eq!(found(&known), [PathTarget::AnotherSocket]);

    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    assert_eq!(found(&known), [PathTarget::AnotherFile]);
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&elsewhere, &path).unwrap();
    assert_eq!(found(&known), []);
    // Nothing is left of the attempts.
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a.sock"]);
}

#[test]
fn where_nothing_can_be_bound_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("below").join("a.sock");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let (_socket, known) = listen(&path);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let moved = moved(&[known]);
    assert!(
        matches!(&moved[..], [MovedPath { found: PathTarget::Nothing, obstacle: Some(_), .. }]),
        "{moved:?}"
    );
}
