//! Any text as the state of servers: HAProxy's own, or what another Clearway has handed over.

use std::collections::BTreeMap;
use std::path::Path;

use super::{CarryPlan, StateCommand, in_advance, plan};
use crate::configuration::{Configuration, StatedServers};
use crate::fuzz::parts;
use crate::marked_down::{ServerPlace, compare, were_up};
use crate::runtime::batch::is_one_command;
use crate::runtime::state::{Remembered, ServersState};

pub(crate) use super::tables::fuzz::stick_tables;

/// The state of before, the files that it is for, and the state of now, with 0xff between them.
pub(crate) fn servers_state(data: &[u8]) {
    let [before, files, now] = parts(data).map(String::from_utf8_lossy);
    let stated = Configuration::of_text(Path::new("a.cfg"), &files).stated;
    let told = ServersState::of(&before);
    if let Some(told) = told {
        what_is_kept_is_what_was_told(&told, &stated);
    }
    let remembered = told.map(|told| Remembered::of(told, &stated)).or_else(|| before.parse().ok());
    let Some(remembered) = remembered else { return };
    as_another_clearway_gets_it(&remembered);
    orders_are_single_commands(&in_advance(&remembered, &stated));
    if let Some(now) = ServersState::of(&now) {
        let CarryPlan { orders, left } = plan(&remembered, &stated, now);
        let answers: Vec<String> = now.lines().map(str::to_owned).collect();
        let outcome = CarryPlan { orders: orders.clone(), left }.outcome(&[], Ok::<_, String>(answers));
        assert!(outcome.set.len() <= orders.len());
        orders_are_single_commands(&orders);
        of_sessions(&remembered, &stated, &now);
    }
}

fn what_is_kept_is_what_was_told(told: &ServersState<'_>, stated: &StatedServers) {
    let remembered = Remembered::of(*told, stated);
    assert!(told.rows().eq(remembered.servers().map(|(row, _)| row)));
    for (row, facts) in remembered.servers() {
        assert_eq!(facts.as_ref(), stated.find(row.proxy, row.name).map(|stated| &stated.facts));
    }
    assert_eq!(remembered.count(), told.rows().count());
    let _ = told.numbers().count();
}

fn as_another_clearway_gets_it(remembered: &Remembered) {
    for longest in [1, 64, 64 << 10] {
        let parts: Vec<&str> = remembered.parts(longest).collect();
        assert_eq!(parts.concat().parse::<Remembered>().as_ref(), Ok(remembered));
    }
    assert!(remembered.down() <= remembered.count());
}

/// As far as the names are such as HAProxy takes.
fn orders_are_single_commands(orders: &[StateCommand]) {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    for order in orders.iter().filter(|order| order.server.chars().all(is_of_a_name)) {
        // The name that an operator gave a server at run time is written as it is.
        let has_name = order.what.starts_with("name ");
        assert!(has_name || is_one_command(&order.command), "{order:?}");
        drop(order.to_string());
    }
}

fn of_sessions(remembered: &Remembered, stated: &StatedServers, now: &ServersState<'_>) {
    let compared = compare([stated].into_iter(), remembered, stated);
    let places = compared.into_iter().flatten().map(|server| (server.name, server.place));
    let places: BTreeMap<String, ServerPlace> = places.collect();
    assert!(were_up(*now, &places).iter().all(|name| places.contains_key(name)));
}
