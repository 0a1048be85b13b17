use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FIRST: BalancerId = BalancerId(1);
const SECOND_ONE: BalancerId = BalancerId(2);

fn store_of(balancer: BalancerId) -> Store<u8, ()> {
    let mut store = Store::new(10 * SECOND, 300 * SECOND);
    store.keep(balancer, vec![1]);
    store
}

#[test]
fn a_loss_and_a_stop_are_held_for_so_long() {
    let mut lost = store_of(FIRST);
    assert!(lost.gone(FIRST, 5 * SECOND));
    assert_eq!(lost.until(), Some(305 * SECOND));
    assert_eq!(lost.time_passed(304 * SECOND), None);
    assert_eq!(lost.time_passed(305 * SECOND), Some(1));
    assert!(lost.sockets().is_empty());

    let mut stopped = store_of(FIRST);
    assert!(stopped.release(FIRST, false, 5 * SECOND));
    // It leaves when its last session is done, which changes nothing.
    assert!(!stopped.gone(FIRST, 6 * SECOND));
    assert_eq!(stopped.time_passed(15 * SECOND), Some(1));

    let mut released = store_of(FIRST);
    assert!(released.release(FIRST, true, 5 * SECOND));
    assert_eq!(released.time_passed(5 * SECOND), Some(1));
}

#[test]
fn the_next_balancer_owns_what_it_sends_and_the_former_nothing() {
    let mut store = store_of(FIRST);
    store.gone(FIRST, SECOND);
    assert_eq!(store.until(), Some(301 * SECOND), "it has not served yet");
    store.keep(SECOND_ONE, vec![1, 2]);
    assert_eq!((store.until(), store.sockets().len()), (None, 2));
    assert!(!store.release(FIRST, true, 2 * SECOND));
    assert!(!store.gone(FIRST, 2 * SECOND));
    assert_eq!(store.time_passed(1_000 * SECOND), None);
}

#[test]
fn one_that_only_asked_leaves_no_trace() {
    let mut store: Store<u8, ()> = Store::new(SECOND, SECOND);
    assert!(!store.gone(FIRST, SECOND));
    assert_eq!(store.until(), None);
}

/// On a busy machine the word of one that gives back may be heard after that of the one that serves again.
#[test]
fn one_that_serves_again_has_the_hold_whichever_word_comes_first() {
    let mut store = store_of(FIRST);
    store.keep(FIRST, vec![1]);
    store.keep(SECOND_ONE, vec![1]);
    assert!(!store.release(SECOND_ONE, false, SECOND));
    assert_eq!(store.until(), None);
    assert!(!store.gone(SECOND_ONE, 2 * SECOND));
    assert_eq!(store.time_passed(1_000 * SECOND), None);
    assert!(store.gone(FIRST, 3 * SECOND));
    assert_eq!(store.until(), Some(303 * SECOND));
}

#[test]
fn what_is_held_is_what_the_balancer_uses_that_is_left() {
    let mut store = store_of(FIRST);
    store.keep(SECOND_ONE, vec![1, 2]);
    assert!(!store.gone(SECOND_ONE, SECOND));
    assert_eq!(**store.sockets(), [1], "no other process would accept from the successor's own");
    assert!(store.gone(FIRST, 2 * SECOND));
    assert_eq!(**store.sockets(), [1]);

    // The former one's word has come late.
    let mut store = store_of(SECOND_ONE);
    store.keep(FIRST, vec![2]);
    assert_eq!(**store.sockets(), [2]);
    assert!(!store.release(FIRST, true, SECOND));
    assert_eq!((&**store.sockets(), store.until()), (&vec![1], None));
}

#[test]
fn what_is_known_of_servers_is_the_owners_and_grows_old_without_it() {
    let mut store: Store<u8, &str> = Store::new(10 * SECOND, 300 * SECOND);
    store.know(FIRST, Arc::new("it serves nothing yet"), SECOND);
    assert_eq!(store.servers(SECOND), None);
    store.keep(FIRST, vec![1]);
    store.know(FIRST, Arc::new("up"), 2 * SECOND);
    assert_eq!(store.servers(9 * SECOND), Some((Arc::new("up"), Duration::ZERO)));
    store.gone(FIRST, 10 * SECOND);
    assert_eq!(store.servers(12 * SECOND), Some((Arc::new("up"), 2 * SECOND)));
    store.time_passed(310 * SECOND);
    assert_eq!(store.servers(310 * SECOND), None);
}
