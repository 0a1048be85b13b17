//! What Clearway itself says of a reload: what moved how many sockets, for how long it held clients back, and how
//! many of them.
//!
//! Read leniently: what a version does not tell is not there. A duration is a number whose name ends with its unit
//! (`window_ms`), or seconds and nanoseconds.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

/// What one reload was said to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// How many sockets each means moved.
    pub moved: BTreeMap<String, u64>,
    /// For how long clients were held back or dropped, in milliseconds: the longest that was told.
    pub window: Option<f64>,
    /// How many of them.
    pub held: Option<u64>,
}

impl Told {
    /// Reads the answer of `clearway reload --json`.
    pub(super) fn read(json: &str) -> Result<Self> {
        let mut told = Self::default();
        told.add(&serde_json::from_str(json)?);
        Ok(told)
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("by", Value::String(means)) => *self.moved.entry(means.clone()).or_default() += 1,
                        (name, value) if name.starts_with("window") => {
                            if let Some(window) = millis(name, value) {
                                self.window = Some(self.window.map_or(window, |longest| longest.max(window)));
                            }
                        }
                        (name, Value::Number(number)) if name.starts_with("held") => {
                            let more = number.as_u64().unwrap_or(0);
                            self.held = Some(self.held.unwrap_or(0) + more);
                        }
                        (_, value) => self.add(value),
                    }
                }
            }
            _ => {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a window of far less than 2^52 seconds")]
fn millis(name: &str, value: &Value) -> Option<f64> {
    let part = |part: &str| value.get(part).and_then(Value::as_u64);
    if let (Some(seconds), Some(nanos)) = (part("secs"), part("nanos")) {
        return Some(seconds as f64 * 1e3 + nanos as f64 / 1e6);
    }
    let unit = match name.rsplit('_').next()? {
        "ms" | "millis" => 1.0,
        "us" | "micros" => 1e-3,
        "seconds" | "secs" | "s" => 1e3,
        _ => return None,
    };
    Some(value.as_f64()? * unit)
}

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn what_is_told_is_found_wherever_it_is() {
        let json = r#"{"result":"serving","generation":2,"moved":[
            {"address":":80","by":"plug","window_us":1500,"held":3},
            {"address":":::80","by":"plug","window":{"secs":0,"nanos":2500000},"held":4},
            {"address":":81","by":"handoff"}]}"#;
        let told = Told::read(json).expect("JSON");
        assert_eq!(told.moved, [("handoff".to_owned(), 1), ("plug".to_owned(), 2)].into());
        assert_eq!((told.window, told.held), (Some(2.5), Some(7)));
    }

    #[test]
    fn what_is_not_told_is_not_there() {
        let told = Told::read(r#"{"result":"serving","window_none":null,"window":"long"}"#).expect("JSON");
        assert_eq!(told, Told::default());
        assert!(Told::read("generation 2 serves").is_err());
    }
}
