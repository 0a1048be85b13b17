use std::collections::HashMap;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use clearway_core::exit::ExitCode;
use clearway_core::failure::Failure;
use clearway_core::names::Generation;
use clearway_core::supervisor::{Asker, Proof, Source};

use super::*;
use crate::custody::Custody;

/// To a custody that holds nothing.
fn subscription() -> Subscription {
    Custody::new().subscribe()
}

/// A socket that plays systemd, and what talks to it.
struct Manager {
    socket: UnixDatagram,
    systemd: Systemd,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let variables = HashMap::from([("NOTIFY_SOCKET", path.into_os_string())]);
        let systemd =
            Systemd::of_this_process(Stored::default(), |name| variables.get(name).cloned(), subscription());
        Self { socket, systemd, _folder: folder }
    }

    /// What it says to that, without numbers that differ.
    fn hears(&mut self, action: &Action) -> String {
        self.systemd.hear(action);
        self.next()
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).unwrap();
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        let words = text.lines().map(|line| line.split_once('=').unwrap());
        let words = words.map(|(name, value)| match name {
            "STATUS" | "MONOTONIC_USEC" => {
                assert!(!value.is_empty());
                name.to_owned()
            }
            _ => format!("{name}={value}"),
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

fn prepare(number: u32) -> Action {
    let generation = (1..number).fold(Generation::FIRST, |one, _| one.next());
    Action::Prepare(generation, Source::Disk)
}

fn serving() -> Action {
    let proof = Proof { worker: 7, adopted: Vec::new(), fresh: Vec::new(), unclaimed: Vec::new() };
    Action::Report(Report::Serving {
        generation: Generation::FIRST,
        proof,
        moved: Vec::new(),
        took: Duration::ZERO,
    })
}

fn refused() -> Action {
    let failure = Failure::new(ExitCode::ConfigurationRefused, "line\nbreak");
    Action::Report(Report::Refused { generation: Generation::FIRST, failure, serving: None })
}

const ASKED: Action = Action::Report(Report::ReloadAsked { by: Asker::Signal("SIGHUP") });
const QUEUED: Action = Action::Report(Report::ReloadQueued { by: Asker::Signal("SIGHUP") });
const RELOADING: &str = "RELOADING=1 MONOTONIC_USEC STATUS";

#[test]
fn ready_is_said_when_a_generation_serves_and_not_before() {
    let mut manager = Manager::new();
    assert_eq!(manager.hears(&prepare(1)), "STATUS");
    assert_eq!(manager.hears(&refused()), "STATUS");
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
    manager.systemd.stop(false);
    assert_eq!(manager.next(), "STOPPING=1");
}

#[test]
fn a_reload_ends_whether_it_took_or_not() {
    let mut manager = Manager::new();
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
    for end in [serving(), refused()] {
        assert_eq!(manager.hears(&ASKED), RELOADING);
        manager.systemd.hear(&prepare(2));
        assert_eq!(manager.hears(&end), "READY=1 STATUS");
    }
}

#[test]
fn the_reload_that_waits_is_the_one_that_ends_it() {
    let mut manager = Manager::new();
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
    assert_eq!(manager.hears(&ASKED), RELOADING);
    manager.systemd.hear(&prepare(2));
    assert_eq!(manager.hears(&QUEUED), RELOADING);
    assert_eq!(manager.hears(&serving()), "STATUS");
    manager.systemd.hear(&prepare(3));
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
}

#[test]
fn a_rollback_that_waits_and_is_refused_does_not_leave_the_unit_reloading() {
    let mut manager = Manager::new();
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
    manager.hears(&ASKED);
    manager.systemd.hear(&prepare(2));
    assert_eq!(manager.hears(&QUEUED), RELOADING);
    assert_eq!(manager.hears(&serving()), "STATUS");
    let by = Asker::Signal("a test");
    assert_eq!(manager.hears(&Action::Report(Report::RollbackAsked { by, back_to: None })), "READY=1 STATUS");
    let back_to = Some(Generation::FIRST);
    assert_eq!(manager.hears(&Action::Report(Report::RollbackAsked { by, back_to })), RELOADING);
    manager.systemd.hear(&prepare(3));
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
}

#[test]
fn one_that_was_taken_over_from_may_take_its_time() {
    let mut manager = Manager::new();
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
    let taken_over = Report::Takeover(Turn::TakenOver { generations: 1, limit: Duration::from_hours(24) });
    assert_eq!(manager.hears(&Action::Report(taken_over)), "STATUS");
    manager.systemd.stop(false);
    assert_eq!(manager.hears(&Action::Report(Report::Leaving { exit_code: ExitCode::Done })), "STATUS");
}

#[test]
fn nothing_is_said_where_systemd_does_not_listen() {
    for address in [None, Some(""), Some("vsock:2:9"), Some("relative")] {
        let systemd =
            Systemd::of_this_process(Stored::default(), |_| address.map(OsString::from), subscription());
        assert!(systemd.mailbox.is_none(), "{address:?}");
    }
    // Nor does it matter that the socket is gone.
    let mut systemd =
        Systemd::of_this_process(Stored::default(), |_| Some("/nowhere/at/all".into()), subscription());
    systemd.hear(&serving());
}

#[test]
fn a_reload_that_is_applied_at_run_time_is_over_and_one_that_is_planned_first_is_one() {
    let mut manager = Manager::new();
    assert_eq!(manager.hears(&serving()), "READY=1 STATUS");
    let number = Generation::FIRST.next();
    let (plan, took) = (Action::Plan(number), Duration::from_millis(3));
    let applied =
        Report::Applied { generation: number, serving: Generation::FIRST, tally: "1 map".into(), took };
    assert_eq!(manager.hears(&ASKED), RELOADING);
    manager.systemd.hear(&plan);
    assert_eq!(manager.hears(&Action::Report(applied.clone())), "READY=1 STATUS");
    // What comes between the plan and the start is in neither.
    assert_eq!(manager.hears(&ASKED), RELOADING);
    manager.systemd.hear(&plan);
    let queued = Action::Report(Report::ReloadQueued { by: Asker::Signal("SIGHUP") });
    assert_eq!(manager.hears(&queued), RELOADING);
    manager.systemd.hear(&prepare(2));
    assert_eq!(manager.hears(&serving()), "STATUS");
    manager.systemd.hear(&Action::Plan(number.next()));
    assert_eq!(manager.hears(&Action::Report(applied)), "READY=1 STATUS");
}
