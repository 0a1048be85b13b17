//! The answer to `show servers state`, of which only where the servers are is read.
//!
//! ```text
//! 1
//! # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state ... srv_fqdn srv_port ...
//! 3 b4 1 s1 10.2.0.2 2 0 1 1 4 6 3 4 6 0 0 0 - 80 - 0 0 - - 0
//! ```

use std::net::{IpAddr, SocketAddr};

/// One server, as HAProxy uses it now: names are resolved, addresses may have been changed at run time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerState {
    /// The name of the `backend` or `listen`.
    pub proxy: String,
    /// The name of the server.
    pub name: String,
    /// Where it is; none while its name is not resolved, and for a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it is in maintenance, in which nobody is sent to it.
    pub maintenance: bool,
}

/// `SRV_ADMF_MAINT`: forced, inherited, from the configuration, or for want of an address.
const MAINTENANCE: u32 = 0x01 | 0x02 | 0x04 | 0x20;

/// Reads the answer. None if it has no heading: it is another answer then.
pub fn parse(text: &str) -> Option<Vec<ServerState>> {
    let mut lines = text.lines();
    let heading = lines.find_map(|line| line.strip_prefix("# "))?;
    let columns: Vec<&str> = heading.split_whitespace().collect();
    let place = |name: &str| columns.iter().position(|column| *column == name);
    let (proxy, name) = (place("be_name")?, place("srv_name")?);
    let (address, port) = (place("srv_addr")?, place("srv_port")?);
    let admin = place("srv_admin_state")?;
    let read = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |at: usize| words.get(at).copied();
        let ip = word(address).and_then(|word| word.parse::<IpAddr>().ok()).filter(|ip| !ip.is_unspecified());
        let port = word(port).and_then(|word| word.parse::<u16>().ok()).filter(|port| *port > 0);
        Some(ServerState {
            proxy: word(proxy)?.to_owned(),
            name: word(name)?.to_owned(),
            address: ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)),
            maintenance: word(admin)?.parse::<u32>().ok()? & MAINTENANCE != 0,
        })
    };
    Some(lines.filter(|line| !line.starts_with('#')).filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
        srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state \
        srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port \
        srv_check_addr srv_agent_addr srv_agent_port\n";

    #[test]
    fn servers_are_read_by_the_names_of_the_columns() {
        let lines = "3 b4 1 s1 10.2.0.2 2 0 1 1 4 6 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\
                     3 b4 2 t1 - 0 32 1 1 4 1 0 0 14 0 0 0 web 80 - 0 0 - - 0\n\
                     4 b6 1 s fd02::2 2 1 1 1 4 6 3 4 6 0 0 0 - 81 - 0 0 - - 0\nshort line\n";
        let servers = parse(&format!("{HEADING}{lines}")).unwrap();
        let shown: Vec<String> = servers
            .iter()
            .map(|one| format!("{}/{} {:?} {}", one.proxy, one.name, one.address, one.maintenance))
            .collect();
        assert_eq!(
            shown,
            ["b4/s1 Some(10.2.0.2:80) false", "b4/t1 None true", "b6/s Some([fd02::2]:81) true",]
        );
    }

    #[test]
    fn another_answer_is_none() {
        assert_eq!(parse("Unknown command: 'show servers state'"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("1\n# be_id\n"), None);
    }
}
