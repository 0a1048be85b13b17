//! Latency against time, one panel per side, all with the same axes.
//!
//! Tens of thousands of points in each would make a picture of many megabytes: those that fall onto the same dot of
//! the grid below are drawn once, and a column of neighbours as one bar. No point is left out.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::message;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<RangedCoordf64, plotters::coord::combinators::LogCoord<f64>>,
>;

const WIDTH: u32 = 1080;
const HEAD: u32 = 64;
const PANEL: u32 = 170;
/// Milliseconds from the bottom to the top; what is outside is drawn at the edge.
const BOTTOM: f64 = 0.1;
const TOP: f64 = 10_000.0;
/// Dots of the grid in one panel: each is about two points wide and high.
const GRID: (f64, f64) = (230.0, 59.0);

const POINT: RGBColor = RGBColor(0, 100, 170);
const MARK: RGBColor = RGBColor(230, 130, 0);
const LOSS: RGBColor = RGBColor(200, 0, 30);
const NOTICED: RGBColor = RGBColor(120, 120, 120);
/// What a connection is delayed above, in milliseconds.
const DELAYED: f64 = 200.0;

/// One side.
#[derive(Debug)]
pub(in crate::bench) struct Panel<'a> {
    pub(in crate::bench) title: String,
    /// Seconds and milliseconds.
    pub(in crate::bench) points: &'a [(f64, f64)],
    /// Seconds.
    pub(in crate::bench) marks: &'a [f64],
    /// Likewise.
    pub(in crate::bench) losses: Vec<f64>,
}

/// Draws them in two columns; `seconds` is how long each lasted.
pub(in crate::bench) fn draw(path: &Path, title: &str, seconds: f64, panels: &[Panel<'_>]) -> Result<()> {
    let rows = panels.len().div_ceil(2);
    let height = HEAD + PANEL * u32::try_from(rows).context("that many panels")?;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE).map_err(message)?;
    let (head, body) = area.split_vertically(HEAD);
    legend(&head, title)?;
    for (place, panel) in body.split_evenly((rows.max(1), 2)).iter().zip(panels) {
        draw_panel(place, seconds, panel).with_context(|| panel.title.clone())?;
    }
    area.present().map_err(message)
}

fn legend(area: &Area<'_>, title: &str) -> Result<()> {
    let small = ("sans-serif", 13).into_font();
    let words = |text: &str, x: i32| area.draw(&Text::new(text.to_owned(), (x, 40), small.clone()));
    area.draw(&Text::new(title.to_owned(), (14, 10), ("sans-serif", 18).into_font())).map_err(message)?;
    area.draw(&Circle::new((22, 46), 3, POINT.filled())).map_err(message)?;
    words("a connection, answered", 32).map_err(message)?;
    area.draw(&PathElement::new([(210, 38), (210, 54)], MARK.stroke_width(2))).map_err(message)?;
    words("a reload begins", 220).map_err(message)?;
    area.draw(&Cross::new((352, 46), 4, LOSS.stroke_width(2))).map_err(message)?;
    words("connections lost (in this tenth of a second)", 364).map_err(message)?;
    area.draw(&PathElement::new([(664, 46), (690, 46)], NOTICED.stroke_width(1))).map_err(message)?;
    words("200 ms", 698).map_err(message)
}

fn draw_panel(area: &Area<'_>, seconds: f64, panel: &Panel<'_>) -> Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 14))
        .margin_left(8)
        .margin_right(14)
        .x_label_area_size(30)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..seconds, (BOTTOM..TOP).log_scale())
        .map_err(message)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("seconds")
        .y_desc("ms")
        .y_label_formatter(&|value| format!("{value}"))
        .draw()
        .map_err(message)?;
    for mark in panel.marks {
        line(&mut chart, [(*mark, BOTTOM), (*mark, TOP)], MARK.stroke_width(1))?;
    }
    line(&mut chart, [(0.0, DELAYED), (seconds, DELAYED)], NOTICED.stroke_width(1))?;
    let bars = bars(panel.points, seconds);
    let bar = |corners: [(f64, f64); 2]| Rectangle::new(corners, POINT.filled());
    chart.draw_series(bars.into_iter().map(bar)).map_err(message)?;
    let losses = panel.losses.iter().map(|at| Cross::new((*at, TOP / 2.0), 4, LOSS.stroke_width(2)));
    chart.draw_series(losses).map(drop).map_err(message)
}

fn line(chart: &mut Chart<'_, '_>, ends: [(f64, f64); 2], style: ShapeStyle) -> Result<()> {
    chart.draw_series(std::iter::once(PathElement::new(ends, style))).map(drop).map_err(message)
}

/// The corners of the bars that cover all points.
fn bars(points: &[(f64, f64)], seconds: f64) -> Vec<[(f64, f64); 2]> {
    let dots: BTreeSet<(i32, i32)> = points.iter().map(|point| dot(*point, seconds)).collect();
    let mut columns: Vec<(i32, i32, i32)> = Vec::new();
    for (x, y) in dots {
        match columns.last_mut() {
            Some((column, _, top)) if *column == x && *top + 1 == y => *top = y,
            _ => columns.push((x, y, y)),
        }
    }
    let corner = |x: i32, y: i32| (f64::from(x) / GRID.0 * seconds, height_of(f64::from(y) / GRID.1));
    columns.into_iter().map(|(x, low, high)| [corner(x, low), corner(x + 1, high + 1)]).collect()
}

/// Where on the grid a point is.
#[expect(clippy::cast_possible_truncation, reason = "the grid is small")]
fn dot((at, latency): (f64, f64), seconds: f64) -> (i32, i32) {
    let height = (latency.clamp(BOTTOM, TOP) / BOTTOM).ln() / (TOP / BOTTOM).ln();
    let place = |part: f64, most: f64| (part * most).floor().clamp(0.0, most - 1.0) as i32;
    (place(at / seconds, GRID.0), place(height, GRID.1))
}

/// The latency at a part of the height of the panel.
fn height_of(part: f64) -> f64 {
    BOTTOM * (TOP / BOTTOM).powf(part)
}

#[cfg(test)]
mod tests {
    use super::{BOTTOM, Panel, TOP, bars, draw};

    #[test]
    fn every_point_is_under_a_bar_and_neighbours_share_one() {
        let points: Vec<(f64, f64)> =
            (0..20_000).map(|number| (f64::from(number) / 2000.0, 1.0 + f64::from(number % 7))).collect();
        let bars = bars(&points, 10.0);
        assert!(bars.len() < points.len() / 10, "{}", bars.len());
        for (x, y) in points {
            let near = 1e-9;
            let covers = |[(left, low), (right, high)]: &[(f64, f64); 2]| {
                (left - near..=right + near).contains(&x) && (low - near..=high + near).contains(&y)
            };
            assert!(bars.iter().any(covers), "{x} {y}");
        }
    }

    #[test]
    fn what_is_outside_is_at_the_edge() {
        let bars = bars(&[(0.0, 0.0), (99.0, 1e9)], 10.0);
        assert!((bars[0][0].1 - BOTTOM).abs() < 1e-6 && (bars[1][1].1 - TOP).abs() < 1.0, "{bars:?}");
    }

    #[test]
    fn reloads_and_losses_are_drawn() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = |marks: &[f64], losses: Vec<f64>| {
            let path = folder.path().join("x.svg");
            let panel = Panel { title: "side".into(), points: &[(1.0, 5.0)], marks, losses };
            draw(&path, "title", 10.0, &[panel]).expect("a picture");
            let text = std::fs::read_to_string(path).expect("a picture");
            (text.matches("#E68200").count(), text.matches("#C8001E").count())
        };
        let (marks, losses) = count(&[], Vec::new());
        let (more_marks, more_losses) = count(&[1.0, 2.0], vec![3.0]);
        assert_eq!(more_marks, marks + 2);
        assert!(more_losses > losses);
    }
}
