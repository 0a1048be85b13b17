//! Any bytes as the answer to `show stat`.

use super::{StatOf, StatReader, StatSample};

/// What is added comes off again, unless it was more than a number can be.
pub(crate) fn show_stat(data: &[u8]) {
    let Some(sample) = read(&String::from_utf8_lossy(data)) else { return };
    for of in [StatOf::Serving, StatOf::Draining, StatOf::Sharing, StatOf::Ended] {
        let mut sum = StatSample::default();
        sum.add(&sample, StatOf::Serving);
        assert!(sum == sample, "{sum:?}");
        sum.add(&sample, of);
        assert_eq!(sum.all().count(), sample.all().count());
        let since = sum.since(&sample);
        assert!(since.all().map(|(object, _)| object).eq(sample.all().map(|(object, _)| object)));
    }
    let mut kept = sample.clone();
    kept.keep_those_of(&[&sample]);
    assert_eq!(kept, sample);
    kept.keep_those_of(&[]);
    assert!(kept.is_empty());
}

fn read(text: &str) -> Option<StatSample> {
    let mut reader = StatReader::default();
    text.lines().for_each(|line| reader.line(line));
    reader.sample()
}
