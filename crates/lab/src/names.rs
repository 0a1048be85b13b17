//! A DNS server for tests: it answers A and AAAA from a table that the test changes while it runs.
//!
//! One datagram in, one out, on the loopback of a namespace and a free port. Every name in the table exists in both
//! families, with no address in one of them perhaps; others do not exist. Everything is valid for a second.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::namespace::Namespace;

/// Of a header: id, flags and four counts.
const HEADER: usize = 12;
/// Types of records: an IPv4 and an IPv6 address.
const A: u16 = 1;
const AAAA: u16 = 28;
/// An answer, with recursion; the second says that there is no such name.
const ANSWER: u16 = 0x8180;
const NO_SUCH_NAME: u16 = 0x8183;
/// How often it looks whether it is to end.
const PAUSE: Duration = Duration::from_millis(100);

type Table = Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct Names {
    address: SocketAddr,
    table: Table,
    pause_ms: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    /// Starts it on the loopback of a namespace.
    pub fn start(host: &Namespace) -> Result<Self> {
        let socket =
            host.enter(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))?.context("binding for names")?;
        socket.set_read_timeout(Some(PAUSE)).context("setting a timeout")?;
        let address = socket.local_addr().context("asking for our own address")?;
        let (table, pause_ms, end) =
            (Table::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (of_thread, pause, ends) = (Arc::clone(&table), Arc::clone(&pause_ms), Arc::clone(&end));
        let thread = std::thread::spawn(move || serve(&socket, &of_thread, &pause, &ends));
        Ok(Self { address, table, pause_ms, end, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// These are the addresses of a name from now on.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert(name.to_owned(), addresses.to_vec());
    }

    /// It waits so long before each answer from now on, and answers one question after the other.
    pub fn wait_before_answers(&self, pause: Duration) {
        self.pause_ms.store(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, table: &Table, pause_ms: &AtomicU64, end: &AtomicBool) {
    let mut buffer = [0; 1500];
    while !end.load(Ordering::Relaxed) {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            // Nothing came, or the client that was answered had gone.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => continue,
            Err(_) => return,
        };
        std::thread::sleep(Duration::from_millis(pause_ms.load(Ordering::Relaxed)));
        let table = table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = buffer.get(..length).and_then(|question| answer(question, &table)) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// `None` for what is no question.
fn answer(question: &[u8], table: &BTreeMap<String, Vec<IpAddr>>) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), HEADER);
    loop {
        let length = usize::from(*question.get(at)?);
        let label = question.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?);
    let asked = question.get(HEADER..at + 4)?;
    let known = table.get(&labels.join("."));
    let of_kind = |ip: &&IpAddr| kind == if ip.is_ipv4() { A } else { AAAA };
    let addresses: Vec<&IpAddr> = known.into_iter().flatten().filter(of_kind).collect();
    let flags = if known.is_some() { ANSWER } else { NO_SUCH_NAME };
    let mut bytes = question.get(..2)?.to_vec();
    for number in [flags, 1, u16::try_from(addresses.len()).ok()?, 0, 0] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(asked);
    for ip in addresses {
        // The name of the question again, class IN, one second.
        bytes.extend([0xc0, 0x0c]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 1]);
        match ip {
            IpAddr::V4(ip) => bytes.extend([&[0, 4], &ip.octets()[..]].concat()),
            IpAddr::V6(ip) => bytes.extend([&[0, 16], &ip.octets()[..]].concat()),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02V4\x03lab\x00\x00\x01\x00\x01";

    #[test]
    fn a_question_is_answered_from_the_table() {
        let table = BTreeMap::from([("v4.lab".to_owned(), vec![IpAddr::from([10, 2, 0, 2])])]);
        let answered = answer(QUESTION, &table).unwrap();
        assert_eq!(&answered[..12], b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00");
        assert!(answered.ends_with(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x0a\x02\x00\x02"));
        assert_eq!(answer(QUESTION, &BTreeMap::new()).unwrap()[3], 0x83);
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        for length in 0..QUESTION.len() {
            assert!(answer(&QUESTION[..length], &BTreeMap::new()).is_none(), "{length}");
        }
    }
}
