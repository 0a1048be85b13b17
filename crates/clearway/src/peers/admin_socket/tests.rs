use std::os::unix::fs::PermissionsExt;

use super::*;

fn unique(tag: &str) -> InstanceName {
    format!("t-{tag}-{}", std::process::id()).parse().unwrap()
}

#[tokio::test]
async fn a_name_is_used_once() {
    let directory = tempfile::tempdir().unwrap();
    let name = unique("once");
    let first = AdminSocket::take(Some(&name), directory.path()).unwrap();
    let refusal = AdminSocket::take(Some(&name), directory.path()).unwrap_err();
    assert_eq!(refusal.code, ExitCode::InstanceTaken);
    assert!(refusal.message.contains(&format!("(pid {})", std::process::id())), "{}", refusal.message);
    drop(first);
    AdminSocket::take(Some(&name), directory.path()).unwrap();
}

#[test]
fn private_instances_never_meet() {
    let directory = tempfile::tempdir().unwrap();
    let _one = AdminSocket::take(None, directory.path()).unwrap();
    let _two = AdminSocket::take(None, directory.path()).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn the_socket_file_is_ours_alone_and_goes_with_us() {
    let directory = tempfile::tempdir().unwrap();
    let name = unique("mode");
    let own = directory.path().join("own");
    let made = AdminSocket::take(Some(&name), &own).unwrap();
    let path = own.join(format!("{name}.sock"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(made);
    assert!(!own.exists(), "the directory was made for it");
    drop(AdminSocket::take(Some(&name), directory.path()).unwrap());
    assert!(directory.path().exists(), "the directory was there before");
}

#[test]
fn a_socket_file_of_the_dead_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let name = unique("dead");
    let path = directory.path().join(format!("{name}.sock"));
    drop(UnixListener::bind(&path).unwrap());
    AdminSocket::take(Some(&name), directory.path()).unwrap();
}

#[test]
fn where_nothing_can_be_written_an_abstract_socket_serves() {
    let name = unique("abstract");
    let mut made = AdminSocket::take(Some(&name), Path::new("/proc/no-such-place")).unwrap();
    let listener = made.lock().unwrap();
    let address = SocketAddr::from_abstract_name(format!("{ABSTRACT_PREFIX}{name}")).unwrap();
    let _client = UnixStream::connect_addr(&address).unwrap();
    listener.accept().unwrap();
}

#[test]
fn only_a_socket_at_which_no_process_listens_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("notes.sock"), "mine").unwrap();
    let _datagram = std::os::unix::net::UnixDatagram::bind(at("log.sock")).unwrap();
    let _living = UnixListener::bind(at("living.sock")).unwrap();
    drop(UnixListener::bind(at("dead.sock")).unwrap());
    for (name, dead) in
        [("notes.sock", false), ("log.sock", false), ("living.sock", false), ("dead.sock", true)]
    {
        assert_eq!(is_dead(&at(name)), dead, "{name}");
    }
}
