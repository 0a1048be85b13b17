//! Single sockets, for tests of which socket gets a client: listening as HAProxy listens, connecting without waiting, and
//! how many wait where.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::wait::until;

/// Whatever is waited for: tests fail after this.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A listening socket as HAProxy makes it.
pub fn listen(address: &str, v6only: bool) -> Result<TcpListener> {
    let socket = bind(address, v6only)?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// The same before it listens.
pub fn bind(address: &str, v6only: bool) -> Result<Socket> {
    let address: SocketAddr = address.parse()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // HAProxy without `v6only` leaves it alone; the kernel sets it on a specific address.
    if v6only {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What tells a socket apart from every other one.
pub fn inode(fd: BorrowedFd<'_>) -> Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}

/// A server on a copy of a socket. Dropped, it closes its copy: the socket itself is closed by its owner.
#[derive(Debug)]
pub struct Serving {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Accepts one connection per `pace`, and answers each with its name, as a line.
pub fn serve(socket: &TcpListener, name: &str, pace: Duration) -> Result<Serving> {
    let socket = socket.try_clone()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let answer = format!("{name}\n");
    let thread = std::thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            let patience = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
            let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&patience));
            if let Ok((mut connection, _)) = socket.accept() {
                let _ = connection.write_all(answer.as_bytes());
                sleep(pace);
            }
        }
    });
    Ok(Serving { stop, thread: Some(thread) })
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Connects so many clients and leaves them waiting.
pub fn connect(target: &str, count: usize) -> Result<Vec<TcpStream>> {
    let target: SocketAddr = target.parse()?;
    (0..count).map(|_| Ok(TcpStream::connect_timeout(&target, DEADLINE)?)).collect()
}

/// Begins to connect and does not wait.
pub fn begin(target: &str) -> Result<Socket> {
    let target: SocketAddr = target.parse()?;
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error.into()),
        _ => Ok(socket),
    }
}

/// Whether the handshake is complete; an error if it failed.
pub fn connected(socket: &Socket) -> Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&now))? > 0;
    match socket.take_error()? {
        Some(error) => Err(error.into()),
        None => Ok(ready),
    }
}

/// Accepts so many. A client is connected a little before it is in the queue.
pub fn take(sockets: &[&TcpListener], count: usize) -> Result<()> {
    let mut taken = 0;
    until("the clients to be in the queues", || {
        taken += sockets.iter().map(|socket| drain(socket)).sum::<usize>();
        Ok(taken >= count)
    })?;
    ensure!(taken == count, "{taken} instead of {count}");
    Ok(())
}

/// How many wait in the accept queue, by accepting them.
pub fn drain(socket: &TcpListener) -> usize {
    std::iter::from_fn(|| socket.accept().ok()).count()
}

/// Which of the sockets take 40 new clients.
pub fn shares(target: &str, sockets: &[&TcpListener]) -> Result<Vec<usize>> {
    let clients = connect(target, 40)?;
    let mut counts = vec![0; sockets.len()];
    until("every client is in some queue", || {
        for (count, socket) in counts.iter_mut().zip(sockets) {
            *count += drain(socket);
        }
        Ok(counts.iter().sum::<usize>() == clients.len())
    })?;
    Ok(counts)
}

/// The descriptors of sockets.
pub fn fds<'a>(sockets: &'a [&'a TcpListener]) -> Vec<BorrowedFd<'a>> {
    sockets.iter().map(|socket| socket.as_fd()).collect()
}
