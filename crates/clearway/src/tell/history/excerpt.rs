//! A list of which not more than some is kept.

use serde::{Deserialize, Serialize};

/// How many items of a list are kept, at most.
const ITEMS: usize = 24;

/// How many bytes of them.
const BYTES: usize = 2 << 10;

/// The first items of a list, and how many there were in all. What is cut off an item is said in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Excerpt {
    /// How many there were.
    pub number: usize,
    /// The first of them.
    pub first: Vec<String>,
}

impl Excerpt {
    /// As much as is kept: 24 items, and 2 KiB.
    pub fn of(items: &[String]) -> Self {
        let mut left = BYTES;
        let mut first = Vec::new();
        for item in items.iter().take(ITEMS) {
            if left == 0 {
                break;
            }
            first.push(cut(item, left));
            left = left.saturating_sub(item.len());
        }
        Self { number: items.len(), first }
    }

    /// How many are not kept.
    pub fn left_out(&self) -> usize {
        self.number.saturating_sub(self.first.len())
    }
}

/// A text of as many bytes at most, or its beginning, and how much was cut off.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
    format!("{kept}... ({} more bytes)", text.len() - kept.len())
}
