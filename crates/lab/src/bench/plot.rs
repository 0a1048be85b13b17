//! Pictures: the runs of a row side by side, and a load over time with its marks. SVG only; no fonts needed.

pub(super) mod grid;
pub(super) mod panels;

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;

use super::harness::Measured;
use super::row::Timeline;

const SIZE: (u32, u32) = (720, 360);
const COLOURS: [RGBColor; 2] = [RGBColor(110, 110, 110), RGBColor(0, 110, 180)];

/// Every run as a point, the medians as lines: `<row>.svg`.
pub(super) fn runs(folder: &Path, row: &Measured) -> Result<()> {
    let path = folder.join(format!("{}.svg", row.about.name));
    draw_runs(&path, row).with_context(|| format!("drawing {}", path.display()))
}

#[expect(clippy::cast_precision_loss, reason = "a handful of runs")]
fn draw_runs(path: &Path, row: &Measured) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(message)?;
    let count = row.a.runs.len().max(row.b.runs.len()) as f64;
    let highest = row.a.max.max(row.b.max).max(f64::MIN_POSITIVE) * 1.15;
    let about = &row.about;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{} ({})", about.what, about.unit), ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.5..count + 0.5, 0.0..highest)
        .map_err(message)?;
    chart.configure_mesh().x_desc("run").y_desc(about.unit).draw().map_err(message)?;
    for ((summary, colour), name) in [&row.a, &row.b].into_iter().zip(COLOURS).zip(about.sides) {
        let points = summary.runs.iter().enumerate().map(|(run, figure)| (run as f64 + 1.0, *figure));
        chart.draw_series(points.map(|at| Circle::new(at, 4, colour.filled()))).map_err(message)?;
        let line = [(0.5, summary.median), (count + 0.5, summary.median)];
        chart
            .draw_series(LineSeries::new(line, colour.stroke_width(1)))
            .map_err(message)?
            .label(format!("{name}: median {:.2}", summary.median))
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::LowerRight)
        .draw()
        .map_err(message)?;
    area.present().map_err(message)
}

/// The slowest connection of each tenth of a second, and a line wherever something was done:
/// `<row>-timeline.svg`.
pub(super) fn timeline(folder: &Path, name: &str, timeline: &Timeline) -> Result<()> {
    let path = folder.join(format!("{name}-timeline.svg"));
    draw_timeline(&path, timeline).with_context(|| format!("drawing {}", path.display()))
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a short run")]
fn draw_timeline(path: &Path, timeline: &Timeline) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(message)?;
    let series = &timeline.report.series;
    let end = series.last().map_or(1.0, |bucket| bucket.at_ms as f64 + 100.0);
    let highest = series.iter().map(|bucket| bucket.max_ms).fold(1.0, f64::max) * 1.15;
    let mut chart = ChartBuilder::on(&area)
        .caption("Slowest connection per 100 ms (blue); reloads (red)", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..highest)
        .map_err(message)?;
    chart.configure_mesh().x_desc("ms from the start of the load").y_desc("ms").draw().map_err(message)?;
    for mark in &timeline.marks_ms {
        let line = [(*mark as f64, 0.0), (*mark as f64, highest)];
        chart.draw_series(LineSeries::new(line, RED.mix(0.5).stroke_width(1))).map_err(message)?;
    }
    let line = series.iter().map(|bucket| (bucket.at_ms as f64 + 50.0, bucket.max_ms));
    chart.draw_series(LineSeries::new(line, COLOURS[1].stroke_width(2))).map_err(message)?;
    area.present().map_err(message)
}

fn message(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}
