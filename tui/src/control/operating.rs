//! What a node measures while somebody listens, so much at a time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use tokio::{sync::watch, time::Instant};

use super::{Host, door::Caller, refusal::Refusal, server::refused, streams};
use crate::operations::Ask;

/// At a time, for all callers.
const AT_ONCE: usize = 64;
/// And for one of them.
const OF_ONE: usize = 16;

/// Begins, and tells each step as it comes. Whoever stops listening ends it.
pub(super) fn begin(
    host: &Host,
    ask: Ask,
    room: &Room,
    caller: Caller,
    ended: watch::Receiver<bool>,
) -> Result<Response, Refusal> {
    if let Some(peer) = ask.peer() {
        host.links.check(peer.id()).map_err(refused)?;
    }
    let seat = room.take(caller).ok_or_else(|| {
        let reason = format!(
            "the node measures enough already: it does {AT_ONCE} things at a time, {OF_ONE} for one program; try again when one of them is over"
        );
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason)
    })?;
    let steps = ask.begin(host.links.endpoint().clone(), Instant::now());
    let steps = steps.map(move |step| {
        // Held for as long as anything may come.
        let _seat = &seat;
        step
    });
    Ok(streams::steps(steps, ended).into_response())
}

/// Who has how much done.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Arc<Mutex<BTreeMap<Caller, usize>>>);

impl Room {
    pub(super) fn take(&self, caller: Caller) -> Option<Seat> {
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let of_one = taken.get(&caller).copied().unwrap_or(0);
        if all >= AT_ONCE || of_one >= OF_ONE {
            return None;
        }
        taken.insert(caller, of_one + 1);
        let room = self.clone();
        Some(Seat { room, caller })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<Caller, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Seat {
    room: Room,
    caller: Caller,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        match taken.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                taken.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_room_of_all_and_who_leaves_makes_room() {
        let room = Room::default();
        let program = |pid| Caller::Program { pid: Some(pid) };
        let mut seats: Vec<_> = (0..OF_ONE)
            .map(|_| room.take(program(1)).unwrap())
            .collect();
        assert!(room.take(program(1)).is_none());
        for pid in 2.. {
            match room.take(program(pid)) {
                Some(seat) => seats.push(seat),
                None => break,
            }
        }
        assert_eq!(seats.len(), AT_ONCE);
        assert!(room.take(program(0)).is_none());
        drop(seats.pop());
        assert!(room.take(program(0)).is_some());
        drop(seats);
        assert!(room.taken().is_empty(), "nothing is kept of who has left");
    }
}
