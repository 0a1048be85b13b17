//! Throughput: one bulk download through whatever is between.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::namespace::Namespace;
use crate::session::connect;

/// Orders more than can come from a [`crate::server::Mode::Line`] server and gives the bytes per second that came
/// within `duration`. The first tenth of the time does not count: connections start slowly.
pub fn download(host: &Namespace, to: SocketAddr, duration: Duration) -> Result<f64> {
    let patience = Duration::from_secs(5);
    let mut stream = host.enter(|| connect(to, None, patience))?.context("connecting for a download")?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("bulk {}\n", u64::MAX).as_bytes()).context("ordering bytes")?;
    let mut block = vec![0; 256 * 1024];
    let (warm, end) = (Instant::now() + duration / 10, Instant::now() + duration);
    let (mut bytes, mut counting_since) = (0_usize, None);
    while Instant::now() < end {
        let read = stream.read(&mut block).context("downloading")?;
        ensure!(read > 0, "the download ended by itself");
        match counting_since {
            None if Instant::now() >= warm => counting_since = Some(Instant::now()),
            None => {}
            Some(_) => bytes += read,
        }
    }
    let counted = counting_since.map_or(duration, |since: Instant| since.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
    Ok(bytes as f64 / counted.as_secs_f64())
}
