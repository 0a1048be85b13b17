use clearway_haproxy::statistics::{FIELDS, StatReader};

use super::*;

const FIRST: Generation = Generation::FIRST;

fn sample(sessions: u32) -> StatSample {
    of("f", sessions)
}

fn of(proxy: &str, sessions: u32) -> StatSample {
    let mut reader = StatReader::default();
    reader.line("# pxname,svname,stot,scur,type");
    reader.line(&format!("{proxy},FRONTEND,{sessions},1,0"));
    reader.sample().unwrap()
}

/// What the generations have said, by hand.
#[derive(Default)]
struct Heard {
    samples: Samples,
}

impl Heard {
    fn hear(&self, generation: Generation, counts: CountsFrom, sample: StatSample) {
        self.samples.sum().hear(generation, counts, sample);
    }

    /// The sum over those that live, the last of which serves.
    fn joined(&self, living: &[(Generation, CountsFrom)]) -> JoinedStatistics {
        let asked = living.iter().map(|(generation, counts)| AskedGeneration {
            generation: *generation,
            counts: *counts,
            worker: None,
        });
        let serving = living.last().map(|(generation, _)| *generation);
        let question = JoinedQuestion {
            samples: self.samples.clone(),
            turn: Arc::default(),
            since: Instant::now(),
            asked: asked.collect(),
            serving,
            latest: Some(FIRST.next().next()),
        };
        question.add_up()
    }

    fn sessions(&self, living: &[(Generation, CountsFrom)]) -> Option<i64> {
        sessions(&self.joined(living))
    }
}

fn sessions(joined: &JoinedStatistics) -> Option<i64> {
    let at = FIELDS.iter().position(|field| field.name == "sessions_total")?;
    joined.sample.all().next()?.1.get(at)
}

#[test]
fn what_has_ended_still_counts_and_only_once() {
    let (heard, second) = (Heard::default(), FIRST.next());
    heard.hear(FIRST, CountsFrom::Nothing, sample(100));
    assert_eq!(heard.sessions(&[(FIRST, CountsFrom::Nothing)]), Some(100));
    heard.hear(second, CountsFrom::Nothing, sample(1));
    assert_eq!(heard.sessions(&[(FIRST, CountsFrom::Nothing), (second, CountsFrom::Nothing)]), Some(101));
    heard.hear(FIRST, CountsFrom::Nothing, sample(103));
    for _ in 0..2 {
        assert_eq!(heard.sessions(&[(second, CountsFrom::Nothing)]), Some(104));
    }
    // A thread comes too late with what the first one has said: that was counted.
    heard.hear(FIRST, CountsFrom::Nothing, sample(103));
    assert_eq!(heard.sessions(&[(second, CountsFrom::Nothing)]), Some(104));
    // While none lives, nothing is forgotten.
    assert_eq!(heard.sessions(&[]), Some(104));
}

#[test]
fn counters_of_a_file_are_not_counted_twice() {
    let (heard, second) = (Heard::default(), FIRST.next());
    heard.hear(FIRST, CountsFrom::Others, sample(50));
    assert_eq!(heard.sessions(&[(FIRST, CountsFrom::Others)]), Some(0), "it has begun with them");
    heard.hear(FIRST, CountsFrom::Others, sample(150));
    heard.hear(second, CountsFrom::Others, sample(150));
    heard.hear(second, CountsFrom::Others, sample(157));
    assert_eq!(heard.sessions(&[(FIRST, CountsFrom::Others), (second, CountsFrom::Others)]), Some(107));
    assert_eq!(heard.sessions(&[(second, CountsFrom::Others)]), Some(107));
}

#[test]
fn counters_in_shared_memory_are_those_of_what_serves() {
    let (heard, second) = (Heard::default(), FIRST.next());
    heard.hear(FIRST, CountsFrom::Shared, sample(150));
    heard.hear(second, CountsFrom::Shared, sample(151));
    assert_eq!(heard.sessions(&[(FIRST, CountsFrom::Shared), (second, CountsFrom::Shared)]), Some(151));
    assert_eq!(heard.sessions(&[(second, CountsFrom::Shared)]), Some(151));
}

#[test]
fn what_no_file_has_any_more_goes_with_the_last_generation_that_had_it() {
    let (heard, second) = (Heard::default(), FIRST.next());
    heard.hear(FIRST, CountsFrom::Nothing, of("old", 7));
    heard.hear(second, CountsFrom::Nothing, of("new", 1));
    let both = [(FIRST, CountsFrom::Nothing), (second, CountsFrom::Nothing)];
    assert_eq!(heard.joined(&both).sample.all().count(), 2);
    assert_eq!(heard.joined(&both[1..]).sample.all().count(), 1);
    // One of which nothing is known may have it still.
    let third = second.next();
    heard.hear(second, CountsFrom::Nothing, of("new", 2));
    let joined = heard.joined(&[(third, CountsFrom::Nothing)]);
    assert_eq!((joined.sample.all().count(), joined.unknown), (1, 1));
}

#[test]
fn one_that_does_not_answer_counts_with_what_it_has_said_before() {
    let heard = Heard::default();
    heard.hear(FIRST, CountsFrom::Nothing, sample(9));
    heard.samples.sum().silent.insert(FIRST);
    let joined = heard.joined(&[(FIRST, CountsFrom::Nothing)]);
    assert_eq!((joined.answered, joined.remembered, joined.unknown), (0, 1, 0));
    assert_eq!(sessions(&joined), Some(9));
}

#[test]
fn a_generation_that_has_not_served_yet_has_not_ended() {
    let heard = Heard::default();
    let fourth = FIRST.next().next().next();
    heard.hear(fourth, CountsFrom::Others, sample(9));
    heard.joined(&[]);
    assert!(heard.samples.sum().heard.contains_key(&fourth));
}
