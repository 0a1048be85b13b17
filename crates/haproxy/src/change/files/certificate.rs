//! A certificate with its key in one file.

use super::super::plan::{Effect, Expect, Order, Step, StepKind};

/// The transaction is ours: with `updated` in its place, another program has begun one that we would take with ours.
const BEGUN: &[&str] = &["ransaction created for certificate"];

pub(super) fn certificate(name: &str, text: &str, longest: usize) -> Result<Step, &'static str> {
    if !text.contains("-----BEGIN CERTIFICATE-----") || !text.contains("PRIVATE KEY-----") {
        return Err("it has not a certificate and its private key");
    }
    // An empty line would end the payload, and PEM needs none.
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let payload: String = lines.flat_map(|line| [line, "\n"]).collect();
    if payload.len() > longest {
        return Err("it is longer than what the runtime API takes (`tune.bufsize`)");
    }
    let order = |command: String, payload, words, effect| Order {
        command,
        payload,
        expect: Expect::Words(words),
        effect,
    };
    let orders = vec![
        order(format!("set ssl cert {name}"), Some(payload), BEGUN, Effect::Prepares),
        order(format!("commit ssl cert {name}"), None, &["Success!"], Effect::Takes),
    ];
    let why = "another content".to_owned();
    Ok(Step { kind: StepKind::Certificate, object: name.to_owned(), why, orders })
}
