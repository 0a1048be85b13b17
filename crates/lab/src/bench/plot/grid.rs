//! A grid of coloured cells, each with some words: what is good, late or bad at a glance, and readable without colour.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;

use super::message;

const HEAD: i32 = 70;
const NAMES: i32 = 170;
const CELL: (i32, i32) = (126, 52);
const LINE: i32 = 19;

/// How a cell is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Colour {
    Good,
    Late,
    Bad,
    None,
}

impl Colour {
    /// Pale, so that black words are readable on it.
    fn rgb(self) -> RGBColor {
        match self {
            Self::Good => RGBColor(205, 235, 205),
            Self::Late => RGBColor(255, 233, 170),
            Self::Bad => RGBColor(250, 200, 195),
            Self::None => RGBColor(240, 240, 240),
        }
    }
}

/// One cell: its lines, at most two.
pub(in crate::bench) type Cell = (Colour, Vec<String>);

/// A row: its name and its cells.
pub(in crate::bench) type Row = (String, Vec<Cell>);

/// Draws the rows below the heads of their columns.
pub(in crate::bench) fn draw(path: &Path, title: &str, heads: &[&str], rows: &[Row]) -> Result<()> {
    let columns = i32::try_from(heads.len()).context("that many columns")?;
    let lines = i32::try_from(rows.len()).context("that many rows")?;
    let size = (NAMES + CELL.0 * columns + 14, HEAD + CELL.1 * lines + 14);
    let size = (u32::try_from(size.0)?, u32::try_from(size.1)?);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE).map_err(message)?;
    let words = |text: &str, (x, y): (i32, i32), size: i32| {
        area.draw(&Text::new(text.to_owned(), (x, y), ("sans-serif", size).into_font())).map_err(message)
    };
    words(title, (14, 12), 18)?;
    for (head, x) in heads.iter().zip(0..) {
        words(head, (NAMES + CELL.0 * x + 6, HEAD - 22), 13)?;
    }
    for ((name, cells), y) in rows.iter().zip(0..) {
        let top = HEAD + CELL.1 * y;
        words(name, (14, top + 18), 14)?;
        for ((colour, lines), x) in cells.iter().zip(0..) {
            let left = NAMES + CELL.0 * x;
            let corners = [(left + 1, top + 1), (left + CELL.0 - 1, top + CELL.1 - 1)];
            area.draw(&Rectangle::new(corners, colour.rgb().filled())).map_err(message)?;
            for (line, number) in lines.iter().zip(0..) {
                words(line, (left + 6, top + 9 + LINE * number), 13)?;
            }
        }
    }
    area.present().map_err(message)
}

#[cfg(test)]
mod tests {
    use super::{Colour, draw};

    #[test]
    fn every_word_and_every_colour_is_drawn() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.svg");
        let row = |name: &str, colour, words: &str| (name.to_owned(), vec![(colour, vec![words.to_owned()])]);
        let rows = [row("first", Colour::Good, "7 lost"), row("second", Colour::Bad, "8 lost")];
        draw(&path, "a title", &["an event"], &rows).expect("a picture");
        let text = std::fs::read_to_string(path).expect("a picture");
        for words in ["a title", "an event", "first", "second", "7 lost", "8 lost", "#CDEBCD", "#FAC8C3"] {
            assert!(text.contains(words), "no {words}");
        }
    }
}
