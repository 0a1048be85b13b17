//! The serving side: one thread, one small task per connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Mode;

/// Longest line that is taken in; a longer one ends the connection.
const LONGEST_LINE: usize = 4096;

/// Serves for ever; says `ready` on standard output once it listens.
pub fn serve(name: &str, listen: &[SocketAddr], mode: Mode) -> Result<()> {
    if listen.is_empty() {
        bail!("nowhere to listen: give `--listen ADDRESS:PORT` at least once");
    }
    crate::process::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let name: Arc<str> = name.into();
        for address in listen {
            let listener = bind(*address).with_context(|| format!("listening on {address}"))?;
            tokio::spawn(accept(listener, Arc::clone(&name), mode));
        }
        println!("ready");
        std::future::pending::<()>().await;
        Ok(())
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn accept(listener: TcpListener, name: Arc<str>, mode: Mode) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let greeting = format!("{} {name}\n", peer.ip().to_canonical());
                // A connection that fails is the client's to report.
                tokio::spawn(async move {
                    let _ = answer(stream, greeting, mode).await;
                });
            }
            // Out of descriptors, most likely: let some connections end first.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn answer(stream: TcpStream, greeting: String, mode: Mode) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match mode {
        Mode::Line => echo(stream, greeting).await,
        Mode::Http => http(stream, greeting).await,
        Mode::Reset => stream.set_zero_linger(),
        Mode::Mute => Ok(()),
    }
}

/// Greets, then gives every line back until the client has closed its side.
async fn echo(stream: TcpStream, greeting: String) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(512, stream);
    stream.get_mut().write_all(greeting.as_bytes()).await?;
    let mut line = Vec::new();
    while read_line(&mut stream, &mut line).await? {
        if line == b"reset\n" {
            return stream.get_ref().set_zero_linger();
        }
        match bulk_size(&line) {
            Some(size) => send_bulk(stream.get_mut(), size).await?,
            None => stream.get_mut().write_all(&line).await?,
        }
    }
    stream.get_mut().shutdown().await
}

/// The number in `bulk <n>`.
fn bulk_size(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line).ok()?.strip_prefix("bulk ")?.trim().parse().ok()
}

async fn send_bulk(stream: &mut TcpStream, size: u64) -> io::Result<()> {
    let block = vec![b'.'; 256 * 1024];
    let mut left = size;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        stream.write_all(&block[..now]).await?;
        left -= now as u64;
    }
    Ok(())
}

/// Just enough HTTP/1.1: requests without a body, answered in order.
async fn http(stream: TcpStream, greeting: String) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(1024, stream);
    let mut line = Vec::new();
    loop {
        let mut close = false;
        if !read_line(&mut stream, &mut line).await? {
            return stream.get_mut().shutdown().await;
        }
        while !line.trim_ascii().is_empty() {
            close |= line.trim_ascii().eq_ignore_ascii_case(b"connection: close");
            if !read_line(&mut stream, &mut line).await? {
                return Ok(());
            }
        }
        let length = greeting.len();
        let connection = if close { "close" } else { "keep-alive" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n{greeting}"
        );
        stream.get_mut().write_all(answer.as_bytes()).await?;
        if close {
            return stream.get_mut().shutdown().await;
        }
    }
}

/// Reads one line with its end; false when the client has closed, or sends what is no line.
async fn read_line(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let buffer = stream.fill_buf().await?;
        if buffer.is_empty() || line.len() > LONGEST_LINE {
            return Ok(false);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(buffer.len());
        line.extend_from_slice(&buffer[..taken]);
        stream.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bulk_size;

    #[test]
    fn only_a_number_is_a_bulk_order() {
        assert_eq!(bulk_size(b"bulk 17\n"), Some(17));
        assert_eq!(bulk_size(b"bulky\n"), None);
        assert_eq!(bulk_size(b"\xff\n"), None);
    }
}
