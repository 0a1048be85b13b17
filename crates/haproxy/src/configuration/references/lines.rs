//! Which keywords name a file, and from where its name counts.

use std::path::Path;
use std::sync::Arc;

use super::bases::{Base, Bases};
use super::expressions;
use super::found::{Collected, Need, Reference, ReferenceKind};
use crate::configuration::span::Span;

/// Finds files line by line.
pub(crate) struct ReferenceFinder {
    /// Shared with every `crt-list`: its entries count from the same directories.
    bases: Arc<Bases>,
    /// The bases of the current `crt-store`, which begins with those of `global`.
    store: Arc<Bases>,
    found: Collected,
    /// What is read after all files were, still without the directory from which it counts.
    late: Collected,
}

impl ReferenceFinder {
    /// `start`: where HAProxy is started, if it is not where we are.
    pub(crate) fn new(start: Option<&Path>) -> Self {
        let bases = Arc::new(Bases::new(start));
        Self { store: Arc::clone(&bases), bases, found: Collected::default(), late: Collected::default() }
    }

    pub(crate) fn file(&mut self, name: &Path) {
        Arc::make_mut(&mut self.bases).enter(name);
    }

    pub(crate) fn section(&mut self) {
        self.store = Arc::clone(&self.bases);
    }

    /// At the end of the last file.
    pub(crate) fn into_references(mut self) -> Vec<Reference> {
        for reference in self.late.into_references() {
            let places = self.bases.late(&reference.path);
            // It lies in one of the two.
            let need = if places[0] == places[1] { reference.need } else { Need::Optional };
            for path in places {
                self.found.put(path, &reference.span, reference.kind.clone(), need);
            }
        }
        self.found.into_references()
    }

    /// Takes a line of a section, given as words.
    pub(crate) fn line(&mut self, span: &Span, section: &str, words: &[String]) {
        let Some(keyword) = words.first() else { return };
        let word = |index: usize| words.get(index).map(String::as_str).filter(|word| !word.is_empty());
        let rest = |from: usize| words.get(from..).unwrap_or_default();
        match (section, keyword.as_str()) {
            ("global", _) => self.global(span, words),
            ("crt-store", "crt-base") => set(&mut self.store, Base::Certificates, word(1)),
            ("crt-store", "key-base") => set(&mut self.store, Base::Keys, word(1)),
            ("crt-store", "load") => certificate_options(span, rest(1), &self.store, &mut self.found),
            (_, "bind") => self.bind_options(span, rest(2)),
            (_, "default-bind") => self.bind_options(span, rest(1)),
            (_, "ssl-f-use") => certificate_options(span, rest(1), &self.bases, &mut self.found),
            (_, "server" | "server-template" | "default-server") => self.server_options(span, rest(1)),
            (_, "errorfile") => self.plain(span, word(2), ReferenceKind::Page),
            (_, "http-request" | "http-response" | "http-after-response" | "http-error") => {
                self.answer(span, rest(1));
            }
            (_, "filter") => {
                let file = words.iter().skip_while(|word| *word != "config").nth(1);
                self.plain(span, file.map(String::as_str), ReferenceKind::Other);
            }
            _ => {}
        }
        expressions::files(span, words, &self.bases, &mut self.found);
    }

    fn global(&mut self, span: &Span, words: &[String]) {
        let word = |index: usize| words.get(index).map(String::as_str).filter(|word| !word.is_empty());
        match word(0).unwrap_or_default() {
            "ca-base" => set(&mut self.bases, Base::Authorities, word(1)),
            "crt-base" => set(&mut self.bases, Base::Certificates, word(1)),
            "key-base" => set(&mut self.bases, Base::Keys, word(1)),
            "default-path" => Arc::make_mut(&mut self.bases).follow(words, &span.file),
            "lua-load" | "lua-load-per-thread" => self.plain(span, word(1), ReferenceKind::Script),
            "stats" if word(1) == Some("socket") => {
                self.bind_options(span, words.get(3..).unwrap_or_default());
            }
            "ssl-dh-param-file" | "issuers-chain-path" => self.plain(span, word(1), ReferenceKind::Other),
            // Read after all files were.
            "h1-case-adjust-file" | "51degrees-data-file" | "deviceatlas-json-file" | "wurfl-data-file" => {
                self.late(span, word(1), ReferenceKind::Other);
            }
            "httpclient.ssl.ca-file" => {
                self.late(span, word(1).filter(|name| !name.starts_with('@')), ReferenceKind::Authority);
            }
            _ => {}
        }
    }

    fn plain(&mut self, span: &Span, name: Option<&str>, kind: ReferenceKind) {
        if let Some(name) = name {
            self.found.put(self.bases.plain(name), span, kind, Need::Required);
        }
    }

    fn late(&mut self, span: &Span, name: Option<&str>, kind: ReferenceKind) {
        if let Some(name) = name {
            self.late.put(name.into(), span, kind, Need::Required);
        }
    }

    fn bind_options(&mut self, span: &Span, words: &[String]) {
        for pair in words.windows(2) {
            let [option, name] = pair else { continue };
            match option.as_str() {
                "crt-list" => {
                    let kind = ReferenceKind::CertificateList(Arc::clone(&self.bases));
                    self.plain(span, Some(name), kind);
                }
                "tls-ticket-keys" | "ech" => self.plain(span, Some(name), ReferenceKind::Other),
                _ => {}
            }
        }
        certificate_options(span, words, &self.bases, &mut self.found);
    }

    fn server_options(&mut self, span: &Span, words: &[String]) {
        for pair in words.windows(2) {
            let [option, name] = pair else { continue };
            let (path, kind, found) = match option.as_str() {
                "crt" => (self.bases.client_certificate(name), ReferenceKind::Certificate, &mut self.late),
                "ca-file" | "crl-file" => {
                    (self.bases.authority(name), ReferenceKind::Authority, &mut self.found)
                }
                _ => continue,
            };
            if let Some(path) = path {
                found.put(path, span, kind, Need::Required);
            }
        }
    }

    /// `return status 200 content-type text/html file FILE`, `deny errorfile FILE`, ...
    fn answer(&mut self, span: &Span, words: &[String]) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "file" | "lf-file" | "errorfile" => {
                    self.plain(span, words.next().map(String::as_str), ReferenceKind::Page);
                }
                // Their values may be any words.
                "string" | "lf-string" | "content-type" | "status" => {
                    words.next();
                }
                "hdr" => {
                    words.nth(1);
                }
                "if" | "unless" => return,
                _ => {}
            }
        }
    }
}

fn set(bases: &mut Arc<Bases>, base: Base, directory: Option<&str>) {
    Arc::make_mut(bases).set(base, directory.unwrap_or_default());
}

/// What a `bind`, a `load` of a `crt-store`, an `ssl-f-use` and a line of a `crt-list` have in common.
pub(super) fn certificate_options(span: &Span, words: &[String], bases: &Bases, found: &mut Collected) {
    for pair in words.windows(2) {
        let [option, name] = pair else { continue };
        let (path, kind) = match option.as_str() {
            "crt" | "default-crt" => (bases.certificate(name), ReferenceKind::Certificate),
            "ocsp" | "issuer" | "sctl" => (bases.certificate(name), ReferenceKind::Other),
            "key" => (Some(bases.private_key(name)), ReferenceKind::Other),
            "ca-file" | "ca-verify-file" | "ca-sign-file" | "crl-file" => {
                (bases.authority(name), ReferenceKind::Authority)
            }
            _ => continue,
        };
        if let Some(path) = path {
            found.put(path, span, kind, Need::Required);
        }
    }
}
