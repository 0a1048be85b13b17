use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use super::*;

fn listener(socket: &TcpListener) -> Listener {
    let inode = rustix::fs::fstat(socket.as_fd()).unwrap().st_ino;
    Listener { inode, address: socket.local_addr().unwrap(), v6only: false }
}

#[test]
fn clients_that_wait_are_counted_until_accepted_or_closed() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut waiting = Waiting::begin(vec![listener(&socket)]).unwrap();
    let nothing = Remaining { queued: 0, half_open: 0, listening: 1 };
    assert_eq!(waiting.poll().unwrap(), nothing);
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(socket.local_addr().unwrap()).unwrap()).collect();
    // A client is connected a little before it is in the queue.
    while waiting.poll().unwrap() != (Remaining { queued: 3, ..nothing }) {
        std::thread::yield_now();
    }
    for _ in &clients {
        socket.accept().unwrap();
    }
    assert!(waiting.poll().unwrap().is_nothing());
    let inode = listener(&socket).inode;
    let queue = queues(&HashSet::from([inode])).unwrap();
    assert_eq!(queue.len(), 1);
    assert!(queue[0].limit > 0);
    drop(socket);
    assert_eq!(waiting.poll().unwrap(), Remaining { listening: 0, ..nothing });
}

#[test]
fn without_listeners_no_client_waits() {
    assert!(half_open(&[]).unwrap().is_empty());
    let remaining = Waiting::begin(Vec::new()).unwrap().poll().unwrap();
    assert_eq!(remaining, Remaining { queued: 0, half_open: 0, listening: 0 });
}

#[test]
fn a_listener_hears_its_port_and_what_its_address_covers() {
    let wide = Listener { inode: 1, address: "[::]:80".parse().unwrap(), v6only: false };
    assert!(wide.hears("10.0.0.1:80".parse().unwrap()));
    assert!(!wide.hears("10.0.0.1:81".parse().unwrap()));
    assert!(!Listener { v6only: true, ..wide }.hears("10.0.0.1:80".parse().unwrap()));
}
