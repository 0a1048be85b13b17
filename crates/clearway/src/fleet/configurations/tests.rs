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
    let difference = configurations.difference_question(None, &invocation).unwrap();
    assert_eq!(difference.generation, second);
    let lines = &difference.ask().unwrap().files[0].lines;
    assert!(lines.ends_with("-global\n+defaults\n"), "{lines}");
}

#[test]
fn files_that_say_the_same_are_found_among_those_that_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let invocation = invocation(&folder);
    let mut configurations = Configurations::default();
    let mut generation = Generation::FIRST;
    let mut read = |configurations: &mut Configurations, text: &str| {
        std::fs::write(folder.path().join("h.cfg"), text).unwrap();
        generation = generation.next();
        configurations.choose(generation, Source::Disk, StartedFrom::read(&invocation)).unwrap();
        generation
    };
    let first = read(&mut configurations, "global\n");
    configurations.commit(first);
    let second = read(&mut configurations, "defaults\n");
    assert_eq!(configurations.same_files(second), None);
    configurations.commit(second);
    let third = read(&mut configurations, "global\n");
    assert_eq!(configurations.same_files(third), Some(first));
    configurations.forget(third);
    let known = |number: Generation| configurations.of(Some(number.number())).map(|(one, _)| one);
    assert_eq!((known(first), known(second), known(third)), (Some(first), Some(second), None));
    assert_eq!(configurations.remembered().into_iter().collect::<Vec<_>>(), [first, second]);
    assert_eq!(configurations.of(None).unwrap().0, second, "the one that serves");
}
