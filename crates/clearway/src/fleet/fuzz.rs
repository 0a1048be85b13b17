//! Any bytes as what HAProxy says on its standard error.

pub(crate) use super::standard_error::fuzz::log_lines;
