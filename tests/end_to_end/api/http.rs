//! A client of the API that sends any bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clearway_lab::namespace::Namespace;
use clearway_lab::wait::patience;
use serde_json::Value;

use crate::stage::{SOON, Stage};

/// Where the API is asked.
pub enum At<'a> {
    /// Over a path.
    Path(PathBuf),
    /// Over TCP, in a host.
    Tcp(&'a Namespace, SocketAddr),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Its headers, in small letters.
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{} is no JSON: {}", self.status, self.body))
    }
}

/// A connection.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl At<'_> {
    /// Over TCP at the balancer itself.
    pub fn loopback(stage: &Stage, port: u16) -> At<'_> {
        At::Tcp(&stage.hosts.balancer, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    pub fn connect(&self) -> Result<Box<dyn Stream>> {
        Ok(match self {
            At::Path(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(2 * SOON * patience()))?;
                Box::new(stream)
            }
            At::Tcp(host, address) => {
                let stream = host.enter(|| TcpStream::connect(address))??;
                stream.set_read_timeout(Some(2 * SOON * patience()))?;
                Box::new(stream)
            }
        })
    }

    /// Sends bytes, and reads what is answered to the end.
    pub fn send(&self, bytes: &[u8]) -> Result<Reply> {
        let mut stream = self.connect()?;
        // It may be answered before all is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        // A connection is reset if not all was read that was sent.
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{read:?}: {answer}"))?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("a status")?;
        Ok(Reply { status, head: head.to_lowercase(), body: body.to_owned() })
    }

    /// A request with these headers, each with its line end.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Result<Reply> {
        let host = if headers.to_lowercase().contains("host:") { "" } else { "Host: 127.0.0.1\r\n" };
        self.send(format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n").as_bytes())
    }

    pub fn get(&self, path: &str) -> Result<Reply> {
        self.ask("GET", path, "")
    }

    /// The JSON of an answer of 200.
    pub fn json(&self, path: &str) -> Result<Value> {
        let reply = self.get(path)?;
        ensure!(reply.status == 200 && reply.head.contains("content-type: application/json"), "{reply:?}");
        reply.json()
    }

    pub fn post(&self, path: &str) -> Result<Reply> {
        self.ask("POST", path, "X-Clearway: 1\r\n")
    }

    pub fn assert_status(&self, method: &str, path: &str, headers: &str, status: u16) -> Result<Reply> {
        let reply = self.ask(method, path, headers)?;
        ensure!(reply.status == status, "{method} {path} {headers}: {reply:?}, and not {status}");
        Ok(reply)
    }
}
