//! What a line of `show stat` is about.

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A `frontend`, or that side of a `listen`.
    Frontend,
    /// A `backend`, likewise.
    Backend,
    /// A `server`.
    Server,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Frontend, Self::Backend, Self::Server];

    /// As names of metrics have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Server => "server",
        }
    }

    /// The states that the exporter knows of it.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Self::Frontend | Self::Backend => &["DOWN", "UP"],
            Self::Server => &["DOWN", "UP", "MAINT", "DRAIN", "NOLB"],
        }
    }
}
