use super::*;

#[test]
fn the_module_the_reason_and_the_remedy_are_named() {
    let open = remedy("nft_socket", false);
    assert!(open.contains("modprobe nft_socket") && open.contains("/etc/modules-load.d"), "{open}");
    let locked = remedy("nft_socket", true);
    assert!(locked.contains("modules-load.d") && locked.contains("reboot"), "{locked}");
    assert!(!locked.contains("modprobe"), "what cannot help is advised: {locked}");
    assert!(reason("nft_socket", true).contains("`kernel.modules_disabled` is 1"));
    for (locked, hint) in [(false, open), (true, locked)] {
        let reason = reason("nft_socket", locked);
        assert!(reason.starts_with(": the module `nft_socket` is not loaded"), "{reason}");
        assert!(!hint.ends_with('.') && !hint.contains('\n'), "{hint}");
    }
}

#[test]
fn only_a_one_is_a_lock() {
    let folder = std::env::temp_dir().join(format!("clearway-modules-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("modules_disabled");
    assert!(!is_locked(&file), "no such file: no loadable modules");
    for (value, locked) in [("0\n", false), ("1\n", true)] {
        std::fs::write(&file, value).unwrap();
        assert_eq!(is_locked(&file), locked);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
