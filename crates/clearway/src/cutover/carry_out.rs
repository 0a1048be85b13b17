//! What the machine of this room says, done.

use clearway_core::cutover::{CutoverAction, CutoverEvent, FORMER_CLOSING, Whose};
use clearway_core::names::Generation;
use clearway_kernel::steering::ReuseportGroup;

use super::{Cutover, News, SwitchProgress, Upshot, first_comers, switch};
use crate::custody::held::Held;
use crate::cutover::notices::CutoverNotice;
use crate::cutover::steer::all_closed;
use crate::ground::aside;
use crate::ground::notice::tell;

impl Cutover {
    /// What the machine has to know of it at once.
    pub(super) fn carry_out(
        &mut self,
        action: CutoverAction,
        upshots: &mut Vec<Upshot>,
    ) -> Option<CutoverEvent> {
        match action {
            CutoverAction::Move(generation) => return self.begin_switch(generation, upshots),
            CutoverAction::Cancel(generation) => {
                if let Some(SwitchProgress::AtWork(cancel)) = self.switches.get(&generation) {
                    cancel.abandon();
                }
            }
            CutoverAction::Overtake(generation) => {
                if let Some(SwitchProgress::AtWork(cancel)) = self.switches.get(&generation) {
                    cancel.overtake();
                }
            }
            CutoverAction::TakeBack { generation, steers } => {
                self.moved(generation).into_iter().for_each(|switch| switch.take_back(steers));
            }
            CutoverAction::Watch(generation, whose) => return self.watch(generation, whose),
            CutoverAction::OpenGate { generation, closed } => {
                if !closed {
                    tell(&CutoverNotice::FormerListens);
                }
                self.moved(generation).into_iter().for_each(switch::Switch::open_gate);
            }
            CutoverAction::EndSteering(generation) => {
                let held = self.custody.held();
                self.moved(generation).into_iter().for_each(|switch| switch.end_steering(&held));
            }
            CutoverAction::Forget(generation) => drop(self.switches.remove(&generation)),
            CutoverAction::Redirect(to) => self.redirection.redirect(to),
            CutoverAction::KeepLeftOpen(generation) => {
                self.left_open = self.moved(generation).and_then(|switch| switch.left_open());
            }
            CutoverAction::CloseLeftOpen => {
                if let Some((sockets, listeners)) = self.left_open.take() {
                    sockets.stop_listening(&listeners);
                }
            }
            CutoverAction::ForgetLeftOpen => self.left_open = None,
            CutoverAction::ListenAgain => self.custody.held().listen_again(),
            CutoverAction::CloseNotGiven => {
                let held = self.custody.held();
                let not_given = held.all().iter().filter(|one| !self.given.contains(&one.inode()));
                held.stop_listening(&not_given.filter_map(Held::listener).collect::<Vec<_>>());
            }
            CutoverAction::Unseal => self.custody.held().unseal(),
            CutoverAction::Drain(generation) => upshots.push(Upshot::Drain(generation)),
            action => return self.do_with_first_comers(action),
        }
        None
    }

    fn do_with_first_comers(&mut self, action: CutoverAction) -> Option<CutoverEvent> {
        let held = self.custody.held();
        match action {
            CutoverAction::LookWhatListens => {
                return Some(CutoverEvent::FirstSeen(self.first_comers.look()));
            }
            CutoverAction::ReleaseInherited => {
                return Some(CutoverEvent::InheritedReleased(first_comers::release_inherited(&held)));
            }
            CutoverAction::CompareAtOnce(round) => {
                let found = self.first_comers.compare(&held).map(|found| self.first_comers.found(found));
                return Some(CutoverEvent::Compared { round, found });
            }
            CutoverAction::Compare(round) => {
                let news = self.sender.clone();
                self.first_comers.begin_to_compare(round, &held, move |round, found| {
                    let _ = news.send(News::Compared(round, found));
                });
            }
            CutoverAction::Steer(shared) => {
                let is_done = self.first_comers.steer(&shared, &held, ReuseportGroup::steer);
                return (!is_done).then_some(CutoverEvent::NotSteered(shared));
            }
            CutoverAction::Narrow(shared) => {
                self.first_comers.steer(&shared, &held, ReuseportGroup::narrow);
            }
            CutoverAction::Release(shared) => {
                self.first_comers.steer(&shared, &held, ReuseportGroup::release);
            }
            CutoverAction::SayShared(address) => self.first_comers.say_shared(address),
            CutoverAction::AwaitTheirs => {
                let begun = self.first_comers.await_theirs(self.say(News::TheirsServed));
                return (!begun).then_some(CutoverEvent::TheirsServed);
            }
            CutoverAction::SayTheirsEnded => tell(&CutoverNotice::TheirsEnded),
            CutoverAction::GiveBack(_) => {
                let done = self.say(News::GaveBack);
                let begun = self.first_comers.give_back(&held, done);
                return (!begun).then_some(CutoverEvent::GaveBack);
            }
            _ => {}
        }
        None
    }

    fn begin_switch(&mut self, generation: Generation, upshots: &mut Vec<Upshot>) -> Option<CutoverEvent> {
        let Some(SwitchProgress::Ordered(manners)) = self.switches.remove(&generation) else { return None };
        let news = self.sender.clone();
        let tell = move |switch| {
            let _ = news.send(News::Switched(Box::new(switch)));
        };
        match switch::begin(generation, *manners, tell) {
            Ok(cancel) => {
                self.switches.insert(generation, SwitchProgress::AtWork(cancel));
                None
            }
            Err(event) => {
                upshots.push(Upshot::Event(event));
                Some(CutoverEvent::NotBegun(generation))
            }
        }
    }

    /// For a thread that has one thing to say.
    fn say(&self, what: News) -> impl FnOnce() + Send + use<> {
        let news = self.sender.clone();
        move || {
            // The room is gone only when Clearway is.
            let _ = news.send(what);
        }
    }

    /// What the thread of a switch has done.
    fn moved(&mut self, generation: Generation) -> Option<&mut switch::Switch> {
        match self.switches.get_mut(&generation) {
            Some(SwitchProgress::Moved(switch)) => Some(switch),
            _ => None,
        }
    }

    /// Waits on a thread until sockets are closed.
    fn watch(&mut self, generation: Generation, whose: Whose) -> Option<CutoverEvent> {
        let sockets = self.moved(generation)?.watched(whose);
        let news = self.sender.clone();
        let begun = aside::spawn("waiting until sockets are closed", move || {
            let closed = all_closed(&sockets, FORMER_CLOSING, &|| !news.is_closed());
            let _ = news.send(News::FormerClosed(generation, closed));
        });
        (!begun).then_some(CutoverEvent::NotWatched(generation))
    }
}
