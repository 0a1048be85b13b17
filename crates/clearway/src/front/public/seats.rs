//! How many clients there are, at most. Where one too many comes, the one that has been silent for longest goes; while all are
//! being answered, the one that has come goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::front::public::client_io::ClientActivity;

/// How many clients an address has, at most.
pub const MOST: usize = 64;

/// The clients of one address.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    seats: HashMap<u64, (Arc<ClientActivity>, Option<AbortHandle>)>,
    last: u64,
}

/// The place of one client; free when it is dropped.
#[derive(Debug)]
pub struct TakenSeat {
    seats: Seats,
    number: u64,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a client that has come, if need be that of one that is silent.
    pub fn take(&self, activity: &Arc<ClientActivity>) -> Option<TakenSeat> {
        let mut taken = self.lock();
        if taken.seats.len() >= MOST {
            let silent =
                taken.seats.iter().filter_map(|(number, (one, _))| Some((one.silent_since()?, *number)));
            let (_, longest) = silent.min()?;
            if let Some((_, Some(task))) = taken.seats.remove(&longest) {
                task.abort();
            }
        }
        taken.last += 1;
        let number = taken.last;
        taken.seats.insert(number, (Arc::clone(activity), None));
        Some(TakenSeat { seats: self.clone(), number })
    }

    /// What serves the client of a place.
    pub fn is_served_by(&self, number: u64, task: AbortHandle) {
        if let Some((_, slot)) = self.lock().seats.get_mut(&number) {
            *slot = Some(task);
        }
    }
}

impl TakenSeat {
    /// Which.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for TakenSeat {
    fn drop(&mut self) {
        self.seats.lock().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(seats: &Seats, seat: &TakenSeat) -> bool {
        seats.lock().seats.contains_key(&seat.number())
    }

    #[test]
    fn the_one_that_is_silent_for_longest_goes_and_one_that_is_answered_stays() {
        let seats = Seats::default();
        let clients: Vec<_> = (0..MOST).map(|_| ClientActivity::new()).collect();
        let taken: Vec<_> = clients.iter().map(|one| seats.take(one).unwrap()).collect();
        let answered = clients[0].ask();
        let one_more = seats.take(&ClientActivity::new()).unwrap();
        assert!(has(&seats, &taken[0]) && !has(&seats, &taken[1]) && has(&seats, &one_more));
        assert_eq!(seats.lock().seats.len(), MOST);
        drop(answered);
    }

    #[test]
    fn while_all_are_answered_no_other_one_is_let_in() {
        let seats = Seats::default();
        let clients: Vec<_> = (0..MOST).map(|_| ClientActivity::new()).collect();
        let mut taken: Vec<_> = clients.iter().map(|one| seats.take(one).unwrap()).collect();
        let answered: Vec<_> = clients.iter().map(ClientActivity::ask).collect();
        assert!(seats.take(&ClientActivity::new()).is_none());
        taken.pop();
        assert!(seats.take(&ClientActivity::new()).is_some(), "the place of one that is gone is free");
        drop(answered);
    }
}
