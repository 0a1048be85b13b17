//! Any bytes as a datagram of the kernel.

use super::frame::{FrameContent, frames};
use super::{Reply, replies};

/// What its messages say.
pub(crate) fn datagram(data: &[u8]) -> Vec<Reply> {
    let Ok(frames) = frames(data) else { return Vec::new() };
    assert!(frames.len() <= data.len() / 16);
    let mut all = Vec::new();
    let mut are_data = true;
    for frame in frames {
        match frame.content {
            FrameContent::Data(reply) => all.push(reply),
            FrameContent::Ended(ack) => {
                are_data = false;
                if let Err(error) = ack.into_result("listing") {
                    assert!(error.errno().is_some(), "{error}");
                }
            }
            FrameContent::Overrun => are_data = false,
        }
    }
    assert_eq!(replies(data).is_ok(), are_data);
    assert!(all.iter().map(|reply| reply.payload.len()).sum::<usize>() <= data.len());
    all
}
