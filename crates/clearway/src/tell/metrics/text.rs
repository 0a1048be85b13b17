//! The two formats: Prometheus' text (0.0.4) and OpenMetrics (1.0), which differ in the names of counters and in the end.

use std::fmt::{Display, Write};

use crate::tell::metrics::series::{Durations, Series};
use crate::tell::metrics::table::{Metric, MetricKind};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// What every reader knows.
    Prometheus,
    /// Its successor.
    OpenMetrics,
}

impl MetricsFormat {
    /// What a request prefers, by its header `Accept`. Prometheus' text unless OpenMetrics is named, and no less wanted.
    pub fn accepted(accept: &str) -> Self {
        let (mut open, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut words = range.split(';').map(str::trim);
            let place = match words.next().map(str::to_ascii_lowercase).as_deref() {
                Some("application/openmetrics-text") => &mut open,
                Some("text/plain") => &mut text,
                _ => continue,
            };
            let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
            *place = weight.unwrap_or(0.0).max(*place);
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// What the answer says that it is.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Metrics that are being written.
#[derive(Debug)]
pub struct MetricsText {
    format: MetricsFormat,
    text: String,
}

// Writing to a String cannot fail.
impl MetricsText {
    /// Nothing yet.
    pub fn new(format: MetricsFormat) -> Self {
        Self { format, text: String::new() }
    }

    /// A metric without labels.
    pub fn one(&mut self, metric: &Metric, value: impl Display) {
        self.labelled(metric, &[], value);
    }

    /// A metric of one series, with the values of its labels.
    pub fn labelled(&mut self, metric: &Metric, labels: &[&str], value: impl Display) {
        self.head(metric);
        self.sample(metric, "", labels, None, value);
    }

    /// A metric with the series that there are at this moment, each with the values of its labels.
    pub fn rows<'a>(&mut self, metric: &Metric, rows: impl IntoIterator<Item = (Vec<&'a str>, u64)>) {
        self.head(metric);
        for (labels, value) in rows {
            self.sample(metric, "", &labels, None, value);
        }
    }

    /// A counter or a gauge with all its series.
    pub fn series(&mut self, series: &Series<u64>) {
        self.head(series.metric);
        for (labels, value) in series.all() {
            self.sample(series.metric, "", labels, None, value);
        }
    }

    /// A histogram with all its series.
    pub fn durations(&mut self, series: &Series<Durations>) {
        let metric = series.metric;
        self.head(metric);
        for (labels, durations) in series.all() {
            for (bound, number) in durations.up_to() {
                self.sample(metric, "_bucket", labels, Some(&format!("{bound:?}")), number);
            }
            self.sample(metric, "_bucket", labels, Some("+Inf"), durations.count);
            self.sample(metric, "_sum", labels, None, durations.sum.as_secs_f64());
            self.sample(metric, "_count", labels, None, durations.count);
        }
    }

    /// What was written already, in the same format.
    pub fn add(&mut self, part: &str) {
        self.text += part;
    }

    /// What was written, as a part of something longer.
    pub fn part(self) -> String {
        self.text
    }

    /// All that was written.
    pub fn finish(mut self) -> String {
        if self.format == MetricsFormat::OpenMetrics {
            self.text += "# EOF\n";
        }
        self.text
    }

    fn head(&mut self, metric: &Metric) {
        self.heading(metric.name, metric.kind, metric.help);
    }

    /// What precedes the series of a metric.
    pub fn heading(&mut self, name: &str, kind: MetricKind, help: &str) {
        let name = match (self.format, kind) {
            (MetricsFormat::OpenMetrics, MetricKind::Counter) => name.trim_end_matches("_total"),
            _ => name,
        };
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
    }

    /// One series of a metric.
    pub fn line<'a>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: impl Display,
    ) {
        self.text += name;
        let mut before = '{';
        for (label, value) in labels {
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(value));
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    fn sample(
        &mut self,
        metric: &Metric,
        suffix: &str,
        labels: &[&str],
        bound: Option<&str>,
        value: impl Display,
    ) {
        let names = metric.labels.iter().map(|(name, _)| *name);
        let labels = names.zip(labels.iter().copied()).chain(bound.map(|bound| ("le", bound)));
        self.line(&format!("{}{suffix}", metric.name), labels, value);
    }
}

/// The value of a label, as both formats want it.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests;
