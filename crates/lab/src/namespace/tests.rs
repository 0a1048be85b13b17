use super::Namespace;

#[test]
fn the_host_is_ours_to_look_at_only() {
    let own = std::fs::metadata("/proc/self/ns/net").map(|file| std::os::unix::fs::MetadataExt::ino(&file));
    let host = Namespace::host().unwrap();
    assert_eq!(host.inode().unwrap(), own.unwrap());
    let refused = host.sysctl("net/ipv4/ip_forward", "1").unwrap_err();
    assert!(refused.to_string().contains("not ours"), "{refused}");
    // Dropping it kills no process: this one lives on.
    drop(host);
}
