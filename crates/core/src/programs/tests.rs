use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn section(name: &str, on_reload: OnReload) -> ProgramSpec {
    ProgramSpec {
        name: name.to_owned(),
        command: vec!["true".to_owned()],
        user: None,
        group: None,
        on_reload,
    }
}

fn serves(sections: &[ProgramSpec], cause: WhyServing) -> ProgramEvent {
    ProgramEvent::Serves { sections: sections.to_vec(), cause, on_death: OnDeath::Restart }
}

/// What is to be done, without log lines.
fn step(programs: &mut Programs, event: ProgramEvent, now: Duration) -> Vec<ProgramAction> {
    let mut todo = programs.step(event, now);
    todo.retain(|action| !matches!(action, ProgramAction::Report(_)));
    todo
}

fn started(sections: &[ProgramSpec]) -> Programs {
    let mut programs = Programs::default();
    let todo = step(&mut programs, serves(sections, WhyServing::Reload), MS(0));
    let wanted: Vec<_> = sections
        .iter()
        .zip(1..)
        .map(|(section, id)| ProgramAction::Start(ProgramId(id), section.clone()))
        .collect();
    assert_eq!(todo, wanted);
    for (id, _) in (1..).zip(sections) {
        step(&mut programs, ProgramEvent::Started(ProgramId(id), 100), MS(0));
    }
    programs
}

fn failed() -> ProgramEnd {
    ProgramEnd::Failed("exit code 3".to_owned())
}

fn wanted() -> ProgramEnd {
    ProgramEnd::Wanted("exit code 0".to_owned())
}

#[test]
fn a_reload_replaces_one_when_it_has_ended() {
    let new = section("new", OnReload::Anew);
    let mut programs = started(std::slice::from_ref(&new));
    let todo = step(&mut programs, serves(std::slice::from_ref(&new), WhyServing::Reload), MS(1000));
    assert_eq!(todo, [ProgramAction::Tell(ProgramId(1), ProgramSignal::Finish)]);
    assert_eq!(programs.due(), Some(MS(2000)));
    assert_eq!(
        step(&mut programs, ProgramEvent::Ended(ProgramId(1), wanted()), MS(1100)),
        [ProgramAction::Start(ProgramId(2), new)]
    );
    assert_eq!(programs.due(), None);
}

#[test]
fn one_that_does_not_end_is_replaced_all_the_same_and_pressed_at_the_next_reload() {
    let new = section("new", OnReload::Anew);
    let mut programs = started(std::slice::from_ref(&new));
    step(&mut programs, serves(std::slice::from_ref(&new), WhyServing::Reload), MS(1000));
    assert_eq!(
        step(&mut programs, ProgramEvent::TimePassed, MS(2000)),
        [ProgramAction::Start(ProgramId(2), new.clone())]
    );
    let todo = step(&mut programs, serves(std::slice::from_ref(&new), WhyServing::Reload), MS(3000));
    assert_eq!(
        todo,
        [
            ProgramAction::Tell(ProgramId(1), ProgramSignal::Terminate),
            ProgramAction::Tell(ProgramId(2), ProgramSignal::Finish)
        ]
    );
    let todo = step(&mut programs, serves(&[], WhyServing::Reload), MS(3500));
    assert_eq!(
        todo,
        [
            ProgramAction::Tell(ProgramId(1), ProgramSignal::Kill),
            ProgramAction::Tell(ProgramId(2), ProgramSignal::Terminate)
        ]
    );
    assert_eq!(step(&mut programs, ProgramEvent::TimePassed, MS(9000)), []);
}

#[test]
fn a_reload_keeps_one_that_is_to_stay_and_tells_it() {
    let keep = section("keep", OnReload::Keep);
    let mut programs = started(std::slice::from_ref(&keep));
    let other = ProgramSpec { command: vec!["other".to_owned()], ..keep.clone() };
    let todo = step(&mut programs, serves(std::slice::from_ref(&other), WhyServing::Reload), MS(1000));
    assert_eq!(todo, [ProgramAction::Tell(ProgramId(1), ProgramSignal::Reloaded)]);
    // What it would be started from is what the file says now.
    step(&mut programs, ProgramEvent::Ended(ProgramId(1), failed()), MS(60_000));
    assert_eq!(
        step(&mut programs, ProgramEvent::TimePassed, MS(60_100)),
        [ProgramAction::Start(ProgramId(2), other)]
    );
}

#[test]
fn a_crash_of_haproxy_leaves_them_alone_unless_the_sections_differ() {
    let (new, keep) = (section("new", OnReload::Anew), section("keep", OnReload::Keep));
    let both = [new.clone(), keep.clone()];
    let mut programs = started(&both);
    assert_eq!(step(&mut programs, serves(&both, WhyServing::Crash), MS(1000)), []);
    let other = ProgramSpec { command: vec!["other".to_owned()], ..keep };
    let todo = step(&mut programs, serves(&[other], WhyServing::Crash), MS(1000));
    assert_eq!(
        todo,
        [
            ProgramAction::Tell(ProgramId(2), ProgramSignal::Finish),
            ProgramAction::Tell(ProgramId(1), ProgramSignal::Finish)
        ]
    );
}

#[test]
fn one_that_dies_is_started_again_after_pauses_that_grow() {
    let mut programs = started(&[section("a", OnReload::Anew)]);
    let mut now = MS(0);
    let mut pauses = Vec::new();
    for id in 1..12 {
        assert_eq!(step(&mut programs, ProgramEvent::Ended(ProgramId(id), failed()), now), []);
        let at = programs.due().unwrap_or_default();
        pauses.push(at.saturating_sub(now).as_millis());
        now = at;
        assert!(
            matches!(*step(&mut programs, ProgramEvent::TimePassed, now), [ProgramAction::Start(one, _)] if one == ProgramId(id + 1))
        );
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000]);
    now += PROVEN_AGE;
    step(&mut programs, ProgramEvent::Ended(ProgramId(12), failed()), now);
    assert_eq!(programs.due(), Some(now + MS(100)));
}

#[test]
fn one_that_ends_as_wanted_stays_ended_until_a_reload() {
    let (new, keep) = (section("new", OnReload::Anew), section("keep", OnReload::Keep));
    let both = [new.clone(), keep];
    let mut programs = started(&both);
    step(&mut programs, ProgramEvent::Ended(ProgramId(1), wanted()), MS(10));
    step(&mut programs, ProgramEvent::Ended(ProgramId(2), wanted()), MS(10));
    assert_eq!((programs.due(), programs.is_gone()), (None, true));
    let states: Vec<_> = programs.status(MS(20)).into_iter().map(|one| one.state).collect();
    assert_eq!(states, ["ended", "ended"]);
    assert_eq!(
        step(&mut programs, serves(&both, WhyServing::Reload), MS(30)),
        [ProgramAction::Start(ProgramId(3), new)]
    );
}

#[test]
fn without_exit_on_failure_the_dead_stay_dead() {
    let a = section("a", OnReload::Anew);
    let mut programs = started(std::slice::from_ref(&a));
    let tolerant =
        ProgramEvent::Serves { sections: vec![a], cause: WhyServing::Crash, on_death: OnDeath::Nothing };
    step(&mut programs, tolerant, MS(10));
    step(&mut programs, ProgramEvent::Ended(ProgramId(1), failed()), MS(20));
    assert_eq!(programs.due(), None);
}

#[test]
fn one_that_cannot_be_started_is_tried_again() {
    let mut programs = Programs::default();
    step(&mut programs, serves(&[section("a", OnReload::Anew)], WhyServing::Reload), MS(0));
    step(&mut programs, ProgramEvent::NotStarted(ProgramId(1), "no such file".to_owned()), MS(0));
    assert_eq!(programs.due(), Some(MS(100)));
}

#[test]
fn a_stop_ends_all_and_kills_what_stays() {
    let mut programs = started(&[section("a", OnReload::Anew), section("b", OnReload::Keep)]);
    let todo = step(&mut programs, ProgramEvent::Stop, MS(1000));
    assert_eq!(
        todo,
        [
            ProgramAction::Tell(ProgramId(1), ProgramSignal::Terminate),
            ProgramAction::Tell(ProgramId(2), ProgramSignal::Terminate)
        ]
    );
    assert_eq!(
        step(&mut programs, serves(&[section("a", OnReload::Anew)], WhyServing::Reload), MS(1100)),
        []
    );
    assert_eq!(step(&mut programs, ProgramEvent::Ended(ProgramId(2), wanted()), MS(1200)), []);
    // HAProxy still drains: nothing hurries.
    assert_eq!((programs.due(), programs.is_gone()), (None, false));
    step(&mut programs, ProgramEvent::OnlyProgramsLeft, MS(2000));
    assert_eq!(programs.due(), Some(MS(6000)));
    assert_eq!(
        step(&mut programs, ProgramEvent::TimePassed, MS(6000)),
        [ProgramAction::Tell(ProgramId(1), ProgramSignal::Kill)]
    );
    assert!(!programs.is_gone());
    // In a system call that never ends.
    step(&mut programs, ProgramEvent::TimePassed, MS(8000));
    assert_eq!((programs.is_gone(), programs.due()), (true, None));
}

#[test]
fn a_cut_kills_at_once() {
    let mut programs = started(&[section("a", OnReload::Anew)]);
    step(&mut programs, ProgramEvent::Stop, MS(0));
    assert_eq!(
        step(&mut programs, ProgramEvent::Cut, MS(10)),
        [ProgramAction::Tell(ProgramId(1), ProgramSignal::Kill)]
    );
    step(&mut programs, ProgramEvent::Ended(ProgramId(1), failed()), MS(20));
    assert!(programs.is_gone());
}

#[test]
fn what_another_clearway_serves_runs_there() {
    let a = section("a", OnReload::Keep);
    let mut programs = started(std::slice::from_ref(&a));
    assert_eq!(
        step(&mut programs, ProgramEvent::Relieved, MS(0)),
        [ProgramAction::Tell(ProgramId(1), ProgramSignal::Terminate)]
    );
    step(&mut programs, ProgramEvent::Ended(ProgramId(1), wanted()), MS(10));
    assert_eq!((programs.due(), programs.is_gone()), (None, true));
    assert_eq!(
        step(&mut programs, ProgramEvent::TakenBack, MS(100)),
        [ProgramAction::Start(ProgramId(2), a.clone())]
    );
    // The restart that follows has the same sections.
    assert_eq!(step(&mut programs, serves(&[a], WhyServing::Crash), MS(200)), []);
}

/// Whatever happens, there is never more than one process per section beside the one that gives way, and a stop ends.
#[test]
fn random_lives_keep_to_one_per_section() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut programs = Programs::default();
        let mut alive: BTreeMap<ProgramId, (String, Option<ProgramSignal>)> = BTreeMap::new();
        let mut now = Duration::ZERO;
        let mut events = 0;
        loop {
            events += 1;
            let event = match random.u8(0..12) {
                _ if events == 200 => ProgramEvent::Stop,
                _ if events == 210 => ProgramEvent::OnlyProgramsLeft,
                0..3 => {
                    let names = ["a", "b", "c"].into_iter().filter(|_| random.bool());
                    let names: Vec<&str> = names.collect();
                    let on = |random: &mut fastrand::Rng| {
                        if random.bool() { OnReload::Keep } else { OnReload::Anew }
                    };
                    let sections: Vec<_> = names.iter().map(|name| section(name, on(&mut random))).collect();
                    serves(&sections, if random.bool() { WhyServing::Crash } else { WhyServing::Reload })
                }
                3..6 if !alive.is_empty() => {
                    let at = random.usize(0..alive.len());
                    let Some(id) = alive.keys().nth(at).copied() else { break };
                    alive.remove(&id);
                    ProgramEvent::Ended(id, if random.bool() { wanted() } else { failed() })
                }
                6 => ProgramEvent::Relieved,
                7 => ProgramEvent::TakenBack,
                _ => {
                    now = programs.due().unwrap_or(now + MS(10)).max(now);
                    ProgramEvent::TimePassed
                }
            };
            for action in step(&mut programs, event, now) {
                match action {
                    ProgramAction::Start(id, section) => {
                        let beside =
                            alive.values().filter(|(name, told)| *name == section.name && told.is_none());
                        assert_eq!(beside.count(), 0, "seed {seed}: `{}` runs twice", section.name);
                        assert!(events < 200, "seed {seed}: started during a stop");
                        alive.insert(id, (section.name, None));
                    }
                    ProgramAction::Tell(id, told) => {
                        let Some(one) = alive.get_mut(&id) else { panic!("seed {seed}: {id:?} is gone") };
                        one.1 = Some(told).filter(|told| *told != ProgramSignal::Reloaded).or(one.1);
                    }
                    ProgramAction::Report(_) => unreachable!(),
                }
            }
            if events > 210 && programs.is_gone() {
                break;
            }
            assert!(events < 400, "seed {seed}: the stop does not end");
        }
        assert!(alive.values().all(|(_, told)| *told == Some(ProgramSignal::Kill)), "seed {seed}: {alive:?}");
    }
}
