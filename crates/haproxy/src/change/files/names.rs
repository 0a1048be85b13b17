//! Names of files: HAProxy has a file once for each way in which its lines write it, and what is changed under one name is as
//! before under the others (maps, patterns, certificates, CA and CRL files; measured with 2.6.12, 3.0.11, 3.2.26 and 3.4.7).

use std::path::{Component, Path};

/// Whether one of these names, other than itself, may be of the same file: `a.map`, `./a.map` and `/etc/haproxy/a.map`. The working
/// directory is not asked for, so a relative name may be of any file whose path ends with it. A name with `..` is taken
/// as it is written: it is another file to what compares them, too.
pub(super) fn has_another<'a>(name: &str, names: impl IntoIterator<Item = &'a String>) -> bool {
    names.into_iter().any(|other| other != name && may_be_one(Path::new(name), Path::new(other)))
}

fn may_be_one(a: &Path, b: &Path) -> bool {
    let (mut a_parts, mut b_parts) = (parts(a).rev(), parts(b).rev());
    match (a.is_absolute(), b.is_absolute()) {
        (true, false) => b_parts.all(|part| a_parts.next() == Some(part)),
        (false, true) => a_parts.all(|part| b_parts.next() == Some(part)),
        _ => a_parts.eq(b_parts),
    }
}

/// Without `/` at its beginning, and without `.`.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = Component<'_>> {
    path.components().filter(|part| !matches!(part, Component::CurDir | Component::RootDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(name: &str, other: &str) -> bool {
        has_another(name, [&name.to_owned(), &other.to_owned()])
    }

    #[test]
    fn one_file_has_several_names() {
        for other in ["./a.map", "././a.map", ".//a.map", "/etc/haproxy/a.map", "/a.map"] {
            assert!(has("a.map", other) && has(other, "a.map"), "{other}");
        }
        assert!(
            has("/m/a.map", "/m//a.map") && has("/m/a.map", "/m/./a.map") && has("/x/m/a.map", "./m/a.map")
        );
    }

    #[test]
    fn other_files_have_other_names() {
        for (name, other) in [
            ("/m/a.map", "/n/a.map"),
            ("a.map", "m/a.map"),
            ("/m/a.map", "n/a.map"),
            ("/a.map", "m/a.map"),
            ("a.map", "/m/ba.map"),
            ("a.map", "b.map"),
            ("a.map", "a.map"),
            ("a.map", "/m/a.map/b"),
            ("/m/a.map", "/m/n/../a.map"),
        ] {
            assert!(!has(name, other) && !has(other, name), "{name} {other}");
        }
    }
}
