//! The answer to a client that follows: a body that has no end of its own.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame};

use super::followers::Follower;

/// What a follower is sent next, and the follower.
type NextPiece = Pin<Box<dyn Future<Output = (Option<Bytes>, Follower)> + Send>>;

/// Gives a piece at a time, when the connection has room for it.
pub struct EventStream(Option<NextPiece>);

impl EventStream {
    /// What this follower is sent.
    pub fn of(follower: Follower) -> Self {
        Self(Some(next_of(follower)))
    }
}

fn next_of(mut follower: Follower) -> NextPiece {
    Box::pin(async move { (follower.next().await, follower) })
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = &mut self.0 else { return Poll::Ready(None) };
        let (piece, follower) = ready!(next.as_mut().poll(context));
        // The follower is let go with the last piece.
        self.0 = piece.is_some().then(|| next_of(follower));
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}
