//! All rows.

mod carry;
mod idle;
mod large;
mod tables;
mod tail;
mod takeover;
mod times;
pub(super) mod traffic;

use std::path::Path;

use anyhow::{Result, bail};

use super::rig::Rig;
use super::row::{About, Row, Side};

/// Every row, in the order in which it is measured.
pub(super) fn all(quick: bool) -> Vec<Box<dyn Row>> {
    let mut rows: Vec<Box<dyn Row>> = Vec::new();
    rows.push(Box::new(times::Start::default()));
    rows.extend(times::reloads(quick));
    rows.push(Box::new(carry::Carry::new(quick)));
    rows.push(Box::new(tables::Tables::new(quick)));
    rows.push(Box::new(times::Crash::default()));
    rows.extend(takeover::all(quick));
    rows.extend(traffic::all(quick));
    rows.extend(tail::all(quick));
    rows.extend(idle::all(quick));
    rows
}

/// What stands in the place of a row that is done, so that its lab is gone.
pub(super) struct Done(pub(super) About);

impl Row for Done {
    fn about(&self) -> About {
        self.0
    }

    fn measure(&mut self, _: Side, _: &Path) -> Result<f64> {
        bail!("this row is done")
    }
}

/// The lab of a row, raised when it is first needed, for this Clearway from now on.
fn rig<'a>(
    place: &'a mut Option<Rig>,
    clearway: &Path,
    raise: impl FnOnce() -> Result<Rig>,
) -> Result<&'a mut Rig> {
    let rig = match place {
        Some(rig) => rig,
        None => place.insert(raise()?),
    };
    rig.run(clearway);
    Ok(rig)
}
