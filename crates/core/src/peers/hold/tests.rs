use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn holder() -> Keeping<u8, ()> {
    Keeping::new(10 * SECOND, 300 * SECOND)
}

/// What is done, without what is given.
fn done(todo: &[HoldAction<u8, ()>]) -> Vec<String> {
    let said = |action: &HoldAction<u8, ()>| match action {
        HoldAction::Report(report) => format!("{report:?}"),
        HoldAction::Give { sockets, .. } => format!("Give {}", sockets.len()),
        other => format!("{other:?}"),
    };
    todo.iter().map(said).collect()
}

#[test]
fn it_looks_for_a_balancer_until_one_talks_and_again_when_that_ends() {
    let mut holder = holder();
    assert_eq!(done(&holder.step(HoldEvent::TimePassed, Duration::ZERO)), ["Look"]);
    assert_eq!(holder.due(), Some(SECOND));
    assert_eq!(done(&holder.step(HoldEvent::Found(BalancerId(1)), SECOND / 2)), [""; 0]);
    assert_eq!(holder.due(), None, "it may load its configuration for minutes");
    holder.step(HoldEvent::Keeps(BalancerId(1), vec![1, 2]), 60 * SECOND);
    assert_eq!(
        done(&holder.step(HoldEvent::Gone(BalancerId(1)), 90 * SECOND)),
        ["Lost { sockets: 2 }", "Sweep"]
    );
    assert_eq!(holder.due(), Some(91 * SECOND));
    assert_eq!(done(&holder.step(HoldEvent::Came(BalancerId(2)), 91 * SECOND)), ["Give 2"]);
    assert_eq!(
        done(&holder.step(HoldEvent::Keeps(BalancerId(2), vec![1]), 92 * SECOND)),
        ["Serves { sockets: 1 }"]
    );
}

/// Whatever it says before: one whose start fails lets go of the sockets like one that stops.
#[test]
fn one_that_lets_go_before_it_serves_has_failed() {
    let mut holder = holder();
    holder.step(HoldEvent::Keeps(BalancerId(1), vec![1]), SECOND);
    holder.step(HoldEvent::Gone(BalancerId(1)), 2 * SECOND);
    holder.step(HoldEvent::Came(BalancerId(2)), 2 * SECOND);
    assert_eq!(
        done(&holder.step(HoldEvent::Releases { balancer: BalancerId(2), at_once: false }, 3 * SECOND)),
        [""; 0]
    );
    let todo = holder.step(HoldEvent::Gone(BalancerId(2)), 3 * SECOND);
    assert_eq!(done(&todo), ["FailedStart { times: 1, sockets: 1 }"]);
    assert_eq!((holder.failed_starts(), holder.until()), (1, Some(302 * SECOND)));
    assert_eq!(
        done(&holder.step(HoldEvent::TimePassed, 302 * SECOND))[..2],
        ["Over { sockets: 1 }", "Sweep"]
    );
}
