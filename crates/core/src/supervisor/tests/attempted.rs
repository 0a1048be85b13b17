//! How an attempt went, as it is told for the history.

use super::*;

const MS: Duration = Duration::from_millis(1);
const SIGHUP: Asker = Asker::Signal("SIGHUP");

/// One that settles, whose moments can be told apart.
struct Clock {
    supervisor: Supervisor,
    now: Duration,
}

impl Clock {
    fn new(supervisor: Supervisor) -> Self {
        Self { supervisor, now: Duration::ZERO }
    }

    /// So much later this happens; how an attempt went, if one is over.
    fn after(&mut self, passed: Duration, event: Event) -> Option<Attempted> {
        self.now += passed;
        let told = self.supervisor.step(event, self.now).into_iter().filter_map(|action| match action {
            Action::Attempted(attempted) => Some(*attempted),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        assert!(told.len() < 2, "{told:?}");
        let last = told.into_iter().next();
        if last.is_some() {
            assert_eq!(self.supervisor.status(self.now).last_attempt, last, "the status says the same");
        }
        last
    }

    /// Prepared after 1 ms, proved after 2 more, carried after 4 more.
    fn carried(&mut self, number: u32, proof: Proof) -> Option<Attempted> {
        let generation = generation(number);
        let plumbing = PlumbingDemand::NotNeeded;
        assert_eq!(self.after(MS, Event::Prepared { generation, plumbing, most_reloads: None }), None);
        self.after(Duration::ZERO, Event::Started { generation, pid: number * 10 });
        assert_eq!(self.after(2 * MS, Event::Proved { generation, proof }), None);
        self.after(4 * MS, Event::Carried { generation, carried: Carried::default() })
    }

    fn serving() -> Self {
        let limits = Limits { settle: 200 * MS, ..LIMITS };
        let mut clock = Self::new(Supervisor::new(limits));
        clock.after(Duration::ZERO, Event::Begin);
        let attempted = clock.carried(1, proof(11)).unwrap();
        let expected = Steps { prepare: MS, prove: 2 * MS, carry: 4 * MS, ..Steps::default() };
        assert_eq!((attempted.steps, attempted.took), (expected, 7 * MS));
        assert_eq!((attempted.cause, attempted.result), (Cause::Start, AttemptResult::Took));
        assert_eq!((attempted.by, attempted.takes_over), (Vec::new(), false));
        clock
    }
}

#[test]
fn each_step_is_timed_and_all_that_asked_are_named() {
    let mut clock = Clock::serving();
    clock.after(MS, Event::ReloadAsked(SIGHUP));
    clock.after(MS, Event::ReloadAsked(Asker::Watch));
    clock.after(MS, Event::ReloadAsked(Asker::Admin(RequestId(1))));
    let new = Proof { unclaimed: proof(11).fresh, ..proof(21) };
    assert_eq!(clock.carried(2, new.clone()), None, "it settles");
    assert_eq!(clock.after(200 * MS, Event::TimePassed), None, "clients are moved");
    let attempted = clock.after(8 * MS, switched(2)).unwrap();
    let steps = Steps {
        prepare: 3 * MS,
        prove: 2 * MS,
        carry: 4 * MS,
        settle: 200 * MS,
        switch: 8 * MS,
        ..Steps::default()
    };
    assert_eq!((attempted.steps, attempted.took), (steps, 217 * MS));
    assert_eq!((attempted.by, attempted.proof), (vec![SIGHUP], Some(new)));
    // Those that came meanwhile have the next one.
    clock.carried(3, proof(31));
    let attempted = clock.after(200 * MS, Event::TimePassed).unwrap();
    assert_eq!(attempted.by, [Asker::Watch, Asker::Admin(RequestId(1))]);
}

#[test]
fn what_haproxy_refuses_is_told_apart_from_what_fails() {
    let mut clock = Clock::serving();
    clock.after(MS, Event::ReloadAsked(SIGHUP));
    let (generation, plumbing) = (generation(2), PlumbingDemand::NotNeeded);
    clock.after(MS, Event::Prepared { generation, plumbing, most_reloads: None });
    clock.after(MS, Event::Started { generation, pid: 20 });
    clock.after(MS, Event::Exited { generation, end: end("exit code 1") });
    let words = failure(ExitCode::ConfigurationRefused);
    let refused = clock.after(5 * MS, Event::LastWords { generation, failure: words.clone() }).unwrap();
    assert_eq!((refused.result, refused.end), (AttemptResult::Refused, Some(end("exit code 1"))));
    assert_eq!((refused.failure, refused.steps.end), (Some(words.clone()), 5 * MS));
    // It could not even be started.
    clock.after(MS, Event::ReloadAsked(SIGHUP));
    let failed = clock.after(MS, Event::Failed { generation: generation.next(), failure: words }).unwrap();
    assert_eq!((failed.result, failed.end, failed.steps.prepare), (AttemptResult::Failed, None, MS));
}

#[test]
fn the_first_one_of_a_successor_takes_over() {
    let mut clock = Clock::new(Supervisor::new(LIMITS).succeeding());
    clock.after(Duration::ZERO, Event::Begin);
    let attempted = clock.carried(1, proof(11)).or_else(|| clock.after(MS, Event::TimePassed)).unwrap();
    assert!(attempted.takes_over, "{attempted:?}");
}
