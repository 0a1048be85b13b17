//! A configuration as the generator sees it, and how it is written.

use std::fmt::{self, Display};

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// The last byte of its address.
    pub(crate) host: u8,
    /// The variable that has its port: something listens there.
    pub(crate) port: &'static str,
    pub(crate) options: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) count: usize,
    pub(crate) options: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) from: Option<&'static str>,
    pub(crate) lines: Vec<&'static str>,
    pub(crate) default_server: Vec<&'static str>,
    pub(crate) servers: Vec<Server>,
    pub(crate) template: Option<Template>,
    /// A line that HAProxy does not read.
    pub(crate) comment: bool,
}

/// A `defaults` section: unnamed ones count for what is below, named ones where they are named.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) lines: Vec<&'static str>,
    pub(crate) default_server: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct Frontend {
    pub(crate) maxconn: Option<u32>,
    pub(crate) map: bool,
    pub(crate) acl: bool,
    pub(crate) bind_options: &'static str,
    pub(crate) tls: bool,
}

/// The whole of it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) maxconn: u32,
    pub(crate) plain: Defaults,
    pub(crate) named: Defaults,
    pub(crate) backends: Vec<Backend>,
    pub(crate) frontend: Frontend,
    /// The entries of the map, and the patterns of the ACL.
    pub(crate) map: Vec<(String, String)>,
    pub(crate) patterns: Vec<String>,
    /// Which certificate of the pool `site.pem` is.
    pub(crate) site: usize,
    /// Which certificates of the pool `list.txt` names, each with its filter.
    pub(crate) list: Vec<(usize, &'static str)>,
    pub(crate) final_newline: bool,
}

impl Model {
    /// What `haproxy.cfg` says. `${PLACE}` is where the process has its sockets, `${FILES}` where all have their files.
    pub(crate) fn text(&self) -> String {
        let text = self.to_string();
        if self.final_newline { text } else { text.trim_end().to_owned() }
    }

    pub(crate) fn map_text(&self) -> String {
        lines(self.map.iter().map(|(key, value)| format!("{key} {value}")))
    }

    pub(crate) fn patterns_text(&self) -> String {
        lines(self.patterns.iter().cloned())
    }

    pub(crate) fn list_text(&self, files: &str) -> String {
        lines(self.list.iter().map(|(one, filter)| format!("{files}/pool{one}.pem {filter}")))
    }
}

/// Each with its end.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

impl Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "global\n    maxconn {}\n", self.maxconn)?;
        writeln!(f, "defaults named\n    mode http\n    timeout connect 5s")?;
        write!(f, "    timeout client 30s\n    timeout server 30s\n{}", self.named)?;
        writeln!(f, "\ndefaults\n    mode http\n    timeout connect 5s")?;
        write!(f, "    timeout client 30s\n    timeout server 30s\n{}", self.plain)?;
        write!(f, "{}", self.frontend)?;
        self.backends.iter().try_for_each(|backend| write!(f, "{backend}"))
    }
}

impl Display for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        default_server(f, &self.default_server)
    }
}

impl Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nfrontend web\n    bind \"unix@${{PLACE}}/web\" {}", self.bind_options)?;
        if self.tls {
            writeln!(f, "    bind \"unix@${{PLACE}}/tls\" ssl crt \"${{FILES}}/site.pem\"")?;
            writeln!(f, "    bind \"unix@${{PLACE}}/list\" ssl crt-list \"${{FILES}}/list.txt\"")?;
        }
        if let Some(maxconn) = self.maxconn {
            writeln!(f, "    maxconn {maxconn}")?;
        }
        if self.map {
            writeln!(f, "    http-request set-header x \"%[path,map(${{FILES}}/a.map,none)]\"")?;
        }
        if self.acl {
            writeln!(f, "    http-request deny if {{ path -f \"${{FILES}}/paths.acl\" }}")?;
        }
        Ok(())
    }
}

impl Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.map(|from| format!(" from {from}")).unwrap_or_default();
        writeln!(f, "\nbackend {}{from}", self.name)?;
        if self.comment {
            writeln!(f, "    # nothing but words")?;
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        default_server(f, &self.default_server)?;
        for server in &self.servers {
            let Server { name, host, port, options } = server;
            writeln!(f, "    server {name} 127.0.0.{host}:\"${{{port}}}\" {}", options.join(" "))?;
        }
        if let Some(Template { count, options }) = &self.template {
            writeln!(f, "    server-template t 1-{count} 127.0.0.1:\"${{ALIVE}}\" {}", options.join(" "))?;
        }
        Ok(())
    }
}

fn default_server(f: &mut fmt::Formatter<'_>, options: &[&str]) -> fmt::Result {
    if options.is_empty() { Ok(()) } else { writeln!(f, "    default-server {}", options.join(" ")) }
}
