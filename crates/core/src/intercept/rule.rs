//! One rule, and what it comes to for the kernel.

use std::fmt;

use super::network::IpNetwork;

/// One port or several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// From this one.
    pub first: u16,
    /// To this one; the same for a single port.
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", self.last) }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterceptRule {
    /// Where clients want to go; nothing: anywhere.
    pub destinations: Vec<IpNetwork>,
    /// To which ports there; nothing: any.
    pub ports: Vec<PortRange>,
    /// By which interface they come in; unset: by any but `lo`.
    pub interface: Option<String>,
    /// The port of the listener that gets them.
    pub to: u16,
}

impl fmt::Display for InterceptRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", listed(&self.destinations), listed(&self.ports))?;
        if let Some(interface) = &self.interface {
            write!(f, " from {interface}")?;
        }
        write!(f, " to {}", self.to)
    }
}

fn listed<T: fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "any".to_owned();
    }
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// A rule for one destination and one range of ports, as kernels take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterceptTarget<'a> {
    /// Unset: anywhere, in both families.
    pub destination: Option<IpNetwork>,
    /// Unset: any.
    pub ports: Option<PortRange>,
    /// Unset: any but `lo`.
    pub interface: Option<&'a str>,
    /// The port of the listener.
    pub to: u16,
}

impl InterceptRule {
    /// The rule, one destination and one range of ports at a time.
    pub fn targets(&self) -> impl Iterator<Item = InterceptTarget<'_>> {
        each(&self.destinations).flat_map(move |destination| {
            each(&self.ports).map(move |ports| InterceptTarget {
                destination,
                ports,
                interface: self.interface.as_deref(),
                to: self.to,
            })
        })
    }
}

/// Each item, or once nothing for none.
fn each<T: Copy>(items: &[T]) -> impl Iterator<Item = Option<T>> {
    items.iter().copied().map(Some).chain(items.is_empty().then_some(None))
}
