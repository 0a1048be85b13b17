//! The results as JSON for programs and as Markdown for people.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::former;
use super::harness::Measured;
use super::row::Better;

/// Writes `results.json` and `results.md`.
pub(super) fn write(folder: &Path, rows: &[Measured], text: &str) -> Result<()> {
    let json = serde_json::to_string_pretty(rows).context("turning results into JSON")?;
    for (name, text) in [("results.json", &*json), ("results.md", text)] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Two tables: the figures, and how noisy the machine was; between them the former Clearway, where there is one.
pub(super) fn markdown(rows: &[Measured], former: Option<&Path>) -> String {
    let mut text = String::from(
        "| row | A | B | median A (min to max) | median B (min to max) | B/A | better | goal |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let about = &row.about;
        let [side_a, side_b] = about.sides;
        let better = if about.better == Better::Lower { "lower" } else { "higher" };
        let met = match row.goal_met {
            None => "",
            Some(true) => ": met",
            Some(false) => ": NOT met",
        };
        let side = |summary: &super::Summary| {
            let number = |value| significant(value);
            let (median, min, max) = (number(summary.median), number(summary.min), number(summary.max));
            format!("{median} {} ({min} to {max})", about.unit)
        };
        let _ = writeln!(
            text,
            "| {} | {side_a} | {side_b} | {} | {} | {} | {better} | {}{met} |",
            about.what,
            side(&row.a),
            side(&row.b),
            row.ratio_text(),
            about.goal.words(about.unit),
        );
    }
    if let Some(program) = former {
        text = text + "\n" + &former::head(program, "row, side B");
        for row in rows {
            let (about, compared) = (&row.about, &row.former);
            let columns = format!("{}: {}", about.name, about.sides[1]);
            if let Some(compared) = compared {
                former::line(&mut text, &columns, compared, about.unit);
            }
        }
    }
    text.push_str("\nThe machine, idle, before and after each row:\n\n");
    text.push_str("| row | arithmetic, ms | loopback round trip p50, ms | p99, ms |\n|---|---|---|---|\n");
    for row in rows {
        let [before, after] = &row.controls;
        let _ = writeln!(
            text,
            "| {} | {:.1} / {:.1} | {:.3} / {:.3} | {:.3} / {:.3} |",
            row.about.name,
            before.spin,
            after.spin,
            before.trip_p50,
            after.trip_p50,
            before.trip_p99,
            after.trip_p99,
        );
    }
    text
}

/// Three digits are more than these figures are worth.
pub(super) fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn about_three_digits() {
        assert_eq!(["0.12", "12.3", "1234"].map(String::from), [0.123, 12.34, 1234.5].map(significant));
    }
}
