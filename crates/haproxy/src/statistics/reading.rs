//! Reads the answer to `show stat`: comma-separated values, whose first line names the columns.
//!
//! ```text
//! # pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,...,status,weight,...,type,...
//! f0,FRONTEND,,,1,1,9980,12,86,40,...,OPEN,,...,0,...
//! f0,s,0,0,1,1,,12,86,40,...,no check,1,...,2,...
//! f0,BACKEND,0,0,1,1,998,12,86,40,...,UP,1,...,1,...
//! ```
//!
//! A value with a comma, a quotation mark or the end of a line in it stands in quotation marks, which are doubled inside.

use std::collections::HashMap;

use super::{FIELDS, Scope, StatObject, StatSample, Unit};

/// The longest record that is read.
const LONGEST: usize = 64 << 10;

/// Where the columns are that are read.
#[derive(Debug)]
struct Columns {
    proxy: usize,
    name: usize,
    kind: usize,
    /// Unset where this version has none.
    mode: Option<usize>,
    /// In the order of [`FIELDS`]; unset where this version has none.
    fields: Vec<Option<usize>>,
}

impl Columns {
    /// From the first line; none if it is not that of `show stat`.
    fn of(line: &str) -> Option<Self> {
        let names = line.strip_prefix("# ")?;
        let places: HashMap<&str, usize> =
            names.split(',').enumerate().map(|(at, name)| (name, at)).collect();
        let place = |name: &str| places.get(name).copied();
        Some(Self {
            proxy: place("pxname")?,
            name: place("svname")?,
            kind: place("type")?,
            mode: place("mode"),
            fields: FIELDS.iter().map(|field| place(field.column)).collect(),
        })
    }
}

/// Reads lines as they come.
#[derive(Debug, Default)]
pub struct StatReader {
    columns: Option<Columns>,
    /// The beginning of a record whose last value goes on in the next line.
    open: String,
    sample: StatSample,
}

impl StatReader {
    /// The next line, without its end.
    pub fn line(&mut self, line: &str) {
        let Some(columns) = &self.columns else {
            self.columns = Columns::of(line);
            return;
        };
        if !self.open.is_empty() {
            self.open.push('\n');
        }
        self.open.push_str(line);
        let is_whole = self.open.matches('"').count().is_multiple_of(2);
        if is_whole || self.open.len() > LONGEST {
            if let Some((object, values)) = record(columns, &self.open) {
                let numbers = self.sample.0.entry(object).or_default();
                for (field, value) in values {
                    numbers.set(field, Some(value));
                }
            }
            self.open.clear();
        }
    }

    /// All that was read; none if it was no answer to `show stat`.
    pub fn sample(self) -> Option<StatSample> {
        self.columns.map(|_| self.sample)
    }
}

/// One record: what it is about, and its numbers with the places of their fields.
fn record(columns: &Columns, text: &str) -> Option<(StatObject, Vec<(usize, i64)>)> {
    let values = values(text);
    let value = |at: usize| values.get(at).map(String::as_str);
    let scope = match value(columns.kind)? {
        "0" => Scope::Frontend,
        "1" => Scope::Backend,
        "2" => Scope::Server,
        // Listeners (`option socket-stats`), and what later versions may have.
        _ => return None,
    };
    let proxy = value(columns.proxy).filter(|name| !name.is_empty())?.to_owned();
    let server = if scope == Scope::Server { value(columns.name)?.to_owned() } else { String::new() };
    // As the exporter, which tells nothing of HTTP where there is none.
    let mode = columns.mode.and_then(value).unwrap_or_default();
    let is_told = |name: &str| mode == "http" || mode.is_empty() || !name.starts_with("http_");
    let places = columns.fields.iter().zip(FIELDS).enumerate();
    let numbers = places.filter_map(|(field, (at, what))| {
        let text = value((*at)?).filter(|_| what.scopes.contains(&scope) && is_told(what.name))?;
        let number = if what.unit == Unit::State { state(scope, text)? } else { text.parse().ok()? };
        Some((field, number))
    });
    Some((StatObject { scope, proxy, server }, numbers.collect()))
}

/// The state that the exporter would tell, by its place among those.
fn state(scope: Scope, text: &str) -> Option<i64> {
    let first = text.split_whitespace().next()?;
    let word = match (scope, first) {
        (Scope::Frontend, "OPEN" | "FULL") | (_, "UP") | (Scope::Server, "no") => "UP",
        (Scope::Server, "MAINT" | "DRAIN" | "NOLB") => first,
        _ => "DOWN",
    };
    let at = scope.states().iter().position(|one| *one == word)?;
    i64::try_from(at).ok()
}

/// The values of a record.
fn values(text: &str) -> Vec<String> {
    let (mut values, mut value, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => value.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => values.push(std::mem::take(&mut value)),
            letter => value.push(letter),
        }
    }
    values.push(value);
    values
}
