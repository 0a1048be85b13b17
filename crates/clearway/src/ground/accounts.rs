//! Users and groups by name, from `/etc/passwd` and `/etc/group`. Other sources of names (LDAP and the like) cannot be
//! asked by a static program; there a number is as good, as HAProxy itself has it in `uid`.

/// The number of a user.
pub fn user(name: &str) -> Option<u32> {
    find(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), name)
}

/// The number of a group.
pub fn group(name: &str) -> Option<u32> {
    find(&std::fs::read_to_string("/etc/group").unwrap_or_default(), name)
}

/// The third field of the line whose first is the name; in both files. A number stands for itself.
pub(super) fn find(text: &str, name: &str) -> Option<u32> {
    let line = text.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name));
    line.map_or_else(|| name.parse().ok(), |mut fields| fields.nth(2)?.parse().ok())
}

#[cfg(test)]
mod tests;
