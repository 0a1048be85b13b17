//! Which Clearway is meant.

use clearway_core::settings::Settings;

/// One that is meant whatever the settings say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its admin socket: a path, or an abstract name with its `@`.
    Socket(String),
    /// By the number of its process, as it is seen from here.
    Pid(i32),
}

/// What a subcommand needs to find a running Clearway.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its settings: instance name and run directory are looked at.
    pub settings: Settings,
    /// Which one is meant, where the command line says that in another way.
    pub named: Option<Named>,
    /// Print JSON instead of text.
    pub json: bool,
}
