//! Applying, rule by rule.
