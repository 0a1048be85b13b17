use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FIRST: Balancer = Balancer(1);
const SECOND_ONE: Balancer = Balancer(2);

fn store_of(balancer: Balancer) -> Store {
    let mut store = Store::new(10 * SECOND, 300 * SECOND);
    store.keep(balancer, vec![socket()]);
    store
}

fn socket() -> Held {
    Held::made(std::net::TcpListener::bind("127.0.0.1:0").unwrap().into(), "").unwrap()
}

#[test]
fn a_loss_and_a_stop_are_held_for_so_long() {
    let mut lost = store_of(FIRST);
    assert!(lost.gone(FIRST, 5 * SECOND));
    assert_eq!(lost.until(), Some(305 * SECOND));
    assert_eq!(lost.look_at_the_clock(304 * SECOND), None);
    assert_eq!(lost.look_at_the_clock(305 * SECOND), Some(1));
    assert!(lost.sockets().is_empty());

    let mut stopped = store_of(FIRST);
    assert!(stopped.release(FIRST, false, 5 * SECOND));
    // It leaves when its last session is done, which changes nothing.
    assert!(!stopped.gone(FIRST, 6 * SECOND));
    assert_eq!(stopped.look_at_the_clock(15 * SECOND), Some(1));

    let mut released = store_of(FIRST);
    assert!(released.release(FIRST, true, 5 * SECOND));
    assert_eq!(released.look_at_the_clock(5 * SECOND), Some(1));
}

#[test]
fn the_next_balancer_owns_what_it_sends_and_the_former_nothing() {
    let mut store = store_of(FIRST);
    store.gone(FIRST, SECOND);
    assert_eq!(store.until(), Some(301 * SECOND), "it has not served yet");
    store.keep(SECOND_ONE, vec![socket(), socket()]);
    assert_eq!((store.until(), store.sockets().len()), (None, 2));
    assert!(!store.release(FIRST, true, 2 * SECOND));
    assert!(!store.gone(FIRST, 2 * SECOND));
    assert_eq!(store.look_at_the_clock(1_000 * SECOND), None);
}

#[test]
fn one_that_only_asked_leaves_no_trace() {
    let mut store = Store::new(SECOND, SECOND);
    assert!(!store.gone(FIRST, SECOND));
    assert_eq!(store.until(), None);
}

/// On a busy machine the word of one that gives back may be heard after that of the one that serves again.
#[test]
fn one_that_serves_again_has_the_hold_whichever_word_comes_first() {
    let mut store = store_of(FIRST);
    store.keep(FIRST, vec![socket()]);
    store.keep(SECOND_ONE, vec![socket()]);
    assert!(!store.release(SECOND_ONE, false, SECOND));
    assert_eq!(store.until(), None);
    assert!(!store.gone(SECOND_ONE, 2 * SECOND));
    assert_eq!(store.look_at_the_clock(1_000 * SECOND), None);
    assert!(store.gone(FIRST, 3 * SECOND));
    assert_eq!(store.until(), Some(303 * SECOND));
}
