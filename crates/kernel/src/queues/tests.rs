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
    let ends: HashSet<_> =
        clients.iter().map(|client| (client.peer_addr().unwrap(), client.local_addr().unwrap())).collect();
    assert_eq!(not_accepted(&[listener(&socket)]).unwrap(), ends);
    let accepted: Vec<_> = clients.iter().map(|_| socket.accept().unwrap()).collect();
    assert!(not_accepted(&[listener(&socket)]).unwrap().is_empty(), "{accepted:?} have been");
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

#[test]
fn what_a_full_queue_drops_is_counted_at_its_socket() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    set_limit(socket.as_fd(), 0).unwrap();
    let inode = listener(&socket).inode;
    let dropped = || queues(&HashSet::from([inode])).unwrap()[0].drops.unwrap();
    assert_eq!(dropped(), 0);
    let address = socket.local_addr().unwrap();
    let _one = TcpStream::connect(address).unwrap();
    let more = TcpStream::connect_timeout(&address, std::time::Duration::from_millis(100));
    assert!(more.is_err() && dropped() >= 1, "{more:?}, {} dropped", dropped());
}
