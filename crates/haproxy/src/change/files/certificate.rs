//! A certificate with its key in one file, certificates of authorities, and lists of revoked ones.

use super::super::capabilities::Capabilities;
use super::super::plan::{Expect, PlanOrder, PlanStep, StepKind};
use super::check::{FileAnswer, FileCheck, USED};

/// The transaction is ours: with `updated` in its place, another program has begun one that would be taken with it.
const BEGUN: &[&str] = &["ransaction created for"];

/// What clients, or servers, are trusted by.
#[derive(Clone, Copy, Debug)]
pub(super) enum TrustFile {
    /// `ca-file`
    Authorities,
    /// `crl-file`
    Revocations,
}

pub(super) fn certificate(
    name: &str,
    text: &str,
    longest: usize,
) -> Result<(PlanStep, FileCheck), &'static str> {
    if !text.contains("-----BEGIN CERTIFICATE-----") || !text.contains("PRIVATE KEY-----") {
        return Err("it has not a certificate and its private key");
    }
    transaction(StepKind::Certificate, "cert", name, text, longest)
}

pub(super) fn trust(
    which: TrustFile,
    name: &str,
    text: &str,
    can: &Capabilities,
    longest: usize,
) -> Result<(PlanStep, FileCheck), &'static str> {
    if !can.since(3, 2) {
        return Err(
            "before HAProxy 3.2 a certificate that is changed after its CA or CRL file does not reach clients",
        );
    }
    match which {
        TrustFile::Authorities => transaction(StepKind::CaFile, "ca-file", name, text, longest),
        TrustFile::Revocations => transaction(StepKind::CrlFile, "crl-file", name, text, longest),
    }
}

fn transaction(
    kind: StepKind,
    word: &str,
    name: &str,
    text: &str,
    longest: usize,
) -> Result<(PlanStep, FileCheck), &'static str> {
    // An empty line would end the payload, and PEM needs none.
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let payload: String = lines.flat_map(|line| [line, "\n"]).collect();
    if payload.len() > longest {
        return Err("it is longer than what the runtime API takes (`tune.bufsize`)");
    }
    let orders = vec![
        PlanOrder::new(format!("set ssl {word} {name}"), Expect::Words(BEGUN)).with_payload(payload),
        PlanOrder::new(format!("commit ssl {word} {name}"), Expect::Words(&["Success!"])),
    ];
    let why = "another content".to_owned();
    let check = FileCheck { command: format!("show ssl {word} {name}"), answer: FileAnswer::With(USED) };
    Ok((PlanStep { kind, object: name.to_owned(), why, orders }, check))
}
