//! Configurations by their size: what is large about them stands behind the usual one, and gets no traffic.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::rig::Rig;
use crate::topology::FRONT;

/// What a reload has to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Small,
    Binds,
    Servers,
    Certificates,
}

impl File {
    pub(super) const ALL: [Self; 4] = [Self::Small, Self::Binds, Self::Servers, Self::Certificates];

    /// The row's name, and what it measures.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Small => ("reload", "Reload: signal to first answer of the new configuration"),
            Self::Binds => ("reload-binds", "The same with 3,000 listening sockets more"),
            Self::Servers => ("reload-servers", "The same with 10,000 servers more"),
            Self::Certificates => ("reload-certificates", "The same with 1,000 certificates more"),
        }
    }

    /// A lab with such a configuration.
    pub(super) fn raise(self) -> Result<Rig> {
        let mut rig = Rig::raise()?;
        let more = match self {
            Self::Small => String::new(),
            Self::Binds => binds(3000),
            Self::Servers => servers(),
            Self::Certificates => {
                let folder = rig.folder().join("certificates");
                certificates(&folder)?;
                let bind = format!("bind {}:8443 ssl crt {}", FRONT[0], folder.display());
                format!("listen tls\n {bind}\n server s 10.2.0.2:80\n")
            }
        };
        rig.add(more);
        Ok(rig)
    }
}

/// So many listening sockets.
pub(super) fn binds(sockets: u16) -> String {
    let last = 20_000_u16.saturating_add(sockets).saturating_sub(1);
    format!("listen many\n bind {}:20000-{last}\n server s 10.2.0.2:80\n", FRONT[0])
}

fn servers() -> String {
    let mut text = String::from("backend many\n");
    for number in 0..10_000 {
        let _ = writeln!(text, " server s{number} 10.2.{}.{}:80", number / 250 + 10, number % 250 + 1);
    }
    text
}

/// A thousand files with the same certificate and key: HAProxy loads each for itself.
fn certificates(folder: &Path) -> Result<()> {
    std::fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| folder.with_file_name(name));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command
        .args(["-days", "1", "-subj", "/CN=clearway.test", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    let made = command.output().context("starting `openssl` (`make setup` installs it)")?;
    if !made.status.success() {
        bail!("`openssl` made no certificate: {}", String::from_utf8_lossy(&made.stderr).trim());
    }
    let mut both = std::fs::read(&key)?;
    both.extend(std::fs::read(&certificate)?);
    ensure!(!both.is_empty(), "`openssl` made an empty certificate");
    for number in 0..1000 {
        std::fs::write(folder.join(format!("{number}.pem")), &both).context("writing a certificate")?;
    }
    Ok(())
}
