//! Every conversation with another Clearway: predecessor, successor, holder.

pub mod hold;
pub mod keeper;
pub mod message;
pub mod origin;
pub mod place;
pub mod state;
pub mod succession;
pub mod takeover;
pub mod wire;

use place::Place;
use succession::Succession;

/// Every conversation with another Clearway: predecessor, successor, holder.
#[derive(Debug)]
pub struct Peers {
    /// Other Clearways of this name.
    pub succession: Succession,
    pub place: Place,
}

impl Peers {
    /// Nothing has been done yet.
    pub fn new(succession: Succession, place: Place) -> Self {
        Self { succession, place }
    }
}
