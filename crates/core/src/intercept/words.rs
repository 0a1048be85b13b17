//! The words of one rule.

use super::network::IpNetwork;
use super::rule::{InterceptRule, PortRange};

/// The whole form, for a rule that has none of its parts right.
pub(super) const EXPECTED: &str = "expected `DESTINATION[,...] port PORT[,...] [from INTERFACE] to PORT`, such as \
                                   `10.2.0.0/16,2001:db8:2::/48 port 80,443 from lan0 to 8080`, and `;` between rules";

/// What the kernel takes as the name of an interface: `IFNAMSIZ` with the zero at the end.
const LONGEST_NAME: usize = 15;

/// Reads one rule: destinations, then pairs of a keyword and a value, each once and in any order.
pub(super) fn rule(text: &str) -> Result<InterceptRule, String> {
    let mut words = text.split_whitespace();
    let destinations = words.next().map(destinations).transpose()?.ok_or(EXPECTED)?;
    let (mut ports, mut interface, mut to) = (None, None, None);
    while let Some(keyword) = words.next() {
        let mut value =
            || words.next().ok_or_else(|| format!("nothing stands behind `{keyword}`: {EXPECTED}"));
        let twice = match keyword {
            "port" => ports.replace(self::ports(value()?)?).is_some(),
            "from" => interface.replace(self::interface(value()?)?).is_some(),
            "to" => to.replace(port(value()?, u16::MAX)?).is_some(),
            _ => return Err(format!("`{keyword}` is none of `port`, `from` and `to`: {EXPECTED}")),
        };
        if twice {
            return Err(format!("`{keyword}` stands there twice: {EXPECTED}"));
        }
    }
    let ports = ports.ok_or_else(|| format!("`port` is missing (`port any` for all): {EXPECTED}"))?;
    let to =
        to.ok_or_else(|| format!("`to` with the port of a `bind ... transparent` is missing: {EXPECTED}"))?;
    Ok(InterceptRule { destinations, ports, interface, to })
}

fn destinations(text: &str) -> Result<Vec<IpNetwork>, String> {
    if text == "any" { Ok(Vec::new()) } else { text.split(',').map(str::parse).collect() }
}

fn ports(text: &str) -> Result<Vec<PortRange>, String> {
    if text == "any" {
        return Ok(Vec::new());
    }
    // The kernel's rules for forwarding cannot name 65535 (`fib_rule_port_range_valid`).
    let one = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let range = PortRange { first: port(first, u16::MAX - 1)?, last: port(last, u16::MAX - 1)? };
        if range.first <= range.last { Ok(range) } else { Err(format!("`{word}` ends before it begins")) }
    };
    text.split(',').map(one).collect()
}

fn port(text: &str, last: u16) -> Result<u16, String> {
    let number = text.parse::<u16>().ok().filter(|port| (1..=last).contains(port));
    number.filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(|| {
        let several = if last == u16::MAX {
            ""
        } else {
            ", a range such as `8000-8099`, several with commas between, or `any`"
        };
        format!("`{text}` is not a port: expected a number from 1 to {last}{several}")
    })
}

fn interface(text: &str) -> Result<String, String> {
    match text {
        "lo" => Err(
            "no connection of another host comes in at `lo`: what this host sends itself is never intercepted"
                .to_owned(),
        ),
        "." | ".." => Err(format!("`{text}` is not an interface")),
        _ if text.len() > LONGEST_NAME || text.contains(['/', ':', '%']) => Err(format!(
            "`{text}` is not an interface: expected its name as `ip link` shows it, at most {LONGEST_NAME} characters"
        )),
        _ => Ok(text.to_owned()),
    }
}
