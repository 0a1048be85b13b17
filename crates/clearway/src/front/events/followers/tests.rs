use std::time::Instant;

use super::*;

clearway_core::notices! {
    /// About doors.
    pub enum DoorNotice {
        /// A door was opened.
        Info "door.opened" Opened { door: u64 } => "door {door} was opened";
    }
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

const ALL: Option<LastHad> = Some(LastHad { epoch: None, number: 0 });

/// The doors that a follower is told of until there is no more.
async fn doors(mut follower: Follower) -> Vec<u64> {
    let mut doors = Vec::new();
    while let Some(frame) = follower.next().await {
        let text = String::from_utf8(frame.to_vec()).unwrap();
        doors.extend(
            text.split("\"door\":").nth(1).and_then(|rest| rest.split('}').next()?.parse::<u64>().ok()),
        );
    }
    doors
}

#[test]
fn a_follower_is_told_what_happens_until_the_end() {
    in_runtime(async {
        let events = Events::new(1);
        events.keep(&DoorNotice::Opened { door: 1 });
        let followers = Followers::new(events.clone());
        let [new, old] = [None, ALL].map(|had| tokio::spawn(doors(followers.admit(had, None).unwrap())));
        tokio::task::yield_now().await;
        events.keep(&DoorNotice::Opened { door: 2 });
        tokio::task::yield_now().await;
        events.keep(&DoorNotice::Opened { door: 3 });
        followers.end();
        let begun = Instant::now();
        followers.let_go().await;
        assert!(begun.elapsed() < MOMENT, "all of them read");
        assert!(new.is_finished() && old.is_finished(), "they have had the last one when Clearway ends");
        assert_eq!(new.await.unwrap(), [2, 3]);
        assert_eq!(old.await.unwrap(), [1, 2, 3]);
    });
}

#[test]
fn what_happens_between_two_looks_is_not_overlooked() {
    in_runtime(async {
        let events = Events::new(1);
        let followers = Followers::new(events.clone());
        let mut follower = followers.admit(None, None).unwrap();
        assert!(follower.next().await.unwrap().starts_with(b"retry: "));
        events.keep(&DoorNotice::Opened { door: 1 });
        assert!(follower.next().await.unwrap().starts_with(b"id: 00000001-1\n"));
        let waits = tokio::spawn(async move { follower.next().await });
        tokio::task::yield_now().await;
        events.keep(&DoorNotice::Opened { door: 2 });
        assert!(waits.await.unwrap().unwrap().starts_with(b"id: 00000001-2\n"));
    });
}

#[test]
fn there_are_so_many_and_no_more_until_one_goes() {
    let followers = Followers::new(Events::new(1));
    let mut seated: Vec<_> = (0..MOST).map(|_| followers.admit(None, None).unwrap()).collect();
    let refused = followers.admit(None, None).unwrap_err();
    assert_eq!((&refused, refused.status()), (&NotFollowed::TooMany, StatusCode::SERVICE_UNAVAILABLE));
    drop(seated.swap_remove(7));
    seated.push(followers.admit(None, None).unwrap());
    assert_eq!(followers.admit(None, None).unwrap_err(), NotFollowed::TooMany);
    drop(seated);
    assert!(followers.seats.borrow().is_empty());
}

#[test]
fn one_that_asks_for_what_has_not_happened_takes_no_seat() {
    let followers = Followers::new(Events::new(1));
    let refused = followers.admit(Some(LastHad { epoch: None, number: 1 }), None).unwrap_err();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(followers.seats.borrow().is_empty());
}

#[test]
fn one_that_does_not_read_is_not_waited_for_at_the_end() {
    in_runtime(async {
        let followers = Followers::new(Events::new(1));
        let _stalled = followers.admit(None, i32::try_from(std::process::id()).ok()).unwrap();
        followers.end();
        let begun = Instant::now();
        followers.let_go().await;
        assert!((MOMENT..MOMENT * 20).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    });
}
