//! The table at the end: what is claimed, what was seen, and whether the claim held.

use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};

/// All claims so far.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<Claim>);

#[derive(Debug)]
struct Claim {
    words: String,
    seen: String,
    held: bool,
}

impl Claims {
    /// A claim held when there is something seen, and did not when there is an error.
    pub(super) fn add(&mut self, claim: &str, outcome: Result<String>) {
        let held = outcome.is_ok();
        let seen = outcome.unwrap_or_else(|error| format!("{error:#}"));
        self.0.push(Claim { words: claim.to_owned(), seen, held });
    }

    pub(super) fn all_held(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|claim| claim.held)
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(110).set_header(["claim", "what was seen", "held"]);
        for Claim { words, seen, held } in &self.0 {
            table.add_row([words.as_str(), seen, if *held { "yes" } else { "NO" }]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::Claims;

    #[test]
    fn one_broken_claim_is_enough_and_none_proves_nothing() {
        let mut claims = Claims::default();
        assert!(!claims.all_held());
        claims.add("it works", Ok("it did".into()));
        assert!(claims.all_held());
        claims.add("always", Err(anyhow::anyhow!("not today")));
        assert!(!claims.all_held());
        let text = claims.table().to_string();
        assert!(text.contains("not today") && text.contains("NO"), "{text}");
    }
}
