use super::*;

const MS: Duration = Duration::from_millis(1);

fn server(name: &str) -> OldServer {
    OldServer { generation: Generation::FIRST, name: name.to_owned() }
}

fn told(names: &[&str], seen: SeenAs) -> Vec<(OldServer, SeenAs)> {
    names.iter().map(|name| (server(name), seen)).collect()
}

/// What is to be looked at if these are down at so many milliseconds.
fn down(old: &mut OldServers, names: &[&str], at: u32) -> Vec<String> {
    old.hear(told(names, SeenAs::Down), at * MS).into_iter().map(|one| one.name).collect()
}

#[test]
fn a_look_is_repeated_after_a_pause_until_no_session_is_left() {
    let mut old = OldServers::default();
    assert_eq!(down(&mut old, &["b/s1", "b/s2"], 0), ["b/s1", "b/s2"]);
    assert_eq!(down(&mut old, &["b/s1", "b/s2"], 500), [""; 0], "one is under way");
    old.looked([server("b/s2")], 20 * MS, 600 * MS);
    assert_eq!(down(&mut old, &["b/s1", "b/s2"], 700), [""; 0], "without a pause");
    assert_eq!(down(&mut old, &["b/s1", "b/s2"], 1600), ["b/s1"]);
    // It hangs: it is asked half of the time at most.
    old.looked([], 3000 * MS, 5000 * MS);
    assert_eq!(down(&mut old, &["b/s1", "b/s2"], 7999), [""; 0]);
    assert_eq!(down(&mut old, &["b/s1", "b/s2"], 8000), ["b/s1"]);
    old.looked([server("b/s1")], 3 * MS, 8003 * MS);
    assert_eq!(down(&mut old, &["b/s1", "b/s2"], 20_000), [""; 0]);
}

#[test]
fn one_that_goes_down_again_is_looked_at_again() {
    let mut old = OldServers::default();
    assert_eq!(down(&mut old, &["b/s1"], 0), ["b/s1"]);
    old.looked([server("b/s1")], MS, MS);
    assert_eq!(down(&mut old, &[], 2000), [""; 0]);
    assert_eq!(down(&mut old, &["b/s1"], 3000), ["b/s1"]);
    // It was up while the look was under way: that look says nothing about what comes after.
    assert_eq!(old.hear(told(&["b/s1"], SeenAs::Up), 3500 * MS), BTreeSet::new());
    assert_eq!(down(&mut old, &["b/s1"], 4000), [""; 0]);
    old.looked([server("b/s1")], MS, 4500 * MS);
    assert_eq!(down(&mut old, &["b/s1"], 6000), ["b/s1"]);
}

#[test]
fn one_that_may_begin_down_must_have_been_up() {
    let mut old = OldServers::default();
    let perhaps = || told(&["b/s1"], SeenAs::DownPerhapsFromTheBeginning);
    assert_eq!(old.hear(perhaps(), MS), BTreeSet::new());
    old.hear(told(&["b/s1"], SeenAs::Up), 1000 * MS);
    assert_eq!(old.hear(perhaps(), 2000 * MS), BTreeSet::from([server("b/s1")]));
    old.looked([], MS, 2001 * MS);
    // The next generation begins anew.
    old.begins();
    assert_eq!(old.hear(perhaps(), 5000 * MS), BTreeSet::new());
}

#[test]
fn generations_are_looked_at_each_by_itself() {
    let mut old = OldServers::default();
    let second = OldServer { generation: Generation::FIRST.next(), ..server("b/s1") };
    assert_eq!(down(&mut old, &["b/s1"], 0), ["b/s1"]);
    old.looked([server("b/s1")], MS, MS);
    let both = vec![(server("b/s1"), SeenAs::Down), (second.clone(), SeenAs::Down)];
    assert_eq!(old.hear(both, 2000 * MS), BTreeSet::from([second]));
}
