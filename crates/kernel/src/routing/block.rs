//! Blocks: what one instance has in the routing policy.
//!
//! Pure.

use std::fmt;

use clearway_core::names::TableId;

/// Above every table that people number by hand, and no round number.
const FIRST_TABLE: u32 = 0xC1EA_0000;
/// Below Tailscale (5210), systemd-networkd's and wg-quick's (32764); above `local` (0).
const FIRST_PREFERENCE: u32 = 900;
const PREFERENCES_PER_BLOCK: u32 = 5;

/// What one instance has in the routing policy: five preferences and one table, in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(pub(super) u8);

impl Block {
    const COUNT: u8 = 64;

    /// Block 0 to 63.
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// All blocks, from the first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// The routing table.
    pub fn table(self) -> TableId {
        TableId(FIRST_TABLE + u32::from(self.0))
    }

    /// The preferences: the look-up of replies of own addresses, the jump, the look-up of diverted packets,
    /// the jump's target, the look-ups of loopback servers.
    pub fn preferences(self) -> [u32; 5] {
        let base = FIRST_PREFERENCE + PREFERENCES_PER_BLOCK * u32::from(self.0);
        [base, base + 1, base + 2, base + 3, base + 4]
    }

    /// Whether what stands there is made on demand.
    pub(super) fn is_optional(self, preference: u32) -> bool {
        let [replies, _, _, _, loopback] = self.preferences();
        preference == replies || preference == loopback
    }

    pub(super) fn of_table(table: u32) -> Option<Self> {
        u8::try_from(table.checked_sub(FIRST_TABLE)?).ok().and_then(Self::new)
    }

    pub(super) fn of_preference(preference: u32) -> Option<Self> {
        let offset = preference.checked_sub(FIRST_PREFERENCE)?;
        u8::try_from(offset / PREFERENCES_PER_BLOCK).ok().and_then(Self::new)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
