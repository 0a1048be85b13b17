use super::*;

#[test]
fn lines_that_disagree_change_nothing() {
    use Backlog::{Default as Unsaid, Number, Unknown};
    for (lines, want) in [
        (vec![], None),
        (vec![Number(5)], Some(5)),
        (vec![Number(5), Number(5)], Some(5)),
        (vec![Number(5), Number(6)], None),
        (vec![Number(5), Unknown], None),
        (vec![Unknown, Unknown], None),
        (vec![Unsaid], Some(9)),
        (vec![Unsaid, Number(9)], None),
    ] {
        assert_eq!(number(lines.iter().copied(), Some(9)), want, "{lines:?}");
    }
    assert_eq!(number([Unsaid].into_iter(), None), None);
}
