use std::os::unix::fs::{PermissionsExt, symlink};

use super::write;

#[test]
fn a_file_keeps_its_mode_and_what_leads_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let [file, link] = ["counters", "link"].map(|name| directory.path().join(name));
    write(&file, "1\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    write(&link, "2\n").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "2\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "something is left beside");
}

#[test]
fn what_is_no_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    assert!(write(directory.path(), "1\n").is_err());
    assert!(write(&directory.path().join("none/counters"), "1\n").is_err());
}
