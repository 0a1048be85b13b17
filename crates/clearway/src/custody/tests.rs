use std::net::TcpListener;

use futures_now::now;

use super::*;
use crate::custody::held::Held;

/// Asks a future once.
mod futures_now {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    pub fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }
}

fn received() -> ReceivedSocket {
    let fd = TcpListener::bind("127.0.0.1:0").unwrap().into();
    ReceivedSocket { fd, namespace: String::new(), interface: String::new() }
}

fn sockets(count: usize) -> Arc<Sockets> {
    Arc::new(Sockets::inherited((0..count).map(|_| Held::received(received()).unwrap()).collect()))
}

#[test]
fn each_commit_is_news_once_and_a_release_is_none() {
    let mut custody = Custody::new();
    let mut subscription = custody.subscribe();
    assert!(now(subscription.changed()).is_none() && subscription.news().is_none());
    custody.commit(sockets(1));
    custody.commit(sockets(2));
    assert_eq!(now(subscription.changed()), Some(()), "it may be asked again before it is looked");
    assert_eq!(now(subscription.changed()), Some(()));
    assert_eq!(subscription.news().map(|set| set.all().len()), Some(2));
    assert!(now(subscription.changed()).is_none() && subscription.news().is_none());
    assert_eq!(subscription.serving().map(|set| set.all().len()), Some(2));
    custody.release();
    assert!(subscription.news().is_none() && subscription.serving().is_none());
}

#[test]
fn what_was_begun_with_does_not_serve_yet() {
    let mut custody = Custody::new();
    let mut subscription = custody.subscribe();
    assert_eq!(custody.inherit(vec![received(), received()]).unwrap(), 2);
    assert!(subscription.news().is_none() && subscription.serving().is_none());
    custody.begin_with(vec![received()], KeptBy::Systemd);
    assert_eq!(custody.sockets().all().len(), 2, "a predecessor knows better than a store");
}

#[test]
fn nothing_keeps_a_socket_open_after_the_release() {
    let mut custody = Custody::new();
    let mut subscription = custody.subscribe();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let held = Held::made(listener.into(), "").unwrap();
    custody.commit(Arc::new(Sockets::inherited(vec![held])));
    drop(subscription.news());
    assert!(std::net::TcpStream::connect(address).is_ok());
    custody.release();
    assert!(std::net::TcpStream::connect(address).is_err());
}
