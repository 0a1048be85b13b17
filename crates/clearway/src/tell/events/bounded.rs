//! Fields of an event that are too long to be kept: a list keeps its beginning, a text likewise, and the event says which.

use clearway_core::notice::Fields;
use serde_json::Value;

/// How many bytes the JSON of a field may have.
const MOST: usize = 2 << 10;

/// The fields, none longer than [`MOST`]; the names of those that were cut are in one more, `shortened`.
pub fn bounded(fields: Fields) -> Fields {
    let mut shortened = Vec::new();
    let mut bounded: Fields = fields
        .into_iter()
        .map(|(name, value)| {
            if length(&value) <= MOST {
                return (name, value);
            }
            shortened.push(Value::from(name));
            (name, beginning(value))
        })
        .collect();
    if !shortened.is_empty() {
        bounded.push(("shortened", shortened.into()));
    }
    bounded
}

/// A text of which no more is kept than that of a field.
pub fn bounded_text(text: &str) -> String {
    let mut left = MOST;
    let fits = |c: &char| {
        left = left.saturating_sub(c.len_utf8());
        left > 0
    };
    text.chars().take_while(fits).collect()
}

fn length(value: &Value) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

fn beginning(value: Value) -> Value {
    match value {
        Value::String(text) => bounded_text(&text).into(),
        Value::Array(items) => {
            let mut left = MOST;
            let fits = |item: &Value| {
                left = left.saturating_sub(length(item) + 1);
                left > 0
            };
            items.into_iter().take_while(fits).collect()
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_short_stays_as_it_is() {
        let fields: Fields = vec![("a", json!([1, 2])), ("b", json!("text")), ("c", Value::Null)];
        assert_eq!(bounded(fields.clone()), fields);
    }

    #[test]
    fn what_is_long_keeps_its_beginning_and_is_named() {
        let lines: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
        let cut = bounded(vec![
            ("lines", json!(lines)),
            ("text", json!("\u{e4}".repeat(5000))),
            ("short", json!(1)),
        ]);
        let names: Vec<_> = cut.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["lines", "text", "short", "shortened"]);
        assert_eq!(cut[3].1, json!(["lines", "text"]));
        let kept = cut[0].1.as_array().unwrap();
        assert!((100..1000).contains(&kept.len()) && kept[0] == "line 0", "{}", kept.len());
        for (name, value) in &cut {
            assert!(length(value) <= MOST, "{name} has {} bytes", length(value));
        }
        assert!(cut[1].1.as_str().is_some_and(|text| text.len() > MOST / 2));
    }

    #[test]
    fn a_list_whose_first_item_is_too_long_is_empty() {
        assert_eq!(bounded(vec![("all", json!(["x".repeat(9000)]))])[0].1, json!([]));
    }
}
