use std::net::SocketAddr;

use super::*;

mod forerunners;
mod left_open;
mod redirection;
mod switches;

const SECOND: Duration = Duration::from_secs(1);

/// What a switch has done with everything that there is.
const ALL: Done = Done { gate: true, steers: true, leaves_listeners: true };
const STEERS: Done = Done { gate: false, steers: true, leaves_listeners: false };

fn generation(number: u32) -> Generation {
    (1..number).fold(Generation::FIRST, |one, _| one.next())
}

fn commit(number: u32) -> CutoverEvent {
    let listens = ListensAt::PrivatePorts;
    CutoverEvent::Committed { generation: generation(number), listens, predecessor: false }
}

/// A machine at a moment, and what it has said since it was looked at.
struct Told {
    diversions: Diversions,
    now: Duration,
}

impl Told {
    fn new() -> Self {
        Self { diversions: Diversions::default(), now: Duration::ZERO }
    }

    fn tell(&mut self, event: CutoverEvent) -> Vec<CutoverAction> {
        self.diversions.step(event, self.now)
    }

    fn pass(&mut self, time: Duration) -> Vec<CutoverAction> {
        self.now += time;
        self.tell(CutoverEvent::TimePassed)
    }

    /// A generation serves, and the next one is being switched to.
    fn switching() -> Self {
        let mut told = Self::new();
        told.tell(commit(1));
        assert_eq!(told.tell(CutoverEvent::SwitchAsked(generation(2))), [CutoverAction::Move(generation(2))]);
        told
    }

    /// The same, and its clients are moved.
    fn waiting(done: Done) -> Self {
        let mut told = Self::switching();
        assert_eq!(told.tell(CutoverEvent::Moved(generation(2), done)), []);
        told
    }
}
