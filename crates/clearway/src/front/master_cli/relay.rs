//! A command on its way to the real master of a generation, and its answer on the way back.

use std::io;
use std::time::Duration;

use clearway_haproxy::sockpair;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::front::master_cli::reach::ReachableMaster;

/// What is passed on at once.
const PIECE: usize = 16 << 10;

/// How long a client may take to read a piece: as long as it does not, it holds one of the few connections of a master.
pub const READS_WITHIN: Duration = Duration::from_mins(1);

/// How a master says that a worker is gone. It leaves the connection open then, up to 3.2 at least.
const GONE: &[u8] = b"Can't find the target PID";

/// A connection to a real master.
#[derive(Debug)]
pub struct Relay {
    master: UnixStream,
    /// Its place among the clients of that master.
    _lane: OwnedSemaphorePermit,
}

/// Writes to a client, which has to read.
pub async fn write(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(READS_WITHIN, client.write_all(bytes)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

impl Relay {
    /// Connects, as soon as that master has room for one more, and says this.
    pub async fn begin(master: &ReachableMaster, bytes: &[u8]) -> io::Result<Self> {
        let lane = master.lane.clone().acquire_owned().await.map_err(io::Error::other)?;
        let connection = sockpair::dial(&master.socket).map_err(io::Error::other)?;
        connection.set_nonblocking(true)?;
        let mut relay = Self { master: UnixStream::from_std(connection)?, _lane: lane };
        relay.say(bytes).await?;
        Ok(relay)
    }

    /// Says more.
    pub async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.master.write_all(bytes).await
    }

    /// All is said: passes on what is answered, to its end.
    pub async fn answer(mut self, client: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        self.master.shutdown().await?;
        let mut buffer = vec![0; PIECE];
        loop {
            let length = match self.master.read(&mut buffer).await {
                Ok(0) => return Ok(()),
                // The end, where it has closed with some of our bytes unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                read => read?,
            };
            let piece = &buffer[..length];
            write(client, piece).await?;
            if piece.starts_with(GONE) && piece.ends_with(b"\n") {
                return Ok(());
            }
        }
    }

    /// Passes on what both sides say until the master's ends.
    pub async fn converse(mut self, client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_master, mut to_master) = self.master.split();
        let forth = async {
            tokio::io::copy(&mut from_client, &mut to_master).await?;
            to_master.shutdown().await?;
            std::future::pending::<io::Result<u64>>().await
        };
        tokio::select! {
            passed = forth => passed,
            passed = tokio::io::copy(&mut from_master, &mut to_client) => passed,
        }
        .map(|_| ())
    }
}
