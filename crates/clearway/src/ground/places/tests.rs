use std::os::unix::net::UnixDatagram;

use super::*;

fn of(text: &str) -> Vec<Missing> {
    missing(&Configuration::of_text(Path::new("h.cfg"), text))
}

#[test]
fn the_directory_of_each_kind_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let (there, nowhere) = (folder.path().display(), nowhere.display());
    for (line, stops) in [
        ("stats socket {}/s level admin", true),
        ("pidfile {}/p", true),
        ("stats-file {}/counters", false),
        ("chroot {}", true),
        ("log {}/log local0", false),
        ("log unix@{}/log local0", false),
        (".if defined(X)\n stats socket {}/s\n.endif", false),
    ] {
        let found = of(&format!("global\n {}\n", line.replace("{}", &nowhere.to_string())));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].stops == stops && found[0].saw.contains("(h.cfg:"), "{line}: {found:?}");
        assert!(found[0].saw.contains(&nowhere.to_string()), "{line}: {found:?}");
        if !line.starts_with("log") {
            let found = of(&format!("global\n {}\n", line.replace("{}", &there.to_string())));
            assert_eq!(found, [], "{line}");
        }
    }
    let bind = |prefix: &str| format!("global\n unix-bind prefix {prefix} mode 600\nlisten a\n bind /s\n");
    assert_eq!(of(&bind(&there.to_string())), []);
    assert_eq!(of(&bind(&nowhere.to_string())).len(), 1);
}

#[test]
fn what_is_no_path_of_this_host_is_left_alone() {
    let text = "global\n log stdout format raw local0\n log 127.0.0.1:514 local0\n log ring@r local0\n stats socket a.sock\n \
                stats socket ipv4@127.0.0.1:9\nlisten a\n log global\n bind :80\n bind abns@x\n";
    assert_eq!(of(text), []);
}

#[test]
fn a_log_is_looked_for_below_the_root_and_named_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dev")).unwrap();
    let text = format!(
        "global\n log /dev/clearway-test local0\n log /dev/clearway-test local1\n chroot {}\n",
        folder.path().display()
    );
    let found = of(&text);
    assert!(found.len() == 1 && found[0].saw.contains("below the `chroot`"), "{found:?}");
    let _socket = UnixDatagram::bind(folder.path().join("dev/clearway-test")).unwrap();
    assert_eq!(of(&text), []);
}

#[test]
fn names_are_taken_from_the_table() {
    let table = "root:x:0:0:root:/root:/bin/sh\nhaproxy:x:99:99::/:/bin/false\nbroken\n";
    assert_eq!(named(table, 99), "haproxy (99)");
    assert_eq!(named(table, 5), "5");
    assert!(
        belongs(Path::new("/etc/passwd"))
            .unwrap()
            .contains("/etc/passwd belongs to root (0), group root (0), mode 0644")
    );
}
