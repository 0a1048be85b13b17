use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::ground::credentials::Credentials;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn what_hangs_is_not_begun_again() {
    let single = Single::default();
    let (release, hangs) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    assert!(single.spawn(
        "hanging",
        move || hangs.recv().is_err(),
        move |released| tell.send(released).unwrap()
    ));
    std::thread::sleep(Duration::from_millis(2));
    assert!(single.busy_for() >= Some(Duration::from_millis(2)));
    assert!(single.is_busy() && !single.spawn("once more", || panic!("a second one"), drop::<()>));
    drop(release);
    assert!(told.recv_timeout(SOON).unwrap());
    // What it has told may begin the next one at once.
    assert!(single.spawn("once more", || {}, drop));
}

#[test]
fn what_is_done_aside_can_look_at_the_other_end_of_a_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let peer = runtime.block_on(outcome_of("looking", move || Credentials::of(&one)));
    assert_eq!(peer.flatten().map(|peer| peer.uid), Some(rustix::process::getuid().as_raw()));
}
