use super::of;

const HOST: &str = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n23 22 0:5 / /dev rw - devtmpfs udev rw\n";

fn overlay(name: &str) -> String {
    format!(
        "901 800 0:77 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/var/lib/docker/overlay2/{name}/diff\n"
    )
}

#[test]
fn a_container_is_known_again_and_told_from_others() {
    assert_eq!(of(&overlay("one"), "0::/\n"), of(&overlay("one"), "0::/\n"));
    assert_ne!(of(&overlay("one"), "0::/\n"), of(&overlay("two"), "0::/\n"));
}

#[test]
fn so_is_one_whose_root_looks_like_any_other() {
    let mounts = |id: &str| {
        format!(
            "97 59 0:39 / / rw master:15 - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0\n\
             115 97 254:0 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
        )
    };
    assert_eq!(of(&mounts("one"), "0::/\n"), of(&mounts("one"), "0::/\n"));
    assert_ne!(of(&mounts("one"), "0::/\n"), of(&mounts("two"), "0::/\n"));
}

#[test]
fn so_is_a_unit() {
    let (blue, green) =
        ("0::/system.slice/clearway@blue.service\n", "0::/system.slice/clearway@green.service\n");
    assert_eq!(of(HOST, blue), of(HOST, blue));
    assert_ne!(of(HOST, blue), of(HOST, green));
}

#[test]
fn what_cannot_be_read_is_no_container() {
    assert_eq!(of("", "0::/\n"), None);
    assert_eq!(of("nonsense\n", ""), None);
}

/// Part of the protocol: another version compares them. Made by Rust 1.95's `DefaultHasher`, which was here before.
#[test]
fn it_never_changes() {
    let unit = "22 1 254:0 / / rw - ext4 /dev/vda rw\n";
    assert_eq!(of(unit, "0::/system.slice/clearway.service\n").as_deref(), Some("234f7a2fb17c9b6d"));
    let container = "901 800 0:77 / / rw - overlay overlay rw,lowerdir=/a:/b\n\
                     115 97 254:0 /var/lib/docker/containers/one/hostname /etc/hostname rw - ext4 /dev/vda rw\n";
    assert_eq!(of(container, "0::/\n").as_deref(), Some("cbdff7108e1d17f8"));
}
