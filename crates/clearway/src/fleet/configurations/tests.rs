use std::ffi::OsString;

use super::*;

fn invocation(folder: &tempfile::TempDir) -> Invocation {
    let line = format!("haproxy -C {} -f h.cfg", folder.path().display());
    Invocation::parse(line.split(' ').map(OsString::from)).unwrap()
}

#[test]
fn what_is_started_from_a_former_configuration_has_it_when_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let invocation = invocation(&folder);
    let write = |text: &str| std::fs::write(folder.path().join("h.cfg"), text).unwrap();
    let (first, second) = (Generation::FIRST, Generation::FIRST.next());
    let mut configurations = Configurations::default();
    write("global\n");
    configurations.choose(first, Source::Disk, StartedFrom::read(&invocation)).unwrap();
    let served = configurations.commit(first).unwrap();

    write("defaults\n");
    configurations.choose(second, Source::Served(first), StartedFrom::read(&invocation)).unwrap();
    let again = configurations.commit(second).expect("its configuration is known");
    configurations.keep_only(&[first]);
    assert_eq!(again.files, served.files);
    assert_eq!(configurations.committed().unwrap().files, served.files);
    assert!(!configurations.drift_question(&invocation).unwrap().ask().is_none(), "the file is another one");
}
