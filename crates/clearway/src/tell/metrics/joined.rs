//! What all generations have counted, in the words of HAProxy's own exporter.

use clearway_haproxy::statistics::{FIELDS, Scope, StatField, StatNumbers, StatObject, StatSample, Unit};

use crate::tell::metrics::table::{Metric, MetricKind};
use crate::tell::metrics::text::{MetricsFormat, MetricsText};

/// What says how good they are.
pub static GENERATIONS: Metric = Metric {
    name: "clearway_haproxy_generations",
    kind: MetricKind::Gauge,
    labels: &[("counters", Some(&["answered", "remembered", "unknown"]))],
    help: "Generations that serve or drain, by where their part of the counters below comes from.",
};

/// What all generations have counted, as one.
#[derive(Clone, Debug, Default)]
pub struct JoinedStatistics {
    /// The sum.
    pub sample: StatSample,
    /// How many generations have said it now.
    pub answered: usize,
    /// Of how many it is what they said before.
    pub remembered: usize,
    /// Of how many nothing is known.
    pub unknown: usize,
}

/// The name of a metric.
pub fn name(scope: Scope, field: &StatField) -> String {
    format!("haproxy_{}_{}", scope.word(), field.name)
}

/// What kind of metric it is.
pub fn kind(field: &StatField) -> MetricKind {
    if field.name.ends_with("_total") { MetricKind::Counter } else { MetricKind::Gauge }
}

impl JoinedStatistics {
    /// A part of the metrics, without their end.
    pub fn text(&self, format: MetricsFormat) -> String {
        let mut text = MetricsText::new(format);
        let parts = [self.answered, self.remembered, self.unknown];
        let words = GENERATIONS.labels.iter().filter_map(|(_, words)| *words).flatten();
        let rows =
            words.zip(parts).map(|(word, part)| (vec![*word], u64::try_from(part).unwrap_or(u64::MAX)));
        text.rows(&GENERATIONS, rows);
        for scope in Scope::ALL {
            let objects: Vec<_> = self.sample.all().filter(|(object, _)| object.scope == scope).collect();
            let mut before = "";
            for (place, field) in FIELDS.iter().enumerate() {
                if field.scopes.contains(&scope) && !objects.is_empty() {
                    let name = name(scope, field);
                    if before != field.name {
                        text.heading(&name, kind(field), field.help);
                    }
                    before = field.name;
                    for object in &objects {
                        write(&mut text, &name, (place, field), *object);
                    }
                }
            }
        }
        text.part()
    }
}

/// Writes what is known of an object in a field, of which this is the place.
fn write(
    text: &mut MetricsText,
    name: &str,
    (place, field): (usize, &StatField),
    (object, numbers): (&StatObject, &StatNumbers),
) {
    let Some(number) = numbers.get(place) else { return };
    let mut labels = vec![("proxy", object.proxy.as_str())];
    if object.scope == Scope::Server {
        labels.push(("server", &object.server));
    }
    labels.extend(field.code.map(|code| ("code", code)));
    match field.unit {
        Unit::Plain => text.line(name, labels, number),
        // Exact up to 2^53.
        #[allow(clippy::cast_precision_loss)]
        Unit::Milliseconds => text.line(name, labels, number as f64 / 1000.0),
        Unit::State => {
            for (at, state) in (0..).zip(object.scope.states()) {
                let labels = labels.iter().copied().chain([("state", *state)]);
                text.line(name, labels, u8::from(at == number));
            }
        }
    }
}

#[cfg(test)]
mod tests;
