//! What stands behind the `?` of a request.

use std::fmt;

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// The generation of `?generation=N`.
pub fn generation(uri: &Uri) -> Option<u32> {
    uri.query()?.strip_prefix("generation=")?.parse().ok()
}

/// The fields of a request, all of which are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryFields(Vec<(String, String)>);

/// A field that is not known, or cannot be what it is. A word with a typing error must not become another request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadQuery(String);

impl BadQuery {
    /// With this sentence.
    pub fn of(sentence: &str) -> Self {
        Self(sentence.to_owned())
    }
}

impl QueryFields {
    /// Those of a request that may have these, each once.
    pub fn of(uri: &Uri, known: &[&str]) -> Result<Self, BadQuery> {
        let mut read: Vec<(String, String)> = Vec::new();
        for field in
            uri.query().into_iter().flat_map(|query| query.split('&')).filter(|field| !field.is_empty())
        {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            if !known.contains(&name) {
                let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none is".to_owned() } else { format!("known is {known}") };
                return Err(BadQuery(format!("the field `{}` is not known here; {known}", shown(name))));
            }
            if read.iter().any(|(other, _)| other == name) {
                return Err(BadQuery(format!("the field `{name}` is there twice")));
            }
            read.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(read))
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whether a field is set: `?dry-run`, `?dry-run=true`; not `?dry-run=false`.
    pub fn is_set(&self, name: &str) -> Result<bool, BadQuery> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(value) => {
                Err(BadQuery(format!("`{name}` cannot be `{}`: expected `true` or `false`", shown(value))))
            }
        }
    }
}

/// As much of a foreign word as is repeated.
fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

impl fmt::Display for BadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl IntoResponse for BadQuery {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, format!("{self}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(query: &str) -> Result<QueryFields, BadQuery> {
        QueryFields::of(&format!("/v1/reload{query}").parse().unwrap(), &["dry-run"])
    }

    #[test]
    fn a_word_is_set_by_being_there() {
        for (query, is_set) in [
            ("", false),
            ("?", false),
            ("?dry-run", true),
            ("?dry-run=", true),
            ("?dry-run=true&", true),
            ("?dry-run=1", true),
            ("?dry-run=false", false),
        ] {
            assert_eq!(fields(query).unwrap().is_set("dry-run"), Ok(is_set), "{query}");
        }
        assert!(fields("?dry-run=maybe").unwrap().is_set("dry-run").is_err());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in ["?dryrun", "?dry-run&x=1", "?dry-run&dry-run", "?%64ry-run", "?=1"] {
            assert!(fields(query).is_err(), "{query}");
        }
        let error = fields(&format!("?{}", "x".repeat(9000))).unwrap_err().to_string();
        assert!(error.len() < 200 && error.ends_with("known is `dry-run`"), "{error}");
    }
}
