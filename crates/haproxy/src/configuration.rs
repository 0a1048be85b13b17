//! What Clearway has to know from the user's configuration before it starts HAProxy.
//!
//! Owns a *scanner*, not a validator: it reads the files of an [`Invocation`](crate::command_line::Invocation)
//! the way HAProxy does (directories, quotes, escapes, comments, environment), keeps what Clearway acts upon,
//! and steps over everything it does not understand. It fails only where a file cannot be read; whether the
//! content is right, HAProxy decides.
//!
//! What stands inside `.if` blocks is kept with the conditions that guard it ([`Guard`]), because only
//! `haproxy -cc` can answer them. Host names are not resolved. `peer` lines (of which the local one listens)
//! and `unix-bind prefix` are not followed: what HAProxy really bound, its `_getsocks` answer tells.

mod address;
mod backlog;
mod binds;
mod content;
pub(crate) mod environment;
mod families;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod global;
mod guards;
mod lines;
mod logs;
mod programs;
mod read;
pub mod references;
mod routes;
mod scan;
mod servers;
mod sources;
mod span;
mod stated;
mod tables;
pub(crate) mod words;

pub use address::{Endpoint, Transport};
pub use backlog::Backlog;
pub use binds::{Bind, StatsSocket, V6};
pub use content::Configuration;
pub use environment::Changes;
pub use families::Mismatch;
pub use global::{Fighting, FightingKeyword, Global, GlobalSetting};
pub use guards::{Guard, Holds};
pub use lines::BindLines;
pub use logs::LogTarget;
pub use programs::{ProgramSection, ProgramSections, RefusedProgram};
pub use references::{Need, Reference, ReferenceKind};
pub use routes::Routes;
pub(crate) use scan::is_section;
pub use servers::{ServerLine, ServerLines, UsesrcLine};
pub use sources::{ConfigurationError, LIMIT, SourceFile, is_source_name};
pub use span::{Section, Span};
pub use stated::{InitialHealth, ServerFacts, Stated, StatedServers};
pub use tables::{StickTable, StickTables};

#[cfg(test)]
mod tests;
