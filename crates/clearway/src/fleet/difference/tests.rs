use super::*;

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.into(), path: Path::new("/etc").join(name), bytes: text.as_bytes().to_vec() }
}

fn compared(before: &[SourceFile], now: &[SourceFile]) -> Vec<DifferentFile> {
    Pages::of(Generation::FIRST).compare(before, now)
}

#[test]
fn what_has_changed_is_shown_from_what_runs_to_what_is_on_disk() {
    let before = [file("a.cfg", "global\n  maxconn 10\n"), file("b.cfg", "same\n"), file("c.cfg", "gone\n")];
    let now = [file("a.cfg", "global\n  maxconn 20\n"), file("b.cfg", "same\n"), file("d.cfg", "new\n")];
    let different = compared(&before, &now);
    let what: Vec<String> = different.iter().map(|one| one.what.to_string()).collect();
    assert_eq!(what, ["a.cfg has changed", "c.cfg is gone", "d.cfg is new"]);
    assert_eq!(
        different[0].lines,
        "--- /etc/a.cfg\tgeneration 1\n+++ /etc/a.cfg\ton disk\n@@ -1,2 +1,2 @@\n global\n-  maxconn 10\n+  maxconn 20\n"
    );
    assert!(different[1].lines.contains("+++ /dev/null\n") && different[1].lines.ends_with("-gone\n"));
    assert!(different[2].lines.starts_with("--- /dev/null\n") && different[2].lines.ends_with("+new\n"));
    assert!(compared(&before, &before).is_empty());
}

#[test]
fn more_than_is_kept_is_counted() {
    let long: Vec<String> = (0..100_000).map(|number| format!("line {number}\n")).collect();
    let long = long.concat();
    let [one, two] = &*compared(&[], &[file("a.cfg", &long), file("b.cfg", "short\n")]) else { panic!() };
    assert!(one.lines.len() <= SHOWN && one.lines.ends_with('\n'), "{} bytes", one.lines.len());
    let shown = one.lines.lines().count();
    assert_eq!(shown + one.left_out, 100_003, "the lines and their heading");
    assert!(two.lines.len() + one.lines.len() <= SHOWN);
}

#[test]
fn what_cannot_be_shown_line_by_line_is_said_to_be_different() {
    let bytes = |last| SourceFile { bytes: vec![b'a', last], ..file("a.cfg", "") };
    let [one] = &*compared(&[bytes(0xfe)], &[bytes(0xff)]) else { panic!() };
    assert!(one.lines.contains("no UTF-8"), "{}", one.lines);
    let large = SourceFile { bytes: vec![b'x'; LARGEST + 1], ..file("a.cfg", "") };
    let [one] = &*compared(&[file("a.cfg", "")], &[large]) else { panic!() };
    assert!(
        one.lines.contains("too large") && one.lines.contains(&(LARGEST + 1).to_string()),
        "{}",
        one.lines
    );
}

#[test]
fn a_file_that_does_not_end_with_a_line_is_told_from_one_that_does() {
    let [one] = &*compared(&[file("a.cfg", "global\n")], &[file("a.cfg", "global")]) else { panic!() };
    assert!(one.lines.contains("No newline at end of file"), "{}", one.lines);
}
