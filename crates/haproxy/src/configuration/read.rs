//! From files, or from text, to a [`Configuration`].

use std::path::Path;

use super::content::Configuration;
use super::scan::Scanner;
use super::sources::{ConfigurationError, SourceFile, read_files};
use crate::command_line::Invocation;

impl Configuration {
    /// Reads and scans the files that a command line names. `lookup` answers for the environment that HAProxy
    /// will have.
    pub fn read(
        invocation: &Invocation,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigurationError> {
        let files = Self::sources(invocation)?;
        Ok(Self::scan_from(files, invocation.working_directory.as_deref(), lookup))
    }

    /// Reads the files without looking into them.
    pub fn sources(invocation: &Invocation) -> Result<Vec<SourceFile>, ConfigurationError> {
        read_files(&invocation.configuration, invocation.working_directory.as_deref())
    }

    /// Scans files that were read before, for example the copy of a former generation.
    pub fn scan(files: Vec<SourceFile>, lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        Self::scan_from(files, None, lookup)
    }

    fn scan_from(
        files: Vec<SourceFile>,
        start: Option<&Path>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut scanner = Scanner::new(lookup, start);
        for file in &files {
            scanner.file(&file.name, &file.bytes);
        }
        Self { files, ..scanner.finish() }
    }

    /// What one text says, without a file to read.
    pub fn of_text(name: &Path, text: &str) -> Self {
        let mut scanner = Scanner::new(&|_| None, None);
        scanner.file(name, text.as_bytes());
        scanner.finish()
    }
}
