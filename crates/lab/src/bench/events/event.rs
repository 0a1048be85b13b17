//! What happens to each of them.

use anyhow::{Context, Result};

/// What happens in the middle of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A new configuration, which is good.
    Reload,
    /// A new configuration with an error in its syntax.
    Broken,
    /// SIGKILL of a worker; where nothing serves after that, a start by hand.
    Crash,
    /// SIGKILL of all processes, as where a container is killed; later a start by hand.
    Kill,
    /// The same while a holder lives, which is another container.
    Held,
    /// A new container takes the place of the old one.
    Image,
    /// The program file is replaced, in the same container or on a host without any.
    Upgrade,
    /// The end, asked for.
    Stop,
}

impl Event {
    /// All, in the order of the page.
    pub(super) const ALL: [Self; 8] = [
        Self::Reload,
        Self::Broken,
        Self::Crash,
        Self::Kill,
        Self::Held,
        Self::Image,
        Self::Upgrade,
        Self::Stop,
    ];

    /// For the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Broken => "broken",
            Self::Crash => "crash",
            Self::Kill => "kill",
            Self::Held => "held",
            Self::Image => "image",
            Self::Upgrade => "upgrade",
            Self::Stop => "stop",
        }
    }

    /// The event of that name.
    pub(super) fn named(name: &str) -> Result<Self> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|event| event.name() == name);
        found.with_context(|| format!("no event `{name}`: there are {}", names()))
    }

    /// For headings.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Reload => "Reload",
            Self::Broken => "Broken reload",
            Self::Crash => "Crash of a worker",
            Self::Kill => "Kill of everything",
            Self::Held => "Kill, with a holder",
            Self::Image => "New image",
            Self::Upgrade => "New program file",
            Self::Stop => "Stop",
        }
    }

    /// What it is, in a sentence or two.
    pub(super) fn explained(self) -> &'static str {
        match self {
            Self::Reload => "The configuration is changed, and it is told so.",
            Self::Broken => {
                "The configuration has an error in its syntax, and it is told that there is a new one. It must go on with \
                 the old one."
            }
            Self::Crash => {
                "A process that serves clients is killed with SIGKILL. Where nothing serves after that, it is started by \
                 hand 500 ms later."
            }
            Self::Kill => {
                "All its processes are killed with SIGKILL at once, as where a container is killed, and it is started by \
                 hand 500 ms later. What is left in the kernel is read before that start, too; rules and routes that \
                 Clearway leaves have no effect without its table, which goes with it."
            }
            Self::Held => {
                "The same while `clearway hold` runs, which would be in another container and is not killed. What it \
                 has itself, a process and the listening sockets, is found between the kill and the start."
            }
            Self::Image => {
                "A second instance takes the place of the first one, in the same network namespace, as a new container does \
                 that has its own processes and files. Where there is no way for two to meet, the first is stopped \
                 before the second is started. What a container engine adds to that is not in it."
            }
            Self::Upgrade => {
                "The program file is replaced without a new container. Here it is replaced by itself: what is measured is the \
                 way."
            }
            Self::Stop => {
                "It is told to finish. Clients that come after its end are refused, by each of them alike: what counts is what \
                 is reset or wrong."
            }
        }
    }

    /// Whether it serves again afterwards.
    pub(super) fn goes_on(self) -> bool {
        self != Self::Stop
    }
}

#[cfg(test)]
mod tests {
    use super::Event;

    #[test]
    fn every_event_has_a_name_of_its_own() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.name()).ok(), Some(event));
        }
        let error = Event::named("crush").map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("broken, crash, kill")));
    }
}
