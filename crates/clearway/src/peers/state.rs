//! The state of servers in messages: a predecessor gives it to its successor before the sockets, a balancer to a holder
//! whenever it has changed, a holder to the next balancer. One that does not know these messages passes them over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fleet::state::Snapshot;
use crate::ground::notice::tell;
use crate::peers::message::PeerMessage;
use crate::peers::notices::PeersNotice;
use crate::peers::wire::{Wire, WireError};

/// The longest part; a message has room for it with every line end escaped.
const PART: usize = 64 * 1024;

/// More than a hundred thousand servers.
const MOST: usize = 64 << 20;

/// Sends it; `limit` is for each message.
pub fn send(wire: &Wire, snapshot: &Snapshot, limit: Duration) -> Result<(), WireError> {
    let age_ms = u64::try_from(snapshot.taken.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut parts = snapshot.servers.parts(PART).map(str::to_owned).peekable();
    while let Some(part) = parts.next() {
        wire.send(&PeerMessage::Servers { part, more: parts.peek().is_some(), age_ms }, &[], limit)?;
    }
    Ok(())
}

/// Puts the parts together.
#[derive(Debug, Default)]
pub struct Collector {
    text: String,
}

impl Collector {
    /// The next part; answers with the whole when it was the last one.
    pub fn hear(&mut self, part: &str, more: bool, age_ms: u64) -> Option<Snapshot> {
        self.text.push_str(part);
        if self.text.len() > MOST {
            tell(&PeersNotice::StateTooLong { most: MOST >> 20 });
            self.text.clear();
        }
        if more {
            return None;
        }
        let taken = Instant::now().checked_sub(Duration::from_millis(age_ms))?;
        match std::mem::take(&mut self.text).parse() {
            Ok(servers) => Some(Snapshot { servers: Arc::new(servers), taken }),
            Err(error) => {
                tell(&PeersNotice::StateUnreadable { error: error.to_string() });
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clearway_haproxy::runtime::state::Remembered;

    use super::*;

    #[test]
    fn parts_make_the_whole_again() {
        let line =
            |number: u32| format!("b s{number} 0 0 1 1 0 7 0 - 10.0.0.1 80 - 0 0 - - 0 10.0.0.1:80@ 1 2 0\n");
        let text = format!("servers 1\n{}", (0..5000).map(line).collect::<String>());
        let servers: Arc<Remembered> = Arc::new(text.parse().unwrap());
        let parts: Vec<&str> = servers.parts(PART).collect();
        assert!(parts.len() > 3 && parts.iter().all(|part| part.len() <= PART));
        let mut collector = Collector::default();
        let last = parts.len() - 1;
        let mut heard = parts.iter().enumerate().map(|(place, part)| collector.hear(part, place < last, 10));
        assert!(heard.by_ref().take(last).all(|heard| heard.is_none()));
        assert_eq!(heard.next().flatten().unwrap().servers, servers);
        assert!(Collector::default().hear("servers 9\n", false, 0).is_none());
    }
}
