use super::*;

#[test]
fn instance_names_are_narrow() {
    for good in ["a", "web", "web-1", "0", "a".repeat(32).as_str()] {
        assert_eq!(good.parse::<InstanceName>().unwrap().as_str(), good);
    }
    for bad in ["", "-a", "Web", "a_b", "a/b", "a b", "ä", "a".repeat(33).as_str()] {
        assert!(bad.parse::<InstanceName>().is_err(), "{bad:?} was taken");
    }
}

#[test]
fn a_mark_is_one_bit() {
    assert_eq!(Mark::bit(29), Some(Mark::DEFAULT));
    assert_eq!(Mark::bit(32), None);
    assert_eq!(Mark::DEFAULT.to_string(), "0x20000000");
}
