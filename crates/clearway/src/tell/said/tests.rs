use super::*;

fn lines(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn news(said: &mut Said, subject: Subject, lines: Vec<String>) -> Vec<String> {
    said.news(subject, lines).into_iter().map(|notice| notice.text).collect()
}

#[test]
fn what_holds_is_said_once_and_what_comes_back_again() {
    let mut said = Said::default();
    assert_eq!(news(&mut said, Subject::Fighting, lines(&["a", "b"])), ["a", "b"]);
    assert_eq!(news(&mut said, Subject::Fighting, lines(&["a", "b", "c"])), ["c"]);
    // Another subject has room of its own, for the same words too.
    assert_eq!(news(&mut said, Subject::Strangers, lines(&["a"])), ["a"]);
    assert_eq!(news(&mut said, Subject::Fighting, lines(&["b"])), [""; 0]);
    assert_eq!(news(&mut said, Subject::Fighting, lines(&["a", "b"])), ["a"], "it was mended and is back");
    assert_eq!(news(&mut said, Subject::Fighting, lines(&[])), [""; 0]);
    assert_eq!(news(&mut said, Subject::Strangers, lines(&["a"])), [""; 0]);
    assert_eq!(news(&mut said, Subject::Fighting, lines(&["a", "b"])), ["a", "b"]);
}

#[test]
fn nothing_grows_but_with_what_is_wrong() {
    let mut said = Said::default();
    for round in 0..1000 {
        let all = (0..250).map(|line| format!("{round}: {line:03}"));
        let news = said.news(Subject::Mismatches, all);
        assert_eq!(news.len(), MOST + usize::from(round == 0), "{news:?}");
    }
    assert_eq!(said.0.values().map(BTreeSet::len).sum::<usize>(), MOST + 1);
    said.news(Subject::Mismatches, lines(&[]));
    assert!(said.0.is_empty());
}
