//! A server that the new file does not have.

use super::body::ServerEntry;
use super::orders;
use super::pair::Pair;
use super::plan::{PlanStep, ReloadReason, StepKind};

/// In maintenance it gets no new clients; it is deleted when its last session has ended.
pub(super) fn step_of(pair: &Pair<'_, '_>, server: &ServerEntry<'_>) -> Result<PlanStep, String> {
    let name = &*server.name;
    let object = pair.object(name)?;
    let named = &(pair.mentions)().names;
    if named.contains(name) || named.contains(&object) {
        return Err(format!(
            "the server `{object}` is gone, and a line like `use-server` or `track` names it"
        ));
    }
    if !pair.can.offers("del server") {
        return Err(format!("the server `{object}` is gone, and this HAProxy deletes none at run time"));
    }
    let orders = vec![orders::set(&object, "state maint"), orders::delete(&object)];
    let why = "it is not in the file any more".to_owned();
    Ok(PlanStep { kind: StepKind::ServerRemoved, object, why, orders })
}

/// [`step_of`], or at which line it stood.
pub(super) fn step_at(pair: &Pair<'_, '_>, server: &ServerEntry<'_>) -> Result<PlanStep, ReloadReason> {
    step_of(pair, server).map_err(|what| pair.old.piece.reason(server.line, what))
}
