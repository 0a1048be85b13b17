use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn what_hangs_is_not_begun_again() {
    let single = Single::default();
    let (release, hangs) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    assert!(single.spawn("hanging", move || tell.send(hangs.recv().is_err()).unwrap()));
    assert!(single.is_busy() && !single.spawn("once more", || panic!("a second one")));
    drop(release);
    assert!(told.recv_timeout(SOON).unwrap());
    let until = Instant::now() + SOON;
    while single.is_busy() && Instant::now() < until {
        std::thread::yield_now();
    }
    assert!(single.spawn("once more", || {}));
}
