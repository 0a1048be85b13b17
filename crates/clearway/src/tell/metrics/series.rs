//! What has been counted: one value for each series of a metric, all of which are there from the beginning. So a counter that
//! goes to 1 is seen to do so, and no more memory is needed later.

use std::time::Duration;

use crate::tell::metrics::table::Metric;

/// The upper bounds of the buckets of a histogram, in seconds.
pub const BOUNDS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A metric with a value for each combination of its labels.
#[derive(Clone, Debug)]
pub struct Series<T> {
    /// Which metric.
    pub metric: &'static Metric,
    values: Vec<(Vec<&'static str>, T)>,
}

impl<T: Clone + Default> Series<T> {
    /// Nothing was counted yet.
    pub fn new(metric: &'static Metric) -> Self {
        let mut combinations = vec![Vec::new()];
        for values in metric.labels.iter().filter_map(|(_, values)| *values) {
            let one_more = |known: &Vec<&'static str>| {
                let known = known.clone();
                values.iter().map(move |value| [known.as_slice(), &[*value]].concat())
            };
            combinations = combinations.iter().flat_map(one_more).collect();
        }
        Self { metric, values: combinations.into_iter().map(|labels| (labels, T::default())).collect() }
    }

    /// The value with these labels. One that the table does not know would be a series without bound: there is none.
    fn at(&mut self, labels: &[&str]) -> Option<&mut T> {
        let found = self.values.iter_mut().find(|(known, _)| known.iter().eq(labels));
        found.map(|(_, value)| value)
    }

    /// All of them, with the values of their labels.
    pub fn all(&self) -> impl Iterator<Item = (&[&'static str], &T)> {
        self.values.iter().map(|(labels, value)| (labels.as_slice(), value))
    }
}

impl Series<u64> {
    /// One more of these, or several.
    pub fn add(&mut self, labels: &[&str], number: u64) {
        if let Some(value) = self.at(labels) {
            *value = value.saturating_add(number);
        }
    }

    /// What there is now of each word.
    pub fn of_words(metric: &'static Metric, words: impl IntoIterator<Item = (String, u64)>) -> Self {
        let mut series = Self::new(metric);
        words.into_iter().for_each(|(word, number)| series.add(&[&word], number));
        series
    }
}

impl Series<Durations> {
    /// One more of these has taken so long.
    pub fn observe(&mut self, labels: &[&str], took: Duration) {
        if let Some(durations) = self.at(labels) {
            durations.observe(took);
        }
    }
}

/// How long things took.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    /// How many were as long as [`BOUNDS`] says, and longer than the bound before.
    buckets: [u64; BOUNDS.len()],
    /// How many there were, longer ones included.
    pub count: u64,
    /// All of them together.
    pub sum: Duration,
}

impl Durations {
    fn observe(&mut self, took: Duration) {
        let at = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        if let Some(bucket) = at.and_then(|at| self.buckets.get_mut(at)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// How many were no longer than each of [`BOUNDS`].
    pub fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut sum = 0;
        BOUNDS.into_iter().zip(self.buckets).map(move |(bound, number)| {
            sum += number;
            (bound, sum)
        })
    }
}
