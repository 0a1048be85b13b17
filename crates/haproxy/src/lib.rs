//! HAProxy as a foreign program.
