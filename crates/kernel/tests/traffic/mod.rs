//! Clients and servers for the tests of steering: threads, each connection one byte long.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

/// Whatever is waited for: tests fail after this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A listening socket as HAProxy makes it.
pub(crate) fn listen(address: &str, v6only: bool) -> Result<TcpListener> {
    let socket = bind(address, v6only)?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// The same before it listens.
pub(crate) fn bind(address: &str, v6only: bool) -> Result<Socket> {
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

pub(crate) fn inode(fd: BorrowedFd<'_>) -> Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    while !condition()? {
        ensure!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A thread that does something again and again until it is stopped or dropped.
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(mut work: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(SeqCst) {
                work();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Accepts on a copy of the socket, one connection per `pace`, and answers each with one byte.
/// Dropped, it closes its copy: who waits is served by nobody.
pub(crate) fn serve(socket: &TcpListener, name: u8, pace: Duration) -> Result<Worker> {
    let socket = socket.try_clone()?;
    Ok(Worker::start(move || {
        let patience = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let _ = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&patience));
        if let Ok((mut connection, _)) = socket.accept() {
            let _ = connection.write_all(&[name]);
            sleep(pace);
        }
    }))
}

/// What clients have seen.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    pub old: AtomicUsize,
    pub new: AtomicUsize,
    pub errors: AtomicUsize,
}

/// Connects and reads the answer, again and again.
pub(crate) fn clients(count: usize, targets: &[SocketAddr], seen: &Arc<Seen>) -> Vec<Worker> {
    let one = |number: usize| {
        let (seen, target) = (Arc::clone(seen), targets[number % targets.len()]);
        Worker::start(move || match ask(target) {
            Ok(b'o') => drop(seen.old.fetch_add(1, SeqCst)),
            Ok(_) => drop(seen.new.fetch_add(1, SeqCst)),
            Err(error) => {
                eprintln!("{target}: {error}");
                seen.errors.fetch_add(1, SeqCst);
            }
        })
    };
    (0..count).map(one).collect()
}

fn ask(target: SocketAddr) -> std::io::Result<u8> {
    let mut connection = TcpStream::connect_timeout(&target, DEADLINE)?;
    connection.set_read_timeout(Some(DEADLINE))?;
    let mut byte = [0];
    connection.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Connects so many clients and leaves them waiting.
pub(crate) fn connect(target: &str, count: usize) -> Result<Vec<TcpStream>> {
    let target: SocketAddr = target.parse()?;
    (0..count).map(|_| Ok(TcpStream::connect_timeout(&target, DEADLINE)?)).collect()
}

/// Begins to connect and does not wait.
pub(crate) fn begin(target: &str) -> Result<Socket> {
    let target: SocketAddr = target.parse()?;
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Err(error.into())
        }
        _ => Ok(socket),
    }
}

/// Whether the handshake is complete; an error if it failed.
pub(crate) fn connected(socket: &Socket) -> Result<bool> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&now))? > 0;
    match socket.take_error()? {
        Some(error) => Err(error.into()),
        None => Ok(ready),
    }
}

/// Accepts so many. A client is connected a little before it is in the queue.
pub(crate) fn take(sockets: &[&TcpListener], count: usize) -> Result<()> {
    let mut taken = 0;
    until("the clients to be in the queues", || {
        taken += sockets.iter().map(|socket| drain(socket)).sum::<usize>();
        Ok(taken >= count)
    })?;
    ensure!(taken == count, "{taken} instead of {count}");
    Ok(())
}

/// How many wait in the accept queue, by accepting them.
pub(crate) fn drain(socket: &TcpListener) -> usize {
    std::iter::from_fn(|| socket.accept().ok()).count()
}

/// Which of the sockets take 40 new clients.
pub(crate) fn shares(target: &str, sockets: &[&TcpListener]) -> Result<Vec<usize>> {
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

pub(crate) fn fds<'a>(sockets: &'a [&'a TcpListener]) -> Vec<BorrowedFd<'a>> {
    sockets.iter().map(|socket| socket.as_fd()).collect()
}
