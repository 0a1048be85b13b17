//! Everything that diverts clients between two generations or two balancers, and takes it back.

pub mod beside;
pub mod neighbours;
pub mod redirection;
pub mod steer;
pub mod strategies;
pub mod switch;

use std::sync::Arc;

use clearway_core::names::Generation;
use clearway_kernel::queues::Listener;

use crate::custody::sockets::Sockets;
use beside::Others;
use redirection::Redirection;
use switch::{Cancel, Switch};

/// Everything that diverts clients between two generations or two balancers, and takes it back.
#[derive(Debug)]
pub struct Cutover {
    /// To whom clients are brought, until it is committed or not.
    pub switch: Option<Switch>,
    /// What tells the thread that does so that it need not any more, and for whom; until that is committed or not.
    pub switching: Option<(Generation, Cancel)>,
    /// The sockets that our first generation did not use, and those of them that nobody is steered away from: until the
    /// predecessor has been told that we serve.
    pub kept_by_predecessor: Option<(Arc<Sockets>, Vec<Listener>)>,
    /// Where new clients are sent, if generations have private ports.
    pub redirection: Redirection,
    /// Who listened where we do before we did.
    pub others: Others,
    /// What is to drain when those have been waited for who came here before the others got their clients back.
    pub giving_back: Option<Vec<Generation>>,
}

impl Cutover {
    /// Nothing has been done yet.
    pub fn new() -> Self {
        Self {
            switch: None,
            switching: None,
            kept_by_predecessor: None,
            redirection: Redirection::default(),
            others: Others::default(),
            giving_back: None,
        }
    }
}
