use std::os::unix::fs::MetadataExt;

use super::*;

const FIRST: Generation = Generation::FIRST;

fn commit(file: &mut PidFile, path: &Path) {
    file.prepare(FIRST, Some(&PidFilePlace::look(None, path))).unwrap();
    file.hear(&Action::Commit(FIRST));
}

fn end(file: &mut PidFile) {
    file.hear(&Action::Exit(ExitCode::Done));
}

#[test]
fn it_is_written_once_a_generation_serves_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let mut file = PidFile::default();
    file.prepare(FIRST, Some(&PidFilePlace::look(Some(folder.path()), Path::new("pid")))).unwrap();
    assert!(!path.exists());
    file.hear(&Action::Commit(FIRST));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content());
    let number = std::fs::metadata(&path).unwrap().ino();
    commit(&mut file, &path);
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), number, "a reload leaves it alone");
    end(&mut file);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_another_process_has_put_there_stays_until_this_one_serves_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let mut file = PidFile::default();
    commit(&mut file, &path);
    std::fs::write(folder.path().join("other"), content()).unwrap();
    std::fs::rename(folder.path().join("other"), &path).unwrap();
    end(&mut file);
    assert!(path.exists(), "it is not ours, whatever it says");
    let mut file = PidFile::default();
    commit(&mut file, &path);
    std::fs::write(&path, "1\n").unwrap();
    file.hear(&Action::TakeBack);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content());
}

#[test]
fn another_path_in_the_next_file_moves_it() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let mut file = PidFile::default();
    commit(&mut file, &old);
    commit(&mut file, &new);
    assert!(!old.exists() && new.exists());
}

#[test]
fn a_link_is_replaced_and_what_it_leads_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let mut file = PidFile::default();
    commit(&mut file, &link);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_unless_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = PidFile::default();
    for name in ["", "none/pid"] {
        let path = folder.path().join(name);
        let failure = file.prepare(FIRST, Some(&PidFilePlace::look(None, &path))).unwrap_err();
        assert!(failure.message.contains(&path.display().to_string()), "{failure:?}");
        assert_eq!(failure.code, ExitCode::ConfigurationRefused);
    }
    let path = folder.path().join("d/pid");
    std::fs::create_dir(folder.path().join("d")).unwrap();
    commit(&mut file, &path);
    std::fs::remove_dir_all(folder.path().join("d")).unwrap();
    assert!(file.prepare(FIRST, Some(&PidFilePlace::look(None, &path))).is_ok());
}
