use super::*;

/// Directories with a program `haproxy` each.
fn folders(count: usize) -> (tempfile::TempDir, Vec<PathBuf>, OsString) {
    let folder = tempfile::tempdir().unwrap();
    let directories: Vec<PathBuf> = (0..count).map(|at| folder.path().join(at.to_string())).collect();
    for directory in &directories {
        std::fs::create_dir(directory).unwrap();
        let file = directory.join(NAME);
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let search = std::env::join_paths(&directories).unwrap();
    (folder, directories.iter().map(|directory| directory.join(NAME)).collect(), search)
}

#[test]
fn the_name_is_known_by_its_last_part() {
    for name in ["haproxy", "/usr/local/sbin/haproxy", "./haproxy"] {
        assert!(is_worn(Some(OsStr::new(name))), "{name}");
    }
    for name in ["clearway", "/haproxy/clearway", "docker-entrypoint.sh", ""] {
        assert!(!is_worn(Some(OsStr::new(name))), "{name}");
    }
    assert!(!is_worn(None));
}

#[test]
fn behind_us_is_the_next_one_on_path() {
    let (_folder, files, search) = folders(3);
    let first = |path: &Path| path == files[0];
    let found = |name: &str, is_us: &dyn Fn(&Path) -> bool| look_behind(name.into(), &search, is_us);
    assert_eq!(found("haproxy", &first).unwrap(), files[1]);
    assert_eq!(found(files[0].to_str().unwrap(), &first).unwrap(), files[1]);
    assert_eq!(found("haproxy", &|_| false).unwrap(), "haproxy");
    assert_eq!(found("/elsewhere/haproxy", &first).unwrap(), "/elsewhere/haproxy");
    assert_eq!(found("not-there", &first).unwrap(), "not-there");
    let none = found("haproxy", &|_| true).unwrap_err();
    assert_eq!(none.code, ExitCode::NoHaproxy);
}

#[test]
fn a_shell_that_starts_haproxy_itself_is_noticed() {
    let (_folder, files, search) = folders(2);
    let first = |path: &Path| path == files[0];
    let real = files[1].display();
    let found = |line: &str, search: &OsStr| {
        let words: Vec<OsString> = ["sh", "-c", line].into_iter().map(OsString::from).collect();
        unsupervised(&words, search, first)
    };
    assert_eq!(found(&format!("set -e; exec {real} -W -f /x.cfg"), &search).as_ref(), Some(&files[1]));
    assert_eq!(found("exec haproxy -f /x.cfg", &search), None);
    assert_eq!(
        found("exec haproxy -f /x.cfg", files[1].parent().unwrap().as_os_str()).as_ref(),
        Some(&files[1])
    );
    for line in [format!("{real} -v"), format!("{real} -c -f /x.cfg"), "echo hi".to_owned()] {
        assert_eq!(found(&line, &search), None, "{line}");
    }
}
