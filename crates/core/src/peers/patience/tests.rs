use super::*;

const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn it_ends_after_as_many_pauses_as_fit() {
    let mut patience = Patience::new(PAUSE, PAUSE * 20);
    for number in 0..20 {
        assert_eq!(patience.again(), Some(PAUSE), "try {number}");
    }
    assert_eq!(patience.again(), None);
    assert_eq!(patience.again(), None);
    patience.renew();
    assert_eq!(patience.again(), Some(PAUSE));
}

#[test]
fn without_time_there_is_one_try() {
    assert_eq!(Patience::new(PAUSE, Duration::ZERO).again(), None);
}

#[test]
fn persistence_has_no_end_and_says_so_once() {
    let seldom = PAUSE * 50;
    let mut persistence = Persistence::new(Patience::new(PAUSE, PAUSE * 2), seldom);
    assert_eq!([(); 2].map(|()| persistence.again()), [Again { pause: PAUSE, say: false }; 2]);
    assert_eq!(persistence.again(), Again { pause: seldom, say: true });
    for _ in 0..1000 {
        assert_eq!(persistence.again(), Again { pause: seldom, say: false });
    }
    assert!(persistence.renew());
    assert!(!persistence.renew());
    assert_eq!(persistence.again(), Again { pause: PAUSE, say: false });
}
