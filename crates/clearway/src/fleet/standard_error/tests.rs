use super::*;

#[test]
fn lines_are_put_together_from_pieces() {
    let mut lines = LastLines::default();
    for piece in ["[ALERT] one\n[WAR", "NING] two\r\n\nthr"] {
        lines.push(piece.as_bytes());
    }
    lines.finish();
    assert_eq!(lines.complete, ["[ALERT] one", "[WARNING] two", "thr"]);
}

#[test]
fn memory_is_bounded() {
    let mut lines = LastLines::default();
    lines.push(&vec![b'x'; 1_000_000]);
    for number in 0..10_000 {
        lines.push(format!("\n{number}").as_bytes());
    }
    lines.finish();
    assert_eq!(lines.complete.len(), LINES);
    assert_eq!(lines.complete.back().unwrap(), "9999");
}
