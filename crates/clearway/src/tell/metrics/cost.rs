//! What windows have cost new clients, in all.

use clearway_core::cost::{Cost, CostFigures};

use super::series::{Durations, Series};
use super::table;
use super::text::MetricsText;

/// The figures of all windows, and of the seconds after them.
#[derive(Clone, Debug)]
pub struct CountedCost {
    reset: Series<u64>,
    dropped: Series<u64>,
    resets_sent: Series<u64>,
    unknown: Series<u64>,
    waited: Series<Durations>,
}

impl Default for CountedCost {
    fn default() -> Self {
        Self {
            reset: Series::new(&table::COST_RESET),
            dropped: Series::new(&table::COST_DROPPED),
            resets_sent: Series::new(&table::COST_RESETS_SENT),
            unknown: Series::new(&table::COST_UNKNOWN),
            waited: Series::new(&table::COST_QUEUE_WAIT),
        }
    }
}

impl CountedCost {
    /// One more.
    pub fn add(&mut self, cost: &Cost) {
        self.add_part("window", &cost.window);
        if let Some(after) = &cost.after {
            self.add_part("after", after);
        }
        let waits = [Some(&cost.window), cost.after.as_ref()];
        if let Some(longest) = waits.into_iter().flatten().filter_map(|part| part.waited).max() {
            self.waited.observe(&[], longest);
        }
    }

    fn add_part(&mut self, when: &str, part: &CostFigures) {
        let CostFigures { refused, reset, dropped, waited, network, .. } = part;
        for (series, figure) in [
            (&mut self.reset, reset),
            (&mut self.dropped, dropped),
            (&mut self.resets_sent, &network.resets_sent),
        ] {
            series.add(&[when], figure.unwrap_or_default());
        }
        let is_unknown = [
            ("refused", refused.is_none()),
            ("reset", reset.is_none()),
            ("dropped", dropped.is_none()),
            ("wait", waited.is_none()),
        ];
        for (figure, _) in is_unknown.into_iter().filter(|(_, is_unknown)| *is_unknown) {
            self.unknown.add(&[figure], 1);
        }
    }

    /// Writes all of them.
    pub fn write(&self, text: &mut MetricsText) {
        for series in [&self.reset, &self.dropped, &self.resets_sent, &self.unknown] {
            text.series(series);
        }
        text.durations(&self.waited);
    }
}
