use super::*;

#[test]
fn names_are_those_of_docker() {
    let names: Vec<String> = Capability::ALL.iter().map(ToString::to_string).collect();
    assert!(names.contains(&"NET_ADMIN".to_owned()));
    assert!(names.contains(&"SYS_CHROOT".to_owned()));
    assert!(names.iter().all(|name| !name.starts_with("CAP_")));
}

#[test]
fn what_is_missing_is_told_in_the_order_asked_for() {
    let set = Set(CapabilitySet::NET_RAW | CapabilitySet::KILL);
    let wanted = [Capability::NetRaw, Capability::SetUid, Capability::NetAdmin];
    assert_eq!(set.missing(&wanted), [Capability::SetUid, Capability::NetAdmin]);
    assert_eq!(set.to_string(), "KILL,NET_RAW");
    assert_eq!(Set(CapabilitySet::empty()).to_string(), "none");
}

#[test]
fn the_effective_set_is_the_one_of_proc() {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    assert_eq!(u64::from_str_radix(line.trim(), 16).unwrap(), effective().unwrap().0.bits());
}
