use std::os::unix::fs::MetadataExt;

use super::*;

fn look(path: &Path) -> PidFilePlace {
    PidFileNames::default().look(Some(path)).unwrap()
}

#[test]
fn it_is_written_once_a_generation_serves_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let names = PidFileNames { directory: Some(folder.path().to_owned()), ..PidFileNames::default() };
    let mut file = PidFile::default();
    file.prepare(Generation::FIRST, names.look(Some(Path::new("pid"))).as_ref()).unwrap();
    assert!(!path.exists());
    file.hear(&Action::Commit(Generation::FIRST));
    assert_eq!(file.place.as_ref(), Some(&path));
    // Waits for all that is in the queue.
    file.queue = None;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content());
}

#[test]
fn a_reload_leaves_it_alone_and_the_end_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let mut writer = Writer::default();
    writer.put(Some(path.clone()), false);
    let number = std::fs::metadata(&path).unwrap().ino();
    writer.put(Some(path.clone()), false);
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), number);
    writer.put(None, false);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_another_process_has_put_there_stays_until_this_one_serves_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let mut writer = Writer::default();
    writer.put(Some(path.clone()), false);
    std::fs::write(folder.path().join("other"), content()).unwrap();
    std::fs::rename(folder.path().join("other"), &path).unwrap();
    writer.put(None, false);
    assert!(path.exists(), "it is not ours, whatever it says");
    writer.put(Some(path.clone()), false);
    std::fs::write(&path, "1\n").unwrap();
    writer.put(Some(path.clone()), false);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content());
}

#[test]
fn another_path_in_the_next_file_moves_it() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let mut writer = Writer::default();
    writer.put(Some(old.clone()), false);
    writer.put(Some(new.clone()), false);
    assert!(!old.exists() && new.exists());
}

#[test]
fn a_link_is_replaced_and_what_it_leads_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link"), folder.path().join("target"));
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    Writer::default().put(Some(link.clone()), false);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
}

#[test]
fn a_place_that_cannot_be_written_is_refused_and_a_fine_one_is_not_looked_at_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = PidFile::default();
    for name in ["", "none/pid"] {
        let path = folder.path().join(name);
        let failure = file.prepare(Generation::FIRST, Some(&look(&path))).unwrap_err();
        assert!(failure.message.contains(&path.display().to_string()), "{failure:?}");
        assert_eq!(failure.code, ExitCode::ConfigurationRefused);
    }
    let path = folder.path().join("d/pid");
    std::fs::create_dir(folder.path().join("d")).unwrap();
    let known = look(&path).fine().map(Path::to_owned);
    std::fs::remove_dir_all(folder.path().join("d")).unwrap();
    assert_eq!(look(&path).fine(), None);
    let names = PidFileNames { fine: known, ..PidFileNames::default() };
    assert_eq!(names.look(Some(&path)).unwrap().fine(), Some(&*path));
}
