//! The event loop of a machine of the core, as each room has one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::ControlFlow;

/// Steps a machine with an event, and then with those that carrying out its actions comes to, in order, until nothing comes
/// any more. `state`: what has the machine, and what carries out.
pub fn settle<S, E, A>(
    state: &mut S,
    event: E,
    step: impl Fn(&mut S, E) -> Vec<A>,
    mut carry_out: impl FnMut(&mut S, A) -> Option<E>,
) {
    let ControlFlow::<Infallible>::Continue(()) =
        settle_or_break(state, event, step, |state, action| ControlFlow::Continue(carry_out(state, action)));
}

/// The same, unless an action breaks.
pub fn settle_or_break<S, E, A, B>(
    state: &mut S,
    event: E,
    step: impl Fn(&mut S, E) -> Vec<A>,
    mut carry_out: impl FnMut(&mut S, A) -> ControlFlow<B, Option<E>>,
) -> ControlFlow<B> {
    let mut events = VecDeque::from([event]);
    while let Some(event) = events.pop_front() {
        for action in step(state, event) {
            events.extend(carry_out(state, action)?);
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each number is done, and comes to a smaller one; `13` breaks.
    fn run(number: u32) -> (Vec<u32>, ControlFlow<&'static str>) {
        let mut done = Vec::new();
        let end = settle_or_break(
            &mut done,
            number,
            |_, number| vec![number, number + 10],
            |done, action| {
                done.push(action);
                if action == 13 {
                    ControlFlow::Break("13")
                } else {
                    ControlFlow::Continue(action.checked_sub(11))
                }
            },
        );
        (done, end)
    }

    #[test]
    fn it_goes_on_until_nothing_comes_any_more_or_one_breaks() {
        assert_eq!(run(2), (vec![2, 12, 1, 11, 0, 10], ControlFlow::Continue(())));
        assert_eq!(run(3), (vec![3, 13], ControlFlow::Break("13")));
    }
}
